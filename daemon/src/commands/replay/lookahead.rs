//! The lines of a file, with the times of the lines that follow.

use std::collections::VecDeque;
use std::io::{BufRead, Read as _};

use daemon_sources::timestamp::TimeUnit;

use crate::commands::neighbours::{FOLLOWING, time_of};

/// The longest line; a longer one is counted as bad.
const MAX_LINE_BYTES: usize = 128 * 1024;

/// A line that is not empty.
pub(super) struct NumberedLine {
    /// Its number in the file, from 1.
    pub number: u64,
    /// The text without blanks around it; `None` if the line is too long.
    pub text: Option<Vec<u8>>,
    /// The time in microseconds, if the line is a record.
    pub time: Option<u64>,
}

/// The lines of one file.
pub(super) struct Lookahead<R> {
    reader: R,
    unit: TimeUnit,
    lines: VecDeque<NumberedLine>,
    /// The number of lines that were read.
    read: u64,
}

impl<R: BufRead> Lookahead<R> {
    pub(super) fn new(reader: R, unit: TimeUnit) -> Self {
        Self { reader, unit, lines: VecDeque::new(), read: 0 }
    }

    /// The next line; `None` at the end of the file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub(super) fn next(&mut self) -> std::io::Result<Option<NumberedLine>> {
        while self.lines.len() <= FOLLOWING {
            match self.read_line()? {
                Some(line) => self.lines.push_back(line),
                None => break,
            }
        }
        Ok(self.lines.pop_front())
    }

    /// The times of the records that follow the line before.
    pub(super) fn following(&self) -> Vec<u64> {
        self.lines.iter().filter_map(|line| line.time).collect()
    }

    fn read_line(&mut self) -> std::io::Result<Option<NumberedLine>> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut self.reader).take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            self.read += 1;
            let number = self.read;
            if read > MAX_LINE_BYTES {
                if line.last() != Some(&b'\n') {
                    skip_line(&mut self.reader)?;
                }
                return Ok(Some(NumberedLine { number, text: None, time: None }));
            }
            let text = line.trim_ascii();
            if !text.is_empty() {
                let time = time_of(None, self.unit, text);
                return Ok(Some(NumberedLine { number, text: Some(text.to_owned()), time }));
            }
        }
    }
}

/// Skips the rest of the line.
fn skip_line(reader: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let (used, done) = match buffer.iter().position(|&byte| byte == b'\n') {
            Some(end) => (end + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        reader.consume(used);
        if done {
            return Ok(());
        }
    }
}
