//! The table of one partition with its cursors: records and time in, commits out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::micros;
use daemon_log::{LogError, RecordBuffer};
use daemon_results::block::BlockSink;
use proxy_uve::{Fate, Record, SnapshotError, Table, TableSettings};

use crate::{RestoredStates, StreamPlan, TableStatus};

/// Results beyond this are committed at once.
const MAX_PENDING_BYTES: usize = 16 * 1024 * 1024;

/// Two answers "nothing more to read" that lie further apart do not cover the time between them.
const MAX_UNCONFIRMED: Duration = Duration::from_secs(5);

/// The outcomes of records that are not samples and never will be.
const MALFORMED: [Fate; 3] = [Fate::MalformedKey, Fate::MalformedPayload, Fate::MalformedValue];

/// The table of one partition, its cursors, and what is not committed yet. All times are monotonic.
///
/// Call order: [`begin`](Self::begin) once; then [`apply`](Self::apply) for what was read, or
/// [`confirm_at_end`](Self::confirm_at_end) when there was nothing, and [`close_more`](Self::close_more) while
/// [`is_closing`](Self::is_closing); [`prepare_commit`](Self::prepare_commit) when [`is_due`](Self::is_due). After a
/// commit that failed the partition is restored: nothing here undoes one.
pub struct PartitionTable {
    stream: Arc<StreamPlan>,
    table: Table<BlockSink>,
    restored: Option<RestoredStates>,
    cursors: BTreeMap<u16, u64>,
    committed: Committed,
    /// When the first result came that is not committed.
    pending_since: Option<Duration>,
    last_record: Duration,
    at_end: Option<AtEnd>,
}

/// What the last commit held.
#[derive(Clone, Debug, Default)]
struct Committed {
    cursors: BTreeMap<u16, u64>,
    /// Closing by the clock moves it without any input.
    watermark: u64,
    at: Duration,
}

/// A time through which the log had nothing more, confirmed again and again.
#[derive(Clone, Copy, Debug)]
struct AtEnd {
    since: Duration,
    confirmed: Duration,
}

/// When a commit is due.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    /// Anything is due: the last chance to commit.
    pub all: bool,
    /// How long the first result waits for others to share a commit with.
    pub linger: Duration,
    /// How long progress without results waits.
    pub interval: Duration,
}

/// What changed in a table since the last commit.
#[derive(Debug)]
pub struct TableCommit {
    /// The table's own record.
    pub meta: Vec<u8>,
    /// The changed chunks of state; `None` deletes one.
    pub chunks: Vec<(u32, Option<Vec<u8>>)>,
    /// The results.
    pub results: RecordBuffer,
}

impl PartitionTable {
    /// A table without any state, which makes blocks of about `block_bytes` of results.
    pub fn new(stream: Arc<StreamPlan>, settings: TableSettings, block_bytes: usize) -> Self {
        let sink = BlockSink::new(&stream.plan, block_bytes);
        let table = Table::with_sink(Arc::clone(&stream.plan), settings, sink);
        Self::with_table(stream, table, None, BTreeMap::new())
    }

    /// The table of a saved state, with the cursors that were committed with it.
    ///
    /// # Errors
    ///
    /// When the state is damaged or of a newer program ([`SnapshotError::is_from_newer_program`]).
    pub fn restore<'a>(
        stream: Arc<StreamPlan>,
        settings: TableSettings,
        block_bytes: usize,
        meta: &[u8],
        chunks: impl IntoIterator<Item = (u32, &'a [u8])>,
        cursors: BTreeMap<u16, u64>,
    ) -> Result<Self, SnapshotError> {
        let sink = BlockSink::new(&stream.plan, block_bytes);
        let (table, report) = Table::restore_with_sink(Arc::clone(&stream.plan), settings, sink, meta, chunks)?;
        Ok(Self::with_table(stream, table, Some(RestoredStates::from(&report)), cursors))
    }

    fn with_table(
        stream: Arc<StreamPlan>,
        table: Table<BlockSink>,
        restored: Option<RestoredStates>,
        cursors: BTreeMap<u16, u64>,
    ) -> Self {
        let watermark = table.watermark();
        let committed = Committed { cursors: cursors.clone(), watermark, at: Duration::ZERO };
        Self {
            stream,
            table,
            restored,
            cursors,
            committed,
            pending_since: None,
            last_record: Duration::ZERO,
            at_end: None,
        }
    }

    /// The table with these cursors, where reading begins.
    #[must_use]
    pub fn with_cursors(mut self, cursors: BTreeMap<u16, u64>) -> Self {
        self.committed.cursors = cursors.clone();
        Self { cursors, ..self }
    }

    /// Starts the clock of a table that was made at some other time.
    pub fn begin(&mut self, now: Duration) {
        self.committed.at = now;
        self.last_record = now;
    }

    /// The stream and its plan.
    pub fn stream(&self) -> &Arc<StreamPlan> {
        &self.stream
    }

    /// What the restore did with the saved states; `None` if there were none to use.
    pub fn restored(&self) -> Option<&RestoredStates> {
        self.restored.as_ref()
    }

    /// Objects with state.
    pub fn objects(&self) -> usize {
        self.table.objects()
    }

    /// Event time up to which windows are closed, in microseconds since the epoch.
    pub fn watermark(&self) -> u64 {
        self.table.watermark()
    }

    /// The next offset to apply, by input partition.
    pub fn cursors(&self) -> &BTreeMap<u16, u64> {
        &self.cursors
    }

    /// The next offset to apply of one input partition; `None` if it has shown no record yet.
    pub fn cursor(&self, source: u16) -> Option<u64> {
        self.cursors.get(&source).copied()
    }

