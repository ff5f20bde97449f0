//! Messages that cannot be written: the daemon works as before, counts them, and stops in order.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs::OpenOptions;
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

/// Posts until messages are dropped: every post is answered.
fn works_while_messages_are_dropped(daemon: &Daemon) {
    let mut at = 1_488_000_000_000_000;
    wait_until("messages are dropped", || {
        for _ in 0..100 {
            at += 1_000_000;
            let (status, body) = daemon.post(line("a", "egress_flow_count", at, 1).as_bytes(), None).unwrap();
            assert_eq!(status, 200, "{body}");
        }
        (dropped(daemon) > 0).then_some(())
    });
    daemon.wait_until_applied();
    assert_eq!(daemon.get("/readyz").0, 200);
}

#[test]
fn a_full_disk_behind_the_messages_changes_nothing_else() {
    let data = TempDir::new().unwrap();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let daemon = Daemon::with_stderr(talkative(data.path()), full);
    works_while_messages_are_dropped(&daemon);
    daemon.stop();
}

#[test]
fn a_reader_that_has_gone_changes_nothing_else() {
    let data = TempDir::new().unwrap();
    let mut reader = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let pipe = reader.stdin.take().unwrap();
    reader.wait().unwrap();
    let daemon = Daemon::with_stderr(talkative(data.path()), pipe);
    works_while_messages_are_dropped(&daemon);
    daemon.stop();
}

#[test]
fn a_reader_that_is_stuck_changes_nothing_else() {
    let data = TempDir::new().unwrap();
    let mut reader = Command::new("sleep")
        .arg("3600")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pipe = reader.stdin.take().unwrap();
    let daemon = Daemon::with_stderr(talkative(data.path()), pipe);
    works_while_messages_are_dropped(&daemon);
    daemon.stop();
    reader.kill().unwrap();
    reader.wait().unwrap();
}
