//! The interface between a worker and its consumer group, without librdkafka.
//!
//! [`Group`](super::group::Group) implements it on a real cluster. The tests run the same worker on a simulated group
//! coordinator, in thousands of schedules that would take days on a real broker.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::topic_id::TopicId;
use daemon_log::{PartitionId, RecordBuffer};
use serde::{Deserialize, Serialize};

/// A record of an input partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming<'m> {
    /// The offset in the partition.
    pub offset: u64,
    /// The broker's time of arrival, in microseconds since the epoch. `None` if the message has only its producer's time,
    /// by whose clock an arrival cannot be judged.
    pub at: Option<u64>,
    pub key: &'m [u8],
    pub payload: &'m [u8],
}

/// A change of this member's assignment. The member acknowledges each with [`Member::accept`] or [`Member::give_up`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// These partitions are assigned to this member.
    Assigned(Vec<PartitionId>),
    /// These partitions move to another member when this one has given them up; until then it may commit.
    Revoked(Vec<PartitionId>),
    /// These partitions may be assigned to another member already: this one cannot commit them.
    Lost(Vec<PartitionId>),
}

/// The ends of partitions, as the brokers have just told them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ends {
    /// The end offset of each partition for which the brokers have one.
    pub offsets: BTreeMap<PartitionId, u64>,
    /// The partitions whose records were all delivered.
    pub reached: BTreeSet<PartitionId>,
    /// The partitions with records of transactions that are open: they are delivered when these end.
    pub in_transaction: BTreeSet<PartitionId>,
}

/// The ids of input topics, as the brokers answer.
#[derive(Debug, Default)]
pub(crate) struct CheckedIds {
    /// Whether a topic has another id than the one of which records were applied.
    pub is_any_other: bool,
    /// The streams whose id is not known now, and why the first one is not.
    pub unknown: BTreeSet<u16>,
    pub error: Option<MemberError>,
}

/// One shard's part of a transaction.
#[derive(Debug)]
pub(crate) struct ShardCommit {
    /// The shard: a partition of the state topic.
    pub shard: PartitionId,
    /// The id of the topic whose records were applied, if it is known: of no other one is anything committed.
    pub input_id: Option<TopicId>,
    /// Changed records of the state topic; `None` deletes one.
    pub state: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub results: RecordBuffer,
    pub dead_letters: Vec<DeadLetter>,
    /// The next offset to apply of each input partition. Never empty: with the offsets the coordinator checks the
    /// generation, and fences a member that is not the owner any more.
    pub offsets: Vec<(PartitionId, u64)>,
    /// The metadata of the committed offsets.
    pub metadata: OffsetMetadata,
}

/// The metadata of a committed offset: the status of the shard for other daemons, as JSON.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct OffsetMetadata {
    pub owner: String,
    pub watermark: u64,
    pub objects: u64,
    /// Watermark and objects of each stream, where several read the partition.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub streams: BTreeMap<String, (u64, u64)>,
}

impl OffsetMetadata {
    /// Watermark and objects of a stream.
    pub(crate) fn of(&self, stream: &str) -> (u64, u64) {
        self.streams.get(stream).copied().unwrap_or((self.watermark, self.objects))
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Text that is not metadata of this program is as none.
    pub(crate) fn from_json(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }
}

/// A record that is not a sample, with its source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct DeadLetter {
    pub source: PartitionId,
    pub offset: u64,
    pub reason: String,
    pub key: Vec<u8>,
    pub payload: Vec<u8>,
}

/// An error of the cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MemberError {
    /// The transaction had no effect, or the brokers have not said whether it had. The worker must restore its shards:
    /// their state shows what was committed, and they may be assigned to another member.
    #[error("the transaction failed: {reason}")]
    Aborted { reason: String },
    /// A request failed; the worker may retry it.
    #[error("{operation} failed: {reason}; check that the brokers of kafka.brokers run and can be reached")]
    Unreachable { operation: &'static str, reason: String },
}

/// A member of a consumer group that commits in transactions.
pub(crate) trait Member {
    /// Waits up to `timeout` for records and passes them to `apply`, in runs of one partition, in order. Returns the
    /// next change of the assignment, if there is one.
    fn poll(
        &mut self,
        timeout: Duration,
        apply: &mut dyn FnMut(PartitionId, &[Incoming<'_>]),
    ) -> Result<Option<Change>, MemberError>;

    /// Reads these partitions, each from its offset, or from its oldest record. A partition that is read already is
    /// moved to the new offset. None of them is paused afterwards.
    fn read_from(&mut self, starts: &[(PartitionId, Option<u64>)]) -> Result<(), MemberError>;

    /// Stops reading these partitions.
    fn stop_reading(&mut self, partitions: &[PartitionId]) -> Result<(), MemberError>;

    /// Pauses a partition, or resumes it.
    fn pause(&mut self, partition: PartitionId, pause: bool) -> Result<(), MemberError>;

    /// Whether these partitions were lost because their topic was deleted, or created again.
    fn were_deleted(&self, _lost: &[PartitionId]) -> bool {
        false
    }

    /// Acknowledges [`Change::Assigned`].
    fn accept(&mut self) -> Result<(), MemberError>;

    /// Acknowledges [`Change::Revoked`] and [`Change::Lost`]; `read` are those of its partitions that were read.
    fn give_up(&mut self, read: &[PartitionId]) -> Result<(), MemberError>;

    /// Compares the current ids of these input topics, by stream, with those of which records were applied. The
    /// topology has the current ids afterwards. A [`commit`](Self::commit) that follows at once need not ask for
    /// them again.
    fn check_ids(&mut self, _applied: &BTreeMap<u16, TopicId>) -> CheckedIds {
        CheckedIds::default()
    }

    /// Commits all shards in one transaction; returns when it is durable and visible.
    fn commit(&mut self, commits: &[ShardCommit]) -> Result<(), MemberError>;

    /// Requests the end offsets of these partitions.
    fn ends(&mut self, partitions: &[PartitionId]) -> Result<Ends, MemberError>;

    /// Requests the offset of the oldest record of each partition; one without a leader is left out.
    fn first_offsets(&mut self, partitions: &[PartitionId]) -> Result<Vec<(PartitionId, u64)>, MemberError>;

    /// Returns the partitions whose cursor is out of range, each with its oldest offset.
    fn out_of_range(&mut self, cursors: &[(PartitionId, u64)]) -> Result<Vec<(PartitionId, u64)>, MemberError>;
}
