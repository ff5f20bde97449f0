//! Whether the log can use its data directory as it is: what `run` would find out only at its start.

use std::fs::FileType;
use std::path::{Path, PathBuf};

use daemon_log::EmbeddedLog;
use rustix::fs::Access;

use super::allowed;

/// The files of the log, without the store.
const FILES: [&str; 6] = ["ABSENCES", "ELECTIONS", "LOCK", "PARTITIONS", "VERSION", "acknowledged"];

/// Checks a data directory; one that does not exist yet can be created. A log that another process has open is fine:
/// that is the daemon whose next configuration this is.
pub(super) fn check(directory: &Path) -> Result<(), String> {
    usable(directory, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)?;
    EmbeddedLog::check_format(directory).map_err(|error| error.to_string())?;
    for file in FILES.map(|name| directory.join(name)) {
        is_kind(&file, FileType::is_file, "file")?;
        usable(&file, Access::READ_OK | Access::WRITE_OK)?;
    }
    let store = directory.join("store");
    is_kind(&store, FileType::is_dir, "directory")?;
    all_usable(store)
}

/// Checks the permissions of the store's directories and files.
fn all_usable(store: PathBuf) -> Result<(), String> {
    let mut directories = vec![store];
    while let Some(directory) = directories.pop().filter(|directory| directory.exists()) {
        usable(&directory, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)?;
        let unreadable = |error: std::io::Error| format!("{} cannot be listed ({error})", directory.display());
        for entry in std::fs::read_dir(&directory).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => directories.push(entry.path()),
                _ => usable(&entry.path(), Access::READ_OK | Access::WRITE_OK)?,
            }
        }
    }
    Ok(())
}

fn is_kind(path: &Path, is_kind: fn(&FileType) -> bool, kind: &str) -> Result<(), String> {
    match std::fs::metadata(path) {
        Ok(metadata) if !is_kind(&metadata.file_type()) => {
            Err(format!("{} is not a {kind}, so it is not of a log; remove it, or name another path", path.display()))
        }
        _ => Ok(()),
    }
}

/// Checks the permissions of a file, if it exists: a daemon that runs may remove one at any time.
fn usable(path: &Path, access: Access) -> Result<(), String> {
    match allowed(path, access) {
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) | Ok(()) => Ok(()),
        Err(error) => Err(format!(
            "{} cannot be read and written by the user of this process ({error}); change its owner, or run as the user \
             that the daemon has",
            path.display()
        )),
    }
}
