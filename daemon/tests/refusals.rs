//! Requests with samples that are refused as a whole: each input logs and counts them alike.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use daemon_formats::Point;
use daemon_formats::otlp::sent;
use daemon_formats::remote_write::encode::{Written, compress, request_1, request_2};
use support::encodings::gzip;
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

const V1: Headers = &[("content-encoding", "snappy"), ("content-type", "application/x-protobuf")];
const V2: Headers =
    &[("content-encoding", "snappy"), ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")];
const GZIP_JSON: Headers = &[("content-encoding", "gzip"), ("content-type", "application/json")];
const GZIP_TEXT: Headers = &[("content-encoding", "gzip")];

/// Name, path, headers and body of a request, and the status of one whose body is too large when it is decoded.
type Compressed = (&'static str, &'static str, Headers, Vec<u8>, u16);

/// A compressed request of each input with as many samples of one object, whose name it states once where its format can.
fn compressed(job: &str, samples: usize) -> Vec<Compressed> {
    let (now, count) = (now_ms(), samples as i64);
    let times: Vec<_> = (0..count).map(|index| now - count + index).collect();
    let point = |timestamp_ms: &i64| Point { timestamp_ms: *timestamp_ms, start_ms: 0, value: 1.0, integer: None };
    let parts: Vec<_> = (0..).map(|part: usize| part.to_string()).take(samples.div_ceil(5000)).collect();
    let series: Vec<_> = parts
        .iter()
        .zip(times.chunks(5000))
        .map(|(part, times)| Written {
            labels: vec![("__name__", "m"), ("job", job), ("part", part)],
            samples: times.iter().map(point).collect(),
            histograms: Vec::new(),
        })
        .collect();
    let mut gauge = Vec::new();
    times.iter().for_each(|time| sent::point(&[], Some(1.0), *time as u64 * 1_000_000, &mut gauge));
    let otlp = sent::request(&[("service.name", job)], ("s", "1"), [("m", &[&gauge[..]][..])]);
    let json = times.iter().map(|time| format!(r#"{{"asDouble":1,"timeUnixNano":"{time}000000"}}"#));
    let json = json.collect::<Vec<_>>().join(",");
    let json = format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{job}"}}}}]}},
        "scopeMetrics":[{{"metrics":[{{"name":"m","gauge":{{"dataPoints":[{json}]}}}}]}}]}}]}}"#
    );
    let fields: Vec<_> = (0..samples).map(|index| format!("f{index}=1")).collect();
    let influx: String = fields.chunks(1000).map(|fields| format!("m,job={job} {}\n", fields.join(","))).collect();
    let lines = times
        .iter()
        .map(|time| format!("{{\"stream\":\"e-m_\",\"key\":\"Service:{job}\",\"ts\":{time}000,\"value\":1}}\n"));
    let lines: String = lines.collect();
    vec![
        ("remote write 1", "/api/v1/write", V1, compress(&request_1(&series)), 400),
        ("remote write 2", "/api/v1/write", V2, compress(&request_2(&series)), 400),
        ("OTLP", "/v1/metrics", GZIP, gzip(&otlp), 413),
        ("OTLP JSON", "/v1/metrics", GZIP_JSON, gzip(json.as_bytes()), 413),
        ("line protocol", "/write", GZIP_TEXT, gzip(influx.as_bytes()), 413),
        ("NDJSON", "/api/v1/samples", GZIP_TEXT, gzip(lines.as_bytes()), 413),
    ]
}

/// The records that were applied, and points that were stored.
fn taken(daemon: &Daemon) -> (u64, u64) {
    daemon.wait_until_applied();
    let metrics = daemon.get("/metrics").1;
    let records = metrics.lines().filter(|line| line.starts_with("derived_statsd_records_total{"));
    let records = records.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum();
    (records, ["remote_write", "otlp", "influx"].map(|format| points(daemon, format, "stored")).iter().sum())
}

/// Refuses the requests that are too large, and takes a request of each input after that.
fn refuse_too_large(limit: &str, requests: Vec<Compressed>, status_of: impl Fn(u16) -> u16, expected: &[&str]) {
    let data = TempDir::new().unwrap();
    let streams = r#"streams=[{name = "e", metric = "m*", object = ["job"], aggregations = ["AggProxySumLast"]}]"#;
    let settings = [streams, "log.partitions=1", "aggregation.uve_proxy_list=", limit];
    let daemon = Daemon::start(data.path(), &settings);
    for (name, path, headers, body, status) in requests {
        let reply = post(&daemon, path, headers, &body);
        assert_eq!(reply.status, status_of(status), "{name}, {} bytes: {}", body.len(), reply.text());
        assert!(expected.iter().any(|text| reply.text().contains(text)), "{name}: {}", reply.text());
    }
    assert_eq!(taken(&daemon), (0, 0), "nothing of them is taken");
    for (name, path, headers, body, _) in compressed("a", 1) {
        let reply = post(&daemon, path, headers, &body);
        assert!(matches!(reply.status, 200 | 204), "{name}: {} {}", reply.status, reply.text());
    }
    assert_eq!(taken(&daemon), (6, 5));
    daemon.stop();
}

#[test]
fn what_is_small_when_compressed_and_too_large_when_decoded_is_refused_as_a_whole() {
    let requests = compressed("a", 1500);
    assert!(requests.iter().all(|(name, _, _, body, _)| *name == "NDJSON" || body.len() < 10_000));
    refuse_too_large(
        "http.max_body_bytes=10000",
        requests,
        |status| status,
        &["bytes decompressed", "more than 10000 bytes"],
    );
}

/// The object is stored with each sample, and is in the request once.
#[test]
fn samples_that_have_far_more_bytes_than_their_request_are_refused_with_the_bound_and_the_setting() {
    let mut requests = compressed(&"j".repeat(900), 20_000);
    assert_eq!(requests.pop().map(|it| it.0), Some("NDJSON"), "each line has its own");
    let expected = "has more than 16777216 bytes, the least that samples may have; lower the sender's batch (";
    refuse_too_large("http.max_body_bytes=3000000", requests, |_| 413, &[expected]);
    let mut requests = compressed(&"j".repeat(900), 40_000);
    requests.pop();
    let expected = "has more than 20000000 bytes, four times http.max_body_bytes; lower the sender's batch (";
    refuse_too_large("http.max_body_bytes=5000000", requests, |_| 413, &[expected]);
}
