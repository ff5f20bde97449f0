//! Loads the writer's tables from the store, with a few seeks per partition and without a scan of the records.

use crate::codec::{self, Fields};
use crate::embedded::state::Head;
use crate::embedded::store::{Space, Store};
use crate::embedded::tables::{Ends, KeyCount, Partition, Tables};
use crate::error::LogError;
use crate::frame::FrameHeader;
use crate::keys;
use crate::{Bounds, PartitionId, SinkPosition};

/// Loads all tables.
pub(super) fn load(store: &Store) -> Result<Tables, LogError> {
    let mut tables = Tables::default();
    load_meta(store, &mut tables)?;
    let results = PartitionId::RESULTS;
    let emptied = tables.partitions.remove(&results).unwrap_or_default().ends;
    tables.results = load_ends(store, results, emptied)?;
    for id in partitions_in(store, Space::Input)? {
        tables.partitions.entry(id).or_default();
    }
    for id in partitions_in(store, Space::State)? {
        tables.partitions.entry(id).or_default();
    }
    for (id, partition) in &mut tables.partitions {
        partition.ends = load_ends(store, *id, partition.ends)?;
        // `restore` reports a damaged head; until then its cursor counts as unknown.
        partition.cursor = Head::load(store, *id).ok().flatten().map(|head| head.cursor);
        partition.cursor_bytes = bytes_before(store, *id, partition)?;
    }
    tables.keys = load_keys(store)?;
    Ok(tables)
}

/// The input bytes before the frame that holds a partition's cursor; all bytes if the cursor is at the end.
pub(super) fn bytes_before(store: &Store, id: PartitionId, partition: &Partition) -> Result<u64, LogError> {
    let Ends { bounds, bytes_first, bytes_next, .. } = partition.ends;
    match partition.cursor {
        None => Ok(bytes_first),
        Some(cursor) if cursor >= bounds.next => Ok(bytes_next),
        Some(cursor) => {
            let range = keys::frame(id, 0)..=keys::frame(id, cursor);
            let Some(frame) = store.scan(space_of(id), range).next_back().transpose()? else {
                return Ok(bytes_first);
            };
            let header = parse_header(id, &frame.0, &frame.1)?;
            // A cursor after the last stored frame points into a frame of the current write.
            let whole = if cursor >= header.end() { frame.1.len() as u64 } else { 0 };
            Ok(header.bytes_before + whole)
        }
    }
}

/// The keyspace of a log's frames.
pub(super) fn space_of(partition: PartitionId) -> Space {
    if partition == PartitionId::RESULTS { Space::Results } else { Space::Input }
}

/// Parses the header of a stored frame and verifies that it matches the key.
pub(super) fn parse_header(partition: PartitionId, key: &[u8], frame: &[u8]) -> Result<FrameHeader, LogError> {
    let (_, offset) = keys::parse_frame(key).unwrap_or((partition, 0));
    let corrupt = |reason| LogError::CorruptFrame { location: partition.location(), offset, reason };
    let header = FrameHeader::parse(frame).map_err(corrupt)?;
    if (header.partition, header.base) != (partition, offset) {
        let found = format!("its header has offset {} of {}", header.base, header.partition.location());
        return Err(corrupt(found));
    }
    Ok(header)
}

/// The stored form of a log's ends, which retention writes: the offsets survive the deletion of the last frame.
pub(super) fn ends_value(key: &[u8], ends: &Ends) -> Vec<u8> {
    let fields = [ends.bounds.first, ends.bounds.next, ends.bytes_first, ends.bytes_next];
    codec::seal(key, &fields.map(u64::to_le_bytes).each_ref().map(|field| &field[..]))
}

