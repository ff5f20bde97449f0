//! Results in a real Prometheus and a real VictoriaMetrics, read back by PromQL and compared with the results log; the
//! queries of the dashboard, and the scrape of the newest results.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "Prometheus takes no samples of the future")]

mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use support::broker::free_ports;
use support::dashboards;
use support::process::{kill, start as start_server, wait_until_it_answers};
use support::prometheus::{Labels, Prometheus, Target, series_of};
use support::result_series::{
    self, METRICS, OBJECTS, ago, ends_of_the_gone_object, expected, is_the_same, metric, post, post_with_a_gone_object,
};
use support::{Daemon, Random, wait_until};
use tempfile::TempDir;

fn start(data: &Path, url: &str, settings: &[&str]) -> Daemon {
    let own = [
        "sinks.remote_write.timeout=2s".to_owned(),
        "sinks.remote_write.labels=site=a".to_owned(),
        format!("sinks.remote_write.url={url}"),
    ];
    let own: Vec<_> = own.iter().map(String::as_str).chain(settings.iter().copied()).collect();
    result_series::start(data, "remote_write", &own)
}

/// Waits until the sink has delivered everything that is in the log.
fn wait_until_delivered(daemon: &Daemon) {
    result_series::wait_until_delivered(daemon, "remote_write");
}

#[test]
fn every_sample_is_in_prometheus_once_over_kills_of_both() {
    let (data, begin) = (TempDir::new().unwrap(), ago(1_500));
    let mut prometheus = Prometheus::receiver("");
    let url = prometheus.url("/api/v1/write");
    let mut daemon = start(data.path(), &url, &[]);
    let mut random = Random(17);
    for round in 0..12 {
        let at = round * 10;
        post(&daemon, begin, at..at + 10);
        // Until some of the results are sent, or all.
        thread::sleep(Duration::from_millis(random.below(60)));
        if round % 4 == 3 {
            prometheus.kill();
            thread::sleep(Duration::from_millis(300));
            prometheus.restart();
        } else {
            daemon.signal("KILL");
            daemon.wait();
            daemon = start(data.path(), &url, &[]);
        }
    }
    wait_until_delivered(&daemon);
    let dropped = "derived_statsd_remote_write_samples_dropped_total{reason=\"rejected\"}";
    assert_eq!(metric(&daemon, dropped), 0.0, "a repeated request is taken: {}", daemon.stderr());
    let found = prometheus.series(METRICS);
    daemon.stop();
    let expected = expected(&data.path().join("log"));
    assert_eq!(expected.len() as u64, 4 * OBJECTS);
    assert!(expected.values().all(|samples| samples.len() > 100), "{expected:?}");
    assert_eq!(found, expected);
}

#[test]
fn a_withdrawn_object_ends_in_prometheus_and_the_band_is_there() {
    let (data, begin) = (TempDir::new().unwrap(), ago(1_500));
    let prometheus = Prometheus::receiver("");
    let daemon = start(data.path(), &prometheus.url("/api/v1/write"), &[]);
    // The objects that stay are in both partitions, and their samples pass the time at which the other one is withdrawn.
    post_with_a_gone_object(&daemon, begin);
    wait_until_delivered(&daemon);
    daemon.stop();
    let ends = ends_of_the_gone_object(&data.path().join("log"));
    assert_eq!(ends.len(), 2, "{ends:?}");
    let last = ends.values().max().copied().unwrap() as f64 / 1e6;
    for metric in ["AggProxySum_value", "anomaly_score", "anomaly_expected", "anomaly_low", "anomaly_high"] {
        let names = |at: f64| -> Vec<String> {
            prometheus.values(metric, at).into_keys().map(|labels| labels["name"].clone()).collect()
        };
        let (before, after) = (names(begin as f64 / 1e6 + 390.0), names(last + 1.0));
        assert!(before.contains(&"gone".to_owned()), "{metric}: {before:?}");
        // Within the five minutes that Prometheus looks back without a marker.
        assert!(!after.contains(&"gone".to_owned()), "{metric}: {after:?}");
        assert_eq!([before.len() as u64, after.len() as u64], [OBJECTS + 1, OBJECTS], "{metric}");
    }
    let outside = prometheus.values("anomaly_low > anomaly_expected or anomaly_high < anomaly_expected", last);
    assert!(outside.is_empty(), "{outside:?}");
}

