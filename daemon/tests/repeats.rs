//! Repeated messages: each is written once, and then at most once in ten seconds with the count of what was left out.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "the time of a test limits the lines that may come")]

mod support;

use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use support::{Daemon, command, line};
use tempfile::TempDir;

const START: u64 = 1_488_000_000_000_000;
const HOUR: u64 = 3_600_000_000;

/// The lines of the daemon's messages with all of `parts`.
fn lines(stderr: &str, parts: &[&str]) -> Vec<String> {
    stderr.lines().filter(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned).collect()
}

/// The number after `name=` in a line; 0 without it.
fn number(line: &str, name: &str) -> u64 {
    let value = line.split_once(&format!("{name}=")).map_or("0", |(_, rest)| rest.split(' ').next().unwrap());
    value.parse().unwrap()
}

/// Demands that each line has the time at which it was written: no line is older than one above it, except for the
/// moment between a thread's clock and the queue. A line that was held back would be older by seconds. What a library
/// writes by itself has no time.
fn assert_in_order(stderr: &str) {
    let time = |line: &str| line.split(' ').next().unwrap().parse::<Timestamp>().ok();
    let times: Vec<Timestamp> = stderr.lines().filter_map(time).collect();
    assert!(!times.is_empty(), "{stderr}");
    let is_older = |pair: &[Timestamp]| pair[1].as_microsecond() + 2_000_000 < pair[0].as_microsecond();
    assert!(!times.windows(2).any(is_older), "{stderr}");
}

/// The most lines of one message of a daemon that ran since `began`: one at once, one in ten seconds, one at the end.
fn most_lines(began: Instant) -> usize {
    2 + began.elapsed().as_secs() as usize / 10
}

#[test]
fn dropped_records_are_counted_in_few_lines_and_in_the_status() {
    let data = TempDir::new().unwrap();
    let settings = ["aggregation.allowed_lateness=0s", "aggregation.max_objects_per_partition=1", "log.partitions=1"];
    let (began, daemon) = (Instant::now(), Daemon::start(data.path(), &settings));
    let post = |key: &str, at| {
        let (status, body) = daemon.post(line(key, "egress_flow_count", at, 1).as_bytes(), None).unwrap();
        assert_eq!(status, 200, "{body}");
        daemon.wait_until_applied();
    };
    post("a", START + HOUR);
    for late in 0..40 {
        post("a", START + late);
        post("b", START + HOUR + late);
    }
    let partitions: serde_json::Value = serde_json::from_str(&daemon.get("/api/v1/partitions").1).unwrap();
    let counted = partitions.as_array().unwrap().iter().find(|status| status["objects"] == 1).unwrap();
    let records = &counted["records"];
    assert_eq!((&records["aggregated"], &records["late"], &records["over_limit"]), (&1.into(), &40.into(), &40.into()));
    let stderr = daemon.stop();
    for (fate, key, remedy) in [
        ("late", "ObjectVNTable:a", "aggregation.allowed_lateness"),
        ("over_limit", "ObjectVNTable:b", "aggregation.max_objects_per_partition"),
    ] {
        let lines = lines(&stderr, &[&format!("fate=\"{fate}\""), &format!("example_key=\"{key}\""), remedy]);
        assert!((1..=most_lines(began)).contains(&lines.len()), "{stderr}");
        assert!(lines.iter().all(|line| line.contains("stream=UveVirtualNetworkAgent-egress_flow_count")), "{stderr}");
        let records: u64 = lines.iter().map(|line| number(line, "records")).sum();
        assert_eq!(records, 40, "{stderr}");
    }
}

#[test]
fn a_sink_that_fails_once_a_second_is_reported_in_few_lines() {
    let data = TempDir::new().unwrap();
    let file = format!("sinks.file.path={}", data.path().join("absent/results.jsonl").display());
    let (began, daemon) = (Instant::now(), Daemon::start(&data.path().join("log"), &[&file]));
    for at in [START, START + HOUR] {
        daemon.post(line("a", "egress_flow_count", at, 1).as_bytes(), None).unwrap();
    }
    daemon.wait_until_said("The sink failed");
    thread::sleep(Duration::from_secs(6));
    let stderr = daemon.stop();
    assert_in_order(&stderr);
    let lines = lines(&stderr, &["The sink failed; it tries again", "sink=\"file\""]);
    assert!(lines.len() <= most_lines(began), "{lines:#?}");
    let left_out: u64 = lines.iter().map(|line| number(line, "left_out")).sum();
    let most = began.elapsed().as_secs() + 2;
    assert!((3..=most).contains(&left_out), "{left_out} of about six are left out: {lines:#?}");
}

/// Sets a limit of the daemon's process.
fn limit(daemon: &Daemon, resource: Resource, limit: u64) {
    let process = Pid::from_raw(daemon.id().cast_signed());
    let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
    prlimit(process, resource, limit).unwrap();
}

#[test]
fn a_disk_that_takes_no_more_is_reported_in_few_lines() {
    let data = TempDir::new().unwrap();
    let run = command("run", data.path(), &[]);
    // A write beyond the limit fails, as one to a full disk does, instead of killing the process.
    let mut ignoring = Command::new("sh");
    ignoring.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(run.get_program()).args(run.get_args());
    ignoring.env("RUST_LOG", "info").env("NO_COLOR", "1");
    let mut daemon = Daemon::spawn(ignoring).unwrap();
    limit(&daemon, Resource::Fsize, 1000);
    let mut failed = 0;
    for index in 0..50 {
        let (status, _) = daemon.post(line("a", "egress_flow_count", START + index, 1).as_bytes(), None).unwrap();
        failed += u32::from(status == 503);
        thread::sleep(Duration::from_millis(100));
    }
    assert!(failed > 10, "{failed}");
    daemon.signal("TERM");
    daemon.wait();
    let stderr = daemon.stderr();
    assert!(stderr.lines().count() <= 20, "{stderr}");
    assert_in_order(&stderr);
    // Only the first one is written at all: the others are refused before that.
    assert_eq!(lines(&stderr, &["A write of the log failed"]).len(), 1, "{stderr}");
}

#[test]
fn connections_that_cannot_be_accepted_are_reported_in_few_lines() {
    let data = TempDir::new().unwrap();
    let (began, daemon) = (Instant::now(), Daemon::start(data.path(), &[]));
    limit(&daemon, Resource::Nofile, 8);
    let address = daemon.url("").replace("http://", "");
    let waiting: Vec<_> = (0..4).map(|_| TcpStream::connect(&address).unwrap()).collect();
    daemon.wait_until_said("No connection can be accepted");
    thread::sleep(Duration::from_secs(4));
    drop(waiting);
    let stderr = daemon.stop();
    assert_in_order(&stderr);
    let lines = lines(&stderr, &["No connection can be accepted", "Too many open files"]);
    assert!(lines.len() <= most_lines(began), "{lines:#?}");
    let left_out: u64 = lines.iter().map(|line| number(line, "left_out")).sum();
    let most = began.elapsed().as_secs() + 2;
    assert!((1..=most).contains(&left_out), "{left_out} of about four are left out: {lines:#?}");
}
