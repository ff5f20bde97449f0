//! A growing set of slots.

/// One bit for each slot. Slots beyond the end are not in the set.
#[derive(Clone, Debug, Default)]
pub(in crate::table) struct Bits(Vec<u64>);

impl Bits {
    #[inline]
    pub(in crate::table) fn insert(&mut self, slot: usize) {
        let word = slot / 64;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (slot % 64);
    }

    /// Whether the slot was a member.
    pub(in crate::table) fn remove(&mut self, slot: usize) -> bool {
        let was = self.contains(slot);
        if was {
            self.0[slot / 64] &= !(1 << (slot % 64));
        }
        was
    }

    #[inline]
    pub(in crate::table) fn contains(&self, slot: usize) -> bool {
        self.0.get(slot / 64).is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }

    /// The members `64 * word` to `64 * word + 63`, one bit each.
    #[inline]
    pub(in crate::table) fn word(&self, word: usize) -> u64 {
        self.0.get(word).copied().unwrap_or(0)
    }

    pub(in crate::table) fn clear(&mut self) {
        self.0.clear();
    }

    pub(in crate::table) fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    /// The members, in order.
    pub(in crate::table) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(index, &word)| ones(word).map(move |bit| index * 64 + bit))
    }
}

/// The bits of a word that are set, in order.
#[inline]
pub(in crate::table) fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_in_order() {
        let mut bits = Bits::default();
        for slot in [130, 0, 63, 64] {
            bits.insert(slot);
        }
        assert_eq!(bits.iter().collect::<Vec<_>>(), [0, 63, 64, 130]);
        assert!(bits.contains(64) && !bits.contains(65) && !bits.contains(100_000));
    }
}
