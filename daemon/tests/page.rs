//! The page in a browser: what an operator sees, does and is told, and what a screen reader gets. The pictures of the
//! book are made here.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "the pictures show ages")]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use support::alertmanager::Alertmanager;
use support::broker::free_ports;
use support::browser::Browser;
use support::series::{block, run_block};
use support::{Daemon, command, line, wait_until};
use tempfile::TempDir;

const MINUTE: u64 = 60_000_000;
const MINUTES: u64 = 90;
const NETWORKS: u64 = 40;
/// The network with too many flows in one minute and from a later one on, which is the last one with a closed window.
const TROUBLED: u64 = 7;
const EARLY: u64 = 50;
const BURST: u64 = MINUTES - 2;
/// A name that is HTML.
const HOSTILE: &str = "default-domain:demo:<img src=x onerror=alert(1)>";
const STREAM: &str = "UveVirtualNetworkAgent-egress_flow_count";
const SUM: &str = "AggProxySum-UveVirtualNetworkAgent-egress_flow_count";
const EWM: &str = "AggProxySumAnomalyEWM01-UveVirtualNetworkAgent-egress_flow_count";
const OBJECT: &str = "default-domain:tenant-01:vn-07";

fn name(network: u64) -> String {
    if network == 0 { HOSTILE.to_owned() } else { format!("default-domain:tenant-{:02}:vn-{network:02}", network % 3) }
}

/// The flows of a network in a minute.
fn flows(network: u64, minute: u64) -> u64 {
    let wave = ((minute * (3 + network % 4) + network * 5) as f64 / 15.0).sin() * 12.0;
    let noise = (minute * 7919 + network * 104_729) % 13;
    let usual = 80 + network * 9 + noise + (wave + 12.0) as u64;
    match minute {
        EARLY if network == TROUBLED => usual * 3,
        BURST.. if network == TROUBLED => usual * 6,
        _ => usual,
    }
}

/// The samples of a minute, which begins at `start`.
fn samples(minute: u64, start: u64) -> String {
    let sample = |network| line(&name(network), "egress_flow_count", start + 1_000_000, flows(network, minute));
    (0..NETWORKS).map(sample).collect()
}

/// The start of the first minute: the last one has just ended.
fn first_minute() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
    now / MINUTE * MINUTE - MINUTES * MINUTE
}

fn post(daemon: &Daemon, body: &str) {
    let (status, answer) = daemon.post(body.as_bytes(), None).unwrap();
    assert_eq!(status, 200, "{answer}");
}

/// An alarm of the troubled network: it fires early, for a minute, and again at the end. It compares both proxy types.
const RULE: &str = r#"alarms=[{rule='alarm "vn flows" when AggProxySum.value > 400 and AggProxySumAnomalyEWM01.value.samples >= 0 on "*:vn-07" text "{value} flows"'}]"#;

/// Silence closes no window and deletes no object.
const SETTINGS: [&str; 4] =
    ["aggregation.allowed_lateness=0s", "aggregation.idle_timeout=1d", "log.partitions=1", "workers.threads=1"];

fn start(data: &TempDir, more: &[&str]) -> Daemon {
    Daemon::start(data.path(), &[&SETTINGS, more].concat())
}

/// A daemon with an hour and a half of results.
fn daemon(data: &TempDir, first: u64) -> Daemon {
    daemon_with(data, first, &[RULE])
}

