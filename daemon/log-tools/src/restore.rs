//! A data directory from a copy.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use daemon_log::LogError;
use daemon_log::files::{copy_beside, create_version, io_error, store_path, sync_directory, sync_parent};

use crate::backup::check_not_inside;
use crate::check::check;
use crate::private::{create_dir, create_file, make_private, may_link};
use crate::report::Report;
use crate::snapshot::Snapshot;
use crate::states::DecodeState;

/// What was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The check of the copy; the log stands at its write.
    pub report: Report,
    /// The number of bytes that were copied.
    pub copied: u64,
    /// The number of bytes that both directories have together.
    pub linked: u64,
}

/// A directory that was empty or missing.
pub(crate) struct Created {
    path: PathBuf,
    /// Whether it was missing.
    is_new: bool,
}

impl Created {
    /// Removes what was written to it.
    pub(crate) fn remove(&self) {
        // It has nothing but a part of what was to be written.
        let _ = std::fs::remove_dir_all(&self.path);
        if !self.is_new {
            let _ = create_dir(&self.path);
        }
    }
}

/// Runs `write` with the directory `path`, which is made or was empty; nothing stays in it of an attempt that fails.
pub(crate) fn in_empty<T, E: From<LogError>>(path: &Path, write: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let created = create_empty(path)?;
    let written = write();
    if written.is_err() {
        created.remove();
    }
    written
}

/// Creates a directory, unless it is there and empty.
fn create_empty(path: &Path) -> Result<Created, LogError> {
    let is_new = match create_dir(path) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
        Err(source) => return Err(io_error("create the directory", path, source)),
    };
    let mut entries = std::fs::read_dir(path).map_err(|source| io_error("list the directory", path, source))?;
    if let Some(entry) = entries.next() {
        let name = entry.map_err(|source| io_error("list the directory", path, source))?.file_name();
        let (path, name) = (path.display(), name.display());
        return Err(LogError::invalid(format!(
            "{path} is not empty, it has {name}; name a directory that is empty or does not exist"
        )));
    }
    if !is_new {
        // Before anything is in it; the owner of another one has chosen its mode.
        let _ = std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700));
    }
    Ok(Created { path: path.to_owned(), is_new })
}

/// Writes files of the owner of a log beside its store, each with its content.
pub(crate) fn write_beside(to: &Path, beside: &[(&str, String)]) -> Result<(), LogError> {
    for (name, text) in beside {
        let file = to.join(name);
        let written = std::fs::write(&file, text).and_then(|()| File::open(&file)?.sync_all());
        written.map_err(|source| io_error("write", &file, source))?;
    }
    Ok(())
}

/// Makes the directory `to`, which must be empty or missing, a data directory with the content of the copy `from`.
/// `beside` are files for the owner of the log, with their content, in place of those of the copy. With `link`, files that
/// no process changes any more are hard links, if both are on one file system. Nothing is written if the copy is damaged:
/// the report has the damage then, and no byte is copied.
///
/// # Errors
/// Those of [`check`](crate::check()), and [`LogError::Io`] or [`LogError::InvalidArgument`] if `to` cannot be written.
pub fn restore(
    from: &Path,
    to: &Path,
    link: bool,
    beside: &[(&str, String)],
    decode: &mut DecodeState<'_>,
) -> Result<Restored, LogError> {
    let report = check(from, decode)?;
    let mut restored = Restored { report, copied: 0, linked: 0 };
    if !restored.report.is_sound() {
        return Ok(restored);
    }
    check_not_inside(from, to)?;
    (restored.copied, restored.linked) = in_empty(to, || copy(from, to, link, beside))?;
    Ok(restored)
}

fn copy(from: &Path, to: &Path, link: bool, beside: &[(&str, String)]) -> Result<(u64, u64), LogError> {
    copy_beside(from, to)?;
    write_beside(to, beside)?;
    let store = store_path(to);
    let io = |source| io_error("write the directory", &store, source);
    std::fs::create_dir(&store).map_err(io)?;
    let snapshot = Snapshot::open(&store_path(from))?;
    let (mut copied, mut linked) = (0, 0);
    for ((family, number), source) in &snapshot.files {
        let target = store.join(family.file_name(*number));
        // Writes append to the newest file of each family, so it must not be shared.
        let is_closed = snapshot.newest_of(*family) != Some(*number);
        if link && is_closed && may_link(&source.file, to) && std::fs::hard_link(&source.path, &target).is_ok() {
            linked += source.len;
            continue;
        }
        copied += copy_file(&source.file, &target)?;
    }
    sync_directory(&store).map_err(io)?;
    // Last: without it the directory is not a log.
    create_version(to)?;
    make_private(to)?;
    sync_parent(to)?;
    Ok((copied, linked))
}

fn copy_file(mut from: &File, to: &Path) -> Result<u64, LogError> {
    let copied = create_file(to).and_then(|mut copy| {
        let bytes = std::io::copy(&mut from, &mut copy)?;
        copy.sync_all()?;
        Ok(bytes)
    });
    copied.map_err(|source| io_error("copy a file of the log", to, source))
}
