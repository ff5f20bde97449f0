//! Tokens: what needs which, how they are sent and replaced, and that none is shown.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod binary;
mod support;

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tempfile::TempDir;

use crate::support::{Daemon, line, wait_until};

/// A new token, and its line for the file.
fn token(name: &str, scopes: &str) -> (String, String) {
    let run = binary::run(&["token", name, "--scopes", scopes], "");
    assert_eq!(run.code, Some(0), "{run:?}");
    let secret = run.stderr.trim().rsplit(' ').next().unwrap().to_owned();
    assert!(secret.len() == 64 && !run.stdout.contains(&secret), "{run:?}");
    (secret, run.stdout)
}

/// A daemon with a file of these lines.
fn start(folder: &Path, lines: &[&str]) -> Daemon {
    let file = folder.join("tokens");
    std::fs::write(&file, lines.concat()).unwrap();
    Daemon::start(&folder.join("data"), &[&format!("http.tokens_file={}", file.display())])
}

/// The status of a request with this `Authorization`, and its body.
fn ask(daemon: &Daemon, method: &str, path: &str, authorization: Option<&str>, body: &str) -> (u16, String) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).allow_non_standard_methods(true).build();
    let agent = ureq::Agent::new_with_config(config);
    let mut request = ureq::http::Request::builder().method(method).uri(daemon.url(path));
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    let mut answer = agent.run(request.header("content-type", "text/plain").body(body.to_owned()).unwrap()).unwrap();
    if answer.status() == 401 {
        assert!(answer.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic "), "{answer:?}");
    }
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

/// Method, path, scope and body of requests.
fn routes(sample: &str) -> [(&str, &str, &str, &str); 17] {
    [
        ("POST", "/api/v1/samples", "write", sample),
        ("GET", "/metrics", "read", ""),
        ("HEAD", "/metrics", "read", ""),
        ("GET", "/api/v1/partitions", "read", ""),
        ("GET", "/analytics/uves", "read", ""),
        ("GET", "/analytics/uves/virtual-network/*", "read", ""),
        ("POST", "/analytics/uves/virtual-network", "read", "{}"),
        ("POST", "/api/v1/annotations/run", "read", "{}"),
        ("GET", "/", "read", ""),
        ("POST", "/api/v1/partials", "write", "{}"),
        ("POST", "/api/v1/write", "write", ""),
        ("POST", "/api/v2/write", "write", ""),
        ("POST", "/query", "write", "q=CREATE DATABASE x"),
        ("POST", "/v1/metrics", "write", "{}"),
        ("POST", "/write", "write", ""),
        ("GET", "/api/v1/no-such-path", "read", ""),
        ("PUT", "/api/v1/no-such-path", "write", ""),
    ]
}

#[test]
fn every_route_but_the_probes_needs_a_token_with_its_scope() {
    let folder = TempDir::new().unwrap();
    let ((reader, read), (writer, write)) = (token("grafana", "read"), token("telegraf", "write"));
    let daemon = start(folder.path(), &[&read, &write]);
    let sample = line("vn1", "egress_flow_count", 1_490_000_000_000_000, 7);
    let routes = routes(&sample);
    let (reads, writes) = (format!("Bearer {reader}"), format!("bearer  {writer}"));
    for (method, path, scope, body) in routes {
        let status = |authorization: Option<&str>| ask(&daemon, method, path, authorization, body).0;
        for stranger in [None, Some("Bearer x"), Some("Bearer "), Some("Basic !"), Some(reader.as_str())] {
            assert_eq!(status(stranger), 401, "{method} {path} {stranger:?}");
        }
        let (allowed, refused) = if scope == "read" { (&reads, &writes) } else { (&writes, &reads) };
        assert_eq!(status(Some(refused)), 403, "{method} {path}");
        assert!(!matches!(status(Some(allowed)), 401 | 403), "{method} {path}");
        let basic = if scope == "read" { &reader } else { &writer };
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("anybody:{basic}")));
        assert!(!matches!(status(Some(&basic)), 401 | 403), "{method} {path}");
    }
    for probe in ["/health", "/healthz", "/ping", "/readyz"] {
        assert!(matches!(ask(&daemon, "GET", probe, None, "").0, 200 | 204 | 503), "{probe}");
    }
    // As clients of InfluxDB 2 send it.
    assert_eq!(ask(&daemon, "POST", "/api/v2/write", Some(&format!("Token {writer}")), "").0, 204);
    let (_, text) = ask(&daemon, "GET", "/metrics", Some(&writes), "");
    assert!(text.contains("telegraf") && text.contains("`read`") && !text.contains(&writer), "{text}");
    let said = daemon.stop();
    assert!(![&reader, &writer].iter().any(|secret| said.contains(secret.as_str())), "{said}");
}

#[test]
fn a_token_is_replaced_without_a_restart_and_a_broken_file_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let ((old, old_line), (new, new_line)) = (token("grafana", "read"), token("grafana", "read,write"));
    let daemon = start(folder.path(), &[&old_line]);
    let status = |secret: &str| ask(&daemon, "GET", "/metrics", Some(&format!("Bearer {secret}")), "").0;
    assert_eq!((status(&old), status(&new)), (200, 401));
    let file = folder.path().join("tokens");
    std::fs::write(&file, format!("{old_line}{new_line}")).unwrap();
    wait_until("the new token is known", || (status(&new) == 200).then_some(()));
    assert_eq!(status(&old), 200);
    std::fs::write(&file, format!("{new_line}nonsense\n")).unwrap();
    wait_until("the broken file is noticed", || daemon.stderr().contains("tokens:2: expected a name").then_some(()));
    assert_eq!((status(&old), status(&new)), (200, 200));
    let warnings = || ask(&daemon, "GET", "/api/v1/status", Some(&format!("Bearer {new}")), "").1;
    assert!(warnings().contains("tokens:2: expected a name"), "{}", warnings());
    std::fs::write(&file, &new_line).unwrap();
    wait_until("the old token is gone", || (status(&old) == 401).then_some(()));
    assert_eq!(status(&new), 200);
    assert!(warnings().contains("\"warnings\":[]"), "{}", warnings());
    daemon.stop();
}
