//! The index from an object to its results in the log, for the history of an object.
//!
//! The index is a list of entries. An entry stands for consecutive records, about 64 KiB of results, and names the
//! objects that may have results in them. A history reads the records of the entries that name its object, and no
//! others. An entry may name objects that it does not have, never the reverse, so a history reads too much at worst.
//!
//! | module | content |
//! |---|---|
//! | [`ranges`] | the objects of an entry, as ranges of numbers |
//! | [`epoch`] | the numbers of the objects, and the entries with these numbers |
//! | [`read`](mod@read), [`alarms`] | the results of an object, and its alarms |
//! | [`piece`], [`stored`] | the index in the state of the log, so that a start reads no results for it |
//!
//! The view adds the results as it reads them. What is not in the index (the newest results, those from before a gap or
//! from an earlier build) is read as a whole.

mod alarms;
mod epoch;
mod piece;
mod ranges;
mod read;
mod stored;

use std::collections::VecDeque;
use std::ops::Range;

use daemon_results::block::{BATCH, Row};

use self::epoch::{Entry, Epoch, hash_of};
use self::ranges::Runs;

pub use self::epoch::KeptNumber;
pub use self::read::{Wanted, read};
pub use self::stored::{IndexStore, NAME};

/// The size of the records of an entry, unless a single one is larger.
const ENTRY_BYTES: u64 = 64 * 1024;

/// The most epochs, and the most memory when another one begins. With more, the oldest one is forgotten, and its
/// results are read as a whole.
const MAX_EPOCHS: usize = 256;
const MAX_MEMORY: usize = 256 * 1024 * 1024;

/// The first kept number of an era; 0 is none.
const FIRST_NUMBER: u32 = 1;

/// The most offsets of a span that is in the index.
const MAX_SPAN: u64 = 16;

/// The index of the results of one log.
#[derive(Debug, Default)]
pub struct ResultIndex {
    /// The oldest first; the last one takes new entries.
    epochs: VecDeque<Epoch>,
    open: Option<OpenEntry>,
    /// The offset after the last record that was added.
    next: u64,
    /// The record that further results may be added to.
    begun: Option<u64>,
    /// Counts how often the kept numbers began again at the first one.
    era: u32,
}

/// A record whose results are added to the index.
#[derive(Debug)]
pub struct RecordIndex<'i> {
    index: &'i mut ResultIndex,
    record: RecordHead,
}

impl<'i> RecordIndex<'i> {
    /// Adds a record that may have no results.
    pub fn new(index: &'i mut ResultIndex, record: RecordHead) -> Self {
        // A new epoch begins now, if one does, and not while kept numbers are in use.
        index.add_empty(record);
        Self { index, record }
    }

    /// Adds results; see [`ResultIndex::add_rows`].
    pub fn add_rows(&mut self, rows: &[Row<'_>], kept: &mut [KeptNumber; BATCH]) {
        self.index.add_rows(self.record, rows, kept);
    }

    /// The era of the kept numbers: those of an earlier one have to be forgotten.
    pub fn era(&self) -> u32 {
        self.index.era
    }
}

/// The entry that takes further records.
#[derive(Debug)]
struct OpenEntry {
    first: u64,
    committed: u64,
    starts: (u64, u64),
    bytes: u64,
    objects: Runs,
}

impl OpenEntry {
    fn add_start(&mut self, start: u64) {
        self.starts = (self.starts.0.min(start), self.starts.1.max(start));
    }

    fn add_number(&mut self, number: Option<u32>) {
        match number {
            Some(number) => self.objects.push(number),
            None => self.objects.push_all(),
        }
    }

