//! A chunk, read back and checked.

use derived_stats::{RestoreError, Words};

use crate::table::group::Life;
use crate::table::slots::MAX_KEY_BYTES;
use crate::table::snapshot::{CHUNK_SLOTS, SnapshotError, VERSION, kind};
use crate::table::{ResultSink, Table};

impl<S: ResultSink> Table<S> {
    /// Puts the objects of a chunk into their slots.
    pub(super) fn decode_chunk(&mut self, chunk: u32, bytes: &[u8]) -> Result<(), SnapshotError> {
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
                let versions = column.versions();
                Box::new(move |slot, words| column.restore(slot, &versions, words))
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
                let versions = detectors.versions();
                Box::new(move |slot, words| detectors.restore(slot, &versions, words))
            }
            _ => {
                let index = plan.inline.iter().position(|inline| inline.id == id)?;
                let states = &mut self.inline[index];
                let versions = states.versions();
                Box::new(move |slot, words| states.restore(slot, &versions, words))
            }
        })
    }
}

/// Puts the state of one slot back.
type Restore<'t> = Box<dyn FnMut(usize, &mut Words<'_>) -> Result<(), RestoreError> + 't>;

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
