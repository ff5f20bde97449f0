//! Frames: the stored format of records.
//!
//! A frame holds the records that one write appends to one partition, up to about half a MiB. Numbers are
//! little-endian:
//!
//! ```text
//! 'F' | version u8 | stream u16 | partition u16 | base offset u64 | written at u64 (µs UTC)
//! | bytes before u64 | records u32 | body length u32 | body crc32 u32 | crc32 of the fields above u32
//! | body: per record  varint key length | varint payload length | key | payload
//! ```
//!
//! *Bytes before* is the size of all earlier frames of the same log, retained or deleted: the difference between two
//! frames is the size of the frames between them. A frame has its partition and offset, so that a reader detects a frame
//! at a wrong place. The body has its own checksum, which is computed before the write lock is taken; under the lock
//! only the header is sealed.

use crate::PartitionId;
use crate::error::LogError;

/// The largest record (key and payload together) that the log accepts: 8 MiB.
pub(crate) const MAX_RECORD_BYTES: usize = 8 * 1024 * 1024;

/// The body size at which a frame is closed, so that a read returns little more than the requested bytes.
const FRAME_BODY_BYTES: usize = 512 * 1024;

/// The most bytes that the lengths of a record's key and payload take.
const MAX_LENGTHS: usize = 8;

/// The first byte of every frame, which distinguishes it from the other blocks of a journal.
const KIND: u8 = b'F';
const VERSION: u8 = 1;
/// The byte offsets of header fields.
const BODY_LEN_AT: usize = 34;
const BODY_CRC_AT: usize = 38;
const HEADER_CRC_AT: usize = 42;
/// The size of the header of a frame.
pub const HEADER_LEN: usize = 46;

/// The header fields of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The log that the frame belongs to.
    pub partition: PartitionId,
    /// The offset of the first record.
    pub base: u64,
    /// The append or commit time (µs UTC).
    pub written_at: u64,
    /// The size of all earlier frames of the same log.
    pub bytes_before: u64,
    /// The number of records.
    pub count: u32,
    /// The size of the records.
    pub body_len: u32,
}

/// A buffer of encoded records, which the log stores as frames.
#[derive(Clone, Debug)]
pub struct RecordBuffer {
    frames: Vec<OpenFrame>,
    /// The size at which a frame is closed.
    frame_bytes: usize,
}

impl Default for RecordBuffer {
    fn default() -> Self {
        Self { frames: Vec::new(), frame_bytes: FRAME_BODY_BYTES }
    }
}

/// A frame that has no offset yet; its first bytes are reserved for the header.
#[derive(Clone, Debug)]
pub struct OpenFrame {
    bytes: Vec<u8>,
    count: u32,
    body_crc: u32,
}

impl RecordBuffer {
    /// An empty buffer whose frames have about so many bytes, at most half a MiB: a read returns whole frames, so small
    /// ones are for records that are read one by one.
    pub fn with_frames_of(bytes: usize) -> Self {
        Self { frames: Vec::new(), frame_bytes: bytes.min(FRAME_BODY_BYTES) }
    }

    /// Adds a record to the end.
    ///
    /// # Errors
    /// [`LogError::InvalidArgument`] if the record is larger than 8 MiB; the buffer is then unchanged.
    pub fn push(&mut self, key: &[u8], payload: &[u8]) -> Result<(), LogError> {
        let size = key.len().saturating_add(payload.len());
        if size > MAX_RECORD_BYTES {
            return Err(LogError::invalid(format!("a record has {size} bytes, the limit is {MAX_RECORD_BYTES}")));
        }
        if self.frames.last().is_none_or(|last| last.bytes.len() + size > self.frame_bytes) {
            let capacity = if self.frames.is_empty() { 0 } else { self.frame_bytes.max(size + MAX_LENGTHS) };
            self.frames.push(OpenFrame::new(capacity));
        }
        if let Some(frame) = self.frames.last_mut() {
            push_varint(&mut frame.bytes, key.len());
            push_varint(&mut frame.bytes, payload.len());
            frame.bytes.extend_from_slice(key);
            frame.bytes.extend_from_slice(payload);
            frame.count += 1;
        }
        Ok(())
    }

    /// The number of records.
    pub fn len(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.count)).sum()
    }

    /// Iterates over the records as key and payload, in order.
    pub fn records(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.frames.iter().flat_map(|frame| Records::new(&frame.bytes[HEADER_LEN..]))
    }

    /// Whether the buffer has no records.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The size of the records as the log stores them.
    pub fn bytes(&self) -> u64 {
        self.frames.iter().map(|frame| frame.bytes.len() as u64).sum()
    }

    /// Computes the body checksums, which is the expensive part; callers do it before they take the write lock.
    pub fn finish(&mut self) {
        for frame in &mut self.frames {
            frame.body_crc = crc32fast::hash(&frame.bytes[HEADER_LEN..]);
            // It may stay in memory for readers.
            frame.bytes.shrink_to_fit();
        }
    }

    /// Returns the frames in order; the caller has called [`finish`](Self::finish).
    pub fn into_frames(self) -> Vec<OpenFrame> {
        self.frames
    }
}

