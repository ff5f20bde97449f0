//! Checks that records are in the partitions that Contrail's partitioning gives their keys.

use std::sync::Arc;

use daemon_log::PartitionId;
use tracing::error;

use crate::member::Incoming;
use crate::telemetry::GroupTelemetry;
use crate::topology::{self, Shape};

/// The longest part of a key that is logged, in bytes.
const MAX_KEY: usize = 256;

/// Counts and logs records that are not in a partition of the shard of their keys. An object with samples in two shards
/// has two states, and results of both.
pub(super) struct Placement(Arc<GroupTelemetry>);

impl Placement {
    pub(super) fn new(telemetry: &Arc<GroupTelemetry>) -> Self {
        Self(Arc::clone(telemetry))
    }

    /// Checks records of one partition.
    pub(super) fn check(&self, topic: &str, id: PartitionId, shape: Shape, records: &[Incoming<'_>]) {
        let Some((records, key)) = misplaced(id, shape, records) else { return };
        self.0.misplaced(records);
        let is_uneven = !shape.inputs.is_multiple_of(shape.shards.max(1));
        let expected = proxy_uve::partition(key, u32::from(topology::usable(shape.inputs, shape.shards).max(1)));
        let key = String::from_utf8_lossy(&key[..key.len().min(MAX_KEY)]);
        if is_uneven {
            error!(
                topic, partition = id.partition, records, %key, expected, partitions = shape.inputs, states = shape.shards,
                "Records are not in the partition of their keys, as the number of partitions is not a multiple of that of \
                 the states: results of their objects are wrong until it is one."
            );
            return;
        }
        error!(
            topic, partition = id.partition, records, %key, expected, partitions = shape.inputs, states = shape.shards,
            "Records are not in the partition of their keys: an object with samples in partitions of several shards \
             has its results once for each of them. Set the producer's partitioner to Contrail's; if the topic was just \
             grown, grow it on to a multiple of its states. `derived-statsd topics` shows which topics this concerns."
        );
    }
}

/// The number of records that are in another shard than that of their keys, and the key of the first one. A key that is
/// missing makes a dead letter.
fn misplaced<'r>(id: PartitionId, shape: Shape, records: &[Incoming<'r>]) -> Option<(u64, &'r [u8])> {
    let shards = u32::from(shape.shards);
    let shard = u32::from(id.partition).checked_rem(shards).filter(|_| shards > 1)?;
    let is_elsewhere = |it: &&Incoming<'_>| !it.key.is_empty() && proxy_uve::partition(it.key, shards) != shard;
    let mut elsewhere = records.iter().filter(is_elsewhere);
    let first = elsewhere.next()?;
    Some((1 + elsewhere.count() as u64, first.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_another_shard_are_counted_and_those_of_a_grown_topic_are_not() {
        let shape = Shape { inputs: 8, shards: 4, input_id: None };
        let record = |key: &'static str| Incoming { offset: 0, at: None, key: key.as_bytes(), payload: b"" };
        let records = ["ObjectVNTable:a", "ObjectVNTable:b", "ObjectVNTable:c", ""].map(record);
        for partition in 0..8 {
            let id = PartitionId::new(0, partition);
            let wrong =
                |it: &&Incoming<'_>| !it.key.is_empty() && proxy_uve::partition(it.key, 4) != u32::from(partition) % 4;
            let expected = records.iter().filter(wrong).count() as u64;
            assert_eq!(misplaced(id, shape, &records).map_or(0, |(count, _)| count), expected, "{partition}");
        }
        assert_eq!(misplaced(PartitionId::new(0, 0), Shape { shards: 1, ..shape }, &records), None);
        assert_eq!(misplaced(PartitionId::new(0, 0), Shape::default(), &records), None);
    }
}
