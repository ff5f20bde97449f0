//! One partition of a worker: its table, and its offset in each of its input partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::micros;
use daemon_log::{Digests, LogError, PartitionId};
use proxy_uve::{Fate, Position, Record, Table};
use tracing::error;

use crate::kafka::member::{DeadLetter, Incoming, ShardCommit};
use crate::kafka::merge::Merge;
use crate::kafka::state::{self, Head, Saved};
use crate::restored::RestoredStates;
use crate::result_block::BlockSink;
use crate::telemetry::PartitionStatus;
use crate::worker::{StreamPlan, WorkerSettings};

/// Results and dead letters beyond this are committed at once.
const MAX_PENDING_BYTES: usize = 16 * 1024 * 1024;

/// How long the first result waits for others that go into the same transaction: windows of a worker's partitions close
/// within moments of each other, and a transaction costs about as much for all of them as for one.
pub(crate) const LINGER: Duration = Duration::from_millis(200);

/// Answers that lie further apart say nothing about the time between them.
const MAX_UNCONFIRMED: Duration = Duration::from_secs(5);

/// The fates of records that will never be samples.
const POISON: [Fate; 3] = [Fate::MalformedKey, Fate::MalformedPayload, Fate::MalformedValue];

/// The table of one partition with its input offsets, and what is to be committed of them.
pub(crate) struct Shard {
    id: PartitionId,
    stream: Arc<StreamPlan>,
    table: Table<BlockSink>,
    /// What the restore did with the saved states; `None` if there were none to use.
    restored: Option<RestoredStates>,
    head: Head,
    digests: Digests,
    /// State records to write besides what changed: the deletion of what could not be used.
    erased: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    merge: Merge,
    dead_letters: Vec<DeadLetter>,
    dead_letter_bytes: usize,
    committed: Committed,
    /// Whether the group's offsets name this owner. Until then every daemon shows the one before.
    is_announced: bool,
    /// When the first result came that is not committed.
    results_since: Option<Duration>,
    /// When the last record came, by the monotonic clock.
    last_input: Duration,
    quiet: Option<Quiet>,
}

/// A time through which the cluster said again and again that it had nothing more.
#[derive(Clone, Copy, Debug)]
struct Quiet {
    since: Duration,
    confirmed: Duration,
}

/// What the last commit said.
#[derive(Clone, Debug, Default)]
struct Committed {
    cursors: BTreeMap<u16, u64>,
    watermark: u64,
    at: Duration,
}

impl Shard {
    /// A shard as it was saved; not read from yet. `erased` are state records that must go.
    pub(crate) fn new(
        id: PartitionId,
        stream: Arc<StreamPlan>,
        table: Table<BlockSink>,
        saved: Saved,
        erased: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    ) -> Self {
        let committed =
            Committed { cursors: saved.head.cursors.clone(), watermark: table.watermark(), at: Duration::ZERO };
        Self {
            id,
            stream,
            table,
            restored: None,
            head: saved.head,
            digests: saved.digests,
            erased,
            merge: Merge::default(),
            dead_letters: Vec::new(),
            dead_letter_bytes: 0,
            committed,
            is_announced: false,
            results_since: None,
            last_input: Duration::ZERO,
            quiet: None,
        }
    }

    /// The shard with what its restore did with the saved states.
    pub(crate) fn restored(self, states: RestoredStates) -> Self {
        Self { restored: Some(states), ..self }
    }

    /// Begins at `now`: where to read each of `sources` from. Those that were not known before begin with their oldest
    /// record.
    pub(crate) fn begin(&mut self, sources: &[PartitionId], now: Duration) -> Vec<(PartitionId, Option<u64>)> {
        self.committed.at = now;
        self.last_input = now;
        sources.iter().map(|source| (*source, self.head.cursors.get(&source.partition).copied())).collect()
    }

    pub(crate) fn objects(&self) -> usize {
        self.table.objects()
    }

