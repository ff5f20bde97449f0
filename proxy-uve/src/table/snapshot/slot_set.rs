//! Which slots of a chunk have a state in a section.

use crate::table::snapshot::CHUNK_SLOTS;

/// One bit for each slot of a chunk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct SlotSet([u64; CHUNK_SLOTS / 64]);

impl SlotSet {
    pub(super) fn new(words: [u64; CHUNK_SLOTS / 64]) -> Self {
        Self(words)
    }

    pub(super) fn words(&self) -> &[u64; CHUNK_SLOTS / 64] {
        &self.0
    }

    /// Adds a slot, counted from the first of the chunk.
    pub(super) fn insert(&mut self, slot: usize) {
        self.0[slot / 64] |= 1 << (slot % 64);
    }

    pub(super) fn contains(&self, slot: usize) -> bool {
        self.0[slot / 64] >> (slot % 64) & 1 == 1
    }

    /// Adds the slots of `other`; how many were not there before.
    pub(super) fn add_all(&mut self, other: &Self) -> usize {
        let mut new = 0;
        for (word, other) in self.0.iter_mut().zip(other.0) {
            new += (other & !*word).count_ones() as usize;
            *word |= other;
        }
        new
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0 == [0; CHUNK_SLOTS / 64]
    }

    /// The slots, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        (0..CHUNK_SLOTS).filter(|&slot| self.contains(slot))
    }
}
