//! The files of the store, *segments*: three families with numbered files.
//!
//! | family | content |
//! |---|---|
//! | `journal-N` | input frames, and the changes of every write; it begins with a checkpoint |
//! | `results-N` | frames of results, one after the other |
//! | `state-N` | chunks of state, one after the other |
//!
//! A file begins with 16 bytes: `"DSTAT" | family u8 | format u8 | 0 u8 | number u32 | crc32 of the 12 bytes before`. The
//! file with the largest number of a family is open: writes append to it. All others never change until retention
//! deletes them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::PartitionId;
use crate::embedded::directory::io_error;
use crate::embedded::disk;
use crate::error::LogError;

/// The length of the head of each file.
pub const HEAD_LEN: u64 = 16;
const MAGIC: &[u8; 5] = b"DSTAT";
const FORMAT: u8 = 1;

/// A kind of segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Family {
    /// Input, and the changes of every write.
    Journal,
    /// Results.
    Results,
    /// Chunks of state.
    State,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Journal, Self::Results, Self::State];

    fn name(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Results => "results",
            Self::State => "state",
        }
    }

    /// The family and number of a file name; `None` for another file.
    pub(super) fn parse(name: &str) -> Option<(Self, u32)> {
        let (family, number) = name.rsplit_once('-')?;
        let family = Self::ALL.into_iter().find(|it| it.name() == family)?;
        let number = number.parse().ok()?;
        (family.file_name(number) == name).then_some((family, number))
    }

    /// The name of a file.
    pub fn file_name(self, number: u32) -> String {
        format!("{}-{number:010}", self.name())
    }

    /// The family that has the frames of a log.
    pub(super) fn of(log: PartitionId) -> Self {
        if log == PartitionId::RESULTS { Self::Results } else { Self::Journal }
    }
}

/// A stored range of bytes of one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// The number of the file.
    pub segment: u32,
    /// The position of the first byte.
    pub at: u32,
    /// The number of bytes.
    pub len: u32,
}

impl Place {
    /// The position after the last byte.
    pub fn end(self) -> u64 {
        u64::from(self.at) + u64::from(self.len)
    }
}

/// An open file of the store.
#[derive(Debug)]
pub struct Segment {
    /// Its path.
    pub path: PathBuf,
    /// Its number in its family.
    pub number: u32,
    /// The open file.
    pub file: File,
}

impl Segment {
    /// Creates a file with its head. Neither the file nor its name is on the disk before both are synced.
    ///
    /// # Errors
    /// [`LogError::Io`] if the file system fails.
    pub fn create(store: &Path, family: Family, number: u32, suffix: &str) -> Result<Self, LogError> {
        let path = store.join(family.file_name(number) + suffix);
        let io = |source| io_error("create a file of the log", &path, source);
        let file = disk::create(&path).map_err(io)?;
        disk::write(&file, &path, 0, [&head(family, number)[..]]).map_err(io)?;
        Ok(Self { path, number, file })
    }

    /// Opens an existing file and checks its head.
    pub(super) fn open(store: &Path, family: Family, number: u32) -> Result<Self, LogError> {
        let segment = Self::open_closed(store, family, number)?;
        let mut found = [0; HEAD_LEN as usize];
        let read = segment.file.read_exact_at(&mut found, 0);
        match read {
            Ok(()) if found == head(family, number) => Ok(segment),
            Ok(()) => Err(segment.damaged(0, "its head is not that of this file".to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(segment.damaged(0, "it is shorter than its head".to_owned()))
            }
            Err(source) => Err(segment.read_error(source)),
        }
    }

    /// Opens a file that no write appends to. Its head is not checked: whatever is read of it has a checksum of its own,
    /// and damage of the head alone harms nobody.
    pub(super) fn open_closed(store: &Path, family: Family, number: u32) -> Result<Self, LogError> {
        let path = store.join(family.file_name(number));
        let file = disk::open(&path).map_err(|source| io_error("open a file of the log", &path, source))?;
        Ok(Self { path, number, file })
    }

    /// Reads up to `len` bytes: fewer if the file ends before.
    pub(super) fn read_some(&self, at: u64, len: usize) -> Result<Vec<u8>, LogError> {
        let mut bytes = vec![0; len];
        let mut read = 0;
        while read < len {
            match self.file.read_at(&mut bytes[read..], at + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.read_error(source)),
            }
        }
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Reads a range; `None` if the file ends before it.
    pub(super) fn read(&self, at: u64, len: usize) -> Result<Option<Vec<u8>>, LogError> {
        let mut bytes = vec![0; len];
        match self.file.read_exact_at(&mut bytes, at) {
            Ok(()) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(source) => Err(self.read_error(source)),
        }
    }

    pub(super) fn len(&self) -> Result<u64, LogError> {
        self.file.metadata().map(|it| it.len()).map_err(|source| self.read_error(source))
    }

    pub(super) fn sync(&self) -> Result<(), LogError> {
        disk::sync(&self.file, &self.path).map_err(|source| self.write_error(source))
    }

    /// Cuts everything from `end` on.
    pub(super) fn cut(&self, end: u64) -> Result<(), LogError> {
        disk::cut(&self.file, &self.path, end).map_err(|source| self.write_error(source))
    }

    pub(super) fn damaged(&self, at: u64, reason: String) -> LogError {
        LogError::Damaged { path: self.path.clone(), location: format!("byte {at}"), reason }
    }

    pub(super) fn read_error(&self, source: std::io::Error) -> LogError {
        io_error("read the log", &self.path, source)
    }

    pub(super) fn write_error(&self, source: std::io::Error) -> LogError {
        match io_error("write the log", &self.path, source) {
            LogError::Io { operation, path, source, .. } => {
                LogError::Io { operation, path, outcome_unknown: true, source }
            }
            other => other,
        }
    }
}

/// The head of a file.
pub fn head(family: Family, number: u32) -> [u8; HEAD_LEN as usize] {
    let mut head = [0; HEAD_LEN as usize];
    head[..5].copy_from_slice(MAGIC);
    head[5] = family as u8;
    head[6] = FORMAT;
    head[8..12].copy_from_slice(&number.to_le_bytes());
    let crc = crc32fast::hash(&head[..12]);
    head[12..].copy_from_slice(&crc.to_le_bytes());
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_gives_back_its_family_and_number() {
        for family in Family::ALL {
            assert_eq!(Family::parse(&family.file_name(7)), Some((family, 7)));
        }
        for other in ["journal-7", "journal-0000000007.new", "other-0000000007", "0.jnl", "journal-00000000070"] {
            assert_eq!(Family::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_file_of_another_number_or_format_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = Segment::create(dir.path(), Family::State, 1, "").unwrap().path;
        assert!(Segment::open(dir.path(), Family::State, 1).is_ok());
        std::fs::rename(&path, dir.path().join("state-0000000002")).unwrap();
        let error = Segment::open(dir.path(), Family::State, 2).unwrap_err();
        assert!(matches!(&error, LogError::Damaged { path, .. } if path.ends_with("state-0000000002")), "{error}");
    }
}
