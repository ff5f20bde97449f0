//! Saving and restoring a table, in pieces.
//!
//! A snapshot has a small *meta* part (progress, counters) and *chunks* of [`CHUNK_SLOTS`] slots each. Only chunks that
//! changed since the last snapshot are written, so saving costs what changed. A chunk describes itself: the keys of
//! its slots, then named sections of 64-bit words, one for each column and open window that holds something:
//!
//! ```text
//! chunk   := version:u8 keys section*
//! keys    := count:u16 (len:u32 bytes)*            one for each slot up to the last used; len 0 is a free one
//! section := kind:u8 id:u32 start:u64 words:u32 word:u64*
//! words   := (slot-in-chunk, words of the state)*
//! ```
//!
//! Numbers are little-endian. `id` names the column (a hash of what it computes) and `start` its window. A section
//! whose column the configuration no longer has is passed over, and a column that no section fills starts anew: a
//! change of configuration keeps the state of everything that it did not touch.
//!
//! Integrity (checksums, which chunks belong together) is the log's part. Structure is checked here: a restore gives
//! a whole table or an error.

use std::sync::Arc;

use derived_stats::{RestoreError, Words};
use serde::{Deserialize, Serialize};

use crate::table::group::{Group, Life};
use crate::table::slots::MAX_KEY_BYTES;
use crate::table::{Fates, Plan, Progress, Table, TableSettings};

/// Slots in a chunk. A chunk is written whole when one of its objects changed: small enough for that to be cheap, large
/// enough that a million objects are a few thousand chunks.
pub const CHUNK_SLOTS: usize = 256;

const VERSION: u8 = 1;

/// What changed in a table.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Snapshot {
    /// Progress and counters; replaces the one before.
    pub meta: Vec<u8>,
    /// Changed chunks by number; `None` for one that is gone. Those not named are as before.
    pub chunks: Vec<(u32, Option<Vec<u8>>)>,
}

/// Why a snapshot is no table. Nothing is restored in part.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A chunk is cut short, or says that it is longer than it is.
    #[error("chunk {chunk} of the snapshot is cut short at `{field}`")]
    Truncated {
        /// Its number.
        chunk: u32,
        /// What was to be read.
        field: &'static str,
    },
    /// A key or slot that is there twice, or a section of an unknown kind.
    #[error("chunk {chunk} of the snapshot is inconsistent: {what}")]
    Inconsistent {
        /// Its number.
        chunk: u32,
        /// What is wrong.
        what: &'static str,
    },
    /// The meta part is not one.
    #[error("the meta part of the snapshot cannot be read: {reason}")]
    Meta {
        /// What the decoder says.
        reason: String,
    },
    /// The state of a column is impossible.
    #[error("chunk {chunk} of the snapshot holds an impossible state")]
    State {
        /// Its number.
        chunk: u32,
        /// What is wrong with it.
        #[source]
        error: RestoreError,
    },
    /// Written by a newer version of this crate.
    #[error("the snapshot has version {found}, this build reads version {}", VERSION)]
    Version {
        /// The version found.
        found: u8,
    },
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    version: u8,
    position: Option<u64>,
    newest: Option<u64>,
    watermark: u64,
    covered_from: u64,
    fates: Fates,
    /// Group id and the end of its newest closed window.
    groups: Vec<(u32, Option<u64>)>,
}

/// The kinds of section.
mod kind {
    pub(super) const LIVES: u8 = 1;
    pub(super) const TOUCHED: u8 = 2;
    pub(super) const RUNNING: u8 = 3;
    pub(super) const DETECTOR: u8 = 4;
    pub(super) const INLINE: u8 = 5;
    pub(super) const COUNTER: u8 = 6;
}

impl Table {
    /// What changed since the last snapshot, all of it for a new table. The cost is that of the changed chunks.
    ///
    /// The results are not part of it: drain them first, and store both together.
    pub fn snapshot(&mut self) -> Snapshot {
        let dirty = std::mem::take(&mut self.dirty);
        let chunks = dirty.iter().map(|chunk| (chunk as u32, self.encode_chunk(chunk))).collect();
        Snapshot { meta: self.encode_meta(), chunks }
    }