impl OpenFrame {
    /// An empty frame. The first one of a buffer may stay small; a later one will probably be filled, and is not copied
    /// as it grows to its capacity.
    fn new(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_LEN + capacity);
        bytes.resize(HEADER_LEN, 0);
        Self { bytes, count: 0, body_crc: 0 }
    }

    /// The number of records.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Writes the header and returns the stored bytes of the frame.
    pub fn seal(mut self, partition: PartitionId, base: u64, written_at: u64, before: u64) -> Vec<u8> {
        // RecordBuffer bounds a body by FRAME_BODY_BYTES + MAX_RECORD_BYTES, far below u32.
        let body_len = (self.bytes.len() - HEADER_LEN) as u32;
        let mut header = Vec::with_capacity(HEADER_LEN);
        header.extend_from_slice(&[KIND, VERSION]);
        header.extend_from_slice(&partition.stream.to_le_bytes());
        header.extend_from_slice(&partition.partition.to_le_bytes());
        header.extend_from_slice(&base.to_le_bytes());
        header.extend_from_slice(&written_at.to_le_bytes());
        header.extend_from_slice(&before.to_le_bytes());
        header.extend_from_slice(&self.count.to_le_bytes());
        header.extend_from_slice(&body_len.to_le_bytes());
        header.extend_from_slice(&self.body_crc.to_le_bytes());
        header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
        self.bytes[..HEADER_LEN].copy_from_slice(&header);
        self.bytes
    }
}

/// A verified frame.
pub struct Frame {
    header: FrameHeader,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frame").field("header", &self.header).finish_non_exhaustive()
    }
}

impl Frame {
    /// Verifies both checksums, and that the body has the number of records in the header.
    ///
    /// # Errors
    /// The check that failed, with the found and the stored value.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, String> {
        let header = FrameHeader::parse(&bytes)?;
        let body = &bytes[HEADER_LEN..];
        if body.len() != header.body_len as usize {
            return Err(format!("body has {} bytes instead of {}", body.len(), header.body_len));
        }
        let (computed, crc) = (crc32fast::hash(body), u32_at(&bytes, BODY_CRC_AT));
        if computed != crc {
            return Err(format!("body checksum is {computed:08x}, stored is {crc:08x}"));
        }
        let mut records = Records::new(body);
        let count = records.by_ref().count();
        if count != header.count as usize || !records.rest.is_empty() {
            return Err(format!("body has {count} records, the header declares {}", header.count));
        }
        Ok(Self { header, bytes })
    }

    /// A frame as it was written.
    pub(super) fn written(header: FrameHeader, bytes: Vec<u8>) -> Self {
        Self { header, bytes }
    }

    /// The header.
    pub fn header(&self) -> FrameHeader {
        self.header
    }

    /// The memory of its bytes.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The offset after the last record.
    pub(super) fn end(&self) -> u64 {
        self.header.end()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The stored bytes, with the header.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The records.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }
}

impl FrameHeader {
    /// Parses and verifies the header at the beginning of some bytes.
    ///
    /// # Errors
    /// The check that failed, with the found and the stored value.
    pub fn parse(frame: &[u8]) -> Result<Self, String> {
        let header = frame.get(..HEADER_LEN).ok_or("it is shorter than a frame header")?;
        let (computed, crc) = (crc32fast::hash(&header[..HEADER_CRC_AT]), u32_at(header, HEADER_CRC_AT));
        if computed != crc {
            return Err(format!("header checksum is {computed:08x}, stored is {crc:08x}"));
        }
        if header[..2] != [KIND, VERSION] {
            return Err(format!("unknown frame version {}, supported is {VERSION}", header[1]));
        }
        let u16_at = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        Ok(Self {
            partition: PartitionId::new(u16_at(2), u16_at(4)),
            base: u64_at(header, 6),
            written_at: u64_at(header, 14),
            bytes_before: u64_at(header, 22),
            count: u32_at(header, 30),
            body_len: u32_at(header, BODY_LEN_AT),
        })
    }

    /// The offset after the last record.
    pub fn end(&self) -> u64 {
        self.base.saturating_add(u64::from(self.count))
    }

    /// Whether the record at an offset is in the frame.
    pub(super) fn holds(&self, offset: u64) -> bool {
        (self.base..self.end()).contains(&offset)
    }
}

