//! The encoding of numbers and texts in a block.

use crate::block::VERSION;

/// An error of a block that cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BlockError {
    /// The structure of the block is invalid.
    #[error("the block of results is damaged before byte {at}, in `{field}`: found {found}, expected {expected}")]
    Damaged {
        /// The offset in the block after the invalid bytes.
        at: usize,
        /// The field of the format, as in the grammar of the module [`block`](crate::block).
        field: &'static str,
        /// The found value.
        found: String,
        /// The expected value.
        expected: &'static str,
    },
    /// A newer build wrote the block.
    #[error(
        "the block of results has version {found}, this build reads versions up to {VERSION}; run the build that wrote \
         it, or a newer one"
    )]
    Version {
        /// The version of the block.
        found: u8,
    },
}

/// Appends a number as LEB128 varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a text with its length in front.
#[inline]
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// A reader of the fields of a block, with its current offset for errors.
///
/// Each method that reads takes the name of the field, which an error contains.
#[derive(Clone, Debug)]
pub struct Reader<'b> {
    all: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    /// Creates a reader at the start of `all`.
    #[inline]
    pub fn new(all: &'b [u8]) -> Self {
        Self { all, at: 0 }
    }

    /// Whether all bytes are read.
    #[inline]
    pub fn is_at_end(&self) -> bool {
        self.at == self.all.len()
    }

    /// The number of bytes that are read.
    #[inline]
    pub fn offset(&self) -> usize {
        self.at
    }

    /// The bytes that are not read yet.
    #[inline]
    pub fn rest(&self) -> &'b [u8] {
        self.all.get(self.at..).unwrap_or_default()
    }

    /// Reads the next `length` bytes.
    ///
    /// # Errors
    ///
    /// [`BlockError::Damaged`] if fewer bytes remain.
    #[inline]
    pub fn take(&mut self, length: usize, field: &'static str) -> Result<&'b [u8], BlockError> {
        let end = self.at.checked_add(length);
        match end.and_then(|end| self.all.get(self.at..end)) {
            Some(bytes) => {
                self.at += length;
                Ok(bytes)
            }
            None => {
                let remaining = self.all.len() - self.at;
                Err(self.damaged(field, format!("{remaining} bytes to the end"), "more"))
            }
        }
    }

    /// Reads the next byte.
    ///
    /// # Errors
    ///
    /// [`BlockError::Damaged`] at the end.
    #[inline]
    pub fn byte(&mut self, field: &'static str) -> Result<u8, BlockError> {
        Ok(self.array::<1>(field)?[0])
    }

    /// Reads the next `N` bytes.
    ///
    /// # Errors
    ///
    /// [`BlockError::Damaged`] if fewer bytes remain.
    #[inline]
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], BlockError> {
        let bytes = self.take(N, field)?;
        bytes.try_into().map_err(|_| self.damaged(field, format!("{} bytes", bytes.len()), "another number"))
    }

    /// Reads a LEB128 varint.
    ///
    /// # Errors
    ///
    /// [`BlockError::Damaged`] if the number has more than 64 bits or the bytes end.
    #[inline]
    pub fn varint(&mut self, field: &'static str) -> Result<u64, BlockError> {
        // Nearly all numbers have one byte or two.
        match self.all.get(self.at..) {
            Some([byte @ ..0x80, ..]) => {
                self.at += 1;
                Ok((*byte).into())
            }
            Some([low, high @ ..0x80, ..]) => {
                self.at += 2;
                Ok(u64::from(low & 0x7f) | u64::from(*high) << 7)
            }
            _ => self.long_varint(field),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self, field: &'static str) -> Result<u64, BlockError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(field)?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.damaged(field, "a number of more than 64 bits".to_owned(), "a varint"))
    }

    /// Reads the number of the following items or bytes.
    ///
    /// # Errors
    ///
    /// [`BlockError::Damaged`] if the number exceeds the number of remaining bytes, so that a damaged block allocates
    /// little memory.
    #[inline]
    pub fn count(&mut self, field: &'static str) -> Result<usize, BlockError> {
        let (count, remaining) = (self.varint(field)?, self.all.len() - self.at);
        match usize::try_from(count) {
            Ok(count) if count <= remaining => Ok(count),
            _ => Err(self.damaged(field, count.to_string(), "at most the number of bytes to the end")),
        }
    }

    /// Reads a text with its length in front.
    ///
    /// # Errors
    ///
    /// [`BlockError::Damaged`] if the text is not UTF-8 or the bytes end.
    #[inline]
    pub fn text(&mut self, field: &'static str) -> Result<&'b str, BlockError> {
        let length = self.count(field)?;
        let bytes = self.take(length, field)?;
        std::str::from_utf8(bytes).map_err(|error| self.damaged(field, error.to_string(), "UTF-8"))
    }

    /// Creates the error of an invalid value that was read last.
    #[cold]
    pub fn damaged(&self, field: &'static str, found: String, expected: &'static str) -> BlockError {
        BlockError::Damaged { at: self.at, field, found, expected }
    }
}
