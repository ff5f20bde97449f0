//! The format of the records of a state topic: a *head* and *chunks* for each shard, each with a checksum.
//!
//! | key | value |
//! |---|---|
//! | `h` | sequence u64, position u64, chunks u32, digest u64, sources u32, (partition u32, next offset u64)…, table's meta |
//! | `r` | sequence u64, newest time of reading in microseconds since the epoch u64, gaps u32, (partition u32, first offset behind it u64)… |
//! | `c` and the chunk's number, big-endian | sequence u64, chunk |
//! | `t` | the id of the input topic whose offsets the head has |
//! | `v` | the configuration with which the state was committed, see `configuration` |
//! | `k`, version and fingerprint, in partition 0 | a configuration of the group; no part of a state |
//! | `g` and the name of a group, in partition 0 | the claim of the topic by a group, see `claim`; no part of a state |
//!
//! The topic is compacted, so the last value of each key stays. A transaction writes the changed chunks and the head.
//! The head contains number and digest of all live chunks: if the broker has lost or deleted one (as a topic without
//! compaction does), the state is rejected as a whole.

use std::collections::{BTreeMap, HashMap};

use crate::claim::is_registration;
use crate::codec::{self, Fields};

use crate::digests::Digests;

const HEAD: &[u8] = b"h";
const CHUNK: u8 = b'c';
const READING: &[u8] = b"r";

/// The first byte of the key of a claim.
pub(crate) const CLAIM: u8 = b'g';

/// The first byte of the key of a configuration of the group.
pub(crate) const GROUP_CONFIGURATION: u8 = b'k';

/// The key of the id of the input topic that the cursors are of.
pub(crate) const INPUT_ID: &[u8] = b"t";

/// The key of the configuration with which a state was committed.
pub(crate) const CONFIGURATION: &[u8] = b"v";

/// The head of a shard's state: everything except the chunks of its table.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Head {
    /// The number of commits of the shard.
    pub sequence: u64,
    /// The number of records applied in all: the table's position of the next one.
    pub position: u64,
    /// The next offset to apply, by input partition.
    pub cursors: BTreeMap<u16, u64>,
    pub meta: Vec<u8>,
    /// The newest time at which records were read, in microseconds since the epoch; 0 if it was never saved.
    pub read_at: u64,
    /// The input partitions with an open gap of deleted records, each with the first offset behind it.
    pub gaps: BTreeMap<u16, u64>,
}

/// A decoded state.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    pub head: Head,
    pub chunks: Vec<(u32, Vec<u8>)>,
    pub digests: Digests,
}

/// The state records of one shard: the last value of each key.
pub(crate) type StateRecords = HashMap<Vec<u8>, Vec<u8>>;

/// Encodes the changes of a state since the last commit, as records for the state topic. `digests` are those of all
/// chunks; this updates them.
pub(crate) fn encode(
    head: &Head,
    chunks: Vec<(u32, Option<Vec<u8>>)>,
    digests: &mut Digests,
) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let mut records = Vec::with_capacity(chunks.len() + 1);
    for (chunk, bytes) in chunks {
        let key = chunk_key(chunk);
        let sealed = bytes.map(|bytes| codec::seal(&key, &[&head.sequence.to_le_bytes(), &bytes]));
        digests.set(chunk, sealed.as_deref());
        records.push((key, sealed));
    }
    let sources = encode_offsets(&head.cursors);
    let numbers = [head.sequence.to_le_bytes(), head.position.to_le_bytes()].concat();
    let live = [&digests.count().to_le_bytes()[..], &digests.sum().to_le_bytes()].concat();
    let times = [head.sequence.to_le_bytes(), head.read_at.to_le_bytes()].concat();
    records.push((READING.to_vec(), Some(codec::seal(READING, &[&times, &encode_offsets(&head.gaps)]))));
    records.push((HEAD.to_vec(), Some(codec::seal(HEAD, &[&numbers, &live, &sources, &head.meta]))));
    records
}

