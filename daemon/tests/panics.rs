//! A panic of any thread that the daemon needs ends the process with exit code 1 within the grace period.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::process::Command;

use support::broker::Broker;
use support::group::Group;
use support::{Daemon, command, line, wait_until};
use tempfile::TempDir;

/// Starts the daemon, which panics at `point`, feeds it, and waits for its end.
fn dies(mut command: Command, point: &str, thread: &str) {
    command.env("DERIVED_STATSD_PANIC_AT", point);
    let mut daemon = match Daemon::try_spawn(command) {
        Ok(daemon) => daemon,
        Err((status, stderr)) => return check(point, thread, status.code(), &stderr),
    };
    let mut at = 1_488_000_000_000_000;
    wait_until(&format!("the daemon ends after a panic at {point}"), || {
        at += 1_000_000;
        // The answer may be missing: the daemon is on its way out.
        let _ = daemon.post(line("a", "egress_flow_count", at, 1).as_bytes(), None);
        (!daemon.is_running()).then_some(())
    });
    let status = daemon.wait();
    check(point, thread, status.code(), &daemon.stderr());
}

fn check(point: &str, thread: &str, code: Option<i32>, stderr: &str) {
    assert_eq!(code, Some(1), "{point}:\n{stderr}");
    let named = stderr.lines().any(|line| line.contains("A thread") && line.contains(thread));
    assert!(named, "no line names the thread {thread} after {point}:\n{stderr}");
}

#[test]
fn each_thread_on_the_embedded_log() {
    let cases = [
        ("commit.before:1", "worker-", vec!["log.commit_interval=10ms"]),
        ("retention.mid:1", "retention", vec!["log.retention.max_input_bytes=0", "log.commit_interval=10ms"]),
        ("sink.run:3", "view", vec![]),
        ("contiv.run:1", "contiv", vec!["contiv.nodes=127.0.0.1:1"]),
        ("opserver.run:1", "opserver", vec!["opserver.servers=127.0.0.1:1"]),
    ];
    for (point, thread, mut settings) in cases {
        let data = TempDir::new().unwrap();
        settings.extend(["aggregation.allowed_lateness=0s", "shutdown.grace=5s"]);
        dies(command("run", data.path(), &settings), point, thread);
    }
}

#[test]
fn a_panic_during_the_stop() {
    let data = TempDir::new().unwrap();
    let mut command = command("run", data.path(), &["log.commit_interval=1h", "shutdown.grace=5s"]);
    // The first commit of progress without results is the last one, after the signal.
    command.env("DERIVED_STATSD_PANIC_AT", "commit.before:1");
    let mut daemon = Daemon::spawn(command).unwrap();
    daemon.post(line("a", "egress_flow_count", 1_488_000_000_000_000, 1).as_bytes(), None).unwrap();
    daemon.wait_until_applied();
    daemon.signal("TERM");
    let status = daemon.wait();
    check("commit.before:1", "worker-", status.code(), &daemon.stderr());
}

#[test]
fn each_thread_on_kafka() {
    let broker = Broker::start();
    for (point, thread) in [
        ("transaction.before:1", "worker-"),
        ("restore.mid:1", "worker-"),
        ("topics.run:1", "topics"),
        ("backpressure.run:1", "backpressure"),
    ] {
        let group = Group::new(&broker, point.split('.').next().unwrap(), 2);
        dies(group.command("run", "a", &["shutdown.grace=5s", "kafka.commit_interval=100ms"]), point, thread);
    }
}
