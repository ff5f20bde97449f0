//! Kafka as the log: how a group of daemons shares the work, and loses and repeats nothing.
//!
//! The three kinds of data that a log holds (see [`log`](daemon_log)) are topics: the inputs, the states, the results
//! ([`names`]). A *worker* is a member of the consumer group; what it commits is one transaction ([`group`]).
//!
//! ```text
//!  input topic ──► Group (Member) ──► Worker ──► Shard: table and cursors
//!                     ▲                  │ a partition is given: Restorer reads its state topic, on its own thread
//!                     │ transaction      ▼
//!                     └── results, changed states, dead letters, offsets
//!  results topic ──► Results ──► view, event stream, sinks: at every daemon, for all objects of the group
//! ```
//!
//! * [`engine`]: starts it all. [`topics`]: what must exist. [`topology`]: how many partitions, and which belong
//!   together.
//! * [`worker`], [`shard`], [`merge`], [`state`], [`restore`], [`backpressure`]: no librdkafka in them; [`member`] and
//!   [`restore::StateStore`] stand between, so that the tests can drive them with a group coordinator of their own.
//! * [`group`], [`transaction`], [`batching`], [`progress`], [`states`]: the real cluster, for workers.
//! * [`mod@log`], [`results`], [`producer`], [`places`]: the real cluster, for everybody else. [`client`]: how it is
//!   connected to.

mod backpressure;
mod batching;
mod client;
mod config;
mod engine;
mod group;
mod log;
mod member;
mod merge;
mod names;
mod producer;
mod progress;
mod restore;
mod results;
mod settings;
mod shard;
#[cfg(test)]
mod simulator;
mod state;
mod states;
mod status;
mod telemetry;
pub mod topics;
mod topology;
mod transaction;
mod worker;

pub use self::client::Connection;
pub use self::config::{KafkaConfig, ResultsFormat};
pub use self::engine::{Engine, Helper, Shared, publisher, reader};
pub use self::names::Names;
pub use self::settings::KafkaSettings;
pub use self::telemetry::{GroupTelemetry, RestoreTotals};
