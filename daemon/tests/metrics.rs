//! The metrics as scrapers and Prometheus' own tool read them, and the alert rules of the book.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "a test compares the start of the process with the time of the machine")]

mod support;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::support::{Daemon, EVERY_PART, line};

const START: u64 = 1_490_000_000_000_000;

const PERIOD: u64 = 60_000_000;

/// A daemon with every kind of metric: pollers and sinks that fail, results, a rejected line.
fn busy(data: &Path) -> Daemon {
    let daemon = Daemon::start(data, &EVERY_PART);
    let lines: String = (0..3).map(|window| line("vn1", "egress_flow_count", START + window * PERIOD, 7)).collect();
    assert_eq!(daemon.post(lines.as_bytes(), None).unwrap().0, 200);
    assert_eq!(daemon.post(b"not a sample\n", None).unwrap().0, 400);
    daemon.wait_until_applied();
    daemon.wait_for("/metrics", |(_, body)| body.contains("fate=\"aggregated\"} 3").then_some(()));
    daemon
}

fn promtool(arguments: &[&str], input: &str) -> Output {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/alerts");
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool, of Debian's package prometheus; .ci/setup installs it");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// The tool is content, and silent on its error output, where it puts advice.
#[track_caller]
fn is_clean(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && stderr.is_empty(), "{stdout}\n{stderr}");
}

/// The value of a metric without labels.
fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{metrics}")).parse().unwrap()
}

#[test]
fn promtool_finds_nothing_to_improve_in_the_metrics() {
    let data = TempDir::new().unwrap();
    let daemon = busy(data.path());
    let (status, metrics) = daemon.get("/metrics");
    assert_eq!(status, 200);
    is_clean(&promtool(&["check", "metrics"], &metrics));
    daemon.stop();
}

#[test]
fn a_name_that_ends_in_a_unit_has_that_unit_and_no_other_name_has_one() {
    let data = TempDir::new().unwrap();
    let daemon = busy(data.path());
    let accept = "application/openmetrics-text;version=1.0.0";
    let mut response = ureq::get(daemon.url("/metrics")).header("accept", accept).call().unwrap();
    let metrics = response.body_mut().read_to_string().unwrap();
    let of_unit = |name: &str| {
        let name = name.strip_suffix("_total").unwrap_or(name);
        ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(&format!("_{unit}")))
    };
    let mut checked = 0;
    for name in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        let unit = metrics.lines().find_map(|line| line.strip_prefix(&format!("# UNIT {name} ")));
        assert_eq!(unit, of_unit(name), "{name}");
        checked += usize::from(unit.is_some());
    }
    assert!(checked > 15, "{checked} metrics with units");
    daemon.stop();
}

#[test]
fn a_scraper_gets_the_format_that_it_asks_for() {
    let data = TempDir::new().unwrap();
    let daemon = busy(data.path());
    let get = |accept: &str| {
        let mut request = ureq::get(daemon.url("/metrics"));
        if !accept.is_empty() {
            request = request.header("accept", accept);
        }
        let mut response = request.call().unwrap();
        assert_eq!(response.headers()["vary"], "accept");
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        (kind, response.body_mut().read_to_string().unwrap())
    };
    let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                      text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let (kind, metrics) = get(prometheus);
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(metrics.ends_with("# EOF\n") && metrics.contains("\n# UNIT derived_statsd_watermark_seconds seconds\n"));
    for accept in ["", "*/*", "text/plain;version=0.0.4"] {
        let (kind, metrics) = get(accept);
        assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8", "{accept}");
        assert!(!metrics.contains("# EOF") && !metrics.contains("# UNIT"), "{metrics}");
        assert!(metrics.contains("\n# TYPE derived_statsd_commits_total counter\n"), "{metrics}");
    }
    daemon.stop();
}

#[test]
fn the_process_its_build_and_the_cost_of_a_stream_are_told() {
    let data = TempDir::new().unwrap();
    let daemon = busy(data.path());
    // The state is there once it is committed, and CPU time comes in hundredths of a second.
    let metrics = daemon.wait_for("/metrics", |(_, metrics)| {
        let has_state = |line: &str| line.starts_with("derived_statsd_state_bytes{") && !line.ends_with(" 0");
        let has_worked = value(metrics, "process_cpu_seconds_total") > 0.0;
        (has_worked && metrics.lines().any(has_state)).then(|| metrics.clone())
    });
    let resident = value(&metrics, "process_resident_memory_bytes");
    assert!((1e6..=daemon.peak_resident_bytes() as f64).contains(&resident), "{resident}");
    assert!(value(&metrics, "process_open_fds") < value(&metrics, "process_max_fds"));
    assert!(value(&metrics, "process_threads") > 2.0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let started = value(&metrics, "process_start_time_seconds");
    assert!((now - 300.0..=now + 1.0).contains(&started), "{started} at {now}");
    let version = format!("derived_statsd_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"));
    assert!(metrics.contains(&version), "{metrics}");
    let stream = "{stream=\"UveVirtualNetworkAgent-egress_flow_count\"}";
    assert!(value(&metrics, &format!("derived_statsd_apply_seconds_total{stream}")) > 0.0);
    let period = "{stream=\"UveVirtualNetworkAgent-egress_flow_count\",period=\"60\"}";
    assert!(value(&metrics, &format!("derived_statsd_close_seconds_total{period}")) >= 0.0);
    daemon.stop();
}

#[test]
fn the_counters_of_an_alert_exist_before_they_count() {
    let data = TempDir::new().unwrap();
    let daemon = Daemon::start(data.path(), &[]);
    let metrics = daemon.get("/metrics").1;
    for counter in [
        "http_requests_total{path=\"/api/v1/samples\",status=\"503\"} 0",
        "http_requests_total{path=\"/api/v1/samples\",status=\"429\"} 0",
        "http_requests_total{path=\"/v1/metrics\",status=\"503\"} 0",
        "series_points_total{format=\"otlp\",outcome=\"rejected\"} 0",
        "influxdb_lines_dropped_total{reason=\"conflict\"} 0",
        "influxdb_requests_total{outcome=\"timeout\"} 0",
        "opserver_polls_total{outcome=\"missed\"} 0",
        "close_seconds_total{stream=\"UveVirtualNetworkAgent-egress_flow_count\",period=\"60\"} 0",
    ] {
        assert!(metrics.contains(&format!("\nderived_statsd_{counter}")), "no {counter} in\n{metrics}");
    }
    daemon.stop();
}

#[test]
fn the_alert_rules_do_what_their_tests_say_and_ask_for_metrics_that_exist() {
    is_clean(&promtool(&["check", "rules", "derived-statsd.yml"], ""));
    is_clean(&promtool(&["test", "rules", "derived-statsd-test.yml"], ""));
    let rules = include_str!("../../docs/alerts/derived-statsd.yml");
    let reference = include_str!("../../docs/src/reference/metrics.md");
    let names = rules.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'));
    let asked: Vec<&str> = names.filter_map(|name| name.strip_prefix("derived_statsd_")).collect();
    assert!(asked.len() > 10, "{asked:?}");
    for name in asked {
        assert!(reference.contains(&format!("`{name}`")), "{name} is not in docs/src/reference/metrics.md");
    }
    let tests = include_str!("../../docs/alerts/derived-statsd-test.yml");
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(&format!("alertname: {alert}\n")), "no test lets {alert} fire");
    }
}
