//! InfluxDB line protocol to the real binary: requests as a table, the clients of InfluxDB, and the guide for Telegraf.
//!
//! A real Telegraf writes by the guide's configuration in `agents.rs`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "samples have the time of the clock, as those of a sender")]

mod support;

use std::process::Command;
use std::time::Duration;

use support::series::{block, foreground, now_ms, past_minute, points, post, python, run_block, values};
use support::{Daemon, encodings};
use tempfile::TempDir;

const GUIDE: &str = include_str!("../../docs/src/guide/from-telegraf.md");

/// A stream of gauges and one of counters.
const STREAMS: &str = r#"streams=[
    {name = "cpu", metric = "cpu.usage", object = ["host"], aggregations = ["Sum = 1-raw:DSSum"]},
    {name = "used", metric = "disk.used", object = ["host"], type = "u64", aggregations = ["AggProxySumLast"]},
    {name = "net", metric = "net.bytes_*", object = ["host"], kind = "counter", aggregations = ["Sum = 1-raw:DSSum"]},
]"#;

const SETTINGS: [&str; 3] = [STREAMS, "log.partitions=1", "aggregation.uve_proxy_list="];

const V1: &str = "/write?db=telegraf&rp=autogen&consistency=any&u=a&p=b";
const V2: &str = "/api/v2/write?org=o&bucket=b";

/// Name, precision, body, status, and what the error contains.
type Case = (&'static str, &'static str, String, u16, &'static str);

fn cases() -> Vec<Case> {
    let now = now_ms();
    let line = |fields: &str, time: i64| format!("cpu,host=a {fields} {time}");
    let long = line("usage=1", now) + &"\n#".repeat(5000);
    vec![
        ("nothing", "ms", String::new(), 204, ""),
        ("a point", "ms", line("usage=1", now), 204, ""),
        ("in seconds", "s", line("usage=1i", now / 1000), 204, ""),
        ("in microseconds", "us", line("usage=1u", now * 1000), 204, ""),
        ("in nanoseconds", "", line("usage=t", now * 1_000_000), 204, ""),
        ("without a time", "ms", "cpu,host=a usage=1".to_owned(), 204, ""),
        ("a text", "ms", line("usage=\"idle\"", now), 204, ""),
        ("a series without a stream", "ms", line("other=1", now), 204, ""),
        (
            "a bad line",
            "ms",
            line("usage=1", now) + "\nm\n" + &line("usage=2", now),
            400,
            "partial write: 1 rejected, all \
             others stored: line 2, `m`: a field is missing",
        ),
        ("another precision", "s", line("usage=1", now), 400, " in stream cpu-cpu_usage: "),
        ("an unknown precision", "d", line("usage=1", now), 400, "precision is \"d\"; write ns, us, ms, s, m or h"),
        ("an unknown parameter", "ms&x=1", line("usage=1", now), 204, ""),
        ("too large", "ms", long, 413, "http.max_body_bytes"),
    ]
}

#[test]
fn requests_have_the_status_and_the_error_of_their_version() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &[&SETTINGS[..], &["http.max_body_bytes=10000"]].concat());
    for (name, precision, body, status, part) in cases() {
        for (path, field) in [(V1, "error"), (V2, "message")] {
            let reply = post(&daemon, &format!("{path}&precision={precision}"), &[], body.as_bytes());
            assert_eq!(reply.status, status, "{name} at {path}: {}", reply.text());
            if status == 204 {
                assert_eq!(reply.text(), "", "{name}");
                continue;
            }
            let error: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
            assert!(error[field].as_str().unwrap().contains(part), "{name}: no {part:?} in {error}");
            let code = if status == 400 { "invalid" } else { "request too large" };
            assert!(path == V1 || error["code"] == code, "{name}: {error}");
        }
    }
    assert_eq!(points(&daemon, "influx", "text"), 2);
    // The body with one bad line is the same in both versions, and counts once.
    assert_eq!(points(&daemon, "influx", "rejected"), 3);
    let stderr = daemon.stop();
    assert_eq!(stderr.matches("A write has an unknown parameter, which is ignored.").count(), 1, "{stderr}");
}

#[test]
fn bodies_may_be_compressed_and_a_repeated_one_counts_once() {
    let data = TempDir::new().unwrap();
    let mut daemon = Daemon::start(data.path(), &SETTINGS);
    let start = past_minute();
    let body = format!("cpu,host=a usage=20 {start}\ncpu,host=a usage=22 {}", start + 1000);
    let path = format!("{V1}&precision=ms");
    for (coding, encode) in encodings::all() {
        let reply = post(&daemon, &path, &[("content-encoding", coding)], &encode(body.as_bytes()));
        assert_eq!(reply.status, 204, "{coding}: {}", reply.text());
    }
    daemon.signal("KILL");
    daemon.wait();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    assert_eq!(post(&daemon, &path, &[], body.as_bytes()).status, 204);
    let close = format!("cpu,host=a usage=0 {}", start + 150_000);
    assert_eq!(post(&daemon, &path, &[], close.as_bytes()).status, 204);
    daemon.wait_until_applied();
    daemon.stop();
    assert_eq!(values(data.path(), "cpu-cpu_usage").get(&("Service:a".to_owned(), start)), Some(&42.0));
}

