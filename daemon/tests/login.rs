//! The login of a browser: the session and its end, what its cookie allows, and streams whose token goes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod binary;
mod support;

use std::io::{BufRead as _, BufReader};
use std::path::Path;

use tempfile::TempDir;
use ureq::http::{Request, Response};

use crate::support::broker::free_ports;
use crate::support::browser::Browser;
use crate::support::{Daemon, certificates, wait_until};

/// A new token, and its line for the file.
fn token(name: &str, scopes: &str) -> (String, String) {
    let run = binary::run(&["token", name, "--scopes", scopes], "");
    assert_eq!(run.code, Some(0), "{run:?}");
    (run.stderr.trim().rsplit(' ').next().unwrap().to_owned(), run.stdout)
}

/// A daemon with a file of these lines.
fn start(folder: &Path, lines: &str, settings: &[&str]) -> Daemon {
    let file = folder.join("tokens");
    std::fs::write(&file, lines).unwrap();
    let tokens = format!("http.tokens_file={}", file.display());
    Daemon::start(&folder.join("data"), &[&[tokens.as_str()], settings].concat())
}

fn send(daemon: &Daemon, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response<ureq::Body> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
    let mut request = Request::builder().method(method).uri(daemon.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    config.build().new_agent().run(request.body(body.to_owned()).unwrap()).unwrap()
}

/// The cookie of a response, with its attributes.
fn cookie(response: &Response<ureq::Body>) -> (String, String) {
    let set = response.headers()["set-cookie"].to_str().unwrap();
    let (pair, attributes) = set.split_once("; ").unwrap();
    (pair.to_owned(), attributes.to_owned())
}

fn json(token: &str) -> String {
    serde_json::json!({ "token": token }).to_string()
}

#[test]
fn a_session_has_the_scopes_of_its_token_and_ends_with_the_logout() {
    let folder = TempDir::new().unwrap();
    let (secret, line) = token("grafana", "read");
    let daemon = start(folder.path(), &line, &[]);
    for (body, status) in [(json("x"), 401), ("{}".to_owned(), 400), ("x".repeat(5_000), 413)] {
        let refused = send(&daemon, "POST", "/login", &[("content-type", "application/json")], &body);
        assert_eq!(refused.status(), status, "{body}");
        assert!(!refused.headers().contains_key("set-cookie"));
    }
    let login = send(&daemon, "POST", "/login", &[("content-type", "application/json")], &json(&secret));
    let (pair, attributes) = cookie(&login);
    assert_eq!((login.status().as_u16(), attributes.as_str()), (204, "Max-Age=43200; HttpOnly; SameSite=Lax"));
    assert!(!pair.contains(&secret), "the cookie is not the token");
    let get = |path: &str| send(&daemon, "GET", path, &[("cookie", &pair)], "").status().as_u16();
    assert_eq!((get("/metrics"), get("/"), get("/api/v1/status")), (200, 200, 200));
    // A request that may change something also needs the origin.
    let origin = daemon.url("");
    let post = |path: &str, more: &[(&str, &str)]| {
        let headers = [&[("cookie", pair.as_str()), ("content-type", "application/json")], more].concat();
        send(&daemon, "POST", path, &headers, "{}").status().as_u16()
    };
    let ask = "/api/v1/annotations/run";
    assert_eq!(post(ask, &[]), 403, "no browser sends this");
    assert_eq!(post(ask, &[("origin", "http://evil.example")]), 403);
    assert_eq!(post(ask, &[("origin", &origin), ("sec-fetch-site", "cross-site")]), 403);
    let own = post(ask, &[("origin", &origin), ("sec-fetch-site", "same-origin")]);
    assert!(!matches!(own, 401 | 403), "{own}");
    assert_eq!(post("/api/v1/samples", &[("origin", &origin)]), 403, "the token lacks the scope");
    let bare = send(&daemon, "POST", "/logout", &[("cookie", &pair)], "");
    assert_eq!((bare.status().as_u16(), get("/metrics")), (403, 200), "no browser sends a logout without its origin");
    let logout = send(&daemon, "POST", "/logout", &[("cookie", &pair), ("origin", &origin)], "");
    assert!(cookie(&logout).1.starts_with("Max-Age=0;"), "{logout:?}");
    assert_eq!(get("/metrics"), 401);
    let said = daemon.stop();
    assert!(!said.contains(&secret) && !said.contains(&pair), "{said}");
}

#[test]
fn a_session_ends_with_its_token_and_so_do_open_streams() {
    let folder = TempDir::new().unwrap();
    let ((gone, gone_line), (kept, kept_line)) = (token("gone", "read"), token("kept", "read"));
    let daemon = start(folder.path(), &format!("{gone_line}{kept_line}"), &[]);
    let login = send(&daemon, "POST", "/login", &[], &json(&gone));
    let (session, _) = cookie(&login);
    let bearer = |secret: &str| format!("Bearer {secret}");
    let stream = |header: (&str, &str), path: &str| {
        let stream = send(&daemon, "GET", path, &[header], "");
        assert_eq!(stream.status(), 200, "{path}");
        BufReader::new(stream.into_body().into_reader())
    };
    let events = "/api/v1/results/stream";
    let mut ending = vec![
        stream(("cookie", &session), events),
        stream(("authorization", &bearer(&gone)), events),
        stream(("authorization", &bearer(&gone)), "/api/v1/tap?key=ObjectVNTable:vn1"),
    ];
    let mut lasting = stream(("authorization", &bearer(&kept)), "/api/v1/tap?key=ObjectVNTable:vn1");
    std::fs::write(folder.path().join("tokens"), &kept_line).unwrap();
    for stream in &mut ending {
        // The end; lines before it are keep-alives.
        assert!(stream.lines().all(|line| line.is_ok()), "the stream ends in order");
    }
    assert_eq!(send(&daemon, "GET", "/metrics", &[("cookie", &session)], "").status(), 401);
    // A token that comes back brings no session back.
    std::fs::write(folder.path().join("tokens"), format!("{gone_line}{kept_line}")).unwrap();
    let status = |header| send(&daemon, "GET", "/metrics", &[header], "").status();
    let back = bearer(&gone);
    wait_until("the token is back", || (status(("authorization", &back)) == 200).then_some(()));
    assert_eq!(status(("cookie", &session)), 401);
    // An empty line comes every 15 s.
    assert_eq!(lasting.read_line(&mut String::new()).unwrap(), 1, "this one goes on");
    drop(lasting);
    daemon.stop();
}

#[test]
fn a_browser_is_led_to_the_login_and_a_script_gets_no_challenge() {
    let folder = TempDir::new().unwrap();
    let (secret, line) = token("me", "read");
    let daemon = start(folder.path(), &line, &[]);
    let page = send(&daemon, "GET", "/", &[("accept", "text/html,*/*;q=0.8")], "");
    assert_eq!((page.status().as_u16(), &page.headers()["location"]), (303, &"login".parse().unwrap()));
    let script = send(&daemon, "GET", "/api/v1/status", &[("sec-fetch-dest", "empty")], "");
    assert!(script.status() == 401 && !script.headers().contains_key("www-authenticate"), "{script:?}");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let wrong = send(&daemon, "POST", "/login", &form, "token=x");
    assert!(wrong.status() == 401 && wrong.headers()["content-type"] == "text/html; charset=utf-8", "{wrong:?}");
    let right = send(&daemon, "POST", "/login", &form, &format!("token={secret}"));
    assert_eq!((right.status().as_u16(), &right.headers()["location"]), (303, &"./".parse().unwrap()));
    daemon.stop();
    let open = Daemon::start(&folder.path().join("open"), &[]);
    assert_eq!(send(&open, "GET", "/login", &[], "").status(), 404, "there are no tokens");
    assert!(open.get("/api/v1/status").1.contains("\"session\":null"));
    open.stop();
}

#[test]
fn under_tls_the_cookie_is_secure_and_the_origin_may_be_a_name() {
    let folder = TempDir::new().unwrap();
    certificates::make(folder.path(), "server");
    let [port] = free_ports();
    let (secret, line) = token("me", "read");
    let files = folder.path().display();
    let listener = format!(
        "http.listeners=[{{address = \"127.0.0.1:{port}\", \
         tls = {{certificate = \"{files}/server.pem\", key = \"{files}/server.key\"}}}}]"
    );
    let daemon = start(folder.path(), &line, &[&listener]);
    let output = std::process::Command::new("curl")
        .args(["--silent", "--insecure", "--include", "--noproxy", "*", "--data-binary", "@-"])
        .args(["--header", &format!("Host: stats.example:{port}")])
        .args(["--header", &format!("Origin: https://stats.example:{port}")])
        .args(["--header", "Content-Type: application/json", &format!("https://127.0.0.1:{port}/login")])
        .stdin(std::fs::File::open(write(folder.path(), &json(&secret))).unwrap())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("HTTP/1.1 204") && text.contains("SameSite=Lax; Secure"), "{text}");
    daemon.stop();
}

