//! A real daemon and nodes of Contiv whose answers a test sets: the shapes, errors and moves of the field.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "a test waits for windows that the wall clock closes")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use support::broker::free_port;
use support::{Daemon, results, wait_until};
use tempfile::TempDir;

/// A node that answers every request with the bytes that a test set last. Its thread ends with the process.
struct Node {
    address: String,
    answer: Arc<Mutex<Vec<u8>>>,
}

impl Node {
    fn start(body: &str) -> Self {
        Self::start_on("127.0.0.1", body)
    }

    fn start_on(ip: &str, body: &str) -> Self {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let node = Self { address: listener.local_addr().unwrap().to_string(), answer: Arc::default() };
        node.set(body);
        let answer = Arc::clone(&node.answer);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut request = [0; 1024];
                // A client that is gone sends no request and reads no answer.
                if let Ok(1..) = stream.read(&mut request) {
                    let answer = answer.lock().unwrap().clone();
                    let _ = stream.write_all(&answer);
                }
            }
        });
        node
    }

    fn set(&self, body: &str) {
        self.set_answer(&format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ));
    }

    fn set_answer(&self, answer: &str) {
        *self.answer.lock().unwrap() = answer.as_bytes().to_vec();
    }
}

const FAST: [&str; 5] =
    ["contiv.interval=1s", "contiv.jitter=0s", "contiv.timeout=500ms", "contiv.listen=127.0.0.1:0", "log.partitions=1"];

fn start(data: &TempDir, nodes: &[&Node], settings: &[&str]) -> Daemon {
    let addresses: Vec<_> = nodes.iter().map(|node| node.address.as_str()).collect();
    let nodes = format!("contiv.nodes={}", addresses.join(" "));
    Daemon::start(data.path(), &[&FAST[..], &[&nodes], settings].concat())
}

/// The value of one line of the metrics; `None` if there is no such line.
fn metric(daemon: &Daemon, line: &str) -> Option<u64> {
    let (_, metrics) = daemon.get("/metrics");
    let value = metrics.lines().find_map(|it| it.strip_prefix(&format!("derived_statsd_{line} ")))?;
    Some(value.parse::<f64>().unwrap() as u64)
}

fn wait_for(daemon: &Daemon, line: &str, least: u64) {
    wait_until(line, || metric(daemon, line).filter(|value| *value >= least));
}

/// What the server for Contiv's page answers.
fn page(daemon: &Daemon, path: &str) -> (u16, Value) {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let mut response = agent.get(format!("http://{}{path}", daemon.contiv_address())).call().unwrap();
    (response.status().as_u16(), serde_json::from_slice(&response.body_mut().read_to_vec().unwrap()).unwrap())
}

/// The points of the results log, each once.
fn points(data: &TempDir) -> Vec<Value> {
    let mut points: Vec<Value> = Vec::new();
    for line in results(data.path()).iter().filter(|line| line.starts_with("{\"scrape\":")) {
        let record: Value = serde_json::from_str(line).unwrap();
        for point in record["points"].as_array().unwrap() {
            if !points.contains(point) {
                points.push(point.clone());
            }
        }
    }
    points
}

#[test]
fn a_node_of_2016_with_the_provider_in_the_service_has_points_and_pages() {
    let body = r#"{"11.1.1.2":{"SvcStats":{"100.1.1.3":{"ProviderIP":"10.1.1.7","Stats":{"BytesIn":1018,"BytesOut":2000,"PacketsIn":3,"PacketsOut":4}}}}}"#;
    let (node, data) = (Node::start(body), TempDir::new().unwrap());
    let daemon = start(&data, &[&node], &[]);
    wait_for(&daemon, "contiv_points_total", 1);
    let pair = json!({
        "EndpointIP": "11.1.1.2", "ServiceIP": "100.1.1.3", "ProviderIP": "10.1.1.7",
        "BytesIn": 1018, "BytesOut": 2000, "PacketsIn": 3, "PacketsOut": 4,
    });
    assert_eq!(page(&daemon, "/11.1.1.2"), (200, pair.clone()));
    assert_eq!(page(&daemon, "/all"), (200, json!([pair])));
    daemon.stop();
    assert_eq!(points(&data), [json!(["11.1.1.2", "100.1.1.3", "10.1.1.7", 1018, 2000, 3, 4])]);
}