#[test]
fn a_batch_that_comes_again_with_later_points_counts_once() {
    let data = TempDir::new().unwrap();
    let mut daemon = Daemon::start(data.path(), &SETTINGS);
    let start = past_minute();
    let path = format!("{V1}&precision=ms");
    // A gauge that is summed, and a counter, each second.
    let line = |second: i64| {
        let time = start + second * 1000;
        format!("cpu,host=a usage={}i {time}\nnet,host=a bytes_recv={second}i {time}\n", 1 << second)
    };
    let lines = |seconds: std::ops::Range<i64>| seconds.map(line).collect::<String>();
    // Telegraf got no answer to the first three, so that each comes again with the points that came meanwhile; of the
    // last one it got it, but not of the one that overlaps with it.
    for seconds in [0..2, 0..3, 0..3, 0..5, 3..7] {
        assert_eq!(post(&daemon, &path, &[], lines(seconds).as_bytes()).status, 204);
        daemon.signal("KILL");
        daemon.wait();
        daemon = Daemon::start(data.path(), &SETTINGS);
    }
    // The first body is the start of the second one, but not in whole lines: that is another body.
    let other = format!("cpu,host=b usage=1 {start}\ncpu,host=b usage=2 {}", start + 1000);
    for (end, status) in [("", 204), ("0", 400), ("\n", 204)] {
        let reply = post(&daemon, &path, &[], format!("{other}{end}").as_bytes());
        assert_eq!(reply.status, status, "{}", reply.text());
    }
    for series in ["cpu,host=a usage", "cpu,host=b usage", "net,host=a bytes_recv"] {
        let close = format!("{series}=6i {}", start + 150_000);
        assert_eq!(post(&daemon, &path, &[], close.as_bytes()).status, 204);
    }
    daemon.wait_until_applied();
    daemon.stop();
    let of = |stream: &str, key: &str| values(data.path(), stream).get(&(key.to_owned(), start)).copied();
    assert_eq!(of("cpu-cpu_usage", "Service:a"), Some(127.0));
    assert_eq!(of("net-net_bytes__", "Service:a"), Some(6.0));
    assert_eq!(of("cpu-cpu_usage", "Service:b"), Some(4.0));
}

#[test]
fn the_last_value_of_each_path_counts_where_a_type_keeps_sources() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    let start = past_minute();
    let of = |(path, used): (&str, u64)| {
        let line = |second: i64| format!("disk,host=a,path={path} used={used}i {}\n", start + second * 1000);
        line(0) + &line(30)
    };
    let body = [("/", 10), ("/home", 20), ("/var", 30)].map(of).concat();
    let close = format!("disk,host=a,path=/ used=0i {}", start + 150_000);
    let reply = post(&daemon, &format!("{V1}&precision=ms"), &[], (body + &close).as_bytes());
    assert_eq!(reply.status, 204, "{}", reply.text());
    daemon.wait_until_applied();
    daemon.stop();
    assert_eq!(values(data.path(), "used-disk_used").get(&("Service:a".to_owned(), start)), Some(&60.0));
}

#[test]
fn points_without_a_time_count_each_time() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    for _ in 0..3 {
        assert_eq!(post(&daemon, V2, &[], b"cpu,host=a usage=1").status, 204);
    }
    assert_eq!(points(&daemon, "influx", "stored"), 3);
    daemon.stop();
}

#[test]
fn what_clients_ask_before_they_write_is_answered() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    assert_eq!(daemon.get("/ping"), (204, String::new()));
    let (status, health) = daemon.get("/health");
    assert!(status == 200 && health.contains("\"status\":\"pass\""), "{health}");
    let results = r#"{"results":[{"statement_id":0}]}"#;
    for statement in ["CREATE+DATABASE+%22telegraf%22", "create%20database%20x", "SHOW+DATABASES"] {
        assert_eq!(daemon.get(&format!("/query?q={statement}")), (200, results.to_owned()), "{statement}");
        let form = post(&daemon, "/query", &[], format!("db=x&q={statement}").as_bytes());
        assert_eq!((form.status, form.text().as_str()), (200, results), "{statement}");
    }
    let (status, error) = daemon.get("/query?q=SELECT+*+FROM+cpu");
    assert!(status == 400 && error.contains("takes writes"), "{error}");
    let coded = post(&daemon, "/query", &[("content-encoding", "snappy")], b"q=SHOW+DATABASES");
    assert_eq!(coded.status, 415, "the body is read as any other: {}", coded.text());
    daemon.stop();
}

