//! What every decoder of JSON here shares: the members of a body, the seed of an object, texts and whole numbers.
//!
//! The members of a body are handed on as text, so that one bad member does not fail its neighbours. Keys are JSON text
//! too: an escape that is not a character then concerns that member alone.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Where a member stands in what holds it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Key<'a> {
    /// In an object: its key, quotes and escapes included.
    Name(&'a str),
    /// In a list: its index.
    Position(usize),
}

impl<'a> Key<'a> {
    /// The key as text; `None` in a list, or when an escape in it names no character.
    pub(crate) fn name(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Name(json) => text(json),
            Self::Position(_) => None,
        }
    }
}

/// Why a walk ended early.
#[derive(Debug)]
pub(crate) enum Stop<E> {
    /// The text is no JSON, or has no members.
    Json(serde_json::Error),
    /// The caller had enough.
    Refused(E),
}

/// Calls `each` with the JSON text of every member of an object or a list, in order; `null` has none.
pub(crate) fn members<'a, E>(
    json: &'a str,
    each: impl FnMut(Key<'a>, &'a str) -> Result<(), E>,
) -> Result<(), Stop<E>> {
    let mut refused = None;
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let walked =
        deserializer.deserialize_any(Members { each, refused: &mut refused }).and_then(|()| deserializer.end());
    match (refused, walked) {
        (Some(refusal), _) => Err(Stop::Refused(refusal)),
        (None, Err(error)) => Err(Stop::Json(error)),
        (None, Ok(())) => Ok(()),
    }
}

/// The text of a JSON string; `None` when it is not one, or when an escape in it is half a surrogate pair.
pub(crate) fn text(json: &str) -> Option<Cow<'_, str>> {
    let inside = json.strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') { serde_json::from_str(json).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inside)) }
}

/// A counter: digits, bare or in quotes, up to 2^64-1; `null` is 0.
pub(crate) fn counter(json: &str) -> Option<u64> {
    match json {
        "null" => Some(0),
        quoted if quoted.starts_with('"') => whole_number(&text(quoted)?),
        bare => whole_number(bare),
    }
}

/// A number of ASCII digits alone, up to 2^64-1. Every number in a text is read by this, so that all obey one rule.
pub(crate) fn whole_number(digits: &str) -> Option<u64> {
    // `parse` alone accepts a plus sign too.
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// What reads the members of an object one after the other.
pub(crate) trait ReadMember<'a> {
    /// Reads the value of the member with this key, which is still JSON text.
    fn member<A: MapAccess<'a>>(&mut self, key: &'a str, map: &mut A) -> Result<(), A::Error>;
}

/// The seed of an object that is given to `R` member by member; `null` has none.
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
    /// Where a refusal waits while the parser unwinds with an error of its own type.
    refused: &'r mut Option<E>,
}

impl<F, E> Members<'_, F, E> {
    fn visit<'a, D: serde::de::Error>(&mut self, key: Key<'a>, value: &'a RawValue) -> Result<(), D>
    where
        F: FnMut(Key<'a>, &'a str) -> Result<(), E>,
    {
        (self.each)(key, value.get()).map_err(|refusal| {
            *self.refused = Some(refusal);
            D::custom("refused")
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
            self.visit::<A::Error>(Key::Position(index), value)?;
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
            .map_err(|stop| matches!(stop, Stop::Json(_)))
        };
        let table = [
            ("null", Ok("")),
            (" {} ", Ok("")),
            (r#"{"b" : [1, 2], "a":null}"#, Ok(r#"Name("\"b\"")=[1, 2] Name("\"a\"")=null"#)),
            ("[{}, 1]", Ok("Position(0)={} Position(1)=1")),
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
    fn a_refusal_ends_the_walk_at_once_and_comes_back_whole() {
        let mut seen = 0;
        let stopped = members("[1,2,3]", |_, value| {
            seen += 1;
            if value == "2" { Err("two") } else { Ok(()) }
        });
        assert!(matches!(stopped, Err(Stop::Refused("two"))));
        assert_eq!(seen, 2);
    }
}
