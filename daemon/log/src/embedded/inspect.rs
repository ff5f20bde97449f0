//! Checks of the store's files before the store opens them.
//!
//! * **Manifests.** Each keyspace has a file `current` (version number u64, xxh3 checksum u128, kind u8), which names
//!   its manifest `v<number>`. The store writes the checksum and never verifies it. With a flipped bit in a manifest
//!   the store could omit tables, or allocate gigabytes for a count and abort. This module verifies the checksum.
//! * **Journals.** The store preallocates them with zeros. An incomplete write of a killed process ends in these zeros,
//!   and an assertion in the store's recovery then fails in builds with debug assertions. This module cuts the zeros
//!   off. No data is lost, because a complete write ends in a byte that is not zero.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use crate::embedded::directory::io_error;
use crate::embedded::store::damaged;
use crate::error::LogError;

/// Checks the store at `path` and cuts its journals; a store that does not exist yet is valid.
///
/// # Errors
/// [`LogError::Damaged`] for a manifest that fails its checksum, or an IO error.
pub(super) fn inspect(path: &Path) -> Result<(), LogError> {
    for file in list(path)? {
        if file.extension().is_some_and(|extension| extension == "jnl") {
            cut_zeros(&file).map_err(|source| io_error("inspect the journal", &file, source))?;
        }
    }
    list(&path.join("keyspaces"))?.iter().try_for_each(|keyspace| check_manifest(path, keyspace))
}

fn list(path: &Path) -> Result<Vec<PathBuf>, LogError> {
    let io = |source| io_error("list the store", path, source);
    match std::fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| entry.map(|it| it.path()).map_err(io)).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(io(error)),
    }
}

fn check_manifest(store: &Path, keyspace: &Path) -> Result<(), LogError> {
    let io = |source| io_error("inspect the manifest", keyspace, source);
    let bad = |reason: &str| Err(damaged(store, &format!("manifest in {}", keyspace.display()), reason));
    let current = match std::fs::read(keyspace.join("current")) {
        Ok(current) => current,
        // The creation of this keyspace was interrupted; the store removes it.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(error)),
    };
    let Some((number, rest)) = current.split_first_chunk::<8>() else {
        return bad("the file current is cut short");
    };
    let Some((checksum, [0])) = rest.split_first_chunk::<16>() else {
        return bad("the file current has an unknown length or kind");
    };
    let manifest = keyspace.join(format!("v{}", u64::from_le_bytes(*number)));
    match std::fs::read(&manifest) {
        Ok(bytes) if xxh3_128(&bytes) == u128::from_le_bytes(*checksum) => Ok(()),
        Ok(_) => bad("its checksum is wrong"),
        Err(error) if error.kind() == ErrorKind::NotFound => bad("it is missing"),
        Err(error) => Err(io(error)),
    }
}

/// Shortens a file to its last byte that is not zero.
fn cut_zeros(path: &Path) -> std::io::Result<()> {
    const BLOCK: u64 = 64 * 1024;
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let mut end = length;
    let mut block = vec![0; BLOCK as usize];
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let bytes = &mut block[..(end - start) as usize];
        read_at(&mut file, start, bytes)?;
        if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
            end = start + last as u64 + 1;
            break;
        }
        end = start;
    }
    if end < length { file.set_len(end) } else { Ok(()) }
}

fn read_at(file: &mut File, at: u64, bytes: &mut [u8]) -> std::io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_cut_after_its_last_byte_that_is_not_zero() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.jnl");
        for (content, zeros, kept) in [(&b"ab\0c"[..], 200_000, 4), (b"", 70_000, 0), (b"x", 0, 1)] {
            std::fs::write(&path, [content, &vec![0; zeros]].concat()).unwrap();
            inspect(dir.path()).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), content[..kept]);
        }
    }

    #[test]
    fn a_manifest_that_does_not_match_its_checksum_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let keyspace = dir.path().join("keyspaces/1");
        std::fs::create_dir_all(&keyspace).unwrap();
        let checksum = xxh3_128(b"manifest").to_le_bytes();
        let current = [&3_u64.to_le_bytes()[..], &checksum, &[0]].concat();
        std::fs::write(keyspace.join("current"), &current).unwrap();
        std::fs::write(keyspace.join("v3"), b"manifest").unwrap();
        inspect(dir.path()).unwrap();
        for wrong in [b"Manifest", &b"manifest."[..]] {
            std::fs::write(keyspace.join("v3"), wrong).unwrap();
            assert!(matches!(inspect(dir.path()), Err(LogError::Damaged { .. })));
        }
        std::fs::remove_file(keyspace.join("v3")).unwrap();
        assert!(matches!(inspect(dir.path()), Err(LogError::Damaged { .. })));
    }
}
