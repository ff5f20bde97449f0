//! Errors of files that no retry mends.

use std::io::{Error, ErrorKind};

/// Returns what an operator must change before the operation can succeed.
///
/// `None` for errors that may pass without that, such as those of a full disk.
///
/// ```
/// use std::io::{Error, ErrorKind};
///
/// use daemon_base::remedy::remedy;
///
/// let error = Error::from(ErrorKind::ReadOnlyFilesystem);
/// assert_eq!(remedy(&error), Some("mount the file system for writing, or name another path"));
/// assert_eq!(remedy(&Error::from(ErrorKind::StorageFull)), None);
/// ```
pub fn remedy(error: &Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::IsADirectory => Some("name a file instead of a directory"),
        ErrorKind::NotADirectory => Some("name a path whose parents are directories"),
        ErrorKind::PermissionDenied => Some("give the user of this process the permission, or name another path"),
        ErrorKind::ReadOnlyFilesystem => Some("mount the file system for writing, or name another path"),
        _ => None,
    }
}
