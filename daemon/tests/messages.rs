//! Messages that cannot be written: the daemon works as before, counts them, and stops in order.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use support::{Daemon, command, line, wait_until};
use tempfile::TempDir;

/// A daemon that has much to say.
fn talkative(data: &Path) -> Command {
    let mut command = command("run", data, &["aggregation.allowed_lateness=0s"]);
    command.env("RUST_LOG", "trace");
    command
}

fn dropped(daemon: &Daemon) -> u64 {
    let metrics = daemon.get("/metrics").1;
    let value = metrics.lines().find_map(|line| line.strip_prefix("derived_statsd_messages_dropped_total "));
    value.unwrap().parse().unwrap()
}

/// Every post is answered and applied, and the daemon is ready.
fn works(daemon: &Daemon) {
    for at in (0..20).map(|second| 1_488_000_000_000_000 + second * 1_000_000) {
        let (status, body) = daemon.post(line("a", "egress_flow_count", at, 1).as_bytes(), None).unwrap();
        assert_eq!(status, 200, "{body}");
    }
    daemon.wait_until_applied();
    assert_eq!(daemon.get("/readyz").0, 200);
}

/// The daemon works while its messages cannot be written to `stderr`, counts them, and stops in order.
fn works_without(stderr: impl Into<Stdio>) {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::with_stderr(talkative(data.path()), stderr);
    works(&daemon);
    wait_until("messages are dropped", || (dropped(&daemon) > 1).then_some(()));
    daemon.stop();
}

#[test]
fn a_full_disk_behind_the_messages_changes_nothing_else() {
    works_without(OpenOptions::new().write(true).open("/dev/full").unwrap());
}

#[test]
fn a_reader_that_has_gone_changes_nothing_else() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    works_without(writer);
}

#[test]
fn a_reader_that_is_stuck_changes_nothing_else() {
    let data = TempDir::new().unwrap();
    let (_reader, mut writer) = std::io::pipe().unwrap();
    // What a pipe of Linux holds: the first message waits for ever.
    writer.write_all(&[b'\n'; 64 * 1024]).unwrap();
    let daemon = Daemon::with_stderr(talkative(data.path()), writer);
    works(&daemon);
    daemon.stop();
}
