//! Results in InfluxDB: the real binary against a real InfluxDB, which the tests stop, freeze and restart.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use support::influxdb::{InfluxDb, VictoriaMetrics};
use support::{Daemon, command, line, wait_until};
use tempfile::TempDir;

const PERIOD: u64 = 10_000_000;
const START: u64 = 1_488_000_000_000_000;
/// Short windows without lateness: a sample of the next window closes the previous one.
const SETTINGS: [&str; 5] = [
    "aggregation.period=10",
    "aggregation.allowed_lateness=0s",
    "log.partitions=1",
    "sinks.influxdb.flush_interval=200ms",
    "sinks.influxdb.timeout=2s",
];
const OBJECTS: u64 = 20;

fn start(data: &Path, settings: &[&str]) -> Daemon {
    Daemon::start(&data.join("log"), &[&SETTINGS[..], settings].concat())
}

/// One sample for each object in each of `periods`, with a value of period and object.
fn samples(periods: std::ops::Range<u64>) -> String {
    let of = |period: u64| (0..OBJECTS).map(move |object| (period, object));
    let sample = |(period, object)| {
        line(&format!("d:o {object}"), "egress_flow_count", START + period * PERIOD, value(period, object))
    };
    periods.flat_map(of).map(sample).collect()
}

fn value(period: u64, object: u64) -> u64 {
    1_000 * period + object
}

/// The count and the total of the sums of `periods`.
fn expected(periods: std::ops::Range<u64>) -> Vec<Value> {
    let all: Vec<_> = periods.flat_map(|period| (0..OBJECTS).map(move |object| value(period, object))).collect();
    vec![json!(all.len()), json!(all.iter().sum::<u64>())]
}

fn post(daemon: &Daemon, periods: std::ops::Range<u64>) {
    assert_eq!(daemon.post(samples(periods).as_bytes(), None).unwrap().0, 200);
}

const TOTALS: &str = "SELECT count(value_value), sum(value_value) FROM AggProxySum";

/// Waits until InfluxDB has the sums of all of `periods` and no other.
fn wait_for_sums(influxdb: &InfluxDb, periods: std::ops::Range<u64>) {
    let expected = expected(periods);
    wait_until("the sums are complete", || (influxdb.row(TOTALS).as_ref() == Some(&expected)).then_some(()));
}

#[test]
fn results_are_points_in_a_database_that_the_daemon_creates() {
    let (data, influxdb) = (TempDir::new().unwrap(), InfluxDb::start());
    let daemon = start(data.path(), &[&format!("sinks.influxdb.url={}/", influxdb.url())]);
    post(&daemon, 0..13);
    wait_for_sums(&influxdb, 0..12);
    let point = influxdb.query("telegraf", "SELECT * FROM AggProxySum WHERE \"name\" = 'd:o 7' LIMIT 1");
    assert_eq!(
        point[0]["series"][0],
        json!({
            "name": "AggProxySum",
            "columns": ["time", "deleted", "name", "proxy", "table", "value_value"],
            "values": [[START, false, "d:o 7", "UveVirtualNetworkAgent-egress_flow_count", "ObjectVNTable", 7]]
        })
    );
    let anomaly = influxdb.row("SELECT last(value_sigma), value_samples, value_state_mean FROM AggProxySumAnomalyEWM01 WHERE \"name\" = 'd:o 7'");
    let anomaly = anomaly.expect("anomalies are there too");
    assert!(
        anomaly[0].is_f64() && anomaly[1] == 12 && anomaly[2].as_f64().is_some_and(|mean| mean > 0.0),
        "{anomaly:?}"
    );

    for expected in [
        "derived_statsd_influxdb_requests_total{outcome=\"no_database\"} 1",
        "derived_statsd_influxdb_requests_total{outcome=\"ok\"} ",
        "derived_statsd_influxdb_lines_total 300",
        "derived_statsd_influxdb_last_success_seconds 1",
    ] {
        daemon.wait_for("/metrics", |(_, metrics)| metrics.contains(expected).then_some(()));
    }
    daemon.wait_for("/metrics", |(_, metrics)| {
        metrics.contains("derived_statsd_sink_lag_results{sink=\"influxdb\"} 0").then_some(())
    });
    daemon.stop();
}

