//! More partitions of an embedded log: the states go with their objects. And what does not go to Kafka; what does is in
//! `kafka_migrate`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use support::broker::free_port;
use support::{Daemon, command, line, results};
use tempfile::TempDir;

const PERIOD: u64 = 10_000_000;
const START: u64 = 1_488_000_000_000_000;

fn settings(partitions: u16) -> [String; 4] {
    [
        "aggregation.period=10".to_owned(),
        "aggregation.allowed_lateness=0s".to_owned(),
        format!("log.partitions={partitions}"),
        "log.commit_interval=20ms".to_owned(),
    ]
}

/// Samples of objects of which some are silent, so that detectors, windows and the silence of objects go on.
fn batch(window: u64) -> String {
    let sample = |vn: u64| {
        let value = vn * 10 + (window * vn) % 7 + if window == 14 { 500 } else { 0 };
        line(&format!("vn{vn}"), "egress_flow_count", START + window * PERIOD, value)
    };
    (0..300).filter(|vn| !(vn + window).is_multiple_of(5)).map(sample).collect()
}

fn run(data: &Path, partitions: u16, windows: std::ops::Range<u64>) {
    let settings = settings(partitions);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let daemon = Daemon::start(data, &settings);
    for window in windows {
        assert_eq!(daemon.post(batch(window).as_bytes(), None).unwrap().0, 200);
        daemon.wait_until_applied();
    }
    daemon.stop();
}

fn migrate(partitions: u16, from: &Path, to: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_derived-statsd"));
    command.args(["migrate", "--partitions", &partitions.to_string(), "--set", "aggregation.period=10"]);
    command.arg(from).arg(to).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

#[test]
fn results_are_the_same_with_more_partitions_from_some_window_on() {
    let directory = TempDir::new().unwrap();
    let [whole, old, new] = ["whole", "old", "new"].map(|name| directory.path().join(name));
    run(&whole, 2, 0..18);
    run(&old, 2, 0..9);
    let before = results(&old);
    let output = migrate(8, &old, &new);
    assert!(output.status.success() && said(&output).contains("the states of 300 objects"), "{}", said(&output));
    assert_eq!(results(&old), before, "the old directory stays");
    assert_eq!(std::fs::read_to_string(new.join("PARTITIONS")).unwrap(), "8\n");
    run(&new, 8, 9..18);
    let sorted = |path: &Path| {
        let mut lines = results(path);
        lines.sort();
        lines
    };
    let (found, expected) = (sorted(&new), sorted(&whole));
    assert!(expected.len() > 4_000, "{}", expected.len());
    let differs = found.iter().zip(&expected).find(|(found, expected)| found != expected);
    assert!(found == expected, "{} and {}: {differs:?}", found.len(), expected.len());
}

#[test]
fn what_cannot_be_split_is_refused_with_the_remedy_and_leaves_nothing() {
    let directory = TempDir::new().unwrap();
    let [old, new] = ["old", "new"].map(|name| directory.path().join(name));
    run(&old, 2, 0..2);
    for (partitions, said_of_it) in [(3, "no multiple"), (2, "no multiple"), (1, "no multiple")] {
        let output = migrate(partitions, &old, &new);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(said_of_it) && !new.exists(), "{}", said(&output));
    }
    let settings = settings(2);
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let daemon = Daemon::start(&old, &settings);
    let output = migrate(4, &old, &new);
    assert!(said(&output).contains("in use by another process") && !new.exists(), "{}", said(&output));
    daemon.stop();
    let mut other = Command::new(env!("CARGO_BIN_EXE_derived-statsd"));
    other.args(["migrate", "--partitions", "4", "--set", "aggregation.uve_proxy_list=Other-stream:AggProxySum"]);
    let output = other.arg(&old).arg(&new).output().unwrap();
    assert!(said(&output).contains("the stream is not configured") && !new.exists(), "{}", said(&output));
    let output = command("run", &old, &["log.partitions=4"]).output().unwrap();
    assert!(said(&output).contains("derived-statsd migrate --partitions 4"), "{}", said(&output));
    // A file that somebody has edited: objects would be left behind.
    std::fs::write(old.join("PARTITIONS"), "4\n").unwrap();
    let output = migrate(8, &old, &new);
    assert!(said(&output).contains("objects are of another partition") && !new.exists(), "{}", said(&output));
    std::fs::write(old.join("PARTITIONS"), "1\n").unwrap();
    let output = command("run", &old, &["log.partitions=1"]).output().unwrap();
    assert!(said(&output).contains("the log has 2 partitions or more"), "{}", said(&output));
}

#[test]
fn what_is_not_applied_or_not_delivered_does_not_go_to_kafka() {
    let directory = TempDir::new().unwrap();
    let [idle, open, undelivered] = ["idle", "open", "undelivered"].map(|name| directory.path().join(name));
    // Nobody listens there: all of it is refused before anybody is asked.
    let brokers = format!("kafka.brokers=127.0.0.1:{}", free_port());
    let refused = |data: &Path, more: &[&str], reason: &str| {
        let mut settings = vec!["aggregation.period=10"];
        settings.extend(more);
        let output = command("migrate", data, &settings).arg("--to-kafka").arg(data).output().unwrap();
        assert!(output.status.code() == Some(1) && said(&output).contains(reason), "{reason}: {}", said(&output));
    };
    run(&idle, 2, 0..2);
    refused(&idle, &[], "no broker is configured; set kafka.brokers");
    refused(&directory.path().join("none"), &[&brokers], "there is no log");
    let daemon = Daemon::start(&idle, &["log.partitions=2"]);
    refused(&idle, &[&brokers], "in use by another process");
    daemon.stop();

    let daemon = Daemon::start(&open, &["aggregation.period=10", "log.partitions=2", "log.commit_interval=60s"]);
    assert_eq!(daemon.post(batch(0).as_bytes(), None).unwrap().0, 200);
    daemon.signal("KILL");
    drop(daemon);
    refused(
        &open,
        &[&brokers],
        "records that are not applied; start the daemon, without senders, wait until `lag` is 0",
    );

    let url = format!("sinks.influxdb.url=http://127.0.0.1:{}", free_port());
    let settings = settings(2);
    let mut settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    settings.extend([url.as_str(), "sinks.influxdb.database=d", "shutdown.grace=1s"]);
    let daemon = Daemon::start(&undelivered, &settings);
    for window in 0..3 {
        assert_eq!(daemon.post(batch(window).as_bytes(), None).unwrap().0, 200);
    }
    daemon.wait_until_applied();
    daemon.stop();
    refused(&undelivered, &[&brokers], "results are not delivered that do not go to Kafka, by influxdb (");
    // Without the sink they are given up; only the brokers are missing then.
    run(&undelivered, 2, 3..4);
    refused(&undelivered, &[&brokers], "Connection refused");
}

#[test]
fn arguments_that_do_not_go_together_are_refused() {
    for (arguments, reason) in [
        (&["--to-kafka", "--from-kafka", "a"][..], "cannot be used with"),
        (&["--to-kafka", "a", "b"], "cannot be used with"),
        (&["--to-kafka", "--partitions", "4", "a"], "cannot be used with"),
        (&["--from-kafka", "--input", "end", "a"], "cannot be used with"),
        (&["--partitions", "4", "--input", "end", "a", "b"], "cannot be used with"),
        (&["--partitions", "4", "a"], "<NEW>"),
        (&["a", "b"], "--partitions"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_derived-statsd"));
        let output = command.arg("migrate").args(arguments).output().unwrap();
        assert!(output.status.code() == Some(2) && said(&output).contains(reason), "{arguments:?}: {}", said(&output));
    }
}
