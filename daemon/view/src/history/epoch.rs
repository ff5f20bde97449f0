//! A part of the index that has its own numbers of objects.
//!
//! The results of a window are in the order in which a partition has its objects, and that order changes little from
//! window to window. An epoch numbers the objects in the order of their first results. A record of 64 KiB therefore has
//! the objects of one range of numbers, and a few others that are new or come in another order.

use std::collections::VecDeque;
use std::hint::black_box;

use hashbrown::HashTable;

use super::ranges::{Range, Ranges, contain};

const MIB: u64 = 1024 * 1024;

/// An epoch is closed when it has so many bytes of results, ...
const MIN_BYTES: u64 = 256 * MIB;
/// ... and so many for each byte of its keys, so that these add half a percent at most.
const BYTES_PER_KEY_BYTE: u64 = 200;

/// It is closed earlier when so many bytes of results have objects in another order, as after a restart, ...
const MIN_LOOSE_BYTES: u64 = 16 * MIB;
/// ... and so many for each byte of its keys.
const LOOSE_BYTES_PER_KEY_BYTE: u64 = 100;

/// The most objects of an epoch, so that its memory is bounded: 30 MB. Records with others have to be read by all.
pub(super) const MAX_OBJECTS: usize = 2 * 1024 * 1024;

/// Odd numbers without a pattern, of the hash.
const FACTOR: u64 = 0xA24B_AED4_963E_E407;
const SEED: u64 = 0x9FB2_1C65_1E98_DF25;

/// The number of an object in the epoch that takes new entries, as the view keeps it with the object; none at first.
///
/// An epoch begins to count where the one before it has ended, so that the number of an earlier epoch is none of this
/// one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct KeptNumber(u32);

/// The objects and the entries of an epoch.
#[derive(Debug, Default)]
pub(super) struct Epoch {
    /// The first offset.
    pub first: u64,
    /// The kept number of the object 0; not 0, which is none.
    pub first_number: u32,
    /// The offset after the last entry.
    pub end: u64,
    /// The hash of the key of each object, by its number. Objects with the same hash have one number.
    pub hashes: Vec<u32>,
    /// The retained entries, the oldest first and without gaps.
    pub entries: VecDeque<Entry>,
    /// The bytes of its results.
    pub bytes: u64,
    /// The bytes of those whose entries name many objects that they do not have.
    pub loose_bytes: u64,
    /// The numbers of the objects; empty once the epoch is closed.
    by_hash: HashTable<u32>,
    /// The object of the last row.
    last: u32,
}

/// Some consecutive records.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    /// The offset of the first record.
    pub first: u64,
    /// When it was committed (µs UTC).
    pub committed: u64,
    /// The earliest and the latest start of a window (µs).
    pub starts: (u64, u64),
    /// The objects that may have results in it.
    pub ranges: Box<[Range]>,
}

impl Epoch {
    /// An epoch that begins at an offset and with a kept number.
    pub(super) fn new(first: u64, first_number: u32) -> Self {
        Self { first, first_number, end: first, last: u32::MAX, ..Self::default() }
    }

    /// The kept number of the first object of the next epoch; `None` if there may be too few for all its objects.
    pub(super) fn next_number(&self) -> Option<u32> {
        let next = self.first_number.checked_add(u32::try_from(self.hashes.len()).ok()?)?;
        (next <= u32::MAX - MAX_OBJECTS as u32).then_some(next)
    }

    /// The number of an object whose kept number is of this epoch.
    #[inline]
    pub(super) fn of_kept(&self, KeptNumber(kept): KeptNumber) -> Option<u32> {
        let number = kept.wrapping_sub(self.first_number);
        ((number as usize) < self.hashes.len()).then_some(number)
    }

    /// What the view keeps of a number of this epoch.
    pub(super) fn to_keep(&self, number: u32) -> KeptNumber {
        KeptNumber(self.first_number + number)
    }

    /// The number of the object with a hash, a new one if it has none; `None` if there are too many.
    pub(super) fn number(&mut self, hash: u32) -> Option<u32> {
        let next = self.last.wrapping_add(1);
        if self.hashes.get(next as usize) == Some(&hash) {
            self.last = next;
            return Some(next);
        }
        let Self { hashes, by_hash, .. } = self;
        let known = by_hash.find(spread(hash), |number| hashes.get(*number as usize) == Some(&hash)).copied();
        let number = known.or_else(|| self.add(hash))?;
        self.last = number;
        Some(number)
    }

