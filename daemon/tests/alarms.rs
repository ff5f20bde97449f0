//! Alarms of the real daemon: rows, API, a real Alertmanager, and kills between the start and the end of an alarm.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::Path;

use serde_json::Value;
use support::alertmanager::Alertmanager;
use support::receiver::Receiver;
use support::strict_influxdb::StrictInfluxDb;
use support::{Daemon, certificates, line, results, series, wait_until};
use tempfile::TempDir;

const PERIOD: u64 = 10_000_000;
const START: u64 = 1_488_000_000_000_000;
const RULE: &str = r#"alarms=[{rule='alarm "high" when AggProxySum.value > 10 for 2 periods, clear below 5 for 2 periods severity critical text "{key} has {value}"'}]"#;

fn settings(more: &[&str]) -> Vec<String> {
    let own = [
        "aggregation.period=10",
        "aggregation.allowed_lateness=0s",
        "aggregation.uve_proxy_list=UveVirtualNetworkAgent-egress_flow_count:AggProxySum",
        "log.partitions=1",
        RULE,
    ];
    own.iter().chain(more).map(|setting| (*setting).to_owned()).collect()
}

fn start(data: &Path, more: &[&str]) -> Daemon {
    let settings = settings(more);
    Daemon::start(data, &settings.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Posts the values of `a`, one for each period from `first` on, and a constant of `b`.
fn post(daemon: &Daemon, first: u64, values: &[u64]) {
    let sample = |(period, value): (u64, &u64)| {
        let at = START + period * PERIOD;
        line("a", "egress_flow_count", at, *value) + &line("b", "egress_flow_count", at, 1)
    };
    let body: String = (first..).zip(values).map(sample).collect();
    assert_eq!(daemon.post(body.as_bytes(), None).unwrap().0, 200);
    daemon.wait_until_applied();
}

/// The alarms of the API.
fn alarms(daemon: &Daemon) -> Vec<(String, String)> {
    let (status, body) = daemon.get("/api/v1/alarms");
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    body["alarms"].as_array().unwrap().iter().map(|alarm| (text(&alarm["key"]), text(&alarm["state"]))).collect()
}

/// The alarms that begin and end, from the rows of the results log.
fn changes(data: &Path) -> Vec<String> {
    let (mut fires, mut changes) = (false, Vec::new());
    for row in results(data).iter().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        if row["uve"] != "UVEAlarms" {
            continue;
        }
        assert_eq!(row["key"], "ObjectVNTable:a");
        let now = row["data"]["alarms"].as_array().unwrap().len() == 1;
        let period = (row["end"].as_u64().unwrap() - START) / PERIOD;
        if now != fires {
            changes.push(format!("{period} {}", if now { "fires" } else { "ended" }));
        }
        fires = now;
    }
    changes
}

/// The names of the objects whose alerts an Alertmanager has.
fn alerts(alertmanager: &Alertmanager) -> Option<Vec<String>> {
    let alerts = alertmanager.alerts()?;
    Some(alerts.iter().map(|alert| alert["labels"]["object"].as_str().unwrap_or("group").to_owned()).collect())
}

#[test]
fn an_alarm_is_in_the_rows_the_api_the_uve_and_the_metrics() {
    let data = TempDir::new().unwrap();
    let daemon = start(data.path(), &[]);
    post(&daemon, 0, &[20, 20, 20]);
    wait_until("the alarm is pending, then fires", || {
        (alarms(&daemon) == [("ObjectVNTable:a".to_owned(), "firing".to_owned())]).then_some(())
    });
    let (_, uve) = daemon.get("/analytics/uves/virtual-network/a");
    let uve: Value = serde_json::from_str(&uve).unwrap();
    let alarm = &uve["UVEAlarms"]["alarms"][0];
    assert_eq!((&alarm["type"], &alarm["severity"]), (&"high".into(), &0.into()), "{uve}");
    assert_eq!(alarm["description"], "ObjectVNTable:a has 20");
    let (_, metrics) = daemon.get("/metrics");
    assert!(
        metrics
            .contains("derived_statsd_alarms{stream=\"UveVirtualNetworkAgent-egress_flow_count\",state=\"firing\"} 1"),
        "{metrics}"
    );
    let bad = ["limit=0", "state=x", "rul=x", "sort=x", "sort=severity&after=ObjectVNTable:a"];
    for query in bad {
        assert_eq!(daemon.get(&format!("/api/v1/alarms?{query}")).0, 400, "{query}");
    }
    let (status, worst) = daemon.get("/api/v1/alarms?sort=severity&limit=1");
    let worst: Value = serde_json::from_str(&worst).unwrap();
    assert_eq!((status, &worst["alarms"][0]["key"], &worst["next"]), (200, &"ObjectVNTable:a".into(), &Value::Null));
    let condition = &alarm["alarm_rules"]["or_list"][0]["and_list"][0]["condition"];
    assert!(condition["operation"].is_string() && condition["operand2"]["json_value"].is_string(), "{uve}");
    post(&daemon, 3, &[1, 1, 1]);
    wait_until("the alarm ends", || alarms(&daemon).is_empty().then_some(()));
    daemon.stop();
    assert_eq!(changes(data.path()), ["2 fires", "5 ended"]);
}

#[test]
fn the_event_stream_has_the_rows_of_alarms() {
    let data = TempDir::new().unwrap();
    let daemon = start(data.path(), &[]);
    let url = daemon.url("/api/v1/results/stream?from=0&key=ObjectVNTable:a");
    let mut events =
        BufReader::new(ureq::get(url).call().unwrap().into_body().into_reader()).lines().map(Result::unwrap);
    let mut alarms_of = |period: u64| {
        let end = START + period * PERIOD;
        let rows = events.by_ref().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data:")?).ok());
        let mut of_alarms = rows.filter(|row| row["uve"] == "UVEAlarms" && row["end"] == end);
        of_alarms.next().expect("the stream goes on")
    };
    post(&daemon, 0, &[20, 20, 20]);
    let row = alarms_of(2);
    let alarm = &row["data"]["alarms"][0];
    assert_eq!(
        (&row["key"], &alarm["type"], &alarm["severity"]),
        (&"ObjectVNTable:a".into(), &"high".into(), &0.into())
    );
    assert_eq!(alarm["description"], "ObjectVNTable:a has 20", "{row}");
    // Live, the one that ends it.
    post(&daemon, 3, &[1, 1, 1]);
    assert_eq!(alarms_of(5)["data"]["alarms"], Value::Array(Vec::new()));
    drop(events);
    daemon.stop();
}

#[test]
fn an_alert_that_fires_for_longer_than_four_refresh_intervals_stays_active() {
    let (data, alertmanager) = (TempDir::new().unwrap(), Alertmanager::start());
    let url = format!("sinks.alertmanager.url={}", alertmanager.url());
    let daemon = start(data.path(), &[&url, "sinks.alertmanager.refresh_interval=2s"]);
    post(&daemon, 0, &[20, 20, 20]);
    let only = || alertmanager.alerts().filter(|alerts| alerts.len() == 1).map(|alerts| alerts[0].clone());
    let first = wait_until("the alert fires", only);
    // In UTC with milliseconds, so that the order of texts is that of times.
    let time = |alert: &Value, name: &str| alert[name].as_str().filter(|text| text.ends_with('Z')).unwrap().to_owned();
    let ends_at = time(&first, "endsAt");
    let last = wait_until("the alert is sent after it would have ended", || {
        let alert = only().expect("it is active without a break");
        (time(&alert, "updatedAt") > ends_at).then_some(alert)
    });
    assert_eq!((&last["startsAt"], &last["status"]["state"]), (&first["startsAt"], &"active".into()));
    post(&daemon, 3, &[1, 1, 1]);
    wait_until("the alert ends", || alerts(&alertmanager)?.is_empty().then_some(()));
    daemon.stop();
}

#[test]
fn an_alertmanager_gets_the_start_and_the_end_over_kills_of_both() {
    let (data, mut alertmanager) = (TempDir::new().unwrap(), Alertmanager::start());
    let url = format!("sinks.alertmanager.url={}", alertmanager.url());
    // Long: an end that is lost must not be made up for by the Alertmanager, which ends alerts after four intervals.
    let more =
        [url.as_str(), "sinks.alertmanager.refresh_interval=1m", "sinks.alertmanager.page_url=http://page.example"];
    let mut daemon = start(data.path(), &more);
    post(&daemon, 0, &[20, 20, 20]);
    wait_until("the alert fires", || (alerts(&alertmanager)? == ["a"]).then_some(()));
    let alert = &alertmanager.alerts().unwrap()[0];
    assert_eq!((&alert["labels"]["alertname"], &alert["labels"]["severity"]), (&"high".into(), &"critical".into()));
    // From 60 windows before the first one with the condition to 30 after it fired.
    let (from, to) = ((START + PERIOD) / 1_000_000 - 600, (START + 2 * PERIOD) / 1_000_000 + 300);
    let uve = "AggProxySum-UveVirtualNetworkAgent-egress_flow_count";
    let page = format!("http://page.example/#/object/virtual-network/a?from={from}&to={to}&uve={uve}&attribute=value");
    assert_eq!(alert["generatorURL"], page);
    assert_eq!(alert["annotations"]["summary"], "ObjectVNTable:a has 20");
    assert_eq!((&alert["annotations"]["firing"], &alert["annotations"]["alarms"]), (&"1".into(), &"1".into()));
    daemon.signal("KILL");
    daemon.wait();
    alertmanager.kill();
    let mut daemon = start(data.path(), &more);
    alertmanager.restart();
    wait_until("the alert is there again", || (alerts(&alertmanager)? == ["a"]).then_some(()));
    post(&daemon, 3, &[1, 1, 1]);
    daemon.signal("KILL");
    daemon.wait();
    let daemon = start(data.path(), &more);
    wait_until("the alert ends", || alerts(&alertmanager)?.is_empty().then_some(()));
    daemon.stop();
    assert_eq!(changes(data.path()), ["2 fires", "5 ended"], "no alarm begins or ends twice");
}

/// Killed between the start of an alert, which the receiver takes, and the answer to it.
#[test]
fn the_end_of_an_alert_is_sent_although_a_kill_came_before_the_answer_to_its_start() {
    let (data, receiver) = (TempDir::new().unwrap(), Receiver::start());
    let url = format!("sinks.alertmanager.url={}", receiver.url());
    // The request with the start waits for its answer until the kill.
    let mut daemon = start(data.path(), &[&url, "sinks.alertmanager.timeout=5m"]);
    receiver.without_answers(|| {
        post(&daemon, 0, &[20, 20, 20]);
        wait_until("the receiver takes the start", || receiver.alerts()[0].contains("a").then_some(()));
        post(&daemon, 3, &[1, 1, 1]);
        wait_until("the alarm ends", || alarms(&daemon).is_empty().then_some(()));
        assert!(receiver.alerts()[1].is_empty(), "the request with the start still waits");
        daemon.signal("KILL");
        daemon.wait();
    });
    receiver.take();
    let daemon = start(data.path(), &[&url]);
    wait_until("the end is sent", || receiver.alerts()[1].contains("a").then_some(()));
    daemon.stop();
}

#[test]
fn a_receiver_over_tls_needs_a_known_authority_and_gets_the_certificate_of_the_settings() {
    let folder = TempDir::new().unwrap();
    certificates::make(folder.path(), "server");
    certificates::sign(folder.path(), "client", "authority");
    let path = |name: &str| folder.path().join(name);
    let authority = path("authority.pem");
    // It speaks TLS and knows no path of a receiver of alarms.
    let server = StrictInfluxDb::start_tls(&path("server.pem"), &path("server.key"), Some(&authority));
    for section in ["alertmanager", "webhook"] {
        let data = TempDir::new().unwrap();
        let set = |key: &str, name: &str| format!("sinks.{section}.{key}={}", path(name).display());
        let url = format!("sinks.{section}.url={}", server.url());
        let stranger = set("ca_file", "stranger.pem");
        let daemon = start(data.path(), &[&url, &stranger]);
        post(&daemon, 0, &[20, 20, 20]);
        daemon.wait_until_said("certificate");
        daemon.stop();
        let known =
            [set("ca_file", "authority.pem"), set("certificate_file", "client.pem"), set("key_file", "client.key")];
        let daemon = start(data.path(), &[&url, &known[0], &known[1], &known[2]]);
        daemon.wait_until_said("status 4");
        daemon.stop();
    }
}

#[test]
fn a_kill_after_each_period_changes_no_alarm() {
    let values = [20, 20, 3, 3, 20, 20, 20, 1, 1, 1];
    let run = |signal: &str| {
        let data = TempDir::new().unwrap();
        for (period, value) in (0..).zip(&values) {
            let mut daemon = start(data.path(), &[]);
            post(&daemon, period, &[*value]);
            daemon.signal(signal);
            daemon.wait();
        }
        start(data.path(), &[]).stop();
        changes(data.path())
    };
    let stopped = run("TERM");
    assert_eq!(stopped, ["2 fires", "4 ended", "6 fires", "9 ended"]);
    assert_eq!(run("KILL"), stopped);
}

/// Two types with different timeouts: their windows close one after the other, and no kill is between them.
#[test]
fn a_kill_after_each_period_changes_no_alarm_over_two_proxy_types() {
    let rule = r#"alarms=[{rule='alarm "high" when AggProxySum.value > 10 and AggProxySumLast.value < 25 for 2 periods, clear for 2 periods severity critical'}]"#;
    let list = "aggregation.uve_proxy_list=UveVirtualNetworkAgent-egress_flow_count:AggProxySum:AggProxySumLast";
    // The first windows of the last values are partial.
    let values = [1, 1, 30, 20, 20, 30, 20, 30, 30, 20, 20, 1, 1, 1];
    let run = |signal: &str| {
        let data = TempDir::new().unwrap();
        for (period, value) in (0..).zip(&values) {
            let mut daemon = start(data.path(), &[rule, list]);
            post(&daemon, period, &[*value]);
            daemon.signal(signal);
            daemon.wait();
        }
        start(data.path(), &[rule, list]).stop();
        changes(data.path())
    };
    let stopped = run("TERM");
    assert_eq!(stopped, ["5 fires", "9 ended", "11 fires", "13 ended"]);
    assert_eq!(run("KILL"), stopped);
}

#[test]
fn an_alarm_whose_state_was_damaged_and_started_over_fires_once_and_ends() {
    let data = TempDir::new().unwrap();
    let mut daemon = start(data.path(), &[]);
    post(&daemon, 0, &[20, 20, 20]);
    let fires =
        |daemon: &Daemon| (alarms(daemon) == [("ObjectVNTable:a".to_owned(), "firing".to_owned())]).then_some(());
    wait_until("the alarm fires", || fires(&daemon));
    // A stop would write the view's checkpoint behind the state of the partition.
    daemon.signal("KILL");
    daemon.wait();
    assert_eq!(changes(data.path()), ["2 fires"]);
    let states = std::fs::read_dir(data.path().join("store")).unwrap().map(|entry| entry.unwrap().path());
    let state = states.into_iter().find(|path| path.file_name().unwrap().to_string_lossy().starts_with("state-"));
    let state = state.unwrap();
    let mut bytes = std::fs::read(&state).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&state, bytes).unwrap();
    std::fs::write(data.path().join("START-OVER"), "").unwrap();
    let daemon = start(data.path(), &[]);
    wait_until("the alarm goes on", || fires(&daemon));
    post(&daemon, 3, &[1, 1, 1]);
    let said = daemon.stop();
    assert!(said.contains("replays its retained input"), "{said}");
    assert_eq!(changes(data.path()), ["2 fires", "5 ended"]);
}

