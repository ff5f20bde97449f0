//! The page after failed and late answers: it tries again at a bounded rate, has each window once, and keeps what was
//! chosen meanwhile.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use serde_json::json;
use support::broker::free_ports;
use support::browser::Browser;
use support::disk::SmallDisk;
use support::series::post;
use support::{Daemon, line};
use tempfile::TempDir;

const MINUTE: u64 = 60_000_000;
const START: u64 = 1_488_000_000_000_000;
const WINDOWS: u64 = 90;
const SUM: &str = "AggProxySum-UveVirtualNetworkAgent-egress_flow_count";
const OBJECT: &str = "#/object/virtual-network/a";

/// Silence closes no window: their number is that of the minutes.
const SETTINGS: [&str; 5] = [
    "aggregation.allowed_lateness=0s",
    "aggregation.idle_timeout=1d",
    "aggregation.uve_proxy_list=UveVirtualNetworkAgent-egress_flow_count:AggProxySum",
    "log.partitions=1",
    "workers.threads=1",
];

fn start(data: &TempDir, more: &[&str]) -> Daemon {
    Daemon::start(data.path(), &[&SETTINGS, more].concat())
}

/// Sends one value of each of two objects in a minute, which closes the windows of the minute before.
fn minute(daemon: &Daemon, minute: u64) {
    let values = ["a", "ab"].map(|name| line(name, "egress_flow_count", START + minute * MINUTE, 5 + minute));
    let (status, answer) = daemon.post(values.concat().as_bytes(), None).unwrap();
    assert_eq!(status, 200, "{answer}");
}

/// A daemon with an hour and a half of windows.
fn daemon(data: &TempDir, more: &[&str]) -> Daemon {
    let daemon = start(data, more);
    (0..=WINDOWS).for_each(|number| minute(&daemon, number));
    daemon.wait_until_applied();
    daemon
}

#[test]
fn the_overview_shows_what_is_known_while_the_daemon_is_not_ready() {
    let disk = SmallDisk::mount("24m");
    let rule = "alarms=[{rule='alarm \"loud\" when AggProxySum.value > 200'}]";
    let list =
        "aggregation.uve_proxy_list=UveVirtualNetworkAgent-egress_flow_count:AggProxySum:AggProxySumAnomalyEWM01";
    let daemon = Daemon::start(&disk.path().join("log"), &[&SETTINGS[..], &[list, rule]].concat());
    let at = |number: u64, value| line("a", "egress_flow_count", START + number * MINUTE, value);
    let lines: String = (0..30).map(|number| at(number, if number < 28 { 5 + number % 3 } else { 500 })).collect();
    assert_eq!(daemon.post(lines.as_bytes(), None).unwrap().0, 200);
    daemon.wait_until_applied();
    disk.fill();
    daemon.wait_for("/readyz", |(status, _)| {
        let _ = daemon.post(at(29, 1).as_bytes(), None);
        (*status == 503).then_some(())
    });
    let browser = Browser::start(1400, 1000);
    browser.open(&daemon.url("/"));
    browser.wait("document.querySelector('#health').textContent.startsWith('Not ready: ')");
    let part = |name: &str| format!("document.querySelector('[aria-labelledby={name}]').innerText");
    browser.wait("document.querySelectorAll('[aria-label=\"Loudest objects\"] tbody tr.anomalous').length === 1");
    browser.wait(&format!("{}.includes('loud')", part("alarms")));
    browser.wait(&format!("{}.includes('egress_flow_count')", part("partitions")));
    browser.wait(&format!("{}.includes('view')", part("sinks")));
    browser.wait("/Objects\\s+1\\b/.test(document.querySelector('.tiles').innerText)");
    disk.free();
    browser.wait("document.querySelector('#health').textContent === 'Ready'");
    drop(browser);
    daemon.stop();
}

