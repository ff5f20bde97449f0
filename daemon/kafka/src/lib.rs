//! The engine on Kafka: a group of daemons shares the partitions, and commits with exactly-once semantics.
//!
//! The three kinds of data of a log (see [`log`](daemon_log)) are topics: inputs, states, results (`names`). A
//! *worker* is a member of the consumer group; each of its commits is one transaction (`group`).
//!
//! ```text
//!  input topics ──► Group (Member) ──► Worker ──► Shard: table and cursors
//!                       ▲                 │  after an assignment: the Restorer reads the state topic on its own thread
//!                       │ transaction     ▼
//!                       └── results, changed states, dead letters, offsets
//!  results topic ──► ResultsReader ──► view, event stream, sinks: at every daemon, for all objects of the group
//! ```
//!
//! * `engine`: builds all parts, from `config` and `settings`. [`topics`]: the topics that must exist.
//!   `topology`: the numbers of partitions, and the assignment of input partitions to shards.
//! * Without librdkafka: `worker`, `shard`, `input_merge`, `state_records`, `shard_restore`. The traits
//!   `member::Member` and `shard_restore::StateStore` separate them from the cluster, so that the tests run them in
//!   a simulator of brokers and group coordinator (`simulator`).
//! * `foreign`: topics of other programs, whose messages become samples.
//! * The cluster for workers: `group`, `transaction`, `batching`, `progress`, `end_offsets`,
//!   `state_reader`, `input_topics`.
//! * Before a worker joins the group: `topic_watch` polls the topics, `claim` makes sure that no other group has the
//!   state topics, `members` that no other process has the name of this daemon, and it waits while the group has
//!   another `configuration`; then `admission` is open.
//! * `elections`: which of the replicas of a sender counts, in the whole group.
//! * [`migration`]: the states of a group, to another log and from it.
//! * `health`: the state of the cluster for `GET /readyz`.
//! * `topic_id`: by which a topic that was created again is recognised.
//! * `topic_publisher`: messages to topics of other programs; independent of the group.
//! * The cluster for the rest of the daemon: `log`, `results_reader`, `producer`, `status`,
//!   `backpressure`. `client`: the configuration of librdkafka's clients. `telemetry`: the counters.

#![deny(missing_docs)]

mod admission;
mod backpressure;
mod batching;
mod claim;
mod client;
mod codec;
mod config;
mod configuration;
mod digests;
mod elections;
mod end_offsets;
mod engine;
mod foreign;
mod group;
mod health;
mod input_merge;
mod input_topics;
mod log;
mod member;
mod members;
pub mod migration;
mod names;
mod partition_failures;
mod producer;
mod progress;
mod read_to_ends;
mod results_reader;
mod settings;
mod shard;
mod shard_restore;
#[cfg(test)]
mod simulator;
mod state_reader;
mod state_records;
mod status;
mod telemetry;
mod topic_id;
mod topic_publisher;
mod topic_watch;
pub mod topics;
mod topology;
mod transaction;
mod worker;

pub use self::client::Connection;
pub use self::config::{KafkaConfig, ResultsFormat};
pub use self::elections::Elections;
pub use self::engine::{EngineParts, Helper, Shared, WorkerBody, publisher, reader};
pub use self::foreign::ForeignTopic;
pub use self::names::Names;
pub use self::settings::KafkaSettings;
pub use self::telemetry::{GroupTelemetry, RestoreTotals};
pub use self::topic_publisher::TopicPublisher;
