//! The file of results, and what the log stores of it.

use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::time::UNIX_EPOCH;

use anyhow::Context as _;
use tracing::{info, warn};

/// An open file of results.
pub(super) struct Output {
    pub(super) file: File,
    /// The length of the file at the stored position.
    pub(super) length: u64,
    identity: Identity,
}

/// The identity of a file over restarts. A device number is not part of it: that may change when the machine starts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Identity {
    inode: u64,
    /// The time of creation in nanoseconds, 0 where the file system has none: a new file may have the inode of a removed
    /// one.
    created: u64,
}

/// What the log stores with the position: the length and the identity of the file.
///
/// The first byte of the stored form is its [version](VERSION), and three words follow. Older builds stored the bare
/// length in 8 bytes, which no form with a version has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Detail {
    length: u64,
    /// `None` if an older build stored the detail.
    identity: Option<Identity>,
}

/// The version of the stored form with an identity.
const VERSION: u8 = 2;

/// Checks that `path` names a regular file, directly or through links, or nothing yet.
///
/// The sink cuts and syncs its file, which nothing else can: a pipe, a device or a directory would fail for ever.
///
/// # Errors
///
/// What the path names, with the remedy.
pub fn check_kind(path: &Path) -> Result<(), String> {
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(()) };
    let (kind, remedy) = (metadata.file_type(), "name a regular file, or a path where nothing is yet");
    let stream = "; programs read results as a stream from GET /api/v1/results/stream";
    let (found, stream) = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => ("directory", ""),
        () if kind.is_fifo() => ("pipe", stream),
        () if kind.is_socket() => ("socket", stream),
        () if kind.is_block_device() => ("block device", ""),
        () => ("character device", stream),
    };
    Err(format!("{} is a {found}; {remedy}{stream}", path.display()))
}

impl Output {
    /// Opens or creates the file at `path`, to continue at its end.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        check_kind(path).map_err(|message| anyhow::anyhow!("sinks.file.path: {message}"))?;
        let file = OpenOptions::new().read(true).append(true).create(true).open(path);
        let file = file.with_context(|| format!("open {}; check sinks.file.path", path.display()))?;
        let metadata = file.metadata()?;
        Ok(Self { file, length: metadata.len(), identity: Identity::of(&metadata) })
    }

    /// Continues at the position whose detail is `stored`.
    pub(super) fn resume(&mut self, path: &Path, stored: &[u8]) {
        let found = self.length;
        match Detail::decode(stored) {
            Some(Detail { identity: Some(former), length }) if former != self.identity => {
                self.leave_former(path, former, length);
            }
            Some(Detail { length, .. }) if found < length => {
                let path = path.display();
                warn!(
                    %path,
                    stored = length,
                    found,
                    "The file of results is shorter than at the last delivery: it was replaced or cut. The sink \
                     appends new results and does not write the missing ones again."
                );
            }
            Some(Detail { length, .. }) => self.length = length,
            None => warn!(path = %path.display(), "The stored length of the file of results cannot be read: a newer \
                          build wrote it. The sink appends to the file; its last results may be there twice."),
        }
    }

    /// Cuts the file that was at `path` to its stored length, if it was renamed within its directory.
    fn leave_former(&self, path: &Path, former: Identity, length: u64) {
        match cut_renamed(path, former, length) {
            Ok(true) => {
                info!(path = %path.display(), "The file of results was renamed; the sink goes on in a new one.")
            }
            Ok(false) => warn!(
                path = %path.display(),
                "The file of results was removed, moved or compressed; the sink goes on in a new one. If the daemon was \
                 killed before, results of its last second may be in both files."
            ),
            Err(error) => warn!(
                path = %path.display(),
                error = %format!("{error:#}"),
                "The file of results was replaced, and its directory cannot be searched for the former one. If the \
                 daemon was killed before, results of its last second may be in both files."
            ),
        }
    }

    /// Whether `path` names this file.
    pub(super) fn is_at(&self, path: &Path) -> anyhow::Result<bool> {
        let named = match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            named => named?,
        };
        let own = self.file.metadata()?;
        Ok((named.dev(), named.ino()) == (own.dev(), own.ino()))
    }

    /// Cuts what is behind the stored length of the file, which has `found` bytes: the lines of a delivery that failed.
    pub(super) fn cut_to_length(&self, found: u64) -> std::io::Result<()> {
        if found > self.length { self.file.set_len(self.length) } else { Ok(()) }
    }

    /// What the log stores if `length` bytes of the file are delivered.
    pub(super) fn detail(&self, length: u64) -> Detail {
        Detail { length, identity: Some(self.identity) }
    }
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        let created = metadata.created().ok().and_then(|created| created.duration_since(UNIX_EPOCH).ok());
        let created = created.and_then(|created| u64::try_from(created.as_nanos()).ok());
        Self { inode: metadata.ino(), created: created.unwrap_or(0) }
    }
}

