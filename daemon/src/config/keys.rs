//! The list of all keys, derived from the configuration structs.
//!
//! A deserializer without data collects the field names that each struct passes to `deserialize_struct`. So the
//! suggestions of "did you mean" always match the accepted keys, without a second list.

use std::cell::RefCell;

use daemon_alarms::config::AlarmConfig;
use daemon_sources::mapping::StreamConfig;
use serde::de::value::{Error, StrDeserializer};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::config::Config;

/// Every key as a dotted path, such as `http.listen`, in the order of the struct fields.
pub(crate) fn all() -> Vec<String> {
    let mut keys = Vec::new();
    collect(&mut Vec::new(), &mut keys);
    keys
}

/// Whether `path` is a section: a table with keys.
pub(super) fn is_section(path: &[&str]) -> bool {
    fields(path).is_some()
}

/// The names of the keys in the section at `path`; `None` if it is a value or does not exist.
pub(super) fn fields(path: &[&str]) -> Option<&'static [&'static str]> {
    fields_of::<Config>(path)
}

/// The keys whose values are secrets.
pub(super) fn secrets() -> Vec<String> {
    let is_secret = |key: &String| is_secret(&key.split('.').collect::<Vec<_>>());
    all().into_iter().filter(is_secret).collect()
}

/// Whether the key at `path` is a [`Secret`](daemon_base::setting::Secret): those show no text that they are made of.
fn is_secret(path: &[&str]) -> bool {
    const MARKER: &str = "seen-7f3a";
    let nested = path.iter().rev().fold(toml::Value::String(MARKER.to_owned()), |inner, name| {
        toml::Value::Table(toml::Table::from_iter([((*name).to_owned(), inner)]))
    });
    let config = Config::deserialize(nested);
    config.is_ok_and(|config| config != Config::default() && !format!("{config:?}").contains(MARKER))
}

/// The names of the keys in a table of `[[streams]]`.
pub(super) fn stream_fields() -> &'static [&'static str] {
    fields_of::<StreamConfig>(&[]).unwrap_or_default()
}

/// The names of the keys in a table of `[[alarms]]`.
pub(super) fn alarm_fields() -> &'static [&'static str] {
    fields_of::<AlarmConfig>(&[]).unwrap_or_default()
}

fn fields_of<'de, T: Deserialize<'de>>(path: &[&str]) -> Option<&'static [&'static str]> {
    let found = RefCell::new(None);
    // The probe has no values, so it always ends in an error.
    let _ = T::deserialize(Probe { path, found: &found });
    found.into_inner()
}

fn collect(path: &mut Vec<&'static str>, keys: &mut Vec<String>) {
    let Some(fields) = fields(path) else {
        keys.push(path.join("."));
        return;
    };
    for field in fields {
        path.push(field);
        collect(path, keys);
        path.pop();
    }
}

/// A deserializer that descends along `path` and stores the field names of the struct at its end.
#[derive(Clone, Copy)]
struct Probe<'p> {
    /// The remaining segments.
    path: &'p [&'p str],
    found: &'p RefCell<Option<&'static [&'static str]>>,
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom("a value, not a section"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.path.split_first() {
            Some((field, _)) if !fields.contains(field) => Err(Error::custom("no such key")),
            Some(_) => visitor.visit_map(self),
            None => {
                *self.found.borrow_mut() = Some(fields);
                Err(Error::custom("found"))
            }
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// A map with one key: the next segment of the path.
impl<'de> MapAccess<'de> for Probe<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(step) = self.path.first() else { return Ok(None) };
        let key: StrDeserializer<'_, Error> = step.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(Probe { path: self.path.get(1..).unwrap_or_default(), found: self.found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_at_every_depth() {
        let keys = all();
        for key in ["http.listen", "sinks.file.path", "log.retention.max_input_bytes", "aggregation.period"] {
            assert!(keys.iter().any(|known| known == key), "{key} is missing in {keys:?}");
        }
        assert!(!keys.iter().any(|key| key == "http" || key == "sinks.file"), "a section is not a key: {keys:?}");
    }

    #[test]
    fn a_section_is_neither_a_value_nor_an_unknown_path() {
        assert!(is_section(&[]));
        assert!(is_section(&["sinks", "file"]));
        assert!(!is_section(&["http", "listen"]));
        assert!(!is_section(&["http", "lisen"]));
    }
}
