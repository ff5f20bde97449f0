//! UVEs in Redis: the sink against a real server, read as Contrail's opserver and alarm-gen read it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../tests/support/certificates.rs"]
mod certificates;
#[path = "../../tests/support/hostile_redis.rs"]
mod hostile_redis;
#[path = "../../tests/support/redis.rs"]
mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use daemon_base::clock::SystemClock;
use daemon_base::stop::Stop;
use daemon_log::{EmbeddedLog, Log, LogConfig, PartitionCommit, PartitionId, PartitionLog as _};
use daemon_log::{RecordBuffer, SinkPosition};
use daemon_results::line::LineReader;
use daemon_sinks::redis::{Publish, RedisSettings, RedisSink, RedisTelemetry, UveMessage};
use hostile_redis::{Answer, Hostile};
use prometheus_client::registry::Registry;
use redis::Commands as _;
use serde_json::{Value, json};
use support::{Redis, wait_until};
use tempfile::TempDir;

const SUM: &str = "AggProxySum-UveVirtualNetworkAgent-egress_flow_count";
const ANOMALY: &str = "AggProxySumAnomalyEWM01-UveVirtualNetworkAgent-egress_flow_count";
const VN: &str = "ObjectVNTable:default-domain:demo:vn1";
/// The partition of `VN` among 30.
const PARTITION: u32 = 24;
const GENERATOR: &str = "stats1:Analytics:derived-statsd:0";

/// A log whose results the tests write.
struct Results {
    /// Of the log; removed at the end.
    _folder: TempDir,
    log: Arc<EmbeddedLog>,
    committed: u64,
}

impl Results {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let log = Arc::new(EmbeddedLog::open(folder.path(), LogConfig::default()).unwrap());
        log.restore(PartitionId::new(0, 0)).unwrap();
        Self { _folder: folder, log, committed: 0 }
    }

    /// Commits results as one record.
    fn commit(&mut self, lines: &[String]) {
        let mut results = RecordBuffer::default();
        results.push(b"", lines.join("\n").as_bytes()).unwrap();
        let partition = PartitionId::new(0, 0);
        let commit = PartitionCommit { partition, cursor: 0, meta: Vec::new(), chunks: Vec::new(), results };
        self.committed += 1;
        self.log.commit(vec![commit], self.committed).unwrap();
    }

    fn end(&self) -> u64 {
        self.log.results_bounds().unwrap().next
    }
}

fn result(key: &str, uve: &str, end: u64, data: &Value) -> String {
    json!({"key": key, "uve": uve, "start": end - 60, "end": end, "data": data}).to_string()
}

fn sum(key: &str, end: u64, value: u64) -> String {
    let proxy = "UveVirtualNetworkAgent-egress_flow_count";
    result(key, SUM, end, &json!({"deleted": false, "proxy": proxy, "value": {"value": value}}))
}

fn deletion(key: &str, end: u64) -> String {
    result(key, SUM, end, &json!({"deleted": true, "proxy": "UveVirtualNetworkAgent-egress_flow_count"}))
}

fn object(number: u64) -> String {
    format!("ObjectVNTable:default-domain:demo:o{number}")
}

/// Sums of 20 objects in some windows, one record a window; in every fifth, an object is deleted.
fn windows(results: &mut Results, windows: std::ops::Range<u64>) {
    for window in windows {
        let end = 60 * (window + 1);
        let mut lines: Vec<_> = (0..20).map(|number| sum(&object(number), end, 1_000 * window + number)).collect();
        if window % 5 == 4 {
            lines.push(deletion(&object(window % 20), end));
        }
        results.commit(&lines);
    }
}

/// A sink that runs.
struct Running {
    stop: Stop,
    log: Arc<dyn Log>,
    next: Arc<Mutex<u64>>,
    telemetry: RedisTelemetry,
    thread: JoinHandle<()>,
}

impl Running {
    fn start(results: &Results, redis: &Redis) -> Self {
        Self::with(results, &format!("url = {:?}", redis.url()), None, None)
    }

