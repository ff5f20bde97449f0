//! A kill at any instant costs nothing: the results log equals that of an undisturbed run, byte for byte.
//!
//! Each run kills the real daemon with SIGKILL at one of its named points (`daemon/src/fault.rs`), at a hit chosen by
//! the seed, starts it again, and goes on sending; batches whose answer was not heard are sent again under the same
//! idempotency key. A run whose fault did not happen does not count. The seed is in every message;
//! `DERIVED_STATSD_FAULT_SEEDS` sets how many there are (50 by default).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::path::Path;

use support::{Daemon, Random, command, line, results};
use tempfile::TempDir;

const PERIOD: u64 = 10_000_000;
const START: u64 = 1_488_000_000_000_000;
const WINDOWS: u64 = 8;
const BATCHES_PER_WINDOW: u64 = 3;

/// Where the process dies. `retention.*` and `restore.*` are reached at starts and in between.
const POINTS: [&str; 7] =
    ["append.before", "append.mid", "append.after", "commit.before", "commit.mid", "commit.after", "restore.mid"];

/// One stream, one partition: then the whole results log has one order, and is compared as a whole.
const ONE_PARTITION: [&str; 6] = [
    "aggregation.period=10",
    "aggregation.allowed_lateness=5s",
    "aggregation.uve_proxy_list=UveVirtualNetworkAgent-egress_flow_count:AggProxySumAnomalyEWM01:AggProxySum",
    "log.partitions=1",
    "log.commit_interval=20ms",
    "workers.threads=1",
];

/// Two streams of four partitions: results of different partitions have no order among each other.
const MANY_PARTITIONS: [&str; 5] = [
    "aggregation.period=10",
    "aggregation.allowed_lateness=5s",
    "log.partitions=4",
    "log.commit_interval=20ms",
    "workers.threads=2",
];

/// The input of a run, batch by batch: a few networks that come and go, samples out of order within the lateness.
fn batches(seed: u64) -> Vec<String> {
    let batch = |index: u64| {
        let mut random = Random(seed * 1000 + index);
        let mut body = String::new();
        for _ in 0..40 {
            let at = START + index * PERIOD / BATCHES_PER_WINDOW + random.below(PERIOD / 3);
            let network = random.below(12);
            if network < 3 && (index / BATCHES_PER_WINDOW) % 3 == 1 {
                continue;
            }
            let attribute = ["egress_flow_count", "ingress_flow_count"][random.below(2) as usize];
            body += &line(&format!("vn{network}"), attribute, at, random.below(100));
        }
        body
    };
    (0..WINDOWS * BATCHES_PER_WINDOW).map(batch).collect()
}

/// Sends everything, starting the daemon anew whenever it dies. How often it died.
fn run(data: &Path, settings: &[&str], batches: &[String], kill_at: Option<&str>) -> u32 {
    let mut kill_at = kill_at;
    let mut deaths = 0;
    let mut start = || loop {
        let mut command = command("run", data, settings);
        if let Some(point) = kill_at.take() {
            command.env("DERIVED_STATSD_KILL_AT", point);
        }
        if let Some(daemon) = Daemon::spawn(command) {
            return daemon;
        }
        deaths += 1;
    };
    let mut daemon = start();
    let mut died = 0;
    for (index, batch) in batches.iter().enumerate() {
        let key = format!("batch-{index}");
        while daemon.post(batch.as_bytes(), Some(&key)).is_none() {
            daemon.wait();
            died += 1;
            daemon = start();
        }
    }
    // The fault may strike a worker after the last answer.
    loop {
        if daemon.is_running() && applied(&daemon) {
            daemon.stop();
            return deaths + died;
        }
        if !daemon.is_running() {
            died += 1;
            daemon = start();
        }
    }
}

fn applied(daemon: &Daemon) -> bool {
    let Ok(mut response) = ureq::get(daemon.url("/api/v1/partitions")).call() else {
        return false;
    };
    let Ok(body) = response.body_mut().read_to_string() else {
        return false;
    };
    let partitions: Vec<serde_json::Value> = serde_json::from_str(&body).unwrap_or_default();
    !partitions.is_empty() && partitions.iter().all(|partition| partition["lag"] == 0)
}

/// The results of each object, in order: what is comparable when partitions have no common order.
fn by_object(mut lines: Vec<String>) -> Vec<String> {
    let object = |line: &String| line.split_once("\"start\"").map(|(head, _)| head.to_owned());
    lines.sort_by_key(object);
    lines
}

fn seeds() -> u64 {
    std::env::var("DERIVED_STATSD_FAULT_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(50)
}

/// Runs with one kill; the results afterwards.
fn killed(settings: &[&str], batches: &[String], point: &str, hit: u64) -> Vec<String> {
    let data = TempDir::new().unwrap();
    if point == "restore.mid" {
        // Nothing to restore before there is a state: the first half makes one.
        run(data.path(), settings, &batches[..batches.len() / 2], None);
    }
    let deaths = run(data.path(), settings, batches, Some(&format!("{point}:{hit}")));
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

    for seed in 0..seeds() {
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
        let different = got.iter().zip(&expected[which]).find(|(got, wanted)| got != wanted);
        assert_eq!(different, None, "seed {seed}, killed at {point}:{hit}");
        assert_eq!(got.len(), expected[which].len(), "seed {seed}, killed at {point}:{hit}");
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
        let mut command = command("run", data.path(), &eager);
        command.env("DERIVED_STATSD_KILL_AT", point);
        let mut daemon = Daemon::spawn(command).expect("it dies later");
        let half = input.len() / 2;
        for (index, batch) in input[..half].iter().enumerate() {
            daemon.post(batch.as_bytes(), Some(&format!("batch-{index}"))).expect("it dies later");
        }
        // The daemon looks for old data every ten seconds.
        let status = daemon.wait();
        assert!(!status.success(), "the fault at {point} did not happen");
        run(data.path(), &eager, &input, None);
        assert_eq!(results(data.path()), expected, "killed at {point}");
    }
}
