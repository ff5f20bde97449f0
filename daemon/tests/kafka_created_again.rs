//! An input topic that is deleted and created again, on a real broker: while the daemon is away and while it runs, with
//! more records than before, with fewer, and with as many.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;
use support::broker::{Broker, Isolation};
use support::group::Group;
use support::{Daemon, is_applied, wait_until};

static BROKER: LazyLock<Broker> = LazyLock::new(Broker::start);

/// The time of the first sample, in microseconds since the epoch: the start of a window.
const START: u64 = 1_488_000_000_000_000;
const SECOND: u64 = 1_000_000;
/// The windows of [`Group`]'s daemons, and how long they stay open, in seconds.
const PERIOD: u64 = 10;
const LATENESS: u64 = 5;

const EGRESS: &str = "agg-UveVirtualNetworkAgent-egress_flow_count";

fn is_ready(daemon: &Daemon) {
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
}

/// Publishes a sample of 1 for each of these seconds.
fn publish(group: &Group<'_>, seconds: std::ops::Range<u64>) {
    let sample =
        |second: u64| (0, "ObjectVNTable:a".to_owned(), format!(r#"{{"ts":{},"value":1}}"#, START + second * SECOND));
    BROKER.produce(&group.topic(EGRESS), seconds.map(sample));
}

/// Waits until the daemon has applied the topic to the offset `end`.
fn wait_until_applied(daemon: &Daemon, end: u64) {
    daemon.wait_for("/api/v1/partitions", |(_, body)| {
        let partitions: Vec<Value> = serde_json::from_str(body).unwrap_or_default();
        let cursors = partitions.iter().filter_map(|partition| partition["cursor"].as_u64());
        (is_applied(body) && cursors.sum::<u64>() == end).then_some(())
    });
}

/// The lines of all results.
fn lines(group: &Group<'_>) -> Vec<String> {
    let messages = BROKER.read_all(&group.topic("results"), Isolation::Committed);
    let texts = messages.into_iter().map(|it| String::from_utf8(it.payload.unwrap()).unwrap());
    texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The sums by the second at which their window starts; a window that is given twice fails.
fn sums(lines: &[String]) -> BTreeMap<u64, u64> {
    let mut sums = BTreeMap::new();
    for line in lines.iter().filter(|line| line.contains("\"uve\":\"AggProxySum-")) {
        let value: Value = serde_json::from_str(line).unwrap();
        let start = (value["start"].as_u64().unwrap() - START) / SECOND;
        let sum = value["data"]["value"]["value"].as_u64().unwrap_or_else(|| panic!("{line}"));
        assert_eq!(sums.insert(start, sum), None, "{line}");
    }
    sums
}

/// Applies `before` seconds of samples, creates the topic again, and publishes `after` seconds more: every sample of
/// both topics counts once, the object lives on, and the window in between is partial.
fn every_sample_counts_once(name: &str, before: u64, after: u64, is_running: bool) {
    let group = Group::new(&BROKER, name, 1);
    let daemon = group.daemon("a");
    publish(&group, 0..before);
    wait_until_applied(&daemon, before);
    // It commits all at its stop.
    daemon.stop();
    let running = is_running.then(|| group.daemon("a"));
    running.iter().for_each(is_ready);
    BROKER.create_topic_again(&group.topic(EGRESS), 1);
    publish(&group, before..before + after);
    let daemon = running.unwrap_or_else(|| group.daemon("a"));
    daemon.wait_until_said("The input topic was created again");
    wait_until_applied(&daemon, after);

    let closed = (before + after - 1 - LATENESS) / PERIOD;
    let expected: BTreeMap<u64, u64> = (0..closed).map(|window| (window * PERIOD, PERIOD)).collect();
    let found = wait_until("the last window", || {
        let found = lines(&group);
        sums(&found).contains_key(&((closed - 1) * PERIOD)).then_some(found)
    });
    assert_eq!(sums(&found), expected);
    assert!(found.iter().all(|line| !line.contains("\"deleted\":true")), "{found:#?}");
    let seam = START + before / PERIOD * PERIOD * SECOND;
    let seam = found.iter().filter(|line| line.contains(&format!("\"start\":{seam},")));
    assert!(seam.clone().all(|line| line.contains("\"partial\":true")) && seam.count() > 0, "{found:#?}");
    let said = daemon.stop();
    for wrong in ["kafka.session_timeout", "more partitions", "Input was deleted", "Partitions lost"] {
        assert!(!said.contains(wrong), "{wrong}: {said}");
    }
}

#[test]
fn away_with_more_records() {
    every_sample_counts_once("awaymore", 96, 140, false);
}

#[test]
fn away_with_fewer_records() {
    every_sample_counts_once("awayless", 96, 40, false);
}

#[test]
fn running_with_more_records() {
    every_sample_counts_once("runmore", 96, 140, true);
}

#[test]
fn running_with_fewer_records() {
    every_sample_counts_once("runless", 96, 40, true);
}

#[test]
fn running_with_as_many_records() {
    every_sample_counts_once("runequal", 96, 96, true);
}

/// With fewer partitions than states nothing of it can be read. That is said once, and disturbs no other stream.
#[test]
fn with_fewer_partitions_it_rests_and_other_streams_go_on() {
    let group = Group::new(&BROKER, "fewer", 2);
    let daemon = group.daemon("a");
    is_ready(&daemon);
    publish(&group, 0..30);
    wait_until_applied(&daemon, 30);
    BROKER.create_topic_again(&group.topic(EGRESS), 1);
    daemon.wait_until_said("create it again with a multiple of 2");
    publish(&group, 30..60);
    let other = group.topic("agg-UveVirtualNetworkAgent-ingress_flow_count");
    let sample =
        |second: u64| (0, "ObjectVNTable:a".to_owned(), format!(r#"{{"ts":{},"value":1}}"#, START + second * SECOND));
    // For longer than a session and the timeout of a transaction.
    for second in 0..10 {
        BROKER.produce(&other, (second * 10..second * 10 + 10).map(sample));
        std::thread::sleep(Duration::from_secs(1));
    }
    wait_until("the other stream's windows", || {
        let found = lines(&group);
        let windows = found.iter().filter(|it| it.contains("AggProxySum-UveVirtualNetworkAgent-ingress_flow_count"));
        (windows.count() >= 9).then_some(())
    });
    let line = support::line("a", "egress_flow_count", START, 1);
    let (status, body) = daemon.post(line.as_bytes(), None).unwrap();
    assert!(status == 503 && body.contains("1 partitions over 2 of states"), "{status} {body}");
    BROKER.create_topic_again(&group.topic(EGRESS), 2);
    publish(&group, 60..90);
    daemon
        .wait_for("/api/v1/partitions", |(_, body)| (is_applied(body) && body.contains("\"cursor\":30")).then_some(()));
    let said = daemon.stop();
    assert!(said.matches("A transaction failed").count() <= 1, "{said}");
}

/// The topics are not polled here: a commit finds out. It has changes of both streams, and one of the topics is another.
#[test]
fn a_commit_with_one_topic_that_was_created_again_keeps_the_changes_of_the_other_streams() {
    let group = Group::new(&BROKER, "commits", 1);
    let settings = ["kafka.refresh_interval=1h", "kafka.commit_interval=4s", "kafka.session_timeout=20s"];
    let daemon = group.daemon_with("a", &settings);
    is_ready(&daemon);
    let ingress = group.topic("agg-UveVirtualNetworkAgent-ingress_flow_count");
    let sample =
        |second: u64| (0, "ObjectVNTable:a".to_owned(), format!(r#"{{"ts":{},"value":1}}"#, START + second * SECOND));
    // Less than a window: nothing is due before the interval is over, and then both are at once.
    publish(&group, 0..5);
    BROKER.produce(&ingress, (0..5).map(sample));
    wait_until_applied(&daemon, 10);
    daemon.signal("STOP");
    BROKER.create_topic_again(&group.topic(EGRESS), 1);
    publish(&group, 5..9);
    std::thread::sleep(Duration::from_secs(4));
    daemon.signal("CONT");
    daemon.wait_until_said("The input topic was created again");
    daemon.wait_for("/api/v1/partitions", |(_, body)| {
        (is_applied(body) && body.contains("\"cursor\":4") && body.contains("\"cursor\":5")).then_some(())
    });
    let said = daemon.stop();
    let restored = said.lines().filter(|line| line.contains("Restoring partitions.") && line.contains("ingress"));
    assert_eq!(restored.count(), 1, "{said}");
    assert!(!said.contains("A transaction failed"), "{said}");
}
