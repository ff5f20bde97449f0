//! A kill at any instant costs nothing: the results log equals that of an undisturbed run, byte for byte.
//!
//! Each run kills the real daemon with SIGKILL at one of its named points (`daemon/src/fault.rs`), at a hit chosen by
//! the seed, starts it again, and goes on sending; batches whose answer was not heard are sent again under the same
//! idempotency key. A run whose fault did not happen does not count. The seed is in every message;
//! `DERIVED_STATSD_FAULT_SEEDS` sets how many there are (50 by default).

mod support;

use std::fmt::Write as _;
use std::path::Path;

use support::{Daemon, Random, command, line, results};
use tempfile::TempDir;

const PERIOD: u64 = 10_000_000;
const START: u64 = 1_488_000_000_000_000;
const WINDOWS: u64 = 8;
const BATCHES_PER_WINDOW: u64 = 3;

/// Where the process dies. `retention.*` and `restore.*` are reached at starts and in between.
const POINTS: [&str; 7] = [
    "append.before",
    "append.mid",
    "append.after",
    "commit.before",
    "commit.mid",
    "commit.after",
    "restore.mid",
];

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
    let mut random = Random(seed);
    let mut batch = |index: u64| {
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

#[test]
fn a_kill_at_any_point_changes_no_byte_of_the_results() {
    let inputs: Vec<Vec<String>> = (0..2).map(batches).collect();
    let configurations: [&[&str]; 2] = [&ONE_PARTITION, &MANY_PARTITIONS];
    let expected: Vec<Vec<String>> = (0..2)
        .map(|index| {
            let undisturbed = TempDir::new().unwrap();
            assert_eq!(run(undisturbed.path(), configurations[index], &inputs[index], None), 0);
            results(undisturbed.path())
        })
        .collect();
    assert!(expected.iter().all(|results| results.len() > 50), "the input gives too few results to prove anything");

    let mut report = String::new();
    let mut struck = [0u32; POINTS.len()];
    for seed in 0..seeds() {
        let mut random = Random(seed);
        let point = (seed % POINTS.len() as u64) as usize;
        let which = (seed / POINTS.len() as u64 % 2) as usize;
        let hit = 1 + random.below(if POINTS[point].starts_with("append") { 20 } else { 30 });
        let hit = if POINTS[point] == "restore.mid" { 1 + hit % 2 } else { hit };
        let kill_at = format!("{}:{hit}", POINTS[point]);
        let data = TempDir::new().unwrap();
        let deaths = if POINTS[point] == "restore.mid" {
            // Nothing to restore before there is a state: the first half makes one.
            let half = inputs[which].len() / 2;
            run(data.path(), configurations[which], &inputs[which][..half], None);
            run(data.path(), configurations[which], &inputs[which], Some(&kill_at))
        } else {
            run(data.path(), configurations[which], &inputs[which], Some(&kill_at))
        };
        struck[point] += deaths;
        let _ = writeln!(report, "seed {seed}: {kill_at}, {deaths} deaths");
        let got = results(data.path());
        let (got, wanted) = match which {
            0 => (got, expected[which].clone()),
            _ => (by_object(got), by_object(expected[which].clone())),
        };
        let different = got.iter().zip(&wanted).position(|(got, wanted)| got != wanted);
        assert!(
            different.is_none() && got.len() == wanted.len(),
            "seed {seed}, killed at {kill_at}: {} results instead of {}, first difference {:?}",
            got.len(),
            wanted.len(),
            different.map(|index| (&got[index], &wanted[index])),
        );
    }
    println!("{report}");
    for (point, struck) in POINTS.iter().zip(struck) {
        assert!(struck > 0, "no run died at {point}, so nothing was proved there:\n{report}");
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
