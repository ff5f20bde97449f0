//! A posted configuration file, between the check and the start.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tracing::warn;

/// A file that is written and durable under another name.
pub(crate) struct StagedFile {
    /// The new file.
    pub new: tempfile::TempPath,
    /// A copy of the old one.
    pub old: tempfile::TempPath,
    pub to: PathBuf,
}

/// The old file, after the new one has its name.
pub(super) struct ReplacedFile {
    old: tempfile::TempPath,
    to: PathBuf,
}

impl StagedFile {
    /// Gives the file its name.
    ///
    /// # Errors
    ///
    /// When the directory cannot be written: the old file keeps its name.
    pub(super) fn put_in_place(self) -> anyhow::Result<ReplacedFile> {
        let Self { new, old, to } = self;
        rename(new, &to)?;
        Ok(ReplacedFile { old, to })
    }
}

impl ReplacedFile {
    /// Gives the name back to the old file.
    ///
    /// # Errors
    ///
    /// When the directory cannot be written: the new file keeps the name.
    pub(super) fn undo(self) -> anyhow::Result<()> {
        rename(self.old, &self.to)
    }
}

fn rename(from: tempfile::TempPath, to: &Path) -> anyhow::Result<()> {
    from.persist(to).with_context(|| format!("replace {}", to.display()))?;
    let directory = to.parent().unwrap_or(to);
    let synced = std::fs::File::open(directory).and_then(|directory| directory.sync_all());
    if let Err(error) = synced {
        // The file has its name; only a power cut could still undo that.
        warn!(%error, directory = %directory.display(), "The new name of the configuration file may not be durable.");
    }
    Ok(())
}