/// Loads the ends of a log; `emptied` are the ends that the last retention pass stored.
fn load_ends(store: &Store, partition: PartitionId, emptied: Ends) -> Result<Ends, LogError> {
    let space = space_of(partition);
    let range = keys::frame(partition, 0)..=keys::frame(partition, u64::MAX);
    let Some(first) = store.scan(space, range.clone()).next().transpose()? else {
        let Ends { bounds, bytes_next, .. } = emptied;
        let bounds = Bounds { first: bounds.next, next: bounds.next };
        return Ok(Ends { bounds, bytes_first: bytes_next, bytes_next, oldest_at: None });
    };
    let Some(last) = store.scan(space, range).next_back().transpose()? else {
        return Ok(emptied);
    };
    let head = parse_header(partition, &first.0, &first.1)?;
    let tail = parse_header(partition, &last.0, &last.1)?;
    if head.base != emptied.bounds.first {
        let reason = format!("expected the first frame at offset {}", emptied.bounds.first);
        return Err(LogError::CorruptFrame { location: partition.location(), offset: head.base, reason });
    }
    Ok(Ends {
        bounds: Bounds { first: head.base, next: tail.end() },
        bytes_first: head.bytes_before,
        bytes_next: tail.bytes_before + last.1.len() as u64,
        oldest_at: Some(head.written_at),
    })
}

/// The partitions that have keys in a keyspace, found with one seek from each key prefix to the next.
fn partitions_in(store: &Store, space: Space) -> Result<Vec<PartitionId>, LogError> {
    let mut found = Vec::new();
    let mut from = Some([0; 4]);
    while let Some(prefix) = from {
        let Some(pair) = store.scan(space, prefix..).next().transpose()? else { break };
        let Some((bytes, _)) = pair.0.split_first_chunk::<4>() else { break };
        let [a, b, c, d] = *bytes;
        found.push(PartitionId::new(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])));
        from = u32::from_be_bytes(*bytes).checked_add(1).map(u32::to_be_bytes);
    }
    Ok(found)
}

/// Loads all entries of the keyspace `meta`.
fn load_meta(store: &Store, tables: &mut Tables) -> Result<(), LogError> {
    for pair in store.scan::<&[u8], _>(Space::Meta, ..) {
        let (key, value) = pair?;
        let entry = codec::open(&key, &value).and_then(|payload| load_meta_entry(tables, &key, payload));
        entry.map_err(|reason| {
            let location = format!("the meta entry {}", key.escape_ascii());
            LogError::CorruptFrame { location, offset: 0, reason }
        })?;
    }
    Ok(())
}

fn load_meta_entry(tables: &mut Tables, key: &[u8], payload: &[u8]) -> Result<(), String> {
    let mut fields = Fields(payload);
    match (key.split_first(), key) {
        (_, keys::SEQUENCE) => (tables.sequence, tables.last_at) = (fields.u64()?, fields.u64()?),
        (_, keys::DROPPED) => tables.results_dropped = fields.u64()?,
        (Some((&keys::STREAM, name)), _) => {
            tables.streams.insert(text(name)?, fields.u32()? as u16);
        }
        (Some((&keys::SINK, name)), _) => {
            let next = fields.u64()?;
            let position = SinkPosition { next, detail: fields.rest().to_vec() };
            tables.sinks.insert(text(name)?, position);
        }
        (Some((&keys::BOUNDS, partition)), _) => {
            let frame_key = [partition, &[0; 8]].concat();
            let (id, _) = keys::parse_frame(&frame_key).ok_or("its key has no partition")?;
            let bounds = Bounds { first: fields.u64()?, next: fields.u64()? };
            let (bytes_first, bytes_next) = (fields.u64()?, fields.u64()?);
            let ends = Ends { bounds, bytes_first, bytes_next, oldest_at: None };
            tables.partitions.insert(id, Partition { ends, ..Partition::default() });
        }
        _ => return Err("its kind is unknown".to_owned()),
    }
    Ok(())
}

fn text(name: &[u8]) -> Result<String, String> {
    String::from_utf8(name.to_vec()).map_err(|_| "its name is not UTF-8 text".to_owned())
}

fn load_keys(store: &Store) -> Result<KeyCount, LogError> {
    let mut count = 0;
    for pair in store.scan(Space::Idempotency, [b't']..) {
        pair?;
        count += 1;
    }
    Ok(KeyCount { count, floor: vec![b't'] })
}