/// Tombstones for all records of a state.
pub(crate) fn erase(records: &StateRecords) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let is_ours = |key: &&Vec<u8>| !matches!(key.first(), Some(&(CLAIM | GROUP_CONFIGURATION)));
    let ours = records.keys().filter(is_ours);
    ours.map(|key| (key.clone(), None)).collect()
}

/// Decodes the records of a state; `None` if nothing was ever committed.
///
/// # Errors
///
/// When a record is damaged or missing; the error describes which.
pub(crate) fn decode(records: &StateRecords) -> Result<Option<Saved>, String> {
    let Some(sealed) = records.get(HEAD) else {
        return match records.keys().filter(|key| key.first() == Some(&CHUNK)).count() {
            0 => Ok(None),
            records => Err(format!("there are {records} records without a head")),
        };
    };
    let head = codec::open(HEAD, sealed).map_err(|reason| format!("its head is damaged: {reason}"))?;
    let mut fields = Fields(head);
    let mut saved = Saved::default();
    (saved.head.sequence, saved.head.position) = (fields.u64()?, fields.u64()?);
    let (count, sum) = (fields.u32()?, fields.u64()?);
    saved.head.cursors = decode_offsets(&mut fields)?;
    saved.head.meta = fields.rest().to_vec();
    if let Some(sealed) = records.get(READING) {
        let reading = codec::open(READING, sealed).map_err(|reason| format!("the record `r` is damaged: {reason}"))?;
        let mut fields = Fields(reading);
        (_, saved.head.read_at) = (fields.u64()?, fields.u64()?);
        saved.head.gaps = decode_offsets(&mut fields)?;
    }
    read_chunks(records, &mut saved)?;
    if (count, sum) != (saved.digests.count(), saved.digests.sum()) {
        let found = saved.digests.count();
        return Err(format!(
            "its {found} chunks differ from the {count} of its last commit; check that cleanup.policy of the topic is compact"
        ));
    }
    Ok(Some(saved))
}

/// Whether a record is one of a state topic, as far as its key and the form of its value show.
pub(crate) fn is_own(key: &[u8], value: &[u8]) -> bool {
    if parse_chunk_key(key).is_some() {
        return codec::open(key, value).is_ok();
    }
    [HEAD, READING, INPUT_ID, CONFIGURATION].contains(&key) || is_registration(key, value)
}

fn encode_offsets(offsets: &BTreeMap<u16, u64>) -> Vec<u8> {
    let mut bytes = (offsets.len() as u32).to_le_bytes().to_vec();
    for (partition, offset) in offsets {
        bytes.extend(u32::from(*partition).to_le_bytes());
        bytes.extend(offset.to_le_bytes());
    }
    bytes
}

fn decode_offsets(fields: &mut Fields<'_>) -> Result<BTreeMap<u16, u64>, String> {
    let mut offsets = BTreeMap::new();
    for _ in 0..fields.u32()? {
        let partition = u16::try_from(fields.u32()?).map_err(|_| "a partition number is above 65535")?;
        offsets.insert(partition, fields.u64()?);
    }
    Ok(offsets)
}

fn read_chunks(records: &StateRecords, saved: &mut Saved) -> Result<(), String> {
    for (key, sealed) in records {
        let Some(chunk) = parse_chunk_key(key) else { continue };
        let bytes = codec::open(key, sealed).and_then(|payload| {
            let mut fields = Fields(payload);
            fields.u64().map(|_sequence| fields.rest().to_vec())
        });
        let bytes = bytes.map_err(|reason| format!("chunk {chunk} is damaged: {reason}"))?;
        saved.digests.set(chunk, Some(sealed));
        saved.chunks.push((chunk, bytes));
    }
    saved.chunks.sort_unstable_by_key(|(chunk, _)| *chunk);
    Ok(())
}

