//! Snapshots: a copy of a running log as of one write, mostly of hard links.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::embedded::directory::{create_version, io_error, sync_parent, write_acknowledged};
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
                Some(end) => copy_up_to(end, &segment.path, &copy),
                None => std::fs::hard_link(&segment.path, &copy),
            }
            .map_err(io)?;
        }
        File::open(&store).and_then(|store| store.sync_all()).map_err(io)?;
        write_acknowledged(target, locked.known().sequence)?;
        // Last: without it the directory is not a log.
        create_version(target)?;
        sync_parent(target)
    }
}

/// Copies the first `end` bytes of a file, durably.
fn copy_up_to(end: u64, from: &Path, to: &Path) -> std::io::Result<()> {
    let mut copy = File::create_new(to)?;
    std::io::copy(&mut File::open(from)?.take(end), &mut copy)?;
    copy.sync_all()
}
