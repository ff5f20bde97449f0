//! The decoder of blocks.

use std::collections::HashMap;
use std::sync::Arc;

use crate::block::bytes::{BlockError, Reader};
use crate::block::row::{Row, Values};
use crate::block::shape::UveShape;
use crate::block::{HEADER_LEN, MAGIC, VERSION, flag};

/// The number of definitions that a reader caches. A configuration has a few; only damaged blocks have more.
const MAX_DEFINITIONS: usize = 1024;

/// A reader of blocks with a cache of definitions: equal definitions of several blocks become one [`UveShape`].
#[derive(Debug, Default)]
pub struct BlockReader {
    shapes: HashMap<Box<[u8]>, Arc<UveShape>>,
    /// The entries of the current block.
    dictionary: Vec<Arc<UveShape>>,
}

impl BlockReader {
    /// Returns the rows of a block.
    ///
    /// # Errors
    ///
    /// [`BlockError`] if the record is not a block, or a newer version wrote it.
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
        Ok(Rows { block: self, reader, previous: None, remaining: u32::from_le_bytes(rows) })
    }

    /// Returns all rows of a block at once, for a reader that looks ahead, and the damage behind them if there is any.
    ///
    /// # Errors
    ///
    /// Those of [`rows`](Self::rows).
    pub fn all_rows<'r>(&'r mut self, block: &'r [u8]) -> Result<(Vec<Row<'r>>, Option<BlockError>), BlockError> {
        let mut rows = self.rows(block)?;
        let mut found = Vec::with_capacity(rows.remaining.min(MAX_AHEAD) as usize);
        let damage = loop {
            match rows.next_encoded() {
                Ok(Some(row)) => found.push(row),
                Ok(None) => break None,
                Err(damage) => break Some(damage),
            }
        };
        let Rows { block: Self { dictionary, .. }, .. } = rows;
        Ok((found.into_iter().filter_map(|row| row.with_shape(dictionary)).collect(), damage))
    }
}

/// The most rows for which memory is taken before they are found.
const MAX_AHEAD: u32 = 4096;

/// A row that does not borrow from its reader yet: its shape is still a number.
#[derive(Debug)]
struct EncodedRow<'b> {
    /// The index in the dictionary.
    entry: usize,
    key: &'b str,
    start: u64,
    end: u64,
    deleted: bool,
    partial: bool,
    values: Values<'b>,
}

impl EncodedRow<'_> {
    fn with_shape<'r>(self, dictionary: &'r [Arc<UveShape>]) -> Option<Row<'r>>
    where
        Self: 'r,
    {
        let Self { entry, key, start, end, deleted, partial, values } = self;
        dictionary.get(entry).map(|shape| Row { key, shape, start, end, deleted, partial, values })
    }
}

/// The rows of one block, in order.
#[derive(Debug)]
pub struct Rows<'r> {
    block: &'r mut BlockReader,
    reader: Reader<'r>,
    /// The key and the window of the previous row.
    previous: Option<(&'r str, (u64, u64))>,
    /// The number of declared rows that are not read yet.
    remaining: u32,
}

impl<'r> Rows<'r> {
    /// Reads the next row; `None` after the last one.
    ///
    /// # Errors
    ///
    /// [`BlockError`] if the block is damaged at this row. The caller then stops, because the later rows are lost.
    pub fn next(&mut self) -> Result<Option<Row<'_>>, BlockError> {
        let row = self.next_encoded()?;
        Ok(row.and_then(|row| row.with_shape(&self.block.dictionary)))
    }

    fn next_encoded(&mut self) -> Result<Option<EncodedRow<'r>>, BlockError> {
        loop {
            if self.reader.is_at_end() {
                return match self.remaining {
                    0 => Ok(None),
                    missing => Err(self.reader.damaged("rows", format!("the end, {missing} rows early"), "a row")),
                };
            }
            match self.reader.varint("item")? {
                0 => self.define()?,
                entry => return self.row(entry).map(Some),
            }
        }
    }

    /// Reads a definition into the dictionary.
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

    /// Reads a row of dictionary entry `entry`, counted from 1.
    fn row(&mut self, entry: u64) -> Result<EncodedRow<'r>, BlockError> {
        let index = usize::try_from(entry - 1).unwrap_or(usize::MAX);
        if index >= self.block.dictionary.len() {
            return Err(self.reader.damaged("item", entry.to_string(), "a defined entry"));
        }
        self.remaining = match self.remaining.checked_sub(1) {
            Some(remaining) => remaining,
            None => return Err(self.reader.damaged("rows", "one more row".to_owned(), "the end")),
        };
        let flags = self.reader.byte("flags")?;
        if flags & !flag::ALL != 0 {
            return Err(self.reader.damaged("flags", flags.to_string(), "0 to 15"));
        }
        let (key, (start, end)) = self.key_and_window(flags)?;
        let shape = &self.block.dictionary[index];
        let values = Values::read(&mut self.reader, shape)?;
        let (deleted, partial) = (flags & flag::DELETED != 0, flags & flag::PARTIAL != 0);
        Ok(EncodedRow { entry: index, key, start, end, deleted, partial, values })
    }

    /// Reads the key and the window of a row, or takes those of the previous row.
    fn key_and_window(&mut self, flags: u8) -> Result<(&'r str, (u64, u64)), BlockError> {
        let reader = &mut self.reader;
        let key = match (flags & flag::SAME_KEY, self.previous) {
            (0, _) => reader.text("key")?,
            (_, Some((key, _))) => key,
            (_, None) => return Err(reader.damaged("flags", flags.to_string(), "a key in the first row")),
        };
        let window = match (flags & flag::SAME_WINDOW, self.previous) {
            (0, _) => {
                let start = reader.varint("start")?;
                (start, start.wrapping_add(reader.varint("length")?))
            }
            (_, Some((_, window))) => window,
            (_, None) => return Err(reader.damaged("flags", flags.to_string(), "a window in the first row")),
        };
        self.previous = Some((key, window));
        Ok((key, window))
    }
}
