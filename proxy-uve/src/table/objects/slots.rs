//! Object keys and their dense numbers.
//!
//! An object is identified by its key only at ingest; everywhere else it is a *slot*, an index into the table's
//! columns. The key bytes are stored once, in an arena, behind their length, so an object costs its key, 8 bytes to
//! find it in the arena and 10 to 20 in the index, which grows by doubling. A freed slot is used again, the lowest
//! first: which slot an object gets depends only on the order of the samples, never on hashing, so results come in the
//! same order after every restart.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::BuildHasher;
use std::hint::black_box;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::key::{KeyError, ObjectKey};
use crate::table::TableSettings;
use crate::table::objects::arena::{Arena, Start};

/// Keys and slots, in both directions, and the limits of both.
#[derive(Debug)]
pub(in crate::table) struct Slots {
    index: HashTable<Entry>,
    /// The start of each slot's key.
    starts: Vec<Start>,
    arena: Arena,
    free: BinaryHeap<Reverse<u32>>,
    /// A fixed seed: the index is never iterated, so an attacker gains only collisions, and the keys of a partition
    /// are bounded in number.
    hasher: FixedState,
    /// See [`TableSettings::max_objects`].
    max_objects: usize,
    /// See [`TableSettings::max_key_bytes`].
    max_key_bytes: usize,
}

/// The most keys of one look-up.
pub(in crate::table) const BATCH: usize = 64;

/// No slot.
pub(in crate::table) const UNKNOWN: u32 = u32::MAX;

/// The longest key that there is room for, in bytes: 16 MiB.
pub(in crate::table) const MAX_KEY_BYTES: usize = (1 << 24) - 1;

/// A slot, and where its key begins: a look-up need not read [`Slots::starts`] in between. Memory that is not in a
/// cache takes longer than all other steps of a look-up.
#[derive(Clone, Copy, Debug)]
struct Entry {
    slot: u32,
    start: Start,
}

impl Entry {
    /// The entry of no key.
    const NONE: Self = Self { slot: UNKNOWN, start: Start::NONE };
}

impl Slots {
    /// An empty key map.
    pub(in crate::table) fn new(settings: &TableSettings) -> Self {
        Self {
            index: HashTable::new(),
            starts: Vec::new(),
            arena: Arena::default(),
            free: BinaryHeap::new(),
            hasher: FixedState::default(),
            max_objects: settings.max_objects,
            max_key_bytes: settings.max_key_bytes.min(MAX_KEY_BYTES),
        }
    }

    /// Checks the form and the length of a key.
    pub(in crate::table) fn check(&self, key: &[u8]) -> Result<(), KeyError> {
        ObjectKey::parse_within(key, self.max_key_bytes).map(|_| ())
    }

    /// The slots in use or free: columns have this length at most.
    pub(in crate::table) fn len(&self) -> usize {
        self.starts.len()
    }

    /// The objects known.
    pub(in crate::table) fn objects(&self) -> usize {
        self.index.len()
    }

    pub(in crate::table) fn find(&self, key: &[u8]) -> Option<usize> {
        self.find_hashed(self.hasher.hash_one(key), key).map(|slot| slot as usize)
    }

    fn find_hashed(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.index.find(hash, |entry| self.arena.is_at(entry.start, key)).map(|entry| entry.slot)
    }

