//! The merge of several files by the timestamps of their records.
//!
//! Files of two vrouters can cover the same hours; read one after the other, all records of the second would be late.
//! So the next line always comes from the file with the oldest next record. A line without a valid timestamp, or with
//! one far ahead of those after it, has that of the previous line.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use daemon_sources::timestamp::{TimeUnit, with_number};
use proxy_uve::wire::line::{self, LineForm};

use crate::commands::aggregate::blocks::{Block, Origin, TooLong};
use crate::commands::aggregate::lines::{BLOCK_BYTES, Found, Lines};
use crate::commands::neighbours::{Neighbours, first_times};

/// A k-way merge of the lines of several files.
pub(crate) struct Merge {
    files: Vec<Cursor>,
    /// The timestamp of the next line of each file. Of equal timestamps the first file comes first.
    next: BinaryHeap<Reverse<(u64, usize)>>,
    form: Option<LineForm>,
    unit: TimeUnit,
}

/// The current line of a file.
struct Cursor {
    lines: Lines,
    block: Vec<u8>,
    /// The length of the line over the limit that the block replaces.
    too_long: Option<u64>,
    /// The current line is `block[start..end]`, with its line feed.
    start: usize,
    end: usize,
    number: u64,
    time: u64,
    neighbours: Neighbours,
}

impl Merge {
    /// A merge of `files`; `form` is the form of their lines if it is known, `unit` that of
    /// their timestamps.
    ///
    /// # Errors
    ///
    /// When one of them cannot be read.
    pub(crate) fn new(files: Vec<Lines>, form: Option<LineForm>, unit: TimeUnit) -> anyhow::Result<Self> {
        let neighbours = Neighbours::new(0);
        let cursor = |lines| Cursor {
            lines,
            block: Vec::new(),
            too_long: None,
            start: 0,
            end: 0,
            number: 0,
            time: 0,
            neighbours: neighbours.clone(),
        };
        let mut merge = Self { files: files.into_iter().map(cursor).collect(), next: BinaryHeap::new(), form, unit };
        for file in 0..merge.files.len() {
            merge.queue(file)?;
        }
        Ok(merge)
    }

    /// Moves a file to its next line and adds it to the queue, unless the file has ended.
    fn queue(&mut self, file: usize) -> anyhow::Result<()> {
        if self.files[file].step(self.form, self.unit)? {
            self.next.push(Reverse((self.files[file].time, file)));
        }
        Ok(())
    }

    /// Fills `block`; returns `false` at the end of all files.
    pub(crate) fn next(&mut self, block: &mut Block) -> anyhow::Result<bool> {
        block.text.clear();
        let mut lines = Vec::new();
        while let Some(&Reverse((_, file))) = self.next.peek() {
            let cursor = &self.files[file];
            let text = &cursor.block[cursor.start..cursor.end];
            if !block.text.is_empty() && block.text.len() + text.len() > BLOCK_BYTES {
                break;
            }
            block.text.extend_from_slice(text);
            if !text.ends_with(b"\n") {
                block.text.push(b'\n');
            }
            if let Some(length) = cursor.too_long {
                block.too_long.push(TooLong { line: lines.len() as u64, length });
            }
            lines.push((u16::try_from(file).unwrap_or(u16::MAX), cursor.number));
            self.next.pop();
            self.queue(file)?;
        }
        block.origin = Origin::Lines(lines);
        Ok(!block.text.is_empty())
    }
}

impl Cursor {
    /// Moves to the next line; returns `false` at the end.
    fn step(&mut self, form: Option<LineForm>, unit: TimeUnit) -> anyhow::Result<bool> {
        self.start = self.end;
        if self.start == self.block.len() {
            self.too_long = match self.lines.next(&mut self.block)? {
                Found::End => return Ok(false),
                Found::Lines => None,
                Found::TooLong { length } => Some(length),
            };
            self.start = 0;
        }
        let rest = &self.block[self.start..];
        self.number += 1;
        let form = form.unwrap_or_else(|| LineForm::of(rest));
        if unit != TimeUnit::Rfc3339
            && let Some((plain, taken)) = line::plain(form, rest)
        {
            self.end = self.start + taken;
            self.pass(unit.micros(plain.timestamp), form, unit);
            return Ok(true);
        }
        let length = rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |end| end + 1);
        self.end = self.start + length;
        if let Ok(text) = with_number(rest[..length].trim_ascii(), unit)
            && let Ok(line) = line::decode_texts_as(form, &text)
        {
            let time = unit.micros(line.timestamp);
            self.pass(time, form, unit);
        }
        Ok(true)
    }

    /// Advances to the time of the line, unless it is far ahead of those that follow it: they would wait for the other
    /// files. At the end of a block of this file none is known.
    fn pass(&mut self, time: u64, form: LineForm, unit: TimeUnit) {
        let following = || first_times(Some(form), unit, &self.block[self.end..]);
        if self.neighbours.add(time, following).is_ok() {
            self.time = time;
        }
    }
}
