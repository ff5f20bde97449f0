//! Prometheus remote write to the real binary: the rules of the specification as a table, and what becomes of samples.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "samples have the time of the clock, as those of a sender")]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use daemon_formats::remote_write::encode::{Written, compress, request_1, request_2};
use daemon_formats::{HistogramPoint, Point, STALE_MARKER};
use support::series::points;
use support::{Daemon, command, results, wait_until};
use tempfile::TempDir;

const NAME: &str = "__name__";

/// A stream of counters and one of gauges.
const STREAMS: &str = r#"streams=[
    {name = "http-requests", metric = "http_requests_*", object = ["job"], where = {env = "prod|"}, kind = "counter",
     aggregations = ["AggProxySum"]},
    {name = "room", metric = "temperature", object = ["room"], aggregations = ["Sum = 1-raw:DSSum"]},
    {name = "level", metric = "queue_length", object = ["job"], aggregations = ["AggProxySumLast"]},
]"#;

const SETTINGS: [&str; 3] = [STREAMS, "log.partitions=1", "aggregation.uve_proxy_list="];

const V1: &str = "application/x-protobuf";
const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// The start of a minute that ended a while ago.
fn past_minute() -> i64 {
    (now_ms() / 60_000 - 10) * 60_000
}

fn point(timestamp_ms: i64, value: f64) -> Point {
    Point { timestamp_ms, start_ms: 0, value, integer: None }
}

fn series<'t>(labels: &[(&'t str, &'t str)], samples: &[Point]) -> Written<'t> {
    Written { labels: labels.to_vec(), samples: samples.to_vec(), histograms: Vec::new() }
}

struct Reply {
    status: u16,
    body: String,
    /// Samples, histograms and exemplars as version 2 reports them.
    written: Vec<String>,
    retry_after: Option<String>,
}