fn daemon_with(data: &TempDir, first: u64, more: &[&str]) -> Daemon {
    let daemon = start(data, more);
    for minute in 0..MINUTES {
        post(&daemon, &samples(minute, first + minute * MINUTE));
    }
    daemon.wait_until_applied();
    daemon
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn get(daemon: &Daemon, path: &str) -> Value {
    let (status, body) = daemon.get(path);
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// The error of a refused request has all `parts`.
#[track_caller]
fn refused((status, body): (u16, String), expected: u16, parts: &[&str]) {
    assert_eq!(status, expected, "{body}");
    let error: Value = serde_json::from_str(&body).unwrap();
    for part in parts {
        assert!(error["error"].as_str().unwrap().contains(part), "no {part:?} in {body}");
    }
}

fn ask(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> ureq::http::Response<ureq::Body> {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    agent.run(request.body(body).unwrap()).unwrap()
}

#[test]
fn the_page_is_small_compressed_cached_and_under_a_strict_policy() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &[]);
    let mut document = ask("GET", &daemon.url("/"), &[("accept-encoding", "identity")], b"");
    let header = |response: &ureq::http::Response<ureq::Body>, name: &str| {
        response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    let policy = header(&document, "content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(header(&document, "cache-control"), "no-cache");
    let etag = header(&document, "etag");
    let fresh = [("if-none-match", etag.as_str()), ("accept-encoding", "identity")];
    assert_eq!(ask("GET", &daemon.url("/"), &fresh, b"").status(), 304);
    assert_eq!(ask("GET", &daemon.url("/"), &[("if-none-match", "\"other\"")], b"").status(), 200);
    let text = document.body_mut().read_to_string().unwrap();
    // Relative, for a proxy that has the page below a path of its own.
    let assets: Vec<&str> = text.split('"').filter(|part| part.starts_with("assets/")).collect();
    assert_eq!(assets.len(), 3, "{text}");
    for path in assets {
        let response = ask("GET", &daemon.url(&format!("/{path}")), &[("accept-encoding", "gzip")], b"");
        assert_eq!(response.status(), 200, "{path}");
        assert!(header(&response, "cache-control").contains("immutable"), "{path}");
        assert_eq!(header(&response, "x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header(&response, "vary"), "accept-encoding", "{path}");
    }
    refused(daemon.get("/assets/page-00000000.js"), 404, &["does not exist"]);
    refused(daemon.get("/?view=1"), 400, &["`view`"]);
    daemon.stop();
}

#[test]
fn the_history_of_an_object_is_complete_and_goes_on_where_it_ended() {
    let data = TempDir::new().unwrap();
    let first = first_minute();
    let daemon = daemon(&data, first);
    let path = format!("/api/v1/history/virtual-network/{OBJECT}");
    let whole = get(&daemon, &path);
    assert_eq!((&whole["key"], &whole["next"]), (&json!(format!("ObjectVNTable:{OBJECT}")), &Value::Null));
    let series = whole["series"].as_array().unwrap();
    let points = |series: &Value| series["points"].as_array().unwrap().clone();
    let sums = points(series.iter().find(|series| series["uve"] == SUM).unwrap());
    // The last window is still open.
    let expected: Vec<u64> = (0..MINUTES - 1).map(|minute| flows(TROUBLED, minute)).collect();
    assert_eq!(sums.iter().map(|point| point[2].as_f64().unwrap() as u64).collect::<Vec<_>>(), expected);
    assert_eq!(sums[3][0], json!(first + 3 * MINUTE));
    let scores = points(series.iter().find(|series| series["uve"] == EWM).unwrap());
    let anomalies: Vec<_> = scores.iter().filter(|point| point[7] == 1).map(|point| point[0].clone()).collect();
    assert!(anomalies.contains(&json!(first + BURST * MINUTE)), "{anomalies:?}");
    assert!(scores.iter().all(|point| point[5].as_f64() <= point[6].as_f64()), "{scores:?}");
    let times = |alarm: &Value| (alarm["rule"].clone(), alarm["fired"].clone(), alarm["resolved"].clone());
    let end = |minute: u64| json!(first + (minute + 1) * MINUTE);
    let expected = [(end(EARLY), end(EARLY + 1)), (end(BURST), Value::Null)];
    let expected = expected.map(|(fired, resolved)| (json!("vn flows"), fired, resolved));
    assert_eq!(whole["alarms"].as_array().unwrap().iter().map(times).collect::<Vec<_>>(), expected);
    let newest = get(&daemon, &format!("{path}?limit=1"));
    let older = get(&daemon, &format!("{path}?before={}", newest["next"]));
    let count = |history: &Value| history["series"][0]["points"].as_array().unwrap().len();
    assert_eq!(count(&newest) + count(&older), sums.len());
    assert_eq!(get(&daemon, &format!("{path}?after={}", whole["end"]))["series"], json!([]));
    let times = format!("{path}?from={}&to={}", first + 3 * MINUTE, first + 5 * MINUTE);
    let selected = get(&daemon, &times);
    let selected = points(selected["series"].as_array().unwrap().iter().find(|it| it["uve"] == SUM).unwrap());
    assert_eq!(selected, sums[3..5]);
    is_found_by_query_and_refuses_others(&daemon, &path, &whole);
    daemon.stop();
    // The next start has the index of all that was there.
    let daemon = start(&data, &[RULE]);
    let again = get(&daemon, &path);
    assert_eq!((&again["series"], &again["unindexed_bytes"]), (&whole["series"], &json!(0)), "{again}");
    assert!(again["read_bytes"].as_u64() > Some(0), "{again}");
    daemon.stop();
}

fn is_found_by_query_and_refuses_others(daemon: &Daemon, path: &str, whole: &Value) {
    refused(daemon.get(&format!("{path}?limit=0")), 400, &["`limit` is 0", "20000"]);
    refused(daemon.get(&format!("{path}?form=0")), 400, &["form"]);
    refused(daemon.get("/api/v1/history/nothing/a"), 404, &["`nothing`", "/analytics/uves"]);
    let by_query = get(daemon, &format!("/api/v1/history/virtual-network?name={OBJECT}"));
    assert_eq!((&by_query["key"], &by_query["series"]), (&whole["key"], &whole["series"]));
    refused(daemon.get("/api/v1/history/virtual-network"), 400, &["`name` is missing"]);
    refused(daemon.get(&format!("{path}?name=a")), 400, &["leave `name` out"]);
    refused(daemon.get("/api/v1/loudest?limit=201"), 400, &["201", "200"]);
}

#[test]
fn an_annotation_is_explained_and_run_within_bounds() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &[]);
    let explain = |annotation: &str| get(&daemon, &format!("/api/v1/annotations/explain?annotation={annotation}"));
    let good = explain("1.DSSum-raw:DSAnomaly:EWM:0.1");
    let links: Vec<_> = good["links"].as_array().unwrap().iter().map(|link| link["name"].clone()).collect();
    assert_eq!((&good["valid"], links), (&json!(true), vec![json!("DSSum"), json!("DSAnomaly")]), "{good}");
    let bad = explain("raw:DSSun");
    assert_eq!((&bad["valid"], &bad["error"]["start"], &bad["error"]["end"]), (&json!(false), &json!(4), &json!(9)));
    assert!(bad["error"]["message"].as_str().unwrap().contains("DSSum"), "{bad}");
    refused(daemon.get("/api/v1/annotations/explain"), 400, &["annotation"]);
    let menu = get(&daemon, "/api/v1/annotations/menu");
    assert!(
        menu.as_array().unwrap().iter().any(|entry| entry["name"] == "Seasonal" && entry["roles"]["detector"] == true)
    );
    let run = |query: &str, body: &str| {
        let url = daemon.url(&format!("/api/v1/annotations/run?annotation={query}"));
        let mut response = ask("POST", &url, &[], body.as_bytes());
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    };
    let row = |minute: u64| {
        format!("{},{}\n", 1_488_000_000 + minute * 60, if minute == 40 { 900 } else { 100 + minute % 3 })
    };
    let rows: String = (0..50).map(row).collect();
    let (status, body) = run("1.DSSum-value:DSAnomaly:EWM:0.1", &format!("{rows}bad\n"));
    assert_eq!(status, 200, "{body}");
    let outcome: Value = serde_json::from_str(&body).unwrap();
    let anomalies: Vec<_> = outcome["points"].as_array().unwrap().iter().filter(|point| point[6] == 1).collect();
    assert_eq!(anomalies.len(), 1, "{body}");
    assert_eq!((&anomalies[0][0], &anomalies[0][1]), (&json!(1_488_002_400_000_000_u64), &json!(900.0)));
    assert_eq!((&outcome["bad_lines"], &outcome["errors"][0]["line"]), (&json!(1), &json!(51)), "{body}");
    let invalid = |query: &str, body: &str, part: &str| {
        let (status, body) = run(query, body);
        assert!(status == 200 && body.contains(r#""valid":false"#) && body.contains(part), "{status} {body}");
    };
    invalid("raw:DSSun", &rows, "did you mean `DSSum`");
    refused(run("1-value:DSSum&period=0", &rows), 400, &["`period` is 0", "86400"]);
    invalid("1-value:DSSum", "x", "no row can be read");
    invalid("1-value:DSSum", &"1488000000,1\n".repeat(20_001), "20001 rows; expected at most 20000");
    refused(run("1-value:DSSum", &"1,1\n".repeat(70_000)), 413, &["the limit of a series"]);
    daemon.stop();
}

#[test]
fn the_event_stream_of_one_object_has_no_other() {
    let data = TempDir::new().unwrap();
    let first = first_minute();
    let daemon = daemon(&data, first);
    let key = "ObjectVNTable:default-domain:demo:%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E";
    let mut response = ask("GET", &daemon.url(&format!("/api/v1/results/stream?from=0&key={key}")), &[], b"");
    let lines = std::io::BufRead::lines(BufReader::new(response.body_mut().as_reader()));
    let data = lines.map_while(Result::ok).filter(|line| line.starts_with("data:")).take(20);
    for line in data {
        let result: Value = serde_json::from_str(line.trim_start_matches("data:")).unwrap();
        assert_eq!(result["key"], Value::from(format!("ObjectVNTable:{HOSTILE}")));
    }
    drop(response);
    daemon.stop();
}

/// The rules of WCAG by axe-core (<https://github.com/dequelabs/axe-core>) hold for what is shown.
#[track_caller]
fn is_accessible(browser: &Browser, what: &str) {
    let path = repository().join("daemon/page/node_modules/axe-core/axe.min.js");
    let axe = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run .ci/setup, which installs it by npm", path.display()));
    browser.run(&format!("{axe}; done(null);"));
    let violations = browser.run(
        "axe.run(document).then((found) => done(found.violations.map((rule) => \
         [rule.id, rule.nodes.map((node) => node.html + ' ' + node.failureSummary)])), (error) => done(String(error)));",
    );
    assert_eq!(violations, json!([]), "{what}: {violations:#}");
}

/// Looks at a view in both colour schemes, and makes its picture.
#[track_caller]
fn looked_at(browser: &Browser, view: &str) {
    for (is_dark, suffix) in [(true, "-dark"), (false, "")] {
        browser.set_dark(is_dark);
        browser.run("requestAnimationFrame(() => requestAnimationFrame(() => done(null)));");
        is_accessible(browser, &format!("{view}{suffix}"));
        browser.screenshot(&repository().join(format!("docs/src/guide/pictures/page/{view}{suffix}.png")));
    }
}

#[test]
fn an_operator_finds_the_loud_object_its_chart_and_the_mistake_in_an_annotation() {
    let data = TempDir::new().unwrap();
    let first = first_minute();
    let daemon = daemon(&data, first);
    let browser = Browser::start(1400, 1000);
    browser.open(&daemon.url("/"));
    shows_the_loudest_and_follows(&browser, &daemon, first);
    searches_and_sorts(&browser, &daemon);
    zooms_and_follows(&browser, &daemon, first);
    reads_the_range_that_it_shows(&browser, &daemon, first);
    explains_and_runs(&browser, &daemon);
    assert_eq!(browser.console(), Vec::<String>::new());
    drop(browser);
    daemon.stop();
}

fn shows_the_loudest_and_follows(browser: &Browser, daemon: &Daemon, first: u64) {
    browser.wait("document.querySelector('#health').textContent === 'Ready'");
    browser.wait("document.querySelectorAll('[aria-label=\"Loudest objects\"] tbody tr').length === 20");
    let loudest = "document.querySelector('[aria-label=\"Loudest objects\"] tbody tr')";
    browser.wait(&format!("{loudest}.className === 'anomalous' && {loudest}.innerText.includes('{OBJECT}')"));
    browser.wait(&format!("{loudest}.querySelector('polyline').points.numberOfItems === 60"));
    let tiles = "document.querySelector('.tiles').innerText";
    browser.wait(&format!("/Objects\\s+{NETWORKS}\\b/.test({tiles}) && /Late\\s+0\\b/.test({tiles})"));
    browser.wait("document.querySelector('[aria-labelledby=sinks]').innerText.includes('view')");
    browser.wait(&format!("/Records\\s+\\d+\\s*\\/s/.test({tiles}) && /Watermark behind\\s+\\d/.test({tiles})"));
    browser.wait(&format!(
        "document.querySelector('[aria-labelledby=partitions]').innerText.includes('{STREAM}\\t1\\t{NETWORKS}\\t0')"
    ));
    // Ages are by the daemon's clock, as it is now.
    browser.wait("!document.querySelector('main').innerText.includes('in 1 s')");
    looked_at(browser, "overview");
    // A further object, and a late sample, without a reload.
    post(daemon, &line("new", "egress_flow_count", first + (MINUTES - 1) * MINUTE + 30_000_000, 5));
    post(daemon, &line("new", "egress_flow_count", first, 5));
    browser.wait(&format!("/Objects\\s+{}\\b/.test({tiles}) && /Late\\s+1\\b/.test({tiles})", NETWORKS + 1));
}

#[test]
fn an_operator_finds_an_alarm_and_the_chart_that_explains_it() {
    let (data, first) = (TempDir::new().unwrap(), first_minute());
    let daemon = daemon(&data, first);
    let browser = Browser::start(1400, 1000);
    browser.open(&daemon.url("/"));
    finds_the_alarm_and_the_chart_that_explains_it(&browser, &daemon, first);
    assert_eq!(browser.console(), Vec::<String>::new());
    drop(browser);
    daemon.stop();
}

/// Where the alarms of each chart fired and ended, as shares of its width.
const MARKS: &str = "[...document.querySelectorAll('.panel')].map((panel) => ['fired', 'resolved'].map((kind) => \
                     [...panel.querySelectorAll(`.mark.${kind}`)].map((mark) => \
                     mark.offsetLeft / panel.querySelector('.u-over').clientWidth)))";

fn finds_the_alarm_and_the_chart_that_explains_it(browser: &Browser, daemon: &Daemon, first: u64) {
    let alarms = "document.querySelector('[aria-labelledby=alarms]')";
    browser.wait(&format!("{alarms}.querySelector('tbody a').textContent === '{OBJECT}'"));
    browser.wait(&format!("{alarms}.innerText.includes('vn flows, ObjectVNTable major: 1 firing')"));
    // The group leads to its objects, and the object to the time of its alarm.
    browser.click("[aria-labelledby=alarms] .alarm-groups a");
    let count = "document.querySelector('form [role=status]').textContent";
    let rows = |selected: u64| format!("{count} === '{selected} of {} rows'", 2 * NETWORKS);
    // A row of each proxy type that the rule compares.
    browser.wait(&rows(2));
    browser.wait("document.querySelector('.virtual tbody').innerText.includes('vn flows firing')");
    is_accessible(browser, "objects by alarm");
    browser.click(".virtual tbody a");
    browser.wait("document.querySelectorAll('.u-over').length === 2");
    browser.wait("document.querySelectorAll('.mark.fired').length === 4");
    shows_when_it_fired_and_ended(browser, first);
    is_accessible(browser, "object with alarms");
    // From the overview it is one click; other states have no row.
    browser.open("about:blank");
    browser.open(&daemon.url("/"));
    browser.wait(&format!("{alarms}.querySelector('tbody a').textContent === '{OBJECT}'"));
    browser.click("[aria-labelledby=alarms] tbody a");
    browser.wait("document.querySelectorAll('.mark.fired').length === 4");
    browser.open("about:blank");
    browser.open(&daemon.url("/#/objects?type=virtual-networks&alarm=pending"));
    browser.wait(&rows(0));
}

fn shows_when_it_fired_and_ended(browser: &Browser, first: u64) {
    let range = browser
        .value("['from', 'to'].map((name) => Number(new URLSearchParams(location.hash.split('?')[1]).get(name)))");
    let [from, to] = [0, 1].map(|index| range[index].as_f64().unwrap());
    let fired = |minute: u64| (first + minute * MINUTE) as f64 / 1e6;
    assert!(from < fired(EARLY) && to > fired(BURST + 2), "{range}");
    // The alarm fired in two windows and ended after the first one, on the charts of both types.
    let marks = browser.value(MARKS);
    let expected = [vec![fired(EARLY), fired(BURST)], vec![fired(EARLY + 1)]];
    assert_eq!(marks.as_array().unwrap().len(), 2, "{marks}");
    for (found, expected) in
        marks.as_array().unwrap().iter().flat_map(|of| of.as_array().unwrap().iter().zip(&expected))
    {
        let found: Vec<f64> = found.as_array().unwrap().iter().map(|share| share.as_f64().unwrap()).collect();
        let near = |(share, at): (&f64, &f64)| (share - (at - from) / (to - from)).abs() < 0.005;
        assert!(found.len() == expected.len() && found.iter().zip(expected).all(near), "{marks} {range} {first}");
    }
    let rows = "[...document.querySelectorAll('[aria-labelledby=alarms] tbody tr')].map((row) => row.innerText)";
    let rows = browser.value(rows);
    let text = |row: usize| rows[row].as_str().unwrap();
    assert!(text(0).contains("\tfires\t") && text(0).contains("flows"), "{rows}");
    assert!(!text(1).contains("\tfires\t") && text(1).contains("Major\tvn flows\t"), "{rows}");
    browser.press(".plot", "\u{E012}");
    browser.wait("document.querySelector('.readout').textContent.endsWith(', alarm vn flows fires')");
    let label = "document.querySelector('.plot').getAttribute('aria-label')";
    browser.wait(&format!("{label}.includes(', 2 alarms.')"));
    browser.click("[aria-labelledby=alarms] tbody button");
    browser.wait("document.querySelectorAll('.mark.fired').length === 2");
}

/// The tutorial of the book with the samples of its commands, and its pictures. `docs/commands` runs all of them.
#[test]
fn the_tutorial_leads_to_an_alarm_and_a_chart_with_a_marked_anomaly() {
    const TUTORIAL: &str = include_str!("../../docs/src/guide/first-results.md");
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("stats.toml");
    std::fs::write(&config, block(TUTORIAL, "[log]")).unwrap();
    let mut run = command("run", &folder.path().join("data"), &[]);
    run.arg("--config").arg(&config);
    let daemon = Daemon::spawn(run).unwrap();
    run_block(block(TUTORIAL, "samples() {"), folder.path(), daemon.address());
    let browser = Browser::start(1400, 1000);
    browser.open(&daemon.url("/"));
    let alarms = "document.querySelector('[aria-labelledby=alarms]')";
    browser.wait(&format!("{alarms}.querySelector('tbody a').textContent === 'default-domain:demo:vn7'"));
    browser.wait("document.querySelectorAll('[aria-label=\"Loudest objects\"] tbody tr').length === 10");
    looked_at(&browser, "tutorial-overview");
    browser.click("[aria-labelledby=alarms] tbody a");
    browser.wait("document.querySelectorAll('.u-over').length === 2");
    browser.wait("document.querySelectorAll('.mark.fired').length === 1");
    browser.wait("document.querySelectorAll('[aria-labelledby=anomalies] tbody tr').length > 0");
    looked_at(&browser, "tutorial-object");
    assert_eq!(browser.console(), Vec::<String>::new());
    drop(browser);
    daemon.stop();
}

/// The alert of an object and that of its group of so many alarms.
fn alerts(alertmanager: &Alertmanager, firing: u64) -> [Value; 2] {
    let alerts = wait_until("an alert of an object and one of a group", || {
        let mut alerts = alertmanager.alerts()?;
        alerts.retain(|alert| alert["annotations"]["firing"] == json!(firing.to_string()));
        [Value::Null, json!("true")]
            .map(|grouped| alerts.iter().find(|alert| alert["labels"]["grouped"] == grouped).cloned())
            .into_iter()
            .collect::<Option<Vec<_>>>()
    });
    alerts.try_into().unwrap()
}

/// A rule whose alerts lead to the page at `port`, one of them for an object of its own.
fn settings_of_alerts(alertmanager: &Alertmanager, port: u16, rule: &str) -> [String; 6] {
    [
        rule.to_owned(),
        format!("http.listen=127.0.0.1:{port}"),
        format!("sinks.alertmanager.url={}", alertmanager.url()),
        format!("sinks.alertmanager.page_url=http://127.0.0.1:{port}"),
        "sinks.alertmanager.alarms_per_group=1".to_owned(),
        "sinks.alertmanager.refresh_interval=5s".to_owned(),
    ]
}

fn link(alert: &Value) -> String {
    assert_eq!(alert["annotations"]["page"], alert["generatorURL"], "{alert}");
    alert["generatorURL"].as_str().unwrap().to_owned()
}

/// The links of alarms of missing data: the table, which is not one of Contrail's, has no object any more.
#[test]
fn the_links_of_alerts_lead_to_objects_that_are_gone() {
    let (data, first, alertmanager) = (TempDir::new().unwrap(), first_minute(), Alertmanager::start());
    let [port] = free_ports();
    let rule = r#"alarms=[{rule='alarm "nodata" when no data in AggProxySum'}]"#;
    let settings = settings_of_alerts(&alertmanager, port, rule);
    let daemon = start(&data, &settings.iter().map(String::as_str).collect::<Vec<_>>());
    for minute in 0..30 {
        let keys = if minute < 10 { &["Svc:s1", "Svc:s2", "ObjectVNTable:a"][..] } else { &["ObjectVNTable:a"] };
        let ts = first + minute * MINUTE;
        let lines = keys.iter().map(|key| json!({ "key": key, "attr": "egress_flow_count", "ts": ts, "value": 5 }));
        post(&daemon, &lines.map(|line| format!("{line}\n")).collect::<String>());
    }
    daemon.wait_until_applied();
    let [of_object, of_group] = alerts(&alertmanager, 2);
    let listed = get(&daemon, "/analytics/uves/svcs");
    let names = listed.as_array().unwrap().iter().map(|object| object["name"].clone());
    assert_eq!(names.collect::<Vec<_>>(), [json!("s1"), json!("s2")], "only alarms are left of them");
    let path = listed[0]["href"].as_str().unwrap().strip_prefix(&daemon.url("")).unwrap();
    assert_eq!(get(&daemon, path)["UVEAlarms"]["alarms"][0]["type"], json!("nodata"), "{listed}");
    let browser = Browser::start(1400, 1000);
    browser.open(&link(&of_object));
    browser.wait(&format!("document.querySelector('h1').textContent === {}", of_object["labels"]["object"]));
    browser.wait("document.querySelectorAll('.mark.fired').length > 0");
    browser.open("about:blank");
    browser.open(&link(&of_group));
    browser.wait("document.querySelector('form [role=status]').textContent === '2 rows'");
    assert_eq!(browser.value("document.querySelector('#type').value"), json!("Svcs"));
    browser.click(".virtual tbody a");
    browser.wait("document.querySelectorAll('.mark.fired').length > 0");
    assert_eq!(browser.console(), Vec::<String>::new());
    browser.open("about:blank");
    browser.open(&daemon.url("/#/objects?type=nothings"));
    browser.wait("document.querySelector('.virtual').innerText.includes('The type nothings has no objects.')");
    drop(browser);
    daemon.stop();
}

#[test]
fn the_links_of_alerts_lead_to_the_charts_that_explain_them_in_two_clicks() {
    let (data, first, alertmanager) = (TempDir::new().unwrap(), first_minute(), Alertmanager::start());
    let [port] = free_ports();
    let busy = r#"alarms=[{rule='alarm "busy network" when AggProxySum.value > 0'}]"#;
    let settings = settings_of_alerts(&alertmanager, port, busy);
    let daemon = daemon_with(&data, first, &settings.iter().map(String::as_str).collect::<Vec<_>>());
    let [of_object, of_group] = alerts(&alertmanager, NETWORKS);
    let browser = Browser::start(1400, 1000);
    browser.open(&link(&of_object));
    browser.wait(&format!("document.querySelector('h1').textContent === {}", of_object["labels"]["object"]));
    browser.wait("document.querySelectorAll('.mark.fired').length > 0");
    // The range of the link, in which the alarm fired, is the one that is shown.
    let range = link(&of_object).split_once('?').unwrap().1.to_owned();
    assert_eq!(browser.value("location.hash.split('?')[1]"), json!(range));
    browser.open("about:blank");
    browser.open(&link(&of_group));
    let rows =
        format!("document.querySelector('form [role=status]').textContent === '{NETWORKS} of {} rows'", 2 * NETWORKS);
    browser.wait(&rows);
    browser.click(".virtual tbody a");
    browser.wait("document.querySelectorAll('.mark.fired').length > 0");
    assert_eq!(browser.console(), Vec::<String>::new());
    drop(browser);
    daemon.stop();
}

/// Two attributes of one proxy type, whose name comes after those of the built-in ones.
const ZONED: &str = r#"struct Zoned {
  1: string name (key="")
  2: string proxy
  3: optional bool deleted
  4: optional u64 raw (hidden="yes")
  5: optional u64 alpha (stats="1-raw:DSSum")
  6: optional u64 zulu (stats="1-raw:DSMax")
} (period="60", timeout="1")
"#;

/// A daemon with four charts of each object, and alarms about the last one by name.
fn daemon_of_several_types(folder: &TempDir, alertmanager: &Alertmanager) -> (Daemon, u64) {
    let schema = folder.path().join("zoned.sandesh");
    std::fs::write(&schema, ZONED).unwrap();
    let ([port], first) = (free_ports(), first_minute());
    let mut settings: Vec<String> =
        settings_of_alerts(alertmanager, port, r#"alarms=[{rule='alarm "loud" when Zoned.zulu > 100'}]"#).into();
    settings.push(format!("aggregation.schema_files={}", schema.display()));
    let list = "aggregation.uve_proxy_list=UveVirtualNetworkAgent-egress_flow_count:AggProxySum:AggProxySumLast:Zoned";
    settings.push(list.to_owned());
    let settings: Vec<&str> = SETTINGS.into_iter().chain(settings.iter().map(String::as_str)).collect();
    let daemon = Daemon::start(&folder.path().join("data"), &settings);
    for minute in 0..20 {
        values(&daemon, &["a"], first + minute * MINUTE, if minute > 10 { 500 } else { 5 });
    }
    daemon.wait_until_applied();
    (daemon, first)
}

#[test]
fn the_links_of_an_alert_show_the_chart_that_fires_first_and_partial_windows_are_hollow() {
    let (folder, alertmanager) = (TempDir::new().unwrap(), Alertmanager::start());
    let (daemon, first) = daemon_of_several_types(&folder, &alertmanager);
    let alert = wait_until("the alert", || alertmanager.alerts()?.into_iter().next());
    let browser = Browser::start(1400, 1000);
    browser.open(&link(&alert));
    let expected = ["Zoned STREAM zulu", "Zoned STREAM alpha", "AggProxySum STREAM", "AggProxySumLast STREAM"];
    let expected = json!(expected.map(|label| label.replace("STREAM", STREAM)));
    let charts = "[...document.querySelectorAll('.panel')].map((panel) => panel.getAttribute('aria-label'))";
    let is_first = format!("JSON.stringify({charts}) === JSON.stringify({expected})");
    browser.wait(&is_first);
    browser.wait("document.querySelector('.panel').querySelectorAll('.mark.fired').length === 1");
    // A range that is chosen leaves it so, also in the link.
    browser.click("[title='Zoom out']");
    browser.wait("/uve=Zoned-.*&attribute=zulu/.test(location.hash)");
    // From the overview, and from the table by alarm.
    for (view, alarm) in [("/", "[aria-labelledby=alarms] tbody a"), ("/#/objects?alarm=firing", ".virtual tbody a")] {
        browser.open("about:blank");
        browser.open(&daemon.url(view));
        browser.wait(&format!("document.querySelector(\"{alarm}\") !== null"));
        browser.click(alarm);
        browser.wait(&is_first);
    }
    // Without an alarm they are in the order of their names.
    browser.open("about:blank");
    browser.open(&daemon.url(&format!(
        "/#/object/virtual-network/a?from={0}&to={1}",
        first / 1_000_000,
        (first + 20 * MINUTE) / 1_000_000
    )));
    browser.wait(&format!("{charts}.length === 4 && {charts}[0].startsWith('AggProxySum {STREAM}')"));
    // Before the colours of points are read, which Chromium advises against.
    assert_eq!(browser.console(), Vec::<String>::new());
    draws_partial_windows_hollow(&browser);
    drop(browser);
    daemon.stop();
}

/// Of the second chart, whose first window is partial: the last values of its sources were not all known.
fn draws_partial_windows_hollow(browser: &Browser) {
    let panel = "document.querySelectorAll('.panel')[1]";
    browser
        .wait(&format!("/, \\d partial windows?\\./.test({panel}.querySelector('.plot').getAttribute('aria-label'))"));
    browser.wait(&format!("{panel}.querySelector('.legend').textContent.includes('partial window')"));
    let readout = format!("{panel}.querySelector('.readout').textContent");
    let plot = ".panel:nth-child(2) .plot";
    browser.press(plot, "\u{E012}");
    browser.wait(&format!("/^\\d{{4}}-/.test({readout})"));
    assert_eq!(browser.value(&format!("{readout}.includes('partial')")), json!(false), "the newest one is whole");
    // The colour in the middle of the point under the cursor, which is a box of its own over the canvas.
    let middle = format!(
        "(() => {{ const canvas = {panel}.querySelector('canvas'); const box = canvas.getBoundingClientRect(); \
         const point = {panel}.querySelectorAll('.u-cursor-pt')[3].getBoundingClientRect(); \
         const ratio = canvas.width / box.width; \
         const at = [point.x + point.width / 2 - box.x, point.y + point.height / 2 - box.y]; \
         return [...canvas.getContext('2d').getImageData(at[0] * ratio, at[1] * ratio, 1, 1).data]; }})()"
    );
    let colors =
        "['--value', '--box'].map((name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim())";
    let [value, hollow] = [0, 1].map(|index| {
        let color = browser.value(colors)[index].as_str().unwrap().trim_start_matches('#').to_owned();
        let part = |at: usize| u8::from_str_radix(&color[at..at + 2], 16).unwrap();
        json!([part(0), part(2), part(4), 255])
    });
    assert_eq!(browser.value(&middle), value, "the point of a whole window is filled");
    let mut steps = 0;
    // Without a chosen window the readout counts the partial ones.
    while browser.value(&format!("/^\\d{{4}}-.* partial window/.test({readout})")) == json!(false) {
        browser.press(plot, "\u{E012}");
        steps += 1;
        assert!(steps < 30, "{}", browser.value(&readout));
    }
    assert_eq!(browser.value(&middle), hollow, "that of a partial one is hollow");
}

#[test]
fn the_table_shows_streams_as_a_whole_in_windows_of_any_width() {
    let data = TempDir::new().unwrap();
    let (daemon, _) = daemon_with_sums(&data, &["a", "b"]);
    for width in [1400, 620] {
        let browser = Browser::start(width, 800);
        browser.open(&daemon.url("/#/objects"));
        browser.wait("document.querySelectorAll('.virtual tbody a').length === 2");
        let cells = "[...document.querySelectorAll('.virtual tbody td:nth-child(2)')]";
        browser.wait(&format!("{cells}.every((cell) => cell.innerText === 'AggProxySum {STREAM}')"));
        browser.wait(&format!("{cells}.every((cell) => cell.scrollWidth <= cell.clientWidth)"));
        // What does not fit is reached with the keys: the frame has the focus and scrolls.
        let frame = "document.querySelector('.frame')";
        let is_wide = browser.value(&format!("{frame}.scrollWidth > {frame}.clientWidth"));
        assert_eq!(is_wide, json!(width < 1000), "{width}");
        is_accessible(&browser, "objects");
        if width < 1000 {
            browser.press(".frame", "\u{E014}");
            browser.wait(&format!("{frame}.scrollLeft > 0"));
        }
        assert_eq!(browser.console(), Vec::<String>::new());
    }
    daemon.stop();
}

/// A reader of a long list that takes no more than its beginning: it has the share of its address.
fn slow_reader(daemon: &Daemon) -> TcpStream {
    let mut stream = TcpStream::connect(daemon.address()).unwrap();
    stream.write_all(b"GET /analytics/uves/virtual-network/* HTTP/1.0\r\nhost: x\r\n\r\n").unwrap();
    let mut status = String::new();
    BufReader::new(stream.try_clone().unwrap()).read_line(&mut status).unwrap();
    assert!(status.contains("200"), "{status}");
    stream
}

#[test]
fn a_table_keeps_its_rows_while_the_daemon_is_busy_and_ends_requests_that_nobody_waits_for() {
    const OBJECTS: u64 = 10_000;
    const START: u64 = 1_488_000_000_000_000;
    let data = TempDir::new().unwrap();
    let list = "aggregation.uve_proxy_list=UveVirtualNetworkAgent-egress_flow_count:AggProxySum";
    // One reader at a time for each address.
    let daemon = start(&data, &[list, "http.max_readers=2"]);
    let name = |object: u64| format!("vn-{object:05}-{}", "x".repeat(700));
    let sample =
        |object: u64, minute: u64| line(&name(object), "egress_flow_count", START + minute * MINUTE, 5 + minute);
    post(&daemon, &(0..OBJECTS).map(|object| sample(object, 0)).collect::<String>());
    post(&daemon, &sample(0, 1));
    daemon.wait_until_applied();
    let browser = Browser::start(1400, 800);
    browser.open(&daemon.url("/#/objects?type=virtual-networks"));
    let rows = "[...document.querySelectorAll('.virtual tbody tr[aria-rowindex]')]";
    browser.wait(&format!("{rows}.length > 20 && {rows}[0].innerText.includes('vn-00000')"));
    browser.run(
        "window.requests = []; window.ended = []; window.busy = 0; window.seen = []; const own = window.fetch; \
         window.fetch = async (path, init) => { \
           window.requests.push(path); \
           init?.signal?.addEventListener('abort', () => window.ended.push(path)); \
           const response = await own(path, init); \
           window.busy += response.status === 429 ? 1 : 0; \
           return response; }; \
         new MutationObserver(() => { \
           const alert = document.querySelector('.alert'); \
           window.seen.push(...(alert.hidden ? [] : [alert.textContent])); \
           if (document.querySelectorAll('.virtual tbody a').length === 0) window.seen.push('no rows'); \
         }).observe(document.querySelector('main'), { subtree: true, childList: true, attributes: true }); done(null);",
    );
    let reader = slow_reader(&daemon);
    browser.wait("window.busy > 0");
    // The answer to the first search waits, and another one takes its place.
    browser.enter("#search", "vn-0001");
    browser.wait("window.requests.some((path) => path.includes('search=vn-0001&') || path.endsWith('search=vn-0001'))");
    browser.enter("#search", "vn-00012");
    browser.wait("window.ended.some((path) => path.includes('search=vn-0001'))");
    drop(reader);
    browser.wait("document.querySelector('form [role=status]').textContent === '1 of 10,000 rows'");
    assert_eq!(browser.value("window.seen"), json!([]), "no error, and rows all the time");
    drop(browser);
    daemon.stop();
}

fn searches_and_sorts(browser: &Browser, daemon: &Daemon) {
    browser.click("nav a[href='#/objects']");
    let rows = "[...document.querySelectorAll('.virtual tbody tr[aria-rowindex]')]";
    let count = "document.querySelector('form [role=status]').textContent";
    browser.wait(&format!("{count} === '{} rows'", 2 * NETWORKS));
    let drawn = browser.value(&format!("{rows}.length")).as_u64().unwrap();
    assert!((20..70).contains(&drawn), "{drawn} rows are drawn");
    let rendered = browser.value(&format!("{rows}[0].querySelector('a').textContent"));
    assert_eq!(rendered, Value::from(HOSTILE), "a name is text");
    assert_eq!(browser.value("document.querySelectorAll('img').length"), json!(0));
    browser.click(".virtual thead th:nth-child(5) button");
    browser.wait(&format!("{rows}[0].innerText.includes('{OBJECT}') && {rows}[0].className === 'anomalous'"));
    looked_at(browser, "objects");
    browser.enter("#search", "VN-1");
    browser.wait(&format!("{count} === '20 of {} rows'", 2 * NETWORKS));
    browser.enter("#search", "nothing like that");
    browser.wait("document.querySelector('.virtual').innerText.includes('No row passes')");
    // A link has the search.
    browser.open("about:blank");
    browser.open(
        &daemon
            .url("/#/objects?type=virtual-networks&uve=AggProxySum-UveVirtualNetworkAgent-egress_flow_count&q=vn-07"),
    );
    browser.wait(&format!("{count} === '1 of {NETWORKS} rows'"));
    browser.click(".virtual tbody a");
}

/// A daemon with results of networks, and of an object of another type.
fn daemon_with_a_vrouter(data: &TempDir, first: u64) -> Daemon {
    let daemon = start(data, &[RULE]);
    for at in (0..MINUTES).map(|minute| first + minute * MINUTE) {
        let other = line("vr1", "egress_flow_count", at, 5).replace("ObjectVNTable:", "ObjectVRouter:");
        post(&daemon, &(samples((at - first) / MINUTE, at) + &other));
    }
    daemon.wait_until_applied();
    daemon
}

/// Chooses an option of a list once it is there.
#[track_caller]
fn chooses(browser: &Browser, option: &str) {
    browser.wait(&format!("document.querySelector(\"{option}\") !== null"));
    browser.click(option);
}

#[test]
fn each_control_of_the_table_chooses_its_rows_and_is_in_the_address() {
    let (data, first) = (TempDir::new().unwrap(), first_minute());
    let daemon = daemon_with_a_vrouter(&data, first);
    let browser = Browser::start(1400, 1000);
    browser.open(&daemon.url("/#/objects"));
    let rows = "[...document.querySelectorAll('.virtual tbody tr[aria-rowindex]')]";
    let count = "document.querySelector('form [role=status]').textContent";
    let counts = |selected: u64, of: u64| browser.wait(&format!("{count} === '{selected} of {of} rows'"));
    let choose = |control: &str, value: &str| chooses(&browser, &format!("#{control} option[value='{value}']"));
    browser.wait(&format!("{count} === '{} rows'", 2 * NETWORKS));
    browser.click("#loud");
    browser.wait(&format!(
        "{rows}.length === 1 && {rows}[0].className === 'anomalous' && {rows}[0].innerText.includes('{OBJECT}')"
    ));
    counts(1, 2 * NETWORKS);
    browser.wait("/[?&]loud=1/.test(location.hash)");
    browser.click("#loud");
    browser.wait(&format!("{count} === '{} rows'", 2 * NETWORKS));
    choose("alarm", "rule:vn flows");
    counts(2, 2 * NETWORKS);
    choose("uve", EWM);
    counts(1, NETWORKS);
    browser.wait(&format!("{rows}[0].innerText.includes('AggProxySumAnomalyEWM01')"));
    choose("alarm", "pending");
    counts(0, NETWORKS);
    choose("alarm", "firing");
    counts(1, NETWORKS);
    // What is chosen is in a link.
    let link = browser.value("location.href").as_str().unwrap().to_owned();
    browser.open("about:blank");
    browser.open(&link);
    counts(1, NETWORKS);
    let chosen = browser.value("['type', 'uve', 'alarm'].map((id) => document.getElementById(id).value)");
    assert_eq!(chosen, json!(["virtual-networks", EWM, "firing"]));
    choose("alarm", "");
    choose("uve", "");
    browser.wait(&format!("{count} === '{} rows'", 2 * NETWORKS));
    choose("type", "vrouters");
    browser.wait(&format!("{count} === '2 rows' && {rows}.every((row) => row.innerText.includes('vr1'))"));
    assert_eq!(browser.console(), Vec::<String>::new());
    drop(browser);
    daemon.stop();
}

/// A daemon with sums of these objects and a rule of alarms, and the start of its next window.
fn daemon_with_sums(data: &TempDir, names: &[&str]) -> (Daemon, u64) {
    const START: u64 = 1_488_000_000_000_000;
    let rule = r#"alarms=[{rule='alarm "many" when AggProxySum.value > 100'}]"#;
    let daemon =
        start(data, &["aggregation.uve_proxy_list=UveVirtualNetworkAgent-egress_flow_count:AggProxySum", rule]);
    for minute in 0..2 {
        values(&daemon, names, START + minute * MINUTE, 5);
    }
    daemon.wait_until_applied();
    (daemon, START + 2 * MINUTE)
}

/// Sends one value of each object.
fn values(daemon: &Daemon, names: &[&str], at: u64, value: u64) {
    post(daemon, &names.iter().map(|name| line(name, "egress_flow_count", at, value)).collect::<String>());
}

#[test]
fn alarms_come_into_the_overview_and_the_table_while_they_are_seen() {
    let data = TempDir::new().unwrap();
    let names = ["a", "b", "c"];
    let (daemon, next) = daemon_with_sums(&data, &names);
    let browser = Browser::start(1400, 1000);
    browser.open(&daemon.url("/"));
    let alarms = "document.querySelector('[aria-labelledby=alarms]')";
    browser.wait(&format!("{alarms}.hidden && /Objects\\s+3\\b/.test(document.querySelector('.tiles').innerText)"));
    browser.value("window.same = true");
    // All have values in each minute: an object without any ends.
    values(&daemon, &names, next, 5);
    values(&daemon, &["a"], next, 500);
    values(&daemon, &names, next + MINUTE, 5);
    browser.wait(&format!("!{alarms}.hidden && {alarms}.querySelector('tbody a').textContent === 'a'"));
    browser.click("nav a[href='#/objects']");
    let row = "[...document.querySelectorAll('.virtual tbody tr[aria-rowindex]')]";
    browser.wait(&format!("{row}.length === 3 && !{row}[1].innerText.includes('many')"));
    values(&daemon, &["b"], next + MINUTE, 500);
    values(&daemon, &names, next + 2 * MINUTE, 5);
    browser.wait(&format!("{row}[1].innerText.includes('b') && {row}[1].innerText.includes('many firing')"));
    assert_eq!(browser.value("window.same"), json!(true), "the page was not loaded again");
    assert_eq!(browser.console(), Vec::<String>::new());
    drop(browser);
    daemon.stop();
}

#[test]
fn the_overview_has_the_worst_alarms_first_with_their_streams() {
    let data = TempDir::new().unwrap();
    let streams = ["egress_flow_count", "ingress_flow_count"];
    let list: Vec<_> = streams.iter().map(|it| format!("UveVirtualNetworkAgent-{it}:AggProxySum")).collect();
    let rules = r#"alarms=[{rule='alarm "small" when AggProxySum.value > 10 severity minor'},
        {rule='alarm "huge" when AggProxySum.value > 1000 severity critical'}]"#;
    let daemon = start(&data, &[&format!("aggregation.uve_proxy_list={}", list.join(" ")), rules]);
    let first = first_minute();
    let names: Vec<_> = (0..30).map(|number| format!("vn-{number:02}")).collect();
    for at in [first, first + MINUTE, first + 2 * MINUTE] {
        values(&daemon, &names.iter().map(String::as_str).collect::<Vec<_>>(), at, 50);
        post(&daemon, &streams.map(|stream| line("zz", stream, at, 5000)).concat());
    }
    daemon.wait_until_applied();
    let browser = Browser::start(1400, 1000);
    browser.open(&daemon.url("/"));
    let rows = "[...document.querySelectorAll('[aria-labelledby=alarms] tbody tr')]";
    let is_critical = "row.innerText.includes('Critical') && row.querySelector('a').textContent === 'zz'";
    browser.wait(&format!("{rows}.length === 21 && {rows}.slice(0, 2).every((row) => {is_critical})"));
    let of_streams = format!("{rows}.slice(0, 2).map((row) => row.querySelector('.uve').textContent).sort()");
    let expected = streams.map(|stream| format!("AggProxySum UveVirtualNetworkAgent-{stream}"));
    assert_eq!(browser.value(&of_streams), json!(expected));
    assert_eq!(browser.value(&format!("{rows}[20].innerText")), json!("and 14 more"));
    is_accessible(&browser, "overview with alarms");
    assert_eq!(browser.console(), Vec::<String>::new());
    drop(browser);
    daemon.stop();
}

#[test]
fn the_filters_of_the_table_follow_a_change_of_the_configuration_and_new_tables() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("derived-statsd.toml");
    let write = |types: &str| {
        let list = format!("uve_proxy_list = \"{STREAM}:{types}\"");
        std::fs::write(&file, format!("[aggregation]\n{list}\n")).unwrap();
    };
    write("AggProxySum");
    let mut command = command("run", &data.path().join("data"), &SETTINGS);
    command.arg("--config").arg(&file);
    let daemon = Daemon::spawn(command).expect("the daemon starts");
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    let first = first_minute();
    for minute in 0..3 {
        values(&daemon, &["a"], first + minute * MINUTE, 5);
    }
    daemon.wait_until_applied();
    let browser = Browser::start(1400, 1000);
    browser.open(&daemon.url("/#/objects"));
    let offers =
        |list: &str| format!("[...document.querySelectorAll('#{list} option')].map((it) => it.value).join(' ')");
    browser.wait(&format!("{} === ' {SUM}' && {} === 'virtual-networks'", offers("uve"), offers("type")));
    browser.click(&format!("#uve option[value='{SUM}']"));
    browser.click("#uve option[value='']");
    write("AggProxySum:AggProxySumLast");
    daemon.signal("HUP");
    let last = SUM.replace("AggProxySum", "AggProxySumLast");
    browser.wait(&format!("{} === ' {SUM} {last}'", offers("uve")));
    for minute in 3..6 {
        values(&daemon, &["a"], first + minute * MINUTE, 5);
        let of_vrouter = line("vr1", "egress_flow_count", first + minute * MINUTE, 5);
        post(&daemon, &of_vrouter.replace("ObjectVNTable:", "ObjectVRouter:"));
    }
    browser.wait(&format!("{} === 'virtual-networks vrouters'", offers("type")));
    let chosen = browser.value("['type', 'uve'].map((id) => document.getElementById(id).value)");
    assert_eq!(chosen, json!(["virtual-networks", ""]), "what is chosen stays");
    assert_eq!(browser.console(), Vec::<String>::new());
    drop(browser);
    daemon.stop();
}

#[test]
fn the_raw_json_follows_the_results_and_an_annotation_is_tried_on_any_object() {
    let data = TempDir::new().unwrap();
    let names = ["alpha", "beta", "gamma"];
    let (daemon, next) = daemon_with_sums(&data, &names);
    let browser = Browser::start(1400, 1000);
    browser.open(&daemon.url("/#/object/virtual-network/beta"));
    browser.wait("document.querySelector('.live').textContent === 'live'");
    browser.click("details summary");
    browser.wait("document.querySelector('details pre').textContent.includes('\"value\": 5')");
    values(&daemon, &names, next, 77);
    values(&daemon, &names, next + MINUTE, 77);
    browser.wait("document.querySelector('details pre').textContent.includes('\"value\": 77')");
    // No object has a score, so none is among the loudest.
    browser.open(&daemon.url("/#/try"));
    browser.wait("document.querySelectorAll('#of-type option').length === 1");
    let options = "[...document.querySelectorAll('#source option')].map((it) => it.textContent)";
    assert_eq!(browser.value(options), json!(["the rows below"]));
    browser.enter("#of-name", "ET");
    browser.wait(&format!("{options}[1] === 'beta · AggProxySum {STREAM}' && {options}.length === 2"));
    browser.click("#source option:nth-child(2)");
    browser.wait("/,5\\n.*,77\\n/.test(document.querySelector('#csv').value)");
    browser.enter("#of-name", "no such name");
    browser.wait("document.querySelector('[aria-labelledby=run] [aria-live]').textContent.startsWith('No name')");
    browser.wait(&format!("{options}.length === 2 && document.querySelector('#source').selectedIndex === 1"));
    is_accessible(&browser, "try an object");
    assert_eq!(browser.console(), Vec::<String>::new());
    drop(browser);
    daemon.stop();
}

#[test]
fn the_keyboard_leads_to_a_row_and_opens_its_object() {
    let data = TempDir::new().unwrap();
    let (daemon, _) = daemon_with_sums(&data, &["a", "b", "c"]);
    let browser = Browser::start(1400, 1000);
    browser.open(&daemon.url("/#/objects?type=virtual-networks"));
    browser.wait("document.querySelectorAll('.virtual tbody a').length === 3");
    browser.press("#search", TAB);
    // The filters, the scrollable frame and the six heads are before the rows.
    let second = "document.activeElement === document.querySelectorAll('.virtual tbody a')[1]";
    let steps = (0..15).take_while(|_| browser.value(second) == json!(false)).map(|_| browser.press(":focus", TAB));
    assert_eq!(steps.count(), 10);
    assert_eq!(browser.value(second), json!(true));
    browser.press(":focus", "\u{E007}");
    browser.wait("document.querySelector('h1').textContent === 'b'");
    browser.wait("document.querySelectorAll('.u-over').length === 1");
    assert_eq!(browser.console(), Vec::<String>::new());
    drop(browser);
    daemon.stop();
}

const TAB: &str = "\u{E004}";

#[test]
fn objects_with_dots_for_a_name_have_a_chart() {
    let data = TempDir::new().unwrap();
    let names = [".", "..", "a/../b"];
    let (daemon, _) = daemon_with_sums(&data, &names);
    let browser = Browser::start(1400, 1000);
    for (number, name) in names.iter().enumerate() {
        browser.open("about:blank");
        browser.open(&daemon.url("/#/objects?type=virtual-networks"));
        browser.wait("document.querySelectorAll('.virtual tbody a').length === 3");
        browser.click(&format!(".virtual tbody tr[aria-rowindex='{}'] a", number + 2));
        browser.wait(&format!("document.querySelector('h1').textContent === '{name}'"));
        browser.wait("document.querySelectorAll('.u-over').length === 1");
        browser.click("summary");
        browser.wait("document.querySelector('details pre').textContent.includes('AggProxySum')");
    }
    assert_eq!(browser.console(), Vec::<String>::new());
    drop(browser);
    daemon.stop();
}

/// The address of a proxy that has the daemon below a path, which it strips; it has nothing else.
fn stripping_proxy(daemon: &Daemon) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let upstream = daemon.address().to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let upstream = upstream.clone();
            // A client may leave at any time.
            std::thread::spawn(move || forward(client, &upstream));
        }
    });
    format!("http://{address}/derived/")
}

