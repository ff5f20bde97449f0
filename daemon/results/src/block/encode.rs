//! Results encoded straight from a table into blocks.

use daemon_log::{LogError, RecordBuffer};
use derived_stats::Record;
use proxy_uve::{AttributeResult, Plan, ResultSink, Subject};

use crate::block::bytes::{put_text, put_varint};
use crate::block::shape::UveShape;
use crate::block::value::put_value;
use crate::block::{HEADER_LEN, MAGIC, VERSION, flag};

/// What an emptied sink keeps for the next results.
const KEEP_BYTES: usize = 128 * 1024;

/// Bytes of a row beside key, definition and attributes, at most: item, definition's item and length, flags, window.
const ROW_BYTES: usize = 64;

/// Collects the results of a table as blocks. Making one allocates nothing, once its buffer has grown.
#[derive(Debug)]
pub struct BlockSink {
    types: Box<[TypeCode]>,
    limit: usize,
    /// The blocks, one after the other; the last one is open unless it is empty.
    bytes: Vec<u8>,
    /// Where each finished block ends.
    ends: Vec<usize>,
    /// The entry of each type in the open block; 0 if it has none.
    entries: Box<[u32]>,
    defined: u32,
    /// Rows of the open block, and of all.
    open_rows: u32,
    rows: u64,
    /// Key and window of the row before in the open block.
    before: Option<RowHead>,
    row: RowStart,
}

/// One proxy type, encoded once.
#[derive(Debug)]
struct TypeCode {
    definition: Vec<u8>,
    /// Name and number of numbers.
    attributes: Box<[(Box<str>, usize)]>,
    /// What the attributes of a row take at most.
    largest: usize,
}

/// Key and window of a row.
#[derive(Clone, Copy, Debug, Default)]
struct RowHead {
    /// Where the key is in the buffer.
    key: (usize, usize),
    start: u64,
    end: u64,
}

/// The row that is being written.
#[derive(Clone, Copy, Debug, Default)]
struct RowStart {
    from: usize,
    head: RowHead,
    defines: bool,
    attributes: usize,
    /// The attribute that is expected next.
    next: usize,
}

impl BlockSink {
    /// An empty sink for the results of `plan`, whose blocks have at most `limit` bytes unless a single result takes
    /// more. 0 gives every result a block of its own.
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
            before: None,
            row: RowStart::default(),
        }
    }

    /// Results that were not taken.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Their bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the results out, each block a record without key.
    ///
    /// # Errors
    ///
    /// [`LogError::InvalidArgument`] if a single result is too large for the log; the sink then still has them all.
    pub fn take(&mut self) -> Result<RecordBuffer, LogError> {
        self.finish_block();
        let mut blocks = RecordBuffer::default();
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
        self.bytes.extend_from_slice(&[MAGIC, VERSION, 0, 0, 0, 0]);
    }

    fn finish_block(&mut self) {
        let start = self.block_start();
        if self.open_rows == 0 {
            self.bytes.truncate(start);
        } else {
            self.bytes[start + 2..start + HEADER_LEN].copy_from_slice(&self.open_rows.to_le_bytes());
            self.ends.push(self.bytes.len());
        }
        self.entries.fill(0);
        (self.defined, self.open_rows, self.before) = (0, 0, None);
    }

    /// Begins another block if the largest form of the row might not fit into the open one.
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
        // A key is UTF-8, or the table refused it: this copies nothing.
        let key = String::from_utf8_lossy(subject.key);
        let same_key = self.before.filter(|before| self.bytes[before.key.0..before.key.1] == *key.as_bytes());
        let same_window = self.before.is_some_and(|it| (it.start, it.end) == (subject.start, subject.end));
        let mut flags = 0;
        for (is_set, flag) in [
            (subject.deleted, flag::DELETED),
            (subject.partial, flag::PARTIAL),
            (same_key.is_some(), flag::SAME_KEY),
            (same_window, flag::SAME_WINDOW),
        ] {
            flags |= if is_set { flag } else { 0 };
        }
        self.bytes.push(flags);
        let key = match same_key {
            Some(before) => before.key,
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

impl ResultSink for BlockSink {
    fn begin(&mut self, subject: &Subject<'_>) {
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

    /// Encodes a result that is valid.
    fn attribute(&mut self, subject: &Subject<'_>, result: &AttributeResult<'_>) {
        let Some(output) = result.report.as_ref().forced() else {
            return;
        };
        let attributes = &self.types[subject.type_index].attributes;
        // They come in order, mostly all of them.
        let ahead = attributes.iter().enumerate().skip(self.row.next);
        let found = ahead.chain(attributes.iter().enumerate()).find(|(_, (name, _))| **name == *result.name);
        let Some((index, &(_, numbers))) = found else {
            debug_assert!(false, "`{}` is not an attribute of the plan", result.name);
            return;
        };
        put_varint(&mut self.bytes, index as u64 + 1);
        put_value(&mut self.bytes, output.record(), numbers);
        self.row.next = index + 1;
        self.row.attributes += 1;
    }

    /// Keeps the row if it has an attribute or is the deletion.
    fn end(&mut self, subject: &Subject<'_>) {
        if self.row.attributes == 0 && !subject.deleted {
            self.bytes.truncate(self.row.from);
            if self.row.defines {
                self.defined -= 1;
                self.entries[subject.type_index] = 0;
            }
            return;
        }
        self.bytes.push(0);
        self.before = Some(self.row.head);
        self.open_rows += 1;
        self.rows += 1;
    }
}

impl TypeCode {
    fn new(shape: &UveShape) -> Self {
        let definition = shape.definition();
        let attributes: Box<[_]> =
            shape.attributes.iter().map(|attribute| (attribute.name.clone(), attribute.numbers())).collect();
        // Index, flaw and types, then up to ten bytes for each number.
        let largest = attributes.iter().map(|(_, numbers)| 16 + 10 * numbers.min(&Record::MAX_NUMBERS)).sum();
        Self { definition, attributes, largest }
    }
}
