//! A JSON array of samples, as lines.
//!
//! Each element becomes a line, which the [intake](super::intake) then decodes and checks as any other. Only brackets,
//! commas and strings are scanned, in one pass that keeps nothing, so an array may be of any length.

use std::io::{Error, ErrorKind, Read, Result};

use crate::opening::without_mark;

/// The bytes of a read.
const READ_BYTES: usize = 64 * 1024;

/// Whether a content that begins so is an array of samples: a key of a tabbed line does not begin like one.
pub fn is_array(opening: &[u8]) -> bool {
    let Some(rest) = without_mark(opening).trim_ascii_start().strip_prefix(b"[") else { return false };
    matches!(rest.trim_ascii_start().first(), None | Some(b'{' | b']'))
}

/// Why a content is not one whole array.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ArrayError {
    /// An element is missing between commas, or after the last one.
    #[error(
        "element {element} of the array of samples is empty: a comma follows another one or `[`, or is before `]`; remove it"
    )]
    Empty {
        /// The number of the element, from 1.
        element: u64,
    },
    /// Its end is missing.
    #[error("the array of samples has no end: a `]` is missing, or the content is cut")]
    NoEnd,
    /// Something follows its end.
    #[error("something follows the end of the array of samples; send one array, or one sample a line")]
    Trailing,
}

/// The state of the conversion of an array to lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct ArrayLines {
    /// The number of open brackets and braces; an element begins at 1.
    depth: u64,
    in_string: bool,
    is_escaped: bool,
    /// The commas between elements.
    commas: u64,
    /// Whether something of the element after the last comma has come.
    has_element: bool,
    has_ended: bool,
}

impl ArrayLines {
    /// Converts the next bytes of the array, and appends the lines to `out`.
    ///
    /// # Errors
    ///
    /// [`ArrayError::Empty`], [`ArrayError::Trailing`].
    pub fn convert(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> std::result::Result<(), ArrayError> {
        for &byte in bytes {
            if self.in_string {
                self.in_string = self.is_escaped || byte != b'"';
                self.is_escaped = !self.is_escaped && byte == b'\\';
                // A line feed in a string is a mistake, and as a tab it is still one.
                out.push(if byte == b'\n' { b'\t' } else { byte });
                continue;
            }
            if self.has_ended && !byte.is_ascii_whitespace() {
                return Err(ArrayError::Trailing);
            }
            if self.depth == 1 {
                self.check_element(byte)?;
            }
            if let Some(byte) = self.outside_of_string(byte) {
                out.push(byte);
            }
        }
        Ok(())
    }

    /// Checks a byte between the brackets of the array and outside of its elements.
    fn check_element(&mut self, byte: u8) -> std::result::Result<(), ArrayError> {
        match byte {
            b',' | b']' if !self.has_element && (byte == b',' || self.commas > 0) => {
                return Err(ArrayError::Empty { element: self.commas + 1 });
            }
            b',' => {
                self.commas += 1;
                self.has_element = false;
            }
            _ => self.has_element |= !byte.is_ascii_whitespace(),
        }
        Ok(())
    }

    /// What a byte outside of strings becomes.
    fn outside_of_string(&mut self, byte: u8) -> Option<u8> {
        match byte {
            b'[' | b'{' => {
                self.depth += 1;
                (self.depth > 1).then_some(byte)
            }
            b']' if self.depth == 1 => {
                self.has_ended = true;
                // The last line ends as the others do.
                Some(b'\n')
            }
            b']' | b'}' => {
                // A brace too many stays in the line, which the decoder refuses.
                self.depth = self.depth.saturating_sub(1).max(1);
                Some(byte)
            }
            b',' if self.depth == 1 => Some(b'\n'),
            // The first byte of a line decides its form.
            _ if self.depth <= 1 && byte.is_ascii_whitespace() => None,
            b'\n' | b'\r' => Some(b' '),
            b'"' => {
                self.in_string = true;
                Some(byte)
            }
            _ => Some(byte),
        }
    }

    /// Checks that the array is whole.
    ///
    /// # Errors
    ///
    /// [`ArrayError::NoEnd`].
    pub fn finish(&self) -> std::result::Result<(), ArrayError> {
        if self.has_ended { Ok(()) } else { Err(ArrayError::NoEnd) }
    }
}

/// A reader of the lines of an array.
#[derive(Debug)]
pub struct ArrayReader<R> {
    array: R,
    state: ArrayLines,
    lines: Vec<u8>,
    /// The lines before are read.
    start: usize,
}

impl<R: Read> ArrayReader<R> {
    /// Returns the reader for an array.
    pub fn new(array: R) -> Self {
        Self { array, state: ArrayLines::default(), lines: Vec::new(), start: 0 }
    }
}

impl<R: Read> Read for ArrayReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while self.start == self.lines.len() {
            self.lines.clear();
            self.start = 0;
            let mut bytes = Vec::new();
            self.array.by_ref().take(READ_BYTES as u64).read_to_end(&mut bytes)?;
            if bytes.is_empty() {
                self.state.finish().map_err(|error| Error::new(ErrorKind::UnexpectedEof, error))?;
                return Ok(0);
            }
            let converted = self.state.convert(&bytes, &mut self.lines);
            converted.map_err(|error| Error::new(ErrorKind::InvalidData, error))?;
        }
        let taken = (&self.lines[self.start..]).read(buffer)?;
        self.start += taken;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn lines(array: &str) -> std::result::Result<String, String> {
        let mut lines = String::new();
        let read = ArrayReader::new(array.as_bytes()).read_to_string(&mut lines);
        read.map(|_| lines).map_err(|error| error.to_string())
    }

