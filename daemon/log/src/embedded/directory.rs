//! The data directory: its lock, its format, and the number of the last acknowledged write.
//!
//! ```text
//! LOCK           locked by the process that has the directory open
//! VERSION        one line, the format of all other files
//! disk-check     exists only while the log checks whether the disk has space
//! acknowledged   the number of the last acknowledged write
//! store/         journal-N, results-N and state-N
//! ```
//!
//! The file `acknowledged` detects lost writes. When the log finds an invalid write in its journal, it assumes that a
//! crash tore it and continues with the writes before it. If the cause is a flipped bit in the middle, all later writes
//! would disappear silently although the log acknowledged them. The log writes the file after each sync, so the file is
//! never ahead of the disk. If the journal ends at an earlier write, it has lost data, and the log does not open.
//!
//! The file itself is not synced. It survives a killed process; after a power failure it may be behind, and then the
//! check detects fewer lost writes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use daemon_base::regular_file;

use crate::embedded::disk::sync_directory;
use crate::error::LogError;

/// The format of the data directory that this program reads and writes.
const VERSION: u32 = 2;

/// What is before it in its file.
const FORMAT: &str = "derived-statsd log ";

/// The file that holds it, which makes a directory one of a log.
const VERSION_FILE: &str = "VERSION";

/// The same while it is written.
const VERSION_NEW: &str = "VERSION.new";
const LOCK_FILE: &str = "LOCK";
const DISK_CHECK: &str = "disk-check";

/// The file by which an operator accepts that states of this directory are lost at its next start. No copy has it: the
/// loss of its states is another one.
pub const START_OVER_FILE: &str = "START-OVER";

/// The file by which an operator accepts that results are missing which a sink has not read. No copy has it.
const DROP_RESULTS_FILE: &str = "DROP-RESULTS";

/// The size of the file that shows whether the disk has space: many blocks, because a small write of the store fits
/// into the rest of a block that it has already, also on a full disk.
const CHECK_BYTES: u64 = 64 * 1024;

/// An open, locked data directory; dropping it releases the lock.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    acknowledged: File,
    _lock: File,
}

impl Directory {
    /// Creates or opens the directory, takes the lock and checks the format.
    ///
    /// # Errors
    /// Those of [`EmbeddedLog::open`](crate::EmbeddedLog::open).
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let io = |operation| move |source| io_error(operation, path, source);
        check_path(path)?;
        regular_file::create_directory(path).map_err(io("create the data directory"))?;
        let lock = lock(path)?;
        check_version(path)?;
        create_store(path)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = acknowledged_path(path);
        let acknowledged = regular_file::open(&file, &mut options);
        let acknowledged =
            acknowledged.map_err(|source| io_error("open the file of acknowledged writes", &file, source))?;
        Ok(Self { path: path.to_owned(), acknowledged, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of the segments.
    pub fn store_path(&self) -> PathBuf {
        store_path(&self.path)
    }

    pub(super) fn lock_path(&self) -> PathBuf {
        lock_path(&self.path)
    }

    /// Writes a file durably and removes it; fails if the disk is full or refuses writes.
    pub(super) fn check_disk(&self) -> Result<(), LogError> {
        let path = self.path.join(DISK_CHECK);
        // Bytes that no file system compresses to nothing.
        let bytes: Vec<u8> = (0..CHECK_BYTES).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
        let written =
            regular_file::create(&path).and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()));
        let removed = std::fs::remove_file(&path);
        written.and(removed).map_err(|source| io_error("check that the disk has space", &self.path, source))
    }

    /// Records that all writes up to `sequence` are on the disk and may be acknowledged.
    ///
    /// They are durable without it: with an old number the next opening only detects fewer lost writes.
    pub fn acknowledge(&mut self, sequence: u64) {
        let written = self
            .acknowledged
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.acknowledged.write_all(&seal_acknowledged(sequence)));
        if let Err(error) = written {
            tracing::warn!(%error, "The log cannot record the number of the acknowledged write.");
        }
    }

    /// The number of the last acknowledged write.
    ///
    /// A missing or damaged file `acknowledged` is not an error: the log does not depend on it. The number is 0 then.
    pub(super) fn acknowledged(&mut self) -> Result<Acknowledged, LogError> {
        let mut sealed = Vec::new();
        self.acknowledged
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.acknowledged.read_to_end(&mut sealed))
            .map_err(|source| io_error("read the acknowledged write", &self.path, source))?;
        Ok(Acknowledged { sequence: unseal_acknowledged(&sealed).unwrap_or(0), file: acknowledged_path(&self.path) })
    }
}

