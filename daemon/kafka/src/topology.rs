//! How many partitions there are, and which of them belong together.
//!
//! An object's samples meet on one partition of the input, and its state is in the partition of the state topic with
//! the same number: the *shard*. When an input topic is grown, from 30 partitions to 60, half of the objects move to a
//! new partition, and for a while producers disagree. So the number of shards stays what it was when the state topic
//! was made, and shard 7 reads partitions 7 and 37: with the original's partitioning (hash modulo count) the samples of
//! an object are in one of the two, whoever wrote them when. Nothing is lost and no window is split. This holds for
//! multiples only; other growth is reported.

use std::iter::StepBy;
use std::ops::Range;
use std::sync::{PoisonError, RwLock};

use daemon_log::PartitionId;

/// The partitions of one stream.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Shape {
    /// Of its input topic; 0 while there is none.
    pub inputs: u16,
    /// Of its state topic; 0 while there is none.
    pub shards: u16,
}

/// What is known of all streams, by their numbers. Shared by the one who looks and the workers.
#[derive(Debug, Default)]
pub(crate) struct Topology(RwLock<Vec<Shape>>);

impl Topology {
    /// Replaces everything; whether anything is new.
    pub(crate) fn set(&self, shapes: Vec<Shape>) -> bool {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = *known != shapes;
        *known = shapes;
        is_new
    }

    /// Whether anybody has looked yet.
    pub(crate) fn is_known(&self) -> bool {
        !self.0.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    pub(crate) fn shapes(&self) -> Vec<Shape> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn shape(&self, stream: u16) -> Shape {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.get(usize::from(stream)).copied().unwrap_or_default()
    }

    /// The shard that an input partition stands for by itself: one that was there when the states were made.
    pub(crate) fn is_shard(&self, source: PartitionId) -> bool {
        source.partition < self.shape(source.stream).shards
    }

    /// The shard that an input partition's records belong to; `None` while there are no states.
    pub(crate) fn shard_of(&self, source: PartitionId) -> Option<PartitionId> {
        let partition = source.partition.checked_rem(self.shape(source.stream).shards)?;
        Some(PartitionId { partition, ..source })
    }

    /// The input partitions of a shard.
    pub(crate) fn sources(&self, shard: PartitionId) -> Vec<PartitionId> {
        self.inputs(shard).map(|partition| PartitionId { partition, ..shard }).collect()
    }

    /// How many these are.
    pub(crate) fn source_count(&self, shard: PartitionId) -> usize {
        self.inputs(shard).len()
    }

    fn inputs(&self, shard: PartitionId) -> StepBy<Range<u16>> {
        let Shape { inputs, shards } = self.shape(shard.stream);
        (shard.partition..inputs).step_by(usize::from(shards.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology(inputs: u16, shards: u16) -> Topology {
        let topology = Topology::default();
        topology.set(vec![Shape::default(), Shape { inputs, shards }]);
        topology
    }

    #[test]
    fn a_grown_topic_keeps_its_shards_and_each_object_its_own() {
        let topology = topology(60, 30);
        let shard = PartitionId::new(1, 7);
        assert_eq!(topology.sources(shard), [shard, PartitionId::new(1, 37)]);
        assert!(topology.is_shard(shard) && !topology.is_shard(PartitionId::new(1, 37)));
        for object in 0..1000 {
            let key = format!("ObjectVNTable:vn{object}");
            let before = proxy_uve::partition(key.as_bytes(), 30) as u16;
            let after = proxy_uve::partition(key.as_bytes(), 60) as u16;
            assert_eq!(topology.shard_of(PartitionId::new(1, after)), Some(PartitionId::new(1, before)), "{key}");
        }
    }

    #[test]
    fn what_is_not_there_yet_belongs_to_no_shard() {
        assert_eq!(topology(4, 0).shard_of(PartitionId::new(1, 2)), None);
        assert_eq!(topology(0, 4).sources(PartitionId::new(1, 2)), []);
        assert_eq!(Topology::default().shard_of(PartitionId::new(3, 0)), None);
    }
}
