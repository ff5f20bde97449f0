//! The bytes of `GET /svcstats` to [`ServiceStats`].
//!
//! Format: the Go types `OfnetEndpointStats`, `OfnetSvcStats` and `OfnetSvcProviderStats` of contiv/ofnet, under the
//! names of their fields. Netplugin sent a list of endpoints until the middle of 2016, later a map from address to
//! endpoint; both are read. At every level the key is the address, and the copies of it inside are often empty, so only
//! `EndpointIP` is looked at: a list has no keys.
//!
//! An endpoint is judged whole. A body that is cut off is refused whole too, for what it ends in is unknown.

use std::borrow::Cow;

use crate::error::{DecodeError, Reason, Rejected};
use crate::json::{Key, Stop, counter, members, text};
use crate::limits::Limits;
use crate::merge::merge;
use crate::stats::{Counters, Endpoint, Flow, Service, ServiceStats};

/// The longest address, in bytes: an IPv6 address with a zone fits, a text that is no address mostly does not.
pub const MAX_ADDRESS_LENGTH: usize = 64;

/// How much of a text from the body an error quotes, in characters.
const QUOTE_LENGTH: usize = MAX_ADDRESS_LENGTH;

/// Decodes and merges the body of one answer.
///
/// Bytes that are no UTF-8 spoil the text they stand in, not the body. Of endpoints with the same address the first
/// good one is kept. Time is linear in the body, but for sorting.
///
/// # Errors
///
/// [`DecodeError`] when the body is not JSON or passes a limit as a whole. A bad endpoint is no error: see
/// [`ServiceStats::rejected`].
pub fn decode(body: &[u8], limits: &Limits) -> Result<ServiceStats, DecodeError> {
    if body.len() > limits.body_bytes {
        return Err(DecodeError::TooLarge { actual: body.len(), limit: limits.body_bytes });
    }
    let body = String::from_utf8_lossy(body);
    let mut stats = ServiceStats::default();
    let walked = members(&body, |key, json| {
        if stats.endpoints.len() + stats.rejected.len() == limits.endpoints {
            return Err(DecodeError::TooManyEndpoints { limit: limits.endpoints });
        }
        match endpoint(key, json, limits) {
            Ok(endpoint) => stats.endpoints.push(endpoint),
            Err(rejected) => stats.rejected.push(rejected),
        }
        Ok(())
    });
    walked.map_err(|stop| match stop {
        Stop::Json(error) => DecodeError::Json(error),
        Stop::Refused(error) => error,
    })?;
    reject_twins(&mut stats);
    Ok(stats)
}

/// Sorts the endpoints and sets aside every one whose address came before.
fn reject_twins(stats: &mut ServiceStats) {
    let ServiceStats { endpoints, rejected } = stats;
    endpoints.sort_by(|one, other| one.ip.cmp(&other.ip));
    endpoints.dedup_by(|later, first| {
        let twin = later.ip == first.ip;
        if twin {
            let reason = Reason::Duplicate { place: this_endpoint() };
            rejected.push(Rejected { endpoint: later.ip.to_string(), reason });
        }
        twin
    });
}

/// One endpoint, or its name and what is wrong with it.
fn endpoint(key: Key<'_>, json: &str, limits: &Limits) -> Result<Endpoint, Rejected> {
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
        let services = services(&ip, services_json, limits)?;
        Ok(Endpoint { ip, services })
    });
    judged.map_err(|reason| {
        let readable = |name: &Cow<'_, str>| !name.is_empty();
        let name = key.name().filter(readable).or_else(|| text(field?).filter(readable));
        let endpoint = match (name, key) {
            (Some(name), _) => quote(&name),
            (None, Key::Name(json)) => quote(json),
            (None, Key::Position(index)) => format!("[{index}]"),
        };
        Rejected { endpoint, reason }
    })
}

/// The endpoint's address from its key and its `EndpointIP`; one may be missing or empty.
fn endpoint_ip(key: Key<'_>, field: Option<&str>) -> Result<Box<str>, Reason> {
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
        (Some(ip), _) | (None, Some(ip)) => Ok(ip.into()),
        (None, None) => Err(Reason::Address { place: this_endpoint(), found: String::new() }),
    }
}

