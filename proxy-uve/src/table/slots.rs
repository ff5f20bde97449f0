//! Object keys and their dense numbers.
//!
//! An object is known by its key only at ingest; everywhere else it is a *slot*, an index into the table's columns.
//! The key bytes live once, in an arena, behind their length, so an object costs its key, 8 bytes to find it in the
//! arena and 10 to 20 in the index, which grows by doubling. A freed slot is used again, the lowest first: which slot
//! an object gets depends only on the order of the samples, never on hashing, so results come in the same order after
//! every restart.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::BuildHasher;
use std::hint::black_box;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// Below this much garbage the arena is left alone.
const COMPACT_BYTES: usize = 64 * 1024;

/// Keys and slots, in both directions.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    index: HashTable<Entry>,
    /// Where the key of each slot is.
    starts: Vec<Start>,
    arena: Vec<u8>,
    /// Bytes of the arena that belong to no slot.
    garbage: usize,
    free: BinaryHeap<Reverse<u32>>,
    /// A fixed seed: the index is never iterated, so an attacker gains only collisions, and the keys of a partition
    /// are bounded in number.
    hasher: FixedState,
}

/// Keys that are looked up together, at most.
pub(crate) const BATCH: usize = 64;

/// No slot.
pub(crate) const UNKNOWN: u32 = u32::MAX;

/// The longest key that there is room for, in bytes: 16 MiB.
pub(crate) const MAX_KEY_BYTES: usize = (1 << 24) - 1;

/// Where a key begins in the arena, in units of [`ALIGN`]; 0 for a free slot, as a length stands before every key.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Start(u32);

/// A slot, and where its key begins: a look-up need not read [`Slots::starts`] in between. Memory that is not in a
/// cache takes longer than all else that a look-up does.
#[derive(Clone, Copy, Debug)]
struct Entry {
    slot: u32,
    start: Start,
}

/// Keys begin at multiples of so many bytes, and have their length in as many bytes before them.
const ALIGN: usize = 4;

/// What keys and lengths may take: what a [`Start`] can name, 16 GiB.
const MAX_ARENA_BYTES: usize = (u32::MAX as usize).saturating_mul(ALIGN);

impl Entry {
    /// That of no key.
    const NONE: Self = Self { slot: UNKNOWN, start: Start(0) };
}

impl Start {
    fn is_free(self) -> bool {
        self.0 == 0
    }

    /// The first byte of the key.
    #[inline]
    fn byte(self) -> usize {
        self.0 as usize * ALIGN
    }

    /// The first byte of its length. That of a free slot is beyond every arena.
    #[inline]
    fn len_byte(self) -> usize {
        self.byte().wrapping_sub(ALIGN)
    }
}

impl Slots {
    /// The slots in use or free: columns have this length at most.
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// The objects known.
    pub(crate) fn objects(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn find(&self, key: &[u8]) -> Option<usize> {
        self.find_hashed(self.hasher.hash_one(key), key).map(|slot| slot as usize)
    }

    fn find_hashed(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.index.find(hash, |entry| self.is_at(entry.start, key)).map(|entry| entry.slot)
    }

    /// Whether `key` begins there. Its length stands before it: both are in one line of the cache.
    #[inline]
    fn is_at(&self, start: Start, key: &[u8]) -> bool {
        let Some((len, rest)) = self.arena.get(start.len_byte()..).and_then(|rest| rest.split_first_chunk()) else {
            return false;
        };
        u32::from_le_bytes(*len) as usize == key.len() && rest.get(..key.len()) == Some(key)
    }

    /// Where each of `keys` is: its slot, or [`UNKNOWN`]. Changes nothing; right until a slot is removed.
    ///
    /// A look-up waits for memory three times, each time for the outcome of the one before: index, entry, key. Done key
    /// by key that is all there is to do. Here each step is a loop of its own, so short that the processor is many keys
    /// ahead of the one that it waits for, and waits for all of them at once.
    pub(crate) fn look_ahead<'k>(&self, keys: impl Iterator<Item = &'k [u8]> + Clone, slots: &mut [u32]) {
        let mut hashes = [0; BATCH];
        for (hash, key) in hashes.iter_mut().zip(keys.clone()) {
            *hash = self.hasher.hash_one(key);
        }
        let mut entries = [Entry::NONE; BATCH];
        let entries = &mut entries[..slots.len()];
        for (entry, &hash) in entries.iter_mut().zip(&hashes) {
            // The first entry with the right tag: nearly always the right one.
            *entry = self.index.find(hash, |_| true).copied().unwrap_or(Entry::NONE);
        }
        self.touch(entries, keys.clone());
        for (((slot, &entry), key), &hash) in slots.iter_mut().zip(&*entries).zip(keys).zip(&hashes) {
            *slot = match entry.slot {
                UNKNOWN => UNKNOWN,
                slot if self.is_at(entry.start, key) => slot,
                _ => self.find_hashed(hash, key).unwrap_or(UNKNOWN),
            };
        }
    }

