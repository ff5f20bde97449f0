//! Records of several input partitions in the order of their time.
//!
//! A shard has more than one input partition once its topic was grown. Read one after the other, the second would be
//! late where the first has moved the watermark on; a catch-up after an outage would do just that. So a record waits
//! until every partition has shown one, or is known to have none.

use std::collections::{BTreeMap, VecDeque};

use proxy_uve::wire;

use crate::member::Incoming;

/// Records of one partition beyond which it is paused.
const HELD: usize = 20_000;

/// A record that waits for its turn.
#[derive(Debug)]
pub(crate) struct Held {
    pub offset: u64,
    pub at: u64,
    pub key: Box<[u8]>,
    pub payload: Box<[u8]>,
    /// Its own time; one that cannot be read goes at once.
    time: u64,
}

impl Held {
    fn new(record: &Incoming<'_>) -> Self {
        let time = wire::decode(record.payload).map_or(0, |sample| sample.timestamp);
        Self { offset: record.offset, at: record.at, key: record.key.into(), payload: record.payload.into(), time }
    }

    pub(crate) fn incoming(&self) -> Incoming<'_> {
        Incoming { offset: self.offset, at: self.at, key: &self.key, payload: &self.payload }
    }
}

/// The waiting records, by partition.
#[derive(Debug, Default)]
pub(crate) struct Merge {
    waiting: BTreeMap<u16, VecDeque<Held>>,
}

impl Merge {
    pub(crate) fn push(&mut self, partition: u16, records: &[Incoming<'_>]) {
        self.waiting.entry(partition).or_default().extend(records.iter().map(Held::new));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.values().all(VecDeque::is_empty)
    }

    /// Whether a partition has so many waiting that it should be paused.
    pub(crate) fn is_full(&self, partition: u16) -> bool {
        self.waiting.get(&partition).is_some_and(|waiting| waiting.len() >= HELD)
    }

    /// The next record whose turn it is, and its partition. A partition of `all` without one holds up the others
    /// unless `is_dry` says that there is none to wait for.
    pub(crate) fn pop(&mut self, all: impl Iterator<Item = u16>, is_dry: impl Fn(u16) -> bool) -> Option<(u16, Held)> {
        let mut first: Option<(u64, u16)> = None;
        for partition in all {
            match self.waiting.get(&partition).and_then(VecDeque::front) {
                Some(held) if first.is_none_or(|(time, _)| held.time < time) => first = Some((held.time, partition)),
                Some(_) => {}
                None if is_dry(partition) => {}
                None => return None,
            }
        }
        let (_, partition) = first?;
        Some((partition, self.waiting.get_mut(&partition)?.pop_front()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(merge: &mut Merge, partition: u16, times: &[u64]) {
        for (offset, time) in times.iter().enumerate() {
            let payload = format!("{{\"ts\":{time},\"value\":1}}");
            let record = Incoming { offset: offset as u64, at: 0, key: b"T:a", payload: payload.as_bytes() };
            merge.push(partition, &[record]);
        }
    }

    fn pop_all(merge: &mut Merge, dry: &[u16]) -> Vec<(u16, u64)> {
        let next = || merge.pop([7, 37].into_iter(), |partition| dry.contains(&partition));
        std::iter::from_fn(next).map(|(partition, held)| (partition, held.time)).collect()
    }

    #[test]
    fn records_come_in_the_order_of_time_and_a_partition_that_shows_none_holds_them_up() {
        let mut merge = Merge::default();
        push(&mut merge, 7, &[10, 20, 90]);
        assert_eq!(pop_all(&mut merge, &[]), []);
        push(&mut merge, 37, &[15, 30]);
        assert_eq!(pop_all(&mut merge, &[]), [(7, 10), (37, 15), (7, 20), (37, 30)]);
        assert_eq!(pop_all(&mut merge, &[37]), [(7, 90)]);
        assert!(merge.is_empty());
    }

    #[test]
    fn a_record_without_time_holds_nothing_up() {
        let mut merge = Merge::default();
        merge.push(7, &[Incoming { offset: 0, at: 0, key: b"", payload: b"?" }]);
        push(&mut merge, 37, &[15]);
        assert_eq!(pop_all(&mut merge, &[]), [(7, 0)]);
    }
}
