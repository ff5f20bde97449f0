//! The decoder that knows all of JSON and says what is wrong: one level at a time, by its raw text.

use std::borrow::Cow;

use super::{MAX_ADDRESS_LENGTH, is_address, slot, this_endpoint};
use crate::error::{DecodeError, Reason, Rejected};
use crate::json::{Key, Stop, counter, members, text};
use crate::limits::Limits;
use crate::merge::check;
use crate::stats::{Counters, ServiceStats};
use crate::tree::Tree;

/// How much of a text from the body an error quotes, in characters.
const QUOTE_LENGTH: usize = MAX_ADDRESS_LENGTH;

/// A whole body, its endpoints not yet sorted.
pub(super) fn body(body: &str, limits: &Limits) -> Result<ServiceStats, DecodeError> {
    let mut stats = ServiceStats::default();
    let walked = members(body, |key, json| {
        if stats.tree.endpoint_count() + stats.rejected.len() == limits.endpoints {
            return Err(DecodeError::TooManyEndpoints { limit: limits.endpoints });
        }
        endpoint(key, json, limits, &mut stats);
        Ok(())
    });
    walked.map_err(|stop| match stop {
        Stop::Json(error) => DecodeError::Json(error),
        Stop::Refused(error) => error,
    })?;
    Ok(stats)
}

/// Adds one endpoint, or its name and what is wrong with it.
pub(super) fn endpoint(key: Key<'_>, json: &str, limits: &Limits, stats: &mut ServiceStats) {
    let mark = stats.tree.mark();
    let mut field = None;
    let mut services_json = "null";
    let walked = object(json, &this_endpoint, |name, value| {
        match name {
            "EndpointIP" => field = Some(value),
            "SvcStats" => services_json = value,
            _ => {}
        }
        Ok(())
    });
    let judged = walked.and_then(|()| {
        let ip = endpoint_ip(key, field)?;
        services(&ip, services_json, limits, &mut stats.tree)?;
        let twice = |ip| Reason::Duplicate { place: format!("service {ip}") };
        stats.tree.close_endpoint(&ip, mark).map_err(twice)
    });
    if let Err(reason) = judged {
        stats.tree.roll_back(mark);
        stats.rejected.push(Rejected { endpoint: name(key, field), reason });
    }
}

/// What a bad endpoint is called.
fn name(key: Key<'_>, field: Option<&str>) -> String {
    let readable = |name: &Cow<'_, str>| !name.is_empty();
    let name = key.name().filter(readable).or_else(|| text(field?).filter(readable));
    match (name, key) {
        (Some(name), _) => quote(&name),
        (None, Key::Name(json)) => quote(json),
        (None, Key::Position(index)) => format!("[{index}]"),
    }
}

/// The endpoint's address from its key and its `EndpointIP`; one may be missing or empty.
fn endpoint_ip<'a>(key: Key<'a>, field: Option<&'a str>) -> Result<Cow<'a, str>, Reason> {
    let key = match key {
        Key::Name(json) => address(json, &this_endpoint)?,
        Key::Position(_) => None,
    };
    let field = match field {
        None | Some("null") => None,
        Some(json) => address(json, &this_endpoint)?,
    };
    match (key, field) {
        (Some(key), Some(field)) if key != field => {
            Err(Reason::Conflict { key: key.into_owned(), field: field.into_owned() })
        }
        (Some(ip), _) | (None, Some(ip)) => Ok(ip),
        (None, None) => Err(Reason::Address { place: this_endpoint(), found: String::new() }),
    }
}

fn services(endpoint_ip: &str, json: &str, limits: &Limits, tree: &mut Tree<Counters>) -> Result<(), Reason> {
    let mut count = 0;
    by_address(json, &|| "SvcStats of the endpoint".to_owned(), |ip, value| {
        if count == limits.services_per_endpoint {
            return Err(Reason::TooManyServices { limit: limits.services_per_endpoint });
        }
        count += 1;
        service(endpoint_ip, ip, value, limits, tree)
    })
}

