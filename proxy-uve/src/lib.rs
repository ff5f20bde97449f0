//! Contrail's proxy UVEs: proxy types, wire formats, event-time windows and per-partition tables.
//!
//! A proxy UVE is the aggregation of a raw metric for one object: the samples of a virtual network come from many
//! vrouters to one partition of a log, and are summed, averaged or checked for anomalies there.
//!
//! This crate is independent of Kafka and HTTP. It starts no thread and reads no clock: each record has its time. The
//! crate `derived-stats` computes the pipelines; the daemon, or any other program, feeds the tables.
//!
//! ```
//! use std::sync::Arc;
//!
//! use proxy_uve::schema::Schema;
//! use proxy_uve::{Plan, Position, Record, Table, TableSettings};
//! use proxy_uve::stream::StreamName;
//!
//! let stream = StreamName::new("UveVirtualNetworkAgent", "egress_flow_count")?;
//! let schema = Schema::builtin();
//! let types = [Arc::clone(schema.get("AggProxySum").expect("built in"))];
//! let mut table = Table::new(Arc::new(Plan::new(stream, &types)), TableSettings::default());
//!
//! let minute = 60_000_000;
//! let key = b"ObjectVNTable:default-domain:demo:vn1";
//! for (position, (at, flows)) in (0..).zip([(minute, 20), (minute + 5, 16), (3 * minute, 1)]) {
//!     let payload = format!("<egress_flow_count type=\"u64\" timestamp=\"{at}\">{flows}</egress_flow_count>");
//!     table.ingest(&Record { position: Position::new(position), arrived: at, key, payload: payload.as_bytes() });
//! }
//! let first = table.drain().next().expect("the first minute is over");
//! assert_eq!(first.uve_name, "AggProxySum-UveVirtualNetworkAgent-egress_flow_count");
//! let json = std::str::from_utf8(first.json)?;
//! assert!(json.ends_with(r#""value":{"value":36}}"#), "{json}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The parts
//!
//! * [`schema`]: proxy types as data, in Sandesh struct syntax; two are built in.
//! * [`proxy_list`]: which types run on which stream; [`stream`]: streams and their topics.
//! * [`wire`]: payloads; [`key`]: object keys and their partitions.
//! * [`Plan`]: the computation of one stream; [`Table`]: the objects of one partition; [`TableSet`]: the same for
//!   several streams with the same objects.
//!
//! # Determinism
//!
//! The same records in the same order give the same results, byte for byte, at any speed, and across any number of
//! snapshots and restores: windows depend on the timestamps of the samples, never on a clock.
//!
//! # Panics and errors
//!
//! Nothing panics on any record, payload, schema or snapshot. A record is never an error: each has an outcome, its
//! [`Fate`], and the counts of the outcomes add up to the records.
//!
//! # Saved state
//!
//! A [`Snapshot`] identifies each state by its aggregation, so compatible states survive a change of the proxy types;
//! [`Table::restore`] [reports](RestoreReport) the states that were kept, dropped and started without saved state.
//! Every part has a version and a checksum.
//!
//! # Input safety
//!
//! Keys, payloads, schema files and the number of objects are limited ([`TableSettings`],
//! [`wire::MAX_PAYLOAD_LENGTH`]); open windows are bounded by the allowed lateness and skew.

#![deny(missing_docs)]

pub mod json;
pub mod key;
mod position;
pub mod proxy_list;
pub mod schema;
pub mod stream;
mod table;
pub mod wire;

/// The library of algorithms, in the version that is part of this crate's API.
pub use derived_stats;

pub use self::key::{ObjectKey, partition, table_of_uve_type, uve_type_of_table};
pub use self::position::Position;
pub use self::stream::StreamName;
pub use self::table::{
    AttributeDescription, AttributeResult, AttributeView, CHUNK_SLOTS, DecodedRecord, Fate, Fates, JoinError, Metric,
    MetricMut, NotMergeable, ObjectView, OpenWindow, PartialFault, PartialRecord, Plan, Record, RecordFault,
    RestoreOutcome, RestoreReport, RestoredState, ResultBuffer, ResultRow, ResultSink, SavedMetric, SetRestoreError,
    Snapshot, SnapshotError, SnapshotPart, StateKind, Subject, Table, TablePart, TableSet, TableSettings, TypeView,
    UveDescription,
};

/// The examples of the README run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
