//! Daemons of one group on a real Kafka broker: their results, their APIs, and how they handle malformed, deleted and idle
//! input.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic, and reads the wall clock")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;
use support::broker::{Broker, Isolation};
use support::group::{Group, Input, Sample};
use support::{Daemon, is_applied, line};

static BROKER: LazyLock<Broker> = LazyLock::new(Broker::start);

const PATIENCE: Duration = Duration::from_secs(60);

/// The time of the first sample, in microseconds since the epoch.
const START: u64 = 1_488_000_000_000_000;
const SECOND: u64 = 1_000_000;

const EGRESS: &str = "agg-UveVirtualNetworkAgent-egress_flow_count";

/// Waits until the group has applied all records, and at least `records` of them.
fn wait_until_applied(daemon: &Daemon, records: u64) {
    daemon.wait_for("/api/v1/partitions", |(_, body)| {
        let partitions: Vec<Value> = serde_json::from_str(body).unwrap_or_default();
        let applied: u64 = partitions.iter().filter_map(|partition| partition["cursor"].as_u64()).sum();
        (is_applied(body) && applied >= records).then_some(())
    });
}

/// The owners of partitions in a response of the partitions API.
fn owners(partitions: &str) -> BTreeSet<String> {
    let partitions: Vec<Value> = serde_json::from_str(partitions).unwrap_or_default();
    partitions.iter().filter_map(|partition| partition["owner"].as_str()).map(ToOwned::to_owned).collect()
}

#[test]
fn two_daemons_commit_every_result_once_and_each_serves_the_status_of_all_partitions() {
    let group = Group::new(&BROKER, "two", 4);
    let input = Input::new(1, 4, 6, 400, 20);
    let expected = input.expected();
    let daemons = [group.daemon("a"), group.daemon("b")];
    group.publish(&input.samples);
    let mut results = group.results();
    results.wait(&input, expected.len(), PATIENCE);
    input.assert_results(results.lines, &expected, "two daemons");
    for daemon in &daemons {
        daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
        // Four partitions of each of the two streams.
        daemon.wait_for("/api/v1/partitions", |(_, body)| {
            let partitions: Vec<Value> = serde_json::from_str(body).ok()?;
            let is_complete = |partition: &Value| partition["owner"].is_string() && partition["lag"] == 0;
            (partitions.len() == 8 && partitions.iter().all(is_complete)).then_some(())
        });
    }
}

/// Reads `count` events of the event stream: their ids and data.
fn events(daemon: &Daemon, last: Option<&str>, count: usize) -> Vec<(String, String)> {
    let mut request = ureq::get(daemon.url("/api/v1/results/stream?from=0"));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let lines = BufReader::new(request.call().unwrap().into_body().into_reader()).lines().map(Result::unwrap);
    let mut events = vec![(String::new(), String::new())];
    for line in lines {
        let event = events.last_mut().unwrap();
        match line.split_once(": ") {
            Some(("id", id)) => id.clone_into(&mut event.0),
            Some(("data", data)) => data.clone_into(&mut event.1),
            _ if event.1.is_empty() => {}
            _ if events.len() == count => break,
            _ => events.push(Default::default()),
        }
    }
    events
}

#[test]
fn a_reader_of_the_event_stream_resumes_in_the_middle_of_a_message() {
    let group = Group::new(&BROKER, "events", 1);
    let input = Input::new(7, 1, 2, 100, 20);
    let daemon = group.daemon("a");
    group.publish(&input.samples);
    let mut results = group.results();
    results.wait(&input, input.expected().len(), PATIENCE);

    let all = events(&daemon, None, results.lines.len());
    assert_eq!(all.iter().map(|(_, line)| line).collect::<Vec<_>>(), results.lines.iter().collect::<Vec<_>>());
    let inside = 2 + all.iter().position(|(id, _)| id.contains('.')).expect("a message holds several results");
    let rest = events(&daemon, Some(&all[inside].0), all.len() - inside - 1);
    assert_eq!(rest, all[inside + 1..]);
}

#[test]
fn an_eager_group_commits_every_result_once() {
    let group = Group::new(&BROKER, "eager", 4);
    let input = Input::new(5, 4, 6, 400, 20);
    let expected = input.expected();
    let eager = ["kafka.properties=[\"partition.assignment.strategy=range\"]"];
    let first = group.daemon_with("a", &eager);
    group.publish(&input.samples[..1200]);
    wait_until_applied(&first, 1000);
    let second = group.daemon_with("b", &eager);
    second.wait_for("/api/v1/partitions", |(_, body)| owners(body).iter().eq(["a/0", "b/0"]).then_some(()));
    group.publish(&input.samples[1200..]);
    let mut results = group.results();
    results.wait(&input, expected.len(), PATIENCE);
    input.assert_results(results.lines, &expected, "an eager group");
    // Both are checked before one stops: then the eager rebalance revokes all partitions of the other for a moment.
    for daemon in [&first, &second] {
        assert!(daemon.get("/metrics").1.contains("derived_statsd_records_total"), "both daemons applied records");
    }
    for daemon in [first, second] {
        daemon.stop();
    }
}

