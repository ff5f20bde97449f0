//! Results that a sink writes as series: the input of the tests, and what the results log has for a store to show.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::prometheus::{AllSamples, Labels};
use super::{Daemon, line, results, wait_until};

pub(crate) const PERIOD: u64 = 10_000_000;
pub(crate) const OBJECTS: u64 = 15;
pub(crate) const SUM: &str = "AggProxySum";
pub(crate) const ANOMALY: &str = "AggProxySumAnomalyEWM01";

/// The start of a period some time ago (µs).
#[allow(clippy::disallowed_methods, reason = "stores take no samples of the future")]
pub(crate) fn ago(seconds: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
    (now - seconds * 1_000_000) / PERIOD * PERIOD
}

/// A daemon whose results go to a sink, which `settings` configure.
pub(crate) fn start(data: &Path, sink: &str, settings: &[&str]) -> Daemon {
    let own = [
        "aggregation.period=10".to_owned(),
        "aggregation.allowed_lateness=0s".to_owned(),
        format!("aggregation.uve_proxy_list=UveVirtualNetworkAgent-egress_flow_count:{SUM}:{ANOMALY}"),
        "log.partitions=2".to_owned(),
        format!("sinks.{sink}.flush_interval=0s"),
    ];
    let own: Vec<_> = own.iter().map(String::as_str).chain(settings.iter().copied()).collect();
    Daemon::start(&data.join("log"), &own)
}

/// Posts one sample for each object in each of `periods`; the samples of a period close the one before.
pub(crate) fn post(daemon: &Daemon, begin: u64, periods: std::ops::Range<u64>) {
    let of = |period: u64| (0..OBJECTS).map(move |object| (period, object));
    let sample = |(period, object): (u64, u64)| {
        let value = 1_000 * object + (period * 7 + object) % 13;
        line(&format!("o{object}"), "egress_flow_count", begin + period * PERIOD, value)
    };
    let body: String = periods.flat_map(of).map(sample).collect();
    assert_eq!(daemon.post(body.as_bytes(), None).unwrap().0, 200);
}

/// Posts 80 periods, in the first 40 of which there is one object more.
pub(crate) fn post_with_a_gone_object(daemon: &Daemon, begin: u64) {
    for period in 0..80 {
        if period < 40 {
            let gone = line("gone", "egress_flow_count", begin + period * PERIOD, 50 + period % 3);
            assert_eq!(daemon.post(gone.as_bytes(), None).unwrap().0, 200);
        }
        post(daemon, begin, period..period + 1);
    }
}

/// The ends of the windows (µs) with which that object was deleted, by its UVE.
pub(crate) fn ends_of_the_gone_object(log: &Path) -> BTreeMap<String, u64> {
    let lines = results(log);
    let parsed = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    parsed
        .filter(|result| result["data"]["deleted"] == true && result["key"] == "ObjectVNTable:gone")
        .map(|result| (result["uve"].as_str().unwrap().to_owned(), result["end"].as_u64().unwrap()))
        .collect()
}

/// The samples that the results log has for some of the metrics, computed from its JSON.
pub(crate) fn expected(log: &Path) -> AllSamples {
    let mut samples = AllSamples::new();
    for line in results(log) {
        let result: Value = serde_json::from_str(&line).unwrap();
        let (proxy_type, stream) = result["uve"].as_str().unwrap().split_once('-').unwrap();
        let (table, name) = result["key"].as_str().unwrap().split_once(':').unwrap();
        let at = (result["end"].as_u64().unwrap() / 1_000).cast_signed();
        let value = &result["data"]["value"];
        let mut add = |metric: &str, value: Option<f64>, more: &[(&str, &str)]| {
            let own = [("__name__", metric), ("table", table), ("name", name), ("stream", stream), ("site", "a")];
            let labels = own.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            samples.entry(labels.collect::<Labels>()).or_default().extend(value.map(|value| (at, value)));
        };
        if proxy_type == SUM {
            add("AggProxySum_value", value["value"].as_f64(), &[]);
        } else if let Some(sigma) = value["sigma"].as_f64() {
            add("AggProxySumAnomalyEWM01_value_sigma", Some(sigma), &[]);
            let of_detector = [("type", ANOMALY), ("attribute", "value")];
            add("anomaly_score", Some(sigma), &of_detector);
            add("anomaly_value", value["metric"].as_f64(), &of_detector);
        }
    }
    samples
}

/// The metrics that [`expected`] computes.
pub(crate) const METRICS: &str =
    "{__name__=~'AggProxySum_value|AggProxySumAnomalyEWM01_value_sigma|anomaly_score|anomaly_value'}";

/// Waits until a sink has delivered everything that is in the log.
pub(crate) fn wait_until_delivered(daemon: &Daemon, sink: &str) {
    daemon.wait_until_applied();
    let done = format!("derived_statsd_sink_lag_results{{sink=\"{sink}\"}} 0");
    wait_until("everything is delivered", || daemon.get("/metrics").1.contains(&done).then_some(()));
}

/// The value of a metric of the daemon.
pub(crate) fn metric(daemon: &Daemon, name: &str) -> f64 {
    let metrics = daemon.get("/metrics").1;
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in\n{metrics}"))
}

/// VictoriaMetrics stores decimal numbers: of a double it keeps twelve digits.
const DIGITS: f64 = 1e-11;

/// Whether all series have the same times, and the same values but for [`DIGITS`].
pub(crate) fn is_the_same(found: &AllSamples, expected: &AllSamples) -> bool {
    let is_near = |(at, value): &(i64, f64), (other_at, other): &(i64, f64)| {
        at == other_at && (value - other).abs() <= DIGITS * other.abs()
    };
    let is_series = |one: &[(i64, f64)], other: &[(i64, f64)]| {
        one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_near(one, other))
    };
    found.keys().eq(expected.keys()) && found.values().zip(expected.values()).all(|(one, other)| is_series(one, other))
}
