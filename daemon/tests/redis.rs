//! UVEs in the Redis of a Contrail collector: the real binary against a real Redis and a real broker.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use support::broker::{Broker, Isolation};
use support::browser::Browser;
use support::redis::Redis;
use support::{Daemon, command, line, wait_until};
use tempfile::TempDir;

const PERIOD: u64 = 10_000_000;
const START: u64 = 1_488_000_000_000_000;
/// Short windows without lateness: a sample of the next window closes the previous one.
const SETTINGS: [&str; 3] = ["aggregation.period=10", "aggregation.allowed_lateness=0s", "log.partitions=1"];
const OBJECTS: u64 = 20;
const WAITING: &str = "DERIVED-STATSD:stats1:Analytics:derived-statsd:0:waiting";
const SUM: &str = "AggProxySum-UveVirtualNetworkAgent-egress_flow_count";

fn start(data: &Path, settings: &[&str]) -> Daemon {
    Daemon::start(&data.join("log"), &[&SETTINGS[..], settings].concat())
}

/// Posts one sample for each object in each of `periods`, with a value of period and object.
fn post(daemon: &Daemon, periods: std::ops::Range<u64>) {
    let of = |period: u64| (0..OBJECTS).map(move |object| (period, object));
    let sample = |(period, object)| {
        line(&format!("d:o {object}"), "egress_flow_count", START + period * PERIOD, 1_000 * period + object)
    };
    let body: String = periods.flat_map(of).map(sample).collect();
    assert_eq!(daemon.post(body.as_bytes(), None).unwrap().0, 200);
}

fn key(object: u64) -> String {
    format!("ObjectVNTable:d:o {object}")
}

/// The sums that opserver shows.
fn sums(redis: &Redis) -> Vec<Option<Value>> {
    (0..OBJECTS).map(|object| redis.uve(&key(object)).map(|uve| uve[SUM]["value"]["value"].clone())).collect()
}

/// Waits until opserver shows the sums of a window.
fn wait_for_window(redis: &Redis, period: u64) {
    let expected: Vec<_> = (0..OBJECTS).map(|object| Some(json!(1_000 * period + object))).collect();
    wait_until("the sums are those of the newest window", || (sums(redis) == expected).then_some(()));
}

#[test]
fn opserver_shows_what_the_api_of_the_daemon_shows() {
    let (data, redis) = (TempDir::new().unwrap(), Redis::start());
    redis.register_collector();
    let url = format!("sinks.redis.url={}", redis.url());
    // Of the last object in the last window.
    let alarm = "alarms=[{rule='alarm \"last\" when AggProxySum.value > 13018'}]";
    let daemon = start(data.path(), &[&url, alarm]);
    post(&daemon, 0..15);
    wait_for_window(&redis, 13);
    let shown = daemon.get("/analytics/uves/virtual-network/d:o%207?flat").1;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    wait_until("all attributes are there", || (redis.uve(&key(7)).as_ref() == Some(&shown)).then_some(()));
    for expected in [
        "derived_statsd_redis_requests_total{outcome=\"ok\"} ",
        "derived_statsd_redis_results_total{operation=\"write\"} ",
        "derived_statsd_redis_rewrites_total 1",
        "derived_statsd_redis_last_success_seconds 1",
        "derived_statsd_sink_lag_results{sink=\"redis\"} 0",
    ] {
        daemon.wait_for("/metrics", |(_, metrics)| metrics.contains(expected).then_some(()));
    }
    let metrics = daemon.get("/metrics").1;
    let left_out = metrics.lines().filter(|line| line.starts_with("derived_statsd_redis_left_out_total"));
    assert!(left_out.into_iter().all(|line| line.ends_with(" 0")), "a row of alarms is not a result that is lost");
    // Silent for longer than the timeout: the object of the last sample lives, the others are deleted.
    let late = line("d:o 1", "egress_flow_count", START + 40 * PERIOD, 1);
    assert_eq!(daemon.post(late.as_bytes(), None).unwrap().0, 200);
    wait_until("the others are deleted", || (redis.list("ObjectVNTable").len() <= 1).then_some(()));
    let said = daemon.stop();
    assert!(said.contains("Redis has no results of this log"), "{said}");
}

#[test]
fn kills_of_the_daemon_and_of_redis_leave_the_newest_values() {
    let (data, mut redis) = (TempDir::new().unwrap(), Redis::start());
    let url = format!("sinks.redis.url={}", redis.url());
    let settings = [url.as_str(), "sinks.redis.timeout=2s"];
    let mut random = support::Random(5);
    for round in 0..10 {
        let mut daemon = start(data.path(), &settings);
        post(&daemon, 50 * round..50 * (round + 1));
        std::thread::sleep(Duration::from_millis(random.below(500)));
        if round % 3 == 2 {
            redis.restart();
        }
        std::thread::sleep(Duration::from_millis(random.below(300)));
        daemon.signal("KILL");
        daemon.wait();
    }
    let daemon = start(data.path(), &settings);
    redis.register_collector();
    wait_for_window(&redis, 498);
    redis.restart();
    redis.register_collector();
    wait_for_window(&redis, 498);
    daemon.wait_until_said("Redis has no results of this log");
    daemon.stop();
}

