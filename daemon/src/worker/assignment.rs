//! One partition in the hands of a worker: its table, and where it stands in the log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::micros;
use daemon_base::failpoint;
use daemon_log::{LogError, PartitionCommit, PartitionId, PartitionLog, RecordBatch, Restored};
use proxy_uve::{Position, Record, Table};
use tracing::{debug, error};

use crate::restored::RestoredStates;
use crate::result_block::{BlockSink, MAX_BLOCK_BYTES};
use crate::telemetry::PartitionStatus;
use crate::worker::{CLOSED_IN_TURN, StreamPlan, WorkerSettings};

/// A partition, restored and ready to go on.
pub(crate) struct Assignment {
    id: PartitionId,
    stream: Arc<StreamPlan>,
    table: Table<BlockSink>,
    /// What the restore did with the saved states; `None` if there were none to use.
    restored: Option<RestoredStates>,
    /// The next input offset to apply.
    cursor: u64,
    committed_cursor: u64,
    /// The watermark of the last commit: closing by the clock moves it without any input.
    committed_watermark: u64,
    last_commit: Duration,
    /// When the last record came, by the monotonic clock.
    last_input: Duration,
}

impl Assignment {
    /// Restores the partition from the log, or starts it anew if nothing was ever committed.
    ///
    /// A state that is damaged or cannot be read is dropped as a whole, and the partition replays its retained input:
    /// results may then come again, but none is computed from half a state. The state of a newer program is an error.
    pub(crate) fn restore(
        log: &dyn PartitionLog,
        id: PartitionId,
        stream: Arc<StreamPlan>,
        settings: &WorkerSettings,
        now: Duration,
    ) -> Result<Self, LogError> {
        let restored = match log.restore(id) {
            Err(error @ LogError::CorruptState { .. }) => {
                Self::start_over(log, id, &error)?;
                None
            }
            restored => restored?,
        };
        let (table, report, cursor) = match restored {
            None => (Self::fresh(log, id, &stream, settings)?, None, log.bounds(id)?.first),
            Some(restored) => Self::table(log, id, &stream, settings, &restored)?,
        };
        let committed_watermark = table.watermark();
        if let Some(report) = &report {
            report.log(id, &stream.name);
        }
        debug!(partition = %id, stream = %stream.name, cursor, objects = table.objects(), "Partition restored.");
        Ok(Self {
            id,
            stream,
            table,
            restored: report,
            cursor,
            committed_cursor: cursor,
            committed_watermark,
            last_commit: now,
            last_input: now,
        })
    }

    /// The table of a saved state, what the restore did with its parts, and the cursor; a fresh table if it cannot be
    /// read.
    fn table(
        log: &dyn PartitionLog,
        id: PartitionId,
        stream: &StreamPlan,
        settings: &WorkerSettings,
        saved: &Restored,
    ) -> Result<(Table<BlockSink>, Option<RestoredStates>, u64), LogError> {
        failpoint::point("restore.mid");
        let chunks = saved.chunks.iter().map(|(chunk, bytes)| (*chunk, bytes.as_slice()));
        let (plan, sink) = (Arc::clone(&stream.plan), BlockSink::new(&stream.plan, MAX_BLOCK_BYTES));
        match Table::restore_with_sink(plan, settings.table, sink, &saved.meta, chunks) {
            Ok((table, report)) => Ok((table, Some(RestoredStates::from(&report)), saved.cursor)),
            // To start over would destroy what the newer program can still read.
            Err(error) if error.is_from_newer_program() => {
                Err(LogError::NewerState { partition: id, reason: error.to_string() })
            }
            Err(error) => {
                Self::start_over(log, id, &error)?;
                Ok((Self::fresh(log, id, stream, settings)?, None, log.bounds(id)?.first))
            }
        }
    }

    fn fresh(
        log: &dyn PartitionLog,
        id: PartitionId,
        stream: &StreamPlan,
        settings: &WorkerSettings,
    ) -> Result<Table<BlockSink>, LogError> {
        // Tells the log that this worker owns the partition now, after a reset as well.
        log.restore(id)?;
        let sink = BlockSink::new(&stream.plan, MAX_BLOCK_BYTES);
        Ok(Table::with_sink(Arc::clone(&stream.plan), settings.table, sink))
    }