    /// Where it stands in its input partitions; those that showed no record yet are not among them.
    pub(crate) fn cursors(&self) -> Vec<(PartitionId, u64)> {
        let place = |(partition, next): (&u16, &u64)| (PartitionId { partition: *partition, ..self.id }, *next);
        self.head.cursors.iter().map(place).collect()
    }

    /// The next offset to apply of one input partition; none if it showed no record yet.
    pub(crate) fn cursor(&self, source: PartitionId) -> Option<u64> {
        self.head.cursors.get(&source.partition).copied()
    }

    /// Applies a run of records of one input partition, of which there are `sources`.
    pub(crate) fn apply(&mut self, source: PartitionId, records: &[Incoming<'_>], sources: usize, now: Duration) {
        self.last_input = now;
        self.quiet = None;
        if sources <= 1 && self.merge.is_empty() {
            self.ingest(source.partition, records);
        } else {
            self.merge.push(source.partition, records);
        }
        self.note_results(now);
    }

    /// Applies what waits for its turn among several input partitions. `dry` are those that have nothing to wait for.
    pub(crate) fn settle(&mut self, sources: &[PartitionId], dry: &BTreeSet<PartitionId>, now: Duration) {
        let id = self.id;
        let all = || sources.iter().map(|source| source.partition);
        let is_dry = |partition| dry.contains(&PartitionId { partition, ..id });
        while let Some((partition, held)) = self.merge.pop(all(), is_dry) {
            self.ingest(partition, &[held.incoming()]);
        }
        self.note_results(now);
    }

    /// Whether records wait for those of another input partition.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.merge.is_empty()
    }

    /// Whether no more of this input partition can be held.
    pub(crate) fn is_full(&self, source: PartitionId) -> bool {
        self.merge.is_full(source.partition)
    }

