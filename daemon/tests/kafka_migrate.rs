//! The states of a daemon on their way from the embedded log to Kafka and back.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use serde_json::Value;
use support::broker::{Broker, Isolation};
use support::group::Group;
use support::{Daemon, command, is_applied, line};
use tempfile::TempDir;

static BROKER: LazyLock<Broker> = LazyLock::new(Broker::start);

const PERIOD: u64 = 10_000_000;
const START: u64 = 1_488_000_000_000_000;
const OBJECTS: u64 = 200;
const INPUT: &str = "agg-UveVirtualNetworkAgent-egress_flow_count";
/// It fires from window 7 to 21.
const HIGH: u64 = 50;
const RULE: &str = r#"alarms=[{rule='alarm "high" when AggProxySum.value > 5000 for 2 periods, clear below 5000 for 2 periods severity critical text "{key} has {value}"'}]"#;

/// Settings that the directory of a daemon has besides those of the group.
const SETTINGS: [&str; 6] = [
    "aggregation.period=10",
    "aggregation.allowed_lateness=5s",
    "aggregation.idle_timeout=1h",
    "workers.threads=1",
    "log.commit_interval=20ms",
    RULE,
];

/// Samples of the objects that `has` accepts. Some are silent, so that detectors, windows and the silence of objects
/// go on.
fn batch(window: u64, has: impl Fn(&str) -> bool) -> String {
    let sample = |vn: u64| {
        let value = match window {
            6..=20 if vn == HIGH => 9000,
            14 => vn * 10 + 500,
            _ => vn * 10 + (window * vn) % 7,
        };
        let key = format!("vn{vn}");
        has(&key).then(|| line(&key, "egress_flow_count", START + window * PERIOD, value))
    };
    let is_silent = |vn: &u64| *vn != HIGH && (vn + window).is_multiple_of(5);
    (0..OBJECTS).filter(|vn| !is_silent(vn)).filter_map(sample).collect()
}

fn feed(daemon: &Daemon, windows: std::ops::Range<u64>) {
    windows.for_each(|window| post(daemon, &batch(window, |_| true)));
}

fn post(daemon: &Daemon, samples: &str) {
    let answer = daemon.post(samples.as_bytes(), None).unwrap();
    assert_eq!(answer.0, 200, "{}", answer.1);
    daemon.wait_until_applied();
}

/// Waits until the group has applied all records of the topic.
fn wait_until_group_applied(group: &Group<'_>, daemon: &Daemon) {
    let records: i64 = BROKER.end_offsets(&group.topic(INPUT), Isolation::Committed).iter().sum();
    daemon.wait_for("/api/v1/partitions", |(_, body)| {
        let partitions: Vec<Value> = serde_json::from_str(body).unwrap_or_default();
        let of_stream = partitions.iter().filter(|it| it["stream"].as_str().is_some_and(|name| INPUT.ends_with(name)));
        let applied: i64 = of_stream.filter_map(|partition| partition["cursor"].as_i64()).sum();
        (is_applied(body) && applied >= records).then_some(())
    });
}

fn embedded(data: &Path, partitions: u16) -> Daemon {
    let partitions = format!("log.partitions={partitions}");
    let settings: Vec<_> = SETTINGS.into_iter().chain([partitions.as_str()]).collect();
    Daemon::start(data, &settings)
}

/// Runs `migrate` for a group.
fn migrate(group: &Group<'_>, arguments: &[&str], directory: &Path) -> Output {
    group.command("migrate", "migrate", &[RULE]).args(arguments).arg(directory).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

/// Fails unless the command was refused with this text.
fn assert_refused(output: &Output, reason: &str) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(reason), "{reason:?} is not in {said}");
}

fn lines(mut command: Command) -> Vec<String> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Results without those rows of alarms that show an alarm again, and in one order.
fn sorted(mut results: Vec<String>) -> Vec<String> {
    results.retain(|line| {
        let row: Value = serde_json::from_str(line).unwrap();
        row["uve"] != "UVEAlarms" || row["start"] != row["end"]
    });
    results.sort();
    results
}

