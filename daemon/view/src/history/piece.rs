//! The stored form of the index: `version u8`, then a [`Piece`] in the form of `postcard`.

use serde::{Deserialize, Serialize};

use super::epoch::{Entry, Epoch};
use super::ranges::Range;

/// The format of a piece, and the hash of keys. Another number makes a start leave the index out.
const VERSION: u8 = 1;

/// A part of an epoch.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Piece {
    /// The first offset of the epoch.
    pub epoch: u64,
    /// The number of the objects that earlier pieces of the epoch have; 0 for the first piece.
    pub known: u32,
    /// The bytes of results that the epoch has with this piece, and those of loose entries.
    pub bytes: u64,
    pub loose_bytes: u64,
    /// The first offset and the offset after the last entry.
    pub first: u64,
    pub end: u64,
    /// The hashes of the objects that are new, little-endian.
    pub hashes: Vec<u8>,
    pub entries: Vec<StoredEntry>,
}

/// An entry, with the differences from the one before.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct StoredEntry {
    pub first: u64,
    pub committed: u64,
    /// The earliest start, and from it to the latest one.
    pub start: i64,
    pub length: u64,
    /// Each range by its distance from the one before and its length.
    pub ranges: Vec<(u32, u32)>,
}

/// The piece that is written again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OpenPiece {
    pub chunk: u32,
    pub first: u64,
    pub known: u32,
    /// The bytes of its epoch before it.
    pub bytes_before: u64,
}

impl Piece {
    pub(super) fn encode(&self) -> postcard::Result<Vec<u8>> {
        postcard::to_extend(self, vec![VERSION])
    }

    pub(super) fn decode(chunk: &[u8]) -> Result<Self, String> {
        let (version, piece) = chunk.split_first().ok_or("a piece is empty")?;
        if *version != VERSION {
            return Err(format!("a piece has version {version}, this build reads version {VERSION}"));
        }
        postcard::from_bytes(piece).map_err(|error| format!("a piece is malformed: {error}"))
    }

    /// The part of an epoch from the beginning of a piece on.
    pub(super) fn of(epoch: &Epoch, open: OpenPiece) -> Self {
        let from = epoch.entries.partition_point(|entry| entry.first < open.first);
        let new = epoch.hashes.get(open.known as usize..).unwrap_or_default();
        Self {
            epoch: epoch.first,
            known: open.known,
            bytes: epoch.bytes,
            loose_bytes: epoch.loose_bytes,
            first: epoch.entries.get(from).map_or(open.first, |entry| entry.first),
            end: epoch.end,
            hashes: new.iter().flat_map(|hash| hash.to_le_bytes()).collect(),
            entries: pack(epoch.entries.range(from..)),
        }
    }
}

/// The stored form of entries.
fn pack<'e>(entries: impl Iterator<Item = &'e Entry>) -> Vec<StoredEntry> {
    let mut before = (0, 0, 0);
    let pack = |entry: &Entry| {
        let mut end = 0;
        let range = |(first, last): &Range| {
            let range = (first - end, last - first);
            end = *last;
            range
        };
        let (first, committed, start) = before;
        let packed = StoredEntry {
            first: entry.first.wrapping_sub(first),
            committed: entry.committed.wrapping_sub(committed),
            start: entry.starts.0.wrapping_sub(start).cast_signed(),
            length: entry.starts.1.wrapping_sub(entry.starts.0),
            ranges: entry.ranges.iter().map(range).collect(),
        };
        before = (entry.first, entry.committed, entry.starts.0);
        packed
    };
    entries.map(pack).collect()
}

/// The entries of a stored form.
pub(super) fn unpack(entries: Vec<StoredEntry>) -> impl Iterator<Item = Entry> {
    let (mut first, mut committed, mut start) = (0_u64, 0_u64, 0_u64);
    entries.into_iter().map(move |entry| {
        first = first.wrapping_add(entry.first);
        committed = committed.wrapping_add(entry.committed);
        start = start.wrapping_add(entry.start.cast_unsigned());
        let mut end = 0_u32;
        let range = |(gap, length): (u32, u32)| {
            let first = end.saturating_add(gap);
            end = first.saturating_add(length);
            (first, end)
        };
        let ranges = entry.ranges.into_iter().map(range).collect();
        Entry { first, committed, starts: (start, start.wrapping_add(entry.length)), ranges }
    })
}
