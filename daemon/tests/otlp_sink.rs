//! Results by OTLP in a real VictoriaMetrics, read back by PromQL and compared with the results log; and in another daemon,
//! which takes a part of them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use support::broker::free_ports;
use support::process::{Running, kill, start as start_server, stop, wait_until_it_answers};
use support::prometheus::{AllSamples, Labels, series_of, values_of};
use support::result_series::{
    self, METRICS, OBJECTS, ago, ends_of_the_gone_object, expected, is_the_same, metric, post, post_with_a_gone_object,
    wait_until_delivered,
};
use support::series::values;
use support::{Daemon, Random, wait_until};
use tempfile::TempDir;

/// The program that `.ci/otlp-receiver` builds.
fn program() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/otlp-receiver");
    let output = Command::new(script).output().expect(".ci/otlp-receiver runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "no receiver to test with: .ci/otlp-receiver ended with {}:\n{error}",
        output.status
    );
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end())
}

/// A VictoriaMetrics that can be stopped and started again.
struct Store {
    folder: TempDir,
    port: u16,
    running: Option<Running>,
}

impl Store {
    fn start() -> Self {
        let [port] = free_ports();
        let mut store = Self { folder: TempDir::new().unwrap(), port, running: None };
        store.restart();
        store
    }

    fn restart(&mut self) {
        self.stop();
        let mut command = Command::new(program());
        command.arg(format!("-storageDataPath={}", self.folder.path().join("data").display()));
        command.arg(format!("-httpListenAddr=127.0.0.1:{}", self.port));
        // What a killed daemon sends again is one sample only if equal times are one.
        command.arg("-dedup.minScrapeInterval=1ms");
        let mut running = start_server(command, &self.folder);
        wait_until_it_answers(&self.url("/health"), &mut running, &self.folder);
        self.running = Some(running);
    }

    /// Stops it in order: killed, it loses what it has taken in the last seconds, or more on a busy machine.
    fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            stop(running);
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The samples of a selector, without the attribute that every resource has.
    fn series(&self, selector: &str) -> AllSamples {
        let found = series_of(&self.url("/api/v1/query"), selector);
        let without = found.into_iter().map(|(mut labels, samples)| {
            assert_eq!(labels.remove("service.name").as_deref(), Some("derived-statsd"), "{labels:?}");
            (labels, samples)
        });
        without.collect()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            kill(running);
        }
    }
}

fn start(data: &Path, url: &str) -> Daemon {
    let own = ["sinks.otlp.timeout=2s", "sinks.otlp.attributes=site=a", &format!("sinks.otlp.url={url}")];
    result_series::start(data, "otlp", &own)
}

#[test]
fn every_point_is_in_a_store_once_over_kills_of_the_daemon() {
    let (data, begin, store) = (TempDir::new().unwrap(), ago(1_500), Store::start());
    let url = store.url("/opentelemetry/v1/metrics");
    let mut daemon = start(data.path(), &url);
    let mut random = Random(17);
    for round in 0..8 {
        post(&daemon, begin, round * 10..round * 10 + 10);
        // Until some of the results are sent, or all.
        thread::sleep(Duration::from_millis(random.below(60)));
        daemon.signal("KILL");
        daemon.wait();
        daemon = start(data.path(), &url);
    }
    let dropped = "derived_statsd_otlp_points_dropped_total{reason=\"rejected\"}";
    assert_eq!(metric(&daemon, dropped), 0.0, "{}", daemon.stderr());
    daemon.stop();
    let expected = expected(&data.path().join("log"));
    assert_eq!(expected.len() as u64, 4 * OBJECTS);
    assert!(expected.values().all(|samples| samples.len() > 60), "{expected:?}");
    // What was written last is searched after a second or two.
    wait_until("the points are those of the log", || is_the_same(&store.series(METRICS), &expected).then_some(()));
}

#[test]
fn a_store_that_is_away_gets_all_points_when_it_is_back() {
    let (data, begin, mut store) = (TempDir::new().unwrap(), ago(1_500), Store::start());
    let daemon = start(data.path(), &store.url("/opentelemetry/v1/metrics"));
    post(&daemon, begin, 0..10);
    wait_until_delivered(&daemon, "otlp");
    // It stores what it took a second ago at the latest.
    let expected_now = || store.series("AggProxySum_value").values().map(Vec::len).sum::<usize>();
    wait_until("the first points are stored", || (expected_now() as u64 == 9 * OBJECTS).then_some(()));
    store.stop();
    post(&daemon, begin, 10..20);
    wait_until("a request fails", || {
        let failed = "derived_statsd_otlp_requests_total{outcome=\"transport\"}";
        (metric(&daemon, failed) > 0.0).then_some(())
    });
    store.restart();
    wait_until_delivered(&daemon, "otlp");
    daemon.stop();
    let expected = expected(&data.path().join("log"));
    wait_until("the points are those of the log", || is_the_same(&store.series(METRICS), &expected).then_some(()));
}

