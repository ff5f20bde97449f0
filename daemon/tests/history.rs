//! The history of an object over kills: every result is there, and found by the index.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::path::Path;

use serde_json::Value;
use support::{Daemon, command, line};
use tempfile::TempDir;

const MINUTE: u64 = 60_000_000;
const FIRST: u64 = 1_700_000_040_000_000;
/// A window of their results has about eight blocks of 64 KiB.
const OBJECTS: u64 = 4000;
const SUM: &str = "AggProxySum-UveVirtualNetworkAgent-egress_flow_count";
const SETTINGS: [&str; 3] = ["aggregation.allowed_lateness=0s", "log.partitions=1", "workers.threads=1"];

/// What an entry of the index holds, with the headers of its frames; a single block may be larger by a row.
const ENTRY: u64 = 64 * 1024 + 4096;

/// The minutes of a run: the results of some runs are several times the 2 MiB to which the view knows what it needs, so
/// that its checkpoint without the index of the same moment would leave a gap.
const MINUTES: u64 = 3;

/// More commits than a run has.
const MAX_COMMITS: u64 = 40;

fn flows(object: u64, minute: u64) -> u64 {
    1000 + object * 7 % 100 + minute * 13 % 10
}

/// Posts a minute, once; whether the daemon has answered.
fn post(daemon: &Daemon, minute: u64) -> bool {
    let sample = |object| {
        line(&format!("vn{object:04}"), "egress_flow_count", FIRST + minute * MINUTE + 1_000_000, flows(object, minute))
    };
    let body: String = (0..OBJECTS).map(sample).collect();
    daemon.post(body.as_bytes(), Some(&format!("minute-{minute}"))).is_some_and(|(status, answer)| {
        assert_eq!(status, 200, "{answer}");
        true
    })
}

/// The history of some objects has every window before a minute, and reads few blocks for each.
fn check(daemon: &Daemon, minute: u64) {
    for object in [0, 1, OBJECTS / 2, OBJECTS - 1] {
        // The view, which makes the index, may still read.
        let path = format!("/api/v1/history/virtual-network/vn{object:04}");
        let history: Value = daemon.wait_for(&path, |(status, body)| {
            let history: Value = serde_json::from_str(body).unwrap();
            (*status == 200 && history["unindexed_bytes"].as_u64().unwrap() <= ENTRY).then_some(history)
        });
        let series = history["series"].as_array().unwrap().iter().find(|series| series["uve"] == SUM).unwrap();
        let points = series["points"].as_array().unwrap();
        let found: Vec<_> = points.iter().map(|it| (it[0].as_u64().unwrap(), it[2].as_f64().unwrap() as u64)).collect();
        let expected: Vec<_> = (0..minute).map(|it| (FIRST + it * MINUTE, flows(object, it))).collect();
        assert_eq!(found, expected, "vn{object:04}");
        let read = history["read_bytes"].as_u64().unwrap();
        assert!(read <= (2 * minute + 2) * ENTRY, "{read} bytes for {minute} windows of vn{object:04}");
        assert_eq!(history["next"], Value::Null);
    }
}

/// A daemon that is killed at a failpoint or else stops; whether it was killed.
fn doomed(data: &Path, point: &str, minute: u64) -> bool {
    let mut daemon = Daemon::doomed(command("run", data, &SETTINGS), point);
    if daemon.is_running() && (minute..minute + MINUTES).all(|minute| post(&daemon, minute)) {
        daemon.wait_until_applied_or_gone();
    }
    if daemon.is_running() {
        daemon.signal("TERM");
    }
    !daemon.wait_for_end().success()
}

#[test]
fn a_kill_at_any_commit_costs_a_history_no_result_and_few_reads() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    (0..12).for_each(|minute| assert!(post(&daemon, minute)));
    daemon.wait_until_applied();
    check(&daemon, 11);
    daemon.stop();
    let (mut minute, mut kills) = (12, 0);
    // The last commits are those of the index and of the view's checkpoint, at the stop.
    for point in ["commit.before", "commit.mid", "commit.after"] {
        for commit in 1.. {
            assert!(commit < MAX_COMMITS, "a run of {MINUTES} minutes has {commit} commits");
            let is_killed = doomed(data.path(), &format!("{point}:{commit}"), minute);
            let mut daemon = Daemon::start(data.path(), &SETTINGS);
            assert!((minute..minute + MINUTES).all(|minute| post(&daemon, minute)));
            daemon.wait_until_applied();
            minute += MINUTES;
            check(&daemon, minute - 1);
            // Without a stop, the index on the disk is older than the results.
            daemon.signal("KILL");
            daemon.wait();
            if !is_killed {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills >= 9, "a run has at least the commits of results, index and checkpoint: {kills} kills");
}
