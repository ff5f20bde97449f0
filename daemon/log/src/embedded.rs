//! The log on the local disk: one directory and no other service.
//!
//! All changes pass through the [`writer`], which combines waiting requests into one write and one sync. The modules:
//!
//! | module | content |
//! |---|---|
//! | [`directory`], [`health`] | the lock and the format of the data directory, and whether it takes writes |
//! | [`segment`], [`disk`] | the files of the store, and the operations that change them |
//! | [`journal`], [`change`], [`checkpoint`] | the stored form of a write, of its changes, and of all changes together |
//! | [`tables`], [`keys`] | the tables in memory of the writer |
//! | [`catalog`], [`recent`], [`read`] | what readers know, the newest frames in memory, and reads |
//! | [`recover`], [`replay`] | the opening |
//! | [`writer`], [`stage`], [`mod@write`] | the single writer: the write lock, one write |
//! | [`append`], [`state`] | the requests: appends, commits |
//! | [`roll`], [`free`], [`retire`] | new files, the space of replaced state, retention |
//!
//! # Disk and memory
//!
//! Records are written once. Chunks of state are copied when most of their file is not in use, and each file of the
//! journal begins with a checkpoint of the tables. The directory holds the retained records, twice the state and 32 MiB,
//! and one file of each family that is not full yet. In memory are the places of the state's chunks, the idempotency
//! keys, one place for every 64 KiB of a log, and 2 MiB of the newest records.
//!
//! # After a failed write
//!
//! A full disk, or any other IO error, fails the calls that shared the write. The next call reads the tables again, cuts
//! the failed write off if it is not whole, and writes it again if it is; when there is space again, the log goes on
//! without a restart. A partition must be
//! restored before it may commit again, because a failed write may be on disk in spite of the error.

mod append;
pub(crate) mod catalog;
pub(crate) mod change;
pub(crate) mod checkpoint;
pub(crate) mod directory;
pub(crate) mod disk;
mod free;
mod health;
pub(crate) mod journal;
pub(crate) mod keys;
mod read;
mod recent;
pub(crate) mod recover;
mod replay;
mod retire;
mod roll;
pub(crate) mod segment;
mod stage;
mod state;
pub(crate) mod tables;
#[cfg(test)]
mod tests;
mod write;
mod writer;

use std::path::Path;
use std::time::Duration;

use daemon_base::failpoint;

use crate::config::LogConfig;
use crate::error::LogError;
use crate::{
    AppendBatch, Appended, Bounds, LogStats, Outage, PartitionCommit, PartitionId, PartitionStats, RecordBatch,
    Restored, RetentionReport, SinkPosition,
};
use crate::{Log, PartitionLog};

use self::directory::Directory;
use self::stage::{Reply, Request};
use self::tables::Partition;
use self::writer::Writer;

/// The size at which a file of the store is closed: a file is what retention deletes at once.
const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// The smallest one, for small limits of retention.
const MIN_SEGMENT_BYTES: u64 = 1024 * 1024;

/// The size of a file of state, which is small so that the space of replaced chunks comes back soon.
const STATE_SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// The interval and the number of attempts to lock a directory that another process has open: one second in all.
const LOCK_POLL: Duration = Duration::from_millis(10);
const LOCK_TRIES: u32 = 100;

/// The [`Log`] in a local directory, with a single writer and one store for all partitions.
///
/// Dropping it closes the directory. It takes no thread of its own for writes: one of the waiting callers writes for
/// all of them.
pub struct EmbeddedLog {
    writer: Writer,
    disk: std::path::PathBuf,
    /// The time of the last write of the process before.
    written_before: Option<u64>,
}

impl EmbeddedLog {
    /// Opens the log in the directory `path`, and creates it if the directory is empty or missing.
    ///
    /// If another process has the directory open, the call waits up to a second, because at a restart the earlier
    /// process may still be closing it.
    ///
    /// # Errors
    /// [`LogError::Locked`] if another process keeps the directory open. [`LogError::UnknownVersion`],
    /// [`LogError::Damaged`] or [`LogError::LostTail`] if the files fail their checks. [`LogError::LostResults`] if results
    /// are missing that a sink has not read. [`LogError::Io`] if the file system fails.
    pub fn open(path: &Path, config: LogConfig) -> Result<Self, LogError> {
        let size = |limit: u64| (limit / 16).clamp(MIN_SEGMENT_BYTES, SEGMENT_BYTES);
        let input = size(config.max_input_bytes.max(config.max_backlog_bytes));
        let results = size(config.max_results_bytes.max(config.results_hard_limit_bytes));
        Self::open_with(path, config, [input, results, STATE_SEGMENT_BYTES])
    }

