//! The set of inner slots in use.

use alloc::vec::Vec;

use crate::column::WORD;

/// A set of slots, which allocates the lowest free slot.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    used: Vec<u64>,
    /// The index of the first word that may have a free slot.
    first: usize,
}

impl Slots {
    /// Allocates the lowest free slot. Constant time, except for the search for the next word with a free slot.
    pub(super) fn take(&mut self) -> usize {
        while self.used.get(self.first) == Some(&u64::MAX) {
            self.first += 1;
        }
        if self.first == self.used.len() {
            self.used.push(0);
        }
        let bit = self.used[self.first].trailing_ones() as usize;
        self.used[self.first] |= 1 << bit;
        self.first * WORD + bit
    }

    /// Frees a slot.
    pub(super) fn release(&mut self, slot: usize) {
        if let Some(used) = self.used.get_mut(slot / WORD) {
            *used &= !(1 << (slot % WORD));
            self.first = self.first.min(slot / WORD);
        }
    }

    /// The end of the used slots: the highest one, plus one.
    pub(super) fn end(&self) -> usize {
        let last = self.used.iter().rposition(|used| *used != 0);
        last.map_or(0, |word| (word + 1) * WORD - self.used[word].leading_zeros() as usize)
    }

    /// The used slots, 64 to a word.
    pub(super) fn words(&self) -> &[u64] {
        &self.used
    }

    pub(super) fn reserve(&mut self, slots: usize) {
        self.used.reserve_exact(slots.div_ceil(WORD).saturating_sub(self.used.len()));
    }

    /// Frees the memory after the end of the used slots.
    pub(super) fn shrink(&mut self) {
        self.used.truncate(self.end().div_ceil(WORD));
        self.used.shrink_to_fit();
        self.first = self.first.min(self.used.len());
    }

    pub(super) fn bytes(&self) -> usize {
        self.used.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_slot_is_taken_first() {
        let mut slots = Slots::default();
        assert_eq!(slots.end(), 0);
        assert!((0..130).eq(core::iter::repeat_with(|| slots.take()).take(130)));
        assert_eq!(slots.end(), 130);
        for slot in [129, 64, 3] {
            slots.release(slot);
        }
        assert_eq!(slots.end(), 129);
        assert_eq!([slots.take(), slots.take(), slots.take(), slots.take()], [3, 64, 129, 130]);
        (5..=130).for_each(|slot| slots.release(slot));
        slots.shrink();
        assert_eq!((slots.end(), slots.bytes()), (5, 8));
        assert_eq!(slots.take(), 5);
        (0..=5).for_each(|slot| slots.release(slot));
        slots.release(1 << 40);
        slots.shrink();
        assert_eq!((slots.end(), slots.take()), (0, 0));
    }
}
