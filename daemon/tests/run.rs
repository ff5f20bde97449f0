//! The daemon over its HTTP API: samples in, UVEs out.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod sandesh;
mod support;

use std::io::{BufRead as _, BufReader};

use sandesh::counters;
use serde_json::{Value, json};
use support::{Daemon, line, results};
use tempfile::TempDir;

const PERIOD: u64 = 10_000_000;
const START: u64 = 1_488_000_000_000_000;
/// Short windows without lateness: a sample of the next window closes the previous one.
const SETTINGS: [&str; 3] = ["aggregation.period=10", "aggregation.allowed_lateness=0s", "log.partitions=1"];

const SUM: &str = "AggProxySum-UveVirtualNetworkAgent-egress_flow_count";
const ANOMALY: &str = "AggProxySumAnomalyEWM01-UveVirtualNetworkAgent-egress_flow_count";

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// Two vrouters report 20 and 16 flows in each of `periods`.
fn thirty_six(name: &str, periods: std::ops::Range<u64>) -> String {
    periods
        .flat_map(|period| {
            let at = START + period * PERIOD;
            [line(name, "egress_flow_count", at, 20), line(name, "egress_flow_count", at + 1, 16)]
        })
        .collect()
}

#[test]
fn samples_become_the_uve_of_contrails_proxy_uve_specification() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    let (status, body) = daemon.post(thirty_six("demo:vn1", 0..13).as_bytes(), None).unwrap();
    assert_eq!((status, parse(&body)), (200, json!({"accepted": 26, "rejected": 0})));

    let path = "/analytics/uves/virtual-network/demo:vn1?flat";
    let uve = daemon.wait_for(path, |(status, body)| {
        let uve = (*status == 200).then(|| parse(body))?;
        (uve[ANOMALY]["value"]["samples"] == 12).then_some(uve)
    });
    let proxy = "UveVirtualNetworkAgent-egress_flow_count";
    assert_eq!(uve[SUM], json!({"deleted": false, "proxy": proxy, "value": {"value": 36}}));
    let anomaly = &uve[ANOMALY];
    assert_eq!((&anomaly["deleted"], &anomaly["proxy"]), (&json!(false), &json!(proxy)));
    let value = anomaly["value"].as_object().unwrap();
    assert_eq!(value.keys().collect::<Vec<_>>(), ["algo", "config", "metric", "samples", "sigma", "state"]);
    assert_eq!((&value["metric"], &value["config"]), (&json!(36), &json!("0.1")));
    assert!(value["state"]["mean"].is_string() && value["sigma"].is_number());

    let (_, list) = daemon.get("/analytics/uves/virtual-networks");
    assert_eq!(parse(&list)[0]["name"], "demo:vn1");
    let (_, cut) = daemon.get(&format!("{path}&cfilt={ANOMALY}:proxy"));
    assert_eq!(parse(&cut), json!({ANOMALY: {"proxy": proxy}}));
    let (_, many) = daemon.get("/analytics/uves/virtual-network/demo:*");
    assert_eq!(parse(&many)["value"][0]["name"], "demo:vn1");
    assert_eq!(daemon.get("/analytics/uves/virtual-network/demo:other").0, 404);
    daemon.stop();
}

#[test]
fn bad_lines_are_listed_and_the_others_are_accepted() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    let good = line("a", "egress_flow_count", START, 1);
    let body = format!("{good}not a line\n\n{}{good}", line("a", "no_such_attribute", START, 1));
    let (status, answer) = daemon.post(body.as_bytes(), None).unwrap();
    let answer = parse(&answer);
    assert_eq!((status, &answer["accepted"], &answer["rejected"]), (207, &json!(2), &json!(2)));
    assert_eq!((&answer["errors"][0]["line"], &answer["errors"][1]["line"]), (&json!(2), &json!(4)));
    assert!(answer["errors"][1]["error"].as_str().unwrap().contains("no_such_attribute"));
    assert_eq!(daemon.post(b"nothing good", None).unwrap().0, 400);
    let metrics = daemon.get("/metrics").1;
    for expected in ["derived_statsd_samples_accepted_total 2", "derived_statsd_samples_rejected_total 3"] {
        assert!(metrics.contains(expected), "no {expected} in\n{metrics}");
    }
    daemon.stop();
}

