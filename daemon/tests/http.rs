//! What clients of the HTTP API may send, and what is refused with which words.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "a test of how long a stop takes")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use support::encodings::{self, gzip};
use support::{Daemon, line};
use tempfile::TempDir;

const START: u64 = 1_488_000_000_000_000;
const LIMIT: &str = "http.max_body_bytes=10000";

fn connect(daemon: &Daemon) -> TcpStream {
    let url = daemon.url("");
    let stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Sends a request as it is; the whole response, lower case in its head.
fn ask(daemon: &Daemon, head: &str, body: &[u8]) -> (u16, String) {
    let mut stream = connect(daemon);
    let host = daemon.url("");
    let host = host.strip_prefix("http://").unwrap();
    let length = if head.to_lowercase().contains("content-length") || body.is_empty() {
        String::new()
    } else {
        format!("content-length: {}\r\n", body.len())
    };
    let host = if head.contains("\r\nHost:") { String::new() } else { format!("Host: {host}\r\n") };
    write!(stream, "{head}\r\n{host}{length}connection: close\r\n\r\n").unwrap();
    stream.write_all(body).unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).unwrap();
    let response = String::from_utf8(response).unwrap();
    let status = response.split(' ').nth(1).unwrap_or_else(|| panic!("no status in {response:?}")).parse().unwrap();
    (status, response)
}

/// The status is the expected one, and the body is JSON whose error has all `parts`.
#[track_caller]
fn refused((status, response): &(u16, String), expected: u16, parts: &[&str]) {
    let body = response.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(*status, expected, "{response}");
    assert!(response.to_lowercase().contains("content-type: application/json"), "{response}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error} in {response}"));
    let error = body["error"].as_str().unwrap();
    for part in parts {
        assert!(error.contains(part), "no {part:?} in {error}");
    }
}

fn samples() -> String {
    (0..50).map(|at| line("a", "egress_flow_count", START + at, 1)).collect()
}

fn post_encoded(daemon: &Daemon, coding: &str, body: &[u8]) -> (u16, String) {
    ask(daemon, &format!("POST /api/v1/samples HTTP/1.1\r\nContent-Encoding: {coding}"), body)
}

#[test]
fn compressed_bodies_are_decoded_within_the_limit() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &[LIMIT]);
    // Compressed, it is within the limit of 10,000 bytes in every coding.
    let (text, bomb) = (samples(), vec![b'\n'; 5_000_000]);
    for (coding, encode) in encodings::all() {
        let (status, response) = post_encoded(&daemon, coding, &encode(text.as_bytes()));
        assert_eq!(status, 200, "{coding}: {response}");
        assert!(response.ends_with(r#"{"accepted":50,"rejected":0}"#), "{coding}: {response}");
        let body = encode(&bomb);
        assert!(body.len() <= 10_000, "{coding}: {}", body.len());
        refused(&post_encoded(&daemon, coding, &body), 413, &["decoded", "10000", "http.max_body_bytes"]);
        refused(&post_encoded(&daemon, coding, text.as_bytes()), 400, &["not valid"]);
    }
    refused(&post_encoded(&daemon, "br", b"x"), 415, &["\"br\"", "gzip, deflate, zstd"]);
    refused(&post_encoded(&daemon, "gzip, gzip", b"x"), 415, &["gzip, gzip"]);
    let (status, _) = post_encoded(&daemon, "identity", text.as_bytes());
    assert_eq!(status, 200);
    daemon.stop();
}

#[test]
fn every_refusal_is_json_that_names_the_remedy() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &[LIMIT]);
    let get = |path: &str| ask(&daemon, &format!("GET {path} HTTP/1.1"), b"");
    refused(&get("/nothing"), 404, &["/api/v1/samples"]);
    refused(&get("/analytics/uves/virtual-network/%ff"), 400, &["UTF-8"]);
    refused(&get("/analytics/uves/%ff"), 400, &["UTF-8"]);
    refused(&get("/api/v1/results/stream?from=x"), 400, &["from", "offset"]);
    refused(&get("/api/v1/results/stream?form=0"), 400, &["`form`", "`from`", "offset"]);
    refused(&get("/api/v1/results/stream?from=1&from=2"), 400, &["from", "once"]);
    refused(&get("/api/v1/partitions?partition=3"), 400, &["`partition`", "/api/v1/partitions takes none"]);
    refused(&get("/analytics/uves/virtual-network/a?cfilt=a&cfilt=b"), 400, &["cfilt"]);
    let post = |path: &str, headers: &str| ask(&daemon, &format!("POST {path} HTTP/1.1{headers}"), b"{}");
    refused(&post("/api/v1/samples?dry_run=1", ""), 400, &["`dry_run`", "/api/v1/samples takes none"]);
    refused(&post("/analytics/uves/virtual-network?kfilt=a", ""), 400, &["`kfilt`", "in its body"]);
    let keys = "\r\nIdempotency-Key: a\r\nIdempotency-Key: b";
    refused(&post("/api/v1/samples", keys), 400, &["several", "Idempotency-Key", "send one"]);
    for probe in ["/healthz?x=1", "/readyz?x=1", "/metrics?x=1"] {
        assert!(get(probe).1.contains("200 OK"), "{probe}");
    }
    let other_method = get("/api/v1/samples");
    refused(&other_method, 405, &["GET", "/api/v1/samples"]);
    assert!(other_method.1.to_lowercase().contains("\r\nallow: post"), "{}", other_method.1);
    refused(&ask(&daemon, "DELETE /metrics HTTP/1.1", b""), 405, &["DELETE", "/metrics"]);
    let large = ask(&daemon, "POST /api/v1/samples HTTP/1.1", &vec![b'\n'; 10_001]);
    refused(&large, 413, &["10000", "http.max_body_bytes"]);
    daemon.stop();
}

