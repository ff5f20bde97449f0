//! A shard: the table of one partition with its input offsets, and its part of a transaction besides results: state
//! records, dead letters, offsets and their metadata.

mod apply;
mod gaps;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::Clock;
use daemon_log::{LogError, PartitionId};
use daemon_partition::{
    Due, MAX_PENDING_BYTES, PartitionTable, StreamPlan, TableStatus, WorkerSettings, WorkerTelemetry,
};
use tracing::error;

use crate::digests::Digests;
use crate::foreign::ForeignTopic;
use crate::input_merge::{HeldBudget, InputMerge};
use crate::member::{DeadLetter, Ends, OffsetMetadata, ShardCommit};
use crate::state_records::{self, Head, Saved};
use crate::topic_id::TopicId;

use self::gaps::Gaps;

/// How long the first result waits for further results of the same transaction: the windows of a worker's partitions
/// close at almost the same time, and a transaction for all of them costs about as much as one for a single partition.
pub(crate) const LINGER: Duration = Duration::from_millis(200);

/// The table of one partition with its input offsets and uncommitted changes.
pub(crate) struct Shard {
    id: PartitionId,
    table: PartitionTable,
    /// The number of commits.
    sequence: u64,
    /// The number of records applied in all: the table's position of the next one.
    position: u64,
    digests: Digests,
    /// Records to write with the next commit besides those of the table: tombstones for a state that could not be used,
    /// the configuration of this daemon.
    extra_records: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    merge: InputMerge,
    /// The newest event time of a record that was there before a poll of the topics: those of input partitions that the
    /// poll did not find are written later.
    complete_until: u64,
    /// The input partitions in which records were deleted, until those after them are applied.
    gaps: Gaps,
    /// The newest time at which records were read, in microseconds since the epoch.
    read_at: u64,
    /// The id of the input topic that the cursors are of, if it is known.
    input_id: Option<TopicId>,
    /// The topic of another program that is the input, and whether its messages must have keys.
    foreign: Option<(Arc<ForeignTopic>, bool)>,
    dead_letters: Vec<DeadLetter>,
    dead_letter_bytes: usize,
    /// Whether the metadata of the committed offsets contains this owner. Until then every daemon shows the previous
    /// one.
    is_announced: bool,
}

impl Shard {
    /// A restored shard whose input is not read yet; `extra_records` are written with the next commit, besides those of
    /// the table.
    pub(crate) fn new(
        id: PartitionId,
        table: PartitionTable,
        saved: Saved,
        extra_records: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    ) -> Self {
        Self {
            id,
            table,
            sequence: saved.head.sequence,
            position: saved.head.position,
            digests: saved.digests,
            extra_records,
            merge: InputMerge::default(),
            complete_until: 0,
            gaps: Gaps::restored(saved.head.gaps),
            read_at: saved.head.read_at,
            input_id: None,
            foreign: None,
            dead_letters: Vec::new(),
            dead_letter_bytes: 0,
            is_announced: false,
        }
    }

    /// Sets the id of the input topic that the cursors are of.
    pub(crate) fn with_input_id(self, input_id: Option<TopicId>) -> Self {
        Self { input_id, ..self }
    }

    /// Takes the messages of a topic of another program, each of which must have a key if `needs_key`.
    pub(crate) fn with_foreign(self, topic: Arc<ForeignTopic>, needs_key: bool) -> Self {
        Self { foreign: Some((topic, needs_key)), ..self }
    }

    /// The id of the input topic that the cursors are of, if it is known.
    pub(crate) fn input_id(&self) -> Option<TopicId> {
        self.input_id
    }

    /// Takes the id of the input topic if it was not known when this shard was restored, and writes it with the next
    /// commit: without one a topic that is created again would not be noticed.
    pub(crate) fn adopt_input_id(&mut self, current: Option<TopicId>) {
        if self.input_id.is_none()
            && let Some(id) = current
        {
            self.input_id = current;
            self.extra_records.push((state_records::INPUT_ID.to_vec(), Some(id.as_bytes().to_vec())));
        }
    }