    /// The table that a sequence of snapshots describes: the newest meta part and the newest form of each chunk.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`] if any part cannot be read.
    pub fn restore<'c>(
        plan: Arc<Plan>,
        settings: TableSettings,
        meta: &[u8],
        chunks: impl IntoIterator<Item = (u32, &'c [u8])>,
    ) -> Result<Self, SnapshotError> {
        let meta: Meta =
            serde_json::from_slice(meta).map_err(|error| SnapshotError::Meta { reason: error.to_string() })?;
        if meta.version != VERSION {
            return Err(SnapshotError::Version { found: meta.version });
        }
        let mut table = Self::new(plan, settings);
        for (chunk, bytes) in chunks {
            table.decode_chunk(chunk, bytes)?;
        }
        table.slots.finish_restore();
        table.take_meta(&meta)?;
        table.forget_orphans();
        Ok(table)
    }

    fn encode_meta(&self) -> Vec<u8> {
        let Progress { position, newest, watermark, covered_from, fates } = self.progress;
        let groups =
            self.groups.iter().zip(&self.plan.groups).map(|(group, plan)| (plan.id, group.closed_to)).collect();
        let meta = Meta { version: VERSION, position, newest, watermark, covered_from, fates, groups };
        // Plain data into memory: serialising has no way to fail.
        serde_json::to_vec(&meta).unwrap_or_default()
    }

    fn take_meta(&mut self, meta: &Meta) -> Result<(), SnapshotError> {
        let &Meta { position, newest, watermark, covered_from, fates, .. } = meta;
        self.progress = Progress { position, newest, watermark, covered_from, fates };
        for (group, plan) in self.groups.iter_mut().zip(&self.plan.groups) {
            let Some(&(_, closed_to)) = meta.groups.iter().find(|&&(id, _)| id == plan.id) else {
                // A group that comes back after a while: what chunks still have of it is out of date.
                *group = Group::default();
                continue;
            };
            if closed_to.is_some_and(|end| !end.is_multiple_of(plan.period) || end > watermark) {
                return Err(SnapshotError::Meta { reason: "a window closed at a time when none ends".to_owned() });
            }
            group.closed_to = closed_to;
            group.alive = group.lives.iter().filter(|life| life.is_alive()).count();
        }
        Ok(())
    }

    /// Drops the states and frees the objects that a change of configuration left without a life.
    fn forget_orphans(&mut self) {
        let plan = Arc::clone(&self.plan);
        for slot in 0..self.slots.len() {
            for group in 0..self.groups.len() {
                if self.groups[group].is_done_with(slot) {
                    self.forget(&plan, group, slot);
                }
            }
            let orphan = self.groups.iter().all(|group| group.is_done_with(slot));
            if orphan && !self.slots.key(slot).is_empty() {
                self.slots.remove(slot);
                self.dirty.insert(slot / CHUNK_SLOTS);
            }
        }
    }

    fn encode_chunk(&self, chunk: usize) -> Option<Vec<u8>> {
        let first = chunk * CHUNK_SLOTS;
        let is_used = |slot: &usize| !self.slots.key(*slot).is_empty();
        let last = (first..(first + CHUNK_SLOTS).min(self.slots.len())).rev().find(is_used)?;
        let slots = first..last + 1;
        let mut out = vec![VERSION];
        out.extend((slots.len() as u16).to_le_bytes());
        for slot in slots.clone() {
            let key = self.slots.key(slot);
            out.extend((key.len() as u32).to_le_bytes());
            out.extend(key);
        }
        let used: Vec<usize> = slots.filter(is_used).collect();
        let mut writer = SectionWriter { out, used: &used, words: Vec::new() };
        self.encode_groups(&mut writer);
        self.encode_columns(&mut writer);
        Some(writer.out)
    }

    fn encode_groups(&self, writer: &mut SectionWriter<'_>) {
        for (group, plan) in self.groups.iter().zip(&self.plan.groups) {
            writer.section(kind::LIVES, plan.id, 0, |slot, words| {
                let life = group.lives.get(slot).filter(|life| life.is_alive())?;
                words.push(u64::from(life.silent()));
                Some(())
            });
            for (start, touched) in &group.open {
                writer.section(kind::TOUCHED, plan.id, *start, |slot, _| touched.contains(slot).then_some(()));
            }
        }
    }

