//! One partition of the embedded log in the hands of a worker: its table, restored from the log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemon_base::failpoint;
use daemon_log::{LogError, PartitionCommit, PartitionId, PartitionLog, RecordBatch, Restored};
use daemon_partition::{PartitionTable, StreamPlan, WorkerSettings};
use daemon_results::block::MAX_BLOCK_BYTES;
use proxy_uve::{Position, Record};
use tracing::{debug, error, info};

use super::written::AllWritten;

/// A partition, restored and ready to go on.
pub(super) struct Assignment {
    pub id: PartitionId,
    pub table: PartitionTable,
    /// The event time that passed unobserved before this process started, until it is committed.
    pub downtime: Option<(u64, u64)>,
}

impl Assignment {
    /// Restores the partition from the log, or starts it anew if nothing was ever committed.
    ///
    /// A state that is damaged or cannot be read is an error without [`WorkerSettings::may_start_over`]. With it, the state
    /// is dropped as a whole, and the partition replays its retained input: results then come again, but none is
    /// computed from half a state. The state of a newer program is an error in any case.
    pub(super) fn restore(
        log: &dyn PartitionLog,
        id: PartitionId,
        stream: Arc<StreamPlan>,
        (settings, written): (&WorkerSettings, &AllWritten),
        now: Duration,
    ) -> Result<Self, LogError> {
        let restored = match log.restore(id) {
            Err(error @ LogError::CorruptState { .. }) => {
                start_over(log, id, settings, &error)?;
                None
            }
            restored => restored?,
        };
        let mut table = match restored {
            None => fresh(log, id, stream, (settings, written))?,
            Some(saved) => table(log, id, stream, (settings, written), &saved)?,
        };
        table.begin(now);
        if let Some(interval @ (from, until)) = table.absence() {
            let stream = &table.stream().name;
            info!(
                partition = %id, %stream, from, until,
                "The stream was not configured: that time is unknown to its objects."
            );
            table.mark_unknown(interval, now);
        }
        let stream = &table.stream().name;
        if let Some(report) = table.restored() {
            report.log(id, stream);
        }
        debug!(partition = %id, %stream, cursor = ?table.cursor(id.partition), objects = table.objects(), "Partition restored.");
        Ok(Self { id, table, downtime: None })
    }

    /// Restores the partition after a failure.
    pub(super) fn restore_again(
        &mut self,
        log: &dyn PartitionLog,
        settings: &WorkerSettings,
        now: Duration,
    ) -> Result<(), LogError> {
        let downtime = self.downtime;
        // The permission was for the start.
        let settings = WorkerSettings { may_start_over: false, ..settings.clone() };
        let stream = Arc::clone(self.table.stream());
        let written = AllWritten::new([(self.id.stream, &stream)], settings.partitions);
        *self = Self::restore(log, self.id, stream, (&settings, &written), now)?;
        self.downtime = downtime;
        downtime.into_iter().for_each(|interval| self.table.mark_unknown(interval, now));
        Ok(())
    }

    /// Marks the time since the last run of the program as unknown; `now` and `wall` (µs since the
    /// epoch) are those of the start.
    pub(super) fn with_downtime(mut self, log: &dyn PartitionLog, now: Duration, wall: u64) -> Self {
        let has_input = log.bounds(self.id).is_ok_and(|bounds| bounds.next > 0);
        self.downtime = self.table.downtime(log.written_before(), wall, has_input);
        let Some(interval @ (from, until)) = self.downtime else { return self };
        info!(
            partition = %self.id, stream = %self.table.stream().name, from, until,
            "Nothing was observed while this program was down: its windows are partial, and no object ages in them."
        );
        self.table.mark_unknown(interval, now);
        self
    }

    /// The next input offset to apply.
    pub(super) fn cursor(&self) -> u64 {
        self.table.cursor(self.id.partition).unwrap_or(0)
    }

    /// Applies what was read.
    pub(super) fn apply(&mut self, batch: &RecordBatch, now: Duration) {
        let records = batch.records().map(|record| Record {
            position: Position::new(record.offset),
            arrived: record.appended_at,
            key: record.key,
            payload: record.payload,
        });
        self.table.apply(self.id.partition, records, batch.next_offset(), now, |_| {});
    }

    /// What changed since the last commit. The caller commits it, or restores the partition.
    pub(super) fn prepare_commit(&mut self, now: Duration) -> Result<PartitionCommit, LogError> {
        let (partition, cursor) = (self.id, self.cursor());
        let commit = self.table.prepare_commit(now)?;
        Ok(PartitionCommit { partition, cursor, meta: commit.meta, chunks: commit.chunks, results: commit.results })
    }
}

/// The table of a saved state; a fresh one if it cannot be read.
fn table(
    log: &dyn PartitionLog,
    id: PartitionId,
    stream: Arc<StreamPlan>,
    (settings, written): (&WorkerSettings, &AllWritten),
    saved: &Restored,
) -> Result<PartitionTable, LogError> {
    failpoint::point("restore.mid");
    let chunks = saved.chunks.iter().map(|(chunk, bytes)| (*chunk, bytes.as_slice()));
    let cursors = BTreeMap::from([(id.partition, saved.cursor)]);
    let plan = Arc::clone(&stream);
    match PartitionTable::restore(plan, settings.table, MAX_BLOCK_BYTES, &saved.meta, chunks, cursors) {
        Ok(table) => Ok(table),
        // To start over would destroy what the newer program can still read.
        Err(error) if error.is_from_newer_program() => {
            Err(LogError::NewerState { partition: id, reason: error.to_string() })
        }
        Err(error) => {
            start_over(log, id, settings, &error)?;
            fresh(log, id, stream, (settings, written))
        }
    }
}

/// A table that begins with the oldest input that the log still has.
fn fresh(
    log: &dyn PartitionLog,
    id: PartitionId,
    stream: Arc<StreamPlan>,
    (settings, written): (&WorkerSettings, &AllWritten),
) -> Result<PartitionTable, LogError> {
    // After a reset, too, the log takes commits only from a worker that has restored the partition.
    log.restore(id)?;
    let first = log.bounds(id)?.first;
    let cursors = BTreeMap::from([(id.partition, first)]);
    let mut table = PartitionTable::new(stream, settings.table, MAX_BLOCK_BYTES).with_cursors(cursors);
    // A partition with input and without state has lost it, perhaps before a start that was killed.
    if log.bounds(id)?.next > 0 && (settings.may_start_over || !settings.alarms.is_empty()) {
        table = table.with_recovered_alarms(written.of(log, id)?);
    }
    if first > 0 {
        // Deleted input had arrived by then; of what time it was is not known.
        let oldest = log.read(id, first, 1)?.records().next().map(|record| record.appended_at);
        table.mark_lost_until(oldest.or_else(|| log.written_before()).unwrap_or(0));
    }
    Ok(table)
}

/// Drops a state that cannot be used, if the operator has accepted the loss.
fn start_over(
    log: &dyn PartitionLog,
    id: PartitionId,
    settings: &WorkerSettings,
    error: &dyn std::error::Error,
) -> Result<(), LogError> {
    let (from, permission) = (log.bounds(id)?.first, settings.start_over.clone());
    if !settings.may_start_over {
        return Err(LogError::StateLoss { partition: id, reason: error.to_string(), from, permission });
    }
    error!(partition = %id, %error, from, "The saved state cannot be used; the partition replays its retained input.");
    log.reset_state(id)
}
