//! The writer's tables in memory: the ends of every log, the cursors, the places of the state, the sinks.
//!
//! [`Tables::apply`] is the only way in which they follow the writes, also when the log is opened: they are what the
//! last checkpoint and the writes after it give.

use std::collections::{BTreeMap, BTreeSet};

use crate::embedded::change::{Change, ChunkAt, FrameAt};
use crate::embedded::keys::Keys;
use crate::embedded::segment::Family;
use crate::{Bounds, PartitionId, SinkPosition};

/// The two ends of one log, as offsets and as bytes since its first record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ends {
    /// The retained offsets.
    pub bounds: Bounds,
    /// The size of all deleted frames.
    pub bytes_first: u64,
    /// The size of all deleted and retained frames.
    pub bytes_next: u64,
    /// The time of the oldest retained frame (µs UTC).
    pub oldest_at: Option<u64>,
}

impl Ends {
    /// The size of the retained frames.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes_next.saturating_sub(self.bytes_first)
    }
}

/// The cursor and `meta` of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Head {
    /// The next input offset to apply.
    pub cursor: u64,
    /// The number of the write that committed the state.
    pub sequence: u64,
    /// The worker's own data.
    pub meta: Vec<u8>,
}

/// The ends, the cursor and the state of one input partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partition {
    /// The ends of its input.
    pub ends: Ends,
    /// `None` before the first commit.
    pub head: Option<Head>,
    /// The size of all frames before the one that holds the cursor.
    pub cursor_bytes: u64,
    /// The chunks of its state.
    pub chunks: BTreeMap<u32, ChunkAt>,
}

impl Partition {
    pub(super) fn cursor(&self) -> Option<u64> {
        self.head.as_ref().map(|head| head.cursor)
    }

    /// The size of the frames from the one that holds the cursor on.
    pub(super) fn backlog_bytes(&self) -> u64 {
        self.ends.bytes_next - self.cursor_bytes.clamp(self.ends.bytes_first, self.ends.bytes_next)
    }

    /// The first offset that is not applied.
    pub fn applied(&self) -> u64 {
        self.cursor().unwrap_or(self.ends.bounds.first)
    }
}

/// What one file has of one log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Part {
    /// The offset after the last record.
    pub end: u64,
    /// The size of all frames of the log up to there.
    pub bytes_end: u64,
    /// The size of the frames in the file.
    pub bytes: u64,
    /// The time of its first frame (µs UTC).
    pub oldest_at: u64,
    /// The time of its last frame (µs UTC).
    pub newest_at: u64,
}

/// The logs in each file of a family, by number.
pub type Parts = BTreeMap<u32, BTreeMap<PartitionId, Part>>;

/// The tables of the writer.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// The number of the last write.
    pub sequence: u64,
    /// The latest time in the log; later records get at least this time (µs UTC).
    pub last_at: u64,
    /// The input and the states.
    pub partitions: BTreeMap<PartitionId, Partition>,
    /// The ends of the results.
    pub results: Ends,
    /// The number of results that were deleted before every sink had read them.
    pub results_dropped: u64,
    /// The number of each stream.
    pub streams: BTreeMap<String, u16>,
    /// The position of each sink.
    pub sinks: BTreeMap<String, SinkPosition>,
    pub(super) keys: Keys,
    /// The partitions that were restored since the log was opened or last failed; only these may commit.
    pub(super) restored: BTreeSet<PartitionId>,
    /// The logs in the files of the journal and of the results.
    pub input_parts: Parts,
    /// The same of the results.
    pub results_parts: Parts,
    /// The ends of the files of results and of state.
    pub file_ends: BTreeMap<(Family, u32), u64>,
    /// How much of each file of state is in use.
    pub live: BTreeMap<u32, u64>,
}

