//! The parsed JSON of a line's `data`: names and values in their order, without types.

use std::borrow::Cow;
use std::fmt;

use derived_stats::Number;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A JSON value of a result.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Printed<'l> {
    Boolean(bool),
    Number(Number),
    Object(Vec<(Cow<'l, str>, Self)>),
    /// A list or `null`, which is not part of any result.
    Other,
    Text(Cow<'l, str>),
}

/// The `data` of a line.
#[derive(Debug, Default)]
pub(super) struct Data<'l> {
    pub deleted: bool,
    pub partial: bool,
    pub proxy: Option<Cow<'l, str>>,
    pub attributes: Vec<(Cow<'l, str>, Printed<'l>)>,
}

impl<'de: 'l, 'l> Deserialize<'de> for Data<'l> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Printed::Object(members) = Printed::deserialize(deserializer)? else {
            return Err(serde::de::Error::custom("`data` is not an object"));
        };
        let mut data = Self::default();
        for (name, value) in members {
            match (&*name, value) {
                ("deleted", Printed::Boolean(deleted)) => data.deleted = deleted,
                ("partial", Printed::Boolean(partial)) => data.partial = partial,
                ("proxy", Printed::Text(proxy)) => data.proxy = Some(proxy),
                (_, value) => data.attributes.push((name, value)),
            }
        }
        Ok(data)
    }
}

impl<'de: 'l, 'l> Deserialize<'de> for Printed<'l> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PrintedVisitor)
    }
}

struct PrintedVisitor;

impl<'de> Visitor<'de> for PrintedVisitor {
    type Value = Printed<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a result")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Printed::Boolean(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Printed::Number(Number::F64(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Printed::Number(Number::I64(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Printed::Number(Number::U64(value)))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Printed::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Printed::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Printed::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Printed::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(4);
        while let Some(Name(name)) = object.next_key()? {
            members.push((name, object.next_value()?));
        }
        Ok(Printed::Object(members))
    }
}

/// A text that borrows from the line unless it has escapes.
#[derive(serde::Deserialize)]
struct Name<'l>(#[serde(borrow)] Cow<'l, str>);
