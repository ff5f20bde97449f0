//! What goes into the log and comes out of it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use crate::error::LogError;
use crate::frame::{Frame, RecordBuffer, Records};

/// A partition of the input: a stream (numbered by [`stream_id`](super::PartitionLog::stream_id)) and a partition of
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    /// The number of the stream; 65,535 is reserved.
    pub stream: u16,
    /// The number of the partition within the stream.
    pub partition: u16,
}

impl PartitionId {
    /// Stands for the results log where a place is stored; no input may use it.
    pub(super) const RESULTS: Self = Self { stream: u16::MAX, partition: u16::MAX };

    pub const fn new(stream: u16, partition: u16) -> Self {
        Self { stream, partition }
    }

    /// What an error calls this place.
    pub(super) fn place(self) -> String {
        if self == Self::RESULTS { "the results".to_owned() } else { format!("partition {self}") }
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream, self.partition)
    }
}

/// The retained offsets of one log: `first` is the oldest retained one, `next` the one the next record will get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    pub first: u64,
    pub next: u64,
}

/// Marks an append as repeatable: the same key and checksum again write nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The caller's key; 1 to 1,024 bytes.
    pub key: String,
    /// CRC-32 of the request body, to tell a repetition from another request under the same key.
    pub body_crc: u32,
    /// What a repetition shall be told: bytes of the caller's own meaning.
    pub outcome: Vec<u8>,
}

/// Records to append in one atomic write. They are encoded as they are pushed: no allocation per record.
#[derive(Clone, Debug)]
pub struct AppendBatch {
    pub(super) partitions: BTreeMap<PartitionId, RecordBuffer>,
    pub(super) appended_at: u64,
    pub(super) idempotency: Option<Idempotency>,
}

impl AppendBatch {
    /// An empty batch received at `appended_at` (µs UTC).
    pub fn new(appended_at: u64) -> Self {
        Self { partitions: BTreeMap::new(), appended_at, idempotency: None }
    }

    /// Makes the batch repeatable.
    pub fn idempotent(mut self, idempotency: Idempotency) -> Self {
        self.idempotency = Some(idempotency);
        self
    }

    /// Adds a record to the end of `partition`; records of one partition keep their order.
    ///
    /// # Errors
    /// [`LogError::InvalidArgument`] if the record is larger than [`MAX_RECORD_BYTES`](super::frame::MAX_RECORD_BYTES)
    /// or the partition is the reserved one; the batch is as before.
    pub fn push(&mut self, partition: PartitionId, key: &[u8], payload: &[u8]) -> Result<(), LogError> {
        if partition.stream == u16::MAX {
            return Err(LogError::invalid("stream number 65535 is reserved"));
        }
        self.partitions.entry(partition).or_default().push(key, payload)
    }

    /// The records, with the partition each goes to.
    pub fn records(&self) -> impl Iterator<Item = (PartitionId, &[u8], &[u8])> {
        let partitions = self.partitions.iter();
        partitions.flat_map(|(id, records)| records.records().map(move |(key, payload)| (*id, key, payload)))
    }

    pub fn appended_at(&self) -> u64 {
        self.appended_at
    }

    pub fn idempotency(&self) -> Option<&Idempotency> {
        self.idempotency.as_ref()
    }

    /// The number of records.
    pub fn len(&self) -> u64 {
        self.partitions.values().map(RecordBuffer::len).sum()
    }

    /// Whether there are no records; such a batch may still store an idempotency key.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// The bytes the records take in the log.
    pub fn bytes(&self) -> u64 {
        self.partitions.values().map(RecordBuffer::bytes).sum()
    }
}

/// What became of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The idempotency key was there already; nothing was written. `outcome` is what was stored with it.
    Duplicate { outcome: Vec<u8> },
    /// The records are on disk.
    Written(Written),
}

/// Where an append put its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The offsets per partition.
    pub offsets: Vec<(PartitionId, Range<u64>)>,
    /// The time stored with them: the batch's, or the log's last one if that is later.
    pub appended_at: u64,
}

/// A record as it stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRecord<'a> {
    pub offset: u64,
    /// When it was appended (results: committed), µs UTC; never decreases along the log.
    pub appended_at: u64,
    pub key: &'a [u8],
    pub payload: &'a [u8],
}

/// A run of records in order. It owns the bytes; the records borrow from it.
#[derive(Debug)]
pub struct RecordBatch {
    run: Run,
    from: u64,
}

/// How the records of a batch are kept.
#[derive(Debug)]
enum Run {
    /// As they were stored; the offsets have no gaps.
    Frames(Vec<Frame>),
    /// One by one; the offsets may have gaps.
    Loose { records: Vec<Loose>, bytes: Vec<u8> },
}

/// Where a record's key and payload are: one after the other.
#[derive(Debug)]
struct Loose {
    offset: u64,
    appended_at: u64,
    key: usize,
    payload: usize,
    end: usize,
}

