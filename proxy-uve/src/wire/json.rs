//! The JSON form: one flat object, read without building it. A payload and a line of a file share this reader.
//!
//! Fields may come in any order. Unknown ones are skipped, whatever their values are, so that producers may add their
//! own; a known one that appears twice is refused. Numbers are taken as text and parsed as those of XML are: a JSON
//! parser would round an integer beyond 64 bits to a double.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{Format, WireError};
use super::{WireSample, check_source, number, text_of};

pub(super) fn decode(payload: &[u8]) -> Result<WireSample<'_>, WireError> {
    read(text_of(payload)?)?.sample()
}

/// The fields of an object, whose values are not parsed yet.
pub(super) fn read(text: &str) -> Result<Fields<'_>, WireError> {
    serde_json::from_str(text).map_err(malformed)
}

/// The text of the known fields.
#[derive(Default)]
pub(super) struct Fields<'p> {
    ts: Option<&'p str>,
    value: Option<&'p str>,
    source: Option<&'p str>,
    duplicate: Option<&'static str>,
    /// The fields that only a line has; in a payload they are unknown fields.
    pub(super) envelope: Envelope<'p>,
}

/// The text of the fields that name the object and the metric of the sample.
#[derive(Default)]
pub(super) struct Envelope<'p> {
    pub(super) key: Option<&'p str>,
    pub(super) attr: Option<&'p str>,
    pub(super) stream: Option<&'p str>,
    pub(super) duplicate: Option<&'static str>,
}

impl<'p> Fields<'p> {
    /// The sample's own fields, each there once.
    pub(super) fn sample(&self) -> Result<WireSample<'p>, WireError> {
        if let Some(name) = self.duplicate {
            return Err(WireError::Duplicate { name: name.to_owned() });
        }
        let timestamp = self.ts.ok_or(WireError::MissingTimestamp { format: Format::Json })?;
        let value = self.value.ok_or(WireError::MissingValue)?;
        let source = self
            .source
            .map_or(Ok(None), |text| string(text).map_err(|NotAString| WireError::BadSource { text: text.to_owned() }));
        let source = source?;
        source.as_deref().map_or(Ok(()), check_source)?;
        Ok(WireSample {
            timestamp: number::timestamp(timestamp, Format::Json)?,
            value: number::value(value)?,
            source,
            element: None,
        })
    }

    fn set(&mut self, field: Name, text: &'p str) {
        let envelope = &mut self.envelope;
        let (slot, duplicate, name) = match field {
            Name::Attr => (&mut envelope.attr, &mut envelope.duplicate, "attr"),
            Name::Key => (&mut envelope.key, &mut envelope.duplicate, "key"),
            Name::Source => (&mut self.source, &mut self.duplicate, "source"),
            Name::Stream => (&mut envelope.stream, &mut envelope.duplicate, "stream"),
            Name::Ts => (&mut self.ts, &mut self.duplicate, "ts"),
            Name::Value => (&mut self.value, &mut self.duplicate, "value"),
            Name::Unknown => return,
        };
        if slot.replace(text).is_some() {
            *duplicate = Some(name);
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
        while let Some(name) = map.next_key()? {
            match name {
                Name::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                }
                name => fields.set(name, map.next_value::<&RawValue>()?.get()),
            }
        }
        Ok(fields)
    }
}

#[derive(Clone, Copy)]
enum Name {
    Attr,
    Key,
    Source,
    Stream,
    Ts,
    Unknown,
    Value,
}

impl<'p> Deserialize<'p> for Name {
    fn deserialize<D: Deserializer<'p>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        Ok(match name {
            "attr" => Name::Attr,
            "key" => Name::Key,
            "source" => Name::Source,
            "stream" => Name::Stream,
            "ts" => Name::Ts,
            "value" => Name::Value,
            _ => Name::Unknown,
        })
    }
}

/// The text of a value is not that of a string.
#[derive(Debug)]
pub(super) struct NotAString;

/// A string of JSON; `null` is none. Borrowed unless it has escapes.
pub(super) fn string(text: &str) -> Result<Option<Cow<'_, str>>, NotAString> {
    if text == "null" {
        return Ok(None);
    }
    let plain = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).filter(|text| !text.contains('\\'));
    if let Some(plain) = plain {
        return Ok(Some(Cow::Borrowed(plain)));
    }
    serde_json::from_str(text).map(|text| Some(Cow::Owned(text))).map_err(|_| NotAString)
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
            assert_eq!(decode(text.as_bytes()), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_source_without_escapes_is_borrowed() {
        let sample = decode(r#"{"ts":1,"value":1,"source":"compute-é"}"#.as_bytes()).unwrap();
        assert!(matches!(sample.source, Some(Cow::Borrowed("compute-é"))));
    }

    #[test]
    fn errors_are_distinguished() {
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
            assert_eq!(decode(text.as_bytes()).map_err(|error| error.label()), Err(expected), "{text}");
        }
    }
}
