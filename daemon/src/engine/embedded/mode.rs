//! Who may read the data directory.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tracing::warn;

/// Warns of a directory that other users may read: it was made by hand or by an earlier version, and its owner has to close
/// it.
pub(super) fn check(directory: &Path) {
    let Ok(found) = std::fs::metadata(directory) else { return };
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        let directory = directory.display();
        let mode = format!("{mode:03o}");
        warn!(%directory, %mode, "Other users of this machine may read the data directory.");
    }
}