#[test]
fn any_daemon_takes_samples_by_http_and_replay_publishes_them() {
    let group = Group::new(&BROKER, "door", 3);
    let daemons = [group.daemon("a"), group.daemon("b")];
    daemons[1].wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    let body: String = (0..10).map(|second| line("vn1", "egress_flow_count", START + second * SECOND, 5)).collect();
    let (status, answer) = daemons[1].post(body.as_bytes(), None).unwrap();
    assert_eq!((status, answer.as_str()), (200, r#"{"accepted":10,"rejected":0}"#));
    let (status, answer) = daemons[1].post(body.as_bytes(), Some("key")).unwrap();
    assert_eq!(status, 400, "{answer}");
    assert!(answer.contains("Idempotency-Key"), "{answer}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("more.ndjson");
    std::fs::write(&file, line("vn1", "egress_flow_count", START + 16 * SECOND, 7)).unwrap();
    let output = group.command("replay", "replay", &[]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown = daemons[0]
        .wait_for("/analytics/uves/virtual-network/vn1", |(status, body)| (*status == 200).then(|| body.clone()));
    assert!(shown.contains(r#""value":{"value":50}"#), "{shown}");

    // Key, payload and partition are those of Contrail's collectors.
    let records = BROKER.read_all(&group.topic(EGRESS), Isolation::Committed);
    assert_eq!(records.len(), 11);
    let key = b"ObjectVNTable:vn1";
    let partition = proxy_uve::partition(key, 3) as i32;
    assert!(records.iter().all(|it| it.key.as_deref() == Some(key) && it.partition == partition), "{records:?}");
    let payload = format!(r#"<egress_flow_count type="u64" timestamp="{START}">5</egress_flow_count>"#);
    assert_eq!(records[0].payload.as_deref(), Some(payload.as_bytes()));
}

/// The state of the only object has a size, once it is committed or restored.
fn has_state(daemon: &Daemon) {
    const STREAM: &str = "UveVirtualNetworkAgent-egress_flow_count";
    let size = format!("derived_statsd_state_bytes{{stream=\"{STREAM}\"}} ");
    daemon.wait_for("/metrics", |(_, metrics)| {
        let bytes: u64 = metrics.lines().find_map(|line| line.strip_prefix(&size))?.parse().unwrap();
        (bytes > 0).then_some(())
    });
    let closed = format!("derived_statsd_close_seconds_total{{stream=\"{STREAM}\",period=\"10\"}} ");
    assert!(daemon.get("/metrics").1.contains(&closed));
}

#[test]
fn records_that_are_not_samples_become_dead_letters_and_the_others_are_applied() {
    let group = Group::new(&BROKER, "poison", 1);
    let good = |second: u64| format!(r#"{{"ts":{},"value":1}}"#, START + second * SECOND);
    let records = [
        ("ObjectVNTable:a", good(0)),
        ("ObjectVNTable:a", "<egress_flow_count>".to_owned()),
        (":a", good(1)),
        ("ObjectVNTable:a", format!(r#"{{"ts":{START},"value":-1}}"#)),
        ("ObjectVNTable:a", good(2)),
    ];
    BROKER.produce(&group.topic(EGRESS), records.iter().map(|(key, payload)| (0, *key, payload.clone())));
    let daemon = group.daemon("a");
    wait_until_applied(&daemon, 5);
    let letters = support::wait_until("three dead letters", || {
        let letters = BROKER.read_all(&group.topic("dead-letters"), Isolation::Committed);
        (letters.len() >= 3).then_some(letters)
    });
    let header = |index: usize, name: &str| {
        let headers: &Vec<(String, Vec<u8>)> = &letters[index].headers;
        headers.iter().find(|(key, _)| key == name).map(|(_, value)| String::from_utf8(value.clone()).unwrap()).unwrap()
    };
    for (index, (offset, reason)) in [("1", "not a sample"), ("2", "key"), ("3", "raw type")].into_iter().enumerate() {
        assert_eq!(header(index, "offset"), offset);
        assert_eq!((header(index, "topic"), header(index, "partition")), (group.topic(EGRESS), "0".to_owned()));
        assert!(header(index, "reason").contains(reason), "{}", header(index, "reason"));
        assert_eq!(letters[index].payload.as_deref(), Some(records[index + 1].1.as_bytes()));
    }
    let metrics = daemon.get("/metrics").1;
    assert!(metrics.contains("derived_statsd_dead_letters_total 3"), "{metrics}");
    has_state(&daemon);
    daemon.stop();
    let again = group.daemon("a");
    wait_until_applied(&again, 5);
    has_state(&again);
    again.stop();
    assert_eq!(BROKER.read_all(&group.topic("dead-letters"), Isolation::Committed).len(), 3, "each once");
}

#[test]
fn input_deleted_before_it_was_applied_is_skipped_and_its_results_are_partial() {
    let group = Group::new(&BROKER, "deleted", 1);
    let sample =
        |second: u64| (0, "ObjectVNTable:a".to_owned(), format!(r#"{{"ts":{},"value":1}}"#, START + second * SECOND));
    BROKER.produce(&group.topic(EGRESS), (0..5).map(sample));
    let daemon = group.daemon("a");
    wait_until_applied(&daemon, 5);
    daemon.stop();
    BROKER.produce(&group.topic(EGRESS), (5..60).map(sample));
    BROKER.delete_before(&group.topic(EGRESS), 0, 40);
    let daemon = group.daemon("a");
    daemon.wait_until_said("Input was deleted before it was applied");
    wait_until_applied(&daemon, 60);
    let results = support::wait_until("results of the last windows", || {
        let results = BROKER.read_all(&group.topic("results"), Isolation::Committed);
        // A message holds the results of a commit, a line each.
        let messages: Vec<_> = results.into_iter().map(|it| String::from_utf8(it.payload.unwrap()).unwrap()).collect();
        let lines: Vec<_> = messages.iter().flat_map(|message| message.lines()).map(str::to_owned).collect();
        lines.iter().any(|line| line.contains(&format!("\"end\":{}", START + 50 * SECOND))).then_some(lines)
    });
    let whole = results.iter().find(|line| line.contains(&format!("\"end\":{}", START + 50 * SECOND))).unwrap();
    assert!(!whole.contains("partial"), "{whole}");
    let cut = results.iter().find(|line| line.contains(&format!("\"start\":{START},"))).unwrap();
    assert!(cut.contains(r#""partial":true"#), "{cut}");
}

#[test]
fn a_topic_created_after_the_start_is_read() {
    let group = Group::bare(&BROKER, "later", 2);
    let daemon = group.daemon("a");
    BROKER.create_topic(&group.topic(EGRESS), 2, &[]);
    daemon.wait_for("/api/v1/partitions", |(_, body)| body.contains("\"partition\":1").then_some(()));
    let sample =
        |second: u64| (0, "ObjectVNTable:a".to_owned(), format!(r#"{{"ts":{},"value":1}}"#, START + second * SECOND));
    BROKER.produce(&group.topic(EGRESS), (0..60).map(sample));
    wait_until_applied(&daemon, 60);
    daemon.wait_for("/analytics/uves/virtual-network/a", |(status, _)| (*status == 200).then_some(()));
}

#[test]
fn a_quiet_partition_is_closed_by_the_clock_once_the_brokers_have_nothing_more() {
    let group = Group::new(&BROKER, "quiet", 2);
    let daemon = group.daemon_with("a", &["aggregation.idle_timeout=2s"]);
    let key = "ObjectVNTable:quiet";
    let partition = proxy_uve::partition(key.as_bytes(), 2) as i32;
    let sample = |second: u64| (partition, key, format!(r#"{{"ts":{},"value":1}}"#, START + second * SECOND));
    BROKER.produce(&group.topic(EGRESS), (0..5).map(sample));
    let results = support::wait_until("the results of the only window", || {
        let results = BROKER.read_all(&group.topic("results"), Isolation::Committed);
        (!results.is_empty()).then_some(results)
    });
    let first = String::from_utf8(results[0].payload.clone().unwrap()).unwrap();
    assert!(first.contains(&format!("\"start\":{START},")) && first.contains("5"), "{first}");
    wait_until_applied(&daemon, 5);
}

/// The client's copy of a topic's metadata is that of before the growth: it must not hide the new partitions' ends.
#[test]
fn the_last_records_of_a_grown_topic_do_not_wait_for_a_partition_without_records() {
    let group = Group::new(&BROKER, "tail", 1);
    let daemon = group.daemon("a");
    let key = "ObjectVNTable:tail";
    let sample = |partitions: u32, second: u64| {
        let partition = proxy_uve::partition(key.as_bytes(), partitions) as i32;
        (partition, key, format!(r#"{{"ts":{},"value":1}}"#, START + second * SECOND))
    };
    BROKER.produce(&group.topic(EGRESS), (0..5).map(|second| sample(1, second)));
    wait_until_applied(&daemon, 5);
    // The member has found the partition at its end several times.
    std::thread::sleep(Duration::from_secs(2));
    BROKER.grow_topic(&group.topic(EGRESS), 4);
    let has_grown = |body: &str| serde_json::from_str::<Vec<Value>>(body).unwrap_or_default().len() >= 4;
    daemon.wait_for("/api/v1/partitions", |(_, body)| has_grown(body).then_some(()));
    BROKER.produce(&group.topic(EGRESS), (5..10).map(|second| sample(4, second)));
    wait_until_applied(&daemon, 10);
    // Of the four partitions one has the object and its records.
    let (_, body) = daemon.get("/api/v1/partitions");
    let rows: Vec<Value> = serde_json::from_str(&body).unwrap();
    let egress = rows.iter().filter(|row| row["stream"] == "UveVirtualNetworkAgent-egress_flow_count");
    assert_eq!(egress.clone().map(|row| row["objects"].as_u64().unwrap()).sum::<u64>(), 1, "{body}");
    let aggregated = egress.clone().filter_map(|row| row["records"]["aggregated"].as_u64()).sum::<u64>();
    assert_eq!(aggregated, 10, "{body}");
    assert!(egress.clone().all(|row| row["shard"] == 0) && egress.count() == 4, "{body}");
}

/// The number of records with this outcome, of a group with one daemon.
fn count(daemon: &Daemon, fate: &str) -> u64 {
    let (_, metrics) = daemon.get("/metrics");
    let counts = metrics.lines().filter(|line| line.contains(&format!("fate=\"{fate}\"")));
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// A producer's clock that is wrong is that of its messages and of its samples.
#[test]
fn a_producer_whose_clock_is_ahead_makes_nothing_late() {
    for (case, kind) in [("create", "CreateTime"), ("append", "LogAppendTime")] {
        let group = Group::bare(&BROKER, &format!("ahead-{case}"), 1);
        BROKER.create_topic(&group.topic(EGRESS), 1, &[("message.timestamp.type", kind)]);
        let daemon = group.daemon("a");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let record = |index: u64| {
            let (object, ahead) = if index.is_multiple_of(3) { ("fast", 40 * 60_000) } else { ("right", 0) };
            let clock = now + ahead;
            let payload = format!(r#"{{"ts":{},"value":1}}"#, clock * 1000 + index);
            (0, format!("ObjectVNTable:{object}"), payload, Some(clock))
        };
        BROKER.produce_by_clock(&group.topic(EGRESS), (0..97).map(record));
        wait_until_applied(&daemon, 97);
        assert_eq!((count(&daemon, "late"), count(&daemon, "future")), (0, 33), "{kind}");
        assert_eq!(count(&daemon, "aggregated"), 64, "{kind}");
        daemon.stop();
    }
}

/// What the daemon does while its topic grows and a backlog comes.
#[derive(Clone, Copy, Debug)]
enum Meanwhile {
    Stopped,
    Frozen,
    /// The backlog is there before the next poll of the topics.
    Running,
}

/// A sample each second, of 16 objects in turn, in their partitions of `partitions`.
fn samples(seconds: std::ops::Range<u64>, partitions: u16) -> impl Iterator<Item = (i32, String, String)> {
    seconds.map(move |second| {
        let key = format!("ObjectVNTable:vn{}", second % 16);
        let partition = proxy_uve::partition(key.as_bytes(), partitions.into()) as i32;
        (partition, key, format!(r#"{{"ts":{},"value":1}}"#, START + second * SECOND))
    })
}

fn assert_no_sample_is_late(name: &str, (before, after): (u16, u16), meanwhile: Meanwhile) {
    let group = Group::new(&BROKER, name, before);
    let slow = ["kafka.refresh_interval=30s"];
    let mut daemon = Some(group.daemon_with("a", &slow));
    BROKER.produce(&group.topic(EGRESS), samples(0..20, before));
    wait_until_applied(daemon.as_ref().unwrap(), 20);
    match (meanwhile, &daemon) {
        (Meanwhile::Stopped, _) => drop(daemon.take().unwrap().stop()),
        (Meanwhile::Frozen, Some(daemon)) => daemon.signal("STOP"),
        _ => {}
    }
    BROKER.grow_topic(&group.topic(EGRESS), after);
    BROKER.produce(&group.topic(EGRESS), samples(20..1_060, after));
    if let (Meanwhile::Frozen, Some(daemon)) = (meanwhile, &daemon) {
        daemon.signal("CONT");
    }
    let daemon = daemon.unwrap_or_else(|| group.daemon_with("a", &slow));
    wait_until_applied(&daemon, 1_060);
    assert_eq!(count(&daemon, "late"), 0, "{name} {meanwhile:?}");
    daemon.stop();
}

#[test]
fn a_backlog_over_a_growth_is_read_in_the_order_of_event_time() {
    assert_no_sample_is_late("backlog-1", (1, 2), Meanwhile::Stopped);
    assert_no_sample_is_late("backlog-2", (2, 8), Meanwhile::Stopped);
    assert_no_sample_is_late("backlog-3", (2, 8), Meanwhile::Frozen);
    assert_no_sample_is_late("backlog-4", (1, 4), Meanwhile::Running);
}

/// The gap is open at the restart, as the other partition's backlog is not applied by then: the shard goes on at once,
/// and what is behind the gap is not read twice.
#[test]
fn a_restart_within_a_gap_of_a_grown_topic_goes_on_at_once() {
    let group = Group::new(&BROKER, "gap", 1);
    let daemon = group.daemon("a");
    let key = |partition: i32| {
        let keys = (0..).map(|number| format!("ObjectVNTable:vn{number}"));
        keys.into_iter().find(|key| proxy_uve::partition(key.as_bytes(), 2) as i32 == partition).unwrap()
    };
    let sample = |partition: i32, second: u64| {
        (partition, key(partition), format!(r#"{{"ts":{},"value":1}}"#, START + second * SECOND))
    };
    BROKER.produce(&group.topic(EGRESS), (0..5).map(|second| (0, key(0), sample(0, second).2)));
    wait_until_applied(&daemon, 5);
    BROKER.grow_topic(&group.topic(EGRESS), 2);
    BROKER.produce(&group.topic(EGRESS), (5..10).flat_map(|second| [sample(0, second), sample(1, second)]));
    wait_until_applied(&daemon, 15);
    daemon.stop();
    BROKER.produce(&group.topic(EGRESS), (10..50).flat_map(|second| [sample(0, second), sample(1, second)]));
    BROKER.delete_before(&group.topic(EGRESS), 1, 45);
    let bad = (0..3).map(|_| (1, key(1), "not a sample".to_owned()));
    BROKER.produce(&group.topic(EGRESS), bad);
    let daemon = group.daemon("a");
    daemon.wait_until_said("Input was deleted before it was applied");
    wait_until_applied(&daemon, 60);
    daemon.stop();
    let daemon = group.daemon("a");
    BROKER.produce(&group.topic(EGRESS), (50..55).flat_map(|second| [sample(0, second), sample(1, second)]));
    wait_until_applied(&daemon, 70);
    let said = daemon.stop();
    assert!(!said.contains("yields no records"), "{said}");
    assert_eq!(BROKER.read_all(&group.topic("dead-letters"), Isolation::Committed).len(), 3, "each once");
}

/// Its records are not there before its end, and may be older than all that the other partitions have.
#[test]
fn a_grown_topic_waits_for_the_transactions_that_have_written_to_it() {
    let group = Group::new(&BROKER, "open", 1);
    let daemon = group.daemon("a");
    BROKER.grow_topic(&group.topic(EGRESS), 2);
    daemon.wait_for("/api/v1/partitions", |(_, body)| (body.matches("egress_flow_count").count() == 2).then_some(()));
    let key = |partition: i32| {
        let keys = (0..).map(|number| format!("ObjectVNTable:vn{number}"));
        keys.into_iter().find(|key| proxy_uve::partition(key.as_bytes(), 2) as i32 == partition).unwrap()
    };
    let payload = |second: u64| format!(r#"{{"ts":{},"value":1}}"#, START + second * SECOND);
    let mut config = BROKER.client();
    let slow: BaseProducer = config.set("transactional.id", "slow").create().unwrap();
    slow.init_transactions(PATIENCE).unwrap();
    slow.begin_transaction().unwrap();
    for second in 0..10 {
        let (topic, key, payload) = (group.topic(EGRESS), key(1), payload(second));
        slow.send(BaseRecord::to(&topic).partition(1).key(&key).payload(&payload)).unwrap();
    }
    slow.flush(PATIENCE).unwrap();
    BROKER.produce(&group.topic(EGRESS), (0..60).map(|second| (0, key(0), payload(second))));
    // Longer than records wait for a partition at its end.
    std::thread::sleep(Duration::from_secs(6));
    slow.commit_transaction(PATIENCE).unwrap();
    daemon.wait_for("/metrics", |(_, body)| body.contains("fate=\"aggregated\"").then_some(()));
    support::wait_until("all samples", || (count(&daemon, "aggregated") + count(&daemon, "late") >= 70).then_some(()));
    assert_eq!(count(&daemon, "late"), 0);
    daemon.stop();
}

/// The client of the daemon's own producer must not believe in the old number of partitions for minutes.
#[test]
fn samples_are_taken_by_http_as_soon_as_a_growth_is_known() {
    let group = Group::new(&BROKER, "posted", 2);
    let daemon = group.daemon("a");
    let lines =
        || (0..40).map(|number| line(&format!("vn{number}"), "egress_flow_count", START, 1)).collect::<String>();
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    assert_eq!(daemon.post(lines().as_bytes(), None).unwrap().0, 200);
    BROKER.grow_topic(&group.topic(EGRESS), 8);
    daemon.wait_for("/api/v1/partitions", |(_, body)| (body.matches("egress_flow_count").count() == 8).then_some(()));
    let (status, body) = daemon.post(lines().as_bytes(), None).unwrap();
    assert_eq!(status, 200, "{body}");
    // Of a number that is not a multiple, only those partitions get samples that are read.
    BROKER.grow_topic(&group.topic(EGRESS), 9);
    daemon.wait_until_said("9 partitions over 2 of states");
    assert_eq!(daemon.post(lines().as_bytes(), None).unwrap().0, 200);
    wait_until_applied(&daemon, 120);
    assert!(daemon.get("/metrics").1.contains("derived_statsd_misplaced_records_total 0"));
    daemon.stop();
}

/// The consumer lag of the partitions of one daemon.
fn lag(metrics: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with("derived_statsd_lag_records{"));
    lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

/// The watermarks of all partitions, once `daemon` owns all of them with their tables.
fn watermarks(daemon: &Daemon, owner: &str) -> Vec<u64> {
    daemon.wait_for("/api/v1/partitions", |(_, body)| {
        let partitions: Vec<Value> = serde_json::from_str(body).ok()?;
        let is_own = |partition: &Value| partition["owner"] == owner && partition["records"].is_object();
        let watermark = |partition: &Value| partition["watermark"].as_u64();
        if partitions.is_empty() || !partitions.iter().all(is_own) {
            None
        } else {
            partitions.iter().map(watermark).collect()
        }
    })
}

#[test]
fn input_is_paused_while_a_sink_lags_and_afterwards_every_result_is_committed_once() {
    let group = Group::new(&BROKER, "lagging", 4);
    let input = Input::new(6, 4, 6, 400, 20);
    let expected = input.expected();
    let folder = tempfile::tempdir().unwrap();
    // The sink cannot open its file: the directory is missing.
    let (directory, file) = (folder.path().join("later"), folder.path().join("later/results"));
    let path = format!("sinks.file.path={}", file.display());
    let lagging = group.daemon_with("a", &[&path, "kafka.max_sink_lag=2", "aggregation.idle_timeout=500ms"]);
    let other = group.daemon("b");
    other.wait_for("/api/v1/partitions", |(_, body)| owners(body).iter().eq(["a/0", "b/0"]).then_some(()));

    let (head, tail) = input.samples.split_at(input.samples.len() / 2);
    let (tail, end) = tail.split_at(tail.len() / 2);
    group.publish(head);
    lagging.wait_until_said("A sink lags: all input partitions of this daemon are paused");
    assert!(lagging.get("/metrics").1.contains("derived_statsd_input_paused 1"));
    other.wait_for("/metrics", |(_, body)| (lag(body) == 0 && body.contains("input_paused 0")).then_some(()));
    // Its partitions are assigned to the paused daemon, and are paused there.
    other.stop();
    let before = watermarks(&lagging, "a/0");
    // Four times the idle timeout. If paused time counted as idle time, the watermarks of the other daemon's partitions,
    // which it had read to their ends, would advance by the clock, and close windows whose samples are still to come.
    std::thread::sleep(Duration::from_secs(2));
    group.publish(tail);
    lagging.wait_for("/metrics", |(_, body)| (lag(body) >= tail.len() as u64).then_some(()));
    assert_eq!(watermarks(&lagging, "a/0"), before, "paused time counted as idle time, or paused input was read");
    let waiting = lag(&lagging.get("/metrics").1);
    assert!(waiting >= tail.len() as u64, "{waiting} of {} samples are not applied", tail.len());

    // Partitions that are revoked while they are paused, and assigned again after that, are read.
    let other = group.daemon("b");
    other.wait_for("/api/v1/partitions", |(_, body)| owners(body).iter().eq(["a/0", "b/0"]).then_some(()));
    // All samples are there before the input is resumed: from then on the clock advances the watermarks of partitions
    // without input, and later samples would be late.
    group.publish(end);
    std::fs::create_dir(&directory).unwrap();
    lagging.wait_until_said("The sink has caught up; the input is resumed.");
    other.stop();
    let mut results = group.results();
    results.wait(&input, expected.len(), PATIENCE);
    input.assert_results(results.lines, &expected, "input waited for a sink");
    lagging.wait_for("/metrics", |(_, body)| (lag(body) == 0 && body.contains("input_paused 0")).then_some(()));
    support::wait_until("every result in the file", || {
        let lines = std::fs::read_to_string(&file).ok()?.lines().map(str::to_owned).collect();
        input.are_results(lines, &expected).then_some(())
    });
}

#[test]
fn results_in_binary_and_in_json_are_read_from_one_topic() {
    let group = Group::new(&BROKER, "binary", 2);
    let input = Input::new(7, 2, 6, 200, 20);
    let expected = input.expected();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("results");
    let path = format!("sinks.file.path={}", file.display());
    let (head, tail) = input.samples.split_at(input.samples.len() / 2);

    let daemon = group.daemon_with("a", &["kafka.results_format=binary", &path]);
    group.publish(head);
    wait_until_applied(&daemon, head.len() as u64);
    daemon.stop();
    let is_block = |message: &Vec<u8>| message[0] == 0xB5;
    let messages = || -> Vec<_> {
        let messages = BROKER.read_all(&group.topic("results"), Isolation::Committed);
        messages.into_iter().map(|message| message.payload.unwrap()).collect()
    };
    let blocks = messages().len();
    assert!(blocks > 0 && messages().iter().all(is_block));

    let daemon = group.daemon_with("a", &["kafka.results_format=json", "aggregation.idle_timeout=2s", &path]);
    group.publish(tail);
    support::wait_until("every result in the file, whatever its form in the topic", || {
        let lines = std::fs::read_to_string(&file).ok()?.lines().map(str::to_owned).collect();
        input.are_results(lines, &expected).then_some(())
    });
    let (in_binary, in_json): (Vec<_>, Vec<_>) = messages().into_iter().partition(is_block);
    assert!(in_binary.len() == blocks && !in_json.is_empty());
    // Windows that the clock closes while this test waits are not among the expected ones.
    let expected: BTreeSet<&[u8]> = expected.iter().map(String::as_bytes).collect();
    let lines = in_json.iter().flat_map(|message| message.split(|byte| *byte == b'\n'));
    assert!(lines.filter(|line| expected.contains(line)).count() < expected.len(), "the blocks contain results, too");
    let uve = daemon.get("/analytics/uves/virtual-network/*").1;
    assert!(uve.contains("AggProxySum-UveVirtualNetworkAgent-egress_flow_count"), "{uve}");
    daemon.stop();
}

#[test]
fn a_binary_message_with_one_result_has_the_key_of_its_object() {
    let group = Group::new(&BROKER, "alone", 1);
    let settings = ["kafka.results_format=binary", "kafka.results_message_bytes=0", "aggregation.idle_timeout=2s"];
    let daemon = group.daemon_with("a", &settings);
    let key = "ObjectVNTable:alone";
    let sample = |second: u64| (0, key.to_owned(), format!(r#"{{"ts":{},"value":1}}"#, START + second * SECOND));
    BROKER.produce(&group.topic(EGRESS), (0..25).map(sample));
    let results = support::wait_until("results", || {
        let results = BROKER.read_all(&group.topic("results"), Isolation::Committed);
        (results.len() > 1).then_some(results)
    });
    for result in &results {
        let payload = result.payload.as_deref().unwrap();
        assert_eq!(
            (payload[0], &payload[2..6], result.key.as_deref()),
            (0xB5, &[1, 0, 0, 0][..], Some(key.as_bytes()))
        );
    }
    daemon.stop();
}

#[test]
fn records_in_a_partition_of_another_shard_are_counted_and_logged_with_an_example() {
    let group = Group::new(&BROKER, "misplaced", 4);
    let daemon = group.daemon("a");
    let key = |number: u32| format!("ObjectVNTable:vn{number}");
    let home = |number: u32| proxy_uve::partition(key(number).as_bytes(), 4) as i32;
    let payload = |number: u32| format!(r#"{{"ts":{},"value":1}}"#, START + u64::from(number));
    BROKER.produce(&group.topic(EGRESS), (0..30).map(|number| (home(number), key(number), payload(number))));
    wait_until_applied(&daemon, 30);
    assert!(daemon.get("/metrics").1.contains("derived_statsd_misplaced_records_total 0"));
    BROKER.produce(&group.topic(EGRESS), (0..7).map(|number| ((home(number) + 1) % 4, key(number), payload(number))));
    daemon.wait_for("/metrics", |(_, body)| body.contains("derived_statsd_misplaced_records_total 7").then_some(()));
    let said = daemon.wait_until_said("Records are not in the partition of their keys");
    assert!(said.contains("key=ObjectVNTable:vn"), "{said}");
}

#[test]
fn a_first_start_without_any_topic_warns_of_nothing() {
    let group = Group::bare(&BROKER, "fresh", 2);
    let daemon = group.daemon("a");
    daemon.wait_until_said("Created a topic.");
    BROKER.create_topic(&group.topic(EGRESS), 2, &[]);
    daemon.wait_for("/api/v1/partitions", |(_, body)| body.contains("\"partition\":1").then_some(()));
    let said = daemon.stop();
    let warnings: Vec<_> = said.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).collect();
    let of_the_test = ["aggregation.allowed_skew", "derived_statsd::ready_file"];
    let is_expected = |line: &&str| of_the_test.iter().any(|it| line.contains(it));
    assert!(warnings.iter().all(is_expected), "{warnings:#?}");
}

#[test]
fn partitions_beyond_a_multiple_are_read_once_the_topic_is_one() {
    let group = Group::new(&BROKER, "uneven", 2);
    let daemon = group.daemon("a");
    let key = (0..).map(|number| format!("ObjectVNTable:vn{number}"));
    let key = key.into_iter().find(|key| proxy_uve::partition(key.as_bytes(), 4) == 2).unwrap();
    let sample = |second: u64| format!(r#"{{"ts":{},"value":1}}"#, START + second * SECOND);
    BROKER.produce(&group.topic(EGRESS), (0..10).map(|second| (0, key.clone(), sample(second))));
    wait_until_applied(&daemon, 10);
    BROKER.grow_topic(&group.topic(EGRESS), 3);
    daemon.wait_until_said(
        "3 partitions over 2 of states: grow the input to a multiple of 2; until then partitions from 2 on",
    );
    BROKER.produce(&group.topic(EGRESS), (10..60).map(|second| (2, key.clone(), sample(second))));
    daemon.wait_for("/api/v1/partitions", |(_, body)| body.contains("\"lag\":50").then_some(()));
    BROKER.grow_topic(&group.topic(EGRESS), 4);
    wait_until_applied(&daemon, 60);
    let lines = support::wait_until("a window of the samples that waited", || {
        let results = BROKER.read_all(&group.topic("results"), Isolation::Committed);
        let texts: Vec<_> = results.into_iter().map(|it| String::from_utf8(it.payload.unwrap()).unwrap()).collect();
        let lines: Vec<_> = texts.iter().flat_map(|text| text.lines()).map(str::to_owned).collect();
        lines.iter().any(|line| line.contains(&format!("\"start\":{},", START + 40 * SECOND))).then_some(lines)
    });
    let sums = lines.iter().filter(|line| line.contains("AggProxySum-") && line.contains(r#""value":{"value":10}"#));
    assert_eq!(sums.count(), 5, "{lines:#?}");
}

#[test]
fn an_old_range_of_a_history_is_found_by_the_index() {
    const PERIOD: u64 = 10_000_000;
    // Of results. The newest entry is not in the index yet.
    const ENTRY: u64 = 64 * 1024;
    let group = Group::new(&BROKER, "history", 2);
    let input = Input::new(23, 2, 60, 800, 200);
    let expected = input.expected();
    let daemon = group.daemon("a");
    group.publish(&input.samples);
    group.results().wait(&input, expected.len(), PATIENCE);
    let start = input.samples[0].at / PERIOD * PERIOD;
    let range = start + 10 * PERIOD..start + 18 * PERIOD;
    let key = "ObjectVNTable:default-domain:demo:vn6";
    let mut sums = BTreeMap::new();
    let is_of_range = |sample: &&Sample| {
        sample.key == key && sample.attribute == "egress_flow_count" && range.contains(&(sample.at / PERIOD * PERIOD))
    };
    for sample in input.samples.iter().filter(is_of_range) {
        *sums.entry(sample.at / PERIOD * PERIOD).or_insert(0.0) += sample.value as f64;
    }
    let (from, to) = (range.start, range.end);
    let path = format!("/api/v1/history/virtual-network/default-domain:demo:vn6?from={from}&to={to}");
    // The view, which makes the index, may still read.
    let history: Value = daemon.wait_for(&path, |(status, body)| {
        let history: Value = serde_json::from_str(body).unwrap();
        let is_indexed = history["unindexed_bytes"].as_u64().is_some_and(|bytes| bytes < 2 * ENTRY);
        (*status == 200 && is_indexed && history["next"].is_null()).then_some(history)
    });
    let mut series = history["series"].as_array().unwrap().iter();
    let sum = "AggProxySum-UveVirtualNetworkAgent-egress_flow_count";
    let points = series.find(|series| series["uve"] == sum).unwrap()["points"].as_array().unwrap();
    let found: BTreeMap<u64, f64> =
        points.iter().map(|it| (it[0].as_u64().unwrap(), it[2].as_f64().unwrap())).collect();
    assert!(sums.len() > 1, "{sums:?}");
    // The first silent window of an object counts as zero.
    let found: BTreeMap<u64, f64> = found.into_iter().filter(|(_, value)| *value != 0.0).collect();
    assert_eq!(found, sums);
    let (read, all) = (history["read_bytes"].as_u64().unwrap(), 2 * expected.iter().map(String::len).sum::<usize>());
    assert!(read * 5 < all as u64, "{read} of {all} bytes were read");
    daemon.stop();
}
