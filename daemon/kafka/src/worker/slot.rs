//! The state of a shard within its worker: being restored, or active.

use std::time::Duration;

use daemon_log::PartitionId;

use crate::shard::Shard;

/// A shard assigned to the worker.
pub(super) enum Slot {
    /// Being restored, by the request with this number.
    Restoring(u64),
    /// Restored and read.
    Active(ActiveShard),
}

impl Slot {
    pub(super) fn active(&self) -> Option<&ActiveShard> {
        match self {
            Self::Active(active) => Some(active),
            Self::Restoring(_) => None,
        }
    }

    pub(super) fn active_mut(&mut self) -> Option<&mut ActiveShard> {
        match self {
            Self::Active(active) => Some(active),
            Self::Restoring(_) => None,
        }
    }
}

/// A restored shard with its input.
pub(super) struct ActiveShard {
    pub shard: Box<Shard>,
    /// The input partitions of the shard, all being read.
    pub sources: Vec<PartitionId>,
}

impl ActiveShard {
    /// The next offset to read of each input partition; 0 for one without a record yet. That may be out of range, too:
    /// retention may delete the oldest record, where reading begins, before it is read.
    pub(super) fn next_offsets(&self) -> impl Iterator<Item = (PartitionId, u64)> {
        self.sources.iter().map(|source| (*source, self.shard.next_offset(*source).unwrap_or(0)))
    }
}

/// A shard whose last commit has failed.
pub(super) struct Failing {
    /// When it may be restored.
    pub restores_at: Duration,
    /// Whether results or dead letters could not be written: only a commit with some shows that they can.
    pub needs_output: bool,
}
