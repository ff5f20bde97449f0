//! Files to blocks of whole lines.

use std::path::PathBuf;

use indicatif::ProgressBar;
use proxy_uve::wire::line::LineForm;

use crate::commands::aggregate::lines::{Found, Lines};
use crate::commands::aggregate::merge::Merge;
use crate::commands::aggregate::shown;
use crate::commands::recorded;

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
    /// Lines over the limit, in their order. In the text each of them is an empty line.
    pub(crate) too_long: Vec<TooLong>,
}

/// A line over the limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooLong {
    /// Its index in the block, from 0.
    pub(crate) line: u64,
    /// Its bytes without the line feed.
    pub(crate) length: u64,
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
            lines.push(Lines::new(shown(path), recorded::open(path, progress)?));
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
        block.too_long.clear();
        match self {
            Self::One(lines) => {
                block.origin = Origin::TheFile;
                let found = lines.next(&mut block.text)?;
                if let Found::TooLong { length } = found {
                    block.too_long.push(TooLong { line: 0, length });
                }
                Ok(found != Found::End)
            }
            Self::Many(merge) => merge.next(block),
        }
    }
}
