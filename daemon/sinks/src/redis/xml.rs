//! Attributes of a UVE as Sandesh XML, the form of the values in Contrail's Redis.
//!
//! An attribute is one element: its name, its type, and its value. `contrail-collector/ruleeng.cc` of tf-analytics
//! stores the elements as a generator sends them; `ParallelAggregator` and `uve_attr_flatten` in `contrail-opserver`
//! read them. Both ignore the name of the element within a struct, and attributes other than `type`, `key`, `value`,
//! `size` and `aggtype`, so the elements here have no `identifier`.
//!
//! ```xml
//! <value type="struct"><Result><samples type="u64">235</samples><algo type="string">EWM</algo>
//! <state type="map"><map key="string" value="string" size="1"><element>mean</element><element>29</element></map></state>
//! </Result></value>
//! ```

use daemon_results::block::{AttributeShape, FieldShape};
use derived_stats::entry::Form;
use derived_stats::{FieldValue, Flaw, Number, Record, ValueType, write_six_digits};
use proxy_uve::json;

/// Returns the size from which on a reader drops a value: `uveserver.py` compares with `>= 100000`. The reader counts
/// characters, of which there are at most as many as bytes.
pub(super) const DROPPED_FROM_BYTES: usize = 100_000;

/// Returns the element of an attribute's result; `None` if a name in it is not the name of an XML element.
pub(super) fn attribute(shape: &AttributeShape, record: &Record) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(128);
    match shape.bare_number(record) {
        Some(number) if shape.inline => put_number(&mut out, &shape.name, number),
        Some(number) => put_struct(&mut out, &shape.name, |out| {
            put_number(out, "value", number);
            if let Some(flaw) = record.flaw() {
                put_text(out, "error", Flaw::text(flaw));
            }
            Some(())
        })?,
        None => put_struct(&mut out, &shape.name, |out| put_fields(out, shape, record))?,
    }
    is_name(&shape.name).then_some(out)
}

/// Returns an element with a truth value.
pub(super) fn boolean(name: &str, value: bool) -> Vec<u8> {
    format!("<{name} type=\"bool\">{value}</{name}>").into_bytes()
}

/// Returns an element with a text.
pub(super) fn text(name: &str, value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_text(&mut out, name, value);
    out
}

/// Returns an element with an unsigned integer.
pub(super) fn unsigned(name: &str, value: u64) -> Vec<u8> {
    format!("<{name} type=\"u64\">{value}</{name}>").into_bytes()
}

fn put_fields(out: &mut Vec<u8>, shape: &AttributeShape, record: &Record) -> Option<()> {
    let present: Vec<_> = shape.present(record).collect();
    present.chunk_by(|(one, _), (next, _)| one.group == next.group).try_for_each(|fields| {
        let Some(group) = fields.first().and_then(|(field, _)| field.group.as_deref()) else {
            return fields.iter().try_for_each(|(field, value)| put_field(out, field, *value));
        };
        if !is_name(group) {
            return None;
        }
        if fields.iter().all(|(field, value)| is_text(field, *value)) {
            put_map(out, group, fields);
            return Some(());
        }
        put_struct(out, group, |out| fields.iter().try_for_each(|(field, value)| put_field(out, field, *value)))
    })
}

/// Whether readers get the value as a text.
fn is_text(field: &FieldShape, value: FieldValue<'_>) -> bool {
    matches!(value, FieldValue::Text(_)) || field.form == Form::SixDigits
}

fn put_field(out: &mut Vec<u8>, field: &FieldShape, value: FieldValue<'_>) -> Option<()> {
    match value {
        FieldValue::Number(number) if field.form != Form::SixDigits => put_number(out, &field.name, number),
        value => {
            open(out, &field.name, "string");
            put_content(out, value);
            close(out, &field.name);
        }
    }
    is_name(&field.name).then_some(())
}

