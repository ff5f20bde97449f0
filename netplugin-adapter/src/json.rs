//! JSON helpers of all decoders: members of a body, members of an object, strings and integers.
//!
//! The members of a body are passed on as JSON text, so that an invalid member does not fail the others. Keys are JSON
//! text too: an invalid escape in a key then affects that member alone.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The key of a member in its object, or its index in its list.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Key<'a> {
    /// In an object: its key, quotes and escapes included.
    Name(&'a str),
    /// In a list: its index.
    Index(usize),
}

impl<'a> Key<'a> {
    /// Returns the key as text; `None` in a list, or when the key has an unpaired surrogate.
    pub(crate) fn name(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Name(json) => text(json),
            Self::Index(_) => None,
        }
    }
}

/// Why [`members`] ended early.
#[derive(Debug)]
pub(crate) enum MembersError<E> {
    /// The callback returned an error.
    Callback(E),
    /// The text is not JSON, or is neither an object, a list nor `null`.
    Json(serde_json::Error),
}

/// Calls `each` with the JSON text of every member of an object or a list, in order; `null` has none.
pub(crate) fn members<'a, E>(
    json: &'a str,
    each: impl FnMut(Key<'a>, &'a str) -> Result<(), E>,
) -> Result<(), MembersError<E>> {
    let mut failed = None;
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let walked = deserializer.deserialize_any(Members { each, failed: &mut failed }).and_then(|()| deserializer.end());
    match (failed, walked) {
        (Some(error), _) => Err(MembersError::Callback(error)),
        (None, Err(error)) => Err(MembersError::Json(error)),
        (None, Ok(())) => Ok(()),
    }
}

/// Returns the text of a JSON string; `None` for another value, or when an escape is an unpaired surrogate.
pub(crate) fn text(json: &str) -> Option<Cow<'_, str>> {
    let inside = json.strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') { serde_json::from_str(json).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inside)) }
}

/// Returns a counter: digits, bare or in quotes, up to 2^64-1; `null` is 0.
pub(crate) fn counter(json: &str) -> Option<u64> {
    match json {
        "null" => Some(0),
        quoted if quoted.starts_with('"') => whole_number(&text(quoted)?),
        bare => whole_number(bare),
    }
}

/// Returns the number of a text of ASCII digits, up to 2^64-1. It is the only conversion of text to a number here.
pub(crate) fn whole_number(digits: &str) -> Option<u64> {
    // `parse` alone accepts a plus sign too.
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// A reader of the members of one object.
pub(crate) trait ReadMember<'a> {
    /// Reads the value of the next member; `key` is JSON text.
    fn member<A: MapAccess<'a>>(&mut self, key: &'a str, map: &mut A) -> Result<(), A::Error>;
}

/// The seed of an object whose members `R` reads; `null` has no members.
pub(crate) struct Object<'r, R>(pub(crate) &'r mut R);

impl<'a, R: ReadMember<'a>> DeserializeSeed<'a> for Object<'_, R> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a, R: ReadMember<'a>> Visitor<'a> for Object<'_, R> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object or null")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<&'a RawValue>()? {
            self.0.member(key.get(), &mut map)?;
        }
        Ok(())
    }
}

struct Members<'r, F, E> {
    each: F,
    /// The error of the callback, while the parser returns an error of its own type.
    failed: &'r mut Option<E>,
}

impl<F, E> Members<'_, F, E> {
    fn visit<'a, D: serde::de::Error>(&mut self, key: Key<'a>, value: &'a RawValue) -> Result<(), D>
    where
        F: FnMut(Key<'a>, &'a str) -> Result<(), E>,
    {
        (self.each)(key, value.get()).map_err(|error| {
            *self.failed = Some(error);
            D::custom("the callback failed")
        })
    }
}

impl<'a, F, E> Visitor<'a> for Members<'_, F, E>
where
    F: FnMut(Key<'a>, &'a str) -> Result<(), E>,
{
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object, a list or null")
    }

    fn visit_unit<D: serde::de::Error>(self) -> Result<(), D> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry::<&'a RawValue, &'a RawValue>()? {
            self.visit::<A::Error>(Key::Name(key.get()), value)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut list: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(value) = list.next_element::<&'a RawValue>()? {
            self.visit::<A::Error>(Key::Index(index), value)?;
            index += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_digits_of_64_bits_bare_or_quoted() {
        let table = [
            ("null", Some(0)),
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            (r#""18446744073709551615""#, Some(u64::MAX)),
            (r#""18446744073709551616""#, None),
            (r#""007""#, Some(7)),
            (r#""\u0031""#, Some(1)),
            (r#""""#, None),
            (r#"" 1""#, None),
            (r#""+1""#, None),
            ("-0", None),
            ("-1", None),
            ("1.0", None),
            ("1e3", None),
            ("true", None),
            ("[]", None),
            ("{}", None),
            (r#""\ud800""#, None),
        ];
        for (json, expected) in table {
            assert_eq!(counter(json), expected, "{json}");
        }
    }

    #[test]
    fn members_come_in_order_and_null_has_none() {
        let walk = |json: &str| {
            let mut seen = Vec::new();
            members(json, |key, value| {
                seen.push(format!("{key:?}={value}"));
                Ok::<(), ()>(())
            })
            .map(|()| seen.join(" "))
            .map_err(|error| matches!(error, MembersError::Json(_)))
        };
        let table = [
            ("null", Ok("")),
            (" {} ", Ok("")),
            (r#"{"b" : [1, 2], "a":null}"#, Ok(r#"Name("\"b\"")=[1, 2] Name("\"a\"")=null"#)),
            ("[{}, 1]", Ok("Index(0)={} Index(1)=1")),
            (r#"{"\ud800":1,"a":2}"#, Ok(r#"Name("\"\\ud800\"")=1 Name("\"a\"")=2"#)),
            ("3", Err(true)),
            ("", Err(true)),
            ("{} {}", Err(true)),
            (r#"{"a":1"#, Err(true)),
            (r#"{a:1}"#, Err(true)),
        ];
        for (json, expected) in table {
            assert_eq!(walk(json), expected.map(str::to_owned), "{json}");
        }
    }

    #[test]
    fn an_error_of_the_callback_ends_the_walk_and_is_returned() {
        let mut seen = 0;
        let stopped = members("[1,2,3]", |_, value| {
            seen += 1;
            if value == "2" { Err("two") } else { Ok(()) }
        });
        assert!(matches!(stopped, Err(MembersError::Callback("two"))));
        assert_eq!(seen, 2);
    }
}
