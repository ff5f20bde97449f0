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
        let cursor = Cursor { reader, previous: None, remaining: u32::from_le_bytes(rows) };
        Ok(Rows { block: self, cursor, damage: None })
    }
}

/// The most rows of a [batch](Rows::batch).
pub const BATCH: usize = 64;

/// The rows of one block, in order.
#[derive(Debug)]
pub struct Rows<'b> {
    block: &'b mut BlockReader,
    cursor: Cursor<'b>,
    /// The damage behind the last batch.
    damage: Option<BlockError>,
}

/// The position in a block, and what the next row may repeat of the previous one.
#[derive(Debug)]
struct Cursor<'b> {
    reader: Reader<'b>,
    /// The key and the window of the previous row.
    previous: Option<(&'b str, (u64, u64))>,
    /// The number of declared rows that are not read yet.
    remaining: u32,
}

impl<'b> Rows<'b> {
    /// Reads the next row; `None` after the last one.
    ///
    /// # Errors
    ///
    /// [`BlockError`] if the block is damaged at this row. The caller then stops, because the later rows are lost.
    pub fn next(&mut self) -> Result<Option<Row<'_>>, BlockError> {
        let Some(entry) = self.next_entry()? else { return Ok(None) };
        self.cursor.row(entry, &self.block.dictionary).map(Some)
    }

    /// Reads the next rows, at most [`BATCH`], for a reader that looks ahead; none after the last one.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next), after all rows before the damage.
    pub fn batch(&mut self) -> Result<Vec<Row<'_>>, BlockError> {
        if let Some(damage) = self.damage.take() {
            return Err(damage);
        }
        let Some(first) = self.next_entry()? else { return Ok(Vec::new()) };
        let Self { block, cursor, damage } = self;
        let mut rows = Vec::with_capacity(BATCH);
        rows.push(cursor.row(first, &block.dictionary)?);
        while rows.len() < BATCH && cursor.is_at_row() {
            let entry = cursor.reader.varint("item");
            match entry.and_then(|entry| cursor.row(entry, &block.dictionary)) {
                Ok(row) => rows.push(row),
                Err(error) => {
                    *damage = Some(error);
                    break;
                }
            }
        }
        Ok(rows)
    }

    /// Reads definitions up to the next row; the row's entry, `None` at the end.
    fn next_entry(&mut self) -> Result<Option<u64>, BlockError> {
        while !self.cursor.is_at_row() {
            let Cursor { reader, remaining, .. } = &mut self.cursor;
            if reader.is_at_end() {
                return match remaining {
                    0 => Ok(None),
                    missing => Err(reader.damaged("rows", format!("the end, {missing} rows early"), "a row")),
                };
            }
            reader.byte("item")?;
            self.define()?;
        }
        self.cursor.reader.varint("item").map(Some)
    }

    /// Reads a definition into the dictionary.
    fn define(&mut self) -> Result<(), BlockError> {
        let (reader, block) = (&mut self.cursor.reader, &mut *self.block);
        let length = reader.count("definition")?;
        let mut whole = reader.clone();
        let bytes = reader.take(length, "definition")?;
        if let Some(known) = block.shapes.get(bytes) {
            block.dictionary.push(Arc::clone(known));
            return Ok(());
        }
        let shape = Arc::new(UveShape::decode(&mut whole)?);
        if whole.rest().len() != reader.rest().len() {
            return Err(whole.damaged("definition", "another length".to_owned(), "the length before it"));
        }
        block.shapes.insert(bytes.into(), Arc::clone(&shape));
        block.dictionary.push(shape);
        Ok(())
    }
}

impl<'b> Cursor<'b> {
    /// Whether a row comes next. A definition, which changes the dictionary, begins with a zero.
    fn is_at_row(&self) -> bool {
        self.reader.rest().first().is_some_and(|byte| *byte != 0)
    }

    /// Reads a row of dictionary entry `entry`, counted from 1.
    #[inline]
    fn row<'r>(&mut self, entry: u64, dictionary: &'r [Arc<UveShape>]) -> Result<Row<'r>, BlockError>
    where
        'b: 'r,
    {
        let index = entry.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        let Some(shape) = index.and_then(|index| dictionary.get(index)) else {
            return Err(self.reader.damaged("item", entry.to_string(), "a defined entry"));
        };
        self.remaining = match self.remaining.checked_sub(1) {
            Some(remaining) => remaining,
            None => return Err(self.reader.damaged("rows", "one more row".to_owned(), "the end")),
        };
        let flags = self.reader.byte("flags")?;
        if flags & !flag::ALL != 0 {
            return Err(self.reader.damaged("flags", flags.to_string(), "0 to 15"));
        }
        let (key, (start, end)) = self.key_and_window(flags)?;
        let values = Values::read(&mut self.reader, shape)?;
        let (deleted, partial) = (flags & flag::DELETED != 0, flags & flag::PARTIAL != 0);
        Ok(Row { key, shape, start, end, deleted, partial, values })
    }

    /// Reads the key and the window of a row, or takes those of the previous row.
    #[inline]
    fn key_and_window(&mut self, flags: u8) -> Result<(&'b str, (u64, u64)), BlockError> {
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