fn post(daemon: &Daemon, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let mut request = agent.post(daemon.url("/api/v1/write"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = request.send(body).expect("the daemon answers");
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let kinds = ["samples", "histograms", "exemplars"];
    let written =
        kinds.iter().filter_map(|kind| header(&format!("x-prometheus-remote-write-{kind}-written"))).collect();
    let retry_after = header("retry-after");
    Reply {
        status: response.status().as_u16(),
        body: response.body_mut().read_to_string().unwrap(),
        written,
        retry_after,
    }
}

/// Sends series in one version, as Prometheus does.
fn send(daemon: &Daemon, content_type: &str, written: &[Written<'_>]) -> Reply {
    let body = if content_type == V1 { request_1(written) } else { request_2(written) };
    post(daemon, &[("content-type", content_type), ("content-encoding", "snappy")], &compress(&body))
}

/// The value of each object in each window, of all results of a data directory.
fn values(data: &TempDir) -> BTreeMap<(String, i64), f64> {
    let row = |line: &String| {
        let result: serde_json::Value = serde_json::from_str(line).unwrap();
        let value = result["data"]["value"]["value"].as_f64().or_else(|| result["data"]["value"].as_f64())?;
        Some(((result["key"].as_str()?.to_owned(), result["start"].as_i64()? / 1000), value))
    };
    results(data.path()).iter().filter_map(row).collect()
}

/// Name, series, status, what the error contains, and the samples and histograms that version 2 reports as written.
type Case = (&'static str, Vec<Written<'static>>, u16, &'static [&'static str], [&'static str; 2]);

fn requests(labels: &[(&'static str, &'static str)]) -> Written<'static> {
    series(&[&[(NAME, "http_requests_total"), ("job", "a")], labels].concat(), &[point(now_ms(), 1.0)])
}

fn room(samples: &[Point]) -> Written<'static> {
    series(&[(NAME, "temperature"), ("room", "x")], samples)
}

/// What is taken, or left out without an error.
fn taken() -> Vec<Case> {
    let now = now_ms();
    let histogram = HistogramPoint { timestamp_ms: now, start_ms: 0, count: 3.0, sum: 1.5 };
    let histogram = Written { histograms: vec![histogram], ..series(&[(NAME, "http_requests"), ("job", "a")], &[]) };
    let unsorted = series(&[("job", "a"), (NAME, "temperature"), ("room", "x")], &[point(now, 1.0)]);
    let other = series(&[(NAME, "node_load1"), ("job", "a")], &[point(now, 1.0)]);
    let cases = [
        ("no series", vec![], ["0", "0"]),
        ("a counter", vec![requests(&[])], ["1", "0"]),
        ("labels that are not sorted", vec![unsorted], ["1", "0"]),
        ("a label with an empty value", vec![requests(&[("zone", "")])], ["1", "0"]),
        ("samples out of order", vec![room(&[point(now, 1.0), point(now - 1000, 2.0)])], ["2", "0"]),
        ("NaN", vec![room(&[point(now, f64::NAN)])], ["1", "0"]),
        ("a series without a stream", vec![other], ["1", "0"]),
        ("a native histogram", vec![histogram], ["0", "1"]),
        ("a series without samples", vec![room(&[])], ["0", "0"]),
    ];
    cases.into_iter().map(|(name, written, counts)| (name, written, 204, &[][..], counts)).collect()
}

/// What can never be taken.
fn refused() -> Vec<Case> {
    let now = now_ms();
    let no_name = series(&[("job", "a")], &[point(now, 1.0)]);
    let empty_name = series(&[(NAME, ""), ("job", "a")], &[point(now, 1.0)]);
    let twice = [("zone", "a"), ("zone", "b")];
    let some = vec![requests(&[]), room(&[point(-5, 1.0)]), requests(&[])];
    let cases: [(_, _, &[&str], _); 8] = [
        (
            "a label twice",
            vec![requests(&twice)],
            &["series `http_requests_total{job=", ",zone=", "`zone`", "twice"],
            "0",
        ),
        ("a label twice with one value", vec![requests(&[("zone", "a"), ("zone", "a")])], &["twice"], "0"),
        ("a label without a name", vec![requests(&[("", "a")])], &["has no name"], "0"),
        ("no name", vec![no_name], &["`__name__`"], "0"),
        ("an empty name", vec![empty_name], &["`__name__`"], "0"),
        (
            "a far future",
            vec![room(&[point(now + 3_600_000, 1.0)])],
            &["series `temperature{room=", "room-temperature"],
            "0",
        ),
        ("a time before 1970", vec![room(&[point(-5, 1.0)])], &["room-temperature"], "0"),
        ("one bad series among good ones", some, &["1 rejected, all others stored"], "2"),
    ];
    cases.into_iter().map(|(name, written, parts, samples)| (name, written, 400, parts, [samples, "0"])).collect()
}

#[test]
fn the_rules_of_the_specification_hold() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    for (name, written, status, parts, [samples, histograms]) in taken().into_iter().chain(refused()) {
        for content_type in [V1, V2] {
            let reply = send(&daemon, content_type, &written);
            assert_eq!(reply.status, status, "{name} as {content_type}: {}", reply.body);
            assert_eq!(reply.body.is_empty(), status == 204, "{name}: {}", reply.body);
            for part in parts {
                assert!(reply.body.contains(part), "{name}: no {part:?} in {}", reply.body);
            }
            let expected: &[&str] = if content_type == V2 { &[samples, histograms, "0"] } else { &[] };
            assert_eq!(reply.written, expected, "{name}");
        }
    }
    daemon.stop();
}

#[test]
fn headers_and_bodies_that_are_not_of_the_protocol_are_refused() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &[&SETTINGS[..], &["http.max_body_bytes=10000"]].concat());
    let written = [series(&[(NAME, "temperature"), ("room", "x")], &[point(now_ms(), 1.0)])];
    let (one, two) = (compress(&request_1(&written)), compress(&request_2(&written)));
    let large = compress(&vec![0; 10_001]);
    type Case<'c> = (&'c str, &'c [(&'c str, &'c str)], &'c [u8], u16, &'c str);
    let snappy = ("content-encoding", "snappy");
    let cases: [Case<'_>; 13] = [
        ("version 1", &[snappy, ("content-type", V1)], &one, 204, ""),
        (
            "version 1 by its message",
            &[snappy, ("content-type", "application/x-protobuf;proto=prometheus.WriteRequest")],
            &one,
            204,
            "",
        ),
        ("version 2", &[snappy, ("content-type", V2)], &two, 204, ""),
        ("without a coding", &[("content-type", V1)], &one, 204, ""),
        (
            "another message",
            &[snappy, ("content-type", "application/x-protobuf;proto=x")],
            &one,
            415,
            "prometheus.WriteRequest",
        ),
        ("JSON", &[snappy, ("content-type", "application/json")], &one, 415, "application/json"),
        ("gzip", &[("content-encoding", "gzip"), ("content-type", V1)], &one, 415, "snappy"),
        ("two codings", &[("content-encoding", "snappy, gzip"), ("content-type", V1)], &one, 415, "snappy, gzip"),
        ("version 2 as version 1", &[snappy, ("content-type", V1)], &two, 400, "io.prometheus.write.v2.Request"),
        ("not compressed", &[snappy, ("content-type", V1)], &request_1(&written), 400, "block format of snappy"),
        ("not protobuf", &[snappy, ("content-type", V1)], &compress(b"\x0a\xffabc"), 400, "protobuf"),
        ("too large when decompressed", &[snappy, ("content-type", V1)], &large, 400, "10001 bytes decompressed"),
        ("too large as it is", &[snappy, ("content-type", V1)], &vec![1; 10_001], 413, "http.max_body_bytes"),
    ];
    for (name, headers, body, status, part) in cases {
        let reply = post(&daemon, headers, body);
        assert_eq!(reply.status, status, "{name}: {}", reply.body);
        assert!(reply.body.contains(part), "{name}: no {part:?} in {}", reply.body);
    }
    daemon.stop();
}