impl RecordBatch {
    /// Stored frames, read for the record at `from` and those after it.
    pub(super) fn stored(frames: Vec<Frame>, from: u64) -> Self {
        Self { run: Run::Frames(frames), from }
    }

    /// Nothing yet, from offset `from` on.
    pub fn loose(from: u64) -> Self {
        Self { run: Run::Loose { records: Vec::new(), bytes: Vec::new() }, from }
    }

    /// Adds a record to a batch of loose ones.
    pub fn push(&mut self, offset: u64, appended_at: u64, key: &[u8], payload: &[u8]) {
        if let Run::Loose { records, bytes } = &mut self.run {
            let start = bytes.len();
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(payload);
            records.push(Loose { offset, appended_at, key: start, payload: start + key.len(), end: bytes.len() });
        }
    }

    /// The records, in order, from the asked offset on.
    pub fn records(&self) -> impl Iterator<Item = StoredRecord<'_>> {
        let from = self.from;
        let (frames, loose) = match &self.run {
            Run::Frames(frames) => (frames.as_slice(), None),
            Run::Loose { records, bytes } => (&[][..], Some((records, bytes))),
        };
        let loose = loose.into_iter().flat_map(|(records, bytes)| records.iter().map(|it| it.in_bytes(bytes)));
        frames.iter().flat_map(Frame::records).skip_while(move |record| record.offset < from).chain(loose)
    }

    /// The offset to read from next.
    pub fn next_offset(&self) -> u64 {
        let end = match &self.run {
            Run::Frames(frames) => frames.last().map(Frame::end),
            Run::Loose { records, .. } => records.last().map(|record| record.offset + 1),
        };
        end.unwrap_or(self.from)
    }

    /// Whether the end of the log was reached.
    pub fn is_empty(&self) -> bool {
        match &self.run {
            Run::Frames(frames) => frames.is_empty(),
            Run::Loose { records, .. } => records.is_empty(),
        }
    }

    /// The bytes of keys and payloads of loose records.
    pub fn bytes(&self) -> usize {
        match &self.run {
            Run::Frames(frames) => frames.iter().map(Frame::len).sum(),
            Run::Loose { bytes, .. } => bytes.len(),
        }
    }

    /// The number of records.
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
    fn records(&self) -> impl Iterator<Item = StoredRecord<'_>> {
        let header = self.header();
        Records::new(self.body()).zip(header.base..).map(move |((key, payload), offset)| StoredRecord {
            offset,
            appended_at: header.written_at,
            key,
            payload,
        })
    }
}

/// What a worker changes in one partition.
#[derive(Debug)]
pub struct PartitionCommit {
    pub partition: PartitionId,
    /// The next input offset to apply: all before it are in the state or in the results.
    pub cursor: u64,
    /// The worker's own small data: watermark, versions.
    pub meta: Vec<u8>,
    /// The changed chunks; `None` deletes one. Chunks not named stay as they are.
    pub chunks: Vec<(u32, Option<Vec<u8>>)>,
    /// The results, in order; they get the next offsets of the results log.
    pub results: RecordBuffer,
}

/// The last committed state of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub cursor: u64,
    pub meta: Vec<u8>,
    /// All chunks by ascending id.
    pub chunks: Vec<(u32, Vec<u8>)>,
    /// The number of the write that committed it; grows over the whole log.
    pub sequence: u64,
}

/// Where a sink stands in the results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkPosition {
    /// The next result it has to deliver: results before it are not kept for this sink.
    pub next: u64,
    /// The sink's own data.
    pub detail: Vec<u8>,
}

/// What one retention pass deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    pub input_records: u64,
    pub input_bytes: u64,
    pub results: u64,
    pub results_bytes: u64,
    /// Of `results`, those that a registered sink had not read: the hard limit was reached.
    pub results_dropped: u64,
    pub idempotency_keys: u64,
}

/// The state of one partition's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionStats {
    pub partition: PartitionId,
    pub bounds: Bounds,
    pub bytes: u64,
    /// The committed cursor; `None` before the first commit.
    pub cursor: Option<u64>,
    /// Bytes from the cursor on, in whole frames.
    pub backlog_bytes: u64,
}

/// The size and age of everything in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// What the store's files take, its journal included.
    pub disk_bytes: u64,
    pub partitions: Vec<PartitionStats>,
    pub input_bytes: u64,
    pub backlog_bytes: u64,
    /// When the oldest retained input was appended, µs UTC.
    pub oldest_input_at: Option<u64>,
    pub results: Bounds,
    pub results_bytes: u64,
    pub oldest_result_at: Option<u64>,
    /// Results deleted unread since the data directory was created.
    pub results_dropped: u64,
    pub idempotency_keys: u64,
    /// The registered sinks and the next result of each.
    pub sinks: Vec<(String, u64)>,
    /// How often the store failed and was reopened since the start.
    pub reopened: u64,
}