impl Detail {
    pub(super) fn encode(self) -> Vec<u8> {
        let Some(Identity { inode, created }) = self.identity else { return self.length.to_le_bytes().to_vec() };
        let words = [self.length, inode, created].into_iter().flat_map(u64::to_le_bytes);
        std::iter::once(VERSION).chain(words).collect()
    }

    /// `None` if the form has another version.
    fn decode(stored: &[u8]) -> Option<Self> {
        if let Ok(length) = stored.try_into() {
            return Some(Self { length: u64::from_le_bytes(length), identity: None });
        }
        let (words, []) = stored.strip_prefix(&[VERSION])?.as_chunks() else { return None };
        let [length, inode, created] = <&[[u8; 8]; 3]>::try_from(words).ok()?.map(u64::from_le_bytes);
        Some(Self { length, identity: Some(Identity { inode, created }) })
    }
}

/// Cuts the file `former`, if the directory of `path` still has it, to `length`; whether it has.
fn cut_renamed(path: &Path, former: Identity, length: u64) -> anyhow::Result<bool> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_file() && Identity::of(&metadata) == former {
            if metadata.len() > length {
                OpenOptions::new().write(true).open(entry.path())?.set_len(length)?;
            }
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_of_this_build_and_of_older_ones_is_read() {
        let whole = Detail { length: 7, identity: Some(Identity { inode: 3, created: 9 }) };
        let old = Detail { length: 7, identity: None };
        for detail in [whole, old] {
            assert_eq!(Detail::decode(&detail.encode()), Some(detail));
        }
        assert_eq!(Detail::decode(&[7, 0, 0, 0, 0, 0, 0, 0]), Some(old));
        for unknown in [&[][..], &[2; 7], &[2; 9], &[2; 24], &[3; 25], &[2; 33]] {
            assert_eq!(Detail::decode(unknown), None, "{unknown:?}");
        }
    }

    #[test]
    fn lines_behind_the_stored_length_are_cut_from_a_file_that_was_renamed() {
        let directory = tempfile::tempdir().unwrap();
        let (path, renamed) = (directory.path().join("results"), directory.path().join("results.1"));
        std::fs::write(&path, "stored\nnot stored\n").unwrap();
        let before = Output::open(&path).unwrap().detail(7).encode();
        std::fs::rename(&path, &renamed).unwrap();
        std::fs::write(&path, "of another program\n").unwrap();
        let mut after = Output::open(&path).unwrap();
        after.resume(&path, &before);
        assert_eq!(after.length, 19, "the other file keeps what it has");
        assert_eq!(std::fs::read_to_string(&renamed).unwrap(), "stored\n");
    }

    #[test]
    fn lines_behind_the_stored_length_are_cut_from_the_same_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("results");
        std::fs::write(&path, "stored\nnot stored\n").unwrap();
        let before = Output::open(&path).unwrap().detail(7).encode();
        let mut after = Output::open(&path).unwrap();
        after.resume(&path, &before);
        assert_eq!(after.length, 7);
        after.cut_to_length(19).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "stored\n");
    }
}
