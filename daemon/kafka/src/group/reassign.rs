//! What holds for the assignment, where partitions are read from, and the calls of a group that rebalances eagerly.

use std::collections::BTreeSet;

use daemon_log::PartitionId;
use rdkafka::consumer::{Consumer as _, RebalanceProtocol};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::Offset;

use super::Group;
use super::inputs::unreachable;
use crate::member::MemberError;

impl Group {
    /// Whether the group has expelled this member. librdkafka clears its own flag with the next call that changes the
    /// assignment, so this runs before each such call.
    pub(super) fn is_expelled(&mut self) -> bool {
        self.is_expelled |= self.consumer.assignment_lost();
        self.is_expelled
    }

    pub(super) fn is_cooperative(&self) -> bool {
        matches!(self.consumer.rebalance_protocol(), RebalanceProtocol::Cooperative)
    }

    /// Assigns all partitions that are read to the consumer of an eager group, which has no incremental call. They
    /// continue at their positions.
    fn reassign(&mut self) -> KafkaResult<()> {
        let all = self.readings.read_all_again();
        self.consumer.assign(&self.topics.list(all.into_iter().map(|(id, position)| (id, start(position)))))
    }

    /// Reads input partitions, each from the lowest position of its streams, whether they are read already or not.
    pub(super) fn read_again(&mut self, firsts: &BTreeSet<PartitionId>) -> Result<(), MemberError> {
        for first in firsts {
            self.moved(*first);
        }
        if self.is_cooperative() {
            let restarted = firsts.iter().copied().filter(|first| self.readings.is_read(*first)).collect();
            self.unassign(restarted)?;
        }
        for first in firsts {
            self.halt(*first, false)?;
        }
        let starts = self.readings.read(&self.topics, firsts);
        let done = if self.is_cooperative() {
            let list = self.topics.list(starts.into_iter().map(|(id, position)| (id, start(position))));
            self.consumer.incremental_assign(&list)
        } else {
            self.reassign()
        };
        done.map_err(|error| unreachable("assigning partitions to the consumer", &error))
    }

    /// Ends the reading of input partitions that no stream reads any more.
    pub(super) fn unassign(&mut self, firsts: Vec<PartitionId>) -> Result<(), MemberError> {
        if firsts.is_empty() {
            return Ok(());
        }
        let done = if self.is_cooperative() {
            self.consumer.incremental_unassign(&self.topics.list(firsts.into_iter().map(|id| (id, Offset::Invalid))))
        } else {
            self.reassign()
        };
        done.map_err(|error| unreachable("unassigning partitions from the consumer", &error))
    }

    /// Pauses an input partition in librdkafka, or resumes it.
    pub(super) fn halt(&mut self, first: PartitionId, halt: bool) -> Result<(), MemberError> {
        if self.readings.is_halted(first) == halt {
            return Ok(());
        }
        let list = self.topics.list([(first, Offset::Invalid)]);
        let done = if halt { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
        done.map_err(|error| unreachable("pausing a partition", &error))?;
        self.readings.set_halted(first, halt);
        // librdkafka drops the fetched messages and fetches them again after the pause: the reported progress is stale.
        self.moved(first);
        Ok(())
    }

    fn moved(&self, first: PartitionId) {
        self.consumer.context().progress.moved(self.topics.name(first.stream), i32::from(first.partition));
    }

    /// Whether all records of a partition before its end offset were polled.
    pub(super) fn is_read_to(&self, id: PartitionId, end: u64) -> bool {
        // The last offset is that of a control record if the producer writes in transactions: then no position gets
        // there. A position behind the end is of a topic that was created again.
        self.readings.position(id) == Some(Some(end))
            || self.consumer.context().progress.has_read_to(self.topics.name(id.stream), i32::from(id.partition), end)
    }
}

/// Where to begin to read: at this offset, or at the oldest record.
pub(super) fn start(offset: Option<u64>) -> Offset {
    offset.and_then(|offset| i64::try_from(offset).ok()).map_or(Offset::Beginning, Offset::Offset)
}
