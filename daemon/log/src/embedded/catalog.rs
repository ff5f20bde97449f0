//! What readers know: the durable ends of each log, where its frames are, and the open files.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::embedded::change::{Entry, FrameAt};
use crate::embedded::segment::{Family, Segment};
use crate::embedded::tables::{Ends, Partition, Tables};
use crate::{Bounds, PartitionId};

/// The number of frames per log that the index names before it drops every second of them.
const MAX_ENTRIES: usize = 1024;

/// The durable part of the log.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    logs: BTreeMap<PartitionId, LogView>,
    files: BTreeMap<(Family, u32), Arc<Segment>>,
    /// The latest time in the log (µs UTC).
    pub last_at: u64,
}

#[derive(Debug, Default)]
struct LogView {
    bounds: Bounds,
    bytes_next: u64,
    index: FrameIndex,
}

/// Where frames of one log are, from the oldest to the newest: not each of them. A read goes on from the nearest one.
#[derive(Debug, Default)]
pub(super) struct FrameIndex(VecDeque<Entry>);

impl Catalog {
    /// Adds the frames of a durable write and takes over the ends of the tables.
    pub(super) fn publish(&mut self, tables: &Tables, frames: &[FrameAt]) {
        frames.iter().for_each(|frame| self.index(frame.log, frame.entry));
        for (id, Partition { ends, .. }) in &tables.partitions {
            self.logs.entry(*id).or_default().set(ends);
        }
        self.logs.entry(PartitionId::RESULTS).or_default().set(&tables.results);
        self.last_at = tables.last_at;
    }

    /// Adds a frame to the index.
    pub(super) fn index(&mut self, log: PartitionId, entry: Entry) {
        self.logs.entry(log).or_default().index.push(entry);
    }

    pub(super) fn add_file(&mut self, family: Family, segment: Arc<Segment>) {
        self.files.insert((family, segment.number), segment);
    }

    /// Forgets a file and its frames.
    pub(super) fn retire(&mut self, family: Family, number: u32) {
        self.files.remove(&(family, number));
        if family != Family::State {
            let results = family == Family::Results;
            let logs = self.logs.iter_mut().filter(|(log, _)| (**log == PartitionId::RESULTS) == results);
            logs.for_each(|(_, log)| log.index.retire(number));
        }
    }

    pub(super) fn bounds(&self, log: PartitionId) -> Bounds {
        self.logs.get(&log).map(|it| it.bounds).unwrap_or_default()
    }

    /// The frames of a log that the index names.
    pub(super) fn entries(&self) -> impl Iterator<Item = (PartitionId, Entry)> {
        self.logs.iter().flat_map(|(log, view)| view.index.0.iter().map(|entry| (*log, *entry)))
    }

    /// The last frame of the index that begins at or before an offset.
    pub(super) fn find(&self, log: PartitionId, offset: u64) -> Option<Entry> {
        self.logs.get(&log)?.index.find(offset)
    }

    pub(super) fn file(&self, family: Family, number: u32) -> Option<Arc<Segment>> {
        self.files.get(&(family, number)).cloned()
    }

    /// The input bytes before the frame that holds a cursor, or fewer: the index does not name each frame.
    pub(super) fn bytes_before(&self, log: PartitionId, ends: &Ends, cursor: u64) -> u64 {
        let Some(view) = self.logs.get(&log) else { return ends.bytes_first };
        if cursor >= view.bounds.next {
            return view.bytes_next;
        }
        view.index.find(cursor).map_or(ends.bytes_first, |entry| entry.bytes_before)
    }
}

impl LogView {
    fn set(&mut self, ends: &Ends) {
        (self.bounds, self.bytes_next) = (ends.bounds, ends.bytes_next);
    }
}

impl FrameIndex {
    fn push(&mut self, entry: Entry) {
        if self.0.len() >= MAX_ENTRIES {
            self.thin();
        }
        self.0.push_back(entry);
    }

    /// Drops every second frame; the first one of each file stays, so that a read never crosses files.
    fn thin(&mut self) {
        let (mut index, mut segment) = (0, None);
        self.0.retain(|entry| {
            index += 1;
            segment.replace(entry.place.segment) != Some(entry.place.segment) || index % 2 == 0
        });
    }

    fn find(&self, offset: u64) -> Option<Entry> {
        let after = self.0.partition_point(|entry| entry.base <= offset);
        self.0.get(after.checked_sub(1)?).copied()
    }

    fn retire(&mut self, number: u32) {
        self.0.retain(|entry| entry.place.segment != number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::segment::Place;

    #[test]
    fn a_thinned_index_stays_small_and_finds_a_frame_of_the_same_file_before_each_offset() {
        let mut index = FrameIndex::default();
        let segment = |base: u64| (base / 5_000) as u32;
        for base in 0..50_000_u64 {
            let place = Place { segment: segment(base), at: base as u32, len: 1 };
            index.push(Entry { base, bytes_before: base, place });
        }
        assert!(index.0.len() <= MAX_ENTRIES);
        for offset in 0..50_000 {
            let found = index.find(offset).unwrap();
            assert!(found.base <= offset && found.place.segment == segment(offset), "{offset}: {found:?}");
        }
        (0..4).for_each(|number| index.retire(number));
        assert_eq!((index.find(19_999), index.find(20_000).unwrap().base), (None, 20_000));
    }
}
