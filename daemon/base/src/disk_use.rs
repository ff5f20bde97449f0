//! How much of a disk files take.

use std::io;
use std::path::Path;

/// The disk space of the files below `path`; only allocated blocks count.
///
/// # Errors
/// When a directory cannot be listed.
pub fn disk_bytes(path: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        // Files may be deleted at any time: a missing one counts as zero bytes.
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
    // The unit is 512 bytes by definition, independent of the block size of the file system.
    std::os::unix::fs::MetadataExt::blocks(file) * 512
}

#[cfg(not(unix))]
fn allocated(file: &std::fs::Metadata) -> u64 {
    file.len()
}
