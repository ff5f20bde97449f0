//! The running daemon answers as its OpenAPI document says: schemathesis makes requests of it and checks each answer.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;

use serde_json::Value;
use support::series::python;
use support::{Daemon, line};
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
fn requests_of_every_kind_get_answers_of_the_document() {
    let directory = TempDir::new().unwrap();
    let daemon =
        Daemon::start(&directory.path().join("log"), &["aggregation.allowed_lateness=0s", "http.max_readers=64"]);
    for second in 0..200 {
        let sample = line("vn1", "egress_flow_count", 1_488_000_000_000_000 + second * 1_000_000, second);
        assert_eq!(daemon.post(sample.as_bytes(), None).unwrap().0, 200);
    }
    daemon.wait_until_applied();
    let url = format!("http://{}", daemon.address());
    let document = format!("{url}/api/v1/openapi.json");
    let folder = directory.path().to_str().unwrap();
    let mut arguments = vec![folder, "run", &document, "--url", &url, "--max-examples", "20", "--no-color"];
    arguments.extend(["--phases", "examples,coverage,fuzzing", "--generation-deterministic", "--checks", CHECKS]);
    LEFT_OUT.iter().for_each(|path| arguments.extend(["--exclude-path", path]));
    let output = python(SCHEMATHESIS, &arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(" generated, ") && said.contains(" passed"), "{said}");
    assert_eq!(daemon.get("/healthz").0, 200);
}

/// What is checked of each answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