    fn ingest(&mut self, partition: u16, records: &[Incoming<'_>]) {
        let next = self.head.cursors.get(&partition).copied().unwrap_or(0);
        // A partition that is read anew may bring again what was applied.
        let records = &records[records.partition_point(|record| record.offset < next)..];
        let Some(last) = records.last() else { return };
        let poison = self.poison();
        let position = self.head.position;
        self.table.ingest_payloads(records.iter().zip(position..).map(|(record, position)| Record {
            position: Position::new(position),
            arrived: record.at,
            key: record.key,
            payload: record.payload,
        }));
        self.head.position += records.len() as u64;
        self.head.cursors.insert(partition, last.offset + 1);
        if self.poison() != poison {
            self.set_aside(partition, records);
        }
    }

    fn poison(&self) -> u64 {
        POISON.iter().map(|fate| self.table.fates().count(*fate)).sum()
    }

    /// Finds the records that are no samples; their number is known to have grown.
    fn set_aside(&mut self, partition: u16, records: &[Incoming<'_>]) {
        for record in records {
            let Some(fault) = self.table.fault(record.key, record.payload) else { continue };
            self.dead_letter_bytes += record.key.len() + record.payload.len();
            self.dead_letters.push(DeadLetter {
                source: PartitionId { partition, ..self.id },
                offset: record.offset,
                reason: fault.to_string(),
                key: record.key.to_vec(),
                payload: record.payload.to_vec(),
            });
        }
    }

    /// Records of an input partition before `first` are gone. One that showed no record yet begins there without a
    /// word, as it would have.
    pub(crate) fn skip_to(&mut self, source: PartitionId, first: u64) {
        let Some(cursor) = self.cursor(source) else { return };
        self.head.cursors.insert(source.partition, first);
        error!(
            stream = %self.stream.name, partition = source.partition, from = cursor, to = first,
            "Input was deleted before it was applied; the results that lack it are marked partial."
        );
        if let Some(newest) = self.table.newest_timestamp() {
            self.table.mark_gap(newest.saturating_add(1));
        }
    }

    /// How long the shard has had no record.
    pub(crate) fn idle(&self, now: Duration) -> Duration {
        now.saturating_sub(self.last_input)
    }

    /// Whether a window is closing bit by bit.
    pub(crate) fn is_closing(&self) -> bool {
        self.table.is_closing()
    }

    /// Closes up to so many more objects of it; what is left of the number.
    pub(crate) fn close_more(&mut self, objects: usize, now: Duration) -> usize {
        let left = self.table.close_more(objects);
        self.note_results(now);
        left
    }

    /// Lets time pass for a shard of which the cluster said just now that it has nothing more. When that has been so
    /// for long enough, event time goes on from the newest timestamp at the speed of the monotonic clock.
    ///
    /// Only time that is covered by such answers counts: while the brokers were away, producers could not send either.
    pub(crate) fn pass_quiet_time(&mut self, now: Duration, settings: &WorkerSettings) {
        let known = self.quiet.filter(|quiet| now.saturating_sub(quiet.confirmed) <= MAX_UNCONFIRMED);
        let since = known.map_or(now, |quiet| quiet.since);
        self.quiet = Some(Quiet { since, confirmed: now });
        let quiet = now.saturating_sub(since);
        let Some(newest) = self.table.newest_timestamp().filter(|_| quiet >= settings.idle_timeout) else { return };
        let reached = newest.saturating_add(micros(quiet));
        self.table.advance(settings.table.watermark(reached));
        self.note_results(now);
    }

    fn note_results(&mut self, now: Duration) {
        if self.results_since.is_none() && (self.table.sink().rows() > 0 || !self.dead_letters.is_empty()) {
            self.results_since = Some(now);
        }
    }

    /// Whether there is something to commit: results after `linger`, a new owner after a moment, progress after the
    /// interval, anything if `all`. Never while a window is closing, as the state then is that of two moments.
    pub(crate) fn is_due(&self, all: bool, now: Duration, linger: Duration, interval: Duration) -> bool {
        if self.table.is_closing() {
            return false;
        }
        if let Some(since) = self.results_since {
            return all || now.saturating_sub(since) >= linger || self.pending_bytes() > MAX_PENDING_BYTES;
        }
        if !self.is_announced && !all && now.saturating_sub(self.committed.at) >= LINGER {
            return true;
        }
        let moved = self.head.cursors != self.committed.cursors
            || self.table.watermark() != self.committed.watermark
            || !self.erased.is_empty();
        moved && (all || now.saturating_sub(self.committed.at) >= interval)
    }

    /// What results and dead letters take that are not committed.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.table.sink().bytes() + self.dead_letter_bytes
    }

    /// What changed since the last commit. The caller commits it, or restores the shard.
    pub(crate) fn prepare_commit(&mut self, owner: &str, now: Duration) -> Result<ShardCommit, LogError> {
        let results = self.table.sink_mut().take()?;
        let snapshot = self.table.snapshot();
        self.head.sequence += 1;
        self.head.meta = snapshot.meta;
        let mut state = std::mem::take(&mut self.erased);
        state.extend(state::encode(&self.head, snapshot.chunks, &mut self.digests));
        self.committed = Committed { cursors: self.head.cursors.clone(), watermark: self.table.watermark(), at: now };
        self.is_announced = true;
        self.results_since = None;
        self.dead_letter_bytes = 0;
        let (offsets, note) = (self.offsets(), self.note(owner));
        Ok(ShardCommit {
            shard: self.id,
            state,
            results,
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

    pub(crate) fn status(&self) -> PartitionStatus {
        PartitionStatus {
            stream: self.stream.name.clone(),
            cursor: self.head.cursors.get(&self.id.partition).copied().unwrap_or(0),
            cursors: self.head.cursors.clone(),
            closing: self.table.is_closing(),
            objects: self.table.objects(),
            watermark: self.table.watermark(),
            fates: *self.table.fates(),
            restored: self.restored.clone(),
        }
    }
}
