//! A full disk: writes fail, and the log recovers without a restart when there is space again.

use std::path::PathBuf;
use std::process::Command;

use super::*;

/// A small memory file system, which dropping unmounts.
struct SmallDisk {
    path: PathBuf,
    _dir: TempDir,
}

impl SmallDisk {
    /// Mounts the file system; `None` without the permission to mount.
    fn mount(mib: u32) -> Option<Self> {
        let dir = dir();
        let path = dir.path().join("disk");
        std::fs::create_dir(&path).unwrap();
        let size = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path).output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        mounted.then_some(Self { path, _dir: dir })
    }
}

impl SmallDisk {
    fn remount(&self, mode: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{mode}")]).arg(&self.path).status();
        assert!(status.is_ok_and(|status| status.success()), "remount {mode}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.path).status();
    }
}

/// Appends until `failures` appends have failed; returns the number of acknowledged appends and the first error.
///
/// The cut of a torn write may free a little space, so some appends may succeed between the failures.
fn append_until_it_fails(log: &EmbeddedLog, payload: &str, failures: usize) -> (usize, LogError) {
    let (mut acknowledged, mut errors) = (0, Vec::new());
    while errors.len() < failures {
        match log.append(batch(1, P, &[payload])) {
            Ok(_) => acknowledged += 1,
            Err(error) => {
                assert!(error.is_temporary(), "{error}");
                errors.push(error);
            }
        }
        assert!(acknowledged < 1_000, "the disk never gets full");
    }
    assert!(payloads(log, P, 0).len() >= acknowledged, "reads still work");
    (acknowledged, errors.remove(0))
}

#[test]
fn a_full_disk_fails_the_write_and_the_log_recovers_when_there_is_space_again() {
    let Some(disk) = SmallDisk::mount(8) else {
        println!("not checked: a small file system can only be mounted by root");
        return;
    };
    let data = disk.path.join("data");
    let log = EmbeddedLog::open(&data, LogConfig::default()).unwrap();
    let ballast = disk.path.join("ballast");
    std::fs::write(&ballast, vec![1; 4 * 1024 * 1024]).unwrap();
    log.restore(P).unwrap();
    let (acknowledged, error) = append_until_it_fails(&log, &"x".repeat(100_000), 4);
    assert!(error.is_disk_full() && error.outcome_is_unknown(), "{error}");
    assert!(acknowledged > 10);

    // What changes nothing needs no space.
    log.remove_sink("unknown").unwrap();
    std::fs::remove_file(&ballast).unwrap();
    append(&log, 2, P, &["space again"]);
    let read = payloads(&log, P, 0);
    // Each failed append may be in the log in spite of the error.
    assert!((acknowledged + 1..=acknowledged + 5).contains(&read.len()), "{} of {acknowledged}", read.len());
    assert_eq!(read.last().unwrap(), "space again");
    let refused = log.commit(vec![commit(P, 1, "s", &["r"])], 1);
    assert!(matches!(refused, Err(LogError::NotRestored { .. })), "a commit after a failure without a restore");
    restore_and_commit(&log, vec![commit(P, 1, "s", &["r"])], 1);
    assert!(log.stats().unwrap().reopened >= 1);
    drop(log);
    let log = EmbeddedLog::open(&data, LogConfig::default()).unwrap();
    assert_eq!((payloads(&log, P, 0), results(&log)), (read, vec!["r".to_owned()]));
}

#[test]
fn retention_makes_room_on_a_full_disk() {
    let Some(disk) = SmallDisk::mount(8) else {
        println!("not checked: a small file system can only be mounted by root");
        return;
    };
    let config = LogConfig { max_input_bytes: 0, ..LogConfig::default() };
    let log = EmbeddedLog::open_with(&disk.path.join("data"), config, [500_000; 3]).unwrap();
    for _ in 0..30 {
        append(&log, 1, P, &[&"x".repeat(100_000)]);
    }
    restore_and_commit(&log, vec![commit(P, 30, "s", &[])], 1);
    let ballast = std::fs::write(disk.path.join("ballast"), vec![1; 8 * 1024 * 1024]);
    assert!(ballast.is_err(), "the disk is not full");
    append_until_it_fails(&log, &"x".repeat(100_000), 3);
    // The write that records the deletion may fail as long as the disk is full.
    let later = 13 * 3_600 * SECOND;
    let passes = (0..10).take_while(|_| log.enforce_retention(later).is_err()).count();
    assert!(passes < 10 && log.bounds(P).unwrap().first > 0, "{passes} passes freed nothing");
    append(&log, 2, P, &["space again"]);
    assert_eq!(payloads(&log, P, 30).last().unwrap(), "space again");
}

#[test]
fn a_file_system_that_is_mounted_read_only_is_named_with_its_remedy() {
    let Some(disk) = SmallDisk::mount(40) else {
        println!("not checked: a small file system can only be mounted by root");
        return;
    };
    let data = disk.path.join("data");
    for exists in [false, true] {
        disk.remount("ro");
        let error = EmbeddedLog::open(&data, LogConfig::default()).err().unwrap();
        let text = error.to_string();
        assert!(error.remedy().is_some() && !error.is_temporary(), "{exists}: {text}");
        assert!(text.ends_with("mount the file system for writing, or name another path"), "{exists}: {text}");
        disk.remount("rw");
        drop(EmbeddedLog::open(&data, LogConfig::default()).unwrap());
    }
}
