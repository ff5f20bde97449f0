//! The durable log: everything that must survive the process is appended here, in order, and read by cursor.
//!
//! There are three kinds of data, and one write puts all of a caller's changes to disk at once or none of them:
//!
//! * the **input**: one ordered log per partition ([`PartitionId`]), appended by the ingest endpoints;
//! * the **results**: one global ordered log, appended by [`PartitionLog::commit`] only and read by the sinks;
//! * the **state**: per partition the named chunks, the cursor (the next input offset to apply) and a `meta` blob,
//!   replaced by [`PartitionLog::commit`] in the same write that appends the results. That is why a kill at any instant
//!   loses nothing and counts nothing twice: the next owner restores the state and reads on from its cursor.
//!
//! [`EmbeddedLog`] keeps it on the local disk, for the workers of one process ([`PartitionLog`]). Where many processes
//! share the work the same three kinds are topics of a Kafka cluster, and a commit is a transaction: see
//! the crate `daemon-kafka`. What the ingest endpoints and the sinks need is the same for both ([`Log`]).
//!
//! # The rules for callers
//!
//! * The calls block, on the disk at the longest; call them from a worker thread, never from an async task.
//! * A worker calls [`PartitionLog::restore`] for a partition before its first commit, and again after **any** failed
//!   commit: a write that failed may or may not be on disk ([`LogError::outcome_is_unknown`]), and only the restored
//!   cursor tells. The log enforces it with [`LogError::NotRestored`]. A producer repeats a failed append with the same
//!   idempotency key.
//! * Time is an argument. `appended_at` never decreases within the log: an earlier time is raised to the last one.

pub mod codec;
mod config;
mod digests;
mod embedded;
mod error;
mod frame;
mod keys;
mod retention;
mod signal;
mod sink_offsets;
mod types;

use std::time::Duration;

pub use self::config::LogConfig;
pub use self::digests::Digests;
pub use self::embedded::EmbeddedLog;
pub use self::error::LogError;
pub use self::frame::RecordBuffer;
pub use self::sink_offsets::{SinkOffset, SinkOffsets};
pub use self::types::{
    AppendBatch, Appended, Bounds, Idempotency, LogStats, PartitionCommit, PartitionId, RecordBatch, Restored,
    Retained, SinkPosition, Written,
};

/// What the whole daemon needs of a log: ingest endpoints append to it, sinks and readers read its results.
pub trait Log: Send + Sync {
    /// Appends all records, to as many partitions as they name, in one atomic write; returns when it is durable.
    ///
    /// Appends that wait at the same time share one sync. A repeated idempotency key with the same checksum writes
    /// nothing and gives [`Appended::Duplicate`] with the outcome stored the first time.
    ///
    /// # Errors
    /// [`LogError::Full`] (nothing was written; try later), [`LogError::IdempotencyConflict`], or an IO error.
    fn append(&self, batch: AppendBatch) -> Result<Appended, LogError>;

    /// The results from offset `from` on, about `max_bytes` of them and at least one if there is one. Empty at the end.
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] below the retained records or beyond the end; [`LogError::CorruptFrame`].
    fn read_results(&self, from: u64, max_bytes: usize) -> Result<RecordBatch, LogError>;

    /// The retained offsets of the results.
    fn results_bounds(&self) -> Result<Bounds, LogError>;

    /// Where a sink stands; `None` if it is not registered.
    fn sink_position(&self, sink: &str) -> Result<Option<SinkPosition>, LogError>;

    /// Stores durably where a sink stands, and registers it: results at or after its position are kept for it.
    fn set_sink_position(&self, sink: &str, position: SinkPosition) -> Result<(), LogError>;

    /// Forgets a sink that is no longer configured; results are no longer kept for it.
    fn remove_sink(&self, sink: &str) -> Result<(), LogError>;

    /// Waits until results were appended since generation `seen` (0 at first), or until `timeout`, and returns the
    /// generation now.
    fn wait_for_results(&self, seen: u64, timeout: Duration) -> u64;

    /// Wakes all waiters at once, for shutdown.
    fn wake_all(&self);
}

/// What the workers of this machine need of a log that they do not share with other machines.
pub trait PartitionLog: Log {
    /// The number of the stream `name`, registering it durably if it is new; the same over restarts.
    ///
    /// # Errors
    /// [`LogError::InvalidArgument`] for an empty or overlong name or when all 65,535 numbers are taken.
    fn stream_id(&self, name: &str) -> Result<u16, LogError>;

    /// The records of a partition from offset `from` on, as [`Log::read_results`] does for results.
    ///
    /// # Errors
    /// As there.
    fn read(&self, partition: PartitionId, from: u64, max_bytes: usize) -> Result<RecordBatch, LogError>;

    /// Writes for every partition in `commits` its cursor, changed chunks and `meta`, and appends its results, in one
    /// atomic write; returns when it is on disk. The results stand in the order given, without others in between.
    ///
    /// # Errors
    /// [`LogError::NotRestored`] and [`LogError::CursorOutOfRange`] refuse the whole call and write nothing. After an
    /// IO error the outcome is unknown and every partition must be restored.
    fn commit(&self, commits: Vec<PartitionCommit>, committed_at: u64) -> Result<(), LogError>;

    /// Writes what a source learnt at once: what it remembers (`commit`, of a partition without input, so its cursor is
    /// 0), its results, and the samples for other partitions; returns when it is on disk. So a source that is killed
    /// goes on where its samples end.
    ///
    /// # Errors
    /// As [`Log::append`] and [`PartitionLog::commit`]; [`LogError::Full`] writes nothing and leaves the partition
    /// restored.
    fn commit_source(&self, commit: PartitionCommit, samples: AppendBatch) -> Result<(), LogError>;

    /// The last committed state of a partition, every chunk verified; `None` if nothing was ever committed.
    ///
    /// # Errors
    /// [`LogError::CorruptState`]: nothing is half loaded; [`PartitionLog::reset_state`] is the way on.
    fn restore(&self, partition: PartitionId) -> Result<Option<Restored>, LogError>;

    /// Drops the state and the cursor of a partition, so that its worker starts over from the oldest retained input.
    fn reset_state(&self, partition: PartitionId) -> Result<(), LogError>;

    /// The retained offsets of a partition; 0..0 if nothing was ever appended.
    fn bounds(&self, partition: PartitionId) -> Result<Bounds, LogError>;

    /// Sizes, ages and lags. Costs a walk over the partitions and file sizes; for a scrape, not for each sample.
    fn stats(&self) -> Result<LogStats, LogError>;

    /// Deletes what is past its age or size at time `now` (µs UTC) and no longer needed, and expired idempotency keys.
    /// Works in small steps, so that appends get in between.
    fn enforce_retention(&self, now: u64) -> Result<Retained, LogError>;

    /// Waits until something was appended to any input since generation `seen`, as [`Log::wait_for_results`].
    fn wait_for_records(&self, seen: u64, timeout: Duration) -> u64;
}
