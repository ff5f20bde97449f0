//! A place in JSON that moves on over the plain part of it: no escapes, only whole numbers, little nesting.
//!
//! Everything gives `None` for what is not plain, be it good JSON or not: whoever asked hands it to a decoder that
//! knows. So nothing here may take what is no JSON, but may leave as much as it likes.

use serde_json::value::RawValue;

/// How deep an unknown value may be nested. Netplugin has objects of numbers.
const SKIP_DEPTH: usize = 4;

/// After a `None` the place is unspecified.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next byte that is no white space, not taken.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        loop {
            let byte = *bytes.get(self.at)?;
            if !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    /// Takes `byte`, after white space.
    pub(super) fn take(&mut self, byte: u8) -> Option<()> {
        if self.peek()? != byte {
            return None;
        }
        self.at += 1;
        Some(())
    }

    /// Takes `word`, after white space; what follows it is the caller's to look at.
    fn take_word(&mut self, word: &str) -> Option<()> {
        self.peek()?;
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return None;
        }
        self.at += word.len();
        Some(())
    }

    /// Whether nothing but white space is left.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// A string without escapes.
    pub(super) fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let start = self.at;
        let length = plain_length(self.text.as_bytes().get(start..)?);
        self.at = start + length;
        self.take_here(b'"')?;
        self.text.get(start..start + length)
    }

    fn take_here(&mut self, byte: u8) -> Option<()> {
        if *self.text.as_bytes().get(self.at)? != byte {
            return None;
        }
        self.at += 1;
        Some(())
    }

    /// A string without escapes, or `null`.
    pub(super) fn string_or_null(&mut self) -> Option<Option<&'a str>> {
        if self.peek()? == b'n' { self.take_word("null").map(|()| None) } else { self.string().map(Some) }
    }

    /// A whole number of 64 bits. A fraction or an exponent stays, and nothing plain begins with either.
    fn number(&mut self) -> Option<u64> {
        let first = self.peek()?;
        let start = self.at;
        let mut value = 0u64;
        while let Some(digit) =
            self.text.as_bytes().get(self.at).map(|byte| byte.wrapping_sub(b'0')).filter(|&digit| digit < 10)
        {
            value = value.checked_mul(10)?.checked_add(digit.into())?;
            self.at += 1;
        }
        let length = self.at - start;
        (length == 1 || (length > 1 && first != b'0')).then_some(value)
    }

    /// A counter: digits, bare or in quotes. Netplugin has no `null` here.
    pub(super) fn counter(&mut self) -> Option<u64> {
        if self.peek()? != b'"' {
            return self.number();
        }
        self.string().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
    }

    /// The members of an object; `null` has none. `each` is given the key and must take the value.
    pub(super) fn object(&mut self, mut each: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        if self.peek()? == b'n' {
            return self.take_word("null");
        }
        self.take(b'{')?;
        if self.peek()? == b'}' {
            return self.take(b'}');
        }
        loop {
            let key = self.string()?;
            self.take(b':')?;
            each(self, key)?;
            if self.peek()? == b'}' {
                return self.take(b'}');
            }
            self.take(b',')?;
        }
    }

    /// Passes over a value.
    pub(super) fn skip(&mut self) -> Option<()> {
        self.skip_within(SKIP_DEPTH)
    }

    fn skip_within(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'{' => {
                let depth = depth.checked_sub(1)?;
                self.object(|cursor, _| cursor.skip_within(depth))
            }
            b'n' => self.take_word("null"),
            b't' => self.take_word("true"),
            b'f' => self.take_word("false"),
            _ => self.number().map(|_| ()),
        }
    }

    /// Any value at all, as its text.
    pub(super) fn raw(&mut self) -> Option<&'a str> {
        let rest = self.text.get(self.at..)?;
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        let json = values.next()?.ok()?.get();
        self.at += values.byte_offset();
        Some(json)
    }

    /// What was passed since `earlier`, a place before this in the same text.
    pub(super) fn since(&self, earlier: Self) -> Option<&'a str> {
        self.text.get(earlier.at..self.at)
    }
}

/// How many bytes come before the first quote, backslash or control character; all when there is none.
///
/// Eight bytes at a time, as half of what Netplugin writes is in strings. A byte's highest bit is set when the byte is
/// one of those, or when it comes behind one: only the lowest of the bits counts.
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHEST: u64 = ONES << 7;
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word;
    let mut length = 0;
    while let Some(chunk) = bytes.get(length..).and_then(|rest| rest.first_chunk()) {
        let word = u64::from_le_bytes(*chunk);
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
        let found = (quote | backslash | below(word, 0x20)) & HIGHEST;
        if found != 0 {
            return length + found.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    let rest = bytes.get(length..).unwrap_or_default();
    length + rest.iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..=0x1F)).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn property_eight_bytes_at_a_time_end_where_one_at_a_time_does(
            bytes in prop::collection::vec(prop_oneof![8 => any::<u8>(), 1 => Just(b'"'), 1 => Just(b'\\'), 40 => 0x20..=0xFFu8], 0..40),
        ) {
            let ends = |&byte: &u8| byte == b'"' || byte == b'\\' || byte < 0x20;
            prop_assert_eq!(plain_length(&bytes), bytes.iter().position(ends).unwrap_or(bytes.len()));
        }
    }
}
