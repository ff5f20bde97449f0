//! Regular files, opened without waiting: to open a pipe waits for its other end, which may never come.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Error, ErrorKind, Read as _, Result};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

/// The mode of what is created here: for its owner alone, whatever the umask. The data directory has what senders and
/// readers may need tokens for.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// Creates a directory for its owner alone, and those above it as the umask has it. One that exists stays as it is.
///
/// # Errors
///
/// That of the file system, also if it is not a directory.
pub fn create_directory(path: &Path) -> Result<()> {
    if let Some(above) = path.parent() {
        std::fs::create_dir_all(above)?;
    }
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Err(_) if path.is_dir() => Ok(()),
        created => created,
    }
}

/// Opens a file with these options, if it is a regular file, also behind links, or is created, for its owner alone.
///
/// # Errors
///
/// That of the file system; [`ErrorKind::InvalidInput`] for a pipe, a device, a socket or a directory.
pub fn open(path: &Path, options: &mut OpenOptions) -> Result<File> {
    let not_regular = || Error::new(ErrorKind::InvalidInput, "it is not a regular file");
    // Has no effect on a regular file.
    let file = match options.mode(FILE_MODE).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path) {
        Err(error) if error.kind() == ErrorKind::IsADirectory => return Err(not_regular()),
        // A pipe without a reader, or a socket.
        Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => return Err(not_regular()),
        file => file?,
    };
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}

/// Opens an existing file for reading.
///
/// # Errors
///
/// As [`open`].
pub fn open_to_read(path: &Path) -> Result<File> {
    open(path, OpenOptions::new().read(true))
}

/// Creates a file for writing; an existing one is emptied.
///
/// # Errors
///
/// As [`open`].
pub fn create(path: &Path) -> Result<File> {
    open(path, OpenOptions::new().write(true).create(true).truncate(true))
}

/// Reads a whole file, whatever its size.
///
/// # Errors
///
/// As [`open`].
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_to_read(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a whole text file, whatever its size.
///
/// # Errors
///
/// As [`open`]; [`ErrorKind::InvalidData`] if it is not UTF-8.
pub fn read_to_string(path: &Path) -> Result<String> {
    let mut text = String::new();
    open_to_read(path)?.read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::*;

    #[test]
    fn what_is_not_a_regular_file_is_refused_at_once_whoever_has_its_other_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(Command::new("mkfifo").args([path("pipe"), path("read")]).status().unwrap().success());
        std::os::unix::fs::symlink("pipe", path("link")).unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        let _other_end = OpenOptions::new().read(true).write(true).open(path("read")).unwrap();
        for name in ["pipe", "read", "link", "socket", ".", "/dev/null"] {
            let all = [open_to_read(&path(name)).map(drop), create(&path(name)).map(drop), read(&path(name)).map(drop)];
            for opened in all {
                let error = opened.unwrap_err();
                assert_eq!(
                    (error.kind(), &*error.to_string()),
                    (ErrorKind::InvalidInput, "it is not a regular file"),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn what_is_created_is_for_its_owner_alone_and_what_exists_stays() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mode = |name: &str| path(name).metadata().unwrap().permissions().mode() & 0o777;
        create_directory(&path("above/data")).unwrap();
        create(&path("above/data/file")).unwrap();
        assert_eq!((mode("above/data"), mode("above/data/file")), (0o700, 0o600));
        std::fs::set_permissions(path("above/data"), std::fs::Permissions::from_mode(0o750)).unwrap();
        create_directory(&path("above/data")).unwrap();
        assert_eq!(mode("above/data"), 0o750);
        assert!(create_directory(&path("above/data/file")).is_err());
    }

    #[test]
    fn a_regular_file_is_written_and_read_also_behind_a_link() {
        use std::io::Write as _;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        create(&path("file")).unwrap().write_all("text\n".as_bytes()).unwrap();
        std::os::unix::fs::symlink("file", path("link")).unwrap();
        assert_eq!(read_to_string(&path("link")).unwrap(), "text\n");
        create(&path("file")).unwrap().write_all(&[0xff]).unwrap();
        assert_eq!(read(&path("link")).unwrap(), [0xff]);
        assert_eq!(read_to_string(&path("link")).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(read(&path("none")).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
