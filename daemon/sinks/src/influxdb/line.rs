//! An encoder for InfluxDB's line protocol: `measurement,tag=value field=1i,other=0.5 1490306665000000`.
//!
//! The format: <https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/>. Its parsers differ
//! in the treatment of a backslash, so the encoder writes only text that all of them parse alike, and replaces the
//! rest:
//!
//! * It escapes commas, blanks and, in tags and in field keys, equals signs.
//! * It replaces a control character, such as a line break, by a blank.
//! * It keeps a backslash, except where a parser would treat it as an escape: before a comma, an equals sign, a blank
//!   or a backslash, and at the end of the text. There it writes a slash.
//! * It replaces a `#` at the start of a measurement by `_`, because parsers treat such a line as a comment.
//! * It omits a tag with an empty name or value, a field with an empty name, and a float that is not finite. It writes
//!   no line without a measurement or without any field.
//! * Integers are signed. It writes a larger one as 2^63-1 and counts it.

use std::io::Write as _;

use crate::influxdb::Precision;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Boolean(bool),
    Float(f64),
    Integer(i64),
    Unsigned(u64),
}

/// A line that is being written: tags first, then fields, then [`end`](Self::end).
///
/// A line that is dropped before its end is removed from the buffer.
#[derive(Debug)]
pub(super) struct Line<'b> {
    out: &'b mut Vec<u8>,
    start: usize,
    has_measurement: bool,
    has_fields: bool,
    capped: u64,
    ended: bool,
}

/// The characters to escape in a measurement, and in the names and values of tags and the names of fields.
const IN_MEASUREMENT: &[u8] = b", ";
const IN_KEY: &[u8] = b", =";

impl<'b> Line<'b> {
    /// Starts a line at the end of `out`.
    pub(super) fn begin(out: &'b mut Vec<u8>, measurement: &str) -> Self {
        let start = out.len();
        match measurement.strip_prefix('#') {
            Some(rest) => {
                out.push(b'_');
                escape(rest, IN_MEASUREMENT, out);
            }
            None => escape(measurement, IN_MEASUREMENT, out),
        }
        let has_measurement = !measurement.is_empty();
        Self { out, start, has_measurement, has_fields: false, capped: 0, ended: false }
    }

    /// Adds a tag. Servers are fastest with tags in the order of their names.
    pub(super) fn tag(&mut self, name: &str, value: &str) {
        debug_assert!(!self.has_fields, "tags come before fields");
        if name.is_empty() || value.is_empty() {
            return;
        }
        self.out.push(b',');
        escape(name, IN_KEY, self.out);
        self.out.push(b'=');
        escape(value, IN_KEY, self.out);
    }

    /// Adds a field.
    pub(super) fn field(&mut self, name: &str, value: Value) {
        if name.is_empty() || matches!(value, Value::Float(float) if !float.is_finite()) {
            return;
        }
        self.out.push(if self.has_fields { b',' } else { b' ' });
        self.has_fields = true;
        escape(name, IN_KEY, self.out);
        self.out.push(b'=');
        match value {
            Value::Boolean(value) => self.out.extend_from_slice(if value { b"true" } else { b"false" }),
            // `Debug` always prints a fraction or an exponent. A write to memory cannot fail.
            Value::Float(value) => drop(write!(self.out, "{value:?}")),
            Value::Integer(value) => self.integer(value),
            Value::Unsigned(value) => {
                let bounded = i64::try_from(value);
                self.capped += u64::from(bounded.is_err());
                self.integer(bounded.unwrap_or(i64::MAX));
            }
        }
    }

    /// Ends the line with its time, in microseconds since the epoch, and returns the number of capped integers.
    ///
    /// It returns `None` and removes the line if the line has no measurement or no field.
    pub(super) fn end(mut self, micros: u64, precision: Precision) -> Option<u64> {
        if !(self.has_measurement && self.has_fields) {
            return None;
        }
        let time = match precision {
            Precision::Ms => micros / 1_000,
            // A time in nanoseconds after the year 2262 exceeds the range.
            Precision::Ns => micros.saturating_mul(1_000),
            Precision::S => micros / 1_000_000,
            Precision::Us => micros,
        };
        self.out.push(b' ');
        self.digits(i64::try_from(time).unwrap_or(i64::MAX));
        self.out.push(b'\n');
        self.ended = true;
        Some(self.capped)
    }

    fn integer(&mut self, value: i64) {
        self.digits(value);
        self.out.push(b'i');
    }