#[test]
fn a_full_log_is_a_reason_to_retry() {
    let data = TempDir::new().unwrap();
    let settings = [&SETTINGS[..], &["log.retention.max_backlog_bytes=1", "log.commit_interval=1h"]].concat();
    let daemon = Daemon::start(data.path(), &settings);
    let written = |value| [series(&[(NAME, "temperature"), ("room", "x")], &[point(now_ms(), value)])];
    let replies: Vec<_> = (0..5).map(|value| send(&daemon, V2, &written(f64::from(value)))).collect();
    let full = replies.iter().find(|reply| reply.status != 204).expect("the log is full");
    assert_eq!((full.status, full.retry_after.as_deref()), (503, Some("1")), "{}", full.body);
    assert_eq!(full.written, ["0", "0", "0"]);
}

#[test]
fn counters_are_differenced_for_each_series_and_summed_over_objects() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    let start = past_minute();
    let at = |seconds: i64, value: f64| point(start + seconds * 1000, value);
    let requests = |more: &[(&'static str, &'static str)], samples: &[Point]| {
        series(&[&[(NAME, "http_requests_total"), ("job", "shop")], more].concat(), samples)
    };
    let marker = f64::from_bits(STALE_MARKER);
    let written = [
        // 10, a reset that counts 5 in full, an end, and 1 after it.
        requests(&[("code", "200")], &[at(0, 100.0), at(15, 110.0), at(30, 5.0), at(35, marker), at(45, 6.0)]),
        // 2, as a series of its own.
        requests(&[("code", "500")], &[at(0, 7.0), at(30, 9.0)]),
        // Another environment is not taken.
        requests(&[("code", "200"), ("env", "test")], &[at(0, 0.0), at(30, 1000.0)]),
        // Two copies of one sender read one counter, the second one slowly: 10, not 58.
        requests(&[("code", "404"), ("__replica__", "a")], &[at(0, 50.0), at(20, 60.0)]),
        requests(&[("code", "404"), ("__replica__", "b")], &[at(1, 48.0), at(21, 58.0)]),
        // A counter that began within the window: 3 in full.
        requests(&[("code", "301")], &[Point { start_ms: start + 5000, ..at(10, 3.0) }]),
        // The same once more, with the next reading: 1.
        requests(&[("code", "301")], &[Point { start_ms: start + 5000, ..at(20, 4.0) }]),
        // The next minute but one closes the window.
        requests(&[("code", "500")], &[at(125, 9.0)]),
    ];
    let reply = send(&daemon, V2, &written);
    assert_eq!((reply.status, &*reply.written[0]), (204, "16"), "{}", reply.body);
    daemon.wait_until_applied();
    let metrics = daemon.get("/metrics").1;
    let outcomes =
        [("stored", 11), ("replica", 2), ("unmatched", 2), ("stale_marker", 1), ("rejected", 0), ("not_finite", 0)];
    for (outcome, count) in outcomes {
        let expected =
            format!("derived_statsd_series_points_total{{format=\"remote_write\",outcome=\"{outcome}\"}} {count}");
        assert!(metrics.contains(&expected), "no {expected} in {metrics}");
    }
    daemon.stop();
    let sum = values(&data).get(&("Service:shop".to_owned(), start)).copied();
    assert_eq!(sum, Some(10.0 + 5.0 + 1.0 + 2.0 + 10.0 + 3.0 + 1.0));
}

