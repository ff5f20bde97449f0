//! Requests with samples that are refused as a whole: each input logs and counts them alike.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use support::series::{now_ms, points, post};
use support::{Daemon, line};
use tempfile::TempDir;

const STREAMS: &str =
    r#"streams=[{name = "t", metric = "temperature.value", object = ["room"], aggregations = ["AggProxySum"]}]"#;
const SETTINGS: [&str; 3] = [STREAMS, "log.partitions=1", "http.max_body_bytes=10000"];

type Headers = &'static [(&'static str, &'static str)];

/// Path, headers and body of a request; the status of its answer, and the reason by which it counts.
type Case = (&'static str, Headers, Vec<u8>, u16, &'static str);

const PROTOBUF: Headers = &[("content-type", "application/x-protobuf")];
const GZIP: Headers = &[("content-encoding", "gzip"), ("content-type", "application/x-protobuf")];
const UNKNOWN: Headers = &[("content-encoding", "br"), ("content-type", "application/x-protobuf")];

/// A body of protobuf in the block format of snappy that is cut off.
const CUT_OFF: [u8; 5] = [3, 2 << 2, 0x0a, 0xff, b'a'];

/// Input, what the message of the first case contains, and the cases.
type Input = (&'static str, &'static str, Vec<Case>);

/// A body above the limit.
fn large() -> Vec<u8> {
    vec![b'x'; 10_001]
}

/// The inputs of series with labels.
fn of_series() -> Vec<Input> {
    vec![
        (
            "remote_write",
            "protobuf",
            vec![
                ("/api/v1/write", PROTOBUF, CUT_OFF.to_vec(), 400, "format"),
                ("/api/v1/write", PROTOBUF, b"no snappy".to_vec(), 400, "format"),
                ("/api/v1/write", GZIP, vec![], 415, "coding"),
                ("/api/v1/write", PROTOBUF, large(), 413, "size"),
                ("/api/v1/write?x=1", PROTOBUF, vec![], 400, "request"),
            ],
        ),
        (
            "otlp",
            "ExportMetricsServiceRequest",
            vec![
                ("/v1/metrics", PROTOBUF, b"\x0a\xff".to_vec(), 400, "format"),
                ("/v1/metrics", &[("content-type", "application/json")], b"[]x".to_vec(), 400, "format"),
                ("/v1/metrics", &[("content-type", "text/plain")], vec![], 415, "coding"),
                ("/v1/metrics", GZIP, b"no gzip".to_vec(), 400, "coding"),
                ("/v1/metrics", PROTOBUF, large(), 413, "size"),
            ],
        ),
        (
            "influx",
            "precision is",
            vec![
                ("/write?precision=%0Ad%1B[31m", &[], vec![], 400, "request"),
                ("/api/v2/write?precision=d", &[], vec![], 400, "request"),
                ("/api/v2/write", GZIP, b"no gzip".to_vec(), 400, "coding"),
                ("/write", UNKNOWN, vec![], 415, "coding"),
                ("/api/v2/write", &[], large(), 413, "size"),
            ],
        ),
    ]
}

/// The inputs of lines.
fn of_lines() -> Vec<Input> {
    vec![
        (
            "samples",
            "looks like",
            vec![
                ("/api/v1/samples", &[], b"BZh91AY&SY".to_vec(), 400, "format"),
                ("/api/v1/samples", &[], b"[{\"key\":".to_vec(), 400, "format"),
                ("/api/v1/samples", GZIP, b"no gzip".to_vec(), 400, "coding"),
                ("/api/v1/samples", UNKNOWN, vec![], 415, "coding"),
                ("/api/v1/samples", &[], large(), 413, "size"),
                ("/api/v1/samples", &[("idempotency-key", "")], vec![], 400, "request"),
                ("/api/v1/samples", &[("origin", "http://evil.example")], vec![], 403, "access"),
            ],
        ),
        (
            "partials",
            "looks like",
            vec![
                ("/api/v1/partials", &[], b"BZh91AY&SY".to_vec(), 400, "format"),
                ("/api/v1/partials", &[], large(), 413, "size"),
            ],
        ),
    ]
}

/// The refused requests of all inputs, by input and reason.
fn refused(daemon: &Daemon) -> BTreeMap<(String, String), u64> {
    let metrics = daemon.get("/metrics").1;
    let of = |line: &str| {
        let rest = line.strip_prefix("derived_statsd_requests_refused_total{input=\"")?;
        let (input, rest) = rest.split_once("\",reason=\"")?;
        let (reason, count) = rest.split_once("\"} ")?;
        Some(((input.to_owned(), reason.to_owned()), count.parse().unwrap()))
    };
    metrics.lines().filter_map(of).collect()
}

/// The messages about refused requests.
fn messages(stderr: &str) -> Vec<&str> {
    stderr.lines().filter(|line| line.contains("A request with samples was refused as a whole.")).collect()
}

