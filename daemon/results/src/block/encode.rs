//! The encoder of blocks, which receives results from a table.

mod longer;
mod type_code;

use std::borrow::Cow;

use daemon_log::{LogError, RecordBuffer};
use proxy_uve::{AttributeResult, Plan, ResultSink, Subject};

use self::longer::LongerWindows;
use self::type_code::TypeCode;
use crate::block::bytes::{put_text, put_varint};
use crate::block::shape::UveShape;
use crate::block::value::put_value;
use crate::block::{HEADER_LEN, MAGIC, MAX_BLOCK_BYTES, NARROW_VERSION, VERSION, flag};

/// The buffer capacity that the sink keeps when its results are taken.
const KEEP_BYTES: usize = 128 * 1024;

/// The largest size of a row without key, definition and attributes: item, definition's item and length, flags, window.
const ROW_BYTES: usize = 64;

/// A sink that encodes the results of a table into blocks.
///
/// A row has the attributes of one window. Attributes over several periods have longer windows with the same end; they
/// are in rows of their own behind that of the last period, the shorter windows first.
///
/// It allocates no memory per result once its buffer has grown.
#[derive(Debug)]
pub struct BlockSink {
    types: Box<[TypeCode]>,
    limit: usize,
    /// The consecutive blocks; the last one is open unless it is empty.
    bytes: Vec<u8>,
    /// The end of each finished block in `bytes`.
    ends: Vec<usize>,
    /// The dictionary entry of each type in the open block; 0 if it has none.
    entries: Box<[u32]>,
    /// The number of dictionary entries in the open block.
    defined: u32,
    /// The number of rows in the open block.
    open_rows: u32,
    /// The number of rows in all blocks.
    rows: u64,
    /// The key and the window of the previous row in the open block.
    previous: Option<RowHead>,
    row: RowStart,
    longer: LongerWindows,
}

/// The key and the window of a row.
#[derive(Clone, Copy, Debug, Default)]
struct RowHead {
    /// The start and the end of the key in the buffer.
    key: (usize, usize),
    start: u64,
    end: u64,
}

/// The state of the row that is being written.
#[derive(Clone, Copy, Debug, Default)]
struct RowStart {
    /// The start of the row in the buffer.
    from: usize,
    head: RowHead,
    /// Whether the row adds an entry to the dictionary.
    defines: bool,
    /// The position of its flags in the buffer.
    flags: usize,
    /// Whether the window of one of its attributes was not covered from its start.
    partial: bool,
    /// The number of attributes so far.
    attributes: usize,
    /// The index of the next attribute in the usual order.
    next: usize,
}

impl BlockSink {
    /// Creates an empty sink for the results of `plan`, with blocks of at most `limit` bytes.
    ///
    /// A block with a single result may exceed the limit. With a limit of 0 each result is a block of its own.
    pub fn new(plan: &Plan, limit: usize) -> Self {
        let proxy = plan.stream().to_string();
        let types: Box<[_]> = plan.uves().map(|uve| TypeCode::new(&UveShape::of(&uve, &proxy))).collect();
        let entries = vec![0; types.len()].into();
        Self {
            types,
            limit,
            bytes: Vec::new(),
            ends: Vec::new(),
            entries,
            defined: 0,
            open_rows: 0,
            rows: 0,
            previous: None,
            row: RowStart::default(),
            longer: LongerWindows::default(),
        }
    }

    /// The number of results since the last [`take`](Self::take).
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The size of the results since the last [`take`](Self::take).
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the results as records of one block each, without key, and empties the sink.
    ///
    /// # Errors
    ///
    /// [`LogError::InvalidArgument`] if a single result exceeds the record size of the log; the sink then keeps all
    /// results.
    pub fn take(&mut self) -> Result<RecordBuffer, LogError> {
        self.finish_block();
        let mut blocks = RecordBuffer::with_frames_of(MAX_BLOCK_BYTES);
        let mut from = 0;
        for &end in &self.ends {
            blocks.push(b"", &self.bytes[from..end])?;
            from = end;
        }
        self.bytes.clear();
        self.ends.clear();
        self.rows = 0;
        self.bytes.shrink_to(KEEP_BYTES);
        Ok(blocks)
    }