/// A line of the counted stream with the text of a timestamp and of a value.
fn raw_line(key: &str, at: &str, value: &str) -> String {
    format!("{{\"key\":\"{key}\",\"attr\":\"egress_flow_count\",\"ts\":{at},\"value\":{value}}}\n")
}

#[test]
fn what_is_accepted_is_counted_and_the_rest_is_rejected_with_the_reason() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    let at = START.to_string();
    // Each was accepted once, and dropped later without a message.
    let bad = [
        (raw_line("ObjectVNTable:a", &at, "36.9"), "36.9 does not fit"),
        (raw_line("ObjectVNTable:a", &at, "-5"), "takes u64; send no negative value"),
        (raw_line("ObjectVNTable:a", &format!("{at}000"), "1"), "ahead of the arrival"),
        (raw_line("ObjectVNTable:a", "18446744073709551615", "1"), "ahead of the arrival"),
        (raw_line("ObjectVNTable:a", "1488000001", "1"), "looks like seconds"),
        (raw_line("ObjectVNTable:a", "1488000001000", "1"), "looks like milliseconds"),
        (raw_line("a", &at, "1"), "not `table:name`"),
        (raw_line("ObjectVNTable:", &at, "1"), "no name after its first `:`"),
    ];
    for (line, part) in &bad {
        let (status, answer) = daemon.post(line.as_bytes(), None).unwrap();
        assert!(status == 400 && answer.contains(part), "{line} gave {status}: {answer}");
    }
    let good: Vec<_> = ["36.0", "3e2", "7"].map(|value| raw_line("ObjectVNTable:a", &at, value)).into();
    let body: String = good.iter().chain(bad.iter().map(|(line, _)| line)).map(String::as_str).collect();
    let (status, answer) = daemon.post(body.as_bytes(), None).unwrap();
    let answer = parse(&answer);
    assert_eq!((status, &answer["accepted"], &answer["rejected"]), (207, &json!(3), &json!(8)));
    let lines: Vec<_> = answer["errors"].as_array().unwrap().iter().map(|error| error["line"].clone()).collect();
    assert_eq!(lines, [4, 5, 6, 7, 8, 9, 10, 11]);
    daemon.post(thirty_six("a", 1..2).as_bytes(), None).unwrap();
    daemon.wait_until_applied();
    let partitions = parse(&daemon.get("/api/v1/partitions").1);
    for (fate, count) in partitions[0]["records"].as_object().unwrap() {
        assert_eq!(count.as_u64(), Some(if fate == "aggregated" { 5 } else { 0 }), "{fate} in {partitions}");
    }
    daemon.wait_for("/analytics/uves/virtual-network/a", |(status, body)| {
        (*status == 200 && parse(body)[SUM]["value"]["value"] == 36 + 300 + 7).then_some(())
    });
    daemon.stop();
}

