//! The bytes of `GET /svcstats` to [`ServiceStats`].
//!
//! Format: the Go types `OfnetEndpointStats`, `OfnetSvcStats` and `OfnetSvcProviderStats` of contiv/ofnet, under the
//! names of their fields. Netplugin sent a list of endpoints until the middle of 2016, later a map from address to
//! endpoint; both are read. At every level the key is the address, and the copies of it inside are often empty, so only
//! `EndpointIP` is looked at: a list has no keys.
//!
//! An endpoint is judged whole. A body that is cut off is refused whole too, for what it ends in is unknown.
//!
//! Two decoders share the work. The [`quick`] one goes through the body once and knows only what Netplugin writes. The
//! [`careful`] one goes through every level by itself and knows all of JSON, and what to say when something is wrong.
//! The quick one leaves to it each endpoint that it does not understand, and the body when it does not understand that.
//! What the quick one takes is what the careful one would have made of it; `tests` below holds them to that.

mod careful;
mod cursor;
mod quick;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::error::{DecodeError, Reason, Rejected};
use crate::limits::Limits;
use crate::stats::{Counters, ServiceStats};
use crate::tree::MAX_SIZE;

/// The longest address, in bytes: an IPv6 address with a zone fits, a text that is no address mostly does not.
pub const MAX_ADDRESS_LENGTH: usize = 64;

/// Decodes the body of one answer.
///
/// Bytes that are no UTF-8 spoil the text they stand in, not the body. Of endpoints with the same address the first
/// good one is kept. Time is linear in the body, but for sorting.
///
/// # Errors
///
/// [`DecodeError`] when the body is not JSON or passes a limit as a whole. A bad endpoint is no error: see
/// [`ServiceStats::rejected`].
pub fn decode(body: &[u8], limits: &Limits) -> Result<ServiceStats, DecodeError> {
    let limit = limits.body_bytes.min(MAX_SIZE);
    if body.len() > limit {
        return Err(DecodeError::TooLarge { actual: body.len(), limit });
    }
    // The lossy conversion alone goes byte by byte.
    let body = str::from_utf8(body).map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed);
    let mut stats = match quick::body(&body, limits) {
        Some(stats) => stats,
        None => careful::body(&body, limits)?,
    };
    let ServiceStats { tree, rejected } = &mut stats;
    tree.finish(|twin| {
        let reason = Reason::Duplicate { place: this_endpoint() };
        rejected.push(Rejected { endpoint: twin.to_owned(), reason });
    });
    Ok(stats)
}

fn this_endpoint() -> String {
    "the endpoint".to_owned()
}

/// Visible ASCII without what JSON escapes, so that an address stands in a record as it is.
pub(crate) fn is_address(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    !text.is_empty() && text.len() <= MAX_ADDRESS_LENGTH && text.bytes().all(is_plain)
}

/// The counter of this name in the body, with its name that lives on.
fn slot<'c>(counters: &'c mut Counters, name: &str) -> Option<(&'static str, &'c mut u64)> {
    match name {
        "BytesIn" => Some(("BytesIn", &mut counters.bytes_in)),
        "BytesOut" => Some(("BytesOut", &mut counters.bytes_out)),
        "PacketsIn" => Some(("PacketsIn", &mut counters.packets_in)),
        "PacketsOut" => Some(("PacketsOut", &mut counters.packets_out)),
        _ => None,
    }
}
