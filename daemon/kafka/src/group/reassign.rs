//! What holds for the assignment, where partitions are read from, and the calls of a group that rebalances eagerly.

use daemon_log::PartitionId;
use rdkafka::consumer::{Consumer as _, RebalanceProtocol};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::Offset;

use super::Group;

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
    pub(super) fn reassign(&self) -> KafkaResult<()> {
        let list = self.topics.list(self.positions.iter().map(|(id, position)| (*id, start(*position))));
        self.consumer.assign(&list)
    }

    /// Whether all records of a partition before its end offset were polled.
    pub(super) fn is_read_to(&self, id: PartitionId, end: u64) -> bool {
        // The last offset is that of a control record if the producer writes in transactions: then no position gets
        // there. A position behind the end is of a topic that was created again.
        self.positions.get(&id) == Some(&Some(end))
            || self.consumer.context().progress.has_read_to(self.topics.name(id.stream), i32::from(id.partition), end)
    }
}

/// Where to begin to read: at this offset, or at the oldest record.
pub(super) fn start(offset: Option<u64>) -> Offset {
    offset.and_then(|offset| i64::try_from(offset).ok()).map_or(Offset::Beginning, Offset::Offset)
}