/// A page whose requests are in `sent`. One for which `answer` returns something gets that instead of the daemon's
/// answer; `late` is the daemon's answer, but not before `release` is called.
fn page(daemon: &Daemon) -> Browser {
    let browser = Browser::start(1400, 1000);
    browser.open(&daemon.url("/"));
    browser.wait("document.querySelector('#health').textContent === 'Ready'");
    browser.run(
        "window.sent = []; window.answer = () => undefined; const own = window.own = window.fetch; \
         window.held = new Promise((resolve) => { window.release = resolve; }); \
         window.late = (path, init) => new Promise((resolve, reject) => { \
           init?.signal?.addEventListener('abort', () => reject(init.signal.reason)); \
           window.held.then(() => init?.signal?.aborted || resolve(own(path, init))); }); \
         window.fetch = (path, init) => { \
           window.sent.push({ path, signal: init?.signal }); \
           return window.answer(path, init) ?? own(path, init); }; done(null);",
    );
    browser
}

/// Goes to a view without a load of the page.
fn visit(browser: &Browser, hash: &str) {
    browser.run(&format!("location.hash = '{hash}'; done(null);"));
}

/// An expression: the requests whose path has a text.
fn sent(part: &str) -> String {
    format!("window.sent.filter(({{ path }}) => path.includes('{part}'))")
}

/// A number below a million as the page shows it.
fn with_commas(number: u64) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", number / 1000, number % 1000) }
}

/// The chart of all that was read has so many values.
#[track_caller]
fn has_values(browser: &Browser, count: u64) {
    browser.click("[title='Everything that was read']");
    let count = with_commas(count);
    browser.wait(&format!("document.querySelector('.readout').textContent === '{count} values, 0 anomalies in view'"));
}

/// The newest window is that of a minute.
#[track_caller]
fn has_newest(browser: &Browser, minute: u64) {
    let value = with_commas(5 + minute);
    browser.wait(&format!("document.querySelector('.newest').textContent.startsWith('{value} ')"));
}

/// Sends the minutes of a range, and waits until their windows are closed.
fn minutes(daemon: &Daemon, range: std::ops::Range<u64>) {
    let value = |minute: &u64| line("a", "egress_flow_count", START + minute * MINUTE, 5 + minute);
    // A response ends between records of the log: a commit has one at least.
    for part in range.collect::<Vec<_>>().chunks(200) {
        let (status, answer) = daemon.post(part.iter().map(value).collect::<String>().as_bytes(), None).unwrap();
        assert_eq!(status, 200, "{answer}");
        daemon.wait_until_applied();
    }
}

const ALERT: &str = "document.querySelector('.alert')";
const COVERAGE: &str = "document.querySelector('.coverage p').textContent";

#[test]
fn a_failed_part_of_a_history_is_read_again_and_each_window_is_there_once() {
    let data = TempDir::new().unwrap();
    let daemon = daemon(&data, &[]);
    let refused =
        |status: u16| format!("Promise.resolve(new Response('{{\"error\":\"busy\"}}', {{ status: {status} }}))");
    let failures = [refused(429), refused(503), "Promise.reject(new TypeError('connection refused'))".to_owned()];
    for (number, failure) in (0..).zip(failures) {
        let browser = page(&daemon);
        browser.run(&format!(
            "let failures = 1; \
             window.answer = (path) => path.includes('&from=') && failures-- > 0 ? {failure} : undefined; done(null);"
        ));
        visit(&browser, OBJECT);
        browser.wait(&format!("{COVERAGE}.startsWith('Complete for windows from')"));
        browser.wait(&format!("{ALERT}.hidden && document.querySelector('.live').textContent === 'live'"));
        browser.click(".coverage button");
        browser.wait(&format!("{COVERAGE} === 'All that the log has.'"));
        has_values(&browser, WINDOWS + number);
        minute(&daemon, WINDOWS + number + 1);
        has_newest(&browser, WINDOWS + number);
        has_values(&browser, WINDOWS + number + 1);
        assert_eq!(browser.console(), Vec::<String>::new());
    }
    daemon.stop();
}