#[test]
fn timestamps_are_taken_in_the_unit_that_is_configured() {
    let cases = [
        ("s", "1488000000", "1488000010", "it looks like microseconds"),
        ("ms", "1488000000000", "1488000010000", "it looks like microseconds"),
        ("ns", "1488000000000000999", "1488000010000000000", "it looks like microseconds"),
        ("rfc3339", "\"2017-02-25T06:20:00+01:00\"", "\"2017-02-25T05:20:10Z\"", "is a number"),
    ];
    for (unit, at, next, expected) in cases {
        let data = TempDir::new().unwrap();
        let unit = format!("http.time_unit={unit}");
        let daemon = Daemon::start(data.path(), &[&SETTINGS[..], &[&unit]].concat());
        let time = at.trim_matches('"');
        let xml = format!("ObjectVNTable:a\t<egress_flow_count timestamp=\"{time}\">30</egress_flow_count>\n");
        let body = [raw_line("ObjectVNTable:a", at, "6"), xml, raw_line("ObjectVNTable:a", next, "1")].concat();
        let (status, answer) = daemon.post(body.as_bytes(), None).unwrap();
        assert_eq!(status, 200, "{unit}: {answer}");
        let micros = raw_line("ObjectVNTable:a", &START.to_string(), "1");
        let (status, answer) = daemon.post(micros.as_bytes(), None).unwrap();
        assert!(status == 400 && answer.contains(expected), "{unit}: {status} {answer}");
        daemon.wait_for("/analytics/uves/virtual-network/a?flat", |(status, body)| {
            (*status == 200 && parse(body)[SUM]["value"]["value"] == 36).then_some(())
        });
        daemon.stop();
        let first: Value = parse(&results(data.path())[0]);
        assert_eq!(first["start"], START, "{unit}");
    }
}

#[test]
fn a_repeated_batch_counts_once() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    let batch = thirty_six("a", 0..1);
    let first = daemon.post(batch.as_bytes(), Some("batch-1")).unwrap();
    assert_eq!(daemon.post(batch.as_bytes(), Some("batch-1")).unwrap(), first);
    assert_eq!(daemon.post(b"another body", Some("batch-1")).unwrap().0, 409);
    daemon.post(thirty_six("a", 1..2).as_bytes(), Some("batch-2")).unwrap();
    let sum = daemon.wait_for("/analytics/uves/virtual-network/a", |(status, body)| {
        (*status == 200).then(|| parse(body)[SUM]["value"]["value"].clone())
    });
    assert_eq!(sum, 36);
    daemon.stop();
}

#[test]
fn state_and_results_continue_after_a_restart() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    daemon.post(thirty_six("a", 0..6).as_bytes(), None).unwrap();
    daemon.wait_until_applied();
    daemon.stop();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    daemon.post(thirty_six("a", 6..12).as_bytes(), None).unwrap();
    daemon.wait_until_applied();
    daemon.stop();
    let restarted = results(data.path());

    let undisturbed = TempDir::new().unwrap();
    let daemon = Daemon::start(undisturbed.path(), &SETTINGS);
    daemon.post(thirty_six("a", 0..12).as_bytes(), None).unwrap();
    daemon.wait_until_applied();
    daemon.stop();
    assert_eq!(restarted, results(undisturbed.path()));
    let last = restarted.iter().rev().map(|line| parse(line)).find(|result| result["uve"] == ANOMALY).unwrap();
    assert_eq!(last["data"]["value"]["samples"], 11, "the warm-up started anew: {last}");
}

/// The first report of a period, or the second.
fn half(period: u64, second: bool) -> String {
    let (value, late) = if second { (16, 1) } else { (20, 0) };
    line("a", "egress_flow_count", START + period * PERIOD + late, value)
}