/// Copies the files beside the store durably, which its owner may have added to: all but those that belong to one
/// process or one start, and `VERSION`.
///
/// # Errors
/// [`LogError::Io`] if the file system fails.
pub fn copy_beside(from: &Path, to: &Path) -> Result<(), LogError> {
    let io = |source| io_error("copy the files beside the store", to, source);
    for entry in std::fs::read_dir(from).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        let left_out = [LOCK_FILE, VERSION_FILE, DISK_CHECK, START_OVER_FILE, DROP_RESULTS_FILE];
        // A file whose replacement is being written has its name with `.new` at the end.
        let is_unfinished = Path::new(&name).extension().is_some_and(|extension| extension == "new");
        let is_left_out = is_unfinished || left_out.iter().any(|left_out| name == *left_out);
        if is_left_out || !entry.file_type().map_err(io)?.is_file() {
            continue;
        }
        let copy = to.join(&name);
        std::fs::copy(entry.path(), &copy).and_then(|_| File::open(&copy)?.sync_all()).map_err(io)?;
    }
    Ok(())
}

/// The directory above a path.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Makes the creation of a directory durable.
///
/// # Errors
/// [`LogError::Io`] if the file system fails.
pub fn sync_parent(path: &Path) -> Result<(), LogError> {
    let parent = parent(path);
    sync_directory(parent).map_err(|source| io_error("sync the directory above", parent, source))
}

/// The content of the file `acknowledged`: `1 u8 | crc32 u32 | sequence u64`.
fn seal_acknowledged(sequence: u64) -> Vec<u8> {
    let mut checked = (ACKNOWLEDGED.len() as u64).to_le_bytes().to_vec();
    checked.extend_from_slice(ACKNOWLEDGED);
    checked.extend_from_slice(&sequence.to_le_bytes());
    [&[1], &crc32fast::hash(&checked).to_le_bytes()[..], &sequence.to_le_bytes()].concat()
}

/// The number in the file `acknowledged`; `None` if its checksum is wrong.
pub fn unseal_acknowledged(sealed: &[u8]) -> Option<u64> {
    let stored = sealed.last_chunk().map_or(0, |sequence| u64::from_le_bytes(*sequence));
    (sealed == seal_acknowledged(stored)).then_some(stored)
}

/// The number of the last acknowledged write, and the file that holds it.
#[derive(Clone, Debug)]
pub(super) struct Acknowledged {
    pub sequence: u64,
    file: PathBuf,
}

impl Acknowledged {
    /// Fails if the journal, whose last write is `found` and ends at byte `end`, lacks acknowledged writes.
    pub(super) fn check(&self, journal: &Path, end: u64, found: u64) -> Result<(), LogError> {
        if self.sequence > found {
            return Err(LogError::LostTail {
                path: journal.to_owned(),
                end,
                acknowledged_file: self.file.clone(),
                found,
                acknowledged: self.sequence,
            });
        }
        Ok(())
    }
}

/// Checks that nothing but a directory is where the data directory, or one above it, would be created.
pub(super) fn check_path(path: &Path) -> Result<(), LogError> {
    let Some(nearest) = path.ancestors().find(|ancestor| ancestor.symlink_metadata().is_ok()) else { return Ok(()) };
    let (found, remedy) = match (std::fs::metadata(nearest), std::fs::read_link(nearest)) {
        (Ok(found), _) if found.is_dir() => return Ok(()),
        (Ok(_), _) => ("a file".to_owned(), "move it away, or name another path"),
        (Err(error), Ok(target)) if error.kind() == ErrorKind::NotFound => {
            let found = format!("a link to {}, which does not exist", target.display());
            (found, "create the directory that it leads to, or name another path")
        }
        // The creation of the directory reports it.
        (Err(_), _) => return Ok(()),
    };
    Err(LogError::NotADirectory { path: nearest.to_owned(), found, remedy })
}

/// Whether the directory exists and has a log of any version.
///
/// # Errors
/// [`LogError::Io`] if the file system fails.
pub fn is_log(path: &Path) -> Result<bool, LogError> {
    match std::fs::metadata(path.join(VERSION_FILE)) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(source) => Err(io_error("find the log", path, source)),
    }
}

/// What the checksum of the file covers in front of the number.
const ACKNOWLEDGED: &[u8] = b"acknowledged";

/// The file of the number of the last acknowledged write.
pub fn acknowledged_path(path: &Path) -> PathBuf {
    path.join("acknowledged")
}

