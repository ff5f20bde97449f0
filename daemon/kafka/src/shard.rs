//! A shard: the table of one partition with its input offsets, and its part of a transaction besides results: state
//! records, dead letters, offsets and their metadata.

use std::collections::BTreeSet;
use std::time::Duration;

use daemon_log::{Digests, LogError, PartitionId};
use daemon_partition::{Due, MAX_PENDING_BYTES, PartitionTable, TableStatus, WorkerSettings};
use proxy_uve::{Position, Record};
use tracing::error;

use crate::input_merge::InputMerge;
use crate::member::{DeadLetter, Incoming, ShardCommit};
use crate::state_records::{self, Head, Saved};
use crate::topic_id::TopicId;

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
    erased: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    merge: InputMerge,
    /// The id of the input topic that the cursors are of, if it is known.
    input_id: Option<TopicId>,
    dead_letters: Vec<DeadLetter>,
    dead_letter_bytes: usize,
    /// Whether the metadata of the committed offsets contains this owner. Until then every daemon shows the previous
    /// one.
    is_announced: bool,
}

impl Shard {
    /// A restored shard whose input is not read yet; `erased` are tombstones to write with the next commit.
    pub(crate) fn new(
        id: PartitionId,
        table: PartitionTable,
        saved: Saved,
        erased: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    ) -> Self {
        Self {
            id,
            table,
            sequence: saved.head.sequence,
            position: saved.head.position,
            digests: saved.digests,
            erased,
            merge: InputMerge::default(),
            input_id: None,
            dead_letters: Vec::new(),
            dead_letter_bytes: 0,
            is_announced: false,
        }
    }

    /// Sets the id of the input topic that the cursors are of.
    pub(crate) fn with_input_id(self, input_id: Option<TopicId>) -> Self {
        Self { input_id, ..self }
    }

    /// Whether the input topic was created again since this shard was restored; `current` is its id now.
    pub(crate) fn is_of_other_topic(&self, current: Option<TopicId>) -> bool {
        self.input_id.zip(current).is_some_and(|(own, current)| own != current)
    }

    /// Starts the clock at `now`, and returns the start offset of each of `sources`: its cursor, or `None` for the
    /// oldest record.
    pub(crate) fn begin(&mut self, sources: &[PartitionId], now: Duration) -> Vec<(PartitionId, Option<u64>)> {
        self.table.begin(now);
        sources.iter().map(|source| (*source, self.cursor(*source))).collect()
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

    /// Applies a run of records of one input partition; `sources` is the number of input partitions.
    pub(crate) fn apply(&mut self, source: PartitionId, records: &[Incoming<'_>], sources: usize, now: Duration) {
        self.table.record_came(now);
        if sources <= 1 && self.merge.is_empty() {
            self.ingest(source.partition, records, now);
        } else {
            self.merge.push(source.partition, records, |at, arrived| self.table.is_future(at, arrived));
        }
    }

    /// Applies the held records that are next in the order of event time. `at_end` are the input partitions without
    /// further records.
    pub(crate) fn apply_held(&mut self, sources: &[PartitionId], at_end: &BTreeSet<PartitionId>, now: Duration) {
        let id = self.id;
        let all = || sources.iter().map(|source| source.partition);
        let is_at_end = |partition| at_end.contains(&PartitionId { partition, ..id });
        while let Some((partition, held)) = self.merge.pop(all(), is_at_end) {
            self.ingest(partition, &[held.incoming()], now);
        }
    }

    /// Whether records are held until another input partition has one.
    pub(crate) fn has_held(&self) -> bool {
        !self.merge.is_empty()
    }

    /// Whether the limit of held records of this input partition is reached.
    pub(crate) fn is_full(&self, source: PartitionId) -> bool {
        self.merge.is_full(source.partition)
    }

    fn ingest(&mut self, partition: u16, records: &[Incoming<'_>], now: Duration) {
        let next = self.table.cursor(partition).unwrap_or(0);
        // A partition that is read from an earlier offset delivers applied records again.
        let records = &records[records.partition_point(|record| record.offset < next)..];
        let Some(last) = records.last() else { return };
        let malformed = self.table.malformed();
        let positioned = records.iter().zip(self.position..).map(|(record, position)| Record {
            position: Position::new(position),
            arrived: record.at,
            key: record.key,
            payload: record.payload,
        });
        self.table.apply(partition, positioned, last.offset + 1, now);
        self.position += records.len() as u64;
        if self.table.malformed() != malformed {
            self.dead_letter(partition, records, now);
        }
    }

    /// Collects the records that are not samples as dead letters.
    fn dead_letter(&mut self, partition: u16, records: &[Incoming<'_>], now: Duration) {
        for record in records {
            let Some(reason) = self.table.reason_malformed(record.key, record.payload) else { continue };
            self.dead_letter_bytes += record.key.len() + record.payload.len();
            self.dead_letters.push(DeadLetter {
                source: PartitionId { partition, ..self.id },
                offset: record.offset,
                reason,
                key: record.key.to_vec(),
                payload: record.payload.to_vec(),
            });
        }
        self.table.expect_commit(now);
    }

    /// Skips to `first`, the oldest record of an input partition: retention deleted those before. An input partition
    /// without a record yet begins there anyway.
    pub(crate) fn skip_to(&mut self, source: PartitionId, first: u64) {
        let Some(cursor) = self.cursor(source) else { return };
        error!(
            stream = %self.table.stream().name, partition = source.partition, from = cursor, to = first,
            "Input was deleted before it was applied; the results that lack it are marked partial."
        );
        self.table.skip_to(source.partition, first);
    }

    /// The time since the last record.
    pub(crate) fn idle(&self, now: Duration) -> Duration {
        self.table.idle(now)
    }

    /// Whether a window is closing in slices.
    pub(crate) fn is_closing(&self) -> bool {
        self.table.is_closing()
    }

    /// Closes up to `objects` more objects of a closing window; returns how many of that number remain.
    pub(crate) fn close_more(&mut self, objects: usize, now: Duration) -> usize {
        self.table.close_more(objects, now)
    }

    /// Advances event time by the clock; call it when all input partitions were just found to be at their ends.
    pub(crate) fn confirm_at_end(&mut self, now: Duration, settings: &WorkerSettings) {
        self.table.confirm_at_end(now, settings.idle_timeout);
    }

    /// Whether a commit is due: for results and dead letters after the linger, for a new owner after [`LINGER`], for
    /// progress after the interval, for any change if `due.all`. A commit is never due while a window is closing.
    pub(crate) fn is_due(&self, now: Duration, due: Due) -> bool {
        if self.table.is_closing() {
            return false;
        }
        let waited = now.saturating_sub(self.table.committed_at());
        let announces = !self.is_announced && !due.all && waited >= LINGER;
        let erases = !self.erased.is_empty() && (due.all || waited >= due.interval);
        self.table.is_due(now, due) || self.pending_bytes() > MAX_PENDING_BYTES || announces || erases
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
        };
        let mut state = std::mem::take(&mut self.erased);
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

    fn metadata(&self, owner: &str) -> String {
        let (watermark, objects) = (self.table.watermark(), self.table.objects());
        serde_json::json!({ "owner": owner, "watermark": watermark, "objects": objects }).to_string()
    }

    /// The status to publish.
    pub(crate) fn status(&self) -> TableStatus {
        self.table.status()
    }
}
