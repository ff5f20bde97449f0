//! Whole lines of one file, read block by block in bounded memory.

use std::io::Read;

use anyhow::Context as _;

/// The size of a block in bytes: large enough for a batch in every shard, and small enough for the second-level cache.
pub(crate) const BLOCK_BYTES: usize = 1024 * 1024;

/// The longest line in bytes without its line feed: the size of a block.
pub(crate) const MAX_LINE_BYTES: usize = BLOCK_BYTES;

/// The bytes of one read while a line over the limit is skipped.
const SKIPPED_BYTES: u64 = 64 * 1024;

/// The result of [`Lines::next`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Found {
    /// The file has ended.
    End,
    /// The text has whole lines; the last line of a file may lack its line feed.
    Lines,
    /// The text is an empty line, which replaces a skipped line of `length` bytes without its line feed, more than
    /// [`MAX_LINE_BYTES`].
    TooLong { length: u64 },
}

/// The reader of the lines of one file.
pub(crate) struct Lines {
    name: String,
    source: Box<dyn Read + Send>,
    /// The bytes read beyond the last block, at most a block: the beginning of a line or, after a line over the limit,
    /// several lines.
    rest: Vec<u8>,
}

impl Lines {
    /// A reader of the lines of `source`, which errors call `name`.
    pub(crate) fn new(name: String, source: Box<dyn Read + Send>) -> Self {
        Self { name, source, rest: Vec::new() }
    }

    /// Fills `text` with whole lines.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub(crate) fn next(&mut self, text: &mut Vec<u8>) -> anyhow::Result<Found> {
        // The longest line and its line feed.
        const FULL: usize = MAX_LINE_BYTES + 1;
        text.clear();
        text.append(&mut self.rest);
        self.read((FULL - text.len()) as u64, text)?;
        if text.len() < FULL {
            return Ok(if text.is_empty() { Found::End } else { Found::Lines });
        }
        let Some(end) = text.iter().rposition(|&byte| byte == b'\n') else {
            return self.skip_line(text);
        };
        self.rest.extend_from_slice(&text[end + 1..]);
        text.truncate(end + 1);
        Ok(Found::Lines)
    }

    /// Skips the rest of a line, whose beginning is `text`.
    fn skip_line(&mut self, text: &mut Vec<u8>) -> anyhow::Result<Found> {
        let mut length = 0;
        loop {
            if let Some(end) = text.iter().position(|&byte| byte == b'\n') {
                length += end as u64;
                self.rest.extend_from_slice(&text[end + 1..]);
                break;
            }
            length += text.len() as u64;
            text.clear();
            self.read(SKIPPED_BYTES, text)?;
            if text.is_empty() {
                break;
            }
        }
        text.clear();
        text.push(b'\n');
        Ok(Found::TooLong { length })
    }

    /// Reads `bytes` bytes, or fewer at the end of the file.
    fn read(&mut self, bytes: u64, text: &mut Vec<u8>) -> anyhow::Result<()> {
        let read = self.source.by_ref().take(bytes).read_to_end(text);
        read.map(|_| ()).with_context(|| format!("read {}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lengths of the lines, with whether each was skipped.
    fn lengths(content: Vec<u8>) -> Vec<(u64, bool)> {
        let mut lines = Lines::new("memory".to_owned(), Box::new(std::io::Cursor::new(content)));
        let (mut text, mut found) = (Vec::new(), Vec::new());
        loop {
            match lines.next(&mut text).expect("memory can be read") {
                Found::End => return found,
                Found::Lines => {
                    let without_feeds = text.split_inclusive(|&byte| byte == b'\n');
                    found.extend(without_feeds.map(|line| (line.trim_ascii_end().len() as u64, false)));
                }
                Found::TooLong { length } => found.push((length, true)),
            }
            assert!(text.len() <= MAX_LINE_BYTES + 1 && lines.rest.len() <= MAX_LINE_BYTES, "memory is bounded");
        }
    }

    #[test]
    fn a_line_over_the_limit_is_skipped_at_any_position() {
        let skipped = SKIPPED_BYTES as usize;
        for length in [0, 1, MAX_LINE_BYTES - 1, MAX_LINE_BYTES, MAX_LINE_BYTES + 1, MAX_LINE_BYTES + skipped]
            .into_iter()
            .chain([MAX_LINE_BYTES + skipped + 1, 2 * MAX_LINE_BYTES, 2 * MAX_LINE_BYTES + 2])
        {
            let line = (length as u64, length > MAX_LINE_BYTES);
            for before in [0, 1, 1000] {
                let lines = [vec![b'a'; before], vec![b'b'; length], vec![b'c'; 5]];
                let expected = vec![(before as u64, false), line, (5, false)];
                let mut content = lines.join(&b'\n');
                assert_eq!(lengths(content.clone()), expected, "{before}, {length}");
                content.push(b'\n');
                assert_eq!(lengths(content), expected, "{before}, {length}, with a line feed at the end");
            }
            // An empty rest at the end of a file is not a line.
            let last = if length == 0 { Vec::new() } else { vec![line] };
            assert_eq!(lengths(vec![b'b'; length]), last, "{length} alone");
        }
    }
}
