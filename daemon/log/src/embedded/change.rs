//! The changes that a write makes to the tables, and their stored form.
//!
//! The journal holds the changes of each write; the tables are what all changes together give. A checkpoint is a list
//! of changes too: those that give the tables of its moment. The stored form is that of the crate `postcard`: the number
//! of the variant, then its fields; numbers are varints, texts and bytes have their length in front. A new kind of change
//! goes to the end of [`Change`], because the order of the variants is their number.

use serde::{Deserialize, Serialize};

use crate::embedded::keys::StoredKey;
use crate::embedded::segment::{Family, Place};
use crate::embedded::tables::{Ends, Head, Part};
use crate::frame::{FrameHeader, HEADER_LEN};
use crate::{PartitionId, SinkPosition};

/// One change of the tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the types of the fields have the docs")]
pub enum Change {
    /// A frame was appended to a log: input to the journal, results to their own file.
    Frame(FrameAt),
    /// A chunk of a partition's state has new bytes, or was deleted.
    Chunk { partition: PartitionId, chunk: u32, at: Option<ChunkAt> },
    /// A partition committed, or lost its state.
    Head { partition: PartitionId, head: Option<Head> },
    /// An idempotency key was stored.
    Key(StoredKey),
    /// A sink has a new position, or was removed.
    Sink { name: String, position: Option<SinkPosition> },
    /// A stream has a number.
    Stream { name: String, number: u16 },
    /// A file was deleted: retention, or a file of state that is not in use.
    Retired { family: Family, segment: u32 },
    /// In checkpoints: the number of results that were deleted before every sink had read them.
    Dropped(u64),
    /// In checkpoints: the ends of a log.
    Ends { log: PartitionId, ends: Ends },
    /// In checkpoints: a frame that a read can begin with.
    Indexed { log: PartitionId, entry: Entry },
    /// In checkpoints: what a file has of one log.
    Part { segment: u32, log: PartitionId, part: Part },
    /// In checkpoints: the end of a file of results or of state.
    File { family: Family, segment: u32, end: u64 },
}

/// A frame and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameAt {
    /// The log that the frame belongs to.
    pub log: PartitionId,
    /// Where it is.
    pub entry: Entry,
    /// The number of records.
    pub count: u32,
    /// The append or commit time (µs UTC).
    pub written_at: u64,
}

/// The place of a frame by its first offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The offset of the first record.
    pub base: u64,
    /// The size of all earlier frames of the same log.
    pub bytes_before: u64,
    /// Where it is.
    pub place: Place,
}

/// The place and the checksum of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkAt {
    /// Where the chunk is.
    pub place: Place,
    /// The CRC-32 of its bytes.
    pub crc: u32,
}

impl FrameAt {
    /// The header of the frame.
    pub(super) fn header(&self) -> FrameHeader {
        let Self { log, entry: Entry { base, bytes_before, place }, count, written_at } = *self;
        let body_len = place.len.saturating_sub(HEADER_LEN as u32);
        FrameHeader { partition: log, base, written_at, bytes_before, count, body_len }
    }
}

impl Change {
    /// Appends the stored form.
    pub(super) fn encode(&self, to: &mut Vec<u8>) -> Result<(), String> {
        let extended = postcard::to_extend(self, std::mem::take(to));
        *to = extended.map_err(|error| format!("a change cannot be stored: {error}"))?;
        Ok(())
    }
}

/// Reads stored changes one by one; ends with an error at the first malformed one.
pub fn decode(mut bytes: &[u8]) -> impl Iterator<Item = Result<Change, String>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let change = postcard::take_from_bytes(bytes);
        bytes = change.as_ref().map_or(&[], |(_, rest)| rest);
        Some(change.map(|(change, _)| change).map_err(|error| format!("a stored change is malformed: {error}")))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Bounds;

    fn all(number: u64, text: &str) -> Vec<Change> {
        let log = PartitionId::new(3, 7);
        let place = Place { segment: 9, at: number as u32, len: 11 };
        let entry = Entry { base: number, bytes_before: 5, place };
        let head = Head { cursor: number, sequence: 2, meta: text.as_bytes().to_vec() };
        let position = SinkPosition { next: number, detail: vec![1, 2] };
        let key = StoredKey { key: text.into(), body_crc: 4, at: number, outcome: Box::new([1]) };
        let bounds = Bounds { first: 1, next: number };
        let ends = Ends { bounds, bytes_first: 2, bytes_next: 3, oldest_at: None };
        let part = Part { end: number, bytes_end: 2, bytes: 3, oldest_at: 4, newest_at: 5 };
        vec![
            Change::Frame(FrameAt { log, entry, count: 8, written_at: number }),
            Change::Chunk { partition: log, chunk: 4, at: Some(ChunkAt { place, crc: u32::MAX }) },
            Change::Chunk { partition: log, chunk: 4, at: None },
            Change::Head { partition: log, head: Some(head) },
            Change::Head { partition: log, head: None },
            Change::Key(key),
            Change::Sink { name: text.to_owned(), position: Some(position) },
            Change::Sink { name: text.to_owned(), position: None },
            Change::Stream { name: text.to_owned(), number: 65_534 },
            Change::Retired { family: Family::Journal, segment: 1 },
            Change::Retired { family: Family::Results, segment: 2 },
            Change::Retired { family: Family::State, segment: 3 },
            Change::Dropped(number),
            Change::Ends { log, ends },
            Change::Ends { log, ends: Ends { oldest_at: Some(0), ..ends } },
            Change::Indexed { log: PartitionId::RESULTS, entry },
            Change::Part { segment: 1, log, part },
            Change::File { family: Family::Results, segment: 1, end: number },
            Change::File { family: Family::State, segment: 2, end: 3 },
        ]
    }

    proptest! {
        #[test]
        fn property_stored_changes_come_back_in_order(number: u64, text: String) {
            let changes = all(number, &text);
            let mut stored = Vec::new();
            changes.iter().for_each(|change| change.encode(&mut stored).unwrap());
            let found: Result<Vec<_>, _> = decode(&stored).collect();
            prop_assert_eq!(found.unwrap(), changes);
        }

        #[test]
        fn property_any_bytes_are_read_without_a_panic_and_end(bytes: Vec<u8>) {
            prop_assert!(decode(&bytes).count() <= bytes.len() + 1);
        }
    }
}