#[test]
fn results_that_come_before_the_first_part_of_a_range_are_there_once() {
    let data = TempDir::new().unwrap();
    let daemon = daemon(&data, &[]);
    let browser = page(&daemon);
    let second = |minute: u64| START / 1_000_000 + minute * 60;
    visit(&browser, &format!("{OBJECT}?from={}&to={}", second(10), second(20)));
    let live = "document.querySelector('.live').textContent";
    browser.wait(&format!("{live} === 'an earlier range'"));
    // Live results are wanted, but the first part with them fails, and so does its repetition.
    browser.run(
        "let failures = 2; window.answer = (path) => path.includes('&from=') && failures-- > 0 \
         ? Promise.resolve(new Response('busy', { status: 503 })) : undefined; done(null);",
    );
    browser.click("[title='Follow the newest 1 h']");
    browser.wait(&format!("!{ALERT}.hidden"));
    minute(&daemon, WINDOWS + 1);
    browser.wait(&format!("{ALERT}.hidden && {live} === 'live'"));
    has_newest(&browser, WINDOWS);
    browser.click(".coverage button");
    browser.wait(&format!("{COVERAGE} === 'All that the log has.'"));
    has_values(&browser, WINDOWS + 1);
    assert_eq!(browser.value(&format!("{}.length", sent("after=0"))), json!(0));
    // An answer that begins earlier than what was asked for.
    browser.run(
        "window.answer = (path, init) => path.includes('after=') \
         ? window.own(path.replace(/after=\\d+/, 'after=0'), init) : undefined; done(null);",
    );
    minute(&daemon, WINDOWS + 2);
    has_newest(&browser, WINDOWS + 1);
    has_values(&browser, WINDOWS + 2);
    assert_eq!(browser.console(), Vec::<String>::new());
    drop(browser);
    daemon.stop();
}

#[test]
fn a_range_that_is_chosen_before_the_first_answer_is_read_and_nothing_is_claimed_until_then() {
    let data = TempDir::new().unwrap();
    let daemon = daemon(&data, &[]);
    let browser = page(&daemon);
    browser.run(
        "window.answer = (path, init) => path.includes('&from=') ? window.late(path, init) : undefined; done(null);",
    );
    visit(&browser, OBJECT);
    browser.wait(&format!("{}.length === 1", sent("&from=")));
    browser.click("[title='Follow the newest 24 h']");
    browser.wait("location.hash.endsWith('last=86400')");
    browser.wait(&format!("{}.length === 2", sent("&from=")));
    let claims = "document.querySelector('main').innerText.match(/No result|No anomaly|Read older|Complete/)";
    assert_eq!(browser.value(claims), json!(null));
    browser.run("window.release(); done(null);");
    let readout = format!("'{WINDOWS} values, 0 anomalies in view'");
    browser.wait(&format!("document.querySelector('.readout').textContent === {readout}"));
    assert_eq!(browser.console(), Vec::<String>::new());
    drop(browser);
    daemon.stop();
}

#[test]
fn views_that_are_opened_while_the_daemon_is_down_are_there_when_it_is_back() {
    let data = TempDir::new().unwrap();
    let [port] = free_ports();
    let listen = format!("http.listen=127.0.0.1:{port}");
    let first = daemon(&data, &[&listen]);
    let browser = page(&first);
    first.stop();
    let fails = || browser.wait(&format!("{ALERT}.textContent.endsWith('the page tries again.') && !{ALERT}.hidden"));
    visit(&browser, OBJECT);
    fails();
    let second = start(&data, &[&listen]);
    browser.wait("document.querySelector('.live').textContent === 'live'");
    browser.wait(&format!("{ALERT}.hidden"));
    has_newest(&browser, WINDOWS - 1);
    second.stop();
    visit(&browser, "#/try");
    fails();
    let third = start(&data, &[&listen]);
    browser.wait("document.querySelectorAll('.menu details').length === 4");
    browser.wait(
        "/^\\d+ periods with a result/.test(document.querySelector('[aria-labelledby=run] [role=status]').textContent)",
    );
    browser.wait(&format!("{ALERT}.hidden"));
    drop(browser);
    third.stop();
}