/// The directory of the segments.
pub fn store_path(path: &Path) -> PathBuf {
    path.join("store")
}

/// The file that accepts the loss of results, of a store.
pub(super) fn drop_results_path(store: &Path) -> PathBuf {
    parent(store).join(DROP_RESULTS_FILE)
}

fn lock_path(path: &Path) -> PathBuf {
    path.join(LOCK_FILE)
}

fn lock(path: &Path) -> Result<File, LogError> {
    let file = lock_path(path);
    let opened = regular_file::open(&file, OpenOptions::new().create(true).truncate(false).write(true));
    let file = opened.map_err(|source| io_error("open the lock file", &file, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(io_error("lock the data directory", path, source)),
    }
}

fn check_version(path: &Path) -> Result<(), LogError> {
    match check_format(path)? {
        Format::Known => Ok(()),
        Format::New => create_version(path),
    }
}

/// What a directory holds.
pub(super) enum Format {
    /// A log of this version.
    Known,
    /// Nothing that a log could not be created beside.
    New,
}

/// Checks that a directory has a log of this version or can become one. Changes nothing.
pub(super) fn check_format(path: &Path) -> Result<Format, LogError> {
    check_path(path)?;
    match regular_file::read_to_string(&path.join(VERSION_FILE)) {
        Ok(found) if found == version_line() => Ok(Format::Known),
        Ok(found) if is_of_a_version(&found) => Err(unknown_version(path, format!("{:?}", found.trim_end()))),
        Ok(found) => Err(damaged_version(path, &excerpt(&found))),
        Err(error) if error.kind() == ErrorKind::NotFound => check_empty(path).map(|()| Format::New),
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(damaged_version(path, "bytes that are not UTF-8")),
        Err(source) => Err(io_error("read the VERSION file", &path.join(VERSION_FILE), source)),
    }
}

fn version_line() -> String {
    format!("{FORMAT}{VERSION}\n")
}

fn is_of_a_version(text: &str) -> bool {
    text.strip_prefix(FORMAT).is_some_and(|version| version.trim_end().parse::<u32>().is_ok())
}

/// The beginning of a text, for a message.
fn excerpt(text: &str) -> String {
    let beginning: String = text.trim_end().chars().take(40).collect();
    format!("{beginning:?}")
}

fn damaged_version(path: &Path, found: &str) -> LogError {
    let known = format!("{:?}", version_line().trim_end());
    LogError::DamagedVersion { path: path.to_owned(), found: found.to_owned(), known }
}

/// Fails if the directory has files that no log created.
fn check_empty(path: &Path) -> Result<(), LogError> {
    let io = |operation| move |source| io_error(operation, path, source);
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(io("list the data directory"))?,
    };
    for entry in entries {
        let name = entry.map_err(io("list the data directory"))?.file_name();
        if name != LOCK_FILE && name != VERSION_NEW {
            return Err(unknown_version(
                path,
                format!(
                    "none, and contains {} (if a restore or a copy into it was interrupted, remove it and start that again)",
                    name.display()
                ),
            ));
        }
    }
    Ok(())
}

/// Creates the VERSION file, which makes a directory one of a log.
///
/// # Errors
/// [`LogError::Io`] if the file system fails.
pub fn create_version(path: &Path) -> Result<(), LogError> {
    let io = |operation| move |source| io_error(operation, path, source);
    let unfinished = path.join(VERSION_NEW);
    let mut file = regular_file::create(&unfinished).map_err(io("create the VERSION file"))?;
    file.write_all(version_line().as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&unfinished, path.join(VERSION_FILE)))
        .and_then(|()| File::open(path)?.sync_all())
        .map_err(io("write the VERSION file"))
}

/// Creates the directory of the store, durably.
fn create_store(path: &Path) -> Result<(), LogError> {
    let store = store_path(path);
    if store.is_dir() {
        return Ok(());
    }
    regular_file::create_directory(&store)
        .and_then(|()| File::open(path)?.sync_all())
        .map_err(|source| io_error("create the directory of the log's files", &store, source))
}

fn unknown_version(path: &Path, found: String) -> LogError {
    LogError::UnknownVersion { path: path.to_owned(), found, known: VERSION }
}

/// Creates the error of a failed file operation.
pub fn io_error(operation: &'static str, path: &Path, source: std::io::Error) -> LogError {
    let path = path.to_owned();
    LogError::Io { operation, path, outcome_unknown: false, source: Arc::new(source) }
}
