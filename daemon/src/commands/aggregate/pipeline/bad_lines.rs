//! The report of bad lines on standard error, in the order of the lines.

use std::path::PathBuf;

use anyhow::bail;
use indicatif::ProgressBar;

use crate::commands::aggregate::batch::{Batch, MAX_NAMED};
use crate::commands::aggregate::blocks::Origin;
use crate::commands::aggregate::display_name;
use crate::commands::print::message;

/// Counts bad lines and prints the first ones.
pub(super) struct BadLineReport<'a> {
    files: &'a [PathBuf],
    strict: bool,
    progress: &'a ProgressBar,
    bad_lines: u64,
    /// The lines of a single file before the current batch.
    lines: u64,
}

impl<'a> BadLineReport<'a> {
    pub(super) fn new(files: &'a [PathBuf], strict: bool, progress: &'a ProgressBar) -> Self {
        Self { files, strict, progress, bad_lines: 0, lines: 0 }
    }

    /// The number of bad lines so far.
    pub(super) fn bad_lines(&self) -> u64 {
        self.bad_lines
    }

    /// Adds the bad lines of the next batch.
    ///
    /// # Errors
    ///
    /// Fails with `strict` if there is a bad line.
    pub(super) fn add(&mut self, batch: &Batch) -> anyhow::Result<()> {
        for bad in &batch.bad {
            let (file, line) = match &batch.block.origin {
                Origin::OnlyFile => (0, self.lines + bad.line + 1),
                Origin::Lines(lines) => lines.get(bad.line as usize).copied().unwrap_or_default(),
            };
            let file = self.files.get(usize::from(file)).map(|path| display_name(path)).unwrap_or_default();
            if self.strict {
                bail!("{file}:{line}: {}", bad.reason);
            }
            self.bad_lines += 1;
            if self.bad_lines <= MAX_NAMED as u64 {
                self.progress.suspend(|| message(format_args!("{file}:{line}: {}", bad.reason)));
            }
        }
        self.bad_lines += batch.bad_lines - batch.bad.len() as u64;
        self.lines += batch.lines;
        Ok(())
    }
}
