//! Lists of texts.
//!
//! A list may also be one text whose parts are separated by blanks or commas, so that it fits in a flag, an environment
//! variable and the original's files.

use std::fmt;

use serde::de::{Deserializer, SeqAccess, Visitor};

/// Deserializes a list, for `#[serde(deserialize_with)]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_any(TextOrList)
}

struct TextOrList;

impl<'de> Visitor<'de> for TextOrList {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts, or one text separated by blanks or commas")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        let parts = text.split(|character: char| character == ',' || character.is_whitespace());
        Ok(parts.filter(|part| !part.is_empty()).map(str::to_owned).collect())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(list)
    }
}