#[test]
fn a_body_that_is_announced_as_too_large_is_refused_before_it_is_sent() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &[LIMIT]);
    let head = "POST /api/v1/samples HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 10001";
    let response = ask(&daemon, head, b"");
    refused(&response, 413, &["http.max_body_bytes"]);
    assert!(!response.1.contains("100 Continue"), "{}", response.1);
    daemon.stop();
}

#[test]
fn an_early_refusal_reaches_a_client_that_sends_its_whole_body() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &[LIMIT]);
    let body = vec![b'\n'; 8_000_000];
    for path in ["/api/v1/samples", "/analytics/uves/virtual-network"] {
        for _ in 0..5 {
            let refusal = ask(&daemon, &format!("POST {path} HTTP/1.1"), &body);
            refused(&refusal, 413, &["more than"]);
        }
    }
    let foreign = ask(&daemon, "POST /api/v1/samples HTTP/1.1\r\nOrigin: http://evil.example", &body);
    refused(&foreign, 403, &["evil.example"]);
    daemon.stop();
}

#[test]
fn a_page_of_another_site_may_not_post() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &[]);
    let post = |more: &str| {
        let head = format!("POST /api/v1/samples HTTP/1.1\r\nContent-Type: text/plain\r\n{more}");
        ask(&daemon, &head, samples().as_bytes())
    };
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        refused(&post(&format!("Origin: {origin}")), 403, &[origin, "a page of", "own address"]);
    }
    let query = "POST /analytics/uves/virtual-network HTTP/1.1\r\nOrigin: http://evil.example";
    let refusal = ask(&daemon, query, b"{}");
    refused(&refusal, 403, &["evil.example"]);
    assert!(!refusal.1.contains("samples"), "{}", refusal.1);
    // The name of the other site resolves to this machine.
    let rebound = "Origin: http://evil.example:8081\r\nHost: evil.example:8081";
    refused(&post(rebound), 403, &["evil.example:8081"]);
    let (status, response) = post(&format!("Origin: {}", daemon.url("")));
    assert_eq!(status, 200, "{response}");
    // A client that is not a browser may use any name of the server.
    let (status, response) = post("Host: statsd.internal");
    assert_eq!(status, 200, "{response}");
    let metrics = daemon.get("/metrics").1;
    assert!(metrics.contains("derived_statsd_samples_accepted_total 100"), "{metrics}");
    // Reading changes nothing, and a browser does not show the answer to the page.
    let (status, _) = ask(&daemon, "GET /healthz HTTP/1.1\r\nOrigin: http://evil.example", b"");
    assert_eq!(status, 200);
    daemon.stop();
}

