//! The memory of the whole daemon at its peak, for each object.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fmt::Write as _;

use tempfile::TempDir;

use crate::support::Daemon;

/// One stream with both built-in types.
const STREAM: &str = "UveVirtualNetworkAgent-egress_flow_count";

const START: u64 = 1_490_000_000_000_000;

const PERIOD: u64 = 60_000_000;

/// The limit that the documentation of `aggregation.max_objects_per_partition` names.
const BYTES_PER_OBJECT: u64 = 500;

/// What does not grow with the objects: buffers of requests, reads and commits. A million objects keep the limit with
/// it, a test of fewer does not.
const FIXED_BYTES: u64 = 24 << 20;

fn body(objects: std::ops::Range<u64>, window: u64) -> String {
    let ts = START + window * PERIOD + PERIOD / 2;
    objects.fold(String::new(), |mut body, object| {
        let project = object % 1000;
        let key = format!("ObjectVNTable:default-domain:project-{project:05}:vn-{object:09}");
        let value = object % 977 + window;
        writeln!(body, r#"{{"stream":"{STREAM}","key":"{key}","ts":{ts},"value":{value}}}"#).unwrap();
        body
    })
}

/// Windows as fast as they are taken, which is harder than in real time: closing, commits and requests overlap.
#[test]
fn the_daemon_takes_at_most_500_bytes_an_object() {
    let objects = std::env::var("MEMORY_TEST_OBJECTS").map_or(300_000, |objects| objects.parse().unwrap());
    let fixed = if objects < 1_000_000 { FIXED_BYTES } else { 0 };
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &[]);
    let empty = daemon.peak_resident_bytes();
    for window in 0..8 {
        for from in (0..objects).step_by(10_000) {
            let body = body(from..objects.min(from + 10_000), window);
            assert_eq!(daemon.post(body.as_bytes(), None).unwrap().0, 200);
        }
    }
    daemon.wait_until_applied();
    let taken = daemon.peak_resident_bytes() - empty;
    let limit = objects * BYTES_PER_OBJECT + fixed;
    assert!(taken <= limit, "{taken} bytes, {} an object; at most {limit}", taken / objects);
    println!("{} bytes an object at the peak", taken / objects);
    daemon.stop();
}

/// The MiB in front of a text that `derived-statsd size` prints.
fn printed_mib(text: &str, before: &str) -> f64 {
    let end = text.find(before).unwrap_or_else(|| panic!("no {before:?}: {text}"));
    text[..end].trim_end().rsplit([' ', ':']).next().unwrap().parse().unwrap()
}

/// What `size` prints for a job is what the job takes on the disk, within the factor of two that its page states.
#[test]
fn the_disk_takes_what_size_prints_for_the_same_job() {
    const OBJECTS: u64 = 40_000;
    const WINDOWS: u64 = 16;
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &["aggregation.allowed_lateness=0s"]);
    for window in 0..=WINDOWS {
        for from in (0..OBJECTS).step_by(10_000) {
            let body = body(from..from + 10_000, window);
            assert_eq!(daemon.post(body.as_bytes(), None).unwrap().0, 200);
        }
    }
    daemon.wait_until_applied();
    let metric = |name: &str| -> f64 {
        let metrics = daemon.get("/metrics").1;
        let line = metrics.lines().find(|line| line.starts_with(&format!("derived_statsd_{name}"))).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let input = metric("log_input_bytes");
    let results: u64 = std::fs::read_dir(data.path().join("store"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("results-"))
        .map(|entry| entry.metadata().unwrap().len())
        .sum();
    daemon.stop();
    // One sample of each object in each window of a minute.
    let seconds = WINDOWS * PERIOD / 1_000_000;
    let arguments = format!("size --objects {OBJECTS} --rate {} --retention {seconds}s", OBJECTS * WINDOWS / seconds);
    let size = std::process::Command::new(env!("CARGO_BIN_EXE_derived-statsd")).args(arguments.split(' ')).output();
    let text = String::from_utf8(size.unwrap().stdout).unwrap();
    let taken = [(" of samples", input * WINDOWS as f64 / (WINDOWS + 1) as f64), (" of results", results as f64)];
    let compared = taken.map(|(before, bytes)| {
        let (mib, printed) = (bytes / f64::from(1 << 20), printed_mib(&text, before));
        println!("{printed} MiB{before} are {mib:.1}");
        printed >= mib / 1.2 && printed <= 2.0 * mib + 1.0
    });
    assert_eq!(compared, [true; 2], "{text}");
}