    #[test]
    fn every_element_is_a_line() {
        let cases = [
            ("[]", "\n"),
            (r#"[{"key":"a"}]"#, "{\"key\":\"a\"}\n"),
            ("[{\"a\":1},{\"b\":[1,2,{}]}]\n", "{\"a\":1}\n{\"b\":[1,2,{}]}\n"),
            ("[\n  {\n    \"a\": 1\n  }\n]", "{     \"a\": 1   }\n"),
            (r#"[{"a":"],}\" \\"},{"b":1}]"#, "{\"a\":\"],}\\\" \\\\\"}\n{\"b\":1}\n"),
            ("[{\"a\":\"x\ny\"}]", "{\"a\":\"x\ty\"}\n"),
            ("[{}},{}]", "{}}\n{}\n"),
        ];
        for (array, expected) in cases {
            assert_eq!(lines(array).as_deref(), Ok(expected), "{array}");
        }
    }

    #[test]
    fn an_array_that_is_not_whole_is_an_error() {
        for cut in ["[", "[{\"a\":1}", "[{\"a\":1},", "[{\"a\":1", "[{\"a\":\"]"] {
            assert_eq!(lines(cut), Err(ArrayError::NoEnd.to_string()), "{cut}");
        }
        assert_eq!(lines("[{}] x"), Err(ArrayError::Trailing.to_string()));
        assert_eq!(lines("[{}][{}]"), Err(ArrayError::Trailing.to_string()));
    }

    #[test]
    fn an_empty_element_is_an_error_with_its_number() {
        for (array, element) in
            [("[,]", 1), ("[ , {}]", 1), ("[{},,{}]", 2), ("[{},]", 2), ("[{}, {\"a\":[1,2]}\n,\n]", 3)]
        {
            assert_eq!(lines(array), Err(ArrayError::Empty { element }.to_string()), "{array}");
        }
    }

    #[test]
    fn an_array_is_known_by_its_first_bytes() {
        for array in ["[", "[]", " [ {", "\u{FEFF}[\n\t{\"key\""] {
            assert!(is_array(array.as_bytes()), "{array}");
        }
        for other in ["", "{", "[x]:a\t<a>", "T:[{", "[[{"] {
            assert!(!is_array(other.as_bytes()), "{other}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<u64>().prop_map(Value::from), ".{0,6}".prop_map(Value::from)];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::hash_map("[a-z]", inner, 0..3).prop_map(Value::from_iter),
            ]
        })
    }

    proptest! {
        #[test]
        fn property_any_bytes_give_the_same_lines_or_error_however_they_are_divided(
            bytes in "[\\[\\]{}\",\\\\\n x]{0,40}",
            at in any::<prop::sample::Index>(),
        ) {
            let convert = |parts: &[&[u8]]| {
                let (mut lines, mut state) = (Vec::new(), ArrayLines::default());
                let converted = parts.iter().try_for_each(|part| state.convert(part, &mut lines));
                (converted.and_then(|()| state.finish()), lines)
            };
            let (first, second) = bytes.as_bytes().split_at(at.index(bytes.len() + 1));
            prop_assert_eq!(convert(&[bytes.as_bytes()]), convert(&[first, second]));
        }

        #[test]
        fn property_the_lines_are_the_elements_for_any_layout(
            elements in prop::collection::vec(value(), 0..5),
            is_pretty in any::<bool>(),
        ) {
            let array = Value::from(elements.clone());
            let text = if is_pretty { serde_json::to_string_pretty(&array) } else { serde_json::to_string(&array) };
            let lines = lines(&text.unwrap()).unwrap();
            let read = lines.lines().filter(|line| !line.trim().is_empty());
            let read: Vec<Value> = read.map(|line| serde_json::from_str(line).unwrap()).collect();
            prop_assert_eq!(read, elements);
        }
    }
}
