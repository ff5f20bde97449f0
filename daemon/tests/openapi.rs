//! The running daemon answers as its OpenAPI document says: schemathesis makes requests of it and checks each answer.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::configured::Configured;
use support::series::python;
use support::{Daemon, line, wait_until};
use tempfile::TempDir;

/// Runs schemathesis in a folder, which gets what it remembers.
const SCHEMATHESIS: &str = "import os, sys
os.chdir(sys.argv[1])
os.execv(os.path.join(os.path.dirname(sys.executable), 'schemathesis'), ['schemathesis', *sys.argv[2:]])";

/// Answers that do not end, and bodies that it cannot make.
const LEFT_OUT: [&str; 3] = ["/api/v1/results/stream", "/api/v1/tap", "/api/v1/write"];

/// The routes of the router, with their methods: `get(…)` and `post(…)` of each `.route("…", …)`.
fn routes() -> BTreeSet<(String, &'static str)> {
    let source = include_str!("../src/http/router.rs");
    let mut found = BTreeSet::new();
    for route in source.split(".route(").skip(1) {
        let path = route.split('"').nth(1).unwrap();
        let handlers = route.split_once("\",").unwrap().1;
        for (method, call) in [("get", "get("), ("post", "post(")] {
            let mut before = handlers.match_indices(call).map(|(at, _)| handlers[..at].chars().next_back());
            if before.any(|before| before.is_none_or(|it| matches!(it, ' ' | '.' | '\n'))) {
                found.insert((path.replace("{*", "{"), method));
            }
        }
    }
    found
}

#[test]
fn the_document_has_the_routes_of_the_router_and_no_others() {
    let document: Value = serde_json::from_str(include_str!("../../docs/schema/openapi.json")).unwrap();
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            described.insert((path.clone(), if method == "get" { "get" } else { "post" }));
        }
    }
    assert!(described.len() > 30, "{}", described.len());
    assert_eq!(described, routes());
}

#[test]
fn every_get_that_answers_with_json_has_an_example_of_it() {
    let document: Value = serde_json::from_str(include_str!("../../docs/schema/openapi.json")).unwrap();
    let mut checked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let responses = methods["get"]["responses"].as_object().into_iter().flatten();
        for (status, response) in responses.filter(|(status, _)| status.starts_with('2')) {
            let response = match response["$ref"].as_str() {
                Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
                None => response,
            };
            let content = &response["content"]["application/json"];
            if !content.is_null() {
                assert!(!content["example"].is_null(), "GET {path} has no example of its answer {status}");
                checked += 1;
            }
        }
    }
    assert!(checked > 15, "{checked}");
}

#[test]
fn requests_of_every_kind_get_answers_of_the_document() {
    let directory = TempDir::new().unwrap();
    let daemon =
        Daemon::start(&directory.path().join("log"), &["aggregation.allowed_lateness=0s", "http.max_readers=64"]);
    for second in 0..200 {
        let sample = line("vn1", "egress_flow_count", 1_488_000_000_000_000 + second * 1_000_000, second);
        assert_eq!(daemon.post(sample.as_bytes(), None).unwrap().0, 200);
    }
    daemon.wait_until_applied();
    assert_eq!(daemon.get("/api/v1/openapi.json").1, include_str!("../../docs/schema/openapi.json"));
    conforms(&daemon, directory.path(), 20, &[]);
}

/// Makes requests of every kind, with so many examples of each and more arguments, and checks the answers.
fn conforms(daemon: &Daemon, folder: &Path, examples: u32, more: &[&str]) {
    let url = format!("http://{}", daemon.address());
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schema/openapi.json");
    let (folder, examples) = (folder.to_str().unwrap(), examples.to_string());
    let mut arguments = vec![folder, "run", document, "--url", &url, "--max-examples", &examples, "--no-color"];
    arguments.extend(["--phases", "examples,coverage,fuzzing", "--generation-deterministic", "--checks", CHECKS]);
    arguments.extend(more);
    LEFT_OUT.iter().for_each(|path| arguments.extend(["--exclude-path", path]));
    let output = python(SCHEMATHESIS, &arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(" generated, ") && said.contains(" passed"), "{said}");
    assert_eq!(daemon.get("/healthz").0, 200);
}