    fn encode_columns(&self, writer: &mut SectionWriter<'_>) {
        for (lane, plan) in self.lanes.iter().zip(&self.plan.lanes) {
            for (start, column) in &lane.open {
                writer.section(kind::RUNNING, plan.id, *start, |slot, words| {
                    (!column.is_empty(slot)).then(|| column.save(slot, words))
                });
            }
            if let Some(counters) = &lane.counters {
                writer.section(kind::COUNTER, plan.id, 0, |slot, words| {
                    counters.save(slot, words);
                    Some(())
                });
            }
        }
        for (detectors, plan) in self.detectors.iter().zip(&self.plan.detectors) {
            writer.section(kind::DETECTOR, plan.id, 0, |slot, words| {
                detectors.save(slot, words);
                Some(())
            });
        }
        for (states, plan) in self.inline.iter().zip(&self.plan.inline) {
            writer.section(kind::INLINE, plan.id, 0, |slot, words| {
                plan.spec.save_words(states.get(slot)?.as_ref()?, words);
                Some(())
            });
        }
    }

    fn decode_chunk(&mut self, chunk: u32, bytes: &[u8]) -> Result<(), SnapshotError> {
        let mut reader = Reader { chunk, bytes };
        let version = reader.array::<1>("version")?[0];
        if version != VERSION {
            return Err(SnapshotError::Version { found: version });
        }
        let first = chunk as usize * CHUNK_SLOTS;
        let count = usize::from(u16::from_le_bytes(reader.array("key count")?));
        if count > CHUNK_SLOTS || first + count > u32::MAX as usize {
            return Err(reader.inconsistent("it has more slots than a table"));
        }
        for slot in first..first + count {
            let len = u32::from_le_bytes(reader.array("key length")?) as usize;
            let key = reader.take(len, "key")?;
            if len > MAX_KEY_BYTES {
                return Err(reader.inconsistent("a key is longer than keys can be"));
            }
            if !key.is_empty() && !self.slots.restore(slot, key) {
                return Err(reader.inconsistent("a key is there twice"));
            }
        }
        while !reader.bytes.is_empty() {
            self.decode_section(&mut reader, first)?;
        }
        Ok(())
    }

