//! One partition of a worker of the group: its table, its offset in each of its input partitions, and what a
//! transaction writes of it besides results: state records, dead letters, offsets with a note.

use std::collections::BTreeSet;
use std::time::Duration;

use daemon_log::{Digests, LogError, PartitionId};
use daemon_partition::{Due, PartitionTable, TableStatus, WorkerSettings};
use proxy_uve::{Position, Record};
use tracing::error;

use crate::member::{DeadLetter, Incoming, ShardCommit};
use crate::merge::Merge;
use crate::state::{self, Head, Saved};

/// Results and dead letters beyond this are committed at once.
const MAX_PENDING_BYTES: usize = 16 * 1024 * 1024;

/// How long the first result waits for others that go into the same transaction: windows of a worker's partitions close
/// within moments of each other, and a transaction costs about as much for all of them as for one.
pub(crate) const LINGER: Duration = Duration::from_millis(200);

/// The table of one partition with its input offsets, and what is to be committed of them.
pub(crate) struct Shard {
    id: PartitionId,
    table: PartitionTable,
    /// Counts the commits.
    sequence: u64,
    /// How many records were applied in all: the position of the next one in the table's terms.
    position: u64,
    digests: Digests,
    /// State records to write besides what changed: the deletion of what could not be used.
    erased: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    merge: Merge,
    dead_letters: Vec<DeadLetter>,
    dead_letter_bytes: usize,
    /// Whether the group's offsets name this owner. Until then every daemon shows the one before.
    is_announced: bool,
}

impl Shard {
    /// A shard with its table as it was saved; not read from yet. `erased` are state records that must go.
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
            merge: Merge::default(),
            dead_letters: Vec::new(),
            dead_letter_bytes: 0,
            is_announced: false,
        }
    }

    /// Begins at `now`: where to read each of `sources` from. Those that were not known before begin with their oldest
    /// record.
    pub(crate) fn begin(&mut self, sources: &[PartitionId], now: Duration) -> Vec<(PartitionId, Option<u64>)> {
        self.table.begin(now);
        sources.iter().map(|source| (*source, self.cursor(*source))).collect()
    }

    pub(crate) fn objects(&self) -> usize {
        self.table.objects()
    }

    /// Where it stands in its input partitions; those that showed no record yet are not among them.
    pub(crate) fn cursors(&self) -> Vec<(PartitionId, u64)> {
        let cursor = |(partition, next): (&u16, &u64)| (PartitionId { partition: *partition, ..self.id }, *next);
        self.table.cursors().iter().map(cursor).collect()
    }

    /// The next offset to apply of one input partition; none if it showed no record yet.
    pub(crate) fn cursor(&self, source: PartitionId) -> Option<u64> {
        self.table.cursor(source.partition)
    }

    /// Applies a run of records of one input partition, of which there are `sources`.
    pub(crate) fn apply(&mut self, source: PartitionId, records: &[Incoming<'_>], sources: usize, now: Duration) {
        self.table.record_came(now);
        if sources <= 1 && self.merge.is_empty() {
            self.ingest(source.partition, records, now);
        } else {
            self.merge.push(source.partition, records);
        }
    }

    /// Applies what waits for its turn among several input partitions. `dry` are those that have nothing to wait for.
    pub(crate) fn settle(&mut self, sources: &[PartitionId], dry: &BTreeSet<PartitionId>, now: Duration) {
        let id = self.id;
        let all = || sources.iter().map(|source| source.partition);
        let is_dry = |partition| dry.contains(&PartitionId { partition, ..id });
        while let Some((partition, held)) = self.merge.pop(all(), is_dry) {
            self.ingest(partition, &[held.incoming()], now);
        }
    }

    /// Whether records wait for those of another input partition.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.merge.is_empty()
    }

    /// Whether no more of this input partition can be held.
    pub(crate) fn is_full(&self, source: PartitionId) -> bool {
        self.merge.is_full(source.partition)
    }

    fn ingest(&mut self, partition: u16, records: &[Incoming<'_>], now: Duration) {
        let next = self.table.cursor(partition).unwrap_or(0);
        // A partition that is read anew may bring again what was applied.
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

    /// Finds the records that are not samples; their number is known to have grown.
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

    /// Records of an input partition before `first` are gone. One that showed no record yet begins there without a
    /// word, as it would have.
    pub(crate) fn skip_to(&mut self, source: PartitionId, first: u64) {
        let Some(cursor) = self.cursor(source) else { return };
        error!(
            stream = %self.table.stream().name, partition = source.partition, from = cursor, to = first,
            "Input was deleted before it was applied; the results that lack it are marked partial."
        );
        self.table.skip_to(source.partition, first);
    }

    /// How long the shard has had no record.
    pub(crate) fn idle(&self, now: Duration) -> Duration {
        self.table.idle(now)
    }

    /// Whether a window is closing bit by bit.
    pub(crate) fn is_closing(&self) -> bool {
        self.table.is_closing()
    }

    /// Closes up to so many more objects of it; what is left of the number.
    pub(crate) fn close_more(&mut self, objects: usize, now: Duration) -> usize {
        self.table.close_more(objects, now)
    }

    /// Lets time pass for a shard of which the cluster said just now that it has nothing more.
    pub(crate) fn confirm_at_end(&mut self, now: Duration, settings: &WorkerSettings) {
        self.table.confirm_at_end(now, &settings.table, settings.idle_timeout);
    }

    /// Whether there is something to commit: results and dead letters after the linger, a new owner after a moment,
    /// progress after the interval, anything if `due.all`. Never while a window is closing.
    pub(crate) fn is_due(&self, now: Duration, due: Due) -> bool {
        if self.table.is_closing() {
            return false;
        }
        let waited = now.saturating_sub(self.table.committed_at());
        let announces = !self.is_announced && !due.all && waited >= LINGER;
        let erases = !self.erased.is_empty() && (due.all || waited >= due.interval);
        self.table.is_due(now, due) || self.pending_bytes() > MAX_PENDING_BYTES || announces || erases
    }

    /// What results and dead letters take that are not committed.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.table.pending_bytes() + self.dead_letter_bytes
    }

    /// What changed since the last commit. The caller commits it, or restores the shard.
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
        state.extend(state::encode(&head, commit.chunks, &mut self.digests));
        self.is_announced = true;
        self.dead_letter_bytes = 0;
        let (offsets, note) = (self.offsets(), self.note(owner));
        Ok(ShardCommit {
            shard: self.id,
            state,
            results: commit.results,
            dead_letters: std::mem::take(&mut self.dead_letters),
            offsets,
            note,
        })
    }

    /// The cursors; before the first record, the shard's own partition from its beginning.
    fn offsets(&self) -> Vec<(PartitionId, u64)> {
        let cursors = self.cursors();
        if cursors.is_empty() { vec![(self.id, 0)] } else { cursors }
    }

    fn note(&self, owner: &str) -> String {
        let (watermark, objects) = (self.table.watermark(), self.table.objects());
        serde_json::json!({ "owner": owner, "watermark": watermark, "objects": objects }).to_string()
    }

    pub(crate) fn status(&self) -> TableStatus {
        self.table.status()
    }
}
