//! The numbers of partitions, and the assignment of input partitions to shards.
//!
//! All samples of an object are in one partition of the input topic, and its state is in the partition of the state
//! topic with the same number: the *shard*. When an input topic grows, from 30 partitions to 60, half of the objects
//! move to a new partition, and for a while producers use different numbers of partitions. So the number of shards
//! stays what it was when the state topic was created, and shard 7 reads the partitions 7 and 37: with Contrail's
//! partitioning (hash modulo count) the samples of an object are in one of the two, whichever producer wrote them at
//! whatever time. No sample is lost and no window is split. This holds for multiples only: of any other number the
//! daemon reads the largest multiple that is in it, and reports the rest as a problem.

use std::iter::StepBy;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use daemon_base::stop::Stop;
use daemon_log::PartitionId;

use crate::topic_id::TopicId;

/// The numbers of partitions of one stream.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Shape {
    /// Partitions of the input topic; 0 while it does not exist.
    pub inputs: u16,
    /// Partitions of the state topic; 0 while it does not exist.
    pub shards: u16,
    /// The id of the input topic; `None` while it does not exist, and with brokers that have no ids.
    pub input_id: Option<TopicId>,
}

impl Shape {
    fn inputs_of(self, shard: PartitionId) -> StepBy<Range<u16>> {
        (shard.partition..usable(self.inputs, self.shards)).step_by(usize::from(self.shards.max(1)))
    }
}

/// The shapes of all streams, by stream number. The thread that polls the topics updates them, and the workers read
/// them.
#[derive(Debug, Default)]
pub(crate) struct Topology {
    polled: RwLock<Polled>,
    is_requested: AtomicBool,
    is_doubted: AtomicBool,
    /// The flag at which the thread that polls the topics waits.
    waiting: OnceLock<Stop>,
}

#[derive(Debug, Default)]
struct Polled {
    shapes: Vec<Shape>,
    as_of: Duration,
}

impl Topology {
    /// Replaces all shapes with those of a poll that began at the monotonic time `as_of`; returns whether any differs.
    pub(crate) fn set(&self, shapes: Vec<Shape>, as_of: Duration) -> bool {
        let mut polled = self.polled.write().unwrap_or_else(PoisonError::into_inner);
        // A broker may answer without a topic that it has: a state topic is never given up.
        let kept = |(stream, new): (usize, Shape)| {
            polled.shapes.get(stream).copied().filter(|old| old.shards > 0 && new.shards == 0).unwrap_or(new)
        };
        let shapes: Vec<_> = shapes.into_iter().enumerate().map(kept).collect();
        let is_new = polled.shapes != shapes;
        *polled = Polled { shapes, as_of };
        is_new
    }

    /// The monotonic time at which the last successful poll of the topics began.
    #[cfg(test)]
    pub(crate) fn as_of(&self) -> Duration {
        self.polled().as_of
    }

    /// The monotonic time at which these were all input partitions of the shard: that of the last successful poll, or 0
    /// if it found others.
    pub(crate) fn complete_as_of(&self, shard: PartitionId, sources: &[PartitionId]) -> Duration {
        let polled = self.polled();
        let shape = polled.shapes.get(usize::from(shard.stream)).copied().unwrap_or_default();
        if shape.inputs_of(shard).len() == sources.len() { polled.as_of } else { Duration::ZERO }
    }

    /// Requests a poll at once.
    pub(crate) fn request(&self) {
        if !self.is_requested.swap(true, Ordering::AcqRel)
            && let Some(waiting) = self.waiting.get()
        {
            waiting.wake();
        }
    }

    /// Waits for a request for up to `time`, or until the flag is set; returns whether there was one.
    /// [`request`](Self::request) wakes only the first thread that calls this.
    pub(crate) fn wait_for_request(&self, time: Duration, stop: &Stop) -> bool {
        self.waiting.get_or_init(|| stop.clone());
        stop.wait_for(time, || self.take_request().then_some(())).is_some()
    }

    /// Whether a poll was requested since the last call.
    pub(crate) fn take_request(&self) -> bool {
        self.is_requested.swap(false, Ordering::AcqRel)
    }