#[test]
fn a_server_that_is_away_or_refuses_the_password_is_named_with_the_remedy() {
    const PASSWORD: &str = "80915723640017";
    let data = TempDir::new().unwrap();
    let mut redis = Redis::start_with(&["--requirepass", "t0p"], ":t0p@");
    let url = format!("sinks.redis.url={}", redis.url());
    let file = data.path().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let password = format!("sinks.redis.password_file={}", file.display());
    let settings = [url.as_str(), password.as_str()];
    let daemon = start(data.path(), &settings);
    post(&daemon, 0..3);
    let mut said = daemon.wait_until_said("check sinks.redis.user and password_file");
    assert!(said.contains("reason=\"auth\""), "{said}");
    said += &daemon.stop();
    std::fs::write(&file, "t0p\n").unwrap();
    let daemon = start(data.path(), &settings);
    redis.register_collector();
    wait_for_window(&redis, 1);
    redis.kill();
    daemon.wait_until_said("Redis takes no results at present");
    redis.restart();
    said += &daemon.wait_until_said("Redis takes results again");
    daemon.stop();
    let refused = command("run", data.path(), &[&settings[..], &["sinks.redis.uve_topics=-uve-topic-"]].concat());
    let refused = { refused }.output().unwrap();
    assert_eq!(refused.status.code(), Some(64));
    let refused = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.contains("`sinks.redis.uve_topics`: no broker is named; set kafka.brokers"), "{refused}");
    assert!(!said.contains(PASSWORD) && !said.contains("t0p"), "{said}");
}

/// alarm-gen's side: it reads the topics of its partitions, and Redis after each message.
#[test]
fn alarm_gen_hears_each_change_and_finds_it_in_redis() {
    let (data, redis, broker) = (TempDir::new().unwrap(), Redis::start(), Broker::start());
    redis.register_collector();
    for partition in 0..30 {
        broker.create_topic(&format!("-uve-topic-{partition}"), 1, &[]);
    }
    let settings = [
        format!("sinks.redis.url={}", redis.url()),
        "sinks.redis.uve_topics=-uve-topic-".to_owned(),
        "sinks.redis.redis_uve=10.0.0.5:6379".to_owned(),
        "sinks.redis.generator=stats1:Analytics:derived-statsd:0".to_owned(),
        format!("kafka.brokers={}", broker.bootstrap()),
    ];
    let daemon = start(data.path(), &settings.each_ref().map(String::as_str));
    post(&daemon, 0..3);
    wait_for_window(&redis, 1);
    let vn = "ObjectVNTable:default-domain:demo:vn1";
    let sample = |at: u64| line("default-domain:demo:vn1", "egress_flow_count", START + at * PERIOD, 36);
    assert_eq!(daemon.post((sample(3) + &sample(4)).as_bytes(), None).unwrap().0, 200);
    let expected = format!("{vn}|{SUM}|stats1:Analytics:derived-statsd:0|10.0.0.5:6379");
    let found = wait_until("the message is there", || {
        let records = broker.read_all("-uve-topic-24", Isolation::Committed);
        records.into_iter().find(|record| record.key.as_deref() == Some(expected.as_bytes()))
    });
    let payload: Value = serde_json::from_slice(found.payload.as_deref().unwrap()).unwrap();
    assert_eq!(payload, json!({"__T": START + 4 * PERIOD}));
    assert_eq!(redis.uve(vn).unwrap()[SUM]["value"], json!({"value": 36}));
    // Deleted after the timeout: an empty message.
    let late = line("d:o 1", "egress_flow_count", START + 40 * PERIOD, 1);
    assert_eq!(daemon.post(late.as_bytes(), None).unwrap().0, 200);
    wait_until("the deletion is there", || {
        let records = broker.read_all("-uve-topic-24", Isolation::Committed);
        let is_deletion = |record: &support::broker::Record| {
            record.key.as_deref() == Some(expected.as_bytes())
                && record.payload.as_deref().unwrap_or_default().is_empty()
        };
        records.iter().any(is_deletion).then_some(())
    });
    daemon.wait_for("/metrics", |(_, metrics)| metrics.contains("derived_statsd_redis_messages_total ").then_some(()));
    daemon.stop();
}