#[test]
fn a_change_of_the_proxy_list_loses_no_window_and_reports_dropped_and_started_states() {
    let detector = "detector 10s DSSum DSAnomaly:EWM:0.1 u64 silence=once";
    let dropped = format!("{detector} (1 objects)");
    // The types from one period on, and the report of the restore in API and log.
    let runs: [(&str, u64, Value); 5] = [
        ("AggProxySum:AggProxySumAnomalyEWM01", 0, Value::Null),
        ("AggProxySumAnomalyEWM01:AggProxySum", 12, json!({"kept": 4, "dropped": [], "started": []})),
        ("AggProxySumAnomalyEWM01", 14, json!({"kept": 4, "dropped": [], "started": []})),
        ("AggProxySum", 16, json!({"kept": 3, "dropped": [dropped], "started": []})),
        ("AggProxySum:AggProxySumAnomalyEWM01", 18, json!({"kept": 3, "dropped": [], "started": [detector]})),
    ];
    let data = TempDir::new().unwrap();
    for (index, (types, from, restored)) in runs.iter().enumerate() {
        let list = format!("aggregation.uve_proxy_list=UveVirtualNetworkAgent-egress_flow_count:{types}");
        let settings: Vec<&str> = SETTINGS.into_iter().chain([list.as_str()]).collect();
        let daemon = Daemon::start(data.path(), &settings);
        daemon.wait_until_applied();
        assert_eq!(&parse(&daemon.get("/api/v1/partitions").1)[0]["restored"], restored, "{types}");
        // Each run ends in the middle of a period.
        let to = runs.get(index + 1).map_or(20, |(_, from, _)| *from);
        let rest = if *from > 0 { half(*from, true) } else { thirty_six("a", 0..1) };
        let samples = rest + &thirty_six("a", from + 1..to) + &half(to, false);
        assert_eq!(daemon.post(samples.as_bytes(), None).unwrap().0, 200);
        daemon.wait_until_applied();
        let log = daemon.stop();
        let (info, warning) = ("The saved state was restored.", "The configuration changed since the state was saved");
        let is_changed = restored["dropped"] != json!([]) || restored["started"] != json!([]);
        let expected = if restored.is_null() { (0, 0) } else { (usize::from(!is_changed), usize::from(is_changed)) };
        assert_eq!((log.matches(info).count(), log.matches(warning).count()), expected, "{types}:\n{log}");
        assert_eq!(log.contains(detector), !restored.is_null() && is_changed, "{types}:\n{log}");
    }
    every_window_is_whole(data.path());
}

/// The results over the runs with changing proxy lists.
fn every_window_is_whole(data: &std::path::Path) {
    let results: Vec<Value> = results(data).iter().map(|line| parse(line)).collect();
    let ends = |uve: &str| -> Vec<u64> {
        let of_uve = results.iter().filter(|result| result["uve"] == uve);
        of_uve.map(|result| (result["end"].as_u64().unwrap() - START) / PERIOD).collect()
    };
    assert_eq!(ends(SUM), (1..15).chain(17..=20).collect::<Vec<_>>(), "not while the list is without the type");
    assert_eq!(ends(ANOMALY), (10..=16).collect::<Vec<_>>(), "ready after ten periods, and not again since the change");
    for result in &results {
        let value = &result["data"]["value"];
        let sum = if result["uve"] == SUM { &value["value"] } else { &value["metric"] };
        assert_eq!(sum, 36, "half a window, or a period of silence that there was not: {result}");
        assert!(value["sigma"].as_f64().is_none_or(|sigma| sigma >= 0.0), "a false anomaly: {result}");
        // The log begins in the middle of the first window.
        assert!(result["data"]["partial"].is_null(), "{result}");
    }
}

#[test]
fn the_file_sink_has_every_result_once() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("results.jsonl");
    let sink = format!("sinks.file.path={}", file.display());
    let log = data.path().join("log");
    let settings: Vec<&str> = SETTINGS.into_iter().chain([sink.as_str()]).collect();
    for periods in [0..3, 3..8] {
        let daemon = Daemon::start(&log, &settings);
        daemon.post(thirty_six("a", periods).as_bytes(), None).unwrap();
        daemon.wait_until_applied();
        daemon.stop();
    }
    let written: Vec<String> = std::fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(written, results(&log));
    assert_eq!(written.len(), 7);
}

#[test]
fn a_truncated_result_file_is_reported_and_continued_at_its_end() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("results.jsonl");
    let sink = format!("sinks.file.path={}", file.display());
    let log = data.path().join("log");
    let settings: Vec<&str> = SETTINGS.into_iter().chain([sink.as_str()]).collect();
    let run = |periods| {
        let daemon = Daemon::start(&log, &settings);
        daemon.post(thirty_six("a", periods).as_bytes(), None).unwrap();
        daemon.wait_until_applied();
        daemon.stop()
    };
    assert!(!run(0..3).contains("shorter"));
    let before = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, "").unwrap();

    let messages = run(3..5);
    let warning = messages.lines().find(|line| line.contains("WARN") && line.contains("shorter")).expect(&messages);
    for part in [format!("path={}", file.display()), format!("stored={}", before.len()), "found=0".to_owned()] {
        assert!(warning.contains(&part), "no {part} in {warning}");
    }
    let after = std::fs::read_to_string(&file).unwrap();
    let written: Vec<String> = before.lines().chain(after.lines()).map(str::to_owned).collect();
    assert_eq!(written, results(&log), "nothing is written twice, and nothing new is missing");
}

