//! After a kill at any point, the results log equals that of an undisturbed run, byte for byte.
//!
//! Each run kills the real daemon with SIGKILL at one of its failpoints (`daemon/base/src/failpoint.rs`), at a hit that
//! the seed chooses, restarts it and continues to send; unacknowledged batches are sent again under the same
//! idempotency key. A run without a kill fails the test. Every message has the seed; `DERIVED_STATSD_FAULT_SEEDS` sets
//! the number of seeds (50 by default).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::campaign::{
    Batch, LAST_VALUES, MANY_PARTITIONS, ONE_PARTITION, assert_same, batches, by_object, from_sources, run, seeds,
};
use support::{Daemon, Random, command, results};
use tempfile::TempDir;

/// The failpoints. `restore.*` is hit at starts, `retention.*` also between them.
const POINTS: [&str; 7] =
    ["append.before", "append.mid", "append.after", "commit.before", "commit.mid", "commit.after", "restore.mid"];

/// The results of a run with one kill.
fn killed(settings: &[&str], batches: &[Batch], point: &str, hit: u64) -> Vec<String> {
    let data = TempDir::new().unwrap();
    let mut rest = batches;
    if point == "restore.mid" {
        // A restore needs a saved state, which the first half of the input makes.
        let (first, second) = batches.split_at(batches.len() / 2);
        run(data.path(), settings, first, None);
        rest = second;
    }
    let deaths = run(data.path(), settings, rest, Some(&format!("{point}:{hit}")));
    assert!(deaths > 0, "no kill at {point}:{hit}, so the run proves nothing");
    results(data.path())
}

#[test]
fn a_kill_at_any_point_changes_no_byte_of_the_results() {
    let configurations: [&[&str]; 2] = [&ONE_PARTITION, &MANY_PARTITIONS];
    let inputs = [batches(0), batches(1)];
    let undisturbed = |which: usize| {
        let data = TempDir::new().unwrap();
        assert_eq!(run(data.path(), configurations[which], &inputs[which], None), 0);
        results(data.path())
    };
    let expected = [undisturbed(0), by_object(undisturbed(1))];
    assert!(expected.iter().all(|results| results.len() > 50), "the input gives too few results to prove anything");

    for seed in 0..seeds(50) {
        let point = POINTS[(seed % POINTS.len() as u64) as usize];
        let which = (seed / POINTS.len() as u64 % 2) as usize;
        // Early enough to be hit in every run: as many appends as batches, fewer commits, one restore of a partition.
        let hit = 1 + Random(seed).below(match point {
            "restore.mid" => 1,
            commit if commit.starts_with("commit") => 6,
            _ => 20,
        });
        println!("seed {seed}: killed at {point}:{hit}, configuration {which}");
        let got = killed(configurations[which], &inputs[which], point, hit);
        let got = if which == 0 { got } else { by_object(got) };
        assert_same(&got, &expected[which], &format!("seed {seed}, killed at {point}:{hit}"));
    }
}

#[test]
fn a_kill_at_any_point_changes_no_byte_of_the_last_values_of_sources() {
    let input = from_sources(batches(2));
    let undisturbed = TempDir::new().unwrap();
    assert_eq!(run(undisturbed.path(), &LAST_VALUES, &input, None), 0);
    let expected = results(undisturbed.path());
    assert!(expected.len() > 50, "the input gives too few results to prove anything");
    for (hit, point) in POINTS.into_iter().enumerate() {
        let hit = if point == "restore.mid" { 1 } else { 2 + hit as u64 % 4 };
        let got = killed(&LAST_VALUES, &input, point, hit);
        assert_same(&got, &expected, &format!("killed at {point}:{hit}"));
    }
}

#[test]
fn a_kill_during_retention_loses_no_unapplied_record() {
    let input = batches(7);
    let undisturbed = TempDir::new().unwrap();
    run(undisturbed.path(), &ONE_PARTITION, &input, None);
    let expected = results(undisturbed.path());
    // Keeps unapplied records only, so that each run of the retention deletes some.
    let eager: Vec<&str> = ONE_PARTITION.into_iter().chain(["log.retention.max_input_bytes=0"]).collect();
    for point in ["retention.before:1", "retention.mid:1"] {
        let data = TempDir::new().unwrap();
        let mut daemon = Daemon::doomed(command("run", data.path(), &eager), point);
        // The retention runs every ten seconds, so in most runs the kill comes after half of the input.
        let half = &input[..input.len() / 2];
        let died_at = half.iter().position(|batch| daemon.post(batch.body.as_bytes(), Some(&batch.key)).is_none());
        let second = &input[died_at.unwrap_or(half.len())..];
        let status = daemon.wait();
        assert!(!status.success(), "the fault at {point} did not happen");
        run(data.path(), &eager, second, None);
        assert_same(&results(data.path()), &expected, &format!("killed at {point}"));
    }
}
