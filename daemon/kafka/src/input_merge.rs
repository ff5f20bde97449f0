//! The merge of a shard's input partitions in the order of event time.
//!
//! A shard has more than one input partition after its topic has grown. If they were read one after the other, for
//! example after an outage, the records of the second would be late: those of the first have advanced the watermark. So
//! a record is held until every input partition has one, or is at its end. A record of the future, which the table will
//! refuse, has no place in that order: behind one, all others of its partition would wait until the others' time is
//! there, and be late.

use std::collections::{BTreeMap, VecDeque};

use proxy_uve::wire;

use crate::member::Incoming;

/// The number of held records at which a partition is paused.
const MAX_HELD: usize = 20_000;

/// A record that is held until it is the next in event time.
#[derive(Debug)]
pub(crate) struct HeldRecord {
    pub offset: u64,
    pub at: u64,
    pub key: Box<[u8]>,
    pub payload: Box<[u8]>,
    /// Event time; 0 for a record that is not a sample or is of the future, so that it comes first.
    time: u64,
}

impl HeldRecord {
    fn new(record: &Incoming<'_>, is_future: impl Fn(u64, u64) -> bool) -> Self {
        let time = wire::decode(record.payload).ok().map(|sample| sample.timestamp);
        let time = time.filter(|&time| !is_future(time, record.at)).unwrap_or(0);
        Self { offset: record.offset, at: record.at, key: record.key.into(), payload: record.payload.into(), time }
    }

    pub(crate) fn incoming(&self) -> Incoming<'_> {
        Incoming { offset: self.offset, at: self.at, key: &self.key, payload: &self.payload }
    }
}

/// The held records of a shard, by input partition.
#[derive(Debug, Default)]
pub(crate) struct InputMerge {
    held_by_partition: BTreeMap<u16, VecDeque<HeldRecord>>,
}

impl InputMerge {
    /// Holds records of a partition. `is_future` is given the timestamp of a sample and its arrival.
    pub(crate) fn push(&mut self, partition: u16, records: &[Incoming<'_>], is_future: impl Fn(u64, u64) -> bool) {
        let held = records.iter().map(|record| HeldRecord::new(record, &is_future));
        self.held_by_partition.entry(partition).or_default().extend(held);
    }

    /// Whether no record is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.held_by_partition.values().all(VecDeque::is_empty)
    }

    /// Whether a partition has so many held records that it should be paused.
    pub(crate) fn is_full(&self, partition: u16) -> bool {
        self.held_by_partition.get(&partition).is_some_and(|held| held.len() >= MAX_HELD)
    }

    /// Takes the record that is next in event time, with its partition; `None` while a partition of `all` has no record
    /// and `is_at_end` is false for it.
    pub(crate) fn pop(
        &mut self,
        all: impl Iterator<Item = u16>,
        is_at_end: impl Fn(u16) -> bool,
    ) -> Option<(u16, HeldRecord)> {
        let mut first: Option<(u64, u16)> = None;
        for partition in all {
            match self.held_by_partition.get(&partition).and_then(VecDeque::front) {
                Some(held) if first.is_none_or(|(time, _)| held.time < time) => first = Some((held.time, partition)),
                Some(_) => {}
                None if is_at_end(partition) => {}
                None => return None,
            }
        }
        let (_, partition) = first?;
        Some((partition, self.held_by_partition.get_mut(&partition)?.pop_front()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FUTURE: u64 = 1_000_000;

    fn push(merge: &mut InputMerge, partition: u16, times: &[u64]) {
        for (offset, time) in times.iter().enumerate() {
            let payload = format!("{{\"ts\":{time},\"value\":1}}");
            let record = Incoming { offset: offset as u64, at: 0, key: b"T:a", payload: payload.as_bytes() };
            merge.push(partition, &[record], |at, _| at >= FUTURE);
        }
    }

    fn pop_all(merge: &mut InputMerge, at_end: &[u16]) -> Vec<(u16, u64)> {
        let next = || merge.pop([7, 37].into_iter(), |partition| at_end.contains(&partition));
        std::iter::from_fn(next).map(|(partition, held)| (partition, held.time)).collect()
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
    fn a_record_without_event_time_comes_first() {
        let mut merge = InputMerge::default();
        merge.push(7, &[Incoming { offset: 0, at: 0, key: b"", payload: b"?" }], |_, _| false);
        push(&mut merge, 37, &[15]);
        assert_eq!(pop_all(&mut merge, &[]), [(7, 0)]);
    }
}