#[test]
fn retries_wait_longer_each_time_or_as_long_as_the_answer_wants_and_end_with_the_view() {
    let data = TempDir::new().unwrap();
    let daemon = daemon(&data, &[]);
    let browser = page(&daemon);
    // The pauses of the timers that run.
    browser.run(
        "const [set, clear] = [window.setTimeout, window.clearTimeout]; window.pauses = new Map(); \
         window.setTimeout = (work, pause) => { \
           const id = set(() => { window.pauses.delete(id); work(); }, pause); \
           window.pauses.set(id, pause); return id; }; \
         window.clearTimeout = (id) => { window.pauses.delete(id); clear(id); }; \
         window.headers = {}; window.answer = (path) => path.includes('/history/') ? Promise.resolve(new Response( \
           '{\"error\":\"busy\"}', { status: 503, headers: window.headers })) : undefined; done(null);",
    );
    let pauses = |from: u64, to: u64| {
        format!("[...window.pauses.values()].filter((pause) => pause >= {from} && pause <= {to}).length")
    };
    visit(&browser, OBJECT);
    browser.wait(&format!("{} === 1", pauses(2_000, 2_500)));
    browser.wait(&format!("{ALERT}.textContent === 'busy'"));
    browser.wait(&format!("{} === 1", pauses(4_000, 5_000)));
    browser.run("window.headers = { 'retry-after': '40' }; done(null);");
    browser.wait(&format!("{} === 1 && {} === 1", pauses(40_000, 50_000), pauses(1_000, 1_000_000)));
    assert_eq!(browser.value(&format!("{}.length", sent("/history/"))), json!(3));
    visit(&browser, "#/");
    browser.wait("document.querySelector('.tiles') !== null");
    assert_eq!(browser.value(&pauses(1_000, 1_000_000)), json!(0));
    assert_eq!(browser.console(), Vec::<String>::new());
    drop(browser);
    daemon.stop();
}

#[test]
fn live_results_come_once_the_daemon_has_room_for_their_stream() {
    let data = TempDir::new().unwrap();
    // One for each address.
    let daemon = daemon(&data, &["http.max_streams=2"]);
    let mut other = TcpStream::connect(daemon.address()).unwrap();
    other.write_all(b"GET /api/v1/results/stream HTTP/1.0\r\nhost: x\r\n\r\n").unwrap();
    let mut status = String::new();
    BufReader::new(other.try_clone().unwrap()).read_line(&mut status).unwrap();
    assert!(status.contains("200"), "{status}");
    let browser = page(&daemon);
    visit(&browser, OBJECT);
    let live = "document.querySelector('.live').textContent";
    browser.wait(&format!("{live} === 'not live: connecting again'"));
    other.shutdown(std::net::Shutdown::Both).unwrap();
    // The daemon sees that the other one is gone when it has something to write.
    (1..=3).for_each(|number| minute(&daemon, WINDOWS + number));
    browser.wait(&format!("{live} === 'live'"));
    minute(&daemon, WINDOWS + 4);
    has_newest(&browser, WINDOWS + 3);
    drop(browser);
    daemon.stop();
}

#[test]
fn the_values_of_a_series_do_not_replace_those_that_were_chosen_after_it() {
    let data = TempDir::new().unwrap();
    let daemon = daemon(&data, &[]);
    let browser = page(&daemon);
    browser.run(
        "window.answer = (path, init) => path.includes('/history/') ? window.late(path, init) : undefined; done(null);",
    );
    visit(&browser, &format!("#/try?type=virtual-network&name=a&uve={SUM}&attribute=value"));
    browser.wait(&format!("{}.length === 1", sent("/history/")));
    browser.click("#source option[value='']");
    browser.wait(&format!("{}[0].signal.aborted", sent("/history/")));
    let rows = "document.querySelector('#csv').value";
    browser.wait(&format!("{rows}.startsWith('timestamp,value\\n2017-02-25T05:20:00Z,')"));
    browser.click("#source option:nth-child(2)");
    browser.wait(&format!("{}.length === 2", sent("/history/")));
    browser.enter("#csv", "2017-02-25T05:20:00Z,7");
    browser.wait(&format!("{}[1].signal.aborted", sent("/history/")));
    browser.run("window.release(); done(null);");
    browser.wait("document.querySelector('[aria-labelledby=run] [role=status]').textContent.startsWith('1 period ')");
    assert_eq!(browser.value(rows), json!("2017-02-25T05:20:00Z,7"));
    assert_eq!(browser.console(), Vec::<String>::new());
    drop(browser);
    daemon.stop();
}

