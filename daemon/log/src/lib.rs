//! The durable log of the daemon: input, results and state, with atomic writes and offsets.
//!
//! The log holds three kinds of data. One write puts all changes of a caller on disk, or none of them:
//!
//! * The **input** is one ordered log per partition ([`PartitionId`]). The ingest endpoints append to it.
//! * The **results** are one ordered log for all partitions. Only [`PartitionLog::commit`] and
//!   [`PartitionLog::commit_source`] append to it; sinks read it.
//! * The **state** of a partition consists of named chunks, the cursor (the next input offset to apply) and a `meta`
//!   blob. [`PartitionLog::commit`] replaces it in the same write that appends the results.
//!
//! For that reason a process that is killed at any instant loses no input and counts no input twice: the next owner of
//! the partition restores the state and reads on from its cursor.
//!
//! [`EmbeddedLog`] stores the data on the local disk, for the workers of one process ([`PartitionLog`]). Processes that
//! share a Kafka cluster store the same three kinds of data in topics, and a commit is a Kafka transaction: see the
//! crate `daemon-kafka`. Both implement [`Log`], which is all that ingest endpoints and sinks need.
//!
//! # The rules for callers
//!
//! * All calls block, on the disk at the longest. Call them from a worker thread and never from an async task. Any
//!   number of threads may call them at the same time.
//! * A worker calls [`PartitionLog::restore`] for a partition before its first commit, and again after **each** failed
//!   commit. A failed write may be on disk or not ([`LogError::outcome_is_unknown`]), and only the restored cursor
//!   shows which. The log refuses other commits with [`LogError::NotRestored`].
//! * A producer repeats a failed append with the same idempotency key.
//! * Time is an argument. The stored time never decreases within the log: the log raises an earlier time to the latest
//!   one.
//!
//! # Crate features
//!
//! * `fault-points`: failpoints, at which a test kills the process. Never for a release build.

#![deny(missing_docs)]

mod append_batch;
mod commit;
mod config;
mod election;
mod embedded;
mod error;
mod frame;
mod partition_id;
mod record_batch;
mod retention;
mod stats;

/// The stored forms, for tools that read or write the files of a log that no process writes: see `docs/src/design/store.md`.
pub mod files {
    pub use crate::embedded::catalog::Catalog;
    pub use crate::embedded::change::{Change, ChunkAt, Entry, FrameAt, decode};
    pub use crate::embedded::checkpoint::create_journal;
    pub use crate::embedded::directory::{
        Directory, START_OVER_FILE, acknowledged_path, copy_beside, create_version, io_error, is_log, parent,
        store_path, sync_parent, unseal_acknowledged,
    };
    pub use crate::embedded::disk::sync_directory;
    pub use crate::embedded::journal::{CHANGES_LEN, Kind, RECORD_LEN, RecordHead};
    pub use crate::embedded::keys::StoredKey;
    pub use crate::embedded::recover::files;
    pub use crate::embedded::segment::{Family, HEAD_LEN, Place, Segment, head};
    pub use crate::embedded::tables::{Ends, Head, Part, Partition, Parts, Tables};
    pub use crate::frame::{Frame, FrameHeader, HEADER_LEN, OpenFrame};
}

use std::time::Duration;

pub use self::append_batch::{AppendBatch, Appended, Idempotency, Written};
pub use self::commit::{PartitionCommit, Restored, SinkPosition};
pub use self::config::LogConfig;
pub use self::election::{Candidate, ElectionCounts, GroupElections, MAX_CLUSTERS, Standing};
pub use self::embedded::EmbeddedLog;
pub use self::error::LogError;
pub use self::frame::RecordBuffer;
pub use self::partition_id::PartitionId;
pub use self::record_batch::{RecordBatch, StoredRecord};
pub use self::stats::{Bounds, LogStats, PartitionStats, RetentionReport};

