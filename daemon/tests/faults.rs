//! A kill at any instant costs nothing: the results log equals that of an undisturbed run, byte for byte.
//!
//! Each run kills the real daemon with SIGKILL at one of its named points (`daemon/base/src/failpoint.rs`), at a hit chosen by
//! the seed, starts it again, and goes on sending; batches whose answer was not heard are sent again under the same
//! idempotency key. A run whose fault did not happen does not count. The seed is in every message;
//! `DERIVED_STATSD_FAULT_SEEDS` sets how many there are (50 by default).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::campaign::{Batch, MANY_PARTITIONS, ONE_PARTITION, assert_same, batches, by_object, run, seeds};
use support::{Daemon, Random, command, results};
use tempfile::TempDir;

/// Where the process dies. `retention.*` and `restore.*` are reached at starts and in between.
const POINTS: [&str; 7] =
    ["append.before", "append.mid", "append.after", "commit.before", "commit.mid", "commit.after", "restore.mid"];

/// Runs with one kill; the results afterwards.
fn killed(settings: &[&str], batches: &[Batch], point: &str, hit: u64) -> Vec<String> {
    let data = TempDir::new().unwrap();
    let mut rest = batches;
    if point == "restore.mid" {
        // Nothing to restore before there is a state: the first half makes one.
        let (first, second) = batches.split_at(batches.len() / 2);
        run(data.path(), settings, first, None);
        rest = second;
    }
    let deaths = run(data.path(), settings, rest, Some(&format!("{point}:{hit}")));
    assert!(deaths > 0, "no death at {point}:{hit}, so nothing was proved");
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
        // So early that it is reached in every run: as many batches, fewer commits, one restore of a partition.
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
fn a_kill_during_retention_loses_nothing_that_is_needed() {
    let input = batches(7);
    let undisturbed = TempDir::new().unwrap();
    run(undisturbed.path(), &ONE_PARTITION, &input, None);
    let expected = results(undisturbed.path());
    // Keeps only what is not applied, so that there is something to delete at each look.
    let eager: Vec<&str> = ONE_PARTITION.into_iter().chain(["log.retention.max_input_bytes=0"]).collect();
    for point in ["retention.before:1", "retention.mid:1"] {
        let data = TempDir::new().unwrap();
        let mut daemon = Daemon::doomed(command("run", data.path(), &eager), point);
        // The daemon looks for old data every ten seconds, so that it dies after half of the input as a rule.
        let half = &input[..input.len() / 2];
        let died_at = half.iter().position(|batch| daemon.post(batch.body.as_bytes(), Some(&batch.key)).is_none());
        let second = &input[died_at.unwrap_or(half.len())..];
        let status = daemon.wait();
        assert!(!status.success(), "the fault at {point} did not happen");
        run(data.path(), &eager, second, None);
        assert_same(&results(data.path()), &expected, &format!("killed at {point}"));
    }
}