    /// Reads the ends of keys for nothing but to have them in the cache.
    fn touch<'k>(&self, entries: &[Entry], keys: impl Iterator<Item = &'k [u8]>) {
        let byte = |at: usize| self.arena.get(at).copied().unwrap_or(0);
        let ends = |(entry, key): (&Entry, &[u8])| {
            let start = entry.start.byte();
            byte(start) ^ byte(start + key.len())
        };
        black_box(entries.iter().zip(keys).map(ends).fold(0, |sum: u8, ends| sum ^ ends));
    }

    /// Whether the arena has room for one more key.
    pub(crate) fn has_room_for(&self, key: &[u8]) -> bool {
        self.arena.len() + key.len() + 2 * ALIGN <= MAX_ARENA_BYTES
    }

    /// The slot of a key that is not known yet. `key` is not empty, no longer than [`MAX_KEY_BYTES`], and
    /// [has room](Self::has_room_for).
    pub(crate) fn insert(&mut self, key: &[u8]) -> usize {
        let slot = match self.free.pop() {
            Some(Reverse(slot)) => slot,
            None => {
                self.starts.push(Start::default());
                (self.starts.len() - 1) as u32
            }
        };
        self.put(slot, key);
        slot as usize
    }

    /// Gives a key the slot it had when it was saved. `false` if the slot or the key is taken, or there is no room.
    pub(crate) fn restore(&mut self, slot: usize, key: &[u8]) -> bool {
        if slot >= self.starts.len() {
            self.starts.resize(slot + 1, Start::default());
        }
        if !self.starts[slot].is_free() || self.find(key).is_some() || !self.has_room_for(key) {
            return false;
        }
        self.put(slot as u32, key);
        true
    }

    /// Ends a restore: the slots that no key took are free. Free ones after the last key need not be known: they are
    /// used after all others, in order, which is what a table without them does.
    pub(crate) fn finish_restore(&mut self) {
        let free = self.starts.iter().enumerate().filter(|(_, start)| start.is_free());
        self.free = free.map(|(slot, _)| Reverse(slot as u32)).collect();
    }

    fn put(&mut self, slot: u32, key: &[u8]) {
        // Keys are most of what an object takes: an eighth more room at a time, not twice as much.
        let needed = key.len() + 2 * ALIGN;
        if self.arena.capacity() - self.arena.len() < needed {
            self.arena.reserve_exact(needed.max(self.arena.len() / 8).max(1024));
        }
        let (start, padding) = append(&mut self.arena, key);
        self.garbage += padding;
        self.starts[slot as usize] = start;
        let Self { index, arena, hasher, .. } = self;
        let hash_of = |entry: &Entry| hasher.hash_one(key_at(arena, entry.start));
        index.insert_unique(hasher.hash_one(key), Entry { slot, start }, hash_of);
    }

    /// The key of a slot; empty for a free one.
    pub(crate) fn key(&self, slot: usize) -> &[u8] {
        self.starts.get(slot).map_or(&[], |&start| key_at(&self.arena, start))
    }

    /// The keys in the order of their slots.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.starts.iter().filter(|start| !start.is_free()).map(|&start| key_at(&self.arena, start))
    }

    /// Frees a slot.
    pub(crate) fn remove(&mut self, slot: usize) {
        let hash = self.hasher.hash_one(self.key(slot));
        let Ok(entry) = self.index.find_entry(hash, |entry| entry.slot as usize == slot) else {
            return;
        };
        entry.remove();
        let start = std::mem::take(&mut self.starts[slot]);
        let len = key_at(&self.arena, start).len();
        if start.byte() + len == self.arena.len() {
            self.arena.truncate(start.len_byte());
        } else {
            self.garbage += ALIGN + len;
        }
        self.free.push(Reverse(slot as u32));
    }

    /// Gives memory back after many slots were freed. The new number of slots, if it is lower: columns shrink to it.
    pub(crate) fn shrink(&mut self) -> Option<usize> {
        if self.garbage > COMPACT_BYTES && self.garbage * 2 > self.arena.len() {
            self.compact();
        }
        let used = self.starts.iter().rposition(|start| !start.is_free()).map_or(0, |last| last + 1);
        if used * 2 > self.starts.len() || self.starts.len() < 1024 {
            return None;
        }
        self.starts.truncate(used);
        self.starts.shrink_to_fit();
        self.free.retain(|&Reverse(slot)| (slot as usize) < used);
        self.free.shrink_to_fit();
        let Self { index, arena, hasher, .. } = self;
        index.shrink_to_fit(|entry| hasher.hash_one(key_at(arena, entry.start)));
        Some(used)
    }

    fn compact(&mut self) {
        let padding = self.objects() * (ALIGN - 1);
        let mut arena = Vec::with_capacity((self.arena.len() - self.garbage + padding).min(self.arena.len()));
        let mut garbage = 0;
        for start in self.starts.iter_mut().filter(|start| !start.is_free()) {
            let (moved, padding) = append(&mut arena, key_at(&self.arena, *start));
            *start = moved;
            garbage += padding;
        }
        self.arena = arena;
        self.garbage = garbage;
        for entry in self.index.iter_mut() {
            entry.start = self.starts[entry.slot as usize];
        }
    }

    /// Bytes of memory held.
    #[cfg(test)]
    fn memory(&self) -> usize {
        self.arena.capacity()
            + self.starts.capacity() * size_of::<Start>()
            + self.index.allocation_size()
            + self.free.capacity() * size_of::<u32>()
    }
}

