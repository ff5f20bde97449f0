//! The input partitions that a consumer reads, and how far each stream of their topics is.
//!
//! Several streams may have one topic. The consumer reads a partition once for all of them, from the lowest of their
//! positions, and each stream gets the records from its own position on. A stream that is paused gets none: the others go
//! on, and the partition is read again from its position when it is resumed. If one paused the partition for all, two
//! streams that wait for different partitions of their shards would wait for each other.

use std::collections::{BTreeMap, BTreeSet};

use daemon_log::PartitionId;

use crate::input_topics::InputTopics;
use crate::member::Incoming;

/// An offset to read from; `None` before the first record of a partition that is read from its oldest record.
type Position = Option<u64>;

/// The partitions that are read. A partition of several streams is named by its [first](InputTopics::first) id.
#[derive(Debug, Default)]
pub(super) struct Readings {
    /// The position of each stream in each partition: the offset after the last record that it got, or where it began.
    positions: BTreeMap<PartitionId, Position>,
    /// The streams that are paused, by partition.
    paused: BTreeSet<PartitionId>,
    /// The partitions that the consumer reads, each with the offset after the last polled record, or where it began.
    read: BTreeMap<PartitionId, Position>,
    /// The partitions paused in librdkafka. It keeps a partition paused after `unassign`, and also when the partition
    /// is assigned again.
    halted: BTreeSet<PartitionId>,
}

/// What the consumer has to do after a stream was paused or resumed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pause {
    /// Pause the partition: no stream reads on.
    All,
    /// Resume the partition.
    Resume,
    /// Read the partition again from the lowest position: the stream missed records while it was paused.
    ReadAgain,
    /// Nothing.
    Nothing,
}

impl Readings {
    /// Sets the positions of streams that begin to read, or are moved. None of them is paused.
    pub(super) fn begin(&mut self, starts: &[(PartitionId, Position)]) {
        self.positions.extend(starts.iter().copied());
        self.paused.retain(|id| !starts.iter().any(|(start, _)| start == id));
    }

    /// The position of a stream in a partition; `None` if it does not read it.
    pub(super) fn position(&self, id: PartitionId) -> Option<Position> {
        self.positions.get(&id).copied()
    }

    /// Whether the consumer reads a partition.
    pub(super) fn is_read(&self, first: PartitionId) -> bool {
        self.read.contains_key(&first)
    }

    /// Notes that the consumer reads these partitions from the lowest positions; returns them.
    pub(super) fn read(
        &mut self,
        topics: &InputTopics,
        firsts: &BTreeSet<PartitionId>,
    ) -> Vec<(PartitionId, Position)> {
        let starts: Vec<_> = firsts.iter().map(|first| (*first, self.lowest(topics, *first))).collect();
        self.read.extend(starts.iter().copied());
        starts
    }

    /// All partitions that the consumer reads, each with its position.
    pub(super) fn read_all_again(&self) -> Vec<(PartitionId, Position)> {
        self.read.iter().map(|(first, position)| (*first, *position)).collect()
    }

    /// The lowest position of the streams that read a partition and are not paused.
    fn lowest(&self, topics: &InputTopics, first: PartitionId) -> Position {
        let unpaused = topics.shared(first).filter(|id| !self.paused.contains(id));
        unpaused.filter_map(|id| self.position(id)).min().flatten()
    }

    /// Gives a stream the polled records of a partition from its position on; `None` if it does not read the partition, or is
    /// paused.
    pub(super) fn deliver<'r, 'm>(
        &mut self,
        id: PartitionId,
        records: &'r [Incoming<'m>],
    ) -> Option<&'r [Incoming<'m>]> {
        let position = self.positions.get_mut(&id).filter(|_| !self.paused.contains(&id))?;
        let next = position.unwrap_or(0);
        let records = &records[records.partition_point(|record| record.offset < next)..];
        if let Some(last) = records.last() {
            *position = Some(last.offset + 1);
        }
        Some(records)
    }

    /// Notes the polled records of a partition, after all streams have got theirs.
    pub(super) fn polled(&mut self, first: PartitionId, records: &[Incoming<'_>]) {
        if let Some((position, last)) = self.read.get_mut(&first).zip(records.last()) {
            *position = Some(last.offset + 1);
        }
    }

    /// Ends the reading of streams; returns the partitions that no stream reads any more.
    pub(super) fn end(&mut self, topics: &InputTopics, ids: &[PartitionId]) -> Vec<PartitionId> {
        let ended: BTreeSet<_> = ids.iter().filter(|id| self.positions.remove(id).is_some()).copied().collect();
        self.paused.retain(|id| !ended.contains(id));
        let firsts: BTreeSet<_> = ended.iter().map(|id| topics.first(*id)).collect();
        let is_unread = |first: &PartitionId| !topics.shared(*first).any(|id| self.positions.contains_key(&id));
        let unread: Vec<_> = firsts.into_iter().filter(is_unread).collect();
        self.read.retain(|first, _| !unread.contains(first));
        unread
    }

    /// Ends all reading.
    pub(super) fn end_all(&mut self) {
        self.positions.clear();
        self.paused.clear();
        self.read.clear();
    }

    /// Pauses a stream in a partition, or resumes it.
    pub(super) fn pause(&mut self, topics: &InputTopics, id: PartitionId, pause: bool) -> Pause {
        let first = topics.first(id);
        if pause {
            self.paused.insert(id);
            let mut reading = topics.shared(id).filter(|it| self.positions.contains_key(it));
            return if reading.all(|it| self.paused.contains(&it)) { Pause::All } else { Pause::Nothing };
        }
        self.paused.remove(&id);
        match self.position(id) {
            Some(position) if self.read.get(&first).is_some_and(|read| position < *read) => Pause::ReadAgain,
            _ if self.halted.contains(&first) => Pause::Resume,
            _ => Pause::Nothing,
        }
    }

    /// Whether a partition is paused in librdkafka.
    pub(super) fn is_halted(&self, first: PartitionId) -> bool {
        self.halted.contains(&first)
    }

    /// Notes whether a partition is paused in librdkafka.
    pub(super) fn set_halted(&mut self, first: PartitionId, halted: bool) {
        let _ = if halted { self.halted.insert(first) } else { self.halted.remove(&first) };
    }
}

#[cfg(test)]
mod tests;
