//! The merge of a shard's input partitions in the order of event time.
//!
//! A shard has more than one input partition after its topic has grown. If they were read one after the other, for
//! example after an outage, the records of the second would be late: those of the first have advanced the watermark. So
//! a record is held until every input partition has one, or is at its end. A record of the future, which the table will
//! refuse, has no place in that order: behind one, all others of its partition would wait until the others' time is
//! there, and be late.
//!
//! A producer writes the partitions of a topic one after the other, and a backlog of hours at once. So a partition at its
//! end may get older records in the next moment: a record passes it only some time after it came, or when no more can be
//! held.
//!
//! What is held is bounded for each partition, and for all shards of a worker together ([`HeldBudget`]).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::foreign::event_time;
use crate::member::Incoming;

/// The number of held records at which a partition is paused, and their size.
const MAX_HELD: usize = 20_000;
const MAX_HELD_BYTES: usize = 16 * 1024 * 1024;

/// The size of the held records of all shards of a worker. From half of it on each partition may hold only its share of
/// the other half, so that none is without any.
const MAX_WORKER_BYTES: usize = 64 * 1024 * 1024;

/// How long a record waits for older ones in partitions that are at their ends.
const GRACE: Duration = Duration::from_secs(2);

/// When records were read, by two clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadTime {
    /// Monotonic.
    pub now: Duration,
    /// In microseconds since the epoch.
    pub wall: u64,
}

impl ReadTime {
    /// The arrival of a record, in microseconds since the epoch: by the broker's clock if the topic has that, else the
    /// time of the first reading by the daemon's clock. The producer's clock may be as wrong as that of its samples.
    pub(crate) fn arrival(self, record: &Incoming<'_>) -> u64 {
        record.at.unwrap_or(self.wall)
    }
}

/// A record that is held until it is the next in event time.
#[derive(Debug)]
pub(crate) struct HeldRecord {
    pub offset: u64,
    /// Its arrival; see [`ReadTime`].
    pub at: u64,
    pub key: Box<[u8]>,
    pub payload: Box<[u8]>,
    /// Event time; 0 for a record that is not a sample or is of the future, so that it comes first.
    pub time: u64,
    /// When it was read; monotonic.
    pub came: Duration,
}

impl HeldRecord {
    fn new(record: &Incoming<'_>, read: ReadTime, is_future: impl Fn(u64, u64) -> bool) -> Self {
        let (at, came) = (read.arrival(record), read.now);
        let time = event_time(record.payload).filter(|&time| !is_future(time, at)).unwrap_or(0);
        Self { offset: record.offset, at, key: record.key.into(), payload: record.payload.into(), time, came }
    }

    /// The memory that it takes, about.
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.key.len() + self.payload.len()
    }

    pub(crate) fn incoming(&self) -> Incoming<'_> {
        Incoming { offset: self.offset, at: Some(self.at), key: &self.key, payload: &self.payload }
    }
}

/// The size of the held records of all shards that share it, with the number of their input partitions.
#[derive(Debug, Default)]
pub(crate) struct HeldBudget {
    bytes: AtomicUsize,
    partitions: AtomicUsize,
}

impl HeldBudget {
    /// Whether a partition that holds so much has used up its part.
    fn is_used_up(&self, bytes: usize) -> bool {
        const HALF: usize = MAX_WORKER_BYTES / 2;
        let share = HALF / self.partitions.load(Ordering::Relaxed).max(1);
        bytes > share && self.bytes.load(Ordering::Relaxed) >= HALF
    }
}

/// The held records of a shard, by input partition.
#[derive(Debug, Default)]
pub(crate) struct InputMerge {
    held_by_partition: BTreeMap<u16, Held>,
    budget: Arc<HeldBudget>,
}

/// The held records of one partition.
#[derive(Debug, Default)]
struct Held {
    records: VecDeque<HeldRecord>,
    bytes: usize,
}

impl Held {
    fn is_at_limit(&self) -> bool {
        self.records.len() >= MAX_HELD || self.bytes >= MAX_HELD_BYTES
    }
}

impl InputMerge {
    /// Counts what is held in the budget of a worker from now on.
    pub(crate) fn share(&mut self, budget: &Arc<HeldBudget>) {
        self.leave_budget();
        self.budget = Arc::clone(budget);
        self.budget.bytes.fetch_add(self.bytes(), Ordering::Relaxed);
        self.budget.partitions.fetch_add(self.held_by_partition.len(), Ordering::Relaxed);
    }

    fn leave_budget(&self) {
        self.budget.bytes.fetch_sub(self.bytes(), Ordering::Relaxed);
        self.budget.partitions.fetch_sub(self.held_by_partition.len(), Ordering::Relaxed);
    }

    fn bytes(&self) -> usize {
        self.held_by_partition.values().map(|held| held.bytes).sum()
    }

