//! The table of one partition with its cursors: records and time in, commits out.

mod due;
mod pass;
mod regroup;
mod sink;
mod taps;
mod unknown;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemon_alarms::{Alarms, is_alarm_chunk};
use daemon_base::clock::{Clock, micros};
use daemon_log::LogError;
use daemon_results::block::BlockSink;
use proxy_uve::{Fate, Record, Table, TableSettings};

pub use self::regroup::{Regroup, RegroupError};
use self::sink::TableSink;
use crate::drops::Dropped;
use crate::{RestoreError, RestoredStates, StreamPlan, TableCommit, TableStatus, Written};

/// The size of uncommitted results above which a commit is due at once.
pub const MAX_PENDING_BYTES: usize = 16 * 1024 * 1024;

/// The longest time without a confirmation that still counts as observed.
const MAX_UNCONFIRMED: Duration = Duration::from_secs(5);

/// The outcomes of records that are not samples.
const MALFORMED: [Fate; 3] = [Fate::MalformedKey, Fate::MalformedPayload, Fate::MalformedValue];

/// The table of one partition with its cursors and uncommitted changes. All times are monotonic.
///
/// Call order: [`begin`](Self::begin) once; then [`apply`](Self::apply) for the records of a read, or
/// [`confirm_at_end`](Self::confirm_at_end) after a read without records, and [`close_more`](Self::close_more) while
/// [`is_closing`](Self::is_closing); [`prepare_commit`](Self::prepare_commit) when [`is_due`](Self::is_due). After a
/// failed commit the caller restores the partition: a table cannot undo a commit.
pub struct PartitionTable {
    stream: Arc<StreamPlan>,
    table: Table<TableSink>,
    restored: Option<RestoredStates>,
    cursors: BTreeMap<u16, u64>,
    committed: Committed,
    /// The time of the first uncommitted result.
    pending_since: Option<Duration>,
    last_record: Duration,
    at_end: Option<AtEnd>,
}

/// The progress of the last commit.
#[derive(Clone, Debug, Default)]
struct Committed {
    cursors: BTreeMap<u16, u64>,
    /// Windows that close by the clock advance it without input.
    watermark: u64,
    observed_until: Option<u64>,
    at: Duration,
}

/// A period in which the log had no further records, confirmed repeatedly.
#[derive(Clone, Copy, Debug)]
struct AtEnd {
    since: Duration,
    confirmed: Duration,
}

impl PartitionTable {
    /// An empty table, which makes blocks of about `block_bytes` of results.
    pub fn new(stream: Arc<StreamPlan>, settings: TableSettings, block_bytes: usize) -> Self {
        let alarms = Alarms::new(&stream.alarms, &stream.plan);
        let sink = TableSink { blocks: BlockSink::new(&stream.plan, block_bytes), alarms };
        let table = Table::with_sink(Arc::clone(&stream.plan), settings, sink);
        Self::with_table(stream, table, None, BTreeMap::new())
    }

    /// Restores a table from a saved state, with the cursors that were committed with it.
    ///
    /// # Errors
    ///
    /// When the state is damaged or of a newer version ([`RestoreError::is_from_newer_program`]).
    pub fn restore<'a>(
        stream: Arc<StreamPlan>,
        settings: TableSettings,
        block_bytes: usize,
        meta: &[u8],
        chunks: impl IntoIterator<Item = (u32, &'a [u8])>,
        cursors: BTreeMap<u16, u64>,
    ) -> Result<Self, RestoreError> {
        let (of_alarms, of_table): (Vec<_>, Vec<_>) = chunks.into_iter().partition(|(chunk, _)| is_alarm_chunk(*chunk));
        let alarms = Alarms::new(&stream.alarms, &stream.plan);
        let sink = TableSink { blocks: BlockSink::new(&stream.plan, block_bytes), alarms };
        let (mut table, report) = Table::restore_with_sink(Arc::clone(&stream.plan), settings, sink, meta, of_table)?;
        let now = table.watermark();
        table.sink_mut().alarms = Alarms::restore(&stream.alarms, &stream.plan, of_alarms, now)?;
        Ok(Self::with_table(stream, table, Some(RestoredStates::from(&report)), cursors))
    }