    /// Starts a sink with a section; `group` has other sinks that write to the same Redis.
    fn with(results: &Results, section: &str, group: Option<&str>, publish: Option<Publish>) -> Self {
        let timeout = if section.contains("timeout") { "" } else { "timeout = \"2s\"" };
        let section = format!("{section}\ngenerator = {GENERATOR:?}\n{timeout}");
        let settings = RedisSettings::new(&toml::from_str(&section).unwrap(), group).unwrap().unwrap();
        let (stop, clock) = (Stop::default(), Arc::new(SystemClock::new()));
        let (lines, telemetry) = (LineReader::default(), RedisTelemetry::default());
        let sink = RedisSink::new(&settings, lines, publish, clock, telemetry.clone(), stop.clone());
        let log: Arc<dyn Log> = results.log.clone();
        let next = Arc::new(Mutex::new(0));
        let (of_sink, of_log, progress) = (stop.clone(), Arc::clone(&log), Arc::clone(&next));
        let thread = std::thread::spawn(move || {
            daemon_sinks::run(sink, &of_log, &of_sink, |_, next, _| *progress.lock().unwrap() = next).unwrap();
        });
        Self { stop, log, next, telemetry, thread }
    }

    fn wait_for(&self, end: u64) {
        wait_until("everything is delivered", || (*self.next.lock().unwrap() == end).then_some(()));
    }

    fn stop(self) {
        self.stop.set();
        self.log.wake_all();
        self.thread.join().unwrap();
    }
}

/// Runs a sink until it has delivered everything.
fn deliver(results: &Results, redis: &Redis) {
    let running = Running::start(results, redis);
    running.wait_for(results.end());
    running.stop();
}

/// What an undisturbed sink leaves in a new Redis.
fn undisturbed(results: &Results) -> std::collections::BTreeMap<String, String> {
    let (redis, of_log) =
        (Redis::start(), Results { _folder: TempDir::new().unwrap(), log: results.log.clone(), committed: 0 });
    let stored = results.log.sink_position(RedisSink::NAME).unwrap();
    results.log.remove_sink(RedisSink::NAME).unwrap();
    deliver(&of_log, &redis);
    if let Some(stored) = stored {
        results.log.set_sink_position(RedisSink::NAME, stored).unwrap();
    }
    redis.dump()
}

fn wait_for_dump(redis: &Redis, expected: &std::collections::BTreeMap<String, String>) {
    wait_until("Redis has all results", || (redis.dump() == *expected).then_some(()));
}

#[test]
fn contrail_reads_results_and_a_deletion_leaves_nothing() {
    let (mut results, redis) = (Results::new(), Redis::start());
    let anomaly = json!({"deleted": false, "proxy": "UveVirtualNetworkAgent-egress_flow_count", "value":
        {"algo": "EWM", "config": "0.1", "samples": 235, "sigma": 0.1000764888, "metric": 31,
         "state": {"mean": "29", "stddev": "0.000472838"}}});
    results.commit(&[sum(VN, 60, 36), result(VN, ANOMALY, 60, &anomaly), "{\"scrape\":1}".to_owned()]);
    let running = Running::start(&results, &redis);
    running.wait_for(results.end());
    assert_eq!(redis.uve(VN), None, "readers ignore a Redis without a collector");
    redis.register_collector();
    let proxy = "UveVirtualNetworkAgent-egress_flow_count";
    let flat_sum = json!({"deleted": false, "proxy": proxy, "value": {"value": 36}});
    assert_eq!(redis.uve(VN), Some(json!({SUM: flat_sum, ANOMALY: anomaly})));
    assert_eq!(redis.list("ObjectVNTable"), BTreeSet::from(["default-domain:demo:vn1".to_owned()]));
    let entry = |uve: &str| (GENERATOR.to_owned(), uve.to_owned(), VN.to_owned());
    assert_eq!(redis.partition(PARTITION), BTreeSet::from([entry(SUM), entry(ANOMALY)]));

    // A later result has what changed only, and `partial` holds for one window.
    let partial = json!({"deleted": false, "partial": true, "proxy": proxy, "value": {"value": 7}});
    results.commit(&[result(VN, SUM, 120, &partial), result(VN, ANOMALY, 120, &json!({"deleted": false, "other": 1}))]);
    running.wait_for(results.end());
    let found = redis.uve(VN).unwrap();
    assert_eq!(
        (&found[SUM], &found[ANOMALY]["other"], &found[ANOMALY]["value"]),
        (&partial, &json!(1), &anomaly["value"])
    );
    results.commit(&[sum(VN, 180, 8)]);
    running.wait_for(results.end());
    assert_eq!(redis.uve(VN).unwrap()[SUM], json!({"deleted": false, "proxy": proxy, "value": {"value": 8}}));

    results.commit(&[deletion(VN, 240), result(VN, ANOMALY, 240, &json!({"deleted": true}))]);
    running.wait_for(results.end());
    running.stop();
    assert_eq!((redis.uve(VN), redis.list("ObjectVNTable").len(), redis.partition(PARTITION).len()), (None, 0, 0));
    let left: Vec<_> = redis.dump().into_keys().collect();
    assert_eq!(left, ["NGENERATORS".to_owned(), format!("TYPES:{GENERATOR}")], "as after the collector's deletion");
}