    /// Opens a log that closes the files of the journal, of results and of state at these sizes.
    fn open_with(path: &Path, config: LogConfig, segment_bytes: [u64; 3]) -> Result<Self, LogError> {
        for _ in 0..LOCK_TRIES {
            match Self::open_now(path, config.clone(), segment_bytes) {
                Err(LogError::Locked { .. }) => std::thread::sleep(LOCK_POLL),
                opened => return opened,
            }
        }
        Self::open_now(path, config, segment_bytes)
    }

    /// Opens the log in the directory `path` as [`open`](Self::open), but never creates one.
    ///
    /// # Errors
    /// [`LogError::NoLog`] if the directory has no log; then nothing was created. Otherwise as `open`.
    pub fn open_existing(path: &Path, config: LogConfig) -> Result<Self, LogError> {
        if directory::is_log(path)? { Self::open(path, config) } else { Err(LogError::NoLog { path: path.to_owned() }) }
    }

    /// Checks that the directory `path` has a log of this version or can become one. It changes nothing, and reads no
    /// record.
    ///
    /// # Errors
    /// [`LogError::NotADirectory`], [`LogError::UnknownVersion`] or [`LogError::Io`], as [`open`](Self::open) would
    /// fail.
    pub fn check_format(path: &Path) -> Result<(), LogError> {
        directory::check_format(path).map(drop)
    }

    /// One more than the largest number of a partition of which the log has had records; 0 without any.
    ///
    /// # Errors
    /// [`LogError::Io`] if the log must be read again after a failed write, and cannot.
    pub fn least_partitions(&self) -> Result<u16, LogError> {
        let locked = self.writer.lock()?;
        let numbers = locked.known().partitions.keys().map(|id| id.partition.saturating_add(1));
        Ok(numbers.max().unwrap_or(0))
    }

    /// Checks that the disk takes a write, for a process that is going to write: a failure is an
    /// [`outage`](Log::outage) until there is space again. Nothing is checked if a write has succeeded since the last
    /// call.
    ///
    /// # Errors
    /// [`LogError::Io`] if the disk is full or refuses writes. The log stays usable.
    pub fn check_disk(&self) -> Result<(), LogError> {
        self.writer.check_disk()
    }

    fn open_now(path: &Path, config: LogConfig, segment_bytes: [u64; 3]) -> Result<Self, LogError> {
        let directory = Directory::open(path)?;
        let disk = directory.store_path();
        let writer = Writer::open(directory, config, segment_bytes)?;
        let written_before = Some(writer.lock()?.tables().last_at).filter(|at| *at > 0);
        Ok(Self { writer, disk, written_before })
    }
}

impl Log for EmbeddedLog {
    fn append(&self, mut batch: AppendBatch) -> Result<Appended, LogError> {
        failpoint::point("append.before");
        batch.partitions.values_mut().for_each(|records| records.finish());
        match self.writer.submit(Request::Append(batch))? {
            Reply::Appended(appended) => {
                failpoint::point("append.after");
                Ok(appended)
            }
            reply => Err(wrong_reply(&reply)),
        }
    }

    /// Arrival times never go back, whatever the clock does.
    fn arrival(&self, at: u64) -> u64 {
        at.max(self.writer.catalog().last_at)
    }

    fn read_results(&self, from: u64, max_bytes: usize) -> Result<RecordBatch, LogError> {
        self.writer.read(PartitionId::RESULTS, from, max_bytes)
    }

    fn results_bounds(&self) -> Result<Bounds, LogError> {
        Ok(self.writer.bounds(PartitionId::RESULTS))
    }

    fn sink_position(&self, sink: &str) -> Result<Option<SinkPosition>, LogError> {
        Ok(self.writer.lock()?.tables().sinks.get(sink).cloned())
    }

    fn set_sink_position(&self, sink: &str, position: SinkPosition) -> Result<(), LogError> {
        self.writer.submit(Request::SetSink(sink.to_owned(), position)).map(drop)
    }

