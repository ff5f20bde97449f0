//! The argument of a commit, the result of a restore, and the position of a sink.

use crate::frame::RecordBuffer;
use crate::partition_id::PartitionId;

/// The changes of one partition in a commit.
#[derive(Debug)]
pub struct PartitionCommit {
    /// The partition whose state and cursor the commit replaces.
    pub partition: PartitionId,
    /// The next input offset to apply: the state or the results include every record before it.
    pub cursor: u64,
    /// The worker's own small data, such as watermark and versions.
    pub meta: Vec<u8>,
    /// The changed chunks by id; `None` deletes a chunk. The commit keeps chunks that it does not name.
    pub chunks: Vec<(u32, Option<Vec<u8>>)>,
    /// The results in order; they get the next offsets of the results log.
    pub results: RecordBuffer,
}

impl PartitionCommit {
    /// The size of the changes: results, chunks and the worker's own data.
    pub fn bytes(&self) -> u64 {
        let chunks = self.chunks.iter().filter_map(|(_, chunk)| chunk.as_ref());
        self.results.bytes() + self.meta.len() as u64 + chunks.map(|chunk| chunk.len() as u64).sum::<u64>()
    }
}

/// The last committed state of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The next input offset to apply.
    pub cursor: u64,
    /// The worker's own data of the last commit.
    pub meta: Vec<u8>,
    /// All chunks by ascending id.
    pub chunks: Vec<(u32, Vec<u8>)>,
    /// The number of the write that committed the state; later writes of the log have larger numbers.
    pub sequence: u64,
}

/// The stored position of a sink in the results log.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SinkPosition {
    /// The next offset to deliver; the log does not keep earlier results for this sink.
    pub next: u64,
    /// The sink's own data, stored in the same write.
    pub detail: Vec<u8>,
}
