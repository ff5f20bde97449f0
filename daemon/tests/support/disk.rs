//! A small file system, which a test fills and frees.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A file system in memory, unmounted on drop.
pub(crate) struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts a file system of `size`, such as `96m`.
    pub(crate) fn mount(size: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let size = format!("size={size}");
        let mut mount = Command::new("mount");
        let output = mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let remedy = "run the tests as root, or within `unshare --map-root-user --mount`";
        assert!(output.status.success(), "mounting a small file system failed ({}): {remedy}", stderr.trim());
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills the rest of the file system, also if something was filled before.
    pub(crate) fn fill(&self) {
        let ballast = format!("of={}", self.ballast().display());
        // The copy ends with the error that the daemon gets, too.
        let mut copy = Command::new("dd");
        let copy = copy.args(["if=/dev/zero", "bs=64k", "oflag=append", "conv=notrunc", &ballast]).output().unwrap();
        assert!(!copy.status.success(), "the copy found an end before the disk was full");
    }

    /// Frees what [`fill`](Self::fill) has filled.
    pub(crate) fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A daemon of a failed test has exited by now; otherwise the directory cannot be removed.
        let _ = Command::new("umount").arg(self.path()).status();
    }
}