#[test]
fn a_stop_flushes_buffered_points() {
    let (data, influxdb) = (TempDir::new().unwrap(), InfluxDb::start());
    let url = format!("sinks.influxdb.url={}", influxdb.url());
    let daemon = Daemon::start(data.path(), &[&SETTINGS[..3], &[&url, "sinks.influxdb.flush_interval=1h"]].concat());
    post(&daemon, 0..3);
    daemon.wait_until_applied();
    daemon.stop();
    wait_for_sums(&influxdb, 0..2);
}

#[test]
fn a_server_that_was_down_or_hung_has_all_points_in_the_end() {
    let (data, mut influxdb) = (TempDir::new().unwrap(), InfluxDb::start());
    let daemon =
        start(data.path(), &[&format!("sinks.influxdb.url={}", influxdb.url()), "sinks.influxdb.batch_lines=50"]);
    post(&daemon, 0..20);
    wait_for_sums(&influxdb, 0..19);
    influxdb.stop();
    post(&daemon, 20..40);
    daemon.wait_until_said("InfluxDB accepts no lines at present");
    influxdb.restart();
    post(&daemon, 40..60);
    wait_for_sums(&influxdb, 0..59);
    let timeouts = |metrics: &str| {
        let name = "derived_statsd_influxdb_requests_total{outcome=\"timeout\"} ";
        metrics.lines().find_map(|line| line.strip_prefix(name)?.parse::<u64>().ok()).unwrap_or(0)
    };
    let before = timeouts(&daemon.get("/metrics").1);
    influxdb.pause();
    post(&daemon, 60..80);
    daemon.wait_for("/metrics", |(_, metrics)| (timeouts(metrics) > before).then_some(()));
    influxdb.resume();
    wait_for_sums(&influxdb, 0..79);
    let said = daemon.stop();
    assert!(said.contains("InfluxDB accepts lines again"), "{said}");
}

#[test]
fn repeated_kills_neither_lose_nor_duplicate_points() {
    let (data, influxdb) = (TempDir::new().unwrap(), InfluxDb::start());
    let url = format!("sinks.influxdb.url={}", influxdb.url());
    // A kill is as likely with buffered lines as with lines in flight.
    let settings = [url.as_str(), "sinks.influxdb.batch_lines=100000", "sinks.influxdb.flush_interval=300ms"];
    let mut random = support::Random(5);
    for round in 0..10 {
        let mut daemon = start(data.path(), &settings);
        post(&daemon, 50 * round..50 * (round + 1));
        std::thread::sleep(Duration::from_millis(random.below(700)));
        daemon.signal("KILL");
        daemon.wait();
    }
    let daemon = start(data.path(), &settings);
    wait_for_sums(&influxdb, 0..499);
    daemon.stop();
    assert_eq!(influxdb.row(TOTALS), Some(expected(0..499)));
}

