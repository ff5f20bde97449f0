//! Encoding a chunk.

use crate::table::columns::Columns;
use crate::table::objects::{Objects, Slots};
use crate::table::snapshot::columns::Column;
use crate::table::snapshot::{CHUNK_SLOTS, SlotSet, StateKind, VERSION, kind_code, seal};

/// The states of one stream, as a snapshot writes them.
#[derive(Debug)]
pub(super) struct ChunkEncoder<'s> {
    keys: &'s Slots,
    objects: &'s Objects,
    states: &'s Columns,
    /// The columns that have sections.
    columns: &'s [Column<'s>],
}

/// An object of a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    pub(super) slot: usize,
    /// Its slot in the chunk, counted from the first.
    pub(super) place: usize,
}

impl<'s> ChunkEncoder<'s> {
    pub(super) fn new(keys: &'s Slots, objects: &'s Objects, states: &'s Columns, columns: &'s [Column<'s>]) -> Self {
        Self { keys, objects, states, columns }
    }

    /// The chunk's bytes; `None` if none of its slots belongs to an object of the stream. Keys that only other streams
    /// have are left out: they may be freed before the chunk changes again.
    ///
    /// The bytes grow in `part`, which the caller keeps for the next chunk, so that the copy has their exact size: the
    /// chunks of a table wait in memory for their commit.
    pub(super) fn encode(&self, chunk: usize, part: &mut Vec<u8>) -> Option<Vec<u8>> {
        let first = chunk * CHUNK_SLOTS;
        let slots = first..(first + CHUNK_SLOTS).min(self.keys.len());
        let used = slots.filter(|&slot| self.objects.contains(slot)).map(|slot| Used { slot, place: slot - first });
        self.encode_objects(&used.collect::<Vec<_>>(), part)
    }

    /// The bytes of a chunk with these objects, whose places ascend; `None` without any.
    pub(super) fn encode_objects(&self, used: &[Used], part: &mut Vec<u8>) -> Option<Vec<u8>> {
        let last = used.last()?.place;
        let out = part;
        seal::begin(VERSION, out);
        out.extend(((last + 1) as u16).to_le_bytes());
        let mut next_used = used.iter().peekable();
        for place in 0..=last {
            let used = next_used.next_if(|used| used.place == place);
            let key = used.map_or(&[][..], |used| self.keys.key(used.slot));
            out.extend((key.len() as u32).to_le_bytes());
            out.extend(key);
        }
        let mut writer = SectionWriter { out, used, words: Vec::new() };
        for column in self.columns {
            self.encode_column(&mut writer, column);
        }
        seal::finish(writer.out);
        Some(writer.out.as_slice().to_vec())
    }

    fn encode_column(&self, writer: &mut SectionWriter<'_>, column: &Column<'_>) {
        let index = column.index;
        match column.kind {
            StateKind::Counter | StateKind::Sources => {
                let readings = self.states.readings();
                writer.section(column, 0, |slot, words| readings.save(index, slot, words));
            }
            StateKind::Detector => writer.section(column, 0, |slot, words| {
                self.states.detectors(index).save(slot, words);
                Some(())
            }),
            StateKind::Inline => writer.section(column, 0, |slot, words| {
                let states = self.states.inline(index);
                (!states.is_empty(slot)).then(|| states.save(slot, words))
            }),
            StateKind::Liveness => writer.section(column, 0, |slot, words| {
                words.push(u64::from(self.objects.group(index).silent_periods(slot)?));
                Some(())
            }),
            StateKind::Touched => {
                for (start, touched) in self.objects.group(index).open_windows() {
                    writer.section(column, start, |slot, _| touched.contains(slot).then_some(()));
                }
            }
            StateKind::Window => {
                for (start, window) in self.states.windows(index).iter() {
                    writer.section(column, start, |slot, words| {
                        (!window.is_empty(slot)).then(|| window.save(slot, words))
                    });
                }
            }
        }
    }
}

struct SectionWriter<'s> {
    out: &'s mut Vec<u8>,
    /// The objects of the chunk.
    used: &'s [Used],
    words: Vec<u64>,
}

impl SectionWriter<'_> {
    /// Writes a section with the slots for which `save` returns a state; no section if there are none.
    fn section(&mut self, column: &Column<'_>, start: u64, mut save: impl FnMut(usize, &mut Vec<u64>) -> Option<()>) {
        self.words.clear();
        let mut slots = SlotSet::default();
        for &Used { slot, place } in self.used {
            let before = self.words.len();
            match save(slot, &mut self.words) {
                Some(()) => slots.insert(place),
                None => self.words.truncate(before),
            }
        }
        if slots.is_empty() {
            return;
        }
        self.out.push(kind_code(column.kind));
        self.out.push(column.versions.len() as u8);
        self.out.extend(column.versions.iter().flat_map(|version| version.to_le_bytes()));
        self.text(column.identity);
        self.text(&column.group.to_string());
        self.out.extend(start.to_le_bytes());
        self.out.extend(slots.words().iter().flat_map(|word| word.to_le_bytes()));
        self.out.extend((self.words.len() as u32).to_le_bytes());
        self.out.extend(self.words.iter().flat_map(|word| word.to_le_bytes()));
    }

    fn text(&mut self, text: &str) {
        self.out.extend((text.len() as u32).to_le_bytes());
        self.out.extend(text.as_bytes());
    }
}
