//! OTLP over HTTP to the real binary: requests as a table, the exporter of the Python SDK, and the guide.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "samples have the time of the clock, as those of a sender")]

mod support;

use std::time::Duration;

use support::configured::{Configured, hang_up};
use support::series::{Reply, block, foreground, now_ms, past_minute, points, post, python, run_block, values};
use support::{Daemon, encodings};
use tempfile::TempDir;

const GUIDE: &str = include_str!("../../docs/src/guide/from-opentelemetry.md");

/// A stream of counters, one of deltas and one of gauges.
const STREAMS: &str = r#"streams=[
    {name = "requests", metric = "http_requests_total", object = ["job"], kind = "counter",
     aggregations = ["Sum = 1-raw:DSSum"]},
    {name = "errors", metric = "errors_total", object = ["job"], kind = "delta", aggregations = ["Sum = 1-raw:DSSum"]},
    {name = "room", metric = "temperature_celsius", object = ["room"], aggregations = ["Sum = 1-raw:DSSum"]},
    {name = "level", metric = "queue_length", object = ["job"], aggregations = ["AggProxySumLast"]},
    {name = "h", metric = "latency_seconds_*", object = ["job"], kind = "counter",
     aggregations = ["Sum = 1-raw:DSSum"]},
]"#;

const SETTINGS: [&str; 3] = [STREAMS, "log.partitions=1", "aggregation.uve_proxy_list="];

const JSON: (&str, &str) = ("content-type", "application/json");
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