    fn remove_sink(&self, sink: &str) -> Result<(), LogError> {
        self.writer.submit(Request::RemoveSink(sink.to_owned())).map(drop)
    }

    fn wait_for_results(&self, seen: u64, timeout: Duration) -> u64 {
        self.writer.results.wait(seen, timeout)
    }

    fn outage(&self) -> Option<Outage> {
        self.writer.health.outage()
    }

    fn wake_all(&self) {
        self.writer.records.raise();
        self.writer.results.raise();
    }
}

impl PartitionLog for EmbeddedLog {
    fn stream_id(&self, name: &str) -> Result<u16, LogError> {
        if let Some(number) = self.find_stream(name)? {
            return Ok(number);
        }
        match self.writer.submit(Request::RegisterStream(name.to_owned()))? {
            Reply::Stream(number) => Ok(number),
            reply => Err(wrong_reply(&reply)),
        }
    }

    fn find_stream(&self, name: &str) -> Result<Option<u16>, LogError> {
        Ok(self.writer.lock()?.tables().streams.get(name).copied())
    }

    fn read(&self, partition: PartitionId, from: u64, max_bytes: usize) -> Result<RecordBatch, LogError> {
        self.writer.read(partition, from, max_bytes)
    }

    fn commit(&self, mut commits: Vec<PartitionCommit>, committed_at: u64) -> Result<(), LogError> {
        failpoint::point("commit.before");
        commits.iter_mut().for_each(|commit| commit.results.finish());
        self.writer.submit(Request::Commit(commits, committed_at))?;
        failpoint::point("commit.after");
        Ok(())
    }

    fn commit_source(&self, mut commit: PartitionCommit, mut samples: AppendBatch) -> Result<(), LogError> {
        commit.results.finish();
        samples.partitions.values_mut().for_each(|records| records.finish());
        self.writer.submit(Request::CommitSource(commit, samples)).map(drop)
    }

    fn restore(&self, partition: PartitionId) -> Result<Option<Restored>, LogError> {
        self.writer.lock()?.restore(partition)
    }

    fn reset_state(&self, partition: PartitionId) -> Result<(), LogError> {
        self.writer.submit(Request::ResetState(partition)).map(drop)
    }

    fn bounds(&self, partition: PartitionId) -> Result<Bounds, LogError> {
        Ok(self.writer.bounds(partition))
    }

    fn written_before(&self) -> Option<u64> {
        self.written_before
    }

    fn stats(&self) -> Result<LogStats, LogError> {
        let measured = daemon_base::disk_use::disk_bytes(&self.disk);
        let disk_bytes = measured.map_err(|source| directory::io_error("measure the store", &self.disk, source))?;
        let mut locked = self.writer.lock()?;
        let reopened = locked.reopened();
        let tables = locked.tables();
        let stats = |(id, partition): (&PartitionId, &Partition)| PartitionStats {
            partition: *id,
            bounds: partition.ends.bounds,
            bytes: partition.ends.bytes(),
            cursor: partition.cursor(),
            backlog_bytes: partition.backlog_bytes(),
            state_bytes: partition.chunks.values().map(|chunk| u64::from(chunk.place.len)).sum(),
        };
        Ok(LogStats {
            disk_bytes,
            partitions: tables.partitions.iter().map(stats).collect(),
            input_bytes: tables.input_bytes(),
            backlog_bytes: tables.backlog_bytes(),
            oldest_input_at: tables.partitions.values().filter_map(|it| it.ends.oldest_at).min(),
            results: tables.results.bounds,
            results_bytes: tables.results.bytes(),
            oldest_result_at: tables.results.oldest_at,
            results_dropped: tables.results_dropped,
            idempotency_keys: tables.keys.len(),
            sinks: tables.sinks.iter().map(|(name, sink)| (name.clone(), sink.next)).collect(),
            reopened,
        })
    }

    fn enforce_retention(&self, now: u64) -> Result<RetentionReport, LogError> {
        self.writer.enforce_retention(now)
    }

    fn wait_for_records(&self, seen: u64, timeout: Duration) -> u64 {
        self.writer.records.wait(seen, timeout)
    }
}

fn wrong_reply(reply: &Reply) -> LogError {
    LogError::Unavailable { reason: format!("the writer returned the reply of another request: {reply:?}") }
}