/// A file with a text.
fn write(folder: &Path, text: &str) -> std::path::PathBuf {
    let path = folder.join("body");
    std::fs::write(&path, text).unwrap();
    path
}

fn log_in(browser: &Browser, token: &str) {
    browser.enter("#token", token);
    browser.click("#login");
}

#[test]
fn an_operator_logs_in_sees_the_page_and_logs_out() {
    let folder = TempDir::new().unwrap();
    let (secret, line) = token("me", "read");
    let daemon = start(folder.path(), &line, &[]);
    let browser = Browser::start(1200, 800);
    browser.open(&daemon.url("/"));
    browser.wait("location.pathname === '/login'");
    log_in(&browser, "wrong");
    browser.wait("document.querySelector('[role=alert]').textContent.includes('not known')");
    log_in(&browser, &secret);
    browser.wait("location.pathname === '/' && document.querySelector('#health')?.textContent.length > 0");
    assert_eq!(browser.value("document.cookie"), "", "no script reads the cookie");
    browser.wait("fetch('/api/v1/status').then(answer => window.status_ = answer.status), window.status_ === 200");
    browser.open(&daemon.url("/login"));
    browser.wait("document.body.textContent.includes('Logged in as me')");
    browser.click("#logout");
    let logged_out = "document.querySelector('[role=alert]')?.textContent === 'You are logged out in this browser. To log in \
                      again, enter your token and choose Log in.' && document.querySelector('#token') !== null";
    browser.wait(logged_out);
    browser.open(&daemon.url("/"));
    browser.wait("location.pathname === '/login'");
    // The page itself has the button, too.
    log_in(&browser, &secret);
    browser.wait("location.pathname === '/' && document.querySelector('#logout') !== null");
    browser.click("#logout");
    browser.wait(&format!("location.pathname === '/login' && {logged_out}"));
    log_in(&browser, "wrong");
    browser.wait("document.querySelector('[role=alert]').textContent.includes('not known')");
    // The link of an alert leads to its chart.
    let link = "/#/object/virtual-network/d%3Avn?from=100&to=200";
    browser.open(&daemon.url(link));
    browser.wait("location.pathname === '/login' && document.querySelector('#token') !== null");
    log_in(&browser, "wrong");
    browser.wait("document.querySelector('[role=alert]').textContent.includes('not known')");
    log_in(&browser, &secret);
    browser.wait(&format!("location.pathname + location.hash === '{link}'"));
    comes_back_after_a_logout_elsewhere(&browser, &secret, link);
    daemon.stop();
}

/// A logout in another window: the page has the way back to what it shows.
fn comes_back_after_a_logout_elsewhere(browser: &Browser, secret: &str, link: &str) {
    browser.wait("document.querySelector('#logout') !== null");
    browser.run("fetch('logout', { method: 'POST' }).then(() => done(null));");
    browser.wait("document.querySelector('#health').textContent === 'The session has ended. Log in again'");
    browser.click("#health a");
    browser.wait("location.pathname === '/login' && document.querySelector('#token') !== null");
    log_in(browser, secret);
    browser.wait(&format!("location.pathname + location.hash === '{link}'"));
}