/// A request with one metric of the service `shop`.
fn request(metric: &str) -> String {
    let resource = r#"{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]}"#;
    format!(r#"{{"resourceMetrics":[{{"resource":{resource},"scopeMetrics":[{{"metrics":[{metric}]}}]}}]}}"#)
}

fn sum(name: &str, temporality: u8, is_monotonic: bool, points: &str) -> String {
    let kind = format!(r#""aggregationTemporality":{temporality},"isMonotonic":{is_monotonic}"#);
    request(&format!(r#"{{"name":"{name}","sum":{{{kind},"dataPoints":[{points}]}}}}"#))
}

/// A point at a time in milliseconds.
fn point(time_ms: i64, value: i64) -> String {
    format!(r#"{{"asInt":"{value}","timeUnixNano":"{time_ms}000000"}}"#)
}

fn room(points: &str) -> String {
    request(&format!(r#"{{"name":"temperature","unit":"Cel","gauge":{{"dataPoints":[{points}]}}}}"#))
}

fn send(daemon: &Daemon, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    post(daemon, "/v1/metrics", headers, body)
}

/// Name, content type, body, status, and what the answer contains.
type Case = (&'static str, (&'static str, &'static str), String, u16, &'static str);

fn cases() -> Vec<Case> {
    let now = now_ms();
    let located = format!(
        r#"{{"asDouble":1,"timeUnixNano":"{now}000000","attributes":[{{"key":"room","value":{{"stringValue":"x"}}}}]}}"#
    );
    let two = format!("{},{}", point(now, 1), point(now + 3_600_000, 1));
    vec![
        ("nothing", JSON, "{}".to_owned(), 200, "{}"),
        ("a gauge", JSON, room(&located), 200, "{}"),
        ("a gauge without the label of the object", JSON, room(&point(now, 1)), 200, "{}"),
        ("a cumulative sum", JSON, sum("http.requests", 2, true, &point(now, 1)), 200, "{}"),
        ("a delta", JSON, sum("errors", 1, true, &point(now, 1)), 200, "{}"),
        ("a series without a stream", JSON, sum("other", 2, true, &point(now, 1)), 200, "{}"),
        ("deltas for counters", JSON, sum("http.requests", 1, true, &two), 200, r#""rejectedDataPoints":"2""#),
        ("counters for deltas", JSON, sum("errors", 2, true, &point(now, 1)), 200, "its values are cumulative"),
        ("no temporality", JSON, sum("errors", 0, true, &point(now, 1)), 200, "temporality is not stated"),
        ("a far future", JSON, sum("http.requests", 2, true, &two), 200, r#""rejectedDataPoints":"1""#),
        ("not JSON", JSON, "[]x".to_owned(), 400, r#""code":3,"message":"the body is not an Export"#),
        ("JSON as protobuf", PROTOBUF, "{}".to_owned(), 400, "in protobuf: at byte 0"),
        (
            "another type",
            ("content-type", "application/grpc"),
            "{}".to_owned(),
            415,
            r#""code":3,"message":"Content-Type is"#,
        ),
        ("too large", JSON, " ".repeat(10_001), 413, r#""code":8,"message":"the body has more than"#),
    ]
}

#[test]
fn requests_are_answered_as_the_specification_prescribes() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &[&SETTINGS[..], &["http.max_body_bytes=10000"]].concat());
    for (name, content_type, body, status, part) in cases() {
        let reply = send(&daemon, &[content_type], body.as_bytes());
        assert_eq!(reply.status, status, "{name}: {}", reply.text());
        let is_json = content_type != PROTOBUF;
        assert_eq!(reply.content_type, if is_json { JSON.1 } else { PROTOBUF.1 }, "{name}");
        assert!(reply.text().contains(part), "{name}: no {part:?} in {}", reply.text());
        assert!(!is_json || serde_json::from_slice::<serde_json::Value>(&reply.body).is_ok(), "{name}");
    }
    let coding = send(&daemon, &[JSON, ("content-encoding", "snappy")], b"{}");
    assert_eq!(coding.status, 415, "{}", coding.text());
    assert_eq!(points(&daemon, "otlp", "rejected"), 5);
    daemon.stop();
}

/// A point of a histogram that began a second after `start`.
fn histogram(start: i64, second: i64, count: i64, sum: f64) -> String {
    let (time, start) = (start + second * 1000, start + 1000);
    format!(r#"{{"count":"{count}","sum":{sum},"timeUnixNano":"{time}000000","startTimeUnixNano":"{start}000000"}}"#)
}

fn latency(points: &str) -> String {
    let histogram = format!(r#"{{"aggregationTemporality":2,"dataPoints":[{points}]}}"#);
    request(&format!(r#"{{"name":"latency","unit":"s","histogram":{histogram}}}"#))
}

#[test]
fn sums_of_both_temporalities_and_histograms_are_counted_once() {
    let data = TempDir::new().unwrap();
    let mut daemon = Daemon::start(data.path(), &SETTINGS);
    let start = past_minute();
    let at = |second: i64, value| point(start + second * 1000, value);
    // It began within the window: 10 in full.
    let started = at(10, 10).replace('{', &format!(r#"{{"startTimeUnixNano":"{}000000","#, start + 5000));
    let histograms = [histogram(start, 10, 2, 0.5), histogram(start, 20, 5, 1.25)].join(",");
    let bodies = [
        sum("http.requests", 2, true, &[started, at(30, 12)].join(",")),
        sum("errors", 1, true, &[at(10, 3), at(20, 4)].join(",")),
        latency(&histograms),
    ];
    for (coding, encode) in encodings::all() {
        for body in &bodies {
            let reply = send(&daemon, &[JSON, ("content-encoding", coding)], &encode(body.as_bytes()));
            assert_eq!((reply.status, reply.text().as_str()), (200, "{}"), "{coding}");
        }
    }
    daemon.signal("KILL");
    daemon.wait();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    for body in &bodies {
        assert_eq!(send(&daemon, &[JSON], body.as_bytes()).text(), "{}");
    }
    for close in [sum("http.requests", 2, true, &at(150, 12)), sum("errors", 1, true, &at(150, 0))] {
        assert_eq!(send(&daemon, &[JSON], close.as_bytes()).text(), "{}");
    }
    assert_eq!(send(&daemon, &[JSON], latency(&histogram(start, 150, 5, 1.25)).as_bytes()).text(), "{}");
    daemon.wait_until_applied();
    daemon.stop();
    let of = |stream: &str| values(data.path(), stream).get(&("Service:shop".to_owned(), start)).copied();
    assert_eq!(of("requests-http_requests_total"), Some(12.0));
    assert_eq!(of("errors-errors_total"), Some(7.0));
    // 5 observations, and their sum.
    assert_eq!(of("h-latency_seconds__"), Some(5.0 + 1.25));
}

#[test]
fn a_restart_between_two_exports_loses_nothing() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    let start = past_minute();
    // The lateness is 30 s. A point at a second after the minute, of a process that began at another one.
    let at = |second: i64, began: i64, value| {
        let began = start + began * 1000;
        point(start + second * 1000, value).replace('{', &format!(r#"{{"startTimeUnixNano":"{began}000000","#))
    };
    let send = |points: &[String]| {
        let body = sum("http.requests", 2, true, &points.join(","));
        assert_eq!(send(&daemon, &[JSON], body.as_bytes()).text(), "{}");
    };
    // New, and known with its start an hour ago: 0. A new process, 55 s before its first export: 50 in full, not 40. Its start
    // is late, as another series has closed that minute.
    send(&[at(0, -3600, 10)]);
    let code = r#"{"attributes":[{"key":"code","value":{"stringValue":"500"}}],"#;
    send(&[point(start + 100_000, 7).replace('{', code)]);
    send(&[at(60, 5, 50)]);
    send(&[at(120, 5, 53)]);
    // Once more, and the daemon has seen nothing since: 7 in full.
    send(&[at(181, 140, 60)]);
    send(&[at(240, 140, 61), at(400, 140, 61)]);
    daemon.wait_until_applied();
    let metrics = daemon.get("/metrics").1;
    daemon.stop();
    let values = values(data.path(), "requests-http_requests_total");
    let of = |minute: i64| values.get(&("Service:shop".to_owned(), start + minute * 60_000)).copied();
    assert_eq!([of(1), of(2), of(3), of(4)], [Some(50.0), Some(3.0), Some(60.0), Some(1.0)], "{values:?}");
    assert!(!metrics.contains("outcome=\"late\"} 1"), "{metrics}");
}

#[test]
fn of_two_processes_with_one_identity_one_counts() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    let start = past_minute();
    let send = |began: i64, second: i64, value: i64| {
        let began = start - began * 1000;
        let point = point(start + second * 1000, value);
        let point = point.replace('{', &format!(r#"{{"startTimeUnixNano":"{began}000000","#));
        send(&daemon, &[JSON], sum("http.requests", 2, true, &point).as_bytes()).text()
    };
    for step in 0..5 {
        assert_eq!(send(7200, step * 10, 1000 + step), "{}");
        let answer = send(3600, step * 10 + 1, 500 + step);
        assert!(answer.contains("\"rejectedDataPoints\":\"1\"") && answer.contains("service.instance.id"), "{answer}");
    }
    assert_eq!(send(7200, 150, 1004), "{}");
    daemon.wait_until_applied();
    daemon.stop();
    let sum = values(data.path(), "requests-http_requests_total").get(&("Service:shop".to_owned(), start)).copied();
    assert_eq!(sum, Some(4.0));
}

/// A file with a stream of counters that computes these types.
fn counters(types: &str) -> String {
    format!(
        "[aggregation]\nuve_proxy_list = \"\"\n[log]\npartitions = 1\n[[streams]]\nname = \"requests\"\n\
         metric = \"http_requests_total\"\nobject = [\"job\"]\nkind = \"counter\"\naggregations = [{types}]\n"
    )
}

#[test]
fn of_two_processes_the_one_that_counts_still_does_after_a_reload() {
    let configured = Configured::new(&["AggProxySum"]);
    configured.write(&counters("\"AggProxySum\""));
    let daemon = Daemon::spawn(configured.command()).expect("the daemon starts");
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    let start = past_minute();
    let send = |began: i64, second: i64| {
        let began = start - began * 1000;
        let point = point(start + second * 1000, second);
        let point = point.replace('{', &format!(r#"{{"startTimeUnixNano":"{began}000000","#));
        send(&daemon, &[JSON], sum("http.requests", 2, true, &point).as_bytes()).text()
    };
    let is_rejected =
        |answer: &str| answer.contains("\"rejectedDataPoints\":\"1\"") && answer.contains("service.instance.id");
    assert_eq!(send(7200, 0), "{}");
    let answer = send(3600, 1);
    assert!(is_rejected(&answer), "{answer}");
    for (changes, types) in [(1, "\"AggProxySum\", \"Most = 1-raw:DSMax\""), (2, "\"AggProxySum\"")] {
        configured.write(&counters(types));
        hang_up(&daemon, changes);
        let answer = send(3600, changes as i64 * 10);
        assert!(is_rejected(&answer), "{types}: {answer}");
        assert_eq!(send(7200, changes as i64 * 10 + 1), "{}");
    }
    daemon.stop();
}

#[test]
fn a_label_that_is_not_utf_8_takes_no_other_point_of_the_export_with_it() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    let field = |number: u8, content: &[u8]| [&[number << 3 | 2, content.len() as u8][..], content].concat();
    let time = (now_ms() as u64 * 1_000_000).to_le_bytes();
    let point = |room: &[u8]| {
        let attribute = [field(1, b"room"), field(2, &field(1, room))].concat();
        field(1, &[&[0x19][..], &time, &[0x21], &1.0_f64.to_le_bytes(), &field(7, &attribute)].concat())
    };
    let points = [point(b"x"), point(b"\xff"), point(b"y")].concat();
    let metric = [field(1, b"temperature"), field(3, b"Cel"), field(5, &points)].concat();
    let reply = send(&daemon, &[PROTOBUF], &field(1, &field(2, &field(2, &metric))));
    assert_eq!((reply.status, points_of(&daemon)), (200, [2, 1]), "{}", reply.text());
    let expected = "1 rejected, all others stored: series `temperature_celsius`: a label is not UTF-8";
    assert!(reply.text().contains(expected), "{}", reply.text());
    daemon.stop();
}

/// The points that are stored, and those that are rejected.
fn points_of(daemon: &Daemon) -> [u64; 2] {
    ["stored", "rejected"].map(|outcome| points(daemon, "otlp", outcome))
}

#[test]
fn two_deltas_of_a_histogram_are_one_point_each_in_the_answer() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    let histogram =
        format!(r#"{{"aggregationTemporality":1,"dataPoints":[{}]}}"#, histogram(past_minute(), 10, 2, 0.5));
    let body = request(&format!(r#"{{"name":"latency","unit":"s","histogram":{histogram}}}"#));
    let text = send(&daemon, &[JSON], body.as_bytes()).text();
    assert!(text.contains(r#""rejectedDataPoints":"1""#) && text.contains(r#":"1 rejected, "#), "{text}");
    daemon.stop();
}

#[test]
fn the_last_value_of_each_instance_counts_where_a_type_keeps_sources() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    let start = past_minute();
    let at = |seconds: i64, instance: &str, value: i64| {
        let attributes = format!(r#"[{{"key":"instance","value":{{"stringValue":"{instance}"}}}}]"#);
        let time = start + seconds * 1000;
        format!(r#"{{"asInt":"{value}","timeUnixNano":"{time}000000","attributes":{attributes}}}"#)
    };
    let points = [("a", 10), ("b", 20), ("c", 30)]
        .map(|(instance, value)| [at(0, instance, value), at(30, instance, value + 1)].join(","));
    let request = request(&format!(
        r#"{{"name":"queue.length","gauge":{{"dataPoints":[{},{}]}}}}"#,
        points.join(","),
        at(150, "a", 0)
    ));
    assert_eq!(send(&daemon, &[JSON], request.as_bytes()).text(), "{}");
    daemon.wait_until_applied();
    daemon.stop();
    let sum = values(data.path(), "level-queue_length").get(&("Service:shop".to_owned(), start)).copied();
    assert_eq!(sum, Some(11.0 + 21.0 + 31.0));
}

#[test]
fn a_full_log_is_a_reason_to_retry() {
    let data = TempDir::new().unwrap();
    let settings = [&SETTINGS[..], &["log.retention.max_backlog_bytes=1", "log.commit_interval=1h"]].concat();
    let daemon = Daemon::start(data.path(), &settings);
    let send = |value| send(&daemon, &[JSON], sum("http.requests", 2, true, &point(now_ms(), value)).as_bytes());
    let replies: Vec<_> = (0..5).map(send).collect();
    let full = replies.iter().find(|reply| reply.status != 200).expect("the log is full");
    assert_eq!((full.status, full.retry_after.as_deref()), (429, Some("1")), "{}", full.text());
    assert!(full.text().starts_with(r#"{"code":8,"message":"#), "{}", full.text());
}

#[test]
fn rejections_are_logged_at_a_limited_rate() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    let bad = sum("errors", 0, true, &point(now_ms(), 1));
    for _ in 0..50 {
        assert_eq!(send(&daemon, &[JSON], bad.as_bytes()).status, 200);
    }
    std::thread::sleep(Duration::from_millis(200));
    let stderr = daemon.stop();
    let lines = stderr.lines().filter(|line| line.contains("Samples were rejected.")).count();
    assert!((1..=3).contains(&lines), "{lines} lines:\n{stderr}");
}

/// Exports a counter, a sum that falls too, a histogram and a gauge, cumulative and as deltas, with and without gzip.
const SDK: &str = r#"
import sys
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricExportResult, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

outcomes = []


class Exporter(OTLPMetricExporter):
    def export(self, *arguments, **named):
        outcome = super().export(*arguments, **named)
        outcomes.append(outcome)
        return outcome


def run(endpoint, temporality, compression, names):
    preferred = {Counter: temporality, Histogram: temporality}
    exporter = Exporter(endpoint=endpoint, compression=compression, preferred_temporality=preferred)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    resource = Resource.create({"service.name": "shop", "service.namespace": "eu"})
    provider = MeterProvider(resource=resource, metric_readers=[reader])
    meter = provider.get_meter("cart", "1.0")
    counter = meter.create_counter(names[0], unit="{request}")
    room = meter.create_gauge("temperature", unit="Cel")
    latency = meter.create_histogram(names[1], unit="s")
    for step in range(5):
        counter.add(2, {"code": 200})
        counter.add(1, {"code": 500})
        room.set(20.5, {"room": "x"})
        latency.record(0.25)
        assert provider.force_flush()
    provider.shutdown()


run(sys.argv[1], AggregationTemporality.CUMULATIVE, Compression.Gzip, ["http.requests", "latency"])
run(sys.argv[1], AggregationTemporality.DELTA, Compression.NoCompression, ["errors", "other"])
assert outcomes and all(outcome == MetricExportResult.SUCCESS for outcome in outcomes), outcomes
"#;

#[test]
fn what_the_python_sdk_exports_is_counted() {
    let data = TempDir::new().unwrap();
    let settings = [&SETTINGS[..], &["aggregation.allowed_lateness=60s"]].concat();
    let daemon = Daemon::start(data.path(), &settings);
    let output = python(SDK, &[&daemon.url("/v1/metrics")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(points(&daemon, "otlp", "rejected"), 0);
    daemon.wait_until_applied();
    let later = now_ms() / 60_000 * 60_000 + 120_000;
    daemon.stop();
    // The windows of these samples are not over. They close a while after, by the clock of another machine.
    let settings = [&settings[..], &["aggregation.allowed_skew=1h"]].concat();
    let daemon = Daemon::start(data.path(), &settings);
    for name in [("http.requests", 2, 5), ("errors", 1, 0)] {
        let body = sum(name.0, name.1, true, &point(later + 180_000, name.2));
        assert_eq!(send(&daemon, &[JSON], body.as_bytes()).text(), "{}");
    }
    daemon.wait_until_applied();
    daemon.stop();
    let total = |stream: &str| {
        let values = values(data.path(), stream);
        values.iter().filter(|((key, _), _)| key == "Service:eu/shop").map(|(_, value)| value).sum::<f64>()
    };
    assert_eq!((total("requests-http_requests_total"), total("errors-errors_total")), (15.0, 15.0));
}

#[test]
fn the_guide_runs_as_written() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("derived-statsd.toml"), block(GUIDE, "[aggregation]")).unwrap();
    run_block(block(GUIDE, "derived-statsd validate"), folder.path(), "");
    let explained = run_block(block(GUIDE, "derived-statsd explain"), folder.path(), "");
    assert!(explained.contains("Service:shop,/cart"), "{explained}");

    let settings = ["aggregation.period=2", "aggregation.idle_timeout=2s", "aggregation.allowed_lateness=1s"];
    let run = foreground(block(GUIDE, "derived-statsd run"), folder.path(), &folder.path().join("log"), &settings);
    let daemon = Daemon::spawn(run).expect("the daemon starts");
    let answer = run_block(block(GUIDE, "curl -fsS http://127.0.0.1:8081/v1/metrics"), folder.path(), daemon.address());
    assert_eq!((answer.as_str(), points(&daemon, "otlp", "stored")), ("{}", 1));
    // The path and the name of the UVE are those of the guide.
    let named = |text: &'static str| GUIDE.contains(&format!("`{text}`")).then_some(text).expect("it is in the guide");
    let name = named("AggProxySum-requests-http_server_requests_total");
    daemon.wait_for(named("/analytics/uves/service/shop%2C%2Fcart?flat"), |(status, uve)| {
        (*status == 200 && uve.contains(name) && uve.contains("1027")).then_some(())
    });
    let program = block(GUIDE, "from opentelemetry").replace("127.0.0.1:8081", daemon.address());
    let output = python(&program, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(points(&daemon, "otlp", "stored"), 3);
    daemon.stop();
}
