//! Results as JSON, written straight into a buffer.
//!
//! The form is the original's: a number of a window as `{"value": …}`, an inline one bare, a struct as an object with
//! the entry's field names. Serialising an [`Output`] gives the same without the fields that the original does not
//! have; this does not go through a serialiser.

use derived_stats::entry::{Form, ResultType};
use derived_stats::{Description, FieldValue, Number, Output, Record, ValueType, write_six_digits};

/// One field of a result, on its way to JSON.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct JsonField<'f> {
    /// Its name: letters, digits and `_`.
    pub name: &'f str,
    /// The nested object that contains it and the fields beside it with the same group.
    pub group: Option<&'f str>,
    /// How its number is shown.
    pub form: Form,
    /// Its value.
    pub value: FieldValue<'f>,
}

/// Appends a result. `inline` is the result of one sample, not of a window.
pub fn write_output(output: &Output<'_>, inline: bool, out: &mut Vec<u8>) {
    let is_number = output.description().result_type() == ResultType::Number;
    if let Some(number) = output.value().filter(|_| is_number) {
        return write_number_result(number, output.error(), inline, out);
    }
    write_fields(
        output.fields().map(|(field, value)| JsonField {
            name: field.name(),
            group: field.field().group(),
            form: field.field().form(),
            value,
        }),
        out,
    );
}

/// Appends a result that is one number, with its error.
pub fn write_number_result(number: Number, error: Option<&str>, inline: bool, out: &mut Vec<u8>) {
    if inline {
        return write_number(number, out);
    }
    out.extend_from_slice(b"{\"value\":");
    write_number(number, out);
    if let Some(error) = error {
        out.extend_from_slice(b",\"error\":");
        write_text(error, out);
    }
    out.push(b'}');
}

/// Appends a result that is a struct.
pub fn write_fields<'f>(fields: impl Iterator<Item = JsonField<'f>>, out: &mut Vec<u8>) {
    let fields = fields.map(|field| (field.name, field.group, field));
    write_object(fields, out, |field, out| write_value(&field, out));
}

/// Appends an object whose members come as name, group and what `write` needs to write the value.
fn write_object<'f, V>(
    fields: impl Iterator<Item = (&'f str, Option<&'f str>, V)>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(V, &mut Vec<u8>),
) {
    let (mut open, mut before) = (None, b'{');
    for (name, group, value) in fields {
        if group != open {
            if open.is_some() {
                out.push(b'}');
            }
            open = group;
            if let Some(group) = group {
                write_name(before, group, out);
                before = b'{';
            }
        }
        write_name(before, name, out);
        write(value, out);
        before = b',';
    }
    if before == b'{' {
        out.push(b'{');
    }
    out.extend_from_slice(if open.is_some() { b"}}" } else { b"}" });
}

/// The constant texts between the numbers of a complete result, computed once for a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonTemplate {
    numbers: Vec<Slot>,
    end: Vec<u8>,
}

/// The position of a number in a template.
#[derive(Clone, Debug, PartialEq)]
struct Slot {
    before: Vec<u8>,
    index: usize,
    form: Form,
}

impl JsonTemplate {
    /// The template for results of a window with this description.
    pub fn new(description: &Description) -> Self {
        let (mut numbers, mut out) = (Vec::new(), Vec::new());
        let mut slot = |index, form, out: &mut Vec<u8>| {
            let quote: &[u8] = if form == Form::SixDigits { b"\"" } else { b"" };
            out.extend_from_slice(quote);
            numbers.push(Slot { before: std::mem::take(out), index, form });
            out.extend_from_slice(quote);
        };
        if let (ResultType::Number, Some(index)) = (description.result_type(), description.value_index()) {
            write_object([("value", None, index)].into_iter(), &mut out, |index, out| slot(index, Form::Plain, out));
            return Self { numbers, end: out };
        }
        let shown = description.fields().iter().filter(|field| field.index().is_some() || field.constant().is_some());
        let members = shown.map(|field| (field.name(), field.field().group(), field));
        write_object(members, &mut out, |field, out| match (field.index(), field.constant()) {
            (Some(index), _) => slot(index, field.field().form(), out),
            (None, text) => write_text(text.unwrap_or_default(), out),
        });
        Self { numbers, end: out }
    }

    /// Appends a result of a window; `false`, and nothing appended, if it is not [whole](Record::is_whole).
    pub fn write(&self, record: &Record, out: &mut Vec<u8>) -> bool {
        if !record.is_whole() {
            return false;
        }
        for Slot { before, index, form } in &self.numbers {
            out.extend_from_slice(before);
            match (record.get(*index), form) {
                (Some(number), Form::SixDigits) => write_six_digits(number.as_f64(), out),
                (Some(number), _) => write_number(number, out),
                (None, _) => {}
            }
        }
        out.extend_from_slice(&self.end);
        true
    }
}

