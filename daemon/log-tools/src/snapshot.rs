//! The files of a log at one moment, whether or not a process writes it.
//!
//! The moment is that at which the length of the newest journal is taken. All files are open by then, so one that is
//! deleted later is still read; whatever that much of the journal names was in them before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use daemon_base::regular_file;
use daemon_log::LogError;
use daemon_log::files::{Family, files, io_error};

/// How often the files are opened again because one was deleted between its listing and its opening.
const TRIES: usize = 20;

/// A file of a log: its family and its number.
pub(crate) type FileId = (Family, u32);

/// A file that is open for reading.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    /// The size when it was opened.
    pub(crate) len: u64,
}

/// The open files of a store.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) files: BTreeMap<FileId, Source>,
    /// The number of the newest journal.
    pub(crate) newest: Option<u32>,
}

impl Snapshot {
    /// Opens all files of a store.
    pub(crate) fn open(store: &Path) -> Result<Self, LogError> {
        let mut snapshot = Self::open_listed(store)?;
        // Files that were created since the listing. A later journal would name what is not read.
        let later: BTreeSet<_> = files(store)?.into_iter().filter(|file| file.0 != Family::Journal).collect();
        for file in later {
            if let Some(source) = Source::open(store, file)? {
                snapshot.files.entry(file).or_insert(source);
            }
        }
        Ok(snapshot)
    }

    fn open_listed(store: &Path) -> Result<Self, LogError> {
        for _ in 0..TRIES {
            let listed = files(store)?;
            let newest = listed.iter().rfind(|(family, _)| *family == Family::Journal).map(|(_, number)| *number);
            let mut open = BTreeMap::new();
            // The newest journal is the last one of its family, but its length must be taken after all are open.
            let is_last = |file: &FileId| file.0 == Family::Journal && Some(file.1) == newest;
            let (last, others): (Vec<FileId>, Vec<FileId>) = listed.iter().copied().partition(is_last);
            for file in others.into_iter().chain(last) {
                open.extend(Source::open(store, file)?.map(|source| (file, source)));
            }
            if open.len() == listed.len() {
                return Ok(Self { files: open, newest });
            }
        }
        let reason = format!("files of {} were deleted during each of {TRIES} attempts to open them", store.display());
        Err(LogError::Unavailable { reason })
    }

    /// The files of a family, by number.
    pub(crate) fn of(&self, family: Family) -> impl Iterator<Item = (u32, &Source)> {
        self.files.range((family, 0)..=(family, u32::MAX)).map(|((_, number), source)| (*number, source))
    }

    /// The newest file of a family, to which writes append.
    pub(crate) fn newest_of(&self, family: Family) -> Option<u32> {
        self.of(family).map(|(number, _)| number).last()
    }

    /// The size of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.values().map(|source| source.len).sum()
    }
}

/// Opens a file, and returns its size.
fn open_regular(path: &Path) -> std::io::Result<(u64, File)> {
    let file = regular_file::open_to_read(path)?;
    Ok((file.metadata()?.len(), file))
}

impl Source {
    /// Opens a file; `None` if it is not there.
    fn open(store: &Path, (family, number): FileId) -> Result<Option<Self>, LogError> {
        let path = store.join(family.file_name(number));
        let opened = open_regular(&path);
        match opened {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(io_error("open a file of the log", &path, source)),
            Ok((len, file)) => Ok(Some(Self { path, file, len })),
        }
    }

    /// Reads up to `len` bytes: fewer if the file ends before.
    ///
    /// # Errors
    /// That of the system, as text: a bad disk gives one, and the check goes on behind it.
    pub(crate) fn read(&self, at: u64, len: usize) -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; len];
        let mut read = 0;
        while read < len {
            match self.file.read_at(&mut bytes[read..], at + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("cannot read it: {error}")),
            }
        }
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Reads a range.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(crate) fn read_exact(&self, at: u64, len: usize) -> Result<Vec<u8>, String> {
        let bytes = self.read(at, len)?;
        if bytes.len() < len {
            return Err(format!("the file ends at byte {} and not at {} or later", self.len, at + len as u64));
        }
        Ok(bytes)
    }
}