    fn decode_section(&mut self, reader: &mut Reader<'_>, first: usize) -> Result<(), SnapshotError> {
        let kind = reader.array::<1>("section kind")?[0];
        let id = u32::from_le_bytes(reader.array("section id")?);
        let start = u64::from_le_bytes(reader.array("section start")?);
        let count = u32::from_le_bytes(reader.array("section length")?) as usize;
        let bytes = reader.take(count.saturating_mul(8), "section")?;
        let words: Vec<u64> =
            bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default())).collect();
        if self.is_misaligned(kind, id, start) {
            return Err(reader.inconsistent("a window starts where none does"));
        }
        let Some(mut column) = self.column_for(kind, id, start) else {
            // Written anew without it, so that it does not come back with a later configuration.
            self.dirty.insert(reader.chunk as usize);
            return Ok(());
        };
        let mut rest = words.as_slice();
        while let Some((&offset, state)) = rest.split_first() {
            if offset >= CHUNK_SLOTS as u64 {
                return Err(reader.inconsistent("a state belongs to a slot of another chunk"));
            }
            let mut words = Words::new(state);
            let restored = column(first + offset as usize, &mut words);
            restored.map_err(|error| SnapshotError::State { chunk: reader.chunk, error })?;
            rest = words.rest();
        }
        Ok(())
    }

    /// Whether the section is of a window that its column cannot have.
    fn is_misaligned(&self, kind: u8, id: u32, start: u64) -> bool {
        let length = match kind {
            kind::RUNNING => self.plan.lanes.iter().find(|lane| lane.id == id).map(|lane| lane.window),
            kind::TOUCHED => self.plan.groups.iter().find(|group| group.id == id).map(|group| group.period),
            _ => None,
        };
        length.is_some_and(|length| !start.is_multiple_of(length))
    }

    /// What puts the states of a section back; `None` if the configuration has no such column.
    fn column_for(&mut self, kind: u8, id: u32, start: u64) -> Option<Restore<'_>> {
        match kind {
            kind::LIVES | kind::TOUCHED => self.group_section(kind, id, start),
            kind::RUNNING | kind::COUNTER => self.lane_section(kind, id, start),
            kind::DETECTOR | kind::INLINE => self.attribute_section(kind, id),
            _ => None,
        }
    }

    fn group_section(&mut self, kind: u8, id: u32, start: u64) -> Option<Restore<'_>> {
        let index = self.plan.groups.iter().position(|group| group.id == id)?;
        let group = &mut self.groups[index];
        Some(match kind {
            kind::LIVES => {
                let lives = &mut group.lives;
                Box::new(move |slot, words| {
                    let silent = words.next("silent periods")?;
                    let silent = u32::try_from(silent).map_err(|_| RestoreError::invalid("silent periods", silent))?;
                    lives.resize(lives.len().max(slot + 1), Life::default());
                    lives[slot] = Life::after(silent);
                    Ok(())
                })
            }
            _ => {
                let touched = group.window_at(start);
                Box::new(move |slot, _| {
                    touched.insert(slot);
                    Ok(())
                })
            }
        })
    }

    fn lane_section(&mut self, kind: u8, id: u32, start: u64) -> Option<Restore<'_>> {
        let index = self.plan.lanes.iter().position(|lane| lane.id == id)?;
        let lane = &mut self.lanes[index];
        Some(match kind {
            kind::RUNNING => {
                let column = lane.window_at(start);
                Box::new(move |slot, words| column.restore(slot, words))
            }
            _ => {
                let counters = lane.counters.as_mut()?;
                Box::new(move |slot, words| counters.restore(slot, words))
            }
        })
    }

    fn attribute_section(&mut self, kind: u8, id: u32) -> Option<Restore<'_>> {
        let plan = &*self.plan;
        Some(match kind {
            kind::DETECTOR => {
                let index = plan.detectors.iter().position(|detector| detector.id == id)?;
                let detectors = &mut self.detectors[index];
                Box::new(move |slot, words| detectors.restore(slot, words))
            }
            _ => {
                let index = plan.inline.iter().position(|inline| inline.id == id)?;
                let (states, spec) = (&mut self.inline[index], &plan.inline[index].spec);
                Box::new(move |slot, words| {
                    states.resize(states.len().max(slot + 1), None);
                    states[slot] = Some(spec.restore_words(words)?);
                    Ok(())
                })
            }
        })
    }
}

/// Puts the state of one slot back.
type Restore<'t> = Box<dyn FnMut(usize, &mut Words<'_>) -> Result<(), RestoreError> + 't>;

struct SectionWriter<'s> {
    out: Vec<u8>,
    /// The slots of the chunk that hold an object.
    used: &'s [usize],
    words: Vec<u64>,
}

impl SectionWriter<'_> {
    /// Writes a section with the slots for which `save` gives something; nothing if there are none.
    fn section(&mut self, kind: u8, id: u32, start: u64, mut save: impl FnMut(usize, &mut Vec<u64>) -> Option<()>) {
        self.words.clear();
        for &slot in self.used {
            let before = self.words.len();
            self.words.push((slot % CHUNK_SLOTS) as u64);
            if save(slot, &mut self.words).is_none() {
                self.words.truncate(before);
            }
        }
        if self.words.is_empty() {
            return;
        }
        self.out.push(kind);
        self.out.extend(id.to_le_bytes());
        self.out.extend(start.to_le_bytes());
        self.out.extend((self.words.len() as u32).to_le_bytes());
        self.out.extend(self.words.iter().flat_map(|word| word.to_le_bytes()));
    }
}

struct Reader<'b> {
    chunk: u32,
    bytes: &'b [u8],
}

impl<'b> Reader<'b> {
    fn take(&mut self, len: usize, field: &'static str) -> Result<&'b [u8], SnapshotError> {
        let (taken, rest) =
            self.bytes.split_at_checked(len).ok_or(SnapshotError::Truncated { chunk: self.chunk, field })?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], SnapshotError> {
        let truncated = SnapshotError::Truncated { chunk: self.chunk, field };
        self.take(N, field)?.try_into().map_err(|_| truncated)
    }

    fn inconsistent(&self, what: &'static str) -> SnapshotError {
        SnapshotError::Inconsistent { chunk: self.chunk, what }
    }
}