fn assert_same(mut found: Vec<String>, mut expected: Vec<String>) {
    (found, expected) = (sorted(found), sorted(expected));
    let differs = found.iter().zip(&expected).find(|(found, expected)| found != expected);
    assert!(found == expected, "{} and {}: {differs:?}", found.len(), expected.len());
}

/// A data directory with windows that are open, and the results of an undisturbed run of 18 windows.
struct Directories {
    folder: TempDir,
}

impl Directories {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A directory of a daemon that has taken `windows`.
    fn with(&self, name: &str, partitions: u16, windows: std::ops::Range<u64>) -> PathBuf {
        let path = self.path(name);
        let daemon = embedded(&path, partitions);
        feed(&daemon, windows);
        daemon.stop();
        path
    }
}

/// Whether an object is of the partition of an embedded log of four that is ahead.
fn is_ahead(key: &str) -> bool {
    proxy_uve::partition(format!("ObjectVNTable:{key}").as_bytes(), 4) == 1
}

/// Waits until the daemon shows the alarm that fires over the moves.
fn wait_for_alarm(daemon: &Daemon) {
    daemon.wait_for("/api/v1/alarms", |(_, body)| {
        (body.contains("\"firing\"") && body.contains(&format!("vn{HIGH}"))).then_some(())
    });
}

/// Moves a directory to the group, feeds the group, and moves it to another directory; what is refused meanwhile.
fn there_and_back(group: &Group<'_>, old: &Path, new: &Path) {
    let moved = migrate(group, &["--to-kafka"], old);
    let text = said(&moved);
    assert!(moved.status.success() && text.contains("has the states of 200 objects of 2 streams"), "{text}");
    assert!(text.contains("1 of them closed windows"), "{text}");
    let daemon = group.daemon_with("a", &[RULE]);
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    wait_for_alarm(&daemon);
    post(&daemon, &batch(9, |key| !is_ahead(key)));
    feed(&daemon, 10..18);
    wait_until_group_applied(group, &daemon);
    assert_refused(&migrate(group, &["--to-kafka"], old), "has 1 members");
    assert_refused(&migrate(group, &["--from-kafka"], new), "has 1 members");
    daemon.stop();
    assert_refused(&migrate(group, &["--to-kafka"], old), "has a state");

    let back = migrate(group, &["--from-kafka", "--partitions", "5"], new);
    let text = said(&back);
    assert!(back.status.success() && text.contains("the states of 200 objects of 2 streams"), "{text}");
    assert_eq!(std::fs::read_to_string(new.join("PARTITIONS")).unwrap(), "5\n");
    assert_refused(&migrate(group, &["--from-kafka", "--partitions", "5"], new), "is not empty");
}

#[test]
fn results_of_a_run_that_moves_to_kafka_and_back_are_those_of_an_undisturbed_one() {
    let directories = Directories::new();
    let whole = directories.with("whole", 3, 0..27);
    let (old, new) = (directories.path("old"), directories.path("new"));
    let daemon = embedded(&old, 4);
    feed(&daemon, 0..9);
    // One partition is ahead, and closes windows that are open in those with which it shares partitions of the topic.
    post(&daemon, &batch(9, is_ahead));
    daemon.stop();
    let group = Group::new(&BROKER, "there-and-back", 6);
    there_and_back(&group, &old, &new);
    let daemon = embedded(&new, 5);
    wait_for_alarm(&daemon);
    feed(&daemon, 18..27);
    daemon.stop();
    let mut results = support::results(&old);
    results.extend(lines(group.command("results", "results", &[])));
    results.extend(support::results(&new));
    let expected = support::results(&whole);
    let has_end = expected.iter().any(|line| line.contains("\"resolved\":[{"));
    assert!(expected.len() > 4_000 && has_end, "{}", expected.len());
    assert_same(results, expected);
}

