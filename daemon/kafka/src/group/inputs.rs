//! The input topics as the brokers have them now: their ids and their retained offsets.

use std::collections::{BTreeMap, BTreeSet};

use daemon_log::PartitionId;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionListElem};

use super::Group;
use crate::client::{self, TIMEOUT};
use crate::end_offsets;
use crate::member::{CheckedIds, Ends, MemberError, ShardCommit};
use crate::topic_id::{self, TopicId};

/// The number of failed requests for ids after which no more are made.
const MAX_FAILED_REQUESTS: usize = 2;

impl Group {
    /// Requests the offset of the oldest record of each partition; one without a leader is left out.
    pub(super) fn request_first_offsets(
        &self,
        partitions: &[PartitionId],
    ) -> Result<Vec<(PartitionId, u64)>, MemberError> {
        let first = self
            .request_offsets(&self.metadata_client, partitions, Offset::Beginning)
            .map_err(|error| unreachable("requesting the first offsets", &error))?;
        Ok(first.into_iter().collect())
    }

    /// Requests the end offsets of partitions, and finds out which of them are read to there.
    pub(super) fn request_ends(&self, partitions: &[PartitionId]) -> Result<Ends, MemberError> {
        let failed = |error: KafkaError| unreachable("requesting end offsets", &error);
        let offsets = self.request_offsets(&self.metadata_client, partitions, Offset::End).map_err(failed)?;
        let high = self.request_offsets(&self.high_client, partitions, Offset::End).map_err(failed)?;
        let (mut reached, mut in_transaction) = (BTreeSet::new(), BTreeSet::new());
        for (id, end) in &offsets {
            if high.get(id).is_some_and(|high| high > end) {
                in_transaction.insert(*id);
            } else if high.contains_key(id) && self.is_read_to(*id, *end) {
                reached.insert(*id);
            }
        }
        Ok(Ends { offsets, reached, in_transaction })
    }

    /// Requests an offset of each partition at the isolation level of `client`; a partition without one is left out.
    fn request_offsets<C: ConsumerContext>(
        &self,
        client: &BaseConsumer<C>,
        partitions: &[PartitionId],
        at: Offset,
    ) -> KafkaResult<BTreeMap<PartitionId, u64>> {
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        client::discard_events(client);
        self.heartbeat.wait_at_most(end_offsets::LIMIT);
        let answer = end_offsets::request(client, &self.topics.list(partitions.iter().map(|id| (*id, at))))?;
        let offset = |it: &TopicPartitionListElem<'_>| match it.offset() {
            Offset::Offset(offset) => Some((self.topics.ids(it.topic(), it.partition()), offset.unsigned_abs())),
            _ => None,
        };
        let of_all = answer.elements().into_iter().filter_map(|it| offset(&it));
        let of_all = of_all.flat_map(|(ids, offset)| ids.map(move |id| (id, offset)));
        Ok(of_all.filter(|(id, _)| partitions.contains(id)).collect())
    }

    /// Requests the id of a stream's input topic, and stores it where the worker and the restore thread find it; `None`
    /// if the topic does not exist or if the brokers have no ids.
    pub(super) fn refresh_input_id(&self, stream: u16) -> Result<Option<TopicId>, MemberError> {
        self.heartbeat.wait_at_most(TIMEOUT);
        let found = topic_id::request(&self.metadata_client, self.topics.name(stream));
        let found = found.map_err(|error| unreachable("requesting the id of a topic", &error))?;
        if let Some(id) = found {
            self.topology.set_input_id(stream, id);
        }
        Ok(found)
    }

    /// Fails if an input topic was created again since its records were applied. Those that
    /// [`request_ids`](Self::request_ids) has just asked for are not asked again.
    pub(super) fn check_input_ids(&mut self, commits: &[ShardCommit]) -> Result<(), MemberError> {
        let checked = std::mem::take(&mut self.checked_ids);
        let applied: BTreeMap<_, _> = commits.iter().filter_map(|it| Some((it.shard.stream, it.input_id?))).collect();
        for (stream, applied) in applied {
            let current = match checked.contains(&stream) {
                true => self.topology.input_id(stream),
                false => self.refresh_input_id(stream)?,
            };
            if current.is_some_and(|current| current != applied) {
                let reason = format!("topic {} was created again", self.topics.name(stream));
                return Err(MemberError::Aborted { reason });
            }
        }
        Ok(())
    }

    /// Requests the ids of input topics, and compares them with those of which records were applied. Where two requests
    /// have failed the brokers do not answer, and the ids of all further topics are unknown.
    pub(super) fn request_ids(&mut self, applied: &BTreeMap<u16, TopicId>) -> CheckedIds {
        let mut found = CheckedIds::default();
        for (stream, applied) in applied {
            if found.unknown.len() >= MAX_FAILED_REQUESTS {
                found.unknown.insert(*stream);
                continue;
            }
            match self.refresh_input_id(*stream) {
                Ok(current) => {
                    self.checked_ids.insert(*stream);
                    found.is_any_other |= current.is_some_and(|current| current != *applied);
                }
                Err(error) => {
                    found.unknown.insert(*stream);
                    found.error.get_or_insert(error);
                }
            }
        }
        found
    }

    /// Whether the topic of one of these partitions was deleted or created again since it was assigned.
    pub(super) fn are_of_other_topics(&self, partitions: &[PartitionId]) -> bool {
        let streams: BTreeSet<u16> = partitions.iter().map(|id| id.stream).collect();
        streams.into_iter().any(|stream| {
            let assigned = self.assigned_ids.get(&stream).copied().flatten();
            assigned.is_some() && self.refresh_input_id(stream).is_ok_and(|current| current != assigned)
        })
    }

    /// The partitions whose cursor is outside of the retained offsets, each with its oldest offset.
    pub(super) fn outside(&self, cursors: &[(PartitionId, u64)]) -> Result<Vec<(PartitionId, u64)>, MemberError> {
        let mut outside = Vec::new();
        for (id, cursor) in cursors {
            self.heartbeat.wait_at_most(end_offsets::LIMIT);
            let (low, high) = end_offsets::watermarks(&self.metadata_client, self.topics.name(id.stream), id.partition)
                .map_err(|error| unreachable("requesting the first and the last offset", &error))?;
            if !(low..=high).contains(cursor) {
                outside.push((*id, low));
            }
        }
        Ok(outside)
    }

    /// Retains offsets that were deleted: those of a topic that was created again are of another topic.
    pub(super) fn retain_deleted(&self, deleted: &mut Vec<(PartitionId, u64)>) -> Result<(), MemberError> {
        let streams: BTreeSet<u16> = deleted.iter().map(|(id, _)| id.stream).collect();
        for stream in streams {
            let before = self.topology.input_id(stream);
            if self.refresh_input_id(stream)? != before {
                deleted.retain(|(id, _)| id.stream != stream);
            }
        }
        Ok(())
    }
}

pub(super) fn unreachable(operation: &'static str, error: &KafkaError) -> MemberError {
    MemberError::Unreachable { operation, reason: error.to_string() }
}