fn events(request: ureq::RequestBuilder<ureq::typestate::WithoutBody>) -> impl Iterator<Item = String> {
    BufReader::new(request.call().unwrap().into_body().into_reader()).lines().map(Result::unwrap)
}

#[test]
fn results_stream_as_events_from_an_offset() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    daemon.post(thirty_six("a", 0..3).as_bytes(), None).unwrap();
    let get = |path: &str| ureq::get(daemon.url(path));
    let mut lines = events(get("/api/v1/results/stream?from=0"));
    let mut next = |prefix: &str| {
        let line = lines.find(|line| line.starts_with(prefix)).expect("the stream goes on");
        line[prefix.len()..].trim().to_owned()
    };
    // Both windows end with one commit, so their results are in one record of the log.
    for (id, end) in [("id: 0", START + PERIOD), ("id: 0.1", START + 2 * PERIOD)] {
        let event = [next(""), next("")];
        assert!(event.iter().any(|line| line == id), "{id}: {event:?}");
        assert!(event.iter().any(|line| line.contains(&format!("\"end\":{end}"))), "{event:?}");
        next("");
    }
    let mut again = events(get("/api/v1/results/stream").header("last-event-id", "0"));
    let second = again.find(|line| line.starts_with("data:")).expect("the stream goes on");
    assert!(second.contains(&format!("\"end\":{}", START + 2 * PERIOD)), "{second}");
    drop(again);
    daemon.post(thirty_six("a", 3..4).as_bytes(), None).unwrap();
    let live = next("data:");
    assert!(live.contains(&format!("\"end\":{}", START + 3 * PERIOD)), "{live}");
    drop(lines);
    daemon.stop();
}

#[test]
fn health_and_metrics_match_the_state() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    assert_eq!(daemon.get("/healthz"), (200, "ok\n".to_owned()));
    let late = line("a", "egress_flow_count", START - PERIOD, 1);
    daemon.post((thirty_six("a", 0..3) + &late).as_bytes(), None).unwrap();
    daemon.wait_until_applied();
    let metrics = daemon.wait_for("/metrics", |(_, body)| body.contains("fate=\"late\"} 1").then(|| body.clone()));
    let stream = "stream=\"UveVirtualNetworkAgent-egress_flow_count\"";
    for expected in [
        format!("derived_statsd_records_total{{{stream},fate=\"aggregated\"}} 6"),
        format!("derived_statsd_objects{{{stream}}} 1"),
        format!("derived_statsd_proxy_type_objects{{{stream},type=\"AggProxySum\"}} 1"),
        "derived_statsd_samples_accepted_total 7".to_owned(),
        "derived_statsd_sink_lag_results{sink=\"view\"}".to_owned(),
        "derived_statsd_commit_seconds_count".to_owned(),
    ] {
        assert!(metrics.contains(&expected), "no {expected} in\n{metrics}");
    }
    daemon.stop();
}

#[test]
fn a_running_daemon_writes_no_core_dump() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Core).maximum;
    // A child has the limits of its parent.
    setrlimit(Resource::Core, Rlimit { current: maximum, maximum }).unwrap();
    assert_ne!(maximum, Some(0), "the test shows nothing where no process may write a core dump");
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    daemon.stop();
}