    fn digits(&mut self, value: i64) {
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.out.truncate(self.start);
        }
    }
}

/// Appends a text by the rules of the module; `special` are the characters to escape.
fn escape(text: &str, special: &[u8], out: &mut Vec<u8>) {
    let is_plain = |byte: u8| !(byte.is_ascii_control() || byte == b'\\' || special.contains(&byte));
    // The fast path: most texts need no escape.
    if text.bytes().all(is_plain) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                let escapes = bytes.peek().is_none_or(|next| next.is_ascii_control() || b", =\\".contains(next));
                out.push(if escapes { b'/' } else { b'\\' });
            }
            byte if byte.is_ascii_control() => out.extend_from_slice(b"\\ "),
            byte if special.contains(&byte) => out.extend_from_slice(&[b'\\', byte]),
            byte => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use influxdb_line_protocol::{FieldValue, parse_lines};
    use proptest::prelude::*;

    use super::*;

    fn written(measurement: &str, tags: &[(&str, &str)], fields: &[(&str, Value)]) -> String {
        let mut out = Vec::new();
        let mut line = Line::begin(&mut out, measurement);
        tags.iter().for_each(|(name, value)| line.tag(name, value));
        fields.iter().for_each(|(name, value)| line.field(name, *value));
        let _ = line.end(7, Precision::Us);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn special_characters_are_escaped_or_replaced() {
        let one = [("f", Value::Integer(1))];
        let cases = [
            ("a b,c=d", r"m,t=a\ b\,c\=d f=1i 7"),
            ("two\nlines\r\n\tend\0", r"m,t=two\ lines\ \ \ end\  f=1i 7"),
            (r#"say "x""#, r#"m,t=say\ "x" f=1i 7"#),
            (r"C:\dir\name", r"m,t=C:\dir\name f=1i 7"),
            (r"end\", r"m,t=end/ f=1i 7"),
            (r"a\,b\ c\=d\\e", r"m,t=a/\,b/\ c/\=d/\e f=1i 7"),
            ("a\\\nb", r"m,t=a/\ b f=1i 7"),
            ("großer 🦀", r"m,t=großer\ 🦀 f=1i 7"),
            ("", "m f=1i 7"),
        ];
        for (value, expected) in cases {
            assert_eq!(written("m", &[("t", value)], &one), format!("{expected}\n"), "{value:?}");
        }
        assert_eq!(written("#a b=c,d", &[], &one), "_a\\ b=c\\,d f=1i 7\n");
        assert_eq!(
            written("m", &[("", "x"), ("a b", "x")], &[("c,d", Value::Boolean(true))]),
            "m,a\\ b=x c\\,d=true 7\n"
        );
    }

    #[test]
    fn numbers_keep_their_type_and_integers_end_at_63_bits() {
        let fields = [
            ("a", Value::Unsigned(u64::MAX)),
            ("b", Value::Unsigned(i64::MAX.unsigned_abs())),
            ("c", Value::Integer(i64::MIN)),
            ("d", Value::Float(36.0)),
            ("e", Value::Float(-1e300)),
            ("f", Value::Float(f64::NAN)),
            ("g", Value::Float(f64::INFINITY)),
            ("h", Value::Boolean(false)),
        ];
        let expected =
            "m a=9223372036854775807i,b=9223372036854775807i,c=-9223372036854775808i,d=36.0,e=-1e300,h=false 7\n";
        assert_eq!(written("m", &[], &fields), expected);
        let mut out = Vec::new();
        let mut line = Line::begin(&mut out, "m");
        fields.iter().for_each(|(name, value)| line.field(name, *value));
        assert_eq!(line.end(7, Precision::Us), Some(1), "one was capped");
    }

    #[test]
    fn a_line_without_fields_or_measurement_and_a_dropped_line_are_not_written() {
        assert_eq!(written("m", &[("t", "x")], &[]), "");
        assert_eq!(written("m", &[], &[("f", Value::Float(f64::NAN)), ("", Value::Integer(1))]), "");
        assert_eq!(written("", &[], &[("f", Value::Integer(1))]), "");
        let mut out = b"before\n".to_vec();
        Line::begin(&mut out, "m").field("f", Value::Integer(1));
        assert_eq!(out, b"before\n");
    }

    #[test]
    fn times_are_cut_to_the_precision() {
        let at = 1_490_306_665_123_456;
        let cases = [
            (Precision::S, at, "1490306665"),
            (Precision::Ms, at, "1490306665123"),
            (Precision::Us, at, "1490306665123456"),
            (Precision::Ns, at, "1490306665123456000"),
            (Precision::Ns, u64::MAX, "9223372036854775807"),
        ];
        for (precision, micros, expected) in cases {
            let mut out = Vec::new();
            let mut line = Line::begin(&mut out, "m");
            line.field("f", Value::Boolean(true));
            line.end(micros, precision).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), format!("m f=true {expected}\n"), "{precision:?}");
        }
    }

    /// The text that a parser reads, by a second implementation of the module's rules: one character with the next one.
    fn as_read(text: &str) -> String {
        let characters: Vec<char> = text.chars().collect();
        let form = |(index, &character): (usize, &char)| match characters.get(index + 1) {
            _ if character.is_ascii_control() => ' ',
            None if character == '\\' => '/',
            Some(next) if character == '\\' && (next.is_ascii_control() || ", =\\".contains(*next)) => '/',
            _ => character,
        };
        characters.iter().enumerate().map(form).collect()
    }

    fn text() -> impl Strategy<Value = String> {
        // Mostly special characters in all combinations, sometimes any text.
        prop_oneof![4 => "[a,= \\\\\"#\n\r\t\0é'{}]{0,12}", 1 => any::<String>()]
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<bool>().prop_map(Value::Boolean),
            any::<f64>().prop_map(Value::Float),
            any::<i64>().prop_map(Value::Integer),
            any::<u64>().prop_map(Value::Unsigned),
        ]
    }

    proptest! {
        #[test]
        fn property_another_parser_reads_the_written_line(
            measurement in text(),
            tags in prop::collection::vec((text(), text()), 0..4),
            fields in prop::collection::vec((text(), value()), 0..4),
            micros in any::<u64>(),
        ) {
            let mut out = b"before f=1i 1\n".to_vec();
            let mut line = Line::begin(&mut out, &measurement);
            tags.iter().for_each(|(name, value)| line.tag(name, value));
            fields.iter().for_each(|(name, value)| line.field(name, *value));
            let ended = line.end(micros, Precision::Us);
            let is_kept = |(name, value): &&(String, Value)| {
                !name.is_empty() && !matches!(value, Value::Float(float) if !float.is_finite())
            };
            let kept: Vec<_> = fields.iter().filter(is_kept).collect();
            out.extend_from_slice(b"after f=1i 1\n");
            let text = String::from_utf8(out).unwrap();
            let lines: Vec<_> = parse_lines(&text).collect::<Result<_, _>>().unwrap();
            if measurement.is_empty() || kept.is_empty() {
                prop_assert_eq!((ended, lines.len()), (None, 2));
                return Ok(());
            }
            prop_assert_eq!(lines.len(), 3);
            let line = &lines[1];
            prop_assert_eq!(line.timestamp, Some(i64::try_from(micros).unwrap_or(i64::MAX)));
            let expected = as_read(&measurement);
            let expected = expected.strip_prefix('#').map_or_else(|| expected.clone(), |rest| format!("_{rest}"));
            prop_assert_eq!(line.series.measurement.as_str(), expected);
            let found: Vec<_> = line.series.tag_set.iter().flatten().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            let expected: Vec<_> = tags.iter().filter(|(n, v)| !n.is_empty() && !v.is_empty()).collect();
            let expected: Vec<_> = expected.into_iter().map(|(n, v)| (as_read(n), as_read(v))).collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(line.field_set.len(), kept.len());
            let mut capped = 0;
            for ((name, value), (found, read)) in kept.into_iter().zip(&line.field_set) {
                prop_assert_eq!(found.as_str(), as_read(name));
                let same = match (*value, read) {
                    (Value::Boolean(value), FieldValue::Boolean(read)) => value == *read,
                    (Value::Float(value), FieldValue::F64(read)) => value.to_bits() == read.to_bits(),
                    (Value::Integer(value), FieldValue::I64(read)) => value == *read,
                    (Value::Unsigned(value), FieldValue::I64(read)) => {
                        capped += u64::from(value > i64::MAX.unsigned_abs());
                        value.min(i64::MAX.unsigned_abs()) == read.unsigned_abs()
                    }
                    _ => false,
                };
                prop_assert!(same, "{:?} was read as {:?}", value, read);
            }
            prop_assert_eq!(ended, Some(capped));
        }
    }
}
