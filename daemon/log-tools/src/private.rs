//! Who may read what the tools write: the owner of the directory in which they write, and nobody else.
//!
//! A copy has all that the log has, and a daemon's user must be able to open it. So a new directory has the mode 0700 and
//! its files 0600, whatever the umask and the mode of the original. Where root makes it, it belongs to the owner of the
//! directory above it, such as the user of a service.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::Path;

use daemon_log::LogError;
use daemon_log::files::{io_error, parent};

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Creates a directory that must not exist yet.
pub(crate) fn create_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(DIRECTORY_MODE).create(path)?;
    let made = path.metadata()?;
    // Only root may give it away.
    if made.uid() == 0 {
        let above = parent(path).metadata()?;
        chown(path, Some(above.uid()), Some(above.gid()))?;
    }
    Ok(())
}

/// Creates a file that must not exist yet.
pub(crate) fn create_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)
}

/// Whether a file may be a hard link in the directory `to`: there it must belong to the owner of that directory.
pub(crate) fn may_link(file: &File, to: &Path) -> bool {
    let owners = file.metadata().and_then(|file| Ok([file, to.metadata()?].map(|it| (it.uid(), it.gid()))));
    owners.is_ok_and(|[file, directory]| file == directory)
}

/// Gives what is in a directory to its owner, and to nobody else: files that were created in it since, also by a program
/// that has opened the log there.
///
/// # Errors
/// [`LogError::Io`] if the file system refuses it.
pub fn make_private(path: &Path) -> Result<(), LogError> {
    let io = |source| io_error("set the owner and mode of the files", path, source);
    let top = path.metadata().map_err(io)?;
    if top.permissions().mode() & 0o777 != DIRECTORY_MODE {
        // One that was there may be another user's, who has chosen its mode.
        let _ = std::fs::set_permissions(path, Permissions::from_mode(DIRECTORY_MODE));
    }
    make_content_private(path, (top.uid(), top.gid())).map_err(io)
}

fn make_content_private(directory: &Path, owner: (u32, u32)) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let found = path.symlink_metadata()?;
        let mode = if found.is_dir() { DIRECTORY_MODE } else { FILE_MODE };
        // A link has the owner already; its mode is also that of the file in the other copy.
        if found.mode() & 0o777 != mode {
            std::fs::set_permissions(&path, Permissions::from_mode(mode))?;
        }
        if (found.uid(), found.gid()) != owner && (found.is_dir() || found.nlink() == 1) {
            chown(&path, Some(owner.0), Some(owner.1))?;
        }
        if found.is_dir() {
            make_content_private(&path, owner)?;
        }
    }
    Ok(())
}