/// The part of a log that every process needs: producers append input, sinks and readers read results.
///
/// A sink calls [`sink_position`](Self::sink_position) at its start and continues at the stored position. A new sink
/// starts at [`results_bounds`](Self::results_bounds) and calls [`set_sink_position`](Self::set_sink_position) at once,
/// because the log keeps unread results only for registered sinks. Then it repeats
/// [`read_results`](Self::read_results), delivers the records, and stores [`RecordBatch::next_offset`] as its new
/// position. After an empty batch it calls [`wait_for_results`](Self::wait_for_results). `daemon_sinks::run` implements
/// this loop.
///
/// All methods block and are safe to call from several threads.
pub trait Log: Send + Sync {
    /// Appends all records of a batch, to any number of partitions, in one atomic write, and returns when it is
    /// durable.
    ///
    /// Concurrent appends share one sync. A second append with the same idempotency key and checksum writes nothing and
    /// returns [`Appended::Duplicate`] with the outcome of the first one.
    ///
    /// # Errors
    /// [`LogError::Full`] if the backlog is at its limit: nothing was written, and the caller tries again later.
    /// [`LogError::IdempotencyConflict`] if the key belongs to another body. [`LogError::Io`] or
    /// [`LogError::Unavailable`] if the disk fails, [`LogError::Cluster`] if the Kafka cluster fails; check
    /// [`LogError::outcome_is_unknown`] before a repetition.
    fn append(&self, batch: AppendBatch) -> Result<Appended, LogError>;

    /// Returns the arrival time that the log stores for a batch received at `at`, both in µs UTC.
    ///
    /// Make the batch with it, and classify the timestamps of its samples by it: the arrival that the tables get is then
    /// the same, or later.
    fn arrival(&self, at: u64) -> u64;

    /// Reads the results from offset `from` on: about `max_bytes` of them, and at least one unless `from` is the end.
    ///
    /// The batch is empty at the end of the log. The next read continues at [`RecordBatch::next_offset`].
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] if `from` is below the retained records or beyond the end.
    /// [`LogError::CorruptFrame`] if a stored frame fails its checksum.
    fn read_results(&self, from: u64, max_bytes: usize) -> Result<RecordBatch, LogError>;

    /// Returns the retained offsets of the results.
    ///
    /// # Errors
    /// [`LogError::Cluster`] if the Kafka cluster fails.
    fn results_bounds(&self) -> Result<Bounds, LogError>;

    /// Returns the stored position of a sink; `None` if the sink is not registered.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] or [`LogError::Cluster`] if the log cannot be read now.
    fn sink_position(&self, sink: &str) -> Result<Option<SinkPosition>, LogError>;

    /// Stores the position of a sink durably, and registers the sink if it is new.
    ///
    /// The embedded log keeps the results from the position on for this sink, up to `results_hard_limit_bytes`. Kafka
    /// keeps results for the retention time of the topic and for no longer.
    ///
    /// # Errors
    /// [`LogError::InvalidArgument`] for an empty name, one of more than 255 bytes, or a detail that is too large:
    /// Kafka's brokers take about 2,000 bytes unless configured otherwise. Or the error of a failed write. A failed call
    /// is safe to repeat.
    fn set_sink_position(&self, sink: &str, position: SinkPosition) -> Result<(), LogError>;

    /// Removes a sink that is not configured any more: the log keeps no results for it.
    ///
    /// # Errors
    /// The error of a failed write; the call is safe to repeat.
    fn remove_sink(&self, sink: &str) -> Result<(), LogError>;

    /// Waits until the generation of the results is not `seen`, at most for `timeout`, and returns the current one.
    ///
    /// Each commit with results starts the next generation. A caller passes 0 at first, and then the returned value: no
    /// commit between two calls is lost.
    fn wait_for_results(&self, seen: u64, timeout: Duration) -> u64;

    /// Returns why the log cannot write now; `None` if it can, as far as is known without a write. The call does not
    /// wait.
    fn outage(&self) -> Option<Outage> {
        None
    }

    /// Returns what the start of this process waits for before it can read the log; `None` if that is not known. The call
    /// does not wait.
    fn waits_for(&self) -> Option<String> {
        None
    }

    /// Ends the wait of all waiting callers at once, for a shutdown.
    fn wake_all(&self);
}

/// The part of a log that the workers of one process need, when they share the log with no other process.
///
/// A worker calls [`restore`](Self::restore), then repeats [`read`](Self::read) from the cursor, applies the records
/// and calls [`commit`](Self::commit). After a failed commit it starts again with [`restore`](Self::restore). All
/// methods block and are safe to call from several threads; the commits of one partition come from one thread.
pub trait PartitionLog: Log {
    /// Returns the number of the stream `name`, which stays the same over restarts; registers a new name durably.
    ///
    /// # Errors
    /// [`LogError::InvalidArgument`] for an empty name, one of more than 255 bytes, or when all 65,535 numbers are
    /// taken.
    fn stream_id(&self, name: &str) -> Result<u16, LogError>;