#[test]
fn another_generator_keeps_its_part_of_a_uve() {
    const OTHER: &str = "node1:Analytics:contrail-collector:0";
    let (mut results, redis) = (Results::new(), Redis::start());
    redis.register_collector();
    let same = "<value type=\"struct\"><Sum><value type=\"u64\">36</value></Sum></value>";
    redis.write_as(OTHER, SUM, VN, PARTITION, "value", same);
    redis.write_as(
        OTHER,
        "UveVirtualNetworkConfig",
        VN,
        PARTITION,
        "total_acl_rules",
        "<total_acl_rules type=\"i32\">1</total_acl_rules>",
    );
    let huge = format!("<huge type=\"string\">{}</huge>", "x".repeat(200_000));
    redis.write_as(OTHER, SUM, VN, PARTITION, "huge", &huge);
    let theirs = redis.dump();
    results.commit(&[sum(VN, 60, 36)]);
    let running = Running::start(&results, &redis);
    running.wait_for(results.end());
    assert_eq!(redis.uve(VN).unwrap()[SUM]["value"], json!({"value": 36}), "equal values are shown once");
    results.commit(&[sum(VN, 120, 37)]);
    running.wait_for(results.end());
    let both = json!([[{"value": 36}, OTHER], [{"value": 37}, GENERATOR]]);
    assert_eq!(redis.uve(VN).unwrap()[SUM]["value"], both, "different ones become a list, as of two collectors");
    assert_eq!(redis.partition(PARTITION).len(), 3);
    results.commit(&[deletion(VN, 180)]);
    running.wait_for(results.end());
    running.stop();
    let mut left = redis.dump();
    left.remove(&format!("TYPES:{GENERATOR}"));
    assert_eq!(left, theirs);
}

#[test]
fn a_value_that_readers_would_drop_is_left_out_and_does_not_leave_an_old_one() {
    let (mut results, redis) = (Results::new(), Redis::start());
    redis.register_collector();
    let text = |length: usize| json!({"deleted": false, "small": 1, "large": {"algo": "x".repeat(length)}});
    let running = Running::start(&results, &redis);
    results.commit(&[result(VN, SUM, 60, &text(99_000))]);
    running.wait_for(results.end());
    assert_eq!(redis.uve(VN).unwrap()[SUM], text(99_000));
    results.commit(&[result(VN, SUM, 120, &text(100_000))]);
    running.wait_for(results.end());
    running.stop();
    assert_eq!(redis.uve(VN).unwrap()[SUM], json!({"deleted": false, "small": 1}));
}

#[test]
fn everything_is_written_again_after_a_flush_also_without_new_results() {
    let (mut results, redis) = (Results::new(), Redis::start());
    windows(&mut results, 0..12);
    let running = Running::start(&results, &redis);
    running.wait_for(results.end());
    let expected = redis.dump();
    assert_eq!(expected, undisturbed(&results));
    for command in ["FLUSHALL", "FLUSHDB"] {
        redis::cmd(command).exec(&mut redis.connect()).unwrap();
        wait_for_dump(&redis, &expected);
    }
    running.stop();
}

