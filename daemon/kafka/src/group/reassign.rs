//! Where partitions are read from, and the assignment of a group that rebalances eagerly.

use daemon_log::PartitionId;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::Offset;

use super::Group;

impl Group {
    /// Assigns all partitions that are read to the consumer of an eager group, which has no incremental call. The
    /// partitions in `starts` begin at their offsets, the others continue at their positions.
    pub(super) fn reassign(&mut self, starts: &[(PartitionId, Option<u64>)]) -> KafkaResult<()> {
        let positions = self.consumer.position()?;
        let start_of = |id: &PartitionId| {
            let requested = starts.iter().find(|(start, _)| start == id);
            let (topic, number) = (self.topics.name(id.stream), i32::from(id.partition));
            let position = || match positions.find_partition(topic, number).map(|it| it.offset()) {
                Some(reached @ Offset::Offset(_)) => reached,
                _ => start(self.starts.get(id).copied().flatten()),
            };
            requested.map_or_else(position, |(_, offset)| start(*offset))
        };
        let list = self.topics.list(self.reading.iter().map(|id| (*id, start_of(id))));
        self.consumer.assign(&list)
    }
}

/// Where to begin to read: at this offset, or at the oldest record.
pub(super) fn start(offset: Option<u64>) -> Offset {
    offset.and_then(|offset| i64::try_from(offset).ok()).map_or(Offset::Beginning, Offset::Offset)
}
