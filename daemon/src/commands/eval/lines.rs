//! The reader of lines of bounded length.

use std::io::{self, BufRead};

/// The longest accepted line, in bytes without its line feed: 1 MiB.
pub(super) const MAX_LINE_BYTES: usize = 1 << 20;

/// The result of [`next`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Line {
    /// The input has ended.
    End,
    /// The buffer has a line. The last line may lack its line feed.
    Full,
    /// A line longer than [`MAX_LINE_BYTES`] was skipped; the content of the buffer is undefined.
    TooLong,
}

/// Reads the next line into `line`, whose length never exceeds the limit.
pub(super) fn next(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Line> {
    line.clear();
    let mut length = 0;
    loop {
        let available = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            available => available?,
        };
        if available.is_empty() && length == 0 {
            return Ok(Line::End);
        }
        let end = available.iter().position(|&byte| byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        if length + part.len() <= MAX_LINE_BYTES {
            line.extend_from_slice(part);
        }
        length = length.saturating_add(part.len());
        let ended = end.is_some() || available.is_empty();
        let used = part.len() + usize::from(end.is_some());
        input.consume(used);
        if ended {
            return Ok(if length <= MAX_LINE_BYTES { Line::Full } else { Line::TooLong });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn all(text: &[u8], buffer: usize) -> Vec<(Line, usize)> {
        let mut input = BufReader::with_capacity(buffer, text);
        let mut line = Vec::new();
        let mut found = Vec::new();
        loop {
            match next(&mut input, &mut line).expect("memory can be read") {
                Line::End => return found,
                kind => found.push((kind, line.len())),
            }
            assert!(line.len() <= MAX_LINE_BYTES);
        }
    }

    #[test]
    fn lines_end_at_line_feeds_and_at_the_end_for_any_buffer_size() {
        for buffer in [1, 2, 3, 100] {
            let lines = all(b"ab\n\nc", buffer);
            assert_eq!(lines, [(Line::Full, 2), (Line::Full, 0), (Line::Full, 1)], "buffer of {buffer}");
            assert_eq!(all(b"", buffer), []);
            assert_eq!(all(b"\n", buffer), [(Line::Full, 0)]);
        }
    }

    #[test]
    fn a_line_at_the_limit_is_accepted_and_a_longer_one_is_skipped() {
        let text = [vec![b'a'; MAX_LINE_BYTES], vec![b'b'; MAX_LINE_BYTES + 1], b"c".to_vec()].join(&b'\n');
        let kinds: Vec<_> = all(&text, 4096).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [Line::Full, Line::TooLong, Line::Full]);
    }
}
