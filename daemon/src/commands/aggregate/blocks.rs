//! Blocks of whole lines, read from one file or merged from several.

use std::path::PathBuf;

use daemon_sources::timestamp::TimeUnit;
use indicatif::ProgressBar;
use proxy_uve::wire::line::LineForm;

use crate::commands::aggregate::display_name;
use crate::commands::aggregate::lines::{Found, Lines};
use crate::commands::aggregate::merge::Merge;
use crate::commands::neighbours::{first_times, last_times};
use crate::commands::recorded;

/// The origin of the lines of a block, for messages.
#[derive(Clone, Debug, Default)]
pub(crate) enum Origin {
    /// The only file; its lines follow those of the previous block.
    #[default]
    OnlyFile,
    /// Several files: the file index and the line number of each line.
    Lines(Vec<(u16, u64)>),
}

/// A block of lines, each with its line feed, except perhaps the last line of a file.
#[derive(Debug, Default)]
pub(crate) struct Block {
    pub(crate) text: Vec<u8>,
    pub(crate) origin: Origin,
    /// Lines over the limit, in order. Each of them is an empty line in the text.
    pub(crate) too_long: Vec<TooLong>,
    /// The times of the last records before the block, in microseconds.
    pub(crate) before: Vec<u64>,
    /// The times of the first records after it.
    pub(crate) after: Vec<u64>,
}

/// A line over the length limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooLong {
    /// The index of the line in the block, from 0.
    pub(crate) line: u64,
    /// The length in bytes without the line feed.
    pub(crate) length: u64,
}

/// The blocks over all files, read one ahead.
pub(crate) struct Blocks {
    source: Source,
    form: Option<LineForm>,
    unit: TimeUnit,
    /// The next block; `None` before the first one and after the last one.
    ahead: Option<Block>,
    has_begun: bool,
    /// The times of the last records of the block before.
    before: Vec<u64>,
}

/// The source of blocks.
enum Source {
    One(Lines),
    /// Several files, merged by the timestamps of their records.
    Many(Merge),
}

impl Blocks {
    /// Opens the files.
    ///
    /// # Errors
    ///
    /// When one of them cannot be read.
    pub(crate) fn open(
        files: &[PathBuf],
        form: Option<LineForm>,
        unit: TimeUnit,
        progress: &ProgressBar,
    ) -> anyhow::Result<Self> {
        let mut lines = Vec::new();
        for path in files {
            lines.push(Lines::new(display_name(path), recorded::open(path, progress)?));
        }
        let source = match lines.len() {
            1 => Source::One(lines.remove(0)),
            _ => Source::Many(Merge::new(lines, form, unit)?),
        };
        Ok(Self { source, form, unit, ahead: None, has_begun: false, before: Vec::new() })
    }

    /// Fills `block` and reuses its memory; returns `false` at the end.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub(crate) fn next(&mut self, block: &mut Block) -> anyhow::Result<bool> {
        if !self.has_begun {
            self.has_begun = true;
            let mut first = Block::default();
            self.ahead = self.source.next(&mut first)?.then_some(first);
        }
        let Some(next) = self.ahead.take() else { return Ok(false) };
        let mut ahead = std::mem::replace(block, next);
        if self.source.next(&mut ahead)? {
            block.after = first_times(self.form, self.unit, &ahead.text);
            self.ahead = Some(ahead);
        }
        block.before.clone_from(&self.before);
        let last = last_times(self.form, self.unit, &block.text);
        if !last.is_empty() {
            self.before = last;
        }
        Ok(true)
    }
}

impl Source {
    fn next(&mut self, block: &mut Block) -> anyhow::Result<bool> {
        block.too_long.clear();
        block.after.clear();
        match self {
            Self::One(lines) => {
                block.origin = Origin::OnlyFile;
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