#[test]
fn the_last_value_of_each_instance_counts_where_a_type_keeps_sources() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    let start = past_minute();
    let of = |instance, value| {
        let labels = [(NAME, "queue_length"), ("job", "shop"), ("instance", instance)];
        let samples = [0, 15, 30].map(|second| point(start + second * 1000, value + second as f64 / 15.0));
        series(&labels, &samples)
    };
    let written = [of("a", 10.0), of("b", 20.0), of("c", 30.0)];
    assert_eq!(send(&daemon, V2, &written).status, 204);
    let close = series(&[(NAME, "queue_length"), ("job", "shop")], &[point(start + 150_000, 0.0)]);
    assert_eq!(send(&daemon, V2, &[close]).status, 204);
    daemon.wait_until_applied();
    daemon.stop();
    assert_eq!(values(&data).get(&("Service:shop".to_owned(), start)), Some(&(12.0 + 22.0 + 32.0)));
}

#[test]
fn the_increase_of_a_gap_counts_in_the_window_of_the_next_reading() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    let start = past_minute() - 600_000;
    let at = |seconds: i64, value: f64| point(start + seconds * 1000, value);
    // No sender for ten minutes.
    let points = [at(0, 100.0), at(30, 110.0), at(630, 400.0), at(640, 405.0), at(800, 405.0)];
    let written = series(&[(NAME, "http_requests_total"), ("job", "shop")], &points);
    assert_eq!(send(&daemon, V1, &[written]).status, 204);
    daemon.wait_until_applied();
    daemon.stop();
    let values = values(&data);
    let of = |minute: i64| values.get(&("Service:shop".to_owned(), start + minute * 60_000)).copied();
    assert_eq!((of(0), of(10)), (Some(10.0), Some(295.0)), "{values:?}");
}

#[test]
fn what_was_answered_survives_a_kill_and_a_repeated_request_counts_once() {
    let data = TempDir::new().unwrap();
    let mut daemon = Daemon::start(data.path(), &SETTINGS);
    let start = past_minute();
    let written = [series(&[(NAME, "temperature"), ("room", "x")], &[point(start, 20.0), point(start + 1000, 22.0)])];
    for _ in 0..3 {
        assert_eq!(send(&daemon, V1, &written).status, 204);
    }
    daemon.signal("KILL");
    daemon.wait();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    assert_eq!(send(&daemon, V1, &written).status, 204);
    let next = [series(&[(NAME, "temperature"), ("room", "x")], &[point(start + 150_000, 0.0)])];
    assert_eq!(send(&daemon, V1, &next).status, 204);
    daemon.wait_until_applied();
    daemon.stop();
    assert_eq!(values(&data).get(&("Service:x".to_owned(), start)), Some(&42.0));
}