/// Appends a map of texts, which is what Contrail's `state` is.
fn put_map(out: &mut Vec<u8>, name: &str, fields: &[(&FieldShape, FieldValue<'_>)]) {
    open(out, name, "map");
    out.extend_from_slice(format!("<map key=\"string\" value=\"string\" size=\"{}\">", fields.len()).as_bytes());
    for (field, value) in fields {
        out.extend_from_slice(b"<element>");
        escape(out, &field.name);
        out.extend_from_slice(b"</element><element>");
        put_content(out, *value);
        out.extend_from_slice(b"</element>");
    }
    out.extend_from_slice(b"</map>");
    close(out, name);
}

fn put_content(out: &mut Vec<u8>, value: FieldValue<'_>) {
    match value {
        FieldValue::Number(number) => write_six_digits(number.as_f64(), out),
        FieldValue::Text(text) => escape(out, text),
        // Another kind of value is shown as an empty text until this knows it.
        _ => {}
    }
}

fn put_struct(out: &mut Vec<u8>, name: &str, members: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<()> {
    open(out, name, "struct");
    out.extend_from_slice(b"<Result>");
    members(out)?;
    out.extend_from_slice(b"</Result>");
    close(out, name);
    Some(())
}

fn put_number(out: &mut Vec<u8>, name: &str, number: Number) {
    let kind = match number.value_type() {
        ValueType::F64 => "double",
        ValueType::I64 => "i64",
        ValueType::U64 => "u64",
    };
    open(out, name, kind);
    json::write_number(number, out);
    close(out, name);
}

fn put_text(out: &mut Vec<u8>, name: &str, value: &str) {
    open(out, name, "string");
    escape(out, value);
    close(out, name);
}

fn open(out: &mut Vec<u8>, name: &str, kind: &str) {
    for part in ["<", name, " type=\"", kind, "\">"] {
        out.extend_from_slice(part.as_bytes());
    }
}

fn close(out: &mut Vec<u8>, name: &str) {
    for part in ["</", name, ">"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Appends a text with entities. Characters that no XML 1.0 document can have become blanks.
fn escape(out: &mut Vec<u8>, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.extend_from_slice(b"&amp;"),
            '<' => out.extend_from_slice(b"&lt;"),
            '>' => out.extend_from_slice(b"&gt;"),
            '\t' | '\n' => out.push(character as u8),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push(b' '),
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Whether a text is the name of an XML element: those of Sandesh are identifiers.
fn is_name(name: &str) -> bool {
    let is_start = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    let is_other = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    name.as_bytes().first().is_some_and(is_start) && name.bytes().all(is_other)
}

#[cfg(test)]
mod tests {
    use daemon_results::line::LineReader;

    use super::*;

    /// The elements of the attributes of a result.
    fn elements(data: &str) -> Vec<Option<String>> {
        let line = format!(r#"{{"key":"T:a","uve":"P-S-a","start":0,"end":60,"data":{data}}}"#);
        let mut reader = LineReader::default();
        let row = reader.row(line.as_bytes()).unwrap();
        let element = |(shape, record): (&AttributeShape, Record)| attribute(shape, &record);
        let all = row.attributes().map(element);
        all.map(|found| found.map(|bytes| String::from_utf8(bytes).unwrap())).collect()
    }

    #[test]
    fn each_form_of_a_result_has_its_element() {
        let cases = [
            (r#"{"sum":36}"#, "<sum type=\"u64\">36</sum>"),
            (r#"{"v":-3}"#, "<v type=\"i64\">-3</v>"),
            (r#"{"v":0.5}"#, "<v type=\"double\">0.5</v>"),
            (r#"{"v":{"value":36}}"#, "<v type=\"struct\"><Result><value type=\"u64\">36</value></Result></v>"),
            (
                r#"{"v":{"algo":"EWM","samples":2,"sigma":0.1,"state":{"mean":"29","stddev":"0.000472838"}}}"#,
                "<v type=\"struct\"><Result><algo type=\"string\">EWM</algo><samples type=\"u64\">2</samples>\
                 <sigma type=\"double\">0.1</sigma><state type=\"map\"><map key=\"string\" value=\"string\" size=\"2\">\
                 <element>mean</element><element>29</element><element>stddev</element><element>0.000472838</element>\
                 </map></state></Result></v>",
            ),
            (
                r#"{"v":{"band":{"low":1,"high":2.5}}}"#,
                "<v type=\"struct\"><Result><band type=\"struct\"><Result><low type=\"u64\">1</low>\
                 <high type=\"double\">2.5</high></Result></band></Result></v>",
            ),
            (
                r#"{"v":{"algo":"a<b>&\"c\u0001\n"}}"#,
                "<v type=\"struct\"><Result><algo type=\"string\">a&lt;b&gt;&amp;\"c \n</algo></Result></v>",
            ),
        ];
        for (data, expected) in cases {
            assert_eq!(elements(data), [Some(expected.to_owned())], "{data}");
        }
        assert_eq!(
            String::from_utf8(text("proxy", "A-b&c")).unwrap() + &String::from_utf8(boolean("deleted", false)).unwrap(),
            "<proxy type=\"string\">A-b&amp;c</proxy><deleted type=\"bool\">false</deleted>"
        );
    }

    #[test]
    fn a_name_that_no_element_can_have_gives_no_element() {
        for data in
            [r#"{"a b":1}"#, r#"{"1":1}"#, r#"{"a<":{"value":1}}"#, r#"{"v":{"a>b":1}}"#, r#"{"v":{"a b":{"c":1}}}"#]
        {
            assert_eq!(elements(data), [None], "{data}");
        }
    }
}
