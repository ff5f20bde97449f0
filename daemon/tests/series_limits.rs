//! The limits of series: objects and sources beyond them are refused and counted by name, the others go on, and what is
//! silent expires, so that new ones fit. The same for each input of series.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "samples have the time of the clock, as those of a sender")]

mod support;

use daemon_formats::Point;
use daemon_formats::remote_write::encode::{Written, compress, request_1};
use support::Daemon;
use support::series::{Reply, past_minute, post, values};
use tempfile::TempDir;

/// Counters, whose sources are the labels besides `job`.
const STREAMS: &str =
    "streams=[{name = \"requests\", metric = \"requests_total*\", object = [\"job\"], kind = \"counter\",
    aggregations = [\"Sum = 1-raw:DSSum\"]}]";

const SETTINGS: [&str; 7] = [
    STREAMS,
    "aggregation.uve_proxy_list=",
    "aggregation.max_objects_per_partition=3",
    "aggregation.max_sources_per_object=3",
    "aggregation.source_timeout=60s",
    "aggregation.allowed_lateness=0s",
    "log.partitions=1",
];

/// A reading of the counter of one source: object, source, time in milliseconds, value.
type Reading = (&'static str, &'static str, i64, u64);

/// How a sender sends one reading.
type Send = fn(&Daemon, Reading) -> Reply;

fn remote_write(daemon: &Daemon, (job, instance, at, value): Reading) -> Reply {
    let labels = vec![("__name__", "requests_total"), ("job", job), ("instance", instance)];
    let samples = vec![Point { timestamp_ms: at, start_ms: 0, value: value as f64, integer: None }];
    let body = compress(&request_1(&[Written { labels, samples, histograms: Vec::new() }]));
    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];
    post(daemon, "/api/v1/write", &headers, &body)
}

fn otlp(daemon: &Daemon, (job, instance, at, value): Reading) -> Reply {
    let attribute = |key: &str, value: &str| serde_json::json!({"key": key, "value": {"stringValue": value}});
    let point = serde_json::json!({
        "attributes": [attribute("job", job), attribute("instance", instance)],
        "timeUnixNano": format!("{at}000000"), "asInt": value.to_string(),
    });
    let sum = serde_json::json!({"dataPoints": [point], "aggregationTemporality": 2, "isMonotonic": true});
    let metrics = serde_json::json!([{"name": "requests", "sum": sum}]);
    let body = serde_json::json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": metrics}]}]});
    post(daemon, "/v1/metrics", &[("content-type", "application/json")], body.to_string().as_bytes())
}

fn line_protocol(daemon: &Daemon, (job, instance, at, value): Reading) -> Reply {
    let line = format!("requests_total,job={job},instance={instance} value={value}i {at}");
    post(daemon, "/write?precision=ms", &[], line.as_bytes())
}

/// The records that were refused because of a limit, as the metric counts them.
fn over_limit(daemon: &Daemon) -> u64 {
    let metrics = daemon.get("/metrics").1;
    let is_of = |line: &&str| line.starts_with("derived_statsd_records_total{") && line.contains("fate=\"over_limit\"");
    let counted = metrics.lines().filter(is_of).map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
    counted.sum()
}

fn check(format: &str, send: Send) {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    let start = past_minute() - 3_600_000;
    let send_all = |second: i64, readings: &[(&'static str, &'static str, u64)]| {
        for (job, instance, value) in readings {
            let reply = send(&daemon, (job, instance, start + second * 1000, *value));
            assert!([200, 204].contains(&reply.status), "{format}: {} {}", reply.status, reply.text());
        }
        daemon.wait_until_applied();
    };
    // Three sources of `a` fit, and then two further objects.
    let all = |value| [("a", "1", value), ("a", "2", value), ("a", "3", value), ("a", "4", value), ("a", "5", value)];
    send_all(0, &all(100));
    send_all(10, &all(110));
    assert_eq!(over_limit(&daemon), 4, "{format}: two readings of two sources");
    send_all(20, &[("b", "1", 5), ("c", "1", 5), ("d", "1", 5), ("e", "1", 5), ("c", "1", 7)]);
    assert_eq!(over_limit(&daemon), 6, "{format}: one reading of two objects");
    let status = daemon.get("/readyz");
    assert_eq!(status.0, 200, "{format}: {status:?}");
    // Of `a` one source goes on; the others, and the other objects, are silent for longer than the timeout.
    for second in (40..400).step_by(20) {
        send_all(second, &[("a", "1", 110)]);
    }
    assert_eq!(over_limit(&daemon), 6, "{format}");
    send_all(400, &[("a", "4", 500), ("a", "5", 500), ("d", "1", 500), ("e", "1", 500)]);
    send_all(410, &[("a", "4", 501), ("a", "5", 502), ("d", "1", 503), ("e", "1", 504)]);
    assert_eq!(over_limit(&daemon), 6, "{format}: new sources and objects fit");
    send_all(420, &[("a", "2", 500), ("b", "1", 500)]);
    assert_eq!(over_limit(&daemon), 8, "{format}: and the limits hold for them");
    send_all(900, &[("a", "1", 110)]);
    let log = daemon.stop();
    assert!(
        log.contains("fate=\"over_limit\"") && log.contains("aggregation.max_sources_per_object"),
        "{format}: {log}"
    );
    let values = values(data.path(), "requests_total_");
    let of = |job: &str, window: i64| values.get(&(format!("Service:{job}"), start + window * 60_000)).copied();
    assert_eq!((of("a", 0), of("c", 0), of("d", 0)), (Some(30.0), Some(2.0), None), "{format}: {values:?}");
    assert_eq!((of("a", 6), of("d", 6), of("e", 6)), (Some(3.0), Some(3.0), Some(4.0)), "{format}: {values:?}");
}

#[test]
fn series_and_sources_beyond_the_limits_are_counted_and_silent_ones_make_room() {
    let formats: [(&str, Send); 3] = [("remote write", remote_write), ("OTLP", otlp), ("line protocol", line_protocol)];
    for (format, send) in formats {
        check(format, send);
    }
}
