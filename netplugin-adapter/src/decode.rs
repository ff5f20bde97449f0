//! The bytes of `GET /svcstats` to [`ServiceStats`].
//!
//! Format: the Go types `OfnetEndpointStats`, `OfnetSvcStats` and `OfnetSvcProviderStats` of contiv/ofnet, under the
//! names of their fields. Netplugin sent a list of endpoints until the middle of 2016, later a map from address to
//! endpoint; both are read. So are the two forms of a service ([`service`]), and all forms of an IPv6 address. At every
//! level the key is the address, and the copies of it inside are often empty, so only `EndpointIP` is read: a list has
//! no keys.
//!
//! An endpoint is accepted or rejected as a whole. A truncated body is rejected as a whole too, because the values at
//! its end are incomplete.

mod address;
mod endpoint;
mod entry;
mod fields;
mod location;
mod near;
mod ports;
mod service;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

pub(crate) use self::address::is_address;
pub use self::address::{MAX_ADDRESS_LENGTH, canonical_address};
pub(crate) use self::endpoint::Entries;
use self::endpoint::{Service, Services, Shared, endpoint};
use self::location::Location;
use crate::error::{DecodeError, Reason, Rejected};
use crate::json::{MembersError, members};
use crate::limits::Limits;
use crate::stats::{Reading, ServiceStats};
use crate::tree::{MAX_SIZE, Tree};

/// The marks with which a text may begin; JSON has none.
const BYTE_ORDER_MARKS: [(&[u8], &str); 3] =
    [(b"\xEF\xBB\xBF", "UTF-8"), (b"\xFE\xFF", "UTF-16, big-endian"), (b"\xFF\xFE", "UTF-16, little-endian")];

/// Decodes the body of one answer.
///
/// Bytes that are not UTF-8 invalidate the string that contains them, not the body. Of endpoints with the same address
/// the first good one is kept. Time is linear in the body, but for sorting.
///
/// # Errors
///
/// [`DecodeError`] when the body is not JSON or exceeds a limit as a whole. A bad endpoint is not an error: see
/// [`ServiceStats::rejected`].
pub fn decode(body: &[u8], limits: &Limits) -> Result<ServiceStats, DecodeError> {
    let limit = limits.body_bytes.min(MAX_SIZE);
    if body.len() > limit {
        return Err(DecodeError::TooLarge { actual: body.len(), limit });
    }
    if let Some(&(_, encoding)) = BYTE_ORDER_MARKS.iter().find(|(mark, _)| body.starts_with(mark)) {
        return Err(DecodeError::ByteOrderMark { encoding });
    }
    // `from_utf8` checks good text faster than the lossy conversion does.
    let body = str::from_utf8(body).map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed);
    let mut endpoints: BTreeMap<Cow<'_, str>, Services<'_>> = BTreeMap::new();
    let (mut rejected, mut shared) = (Vec::new(), Shared::new(limits));
    let walked = members(&body, |key, json| {
        if endpoints.len() + rejected.len() == limits.endpoints {
            return Err(DecodeError::TooManyEndpoints { limit: limits.endpoints });
        }
        match endpoint(key, json, limits, &mut shared) {
            _ if shared.is_over => return Err(DecodeError::TooManyEntries { limit: limits.entries }),
            Ok((ip, services)) => match endpoints.entry(ip) {
                Entry::Vacant(vacant) => {
                    vacant.insert(services);
                }
                Entry::Occupied(first) => rejected.push(Rejected {
                    endpoint: first.key().clone().into_owned(),
                    reason: Reason::Duplicate { location: Location::Endpoint.to_string() },
                }),
            },
            Err(bad) => rejected.push(bad),
        }
        Ok(())
    });
    walked.map_err(|error| match error {
        MembersError::Json(error) => DecodeError::Json(error),
        MembersError::Callback(error) => error,
    })?;
    Ok(ServiceStats { tree: tree(endpoints), rejected, unknown: shared.unknown.into_fields() })
}

/// Packs the endpoints of a body. Each map is freed as soon as it is packed.
fn tree(endpoints: BTreeMap<Cow<'_, str>, Services<'_>>) -> Tree<Reading> {
    let mut tree = Tree::default();
    for (endpoint_ip, services) in endpoints {
        tree.open_endpoint(&endpoint_ip);
        for (service_ip, Service { ports, form, entries }) in services {
            tree.open_service(&service_ip);
            for (ip, counters) in entries {
                let port = if ip == endpoint_ip { ports.of_own() } else { ports.of_provider() };
                tree.push_entry(&ip, Reading { counters, port, form });
            }
        }
    }
    tree.shrink_to_fit();
    tree
}
