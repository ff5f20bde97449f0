//! The operations that change the files of the store: each is one call here, so that a test can record them and replay
//! what a crash leaves of them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, fchown};
use std::path::Path;

use daemon_base::regular_file;

#[cfg(test)]
use super::tests::trace;

/// Records an operation on the file `$path` in a test.
macro_rules! trace {
    ($path:expr, $($op:tt)*) => {
        #[cfg(test)]
        trace::push(|| trace::Op::$($op)*);
        #[cfg(not(test))]
        let _ = $path;
    };
}

/// Parts of a write below this size are joined before they go to the file.
const JOIN_BELOW: usize = 64 * 1024;

/// Creates a file for reading and writing; an existing one is emptied. One that root creates belongs to the owner of the
/// directory: a command that root runs there, such as `replay`, must not leave what the daemon's user cannot open.
pub(super) fn create(path: &Path) -> io::Result<File> {
    trace!(path, Create(path.to_owned()));
    let file = regular_file::open(path, OpenOptions::new().read(true).write(true).create(true).truncate(true))?;
    if file.metadata()?.uid() == 0
        && let Some(directory) = path.parent()
    {
        let owner = directory.metadata()?;
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(file)
}

/// Opens an existing file for reading and writing.
pub(super) fn open(path: &Path) -> io::Result<File> {
    regular_file::open(path, OpenOptions::new().read(true).write(true))
}

/// Writes all parts to the file, one after the other, from position `at` on. Returns the position after them.
pub(super) fn write<'a>(
    file: &File,
    path: &Path,
    mut at: u64,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> io::Result<u64> {
    let mut joined = Vec::new();
    let flush = |bytes: &[u8], at: &mut u64| {
        trace!(path, Write(path.to_owned(), *at, bytes.to_vec()));
        file.write_all_at(bytes, *at)?;
        *at += bytes.len() as u64;
        io::Result::Ok(())
    };
    for part in parts {
        if joined.len() + part.len() > JOIN_BELOW {
            flush(&joined, &mut at)?;
            joined.clear();
        }
        if part.len() > JOIN_BELOW {
            flush(part, &mut at)?;
        } else {
            joined.extend_from_slice(part);
        }
    }
    if !joined.is_empty() {
        flush(&joined, &mut at)?;
    }
    Ok(at)
}

/// Puts what was written to the file on the disk.
pub(super) fn sync(file: &File, path: &Path) -> io::Result<()> {
    #[cfg(test)]
    trace::fail_if_asked(path)?;
    file.sync_data()?;
    trace!(path, Sync(path.to_owned()));
    Ok(())
}

/// Puts the names of the files in a directory on the disk.
///
/// # Errors
/// That of the file system.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    trace!(path, SyncDirectory);
    Ok(())
}

/// Cuts the file to a length.
pub(super) fn cut(file: &File, path: &Path, length: u64) -> io::Result<()> {
    trace!(path, Cut(path.to_owned(), length));
    file.set_len(length)
}

/// Gives a file another name.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    trace!(to, Rename(from.to_owned(), to.to_owned()));
    std::fs::rename(from, to)
}

/// Deletes a file; one that is missing is fine.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    trace!(path, Remove(path.to_owned()));
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Deletes a file that nothing refers to. One that cannot be deleted harms nobody; the next opening tries again.
pub(super) fn remove_unused(path: &Path) {
    if let Err(error) = remove(path) {
        tracing::warn!(%error, file = %path.display(), "A file of the log that is not in use cannot be deleted.");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;

    use super::*;

    #[test]
    fn what_root_creates_belongs_to_the_owner_of_the_directory() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("segment");
        // Another user cannot give a directory away, and creates only what is its own.
        let is_given = chown(folder.path(), Some(65534), Some(65534)).is_ok();
        create(&file).unwrap();
        let (file, directory) = (file.metadata().unwrap(), folder.path().metadata().unwrap());
        assert_eq!((file.uid(), file.gid()), (directory.uid(), directory.gid()));
        assert!(!is_given || file.uid() == 65534);
    }
}