fn chunk_key(chunk: u32) -> Vec<u8> {
    let mut key = vec![CHUNK];
    key.extend(chunk.to_be_bytes());
    key
}

fn parse_chunk_key(key: &[u8]) -> Option<u32> {
    let number = key.strip_prefix(&[CHUNK])?;
    Some(u32::from_be_bytes(number.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(sequence: u64) -> Head {
        Head {
            sequence,
            position: 9,
            cursors: [(7, 100), (37, 0)].into(),
            meta: b"meta".to_vec(),
            read_at: 5,
            gaps: [(7, 90)].into(),
        }
    }

    fn apply(records: &mut StateRecords, changes: Vec<(Vec<u8>, Option<Vec<u8>>)>) {
        for (key, value) in changes {
            match value {
                Some(value) => drop(records.insert(key, value)),
                None => drop(records.remove(&key)),
            }
        }
    }

    fn two_commits() -> StateRecords {
        let (mut records, mut digests) = (StateRecords::default(), Digests::default());
        let first = vec![(0, Some(b"a".to_vec())), (1, Some(b"b".to_vec()))];
        apply(&mut records, encode(&head(1), first, &mut digests));
        apply(&mut records, encode(&head(2), vec![(0, None), (300, Some(b"c".to_vec()))], &mut digests));
        records
    }

    #[test]
    fn decode_returns_the_last_value_of_each_chunk() {
        let saved = decode(&two_commits()).unwrap().unwrap();
        assert_eq!(saved.head, head(2));
        assert_eq!(saved.chunks, [(1, b"b".to_vec()), (300, b"c".to_vec())]);
        assert_eq!(decode(&StateRecords::default()).unwrap().map(|saved| saved.head), None);
    }

    #[test]
    fn the_size_is_that_of_the_live_chunks_when_they_are_written_and_when_they_are_read() {
        let (mut records, mut digests) = (StateRecords::default(), Digests::default());
        for (sequence, chunks) in [
            (1, vec![(0, Some(vec![7; 1000])), (1, Some(vec![7; 10]))]),
            (2, vec![(0, Some(vec![7; 20])), (1, None), (2, Some(vec![7; 300]))]),
        ] {
            apply(&mut records, encode(&head(sequence), chunks, &mut digests));
            let live = records.iter().filter(|(key, _)| key.first() == Some(&CHUNK));
            let bytes: usize = live.map(|(_, value)| value.len()).sum();
            assert!(bytes > 0);
            assert_eq!(digests.bytes(), bytes as u64, "written with commit {sequence}");
            assert_eq!(decode(&records).unwrap().unwrap().digests.bytes(), bytes as u64, "read after it");
        }
    }

    #[test]
    fn a_state_with_a_missing_or_outdated_chunk_is_rejected() {
        let whole = two_commits();
        // Without the record `r` it is the state of a version that had none.
        for key in whole.keys().filter(|key| *key != READING) {
            let mut records = whole.clone();
            records.remove(key);
            assert!(decode(&records).is_err(), "without {key:?}");
        }
        let (mut older, mut digests) = (whole, Digests::default());
        let changes = encode(&head(1), vec![(1, Some(b"x".to_vec()))], &mut digests);
        let chunk = changes.into_iter().next().unwrap();
        older.insert(chunk.0, chunk.1.unwrap());
        assert!(decode(&older).unwrap_err().contains("cleanup.policy"));
    }

    #[test]
    fn an_erased_state_decodes_to_none_and_the_claim_stays() {
        let mut records = two_commits();
        records.insert(b"ggroup".to_vec(), b"{}".to_vec());
        assert_eq!(decode(&records).unwrap().map(|saved| saved.head), Some(head(2)));
        let changes = erase(&records);
        apply(&mut records, changes);
        assert!(decode(&records).unwrap().is_none());
        assert_eq!(records.keys().collect::<Vec<_>>(), [b"ggroup"]);
    }
}