    fn with_table(
        stream: Arc<StreamPlan>,
        table: Table<TableSink>,
        restored: Option<RestoredStates>,
        cursors: BTreeMap<u16, u64>,
    ) -> Self {
        let committed = Committed {
            cursors: cursors.clone(),
            watermark: table.watermark(),
            observed_until: table.observed_until(),
            at: Duration::ZERO,
        };
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

    /// Sets the cursors at which reading begins.
    #[must_use]
    pub fn with_cursors(mut self, cursors: BTreeMap<u16, u64>) -> Self {
        self.committed.cursors = cursors.clone();
        Self { cursors, ..self }
    }

    /// Continues with the alarms that the results show, after the state was lost.
    #[must_use]
    pub fn with_recovered_alarms(mut self, written: Written) -> Self {
        let until = written.until();
        let (rules, plan) = (&self.stream.alarms, &self.stream.plan);
        self.table.sink_mut().alarms = Alarms::recovered(rules, plan, written.into_rows(), until);
        self
    }

    /// Starts the times of the table at `now`, when its input begins to be read.
    pub fn begin(&mut self, now: Duration) {
        self.committed.at = now;
        self.last_record = now;
        // A rule that is gone ends its alarms at the restore.
        self.expect_commit_of_results(now);
    }

    /// The settings of the table.
    pub fn settings(&self) -> &TableSettings {
        self.table.settings()
    }

    /// The stream and its plan.
    pub fn stream(&self) -> &Arc<StreamPlan> {
        &self.stream
    }

    /// The outcome of the restore; `None` if there was no usable saved state.
    pub fn restored(&self) -> Option<&RestoredStates> {
        self.restored.as_ref()
    }

    /// The number of objects with state.
    pub fn objects(&self) -> usize {
        self.table.objects()
    }

    /// Whether a sample of time `at` that arrived at `arrived`, both in microseconds since the epoch, will be refused
    /// because it is of the future.
    pub fn is_future(&self, at: u64, arrived: u64) -> bool {
        self.table.is_future(at, arrived)
    }

    /// Whether a sample was ever aggregated.
    pub fn has_samples(&self) -> bool {
        self.table.newest_timestamp().is_some()
    }

    /// Event time up to which windows are closed, in microseconds since the epoch.
    pub fn watermark(&self) -> u64 {
        self.table.watermark()
    }

    /// The next offset to apply, by input partition.
    pub fn cursors(&self) -> &BTreeMap<u16, u64> {
        &self.cursors
    }

    /// The next offset to apply of one input partition; `None` if it had no record yet.
    pub fn cursor(&self, source: u16) -> Option<u64> {
        self.cursors.get(&source).copied()
    }

    /// Applies records of one input partition in order; `next` is the offset after the last one. `malformed` gets the
    /// indices of those that are not samples.
    pub fn apply<'r, R>(&mut self, source: u16, records: R, next: u64, now: Duration, mut malformed: impl FnMut(usize))
    where
        R: Iterator<Item = Record<'r>> + Clone,
    {
        self.observe();
        let mut dropped = Dropped::default();
        let mut tapped = self.stream.taps.is_active().then(BTreeMap::new);
        self.table.ingest_payloads_with(records.clone(), |index, fate| {
            dropped.add(index, fate);
            if let Some(tapped) = &mut tapped {
                tapped.insert(index, fate);
            }
            if MALFORMED.contains(&fate) {
                malformed(index);
            }
        });
        self.stream.drops.report(&dropped, now, |index| records.clone().nth(index).map(|record| record.key));
        if let Some(fates) = tapped {
            self.pass_to_taps(source, records, &fates);
        }
        self.cursors.insert(source, next);
        self.record_came(now);
        self.expect_commit_of_results(now);
    }

    /// Notes that a record came which is not applied yet: the partition is not at its end.
    pub fn record_came(&mut self, now: Duration) {
        self.last_record = now;
        self.at_end = None;
    }

    /// Moves a cursor to `first` over deleted records, whose time [`mark_lost`](Self::mark_lost) has marked.
    pub fn skip_to(&mut self, source: u16, first: u64) {
        self.cursors.insert(source, first);
    }

    /// Marks records as lost: the time that they were of is unknown, until the next sample that is newer than all.
    pub fn mark_lost(&mut self) {
        self.table.mark_lost();
    }

    /// Marks records as lost that arrived by `arrived` (microseconds since the epoch): results of windows that they may
    /// have been of are partial.
    pub fn mark_lost_until(&mut self, arrived: u64) {
        let latest = arrived.saturating_add(micros(self.settings().allowed_skew));
        self.table.mark_gap(latest.saturating_add(1));
    }

    /// The reason why a record is not a sample; `None` if it is one.
    pub fn reason_malformed(&self, key: &[u8], payload: &[u8]) -> Option<String> {
        self.table.fault(key, payload).map(|reason| reason.to_string())
    }

    /// The time since the last record.
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
        self.expect_commit_of_results(now);
        left
    }