fn services(endpoint_ip: &str, json: &str, limits: &Limits) -> Result<Vec<Service>, Reason> {
    let mut services: Vec<Service> = Vec::new();
    by_address(json, &|| "SvcStats of the endpoint".to_owned(), |ip, value| {
        if services.len() == limits.services_per_endpoint {
            return Err(Reason::TooManyServices { limit: limits.services_per_endpoint });
        }
        let flows = flows(endpoint_ip, &ip, value, limits)?;
        services.push(Service { ip, flows });
        Ok(())
    })?;
    sort_unique(&mut services, |service| &service.ip)
        .map_err(|ip| Reason::Duplicate { place: format!("service {ip}") })?;
    Ok(services)
}

/// The merged flows of one service.
fn flows(endpoint_ip: &str, service_ip: &str, json: &str, limits: &Limits) -> Result<Vec<Flow>, Reason> {
    let service = || format!("service {service_ip}");
    let mut entries_json = "null";
    object(json, &service, |name, value| {
        if name == "ProvStats" {
            entries_json = value;
        }
        Ok(())
    })?;
    let mut flows: Vec<Flow> = Vec::new();
    by_address(entries_json, &|| format!("ProvStats of service {service_ip}"), |provider_ip, value| {
        if flows.len() == limits.providers_per_service {
            return Err(Reason::TooManyProviders { place: service(), limit: limits.providers_per_service });
        }
        let counters = counters(value, &|| format!("service {service_ip}, provider {provider_ip}"))?;
        flows.push(Flow { provider_ip, counters });
        Ok(())
    })?;
    sort_unique(&mut flows, |flow| &flow.provider_ip)
        .map_err(|ip| Reason::Duplicate { place: format!("service {service_ip}, provider {ip}") })?;
    let own = flows.binary_search_by(|flow| (*flow.provider_ip).cmp(endpoint_ip)).ok();
    let own = own.map(|at| flows.remove(at).counters);
    merge(service_ip, own, flows).map_err(|field| Reason::Overflow { place: service(), field })
}

fn counters(json: &str, place: Place<'_>) -> Result<Counters, Reason> {
    let mut counters = Counters::default();
    object(json, place, |name, value| {
        let (field, slot) = match name {
            "BytesIn" => ("BytesIn", &mut counters.bytes_in),
            "BytesOut" => ("BytesOut", &mut counters.bytes_out),
            "PacketsIn" => ("PacketsIn", &mut counters.packets_in),
            "PacketsOut" => ("PacketsOut", &mut counters.packets_out),
            _ => return Ok(()),
        };
        *slot = counter(value).ok_or_else(|| Reason::Counter { place: place(), field, found: quote(value) })?;
        Ok(())
    })?;
    Ok(counters)
}

/// Where in an endpoint something stands, spelled only when something is wrong there.
type Place<'r> = &'r dyn Fn() -> String;

fn this_endpoint() -> String {
    "the endpoint".to_owned()
}

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
    mut entry: impl FnMut(Box<str>, &'a str) -> Result<(), Reason>,
) -> Result<(), Reason> {
    walk(json, place, |key, value| {
        let missing = || Reason::Address { place: format!("a key in {}", place()), found: String::new() };
        let Key::Name(key) = key else { return Err(missing()) };
        let ip = address(key, &|| format!("a key in {}", place()))?.ok_or_else(missing)?;
        entry(ip.into(), value)
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
        Some(ip) if ip.len() <= MAX_ADDRESS_LENGTH && ip.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Some(ip)),
        other => Err(Reason::Address { place: place(), found: quote(other.as_deref().unwrap_or(json)) }),
    }
}

/// Sorts by address; the error is an address that is there twice.
fn sort_unique<T>(items: &mut [T], ip: impl Fn(&T) -> &str) -> Result<(), String> {
    // Go writes maps in this order, so there is mostly nothing to do.
    items.sort_by(|one, other| ip(one).cmp(ip(other)));
    match items.windows(2).find(|pair| ip(&pair[0]) == ip(&pair[1])) {
        Some(pair) => Err(ip(&pair[0]).to_owned()),
        None => Ok(()),
    }
}

/// The start of a text from the body, for an error.
fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTE_LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
