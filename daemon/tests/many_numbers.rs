//! Results of more than ten numbers through the daemon: from posted samples over a kill to every place that shows them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use support::{Daemon, line, wait_until};
use tempfile::TempDir;

const START: u64 = 1_488_000_000_000_000;
const PERIOD: u64 = 60_000_000;
const STREAM: &str = "aggregation.uve_proxy_list=Agent-latency:Many";

/// The numbers from `first` on, with commas.
fn list(first: u64, count: u64) -> String {
    (first..first + count).map(|number| number.to_string()).collect::<Vec<_>>().join(",")
}

/// A rule on fields far behind the tenth number.
const RULE: &str = concat!(
    r#"alarms=[{name="many", when="Many.top.count_20 >= 20 and Many.names.counters.other > 100", "#,
    r#"text="{bounds.counts.le_39} up to 39"}]"#
);

/// Settings with a proxy type of 30 bounds, 50 categories and 20 values, its alarm and a file of results.
fn settings(folder: &Path) -> [String; 6] {
    let (bounds, names) = (list(10, 30), list(0, 50));
    let text = format!(
        "struct Many {{
           1: string name (key=\"\")
           2: string proxy
           3: optional bool deleted
           4: optional u64 raw (hidden=\"yes\")
           5: optional derived_stats_results.HistogramResult bounds (stats=\"1-raw:DSHistogram:{bounds}\")
           6: optional derived_stats_results.CategoryResult names (stats=\"1-raw:DSCategory:{names}\")
           7: optional derived_stats_results.TopResult top (stats=\"1-raw:DSTopK:20\")
         }} (period=\"60\")"
    );
    let file = folder.join("many.sandesh");
    fs::write(&file, text).unwrap();
    let schema = format!("aggregation.schema_files={}", file.display());
    let results = format!("sinks.file.path={}", folder.join("results").display());
    let others = ["aggregation.allowed_lateness=0s", "log.partitions=1", RULE].map(str::to_owned);
    let [lateness, partitions, rule] = others;
    [STREAM.to_owned(), schema, results, lateness, partitions, rule]
}

fn start(data: &Path, settings: &[String]) -> Daemon {
    Daemon::start(data, &settings.iter().map(String::as_str).collect::<Vec<_>>())
}

fn post(daemon: &Daemon, range: std::ops::Range<u64>) {
    let body: String = range.map(|n| line("vn", "latency", START + n, n * 7919 % 60)).collect();
    let (status, answer) = daemon.post(body.as_bytes(), None).unwrap();
    assert_eq!(status, 200, "{answer}");
    daemon.wait_until_applied();
}

/// The structure of the object, once there is one.
fn structure(daemon: &Daemon) -> Value {
    daemon.wait_for("/analytics/uves/virtual-network/vn", |(status, body)| {
        let uve: Value = (*status == 200).then(|| serde_json::from_str(body).unwrap())?;
        uve.get("Many-Agent-latency").cloned()
    })
}

/// The structure has 1200 samples, 20 of each of 60 values.
fn check_structure(shown: &Value) {
    let up_to = |bound: u64| (format!("le_{bound}"), json!(20 * (bound + 1)));
    let bounds: serde_json::Map<_, _> = (10..40).map(up_to).collect();
    assert_eq!(shown["bounds"], json!({ "samples": 1200, "counts": bounds }));
    let mut names: serde_json::Map<_, _> = (0..50).map(|name| (name.to_string(), json!(20))).collect();
    names.insert("other".to_owned(), json!(200));
    assert_eq!(shown["names"], json!({ "counters": names }));
    let top = &shown["top"];
    assert_eq!(
        [&top["value_20"], &top["count_20"], &top["error_20"], &top["value_21"]],
        [&json!(19), &json!(20), &json!(0), &Value::Null]
    );
}

fn check_alarm_and_history(daemon: &Daemon) {
    let alarm = wait_until("the alarm fires", || {
        let alarms: Value = serde_json::from_str(&daemon.get("/api/v1/alarms").1).unwrap();
        alarms["alarms"].get(0).filter(|alarm| alarm["state"] == "firing").cloned()
    });
    assert!(alarm.to_string().contains("800 up to 39"), "{alarm}");
    let (status, history) = daemon.get("/api/v1/history/virtual-network/vn");
    let history: Value = serde_json::from_str(&history).unwrap();
    let of_top = history["series"].as_array().unwrap().iter().find(|series| series["attribute"] == "top").unwrap();
    // The value is the most frequent one, the smallest of those of one count.
    assert_eq!((status, &of_top["points"][0][2]), (200, &json!(0.0)), "{history}");
}

/// The file of results has the structure once.
fn check_file(file: &Path, shown: &Value) {
    let lines = fs::read_to_string(file).unwrap();
    let rows = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let written: Vec<Value> =
        rows.filter(|row| row["key"] == "ObjectVNTable:vn" && row["data"]["top"].is_object()).collect();
    assert_eq!(written.len(), 1, "{lines}");
    for attribute in ["bounds", "names", "top"] {
        assert_eq!(written[0]["data"][attribute], shown[attribute], "in the file of results");
    }
}

#[test]
fn thirty_bounds_fifty_categories_and_twenty_values_survive_a_kill() {
    let data = TempDir::new().unwrap();
    let settings = settings(data.path());
    let log = data.path().join("data");
    let mut daemon = start(&log, &settings);
    post(&daemon, 0..400);
    // In the middle of the window.
    daemon.signal("KILL");
    daemon.wait();
    let daemon = start(&log, &settings);
    post(&daemon, 400..1200);
    let body = line("later", "latency", START + PERIOD, 1);
    assert_eq!(daemon.post(body.as_bytes(), None).unwrap().0, 200);
    let shown = structure(&daemon);
    check_structure(&shown);
    check_alarm_and_history(&daemon);
    daemon.stop();
    check_file(&data.path().join("results"), &shown);
    let again = start(&log, &settings);
    assert_eq!(structure(&again), shown, "after a restart");
    again.stop();
}
