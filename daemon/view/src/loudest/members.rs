//! A filter of the keys in the list of the loudest objects.

use crate::loudest::CAPACITY;

/// The bits of the filter: 8 KiB, so that of the keys that are not in the list one in 64 passes. That holds for keys that
/// differ in their last 16 bytes.
const MEMBER_BITS: usize = 64 * CAPACITY;

/// A Bloom filter, with one hash function, of the keys in the list. Most results are of objects that are neither loud nor
/// in the list. It reads the end of a key only, which is cheaper than to hash the names.
#[derive(Debug)]
pub(super) struct Members(Box<[u64; MEMBER_BITS / 64]>);

impl Default for Members {
    fn default() -> Self {
        Self(Box::new([0; MEMBER_BITS / 64]))
    }
}

impl Members {
    pub(super) fn clear(&mut self) {
        self.0.fill(0);
    }

    pub(super) fn add(&mut self, key: &str) {
        if let Some((word, bit)) = Self::bit_of(key) {
            self.0[word] |= bit;
        }
    }

    pub(super) fn may_contain(&self, key: &str) -> bool {
        Self::bit_of(key).is_none_or(|(word, bit)| self.0[word] & bit != 0)
    }

    /// The bit of a key; `None` for a short one, which may always be in the list.
    fn bit_of(key: &str) -> Option<(usize, u64)> {
        let [low, high] = key.as_bytes().last_chunk::<16>()?.as_chunks::<8>().0 else { return None };
        let (low, high) = (u64::from_le_bytes(*low), u64::from_le_bytes(*high));
        // The factor of Fibonacci hashing: the highest bits of a product depend on all bits.
        let mixed = (low.rotate_left(29) ^ high).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let bit = (mixed >> (u64::BITS - MEMBER_BITS.ilog2())) as usize;
        Some((bit / 64, 1 << (bit % 64)))
    }
}