/// Forwards the one request of a connection.
fn forward(mut client: TcpStream, upstream: &str) -> std::io::Result<()> {
    let mut request = BufReader::new(client.try_clone()?);
    let mut line = String::new();
    request.read_line(&mut line)?;
    if !line.contains(" /derived/") {
        return client.write_all(b"HTTP/1.1 404 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
    let mut server = TcpStream::connect(upstream)?;
    server.write_all(line.replacen(" /derived/", " /", 1).as_bytes())?;
    server.write_all(b"connection: close\r\n")?;
    while line != "\r\n" {
        line.clear();
        request.read_line(&mut line)?;
        if !line.to_lowercase().starts_with("connection:") {
            server.write_all(line.as_bytes())?;
        }
    }
    let mut to_server = server.try_clone()?;
    std::thread::spawn(move || std::io::copy(&mut request, &mut to_server));
    std::io::copy(&mut server, &mut client)?;
    client.shutdown(std::net::Shutdown::Both)
}

#[test]
fn behind_a_proxy_that_strips_a_path_every_view_works() {
    let data = TempDir::new().unwrap();
    let (daemon, next) = daemon_with_sums(&data, &["a"]);
    let proxy = stripping_proxy(&daemon);
    let browser = Browser::start(1400, 1000);
    browser.open(&proxy);
    browser.wait("document.querySelector('#health').textContent === 'Ready'");
    browser.wait("/Objects\\s+1\\b/.test(document.querySelector('.tiles').innerText)");
    browser.click("nav a[href='#/objects']");
    browser.wait("document.querySelectorAll('.virtual tbody a').length === 1");
    browser.click(".virtual tbody a");
    browser.wait("document.querySelector('.live').textContent === 'live'");
    browser.wait("document.querySelector('.newest').textContent.startsWith('5 ')");
    values(&daemon, &["a"], next, 77);
    values(&daemon, &["a"], next + MINUTE, 5);
    browser.wait("document.querySelector('.newest').textContent.startsWith('77 ')");
    browser.click(".panel .legend a");
    browser.wait("/^\\d+ periods? with a result/.test(document.querySelector('[aria-labelledby=run] [role=status]').textContent)");
    assert!(browser.value("location.href").as_str().unwrap().starts_with(&proxy));
    assert_eq!(browser.console(), Vec::<String>::new());
    drop(browser);
    daemon.stop();
}

/// The number of objects of the table that is scrolled; `make test-full` has 100,000.
fn many_objects() -> u64 {
    std::env::var("PAGE_TEST_OBJECTS").map_or(10_000, |text| text.parse().unwrap())
}

/// A daemon with a result of each of so many objects, whose value is its number.
fn daemon_with_many(data: &TempDir, objects: u64) -> Daemon {
    const START: u64 = 1_488_000_000_000_000;
    let daemon = start(data, &["aggregation.uve_proxy_list=UveVirtualNetworkAgent-egress_flow_count:AggProxySum"]);
    let sample = |object| line(&format!("demo:vn-{object:06}"), "egress_flow_count", START, object);
    let all: Vec<u64> = (0..objects).collect();
    all.chunks(10_000).for_each(|part| post(&daemon, &part.iter().map(|&object| sample(object)).collect::<String>()));
    post(&daemon, &line("demo:vn-000000", "egress_flow_count", START + MINUTE, 0));
    daemon.wait_until_applied();
    let lag = "derived_statsd_sink_lag_results{sink=\"view\"} 0";
    let has_all = format!("proxy_type_objects{{stream=\"{STREAM}\",type=\"AggProxySum\"}} {objects}\n");
    daemon.wait_for("/metrics", |(_, it)| (it.contains(&has_all) && it.contains(lag)).then_some(()));
    daemon
}

/// A number as the page shows it: `12,345`.
fn with_commas(number: u64) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", with_commas(number / 1000), number % 1000) }
}

#[test]
fn a_table_of_very_many_objects_draws_what_is_seen_and_loads_bounded_pages() {
    let (data, objects) = (TempDir::new().unwrap(), many_objects());
    let daemon = daemon_with_many(&data, objects);
    let browser = Browser::start(1400, 1000);
    browser.open(&daemon.url("/"));
    browser.wait("document.querySelector('#health').textContent === 'Ready'");
    browser.run(
        "performance.setResourceTimingBufferSize(10000); window.long = []; \
         new PerformanceObserver((list) => window.long.push(...list.getEntries().map((it) => Math.round(it.duration)))) \
         .observe({ type: 'longtask' }); done(null);",
    );
    browser.click("nav a[href='#/objects']");
    let (count, total) = ("document.querySelector('form [role=status]').textContent", with_commas(objects));
    browser.wait(&format!("{count} === '{total} rows'"));
    let rows = "[...document.querySelectorAll('.virtual tbody tr[aria-rowindex]')]";
    browser.wait(&format!("{rows}.length >= 20 && {rows}.every((row) => row.querySelector('a'))"));
    let first = transferred(&browser);
    assert!(first < 150_000, "{first} bytes until the first rows are seen");
    scrolls_to_the_end_and_back(&browser, objects);
    for (order, first, last) in [(1, objects - 1, 0), (3, objects - 1, 0), (3, 0, objects - 1)] {
        browser.click(&format!(".virtual thead th:nth-child({order}) button"));
        shows(&browser, "0", &format!("{rows}[0]"), first);
        shows(&browser, "frame.scrollHeight", &format!("{rows}.at(-1)"), last);
    }
    browser.enter("#search", "VN-00012");
    browser.wait(&format!("{count} === '10 of {total} rows'"));
    // At once, although the table was scrolled to its end.
    assert_eq!(browser.value(&format!("{rows}.length")), json!(10));
    let paint = browser.value("performance.getEntriesByName('first-contentful-paint').map((it) => it.startTime)");
    println!(
        "{objects} objects: first contentful paint {paint} ms; {first} bytes until the first rows, {} in all; long tasks {} ms",
        transferred(&browser),
        browser.value("window.long")
    );
    assert_eq!(browser.console(), Vec::<String>::new());
    drop(browser);
    daemon.stop();
}

/// The bytes that were transferred. No request for rows has many.
#[track_caller]
fn transferred(browser: &Browser) -> u64 {
    let sizes = |filter: &str| -> Vec<u64> {
        let entries = "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]";
        let sizes = browser.value(&format!("{entries}.filter({filter}).map((it) => it.transferSize)"));
        serde_json::from_value(sizes).unwrap()
    };
    let pages = sizes("(it) => it.name.includes('/api/v1/objects?')");
    assert!(!pages.is_empty() && pages.iter().all(|&size| size < 64 << 10), "{pages:?}");
    sizes("() => true").iter().sum()
}

/// The number of rows that exist does not grow, whatever is in view.
fn scrolls_to_the_end_and_back(browser: &Browser, objects: u64) {
    let most = browser.run(
        "const frame = document.querySelector('.frame'); const seen = []; \
         const steps = [...Array(41).keys()].map((step) => 1 - Math.abs(step - 20) / 20); \
         const next = () => { \
           if (steps.length === 0) return done(seen); \
           frame.scrollTop = steps.shift() * frame.scrollHeight; \
           requestAnimationFrame(() => requestAnimationFrame(() => { \
             const rows = [...document.querySelectorAll('.virtual tbody tr[aria-rowindex]')]; \
             seen.push([rows.length, Number(rows.at(-1).ariaRowIndex), document.querySelectorAll('*').length]); \
             next(); })); \
         }; next();",
    );
    let seen: Vec<[u64; 3]> = serde_json::from_value(most).unwrap();
    assert!(seen.iter().all(|&[rows, _, nodes]| (20..70).contains(&rows) && nodes < 1500), "{seen:?}");
    // The header is the first row.
    assert_eq!(seen[20][1], objects + 1, "{seen:?}");
    assert!(seen[40][1] < 100, "{seen:?}");
}

/// Scrolls to a place and waits until a row is that of an object.
#[track_caller]
fn shows(browser: &Browser, place: &str, row: &str, object: u64) {
    browser.run(&format!("const frame = document.querySelector('.frame'); frame.scrollTop = {place}; done(null);"));
    browser.wait(&format!("{row}.querySelector('a').textContent === 'demo:vn-{object:06}'"));
}

fn zooms_and_follows(browser: &Browser, daemon: &Daemon, first: u64) {
    browser.wait("document.querySelectorAll('.u-over').length === 2");
    browser.wait("document.querySelector('.live').textContent === 'live'");
    browser.wait(&format!("document.querySelector('h1').textContent === '{OBJECT}'"));
    browser.wait("document.querySelectorAll('.anomalous td').length > 0");
    looked_at(browser, "object");
    let newest = |minute| {
        let value = format!("new Intl.NumberFormat('en').format({})", flows(TROUBLED, minute));
        format!("document.querySelector('.newest').textContent.startsWith({value} + ' ')")
    };
    browser.wait(&newest(BURST));
    browser.press(".plot", "\u{E012}");
    let readout = "document.querySelector('.readout').textContent";
    browser.wait(&format!("/^\\d{{4}}-/.test({readout})"));
    let chosen = browser.value(readout);
    post(daemon, &samples(MINUTES, first + MINUTES * MINUTE));
    browser.wait(&newest(BURST + 1));
    assert_eq!(browser.value(readout), chosen, "what the keys chose stays when results come");
    browser.drag(".u-over", (-200, 0), (100, 20));
    browser.wait("/[?&]from=\\d+&to=\\d+/.test(location.hash)");
    let zoomed = browser.value("location.hash");
    browser.press(".plot", "+");
    browser.wait(&format!("location.hash !== {zoomed}"));
    browser.press(".plot", "\u{E012}");
    browser.wait("/score|expected|:/.test(document.querySelector('.readout').textContent)");
    reads_values_under_the_pointer(browser);
    copies_a_link_to_the_same_range(browser);
    browser.click("summary");
    browser.wait("document.querySelector('details pre').textContent.includes('AggProxySumAnomalyEWM01')");
}

/// Of the chart with scores: it shows the numbers of the window under the pointer, and of all without one.
fn reads_values_under_the_pointer(browser: &Browser) {
    let readout = "document.querySelectorAll('.readout')[1].textContent";
    let mut seen = Vec::new();
    for right in [-150, 150] {
        browser.hover(".panel:nth-child(2) .u-over", (right, 10));
        browser.wait(&format!(
            "/^\\d{{4}}-\\d\\d-\\d\\d .*: [\\d,]+, expected .*, normal .* to .*, score /.test({readout})"
        ));
        seen.push(browser.value(readout));
    }
    assert_ne!(seen[0], seen[1], "two windows");
    // The first chart has the window that the keyboard chose.
    browser.hover(".panel:nth-child(1) .u-over", (0, 10));
    browser.hover("h1", (0, 0));
    browser.wait(&format!("/^\\d+ values, \\d+ anomal/.test({readout})"));
}

fn copies_a_link_to_the_same_range(browser: &Browser) {
    let readouts = "[...document.querySelectorAll('.readout')].map((readout) => readout.textContent)";
    browser.wait(&format!("{readouts}.every((text) => text.endsWith(' in view'))"));
    let before = browser.value(readouts);
    browser.allow_clipboard();
    browser.click("[title='Copy a link to what is shown']");
    browser.wait("document.querySelector('.live').textContent === 'link copied'");
    let link = browser.run("navigator.clipboard.readText().then(done, (error) => done(String(error)));");
    let link = link.as_str().unwrap().to_owned();
    assert!(link.contains("from=") && link.contains("&to="), "{link}");
    browser.open("about:blank");
    browser.open(&link);
    browser.wait("document.querySelectorAll('.u-over').length === 2");
    browser.wait(&format!("JSON.stringify({readouts}) === JSON.stringify({before})"));
    assert_eq!(browser.value("location.href"), Value::from(link));
}

fn reads_the_range_that_it_shows(browser: &Browser, daemon: &Daemon, first: u64) {
    let second = |minute| (first + minute * MINUTE) / 1_000_000;
    browser.open("about:blank");
    let range = format!("from={}&to={}", second(10), second(20));
    browser.open(&daemon.url(&format!("/#/object/virtual-network/{OBJECT}?{range}")));
    let shows = |live: &str, newest: u64, coverage: &str| {
        let value = format!("new Intl.NumberFormat('en').format({})", flows(TROUBLED, newest));
        browser.wait(&format!("document.querySelector('.newest').textContent.startsWith({value} + ' ')"));
        browser.wait(&format!("document.querySelector('.live').textContent === '{live}'"));
        browser.wait(&format!("document.querySelector('.coverage').textContent.startsWith('{coverage}')"));
    };
    // With a quarter of it before and behind.
    shows("an earlier range", 22, "Complete for windows from");
    browser.click("[title='Follow the newest 1 h']");
    shows("live", BURST + 1, "Complete for windows from");
    browser.click(".coverage button");
    shows("live", BURST + 1, "All that the log has.");
    browser.click(".panel .legend a");
}

fn explains_and_runs(browser: &Browser, daemon: &Daemon) {
    let outcome = "document.querySelector('[aria-labelledby=run] [role=status]').textContent";
    browser.wait(&format!("/^\\d+ periods with a result/.test({outcome})"));
    browser.open("about:blank");
    browser.open(&daemon.url("/#/try"));
    browser.wait(&format!("/ 1 anomaly|[1-9]\\d* anomalies/.test({outcome})"));
    browser.wait("document.querySelectorAll('.pipeline li').length === 4");
    browser.wait("document.querySelectorAll('.menu details').length === 4");
    looked_at(browser, "try");
    browser.enter("#annotation", "1.DSSum-value:DSAnomaly:EWN:0.1");
    browser.wait("document.querySelector('#annotation').getAttribute('aria-invalid') === 'true'");
    browser.wait("document.querySelector('.mistake pre').textContent.split('\\n')[1] === ' '.repeat(24) + '^^^'");
    browser.wait("document.querySelector('.mistake').innerText.includes('EWM')");
    looked_at(browser, "mistake");
    browser.enter("#annotation", "1-value:DSSum");
    browser.wait(&format!("{outcome} === '120 periods with a result, 0 anomalies.'"));
    browser.enter("#csv", "2017-02-25T05:20:00Z,x\n2017-02-25T05:21:00Z,3");
    browser.wait("document.querySelector('.warnings').innerText.includes('line 1')");
}