/// Without a token, with that of one scope, and with that of all: the refusals are in the document, too.
#[test]
fn requests_of_every_kind_with_and_without_tokens_get_answers_of_the_document() {
    let configured = Configured::new(&["AggProxySum"]);
    let reader = configured.add_token("reader", "read");
    let daemon = Daemon::spawn(configured.guarded()).unwrap();
    let [reader, admin] = [&reader, configured.token()].map(|token| format!("Authorization: Bearer {token}"));
    conforms(&daemon, configured.path(), 2, &[]);
    conforms(&daemon, configured.path(), 2, &["--header", &reader]);
    conforms(&daemon, configured.path(), 5, &["--header", &admin]);
    daemon.stop();
}

/// What is checked of each answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// The parts of a request that examples fill.
struct Example<'d> {
    method: &'d str,
    path: String,
    headers: Vec<String>,
    query: Vec<String>,
}

impl<'d> Example<'d> {
    /// With the examples of the required parameters, and with that of one other if it has one.
    fn new(path: &str, method: &'d str, operation: &Value, methods: &Value, other: Option<&str>) -> Self {
        let mut example = Self { method, path: path.to_owned(), headers: Vec::new(), query: Vec::new() };
        let own = operation["parameters"].as_array().into_iter().flatten();
        for parameter in own.chain(methods["parameters"].as_array().into_iter().flatten()) {
            let name = parameter["name"].as_str().unwrap();
            if parameter["required"] != true && other != Some(name) {
                continue;
            }
            let value = &parameter["example"];
            assert!(!value.is_null(), "{method} {path} has no example of {name}");
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            match parameter["in"].as_str().unwrap() {
                "path" => example.path = example.path.replace(&format!("{{{name}}}"), &value),
                "header" => example.headers.push(format!("{name}: {value}")),
                _ => example.query.push(format!("{name}={value}")),
            }
        }
        example
    }

    /// Sends it, with a body of a media type.
    fn send(&self, (daemon, token): (&Daemon, &str), body: Option<(&str, &str)>) -> (u16, String) {
        let bearer = format!("authorization: Bearer {token}");
        let mut arguments = vec!["--request".to_owned(), self.method.to_uppercase(), "--header".to_owned(), bearer];
        // Streams do not end.
        arguments.extend(["--max-time".to_owned(), "2".to_owned()]);
        self.headers.iter().for_each(|header| arguments.extend(["--header".to_owned(), header.clone()]));
        match body {
            Some((media, text)) => {
                arguments.extend(["--header".to_owned(), format!("content-type: {media}")]);
                arguments.extend(["--data-binary".to_owned(), text.to_owned()]);
                if !self.query.is_empty() {
                    let query: Vec<_> = self.query.iter().map(|pair| pair.replace(' ', "%20")).collect();
                    arguments.push(daemon.url(&format!("{}?{}", self.path, query.join("&"))));
                    return curl_answer(&arguments);
                }
            }
            None => {
                arguments.push("--get".to_owned());
                self.query.iter().for_each(|pair| arguments.extend(["--data-urlencode".to_owned(), pair.clone()]));
            }
        }
        arguments.push(daemon.url(&self.path));
        curl_answer(&arguments)
    }
}

/// The status and the body; those of a stream that does not end, as far as they came.
fn curl_answer(arguments: &[String]) -> (u16, String) {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--noproxy", "*", "--write-out", "\n%{http_code}"]).args(arguments);
    let output = curl.output().expect("curl is there");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

/// The names of all fields of a value, with those above them.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, inner) in object {
                let path = format!("{path}.{name}");
                fields(inner, &path, found);
                found.insert(path);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, path, found)),
        _ => {}
    }
}

