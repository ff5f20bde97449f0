//! The keys under which the log stores things. Numbers are big-endian, so that byte order is numeric order and one
//! partition's frames, or one partition's state, are one contiguous range.

use crate::types::PartitionId;

const HEAD: u8 = 0;
const CHUNK: u8 = 1;

/// The prefix of everything a partition stores.
pub(super) fn partition(id: PartitionId) -> [u8; 4] {
    let ([a, b], [c, d]) = (id.stream.to_be_bytes(), id.partition.to_be_bytes());
    [a, b, c, d]
}

/// The frame of `place` that begins at offset `base`.
pub(super) fn frame(place: PartitionId, base: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&partition(place));
    key[4..].copy_from_slice(&base.to_be_bytes());
    key
}

/// The partition and base offset that a frame key names.
pub(super) fn parse_frame(key: &[u8]) -> Option<(PartitionId, u64)> {
    let (place, base) = key.split_first_chunk::<4>()?;
    Some((parse_partition(*place), u64::from_be_bytes(base.try_into().ok()?)))
}

/// The cursor and `meta` of a partition. It sorts before the chunks.
pub(super) fn head(id: PartitionId) -> [u8; 5] {
    let [a, b, c, d] = partition(id);
    [a, b, c, d, HEAD]
}

/// One chunk of a partition's state.
pub(super) fn chunk(id: PartitionId, chunk: u32) -> [u8; 9] {
    let mut key = [0; 9];
    key[..4].copy_from_slice(&partition(id));
    key[4] = CHUNK;
    key[5..].copy_from_slice(&chunk.to_be_bytes());
    key
}

/// The chunk that a state key names; `None` for the head.
pub(super) fn parse_chunk(key: &[u8]) -> Option<u32> {
    let id = key.get(4..)?.strip_prefix(&[CHUNK])?;
    Some(u32::from_be_bytes(id.try_into().ok()?))
}

/// The kinds of small facts in the `meta` keyspace.
pub(super) const SEQUENCE: &[u8] = b"q";
pub(super) const DROPPED: &[u8] = b"d";
pub(super) const STREAM: u8 = b's';
pub(super) const SINK: u8 = b'k';
pub(super) const BOUNDS: u8 = b'b';

/// A fact of kind `kind` about the thing `name`.
pub(super) fn named(kind: u8, name: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + name.len());
    key.push(kind);
    key.extend_from_slice(name);
    key
}

/// The record of an idempotency key.
pub(super) fn idempotency(key: &str) -> Vec<u8> {
    named(b'k', key.as_bytes())
}

/// The entry that lists idempotency keys by age; `number` keeps keys of one microsecond apart.
pub(super) fn idempotency_age(at: u64, number: u64) -> [u8; 17] {
    let mut key = [b't'; 17];
    key[1..9].copy_from_slice(&at.to_be_bytes());
    key[9..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The time that an age entry names.
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
    fn keys_tell_what_they_were_made_of() {
        let id = PartitionId::new(0x0102, 0x0304);
        assert_eq!(parse_frame(&frame(id, 77)), Some((id, 77)));
        assert_eq!(parse_chunk(&chunk(id, 9)), Some(9));
        assert_eq!(parse_chunk(&head(id)), None);
        assert_eq!(parse_idempotency_age(&idempotency_age(5, 6)), Some(5));
        assert_eq!((parse_frame(b"short"), parse_chunk(b"x")), (None, None));
    }
}
