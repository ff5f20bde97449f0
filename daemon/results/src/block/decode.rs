//! Blocks read back.

use std::collections::HashMap;
use std::sync::Arc;

use derived_stats::Record;

use crate::block::bytes::{BlockError, Reader};
use crate::block::shape::{AttributeShape, UveShape};
use crate::block::value::read_value;
use crate::block::{HEADER_LEN, MAGIC, VERSION, flag};

/// Definitions that a reader remembers. A configuration has a handful; more come of damage only.
const MAX_DEFINITIONS: usize = 1024;

/// Reads blocks, and remembers their definitions: equal ones of several blocks become one [`UveShape`].
#[derive(Debug, Default)]
pub struct BlockReader {
    shapes: HashMap<Box<[u8]>, Arc<UveShape>>,
    /// The entries of the block at hand.
    dictionary: Vec<Arc<UveShape>>,
    /// The attributes of the row at hand, by index.
    values: Vec<(usize, Record)>,
}

/// One result.
#[derive(Clone, Copy, Debug)]
pub struct Row<'r> {
    /// `table:name`.
    pub key: &'r str,
    pub shape: &'r Arc<UveShape>,
    /// The window in microseconds since the epoch; the sample's time for an inline result.
    pub start: u64,
    pub end: u64,
    /// The proxy UVE ceased to be.
    pub deleted: bool,
    /// The window was not covered from its start.
    pub partial: bool,
    /// The attributes that it has: index among those of `shape`, and numbers.
    pub values: &'r [(usize, Record)],
}

impl<'r> Row<'r> {
    /// The attributes that it has, in order.
    pub fn attributes(&self) -> impl Iterator<Item = (&'r AttributeShape, &'r Record)> + use<'r> {
        let (shape, values) = (self.shape, self.values);
        values.iter().filter_map(|(index, record)| Some((shape.attributes.get(*index)?, record)))
    }
}

impl BlockReader {
    /// The rows of a block.
    ///
    /// # Errors
    ///
    /// [`BlockError`] if it is not a block, or of a newer version.
    pub fn rows<'r>(&'r mut self, block: &'r [u8]) -> Result<Rows<'r>, BlockError> {
        let mut reader = Reader::new(block);
        let [magic, version, rows @ ..] = reader.array::<HEADER_LEN>("header")?;
        if magic != MAGIC {
            return Err(reader.damaged("header", format!("the first byte {magic:#04x}"), "0xb5"));
        }
        if version > VERSION {
            return Err(BlockError::Version { found: version });
        }
        if version == 0 {
            return Err(reader.damaged("version", "0".to_owned(), "1 or more"));
        }
        if self.shapes.len() > MAX_DEFINITIONS {
            self.shapes.clear();
        }
        self.dictionary.clear();
        Ok(Rows { block: self, reader, before: None, left: u32::from_le_bytes(rows) })
    }
}

/// The rows of one block, in order.
#[derive(Debug)]
pub struct Rows<'r> {
    block: &'r mut BlockReader,
    reader: Reader<'r>,
    /// Key and window of the row before.
    before: Option<(&'r str, (u64, u64))>,
    /// Rows that the header declares beyond those read.
    left: u32,
}

impl Rows<'_> {
    /// The next row; `None` after the last one.
    ///
    /// # Errors
    ///
    /// [`BlockError`] if the block is damaged here. There are no rows behind that: do not call it again.
    pub fn next(&mut self) -> Result<Option<Row<'_>>, BlockError> {
        loop {
            if self.reader.is_at_end() {
                return match self.left {
                    0 => Ok(None),
                    left => Err(self.reader.damaged("rows", format!("the end, {left} rows early"), "a row")),
                };
            }
            match self.reader.varint("item")? {
                0 => self.define()?,
                entry => return self.row(entry).map(Some),
            }
        }
    }

    fn define(&mut self) -> Result<(), BlockError> {
        let length = self.reader.count("definition")?;
        let mut whole = self.reader.clone();
        let bytes = self.reader.take(length, "definition")?;
        if let Some(known) = self.block.shapes.get(bytes) {
            self.block.dictionary.push(Arc::clone(known));
            return Ok(());
        }
        let shape = Arc::new(UveShape::decode(&mut whole)?);
        if whole.rest().len() != self.reader.rest().len() {
            return Err(whole.damaged("definition", "another length".to_owned(), "the length before it"));
        }
        self.block.shapes.insert(bytes.into(), Arc::clone(&shape));
        self.block.dictionary.push(shape);
        Ok(())
    }

    fn row(&mut self, entry: u64) -> Result<Row<'_>, BlockError> {
        let reader = &mut self.reader;
        let known = usize::try_from(entry - 1).ok().and_then(|index| self.block.dictionary.get(index));
        let Some(shape) = known else {
            return Err(reader.damaged("item", entry.to_string(), "a defined entry"));
        };
        self.left = match self.left.checked_sub(1) {
            Some(left) => left,
            None => return Err(reader.damaged("rows", "one more row".to_owned(), "the end")),
        };
        let flags = reader.byte("flags")?;
        if flags & !flag::ALL != 0 {
            return Err(reader.damaged("flags", flags.to_string(), "0 to 15"));
        }
        let key = match (flags & flag::SAME_KEY, self.before) {
            (0, _) => reader.text("key")?,
            (_, Some((key, _))) => key,
            (_, None) => return Err(reader.damaged("flags", flags.to_string(), "a key in the first row")),
        };
        let (start, end) = match (flags & flag::SAME_WINDOW, self.before) {
            (0, _) => {
                let start = reader.varint("start")?;
                (start, start.wrapping_add(reader.varint("length")?))
            }
            (_, Some((_, window))) => window,
            (_, None) => return Err(reader.damaged("flags", flags.to_string(), "a window in the first row")),
        };
        self.before = Some((key, (start, end)));
        self.block.values.clear();
        loop {
            let number = reader.varint("attribute")?;
            let Some(index) = number.checked_sub(1) else { break };
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            let Some(attribute) = shape.attributes.get(index) else {
                return Err(reader.damaged("attribute", number.to_string(), "an attribute of the entry"));
            };
            self.block.values.push((index, read_value(reader, attribute.numbers())?));
        }
        let (deleted, partial) = (flags & flag::DELETED != 0, flags & flag::PARTIAL != 0);
        Ok(Row { key, shape, start, end, deleted, partial, values: &self.block.values })
    }
}
