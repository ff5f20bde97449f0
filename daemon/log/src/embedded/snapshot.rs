//! Snapshots: a copy of a running log as of one write, mostly of hard links.

use std::fs::File;
use std::path::Path;

use crate::embedded::backup::copy_up_to;
use crate::embedded::directory::{create_version, io_error, sync_parent, write_acknowledged};
use crate::embedded::disk::sync_directory;
use crate::embedded::writer::Writer;
use crate::error::LogError;

impl Writer {
    /// Makes a log in the directory `target`, which must not exist, with all writes that returned before the call.
    ///
    /// Closed files never change, so they are linked; the open ones are copied up to the last write. Writers wait for
    /// the copy, readers do not.
    pub(super) fn snapshot(&self, target: &Path) -> Result<(), LogError> {
        let mut locked = self.lock()?;
        self.health.check_found()?;
        // The copy takes the newest files that a write has named for open: no link may be among them.
        locked.name_open_files()?;
        let io = |source| io_error("make a snapshot of the log", target, source);
        std::fs::create_dir(target).and_then(|()| std::fs::create_dir(target.join("store"))).map_err(io)?;
        let store = target.join("store");
        for segment in locked.catalog().files() {
            let copy = store.join(segment.path.file_name().unwrap_or_default());
            match locked.open_end(segment) {
                Some(end) => File::open(&segment.path).and_then(|open| copy_up_to(end, &open, &copy)).map(drop),
                None => std::fs::hard_link(&segment.path, &copy),
            }
            .map_err(io)?;
        }
        sync_directory(&store).map_err(io)?;
        write_acknowledged(target, locked.known().sequence)?;
        // Last: without it the directory is not a log.
        create_version(target)?;
        sync_parent(target)
    }
}