#[test]
fn a_server_that_was_killed_or_hung_has_all_results_in_the_end() {
    let (mut results, mut redis) = (Results::new(), Redis::start());
    let running = Running::start(&results, &redis);
    windows(&mut results, 0..7);
    running.wait_for(results.end());
    for round in 1..4 {
        redis.kill();
        windows(&mut results, 7 * round..7 * round + 4);
        redis.restart();
        windows(&mut results, 7 * round + 4..7 * (round + 1));
        running.wait_for(results.end());
    }
    redis.signal("STOP");
    windows(&mut results, 28..30);
    std::thread::sleep(Duration::from_millis(2_500));
    redis.signal("CONT");
    running.wait_for(results.end());
    wait_for_dump(&redis, &undisturbed(&results));
    running.stop();
}

#[test]
fn a_server_that_goes_back_to_an_older_copy_gets_the_results_since() {
    let (mut results, mut redis) = (Results::new(), Redis::start());
    windows(&mut results, 0..8);
    deliver(&results, &redis);
    redis::cmd("SAVE").exec(&mut redis.connect()).unwrap();
    redis.connect().hset::<_, _, _, ()>(format!("VALUES:{}:{GENERATOR}:{SUM}", object(0)), "foreign", "1").unwrap();
    windows(&mut results, 8..16);
    deliver(&results, &redis);
    redis.restart();
    let running = Running::start(&results, &redis);
    wait_for_dump(&redis, &undisturbed(&results));
    running.stop();
}

#[test]
fn results_that_redis_has_are_not_written_again() {
    let (mut results, redis) = (Results::new(), Redis::start());
    windows(&mut results, 0..12);
    deliver(&results, &redis);
    // An attribute that a second write would change.
    let values = format!("VALUES:{}:{GENERATOR}:{SUM}", object(3));
    redis.connect().hset::<_, _, _, ()>(&values, "value", "changed by hand").unwrap();
    let expected = redis.dump();
    // As after a kill between the transaction and the stored position.
    let position = SinkPosition { next: 4, detail: Vec::new() };
    results.log.set_sink_position(RedisSink::NAME, position).unwrap();
    deliver(&results, &redis);
    assert_eq!(redis.dump(), expected);
    assert_eq!(results.log.sink_position(RedisSink::NAME).unwrap().unwrap().next, results.end());
}

#[test]
fn sinks_of_a_group_share_a_generator_and_no_value_goes_back() {
    let (mut results, redis) = (Results::new(), Redis::start());
    windows(&mut results, 0..200);
    let section = format!("url = {:?}", redis.url());
    let sinks = [0, 1, 2].map(|_| Running::with(&results, &section, Some("group"), None));
    for sink in &sinks {
        sink.wait_for(results.end());
    }
    windows(&mut results, 200..220);
    for sink in sinks {
        sink.wait_for(results.end());
        sink.stop();
    }
    assert_eq!(redis.dump(), undisturbed(&results));
    // A daemon that joins later.
    let values = format!("VALUES:{}:{GENERATOR}:{SUM}", object(3));
    redis.connect().hset::<_, _, _, ()>(&values, "value", "changed by hand").unwrap();
    let expected = redis.dump();
    results.log.remove_sink(RedisSink::NAME).unwrap();
    let late = Running::with(&results, &section, Some("group"), None);
    late.wait_for(results.end());
    late.stop();
    assert_eq!(redis.dump(), expected);
}

#[test]
fn objects_of_a_former_log_and_of_another_number_of_partitions_are_removed() {
    let (mut old, mut new, redis) = (Results::new(), Results::new(), Redis::start());
    windows(&mut old, 0..9);
    old.commit(&(0..2_500).map(|number| sum(&format!("ObjectVMTable:m{number}"), 60, 1)).collect::<Vec<_>>());
    deliver(&old, &redis);
    windows(&mut new, 0..12);
    deliver(&new, &redis);
    assert_eq!(redis.dump(), undisturbed(&new));
    let fewer = Running::with(&new, &format!("url = {:?}\npartitions = 15", redis.url()), None, None);
    wait_until("the partitions are others", || {
        let all = (0..30).map(|partition| redis.partition(partition).len());
        let counts: Vec<_> = all.collect();
        (counts[15..].iter().sum::<usize>() == 0 && counts.iter().sum::<usize>() == 20).then_some(())
    });
    fewer.stop();
}

