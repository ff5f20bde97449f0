//! Contiv Netplugin's `/svcstats`, decoded and merged into one point for each endpoint, service and provider.
//!
//! This crate does no I/O, reads no clock, starts no thread and logs nothing. It does not fetch the body, stamp the
//! points or write them: it turns the bytes of one answer into counters, and leaves rates and resets to pipelines.
//!
//! ```
//! use netplugin_adapter::{Limits, decode, points};
//!
//! let body = br#"{"11.1.1.2": {"EndpointIP": "11.1.1.2", "SvcStats": {"100.1.1.3": {"ProvStats": {
//!     "10.1.1.7": {"BytesIn": 1018, "PacketsIn": 12},
//!     "11.1.1.2": {"BytesOut": "1200", "PacketsOut": 14}}}}},
//!   "11.1.1.9": {"SvcStats": {"100.1.1.3": {"ProvStats": {"10.1.1.7": {"BytesIn": -1}}}}}}"#;
//! let stats = decode(body, &Limits::default())?;
//!
//! let merged: Vec<_> = points(&stats).collect();
//! assert_eq!(merged.len(), 1);
//! assert_eq!((merged[0].endpoint_ip, merged[0].service_ip, merged[0].provider_ip), ("11.1.1.2", "100.1.1.3", "10.1.1.7"));
//! assert_eq!((merged[0].bytes_in, merged[0].bytes_out), (1018, 1200));
//!
//! // The bad endpoint is set aside, and says why.
//! assert_eq!(stats.rejected()[0].endpoint, "11.1.1.9");
//! assert_eq!(stats.rejected()[0].reason.kind(), "counter");
//! # Ok::<(), netplugin_adapter::DecodeError>(())
//! ```
//!
//! # What is read
//!
//! A map from endpoint address to endpoint, the older list of endpoints, or `null`. Inside, every level may be missing
//! or `null` (an absent counter is 0), unknown fields are passed over, and a counter may be a number or a text of
//! digits, from 0 to 2^64-1. Fractions, exponents and negative numbers are refused: Netplugin has none, and rounding
//! would hide what made them. The keys are the addresses; in a list, `EndpointIP` is.
//!
//! # The merge
//!
//! `ProvStats` mixes providers, whose *In* counters are what the endpoint received, with the endpoint's own address,
//! whose *Out* counters are what it sent to the service. The endpoint's own entry is
//!
//! * added to the provider, when there is one;
//! * a point of its own, whose provider is the service's address, when there is none or more than one: nobody can tell
//!   which provider it was sent to. Should that address be a provider too, it is added there.
//!
//! So for each counter the sum over a service's points equals the sum over its entries, and nothing is counted twice.
//! When a second provider appears, the first one's *Out* falls and the service's own point starts; a rate over both
//! sees it as a reset of a counter. A service without entries gives no point.
//!
//! # Determinism
//!
//! Points come in the order of their addresses as text: endpoint, service, provider, whatever the order in the body.
//!
//! # Panics and errors
//!
//! Nothing here panics on any input. What is no JSON, or is too large, is a [`DecodeError`]. All else is refused per
//! endpoint ([`Rejected`]) and as a whole: half an endpoint would look like a counter that fell. Sums are exact; two
//! counters whose sum leaves 64 bits are refused too.
//!
//! # Input safety
//!
//! [`Limits`] bound the body and the number of endpoints, services and providers. No depth of nesting exhausts the
//! stack. A decoded body takes at most about ten times its size in memory. An address is 1 to
//! [`MAX_ADDRESS_LENGTH`] visible ASCII characters, so it is safe in a tag; texts in errors are cut short.

#![deny(missing_docs)]

mod decode;
mod error;
mod json;
mod limits;
mod merge;
mod point;
mod stats;

pub use self::decode::{MAX_ADDRESS_LENGTH, decode};
pub use self::error::{DecodeError, Reason, Rejected};
pub use self::limits::Limits;
pub use self::point::{Point, points};
pub use self::stats::ServiceStats;