/// An iterator over the records of a body as (key, payload).
///
/// It ends at the first malformed byte, which [`Frame::parse`] then reports.
#[derive(Clone, Debug)]
pub(super) struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (key_len, rest) = split_varint(self.rest)?;
        let (payload_len, rest) = split_varint(rest)?;
        let (key, rest) = rest.split_at_checked(key_len)?;
        let (payload, rest) = rest.split_at_checked(payload_len)?;
        self.rest = rest;
        Some((key, payload))
    }
}

fn push_varint(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn split_varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0;
    // Four times seven bits hold every length up to MAX_RECORD_BYTES.
    for (index, byte) in bytes.iter().take(4).enumerate() {
        number |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[index + 1..]));
        }
    }
    None
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|field| field.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|field| field.try_into().ok()).map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARTITION: PartitionId = PartitionId::new(3, 7);

    fn sealed(records: &[(Vec<u8>, Vec<u8>)]) -> Vec<Vec<u8>> {
        let mut buffer = RecordBuffer::default();
        for (key, payload) in records {
            buffer.push(key, payload).unwrap();
        }
        buffer.finish();
        let mut base = 100;
        let seal = |frame: OpenFrame| {
            let first = base;
            base += u64::from(frame.count());
            frame.seal(PARTITION, first, 1_234, 55)
        };
        buffer.into_frames().into_iter().map(seal).collect()
    }

    fn parse(bytes: Vec<u8>) -> Result<Frame, String> {
        Frame::parse(bytes)
    }

    #[test]
    fn a_full_frame_is_closed_and_the_next_one_continues_at_its_end() {
        let records = vec![(vec![b'k'; 10], vec![b'p'; 200_000]); 7];
        let frames: Vec<_> = sealed(&records).into_iter().map(|bytes| parse(bytes).unwrap()).collect();
        assert_eq!(frames.len(), 4);
        assert!(frames.windows(2).all(|pair| pair[0].end() == pair[1].header().base));
        assert_eq!(frames[3].end(), 107);
    }

    #[test]
    fn a_buffer_of_small_frames_has_one_for_each_large_record() {
        let mut buffer = RecordBuffer::with_frames_of(64 * 1024);
        for size in [100, 200, 65_000, 65_000, 300, 400] {
            buffer.push(b"", &vec![b'p'; size]).unwrap();
        }
        let counts: Vec<_> = buffer.into_frames().iter().map(OpenFrame::count).collect();
        assert_eq!(counts, [3, 2, 1], "a record is in one frame, and small ones share it");
    }

    #[test]
    fn a_record_over_the_limit_is_rejected_and_the_buffer_stays_usable() {
        let mut buffer = RecordBuffer::default();
        assert!(buffer.push(b"k", &vec![0; MAX_RECORD_BYTES]).is_err());
        buffer.push(b"", &vec![0; MAX_RECORD_BYTES]).unwrap();
        assert_eq!(buffer.len(), 1);
    }

    #[test]
    fn the_version_one_layout_does_not_change() {
        let bytes = sealed(&[(b"t:n".to_vec(), b"{}".to_vec())]).remove(0);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, GOLDEN_V1);
    }

    const GOLDEN_V1: &str = concat!(
        "46010300070064000000000000",
        "00d2040000000000003700000000000000",
        "0100000007000000b471bed2fc23248f",
        "0302743a6e7b7d",
    );

    proptest! {
        #[test]
        fn property_any_records_read_back_unchanged(
            records: Vec<(Vec<u8>, Vec<u8>)>,
        ) {
            let mut found = Vec::new();
            for bytes in sealed(&records) {
                let frame = parse(bytes).unwrap();
                prop_assert_eq!((frame.header().partition, frame.header().written_at, frame.header().bytes_before), (PARTITION, 1_234, 55));
                found.extend(Records::new(frame.body()).map(|(key, payload)| (key.to_vec(), payload.to_vec())));
            }
            prop_assert_eq!(found, records);
        }

        #[test]
        fn property_any_changed_byte_of_a_frame_is_detected(
            record: (Vec<u8>, Vec<u8>), at: prop::sample::Index, flip in 1..=255_u8,
        ) {
            let mut bytes = sealed(&[record]).remove(0);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            prop_assert!(parse(bytes).is_err());
        }

        #[test]
        fn property_a_cut_or_longer_frame_is_detected(
            record: (Vec<u8>, Vec<u8>), cut: prop::sample::Index, extra: u8,
        ) {
            let bytes = sealed(&[record]).remove(0);
            prop_assert!(parse(bytes[..cut.index(bytes.len())].to_vec()).is_err());
            prop_assert!(parse([&bytes[..], &[extra]].concat()).is_err());
        }

        #[test]
        fn property_any_bytes_are_parsed_without_a_panic(bytes: Vec<u8>) {
            let _ = FrameHeader::parse(&bytes);
            prop_assert!(parse(bytes.clone()).is_err());
            let _ = Records::new(&bytes).count();
        }
    }
}
