//! Decoding and checking a chunk.

use derived_stats::{RestoreError, Words};

use crate::table::ResultSink;
use crate::table::objects::{Bits, MAX_KEY_BYTES, Slots};
use crate::table::snapshot::columns::Column;
use crate::table::snapshot::restore::Restore;
use crate::table::snapshot::{CHUNK_SLOTS, SlotSet, SnapshotError, SnapshotPart, StateKind, kind_of_code, seal};

/// The first version that is newer than the one that can be read.
fn newer<'v>(found: &'v [u16], readable: &'v [u16]) -> Option<(&'v u16, &'v u16)> {
    found.iter().zip(readable).find(|(found, readable)| found > readable)
}

/// One section of a chunk.
struct Section {
    /// The versions of the words, one for each link of the pipeline.
    versions: Vec<u16>,
    /// Start of the window in microseconds; 0 for a state that is not of a window.
    start: u64,
    /// The first slot of the chunk.
    first: usize,
    /// The slots with a state.
    slots: SlotSet,
    /// The words of the states, in the order of the slots.
    words: Vec<u64>,
}

/// Slots that a snapshot may have although the settings allow fewer objects now: a wrong chunk number would allocate
/// all the slots before it.
const MOST_SLOTS: usize = 1 << 24;

impl<S: ResultSink> Restore<'_, S> {
    /// Puts the objects of a chunk into their slots, and their states into the stream's.
    pub(in crate::table) fn add_chunk(
        &mut self,
        slots: &mut Slots,
        chunk: u32,
        bytes: &[u8],
    ) -> Result<(), SnapshotError> {
        let part = SnapshotPart::Chunk(chunk);
        let mut reader = Reader { part, bytes: seal::open(part, bytes)? };
        let first = (chunk as usize).saturating_mul(CHUNK_SLOTS);
        if first >= self.stream.settings.max_objects.max(MOST_SLOTS) {
            return Err(reader.inconsistent(
                "its number is beyond that of any table's chunks; restore each chunk under the number it was saved with",
            ));
        }
        let count = usize::from(u16::from_le_bytes(reader.array("key count")?));
        if count > CHUNK_SLOTS {
            return Err(reader.inconsistent("it has more slots than a chunk"));
        }
        for slot in first..first + count {
            let key = reader.bytes("key length", "key")?;
            if key.len() > MAX_KEY_BYTES {
                return Err(reader.inconsistent("a key is longer than keys can be"));
            }
            if !key.is_empty() {
                reader.name(slots, &mut self.named, slot, key)?;
            }
        }
        while !reader.bytes.is_empty() {
            self.add_section(&mut reader, chunk)?;
        }
        Ok(())
    }

    fn add_section(&mut self, reader: &mut Reader<'_>, chunk: u32) -> Result<(), SnapshotError> {
        let kind = kind_of_code(reader.array::<1>("section kind")?[0]);
        let kind = kind.ok_or_else(|| reader.inconsistent("a section has an unknown kind"))?;
        let versions = reader.versions()?;
        let identity = reader.bytes("identity length", "identity")?;
        let group = reader.bytes("group length", "group")?;
        let section = reader.section(chunk as usize * CHUNK_SLOTS, versions)?;
        let is_free = |slot: usize| !self.named.contains(section.first + slot);
        if section.slots.iter().any(is_free) {
            return Err(reader.inconsistent("a state belongs to a slot without object"));
        }
        let Some(saved) = self.sources.find(kind, identity, group) else {
            return Err(reader.inconsistent("a section is of a column that the meta part does not list"));
        };
        self.sources.count(saved, chunk, &section.slots);
        if !self.sources.is_as_saved(saved, &section.versions) {
            // Written anew, so that the next snapshot has the columns of this configuration and no others, in the form
            // of this program.
            self.stream.objects.mark_changed(section.first);
        }
        for target in self.sources.targets(saved) {
            let column = self.sources.columns[target].clone();
            if let Some((&found, &readable)) = newer(&section.versions, &column.versions) {
                let (part, identity) = (reader.part, column.identity.to_owned());
                return Err(SnapshotError::StateVersion { part, kind, identity, found, readable });
            }
            if self.is_misaligned(&column, section.start) {
                return Err(reader.inconsistent("a window starts where none does"));
            }
            if let Err(error) = self.restore_section(&column, &section) {
                self.sources.fail(reader.part, target, error)?;
            }
        }
        Ok(())
    }

    /// Whether `start` is not the start of a window of the column.
    fn is_misaligned(&self, column: &Column<'_>, start: u64) -> bool {
        let length = match column.kind {
            StateKind::Touched => self.stream.plan.groups[column.index].period,
            StateKind::Window => self.stream.plan.window_columns[column.index].length,
            StateKind::Counter | StateKind::Detector | StateKind::Inline | StateKind::Liveness | StateKind::Sources => {
                return start != 0;
            }
        };
        !start.is_multiple_of(length)
    }

    fn restore_section(&mut self, column: &Column<'_>, section: &Section) -> Result<(), RestoreError> {
        let (index, objects, states) = (column.index, &mut self.stream.objects, &mut self.stream.columns);
        let newest = self.meta.newest.unwrap_or(0);
        match column.kind {
            StateKind::Counter | StateKind::Sources => {
                let version = section.versions.first().copied().unwrap_or_default();
                section.each(|slot, words| states.readings_mut().restore(index, slot, version, words, newest))
            }
            StateKind::Detector => {
                let detectors = states.detectors_mut(index);
                section.each(|slot, words| detectors.restore(slot, &section.versions, words))
            }
            StateKind::Inline => {
                let versions = &section.versions;
                section.each(|slot, words| states.restore_inline(index, slot, versions, words, newest))
            }
            StateKind::Liveness => {
                let group = objects.group_mut(index);
                section.each(|slot, words| {
                    let silent = words.next("silent periods")?;
                    let silent = u32::try_from(silent).map_err(|_| RestoreError::invalid("silent periods", silent))?;
                    group.restore_liveness(slot, silent);
                    Ok(())
                })
            }
            StateKind::Touched => {
                let touched = objects.group_mut(index).window_at(section.start);
                section.each(|slot, _| {
                    touched.insert(slot);
                    Ok(())
                })
            }
            StateKind::Window => {
                let window = states.windows_mut(index).window_at(section.start);
                section.each(|slot, words| window.restore(slot, &section.versions, words))
            }
        }
    }
}

