//! Results at a webhook, over kills and failures of the receiver, and their JSON Schema.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use support::series::python;
use support::{Daemon, line, results, wait_until};
use tempfile::TempDir;

const PERIOD: u64 = 10_000_000;
const START: u64 = 1_488_000_000_000_000;
const OBJECTS: u64 = 10;
const SECRET: &str = "hunter2";
const ALARM: &str = r#"alarms=[{rule='alarm "high" when AggProxySum.value > 3000'}]"#;

/// A receiver that answers with the next status, and then with 200.
struct Receiver {
    url: String,
    state: Arc<Mutex<State>>,
}

/// The headers and the body of a request, with the status that it got.
type Received = (BTreeMap<String, String>, String, u16);

#[derive(Default)]
struct State {
    statuses: VecDeque<u16>,
    requests: Vec<Received>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &state));
            }
        });
        Self { url, state }
    }

    fn script(&self, statuses: &[u16]) {
        self.state.lock().unwrap().statuses.extend(statuses);
    }

    fn is_played(&self) -> bool {
        self.state.lock().unwrap().statuses.is_empty()
    }
}

/// Answers one request after the other; a connection that is cut ends it.
fn serve(stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let (mut headers, mut line) = (BTreeMap::new(), String::new());
        while reader.read_line(&mut line).ok()? > 0 && line.trim_end() != "" {
            if let Some((name, value)) = line.split_once(": ") {
                headers.insert(name.to_lowercase(), value.trim_end().to_owned());
            }
            line.clear();
        }
        let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
        reader.read_exact(&mut body).ok()?;
        let body = String::from_utf8(body).unwrap();
        let mut state = state.lock().unwrap();
        // A result that is too large alone would be dropped.
        let is_single = body.matches("\"uve\":").count() == 1;
        let status = match state.statuses.pop_front() {
            Some(413) if is_single => 500,
            status => status.unwrap_or(200),
        };
        state.requests.push((headers, body, status));
        drop(state);
        write!(&stream, "HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n").ok()?;
    }
}

fn start(data: &Path, url: &str) -> Daemon {
    let (url, secret) = (format!("sinks.results_webhook.url={url}"), format!("sinks.results_webhook.secret={SECRET}"));
    let settings = [
        "aggregation.period=10",
        "aggregation.allowed_lateness=0s",
        "aggregation.uve_proxy_list=UveVirtualNetworkAgent-egress_flow_count:AggProxySum:AggProxySumAnomalyEWM01",
        "log.partitions=2",
        "sinks.results_webhook.flush_interval=0s",
        "sinks.results_webhook.batch_results=7",
        ALARM,
        &url,
        &secret,
    ];
    Daemon::start(data, &settings)
}

fn post(daemon: &Daemon, periods: std::ops::Range<u64>) {
    let of = |period: u64| (0..OBJECTS).map(move |object| (period, object));
    let sample = |(period, object): (u64, u64)| {
        // The last object is gone after some periods, so that it is withdrawn.
        let is_there = object + 1 < OBJECTS || period < 10;
        let value = 1_000 * (object % 5) + period % 7;
        is_there.then(|| line(&format!("o {object}"), "egress_flow_count", START + period * PERIOD, value))
    };
    let body: String = periods.flat_map(of).filter_map(sample).collect();
    assert_eq!(daemon.post(body.as_bytes(), None).unwrap().0, 200);
}

/// Checks the signature of each request with Python's own HMAC, each result and the lines of the log with an independent
/// validator, and that it refuses what is not a result.
const CHECK: &str = r#"
import copy, hashlib, hmac, json, sys
from jsonschema import Draft202012Validator

given = json.load(open(sys.argv[1]))
schema = json.load(open(sys.argv[2]))
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)
for request in given["requests"]:
    headers, body = request["headers"], request["body"]
    signed = (headers["x-derived-statsd-timestamp"] + "." + body).encode()
    expected = "sha256=" + hmac.new(given["secret"].encode(), signed, hashlib.sha256).hexdigest()
    assert headers["x-derived-statsd-signature"] == expected, headers
kinds = set()
for line in given["lines"]:
    result = json.loads(line)
    validator.validate(result)
    data = result.get("data", {})
    kinds.add(("scrape" if "scrape" in result else result["uve"].split("-")[0], data.get("deleted")))
