//! Files that settings name, read up to a limit.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _, Result, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::regular_file;

/// The largest file that the configuration reads: 1 MiB. Such files have kilobytes; a device or a log has no end.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// Reads a file of at most [`MAX_BYTES`].
///
/// # Errors
///
/// When the file cannot be read or is larger.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    read_opened(File::open(path).map_err(|error| with_owner(path, error))?)
}

/// The id of all owners that a namespace of users, as `PrivateUsers=` of a unit makes one, does not show.
const OVERFLOW: u32 = 65534;

/// Adds to an error of missing permissions whose file it is and who reads it.
fn with_owner(path: &Path, error: Error) -> Error {
    if error.kind() != ErrorKind::PermissionDenied {
        return error;
    }
    let me = rustix::process::geteuid();
    // Without metadata it is a directory above the file that this user may not search.
    let owner = match std::fs::metadata(path) {
        Ok(file) => {
            let name = |id: u32| if id == OVERFLOW { "nobody (hidden here)".to_owned() } else { id.to_string() };
            let (user, group) = (name(file.uid()), name(file.gid()));
            format!("user {user} and group {group} own it with mode {:03o}", file.mode() & 0o7777)
        }
        Err(_) => "a directory above it is closed".to_owned(),
    };
    let text = format!(
        "{error}: {owner}, this process is user {me}; let that user read it, by a group if others must not, a service by \
         SupplementaryGroups= or LoadCredential= of its unit"
    );
    Error::new(ErrorKind::PermissionDenied, text)
}

fn read_opened(file: File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        let text = format!("it is larger than {MAX_BYTES} bytes, which no such file is; name another file");
        return Err(Error::new(ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}

/// Reads a file of at most [`MAX_BYTES`] that is not a pipe, a device or a directory: to open a pipe waits for its writer.
///
/// # Errors
///
/// As [`read`], and when it is not a regular file.
pub fn read_regular(path: &Path) -> Result<Vec<u8>> {
    read_opened(regular_file::open_to_read(path).map_err(|error| match error.kind() {
        ErrorKind::InvalidInput => Error::new(ErrorKind::InvalidInput, format!("{error}; name one")),
        _ => with_owner(path, error),
    })?)
}

/// Reads a text file of at most [`MAX_BYTES`].
///
/// # Errors
///
/// As [`read`], and when the file is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    text(read(path)?)
}

/// Reads a text file of at most [`MAX_BYTES`] that is a regular file.
///
/// # Errors
///
/// As [`read_regular`], and when the file is not UTF-8.
pub fn read_regular_text(path: &Path) -> Result<String> {
    text(read_regular(path)?)
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| Error::new(ErrorKind::InvalidData, error.utf8_error()))
}

/// Replaces a text file as a whole, durably: after a kill or a power cut it has the old content or the new one. Meanwhile the
/// new content is in a file beside it whose name ends in `.new`.
///
/// # Errors
///
/// When the file or its directory cannot be written.
pub fn replace(path: &Path, text: &str) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut file = regular_file::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    File::open(path.parent().unwrap_or(path))?.sync_all()
}

/// The version of a file: another one after a change of its content, owner or permissions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Version {
    changed: (i64, i64),
    inode: u64,
    bytes: u64,
}

/// The version of a file; `None` if there is no file.
pub fn version(path: &Path) -> Option<Version> {
    let file = std::fs::metadata(path).ok()?;
    Some(Version { changed: (file.ctime(), file.ctime_nsec()), inode: file.ino(), bytes: file.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_end_is_refused() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.to_string(), "it is larger than 1048576 bytes, which no such file is; name another file");
        assert_eq!(read_text(Path::new("/dev/null")).unwrap(), "");
    }

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("STATE");
        // The rest of a write that a kill interrupted.
        std::fs::write(folder.path().join("STATE.new"), "a long rest of something").unwrap();
        for text in ["one", "another", ""] {
            replace(&path, text).unwrap();
            assert_eq!(read_text(&path).unwrap(), text);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        }
        assert!(replace(&folder.path().join("missing/STATE"), "").is_err());
    }

    #[test]
    fn a_device_and_a_directory_are_no_regular_files() {
        for path in ["/dev/null", "/"] {
            let error = read_regular(Path::new(path)).unwrap_err();
            assert_eq!(error.to_string(), "it is not a regular file; name one", "{path}");
        }
    }

    #[test]
    fn the_largest_file_is_read_and_a_larger_one_is_not() {
        let file = std::env::temp_dir().join(format!("derived-statsd-setting-{}", std::process::id()));
        std::fs::write(&file, vec![b'a'; 1024 * 1024]).unwrap();
        let largest = read_text(&file).map(|text| text.len());
        std::fs::write(&file, vec![b'a'; 1024 * 1024 + 1]).unwrap();
        let larger = read_text(&file).map_err(|error| error.kind());
        std::fs::remove_file(&file).unwrap();
        assert_eq!((largest.unwrap(), larger), (1024 * 1024, Err(ErrorKind::FileTooLarge)));
    }
}
