//! What a check found.

use std::fmt;
use std::path::PathBuf;

/// The most damages that a report lists; the others are counted.
const MOST: usize = 1000;

/// One damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file, or what stands for it: the directory for what is missing of several files.
    pub path: PathBuf,
    /// The first damaged byte; `None` if the file as a whole is meant.
    pub at: Option<u64>,
    /// The check that failed, with the found and the expected value.
    pub reason: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(at) => write!(f, "{} at byte {at}: {}", self.path.display(), self.reason),
            None => write!(f, "{}: {}", self.path.display(), self.reason),
        }
    }
}

/// What a check read and found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// The damages, at most a thousand.
    pub damage: Vec<Damage>,
    /// The number of damages that are not listed.
    pub more: u64,
    /// What looks like damage and is none, such as a last write that was torn before it was acknowledged.
    pub notes: Vec<String>,
    /// The number of the last write.
    pub write: u64,
    /// The time of the last write (µs UTC).
    pub at: u64,
    /// The number of files that were read.
    pub files: usize,
    /// The size of the files that were read.
    pub bytes: u64,
    /// The number of partitions with a state that was read.
    pub states: usize,
    /// The number of input records that are retained.
    pub input: u64,
    /// The number of input records that no commit covers yet.
    pub waiting: u64,
    /// The number of records of results, each a block of up to 64 KiB, that are retained.
    pub results: u64,
}

impl Report {
    /// Whether nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }

    pub(crate) fn damaged(&mut self, path: impl Into<PathBuf>, at: Option<u64>, reason: impl Into<String>) {
        if self.damage.len() < MOST {
            self.damage.push(Damage { path: path.into(), at, reason: reason.into() });
        } else {
            self.more += 1;
        }
    }
}