#[test]
fn a_kill_in_the_middle_leaves_nothing_and_a_second_run_works() {
    let directories = Directories::new();
    let old = directories.with("old", 2, 0..9);
    let group = Group::new(&BROKER, "killed", 3);
    let mut killed = group.command("migrate", "migrate", &[RULE]);
    killed.arg("--to-kafka").arg(&old).env("DERIVED_STATSD_KILL_AT", "migrate.mid:1");
    assert!(killed.output().unwrap().status.code().is_none());
    let topic = group.topic("state-UveVirtualNetworkAgent-egress_flow_count");
    let heads = |isolation| {
        let records = BROKER.read_all(&topic, isolation);
        records.iter().filter(|record| record.key.as_deref() == Some(b"h")).count()
    };
    assert_eq!((heads(Isolation::Uncommitted), heads(Isolation::Committed)), (3, 0));
    let moved = migrate(&group, &["--to-kafka"], &old);
    assert!(moved.status.success(), "{}", said(&moved));
    assert_eq!(heads(Isolation::Committed), 3);

    let new = directories.path("new");
    let mut killed = group.command("migrate", "migrate", &[RULE]);
    killed.args(["--from-kafka", "--partitions", "2"]).arg(&new).env("DERIVED_STATSD_KILL_AT", "migrate.mid:1");
    assert!(killed.output().unwrap().status.code().is_none());
    let output = command("run", &new, &["log.partitions=2"]).output().unwrap();
    assert!(!output.status.success(), "a daemon takes a directory that is not complete: {}", said(&output));
    std::fs::remove_dir_all(&new).unwrap();
    let back = migrate(&group, &["--from-kafka", "--partitions", "2"], &new);
    assert!(back.status.success(), "{}", said(&back));
    let states = |data: &Path| said(&command("check", data, &[RULE]).arg(data).output().unwrap());
    assert!(states(&new).contains("Sound."), "{}", states(&new));
}

#[test]
fn records_that_the_topics_have_already_count_once() {
    let directories = Directories::new();
    let whole = directories.with("whole", 1, 0..12);
    let expected = support::results(&whole);
    // The daemon of the directory has taken window 9, or it has not.
    for (input, taken) in [("start", 9), ("end", 10)] {
        let old = directories.with(&format!("old-{input}"), 2, 0..taken);
        let group = Group::new(&BROKER, &format!("already-{input}"), 2);
        let records = batch(9, |_| true);
        let records = records.lines().map(|line| {
            let sample: Value = serde_json::from_str(line).unwrap();
            let key = sample["key"].as_str().unwrap().to_owned();
            let partition = proxy_uve::partition(key.as_bytes(), 2) as i32;
            (partition, key, format!("{{\"ts\":{},\"value\":{}}}", sample["ts"], sample["value"]))
        });
        BROKER.produce(&group.topic(INPUT), records);
        assert_refused(&migrate(&group, &["--to-kafka"], &old), "has records already; add --input start if");
        let moved = migrate(&group, &["--to-kafka", "--input", input], &old);
        assert!(moved.status.success(), "{}", said(&moved));
        // They are not applied yet, or count as applied.
        let back = migrate(&group, &["--from-kafka"], &directories.path(&format!("too-early-{input}")));
        match input {
            "start" => assert_refused(&back, "has records that are not applied"),
            _ => assert!(back.status.success(), "{}", said(&back)),
        }
        let daemon = group.daemon_with("a", &[RULE]);
        daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
        feed(&daemon, 10..12);
        wait_until_group_applied(&group, &daemon);
        daemon.stop();
        let mut results = support::results(&old);
        results.extend(lines(group.command("results", "results", &[])));
        assert_same(results, expected.clone());
    }
}

