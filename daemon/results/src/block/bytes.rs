//! Numbers and texts of a block.

use crate::block::VERSION;

/// Why a block cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BlockError {
    /// Its structure is wrong.
    #[error("the block of results is damaged before byte {at}, in `{field}`: found {found}, expected {expected}")]
    Damaged { at: usize, field: &'static str, found: String, expected: &'static str },
    /// A newer build wrote it.
    #[error(
        "the block of results has version {found}, this build reads versions up to {VERSION}; run the build that wrote \
         it, or a newer one"
    )]
    Version { found: u8 },
}

/// Appends a varint.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a text with its length.
#[inline]
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Reads from the front, and knows where it is.
#[derive(Clone, Debug)]
pub struct Reader<'b> {
    all: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    pub fn new(all: &'b [u8]) -> Self {
        Self { all, at: 0 }
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.all.len()
    }

    /// The bytes from here to the end.
    pub fn rest(&self) -> &'b [u8] {
        self.all.get(self.at..).unwrap_or_default()
    }

    #[inline]
    pub fn take(&mut self, length: usize, field: &'static str) -> Result<&'b [u8], BlockError> {
        let end = self.at.checked_add(length);
        match end.and_then(|end| self.all.get(self.at..end)) {
            Some(bytes) => {
                self.at += length;
                Ok(bytes)
            }
            None => {
                let left = self.all.len() - self.at;
                Err(self.damaged(field, format!("{left} bytes to the end"), "more"))
            }
        }
    }

    #[inline]
    pub fn byte(&mut self, field: &'static str) -> Result<u8, BlockError> {
        Ok(self.array::<1>(field)?[0])
    }

    #[inline]
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], BlockError> {
        let bytes = self.take(N, field)?;
        bytes.try_into().map_err(|_| self.damaged(field, format!("{} bytes", bytes.len()), "another number"))
    }

    #[inline]
    pub fn varint(&mut self, field: &'static str) -> Result<u64, BlockError> {
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

    /// A number of things or bytes that are still to come: at most as many as there are bytes.
    #[inline]
    pub fn count(&mut self, field: &'static str) -> Result<usize, BlockError> {
        let (count, left) = (self.varint(field)?, self.all.len() - self.at);
        match usize::try_from(count) {
            Ok(count) if count <= left => Ok(count),
            _ => Err(self.damaged(field, count.to_string(), "at most the number of bytes to the end")),
        }
    }

    #[inline]
    pub fn text(&mut self, field: &'static str) -> Result<&'b str, BlockError> {
        let length = self.count(field)?;
        let bytes = self.take(length, field)?;
        std::str::from_utf8(bytes).map_err(|error| self.damaged(field, error.to_string(), "UTF-8"))
    }

    /// An error about what was read last.
    #[cold]
    pub fn damaged(&self, field: &'static str, found: String, expected: &'static str) -> BlockError {
        BlockError::Damaged { at: self.at, field, found, expected }
    }
}
