//! What an operator sees of a full disk: readiness is the same in the log and in `/readyz`, and `validate` names it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::path::Path;

use support::disk::SmallDisk;
use support::{Daemon, command, line};
use tempfile::TempDir;

const START: u64 = 1_488_000_000_000_000;

/// Less than a write buffer of the store, so that its journal fills it.
const SIZE: &str = "8m";

fn post(daemon: &Daemon) -> u16 {
    daemon.post(line("a", "egress_flow_count", START, 1).as_bytes(), None).unwrap().0
}

#[test]
fn a_daemon_is_ready_in_its_log_when_it_is_in_the_probe() {
    let disk = SmallDisk::mount(SIZE);
    let log = disk.path().join("log");
    Daemon::start(&log, &[]).stop();
    disk.fill();
    let daemon = Daemon::start(&log, &[]);
    daemon.wait_until_said(" has 0 bytes free; the log needs up to ");
    // All partitions are restored: but for the disk it is ready.
    daemon.wait_for("/api/v1/partitions", |(status, _)| (*status == 200).then_some(()));
    assert_eq!(daemon.get("/readyz").0, 503);
    assert!(!daemon.stderr().contains("Ready: "), "{}", daemon.stderr());
    disk.free();
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    let said = daemon.wait_until_said("Ready: ");
    assert!(!said.contains("Not ready."), "{said}");
    disk.fill();
    daemon.wait_for("/readyz", |(status, _)| {
        post(&daemon);
        (*status == 503).then_some(())
    });
    daemon.wait_until_said("Not ready. reason=");
    disk.free();
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    daemon.wait_until_said("Ready: all partitions are restored, the view has caught up, and the log can write.");
    daemon.stop();
}

/// Exit code and messages of `validate` for a data directory.
fn validate(data: &Path) -> (Option<i32>, String) {
    let mut validate = command("validate", data, &[]);
    let output = validate.arg("/dev/null").output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn validate_names_the_room_on_the_disk_of_the_log() {
    let disk = SmallDisk::mount(SIZE);
    let notice = |free: &str| format!("note: log.data_dir: the disk of {} has {free}", disk.path().display());
    let (code, said) = validate(&disk.path().join("log"));
    assert!(code == Some(0) && said.contains(&notice("8388608 bytes free; ")), "{said}");
    disk.fill();
    let (code, said) = validate(&disk.path().join("log"));
    assert!(code == Some(0) && said.contains(&notice("0 bytes free; ")) && said.contains("; free space, or"), "{said}");
    let large = TempDir::new().unwrap();
    assert_eq!(validate(large.path()), (Some(0), String::new()));
}
