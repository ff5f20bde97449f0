//! The bytes of keys, one after the other.

/// The bytes of all keys, each behind its length.
#[derive(Debug, Default)]
pub(super) struct Arena {
    bytes: Vec<u8>,
    /// Bytes that belong to no key.
    garbage: usize,
}

/// Where a key begins in the arena, in units of [`ALIGN`]; 0 for none, as a length is before every key.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Start(u32);

/// Keys begin at multiples of so many bytes, and have their length in as many bytes before them.
const ALIGN: usize = 4;

/// The most bytes of keys and lengths: as many as a [`Start`] can address, 16 GiB.
const MAX_BYTES: usize = (u32::MAX as usize).saturating_mul(ALIGN);

/// With less garbage than this the arena is not compacted.
const COMPACT_BYTES: usize = 64 * 1024;

impl Start {
    /// The start of no key.
    pub(super) const NONE: Self = Self(0);

    pub(super) fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The first byte of the key.
    #[inline]
    fn byte(self) -> usize {
        self.0 as usize * ALIGN
    }

    /// The first byte of its length. That of no key is beyond every arena.
    #[inline]
    fn len_byte(self) -> usize {
        self.byte().wrapping_sub(ALIGN)
    }
}

impl Arena {
    /// Whether there is room for one more key.
    pub(super) fn has_room_for(&self, key: &[u8]) -> bool {
        self.bytes.len() + key.len() + 2 * ALIGN <= MAX_BYTES
    }

    /// Appends a key.
    pub(super) fn push(&mut self, key: &[u8]) -> Start {
        // Keys are most of the memory of an object: grow by an eighth, not to twice the size.
        let needed = key.len() + 2 * ALIGN;
        if self.bytes.capacity() - self.bytes.len() < needed {
            self.bytes.reserve_exact(needed.max(self.bytes.len() / 8).max(1024));
        }
        self.append(key)
    }

    /// Appends a key for which there is room already.
    fn append(&mut self, key: &[u8]) -> Start {
        let used = self.bytes.len();
        self.bytes.resize(used.next_multiple_of(ALIGN), 0);
        self.garbage += self.bytes.len() - used;
        self.bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
        let start = Start((self.bytes.len() / ALIGN) as u32);
        self.bytes.extend_from_slice(key);
        start
    }

    /// The key that begins there; empty where none does.
    #[inline]
    pub(super) fn key(&self, start: Start) -> &[u8] {
        let Some((len, rest)) = self.bytes.get(start.len_byte()..).and_then(|rest| rest.split_first_chunk()) else {
            return &[];
        };
        rest.get(..u32::from_le_bytes(*len) as usize).unwrap_or_default()
    }

    /// Whether `key` begins there. Its length is before it: both are in one line of the cache.
    #[inline]
    pub(super) fn is_at(&self, start: Start, key: &[u8]) -> bool {
        let Some((len, rest)) = self.bytes.get(start.len_byte()..).and_then(|rest| rest.split_first_chunk()) else {
            return false;
        };
        u32::from_le_bytes(*len) as usize == key.len() && rest.get(..key.len()) == Some(key)
    }

    /// The first and the last byte of a key of `len` bytes, combined: reading them brings the key into the cache.
    #[inline]
    pub(super) fn ends(&self, start: Start, len: usize) -> u8 {
        let byte = |at: usize| self.bytes.get(at).copied().unwrap_or(0);
        byte(start.byte()) ^ byte(start.byte() + len)
    }

    /// Drops a key.
    pub(super) fn remove(&mut self, start: Start) {
        let len = self.key(start).len();
        if start.byte() + len == self.bytes.len() {
            self.bytes.truncate(start.len_byte());
        } else {
            self.garbage += ALIGN + len;
        }
    }

    /// Whether most of the arena is garbage, so that it is worth [compacting](Self::compact).
    pub(super) fn is_sparse(&self) -> bool {
        self.garbage > COMPACT_BYTES && self.garbage * 2 > self.bytes.len()
    }

    /// Moves the `count` keys at `starts` to a new arena without gaps, and updates `starts`.
    pub(super) fn compact<'s>(&mut self, starts: impl Iterator<Item = &'s mut Start>, count: usize) {
        let padding = count * (ALIGN - 1);
        let capacity = (self.bytes.len() - self.garbage + padding).min(self.bytes.len());
        let mut compacted = Self { bytes: Vec::with_capacity(capacity), garbage: 0 };
        for start in starts {
            *start = compacted.append(self.key(*start));
        }
        *self = compacted;
    }

    /// Bytes in use, garbage included.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes of memory held.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity()
    }
}