    /// Returns the number of the stream `name`, if it is registered.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] if the log cannot be read now.
    fn find_stream(&self, name: &str) -> Result<Option<u16>, LogError>;

    /// Reads the records of a partition from offset `from` on, as [`Log::read_results`] reads the results.
    ///
    /// # Errors
    /// [`LogError::OffsetOutOfRange`] if `from` is below the retained records or beyond the end.
    /// [`LogError::CorruptFrame`] if a stored frame fails its checksum.
    fn read(&self, partition: PartitionId, from: u64, max_bytes: usize) -> Result<RecordBatch, LogError>;

    /// Writes cursor, changed chunks and `meta` of each partition, and appends the results, in one atomic write.
    ///
    /// It returns when the write is on disk. The results of one call are contiguous and have the given order.
    ///
    /// # Errors
    /// [`LogError::NotRestored`], [`LogError::CursorOutOfRange`] and [`LogError::InvalidArgument`] refuse the whole
    /// call and write nothing. After an IO error the outcome is unknown, and the worker restores every partition.
    fn commit(&self, commits: Vec<PartitionCommit>, committed_at: u64) -> Result<(), LogError>;

    /// Writes the state of a source, its results and its samples for other partitions in one atomic write.
    ///
    /// `commit` belongs to a partition without input, so its cursor is 0. It returns when the write is on disk. A
    /// source that is killed therefore continues after its last samples.
    ///
    /// # Errors
    /// Those of [`Log::append`] and [`PartitionLog::commit`]. [`LogError::Full`] writes nothing, and the partition may
    /// commit again without a restore.
    fn commit_source(&self, commit: PartitionCommit, samples: AppendBatch) -> Result<(), LogError>;

    /// Reads the last committed state of a partition and verifies every chunk; `None` before the first commit.
    ///
    /// # Errors
    /// [`LogError::CorruptState`] if a part is damaged: the call returns no partial state, and
    /// [`PartitionLog::reset_state`] is the remedy.
    fn restore(&self, partition: PartitionId) -> Result<Option<Restored>, LogError>;

    /// Deletes the state and the cursor of a partition; its worker then starts at the oldest retained input.
    ///
    /// # Errors
    /// The error of a failed write; the call is safe to repeat.
    fn reset_state(&self, partition: PartitionId) -> Result<(), LogError>;

    /// Returns the retained offsets of a partition; 0..0 before the first append.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] if the log cannot be read now.
    fn bounds(&self, partition: PartitionId) -> Result<Bounds, LogError>;

    /// Returns the time (µs UTC) of the last write before this log was opened: until then the process before was alive.
    /// `None` for a new log.
    fn written_before(&self) -> Option<u64>;

    /// Returns sizes, ages and offsets of the whole log.
    ///
    /// The call iterates over all partitions and reads the sizes of all files: use it for a metrics scrape, and not for
    /// each sample.
    ///
    /// # Errors
    /// [`LogError::Io`] if the directory cannot be read, [`LogError::Unavailable`] if the store cannot be reopened.
    fn stats(&self) -> Result<LogStats, LogError>;

    /// Deletes records beyond their age or size limit at time `now` (µs UTC), and expired idempotency keys.
    ///
    /// It never deletes input that is not applied. It deletes in small steps, and appends run between two steps.
    ///
    /// # Errors
    /// The error of a failed step; the earlier steps remain effective, and the call is safe to repeat.
    fn enforce_retention(&self, now: u64) -> Result<RetentionReport, LogError>;

    /// Waits until the generation of the input is not `seen`, as [`Log::wait_for_results`] does for the results.
    ///
    /// Each append to any partition starts the next generation.
    fn wait_for_records(&self, seen: u64, timeout: Duration) -> u64;
}

/// Why a log cannot write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// The reason, with its remedy.
    pub reason: String,
    /// Only a restart can help; else the log goes on by itself once the reason is gone.
    pub needs_restart: bool,
}
