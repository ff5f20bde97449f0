//! Tests of the embedded log on real files.

mod crash;
mod damage;
mod disk_full;
mod durability;
mod format;
#[cfg(all(unix, feature = "fault-points"))]
mod kill;
mod ordering;
mod retention;
pub(super) mod trace;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Written;
use crate::*;

const P: PartitionId = PartitionId::new(0, 0);
const Q: PartitionId = PartitionId::new(0, 1);
const SECOND: u64 = 1_000_000;

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A directory in memory if there is one: a sync costs nothing there.
fn memory_dir() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| dir())
}

fn open(dir: &TempDir) -> EmbeddedLog {
    EmbeddedLog::open(dir.path(), LogConfig::default()).unwrap()
}

fn open_error(path: &Path) -> LogError {
    match EmbeddedLog::open(path, LogConfig::default()) {
        Ok(_) => panic!("the log opened"),
        Err(error) => error,
    }
}

/// A batch of records with the given payloads.
fn batch(at: u64, partition: PartitionId, payloads: &[&str]) -> AppendBatch {
    let mut batch = AppendBatch::new(at);
    for payload in payloads {
        batch.push(partition, b"key", payload.as_bytes()).unwrap();
    }
    batch
}

fn append(log: &EmbeddedLog, at: u64, partition: PartitionId, payloads: &[&str]) -> Written {
    match log.append(batch(at, partition, payloads)).unwrap() {
        Appended::Written(written) => written,
        Appended::Duplicate { .. } => panic!("nothing was appended before"),
    }
}

/// Every payload of a partition from `from` on.
fn payloads(log: &EmbeddedLog, partition: PartitionId, from: u64) -> Vec<String> {
    collect(from, |from| log.read(partition, from, 1))
}

/// Every result from the first retained one on.
fn results(log: &EmbeddedLog) -> Vec<String> {
    collect(log.results_bounds().unwrap().first, |from| log.read_results(from, 1))
}

fn collect(mut from: u64, read: impl Fn(u64) -> Result<RecordBatch, LogError>) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let batch = read(from).unwrap();
        if batch.is_empty() {
            return found;
        }
        for record in batch.records() {
            assert_eq!(record.offset, from, "the offsets have a gap");
            from += 1;
            found.push(String::from_utf8(record.payload.to_vec()).unwrap());
        }
        assert_eq!(batch.next_offset(), from);
    }
}

/// A commit that sets chunk 1 to `state` and appends `results`.
fn commit(partition: PartitionId, cursor: u64, state: &str, results: &[&str]) -> PartitionCommit {
    let mut buffer = RecordBuffer::default();
    for result in results {
        buffer.push(b"object", result.as_bytes()).unwrap();
    }
    PartitionCommit {
        partition,
        cursor,
        meta: b"meta".to_vec(),
        chunks: vec![(1, Some(state.as_bytes().to_vec()))],
        results: buffer,
    }
}

/// Restores a partition, then commits to it.
fn restore_and_commit(log: &EmbeddedLog, commits: Vec<PartitionCommit>, at: u64) {
    for commit in &commits {
        log.restore(commit.partition).unwrap();
    }
    log.commit(commits, at).unwrap();
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The newest file of a family and its length.
fn newest(dir: &Path, family: &str) -> (PathBuf, usize) {
    let is_of = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(family);
    let entries = std::fs::read_dir(dir.join("store")).unwrap().map(|entry| entry.unwrap().path());
    let path = entries.filter(is_of).max().unwrap();
    let length = std::fs::metadata(&path).unwrap().len() as usize;
    (path, length)
}

/// Flips a bit of the last place in the newest file of a family that holds `text`.
fn flip(dir: &TempDir, family: &str, text: &str) {
    let (path, _) = newest(dir.path(), family);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(text.len()).rposition(|window| window == text.as_bytes()).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}
