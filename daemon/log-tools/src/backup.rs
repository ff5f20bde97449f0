//! Copies the files of a log to another directory, whether or not a process has it open.
//!
//! The copy is the log at the moment of its [`Snapshot`]. What the files have got since is cut off when the copy is
//! opened, as after a power cut.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use daemon_log::files::{
    Family, copy_beside, create_version, io_error, is_log, parent, store_path, sync_directory, sync_parent,
};
use daemon_log::{EmbeddedLog, LogError};

use crate::private::{create_dir, create_file, make_private, may_link};
use crate::snapshot::{FileId, Snapshot, Source};

/// The size of the reads that compare two files.
const COMPARE_BYTES: usize = 1024 * 1024;

/// The sizes of a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// The number of bytes that were copied.
    pub copied: u64,
    /// The number of bytes that the copy has together with an older one.
    pub linked: u64,
}

/// Copies the log in the directory `path`, with the files that its owner keeps beside it, to the directory `target`,
/// which must not exist yet. Another process may have the log open and does not wait. The copy has all writes that were
/// acknowledged before the call.
///
/// With `onto`, an older copy of the same log on the same file system, the files that it has already and that no process
/// changes any more are hard links to its files: they are compared byte by byte first.
///
/// Nobody but the owner of the copy can read it ([`make_private`]).
///
/// # Errors
/// [`LogError::NoLog`] or [`LogError::UnknownVersion`] if there is no log of this version in `path` or `onto`.
/// [`LogError::Io`] if `target` exists or cannot be written. [`LogError::Unavailable`] if files are deleted faster than
/// they are opened. A copy that fails is removed.
///
/// # Examples
/// ```
/// use daemon_log::{AppendBatch, EmbeddedLog, Log as _, LogConfig, PartitionId, PartitionLog as _};
///
/// # let dir = tempfile::tempdir()?;
/// # let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
/// let log = EmbeddedLog::open(&data, LogConfig::default())?;
/// let mut batch = AppendBatch::new(1_700_000_000_000_000);
/// batch.push(PartitionId::new(0, 0), b"key", b"payload")?;
/// log.append(batch)?;
/// daemon_log_tools::backup(&data, &copy, None)?;
/// let copied = EmbeddedLog::open(&copy, LogConfig::default())?;
/// assert_eq!(copied.bounds(PartitionId::new(0, 0))?.next, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn backup(path: &Path, target: &Path, onto: Option<&Path>) -> Result<Copied, LogError> {
    for log in [Some(path), onto].into_iter().flatten() {
        if !is_log(log)? {
            return Err(LogError::NoLog { path: log.to_owned() });
        }
        EmbeddedLog::check_format(log)?;
    }
    check_target(path, target)?;
    create_dir(target).map_err(|source| io_error("create the directory of the copy", target, source))?;
    let copied = copy_log(path, target, onto);
    if copied.is_err() {
        // It has nothing but a part of the copy.
        let _ = std::fs::remove_dir_all(target);
    }
    copied
}

/// Fails if `target` would be in the directory of the log at `path`, or is that.
pub(crate) fn check_not_inside(path: &Path, target: &Path) -> Result<(), LogError> {
    let io = |source| io_error("find the directory", path, source);
    let log = path.canonicalize().map_err(io)?;
    // The target may be missing, and so may what is above it, which its creation reports.
    let place = target.canonicalize().or_else(|_| parent(target).canonicalize());
    if place.is_ok_and(|place| place.starts_with(&log)) {
        let (target, log) = (target.display(), log.display());
        return Err(LogError::invalid(format!(
            "{target} is inside {log}, which it is made of; name a directory outside"
        )));
    }
    Ok(())
}

/// Fails if the copy cannot be made at `target`.
fn check_target(path: &Path, target: &Path) -> Result<(), LogError> {
    let parent = parent(target);
    if !parent.exists() {
        return Err(LogError::invalid(format!(
            "the directory {} for the copy does not exist; create it",
            parent.display()
        )));
    }
    if target.symlink_metadata().is_ok() {
        return Err(LogError::invalid(format!("{} exists already; name a new directory", target.display())));
    }
    check_not_inside(path, target)
}

fn copy_log(path: &Path, target: &Path, onto: Option<&Path>) -> Result<Copied, LogError> {
    // First: the number of the last acknowledged write must not be ahead of the journal that is copied.
    copy_beside(path, target)?;
    let store = store_path(target);
    let io = |source| io_error("copy the log", &store, source);
    std::fs::create_dir(&store).map_err(io)?;
    let older = onto.map(|onto| Snapshot::open(&store_path(onto))).transpose()?;
    let copied = copy_store(&store_path(path), target, older.as_ref())?;
    sync_directory(&store).map_err(io)?;
    // Last: without it the directory is not a log.
    create_version(target)?;
    make_private(target)?;
    sync_parent(target)?;
    Ok(copied)
}

fn copy_store(from: &Path, target: &Path, older: Option<&Snapshot>) -> Result<Copied, LogError> {
    let snapshot = Snapshot::open(from)?;
    let Some(newest) = snapshot.newest else { return Err(LogError::NoLog { path: from.to_owned() }) };
    let mut copied = Copied::default();
    for (file @ (family, number), source) in &snapshot.files {
        let to = store_path(target).join(family.file_name(*number));
        if let Some(same) = older.and_then(|older| find_same(&snapshot, older, *file, source))
            && may_link(&same.file, target)
            && std::fs::hard_link(&same.path, &to).is_ok()
        {
            copied.linked += source.len;
            continue;
        }
        let len = if *file == (Family::Journal, newest) { source.len } else { u64::MAX };
        let bytes = copy_up_to(len, &source.file, &to);
        copied.copied += bytes.map_err(|source| io_error("copy a file of the log", &to, source))?;
    }
    Ok(copied)
}

/// The same file of an older copy, if no process appends to either of them.
fn find_same<'a>(snapshot: &Snapshot, older: &'a Snapshot, file: FileId, source: &Source) -> Option<&'a Source> {
    let is_open = |snapshot: &Snapshot| snapshot.newest_of(file.0) == Some(file.1);
    let same = older.files.get(&file).filter(|_| !is_open(snapshot) && !is_open(older))?;
    let is_same = same.len == source.len && is_equal(same, source);
    is_same.then_some(same)
}

/// Whether two files of the same size have the same bytes.
fn is_equal(one: &Source, other: &Source) -> bool {
    (0..one.len).step_by(COMPARE_BYTES).all(|at| {
        let (one, other) = (one.read(at, COMPARE_BYTES), other.read(at, COMPARE_BYTES));
        one.is_ok() && one == other
    })
}

/// Copies at most the first `len` bytes of a file, durably; returns their number.
fn copy_up_to(len: u64, from: &File, to: &Path) -> std::io::Result<u64> {
    let mut copy = create_file(to)?;
    let bytes = std::io::copy(&mut from.take(len), &mut copy)?;
    copy.sync_all()?;
    Ok(bytes)
}