#[test]
fn alarm_gen_gets_a_message_for_each_change_after_it_is_readable() {
    let (mut results, redis) = (Results::new(), Redis::start());
    redis.register_collector();
    let messages: Arc<Mutex<Vec<UveMessage>>> = Arc::default();
    let (taken, refusals, address) = (Arc::clone(&messages), Mutex::new(2), redis.address());
    let publish: Publish = Arc::new(move |batch| {
        let mut refusals = refusals.lock().unwrap();
        *refusals -= i32::from(*refusals > 0);
        anyhow::ensure!(*refusals == 0, "no broker");
        taken.lock().unwrap().extend_from_slice(batch);
        Ok(BTreeSet::new())
    });
    let section = format!("url = {:?}\nuve_topics = \"-uve-topic-\"", redis.url());
    results.commit(&[sum(VN, 60, 36)]);
    let running = Running::with(&results, &section, None, Some(publish));
    running.wait_for(results.end());
    results.commit(&[deletion(VN, 120)]);
    running.wait_for(results.end());
    let message = |payload: &str| UveMessage {
        topic: "-uve-topic-24".to_owned(),
        key: format!("{VN}|{SUM}|{GENERATOR}|{address}"),
        payload: payload.to_owned(),
    };
    assert_eq!(*messages.lock().unwrap(), [message("{\"__T\":60}"), message("")]);
    // What a flush removed, alarm-gen has to read again.
    results.commit(&[sum(VN, 180, 37)]);
    running.wait_for(results.end());
    messages.lock().unwrap().clear();
    redis::cmd("FLUSHALL").exec(&mut redis.connect()).unwrap();
    wait_until("the message comes again", || {
        messages.lock().unwrap().contains(&message("{\"__T\":180}")).then_some(())
    });
    running.stop();
}

/// Takes all messages of topics that exist; none while `refuses`.
fn publisher(
    taken: &Arc<Mutex<Vec<UveMessage>>>,
    missing: &Arc<Mutex<BTreeSet<String>>>,
    refuses: &Arc<AtomicBool>,
) -> Publish {
    let (taken, missing, refuses) = (Arc::clone(taken), Arc::clone(missing), Arc::clone(refuses));
    Arc::new(move |batch| {
        anyhow::ensure!(!refuses.load(Ordering::Acquire), "no broker");
        let missing = missing.lock().unwrap().clone();
        taken.lock().unwrap().extend(batch.iter().filter(|message| !missing.contains(&message.topic)).cloned());
        Ok(batch.iter().map(|message| message.topic.clone()).filter(|topic| missing.contains(topic)).collect())
    })
}

#[test]
fn alarm_gen_gets_a_message_for_each_object_that_is_withdrawn() {
    let (mut old, mut new, redis) = (Results::new(), Results::new(), Redis::start());
    let (taken, missing, refuses) = (Arc::default(), Arc::default(), Arc::default());
    let section = format!("url = {:?}\nuve_topics = \"-uve-topic-\"", redis.url());
    old.commit(&[sum(VN, 60, 36)]);
    old.commit(&(0..1_500).map(|number| sum(&object(number), 60, 1)).collect::<Vec<_>>());
    let running = Running::with(&old, &section, None, Some(publisher(&taken, &missing, &refuses)));
    running.wait_for(old.end());
    running.stop();
    taken.lock().unwrap().clear();
    // A kill after the first step, before its messages: they are due all the same.
    refuses.store(true, Ordering::Release);
    new.commit(&[sum(&object(7), 120, 36)]);
    let running = Running::with(&new, &section, None, Some(publisher(&taken, &missing, &refuses)));
    let entries = || redis.list("ObjectVNTable").len();
    wait_until("some are withdrawn", || (entries() < 1_501).then_some(()));
    running.stop();
    refuses.store(false, Ordering::Release);
    let running = Running::with(&new, &section, None, Some(publisher(&taken, &missing, &refuses)));
    running.wait_for(new.end());
    running.stop();
    let taken = taken.lock().unwrap();
    let gone: BTreeSet<_> = taken.iter().filter(|it| it.payload.is_empty()).map(|it| it.key.clone()).collect();
    assert_eq!(gone.len(), 1_501);
    let of = |key: &str| format!("{key}|{SUM}|{GENERATOR}|{}", redis.address());
    assert!(gone.contains(&of(VN)));
    // The object of both logs is back after its withdrawal.
    assert_eq!(taken.iter().rfind(|it| it.key == of(&object(7))).unwrap().payload, "{\"__T\":120}");
    let left: i64 = redis.connect().scard(format!("DERIVED-STATSD:{GENERATOR}:withdrawn")).unwrap();
    assert_eq!(left, 0);
}