/// A daemon with a result and with tokens, without which no configuration is changed over HTTP.
fn with_a_result(configured: &Configured) -> Daemon {
    let stream = "UveVirtualNetworkAgent-egress_flow_count:AggProxySum";
    configured.write(&format!("[aggregation]\nuve_proxy_list = \"{stream}\"\nallowed_lateness = \"0s\"\n"));
    let daemon = Daemon::spawn(configured.guarded()).unwrap();
    let key = "ObjectVNTable:default-domain:demo:vn1";
    for minute in 0..3 {
        let at = 1_490_306_665_057_644_u64 + minute * 60_000_000;
        let sample = format!("{{\"key\":\"{key}\",\"attr\":\"egress_flow_count\",\"ts\":{at},\"value\":31}}\n");
        let (status, answer) = configured.ask(&daemon, "POST", "/api/v1/samples", &sample).unwrap();
        assert_eq!(status, 200, "{answer}");
    }
    let path = "/analytics/uves/virtual-network/default-domain:demo:vn1?flat";
    wait_until("a result", || {
        configured.ask(&daemon, "GET", path, "").filter(|(_, body)| body.contains("AggProxySum")).map(drop)
    });
    daemon
}

/// Those that need more than the document has: the token of the daemon, and the names of the files of its page.
const NEEDS_MORE: [&str; 2] = ["/login", "/assets/{file}"];

/// How many examples were sent and compared.
#[derive(Default)]
struct Sent {
    bodies: usize,
    parameters: usize,
    answers: usize,
}

impl Sent {
    /// Sends each example of a body.
    fn send_bodies(&mut self, daemon: (&Daemon, &str), operation: &Value, request: &Example<'_>) {
        let content = operation["requestBody"]["content"].as_object();
        // A message of protobuf is not a text of JSON.
        for (media, content) in content.into_iter().flatten().filter(|(media, _)| !media.contains("protobuf")) {
            let example = &content["example"];
            assert!(!example.is_null(), "{} has no example of a body of {media}", request.path);
            let text = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
            let (status, answer) = request.send(daemon, Some((media, &text)));
            assert!((200..300).contains(&status), "{} {media}: {status} {answer}", request.path);
            self.bodies += 1;
        }
    }

    /// Sends a GET, and compares the answer with its example, unless it `is_another` for an optional parameter.
    fn read(&mut self, daemon: (&Daemon, &str), operation: &Value, request: &Example<'_>, is_another: bool) {
        let (status, answer) = request.send(daemon, None);
        assert!((200..300).contains(&status), "{} {:?}: {status} {answer}", request.path, request.query);
        let example = &operation["responses"]["200"]["content"]["application/json"]["example"];
        if !example.is_null() && !is_another {
            let (mut wanted, mut found) = (BTreeSet::new(), BTreeSet::new());
            fields(example, "", &mut wanted);
            fields(&serde_json::from_str(&answer).unwrap(), "", &mut found);
            let lacking: Vec<_> = wanted.difference(&found).collect();
            assert!(lacking.is_empty(), "{} answers without {lacking:?}: {answer}", request.path);
            self.answers += 1;
        }
    }
}

/// Those of which one parameter of several is required.
const NEEDS_ONE: [&str; 2] = ["/api/v1/tap", "/query"];

#[test]
fn every_example_is_taken_and_answers_have_the_fields_of_theirs() {
    let document: Value = serde_json::from_str(include_str!("../../docs/schema/openapi.json")).unwrap();
    let configured = Configured::new(&["AggProxySum"]);
    let daemon = with_a_result(&configured);
    let (to, mut sent) = ((&daemon, configured.token()), Sent::default());
    // Changes of the configuration last.
    let mut paths: Vec<_> = document["paths"].as_object().unwrap().iter().collect();
    paths.sort_by_key(|(path, _)| path.starts_with("/api/v1/config"));
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap().iter().filter(|(method, _)| *method != "parameters") {
            if NEEDS_MORE.contains(&&**path) {
                continue;
            }
            let request = |other: Option<&str>| Example::new(path, method, operation, methods, other);
            if method == "post" {
                sent.send_bodies(to, operation, &request(None));
            }
            if method == "get" {
                if !NEEDS_ONE.contains(&&**path) {
                    sent.read(to, operation, &request(None), false);
                }
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    let is_another = !NEEDS_ONE.contains(&&**path);
                    sent.read(to, operation, &request(parameter["name"].as_str()), is_another);
                    sent.parameters += 1;
                }
            }
        }
    }
    let Sent { bodies, parameters, answers } = sent;
    assert!(
        bodies >= 9 && parameters > 30 && answers >= 14,
        "{bodies} bodies, {parameters} parameters, {answers} answers"
    );
    daemon.stop();
}