#[test]
fn validate_refuses_what_cannot_fire_and_explains_the_rest() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("derived-statsd.toml");
    let validate = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let mut validate = std::process::Command::new(env!("CARGO_BIN_EXE_derived-statsd"));
        let output = validate.arg("validate").arg(&file).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    };
    let (code, text) =
        validate("[[alarms]]\nname = \"vn flows\"\nwhen = \"AggProxySumAnomalyEWM01.value.sigma > 3\"\n");
    assert_ne!(code, 0);
    assert!(
        text.contains("derived-statsd.toml:3:1: `alarms.when`: alarm \"vn flows\"") && text.contains("is never true"),
        "{text}"
    );
    let (code, text) = validate("[[alarms]]\nrul = \"x\"\n");
    assert!(code != 0 && text.contains("unknown key `alarms.rul`; did you mean `rule`?"), "{text}");
    let (code, text) =
        validate("[[alarms]]\nname = \"vn flows\"\nwhen = \"AggProxySumAnomalyEWM01.value.sigma > 2.5\"\nfor = 3\n");
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("fires when AggProxySumAnomalyEWM01.value.sigma > 2.5 for 3 periods in a row"), "{text}");
}

#[test]
fn a_sink_of_alarms_without_rules_or_links_is_a_note_of_validate_and_a_warning_of_the_start() {
    let rule = "[[alarms]]\nname = \"a\"\nwhen = \"AggProxySum.value > 3\"\n";
    let (page, no_rule) =
        ("page_url = \"http://page.example\"\n", "no rule of alarms is configured, so nothing is ever");
    let no_links = "page_url is not set: alarms are sent without links";
    let data = TempDir::new().unwrap();
    let file = data.path().join("derived-statsd.toml");
    for sink in ["sinks.alertmanager", "sinks.webhook"] {
        let on = format!("[{sink}]\nurl = \"https://a.example\"\n");
        let cases = [
            (format!("{on}{page}{rule}"), None),
            (rule.to_owned(), None),
            (format!("{on}{rule}"), Some(no_links)),
            (format!("{on}{page}"), Some(no_rule)),
            (on.clone(), Some(no_rule)),
        ];
        for (text, expected) in cases {
            std::fs::write(&file, &text).unwrap();
            let mut validate = std::process::Command::new(env!("CARGO_BIN_EXE_derived-statsd"));
            let log = format!("log.data_dir={}", data.path().join("log").display());
            let output = validate.arg("validate").arg(&file).args(["--set", &log]).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success(), "{said}");
            let notes: Vec<_> = said.lines().collect();
            let is_right = |wanted| {
                notes.len() == 1 && notes[0].starts_with(&format!("note: {sink}.")) && notes[0].contains(wanted)
            };
            assert!(expected.map_or(notes.is_empty(), is_right), "{text}: {said}");
        }
    }
    let said = start(&data.path().join("log"), &["sinks.alertmanager.url=http://127.0.0.1:1"]).stop();
    assert!(said.contains(no_links) && !said.contains(no_rule), "{said}");
}

