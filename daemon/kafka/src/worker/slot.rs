//! A shard in the hands of a worker: asked for, or worked on.

use daemon_log::PartitionId;

use crate::shard::Shard;

/// A shard of this worker.
pub(super) enum Slot {
    /// Asked for, under this ticket.
    Restoring(u64),
    Working(Working),
}

impl Slot {
    pub(super) fn working(&self) -> Option<&Working> {
        match self {
            Self::Working(working) => Some(working),
            Self::Restoring(_) => None,
        }
    }

    pub(super) fn working_mut(&mut self) -> Option<&mut Working> {
        match self {
            Self::Working(working) => Some(working),
            Self::Restoring(_) => None,
        }
    }
}

pub(super) struct Working {
    pub shard: Box<Shard>,
    /// Its input partitions, all being read.
    pub sources: Vec<PartitionId>,
}

impl Working {
    /// The next offset of each of its input partitions. One that showed no record yet may be out of range too: its
    /// oldest record, from which it was to begin, may be deleted before it is read.
    pub(super) fn cursors(&self) -> impl Iterator<Item = (PartitionId, u64)> {
        self.sources.iter().map(|source| (*source, self.shard.cursor(*source).unwrap_or(0)))
    }
}