    /// The slot of each of `keys`, or [`UNKNOWN`]. Valid until a slot is removed.
    ///
    /// A look-up waits for memory three times, each time for the outcome of the one before: index, entry, key. Here
    /// each step is a loop of its own, so short that the processor runs many keys ahead of the one that it waits for,
    /// and the waits overlap.
    pub(in crate::table) fn look_ahead<'k>(&self, keys: impl Iterator<Item = &'k [u8]> + Clone, slots: &mut [u32]) {
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
                slot if self.arena.is_at(entry.start, key) => slot,
                _ => self.find_hashed(hash, key).unwrap_or(UNKNOWN),
            };
        }
    }

    /// Reads the ends of keys, only to bring them into the cache.
    fn touch<'k>(&self, entries: &[Entry], keys: impl Iterator<Item = &'k [u8]>) {
        let ends = |(entry, key): (&Entry, &[u8])| self.arena.ends(entry.start, key.len());
        black_box(entries.iter().zip(keys).map(ends).fold(0, |sum: u8, ends| sum ^ ends));
    }

    /// The slot of a [checked](Self::check) key, which gets one if it is new; `None` if there are as many objects as
    /// are allowed.
    pub(in crate::table) fn find_or_insert(&mut self, key: &[u8]) -> Option<usize> {
        let known = self.find(key);
        let has_room = self.objects() < self.max_objects && self.arena.has_room_for(key);
        known.or_else(|| has_room.then(|| self.insert(key)))
    }

    /// The slot of a key that is not known yet. `key` is not empty, no longer than [`MAX_KEY_BYTES`], and has room.
    fn insert(&mut self, key: &[u8]) -> usize {
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

    /// Makes room in the index for the objects of a restore: without it, each growth of the index hashes all keys again.
    pub(in crate::table) fn reserve(&mut self, objects: usize) {
        let Self { index, arena, hasher, .. } = self;
        let more = objects.min(self.max_objects).saturating_sub(index.len());
        index.reserve(more, |entry| hasher.hash_one(arena.key(entry.start)));
    }

    /// Gives a key the slot that it had when it was saved. `false` if the slot or the key is taken, or there is no
    /// room.
    pub(in crate::table) fn restore(&mut self, slot: usize, key: &[u8]) -> bool {
        if slot >= self.starts.len() {
            self.starts.resize(slot + 1, Start::default());
        }
        if !self.starts[slot].is_none() || self.find(key).is_some() || !self.arena.has_room_for(key) {
            return false;
        }
        self.put(slot as u32, key);
        true
    }

    /// Ends a restore: the slots that no key took are free. Free ones after the last key are not kept: they would be
    /// used after all others, in order, which is what a table without them does.
    pub(in crate::table) fn finish_restore(&mut self) {
        let free = self.starts.iter().enumerate().filter(|(_, start)| start.is_none());
        self.free = free.map(|(slot, _)| Reverse(slot as u32)).collect();
        // Chunks may have been nearly empty.
        let Self { index, arena, hasher, .. } = self;
        if index.capacity() / 4 > index.len() {
            index.shrink_to(index.len(), |entry| hasher.hash_one(arena.key(entry.start)));
        }
    }

    fn put(&mut self, slot: u32, key: &[u8]) {
        let start = self.arena.push(key);
        self.starts[slot as usize] = start;
        let Self { index, arena, hasher, .. } = self;
        let hash_of = |entry: &Entry| hasher.hash_one(arena.key(entry.start));
        index.insert_unique(hasher.hash_one(key), Entry { slot, start }, hash_of);
    }

    /// The key of a slot; empty for a free one.
    pub(in crate::table) fn key(&self, slot: usize) -> &[u8] {
        self.starts.get(slot).map_or(&[], |&start| self.arena.key(start))
    }

    /// The keys in the order of their slots.
    pub(in crate::table) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.starts.iter().filter(|start| !start.is_none()).map(|&start| self.arena.key(start))
    }

    /// Frees a slot.
    pub(in crate::table) fn remove(&mut self, slot: usize) {
        let hash = self.hasher.hash_one(self.key(slot));
        let Ok(entry) = self.index.find_entry(hash, |entry| entry.slot as usize == slot) else {
            return;
        };
        entry.remove();
        let start = std::mem::take(&mut self.starts[slot]);
        self.arena.remove(start);
        self.free.push(Reverse(slot as u32));
    }

    /// Gives memory back after many slots were freed. The new number of slots, if it is lower: columns shrink to it.
    pub(in crate::table) fn shrink(&mut self) -> Option<usize> {
        if self.arena.is_sparse() {
            self.compact();
        }
        let used = self.starts.iter().rposition(|start| !start.is_none()).map_or(0, |last| last + 1);
        if used * 2 > self.starts.len() || self.starts.len() < 1024 {
            return None;
        }
        self.starts.truncate(used);
        self.starts.shrink_to_fit();
        self.free.retain(|&Reverse(slot)| (slot as usize) < used);
        self.free.shrink_to_fit();
        let Self { index, arena, hasher, .. } = self;
        index.shrink_to_fit(|entry| hasher.hash_one(arena.key(entry.start)));
        Some(used)
    }

    fn compact(&mut self) {
        let count = self.objects();
        self.arena.compact(self.starts.iter_mut().filter(|start| !start.is_none()), count);
        for entry in self.index.iter_mut() {
            entry.start = self.starts[entry.slot as usize];
        }
    }

    /// Bytes of memory held.
    #[cfg(test)]
    fn memory(&self) -> usize {
        self.arena.memory()
            + self.starts.capacity() * size_of::<Start>()
            + self.index.allocation_size()
            + self.free.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_slot_is_used_first() {
        let mut slots = Slots::new(&TableSettings::default());
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
        let mut slots = Slots::new(&TableSettings::default());
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
        let mut slots = Slots::new(&TableSettings::default());
        let mut peak = 0;
        for n in 0..200_000u32 {
            slots.insert(format!("ObjectVNTable:default-domain:tenant:vn-{n:08}").as_bytes());
            if n >= 1000 {
                let old = format!("ObjectVNTable:default-domain:tenant:vn-{:08}", n - 1000);
                let slot = slots.find(old.as_bytes()).expect("inserted 1000 iterations ago");
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
        let mut slots = Slots::new(&TableSettings::default());
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
