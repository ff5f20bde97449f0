//! Addresses in a body: which texts are valid, the address of an endpoint, and the name of a rejected one.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

use serde::de::{DeserializeSeed, MapAccess};
use serde_json::value::RawValue;

use super::location::{Location, quote};
use crate::error::Reason;
use crate::json::{Key, Object, ReadMember, text};

/// The longest address, in bytes: an IPv6 address with a zone fits, most other texts do not.
pub const MAX_ADDRESS_LENGTH: usize = 64;

/// Returns whether a text is an address: visible ASCII without the characters that JSON escapes.
///
/// So a record contains an address verbatim.
pub(crate) fn is_address(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    !text.is_empty() && text.len() <= MAX_ADDRESS_LENGTH && text.bytes().all(is_plain)
}

/// Returns an address in the one form that all its forms have: an IPv6 address in lower case and compressed, as Go and
/// RFC 5952 write it (`FD00:0::1` is `fd00::1`); any other text as it is.
#[must_use]
pub fn canonical_address(address: &str) -> Cow<'_, str> {
    if !address.contains(':') {
        return Cow::Borrowed(address);
    }
    let (host, zone) = address.find('%').map_or((address, ""), |at| address.split_at(at));
    match host.parse::<Ipv6Addr>() {
        Ok(ip) => Cow::Owned(format!("{ip}{zone}")),
        Err(_) => Cow::Borrowed(address),
    }
}

/// Returns the endpoint's address from its key and its `EndpointIP`; one of them may be missing or empty.
pub(super) fn endpoint_ip<'a>(key: Key<'a>, field: Option<&'a str>) -> Result<Cow<'a, str>, Reason> {
    let key = match key {
        Key::Name(json) => address(json, &Location::Endpoint)?,
        Key::Index(_) => None,
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
        (None, None) => Err(Reason::Address { location: Location::Endpoint.to_string(), found: String::new() }),
    }
}

/// Returns the address that is a key of the object at `location`.
pub(super) fn member_ip<'a>(key: &'a str, location: Location<'_>) -> Result<Cow<'a, str>, Reason> {
    let location = format_args!("a key in {location}");
    let missing = || Reason::Address { location: location.to_string(), found: String::new() };
    address(key, &location)?.ok_or_else(missing)
}

/// Returns the address in a field of the object at `location`; `None` for an empty string or `null`.
pub(super) fn field_ip<'a>(json: &'a str, location: Location<'_>) -> Result<Option<Cow<'a, str>>, Reason> {
    if json == "null" { Ok(None) } else { address(json, &format_args!("ProviderIP of {location}")) }
}

/// Returns the address in a JSON string; `None` for an empty string.
fn address<'a>(json: &'a str, location: &dyn fmt::Display) -> Result<Option<Cow<'a, str>>, Reason> {
    match text(json) {
        Some(ip) if ip.is_empty() => Ok(None),
        Some(ip) if is_address(&ip) => Ok(Some(canonical(ip))),
        other => {
            Err(Reason::Address { location: location.to_string(), found: quote(other.as_deref().unwrap_or(json)) })
        }
    }
}

fn canonical(ip: Cow<'_, str>) -> Cow<'_, str> {
    match ip {
        Cow::Borrowed(ip) => canonical_address(ip),
        Cow::Owned(ip) => Cow::Owned(canonical_address(&ip).into_owned()),
    }
}

/// Returns the name of a rejected endpoint: its address if readable, else its key or index.
pub(super) fn name(key: Key<'_>, field: Option<&str>) -> String {
    let readable = |name: &Cow<'_, str>| !name.is_empty();
    let name = key.name().filter(readable).or_else(|| text(field?).filter(readable));
    match (name, key) {
        (Some(name), _) => quote(&canonical_address(&name)),
        (None, Key::Name(json)) => quote(json),
        (None, Key::Index(index)) => format!("[{index}]"),
    }
}

/// Returns the JSON of `EndpointIP` of a rejected endpoint, also when the first error comes before the field.
pub(super) fn own_address(json: &str) -> Option<&str> {
    let mut found = OwnAddress { json: None };
    // A value that is not an object has no fields; the endpoint is rejected either way.
    let _ = Object(&mut found).deserialize(&mut serde_json::Deserializer::from_str(json));
    found.json
}

/// Reads the field `EndpointIP` and ignores the others.
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