/// No alarm-gen has created the topic of the second partition yet.
#[test]
fn a_topic_that_does_not_exist_is_named_and_holds_nothing_up() {
    let (data, redis, broker) = (TempDir::new().unwrap(), Redis::start(), Broker::start());
    redis.register_collector();
    broker.create_topic("-uve-topic-0", 1, &[]);
    let settings = [
        format!("sinks.redis.url={}", redis.url()),
        "sinks.redis.partitions=2".to_owned(),
        "sinks.redis.uve_topics=-uve-topic-".to_owned(),
        format!("kafka.brokers={}", broker.bootstrap()),
    ];
    let daemon = start(data.path(), &settings.each_ref().map(String::as_str));
    post(&daemon, 0..3);
    wait_for_window(&redis, 1);
    let messages = |topic: &str| broker.read_all(topic, Isolation::Committed).len();
    wait_until("the topic that there is has messages", || (messages("-uve-topic-0") > 0).then_some(()));
    daemon.wait_until_said("Topics for alarm-gen do not exist");
    let problem = "topics for alarm-gen do not exist: -uve-topic-1; check";
    daemon.wait_for("/api/v1/status", |(_, body)| body.contains(problem).then_some(()));
    daemon.wait_for("/metrics", |(_, metrics)| metrics.contains("redis_missing_topics 1\n").then_some(()));
    let browser = Browser::start(1400, 1000);
    browser.open(&daemon.url("/"));
    let sinks = "document.querySelector('[aria-labelledby=sinks]').innerText";
    browser.wait(&format!("{sinks}.includes('topics for alarm-gen do not exist: -uve-topic-1; check')"));
    drop(browser);
    broker.create_topic("-uve-topic-1", 1, &[]);
    daemon.wait_until_said("Topics for alarm-gen exist now");
    daemon.wait_for("/metrics", |(_, metrics)| metrics.contains("redis_missing_topics 0\n").then_some(()));
    let both = || messages("-uve-topic-0") + messages("-uve-topic-1");
    wait_until("each object has a message", || (both() as u64 >= OBJECTS).then_some(()));
    daemon.stop();
}

/// What waits outlasts the process, deletions too, although the marker counts it as published.
#[test]
fn a_killed_daemon_sends_what_waited_for_its_topics() {
    let (data, redis, broker) = (TempDir::new().unwrap(), Redis::start(), Broker::start());
    redis.register_collector();
    let settings = [
        format!("sinks.redis.url={}", redis.url()),
        "sinks.redis.partitions=2".to_owned(),
        "sinks.redis.uve_topics=-uve-topic-".to_owned(),
        "sinks.redis.redis_uve=10.0.0.5:6379".to_owned(),
        "sinks.redis.generator=stats1:Analytics:derived-statsd:0".to_owned(),
        format!("kafka.brokers={}", broker.bootstrap()),
    ];
    let settings = settings.each_ref().map(String::as_str);
    let mut daemon = start(data.path(), &settings);
    post(&daemon, 0..3);
    wait_for_window(&redis, 1);
    // All are deleted, and one comes back; the windows after that have only this one, in transactions of their own.
    for period in 40..44 {
        let late = line("d:o 1", "egress_flow_count", START + period * PERIOD, period);
        assert_eq!(daemon.post(late.as_bytes(), None).unwrap().0, 200);
        let newest = json!(period - 1);
        let shows = || redis.uve(&key(1)).filter(|uve| uve[SUM]["value"]["value"] == newest).map(drop);
        // Of the first one the window is open.
        (period > 40).then(|| wait_until("the window before this one is in Redis", shows));
    }
    wait_until("the others are deleted", || (redis.list("ObjectVNTable").len() <= 1).then_some(()));
    daemon.wait_until_said("Topics for alarm-gen do not exist");
    wait_until("the messages are in Redis", || (redis.hash_length(WAITING) >= OBJECTS).then_some(()));
    daemon.signal("KILL");
    daemon.wait();

    let daemon = start(data.path(), &settings);
    daemon.wait_until_said("Topics for alarm-gen do not exist");
    for topic in ["-uve-topic-0", "-uve-topic-1"] {
        broker.create_topic(topic, 1, &[]);
    }
    daemon.wait_until_said("Topics for alarm-gen exist now");
    wait_until("nothing waits", || (redis.hash_length(WAITING) == 0).then_some(()));
    all_but_one_are_deleted(&broker);
    daemon.stop();
}

/// Each object has its newest message, at most twice.
fn all_but_one_are_deleted(broker: &Broker) {
    let topics = ["-uve-topic-0", "-uve-topic-1"];
    let sent: Vec<_> = topics.iter().flat_map(|topic| broker.read_all(topic, Isolation::Committed)).collect();
    for object in 0..OBJECTS {
        let key = format!("{}|{SUM}|stats1:Analytics:derived-statsd:0|10.0.0.5:6379", key(object));
        let payloads: Vec<_> = sent.iter().filter(|it| it.key.as_deref() == Some(key.as_bytes())).collect();
        assert!(matches!(payloads.len(), 1..=2), "{key} has {} messages", payloads.len());
        let is_deletion = payloads.iter().all(|it| it.payload.as_deref().unwrap_or_default().is_empty());
        assert_eq!(is_deletion, object != 1, "{key}");
    }
}