impl Tables {
    /// Applies a change of a write or of a checkpoint.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Frame(frame) => self.append(frame),
            Change::Chunk { partition, chunk, at } => self.set_chunk(partition, chunk, at),
            Change::Head { partition, head } => self.set_head(partition, head),
            Change::Key(key) => self.keys.push(key),
            Change::Sink { name, position: Some(position) } => drop(self.sinks.insert(name, position)),
            Change::Sink { name, position: None } => drop(self.sinks.remove(&name)),
            Change::Stream { name, number } => drop(self.streams.insert(name, number)),
            Change::Retired { family, segment } => self.retire(family, segment),
            Change::Dropped(count) => self.results_dropped = count,
            Change::Ends { log, ends } => *self.ends_mut(log) = ends,
            Change::Part { segment, log, part } => {
                self.parts_mut(log).entry(segment).or_default().insert(log, part);
            }
            Change::File { family, segment, end } => self.grow_file(family, segment, end),
            // For the index of the readers.
            Change::Indexed { .. } => {}
        }
    }

    fn append(&mut self, FrameAt { log, entry, count, written_at }: FrameAt) {
        let ends = self.ends_mut(log);
        ends.bounds.next = entry.base + u64::from(count);
        ends.bytes_next = entry.bytes_before + u64::from(entry.place.len);
        ends.oldest_at.get_or_insert(written_at);
        let (end, bytes_end) = (ends.bounds.next, ends.bytes_next);
        let part = self.parts_mut(log).entry(entry.place.segment).or_default().entry(log).or_default();
        if part.bytes == 0 {
            part.oldest_at = written_at;
        }
        (part.end, part.bytes_end, part.newest_at) = (end, bytes_end, written_at);
        part.bytes += u64::from(entry.place.len);
        if log == PartitionId::RESULTS {
            self.grow_file(Family::Results, entry.place.segment, entry.place.end());
        }
    }

    fn set_chunk(&mut self, partition: PartitionId, chunk: u32, at: Option<ChunkAt>) {
        let chunks = &mut self.partitions.entry(partition).or_default().chunks;
        let old = match at {
            Some(at) => chunks.insert(chunk, at),
            None => chunks.remove(&chunk),
        };
        if let Some(ChunkAt { place, .. }) = at {
            *self.live.entry(place.segment).or_default() += u64::from(place.len);
            self.grow_file(Family::State, place.segment, place.end());
        }
        self.free(old);
    }

    fn set_head(&mut self, id: PartitionId, head: Option<Head>) {
        let partition = self.partitions.entry(id).or_default();
        let freed = if head.is_none() { std::mem::take(&mut partition.chunks) } else { BTreeMap::new() };
        if head.is_none() {
            partition.cursor_bytes = partition.ends.bytes_first;
        }
        partition.head = head;
        self.free(freed.into_values());
    }

    /// Notes that nothing refers to these bytes of state any more.
    fn free(&mut self, chunks: impl IntoIterator<Item = ChunkAt>) {
        for ChunkAt { place, .. } in chunks {
            let live = self.live.entry(place.segment).or_default();
            *live = live.saturating_sub(u64::from(place.len));
        }
    }

    fn grow_file(&mut self, family: Family, segment: u32, end: u64) {
        let known = self.file_ends.entry((family, segment)).or_default();
        *known = end.max(*known);
    }

    /// The ends of a log.
    pub fn ends(&self, log: PartitionId) -> Ends {
        if log == PartitionId::RESULTS {
            return self.results;
        }
        self.partitions.get(&log).map(|it| it.ends).unwrap_or_default()
    }

    fn ends_mut(&mut self, log: PartitionId) -> &mut Ends {
        if log == PartitionId::RESULTS { &mut self.results } else { &mut self.partitions.entry(log).or_default().ends }
    }

    /// The logs in the files of the journal or of the results.
    pub(super) fn parts(&self, family: Family) -> &Parts {
        if family == Family::Journal { &self.input_parts } else { &self.results_parts }
    }

    fn parts_mut(&mut self, log: PartitionId) -> &mut Parts {
        if log == PartitionId::RESULTS { &mut self.results_parts } else { &mut self.input_parts }
    }

    /// Forgets the frames of a file that is deleted, and counts the results that a sink had not read.
    pub fn retire(&mut self, family: Family, segment: u32) {
        self.file_ends.remove(&(family, segment));
        let parts = match family {
            Family::Journal => &mut self.input_parts,
            Family::Results => &mut self.results_parts,
            Family::State => {
                self.live.remove(&segment);
                return;
            }
        };
        let retired = parts.remove(&segment).unwrap_or_default();
        for (log, part) in &retired {
            if family == Family::Results {
                self.results_dropped += self.unread_in(part);
            }
            // An older file may be there still: another log needs it.
            let (first, bytes_first) = (part.end.max(self.ends(*log).bounds.first), part.bytes_end);
            let rest = self.parts(family).values().filter_map(|logs| logs.get(log)).find(|rest| rest.end > first);
            let oldest_at = rest.map(|rest| rest.oldest_at);
            let ends = self.ends_mut(*log);
            ends.bounds.first = first;
            (ends.bytes_first, ends.oldest_at) = (bytes_first.max(ends.bytes_first), oldest_at);
        }
    }

    /// The number of results in the oldest file that a sink has not read.
    pub fn unread_in(&self, part: &Part) -> u64 {
        part.end.saturating_sub(self.unread_results().max(self.results.bounds.first))
    }

    /// Whether all input that a file has of a partition is applied.
    pub fn is_applied(&self, id: PartitionId, part: &Part) -> bool {
        let partition = self.partitions.get(&id);
        partition.is_none_or(|it| part.end <= it.applied().max(it.ends.bounds.first))
    }

    pub(super) fn backlog_bytes(&self) -> u64 {
        self.partitions.values().map(Partition::backlog_bytes).sum()
    }

    pub(super) fn input_bytes(&self) -> u64 {
        self.partitions.values().map(|partition| partition.ends.bytes()).sum()
    }

    /// The first offset that a registered sink has not read; the end of the results without a sink.
    pub fn unread_results(&self) -> u64 {
        let slowest = self.sinks.values().map(|sink| sink.next).min();
        slowest.unwrap_or(self.results.bounds.next)
    }

    /// Raises `at` to the latest time in the log, and stores the result as the latest time.
    pub(super) fn clamp_time(&mut self, at: u64) -> u64 {
        self.last_at = self.last_at.max(at);
        self.last_at
    }
}
