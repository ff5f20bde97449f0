//! Offsets, sizes and ages of the log, and the result of a retention pass.

use crate::partition_id::PartitionId;

/// The retained offsets of one log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Bounds {
    /// The oldest retained offset.
    pub first: u64,
    /// The offset that the next appended record gets.
    pub next: u64,
}

/// The records and bytes that one retention pass deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionReport {
    /// The number of deleted input records.
    pub input_records: u64,
    /// The size of the deleted input.
    pub input_bytes: u64,
    /// The number of deleted result records.
    pub results: u64,
    /// The size of the deleted results.
    pub results_bytes: u64,
    /// The number of deleted result records that a registered sink had not read: the results exceeded the hard limit.
    pub results_dropped: u64,
    /// The number of deleted idempotency keys.
    pub idempotency_keys: u64,
}

/// The offsets and sizes of one input partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionStats {
    /// The partition.
    pub partition: PartitionId,
    /// Its retained offsets.
    pub bounds: Bounds,
    /// The size of its retained records.
    pub bytes: u64,
    /// The committed cursor; `None` before the first commit.
    pub cursor: Option<u64>,
    /// The size of the frames from the one that holds the committed cursor on.
    pub backlog_bytes: u64,
    /// The size of the committed state.
    pub state_bytes: u64,
}

/// The sizes, ages and offsets of the whole log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// The disk space of the store's files, including its journal.
    pub disk_bytes: u64,
    /// The input partitions by ascending id.
    pub partitions: Vec<PartitionStats>,
    /// The size of all retained input.
    pub input_bytes: u64,
    /// The size of the backlog: all input that no commit covers.
    pub backlog_bytes: u64,
    /// The append time of the oldest retained input record (µs UTC).
    pub oldest_input_at: Option<u64>,
    /// The retained offsets of the results log.
    pub results: Bounds,
    /// The size of the retained results.
    pub results_bytes: u64,
    /// The commit time of the oldest retained result (µs UTC).
    pub oldest_result_at: Option<u64>,
    /// The number of result records that were deleted before every sink had read them, since the data directory exists.
    pub results_dropped: u64,
    /// The number of stored idempotency keys.
    pub idempotency_keys: u64,
    /// The registered sinks, each with its next offset to deliver.
    pub sinks: Vec<(String, u64)>,
    /// How often the store failed and was reopened since the process started.
    pub reopened: u64,
}