    /// As [`close_more`](Self::close_more), which passes the period in microseconds of each window of which objects are
    /// closed to `measured`, with the time that they took.
    pub fn close_more_measured(
        &mut self,
        objects: usize,
        clock: &dyn Clock,
        mut measured: impl FnMut(u64, Duration),
    ) -> usize {
        let (mut left, mut before) = (objects, clock.monotonic());
        while let Some(period) = self.table.closing_period().filter(|_| left > 0) {
            left = self.table.close_window_more(left);
            let now = clock.monotonic();
            measured(period, now.saturating_sub(before));
            before = now;
        }
        self.expect_commit_of_results(before);
        left
    }

    /// Closes every window that has samples: the end of a replay.
    pub fn close_all(&mut self, now: Duration) {
        if let Some(newest) = self.table.newest_timestamp() {
            let longest = self.table.plan().longest_window();
            self.table.advance((newest - newest % longest).saturating_add(longest));
            self.expect_commit_of_results(now);
        }
    }

    /// Confirms that the log was just found to have no further records. Once that has been so for `idle_timeout`, event
    /// time advances from the newest timestamp with the monotonic clock: neither a step of the wall clock nor a replay
    /// of old data can close a window too early.
    ///
    /// Only time that such confirmations cover counts: while the log was unreachable or this process was frozen,
    /// producers may have been unable to send. Where sources state what they have observed, event time does not advance
    /// beyond that.
    pub fn confirm_at_end(&mut self, now: Duration, idle_timeout: Duration) {
        self.confirm_at_end_as_of(now, now, idle_timeout);
    }

    /// As [`confirm_at_end`](Self::confirm_at_end), where it is known only for `as_of` that no other logs have records
    /// of this partition: time after it does not count yet, and counts with a confirmation for a later one.
    pub fn confirm_at_end_as_of(&mut self, now: Duration, as_of: Duration, idle_timeout: Duration) {
        let known = self.at_end.filter(|at_end| now.saturating_sub(at_end.confirmed) <= MAX_UNCONFIRMED);
        let since = known.map_or(now, |at_end| at_end.since);
        self.at_end = Some(AtEnd { since, confirmed: now });
        self.stream.drops.report(&Dropped::default(), now, |_| None);
        let quiet = as_of.min(now).saturating_sub(since);
        let Some(newest) = self.table.newest_timestamp().filter(|_| quiet >= idle_timeout) else { return };
        self.observe();
        let idle = self.table.settings().watermark(newest.saturating_add(micros(quiet)));
        self.table.advance(self.table.observed_until().map_or(idle, |observed| idle.min(observed)));
        self.expect_commit_of_results(now);
    }

    /// Makes a commit due after the linger, for a change that is not a result.
    pub fn expect_commit(&mut self, now: Duration) {
        self.pending_since.get_or_insert(now);
    }

    /// Makes a commit due after the linger if there are results.
    fn expect_commit_of_results(&mut self, now: Duration) {
        if !self.table.is_closing() {
            let watermark = self.table.watermark();
            self.table.sink_mut().alarms.advance(watermark);
        }
        if self.table.sink().has_rows() {
            self.expect_commit(now);
        }
    }

    /// The size of the uncommitted results.
    pub fn pending_bytes(&self) -> usize {
        self.table.sink().bytes()
    }

    /// Whether the uncommitted results are so large that a commit is due at once.
    pub fn is_full(&self) -> bool {
        self.pending_bytes() > MAX_PENDING_BYTES
    }

    /// The time of the last commit.
    pub fn committed_at(&self) -> Duration {
        self.committed.at
    }

    /// Takes the changes since the last commit. The caller commits them with the cursors, or restores the partition.
    ///
    /// # Errors
    ///
    /// When a result is too large for the log.
    pub fn prepare_commit(&mut self, now: Duration) -> Result<TableCommit, LogError> {
        self.observe();
        let results = self.table.sink_mut().take()?;
        let mut snapshot = self.table.snapshot();
        snapshot.chunks.extend(self.table.sink_mut().alarms.take_chunks());
        let (watermark, observed_until) = (self.table.watermark(), self.table.observed_until());
        self.committed = Committed { cursors: self.cursors.clone(), watermark, observed_until, at: now };
        self.pending_since = None;
        Ok(TableCommit { meta: snapshot.meta, chunks: snapshot.chunks, results })
    }

    /// The status to publish.
    pub fn status(&self) -> TableStatus {
        TableStatus {
            stream: self.stream.name.clone(),
            cursors: self.cursors.clone(),
            closing: self.table.is_closing(),
            objects: self.table.objects(),
            types: Arc::clone(&self.stream.types),
            objects_by_type: self.table.objects_by_type().collect(),
            state_bytes: None,
            watermark: self.table.watermark(),
            fates: *self.table.fates(),
            alarms: self.table.sink().alarms.counts(),
            restored: self.restored.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