fn service(
    endpoint_ip: &str,
    service_ip: &str,
    json: &str,
    limits: &Limits,
    tree: &mut Tree<Counters>,
) -> Result<(), Reason> {
    let mark = tree.mark();
    let place = || format!("service {service_ip}");
    let mut entries_json = "null";
    object(json, &place, |name, value| {
        if name == "ProvStats" {
            entries_json = value;
        }
        Ok(())
    })?;
    let mut count = 0;
    by_address(entries_json, &|| format!("ProvStats of service {service_ip}"), |provider_ip, value| {
        if count == limits.providers_per_service {
            return Err(Reason::TooManyProviders { place: place(), limit: limits.providers_per_service });
        }
        count += 1;
        let counters = counters(value, &|| format!("service {service_ip}, provider {provider_ip}"))?;
        tree.push_entry(provider_ip, counters);
        Ok(())
    })?;
    let twice = |ip| Reason::Duplicate { place: format!("service {service_ip}, provider {ip}") };
    tree.close_service(service_ip, mark).map_err(twice)?;
    let overflow = |field| Reason::Overflow { place: place(), field };
    tree.open_services(endpoint_ip, mark).try_for_each(check).map_err(overflow)
}

fn counters(json: &str, place: Place<'_>) -> Result<Counters, Reason> {
    let mut counters = Counters::default();
    object(json, place, |name, value| {
        let Some((field, slot)) = slot(&mut counters, name) else { return Ok(()) };
        *slot = counter(value).ok_or_else(|| Reason::Counter { place: place(), field, found: quote(value) })?;
        Ok(())
    })?;
    Ok(counters)
}

/// Where in an endpoint something stands, spelled only when something is wrong there.
type Place<'r> = &'r dyn Fn() -> String;

/// Walks the fields of an object or `null`. A key that is no text is an unknown field.
fn object<'a>(
    json: &'a str,
    place: Place<'_>,
    mut field: impl FnMut(&str, &'a str) -> Result<(), Reason>,
) -> Result<(), Reason> {
    walk(json, place, |key, value| key.name().map_or(Ok(()), |name| field(&name, value)))
}

/// Walks an object whose keys are addresses, or `null`.
fn by_address<'a>(
    json: &'a str,
    place: Place<'_>,
    mut entry: impl FnMut(&str, &'a str) -> Result<(), Reason>,
) -> Result<(), Reason> {
    walk(json, place, |key, value| {
        let missing = || Reason::Address { place: format!("a key in {}", place()), found: String::new() };
        let Key::Name(key) = key else { return Err(missing()) };
        let ip = address(key, &|| format!("a key in {}", place()))?.ok_or_else(missing)?;
        entry(&ip, value)
    })
}

/// Walks the members of an object or `null`; anything else is refused. What is syntax was settled by the first walk.
fn walk<'a>(
    json: &'a str,
    place: Place<'_>,
    each: impl FnMut(Key<'a>, &'a str) -> Result<(), Reason>,
) -> Result<(), Reason> {
    let shape = || Reason::Shape { place: place(), found: quote(json) };
    if json.starts_with('[') {
        return Err(shape());
    }
    members(json, each).map_err(|stop| match stop {
        Stop::Json(_) => shape(),
        Stop::Refused(reason) => reason,
    })
}

/// The address in a JSON string; `None` when that is empty.
fn address<'a>(json: &'a str, place: Place<'_>) -> Result<Option<Cow<'a, str>>, Reason> {
    match text(json) {
        Some(ip) if ip.is_empty() => Ok(None),
        Some(ip) if is_address(&ip) => Ok(Some(ip)),
        other => Err(Reason::Address { place: place(), found: quote(other.as_deref().unwrap_or(json)) }),
    }
}

/// The start of a text from the body, for an error.
fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTE_LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
