//! The names of the input topics by stream number, and the conversion to and from librdkafka's partition lists.

use std::collections::HashMap;

use daemon_log::PartitionId;
use rdkafka::TopicPartitionList;
use rdkafka::topic_partition_list::Offset;

use crate::names::Names;

/// The input topics of all streams, indexed by stream number.
#[derive(Debug, Default)]
pub(crate) struct InputTopics {
    streams: Vec<String>,
    names: Vec<String>,
    numbers: HashMap<String, u16>,
    /// Whether the topic is of another program.
    foreign: Vec<bool>,
}

impl InputTopics {
    /// Numbers the streams in the order of `streams`.
    pub(crate) fn new(own: &Names, streams: &[String]) -> Self {
        let names: Vec<String> = streams.iter().map(|stream| own.input(stream)).collect();
        let numbers = names.iter().zip(0..).map(|(name, number)| (name.clone(), number)).collect();
        let foreign = streams.iter().map(|stream| own.foreign(stream).is_some()).collect();
        Self { streams: streams.to_vec(), names, numbers, foreign }
    }

    /// The names of all input topics, in the order of the streams.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
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

    /// The id of a topic's partition; `None` if the topic is not an input topic.
    pub(crate) fn id(&self, topic: &str, partition: i32) -> Option<PartitionId> {
        Some(PartitionId::new(*self.numbers.get(topic)?, u16::try_from(partition).ok()?))
    }

    /// librdkafka's form of a list of partitions, each with an offset.
    pub(crate) fn list(&self, partitions: impl IntoIterator<Item = (PartitionId, Offset)>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (id, offset) in partitions {
            // Fails only for offsets that no partition has.
            let _ = list.add_partition_offset(self.name(id.stream), i32::from(id.partition), offset);
        }
        list
    }

    /// The ids of the input partitions in librdkafka's list.
    pub(crate) fn ids(&self, list: &TopicPartitionList) -> Vec<PartitionId> {
        list.elements().iter().filter_map(|it| self.id(it.topic(), it.partition())).collect()
    }
}
