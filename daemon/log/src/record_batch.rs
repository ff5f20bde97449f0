//! Records that a read returns.

use std::sync::Arc;

use crate::frame::{Frame, Records};

/// A record of the log, which borrows its bytes from a [`RecordBatch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRecord<'a> {
    /// The offset of the record in its log.
    pub offset: u64,
    /// The time at which an input record was appended or a result was committed (µs UTC). It never decreases along the
    /// log.
    pub appended_at: u64,
    /// The key that was appended.
    pub key: &'a [u8],
    /// The payload that was appended.
    pub payload: &'a [u8],
}

/// Consecutive records of one log, in offset order.
///
/// The batch owns the bytes. [`next_offset`](Self::next_offset) is the offset of the next read.
#[derive(Debug)]
pub struct RecordBatch {
    storage: Storage,
    from: u64,
}

/// The storage of a batch's records.
#[derive(Debug)]
enum Storage {
    /// Frames of the embedded log; their offsets have no gaps.
    Frames(Vec<Arc<Frame>>),
    /// Single records in one buffer; their offsets may have gaps.
    Loose { records: Vec<Loose>, bytes: Vec<u8> },
}

/// The offsets of one record's key and payload in the buffer: the payload follows the key.
#[derive(Debug)]
struct Loose {
    offset: u64,
    appended_at: u64,
    key: usize,
    payload: usize,
    end: usize,
}

impl RecordBatch {
    /// Creates a batch of stored frames whose first record is the one at offset `from`.
    pub(crate) fn stored(frames: Vec<Arc<Frame>>, from: u64) -> Self {
        Self { storage: Storage::Frames(frames), from }
    }

    /// Creates an empty batch that starts at offset `from`, to which [`push`](Self::push) adds records.
    pub fn loose(from: u64) -> Self {
        Self { storage: Storage::Loose { records: Vec::new(), bytes: Vec::new() }, from }
    }

    /// Adds a record to a batch that [`loose`](Self::loose) created; a batch of stored frames stays unchanged.
    pub fn push(&mut self, offset: u64, appended_at: u64, key: &[u8], payload: &[u8]) {
        if let Storage::Loose { records, bytes } = &mut self.storage {
            let start = bytes.len();
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(payload);
            records.push(Loose { offset, appended_at, key: start, payload: start + key.len(), end: bytes.len() });
        }
    }

    /// Iterates over the records in order, from the requested offset on.
    pub fn records(&self) -> impl Iterator<Item = StoredRecord<'_>> + Clone {
        let from = self.from;
        let (frames, loose) = match &self.storage {
            Storage::Frames(frames) => (frames.as_slice(), None),
            Storage::Loose { records, bytes } => (&[][..], Some((records, bytes))),
        };
        let loose = loose.into_iter().flat_map(|(records, bytes)| records.iter().map(|it| it.in_bytes(bytes)));
        frames.iter().flat_map(|frame| frame.records()).skip_while(move |record| record.offset < from).chain(loose)
    }

    /// The offset after the last record, from which the next read continues.
    pub fn next_offset(&self) -> u64 {
        let end = match &self.storage {
            Storage::Frames(frames) => frames.last().map(|frame| frame.end()),
            Storage::Loose { records, .. } => records.last().map(|record| record.offset + 1),
        };
        end.unwrap_or(self.from)
    }

    /// Whether the batch has no records: the read reached the end of the log.
    pub fn is_empty(&self) -> bool {
        match &self.storage {
            Storage::Frames(frames) => frames.is_empty(),
            Storage::Loose { records, .. } => records.is_empty(),
        }
    }

    /// The size of the batch in memory: whole frames, or the keys and payloads of single records.
    pub fn bytes(&self) -> usize {
        match &self.storage {
            Storage::Frames(frames) => frames.iter().map(|frame| frame.len()).sum(),
            Storage::Loose { bytes, .. } => bytes.len(),
        }
    }

    /// The number of offsets that the batch covers; gaps between offsets count as well.
    pub fn len(&self) -> u64 {
        self.next_offset() - self.from
    }
}

impl Loose {
    fn in_bytes<'b>(&self, bytes: &'b [u8]) -> StoredRecord<'b> {
        let Self { offset, appended_at, key, payload, end } = *self;
        StoredRecord { offset, appended_at, key: &bytes[key..payload], payload: &bytes[payload..end] }
    }
}

impl Frame {
    fn records(&self) -> impl Iterator<Item = StoredRecord<'_>> + Clone {
        let header = self.header();
        Records::new(self.body()).zip(header.base..).map(move |((key, payload), offset)| StoredRecord {
            offset,
            appended_at: header.written_at,
            key,
            payload,
        })
    }
}
