//! What the writer knows in memory: the ends of every log, the cursors, the sinks. Small, and rebuilt from the
//! store at each opening, so that it can never disagree with the disk for longer than a failed write.

use std::collections::BTreeMap;

use crate::digests::Digests;
use crate::frame::OpenFrame;
use crate::types::{Bounds, PartitionId, SinkPosition};

/// The two ends of one ordered log, in offsets and in bytes since its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ends {
    pub bounds: Bounds,
    pub bytes_first: u64,
    pub bytes_next: u64,
    /// When the oldest retained frame was written.
    pub oldest_at: Option<u64>,
}

impl Ends {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes_next.saturating_sub(self.bytes_first)
    }

    /// Places a frame at the end; returns its base offset and sealed bytes.
    pub(super) fn place(&mut self, place: PartitionId, frame: OpenFrame, at: u64) -> (u64, Vec<u8>) {
        let (base, before) = (self.bounds.next, self.bytes_next);
        self.bounds.next += u64::from(frame.count());
        self.bytes_next += frame.len();
        self.oldest_at.get_or_insert(at);
        (base, frame.seal(place, base, at, before))
    }
}

/// One partition of the input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Partition {
    pub ends: Ends,
    /// `None` before the first commit, and when the stored cursor is damaged: then nothing may be deleted.
    pub cursor: Option<u64>,
    /// The bytes before the frame that the cursor stands in.
    pub cursor_bytes: u64,
}

impl Partition {
    pub(super) fn backlog_bytes(&self) -> u64 {
        self.ends.bytes_next - self.cursor_bytes.clamp(self.ends.bytes_first, self.ends.bytes_next)
    }

    /// Offsets before this are applied and may go.
    pub(super) fn applied(&self) -> u64 {
        self.cursor.unwrap_or(self.ends.bounds.first)
    }
}

/// The idempotency keys: only their number is in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyCount {
    pub count: u64,
    /// The last deleted entry of the age list: scans begin after it instead of wading through deleted entries.
    pub floor: Vec<u8>,
}

/// Everything the writer keeps in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tables {
    /// The number of the last write.
    pub sequence: u64,
    /// The latest time stored in the log; no later record may be older.
    pub last_at: u64,
    pub partitions: BTreeMap<PartitionId, Partition>,
    pub results: Ends,
    pub results_dropped: u64,
    pub streams: BTreeMap<String, u16>,
    pub sinks: BTreeMap<String, SinkPosition>,
    pub keys: KeyCount,
    /// Only the partitions that were restored since the store was opened: the others may not commit.
    pub restored: BTreeMap<PartitionId, Digests>,
}

impl Tables {
    pub(super) fn backlog_bytes(&self) -> u64 {
        self.partitions.values().map(Partition::backlog_bytes).sum()
    }

    pub(super) fn input_bytes(&self) -> u64 {
        self.partitions.values().map(|partition| partition.ends.bytes()).sum()
    }

    /// The first result that some sink has not read; the end if there is no sink.
    pub(super) fn unread_results(&self) -> u64 {
        let slowest = self.sinks.values().map(|sink| sink.next).min();
        slowest.unwrap_or(self.results.bounds.next)
    }

    /// Raises a time to the latest one in the log and makes it the latest.
    pub(super) fn clamp_time(&mut self, at: u64) -> u64 {
        self.last_at = self.last_at.max(at);
        self.last_at
    }
}