#[test]
fn what_the_receiver_takes_no_more_is_counted_and_holds_nothing_up() {
    old_results_are_dropped("");
}

/// This Prometheus rejects old samples with status 500.
#[test]
fn what_a_receiver_with_an_out_of_order_window_takes_no_more_is_counted_and_holds_nothing_up() {
    old_results_are_dropped("storage: {tsdb: {out_of_order_time_window: 10m}}\n");
}

fn old_results_are_dropped(storage: &str) {
    let (data, target) = (TempDir::new().unwrap(), Target::start());
    target.set("up_to_date 1\n".to_owned());
    // Its head is at the present, so that it takes nothing that is older than an hour.
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         scrape_configs: [{{job_name: now, static_configs: [{{targets: ['{}']}}]}}]\n{storage}",
        target.address
    );
    let prometheus = Prometheus::receiver(&config);
    wait_until("the target is scraped", || (!prometheus.series("up_to_date").is_empty()).then_some(()));
    let daemon = start(data.path(), &prometheus.url("/api/v1/write"), &[]);
    let (old, recent) = (ago(4 * 3_600), ago(900));
    post(&daemon, old, 0..30);
    post(&daemon, recent, 0..30);
    wait_until_delivered(&daemon);
    let too_old = metric(&daemon, "derived_statsd_remote_write_samples_dropped_total{reason=\"too_old\"}");
    let rejected = metric(&daemon, "derived_statsd_remote_write_samples_dropped_total{reason=\"rejected\"}");
    assert!(too_old > 100.0 && rejected < too_old, "{too_old} {rejected}");
    let requests = metric(&daemon, "derived_statsd_remote_write_requests_total{outcome=\"rejected\"}");
    assert!(requests < 1_000.0, "{requests} requests for samples that are too old");
    let found = prometheus.series(METRICS);
    daemon.stop();
    let mut expected = expected(&data.path().join("log"));
    let limit = (recent / 1_000).cast_signed();
    expected.values_mut().for_each(|samples| samples.retain(|(at, _)| *at > limit));
    assert_eq!(found, expected);
}

#[test]
fn every_sample_is_in_victoria_metrics() {
    let (data, begin, folder) = (TempDir::new().unwrap(), ago(1_500), TempDir::new().unwrap());
    let [port] = free_ports();
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let mut command = Command::new("victoria-metrics");
    command.arg(format!("-storageDataPath={}", folder.path().join("data").display()));
    command.arg(format!("-httpListenAddr=127.0.0.1:{port}"));
    // What a killed daemon sends again is one sample only if equal times are one.
    command.arg("-dedup.minScrapeInterval=1ms");
    let mut running = start_server(command, &folder);
    wait_until_it_answers(&url("/health"), &mut running, &folder);
    let mut daemon = start(data.path(), &url("/api/v1/write"), &[]);
    for round in 0..4 {
        post(&daemon, begin, round * 20..round * 20 + 20);
        thread::sleep(Duration::from_millis(20));
        daemon.signal("KILL");
        daemon.wait();
        daemon = start(data.path(), &url("/api/v1/write"), &[]);
    }
    wait_until_delivered(&daemon);
    daemon.stop();
    let expected = expected(&data.path().join("log"));
    // What was written last is searched after a second or two.
    wait_until("the samples are those of the log", || {
        is_the_same(&series_of(&url("/api/v1/query"), METRICS), &expected).then_some(())
    });
    kill(running);
}

/// The configuration of a Prometheus that scrapes a path of a daemon each second.
fn scrape(job: &str, path: &str, port: u16) -> String {
    scrape_with(job, path, port, "")
}