#[test]
fn a_body_of_which_nothing_could_be_read_is_a_failed_scrape_and_an_empty_one_is_not() {
    let bodies = [
        r#"{"endpoints":{"11.1.1.2":{"SvcStats":{}}}}"#,
        r#"{"11.1.1.2":{"svcstats":{"100.1.1.3":{}}}}"#,
        r#"{"11.1.1.2":{"SvcStats":{"100.1.1.3":{"Bytes":7}}}}"#,
        r#"["down"]"#,
    ];
    let nodes = bodies.map(Node::start);
    let empty =
        ["null", "{}", "[]", r#"{"11.1.1.2":{"SvcStats":{}}}"#, r#"{"11.1.1.2":{"SvcStats":null}}"#].map(Node::start);
    let data = TempDir::new().unwrap();
    let all: Vec<_> = nodes.iter().chain(&empty).collect();
    let daemon = start(&data, &all, &[]);
    let failures = |node: &Node| {
        metric(&daemon, &format!("contiv_scrape_failures_total{{node=\"{}\",reason=\"unreadable\"}}", node.address))
    };
    for node in &nodes {
        wait_until("a failure", || failures(node).filter(|count| *count > 0));
    }
    wait_for(&daemon, "contiv_scrapes_total", 2 * empty.len() as u64);
    for node in &empty {
        assert_eq!(failures(node).unwrap_or(0), 0);
    }
    let said = daemon.stop();
    for (node, reason) in nodes.iter().zip(["`endpoints`", "`svcstats`", "`Bytes`", "is not an object"]) {
        let of_node = |line: &&str| line.contains(&node.address) && line.contains("could not be scraped");
        let lines: Vec<_> = said.lines().filter(of_node).collect();
        assert!(lines.len() == 1 && lines[0].contains(reason.trim_matches('`')), "{lines:?} of {said}");
    }
}

/// An endpoint's answer with bytes received and sent between it and a provider of a service.
fn endpoint(ip: &str, service: &str, provider: &str, received: u64, sent: u64) -> String {
    let entries = json!({ provider: { "BytesIn": received }, ip: { "BytesOut": sent } });
    json!({ ip: { "EndpointIP": ip, "SvcStats": { service: { "ProvStats": entries } } } }).to_string()
}

#[test]
fn an_endpoint_that_moved_is_answered_from_the_node_whose_counters_change() {
    // The names are in the order of the addresses: the old node is the first.
    let (old, new) = (Node::start_on("127.0.0.2", ""), Node::start_on("127.0.0.3", ""));
    let moved = |received| endpoint("11.1.1.50", "100.1.1.3", "10.1.1.7", received, 1);
    old.set(&moved(1_000));
    new.set(&moved(5));
    let data = TempDir::new().unwrap();
    let daemon = start(&data, &[&old, &new], &[]);
    let answers = |expected: u64| {
        wait_until("the live node's pair", || (page(&daemon, "/11.1.1.50").1["BytesIn"] == expected).then_some(()));
    };
    let scraped = || metric(&daemon, "contiv_scrapes_total").unwrap();
    wait_for(&daemon, "contiv_scrapes_total", 2);
    answers(1_000);
    new.set(&moved(6));
    answers(6);
    // Further scrapes of the frozen counters change nothing.
    let before = scraped();
    wait_for(&daemon, "contiv_scrapes_total", before + 4);
    answers(6);
    old.set(&moved(1_001));
    answers(1_001);
    daemon.stop();
}

#[test]
fn entries_that_stand_still_are_left_out_of_the_points_when_configured() {
    let body = |live: u64| {
        let stats = json!({ "10.1.1.7": { "BytesIn": 7 }, "10.1.1.8": { "BytesIn": live } });
        json!({ "11.1.1.2": { "SvcStats": { "100.1.1.3": { "ProvStats": stats } } } }).to_string()
    };
    for (stale_after, leaves_out) in [("0s", false), ("2s", true)] {
        let (node, data) = (Node::start(&body(0)), TempDir::new().unwrap());
        let daemon = start(&data, &[&node], &[&format!("contiv.stale_after={stale_after}")]);
        for live in 1..=6 {
            let scrapes = metric(&daemon, "contiv_scrapes_total").unwrap();
            wait_for(&daemon, "contiv_scrapes_total", scrapes + 1);
            node.set(&body(live));
        }
        daemon.stop();
        let lines = results(data.path());
        let last: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
        let providers: Vec<_> = last["points"].as_array().unwrap().iter().map(|point| &point[2]).collect();
        assert_eq!(providers.len(), if leaves_out { 1 } else { 2 }, "{stale_after}: {last}");
        assert_eq!(providers.last().unwrap().as_str(), Some("10.1.1.8"));
    }
}

/// The sum over the windows of a service.
fn derived(data: &TempDir, service: &str) -> u64 {
    let of_service = |line: &String| line.contains("AggProxySum-ContivService-BytesIn") && line.contains(service);
    let value = |line: String| serde_json::from_str::<Value>(&line).unwrap()["data"]["value"]["value"].as_u64();
    results(data.path()).into_iter().filter(of_service).filter_map(value).sum()
}

/// Windows of a second, of which [`derived`] has the sum.
const DERIVED: [&str; 5] = [
    "aggregation.uve_proxy_list=ContivService-BytesIn:AggProxySum",
    "aggregation.period=1",
    "aggregation.allowed_lateness=0s",
    "aggregation.idle_timeout=1s",
    "log.commit_interval=100ms",
];

/// Waits until all windows up to now are closed.
fn wait_until_closed(daemon: &Daemon) {
    let ended = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    wait_until("the windows are closed", || {
        let (_, metrics) = daemon.get("/metrics");
        let watermarks = metrics.lines().filter(|line| line.starts_with("derived_statsd_watermark_seconds"));
        let seconds = |line: &str| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap() as u64;
        watermarks.map(seconds).all(|seconds| seconds > ended + 2).then_some(())
    });
}

#[test]
fn the_readings_of_two_ports_do_not_alternate() {
    let body = |[service, provider]: [&str; 2], bytes: u64| {
        let stats = json!({ "10.1.1.7": { "BytesIn": bytes } });
        let of_service = json!({ "Protocol": "TCP", "SvcPort": service, "ProvPort": provider, "ProvStats": stats });
        json!({ "11.1.1.2": { "SvcStats": { "100.1.1.3": of_service } } }).to_string()
    };
    let [http, https, unknown] = [["8080", "80"], ["8443", "443"], ["", ""]];
    for (first, second, values) in [(http, https, [1_000, 5_000_000]), (unknown, unknown, [5_000_000, 1_000])] {
        let (node, data) = (Node::start(&body(first, values[0])), TempDir::new().unwrap());
        let daemon = start(&data, &[&node], &DERIVED);
        let next = |scrapes: u64| wait_for(&daemon, "contiv_scrapes_total", scrapes);
        next(1);
        // 300 and 205 bytes.
        for (port, value) in [(second, values[1]), (first, values[0] + 100), (second, values[1] + 105)] {
            node.set(&body(port, value));
            next(metric(&daemon, "contiv_scrapes_total").unwrap() + 2);
        }
        for (port, value) in [(first, values[0] + 300), (second, values[1] + 205)] {
            node.set(&body(port, value));
            next(metric(&daemon, "contiv_scrapes_total").unwrap() + 2);
        }
        wait_until_closed(&daemon);
        daemon.stop();
        assert_eq!(derived(&data, "100.1.1.3"), 505, "{first:?} and {second:?}");
    }
}

#[test]
fn entries_that_only_look_new_add_nothing_and_are_said_and_counted() {
    const OLD: u64 = 1_000_000_000;
    let single = |received: u64| json!({ "ProviderIP": "10.1.1.7", "Stats": { "BytesIn": OLD + received } });
    let several = |received: u64, other: Option<u64>| {
        let mut entries = json!({ "10.1.1.7": { "BytesIn": OLD + received } });
        if let Some(other) = other {
            entries["10.1.1.8"] = json!({ "BytesIn": other });
        }
        json!({ "ProvStats": entries })
    };
    // 700 bytes, and 300 while the form changes.
    let rounds = [
        single(100),
        single(200),
        several(500, None),
        several(600, None),
        several(700, Some(5 * OLD)),
        several(800, Some(5 * OLD + 100)),
        several(900, Some(5 * OLD + 100)),
    ];
    let body = |service: &Value| json!({ "11.1.1.2": { "SvcStats": { "100.1.1.3": service } } }).to_string();
    let (node, data) = (Node::start(&body(&single(0))), TempDir::new().unwrap());
    let daemon = start(&data, &[&node], &DERIVED);
    let uncounted = |reason: &str| {
        metric(&daemon, &format!("contiv_entries_uncounted_total{{node=\"{}\",reason=\"{reason}\"}}", node.address))
    };
    wait_for(&daemon, "contiv_scrapes_total", 1);
    assert_eq!(uncounted("forgotten"), Some(0), "it exists before the first entry");
    for service in &rounds {
        node.set(&body(service));
        wait_for(&daemon, "contiv_scrapes_total", metric(&daemon, "contiv_scrapes_total").unwrap() + 2);
    }
    wait_until_closed(&daemon);
    assert_eq!([uncounted("form"), uncounted("implausible")], [Some(1), Some(1)]);
    let said = daemon.stop();
    assert_eq!(derived(&data, "100.1.1.3"), 700);
    let lines: Vec<_> = said.lines().filter(|line| line.contains("look new, but")).collect();
    assert!(lines.len() == 1 && lines[0].contains("provider 10.1.1.7 has 1000000500 bytes"), "{lines:?} of {said}");
}

#[test]
fn misspelt_fields_of_an_answer_are_said_once_with_the_near_name() {
    let body = r#"{"e":{"SvcStats":{"s":{"ProvStats":{"p":{"BytesIn":1,"ByteOut":2,"Colour":3}},"PrvPort":"80"}}}}"#;
    let (node, data) = (Node::start(body), TempDir::new().unwrap());
    let daemon = start(&data, &[&node], &[]);
    wait_for(&daemon, "contiv_scrapes_total", 3);
    let said = daemon.stop();
    let lines: Vec<_> = said.lines().filter(|line| line.contains("are ignored, but are near")).collect();
    let [line] = lines[..] else { panic!("{lines:?} of {said}") };
    for part in ["provider p has `ByteOut`; did you mean `BytesOut`?", "`PrvPort`; did you mean `ProvPort`?"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    assert!(!line.contains("Colour"), "{line}");
}

#[test]
fn a_failed_scrape_names_the_port_that_was_tried() {
    let port = free_port();
    let data = TempDir::new().unwrap();
    let usual = format!("contiv.netplugin_port={port}");
    let daemon = Daemon::start(data.path(), &[&FAST[..], &["contiv.nodes=127.0.0.1", &usual]].concat());
    wait_for(&daemon, "contiv_scrape_failures_total{node=\"127.0.0.1\",reason=\"transport\"}", 2);
    let said = daemon.stop();
    let line = said.lines().find(|line| line.contains("could not be scraped")).unwrap();
    assert!(line.contains(&format!("127.0.0.1:{port}")), "{line}");
}

#[test]
fn a_byte_order_mark_and_a_service_without_counters_are_named() {
    let cases = [
        ("\u{feff}{}", "json", "a byte order mark of UTF-8, expected `{`"),
        (
            r#"{"e":{"SvcStats":{"s":{"ProviderIP":"p"}}}}"#,
            "unreadable",
            "service s has `ProviderIP`, but none of `ProvStats` or `Stats`",
        ),
    ];
    for (body, reason, expected) in cases {
        let (node, data) = (Node::start(body), TempDir::new().unwrap());
        let daemon = start(&data, &[&node], &[]);
        let failures = format!("contiv_scrape_failures_total{{node=\"{}\",reason=\"{reason}\"}}", node.address);
        wait_for(&daemon, &failures, 1);
        let said = daemon.stop();
        let line = said.lines().find(|line| line.contains("could not be scraped")).unwrap();
        assert!(line.contains(expected), "{line}");
    }
}

#[test]
fn an_error_of_a_scrape_names_what_was_found_where_and_the_setting() {
    let [html, cut, away] = ["<html>\u{1b}[1mhello", "{\"11.1.1.2\":\n{\"SvcStats\":", ""].map(Node::start);
    away.set_answer("HTTP/1.1 301 x\r\nlocation: http://elsewhere:9090/svcstats\r\ncontent-length: 0\r\n\r\n");
    let data = TempDir::new().unwrap();
    // Time enough for each answer: this is not about the time.
    let daemon = start(&data, &[&html, &cut, &away], &["contiv.interval=3s", "contiv.timeout=60s"]);
    let failed =
        |node: &str, reason: &str| format!("contiv_scrape_failures_total{{node=\"{node}\",reason=\"{reason}\"}}");
    // The scraper registers its nodes a moment after the start.
    let thread = wait_until("the counters", || metric(&daemon, &failed(&html.address, "thread")));
    assert_eq!(thread, 0, "it exists before the first failure");
    let table: [(&str, &str, &[&str]); 3] = [
        (&html.address, "json", &["line 1 column 1, which is byte 1 of 15)", "begins with `<html> [1mhello`"]),
        (
            &cut.address,
            "json",
            &["line 2 column 12, which is byte 25 of 25: it was", r#"begins with `{"11.1.1.2": {"SvcStats":`"#],
        ),
        (&away.address, "status", &["301", "`http://elsewhere:9090/svcstats`"]),
    ];
    fail_with_one_message(daemon, &table);
    // It never answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    let (data, nodes) = (TempDir::new().unwrap(), format!("contiv.nodes={silent}"));
    let daemon = Daemon::start(data.path(), &[&FAST[..], &[&nodes]].concat());
    fail_with_one_message(daemon, &[(&silent, "timeout", &["500ms (contiv.timeout)"])]);
}

/// Waits until each node has failed twice for its reason; there is one message of each, which has all parts.
fn fail_with_one_message(daemon: Daemon, table: &[(&str, &str, &[&str])]) {
    for (node, reason, _) in table {
        wait_for(&daemon, &format!("contiv_scrape_failures_total{{node=\"{node}\",reason=\"{reason}\"}}"), 2);
    }
    let said = daemon.stop();
    for (node, _, parts) in table {
        let of_node = |line: &&str| line.contains("could not be scraped") && line.contains(node);
        let lines: Vec<_> = said.lines().filter(of_node).collect();
        let [line] = lines[..] else { panic!("{node}: {lines:?} of {said}") };
        for part in *parts {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }
}
