//! What readers know: the durable ends of each log, where its frames are, and the open files.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::embedded::change::{Entry, FrameAt};
use crate::embedded::recent::Recent;
use crate::embedded::segment::{Family, Segment};
use crate::embedded::tables::{Ends, Partition, Tables};
use crate::{Bounds, PartitionId};

/// With more logs than this the distance grows with their number, so that the index stays as large.
const MANY_LOGS: usize = 8;
/// The number of the newest frames of a log that the index names all: readers are mostly there.
const NEWEST: usize = 128;

/// The durable part of the log.
#[derive(Debug)]
pub struct Catalog {
    /// The distance in a file between two frames of a log that the index names.
    distance: u32,
    logs: BTreeMap<PartitionId, LogView>,
    files: BTreeMap<(Family, u32), Arc<Segment>>,
    pub(super) recent: Recent,
    /// The latest time in the log (µs UTC).
    pub(super) last_at: u64,
}

#[derive(Debug, Default)]
struct LogView {
    bounds: Bounds,
    bytes_next: u64,
    index: FrameIndex,
}

/// Where frames of one log are, from the oldest to the newest: one at a distance, the first one in each file, and the
/// newest ones. A read goes on from the nearest one.
#[derive(Debug, Default)]
struct FrameIndex {
    entries: VecDeque<Entry>,
    newest: VecDeque<Entry>,
}

impl Catalog {
    /// The catalog of an empty log.
    pub fn new(distance: u32) -> Self {
        Self { distance, logs: BTreeMap::new(), files: BTreeMap::new(), recent: Recent::default(), last_at: 0 }
    }

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
    pub fn index(&mut self, log: PartitionId, entry: Entry) {
        let distance = self.distance.saturating_mul((self.logs.len() / MANY_LOGS).max(1) as u32);
        self.logs.entry(log).or_default().index.push(entry, distance);
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
        self.logs.iter().flat_map(|(log, view)| view.index.entries.iter().map(|entry| (*log, *entry)))
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
    fn push(&mut self, entry: Entry, distance: u32) {
        let is_near = |last: &Entry| {
            last.place.segment == entry.place.segment && entry.place.at.saturating_sub(last.place.at) < distance
        };
        if !self.entries.back().is_some_and(is_near) {
            self.entries.push_back(entry);
        }
        if self.newest.len() == NEWEST {
            self.newest.pop_front();
        }
        self.newest.push_back(entry);
    }

    fn find(&self, offset: u64) -> Option<Entry> {
        let last = |entries: &VecDeque<Entry>| {
            let after = entries.partition_point(|entry| entry.base <= offset);
            entries.get(after.checked_sub(1)?).copied()
        };
        last(&self.newest).or_else(|| last(&self.entries))
    }

    fn retire(&mut self, number: u32) {
        for entries in [&mut self.entries, &mut self.newest] {
            entries.retain(|entry| entry.place.segment != number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::segment::Place;

    #[test]
    fn a_frame_near_each_offset_is_found_in_the_same_file_and_the_newest_are_all_known() {
        let mut index = FrameIndex::default();
        let segment = |base: u64| (base / 5_000) as u32;
        for base in 0..50_000_u64 {
            let place = Place { segment: segment(base), at: (base % 5_000) as u32 * 1_000, len: 1_000 };
            index.push(Entry { base, bytes_before: base, place }, 65_536);
        }
        assert!(index.entries.len() < 1_000, "{}", index.entries.len());
        for offset in 0..50_000 {
            let found = index.find(offset).unwrap();
            let is_near = found.base <= offset && offset - found.base <= 65_536 / 1_000;
            assert!(is_near && found.place.segment == segment(offset), "{offset}: {found:?}");
        }
        assert_eq!(index.find(49_950).unwrap().base, 49_950);
        (0..4).for_each(|number| index.retire(number));
        assert_eq!((index.find(19_999), index.find(20_000).unwrap().base), (None, 20_000));
    }
}