#[test]
fn a_search_before_the_first_answer_keeps_the_type_and_the_uve_of_the_address() {
    let data = TempDir::new().unwrap();
    let daemon = daemon(&data, &[]);
    let browser = page(&daemon);
    browser.run(
        "window.answer = (path, init) => path === 'analytics/uves' ? window.late(path, init) : undefined; done(null);",
    );
    visit(&browser, &format!("#/objects?type=virtual-networks&uve={SUM}"));
    browser.wait(&format!("{}.length > 0", sent("analytics/uves")));
    browser.enter("#search", "ab");
    browser.wait("/[?&]q=ab/.test(location.hash)");
    let chosen = "['type', 'uve'].map((name) => new URLSearchParams(location.hash.split('?')[1]).get(name))";
    assert_eq!(browser.value(chosen), json!(["virtual-networks", SUM]));
    browser.run("window.release(); done(null);");
    browser.wait("document.querySelector('form [role=status]').textContent === '1 of 2 rows'");
    assert_eq!(browser.value(chosen), json!(["virtual-networks", SUM]));
    assert_eq!(browser.console(), Vec::<String>::new());
    drop(browser);
    daemon.stop();
}

/// More windows than one response has results.
const MANY: u64 = 25_000;

/// A page that shows an object and has no answer yet for the results of many windows. The requests for them have
/// another limit then, if one is given.
fn behind(daemon: &Daemon, limit: Option<u64>) -> Browser {
    let browser = page(daemon);
    visit(&browser, OBJECT);
    browser.wait("document.querySelector('.live').textContent === 'live'");
    browser.wait(&format!("{}.length > 0", sent("after=")));
    let path = limit.map_or_else(|| "path".to_owned(), |limit| format!("path.replace(/limit=\\d+/, 'limit={limit}')"));
    browser.run(&format!(
        "window.sent.length = 0; window.answer = (path, init) => path.includes('after=') \
         ? window.late({path}, init) : undefined; done(null);"
    ));
    minute(daemon, WINDOWS + 1);
    browser.wait(&format!("{}.length === 1", sent("after=")));
    minutes(daemon, WINDOWS + 2..WINDOWS + MANY);
    browser.run("window.release(); done(null);");
    has_newest(&browser, WINDOWS + MANY - 2);
    browser
}

/// The requests for what a response with new results has left out.
fn older_parts(browser: &Browser) -> u64 {
    browser
        .value(&format!("{}.filter(({{ path }}) => path.includes('before=')).length", sent("after=")))
        .as_u64()
        .unwrap()
}

#[test]
fn more_new_results_than_a_response_has_are_read_in_parts_without_a_hole() {
    let data = TempDir::new().unwrap();
    let daemon = daemon(&data, &[]);
    let browser = behind(&daemon, None);
    assert!(older_parts(&browser) > 0, "one response has all");
    browser.click(".coverage button");
    browser.wait(&format!("{COVERAGE} === 'All that the log has.'"));
    has_values(&browser, WINDOWS + MANY - 1);
    assert_eq!(browser.console(), Vec::<String>::new());
    drop(browser);
    daemon.stop();
}

#[test]
fn more_new_results_than_are_read_at_once_begin_the_chart_anew() {
    let data = TempDir::new().unwrap();
    let daemon = daemon(&data, &[]);
    // The parts that are read have less than half of the results.
    let browser = behind(&daemon, Some(2_000));
    assert_eq!(older_parts(&browser), 4);
    browser.wait(&format!("{COVERAGE}.startsWith('Complete for windows from 2017-')"));
    browser.wait("document.querySelector('.live').textContent === 'live'");
    // The newest hour and a quarter before it.
    has_values(&browser, 75);
    minute(&daemon, WINDOWS + MANY);
    has_newest(&browser, WINDOWS + MANY - 1);
    assert_eq!(browser.console(), Vec::<String>::new());
    drop(browser);
    daemon.stop();
}