    /// Requests a poll soon, as a request of some client to the brokers failed: only a poll finds out whether they
    /// answer.
    pub(crate) fn doubt(&self) {
        self.is_doubted.store(true, Ordering::Release);
    }

    /// Whether [`doubt`](Self::doubt) was called since the last call of this.
    pub(crate) fn take_doubt(&self) -> bool {
        self.is_doubted.swap(false, Ordering::AcqRel)
    }

    /// Whether the topics have been polled yet.
    pub(crate) fn is_known(&self) -> bool {
        !self.polled().shapes.is_empty()
    }

    /// The shapes of all streams, in the order of their numbers.
    pub(crate) fn shapes(&self) -> Vec<Shape> {
        self.polled().shapes.clone()
    }

    /// The shape of one stream; zeros for an unknown one.
    pub(crate) fn shape(&self, stream: u16) -> Shape {
        self.polled().shapes.get(usize::from(stream)).copied().unwrap_or_default()
    }

    fn polled(&self) -> RwLockReadGuard<'_, Polled> {
        self.polled.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id of a stream's input topic, if it is known.
    pub(crate) fn input_id(&self, stream: u16) -> Option<TopicId> {
        self.shape(stream).input_id
    }

    /// Sets the id of a stream's input topic, which was requested later than the shapes.
    pub(crate) fn set_input_id(&self, stream: u16, id: TopicId) {
        let mut polled = self.polled.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(shape) = polled.shapes.get_mut(usize::from(stream)) {
            shape.input_id = Some(id);
        }
    }

    /// Whether a shard has the number of this input partition. A member that is assigned such a partition owns the
    /// shard.
    pub(crate) fn is_shard(&self, source: PartitionId) -> bool {
        source.partition < self.shape(source.stream).shards
    }

    /// Whether the input topic of a stream has more partitions than there are shards.
    pub(crate) fn is_grown(&self, stream: u16) -> bool {
        let Shape { inputs, shards, .. } = self.shape(stream);
        shards > 0 && inputs > shards
    }

    /// The shard of an input partition's records; `None` while the state topic does not exist.
    pub(crate) fn shard_of(&self, source: PartitionId) -> Option<PartitionId> {
        let partition = source.partition.checked_rem(self.shape(source.stream).shards)?;
        Some(PartitionId { partition, ..source })
    }

    /// The input partitions of a shard.
    pub(crate) fn sources(&self, shard: PartitionId) -> Vec<PartitionId> {
        self.inputs(shard).map(|partition| PartitionId { partition, ..shard }).collect()
    }

    /// The number of input partitions of a shard.
    pub(crate) fn source_count(&self, shard: PartitionId) -> usize {
        self.inputs(shard).len()
    }

    fn inputs(&self, shard: PartitionId) -> StepBy<Range<u16>> {
        self.shape(shard.stream).inputs_of(shard)
    }
}

/// The number of input partitions that are read: those that make a whole multiple. A partition beyond it has objects of
/// several shards, and would give their windows twice.
pub(crate) fn usable(inputs: u16, shards: u16) -> u16 {
    inputs - inputs.checked_rem(shards).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology(inputs: u16, shards: u16) -> Topology {
        let topology = Topology::default();
        topology.set(vec![Shape::default(), Shape { inputs, shards, input_id: None }], Duration::ZERO);
        topology
    }

    #[test]
    fn a_topic_that_grows_keeps_its_shards_and_the_shard_of_each_object() {
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
    fn partitions_beyond_a_whole_multiple_are_not_read() {
        for (inputs, sources) in [(30, 1), (31, 1), (59, 1), (60, 2), (61, 2), (29, 0)] {
            let topology = topology(inputs, 30);
            let found = [0, 7, 29].map(|shard| topology.sources(PartitionId::new(1, shard)).len());
            assert_eq!(found, [sources; 3], "{inputs}");
            assert_eq!(topology.source_count(PartitionId::new(1, 7)), sources, "{inputs}");
        }
    }

    #[test]
    fn partitions_of_missing_topics_have_no_shard() {
        assert_eq!(topology(4, 0).shard_of(PartitionId::new(1, 2)), None);
        assert_eq!(topology(0, 4).sources(PartitionId::new(1, 2)), []);
        assert_eq!(Topology::default().shard_of(PartitionId::new(3, 0)), None);
    }
}