    /// Holds records of a partition that were read just now. `is_future` is given the timestamp of a sample and its
    /// arrival.
    pub(crate) fn push(
        &mut self,
        partition: u16,
        records: &[Incoming<'_>],
        read: ReadTime,
        is_future: impl Fn(u64, u64) -> bool,
    ) {
        let budget = &self.budget;
        let held = self.held_by_partition.entry(partition).or_insert_with(|| {
            budget.partitions.fetch_add(1, Ordering::Relaxed);
            Held::default()
        });
        let before = held.bytes;
        for record in records {
            let record = HeldRecord::new(record, read, &is_future);
            held.bytes += record.bytes();
            held.records.push_back(record);
        }
        budget.bytes.fetch_add(held.bytes - before, Ordering::Relaxed);
    }

    /// The offset after the last held record of a partition; `None` if none is held.
    pub(crate) fn next_offset(&self, partition: u16) -> Option<u64> {
        Some(self.held_by_partition.get(&partition)?.records.back()?.offset + 1)
    }

    /// Whether no record is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.held_by_partition.values().all(|held| held.records.is_empty())
    }

    /// Whether a partition has so many held records that it should be paused. One that has none never is: the records of
    /// others may wait for its next one.
    pub(crate) fn is_full(&self, partition: u16) -> bool {
        let is_full = |held: &Held| held.is_at_limit() || self.budget.is_used_up(held.bytes);
        self.held_by_partition.get(&partition).is_some_and(is_full)
    }

    /// Whether a partition has as many held records as any may have.
    fn is_at_limit(&self, partition: u16) -> bool {
        self.held_by_partition.get(&partition).is_some_and(Held::is_at_limit)
    }

    /// The record that is next in event time, with its partition. `None` while a partition of `all` has no record,
    /// unless `is_at_end` is true for it at `now` and the record that is next came some time ago.
    pub(crate) fn next(
        &self,
        all: impl Iterator<Item = u16>,
        is_at_end: impl Fn(u16) -> bool,
        now: Duration,
    ) -> Option<(u16, &HeldRecord)> {
        let (mut first, mut passes_an_end): (Option<(u16, &HeldRecord)>, bool) = (None, false);
        for partition in all {
            match self.held_by_partition.get(&partition).and_then(|held| held.records.front()) {
                Some(held) if first.is_none_or(|(_, first)| held.time < first.time) => first = Some((partition, held)),
                Some(_) => {}
                None if is_at_end(partition) => passes_an_end = true,
                None => return None,
            }
        }
        let waits = |partition, held: &HeldRecord| {
            passes_an_end && now.saturating_sub(held.came) < GRACE && !self.is_at_limit(partition)
        };
        first.filter(|(partition, held)| !waits(*partition, held))
    }

    /// Takes the first held record of a partition.
    pub(crate) fn take(&mut self, partition: u16) -> Option<HeldRecord> {
        let held = self.held_by_partition.get_mut(&partition)?;
        let record = held.records.pop_front()?;
        held.bytes -= record.bytes();
        self.budget.bytes.fetch_sub(record.bytes(), Ordering::Relaxed);
        Some(record)
    }
}

