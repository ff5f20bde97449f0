//! The names of the input topics by stream number, and the conversion to and from librdkafka's partition lists.

use std::collections::{BTreeSet, HashMap};

use daemon_log::PartitionId;
use rdkafka::TopicPartitionList;
use rdkafka::topic_partition_list::Offset;

use crate::names::Names;

/// The input topics of all streams, indexed by stream number.
#[derive(Debug, Default)]
pub(crate) struct InputTopics {
    streams: Vec<String>,
    names: Vec<String>,
    /// The streams of each topic, in the order of their numbers: several may read one of another program.
    numbers: HashMap<String, Vec<u16>>,
    /// Whether the topic is of another program.
    foreign: Vec<bool>,
}

impl InputTopics {
    /// Numbers the streams in the order of `streams`.
    pub(crate) fn new(own: &Names, streams: &[String]) -> Self {
        let names: Vec<String> = streams.iter().map(|stream| own.input(stream)).collect();
        let mut numbers = HashMap::<_, Vec<_>>::new();
        for (name, number) in names.iter().zip(0..) {
            numbers.entry(name.clone()).or_default().push(number);
        }
        let foreign = streams.iter().map(|stream| own.foreign(stream).is_some()).collect();
        Self { streams: streams.to_vec(), names, numbers, foreign }
    }

    /// The names of all input topics, each once.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.numbers.keys().map(String::as_str).collect()
    }

    /// The name of a stream's input topic; empty for an unknown stream.
    pub(crate) fn name(&self, stream: u16) -> &str {
        self.names.get(usize::from(stream)).map_or("", String::as_str)
    }

    /// Whether the input topic of a stream is one of another program, whose partitioner may be any.
    pub(crate) fn is_foreign(&self, stream: u16) -> bool {
        self.foreign.get(usize::from(stream)).copied().unwrap_or_default()
    }

    /// The name of a stream, `Struct-attribute`; empty for an unknown stream.
    pub(crate) fn stream(&self, stream: u16) -> &str {
        self.streams.get(usize::from(stream)).map_or("", String::as_str)
    }

    /// The ids of a topic's partition, one for each stream of the topic; none if the topic is not an input topic.
    pub(crate) fn ids(&self, topic: &str, partition: i32) -> impl Iterator<Item = PartitionId> + use<'_> {
        let partition = u16::try_from(partition).ok();
        let streams = self.numbers.get(topic).map(Vec::as_slice).unwrap_or_default();
        streams.iter().filter_map(move |stream| Some(PartitionId::new(*stream, partition?)))
    }

    /// The ids of the same partition for all streams of its topic.
    pub(crate) fn shared(&self, id: PartitionId) -> impl Iterator<Item = PartitionId> + use<'_> {
        self.ids(self.name(id.stream), i32::from(id.partition))
    }

    /// The id of the partition for the first stream of its topic, which stands for all of them.
    pub(crate) fn first(&self, id: PartitionId) -> PartitionId {
        self.shared(id).next().unwrap_or(id)
    }

    /// librdkafka's form of a list of partitions, each with an offset. A partition of several streams is there once, with
    /// the first of their offsets.
    pub(crate) fn list(&self, partitions: impl IntoIterator<Item = (PartitionId, Offset)>) -> TopicPartitionList {
        let (mut list, mut listed) = (TopicPartitionList::new(), BTreeSet::new());
        for (id, offset) in partitions {
            if listed.insert(self.first(id)) {
                // Fails only for offsets that no partition has.
                let _ = list.add_partition_offset(self.name(id.stream), i32::from(id.partition), offset);
            }
        }
        list
    }

    /// The ids of the input partitions in librdkafka's list, for all streams.
    pub(crate) fn all_ids(&self, list: &TopicPartitionList) -> Vec<PartitionId> {
        list.elements().iter().flat_map(|it| self.ids(it.topic(), it.partition())).collect()
    }
}
