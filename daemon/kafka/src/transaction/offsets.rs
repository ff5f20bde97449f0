//! The offsets of a transaction, with their metadata.
//!
//! A shard continues at the cursors of its state, which are in the same transaction. The offsets of the group are for
//! the coordinator, which checks the generation with them, for the status, and for tools. A partition that several
//! streams read has one: that of the stream that is furthest behind.

use std::collections::{BTreeMap, BTreeSet};

use daemon_log::PartitionId;
use rdkafka::TopicPartitionList;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;

use crate::input_topics::InputTopics;
use crate::member::{OffsetMetadata, ShardCommit};

/// The most bytes of metadata: brokers take 4,096 by default (`offset.metadata.max.bytes`).
const MAX_METADATA_BYTES: usize = 4_000;

/// The offsets and the metadata that were committed last in each input partition, by stream.
#[derive(Debug, Default)]
pub(super) struct GroupOffsets(BTreeMap<PartitionId, (u64, OffsetMetadata)>);

impl GroupOffsets {
    /// Notes what a transaction has committed.
    pub(super) fn committed(&mut self, commits: &[ShardCommit]) {
        for commit in commits {
            self.0.extend(commit.offsets.iter().map(|(source, next)| (*source, (*next, commit.metadata.clone()))));
        }
    }

    /// Forgets partitions, which others may have committed.
    pub(super) fn forget(&mut self, partitions: &[PartitionId]) {
        self.0.retain(|id, _| !partitions.contains(id));
    }

    /// The next offset of each input partition of these shards, with the metadata of its shards.
    pub(super) fn list(&self, topics: &InputTopics, commits: &[ShardCommit]) -> Result<TopicPartitionList, KafkaError> {
        let mut new = Self::default();
        new.committed(commits);
        let (mut list, mut listed) = (TopicPartitionList::new(), BTreeSet::new());
        for id in new.0.keys() {
            if !listed.insert(topics.first(*id)) {
                continue;
            }
            let of_all = topics.shared(*id).filter_map(|id| Some((id, new.0.get(&id).or_else(|| self.0.get(&id))?)));
            let of_all: Vec<_> = of_all.collect();
            let next = of_all.iter().map(|(_, (next, _))| *next).min().unwrap_or(0);
            let mut entry = list.add_partition(topics.name(id.stream), i32::from(id.partition));
            entry.set_offset(Offset::Offset(next.cast_signed()))?;
            entry.set_metadata(metadata(topics, &of_all));
        }
        Ok(list)
    }
}

/// The metadata of the shards of all streams of a partition.
fn metadata(topics: &InputTopics, of_all: &[(PartitionId, &(u64, OffsetMetadata))]) -> String {
    let Some((_, (_, first))) = of_all.first() else { return String::new() };
    let mut all = first.clone();
    if of_all.len() > 1 {
        let of = |(id, (_, it)): &(PartitionId, &(u64, OffsetMetadata))| {
            (topics.stream(id.stream).to_owned(), (it.watermark, it.objects))
        };
        all.streams = of_all.iter().map(of).collect();
    }
    let text = all.to_json();
    if text.len() > MAX_METADATA_BYTES { OffsetMetadata { streams: BTreeMap::new(), ..all }.to_json() } else { text }
}

#[cfg(test)]
mod tests {
    use daemon_formats::json_fields::{Fields, FieldsConfig, Selection};
    use daemon_log::RecordBuffer;

    use super::*;
    use crate::config::KafkaConfig;
    use crate::foreign::ForeignTopic;
    use crate::names::Names;

    fn topics(streams: &[String]) -> InputTopics {
        let fields = serde_json::from_str::<FieldsConfig>(r#"{"key":"k","time":"t","value":"v"}"#).unwrap();
        let fields = Fields::compile(&fields).unwrap();
        let topic =
            |stream: &String| (stream.clone(), ForeignTopic::new("t", "T", fields.clone(), Selection::default()));
        let names = Names::new(&KafkaConfig::default(), "", || "i".to_owned());
        InputTopics::new(&names.with_foreign(streams.iter().map(topic)), streams)
    }

    fn commit(stream: u16, next: u64, objects: u64) -> ShardCommit {
        ShardCommit {
            shard: PartitionId::new(stream, 0),
            input_id: None,
            state: Vec::new(),
            results: RecordBuffer::default(),
            dead_letters: Vec::new(),
            offsets: vec![(PartitionId::new(stream, 0), next)],
            metadata: OffsetMetadata { owner: "o".to_owned(), watermark: next, objects, streams: BTreeMap::new() },
        }
    }

    #[test]
    fn a_partition_of_two_streams_has_the_offset_of_the_one_that_is_behind_and_the_metadata_of_both() {
        let topics = topics(&["a-x", "b-x"].map(str::to_owned));
        let mut offsets = GroupOffsets::default();
        let entry = |offsets: &GroupOffsets, commits: &[ShardCommit]| {
            let list = offsets.list(&topics, commits).unwrap();
            let [entry] = &list.elements()[..] else { panic!("{list:?}") };
            (entry.offset(), OffsetMetadata::from_json(entry.metadata()))
        };
        let both = [commit(0, 9, 1), commit(1, 7, 2)];
        let (offset, metadata) = entry(&offsets, &both);
        assert_eq!((offset, metadata.of("a-x"), metadata.of("b-x")), (Offset::Offset(7), (9, 1), (7, 2)));
        offsets.committed(&both);
        let (offset, metadata) = entry(&offsets, &[commit(0, 12, 3)]);
        assert_eq!((offset, metadata.of("a-x"), metadata.of("b-x")), (Offset::Offset(7), (12, 3), (7, 2)));
        offsets.forget(&[PartitionId::new(1, 0)]);
        let (offset, metadata) = entry(&offsets, &[commit(0, 12, 3)]);
        assert_eq!((offset, metadata.of("a-x"), metadata.owner.as_str()), (Offset::Offset(12), (12, 3), "o"));
    }

    #[test]
    fn metadata_is_no_longer_than_brokers_take() {
        let streams: Vec<_> = (0..40).map(|stream| format!("{stream}-{}", "x".repeat(100))).collect();
        let topics = topics(&streams);
        let commits: Vec<_> = (0..40).map(|stream| commit(stream, 1, 1)).collect();
        let list = GroupOffsets::default().list(&topics, &commits).unwrap();
        let metadata = list.elements()[0].metadata().to_owned();
        assert!(metadata.len() <= MAX_METADATA_BYTES && metadata.contains("\"owner\":\"o\""), "{metadata}");
    }
}