#[test]
fn credentials_are_sent_to_a_server_with_users_and_never_printed() {
    const PASSWORD: &str = "80915723640017";
    const WRONG: &str = "80915723640018";
    let (data, influxdb) = (TempDir::new().unwrap(), InfluxDb::start_closed("ds", PASSWORD));
    let url = format!("sinks.influxdb.url={}", influxdb.url());
    let file = data.path().join("password");
    let settings =
        [url, "sinks.influxdb.user=ds".to_owned(), format!("sinks.influxdb.password_file={}", file.display())];
    let settings = settings.each_ref().map(String::as_str);
    std::fs::write(&file, format!("{WRONG}\n")).unwrap();
    let daemon = start(data.path(), &settings);
    post(&daemon, 0..3);
    let said = daemon.wait_until_said("check sinks.influxdb.user and password_file");
    daemon.stop();
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let daemon = start(data.path(), &settings);
    wait_for_sums(&influxdb, 0..2);
    let said = said + &daemon.stop();
    let mut validate = command("run", data.path(), &[&SETTINGS[..], &settings, &["sinks.influxdb.org=x"]].concat());
    validate.env("DERIVED_STATSD_SINKS__INFLUXDB__PASSWORD", PASSWORD);
    let refused = validate.output().unwrap();
    assert_eq!(refused.status.code(), Some(64));
    let refused = String::from_utf8(refused.stderr).unwrap();
    for expected in [
        "`sinks.influxdb.org`: belongs to version 2; set version = 2, or remove it",
        "`sinks.influxdb.password_file`: password is set too; remove one of them",
    ] {
        assert!(refused.contains(expected), "{refused}");
    }
    for shown in [said, refused] {
        assert!(!shown.contains(PASSWORD) && !shown.contains(WRONG), "{shown}");
    }
}

#[test]
fn permanently_rejected_lines_do_not_block_the_others() {
    let (data, influxdb) = (TempDir::new().unwrap(), InfluxDb::start());
    influxdb.query("", "CREATE DATABASE telegraf");
    // A foreign field of the same name and another type in the shard of the daemon's points.
    influxdb.write("telegraf", &format!("AggProxySum value_value=1.5 {}000\n", START));
    let daemon = start(data.path(), &[&format!("sinks.influxdb.url={}", influxdb.url())]);
    post(&daemon, 0..15);
    let said = daemon.wait_until_said("InfluxDB rejects lines permanently");
    assert!(said.contains("field type conflict") && said.contains("reason=\"conflict\""), "{said}");
    daemon.wait_for("/metrics", |(_, metrics)| {
        metrics.contains("derived_statsd_influxdb_lines_dropped_total{reason=\"conflict\"} 280").then_some(())
    });
    let anomalies = "SELECT count(value_samples) FROM AggProxySumAnomalyEWM01";
    wait_until("the others are there", || influxdb.row(anomalies).filter(|row| row[0].as_u64() > Some(0)));
    daemon.wait_for("/metrics", |(_, metrics)| {
        metrics.contains("derived_statsd_sink_lag_results{sink=\"influxdb\"} 0").then_some(())
    });
    daemon.stop();
}

#[test]
fn victoria_metrics_accepts_version_2() {
    let (data, victoria) = (TempDir::new().unwrap(), VictoriaMetrics::start());
    let url = format!("sinks.influxdb.url={}", victoria.url());
    let daemon =
        start(data.path(), &[&url, "sinks.influxdb.version=2", "sinks.influxdb.bucket=b", "sinks.influxdb.org=o"]);
    post(&daemon, 0..13);
    let total = |series: &[Value]| -> (usize, u64) {
        let values = series.iter().flat_map(|series| series["values"].as_array().unwrap());
        values.fold((0, 0), |(count, sum), value| (count + 1, sum + value.as_f64().unwrap() as u64))
    };
    let sum = (0..12).flat_map(|period| (0..OBJECTS).map(move |object| value(period, object))).sum();
    let series = wait_until("all is there", || {
        let series = victoria.export("AggProxySum_value_value");
        (total(&series) == (12 * OBJECTS as usize, sum)).then_some(series)
    });
    let metric = json!({"__name__": "AggProxySum_value_value", "table": "ObjectVNTable", "name": "d:o 7",
                        "proxy": "UveVirtualNetworkAgent-egress_flow_count"});
    let of = series.iter().find(|series| series["metric"]["name"] == "d:o 7").unwrap();
    assert_eq!((&of["metric"], &of["timestamps"][0]), (&metric, &json!(START / 1_000)));
    daemon.stop();
}