#[test]
fn explain_has_a_rule_in_words_and_a_caret_under_what_is_wrong() {
    let explain = |rule: &str| {
        let mut explain = std::process::Command::new(env!("CARGO_BIN_EXE_derived-statsd"));
        let output = explain.args(["explain", "--alarm", rule]).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    };
    let (code, text) = explain(r#"alarm "high" when A.value > 10 for 2 periods, clear below 5 on "T:*""#);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.starts_with("alarm \"high\" (major): for every object that matches T:*, fires when A.value > 10"),
        "{text}"
    );
    assert!(text.contains("note: the rule is not checked against proxy types"), "{text}");
    let refused = [
        ("AggProxySumAnomalyEWM01.value.sigma > 3", "is never true"),
        ("AggProxySumm.value > 3", "did you mean `AggProxySum`?"),
        (
            "AggProxySum.value > 3 and AggProxySumAnomalyEWM01.value.sigma > 4",
            "`AggProxySumAnomalyEWM01.value.sigma > 4` is never true",
        ),
        (
            "AggProxySum-A-b.value > 3 and AggProxySum-A-c.value > 3",
            "`AggProxySum-A-b` is not a configured proxy type or UVE",
        ),
        ("AggProxySum.value > 3 text \"{foo}\"", "the text: "),
    ];
    for (condition, expected) in refused {
        let rule = format!("alarm \"high\" when {condition}");
        let mut explain = std::process::Command::new(env!("CARGO_BIN_EXE_derived-statsd"));
        let output = explain.args(["explain", "--set", "http.max_streams=7", "--alarm", &rule]).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && text.contains(expected), "{rule}: {text}");
    }
    let (code, text) = explain(r#"alarm "high" when A.value >"#);
    assert!(code == 2 && text.contains("found the end\n") && text.ends_with("^\n"), "{text}");
    assert_eq!(explain("other").0, 2);
}

