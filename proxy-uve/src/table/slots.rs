//! Object keys and their dense numbers.
//!
//! An object is known by its key only at the door; everywhere else it is a *slot*, an index into the table's columns.
//! The key bytes live once, in an arena, so an object costs its key, 8 bytes to find it in the arena and 10 to 20 in
//! the index, which grows by doubling. A freed slot is used again, the lowest first: which slot an object gets depends only on the order of
//! the samples, never on hashing, so results come in the same order after every restart.

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
    spans: Vec<Span>,
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
pub(crate) const MAX_KEY_BYTES: usize = (1 << Span::LEN_BITS) - 1;

/// Where a slot's key is in the arena, and its length in the lower 24 bits; length 0 for a free slot.
#[derive(Clone, Copy, Debug, Default)]
struct Span(u64);

/// A slot, and where its key begins in the arena, in units of [`ALIGN`]: a look-up can read the key without reading the
/// span before. Memory that is not in a cache takes longer than all else that a look-up does.
#[derive(Clone, Copy, Debug)]
struct Entry {
    slot: u32,
    /// [`FAR`] for a key beyond what 32 bits reach, 16 GiB: then only the span knows.
    start: u32,
}

/// Keys begin at multiples of so many bytes.
const ALIGN: usize = 4;

const FAR: u32 = u32::MAX;

impl Entry {
    fn new(slot: u32, span: Span) -> Self {
        Self { slot, start: u32::try_from(span.start() / ALIGN).unwrap_or(FAR) }
    }
}

impl Span {
    const LEN_BITS: u32 = 24;

    fn new(start: usize, len: usize) -> Self {
        Self((start as u64) << Self::LEN_BITS | len as u64)
    }

    fn start(self) -> usize {
        (self.0 >> Self::LEN_BITS) as usize
    }

    fn len(self) -> usize {
        self.0 as usize & MAX_KEY_BYTES
    }

    fn is_free(self) -> bool {
        self.len() == 0
    }
}

impl Slots {
    /// The slots in use or free: columns have this length at most.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The objects known.
    pub(crate) fn objects(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn find(&self, key: &[u8]) -> Option<usize> {
        self.find_hashed(self.hasher.hash_one(key), key).map(|slot| slot as usize)
    }

    fn find_hashed(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.index.find(hash, |&entry| self.is_key_of(entry, key)).map(|entry| entry.slot)
    }

    /// Whether the entry is that of `key`: the bytes where it begins, and its length.
    fn is_key_of(&self, entry: Entry, key: &[u8]) -> bool {
        if entry.start == FAR {
            return self.key(entry.slot as usize) == key;
        }
        let start = entry.start as usize * ALIGN;
        self.arena.get(start..start + key.len()) == Some(key)
            && self.spans.get(entry.slot as usize).is_some_and(|span| span.len() == key.len())
    }

    /// Where each of `keys` is: its slot, or [`UNKNOWN`]. Changes nothing; right until a slot is removed.
    ///
    /// A look-up waits for memory four times, each time for the outcome of the one before: index, entry, span, key. Done
    /// key by key that is all there is to do. Here each step is a loop of its own, so short that the processor is many
    /// keys ahead of the one that it waits for, and waits for all of them at once.
    pub(crate) fn look_ahead<'k>(&self, keys: impl Iterator<Item = &'k [u8]> + Clone, slots: &mut [u32]) {
        let mut hashes = [0; BATCH];
        for (hash, key) in hashes.iter_mut().zip(keys.clone()) {
            *hash = self.hasher.hash_one(key);
        }
        for (slot, &hash) in slots.iter_mut().zip(&hashes) {
            // The first entry with the right tag: nearly always the right one.
            *slot = self.index.find(hash, |_| true).map_or(UNKNOWN, |entry| entry.slot);
        }
        let mut spans = [Span::default(); BATCH];
        for (span, &slot) in spans.iter_mut().zip(slots.iter()) {
            *span = self.spans.get(slot as usize).copied().unwrap_or_default();
        }
        self.touch(&spans[..slots.len()]);
        for (((slot, span), key), &hash) in slots.iter_mut().zip(spans).zip(keys).zip(&hashes) {
            if *slot != UNKNOWN && key_at(&self.arena, span) != key {
                *slot = self.find_hashed(hash, key).unwrap_or(UNKNOWN);
            }
        }
    }

    /// Reads the ends of keys for nothing but to have them in the cache.
    fn touch(&self, spans: &[Span]) {
        let byte = |at: usize| self.arena.get(at).copied().unwrap_or(0);
        let ends = |span: &Span| byte(span.start()) ^ byte(span.start() + span.len() - span.len().min(1));
        black_box(spans.iter().map(ends).fold(0, |sum: u8, ends| sum ^ ends));
    }

    /// The slot of a key that is not known yet. `key` is not empty, and no longer than [`MAX_KEY_BYTES`].
    pub(crate) fn insert(&mut self, key: &[u8]) -> usize {
        let slot = match self.free.pop() {
            Some(Reverse(slot)) => slot,
            None => {
                self.spans.push(Span::default());
                (self.spans.len() - 1) as u32
            }
        };
        self.put(slot, key);
        slot as usize
    }