#[test]
fn a_full_log_is_a_reason_to_retry() {
    let data = TempDir::new().unwrap();
    let settings = [&SETTINGS[..], &["log.retention.max_backlog_bytes=1", "log.commit_interval=1h"]].concat();
    let daemon = Daemon::start(data.path(), &settings);
    let replies: Vec<_> =
        (0..5).map(|it| post(&daemon, V2, &[], format!("cpu,host=a usage={it}").as_bytes())).collect();
    let full = replies.iter().find(|reply| reply.status != 204).expect("the log is full");
    assert_eq!((full.status, full.retry_after.as_deref()), (429, Some("1")), "{}", full.text());
    assert!(full.text().contains("\"code\":\"too many requests\""), "{}", full.text());
}

#[test]
fn rejections_are_logged_at_a_limited_rate() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    for _ in 0..50 {
        assert_eq!(post(&daemon, V1, &[], b"bad").status, 400);
    }
    std::thread::sleep(Duration::from_millis(200));
    let stderr = daemon.stop();
    let lines = stderr.lines().filter(|line| line.contains("Samples were rejected.")).count();
    assert!((1..=3).contains(&lines), "{lines} lines:\n{stderr}");
}

/// Writes with the clients of both versions: 100 readings of a counter that rises by 1 each second, in each of two
/// interfaces, and a text.
const CLIENTS: &str = r#"
import sys
from influxdb import InfluxDBClient as One
from influxdb.exceptions import InfluxDBClientError
from influxdb_client import InfluxDBClient as Two, Point
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

port, start = int(sys.argv[1]), int(sys.argv[2])
one = One(host="127.0.0.1", port=port, database="telegraf", gzip=True)
assert one.ping().startswith("derived-statsd-"), one.ping()
one.create_database("telegraf")
points = [{"measurement": "net", "tags": {"host": "a b", "interface": "eth0"}, "time": start + second * 1000,
           "fields": {"bytes_recv": second, "driver": "e1000, \"x\""}} for second in range(50)]
assert one.write_points(points, time_precision="ms")
try:
    one.write_points([{"measurement": "net", "tags": {"host": "a b"}, "time": -1, "fields": {"bytes_recv": 1}}])
    raise SystemExit("a time before 1970 is taken")
except InfluxDBClientError as error:
    assert error.code == 400 and "partial write" in str(error), error

two = Two(url=f"http://127.0.0.1:{port}", token="any", org="o", enable_gzip=True)
assert two.ping() and two.health().status == "pass"
write = two.write_api(write_options=SYNCHRONOUS)
write.write("b", record=[Point("net").tag("host", "a b").tag("interface", "eth1").field("bytes_recv", second)
                         .time((start + second * 1000) * 1_000_000) for second in range(50)])
try:
    write.write("b", record="net,host=a bytes_recv=x")
    raise SystemExit("a bad line is taken")
except ApiException as error:
    assert error.status == 400 and "`x`" in str(error), error
"#;

#[test]
fn the_official_python_clients_of_both_versions_write() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    let (start, port) = (past_minute(), daemon.address().rsplit_once(':').unwrap().1.to_owned());
    let output = python(CLIENTS, &[&port, &start.to_string()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let close = format!("net,host=a\\ b,interface=eth0 bytes_recv=49 {}", start + 150_000);
    assert_eq!(post(&daemon, &format!("{V2}&precision=ms"), &[], close.as_bytes()).status, 204);
    daemon.wait_until_applied();
    assert_eq!(points(&daemon, "influx", "text"), 50);
    daemon.stop();
    // From 0 to 49 in both interfaces.
    assert_eq!(values(data.path(), "net-net_bytes__").get(&("Service:a b".to_owned(), start)), Some(&98.0));
}

#[test]
fn the_command_line_client_of_debian_writes() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    let port = daemon.address().rsplit_once(':').unwrap().1.to_owned();
    let insert = "INSERT cpu,host=a usage=7";
    let arguments = ["-host", "127.0.0.1", "-port", &port, "-database", "telegraf", "-execute", insert];
    let output = Command::new("influx").args(arguments).output().expect("influx is installed; run .ci/setup");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(points(&daemon, "influx", "stored"), 1);
    daemon.stop();
}

#[test]
fn the_guide_runs_as_written() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("derived-statsd.toml"), block(GUIDE, "[aggregation]")).unwrap();
    run_block(block(GUIDE, "derived-statsd validate"), folder.path(), "");
    let explained = run_block(block(GUIDE, "derived-statsd explain"), folder.path(), "");
    assert!(explained.contains("Service:web1"), "{explained}");
    let output: toml::Table = block(GUIDE, "[[outputs.influxdb]]").parse().unwrap();
    let url = output["outputs"]["influxdb"][0]["urls"][0].as_str().unwrap();
    assert_eq!(url, "http://127.0.0.1:8081");

    let data = folder.path().join("log");
    let run = foreground(block(GUIDE, "derived-statsd run"), folder.path(), &data, &["aggregation.period=2"]);
    let daemon = Daemon::spawn(run).expect("the daemon starts");
    run_block(block(GUIDE, "curl -fsS 'http://127.0.0.1:8081/write"), folder.path(), daemon.address());
    assert_eq!((points(&daemon, "influx", "stored"), points(&daemon, "influx", "text")), (2, 0));
    daemon.wait_until_applied();
    daemon.stop();
}