#[test]
fn a_configuration_of_other_types_is_refused() {
    let directories = Directories::new();
    let old = directories.with("old", 2, 0..3);
    let group = Group::new(&BROKER, "other-types", 2);
    let types = "aggregation.uve_proxy_list=UveVirtualNetworkAgent-egress_flow_count:AggProxySum";
    let mut other = group.command("migrate", "migrate", &[RULE, types]);
    assert_refused(&other.arg("--to-kafka").arg(&old).output().unwrap(), "not the one that the states were saved with");
    let none = "aggregation.uve_proxy_list=UveVirtualNetworkAgent-ingress_flow_count:AggProxySum";
    let mut other = group.command("migrate", "migrate", &[RULE, none]);
    assert_refused(&other.arg("--to-kafka").arg(&old).output().unwrap(), "the stream is not configured");
    let moved = migrate(&group, &["--to-kafka"], &old);
    assert!(moved.status.success(), "{}", said(&moved));
    let mut other = group.command("migrate", "migrate", &[RULE, types]);
    let new = directories.path("new");
    assert_refused(&other.arg("--from-kafka").arg(&new).output().unwrap(), "only the group has");
    assert!(!new.exists());
}

/// The name of a case, the topic of another program, its partitions and settings, the key of its record, and the refusal.
type Foreign = (&'static str, &'static str, u16, [(&'static str, &'static str); 2], Option<&'static str>, &'static str);

/// The value of each record of another program; it begins as a result does.
const ORDER: &str = "{\"key\":\"order-1\"}";

fn foreign_topics() -> [Foreign; 9] {
    let state = "state-UveVirtualNetworkAgent-egress_flow_count";
    let compacted = [("cleanup.policy", "compact"), ("max.message.bytes", "8388608")];
    let deleted = [("cleanup.policy", "delete"), ("max.message.bytes", "8388608")];
    [
        ("more", state, 4, compacted, None, "2 partitions over 4 of states: nothing of it is read"),
        ("retained", state, 2, deleted, None, "states would be deleted"),
        ("keys", state, 2, compacted, Some("orders"), "has a record of another program, with the key `orders`"),
        ("like-a-chunk", state, 2, compacted, Some("cat"), "has a record of another program, with the key `cat`"),
        ("like-chunk-8", state, 2, compacted, Some("car-8"), "has a record of another program, with the key `car-8`"),
        (
            "like-a-claim",
            state,
            2,
            compacted,
            Some("green-3"),
            "has a record of another program, with the key `green-3`",
        ),
        ("like-settings", state, 2, compacted, Some("key-1"), "has a record of another program, with the key `key-1`"),
        ("wide", "results", 3, deleted, None, "3 partitions: results would not have one order"),
        (
            "texts",
            "results",
            1,
            deleted,
            Some("k"),
            "has a record of another program, with the text `{\"key\":\"order-1\"}`",
        ),
    ]
}

#[test]
fn topics_of_another_program_are_refused_before_anything_is_written() {
    let directories = Directories::new();
    let old = directories.with("old", 2, 0..3);
    for (name, topic, partitions, settings, key, expected) in foreign_topics() {
        let group = Group::new(&BROKER, &format!("foreign-{name}"), 2);
        let topic = group.topic(topic);
        BROKER.delete_topic(&topic);
        BROKER.create_topic(&topic, partitions, &settings);
        BROKER.produce(&topic, key.map(|key| (0, key, ORDER)));
        let before = BROKER.read_all(&topic, Isolation::Uncommitted).len();
        let refused = migrate(&group, &["--to-kafka"], &old);
        assert_refused(&refused, expected);
        assert!(said(&refused).contains(&group.topic("")), "{name}: {}", said(&refused));
        for written in
            [&topic, &group.topic("results"), &group.topic("state-UveVirtualNetworkAgent-ingress_flow_count")]
        {
            let records = BROKER.read_all(written, Isolation::Uncommitted).len();
            assert_eq!(records, if *written == topic { before } else { 0 }, "{name}: {written}");
        }
    }
}
