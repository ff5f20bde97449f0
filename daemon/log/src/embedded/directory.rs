//! The data directory: who may use it, which format it has, and what was acknowledged.
//!
//! ```text
//! LOCK           held by the process that has the directory open
//! VERSION        one line, the format of everything below
//! acknowledged   the number of the last acknowledged write
//! store/         the files of the embedded store
//! ```
//!
//! `acknowledged` is a witness outside of the store. The store takes a journal that breaks off for one torn by a
//! crash and goes on with what stands before the break; if the break is a flipped bit in the middle, everything
//! after it disappears silently although it was acknowledged. The witness is written after each sync, so it is never
//! ahead of the disk; a store that ends before it has lost data, and the log refuses to open. It is not synced
//! itself: it survives a killed process, and after a power cut it may be behind, which only makes the check weaker.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::codec;
use crate::error::LogError;

/// The format of the data directory that this program reads and writes.
const VERSION: u32 = 1;

/// An open, locked data directory. The lock goes when it is dropped.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    witness: File,
    _lock: File,
}

impl Directory {
    /// Creates or opens the directory, takes the lock and checks the format.
    pub(super) fn open(path: &Path) -> Result<Self, LogError> {
        let io = |operation| move |source| io_error(operation, path, source);
        std::fs::create_dir_all(path).map_err(io("create the data directory"))?;
        let lock = lock(path)?;
        check_version(path)?;
        remove_unfinished_store(path)?;
        let witness = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(witness_path(path))
            .map_err(io("open the file of acknowledged writes"))?;
        Ok(Self { path: path.to_owned(), witness, _lock: lock })
    }

    pub(super) fn store_path(&self) -> PathBuf {
        store_path(&self.path)
    }

    /// Notes that all writes up to `sequence` were acknowledged.
    pub(super) fn acknowledge(&mut self, sequence: u64) -> Result<(), LogError> {
        let sealed = codec::seal(WITNESS, &[&sequence.to_le_bytes()]);
        self.witness
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.witness.write_all(&sealed))
            .map_err(|source| io_error("note the acknowledged write", &self.path, source))
    }

    /// Fails if the store, whose last write is `found`, lacks acknowledged writes.
    ///
    /// A witness that is missing or damaged says nothing: it is a second opinion, not the log.
    pub(super) fn check_nothing_is_lost(&mut self, found: u64) -> Result<(), LogError> {
        let mut sealed = Vec::new();
        self.witness
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.witness.read_to_end(&mut sealed))
            .map_err(|source| io_error("read the acknowledged write", &self.path, source))?;
        let payload = codec::open(WITNESS, &sealed);
        match payload.and_then(|payload| codec::Fields(payload).u64()) {
            Ok(acknowledged) if acknowledged > found => Err(LogError::LostTail {
                path: self.store_path(),
                witness: witness_path(&self.path),
                found,
                acknowledged,
            }),
            _ => Ok(()),
        }
    }
}

const WITNESS: &[u8] = b"acknowledged";

fn witness_path(path: &Path) -> PathBuf {
    path.join("acknowledged")
}

fn store_path(path: &Path) -> PathBuf {
    path.join("store")
}

fn lock(path: &Path) -> Result<File, LogError> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path.join("LOCK"));
    let file = file.map_err(|source| io_error("open the lock file", path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(io_error("lock the data directory", path, source)),
    }
}

fn check_version(path: &Path) -> Result<(), LogError> {
    let known = format!("derived-statsd log {VERSION}\n");
    match std::fs::read_to_string(path.join("VERSION")) {
        Ok(found) if found == known => Ok(()),
        Ok(found) => Err(unknown_version(path, format!("{:?}", found.trim_end()))),
        Err(error) if error.kind() == ErrorKind::NotFound => create_version(path, &known),
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(unknown_version(path, "no text".to_owned())),
        Err(source) => Err(io_error("read the VERSION file", path, source)),
    }
}

/// A directory with files but no VERSION is not ours; an empty one becomes ours.
fn create_version(path: &Path, known: &str) -> Result<(), LogError> {
    let io = |operation| move |source| io_error(operation, path, source);
    for entry in std::fs::read_dir(path).map_err(io("list the data directory"))? {
        let name = entry.map_err(io("list the data directory"))?.file_name();
        if name != "LOCK" && name != "VERSION.new" {
            return Err(unknown_version(path, format!("none, but holds {}", name.display())));
        }
    }
    let unfinished = path.join("VERSION.new");
    let mut file = File::create(&unfinished).map_err(io("create the VERSION file"))?;
    file.write_all(known.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&unfinished, path.join("VERSION")))
        .and_then(|()| File::open(path)?.sync_all())
        .map_err(io("write the VERSION file"))
}

/// A process that dies while it creates the store leaves one that the store itself cannot open; nothing was ever
/// acknowledged in it. The store writes its own `version` file last.
fn remove_unfinished_store(path: &Path) -> Result<(), LogError> {
    let store = store_path(path);
    if store.exists() && !store.join("version").exists() && !witness_path(path).exists() {
        return std::fs::remove_dir_all(&store)
            .map_err(|source| io_error("remove the unfinished store", &store, source));
    }
    Ok(())
}

fn unknown_version(path: &Path, found: String) -> LogError {
    LogError::UnknownVersion { path: path.to_owned(), found, known: VERSION }
}

pub(super) fn io_error(operation: &'static str, path: &Path, source: std::io::Error) -> LogError {
    let path = path.to_owned();
    LogError::Io { operation, path, outcome_unknown: false, source: Arc::new(source) }
}

/// What the files below `path` take on disk; a preallocated journal counts only what it really holds.
pub(super) fn disk_bytes(path: &Path) -> Result<u64, LogError> {
    let io = |source: std::io::Error| io_error("measure the store", path, source);
    let mut bytes = 0;
    for entry in std::fs::read_dir(path).map_err(io)? {
        let path = entry.map_err(io)?.path();
        // The store deletes files at any time: one that is gone takes nothing.
        match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => bytes += disk_bytes(&path).unwrap_or(0),
            Ok(found) => bytes += allocated(&found),
            Err(_) => {}
        }
    }
    Ok(bytes)
}

#[cfg(unix)]
fn allocated(file: &std::fs::Metadata) -> u64 {
    // By definition in units of 512 bytes, whatever the block size of the file system.
    std::os::unix::fs::MetadataExt::blocks(file) * 512
}

#[cfg(not(unix))]
fn allocated(file: &std::fs::Metadata) -> u64 {
    file.len()
}
