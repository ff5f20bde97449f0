//! Copies the files of a log to another directory, whether or not a process has it open.
//!
//! The copy is the log at the moment at which the length of the newest journal is taken. All files are open by then, so
//! one that is deleted later is still read; whatever that much of the journal names was in them before. What they have
//! got since is cut off when the copy is opened, as after a power cut.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use crate::embedded::directory::{copy_beside, create_version, io_error, is_log, parent, store_path, sync_parent};
use crate::embedded::disk::sync_directory;
use crate::embedded::recover::files;
use crate::embedded::segment::Family;
use crate::error::LogError;

/// How often the files are opened again because one was deleted between its listing and its opening.
const TRIES: usize = 20;

type OpenFiles = BTreeMap<(Family, u32), File>;

/// Copies the log in `path` to the directory `target`, which must not exist; returns the number of bytes. Nothing stays
/// of a copy that fails.
pub(super) fn backup(path: &Path, target: &Path) -> Result<u64, LogError> {
    if !is_log(path)? {
        return Err(LogError::NoLog { path: path.to_owned() });
    }
    crate::EmbeddedLog::check_format(path)?;
    check_outside(path, target)?;
    std::fs::create_dir(target).map_err(|source| io_error("create the directory of the copy", target, source))?;
    let copied = copy_log(path, target);
    if copied.is_err() {
        // It has nothing but a part of the copy.
        let _ = std::fs::remove_dir_all(target);
    }
    copied
}

/// Fails if the copy would be a part of the log's own directory.
fn check_outside(path: &Path, target: &Path) -> Result<(), LogError> {
    let parent = parent(target);
    if !parent.exists() {
        return Err(LogError::invalid(format!(
            "the directory {} for the copy does not exist; create it",
            parent.display()
        )));
    }
    let io = |source| io_error("find the directory above the copy", parent, source);
    let (log, parent) = (path.canonicalize().map_err(io)?, parent.canonicalize().map_err(io)?);
    if parent.starts_with(&log) {
        let reason =
            format!("the copy {} is inside the log {}; name a directory outside", target.display(), log.display());
        return Err(LogError::invalid(reason));
    }
    Ok(())
}

fn copy_log(path: &Path, target: &Path) -> Result<u64, LogError> {
    // First: the number of the last acknowledged write must not be ahead of the journal that is copied.
    copy_beside(path, target)?;
    let store = store_path(target);
    let io = |source| io_error("copy the log", &store, source);
    std::fs::create_dir(&store).map_err(io)?;
    let bytes = copy_store(&store_path(path), &store)?;
    sync_directory(&store).map_err(io)?;
    // Last: without it the directory is not a log.
    create_version(target)?;
    sync_parent(target)?;
    Ok(bytes)
}

fn copy_store(from: &Path, to: &Path) -> Result<u64, LogError> {
    let (mut open, newest) = open_files(from)?;
    let journal = open.remove(&newest).map(|journal| {
        let len = journal.metadata().map_err(|source| io_error("read a file of the log", from, source))?.len();
        Ok((journal, len))
    });
    // Files that were created since the listing. A later journal would name what is not copied.
    let later: BTreeSet<_> = files(from)?.into_iter().filter(|file| file.0 != Family::Journal).collect();
    for file in later {
        if let Some(opened) = open_if_there(from, file)? {
            open.entry(file).or_insert(opened);
        }
    }
    let mut bytes = 0;
    if let Some(journal) = journal {
        let (journal, len) = journal?;
        bytes += copy(&journal, len, to, newest)?;
    }
    for (file, opened) in &open {
        bytes += copy(opened, u64::MAX, to, *file)?;
    }
    Ok(bytes)
}

/// Opens all files of a store; returns them with the newest journal.
fn open_files(store: &Path) -> Result<(OpenFiles, (Family, u32)), LogError> {
    for _ in 0..TRIES {
        let listed = files(store)?;
        let Some(newest) = listed.iter().rfind(|(family, _)| *family == Family::Journal) else {
            return Err(LogError::NoLog { path: store.to_owned() });
        };
        let mut open = OpenFiles::new();
        for file in &listed {
            open.extend(open_if_there(store, *file)?.map(|opened| (*file, opened)));
        }
        if open.len() == listed.len() {
            return Ok((open, *newest));
        }
    }
    let reason = format!("files of {} were deleted during each of {TRIES} attempts to open them", store.display());
    Err(LogError::Unavailable { reason })
}

fn open_if_there(store: &Path, (family, number): (Family, u32)) -> Result<Option<File>, LogError> {
    let path = store.join(family.file_name(number));
    match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some).map_err(|source| io_error("open a file of the log", &path, source)),
    }
}

fn copy(from: &File, len: u64, to: &Path, (family, number): (Family, u32)) -> Result<u64, LogError> {
    let to = to.join(family.file_name(number));
    copy_up_to(len, from, &to).map_err(|source| io_error("copy a file of the log", &to, source))
}

/// Copies at most the first `len` bytes of a file, durably; returns their number.
fn copy_up_to(len: u64, from: &File, to: &Path) -> std::io::Result<u64> {
    let mut copy = File::create_new(to)?;
    let bytes = std::io::copy(&mut from.take(len), &mut copy)?;
    copy.sync_all()?;
    Ok(bytes)
}