/// A brace or a comma, and the name. Names are identifiers, so nothing needs an escape.
#[inline]
fn write_name(before: u8, name: &str, out: &mut Vec<u8>) {
    out.reserve(name.len() + 4);
    out.extend_from_slice(&[before, b'"']);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

#[inline]
fn write_value(field: &JsonField<'_>, out: &mut Vec<u8>) {
    match (field.value, field.form) {
        (FieldValue::Number(number), Form::SixDigits) => {
            out.push(b'"');
            write_six_digits(number.as_f64(), out);
            out.push(b'"');
        }
        (FieldValue::Number(number), _) => write_number(number, out),
        (FieldValue::Text(text), _) => write_text(text, out),
        // Another kind of value has no form in JSON yet.
        _ => out.extend_from_slice(b"null"),
    }
}

/// Appends a number: an integer in decimal digits, a double so that it parses to the same bits.
#[inline]
pub fn write_number(number: Number, out: &mut Vec<u8>) {
    let bits = number.bits();
    match number.value_type() {
        ValueType::F64 => write_json(&number.as_f64(), out),
        ValueType::I64 => out.extend_from_slice(itoa::Buffer::new().format(bits.cast_signed()).as_bytes()),
        ValueType::U64 => out.extend_from_slice(itoa::Buffer::new().format(bits).as_bytes()),
    }
}

/// Appends a text in quotes.
#[inline]
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        write_json(text, out);
    }
}

fn write_json<V: serde::Serialize + ?Sized>(value: &V, out: &mut Vec<u8>) {
    // Writing numbers and texts into memory cannot fail.
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok(), "a result is plain data");
}

#[cfg(test)]
mod tests {
    use derived_stats::{Context, Flaw, Record, Spec};

    use super::*;

    fn written(annotation: &str, value: ValueType, record: Record) -> (String, String) {
        let spec = Spec::parse(annotation, Context::new(value)).unwrap();
        let output = Output::new(spec.description(), record);
        let mut out = Vec::new();
        write_output(&output, true, &mut out);
        (String::from_utf8(out).unwrap(), serde_json::to_string(&output).unwrap())
    }

    #[test]
    fn a_result_is_written_as_it_serialises() {
        let [samples, mean, stddev, sigma] =
            [Number::U64(7), Number::F64(1234.5678), Number::F64(0.1), Number::F64(-2.5e-7)];
        let of_u64 = Record::new([samples, mean, stddev, sigma, Number::U64(u64::MAX)]);
        let of_f64 = Record::new([samples, Number::F64(-1e20), stddev, sigma, Number::U64(0), Number::F64(0.9)]);
        for (annotation, value, record) in [
            ("raw:DSAnomaly:EWM:0.1", ValueType::U64, of_u64.clone()),
            ("raw:DSAnomaly:EWM:0.1", ValueType::U64, of_u64.clone().flawed(Some(Flaw::Overflow)).without(4)),
            ("raw:DSAnomaly:EWM:0.10", ValueType::F64, of_f64),
            ("raw:DSEWM:0.5", ValueType::F64, Record::new([samples, mean, stddev, sigma, Number::F64(0.5)])),
            ("raw:DSNull", ValueType::I64, Record::new([samples, Number::I64(-3)])),
            ("raw:DSSum", ValueType::F64, Record::new([Number::F64(36.0)])),
            ("raw:DSSum", ValueType::U64, Record::new([Number::U64(36)])),
        ] {
            let (written, serialised) = written(annotation, value, record.clone());
            let original = written.replace(",\"value\":0.9}", "}").replace(",\"value\":0.5}", "}");
            assert_eq!(original, serialised, "{annotation} {value}");
            templated(annotation, value, record);
        }
    }

    /// The original's `metric` is an unsigned integer: a latency of 0.9 is 0 in it.
    #[test]
    fn a_detectors_value_stands_beside_a_metric_that_cannot_hold_it() {
        let doubles = [Number::U64(7), Number::F64(0.5), Number::F64(0.1), Number::F64(2.0)];
        let [samples, mean, stddev, sigma] = doubles;
        let record = Record::new([samples, mean, stddev, sigma, Number::U64(0), Number::F64(0.9)]);
        let (written, serialised) = written("raw:DSAnomaly:EWM:0.1", ValueType::F64, record);
        assert!(written.ends_with(r#""metric":0,"value":0.9}"#), "{written}");
        assert!(serialised.ends_with(r#""metric":0}"#), "the original's form: {serialised}");
    }

    /// A template writes the same as the code without it, or nothing.
    fn templated(annotation: &str, value: ValueType, record: Record) {
        let spec = Spec::parse(annotation, Context::new(value)).unwrap();
        let (mut plain, mut templated) = (Vec::new(), Vec::new());
        write_output(&Output::borrowed(spec.description(), &record), false, &mut plain);
        let is_written = JsonTemplate::new(spec.description()).write(&record, &mut templated);
        assert_eq!(is_written, record.is_whole(), "{annotation} {value}");
        assert_eq!(templated, if is_written { plain } else { Vec::new() }, "{annotation} {value}");
    }

    #[test]
    fn a_number_of_a_window_is_an_object() {
        let mut out = Vec::new();
        write_number_result(Number::U64(36), None, false, &mut out);
        write_number_result(Number::U64(u64::MAX), Some("too \"large\""), false, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, r#"{"value":36}{"value":18446744073709551615,"error":"too \"large\""}"#);
    }

    #[test]
    fn groups_open_and_close() {
        let field =
            |name, group| JsonField { name, group, form: Form::Plain, value: FieldValue::Number(Number::U64(1)) };
        let shown = |fields: &[JsonField<'_>]| {
            let mut out = Vec::new();
            write_fields(fields.iter().copied(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(&[]), "{}");
        assert_eq!(shown(&[field("a", Some("g")), field("b", Some("g"))]), r#"{"g":{"a":1,"b":1}}"#);
        assert_eq!(shown(&[field("a", Some("g")), field("b", Some("h"))]), r#"{"g":{"a":1},"h":{"b":1}}"#);
        assert_eq!(shown(&[field("x", None), field("a", Some("g")), field("y", None)]), r#"{"x":1,"g":{"a":1},"y":1}"#);
    }
}
