//! A chunk, written.

use crate::table::snapshot::{CHUNK_SLOTS, VERSION, kind};
use crate::table::{ResultSink, Table};

impl<S: ResultSink> Table<S> {
    /// The chunk's bytes; `None` if none of its slots holds an object.
    pub(super) fn encode_chunk(&self, chunk: usize) -> Option<Vec<u8>> {
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
                (!states.is_empty(slot)).then(|| states.save(slot, words))
            });
        }
    }
}

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
