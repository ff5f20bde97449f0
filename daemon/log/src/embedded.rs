//! The log on the local disk: one directory, no services.
//!
//! Every change goes through the [`writer`], which gathers what waits into one write and one sync. The pieces:
//! [`directory`] (lock, format, witness), [`store`] (the embedded store, and what was found out about it), [`load`]
//! and [`tables`] (what is kept in memory), [`append`], [`idempotency`], [`state`], [`read`], [`trim`].
//!
//! # After a failed write
//!
//! A full disk, or any other IO error, fails the calls that shared the write. The log then drops the store and opens
//! it again at the next write, as often as it takes; when there is space again it goes on, without a restart. The
//! partitions have to be restored before they may commit again, because a failed write may be on disk all the same.
//!
//! # Memory
//!
//! Write buffers (15 MiB, up to three of each while flushes are pending) and 8 MiB of cache. Measured: 5 MB after
//! opening an empty directory, 40 to 50 MB of resident memory for the whole test process under full load, and the same
//! while idle after it: a buffer is given back when it is flushed.
//!
//! # Disk
//!
//! The retained records, plus about 300 MiB under full load: the journal (64 to 128 MiB) and deleted records that the
//! store has not compacted away yet.

mod append;
mod directory;
mod idempotency;
mod inspect;
mod load;
mod queue;
mod read;
mod state;
mod store;
mod tables;
#[cfg(test)]
mod tests;
mod trim;
mod writer;

use std::path::Path;
use std::time::Duration;

use daemon_base::failpoint;

use crate::config::LogConfig;
use crate::error::LogError;
use crate::types::{
    AppendBatch, Appended, Bounds, LogStats, PartitionCommit, PartitionId, PartitionStats, RecordBatch, Restored,
    Retained, SinkPosition,
};
use crate::{Log, PartitionLog};

use self::directory::Directory;
use self::tables::Partition;
use self::writer::{Answer, Request, Writer};

/// How often, and how many times, a log that somebody else has open is tried again: for a second.
const LOCK_POLL: Duration = Duration::from_millis(10);
const LOCK_TRIES: u32 = 100;

/// The [`Log`] in a local directory, with a single writer and one store for all partitions.
pub struct EmbeddedLog {
    writer: Writer,
    disk: std::path::PathBuf,
}

impl EmbeddedLog {
    /// Opens the log in `path`, creating it if the directory is empty or missing. Whoever has it open may be just
    /// ending, as at a restart, and is waited for a moment.
    ///
    /// # Errors
    /// [`LogError::Locked`] if another process has it open and keeps it, [`LogError::UnknownVersion`],
    /// [`LogError::Damaged`] or [`LogError::LostTail`] if its files are not in order.
    pub fn open(path: &Path, config: LogConfig) -> Result<Self, LogError> {
        for _ in 0..LOCK_TRIES {
            match Self::open_now(path, config.clone()) {
                Err(LogError::Locked { .. }) => std::thread::sleep(LOCK_POLL),
                opened => return opened,
            }
        }
        Self::open_now(path, config)
    }

    fn open_now(path: &Path, config: LogConfig) -> Result<Self, LogError> {
        let directory = Directory::open(path)?;
        let disk = directory.store_path();
        Ok(Self { writer: Writer::open(directory, config)?, disk })
    }
}

impl Log for EmbeddedLog {
    fn append(&self, mut batch: AppendBatch) -> Result<Appended, LogError> {
        failpoint::point("append.before");
        batch.partitions.values_mut().for_each(|records| records.finish());
        match self.writer.submit(Request::Append(batch))? {
            Answer::Appended(appended) => {
                failpoint::point("append.after");
                Ok(appended)
            }
            answer => Err(wrong_answer(&answer)),
        }
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

    fn wake_all(&self) {
        self.writer.records.raise();
        self.writer.results.raise();
    }
}

impl PartitionLog for EmbeddedLog {
    fn stream_id(&self, name: &str) -> Result<u16, LogError> {
        if let Some(number) = self.writer.lock()?.tables().streams.get(name) {
            return Ok(*number);
        }
        match self.writer.submit(Request::RegisterStream(name.to_owned()))? {
            Answer::Stream(number) => Ok(number),
            answer => Err(wrong_answer(&answer)),
        }
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

    fn stats(&self) -> Result<LogStats, LogError> {
        let disk_bytes = directory::disk_bytes(&self.disk)?;
        let mut locked = self.writer.lock()?;
        let reopened = locked.reopened();
        let tables = locked.tables();
        let stats = |(id, partition): (&PartitionId, &Partition)| PartitionStats {
            partition: *id,
            bounds: partition.ends.bounds,
            bytes: partition.ends.bytes(),
            cursor: partition.cursor,
            backlog_bytes: partition.backlog_bytes(),
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
            idempotency_keys: tables.keys.count,
            sinks: tables.sinks.iter().map(|(name, sink)| (name.clone(), sink.next)).collect(),
            reopened,
        })
    }

    fn enforce_retention(&self, now: u64) -> Result<Retained, LogError> {
        self.writer.enforce_retention(now)
    }

    fn wait_for_records(&self, seen: u64, timeout: Duration) -> u64 {
        self.writer.records.wait(seen, timeout)
    }
}

fn wrong_answer(answer: &Answer) -> LogError {
    LogError::Unavailable { reason: format!("the writer answered another question: {answer:?}") }
}
