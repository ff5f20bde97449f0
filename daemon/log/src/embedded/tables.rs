//! The writer's tables in memory: the ends of every log, the cursors and the sinks.
//!
//! They are small. The writer loads them from the store at each opening, and again after a failed write, so that they
//! always match the disk.

use std::collections::BTreeMap;

use crate::digests::Digests;
use crate::frame::OpenFrame;
use crate::{Bounds, PartitionId, SinkPosition};

/// The two ends of one log, as offsets and as bytes since its first record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ends {
    pub bounds: Bounds,
    /// The size of all deleted frames.
    pub bytes_first: u64,
    /// The size of all deleted and retained frames.
    pub bytes_next: u64,
    /// The time of the oldest retained frame (µs UTC).
    pub oldest_at: Option<u64>,
}

impl Ends {
    /// The size of the retained frames.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes_next.saturating_sub(self.bytes_first)
    }

    /// Appends a frame to log `id`, and returns its base offset and its stored bytes.
    pub(super) fn append(&mut self, id: PartitionId, frame: OpenFrame, at: u64) -> (u64, Vec<u8>) {
        let (base, before) = (self.bounds.next, self.bytes_next);
        self.bounds.next += u64::from(frame.count());
        self.bytes_next += frame.len();
        self.oldest_at.get_or_insert(at);
        (base, frame.seal(id, base, at, before))
    }
}

/// The ends and the cursor of one input partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Partition {
    pub ends: Ends,
    /// The committed cursor; `None` before the first commit, and if the stored head is damaged: retention then deletes
    /// no input.
    pub cursor: Option<u64>,
    /// The size of all frames before the one that holds the cursor.
    pub cursor_bytes: u64,
}

impl Partition {
    /// The size of the frames from the one that holds the cursor on.
    pub(super) fn backlog_bytes(&self) -> u64 {
        self.ends.bytes_next - self.cursor_bytes.clamp(self.ends.bytes_first, self.ends.bytes_next)
    }

    /// The first offset that is not applied.
    pub(super) fn applied(&self) -> u64 {
        self.cursor.unwrap_or(self.ends.bounds.first)
    }
}

/// The number of idempotency keys; the keys themselves are only in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyCount {
    pub count: u64,
    /// The last deleted entry of the age list: scans start after it and skip the deleted entries.
    pub floor: Vec<u8>,
}

/// The tables of the writer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tables {
    /// The number of the last write.
    pub sequence: u64,
    /// The latest time in the log; later records get at least this time (µs UTC).
    pub last_at: u64,
    pub partitions: BTreeMap<PartitionId, Partition>,
    pub results: Ends,
    pub results_dropped: u64,
    pub streams: BTreeMap<String, u16>,
    pub sinks: BTreeMap<String, SinkPosition>,
    pub keys: KeyCount,
    /// The partitions that were restored since the store was opened; only these may commit.
    pub restored: BTreeMap<PartitionId, Digests>,
}

impl Tables {
    pub(super) fn backlog_bytes(&self) -> u64 {
        self.partitions.values().map(Partition::backlog_bytes).sum()
    }

    pub(super) fn input_bytes(&self) -> u64 {
        self.partitions.values().map(|partition| partition.ends.bytes()).sum()
    }

    /// The first offset that a registered sink has not read; the end of the results without a sink.
    pub(super) fn unread_results(&self) -> u64 {
        let slowest = self.sinks.values().map(|sink| sink.next).min();
        slowest.unwrap_or(self.results.bounds.next)
    }

    /// Raises `at` to the latest time in the log, and stores the result as the latest time.
    pub(super) fn clamp_time(&mut self, at: u64) -> u64 {
        self.last_at = self.last_at.max(at);
        self.last_at
    }
}