/// Appends a key behind its length: where it is, and how many bytes are lost before it.
fn append(arena: &mut Vec<u8>, key: &[u8]) -> (Start, usize) {
    let used = arena.len();
    arena.resize(used.next_multiple_of(ALIGN), 0);
    let padding = arena.len() - used;
    arena.extend_from_slice(&(key.len() as u32).to_le_bytes());
    let start = Start((arena.len() / ALIGN) as u32);
    arena.extend_from_slice(key);
    (start, padding)
}

/// The key that begins there; empty where none does.
fn key_at(arena: &[u8], start: Start) -> &[u8] {
    let Some((len, rest)) = arena.get(start.len_byte()..).and_then(|rest| rest.split_first_chunk()) else {
        return &[];
    };
    rest.get(..u32::from_le_bytes(*len) as usize).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_slot_is_used_first() {
        let mut slots = Slots::default();
        for key in ["a", "b", "c"] {
            slots.insert(key.as_bytes());
        }
        slots.remove(2);
        slots.remove(0);
        assert_eq!((slots.insert(b"d"), slots.insert(b"e")), (0, 2));
        assert_eq!(slots.find(b"b"), Some(1));
        assert_eq!(slots.find(b"a"), None);
    }

    #[test]
    fn keys_that_begin_alike_are_told_apart_through_churn_and_compaction() {
        let key = |n: usize| "k:".to_owned() + &"x".repeat(n);
        let mut slots = Slots::default();
        let numbers: Vec<usize> = (0..3000).map(|n| slots.insert(key(n).as_bytes())).collect();
        for n in (0..3000).filter(|n| n % 4 > 0) {
            slots.remove(numbers[n]);
        }
        slots.shrink();
        for (n, &number) in numbers.iter().enumerate() {
            let expected = (n % 4 == 0).then_some(number);
            assert_eq!(slots.find(key(n).as_bytes()), expected, "{n}");
            let (mut found, key) = ([UNKNOWN], key(n));
            slots.look_ahead(std::iter::once(key.as_bytes()), &mut found);
            assert_eq!(found[0] as usize, expected.unwrap_or(UNKNOWN as usize));
        }
        assert!(slots.arena.len() < 1_200_000, "the arena was compacted");
    }

    #[test]
    fn churn_holds_its_size() {
        let mut slots = Slots::default();
        let mut peak = 0;
        for n in 0..200_000u32 {
            slots.insert(format!("ObjectVNTable:default-domain:tenant:vn-{n:08}").as_bytes());
            if n >= 1000 {
                let old = format!("ObjectVNTable:default-domain:tenant:vn-{:08}", n - 1000);
                let slot = slots.find(old.as_bytes()).expect("inserted 1000 turns ago");
                slots.remove(slot);
                slots.shrink();
            }
            peak = peak.max(slots.memory());
        }
        assert_eq!(slots.objects(), 1000);
        assert!(peak < 400_000, "1000 objects took {peak} bytes");
    }

    #[test]
    fn a_drop_in_numbers_gives_memory_back() {
        let mut slots = Slots::default();
        for n in 0..10_000u32 {
            slots.insert(&n.to_be_bytes());
        }
        for slot in 100..10_000 {
            slots.remove(slot);
        }
        assert_eq!(slots.shrink(), Some(100));
        assert_eq!(slots.insert(b"new"), 100);
        assert_eq!(slots.find(&99u32.to_be_bytes()), Some(99));
    }
}
