//! Attributes over several periods: every output has each window with its own start, end and partial flag.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;

use serde_json::Value;
use support::{Daemon, line};
use tempfile::TempDir;

const MINUTE: u64 = 60_000_000;
/// A multiple of five minutes.
const START: u64 = 1_488_000_000_000_000;
/// Each minute has a sample.
const MINUTES: u64 = 75;
const UVE: &str = "LoadByFiveMinutes-Agent-load";

/// The type of the guide, with a detector on the means of five minutes.
const TYPES: &str = r#"
struct LoadByFiveMinutes {
  1: string name (key="")
  2: string proxy
  3: optional bool deleted
  4: optional double raw (hidden="yes")
  5: optional double average (stats="5-raw:DSAvg")
  6: optional derived_stats_results.AnomalyResult unusual (stats="1.DSAvg-raw:DSAnomaly:EWM:0.2")
  7: optional derived_stats_results.AnomalyResult unusual_five (stats="5.DSAvg-raw:DSAnomaly:EWM:0.2")
} (period="60", timeout="3", silence="skip")
"#;

/// The daemon with all samples, of which the first comes in the second minute of the first five.
fn daemon(folder: &TempDir) -> Daemon {
    let file = |name: &str| folder.path().join(name);
    let (schema, results) = (file("types.sandesh"), file("results"));
    fs::write(&schema, TYPES).unwrap();
    let settings = [
        "aggregation.uve_proxy_list=Agent-load:LoadByFiveMinutes".to_owned(),
        format!("aggregation.schema_files={}", schema.display()),
        format!("sinks.file.path={}", results.display()),
        "aggregation.allowed_lateness=0s".to_owned(),
        "log.partitions=1".to_owned(),
    ];
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let daemon = Daemon::start(&file("data"), &settings);
    let body: String = (1..=MINUTES).map(|it| line("vn", "load", START + it * MINUTE, value(it))).collect();
    let (status, answer) = daemon.post(body.as_bytes(), None).unwrap();
    assert_eq!(status, 200, "{answer}");
    daemon.wait_until_applied();
    let lag = "derived_statsd_sink_lag_results{sink=\"view\"} 0";
    daemon.wait_for("/metrics", |(_, metrics)| metrics.contains(lag).then_some(()));
    daemon
}

fn value(minute: u64) -> u64 {
    100 + minute / 5
}

fn parsed((status, body): (u16, String)) -> Value {
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// Start and end in minutes and the partial flag of the windows of so many minutes.
fn windows(length: u64) -> Vec<(u64, u64, bool)> {
    (0..MINUTES / length).map(|it| (it * length, (it + 1) * length)).map(|(from, to)| (from, to, from == 0)).collect()
}

/// A time in minutes; `None` if it is within one.
fn minute(time: &Value) -> u64 {
    let since_start = time.as_u64().unwrap() - START;
    assert_eq!(since_start % MINUTE, 0, "{time}");
    since_start / MINUTE
}

fn check_history(daemon: &Daemon) {
    let history = parsed(daemon.get("/api/v1/history/virtual-network/vn"));
    for (attribute, expected) in [("average", windows(5)), ("unusual", windows(1)), ("unusual_five", windows(5))] {
        let all = history["series"].as_array().unwrap();
        let series =
            all.iter().find(|it| it["attribute"] == attribute).unwrap_or_else(|| panic!("{attribute}: {history}"));
        let points = series["points"].as_array().unwrap().iter();
        let points: Vec<_> = points.map(|it| (minute(&it[0]), minute(&it[1]), it[8] == 1)).collect();
        // A detector has no results during its warm-up.
        let is_all = attribute != "average" || points.len() == expected.len();
        assert!(is_all && points.len() > 3 && expected.ends_with(&points), "{attribute}: {points:?}");
    }
}

fn check_file(file: &str) {
    let rows: Vec<Value> = file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let windows_of = |attribute: &str| -> Vec<_> {
        let rows = rows.iter().filter(|row| row["data"].get(attribute).is_some());
        rows.map(|row| (minute(&row["start"]), minute(&row["end"]), row["data"].get("partial").is_some())).collect()
    };
    assert_eq!(windows_of("average"), windows(5));
    let of_detector = windows_of("unusual_five");
    assert!(of_detector.len() > 3 && windows(5).ends_with(&of_detector), "{of_detector:?}");
}

#[test]
fn every_output_has_the_windows_of_several_periods() {
    let folder = TempDir::new().unwrap();
    let daemon = daemon(&folder);
    let uves = parsed(daemon.get("/analytics/uves/virtual-network/vn"));
    assert_eq!(uves[UVE]["average"]["value"].as_f64(), Some(114.0), "{uves}");
    assert!(uves[UVE]["unusual"].is_object() && uves[UVE]["unusual_five"].is_object(), "{uves}");
    assert_eq!(uves[UVE].get("partial"), None, "{uves}");
    let loudest = parsed(daemon.get("/api/v1/loudest"));
    let of = |attribute: &str| {
        let found = loudest.as_array().unwrap().iter().find(|it| it["attribute"] == attribute);
        found.map(|it| (minute(&it["start"]), minute(&it["end"]))).unwrap_or_else(|| panic!("{attribute}: {loudest}"))
    };
    assert_eq!((of("unusual"), of("unusual_five")), ((74, 75), (70, 75)));
    check_history(&daemon);
    daemon.stop();
    check_file(&fs::read_to_string(folder.path().join("results")).unwrap());
}