#[test]
fn an_array_of_samples_is_taken_and_other_formats_are_named() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &[]);
    let post = |body: &[u8]| ask(&daemon, "POST /api/v1/samples HTTP/1.1", body);
    let array = |pretty: bool| {
        let elements: Vec<serde_json::Value> =
            samples().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        if pretty { serde_json::to_string_pretty(&elements) } else { serde_json::to_string(&elements) }.unwrap()
    };
    let marked = |text: &str| format!("\u{FEFF}{text}");
    for body in [array(false), array(true), marked(&samples()), marked(&array(true)), "[]".to_owned()] {
        let count = if body == "[]" { 0 } else { 50 };
        let (status, response) = post(body.as_bytes());
        assert_eq!(status, 200, "{body:.100}: {response}");
        assert!(response.ends_with(&format!(r#"{{"accepted":{count},"rejected":0}}"#)), "{body:.100}: {response}");
    }
    let (status, response) = post_encoded(&daemon, "gzip", &gzip(array(true).as_bytes()));
    assert_eq!(status, 200, "{response}");
    // A bad element is rejected by its number, and the others are in.
    let one_bad =
        format!("[{}, 7,\n{{\"key\":7}}, {}]", samples().lines().next().unwrap(), samples().lines().next().unwrap());
    let (status, response) = post(one_bad.as_bytes());
    assert_eq!(status, 207, "{response}");
    for part in [r#""accepted":2,"rejected":2"#, r#""line":2"#, r#""line":3"#] {
        assert!(response.contains(part), "no {part}: {response}");
    }
    refused(&post(&array(false).as_bytes()[..500]), 400, &["array", "no end", "nothing of it is stored"]);
    refused(&post(format!("{}{}", array(false), samples()).as_bytes()), 400, &["follows the end"]);
    let pretty = "{\n  \"key\": \"T:a\",\n  \"ts\": 1\n}\n";
    let utf16: Vec<u8> = format!("\u{FEFF}{}", samples()).encode_utf16().flat_map(u16::to_le_bytes).collect();
    let others: [(&[u8], &[&str]); 6] = [
        (pretty.as_bytes(), &["several lines", "on one line", "array"]),
        (&utf16, &["UTF-16", "UTF-8"]),
        (&gzip(samples().as_bytes()), &["gzip", "Content-Encoding: gzip"]),
        (&zstd::encode_all(samples().as_bytes(), 1).unwrap(), &["zstd", "Content-Encoding: zstd"]),
        (b"\xFD7zXZ\0\0\x04", &["xz", "Content-Encoding"]),
        (b"BZh91AY&SY", &["bzip2", "Content-Encoding"]),
    ];
    for (body, parts) in others {
        refused(&post(body), 400, parts);
    }
    daemon.stop();
}

#[test]
fn an_array_with_an_empty_element_is_refused_as_a_whole() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &[]);
    let sample = line("a", "egress_flow_count", START, 1);
    let sample = sample.trim();
    for array in [format!("[{sample},,{sample}]"), format!("[{sample},]")] {
        let refusal = ask(&daemon, "POST /api/v1/samples HTTP/1.1", array.as_bytes());
        refused(&refusal, 400, &["element 2", "comma", "nothing of it is stored"]);
    }
    assert!(daemon.get("/metrics").1.contains("derived_statsd_samples_accepted_total 0"));
    daemon.stop();
}

/// Stops the daemon while a client has sent only this much to the address.
#[track_caller]
fn stops_in_time(sent: &str, address: fn(&Daemon) -> &str) {
    let data = TempDir::new().unwrap();
    let settings = ["contiv.listen=127.0.0.1:0", "contiv.nodes=127.0.0.1:1", "shutdown.grace=120s"];
    let mut daemon = Daemon::start(data.path(), &settings);
    let mut stream = TcpStream::connect(address(&daemon)).unwrap();
    stream.write_all(sent.as_bytes()).unwrap();
    // Answered after the other connection was accepted.
    assert_eq!(daemon.get("/healthz").0, 200);
    let start = Instant::now();
    daemon.signal("TERM");
    let status = daemon.wait();
    let took = start.elapsed();
    assert!(status.success(), "{sent:?}: {status}\n{}", daemon.stderr());
    // Half of the grace is what a request may take that is not cut off.
    assert!(took < Duration::from_secs(60), "{sent:?}: {took:?}\n{}", daemon.stderr());
}

/// Parts of requests, the second one on a connection that has had a response.
const PARTS: [&str; 7] = [
    "P",
    "POST /api/v1/samples HTTP/1.1\r\nHo",
    "POST /api/v1/samples HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{",
    "POST /api/v1/samples HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
    "POST /analytics/uves/virtual-network HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{",
    "GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{",
    "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz HT",
];

#[test]
fn a_part_of_a_request_does_not_hold_up_the_stop() {
    for sent in PARTS {
        stops_in_time(sent, |daemon| daemon.url("").leak().strip_prefix("http://").unwrap());
    }
}

#[test]
fn a_part_of_a_request_to_the_page_of_contiv_does_not_hold_up_the_stop() {
    for sent in PARTS {
        stops_in_time(sent, Daemon::contiv_address);
    }
}