    /// Applies records of one input partition in order; `next` is the offset behind them.
    pub fn apply<'r>(&mut self, source: u16, records: impl IntoIterator<Item = Record<'r>>, next: u64, now: Duration) {
        self.table.ingest_payloads(records);
        self.cursors.insert(source, next);
        self.record_came(now);
        self.note_results(now);
    }

    /// Notes that a record came which is not applied yet: the partition is not at its end.
    pub fn record_came(&mut self, now: Duration) {
        self.last_record = now;
        self.at_end = None;
    }

    /// Records of an input partition before `first` are gone. Windows that lack them are marked partial.
    pub fn skip_to(&mut self, source: u16, first: u64) {
        self.cursors.insert(source, first);
        if let Some(newest) = self.table.newest_timestamp() {
            self.table.mark_gap(newest.saturating_add(1));
        }
    }

    /// How many records were not samples.
    pub fn malformed(&self) -> u64 {
        MALFORMED.iter().map(|&fate| self.table.fates().count(fate)).sum()
    }

    /// Why a record is not a sample; `None` if it is one.
    pub fn reason_malformed(&self, key: &[u8], payload: &[u8]) -> Option<String> {
        self.table.fault(key, payload).map(|reason| reason.to_string())
    }

    /// How long the partition has had no record.
    pub fn idle(&self, now: Duration) -> Duration {
        now.saturating_sub(self.last_record)
    }

    /// Whether a window is closing in slices.
    pub fn is_closing(&self) -> bool {
        self.table.is_closing()
    }

    /// Closes up to `objects` more objects of a window that is closing; returns how many of that number are left.
    pub fn close_more(&mut self, objects: usize, now: Duration) -> usize {
        let left = self.table.close_more(objects);
        self.note_results(now);
        left
    }

    /// Closes every window that has samples: the end of a replay.
    pub fn close_all(&mut self, now: Duration) {
        if let Some(newest) = self.table.newest_timestamp() {
            let longest = self.table.plan().longest_window();
            self.table.advance((newest - newest % longest).saturating_add(longest));
            self.note_results(now);
        }
    }

    /// Lets time pass for a partition whose log was just found to have nothing more. Once that has been so for
    /// `idle_timeout`, event time goes on from the newest timestamp at the speed of the monotonic clock: neither a step
    /// of the wall clock nor a replay of old data can close a window too early.
    ///
    /// Only time that is covered by such answers counts: while the log was away or this process was frozen, producers
    /// may not have been able to send either.
    pub fn confirm_at_end(&mut self, now: Duration, settings: &TableSettings, idle_timeout: Duration) {
        let known = self.at_end.filter(|at_end| now.saturating_sub(at_end.confirmed) <= MAX_UNCONFIRMED);
        let since = known.map_or(now, |at_end| at_end.since);
        self.at_end = Some(AtEnd { since, confirmed: now });
        let quiet = now.saturating_sub(since);
        let Some(newest) = self.table.newest_timestamp().filter(|_| quiet >= idle_timeout) else { return };
        self.table.advance(settings.watermark(newest.saturating_add(micros(quiet))));
        self.note_results(now);
    }

    /// Makes a commit due after the linger: there is something to commit that is not a result.
    pub fn expect_commit(&mut self, now: Duration) {
        self.pending_since.get_or_insert(now);
    }

    fn note_results(&mut self, now: Duration) {
        if self.table.sink().rows() > 0 {
            self.expect_commit(now);
        }
    }

    /// The size of the results that are not committed.
    pub fn pending_bytes(&self) -> usize {
        self.table.sink().bytes()
    }

    /// Whether more results wait than should wait for others.
    pub fn is_full(&self) -> bool {
        self.pending_bytes() > MAX_PENDING_BYTES
    }

    /// Whether there is something to commit: results after the linger, progress after the interval.
    ///
    /// Never while a window is closing, as the state then is that of two moments; what is not committed is read again.
    /// The records that come end it, or [`close_more`](Self::close_more) does.
    pub fn is_due(&self, now: Duration, due: Due) -> bool {
        if self.table.is_closing() {
            return false;
        }
        match self.pending_since {
            Some(since) => due.all || now.saturating_sub(since) >= due.linger || self.is_full(),
            None => self.has_moved() && (due.all || now.saturating_sub(self.committed.at) >= due.interval),
        }
    }

    fn has_moved(&self) -> bool {
        self.cursors != self.committed.cursors || self.table.watermark() != self.committed.watermark
    }

    /// When the last commit was.
    pub fn committed_at(&self) -> Duration {
        self.committed.at
    }

    /// What changed since the last commit. The caller commits it with the cursors, or restores the partition.
    ///
    /// # Errors
    ///
    /// When a result is too large for the log.
    pub fn prepare_commit(&mut self, now: Duration) -> Result<TableCommit, LogError> {
        let results = self.table.sink_mut().take()?;
        let snapshot = self.table.snapshot();
        self.committed = Committed { cursors: self.cursors.clone(), watermark: self.table.watermark(), at: now };
        self.pending_since = None;
        Ok(TableCommit { meta: snapshot.meta, chunks: snapshot.chunks, results })
    }

    /// The state to publish.
    pub fn status(&self) -> TableStatus {
        TableStatus {
            stream: self.stream.name.clone(),
            cursors: self.cursors.clone(),
            closing: self.table.is_closing(),
            objects: self.table.objects(),
            watermark: self.table.watermark(),
            fates: *self.table.fates(),
            restored: self.restored.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
