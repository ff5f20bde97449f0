//! The strict parser of the events of `eval`: an unknown or duplicate field is an error.
//!
//! Numbers stay text ([`RawValue`]), because the type of the pipeline determines whether `5.0` is valid, and a double
//! would round integers above 2^53.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::number;

const FORMS: &str =
    r#"expected {"at":USEC,"value":N}, {"at":USEC,"values":{"KEY":N},"deleted":["KEY"]} or {"period":true}"#;

/// The event of one line.
#[derive(Debug)]
pub(super) enum Event<'l> {
    /// The map values of a time, as written, and the keys with the delete mark.
    Map { at: u64, values: Vec<(String, &'l str)>, deleted: Vec<String> },
    /// The end of a period of the struct.
    Period,
    /// The value of a time, as written.
    Sample { at: u64, value: &'l str },
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'l> {
    #[serde(borrow)]
    at: Option<&'l RawValue>,
    #[serde(borrow)]
    value: Option<&'l RawValue>,
    #[serde(borrow)]
    values: Option<Entries<'l>>,
    deleted: Option<Vec<String>>,
    period: Option<bool>,
}

impl<'l> Event<'l> {
    /// Parses a line. The error states what was found and what is expected.
    pub(super) fn parse(line: &'l [u8]) -> Result<Self, String> {
        // Serde would accept an array as the fields in order.
        if line.trim_ascii_start().first() != Some(&b'{') {
            return Err(format!("the line is not a JSON object; {FORMS}"));
        }
        let fields: Fields<'l> =
            serde_json::from_slice(line).map_err(|error| format!("{}; {FORMS}", one_line(&error)))?;
        fields.event()
    }
}

impl<'l> Fields<'l> {
    fn event(self) -> Result<Event<'l>, String> {
        match self {
            Self { period: Some(true), at: None, value: None, values: None, deleted: None } => Ok(Event::Period),
            Self { period: Some(true), .. } => {
                Err("an event with `period` cannot have other fields; send two events".into())
            }
            Self { period: Some(false), .. } => Err("`period` can only be true; leave it out".into()),
            Self { value: Some(_), values: Some(_), .. } => {
                Err("an event cannot have both `value` and `values`; send two events".into())
            }
            Self { at, value: Some(value), deleted: None, .. } => {
                Ok(Event::Sample { at: time(at)?, value: value.get() })
            }
            Self { value: Some(_), .. } => {
                Err("`deleted` requires `values` and cannot be with `value`; remove one of them".into())
            }
            Self { at, values, deleted, .. } if values.is_some() || deleted.is_some() => {
                let values = values.map(|Entries(values)| values).unwrap_or_default();
                Ok(Event::Map { at: time(at)?, values, deleted: deleted.unwrap_or_default() })
            }
            _ => Err(format!("the event has no value; {FORMS}")),
        }
    }
}

fn time(at: Option<&RawValue>) -> Result<u64, String> {
    let at = at.ok_or_else(|| format!("`at`, the time in microseconds, is missing; {FORMS}"))?;
    number::time(at.get())
}

/// Serde's message without its line number, which is always 1.
fn one_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((message, _)) => format!("{message} at column {}", error.column()),
        None => text,
    }
}

/// The entries of a JSON object in their order, without duplicate keys.
#[derive(Debug)]
struct Entries<'l>(Vec<(String, &'l str)>);

impl<'de: 'l, 'l> Deserialize<'de> for Entries<'l> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of keys to numbers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
        let mut entries = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format_args!("duplicate key `{key}` in `values`")));
            }
            entries.push((key, value.get()));
        }
        Ok(Entries(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(line: &str) -> String {
        Event::parse(line.as_bytes()).err().unwrap_or_else(|| format!("{line} was taken"))
    }

    #[test]
    fn the_documented_forms_are_accepted() {
        for line in [
            r#"{"at":0,"value":1}"#,
            r#"{"value":18446744073709551615,"at":18446744073709551615}"#,
            r#" {"at":1,"values":{}} "#,
            r#"{"at":1,"values":{"k":1},"deleted":["k"]}"#,
            r#"{"at":1,"deleted":["k"]}"#,
            r#"{"period":true}"#,
        ] {
            assert!(Event::parse(line.as_bytes()).is_ok(), "{line}: {}", refusal(line));
        }
    }

    #[test]
    fn the_error_of_a_bad_event_states_the_cause() {
        let cases = [
            (r#"{"at":1,"#, "EOF while parsing"),
            (r#"[1,2]"#, "not a JSON object"),
            (r#"{"at":1,"vlaue":2}"#, "unknown field `vlaue`"),
            (r#"{"at":1,"at":2,"value":3}"#, "duplicate field `at`"),
            (r#"{"at":1}"#, "no value"),
            (r#"{"at":1,"value":null}"#, "no value"),
            (r#"{"value":1}"#, "`at`, the time in microseconds, is missing"),
            (r#"{"at":1.0,"value":1}"#, "`at`"),
            (r#"{"at":-1,"value":1}"#, "`at`"),
            (r#"{"at":1,"value":1,"values":{}}"#, "cannot have both"),
            (r#"{"at":1,"value":1,"deleted":["k"]}"#, "`deleted` requires `values`"),
            (r#"{"at":1,"values":{"k":1,"k":2}}"#, "duplicate key `k`"),
            (r#"{"at":1,"values":[1]}"#, "a map of keys to numbers"),
            (r#"{"period":false}"#, "can only be true"),
            (r#"{"period":true,"at":1}"#, "cannot have other fields"),
            (r#"{"period":true} {"#, "trailing characters"),
        ];
        for (line, expected) in cases {
            assert!(refusal(line).contains(expected), "{line}: {}", refusal(line));
        }
        assert!(Event::parse(b"{\"at\":1,\"value\":\"\xff\"}").is_err());
    }
}