#[test]
fn the_elected_replica_counts_alone_over_kills() {
    let data = TempDir::new().unwrap();
    let mut daemon = Daemon::start(data.path(), &SETTINGS);
    let start = past_minute();
    // The samples of both have the same times but for a second, and those of `b` stand out in a sum.
    let send_as = |daemon: &Daemon, replica: &'static str, seconds: &[i64]| {
        let value = if replica == "a" { 1.0 } else { 100.0 };
        let samples: Vec<_> = seconds.iter().map(|second| point(start + second * 1000, value)).collect();
        let labels = [(NAME, "temperature"), ("room", "x"), ("cluster", "eu"), ("__replica__", replica)];
        assert_eq!(send(daemon, V1, &[series(&labels, &samples)]).status, 204);
    };
    send_as(&daemon, "a", &[0, 10]);
    send_as(&daemon, "b", &[1, 11]);
    for second in [20, 30] {
        daemon.signal("KILL");
        daemon.wait();
        daemon = Daemon::start(data.path(), &SETTINGS);
        // The other one is the first that sends, with what it had not sent before.
        send_as(&daemon, "b", &[second - 9, second + 1]);
        send_as(&daemon, "a", &[second, second + 5]);
    }
    send_as(&daemon, "a", &[150]);
    daemon.wait_until_applied();
    let metrics = daemon.get("/metrics").1;
    let left_out = "derived_statsd_series_points_total{format=\"remote_write\",outcome=\"replica\"} 2";
    assert!(metrics.contains(left_out), "no {left_out} in {metrics}");
    assert!(metrics.contains("\nderived_statsd_replica_clusters 1\n"), "{metrics}");
    assert!(metrics.contains("\nderived_statsd_replica_takeovers_total 0\n"), "{metrics}");
    daemon.stop();
    let values = values(&data);
    assert_eq!(values.get(&("Service:x".to_owned(), start)), Some(&6.0), "{values:?}");
}

#[test]
fn the_elected_replica_counts_alone_over_a_reload() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("derived-statsd.toml");
    let configure = |lateness: &str| {
        let stream = "[[streams]]\nname = \"room\"\nmetric = \"temperature\"\nobject = [\"room\"]\n\
                      aggregations = [\"Sum = 1-raw:DSSum\"]\n";
        let aggregation = format!("[aggregation]\nuve_proxy_list = \"\"\nallowed_lateness = \"{lateness}\"\n");
        std::fs::write(&file, aggregation + stream).unwrap();
    };
    configure("30s");
    let mut command = command("run", &data.path().join("log"), &["log.partitions=1"]);
    command.arg("--config").arg(&file);
    let daemon = Daemon::spawn(command).expect("the daemon starts");
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    let send_as = |replica: &'static str| {
        let labels = [(NAME, "temperature"), ("room", "x"), ("cluster", "eu"), ("__replica__", replica)];
        assert_eq!(send(&daemon, V1, &[series(&labels, &[point(now_ms(), 1.0)])]).status, 204);
        points(&daemon, "remote_write", "replica")
    };
    assert_eq!([send_as("a"), send_as("b")], [0, 1]);
    configure("40s");
    daemon.signal("HUP");
    wait_until("the change is in force", || daemon.stderr().contains("The configuration was changed.").then_some(()));
    assert_eq!([send_as("b"), send_as("a")], [2, 2]);
    daemon.stop();
}

#[test]
fn rejections_are_logged_at_a_limited_rate() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    for second in 0..50 {
        let bad = [series(&[(NAME, "temperature"), ("room", "x")], &[point(-second, 1.0)])];
        assert_eq!(send(&daemon, V1, &bad).status, 400);
    }
    std::thread::sleep(Duration::from_millis(200));
    let stderr = daemon.stop();
    let lines = stderr.lines().filter(|line| line.contains("Samples were rejected.")).count();
    assert!((1..=3).contains(&lines), "{lines} lines:\n{stderr}");
}
