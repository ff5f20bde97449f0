//! The keys of the stored values.
//!
//! Numbers are big-endian, so that byte order is numeric order, and the frames or the state of one partition are one
//! contiguous key range.

use crate::PartitionId;

const HEAD: u8 = 0;
const CHUNK: u8 = 1;

/// The key prefix of a partition's frames and state.
pub(super) fn partition(id: PartitionId) -> [u8; 4] {
    let ([a, b], [c, d]) = (id.stream.to_be_bytes(), id.partition.to_be_bytes());
    [a, b, c, d]
}

/// The key of the frame of partition `id` whose first record has offset `base`.
pub(super) fn frame(id: PartitionId, base: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&partition(id));
    key[4..].copy_from_slice(&base.to_be_bytes());
    key
}

/// Parses a frame key into partition and base offset.
pub(super) fn parse_frame(key: &[u8]) -> Option<(PartitionId, u64)> {
    let (id, base) = key.split_first_chunk::<4>()?;
    Some((parse_partition(*id), u64::from_be_bytes(base.try_into().ok()?)))
}

/// The key of a partition's head (cursor and `meta`), which sorts before its chunks.
pub(super) fn head(id: PartitionId) -> [u8; 5] {
    let [a, b, c, d] = partition(id);
    [a, b, c, d, HEAD]
}

/// The key of one chunk of a partition's state.
pub(super) fn chunk(id: PartitionId, chunk: u32) -> [u8; 9] {
    let mut key = [0; 9];
    key[..4].copy_from_slice(&partition(id));
    key[4] = CHUNK;
    key[5..].copy_from_slice(&chunk.to_be_bytes());
    key
}

/// Parses a state key into the id of a chunk; `None` for the key of a head.
pub(super) fn parse_chunk(key: &[u8]) -> Option<u32> {
    let id = key.get(4..)?.strip_prefix(&[CHUNK])?;
    Some(u32::from_be_bytes(id.try_into().ok()?))
}

/// The key of the number and time of the last write, in the `meta` keyspace.
pub(super) const SEQUENCE: &[u8] = b"q";
/// The key of the number of dropped results.
pub(super) const DROPPED: &[u8] = b"d";
/// The first byte of the key of a stream's number.
pub(super) const STREAM: u8 = b's';
/// The first byte of the key of a sink's position.
pub(super) const SINK: u8 = b'k';
/// The first byte of the key of a partition's bounds.
pub(super) const BOUNDS: u8 = b'b';

/// The key of the `meta` entry of kind `kind` for `name`.
pub(super) fn named(kind: u8, name: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + name.len());
    key.push(kind);
    key.extend_from_slice(name);
    key
}

/// The key of the entry of an idempotency key.
pub(super) fn idempotency(key: &str) -> Vec<u8> {
    named(b'k', key.as_bytes())
}

/// The key of an entry in the list of idempotency keys by age; `number` distinguishes keys of one microsecond.
pub(super) fn idempotency_age(at: u64, number: u64) -> [u8; 17] {
    let mut key = [b't'; 17];
    key[1..9].copy_from_slice(&at.to_be_bytes());
    key[9..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Parses the key of an age entry into its time.
pub(super) fn parse_idempotency_age(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(1..9)?.try_into().ok()?))
}

fn parse_partition([a, b, c, d]: [u8; 4]) -> PartitionId {
    PartitionId::new(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_is_the_order_of_partition_then_offset() {
        let sorted = [
            frame(PartitionId::new(1, 2), 3),
            frame(PartitionId::new(1, 2), 256),
            frame(PartitionId::new(1, 256), 0),
            frame(PartitionId::new(2, 0), 0),
            frame(PartitionId::RESULTS, 0),
        ];
        assert!(sorted.is_sorted());
    }

    #[test]
    fn a_parsed_key_gives_back_its_parts() {
        let id = PartitionId::new(0x0102, 0x0304);
        assert_eq!(parse_frame(&frame(id, 77)), Some((id, 77)));
        assert_eq!(parse_chunk(&chunk(id, 9)), Some(9));
        assert_eq!(parse_chunk(&head(id)), None);
        assert_eq!(parse_idempotency_age(&idempotency_age(5, 6)), Some(5));
        assert_eq!((parse_frame(b"short"), parse_chunk(b"x")), (None, None));
    }
}