#[test]
fn a_withdrawn_object_ends_in_the_store() {
    let (data, begin, store) = (TempDir::new().unwrap(), ago(1_500), Store::start());
    let daemon = start(data.path(), &store.url("/opentelemetry/v1/metrics"));
    post_with_a_gone_object(&daemon, begin);
    wait_until_delivered(&daemon, "otlp");
    daemon.stop();
    let ended = ends_of_the_gone_object(&data.path().join("log")).into_values().max().unwrap() as f64 / 1e6;
    for metric in ["AggProxySum_value", "anomaly_score", "anomaly_expected", "anomaly_low", "anomaly_high"] {
        let names = |at: f64| -> Vec<String> {
            let found = values_of(&store.url("/api/v1/query"), metric, at);
            found.into_keys().map(|labels| labels["name"].clone()).collect()
        };
        wait_until(metric, || (names(ended).len() as u64 == OBJECTS).then_some(()));
        assert!(names(begin as f64 / 1e6 + 390.0).contains(&"gone".to_owned()), "{metric}");
        // Within the five minutes that it looks back without a marker.
        assert!(!names(ended + 1.0).contains(&"gone".to_owned()), "{metric}");
    }
}

/// The other daemon takes integers only, so that it rejects the scores with a fraction.
#[test]
fn what_a_partial_success_leaves_out_is_counted_and_named() {
    let (data, other, begin) = (TempDir::new().unwrap(), TempDir::new().unwrap(), ago(1_500));
    let streams = "streams=[
        {name = \"sum\", metric = \"AggProxySum_value\", object = [\"name\"], aggregations = [\"Sum = 1-raw:DSSum\"]},
        {name = \"score\", metric = \"anomaly_score\", object = [\"name\"], type = \"u64\", aggregations = [\"Sum = 1-raw:DSSum\"]},
    ]";
    let receiver = Daemon::start(
        other.path(),
        &[streams, "log.partitions=1", "aggregation.uve_proxy_list=", "aggregation.allowed_lateness=20s"],
    );
    let daemon = start(data.path(), &receiver.url("/v1/metrics"));
    for period in 0..40 {
        // Both partitions close a window before the next one, so that no point is late for the other daemon.
        post(&daemon, begin, period..period + 1);
        wait_until_delivered(&daemon, "otlp");
    }
    let dropped = metric(&daemon, "derived_statsd_otlp_points_dropped_total{reason=\"rejected\"}");
    let delivered = metric(&daemon, "derived_statsd_otlp_points_total");
    assert!(dropped > 100.0 && delivered > dropped, "{dropped} {delivered}");
    let log = daemon.stderr();
    assert!(
        log.contains("The server took a request but for some of its items") && log.contains("anomaly_score"),
        "{log}"
    );
    daemon.stop();
    receiver.wait_until_applied();
    receiver.stop();
    let samples = expected(&data.path().join("log"));
    let fractions = samples.iter().filter(|(labels, _)| labels["__name__"] == "anomaly_score");
    let fractions = fractions.flat_map(|(_, samples)| samples).filter(|(_, score)| score.fract() != 0.0);
    assert_eq!(dropped, fractions.count() as f64);
    // What is left is taken: the sums of the windows that the other daemon has closed are those of the log.
    let found = values(other.path(), "sum-AggProxySum_value");
    assert!(found.len() as u64 >= 4 * OBJECTS, "{found:?}");
    for ((key, start), sum) in found {
        let is_of_key =
            |labels: &Labels| labels["__name__"] == "AggProxySum_value" && key == format!("Service:{}", labels["name"]);
        let of_key = samples.iter().filter(|(labels, _)| is_of_key(labels));
        let in_window = |(at, _): &&(i64, f64)| (start..start + 60_000).contains(at);
        let expected: f64 =
            of_key.flat_map(|(_, samples)| samples.iter().filter(in_window)).map(|(_, value)| value).sum();
        assert_eq!(sum, expected, "{key} {start}");
    }
}
