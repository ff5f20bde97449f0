//! The addresses in a body: which texts are one, where an endpoint has its own, and how a rejected one is named.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess};
use serde_json::value::RawValue;

use super::location::{Location, quote};
use crate::error::Reason;
use crate::json::{Key, Object, ReadMember, text};

/// The longest address, in bytes: an IPv6 address with a zone fits, a text that is not an address mostly does not.
pub const MAX_ADDRESS_LENGTH: usize = 64;

/// Visible ASCII without the characters that JSON escapes, so that a record contains an address verbatim.
pub(crate) fn is_address(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    !text.is_empty() && text.len() <= MAX_ADDRESS_LENGTH && text.bytes().all(is_plain)
}

/// The endpoint's address from its key and its `EndpointIP`; one may be missing or empty.
pub(super) fn endpoint_ip<'a>(key: Key<'a>, field: Option<&'a str>) -> Result<Cow<'a, str>, Reason> {
    let key = match key {
        Key::Name(json) => address(json, &Location::Endpoint)?,
        Key::Position(_) => None,
    };
    let field = match field {
        None | Some("null") => None,
        Some(json) => address(json, &Location::Endpoint)?,
    };
    match (key, field) {
        (Some(key), Some(field)) if key != field => {
            Err(Reason::Conflict { key: key.into_owned(), field: field.into_owned() })
        }
        (Some(ip), _) | (None, Some(ip)) => Ok(ip),
        (None, None) => Err(Reason::Address { place: Location::Endpoint.to_string(), found: String::new() }),
    }
}

/// The address that is a key of the object at `location`.
pub(super) fn member_ip<'a>(key: &'a str, location: Location<'_>) -> Result<Cow<'a, str>, Reason> {
    let place = format_args!("a key in {location}");
    let missing = || Reason::Address { place: place.to_string(), found: String::new() };
    address(key, &place)?.ok_or_else(missing)
}

/// The address in a JSON string; `None` when that is empty.
fn address<'a>(json: &'a str, place: &dyn fmt::Display) -> Result<Option<Cow<'a, str>>, Reason> {
    match text(json) {
        Some(ip) if ip.is_empty() => Ok(None),
        Some(ip) if is_address(&ip) => Ok(Some(ip)),
        other => Err(Reason::Address { place: place.to_string(), found: quote(other.as_deref().unwrap_or(json)) }),
    }
}

/// The name of a rejected endpoint.
pub(super) fn name(key: Key<'_>, field: Option<&str>) -> String {
    let readable = |name: &Cow<'_, str>| !name.is_empty();
    let name = key.name().filter(readable).or_else(|| text(field?).filter(readable));
    match (name, key) {
        (Some(name), _) => quote(&name),
        (None, Key::Name(json)) => quote(json),
        (None, Key::Position(index)) => format!("[{index}]"),
    }
}

/// `EndpointIP` of a rejected endpoint, wherever it is: the first error may come before it.
pub(super) fn own_address(json: &str) -> Option<&str> {
    let mut found = OwnAddress { json: None };
    // What is not an object has no fields.
    let _ = Object(&mut found).deserialize(&mut serde_json::Deserializer::from_str(json));
    found.json
}

/// The field `EndpointIP` alone.
struct OwnAddress<'a> {
    json: Option<&'a str>,
}

impl<'a> ReadMember<'a> for OwnAddress<'a> {
    fn member<A: MapAccess<'a>>(&mut self, key: &'a str, map: &mut A) -> Result<(), A::Error> {
        let value = map.next_value::<&RawValue>()?.get();
        if text(key).as_deref() == Some("EndpointIP") {
            self.json = Some(value);
        }
        Ok(())
    }
}
