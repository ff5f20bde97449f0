//! Small integers in few words of a saved state: variable-length bytes (LEB128), eight to a word.
//!
//! ```text
//! words := length-in-bytes word*
//! ```
//!
//! Each integer has one form, and the unused bytes of the last word are 0.

use alloc::vec::Vec;

use crate::saved::{RestoreError, WordWriter, Words};

/// Integers that are to be saved.
#[derive(Debug, Default)]
pub(super) struct Packed {
    bytes: Vec<u8>,
}

impl Packed {
    /// Appends an integer.
    pub(super) fn put(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    pub(super) fn save(&self, words: &mut WordWriter<'_>) {
        words.push(self.bytes.len() as u64);
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        words.extend(self.bytes.chunks(8).map(word));
    }
}

/// The integers of a saved state.
#[derive(Debug)]
pub(super) struct Unpacked {
    field: &'static str,
    bytes: Vec<u8>,
    read: usize,
}

impl Unpacked {
    /// Reads the words that [`Packed::save`] wrote; errors contain `field`.
    pub(super) fn restore(field: &'static str, words: &mut Words<'_>) -> Result<Self, RestoreError> {
        let length = words.next(field)?;
        // Checked before the bytes are allocated.
        let available = words.rest().len() as u64 * 8;
        if length > available {
            return Err(RestoreError::TooShort { field });
        }
        let mut bytes = Vec::with_capacity(length as usize + 7);
        for _ in 0..length.div_ceil(8) {
            bytes.extend(words.next(field)?.to_le_bytes());
        }
        match bytes.iter().skip(length as usize).find(|byte| **byte != 0) {
            Some(byte) => Err(RestoreError::invalid(field, u64::from(*byte))),
            None => {
                bytes.truncate(length as usize);
                Ok(Self { field, bytes, read: 0 })
            }
        }
    }

    /// Whether all integers were read.
    pub(super) fn is_empty(&self) -> bool {
        self.read >= self.bytes.len()
    }

    /// The next integer.
    pub(super) fn next(&mut self) -> Result<u64, RestoreError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.read).ok_or(RestoreError::TooShort { field: self.field })?;
            self.read += 1;
            let bits = u64::from(byte & 0x7f);
            let is_overlong = byte == 0 && shift > 0;
            if is_overlong || bits << shift >> shift != bits {
                return Err(RestoreError::invalid(self.field, u64::from(byte)));
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(RestoreError::invalid(self.field, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(words: &[u64]) -> Result<Vec<u64>, RestoreError> {
        let mut words = Words::new(words);
        let mut unpacked = Unpacked::restore("f", &mut words)?;
        let mut values = Vec::new();
        while !unpacked.is_empty() {
            values.push(unpacked.next()?);
        }
        words.finish().map(|()| values)
    }

    #[test]
    fn integers_are_restored_in_order() {
        for values in [&[][..], &[0], &[127, 128, 1 << 14, u64::MAX, 0, 5], &[1; 9]] {
            let (mut packed, mut words) = (Packed::default(), Vec::new());
            values.iter().for_each(|value| packed.put(*value));
            packed.save(&mut WordWriter::new(&mut words));
            assert_eq!(unpacked(&words).as_deref(), Ok(values), "{words:?}");
        }
        assert_eq!(unpacked(&[2, 0x01_80]), Ok(vec![128]));
    }

    #[test]
    fn bytes_of_another_form_are_refused() {
        let invalid = |byte| Err(RestoreError::invalid("f", byte));
        let short = || Err(RestoreError::TooShort { field: "f" });
        assert_eq!(unpacked(&[2, 0x00_80]), invalid(0), "two bytes for 0");
        assert_eq!(unpacked(&[1, 0x01_80]), invalid(1), "a byte beyond the length");
        assert_eq!(unpacked(&[1, 0x80]), short(), "an integer that ends early");
        assert_eq!(unpacked(&[9, 1]), short(), "fewer words than the length");
        assert_eq!(unpacked(&[u64::MAX, 1]), short(), "more bytes than any memory");
        assert_eq!(unpacked(&[10, u64::MAX, 0x02_ff]), invalid(2), "more than 64 bits");
        assert_eq!(unpacked(&[]), short());
    }
}