    /// Gives a key the slot it had when it was saved. `false` if the slot or the key is taken.
    pub(crate) fn restore(&mut self, slot: usize, key: &[u8]) -> bool {
        if slot >= self.spans.len() {
            self.spans.resize(slot + 1, Span::default());
        }
        if !self.spans[slot].is_free() || self.find(key).is_some() {
            return false;
        }
        self.put(slot as u32, key);
        true
    }

    /// Ends a restore: the slots that no key took are free. Free ones after the last key need not be known: they are
    /// used after all others, in order, which is what a table without them does.
    pub(crate) fn finish_restore(&mut self) {
        let free = self.spans.iter().enumerate().filter(|(_, span)| span.is_free());
        self.free = free.map(|(slot, _)| Reverse(slot as u32)).collect();
    }

    fn put(&mut self, slot: u32, key: &[u8]) {
        // Keys are most of what an object takes: an eighth more room at a time, not twice as much.
        let needed = key.len() + ALIGN;
        if self.arena.capacity() - self.arena.len() < needed {
            self.arena.reserve_exact(needed.max(self.arena.len() / 8).max(1024));
        }
        self.garbage += pad(&mut self.arena);
        self.spans[slot as usize] = Span::new(self.arena.len(), key.len());
        self.arena.extend_from_slice(key);
        let Self { index, spans, arena, hasher, .. } = self;
        let key_of = |entry: &Entry| key_at(arena, spans[entry.slot as usize]);
        let entry = Entry::new(slot, spans[slot as usize]);
        index.insert_unique(hasher.hash_one(key), entry, |entry| hasher.hash_one(key_of(entry)));
    }

    /// The key of a slot; empty for a free one.
    pub(crate) fn key(&self, slot: usize) -> &[u8] {
        self.spans.get(slot).map_or(&[], |&span| key_at(&self.arena, span))
    }

    /// The keys in the order of their slots.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.spans.iter().filter(|span| !span.is_free()).map(|&span| key_at(&self.arena, span))
    }

    /// Frees a slot.
    pub(crate) fn remove(&mut self, slot: usize) {
        let hash = self.hasher.hash_one(self.key(slot));
        let Ok(entry) = self.index.find_entry(hash, |entry| entry.slot as usize == slot) else {
            return;
        };
        entry.remove();
        let span = std::mem::take(&mut self.spans[slot]);
        if span.start() + span.len() == self.arena.len() {
            self.arena.truncate(span.start());
        } else {
            self.garbage += span.len();
        }
        self.free.push(Reverse(slot as u32));
    }

    /// Gives memory back after many slots were freed. The new number of slots, if it is lower: columns shrink to it.
    pub(crate) fn shrink(&mut self) -> Option<usize> {
        if self.garbage > COMPACT_BYTES && self.garbage * 2 > self.arena.len() {
            self.compact();
        }
        let used = self.spans.iter().rposition(|span| !span.is_free()).map_or(0, |last| last + 1);
        if used * 2 > self.spans.len() || self.spans.len() < 1024 {
            return None;
        }
        self.spans.truncate(used);
        self.spans.shrink_to_fit();
        self.free.retain(|&Reverse(slot)| (slot as usize) < used);
        self.free.shrink_to_fit();
        let Self { index, spans, arena, hasher, .. } = self;
        index.shrink_to_fit(|entry| hasher.hash_one(key_at(arena, spans[entry.slot as usize])));
        Some(used)
    }

    fn compact(&mut self) {
        let padding = self.objects() * (ALIGN - 1);
        let mut arena = Vec::with_capacity((self.arena.len() - self.garbage + padding).min(self.arena.len()));
        let mut garbage = 0;
        for span in self.spans.iter_mut().filter(|span| !span.is_free()) {
            garbage += pad(&mut arena);
            let start = arena.len();
            arena.extend_from_slice(key_at(&self.arena, *span));
            *span = Span::new(start, arena.len() - start);
        }
        self.arena = arena;
        self.garbage = garbage;
        for entry in self.index.iter_mut() {
            *entry = Entry::new(entry.slot, self.spans[entry.slot as usize]);
        }
    }

    /// Bytes of memory held.
    #[cfg(test)]
    fn memory(&self) -> usize {
        self.arena.capacity()
            + self.spans.capacity() * size_of::<Span>()
            + self.index.allocation_size()
            + self.free.capacity() * size_of::<u32>()
    }
}

/// Fills the arena up to where a key may begin. How many bytes that takes.
fn pad(arena: &mut Vec<u8>) -> usize {
    let padded = arena.len().next_multiple_of(ALIGN);
    let padding = padded - arena.len();
    arena.resize(padded, 0);
    padding
}

fn key_at(arena: &[u8], span: Span) -> &[u8] {
    &arena[span.start()..span.start() + span.len()]
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
