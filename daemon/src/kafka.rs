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
//! * [`mod@log`], [`results`], [`front_door`], [`places`]: the real cluster, for everybody else. [`client`]: how it is
//!   connected to.

mod backpressure;
mod batching;
pub(crate) mod client;
pub(crate) mod engine;
#[cfg(test)]
mod fake;
mod front_door;
mod group;
mod log;
mod member;
mod merge;
pub(crate) mod names;
mod places;
mod progress;
mod restore;
mod results;
mod shard;
mod state;
mod states;
pub(crate) mod topics;
mod topology;
mod transaction;
mod worker;