#[test]
fn a_body_over_the_limit_is_rejected_and_other_requests_succeed() {
    let data = TempDir::new().unwrap();
    let batch = thirty_six("a", 0..2);
    let limit = format!("http.max_body_bytes={}", batch.len());
    let settings: Vec<&str> = SETTINGS.into_iter().chain([limit.as_str()]).collect();
    let daemon = Daemon::start(data.path(), &settings);
    let one_more = format!("{batch}\n");
    assert_eq!(daemon.post(one_more.as_bytes(), None).unwrap().0, 413);
    // The server answers and closes before all of this is sent, so the client may get the answer or a broken
    // connection; the server's own count is certain.
    daemon.post(&vec![b'x'; 100 << 20], None);
    let refused = r#"derived_statsd_http_requests_total{path="/api/v1/samples",status="413"} 2"#;
    daemon.wait_for("/metrics", |(_, body)| body.contains(refused).then_some(()));
    assert_eq!(daemon.post(batch.as_bytes(), None).unwrap().0, 200);
    daemon.wait_for("/analytics/uves/virtual-network/a", |(status, _)| (*status == 200).then_some(()));
    daemon.stop();
}

#[test]
fn a_full_backlog_gets_429_with_retry_after() {
    let data = TempDir::new().unwrap();
    // With a commit interval of an hour the backlog never shrinks, so the first batch fills it.
    let full = ["log.retention.max_backlog_bytes=100", "log.commit_interval=1h"];
    let settings: Vec<&str> = SETTINGS.into_iter().chain(full).collect();
    let daemon = Daemon::start(data.path(), &settings);
    let batch = thirty_six("a", 0..1);
    assert_eq!(daemon.post(batch.as_bytes(), None).unwrap().0, 200);
    let (status, body) = daemon.post(batch.as_bytes(), None).unwrap();
    assert_eq!(status, 429, "{body}");
    assert!(body.contains("max_backlog_bytes"), "{body}");
    daemon.wait_until_applied();
    daemon.stop();
    // The stop committed, so the backlog has room again.
    let daemon = Daemon::start(data.path(), &settings);
    assert_eq!(daemon.post(batch.as_bytes(), None).unwrap().0, 200);
    daemon.stop();
}

#[test]
fn a_second_daemon_on_the_same_data_directory_fails_to_start() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    let second = support::command("run", data.path(), &SETTINGS).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&second.stderr);
    assert!(stderr.contains("in use by another process"), "{stderr}");
    daemon.stop();
}

#[test]
fn another_number_of_partitions_is_rejected() {
    let data = TempDir::new().unwrap();
    Daemon::start(data.path(), &["log.partitions=4"]).stop();
    let other = support::command("run", data.path(), &["log.partitions=8"]).output().unwrap();
    assert_eq!(other.status.code(), Some(64));
    let stderr = String::from_utf8_lossy(&other.stderr);
    assert!(stderr.contains("made with log.partitions=4"), "{stderr}");
}

#[test]
fn an_idle_partition_closes_its_windows_by_the_clock() {
    let data = TempDir::new().unwrap();
    let settings = ["aggregation.period=1", "aggregation.allowed_lateness=0s", "aggregation.idle_timeout=200ms"];
    let daemon = Daemon::start(data.path(), &settings);
    daemon.post(line("a", "egress_flow_count", START, 5).as_bytes(), None).unwrap();
    // Its window closes, and after one idle period the timeout of 1 deletes it. Its value is visible for a second only:
    // it is read from the results.
    daemon.wait_for("/api/v1/partitions", |(_, body)| {
        let is_over = |status: &Value| status["records"]["aggregated"] != 0 && status["objects"] == 0;
        parse(body).as_array()?.iter().any(is_over).then_some(())
    });
    daemon.wait_for("/analytics/uves/virtual-network/a", |(status, _)| (*status == 404).then_some(()));
    daemon.stop();
    let results: Vec<Value> = results(data.path()).iter().map(|line| parse(line)).collect();
    let is_deletion = |result: &&Value| result["data"]["deleted"] == true;
    assert_eq!(results.iter().filter(is_deletion).count(), 2, "one for each proxy type");
    let is_sum = |result: &&Value| result["uve"] == SUM && result["data"]["value"]["value"] == 5;
    assert_eq!(results.iter().filter(is_sum).count(), 1, "{results:?}");
}

