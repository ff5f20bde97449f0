//! Files to blocks of whole lines.

use std::io::Read;
use std::path::PathBuf;

use anyhow::Context as _;
use indicatif::ProgressBar;
use proxy_uve::wire::line::LineForm;

use crate::aggregate::merge::Merge;
use crate::aggregate::shown;
use crate::recorded;

/// Bytes of a block: enough records for every shard to make batches of them, and small enough for the second-level
/// cache.
pub(crate) const BLOCK_BYTES: usize = 1024 * 1024;

/// Where the lines of a block come from.
#[derive(Clone, Debug, Default)]
pub(crate) enum Origin {
    /// The only file; its lines follow those of the block before.
    #[default]
    TheFile,
    /// Several files: for each line the file and the line's number in it.
    Lines(Vec<(u16, u64)>),
}

/// Lines, each with its line break, except perhaps the last of a file.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub(crate) text: Vec<u8>,
    pub(crate) origin: Origin,
}

/// The lines of all files, block by block.
pub(crate) enum Blocks {
    One(Lines),
    /// More than one file: their records in the order of time.
    Many(Merge),
}

impl Blocks {
    /// Opens the files.
    ///
    /// # Errors
    ///
    /// When one of them cannot be read.
    pub(crate) fn open(files: &[PathBuf], form: Option<LineForm>, progress: &ProgressBar) -> anyhow::Result<Self> {
        let mut lines = Vec::new();
        for path in files {
            lines.push(Lines { name: shown(path), source: recorded::open(path, progress)?, rest: Vec::new() });
        }
        if lines.len() == 1 {
            return Ok(Self::One(lines.remove(0)));
        }
        Ok(Self::Many(Merge::new(lines, form)?))
    }

    /// Fills `block`, whose memory is used again. `false` at the end.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub(crate) fn next(&mut self, block: &mut Block) -> anyhow::Result<bool> {
        match self {
            Self::One(lines) => {
                block.origin = Origin::TheFile;
                lines.next(&mut block.text)
            }
            Self::Many(merge) => merge.next(block),
        }
    }
}

/// The lines of one file.
pub(crate) struct Lines {
    name: String,
    source: Box<dyn Read + Send>,
    /// The beginning of a line whose end was not read yet.
    rest: Vec<u8>,
}

impl Lines {
    /// Fills `text` with whole lines. `false` at the end.
    ///
    /// A line longer than a block is passed on in pieces, none of which is a record: one bad line, or a few.
    pub(crate) fn next(&mut self, text: &mut Vec<u8>) -> anyhow::Result<bool> {
        text.clear();
        text.append(&mut self.rest);
        let room = (BLOCK_BYTES - text.len().min(BLOCK_BYTES - 1)) as u64;
        self.source.by_ref().take(room).read_to_end(text).with_context(|| format!("read {}", self.name))?;
        if text.len() < BLOCK_BYTES {
            return Ok(!text.is_empty());
        }
        if let Some(end) = text.iter().rposition(|&byte| byte == b'\n') {
            self.rest.extend_from_slice(&text[end + 1..]);
            text.truncate(end + 1);
        }
        Ok(true)
    }
}
