//! Reads a file in blocks of whole lines.
//!
//! A block is small enough to stay in the second-level cache between the read and the parse. The part of a line at its
//! end moves to the front of the next block.

use std::io::{ErrorKind, Read};

use anyhow::{Context, Result, bail};

/// Bytes of a block, and so the longest line.
const BLOCK_BYTES: usize = 256 << 10;

/// Bytes behind a block that may be looked at, so that a word at its end needs no test.
const PADDING_BYTES: usize = 64;

/// The reader.
pub(crate) struct Blocks<R> {
    input: R,
    buffer: Vec<u8>,
    filled: usize,
    used: usize,
}

/// Whole lines, and behind them bytes without meaning.
pub(crate) struct Block<'b> {
    pub(crate) bytes: &'b [u8],
    /// How many bytes at the end are not lines of the block.
    pub(crate) beyond: usize,
}

impl<R: Read> Blocks<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, buffer: vec![0; BLOCK_BYTES + PADDING_BYTES], filled: 0, used: 0 }
    }

    /// The next block, or none at the end of the input. A last line without its line end is an error.
    pub(crate) fn read(&mut self) -> Result<Option<Block<'_>>> {
        self.buffer.copy_within(self.used..self.filled, 0);
        self.filled -= self.used;
        self.used = 0;
        self.fill()?;
        if self.filled == 0 {
            return Ok(None);
        }
        let Some(last) = self.buffer[..self.filled].iter().rposition(|&byte| byte == b'\n') else {
            bail!("a line without its end, or longer than {BLOCK_BYTES} bytes");
        };
        self.used = last + 1;
        Ok(Some(Block { bytes: &self.buffer, beyond: self.buffer.len() - self.used }))
    }

    fn fill(&mut self) -> Result<()> {
        while self.filled < BLOCK_BYTES {
            match self.input.read(&mut self.buffer[self.filled..BLOCK_BYTES]) {
                Ok(0) => break,
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("read the records"),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_comes_once_and_whole_across_blocks() {
        let lines: Vec<String> = (0..60_000).map(|index| format!("line {index}\n")).collect();
        let input = lines.concat();
        let (mut blocks, mut read, mut count) = (Blocks::new(input.as_bytes()), Vec::new(), 0);
        while let Some(block) = blocks.read().unwrap() {
            let whole = &block.bytes[..block.bytes.len() - block.beyond];
            assert!(whole.ends_with(b"\n"));
            read.extend_from_slice(whole);
            count += 1;
        }
        assert!(count > 1);
        assert!(read == input.as_bytes());
    }

    #[test]
    fn a_line_that_is_cut_off_is_an_error() {
        assert!(Blocks::new(&b"whole\ncut"[..]).read().unwrap().is_some());
        let mut blocks = Blocks::new(&b"whole\ncut"[..]);
        blocks.read().unwrap();
        assert!(blocks.read().is_err());
    }
}