    /// Whether the input topic was created again since this shard was restored; `current` is its id now.
    pub(crate) fn is_of_other_topic(&self, current: Option<TopicId>) -> bool {
        self.input_id.zip(current).is_some_and(|(own, current)| own != current)
    }

    /// Starts the clock at `now`, and returns the start offset of each of `sources`, or `None` for the oldest record.
    pub(crate) fn begin(&mut self, sources: &[PartitionId], now: Duration) -> Vec<(PartitionId, Option<u64>)> {
        self.table.begin(now);
        sources.iter().map(|source| (*source, self.next_offset(*source))).collect()
    }

    /// Whether a sample was ever aggregated.
    pub(crate) fn has_samples(&self) -> bool {
        self.table.has_samples()
    }

    /// The number of objects with state.
    pub(crate) fn objects(&self) -> usize {
        self.table.objects()
    }

    /// The next offset to apply of each input partition that had a record.
    pub(crate) fn cursors(&self) -> Vec<(PartitionId, u64)> {
        let cursor = |(partition, next): (&u16, &u64)| (PartitionId { partition: *partition, ..self.id }, *next);
        self.table.cursors().iter().map(cursor).collect()
    }

    /// The next offset to apply of one input partition; `None` if it had no record yet.
    pub(crate) fn cursor(&self, source: PartitionId) -> Option<u64> {
        self.table.cursor(source.partition)
    }

    /// The next offset to read of one input partition: after its held records and its gap.
    pub(crate) fn next_offset(&self, source: PartitionId) -> Option<u64> {
        let read = self.merge.next_offset(source.partition).max(self.gaps.first_after(source.partition));
        read.or_else(|| self.cursor(source))
    }

    /// Whether records are held until another input partition has one.
    pub(crate) fn has_held(&self) -> bool {
        !self.merge.is_empty()
    }

    /// Counts the held records in the budget of a worker.
    pub(crate) fn share_held(&mut self, budget: &Arc<HeldBudget>) {
        self.merge.share(budget);
    }

    /// Whether the limit of held records of this input partition is reached.
    pub(crate) fn is_full(&self, source: PartitionId) -> bool {
        self.merge.is_full(source.partition)
    }

    /// Skips to `first`, the oldest record of an input partition: retention deleted those before. Only a shard without
    /// any sample begins there as it would at offset 0.
    pub(crate) fn skip_to(&mut self, source: PartitionId, first: u64) {
        let next = self.next_offset(source);
        if next.is_some() || self.has_samples() {
            error!(
                stream = %self.table.stream().name, partition = source.partition, from = next.unwrap_or(0), to = first,
                "Input was deleted before it was applied; the results that lack it are marked partial."
            );
        }
        self.table.mark_lost();
        if self.cursor(source).is_some_and(|cursor| cursor > first) {
            // The log has lost its end: what comes now has offsets that were applied once.
            self.table.skip_to(source.partition, first);
        }
        // The cursor stays before the gap, so that it is found again after a restart.
        self.gaps.open(source.partition, first);
    }

    /// Closes gaps that no record closes. `ends` are those of the input partitions as of now.
    pub(crate) fn close_gaps(&mut self, sources: &[PartitionId], ends: &Ends) {
        let Self { gaps, table, merge, .. } = self;
        let holds = |partition| merge.next_offset(partition).is_some();
        let closed = gaps.checked(sources, ends, holds, |source, end| {
            let is_read = ends.reached.contains(&source) && !holds(source.partition);
            is_read || table.cursor(source.partition) >= Some(end)
        });
        for (partition, first) in closed {
            // Records behind the gap that are not samples may have been applied.
            if table.cursor(partition) < Some(first) {
                table.skip_to(partition, first);
            }
        }
    }

