//! The argument and the result of an append.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::error::LogError;
use crate::frame::RecordBuffer;
use crate::partition_id::PartitionId;

/// An idempotency key, which makes an append safe to repeat: a second append with the same key and checksum writes
/// nothing. A batch without records stores no key: nothing counts twice, and the caller may accept some of it later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The caller's key, of 1 to 1,024 bytes.
    pub key: String,
    /// The CRC-32 of the request body, which distinguishes a repeated request from another request with the same key.
    pub body_crc: u32,
    /// The caller's own bytes, which a repeated append returns in [`Appended::Duplicate`].
    pub outcome: Vec<u8>,
}

/// Records to append in one atomic write.
///
/// [`push`](Self::push) encodes a record into the batch and allocates nothing per record.
#[derive(Clone, Debug)]
pub struct AppendBatch {
    pub(crate) partitions: BTreeMap<PartitionId, RecordBuffer>,
    pub(crate) appended_at: u64,
    pub(crate) idempotency: Option<Idempotency>,
}

impl AppendBatch {
    /// Creates an empty batch that was received at `appended_at` (µs UTC).
    pub fn new(appended_at: u64) -> Self {
        Self { partitions: BTreeMap::new(), appended_at, idempotency: None }
    }

    /// Adds an idempotency key to the batch.
    pub fn idempotent(mut self, idempotency: Idempotency) -> Self {
        self.idempotency = Some(idempotency);
        self
    }

    /// Adds a record to the end of `partition`; the records of one partition keep their order.
    ///
    /// # Errors
    /// [`LogError::InvalidArgument`] if the record is larger than 8 MiB or the partition is the reserved one. The batch
    /// is then unchanged.
    pub fn push(&mut self, partition: PartitionId, key: &[u8], payload: &[u8]) -> Result<(), LogError> {
        if partition.stream == u16::MAX {
            return Err(LogError::invalid("stream number 65535 is reserved"));
        }
        self.partitions.entry(partition).or_default().push(key, payload)
    }

    /// Iterates over the records as partition, key and payload, partition by partition.
    pub fn records(&self) -> impl Iterator<Item = (PartitionId, &[u8], &[u8])> {
        let partitions = self.partitions.iter();
        partitions.flat_map(|(id, records)| records.records().map(move |(key, payload)| (*id, key, payload)))
    }

    /// The time at which the batch was received (µs UTC).
    pub fn appended_at(&self) -> u64 {
        self.appended_at
    }

    /// The idempotency key of the batch, if it has one.
    pub fn idempotency(&self) -> Option<&Idempotency> {
        self.idempotency.as_ref()
    }

    /// The number of records.
    pub fn len(&self) -> u64 {
        self.partitions.values().map(RecordBuffer::len).sum()
    }

    /// Whether the batch has no records.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// The size of the records as the log stores them.
    pub fn bytes(&self) -> u64 {
        self.partitions.values().map(RecordBuffer::bytes).sum()
    }
}

/// The outcome of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The log already has the idempotency key, and the append wrote nothing.
    Duplicate {
        /// The outcome that was stored with the key.
        outcome: Vec<u8>,
    },
    /// The records are on disk.
    Written(Written),
}

/// The offsets and the time of appended records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The offsets of the records in each partition.
    pub offsets: Vec<(PartitionId, Range<u64>)>,
    /// The stored append time: the time of the batch, or the latest time in the log if that is later (µs UTC).
    pub appended_at: u64,
}