    /// Adds at most [`BATCH`] results.
    fn add_rows(&mut self, epoch: &mut Epoch, rows: &[Row<'_>], kept: &mut [KeptNumber; BATCH]) {
        debug_assert!(rows.len() <= BATCH, "{} results in a batch", rows.len());
        rows.iter().for_each(|row| self.add_start(row.start));
        let (mut numbers, mut hashes) = ([None; BATCH], [0; BATCH]);
        let (mut row, mut unknown) = (0, 0);
        for (of_object, number) in by_object(rows).zip(&mut numbers) {
            *number = epoch.of_kept(kept[row]);
            if number.is_none() {
                hashes[unknown] = hash_of(of_object[0].key);
                unknown += 1;
            }
            row += of_object.len();
        }
        epoch.look_ahead(&hashes[..unknown]);
        let (mut hashes, mut kept) = (hashes.iter(), &mut kept[..]);
        for (of_object, number) in by_object(rows).zip(numbers) {
            let (of_this, others) = kept.split_at_mut(of_object.len());
            kept = others;
            let number = number.or_else(|| {
                let number = hashes.next().and_then(|hash| epoch.number(*hash));
                of_this.fill(number.map(|number| epoch.to_keep(number)).unwrap_or_default());
                number
            });
            self.add_number(number);
        }
    }
}

/// The results of each object: they come mostly together, and then borrow the same key.
fn by_object<'r, 'k>(rows: &'r [Row<'k>]) -> impl Iterator<Item = &'r [Row<'k>]> {
    rows.chunk_by(|row, next| std::ptr::eq(row.key, next.key))
}

/// A record without its results.
#[derive(Clone, Copy, Debug)]
pub struct RecordHead {
    /// The offset of the record in the results log.
    pub offset: u64,
    /// The size of the record.
    pub bytes: usize,
    /// When it was committed (µs UTC).
    pub committed: u64,
}

/// Consecutive records that a history has to read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    /// The first offset of a record.
    pub from: u64,
    /// The offset after the last record.
    pub to: u64,
    /// Whether the index names them; else nothing is known about them.
    pub is_indexed: bool,
}