/// An answer with an error for the first request, or for all, whose path has a text.
fn refuse(browser: &Browser, part: &str, times: &str) {
    browser.run(&format!(
        "let failures = {times}; window.answer = (path) => path.includes('{part}') && failures-- > 0 \
         ? Promise.resolve(new Response('{{\"error\":\"busy\"}}', {{ status: 503 }})) : undefined; done(null);"
    ));
}

#[test]
fn the_error_of_an_empty_table_goes_with_the_next_answer() {
    let data = TempDir::new().unwrap();
    let daemon = start(&data, &[]);
    let browser = page(&daemon);
    refuse(&browser, "analytics/uves", "1");
    visit(&browser, "#/objects");
    browser.wait(&format!("{ALERT}.textContent === 'busy' && !{ALERT}.hidden"));
    browser.wait("document.querySelector('form [role=status]').textContent.startsWith('No object has a result yet')");
    browser.wait(&format!("{ALERT}.hidden"));
    assert_eq!(browser.console(), Vec::<String>::new());
    drop(browser);
    daemon.stop();
}

#[test]
fn the_parts_of_the_overview_are_drawn_when_another_one_fails() {
    let data = TempDir::new().unwrap();
    let daemon = daemon(&data, &[]);
    let browser = page(&daemon);
    let streams = "document.querySelectorAll('[aria-labelledby=partitions] tbody tr').length";
    let sinks = "document.querySelectorAll('[aria-labelledby=sinks] tbody tr').length";
    for (failing, others) in [
        ("api/v1/loudest", [format!("{streams} === 1"), format!("{sinks} > 0")]),
        (
            "api/v1/partitions",
            ["document.querySelector('.empty').textContent !== ''".to_owned(), format!("{sinks} > 0")],
        ),
    ] {
        visit(&browser, "#/try");
        browser.wait("document.querySelector('.menu') !== null");
        refuse(&browser, failing, "Infinity");
        visit(&browser, "#/");
        browser.wait(&format!("{ALERT}.textContent === 'busy' && !{ALERT}.hidden"));
        others.iter().for_each(|other| browser.wait(other));
        browser.run("window.answer = () => undefined; done(null);");
        browser.wait(&format!("{ALERT}.hidden && {streams} === 1"));
    }
    assert_eq!(browser.console(), Vec::<String>::new());
    drop(browser);
    daemon.stop();
}

#[test]
fn the_legend_has_the_keys_of_scores_from_the_first_one_on() {
    let data = TempDir::new().unwrap();
    let [port] = free_ports();
    let start = |annotation: &str| {
        let stream = format!(
            "streams=[{{name = \"load\", metric = \"load.value\", object = [\"host\"], period = 60, \
             aggregations = [\"Load = {annotation}\"]}}]"
        );
        start(&data, &[&format!("http.listen=127.0.0.1:{port}"), &stream])
    };
    let send = |daemon: &Daemon, minutes: std::ops::Range<u64>| {
        let row = |minute| format!("load,host=a value={} {}\n", 5 + minute % 3, START / 1_000_000 + minute * 60);
        let reply = post(daemon, "/write?precision=s", &[], minutes.map(row).collect::<String>().as_bytes());
        assert_eq!(reply.status, 204, "{}", reply.text());
        daemon.wait_until_applied();
    };
    let sums = start("1-raw:DSSum");
    send(&sums, 0..5);
    let browser = page(&sums);
    visit(&browser, "#/objects");
    browser.wait("document.querySelectorAll('.virtual tbody a').length === 1");
    browser.click(".virtual tbody a");
    let keys = "[...document.querySelectorAll('.legend .key')].map((key) => key.parentElement.textContent).join()";
    browser.wait(&format!("{keys} === 'value,partial window,alarm fires,alarm ends'"));
    sums.stop();
    // The same proxy UVE has scores from now on.
    let scores = start("1.DSSum-raw:DSAnomaly:EWM:0.1");
    send(&scores, 5..30);
    browser.wait(&format!("{keys} === 'value,expected,normal,anomaly,partial window,alarm fires,alarm ends'"));
    drop(browser);
    scores.stop();
}
