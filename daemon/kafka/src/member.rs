//! What a worker needs of a consumer group and of transactions, and nothing of librdkafka.
//!
//! [`Group`](super::group::Group) is the real one. The tests drive the same worker with a group coordinator of their
//! own, through thousands of schedules that a real broker would take days for.

use std::collections::BTreeSet;
use std::time::Duration;

use daemon_log::{PartitionId, RecordBuffer};

/// A record as the group delivers it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming<'m> {
    /// Its offset in its partition.
    pub offset: u64,
    /// The timestamp the broker has of it, in microseconds; the greatest number if it has none.
    pub at: u64,
    pub key: &'m [u8],
    pub payload: &'m [u8],
}

/// A change of what this member reads. Each is answered: [`Member::accept`] or [`Member::give_up`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// These partitions are this member's now.
    Assigned(Vec<PartitionId>),
    /// These go to another member once they are given up; until then this one may commit.
    Revoked(Vec<PartitionId>),
    /// These are another's already: nothing of them can be committed any more.
    Lost(Vec<PartitionId>),
}

/// What one partition contributes to a transaction.
#[derive(Debug)]
pub(crate) struct ShardCommit {
    /// The shard: a partition of the state topic.
    pub shard: PartitionId,
    /// Changed records of the state topic; `None` deletes one.
    pub state: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub results: RecordBuffer,
    pub dead_letters: Vec<DeadLetter>,
    /// The next offset to apply of each input partition. Never empty: it is by them that the group refuses a commit of
    /// a member that is no longer the owner.
    pub offsets: Vec<(PartitionId, u64)>,
    /// What other daemons may know of the shard; kept with the offsets.
    pub note: String,
}

/// A record that is no sample, and where it came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct DeadLetter {
    pub source: PartitionId,
    pub offset: u64,
    pub reason: String,
    pub key: Vec<u8>,
    pub payload: Vec<u8>,
}

/// What went wrong with the cluster, in words for the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MemberError {
    /// Nothing of the transaction took effect. The shards in it have to be restored: they may be another's by now.
    #[error("the transaction was aborted: {reason}")]
    Aborted { reason: String },
    /// Asking failed; asking again may work.
    #[error("{operation} failed: {reason}; check that the brokers of kafka.brokers run and can be reached")]
    Unreachable { operation: &'static str, reason: String },
}

/// A member of a consumer group that commits by transactions.
pub(crate) trait Member {
    /// Waits up to `timeout` for records and hands them to `apply`, in runs of one partition, in order. Gives the next
    /// change of the assignment, if there is one.
    fn poll(
        &mut self,
        timeout: Duration,
        apply: &mut dyn FnMut(PartitionId, &[Incoming<'_>]),
    ) -> Result<Option<Change>, MemberError>;

    /// Begins to read these partitions, each at its offset, or at its oldest record. Reading one anew moves it. None of
    /// them is paused then.
    fn read_from(&mut self, starts: &[(PartitionId, Option<u64>)]) -> Result<(), MemberError>;

    /// Reads these no more.
    fn stop_reading(&mut self, partitions: &[PartitionId]) -> Result<(), MemberError>;

    /// Delivers nothing of these for now, or again.
    fn pause(&mut self, partition: PartitionId, pause: bool) -> Result<(), MemberError>;

    /// Answers [`Change::Assigned`].
    fn accept(&mut self) -> Result<(), MemberError>;

    /// Answers [`Change::Revoked`] and [`Change::Lost`]: of these partitions the given ones were read.
    fn give_up(&mut self, read: &[PartitionId]) -> Result<(), MemberError>;

    /// Writes everything, or nothing; returns when it is durable and visible.
    fn commit(&mut self, commits: &[ShardCommit]) -> Result<(), MemberError>;

    /// Those of which the cluster, asked now, has nothing that was not delivered.
    fn at_end(&mut self, partitions: &[PartitionId]) -> Result<BTreeSet<PartitionId>, MemberError>;

    /// Which of these cannot be read on from the offset, as it is deleted or was never there; with the oldest offset.
    fn out_of_range(&mut self, cursors: &[(PartitionId, u64)]) -> Result<Vec<(PartitionId, u64)>, MemberError>;
}
