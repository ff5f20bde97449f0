//! The JSON form: one flat object, read without building it.
//!
//! Fields may come in any order. Unknown ones are skipped, whatever they hold, so that producers may add their own; a
//! known one that is there twice is refused. Numbers are taken as text and read as those of XML are: a JSON reader of
//! its own would round an integer beyond 64 bits to a double.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{Format, WireError};
use super::{WireSample, number};

pub(super) fn decode(text: &str) -> Result<WireSample<'_>, WireError> {
    let fields: Fields<'_> = serde_json::from_str(text).map_err(malformed)?;
    if let Some(name) = fields.duplicate {
        return Err(WireError::Duplicate { name: name.to_owned() });
    }
    let timestamp = fields.ts.ok_or(WireError::MissingTimestamp { format: Format::Json })?;
    let value = fields.value.ok_or(WireError::MissingValue)?;
    Ok(WireSample {
        timestamp: number::timestamp(timestamp, Format::Json)?,
        value: number::value(value)?,
        source: fields.source.map_or(Ok(None), source)?,
        element: None,
    })
}

/// The text of the known fields.
#[derive(Default)]
struct Fields<'p> {
    ts: Option<&'p str>,
    value: Option<&'p str>,
    source: Option<&'p str>,
    duplicate: Option<&'static str>,
}

impl<'p> Fields<'p> {
    fn set(&mut self, key: Key, text: &'p str) {
        let (field, name) = match key {
            Key::Source => (&mut self.source, "source"),
            Key::Ts => (&mut self.ts, "ts"),
            Key::Value => (&mut self.value, "value"),
            Key::Unknown => return,
        };
        if field.replace(text).is_some() {
            self.duplicate = Some(name);
        }
    }
}

impl<'p> Deserialize<'p> for Fields<'p> {
    fn deserialize<D: Deserializer<'p>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'p> Visitor<'p> for FieldsVisitor {
    type Value = Fields<'p>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `ts` and `value`")
    }

    fn visit_map<A: MapAccess<'p>>(self, mut map: A) -> Result<Fields<'p>, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key()? {
            match key {
                Key::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                }
                key => fields.set(key, map.next_value::<&RawValue>()?.get()),
            }
        }
        Ok(fields)
    }
}

#[derive(Clone, Copy)]
enum Key {
    Source,
    Ts,
    Unknown,
    Value,
}

impl<'p> Deserialize<'p> for Key {
    fn deserialize<D: Deserializer<'p>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(KeyVisitor)
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<Key, E> {
        Ok(match name {
            "source" => Key::Source,
            "ts" => Key::Ts,
            "value" => Key::Value,
            _ => Key::Unknown,
        })
    }
}

/// A string of JSON; `null` is none. Borrowed unless it holds escapes.
fn source(text: &str) -> Result<Option<Cow<'_, str>>, WireError> {
    if text == "null" {
        return Ok(None);
    }
    let plain = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).filter(|text| !text.contains('\\'));
    if let Some(plain) = plain {
        return Ok(Some(Cow::Borrowed(plain)));
    }
    match serde_json::from_str(text) {
        Ok(source) => Ok(Some(Cow::Owned(source))),
        Err(_) => Err(WireError::BadSource { text: text.to_owned() }),
    }
}

fn malformed(error: serde_json::Error) -> WireError {
    WireError::Malformed { format: Format::Json, message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use derived_stats::Number;

    use super::*;

    fn sample(timestamp: u64, value: Number, source: Option<&str>) -> WireSample<'_> {
        WireSample { timestamp, value, source: source.map(Cow::Borrowed), element: None }
    }

    #[test]
    fn fields_come_in_any_order_and_unknown_ones_are_skipped() {
        let cases = [
            (r#"{"ts":1,"value":2}"#, sample(1, Number::U64(2), None)),
            (r#" { "value" : -2 , "ts" : 0 } "#, sample(0, Number::I64(-2), None)),
            (r#"{"source":"compute-7","ts":1,"value":2.0}"#, sample(1, Number::F64(2.0), Some("compute-7"))),
            (r#"{"a":{"ts":[9,{}]},"ts":1,"b":null,"value":2,"b":"x"}"#, sample(1, Number::U64(2), None)),
            (r#"{"ts":1,"value":18446744073709551615}"#, sample(1, Number::U64(u64::MAX), None)),
            (r#"{"ts":1,"value":1,"source":null}"#, sample(1, Number::U64(1), None)),
            (r#"{"ts":1,"value":1,"source":""}"#, sample(1, Number::U64(1), Some(""))),
            (r#"{"t\u0073":1,"value":1,"source":"a\"\u00e9"}"#, sample(1, Number::U64(1), Some("a\"é"))),
        ];
        for (text, expected) in cases {
            assert_eq!(decode(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_source_without_escapes_is_borrowed() {
        let sample = decode(r#"{"ts":1,"value":1,"source":"compute-é"}"#).unwrap();
        assert!(matches!(sample.source, Some(Cow::Borrowed("compute-é"))));
    }

    #[test]
    fn faults_are_told_apart() {
        let cases = [
            (r#"{"value":1}"#, "missing_timestamp"),
            (r#"{"ts":1}"#, "missing_value"),
            (r#"{"ts":1,"value":null}"#, "not_a_number"),
            (r#"{"ts":1,"value":"1"}"#, "not_a_number"),
            (r#"{"ts":1,"value":[1]}"#, "not_a_number"),
            (r#"{"ts":1,"value":true}"#, "not_a_number"),
            (r#"{"ts":1,"value":18446744073709551616}"#, "too_large"),
            (r#"{"ts":1,"value":1e999}"#, "too_large"),
            (r#"{"ts":1.0,"value":1}"#, "bad_timestamp"),
            (r#"{"ts":-1,"value":1}"#, "bad_timestamp"),
            (r#"{"ts":"1","value":1}"#, "bad_timestamp"),
            (r#"{"ts":null,"value":1}"#, "bad_timestamp"),
            (r#"{"ts":1,"value":1,"source":7}"#, "bad_source"),
            (r#"{"ts":1,"value":1,"source":"\ud800"}"#, "bad_source"),
            (r#"{"ts":1,"value":1,"ts":1}"#, "duplicate"),
            (r#"{"ts":1,"value":1,"source":"a","source":"a"}"#, "duplicate"),
            (r#"{"ts":1,"value":+1}"#, "malformed"),
            (r#"{"ts":1,"value":01}"#, "malformed"),
            (r#"{"ts":1,"value":1"#, "malformed"),
            (r#"{"ts":1,"value":1}x"#, "malformed"),
            (r#"{"ts":1,"value":1}{"ts":1,"value":1}"#, "malformed"),
            (r#"{"ts":1,"value":NaN}"#, "malformed"),
            (r#"{"ts":1 "value":1}"#, "malformed"),
            (r#"{}"#, "missing_timestamp"),
        ];
        for (text, expected) in cases {
            assert_eq!(decode(text).map_err(|error| error.label()), Err(expected), "{text}");
        }
    }
}
