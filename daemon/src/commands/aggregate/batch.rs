//! The decoder, which turns a block of lines into a batch of records by shard.

use std::collections::HashMap;

use daemon_sources::timestamp::{self, TimeUnit};
use derived_stats::Number;
use proxy_uve::Plan;
use proxy_uve::key::MAX_KEY_LENGTH;
use proxy_uve::wire::line::{self, LineForm, Metric, PlainLine};

use crate::commands::aggregate::blocks::Block;
use crate::commands::aggregate::check::{bad_value, check_key, too_long};
use crate::commands::aggregate::job::Job;
use crate::commands::aggregate::names::AttributeNames;
use crate::commands::neighbours::{FOLLOWING, Neighbours, first_times};

/// The number of shards for any number of threads; further threads have no work.
pub(crate) const SHARDS: usize = 16;

/// The number of names in the linear part of the cache.
const LINEAR_NAMES: usize = 8;

/// The most bad lines that are printed; further ones are only counted.
pub(crate) const MAX_NAMED: usize = 10;

/// A record, with the position of its key in the batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) at: u64,
    pub(crate) value: Number,
    /// The offset of the key in the text of the block, or behind it in `unescaped`.
    key_start: u32,
    key_len: u16,
    pub(crate) attribute: u16,
}

/// A point between records at which a window may close: up to there, the newest timestamp is `newest`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) newest: u64,
    /// The number of records of each shard before the mark.
    pub(crate) before: [u32; SHARDS],
}

/// A line that is not a valid record.
#[derive(Debug)]
pub(crate) struct BadLine {
    /// The index of the line in the batch, from 0.
    pub(crate) line: u64,
    pub(crate) reason: String,
}

/// The records of a block.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) block: Block,
    /// The decoded keys of lines with escapes or sources, each followed by the length of its source (two bytes, little
    /// endian) and the source.
    unescaped: Vec<u8>,
    pub(crate) shards: [Vec<Entry>; SHARDS],
    pub(crate) marks: Vec<Mark>,
    /// The newest timestamp, or `None` without records.
    pub(crate) newest: Option<u64>,
    pub(crate) lines: u64,
    pub(crate) bad: Vec<BadLine>,
    pub(crate) bad_lines: u64,
}

impl Batch {
    /// The key of a record.
    pub(crate) fn key(&self, entry: &Entry) -> &[u8] {
        let (start, len) = (entry.key_start as usize, usize::from(entry.key_len));
        match start.checked_sub(self.block.text.len()) {
            None => &self.block.text[start..start + len],
            Some(start) => &self.unescaped[start..start + len],
        }
    }

    /// The source of a record; empty if it has none.
    pub(crate) fn source(&self, entry: &Entry) -> &str {
        let end = entry.key_start as usize + usize::from(entry.key_len);
        let source = end.checked_sub(self.block.text.len()).and_then(|end| self.unescaped.get(end..));
        let source = source.and_then(|rest| {
            let (length, rest) = rest.split_first_chunk()?;
            rest.get(..usize::from(u16::from_le_bytes(*length)))
        });
        source.and_then(|source| std::str::from_utf8(source).ok()).unwrap_or_default()
    }

    fn clear(&mut self) {
        self.unescaped.clear();
        self.shards.iter_mut().for_each(Vec::clear);
        self.marks.clear();
        self.bad.clear();
        (self.newest, self.lines, self.bad_lines) = (None, 0, 0);
    }
}

/// Decodes the lines of blocks; each thread has its own decoder.
pub(crate) struct Decoder<'p> {
    job: &'p Job,
    form: Option<LineForm>,
    /// In microseconds.
    allowed_lateness: u64,
    names: &'p AttributeNames,
    /// This thread's cache of attribute names: the first few in a vector, because a linear search is faster there.
    first: Vec<(Box<[u8]>, u16)>,
    others: HashMap<Box<[u8]>, u16>,
    neighbours: Neighbours,
}

impl<'p> Decoder<'p> {
    pub(crate) fn new(job: &'p Job, form: Option<LineForm>, allowed_lateness: u64, names: &'p AttributeNames) -> Self {
        let neighbours = Neighbours::new(allowed_lateness);
        Self { job, form, allowed_lateness, names, first: Vec::new(), others: HashMap::new(), neighbours }
    }

