//! A commit of a partition: when it is due, and what it contains.

use std::time::Duration;

use daemon_log::RecordBuffer;

/// The condition under which a commit is due.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    /// Any change is due: the last commit of this worker.
    pub all: bool,
    /// How long the first result waits for further results of the same commit.
    pub linger: Duration,
    /// How long progress without results waits.
    pub interval: Duration,
}

/// The changes of a table since its last commit.
#[derive(Debug)]
pub struct TableCommit {
    /// The table's own record.
    pub meta: Vec<u8>,
    /// The changed chunks of state; `None` deletes one.
    pub chunks: Vec<(u32, Option<Vec<u8>>)>,
    /// The results.
    pub results: RecordBuffer,
}