wanted = {("AggProxySum", False), ("AggProxySum", True), ("AggProxySumAnomalyEWM01", False), ("UVEAlarms", False),
          ("scrape", None)}
assert wanted <= kinds, kinds

good = next(json.loads(line) for line in given["lines"] if "EWM01" in line and '"sigma"' in line)
def bad(change):
    other = copy.deepcopy(good)
    change(other)
    assert not validator.is_valid(other), other
bad(lambda it: it.pop("end"))
bad(lambda it: it.update(start=-1))
bad(lambda it: it.update(more=1))
bad(lambda it: it.update(key="no table"))
bad(lambda it: it["data"].pop("deleted"))
bad(lambda it: it["data"].update(deleted=True))
bad(lambda it: it["data"].update(partial=False))
bad(lambda it: it["data"].update(value=[1]))
bad(lambda it: it["data"]["value"].update(sigma=None))
bad(lambda it: it["data"]["value"]["state"].update(mean={}))
"#;

/// A scrape of Contiv, from the page of the API.
fn scrape() -> &'static str {
    let page = include_str!("../../docs/src/reference/http.md");
    page.lines().find(|line| line.starts_with("{\"scrape\":")).unwrap()
}

/// Runs [`CHECK`] on the requests, and on the lines of the log.
fn check_in_python(folder: &Path, requests: &[Received], lines: &[String]) {
    let requests = requests.iter().map(|(headers, body, _)| json!({ "headers": headers, "body": body }));
    let lines = lines.iter().map(String::as_str).chain([scrape()]);
    let given = json!({
        "secret": SECRET, "requests": requests.collect::<Vec<_>>(), "lines": lines.collect::<Vec<_>>(),
    });
    let file = folder.join("given.json");
    std::fs::write(&file, given.to_string()).unwrap();
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema/result.schema.json");
    let output = python(CHECK, &[file.to_str().unwrap(), schema]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_result_arrives_over_kills_and_failures_signed_and_valid_by_the_schema() {
    let (data, receiver) = (TempDir::new().unwrap(), Receiver::start());
    let mut daemon = start(data.path(), &receiver.url);
    for round in 0..5 {
        // A failure, a wrong setting, a request that is too large, and a busy receiver. More failures in a row would only
        // make the waits longer.
        if receiver.is_played() {
            receiver.script(&[500, 401, 413, 429]);
        }
        post(&daemon, round * 8..round * 8 + 8);
        if round == 0 {
            wait_until("the receiver has failed", || receiver.is_played().then_some(()));
        }
        daemon.signal("KILL");
        daemon.wait();
        daemon = start(data.path(), &receiver.url);
    }
    daemon.wait_until_applied();
    wait_until("everything is delivered", || {
        let metrics = daemon.get("/metrics").1;
        metrics.contains("derived_statsd_sink_lag_results{sink=\"results_webhook\"} 0").then_some(())
    });
    assert!(!daemon.stop().contains(SECRET));
    let lines = results(data.path());
    let is_alarms = |line: &&String| line.contains("\"uve\":\"UVEAlarms\"");
    let expected: BTreeSet<String> = lines.iter().filter(|line| !is_alarms(line)).cloned().collect();
    let requests = std::mem::take(&mut receiver.state.lock().unwrap().requests);
    let taken = requests.iter().filter(|(.., status)| *status == 200);
    let bodies: Vec<Value> = taken.map(|(_, body, _)| serde_json::from_str(body).unwrap()).collect();
    assert!(bodies.iter().all(|body| body["version"] == 1));
    let found = bodies.iter().flat_map(|body| body["results"].as_array().unwrap());
    let parsed: BTreeSet<String> = found.map(Value::to_string).collect();
    let normal = |line: &String| serde_json::from_str::<Value>(line).unwrap().to_string();
    let expected: BTreeSet<String> = expected.iter().map(normal).collect();
    let (missing, more) = (expected.difference(&parsed).collect::<Vec<_>>(), parsed.difference(&expected).count());
    assert!(missing.is_empty() && more == 0, "{more} unexpected results; missing: {missing:?}");
    assert!(bodies.iter().all(|body| body["results"].as_array().unwrap().len() <= 7));
    check_in_python(data.path(), &requests, &lines);
}