#[test]
fn two_vrouters_with_counters_under_one_key_add_up_to_their_increases_over_a_kill() {
    let (data, types) = (TempDir::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(types.path(), counters(r#"period="10", timeout="1""#)).unwrap();
    let schema = format!("aggregation.schema_files={}", types.path().display());
    let list = "aggregation.uve_proxy_list=UveVirtualNetworkAgent-in_bytes:Bytes";
    let settings = [&SETTINGS[1..], &[&schema, list]].concat();
    // Each vrouter reports twice in a window: 10 bytes more each time.
    let window = |window: u64| -> String {
        let reports = (0..2).flat_map(|report| [("compute-1", 1000, report), ("compute-2", 50, report)]);
        let line = |(source, from, report): (&str, u64, u64)| {
            let at = START + window * PERIOD + report * PERIOD / 2;
            let value = from + (2 * window + report) * 10;
            format!(
                "{{\"key\":\"ObjectVNTable:vn1\",\"attr\":\"in_bytes\",\"ts\":{at},\"value\":{value},\
                 \"source\":\"{source}\"}}\n"
            )
        };
        reports.map(line).collect()
    };
    for from in [0, 4, 8] {
        let daemon = Daemon::start(data.path(), &settings);
        for number in from..from + 4 {
            assert_eq!(daemon.post(window(number).as_bytes(), None).unwrap().0, 200);
        }
        daemon.wait_until_applied();
        // Killed.
        drop(daemon);
    }
    let sums: Vec<u64> = results(data.path())
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["data"]["sum"]["value"].as_u64())
        .collect();
    assert_eq!(sums, [20, 40, 40, 40, 40, 40, 40, 40, 40, 40, 40]);
}

/// Whatever is in a directory, with it.
fn everything(path: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten();
    let below = entries.flat_map(|entry| everything(&entry.unwrap().path()));
    below.chain([path.to_owned()]).collect()
}

#[test]
fn the_data_directory_is_for_its_owner_alone_and_an_open_one_is_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let start = || {
        let command = support::command("run", &data, &SETTINGS);
        // As a shell has it, which lets everybody read what is created.
        let mut open = std::process::Command::new("sh");
        open.args(["-c", "umask 022 && exec \"$0\" \"$@\""]).arg(command.get_program()).args(command.get_args());
        open.env("RUST_LOG", "info").env("NO_COLOR", "1");
        Daemon::spawn(open).expect("the daemon starts")
    };
    let daemon = start();
    assert_eq!(daemon.post(thirty_six("a", 0..2).as_bytes(), None).unwrap().0, 200);
    daemon.wait_until_applied();
    let warning = "Other users of this machine may read the data directory";
    assert!(!daemon.stop().contains(warning));
    let found = everything(&data);
    assert!(found.len() > 6, "{found:?}");
    for path in found {
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has {mode:o}", path.display());
    }
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    let daemon = start();
    daemon.wait_until_said(warning);
    daemon.stop();
    assert_eq!(data.metadata().unwrap().permissions().mode() & 0o777, 0o755, "its owner may have wanted it");
}

#[test]
fn a_loopback_listener_without_tokens_lets_every_user_of_the_machine_read_and_write() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &SETTINGS);
    // None of these requests has credentials.
    assert_eq!(daemon.post(thirty_six("a", 0..2).as_bytes(), None).unwrap().0, 200);
    for path in ["/analytics/uves", "/api/v1/config", "/metrics"] {
        assert_eq!(daemon.get(path).0, 200, "{path}");
    }
    // What changes the configuration needs a token in any case.
    let (status, body) = daemon.post_to("/api/v1/config", b"", None).unwrap();
    assert!(status == 403 && body.contains("http.tokens_file"), "{status} {body}");
    daemon.stop();
}
