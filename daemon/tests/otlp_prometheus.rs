//! Results by OTLP in a real Prometheus that takes it by itself, configured as the book says, read back by PromQL and
//! compared with the results log.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::path::Path;
use std::thread;
use std::time::Duration;

use support::prometheus::{AllSamples, Prometheus};
use support::result_series::{
    self, METRICS, OBJECTS, PERIOD, ago, ends_of_the_gone_object, expected, metric, post, post_with_a_gone_object,
    wait_until_delivered,
};
use support::{Daemon, Random, line};
use tempfile::TempDir;

const GUIDE: &str = include_str!("../../docs/src/operations/opentelemetry.md");

/// The configuration of Prometheus in the book.
fn config() -> &'static str {
    let blocks = GUIDE.split("```yaml\n").skip(1);
    let mut blocks = blocks.filter_map(|block| block.split_once("```").map(|(block, _)| block));
    blocks.find(|block| block.contains("promote_resource_attributes")).expect("the book has a configuration")
}

fn start(data: &Path, prometheus: &Prometheus) -> Daemon {
    let url = prometheus.url("/api/v1/otlp/v1/metrics");
    let own = ["sinks.otlp.timeout=2s", "sinks.otlp.attributes=site=a", &format!("sinks.otlp.url={url}")];
    result_series::start(data, "otlp", &own)
}

/// The samples of a selector, without the label that Prometheus makes of `service.name`.
fn series(prometheus: &Prometheus, selector: &str) -> AllSamples {
    let found = prometheus.series(selector).into_iter().map(|(mut labels, samples)| {
        assert_eq!(labels.remove("job").as_deref(), Some("derived-statsd"), "{labels:?}");
        (labels, samples)
    });
    found.collect()
}

#[test]
#[ignore = "its Prometheus is built of its Go module, in minutes: make test-full"]
fn every_point_is_in_prometheus_once_over_kills_of_both() {
    let (data, begin, mut prometheus) = (TempDir::new().unwrap(), ago(1_500), Prometheus::otlp_receiver(config()));
    let mut daemon = start(data.path(), &prometheus);
    let mut random = Random(17);
    for round in 0..8 {
        post(&daemon, begin, round * 10..round * 10 + 10);
        // Until some of the results are sent, or all.
        thread::sleep(Duration::from_millis(random.below(60)));
        if round % 4 == 3 {
            prometheus.kill();
            thread::sleep(Duration::from_millis(300));
            prometheus.restart();
        } else {
            daemon.signal("KILL");
            daemon.wait();
            daemon = start(data.path(), &prometheus);
        }
    }
    wait_until_delivered(&daemon, "otlp");
    let dropped = "derived_statsd_otlp_points_dropped_total{reason=\"rejected\"}";
    assert_eq!(metric(&daemon, dropped), 0.0, "{}", daemon.stderr());
    let found = series(&prometheus, METRICS);
    daemon.stop();
    let expected = expected(&data.path().join("log"));
    assert_eq!(expected.len() as u64, 4 * OBJECTS);
    assert!(expected.values().all(|samples| samples.len() > 60), "{expected:?}");
    assert_eq!(found, expected);
}

/// Two objects of different partitions are hours apart, as after an outage: the points of the one that is behind are taken
/// within the window of the book.
#[test]
#[ignore = "its Prometheus is built of its Go module, in minutes: make test-full"]
fn points_that_are_behind_others_are_taken_within_the_window() {
    let (data, prometheus) = (TempDir::new().unwrap(), Prometheus::otlp_receiver(config()));
    let daemon = start(data.path(), &prometheus);
    let (late, begin) = (ago(6_600), ago(1_500));
    let single = |key: &str, at| {
        assert_eq!(daemon.post(line(key, "egress_flow_count", at, 5).as_bytes(), None).unwrap().0, 200);
    };
    // Objects of both partitions are ahead of those that follow, which have a partition for themselves.
    let [ahead, behind] = ["o0", "o1"].map(|name| proxy_uve::partition(format!("ObjectVNTable:{name}").as_bytes(), 2));
    assert_ne!(ahead, behind);
    for period in 0..4 {
        single("o0", begin + period * PERIOD);
    }
    wait_until_delivered(&daemon, "otlp");
    for period in 0..4 {
        single("o1", late + period * PERIOD);
    }
    wait_until_delivered(&daemon, "otlp");
    let dropped = "derived_statsd_otlp_points_dropped_total{reason=\"rejected\"}";
    assert_eq!(metric(&daemon, dropped), 0.0, "{}", daemon.stderr());
    let found = series(&prometheus, "AggProxySum_value");
    daemon.stop();
    let mut expected = expected(&data.path().join("log"));
    expected.retain(|labels, _| labels["__name__"] == "AggProxySum_value");
    assert_eq!(expected.len(), 2, "{expected:?}");
    assert_eq!(found, expected);
}

#[test]
#[ignore = "its Prometheus is built of its Go module, in minutes: make test-full"]
fn a_withdrawn_object_ends_in_prometheus() {
    let (data, begin, prometheus) = (TempDir::new().unwrap(), ago(1_500), Prometheus::otlp_receiver(config()));
    let daemon = start(data.path(), &prometheus);
    post_with_a_gone_object(&daemon, begin);
    wait_until_delivered(&daemon, "otlp");
    daemon.stop();
    let ended = ends_of_the_gone_object(&data.path().join("log")).into_values().max().unwrap() as f64 / 1e6;
    for metric in ["AggProxySum_value", "anomaly_score", "anomaly_expected", "anomaly_low", "anomaly_high"] {
        let names = |at| -> Vec<String> {
            prometheus.values(metric, at).into_keys().map(|labels| labels["name"].clone()).collect()
        };
        assert!(names(begin as f64 / 1e6 + 390.0).contains(&"gone".to_owned()), "{metric}");
        // Within the five minutes that it looks back without a marker.
        let after = names(ended + 1.0);
        assert!(!after.contains(&"gone".to_owned()) && after.len() as u64 == OBJECTS, "{metric}: {after:?}");
    }
}