#[test]
fn alerts_have_the_labels_that_make_the_names_of_their_objects_as_annotations() {
    let (data, alertmanager) = (TempDir::new().unwrap(), Alertmanager::start());
    let streams = r#"streams=[{name = "requests", metric = "requests.count", object = ["job", "severity"], aggregations = ["Sum = 1-raw:DSSum"]}]"#;
    let rule = r#"alarms=[{rule='alarm "busy" when Sum.value > 10'}]"#;
    let url = format!("sinks.alertmanager.url={}", alertmanager.url());
    let more =
        [streams, rule, "log.partitions=1", "aggregation.uve_proxy_list=", "aggregation.allowed_lateness=0s", &url];
    let daemon = Daemon::start(data.path(), &more);
    for (minute, count) in [(0, 50), (1, 50), (2, 50)] {
        let at = START / 1_000 + minute * 60_000;
        let point = |job: &str| format!("requests,job={job},severity=page count={count} {at}\n");
        let body = point(r"shop\,eu") + &point("other");
        let reply = series::post(&daemon, "/api/v2/write?org=o&bucket=b&precision=ms", &[], body.as_bytes());
        assert_eq!(reply.status, 204, "{}", reply.text());
    }
    let alerts = wait_until("both alerts", || alertmanager.alerts().filter(|alerts| alerts.len() == 2));
    let own = |alert: &Value| ["job", "severity"].map(|name| alert["annotations"][name].as_str().unwrap().to_owned());
    let mut found: Vec<_> = alerts.iter().map(own).collect();
    found.sort();
    assert_eq!(found, [["other", "page"], ["shop,eu", "page"]]);
    // What a route or a silence selects: the name of the object has the values in the order of `object`.
    let url = format!("{}/api/v2/alerts?filter=object%3D~%22.*eu%2C.*%22", alertmanager.url());
    let selected = ureq::get(&url).call().unwrap().body_mut().read_to_string().unwrap();
    let selected: Value = serde_json::from_str(&selected).unwrap();
    assert_eq!(selected.as_array().map(Vec::len), Some(1), "{selected}");
    assert_eq!(selected[0]["annotations"]["job"], "shop,eu");
    daemon.stop();
}

#[test]
fn the_texts_of_alarms_have_no_hidden_characters_of_senders() {
    let (data, alertmanager) = (TempDir::new().unwrap(), Alertmanager::start());
    let url = format!("sinks.alertmanager.url={}", alertmanager.url());
    let daemon = start(data.path(), &[&url]);
    let name = r"a\u202e\u001b[2J";
    for period in 0..3 {
        let sample = line(name, "egress_flow_count", START + period * PERIOD, 20);
        assert_eq!(daemon.post(sample.as_bytes(), None).unwrap().0, 200);
    }
    let alert = wait_until("the alert", || alertmanager.alerts()?.into_iter().next());
    let text = format!("ObjectVNTable:{name} has 20");
    assert_eq!(alert["annotations"]["summary"], text);
    assert_eq!(alert["labels"]["object"], "a\u{202e}\u{1b}[2J", "what identifies it is as it is");
    let (_, shown) = daemon.get("/api/v1/alarms");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["alarms"][0]["description"], text);
    daemon.stop();
}
