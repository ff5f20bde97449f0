//! Contiv Netplugin's `/svcstats`, decoded and merged into one point for each endpoint, service and provider.
//!
//! This crate does no I/O, reads no clock, starts no thread and logs nothing. It decodes the bytes of one answer to
//! counters, and the counters of successive answers to [increases](NodeCounters). Requests, timestamps, rates and sums
//! over time are left to the embedding program and its pipelines.
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
//! // The bad endpoint is rejected with a reason.
//! assert_eq!(stats.rejected()[0].endpoint, "11.1.1.9");
//! assert_eq!(stats.rejected()[0].reason.kind(), "counter");
//! # Ok::<(), netplugin_adapter::DecodeError>(())
//! ```
//!
//! # Input
//!
//! A map from endpoint address to endpoint, the older list of endpoints, or `null`. A service has `ProvStats`, a map of
//! entries, or as in 2016 one entry: its address in `ProviderIP` and its counters in `Stats`. Every inner level may be
//! missing, empty or `null` (an absent counter is 0), and a counter may be a number or a text of digits, from 0 to
//! 2^64-1. Fractions, exponents and negative numbers are rejected: Netplugin never writes them, and rounding would hide
//! their cause. The keys are the addresses; in a list, `EndpointIP` is.
//!
//! Unknown fields beside known ones are ignored, and listed ([`ServiceStats::unknown_fields`]). An object that has
//! unknown fields and none of those that are read is of another shape and rejects its endpoint, and so does a field in
//! another letter case, and a service that names its provider or port and has neither `ProvStats` nor `Stats`: silence
//! would look like an endpoint without traffic.
//!
//! The forms of an IPv6 address are one address ([`canonical_address`]): two of them at one level are a duplicate.
//!
//! # The merge
//!
//! `ProvStats` has two kinds of entries: providers, whose *In* counters are the endpoint's received traffic, and the
//! endpoint's own address, whose *Out* counters are its sent traffic. The endpoint's own entry is
//!
//! * added to the provider, when there is exactly one;
//! * a point of its own, with the service's address as its provider, when there is none or more than one: its provider
//!   is not recorded. If that address is a provider too, the entry is added to it.
//!
//! So for each counter the sum over a service's points equals the sum over its entries, and nothing is counted twice.
//! When a second provider appears, the first one's *Out* falls and the service's own point starts; a rate treats the
//! fall as a reset of a counter. A service without entries has no points.
//!
//! # Increases
//!
//! [`NodeCounters`] stores the counters of one node and gives their increases at the next scrape. It works on the
//! entries before the merge, each of which is one counter of the switch, so a second provider is not a reset. The first
//! scrape is the baseline; a later new entry counts in full if the node's highest rate so far could give it, else it is
//! a baseline ([`Uncounted`]). When one of an entry's four counters falls, all four count from zero if the entry's rate
//! so far could give the new values, else the reading is that of another counter and a baseline: a service with several
//! ports shows the counters of one at a time. Each port is counted by itself. A service that changes between the form
//! of 2016 and today's has the same counters in other entries: they are baselines, too. An absent entry is kept for
//! [an hour](FORGET_AFTER), and is a baseline when it comes back later. An increase is attributed to a provider by the
//! rule above. The state of a node is [saved](NodeCounters::save) together with its results, so that nothing counts
//! twice.
//!
//! # The scrape record
//!
//! [`encode_record`] writes the points of one scrape as a line of JSON for a log, and [`ScrapeRecord::parse`] reads it
//! without copying the addresses.
//!
//! # Determinism
//!
//! Points and increases are in the order of their addresses as text: endpoint, service, provider, whatever the order in
//! the body. The same scrapes give the same state, byte for byte.
//!
//! # Panics and errors
//!
//! No input causes a panic. A body that is not JSON or is too large is a [`DecodeError`]. Any other error rejects one
//! endpoint ([`Rejected`]) as a whole: half an endpoint would look like a counter that fell. Sums are exact; a sum of
//! two counters that overflows 64 bits rejects the endpoint too.
//!
//! # Input safety
//!
//! [`Limits`] bound the body and the number of endpoints, services and entries. No depth of nesting exhausts the
//! stack: unknown values are skipped without recursion. While a body is decoded it takes at most about fifteen times
//! its size in memory, and the list of rejected endpoints. An address is 1 to [`MAX_ADDRESS_LENGTH`] visible ASCII
//! characters other than the quote and the backslash, so it is safe in a tag and needs no escape in JSON; texts in
//! errors are truncated. [`NodeCounters::load`] takes memory in proportion to its bytes, and a node's state is bounded
//! by one body and [`MAX_ABSENT`] entries.
//!
//! # Cost
//!
//! serde_json parses a body twice: once to separate the endpoints, once to read each. That is about 0.7 µs a point,
//! more than twice as fast as the Python server decoded and merged it (`benches/netplugin_compare`). An entry takes
//! about 60 bytes in [`ServiceStats`], about 110 in [`NodeCounters`] and 25 to 40 of them saved.

#![deny(missing_docs)]

mod decode;
mod error;
mod etcd;
mod increases;
mod json;
mod legacy;
mod limits;
mod merge;
mod netmaster;
mod point;
mod record;
pub mod simulate;
mod stats;
mod tree;

pub use self::decode::{MAX_ADDRESS_LENGTH, canonical_address, decode};
pub use self::error::{DecodeError, Reason, Rejected};
pub use self::etcd::{Discovered, EtcdError, RejectedEntry, discover};
pub use self::increases::{CountersError, FORGET_AFTER, Increase, MAX_ABSENT, NodeCounters, Uncounted};
pub use self::legacy::{append_pairs, pair_answer, services_answer};
pub use self::limits::Limits;
pub use self::netmaster::{Inspection, NetmasterError, Provider, ServiceList, ServiceName, inspection, service_list};
pub use self::point::{Point, points, points_of};
pub use self::record::{ScrapeRecord, encode_record};
pub use self::stats::{ServiceStats, UnknownField};

/// The examples of the README run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
