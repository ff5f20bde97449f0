//! The space of replaced chunks of state: what is in use of the oldest file is copied, and files that are not in use go.

use std::collections::{BTreeMap, BTreeSet};

use crate::embedded::change::{Change, ChunkAt};
use crate::embedded::segment::Family;
use crate::embedded::stage::Stage;

/// The least that a commit copies of the chunks of state, if it copies any.
const MIN_COPY_BYTES: u64 = 1024 * 1024;

/// Stages copies of chunks from the oldest file of state while more than half of all bytes is not in use, and the
/// deletion of the files that are not in use; returns their numbers.
///
/// It copies in proportion to what the write has itself, so that a write is never much longer for it.
pub(super) fn free_state(stage: &mut Stage<'_>, kept: &mut BTreeSet<u32>, segment_bytes: u64) -> Vec<u32> {
    let open = stage.ends[Family::State as usize].0;
    let live = |stage: &Stage<'_>, number: u32| stage.tables.live.get(&number).copied().unwrap_or(0);
    let files: BTreeMap<u32, u64> = stage.tables.file_ends.iter().filter_map(of_state).collect();
    let (total, in_use) = (files.values().sum::<u64>(), stage.tables.live.values().sum::<u64>());
    let oldest = files.keys().copied().find(|number| *number < open && !kept.contains(number));
    if let Some(oldest) = oldest.filter(|_| total > 2 * in_use + 2 * segment_bytes) {
        let before = live(stage, oldest);
        stage.copy_chunks(oldest, (2 * stage.record.size(Family::State)).max(MIN_COPY_BYTES));
        // All of it is damaged: the next one is tried.
        if before > 0 && live(stage, oldest) == before {
            kept.insert(oldest);
        }
    }
    let unused: Vec<_> = files.keys().copied().filter(|number| *number < open && live(stage, *number) == 0).collect();
    for segment in &unused {
        kept.remove(segment);
        stage.change(Change::Retired { family: Family::State, segment: *segment });
    }
    unused
}

fn of_state(((family, number), end): (&(Family, u32), &u64)) -> Option<(u32, u64)> {
    (*family == Family::State).then_some((*number, *end))
}

impl Stage<'_> {
    /// Writes chunks of a file of state again, about `limit` bytes of them, so that the file is less in use.
    ///
    /// A damaged chunk stays where it is, so that its partition reports it.
    fn copy_chunks(&mut self, segment: u32, limit: u64) {
        let in_file = |(chunk, at): (&u32, &ChunkAt)| (at.place.segment == segment).then_some((*chunk, *at));
        let partitions = self.tables.partitions.iter();
        let live: Vec<_> =
            partitions.flat_map(|(id, it)| it.chunks.iter().filter_map(in_file).map(|found| (*id, found))).collect();
        let Some(file) = self.catalog.file(Family::State, segment) else { return };
        let mut copied = 0;
        for (partition, (chunk, ChunkAt { place, crc })) in live {
            if copied >= limit {
                return;
            }
            match file.read(u64::from(place.at), place.len as usize) {
                Ok(Some(bytes)) if crc32fast::hash(&bytes) == crc => {
                    copied += u64::from(place.len);
                    let place = self.add(Family::State, bytes);
                    self.change(Change::Chunk { partition, chunk, at: Some(ChunkAt { place, crc }) });
                }
                _ => tracing::warn!(file = %file.path.display(), "A damaged chunk of state keeps its file."),
            }
        }
    }
}