    fn start_over(log: &dyn PartitionLog, id: PartitionId, error: &dyn std::error::Error) -> Result<(), LogError> {
        error!(partition = %id, %error, "The saved state cannot be used; the partition replays its retained input.");
        log.reset_state(id)
    }

    pub(crate) fn id(&self) -> PartitionId {
        self.id
    }

    pub(crate) fn stream(&self) -> Arc<StreamPlan> {
        Arc::clone(&self.stream)
    }

    pub(crate) fn cursor(&self) -> u64 {
        self.cursor
    }

    pub(crate) fn pending_result_bytes(&self) -> usize {
        self.table.sink().bytes()
    }

    /// Applies what was read. `now` is monotonic.
    pub(crate) fn apply(&mut self, batch: &RecordBatch, now: Duration) {
        self.table.ingest_payloads(batch.records().map(|record| Record {
            position: Position::new(record.offset),
            arrived: record.appended_at,
            key: record.key,
            payload: record.payload,
        }));
        self.cursor = batch.next_offset();
        self.last_input = now;
    }

    /// Records before `first` are gone.
    pub(crate) fn skip_to(&mut self, first: u64) {
        self.cursor = first;
        if let Some(newest) = self.table.newest_timestamp() {
            self.table.mark_gap(newest.saturating_add(1));
        }
    }

    /// Closes more of a window that is closing; whether there was one.
    pub(crate) fn close_more(&mut self) -> bool {
        let is_closing = self.table.is_closing();
        self.table.close_more(CLOSED_IN_TURN);
        is_closing
    }

    /// Lets time pass for a partition that was read to its end. Event time goes on from the newest timestamp at the
    /// speed of the monotonic clock: neither a step of the wall clock nor a replay of old data can close a window
    /// too early.
    pub(crate) fn pass_idle_time(&mut self, now: Duration, settings: &WorkerSettings) {
        let idle = now.saturating_sub(self.last_input);
        let Some(newest) = self.table.newest_timestamp().filter(|_| idle >= settings.idle_timeout) else {
            return;
        };
        self.table.advance(settings.table.watermark(newest.saturating_add(micros(idle))));
    }

    /// Closes every window that has samples: the end of a replay.
    pub(crate) fn close_all(&mut self) {
        if let Some(newest) = self.table.newest_timestamp() {
            let longest = self.table.plan().longest_window();
            self.table.advance((newest - newest % longest).saturating_add(longest));
        }
    }

    /// Whether there is something to commit: results always, progress after `interval`, anything if `all`.
    ///
    /// Never while a window is closing, as the state then is that of two moments; what is not committed is read again.
    /// The records that come end it, or [`close_more`](Self::close_more) does.
    pub(crate) fn is_due(&self, all: bool, now: Duration, interval: Duration) -> bool {
        if self.table.is_closing() {
            return false;
        }
        let moved = self.cursor != self.committed_cursor || self.table.watermark() != self.committed_watermark;
        self.table.sink().rows() > 0 || (moved && (all || now.saturating_sub(self.last_commit) >= interval))
    }

    /// What changed since the last commit. The caller commits it, or restores the partition.
    pub(crate) fn prepare_commit(&mut self, now: Duration) -> Result<PartitionCommit, LogError> {
        let results = self.table.sink_mut().take()?;
        let snapshot = self.table.snapshot();
        self.committed_cursor = self.cursor;
        self.committed_watermark = self.table.watermark();
        self.last_commit = now;
        let (partition, cursor) = (self.id, self.cursor);
        Ok(PartitionCommit { partition, cursor, meta: snapshot.meta, chunks: snapshot.chunks, results })
    }

    pub(crate) fn status(&self) -> PartitionStatus {
        PartitionStatus {
            stream: self.stream.name.clone(),
            cursor: self.cursor,
            cursors: BTreeMap::new(),
            closing: self.table.is_closing(),
            objects: self.table.objects(),
            watermark: self.table.watermark(),
            fates: *self.table.fates(),
            restored: self.restored.clone(),
        }
    }
}