impl Section {
    /// Gives the words of each slot's state to `restore`.
    fn each(
        &self,
        mut restore: impl FnMut(usize, &mut Words<'_>) -> Result<(), RestoreError>,
    ) -> Result<(), RestoreError> {
        let mut words = Words::new(&self.words);
        for slot in self.slots.iter() {
            restore(self.first + slot, &mut words)?;
        }
        words.finish()
    }
}

struct Reader<'b> {
    part: SnapshotPart,
    bytes: &'b [u8],
}

impl<'b> Reader<'b> {
    fn take(&mut self, len: usize, field: &'static str) -> Result<&'b [u8], SnapshotError> {
        let truncated = SnapshotError::Truncated { part: self.part, field };
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], SnapshotError> {
        let truncated = SnapshotError::Truncated { part: self.part, field };
        self.take(N, field)?.try_into().map_err(|_| truncated)
    }

    /// Bytes behind their length.
    fn bytes(&mut self, length: &'static str, field: &'static str) -> Result<&'b [u8], SnapshotError> {
        let length = u32::from_le_bytes(self.array(length)?) as usize;
        self.take(length, field)
    }

    /// The versions of a section's words.
    fn versions(&mut self) -> Result<Vec<u16>, SnapshotError> {
        let count = self.array::<1>("number of versions")?[0];
        (0..count).map(|_| Ok(u16::from_le_bytes(self.array("section version")?))).collect()
    }

    /// The rest of a section, after kind, versions and name.
    fn section(&mut self, first: usize, versions: Vec<u16>) -> Result<Section, SnapshotError> {
        let start = u64::from_le_bytes(self.array("section start")?);
        let mut slots = [0; CHUNK_SLOTS / 64];
        for word in &mut slots {
            *word = u64::from_le_bytes(self.array("section slots")?);
        }
        let count = u32::from_le_bytes(self.array("section length")?) as usize;
        let bytes = self.take(count.saturating_mul(8), "section")?;
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        let words = bytes.chunks_exact(8).map(word).collect();
        Ok(Section { versions, start, first, slots: SlotSet::new(slots), words })
    }

    /// Gives a slot to a key, which another stream may have given it before.
    fn name(&self, slots: &mut Slots, named: &mut Bits, slot: usize, key: &[u8]) -> Result<(), SnapshotError> {
        let part = self.part;
        if !slots.restore(slot, key) {
            let text = |key: &[u8]| key.escape_ascii().to_string();
            // This stream's own slots are checked first: then the chunk contradicts itself.
            match (slots.key(slot), slots.find(key)) {
                _ if named.contains(slot) => return Err(self.inconsistent("a key appears twice")),
                (_, Some(known)) if known == slot => {}
                (_, Some(known)) if named.contains(known) => return Err(self.inconsistent("a key appears twice")),
                (_, Some(other_slot)) => {
                    return Err(SnapshotError::KeySlots { part, key: text(key), slot, other_slot });
                }
                (other_key, None) => {
                    return Err(SnapshotError::SlotKeys { part, slot, key: text(key), other_key: text(other_key) });
                }
            }
        }
        named.insert(slot);
        Ok(())
    }

    fn inconsistent(&self, what: &'static str) -> SnapshotError {
        SnapshotError::Inconsistent { part: self.part, what }
    }
}