    /// Fills the batch with the records of its block.
    pub(crate) fn decode(&mut self, batch: &mut Batch) {
        batch.clear();
        let text = std::mem::take(&mut batch.block.text);
        self.neighbours.start_after(&batch.block.before);
        let mut due = DueAt::new(&self.job.plan, self.allowed_lateness);
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let form = self.form.unwrap_or_else(|| LineForm::of(rest));
            let taken = match line::plain(form, rest) {
                Some((plain, taken)) if self.job.unit != TimeUnit::Rfc3339 => {
                    let key_start = plain.key.as_ptr() as usize - text.as_ptr() as usize;
                    let value = self.fit(plain.value);
                    let taken_in =
                        value.and_then(|value| self.plain(&plain, value, key_start, &rest[taken..], &mut due, batch));
                    taken_in.unwrap_or_else(|reason| batch.reject(reason));
                    taken
                }
                _ => self.other(form, rest, text.len(), &mut due, batch),
            };
            at += taken;
            batch.lines += 1;
        }
        batch.block.text = text;
    }

    #[inline]
    fn plain(
        &mut self,
        line: &PlainLine<'_>,
        value: Number,
        key_start: usize,
        following: &[u8],
        due: &mut DueAt<'_>,
        batch: &mut Batch,
    ) -> Result<(), String> {
        // The fast path accepts ASCII keys only, so this cheap check is complete.
        let table = line.key.iter().position(|&byte| byte == b':');
        if table.is_none_or(|length| length == 0 || length + 1 == line.key.len()) || line.key.len() > MAX_KEY_LENGTH {
            check_key(line.key)?;
        }
        let attribute = self.attribute(line.attribute)?;
        let at = timestamp::check_recorded(line.timestamp, self.job.unit).map_err(|error| error.to_string())?;
        let (form, unit, after) = (self.form, self.job.unit, &batch.block.after);
        self.neighbours.add(at, || {
            [first_times(form, unit, following), after.clone()].concat().into_iter().take(FOLLOWING).collect()
        })?;
        let entry = Entry { at, value, key_start: key_start as u32, key_len: line.key.len() as u16, attribute };
        batch.push(entry, shard_of(line.key), due);
        Ok(())
    }

    /// Decodes a line outside the fast path and returns its length in bytes.
    #[cold]
    fn other(&mut self, form: LineForm, rest: &[u8], text_len: usize, due: &mut DueAt<'_>, batch: &mut Batch) -> usize {
        let length = rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |end| end + 1);
        let text = rest[..length].trim_ascii();
        if !text.is_empty() {
            self.general(form, text, &rest[length..], text_len, due, batch)
                .unwrap_or_else(|reason| batch.reject(reason));
        } else if let Some(line) = batch.block.too_long.iter().find(|line| line.line == batch.lines) {
            batch.reject(too_long(line.length));
        }
        length
    }

    fn general(
        &mut self,
        form: LineForm,
        text: &[u8],
        following: &[u8],
        text_len: usize,
        due: &mut DueAt<'_>,
        batch: &mut Batch,
    ) -> Result<(), String> {
        let text = &*timestamp::with_number(text, self.job.unit)?;
        let unit = self.job.unit;
        let line = line::decode_texts_as(form, text).map_err(|error| timestamp::decoding_error(&error, unit))?;
        let value = match &line.text {
            Some(_) if self.job.plan.takes_texts() => line.value,
            Some(_) => return line.check_number(form).map_err(|error| timestamp::decoding_error(&error, unit)),
            None => self.fit(line.value)?,
        };
        check_key(&line.key)?;
        let name = match &line.metric {
            Metric::Attribute(name) | Metric::Stream(name) => name,
        };
        let (key, attribute) = (&*line.key, name.as_bytes());
        let plain = PlainLine { key, attribute, timestamp: line.timestamp, value: line.value };
        self.plain(&plain, value, text_len + batch.unescaped.len(), following, due, batch)?;
        let source = line.source.as_deref().filter(|_| self.job.plan.keeps_sources()).unwrap_or_default();
        batch.unescaped.extend_from_slice(key);
        batch.unescaped.extend((source.len() as u16).to_le_bytes());
        batch.unescaped.extend_from_slice(source.as_bytes());
        Ok(())
    }

    /// The value as the tables take it.
    #[inline]
    fn fit(&self, value: Number) -> Result<Number, String> {
        let plan = &self.job.plan;
        if plan.takes_texts() {
            return Plan::number_as_text(value).map_err(|error| error.to_string());
        }
        plan.fit(value).ok_or_else(|| bad_value(value, plan.value_types(), self.job.type_source))
    }

    #[inline]
    fn attribute(&mut self, name: &[u8]) -> Result<u16, String> {
        match self.first.iter().find(|(known, _)| **known == *name) {
            Some(&(_, id)) => Ok(id),
            None => self.other_attribute(name),
        }
    }

    fn other_attribute(&mut self, name: &[u8]) -> Result<u16, String> {
        if let Some(&id) = self.others.get(name) {
            return Ok(id);
        }
        let id = self.names.id(name)?;
        if self.first.len() < LINEAR_NAMES {
            self.first.push((name.into(), id));
        } else {
            self.others.insert(name.into(), id);
        }
        Ok(id)
    }
}

impl Batch {
    #[inline]
    fn push(&mut self, entry: Entry, shard: usize, due: &mut DueAt<'_>) {
        if entry.at >= due.next {
            due.pass(entry.at);
            let before = std::array::from_fn(|shard| self.shards[shard].len() as u32);
            self.marks.push(Mark { newest: entry.at, before });
        }
        self.newest = self.newest.max(Some(entry.at));
        self.shards[shard].push(entry);
    }

    fn reject(&mut self, reason: String) {
        self.bad_lines += 1;
        if self.bad.len() < MAX_NAMED {
            self.bad.push(BadLine { line: self.lines, reason });
        }
    }
}

/// The timestamp from which on the next window closes.
pub(crate) struct DueAt<'p> {
    plan: &'p Plan,
    /// In microseconds.
    allowed_lateness: u64,
    pub(crate) next: u64,
}

impl<'p> DueAt<'p> {
    /// The state before the first record, which always makes a mark.
    pub(crate) fn new(plan: &'p Plan, allowed_lateness: u64) -> Self {
        Self { plan, allowed_lateness, next: 0 }
    }

    /// Advances event time to `newest`.
    pub(crate) fn pass(&mut self, newest: u64) {
        let watermark = newest.saturating_sub(self.allowed_lateness);
        self.next = self.plan.next_window_end(watermark).saturating_add(self.allowed_lateness);
    }
}

/// The shard of a key: a hash of a few of its bytes, which is enough to spread the work.
#[inline]
fn shard_of(key: &[u8]) -> usize {
    let word =
        |at: usize| key.get(at..at + 8).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap_or_default()));
    let tail = match key.len() {
        0..8 => key.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)),
        length => word(length - 8),
    };
    let mixed = (tail ^ word(key.len() / 2).rotate_left(29)).wrapping_add(key.len() as u64);
    (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60) as usize
}