fn scrape_with(job: &str, path: &str, port: u16, params: &str) -> String {
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         scrape_configs: [{{job_name: {job}, metrics_path: {path}, params: {{{params}}},\n  \
         static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    )
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

#[test]
fn every_query_of_the_dashboard_has_an_answer() {
    let (data, begin, [port]) = (TempDir::new().unwrap(), ago(420), free_ports());
    let prometheus = Prometheus::receiver(&scrape("derived-statsd", "/metrics", port));
    let listen = format!("http.listen=127.0.0.1:{port}");
    let daemon = start(data.path(), &prometheus.url("/api/v1/write"), &[&listen]);
    post(&daemon, begin, 0..40);
    wait_until_delivered(&daemon);
    let all = dashboards::all();
    let dashboard = all.iter().find(|dashboard| dashboard.file == "results.json").unwrap();
    let filled = |text: &str| {
        let values = [("$table", ".*"), ("$type", ".*"), ("$stream", ".*"), ("$object", "o3")];
        let text = values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
        text.replace("$__rate_interval", "1m")
    };
    let mut asked = 0;
    for query in dashboard.promql() {
        let text = filled(&query.text);
        assert!(!text.contains('$'), "{}: {text}", query.location);
        wait_until(&format!("{}: {text}", query.location), || {
            (!prometheus.values(&text, now()).is_empty()).then_some(())
        });
        asked += 1;
    }
    assert!(asked >= 10, "{asked} queries");
    for variable in dashboard.variables().iter().filter(|variable| variable["type"] == "query") {
        let definition = filled(variable["definition"].as_str().unwrap());
        let inner = definition.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
        let (selector, label) = inner.rsplit_once(", ").unwrap();
        let values = prometheus.values(&format!("count by ({label}) ({selector})"), now());
        assert!(
            !values.is_empty() && values.keys().all(|labels| labels.contains_key(label)),
            "{definition}: {values:?}"
        );
    }
    daemon.stop();
}

/// Checks a page of metrics with the linter of Prometheus.
fn check_with_promtool(page: &str) {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("promtool is installed; run .ci/setup");
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let advice = String::from_utf8_lossy(&output.stderr).into_owned();
    // The names of the built-in types are Contrail's.
    assert!(advice.lines().all(|line| line.contains("'snake_case' not 'camelCase'")), "{advice}");
}

/// The newest results as OpenMetrics.
fn open_metrics(daemon: &Daemon, parameters: &str) -> String {
    let request = ureq::get(daemon.url(&format!("/api/v1/results/metrics{parameters}")));
    let request = request.header("accept", "application/openmetrics-text;version=1.0.0");
    request.call().unwrap().body_mut().read_to_string().unwrap()
}

#[test]
fn a_scrape_of_the_newest_results_has_the_values_of_the_log_and_promtool_finds_no_error() {
    let (data, begin, [port]) = (TempDir::new().unwrap(), ago(420), free_ports());
    let prometheus = Prometheus::receiver(&scrape("results", "/api/v1/results/metrics", port));
    let listen = format!("http.listen=127.0.0.1:{port}");
    let daemon = start(data.path(), "http://127.0.0.1:9/none", &[&listen]);
    post(&daemon, begin, 0..40);
    daemon.wait_until_applied();
    daemon.wait_for("/metrics", |(_, body)| body.contains("sink_lag_results{sink=\"view\"} 0").then_some(()));
    let page = daemon.get("/api/v1/results/metrics").1;
    check_with_promtool(&page);
    let parameters = "?table=ObjectVNTable&match=o1,o2*&limit=3";
    let part = daemon.get(&format!("/api/v1/results/metrics{parameters}")).1;
    assert!(part.contains("derived_statsd_results_series 3\n") && part.contains("name=\"o1\""), "{part}");
    assert!(!part.contains("series_left_out 0\n") && !part.contains("name=\"o3\""), "{part}");
    for wrong in ["?limit=0", "?limit=100001", "?names=a", "?table=a&table=b", "?timestamps=true", "?timestamps="] {
        assert_eq!(daemon.get(&format!("/api/v1/results/metrics{wrong}")).0, 400, "{wrong}");
    }
    assert!(daemon.get("/api/v1/results/metrics?table=None").1.contains("derived_statsd_results_series 0\n"));
    let of_all = "derived_statsd_results_series 0\n";
    assert!(!daemon.get("/api/v1/results/metrics?table=&match=").1.contains(of_all), "an empty parameter is none");
    let open_metrics = open_metrics(&daemon, "");
    assert!(open_metrics.ends_with("# EOF\n"), "{open_metrics}");
    // The first scrapes may have been between the commits of the partitions.
    let scrapes = || prometheus.own_metric("prometheus_target_interval_length_seconds_count");
    let before = wait_until("the first scrapes", || {
        let page = ureq::get(prometheus.url("/metrics")).call().unwrap().body_mut().read_to_string().unwrap();
        page.contains("prometheus_target_interval_length_seconds_count{").then(scrapes)
    });
    wait_until("three scrapes more", || (scrapes() >= before + 3.0).then_some(()));
    let found = prometheus.values("{__name__=~'AggProxySum_value|anomaly_score',job='results'}", now());
    daemon.stop();
    let log = expected(&data.path().join("log"));
    let newest = |labels: &Labels| {
        let own = labels.iter().filter(|(name, _)| !matches!(name.as_str(), "job" | "instance"));
        let mut own: Labels = own.map(|(name, value)| (name.clone(), value.clone())).collect();
        own.insert("site".to_owned(), "a".to_owned());
        log.get(&own).unwrap_or_else(|| panic!("{own:?}")).last().unwrap().1
    };
    assert_eq!(found.len() as u64, 2 * OBJECTS);
    for (labels, value) in &found {
        assert_eq!(newest(labels), *value, "{labels:?}");
    }
}

#[test]
fn a_scrape_with_timestamps_has_each_sample_at_the_end_of_its_window() {
    let (data, begin, [port]) = (TempDir::new().unwrap(), ago(420), free_ports());
    let path = "/api/v1/results/metrics";
    let mut prometheus = Prometheus::receiver(&scrape_with("results", path, port, "timestamps: ['1']"));
    let daemon = start(data.path(), "http://127.0.0.1:9/none", &[&format!("http.listen=127.0.0.1:{port}")]);
    let selector = "{__name__=~'AggProxySum_value|anomaly_score',job='results'}";
    let mut last = Default::default();
    for periods in [0..38, 38..39, 39..40] {
        post(&daemon, begin, periods);
        daemon.wait_until_applied();
        daemon.wait_for("/metrics", |(_, body)| body.contains("sink_lag_results{sink=\"view\"} 0").then_some(()));
        // One sample more of each series.
        last = wait_until("Prometheus has scraped the results", || {
            let found = prometheus.series(selector);
            (found.len() as u64 == 2 * OBJECTS && found != last).then_some(found)
        });
    }
    // Scrapes that find the same window add no sample.
    let scrapes = || prometheus.own_metric("prometheus_target_interval_length_seconds_count");
    let before = scrapes();
    wait_until("three scrapes more", || (scrapes() >= before + 3.0).then_some(()));
    let found = prometheus.series(selector);
    prometheus.kill();
    for parameters in ["?timestamps=1", "?timestamps=0"] {
        check_with_promtool(&daemon.get(&format!("{path}{parameters}")).1);
    }
    let open_metrics = open_metrics(&daemon, "?timestamps=1");
    let wrong = daemon.get(&format!("{path}?timestamps=yes")).1;
    assert!(wrong.contains("expected 1 for samples with the ends of their windows"), "{wrong}");
    daemon.stop();
    let log = expected(&data.path().join("log"));
    for (labels, samples) in &found {
        let own = labels.iter().filter(|(name, _)| !matches!(name.as_str(), "job" | "instance"));
        let mut own: Labels = own.map(|(name, value)| (name.clone(), value.clone())).collect();
        own.insert("site".to_owned(), "a".to_owned());
        let all = &log[&own];
        assert!(samples.len() >= 2 && samples.iter().all(|sample| all.contains(sample)), "{labels:?}: {samples:?}");
        assert_eq!(samples.last(), all.last(), "{labels:?}");
    }
    let (at, value) = log.iter().find(|(labels, _)| labels["name"] == "o3").unwrap().1.last().unwrap();
    let line = format!(" {value} {}.{:03}\n", at / 1000, at % 1000);
    assert!(open_metrics.contains(&line) && open_metrics.ends_with("# EOF\n"), "no {line} in {open_metrics}");
}