    /// Reads what [`number`](Self::number) will read for these hashes if they are in another order than before: one after
    /// the other without any work between them, so that the processor waits for the memory of many at a time.
    pub(super) fn look_ahead(&self, hashes: &[u32]) {
        let expected = self.hashes.get(self.last.wrapping_add(1) as usize..).unwrap_or_default();
        if !expected.starts_with(hashes) {
            let numbers = hashes.iter().filter_map(|hash| self.by_hash.find(spread(*hash), |_| true));
            let found = numbers.filter_map(|number| self.hashes.get(*number as usize));
            black_box(found.fold(0, |sum: u32, hash| sum ^ hash));
        }
    }

    fn add(&mut self, hash: u32) -> Option<u32> {
        let number = u32::try_from(self.hashes.len()).ok().filter(|_| self.hashes.len() < MAX_OBJECTS)?;
        self.hashes.push(hash);
        let Self { hashes, by_hash, .. } = self;
        let hash_of = |number: &u32| spread(hashes.get(*number as usize).copied().unwrap_or_default());
        by_hash.insert_unique(spread(hash), number, hash_of);
        Some(number)
    }

    /// Adds an entry that ends before the offset `end` and has so many bytes.
    pub(super) fn push(&mut self, entry: Entry, end: u64, bytes: u64, is_loose: bool) {
        self.entries.push_back(entry);
        self.end = end;
        self.bytes += bytes;
        self.loose_bytes += if is_loose { bytes } else { 0 };
    }

    /// Whether the next entry belongs to another epoch.
    pub(super) fn is_full(&self) -> bool {
        let key_bytes = 4 * self.hashes.len() as u64;
        self.bytes >= MIN_BYTES.max(BYTES_PER_KEY_BYTE * key_bytes)
            || self.loose_bytes >= MIN_LOOSE_BYTES.max(LOOSE_BYTES_PER_KEY_BYTE * key_bytes)
    }

    /// Frees what only further entries need.
    pub(super) fn close(&mut self) {
        self.by_hash = HashTable::new();
        self.hashes.shrink_to_fit();
        self.entries.shrink_to_fit();
    }

    /// The same with what further entries need.
    pub(super) fn reopen(&mut self) {
        let hashes = std::mem::take(&mut self.hashes);
        (self.by_hash, self.last) = (HashTable::with_capacity(hashes.len()), u32::MAX);
        for hash in hashes {
            self.add(hash);
        }
    }

    /// Forgets entries that end at or before an offset.
    pub(super) fn retire(&mut self, before: u64) {
        while self.entries.get(1).is_some_and(|second| second.first <= before) {
            self.entries.pop_front();
        }
    }

    /// The entries that may have results of the object with a hash, the newest first, each with its end.
    pub(super) fn find(&self, hash: u32) -> impl Iterator<Item = (&Entry, u64)> {
        let number = self.hashes.iter().position(|known| *known == hash).map_or(u32::MAX, |number| number as u32);
        self.spans().filter(move |(entry, _)| contain(&entry.ranges, number))
    }

    /// All entries, the newest first, each with its end.
    fn spans(&self) -> impl Iterator<Item = (&Entry, u64)> {
        let ends = std::iter::once(self.end).chain(self.entries.iter().rev().map(|entry| entry.first));
        self.entries.iter().rev().zip(ends)
    }

    /// The memory that it takes.
    pub(super) fn memory(&self) -> usize {
        let ranges: usize = self.entries.iter().map(|entry| size_of_val(&*entry.ranges)).sum();
        let entries = self.entries.capacity() * size_of::<Entry>();
        self.hashes.capacity() * 4 + self.by_hash.allocation_size() + entries + ranges
    }
}

impl Entry {
    pub(super) fn new(first: u64, committed: u64, starts: (u64, u64), ranges: Ranges) -> Self {
        Self { first, committed, starts, ranges: ranges.ranges }
    }
}

fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The hash of a key, which the stored index has: of little-endian words of eight bytes, the last one filled with
/// zeros. The product of 128 bits folds its high half, which all bits of a word reach, onto the low one.
pub(super) fn hash_of(key: &str) -> u32 {
    let mix = |state: u64, word: u64| {
        let product = u128::from(state ^ word) * u128::from(FACTOR);
        product as u64 ^ (product >> 64) as u64
    };
    let mut words = key.as_bytes().chunks_exact(8);
    let mut state = SEED ^ key.len() as u64;
    for word in words.by_ref() {
        state = mix(state, word.try_into().map_or(0, u64::from_le_bytes));
    }
    let rest = words.remainder().iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    (mix(mix(state, rest), SEED) >> 32) as u32
}