    fn block_start(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    fn begin_block(&mut self) {
        self.bytes.extend_from_slice(&[MAGIC, 0, 0, 0, 0, 0]);
    }

    fn finish_block(&mut self) {
        let start = self.block_start();
        if self.open_rows == 0 {
            self.bytes.truncate(start);
        } else {
            let is_wide = self.types.iter().zip(&self.entries).any(|(code, entry)| code.is_wide && *entry > 0);
            self.bytes[start + 1] = if is_wide { VERSION } else { NARROW_VERSION };
            self.bytes[start + 2..start + HEADER_LEN].copy_from_slice(&self.open_rows.to_le_bytes());
            self.ends.push(self.bytes.len());
        }
        self.entries.fill(0);
        (self.defined, self.open_rows, self.previous) = (0, 0, None);
    }

    /// Starts another block if the largest form of the row might exceed the limit of the open one.
    fn make_room(&mut self, subject: &Subject<'_>) {
        let (code, start) = (&self.types[subject.type_index], self.block_start());
        let definition = if self.entries[subject.type_index] == 0 { code.definition.len() } else { 0 };
        let largest = ROW_BYTES + subject.key.len() + definition + code.largest;
        if self.open_rows > 0 && self.bytes.len() - start + largest > self.limit {
            self.finish_block();
        }
        if self.bytes.len() == self.block_start() {
            self.begin_block();
        }
    }

    fn put_head(&mut self, subject: &Subject<'_>) {
        // The table accepts only UTF-8 keys.
        let key = std::str::from_utf8(subject.key).map_or_else(|_| String::from_utf8_lossy(subject.key), Cow::Borrowed);
        let same_key = self.previous.filter(|row| self.bytes[row.key.0..row.key.1] == *key.as_bytes());
        let same_window = self.previous.is_some_and(|it| (it.start, it.end) == (subject.start, subject.end));
        let mut flags = 0;
        for (is_set, flag) in
            [(subject.deleted, flag::DELETED), (same_key.is_some(), flag::SAME_KEY), (same_window, flag::SAME_WINDOW)]
        {
            flags |= if is_set { flag } else { 0 };
        }
        self.row.flags = self.bytes.len();
        self.bytes.push(flags);
        let key = match same_key {
            Some(previous) => previous.key,
            None => {
                put_text(&mut self.bytes, &key);
                (self.bytes.len() - key.len(), self.bytes.len())
            }
        };
        if !same_window {
            put_varint(&mut self.bytes, subject.start);
            put_varint(&mut self.bytes, subject.end.wrapping_sub(subject.start));
        }
        self.row.head = RowHead { key, start: subject.start, end: subject.end };
    }
}

impl BlockSink {
    fn begin_row(&mut self, subject: &Subject<'_>) {
        self.make_room(subject);
        self.row = RowStart { from: self.bytes.len(), ..RowStart::default() };
        if self.entries[subject.type_index] == 0 {
            self.row.defines = true;
            self.defined += 1;
            self.entries[subject.type_index] = self.defined;
            let definition = &self.types[subject.type_index].definition;
            self.bytes.push(0);
            put_varint(&mut self.bytes, definition.len() as u64);
            self.bytes.extend_from_slice(definition);
        }
        put_varint(&mut self.bytes, self.entries[subject.type_index].into());
        self.put_head(subject);
    }

    /// Keeps the row if it has an attribute or is a deletion, and removes it otherwise.
    fn end_row(&mut self, subject: &Subject<'_>) {
        if self.row.attributes == 0 && !subject.deleted {
            self.bytes.truncate(self.row.from);
            if self.row.defines {
                self.defined -= 1;
                self.entries[subject.type_index] = 0;
            }
            return;
        }
        // `partial` of the subject holds for the windows of all attributes together.
        if self.row.partial || (subject.deleted && subject.partial) {
            self.bytes[self.row.flags] |= flag::PARTIAL;
        }
        self.bytes.push(0);
        self.previous = Some(self.row.head);
        self.open_rows += 1;
        self.rows += 1;
    }
}

impl ResultSink for BlockSink {
    fn begin(&mut self, subject: &Subject<'_>) {
        self.begin_row(subject);
    }

    /// Encodes a valid result and ignores an invalid one.
    fn attribute(&mut self, subject: &Subject<'_>, result: &AttributeResult<'_>) {
        let Some(output) = result.report.as_ref().forced() else {
            return;
        };
        let attributes = &self.types[subject.type_index].attributes;
        // The fast path: the table sends attributes in order, mostly all of them.
        let ahead = attributes.iter().enumerate().skip(self.row.next);
        let found = ahead.chain(attributes.iter().enumerate()).find(|(_, (name, _))| **name == *result.name);
        let Some((index, &(_, numbers))) = found else {
            debug_assert!(false, "`{}` is not an attribute of the plan", result.name);
            return;
        };
        self.row.next = index + 1;
        let is_longer = result.start < subject.start;
        let bytes = if is_longer { &mut self.longer.bytes } else { &mut self.bytes };
        let from = bytes.len();
        put_varint(bytes, index as u64 + 1);
        put_value(bytes, output.record(), numbers);
        if is_longer {
            self.longer.push(result, from);
        } else {
            self.row.partial |= result.partial;
            self.row.attributes += 1;
        }
    }

    /// Ends the row of the last period, and adds one for each longer window that has attributes.
    fn end(&mut self, subject: &Subject<'_>) {
        self.end_row(subject);
        if !self.longer.is_empty() {
            self.put_longer(subject);
        }
    }
}