impl ResultIndex {
    /// Adds a record with these results; nothing if it was added before. With the same record again, directly after it,
    /// the results are further ones.
    ///
    /// `kept` has for each result, at most [`BATCH`], the number of its object that an earlier call left there, and gets
    /// the present one: an object whose number is known is neither hashed nor looked up.
    fn add_rows(&mut self, record: RecordHead, rows: &[Row<'_>], kept: &mut [KeptNumber; BATCH]) {
        if let Some((epoch, open)) = self.begin(record) {
            open.add_rows(epoch, rows, kept);
        }
    }

    /// Adds a record with a result or a row of alarms of the object `key`, as [`add_rows`](Self::add_rows) does with many.
    pub fn add_object(&mut self, record: RecordHead, key: &str, start: u64) {
        if let Some((epoch, open)) = self.begin(record) {
            open.add_start(start);
            open.add_number(epoch.number(hash_of(key)));
        }
    }

    /// Adds a record without results of objects, so far.
    pub fn add_empty(&mut self, record: RecordHead) {
        self.begin(record);
    }

    /// Adds a record that may have results of any object.
    pub fn add_unknown(&mut self, record: RecordHead) {
        if let Some((_, open)) = self.begin(record) {
            open.starts = (0, u64::MAX);
            open.objects.push_all();
        }
    }

    /// There are no records before this offset that were not added: in a log where other things have offsets, too.
    pub fn skip_to(&mut self, offset: u64) {
        if !self.epochs.is_empty() && offset > self.next {
            (self.next, self.begun) = (offset, None);
        }
    }

    /// The entry and the epoch for a record; `None` if the record was added before.
    fn begin(&mut self, record: RecordHead) -> Option<(&mut Epoch, &mut OpenEntry)> {
        let RecordHead { offset, bytes, committed } = record;
        if self.begun == Some(offset) {
            return Some((self.epochs.back_mut()?, self.open.as_mut()?));
        }
        let bytes = bytes as u64;
        if offset < self.next && !self.epochs.is_empty() {
            return None;
        }
        let is_full = |open: &OpenEntry| open.bytes + bytes > ENTRY_BYTES;
        if offset != self.next || self.open.as_ref().is_some_and(is_full) {
            self.flush();
        }
        if offset != self.next || self.epochs.is_empty() {
            self.begin_epoch(offset);
        }
        (self.next, self.begun) = (offset + 1, Some(offset));
        let new = OpenEntry { first: offset, committed, starts: (u64::MAX, 0), bytes: 0, objects: Runs::default() };
        let open = self.open.get_or_insert(new);
        open.bytes += bytes;
        Some((self.epochs.back_mut()?, open))
    }

    /// Becomes another index, in an era of its own: numbers that were kept before are none of it.
    pub fn replace(&mut self, by: Self) {
        *self = Self { era: self.era.wrapping_add(1), ..by };
    }

    /// Closes the open entry, whose last record is complete.
    fn flush(&mut self) {
        self.begun = None;
        let Some(mut open) = self.open.take() else { return };
        let Some(epoch) = self.epochs.back_mut() else { return };
        let ranges = open.objects.take();
        let is_loose = ranges.are_loose();
        epoch.push(Entry::new(open.first, open.committed, open.starts, ranges), self.next, open.bytes, is_loose);
        if epoch.is_full() {
            self.begin_epoch(self.next);
        }
    }

    fn begin_epoch(&mut self, first: u64) {
        if let Some(last) = self.epochs.back_mut() {
            last.close();
        }
        while self.epochs.len() >= MAX_EPOCHS || (self.epochs.len() > 1 && self.memory() > MAX_MEMORY) {
            self.epochs.pop_front();
        }
        let first_number = match self.epochs.back().map(Epoch::next_number) {
            Some(Some(number)) => number,
            Some(None) => {
                self.era = self.era.wrapping_add(1);
                FIRST_NUMBER
            }
            None => FIRST_NUMBER,
        };
        self.epochs.push_back(Epoch::new(first, first_number));
    }

    /// Forgets the results before an offset, which the log has deleted.
    pub fn retire(&mut self, before: u64) {
        while self.epochs.len() > 1 && self.epochs.front().is_some_and(|epoch| epoch.end <= before) {
            self.epochs.pop_front();
        }
        if let Some(epoch) = self.epochs.front_mut() {
            epoch.retire(before);
        }
    }

    /// What a history has to read, the newest first, to have all results of an object at these offsets whose windows
    /// start at these times.
    pub fn spans(&self, key: &str, offsets: Range<u64>, starts: Range<u64>) -> Vec<Span> {
        let (hash, floor, mut spans) = (hash_of(key), offsets.start, Vec::new());
        let mut add = |from: u64, to: u64, is_indexed: bool| add_span(&mut spans, from.max(floor), to, is_indexed);
        let mut to = offsets.end;
        for epoch in self.epochs.iter().rev().skip_while(|epoch| epoch.first >= offsets.end) {
            let Some(first) = epoch.entries.front().map(|entry| entry.first) else { continue };
            add(epoch.end, to, false);
            to = to.min(epoch.end);
            for (entry, end) in epoch.find(hash) {
                if entry.starts.0 < starts.end && entry.starts.1 >= starts.start {
                    add(entry.first, end.min(to), true);
                }
            }
            to = to.min(first);
        }
        add(floor, to, false);
        spans
    }

    /// Whether it has results or rows of alarms of an object; of one of four billion others it may take them for its.
    pub fn has(&self, key: &str) -> bool {
        let hash = hash_of(key);
        self.epochs.iter().any(|epoch| epoch.hashes.contains(&hash))
    }

    /// When the oldest record was committed of which the index knows it, from an offset on.
    pub fn committed_from(&self, offset: u64) -> Option<u64> {
        let epoch = self.epochs.iter().find(|epoch| epoch.end > offset)?;
        let after = epoch.entries.partition_point(|entry| entry.first < offset);
        let in_next = || self.epochs.iter().find_map(|next| next.entries.front().filter(|it| it.first >= offset));
        epoch.entries.get(after).or_else(in_next).map(|entry| entry.committed)
    }

    /// The memory that it takes, in bytes.
    pub fn memory(&self) -> usize {
        self.epochs.iter().map(Epoch::memory).sum()
    }

    /// The number of these offsets that are not in the index.
    pub fn missing(&self, offsets: Range<u64>) -> u64 {
        let known = |epoch: &Epoch| {
            let first = epoch.entries.front().map_or(epoch.end, |entry| entry.first);
            epoch.end.min(offsets.end).saturating_sub(first.max(offsets.start))
        };
        let all = offsets.end.saturating_sub(offsets.start);
        all.saturating_sub(self.epochs.iter().map(known).sum())
    }
}

/// Adds a span in front of the others, or makes the last one longer.
fn add_span(spans: &mut Vec<Span>, from: u64, to: u64, is_indexed: bool) {
    if from >= to {
        return;
    }
    match spans.last_mut() {
        Some(last)
            if last.from == to && last.is_indexed == is_indexed && (!is_indexed || last.to - from <= MAX_SPAN) =>
        {
            last.from = from;
        }
        _ => spans.push(Span { from, to, is_indexed }),
    }
}

#[cfg(test)]
mod tests;
