//! The JSON form: one flat object, read without building it. A payload and a line of a file share this reader.
//!
//! Fields may come in any order. Unknown ones are skipped, whatever their values are, so that producers may add their
//! own; a known one that appears twice is refused, and so is one whose name is [near](similar) that of a known one: the
//! sample would count without what its producer meant. Numbers are taken as text and parsed as those of XML are: a JSON
//! parser would round an integer beyond 64 bits to a double.

use std::borrow::Cow;
use std::fmt;

use derived_stats::Number;
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
    misspelt: Option<Box<Misspelt>>,
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
    pub(super) misspelt: Option<Box<Misspelt>>,
}

/// An unknown field whose name is near that of a known one. In a box wherever it is optional: every sample moves the
/// place for it.
pub(super) struct Misspelt {
    name: String,
    known: &'static str,
}

impl From<Box<Misspelt>> for WireError {
    fn from(misspelt: Box<Misspelt>) -> Self {
        let Misspelt { name, known } = *misspelt;
        Self::MisspeltField { name, known }
    }
}

impl<'p> Fields<'p> {
    /// The sample's own fields, each there once.
    pub(super) fn sample(&mut self) -> Result<WireSample<'p>, WireError> {
        if let Some(name) = self.duplicate {
            return Err(WireError::Duplicate { name: name.to_owned() });
        }
        if let Some(misspelt) = self.misspelt.take() {
            return Err(misspelt.into());
        }
        let timestamp = self.ts.ok_or(WireError::MissingTimestamp { format: Format::Json })?;
        let value = self.value.ok_or(WireError::MissingValue)?;
        let text = if value.starts_with('"') { string(value).unwrap_or_default() } else { None };
        let source = self
            .source
            .map_or(Ok(None), |text| string(text).map_err(|NotAString| WireError::BadSource { text: text.to_owned() }));
        let source = source?;
        source.as_deref().map_or(Ok(()), check_source)?;
        Ok(WireSample {
            timestamp: number::timestamp(timestamp, Format::Json)?,
            value: if text.is_some() { Number::U64(0) } else { number::value(value)? },
            text,
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
            Name::Misspelt(_) | Name::Unknown => return,
        };
        if slot.replace(text).is_some() {
            *duplicate = Some(name);
        }
    }

    fn set_misspelt(&mut self, misspelt: Box<Misspelt>) {
        let is_of_line = matches!(misspelt.known, "attr" | "key" | "stream");
        let slot = if is_of_line { &mut self.envelope.misspelt } else { &mut self.misspelt };
        slot.get_or_insert(misspelt);
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
                Name::Misspelt(misspelt) => {
                    map.next_value::<IgnoredAny>()?;
                    fields.set_misspelt(misspelt);
                }
                name => fields.set(name, map.next_value::<&RawValue>()?.get()),
            }
        }
        Ok(fields)
    }
}

enum Name {
    Attr,
    Key,
    Misspelt(Box<Misspelt>),
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
            name => match similar(name) {
                Some(known) => Name::Misspelt(Box::new(Misspelt { name: name.to_owned(), known })),
                None => Name::Unknown,
            },
        })
    }
}

/// The known field that a name is near: the same but for case, one letter more, less, other or swapped, or an
/// abbreviation of `source`. Of `ts` and `key`, which are near to too much, only the case may differ.
fn similar(name: &str) -> Option<&'static str> {
    let found = ["attr", "key", "source", "stream", "ts", "value"].into_iter().find(|known| {
        let most_edits = usize::from(known.len() > 3);
        is_near(name.as_bytes(), known.as_bytes(), most_edits)
    });
    let is_source = || {
        let mut letters = b"source".iter();
        let mut of_source = |letter: &u8| letters.any(|other| letter.eq_ignore_ascii_case(other));
        name.len() >= 3 && name.starts_with(['s', 'S']) && name.as_bytes().iter().all(&mut of_source)
    };
    found.or_else(|| is_source().then_some("source"))
}

/// Whether two names are the same but for case, or with `most_edits` of 1 differ by one letter, or by two neighbours
/// that are swapped. Without an allocation: it runs for each unknown field.
fn is_near(name: &[u8], known: &[u8], most_edits: usize) -> bool {
    let is_same = |(left, right): &(&u8, &u8)| left.eq_ignore_ascii_case(right);
    let start = name.iter().zip(known).take_while(is_same).count();
    let (name, known) = (&name[start..], &known[start..]);
    let end = name.iter().rev().zip(known.iter().rev()).take_while(is_same).count();
    match (&name[..name.len() - end], &known[..known.len() - end]) {
        ([], []) => true,
        ([_], [_]) | ([_], []) | ([], [_]) => most_edits == 1,
        ([first, second], [other_first, other_second]) => {
            let is_swapped = is_same(&(first, other_second)) && is_same(&(second, other_first));
            most_edits == 1 && is_swapped
        }
        _ => false,
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
    use super::*;

    fn sample(timestamp: u64, value: Number, source: Option<&str>) -> WireSample<'_> {
        WireSample { timestamp, value, text: None, source: source.map(Cow::Borrowed), element: None }
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
    fn a_field_near_a_known_one_is_refused() {
        for (name, known) in [
            ("sourc", "source"),
            ("src", "source"),
            ("Source", "source"),
            ("SOURCE", "source"),
            ("soruce", "source"),
            ("sources", "source"),
            ("Value", "value"),
            ("valeu", "value"),
            ("TS", "ts"),
        ] {
            let text = format!(r#"{{"ts":1,"value":2,"{name}":{{"a":[1]}}}}"#);
            let expected = WireError::MisspeltField { name: name.to_owned(), known };
            assert_eq!(decode(text.as_bytes()), Err(expected), "{name}");
        }
        // Near fields that only a line has, and near to nothing.
        for name in ["Key", "atr", "streams", "t", "ms", "host", "source_ip", "value_type", "score", "timestamp", ""] {
            let text = format!(r#"{{"ts":1,"value":2,"{name}":3}}"#);
            assert_eq!(decode(text.as_bytes()), Ok(sample(1, Number::U64(2), None)), "{name}");
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
            assert_eq!(
                decode(text.as_bytes()).and_then(WireSample::number).map_err(|error| error.label()),
                Err(expected),
                "{text}"
            );
        }
    }
}
