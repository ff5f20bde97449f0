//! The running sums and detectors, found by key in batches.
//!
//! An index of 8-byte cells (part of the hash, number of the entry) leads to entries that lie side by side, each two
//! cache lines with its key inside. A look-up alone would wait for two cache misses; a batch first reads all its cells,
//! then all its entries, so that the processor waits for many at once. Plain reads serve: a prefetch instruction needs
//! `unsafe`, and the waiting is shared either way.

use std::hash::BuildHasher;
use std::hint::black_box;
use std::io::Write;

use anyhow::{Context, Result, bail, ensure};
use foldhash::fast::FixedState;

use benches::MINUTE;
use benches::job::{Ewm, push_row};

use crate::parse::Record;

/// The longest key: what makes an entry fill two cache lines.
const KEY_BYTES: usize = 96;

/// The cells of an index at the start; a power of two.
const FIRST_CELLS: usize = 1 << 10;

/// Rows are written when this many bytes of them wait.
const ROWS_BYTES: usize = 64 << 10;

/// All (key, attribute) pairs.
pub(crate) struct Table {
    /// Empty (0), or the high half of the hash above the entry's number plus one.
    cells: Vec<u64>,
    entries: Vec<Entry>,
    /// The open minute, in minutes since the epoch.
    minute: u64,
    hasher: FixedState,
}

#[derive(Clone)]
#[repr(align(128))]
struct Entry {
    key: [u8; KEY_BYTES],
    key_length: u16,
    attribute: u16,
    /// Samples of the open minute.
    samples: u32,
    sum: u64,
    ewm: Ewm,
}

/// A record that waits in a batch.
pub(crate) struct Planned<'b> {
    key: &'b [u8],
    attribute: u16,
    minute: u64,
    value: u64,
    tag: u32,
    cell: u64,
}

impl Default for Table {
    fn default() -> Self {
        Self { cells: vec![0; FIRST_CELLS], entries: Vec::new(), minute: 0, hasher: FixedState::with_seed(0) }
    }
}