#[test]
fn every_input_logs_and_counts_what_it_refuses_as_a_whole() {
    for (input, part, cases) in of_series().into_iter().chain(of_lines()) {
        let data = TempDir::new().unwrap();
        let daemon = Daemon::start(data.path(), &SETTINGS);
        let before = refused(&daemon);
        assert_eq!(before.len(), 5 * 8, "each input has each reason from the start: {before:?}");
        assert!(before.values().all(|count| *count == 0), "{before:?}");
        let mut expected = before;
        for (path, headers, body, status, reason) in cases {
            let reply = post(&daemon, path, headers, &body);
            assert_eq!(reply.status, status, "{path}: {}", reply.text());
            *expected.get_mut(&(input.to_owned(), reason.to_owned())).unwrap() += 1;
            assert_eq!(refused(&daemon), expected, "{path}: {}", reply.text());
        }
        let stderr = daemon.stop();
        let first = messages(&stderr)[0];
        for part in [&format!("input=\"{input}\" client=127.0.0.1 status=400 reason="), part] {
            assert!(first.contains(part), "no {part:?} in {first}");
        }
        assert!(first.chars().count() < 600 && !stderr.contains('\x1b'), "{stderr}");
    }
}

#[test]
fn a_message_about_a_refused_request_is_short_and_of_one_line_and_has_no_password() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    let path = format!("/write?u=me&p=hunter2&precision={}%0A%0A", "y".repeat(5000));
    assert_eq!(post(&daemon, &path, &[("authorization", "Bearer hunter2")], b"").status, 400);
    let stderr = daemon.stop();
    let found = messages(&stderr);
    assert!(found.len() == 1 && found[0].len() < 600 && found[0].contains("yyyy"), "{stderr}");
    assert!(!stderr.contains("hunter2"), "{stderr}");
}

#[test]
fn what_is_refused_in_part_is_no_refused_request_and_is_logged_for_lines_too() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    let lines = format!("temperature,room=x value={} {}\nno line\n", 1, now_ms() * 1_000_000);
    assert_eq!(post(&daemon, "/write", &[], lines.as_bytes()).status, 400);
    assert_eq!(points(&daemon, "influx", "rejected"), 1);
    let bad = line("a", "unknown_attribute", 1_488_000_000_000_000, 1);
    assert_eq!(post(&daemon, "/api/v1/samples", &[], bad.as_bytes()).status, 400);
    assert!(refused(&daemon).values().all(|count| *count == 0), "{:?}", refused(&daemon));
    let stderr = daemon.stop();
    assert_eq!(messages(&stderr), Vec::<&str>::new(), "{stderr}");
    let of_line = stderr.lines().find(|line| line.contains("Samples were rejected.") && line.contains("\"samples\""));
    assert!(of_line.is_some_and(|line| line.contains("line 1: no stream `unknown_attribute`")), "{stderr}");
}

#[test]
fn what_is_sent_again_counts_and_is_not_logged() {
    let data = TempDir::new().unwrap();
    let settings = [&SETTINGS[..], &["log.retention.max_backlog_bytes=1", "log.commit_interval=1h"]].concat();
    let daemon = Daemon::start(data.path(), &settings);
    let send = |at| {
        let written = format!("temperature,room=x value=1 {}\n", (now_ms() - at) * 1_000_000);
        post(&daemon, "/write", &[], written.as_bytes()).status
    };
    let full = (0..5).map(send).filter(|status| *status == 429).count() as u64;
    let busy = refused(&daemon)[&("influx".to_owned(), "busy".to_owned())];
    assert!(full > 0 && busy == full, "{full} answers, {busy} counted");
    let stderr = daemon.stop();
    assert_eq!(messages(&stderr), Vec::<&str>::new(), "{stderr}");
}

/// The answer to a request that is sent as it is, and of which no more comes.
fn answer(daemon: &Daemon, request: &str) -> String {
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    stream.shutdown(Shutdown::Both).ok();
    answer
}

#[test]
fn a_slow_body_is_logged_only_where_its_client_does_not_send_it_again() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &[&SETTINGS[..], &["http.body_timeout=1s"]].concat());
    let cases = [
        ("/api/v1/write", "remote_write", "503"),
        ("/v1/metrics", "otlp", "503"),
        ("/write", "influx", "503"),
        ("/api/v1/samples", "samples", "408"),
    ];
    for (path, input, status) in cases {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 100\r\n\r\n[]"
        );
        let answer = answer(&daemon, &request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        assert_eq!(refused(&daemon)[&(input.to_owned(), "slow".to_owned())], 1, "{path}");
    }
    let stderr = daemon.stop();
    let found = messages(&stderr);
    assert!(!found.is_empty() && found.iter().all(|line| line.contains("status=408")), "{stderr}");
}

#[test]
fn a_probe_of_the_path_of_an_input_is_no_refused_request() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    for path in ["/api/v1/write", "/v1/metrics", "/write", "/api/v2/write", "/api/v1/samples", "/api/v1/partials"] {
        for method in ["GET", "HEAD", "OPTIONS", "DELETE"] {
            let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            let answer = answer(&daemon, &request);
            assert!(answer.starts_with("HTTP/1.1 4"), "{method} {path}: {answer}");
        }
    }
    assert!(refused(&daemon).values().all(|count| *count == 0), "{:?}", refused(&daemon));
    let stderr = daemon.stop();
    assert_eq!(messages(&stderr), Vec::<&str>::new(), "{stderr}");
}