#[test]
fn a_stop_between_redis_and_kafka_loses_no_message_of_results_that_are_written_again() {
    let (mut results, redis) = (Results::new(), Redis::start());
    let (taken, missing, refuses) = (Arc::default(), Arc::default(), Arc::<AtomicBool>::default());
    let section = format!("url = {:?}\nuve_topics = \"-uve-topic-\"", redis.url());
    results.commit(&[sum(VN, 60, 36), sum(&object(1), 60, 1)]);
    let start = || Running::with(&results, &section, None, Some(publisher(&taken, &missing, &refuses)));
    let running = start();
    running.wait_for(results.end());
    // The log has the position behind all results when Redis loses them.
    refuses.store(true, Ordering::Release);
    redis::cmd("FLUSHALL").exec(&mut redis.connect()).unwrap();
    wait_until("all results are written again", || (redis.list("ObjectVNTable").len() == 2).then_some(()));
    running.stop();
    taken.lock().unwrap().clear();
    refuses.store(false, Ordering::Release);
    let running = start();
    wait_until("the messages come", || (taken.lock().unwrap().len() == 2).then_some(()));
    running.stop();
}

#[test]
fn a_topic_that_does_not_exist_holds_up_neither_redis_nor_other_topics() {
    let (mut results, redis) = (Results::new(), Redis::start());
    let (taken, missing, refuses) = (Arc::default(), Arc::<Mutex<BTreeSet<String>>>::default(), Arc::default());
    missing.lock().unwrap().insert("-uve-topic-24".to_owned());
    let section = format!("url = {:?}\nuve_topics = \"-uve-topic-\"", redis.url());
    let running = Running::with(&results, &section, None, Some(publisher(&taken, &missing, &refuses)));
    for window in 1..4 {
        results.commit(&[sum(VN, 60 * window, window), sum("ObjectVMTable:m", 60 * window, window)]);
        running.wait_for(results.end());
    }
    let of = |key: &str| {
        let key = format!("{key}|{SUM}|{GENERATOR}|{}", redis.address());
        let taken = taken.lock().unwrap();
        taken.iter().filter(|it| it.key == key).map(|it| it.payload.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of("ObjectVMTable:m"), ["{\"__T\":60}", "{\"__T\":120}", "{\"__T\":180}"]);
    assert_eq!(of(VN), [""; 0]);
    missing.lock().unwrap().clear();
    wait_until("the newest message comes once the topic is there", || (!of(VN).is_empty()).then_some(()));
    assert_eq!(of(VN), ["{\"__T\":180}"]);
    running.stop();
}

#[test]
fn results_of_another_log_of_the_same_length_are_not_taken_for_those_of_this_one() {
    let (mut old, mut new, redis) = (Results::new(), Results::new(), Redis::start());
    let section = format!("url = {:?}", redis.url());
    old.commit(&[sum(VN, 60, 36)]);
    windows(&mut old, 0..4);
    // As on Kafka, where the log that a daemon finds may be of others: a first start does not clear Redis.
    let running = Running::with(&old, &section, Some("group"), None);
    running.wait_for(old.end());
    running.stop();
    // Made anew at another time, and longer than the old one was.
    new.committed = 1_000;
    new.commit(&[sum("ObjectVMTable:m", 60, 36)]);
    windows(&mut new, 0..9);
    let running = Running::with(&new, &section, Some("group"), None);
    running.wait_for(new.end());
    running.stop();
    assert_eq!(redis.dump(), undisturbed(&new));
    // The same log is recognised.
    let values = format!("VALUES:ObjectVMTable:m:{GENERATOR}:{SUM}");
    redis.connect().del::<_, ()>(&values).unwrap();
    let running = Running::with(&new, &section, Some("group"), None);
    windows(&mut new, 9..10);
    running.wait_for(new.end());
    running.stop();
    assert!(!redis.connect().exists::<_, bool>(&values).unwrap(), "all results were written again");
}

#[test]
fn passwords_and_users_are_needed_where_the_server_has_them() {
    // The commands that the documentation names.
    const STATS: &str = "--user stats on >s3cret ~* +del +hdel +hmget +hset +sadd +smembers +srem +zadd +zrange +zrem \
                         +select +multi +exec +watch +unwatch";
    let users: Vec<_> =
        "--user default off --user test on >t0p ~* &* +@all".split(' ').chain(STATS.split(' ')).collect();
    let redis = Redis::start_with(&users, "test:t0p@");
    let mut results = Results::new();
    windows(&mut results, 0..3);
    let section = |password: &str| format!("url = {:?}\nuser = \"stats\"\npassword = {password:?}", redis.url());
    let wrong = Running::with(&results, &section("wrong"), None, None);
    std::thread::sleep(Duration::from_millis(700));
    assert!(redis.dump().is_empty());
    wrong.stop();
    let right = Running::with(&results, &section("s3cret"), None, None);
    wait_for_dump(&redis, &undisturbed(&results));
    right.stop();
}

#[test]
fn a_connection_with_tls_needs_the_authority_of_the_server() {
    let folder = TempDir::new().unwrap();
    certificates::make(folder.path(), "server");
    let (redis, port) = Redis::start_with_tls(folder.path(), "no");
    let mut results = Results::new();
    windows(&mut results, 0..3);
    let section = |authority: &Path| format!("url = \"rediss://127.0.0.1:{port}\"\nca_file = {authority:?}");
    let wrong = Running::with(&results, &section(&folder.path().join("stranger.pem")), None, None);
    std::thread::sleep(Duration::from_millis(700));
    assert!(redis.dump().is_empty());
    wrong.stop();
    let right = Running::with(&results, &section(&folder.path().join("authority.pem")), None, None);
    wait_for_dump(&redis, &undisturbed(&results));
    right.stop();
}

#[test]
fn a_server_that_requires_a_certificate_gets_that_of_the_settings() {
    let folder = TempDir::new().unwrap();
    certificates::make(folder.path(), "server");
    certificates::sign(folder.path(), "client", "authority");
    let (redis, port) = Redis::start_with_tls(folder.path(), "yes");
    let mut results = Results::new();
    windows(&mut results, 0..3);
    let file = |name: &str| folder.path().join(name);
    let without = format!("url = \"rediss://127.0.0.1:{port}\"\nca_file = {:?}", file("authority.pem"));
    let refused = Running::with(&results, &without, None, None);
    std::thread::sleep(Duration::from_millis(700));
    assert!(redis.dump().is_empty());
    refused.stop();
    let own = format!("certificate_file = {:?}\nkey_file = {:?}", file("client.pem"), file("client.key"));
    let right = Running::with(&results, &format!("{without}\n{own}"), None, None);
    wait_for_dump(&redis, &undisturbed(&results));
    right.stop();
}

/// More than the longest reply that the sink reads and what the buffers of the sockets hold besides.
const READ_AT_MOST: u64 = 32 * 1024 * 1024;

/// Runs a sink on a server that answers so from the request `from` on, until its problem has the text `expected` and one
/// request has this outcome; then the server becomes a good one.
fn is_ended(from: &'static str, answer: Answer, outcome: &str, expected: &str) {
    let (mut results, redis) = (Results::new(), Redis::start());
    let hostile = Hostile::start(redis.port(), from, answer);
    windows(&mut results, 0..3);
    let section = format!("url = \"redis://{}\"\ntimeout = \"1s\"", hostile.address());
    let running = Running::with(&results, &section, None, None);
    let problem = || running.telemetry.problem().filter(|problem| problem.contains(expected));
    wait_until(&format!("the problem of {answer:?}"), problem);
    let mut registry = Registry::default();
    running.telemetry.register(&mut registry);
    let mut metrics = String::new();
    prometheus_client::encoding::text::encode(&mut metrics, &registry).unwrap();
    let failed = format!("redis_requests_total{{outcome=\"{outcome}\"}} ");
    let failed = metrics.lines().find_map(|line| line.strip_prefix(&failed)).unwrap();
    assert_ne!(failed, "0", "{answer:?}: {metrics}");
    hostile.become_redis();
    running.wait_for(results.end());
    assert_eq!(running.telemetry.problem(), None, "{answer:?}");
    assert!(hostile.most_sent() < READ_AT_MOST, "{answer:?}: {} bytes were read", hostile.most_sent());
    assert_eq!(redis.dump(), undisturbed(&results), "{answer:?}");
    running.stop();
}

#[test]
fn a_reply_without_an_end_is_read_up_to_a_bound_and_is_the_problem_of_the_sink() {
    for beginning in ["$9223372036854775807\r\n", "+", "*9223372036854775807\r\n$9223372036854775807\r\n", ""] {
        let expected = if beginning.is_empty() { "Redis takes no results" } else { "longer than any of Redis" };
        is_ended("", Answer::Endless(beginning), "unexpected", expected);
    }
    is_ended("MULTI", Answer::Endless("+"), "unexpected", "more than");
}

#[test]
fn the_timeout_ends_an_exchange_as_a_whole() {
    let expected = "within sinks.redis.timeout";
    is_ended("", Answer::Drip("$500000000\r\n"), "timeout", expected);
    is_ended("", Answer::Drip("+"), "timeout", expected);
    is_ended("", Answer::Silence, "timeout", expected);
    is_ended("MULTI", Answer::Drip("+"), "timeout", expected);
    is_ended("MULTI", Answer::Silence, "timeout", expected);
}

#[test]
fn the_timeout_ends_a_login_and_a_handshake_of_tls() {
    let (results, redis) = (Results::new(), Redis::start());
    // A record of a handshake, of 16 KiB.
    for (scheme, answer) in
        [("redis", Answer::Drip("+")), ("rediss", Answer::Silence), ("rediss", Answer::Drip("\x16\x03\x03\x40\x00"))]
    {
        let hostile = Hostile::start(redis.port(), "", answer);
        let url = format!("{scheme}://{}", hostile.address());
        let section = format!("url = {url:?}\npassword = \"p\"\ntimeout = \"1s\"");
        let running = Running::with(&results, &section, None, None);
        let problem = || running.telemetry.problem().filter(|problem| problem.contains("within sinks.redis.timeout"));
        wait_until(&format!("the problem of {scheme} {answer:?}"), problem);
        running.stop();
    }
}

#[test]
fn a_stop_ends_an_exchange_and_its_connection_whatever_the_server_sends() {
    let (mut results, redis) = (Results::new(), Redis::start());
    windows(&mut results, 0..3);
    for (from, answer) in [("", Answer::Drip("$500000000\r\n")), ("MULTI", Answer::Drip("+")), ("", Answer::Silence)] {
        let hostile = Hostile::start(redis.port(), from, answer);
        let section = format!("url = \"redis://{}\"\ntimeout = \"1h\"", hostile.address());
        let running = Running::with(&results, &section, None, None);
        wait_until("the sink is connected", || (hostile.open() == 1).then_some(()));
        running.stop();
        // The thread of the exchange has ended: it has the only handle of the socket.
        wait_until(&format!("{answer:?} is left"), || (hostile.open() == 0).then_some(()));
    }
}