impl Drop for InputMerge {
    fn drop(&mut self) {
        self.leave_budget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FUTURE: u64 = 1_000_000;
    const READ: ReadTime = ReadTime { now: Duration::ZERO, wall: 0 };

    fn push(merge: &mut InputMerge, partition: u16, times: &[u64]) {
        for (offset, time) in times.iter().enumerate() {
            let payload = format!("{{\"ts\":{time},\"value\":1}}");
            let record = Incoming { offset: offset as u64, at: None, key: b"T:a", payload: payload.as_bytes() };
            merge.push(partition, &[record], READ, |at, _| at >= FUTURE);
        }
    }

    fn pop(merge: &mut InputMerge, at_end: &[u16], now: Duration) -> Option<(u16, u64)> {
        let next = merge.next([7, 37].into_iter(), |partition| at_end.contains(&partition), now);
        let (partition, time) = next.map(|(partition, held)| (partition, held.time))?;
        merge.take(partition);
        Some((partition, time))
    }

    fn pop_all(merge: &mut InputMerge, at_end: &[u16]) -> Vec<(u16, u64)> {
        std::iter::from_fn(|| pop(merge, at_end, GRACE)).collect()
    }

    #[test]
    fn records_are_merged_by_event_time_and_wait_for_a_partition_without_records() {
        let mut merge = InputMerge::default();
        push(&mut merge, 7, &[10, 20, 90]);
        assert_eq!(pop_all(&mut merge, &[]), []);
        push(&mut merge, 37, &[15, 30]);
        assert_eq!(pop_all(&mut merge, &[]), [(7, 10), (37, 15), (7, 20), (37, 30)]);
        assert_eq!(pop_all(&mut merge, &[37]), [(7, 90)]);
        assert!(merge.is_empty());
    }

    #[test]
    fn a_record_of_the_future_holds_up_none_of_those_behind_it() {
        let mut merge = InputMerge::default();
        push(&mut merge, 7, &[10, FUTURE, 20]);
        push(&mut merge, 37, &[15, 25, 30]);
        assert_eq!(pop_all(&mut merge, &[]), [(7, 10), (7, 0), (37, 15), (7, 20)]);
    }

    #[test]
    fn a_record_passes_a_partition_at_its_end_only_some_time_after_it_came() {
        let mut merge = InputMerge::default();
        push(&mut merge, 7, &[1_000, 2_000]);
        assert_eq!(pop(&mut merge, &[37], GRACE - Duration::from_millis(1)), None);
        push(&mut merge, 37, &[10]);
        assert_eq!(pop(&mut merge, &[37], Duration::ZERO), Some((37, 10)), "the producer wrote it a moment later");
        assert_eq!(pop(&mut merge, &[37], Duration::ZERO), None);
        assert_eq!(pop_all(&mut merge, &[37]), [(7, 1_000), (7, 2_000)]);
    }

    #[test]
    fn a_partition_is_full_by_the_number_of_its_records_or_by_their_size() {
        let mut merge = InputMerge::default();
        push(&mut merge, 7, &vec![10; MAX_HELD - 1]);
        assert!(!merge.is_full(7) && !merge.is_full(37));
        push(&mut merge, 7, &[10]);
        assert!(merge.is_full(7));
        merge.take(7);
        assert!(!merge.is_full(7));
        let payload = vec![b'x'; MAX_HELD_BYTES / 2];
        for is_full in [false, true] {
            merge.push(37, &[Incoming { offset: 0, at: None, key: b"", payload: &payload }], READ, |_, _| false);
            assert_eq!(merge.is_full(37), is_full);
        }
    }

    /// Reads records of a size into the partitions 0 and 1 of all shards, in turn, where they are not full; returns what
    /// is held in the end.
    fn fill(shards: &mut [InputMerge], size: usize) -> usize {
        let payload = vec![b'x'; size];
        let record = [Incoming { offset: 0, at: None, key: b"", payload: &payload }];
        let mut was_read = true;
        while std::mem::take(&mut was_read) {
            for (shard, source) in (0..shards.len()).flat_map(|shard| [(shard, 0), (shard, 1)]) {
                if !shards[shard].is_full(source) {
                    shards[shard].push(source, &record, READ, |_, _| false);
                    was_read = true;
                }
            }
        }
        shards.iter().map(InputMerge::bytes).sum()
    }

    #[test]
    fn the_partitions_of_a_worker_share_a_budget_and_none_is_without_any() {
        let budget = Arc::new(HeldBudget::default());
        for count in [1, 2, 32, 200] {
            let mut shards: Vec<_> = (0..count).map(|_| InputMerge::default()).collect();
            shards.iter_mut().for_each(|shard| shard.share(&budget));
            let (size, partitions) = (64 * 1024, 2 * count);
            let held = fill(&mut shards, size);
            // The records that are read last may exceed it.
            let slack = partitions * (size + 1024);
            assert!(held <= MAX_WORKER_BYTES.min(partitions * MAX_HELD_BYTES) + slack, "{count}: {held}");
            assert_eq!(budget.bytes.load(Ordering::Relaxed), held, "{count}");
            // One shard that waits holds up no other: each of its partitions may hold its share.
            let last = shards.last_mut().unwrap();
            while last.take(0).is_some() {}
            assert!(!last.is_full(0), "{count}");
            last.push(0, &[Incoming { offset: 0, at: None, key: b"", payload: b"" }], READ, |_, _| false);
            assert!(!last.is_full(0), "{count}");
            drop(shards);
            assert_eq!((budget.bytes.load(Ordering::Relaxed), budget.partitions.load(Ordering::Relaxed)), (0, 0));
        }
    }

    #[test]
    fn a_budget_that_is_used_up_does_not_shorten_the_wait_for_older_records() {
        let (mut one, mut other) = (InputMerge::default(), InputMerge::default());
        let budget = Arc::new(HeldBudget::default());
        [&mut one, &mut other].into_iter().for_each(|shard| shard.share(&budget));
        let payload = vec![b'x'; MAX_WORKER_BYTES / 2 + 1];
        other.push(1, &[Incoming { offset: 0, at: None, key: b"", payload: &payload }], READ, |_, _| false);
        push(&mut one, 7, &[1_000]);
        assert_eq!(pop(&mut one, &[37], GRACE / 2), None);
        assert_eq!(pop(&mut one, &[37], GRACE), Some((7, 1_000)));
    }

    #[test]
    fn a_record_without_event_time_comes_first() {
        let mut merge = InputMerge::default();
        merge.push(7, &[Incoming { offset: 0, at: None, key: b"", payload: b"?" }], READ, |_, _| false);
        push(&mut merge, 37, &[15]);
        assert_eq!(pop_all(&mut merge, &[]), [(7, 0)]);
    }
}