impl Table {
    /// Hashes a record for the next batch.
    #[inline]
    pub(crate) fn plan<'b>(&self, record: &Record<'b>, attribute: u16) -> Planned<'b> {
        let tag = (self.hasher.hash_one((record.key, attribute)) >> 32) as u32;
        Planned { key: record.key, attribute, minute: record.at / MINUTE, value: record.value, tag, cell: 0 }
    }

    /// Adds the batch; when it enters a new minute, the old one's rows are written first.
    pub(crate) fn apply(
        &mut self,
        batch: &mut [Planned<'_>],
        attributes: &Attributes,
        rows: &mut impl Write,
    ) -> Result<()> {
        self.touch(batch);
        for planned in batch {
            if planned.minute != self.minute {
                ensure!(planned.minute > self.minute, "a record of an earlier minute");
                self.close(attributes, rows)?;
                self.minute = planned.minute;
            }
            let number = match self.find(planned) {
                Some(number) => number,
                None => self.insert(planned)?,
            };
            let entry = &mut self.entries[number];
            entry.sum += planned.value;
            entry.samples += 1;
        }
        Ok(())
    }

    /// Ends the open minute: one row for each entry with samples.
    pub(crate) fn close(&mut self, attributes: &Attributes, rows: &mut impl Write) -> Result<()> {
        let (window, mut waiting) = (self.minute * MINUTE, Vec::with_capacity(2 * ROWS_BYTES));
        for entry in self.entries.iter_mut().filter(|entry| entry.samples > 0) {
            let score = entry.ewm.update(entry.sum as f64);
            let names = (&entry.key[..usize::from(entry.key_length)], attributes.name(entry.attribute));
            push_row(&mut waiting, names, window, entry.sum, score);
            (entry.sum, entry.samples) = (0, 0);
            if waiting.len() >= ROWS_BYTES {
                rows.write_all(&waiting).context("write the rows")?;
                waiting.clear();
            }
        }
        rows.write_all(&waiting).context("write the rows")
    }

    /// Reads what the batch will need, in two passes of reads that do not wait for each other.
    fn touch(&self, batch: &mut [Planned<'_>]) {
        for planned in batch.iter_mut() {
            planned.cell = self.cells[planned.tag as usize & (self.cells.len() - 1)];
        }
        let entry = |planned: &Planned<'_>| self.entries.get((planned.cell as u32).wrapping_sub(1) as usize);
        let lines = |entry: &Entry| entry.sum ^ u64::from(entry.key[0]) ^ u64::from(entry.key[KEY_BYTES - 1]);
        black_box(batch.iter().filter_map(entry).fold(0, |all, entry| all ^ lines(entry)));
    }

    #[inline]
    fn find(&self, planned: &Planned<'_>) -> Option<usize> {
        let mask = self.cells.len() - 1;
        let mut place = planned.tag as usize & mask;
        loop {
            let cell = self.cells[place];
            let number = (cell as u32).wrapping_sub(1) as usize;
            if cell == 0 {
                return None;
            }
            if (cell >> 32) as u32 == planned.tag && self.entries[number].is(planned) {
                return Some(number);
            }
            place = (place + 1) & mask;
        }
    }

    #[cold]
    fn insert(&mut self, planned: &Planned<'_>) -> Result<usize> {
        let length = planned.key.len();
        ensure!(length <= KEY_BYTES, "a key of {length} bytes; the floor holds {KEY_BYTES}");
        let number = self.entries.len();
        let Ok(marked) = u32::try_from(number + 1) else { bail!("more than 4 billion keys") };
        if number * 2 >= self.cells.len() {
            let cells = vec![0; self.cells.len() * 2];
            let old = std::mem::replace(&mut self.cells, cells);
            old.into_iter().filter(|&cell| cell != 0).for_each(|cell| self.place(cell));
        }
        self.place(u64::from(planned.tag) << 32 | u64::from(marked));
        let mut key = [0; KEY_BYTES];
        key[..length].copy_from_slice(planned.key);
        let (key_length, attribute) = (length as u16, planned.attribute);
        self.entries.push(Entry { key, key_length, attribute, samples: 0, sum: 0, ewm: Ewm::default() });
        Ok(number)
    }

    /// Puts a cell into the first free place of its chain.
    fn place(&mut self, cell: u64) {
        let mask = self.cells.len() - 1;
        let mut place = (cell >> 32) as usize & mask;
        while self.cells[place] != 0 {
            place = (place + 1) & mask;
        }
        self.cells[place] = cell;
    }
}

impl Entry {
    #[inline]
    fn is(&self, planned: &Planned<'_>) -> bool {
        self.attribute == planned.attribute && self.key.get(..usize::from(self.key_length)) == Some(planned.key)
    }
}

/// The few attribute names, numbered as they come.
#[derive(Default)]
pub(crate) struct Attributes(Vec<Vec<u8>>);

impl Attributes {
    /// The number of `name`.
    #[inline]
    pub(crate) fn id(&mut self, name: &[u8]) -> Result<u16> {
        match self.0.iter().position(|known| known == name) {
            Some(number) => Ok(number as u16),
            None => self.add(name),
        }
    }

    #[cold]
    fn add(&mut self, name: &[u8]) -> Result<u16> {
        let number = u16::try_from(self.0.len()).context("more than 65,536 attributes")?;
        self.0.push(name.to_vec());
        Ok(number)
    }

    fn name(&self, id: u16) -> &[u8] {
        &self.0[usize::from(id)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_attributes_stay_apart_while_the_index_grows() {
        let (mut table, mut attributes, mut rows) = (Table::default(), Attributes::default(), Vec::new());
        let keys: Vec<String> = (0..20_000).map(|key| format!("t:{key}")).collect();
        for key in keys.iter().chain(&keys) {
            for (attribute, value) in [(&b"a"[..], 1), (b"b", 1000)] {
                let record = Record { at: 0, key: key.as_bytes(), attribute, value };
                let mut batch = [table.plan(&record, attributes.id(attribute).unwrap())];
                table.apply(&mut batch, &attributes, &mut rows).unwrap();
            }
        }
        table.close(&attributes, &mut rows).unwrap();
        let rows = String::from_utf8(rows).unwrap();
        let mut heads: Vec<String> =
            rows.lines().map(|row| row.split(',').take(4).collect::<Vec<_>>().join(",")).collect();
        let expected = |key: &String| [format!("{key},a,0,2"), format!("{key},b,0,2000")];
        let mut expected: Vec<String> = keys.iter().flat_map(expected).collect();
        heads.sort();
        expected.sort();
        assert!(heads == expected);
    }

    #[test]
    fn equal_hashes_do_not_make_names_equal() {
        let mut table = Table::default();
        let planned = |key, attribute| Planned { key, attribute, minute: 0, value: 0, tag: 7, cell: 0 };
        let names = [planned(b"t:a", 0), planned(b"t:a", 1), planned(b"t:b", 0), planned(b"t:", 0)];
        for (number, name) in names.iter().enumerate() {
            assert_eq!(table.find(name), None);
            assert_eq!(table.insert(name).unwrap(), number);
        }
        for (number, name) in names.iter().enumerate() {
            assert_eq!(table.find(name), Some(number));
        }
    }

    #[test]
    fn a_key_that_an_entry_cannot_hold_is_an_error() {
        let (mut table, mut rows) = (Table::default(), Vec::new());
        for (length, fits) in [(KEY_BYTES, true), (KEY_BYTES + 1, false)] {
            let key = vec![b'k'; length];
            let mut batch = [table.plan(&Record { at: 0, key: &key, attribute: b"a", value: 1 }, 0)];
            assert_eq!(table.apply(&mut batch, &Attributes::default(), &mut rows).is_ok(), fits, "{length}");
        }
    }
}
