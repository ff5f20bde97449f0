//! The check of the states: every chunk passes its checksum, the worker's own form decodes, and the cursor is in range.

use std::collections::BTreeSet;

use daemon_log::PartitionId;
use daemon_log::files::{ChunkAt, Family, Partition};

use crate::check::Content;
use crate::snapshot::Snapshot;

/// A state whose checksums are right.
#[derive(Debug)]
pub struct StateToCheck<'a> {
    /// The partition.
    pub partition: PartitionId,
    /// The name of its stream.
    pub stream: &'a str,
    /// The next input offset to apply.
    pub cursor: u64,
    /// The worker's own data.
    pub meta: &'a [u8],
    /// All chunks by ascending id.
    pub chunks: &'a [(u32, Vec<u8>)],
}

/// Decodes a state in the form of its worker; returns why it cannot be decoded.
pub type DecodeState<'a> = dyn FnMut(&StateToCheck<'_>) -> Result<(), String> + 'a;

impl Content {
    /// Checks all states and adds what is damaged to the report; returns the partitions whose state is damaged.
    pub(crate) fn check_states(&mut self, decode: &mut DecodeState<'_>) -> BTreeSet<PartitionId> {
        let mut damaged = BTreeSet::new();
        let partitions = std::mem::take(&mut self.history.tables.partitions);
        for (id, partition) in &partitions {
            self.check_cursor(*id, partition);
            let Some(head) = &partition.head else { continue };
            let Some(chunks) = self.chunks(*id, partition) else {
                damaged.insert(*id);
                continue;
            };
            let stream = self.stream(*id).to_owned();
            let state = StateToCheck {
                partition: *id,
                stream: &stream,
                cursor: head.cursor,
                meta: &head.meta,
                chunks: &chunks,
            };
            match decode(&state) {
                Ok(()) => self.report.states += 1,
                Err(reason) => {
                    let reason = format!("the state of partition {id} ({stream}) does not decode: {reason}");
                    self.report.damaged(&self.store, None, reason);
                    damaged.insert(*id);
                }
            }
        }
        self.history.tables.partitions = partitions;
        damaged
    }

    /// The name of the stream of a partition; empty if it has none.
    pub(crate) fn stream(&self, id: PartitionId) -> &str {
        let stream = self.history.tables.streams.iter().find(|(_, number)| **number == id.stream);
        stream.map_or("", |(name, _)| name.as_str())
    }

    fn check_cursor(&mut self, id: PartitionId, partition: &Partition) {
        let bounds = partition.ends.bounds;
        let Some(cursor) = partition.head.as_ref().map(|head| head.cursor) else { return };
        if !(bounds.first..=bounds.next).contains(&cursor) {
            let reason = format!(
                "the cursor of partition {id} ({}) is {cursor}, outside the retained offsets {} to {}",
                self.stream(id),
                bounds.first,
                bounds.next
            );
            self.report.damaged(&self.store, None, reason);
        }
    }

    /// Reads the chunks of a partition; `None` if one is damaged.
    fn chunks(&mut self, id: PartitionId, partition: &Partition) -> Option<Vec<(u32, Vec<u8>)>> {
        let mut chunks = Some(Vec::with_capacity(partition.chunks.len()));
        for (chunk, at) in &partition.chunks {
            match read_chunk(&self.snapshot, *at) {
                Ok(bytes) => {
                    if let Some(chunks) = &mut chunks {
                        chunks.push((*chunk, bytes));
                    }
                }
                Err(reason) => {
                    let path = self.store.join(Family::State.file_name(at.place.segment));
                    let stream = self.stream(id);
                    let reason = format!("chunk {chunk} of the state of partition {id} ({stream}): {reason}");
                    self.report.damaged(path, Some(u64::from(at.place.at)), reason);
                    chunks = None;
                }
            }
        }
        chunks
    }
}

/// Reads and verifies a chunk.
pub(crate) fn read_chunk(snapshot: &Snapshot, at: ChunkAt) -> Result<Vec<u8>, String> {
    let ChunkAt { place, crc } = at;
    let source = snapshot.files.get(&(Family::State, place.segment)).ok_or("the file is missing")?;
    let bytes = source.read_exact(u64::from(place.at), place.len as usize)?;
    let computed = crc32fast::hash(&bytes);
    if computed != crc {
        return Err(format!("checksum is {computed:08x}, stored is {crc:08x}"));
    }
    Ok(bytes)
}