    /// The time since the last record.
    pub(crate) fn idle(&self, now: Duration) -> Duration {
        self.table.idle(now)
    }

    /// The stream and its plan.
    pub(crate) fn stream_plan(&self) -> &Arc<StreamPlan> {
        self.table.stream()
    }

    /// The name of the stream.
    pub(crate) fn stream(&self) -> &str {
        &self.table.stream().name
    }

    /// Whether a window is closing in slices.
    pub(crate) fn is_closing(&self) -> bool {
        self.table.is_closing()
    }

    /// Closes up to `objects` more objects of a closing window, and counts the time; returns how many of that number
    /// remain.
    pub(crate) fn close_more(&mut self, objects: usize, clock: &dyn Clock, telemetry: &WorkerTelemetry) -> usize {
        let stream = Arc::clone(self.table.stream());
        self.table.close_more_measured(objects, clock, |period, took| telemetry.closed(&stream.name, period, took))
    }

    /// Advances event time by the clock; call it when all input partitions were just found to be at their ends. At
    /// `as_of` there were no others.
    pub(crate) fn confirm_at_end(&mut self, now: Duration, as_of: Duration, settings: &WorkerSettings) {
        self.table.confirm_at_end_as_of(now, as_of, settings.idle_timeout);
    }

    /// Whether a commit is due: for results and dead letters after the linger, for a new owner after [`LINGER`], for
    /// progress after the interval, for any change if `due.all`. A commit is never due while a window is closing.
    pub(crate) fn is_due(&self, now: Duration, due: Due) -> bool {
        if self.table.is_closing() {
            return false;
        }
        let waited = now.saturating_sub(self.table.committed_at());
        let announces = !self.is_announced && !due.all && waited >= LINGER;
        let has_extra = !self.extra_records.is_empty() && (due.all || waited >= due.interval);
        self.table.is_due(now, due) || self.pending_bytes() > MAX_PENDING_BYTES || announces || has_extra
    }

    /// The size of uncommitted results and dead letters.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.table.pending_bytes() + self.dead_letter_bytes
    }

    /// Takes the changes since the last commit. The caller commits them, or restores the shard.
    ///
    /// # Errors
    ///
    /// When a result is too large for the log.
    pub(crate) fn prepare_commit(&mut self, owner: &str, now: Duration) -> Result<ShardCommit, LogError> {
        let commit = self.table.prepare_commit(now)?;
        self.sequence += 1;
        let head = Head {
            sequence: self.sequence,
            position: self.position,
            cursors: self.table.cursors().clone(),
            meta: commit.meta,
            read_at: self.read_at,
            gaps: self.gaps.saved(),
        };
        let mut state = std::mem::take(&mut self.extra_records);
        state.extend(state_records::encode(&head, commit.chunks, &mut self.digests));
        self.is_announced = true;
        self.dead_letter_bytes = 0;
        let (offsets, metadata) = (self.offsets(), self.metadata(owner));
        Ok(ShardCommit {
            shard: self.id,
            input_id: self.input_id,
            state,
            results: commit.results,
            dead_letters: std::mem::take(&mut self.dead_letters),
            offsets,
            metadata,
        })
    }

    /// The offsets to commit: the cursors or, before the first record, the beginning of the partition with the shard's
    /// number.
    fn offsets(&self) -> Vec<(PartitionId, u64)> {
        let cursors = self.cursors();
        if cursors.is_empty() { vec![(self.id, 0)] } else { cursors }
    }

    fn metadata(&self, owner: &str) -> OffsetMetadata {
        let (watermark, objects) = (self.table.watermark(), self.table.objects() as u64);
        OffsetMetadata { owner: owner.to_owned(), watermark, objects, streams: BTreeMap::new() }
    }

    /// The status to publish.
    pub(crate) fn status(&self) -> TableStatus {
        TableStatus { state_bytes: Some(self.digests.bytes()), ..self.table.status() }
    }
}

#[cfg(test)]
mod tests;
