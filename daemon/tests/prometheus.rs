//! A real Prometheus scrapes a target and writes here by the guide's configuration, while both are killed and started
//! again. What is counted equals what Prometheus has stored.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "Prometheus scrapes at times of the clock")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use support::broker::free_ports;
use support::process::KilledOnDrop;
use support::prometheus::{Labels, Prometheus, Target};
use support::result_series::metric;
use support::series::{self, foreground, run_block};
use support::{Daemon, results, wait_until};
use tempfile::TempDir;

const GUIDE: &str = include_str!("../../docs/src/guide/from-prometheus.md");
const RESULTS: &str = include_str!("../../docs/src/operations/prometheus.md");

/// Prometheus scrapes for the first time so long after its start, when its discovery has listed the targets.
const DISCOVERY_SECONDS: u64 = 5;

/// The block of the guide that begins with a line.
fn block(first_line: &str) -> &'static str {
    series::block(GUIDE, first_line)
}

/// A counter of each handler and code, as a target shows it.
fn page(counts: &BTreeMap<(&str, &str), u64>) -> String {
    let line = |((handler, code), count): (&(&str, &str), &u64)| {
        format!("http_requests_total{{handler=\"{handler}\",code=\"{code}\"}} {count}\n")
    };
    format!("# TYPE http_requests_total counter\n{}", counts.iter().map(line).collect::<String>())
}

/// Adds to the counters for so many seconds.
fn run(target: &Target, counts: &mut BTreeMap<(&'static str, &'static str), u64>, seconds: u64) {
    let (began, mut step) = (Instant::now(), 0);
    while step < seconds * 10 {
        // By the time that has passed: on a slow machine the rate is the same.
        let due = (began.elapsed().as_millis() as u64 / 100 + 1).min(seconds * 10);
        for step in step..due {
            for (index, count) in counts.values_mut().enumerate() {
                *count += step % 3 + index as u64;
            }
        }
        step = due;
        target.set(page(counts));
        thread::sleep(Duration::from_millis(100));
    }
}

/// The increases of the stored samples of a series.
fn increase(samples: &[(f64, f64)]) -> f64 {
    let step = |pair: &[(f64, f64)]| if pair[1].1 >= pair[0].1 { pair[1].1 - pair[0].1 } else { pair[1].1 };
    samples.windows(2).map(step).sum()
}

fn micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

/// Starts a daemon by the guide on a port, with short periods; its results go to a Prometheus.
fn start_daemon(data: &Path, port: u16, receiver: Option<&str>) -> Daemon {
    // Nobody listens at the discard port.
    let receiver = receiver.unwrap_or("127.0.0.1:9");
    start_with_config(data, port, &block("[aggregation]").replace("127.0.0.1:9090", receiver))
}

fn start_with_config(data: &Path, port: u16, content: &str) -> Daemon {
    start_with_settings(data, port, content, &[])
}

fn start_with_settings(data: &Path, port: u16, content: &str, more: &[&str]) -> Daemon {
    let config = data.join("derived-statsd.toml");
    std::fs::write(&config, content).unwrap();
    let address = format!("http.listen=127.0.0.1:{port}");
    let settings = ["log.partitions=2", "aggregation.period=2", "aggregation.allowed_lateness=3s", &address];
    let settings = [&settings[..], more].concat();
    let command = foreground(block("derived-statsd validate"), data, &data.join("log"), &settings);
    Daemon::spawn(command).expect("the daemon starts")
}

/// Waits until the windows up to a time are closed. Scrapes of the target at rest move the time on.
fn wait_until_closed(daemon: &Daemon, end: u64) {
    wait_until("the windows of all samples are closed", || {
        let partitions: Vec<serde_json::Value> = serde_json::from_str(&daemon.get("/api/v1/partitions").1).unwrap();
        let mut used = partitions.iter().filter(|partition| partition["objects"] != 0).peekable();
        let is_closed = |partition: &serde_json::Value| partition["watermark"].as_u64() > Some(end + 2_000_000);
        (used.peek().is_some() && used.all(is_closed)).then_some(())
    });
}

/// The increases of the stored series of each handler, by the key of its object. The target is at rest.
fn increases(prometheus: &Prometheus) -> BTreeMap<String, f64> {
    let of = |handler: &str| {
        // Where scrapes failed, there are fewer until now.
        let series = wait_until("ten scrapes of each series", || {
            let series = prometheus.samples(&format!("http_requests_total{{handler=\"{handler}\"}}"), "code");
            series.values().all(|samples| samples.len() > 10).then_some(series)
        });
        let sum = series.values().map(|samples| increase(samples)).sum();
        assert!(sum > 100.0, "{series:?}");
        (format!("Service:{handler}"), sum)
    };
    ["/cart", "/pay"].map(of).into()
}

/// The sums of all windows of each object.
fn sums(log: &Path) -> BTreeMap<String, f64> {
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    for line in results(log) {
        let result: serde_json::Value = serde_json::from_str(&line).unwrap();
        if result["uve"].as_str().unwrap().starts_with("AggProxySum-")
            && let Some(value) = result["data"]["value"]["value"].as_f64()
        {
            *sums.entry(result["key"].as_str().unwrap().to_owned()).or_default() += value;
        }
    }
    sums
}

#[test]
fn what_prometheus_sends_is_counted_once_over_kills_of_both() {
    let (data, target) = (TempDir::new().unwrap(), Target::start());
    let mut counts = BTreeMap::from([(("/cart", "200"), 1000), (("/cart", "500"), 10), (("/pay", "200"), 0)]);
    target.set(page(&counts));
    let [port] = free_ports();
    let mut daemon = start_daemon(data.path(), port, None);
    let remote_write = block("remote_write:").replace("127.0.0.1:8081", &format!("127.0.0.1:{port}"));
    let mut prometheus = Prometheus::start(target.address, &remote_write);
    run(&target, &mut counts, DISCOVERY_SECONDS + 4);
    daemon.signal("KILL");
    daemon.wait();
    run(&target, &mut counts, 3);
    let daemon = start_daemon(data.path(), port, None);
    run(&target, &mut counts, 2);
    // The target starts anew.
    counts.values_mut().for_each(|count| *count = 3);
    run(&target, &mut counts, 3);
    prometheus.kill();
    // Prometheus never sends what it had not sent; the next reading contains its increase.
    run(&target, &mut counts, 2);
    prometheus.restart();
    run(&target, &mut counts, DISCOVERY_SECONDS + 4);
    wait_until_closed(&daemon, micros());
    let metrics = daemon.get("/metrics").1;
    let rejected = "derived_statsd_series_points_total{format=\"remote_write\",outcome=\"rejected\"} 0";
    assert!(metrics.contains(rejected), "{metrics}");
    let (status, uve) = daemon.get("/analytics/uves/service/%2Fcart?flat");
    assert!(status == 200 && uve.contains("\"AggProxySum-http_requests-http_requests_total\""), "{status}: {uve}");
    let expected = increases(&prometheus);
    daemon.stop();
    assert_eq!(sums(&data.path().join("log")), expected);
}

#[test]
fn what_a_busy_daemon_answers_with_503_comes_again_and_is_counted_once() {
    let (data, target) = (TempDir::new().unwrap(), Target::start());
    let mut counts = BTreeMap::from([(("/cart", "200"), 1000), (("/cart", "500"), 10), (("/pay", "200"), 0)]);
    target.set(page(&counts));
    let [port] = free_ports();
    // One request between two commits: the backlog is full then, and all others get 503.
    let busy = ["log.retention.max_backlog_bytes=1", "log.commit_interval=4s"];
    let content = block("[aggregation]").replace("127.0.0.1:9090", "127.0.0.1:9");
    let daemon = start_with_settings(data.path(), port, &content, &busy);
    let remote_write = block("remote_write:").replace("127.0.0.1:8081", &format!("127.0.0.1:{port}"));
    let prometheus = Prometheus::start(target.address, &remote_write);
    run(&target, &mut counts, DISCOVERY_SECONDS + 20);
    wait_until_closed(&daemon, micros());
    let of = |status: u16| {
        metric(&daemon, &format!("derived_statsd_http_requests_total{{path=\"/api/v1/write\",status=\"{status}\"}}"))
    };
    let refused = metric(&daemon, "derived_statsd_requests_refused_total{input=\"remote_write\",reason=\"busy\"}");
    assert!(refused > 5.0 && of(503) >= refused && of(400) == 0.0, "{refused} of {} with 503", of(503));
    let own = |name: &str| prometheus.own_metric(&format!("prometheus_remote_storage_samples_{name}_total"));
    assert!(own("retried") > 5.0, "{}", own("retried"));
    assert_eq!(own("failed"), 0.0);
    let expected = increases(&prometheus);
    daemon.stop();
    assert_eq!(sums(&data.path().join("log")), expected);
}

#[test]
fn an_injected_anomaly_comes_back_as_a_score_and_the_alert_of_the_guide_fires() {
    let (data, target) = (TempDir::new().unwrap(), Target::start());
    let mut counts = BTreeMap::from([(("/cart", "200"), 1000), (("/pay", "200"), 0)]);
    target.set(page(&counts));
    let [port] = free_ports();
    let rules = data.path().join("rules.yml");
    std::fs::write(&rules, block("groups:")).unwrap();
    let remote_write = block("remote_write:").replace("127.0.0.1:8081", &format!("127.0.0.1:{port}"));
    let more = format!("rule_files: ['{}']\n{remote_write}", rules.display());
    let prometheus = Prometheus::start_with(target.address, &more, &["--web.enable-remote-write-receiver"]);
    let receiver = prometheus.url("").replace("http://", "");
    let daemon = start_daemon(data.path(), port, Some(&receiver));
    // More than the periods that the detector needs before it has a score.
    run(&target, &mut counts, DISCOVERY_SECONDS + 50);
    let firing = "ALERTS{alertname=\"Anomaly\",alertstate=\"firing\"}";
    let now = || micros() as f64 / 1e6;
    let name = |labels: &Labels| labels.get("name").cloned().unwrap_or_default();
    // A scrape that failed puts the increase of two into one window, which may be an anomaly of its own.
    wait_until("no alert fires before the anomaly", || {
        run(&target, &mut counts, 1);
        prometheus.values(firing, now()).keys().all(|labels| name(labels) != "/cart").then_some(())
    });
    // The injected anomaly: a burst of one handler.
    *counts.get_mut(&("/cart", "200")).unwrap() += 5_000;
    target.set(page(&counts));
    let score = wait_until("the alert fires", || {
        run(&target, &mut counts, 1);
        let alerts = prometheus.values(firing, now());
        alerts.keys().any(|labels| name(labels) == "/cart").then_some(())?;
        let scores = prometheus.series(block("anomaly_score{").trim_end());
        scores.into_values().flatten().map(|(_, score)| score).reduce(f64::max)
    });
    assert!(score >= 2.5, "{score}");
    let sums = prometheus.series(block("AggProxySum_value{").trim_end());
    assert!(sums.values().flatten().any(|(_, value)| *value >= 5_000.0), "{sums:?}");
    let uve = run_block(block("curl -s 'http://127.0.0.1:8081/analytics"), data.path(), daemon.address());
    for name in
        ["AggProxySum-http_requests-http_requests_total", "AggProxySumAnomalyEWM01-http_requests-http_requests_total"]
    {
        assert!(GUIDE.contains(&format!("`{name}`")) && uve.contains(&format!("\"{name}\"")), "{name}: {uve}");
    }
    daemon.stop();
}

#[test]
fn what_can_never_be_taken_is_refused_once_and_all_else_is_counted_by_remote_write_1() {
    let failed = refuse_one_series(Prometheus::start, "");
    assert!(failed.samples > failed.rejected, "of a request with a bad sample all have failed: {failed:?}");
}

#[test]
#[ignore = "builds a Prometheus of Go modules, in minutes: make test-full"]
fn what_can_never_be_taken_is_refused_once_and_all_else_is_counted_by_remote_write_2() {
    let failed = refuse_one_series(Prometheus::start_3, "protobuf_message: io.prometheus.write.v2.Request");
    assert_eq!(failed.samples, failed.rejected, "the answer has the number of the others");
}

/// What Prometheus counts as failed, and what the daemon has rejected.
#[derive(Debug)]
struct Failed {
    samples: f64,
    rejected: f64,
}

/// The staleness markers of a series: one at its end, and one where a scrape failed between two of its samples.
fn markers(prometheus: &Prometheus, samples: &[(f64, f64)]) -> usize {
    let up = prometheus.samples("up{job=\"shop\"}", "job");
    let has_failed = |pair: &&[(f64, f64)]| {
        let is_between = |(at, value): &(f64, f64)| *value == 0.0 && pair[0].0 < *at && *at < pair[1].0;
        up["shop"].iter().any(is_between)
    };
    1 + samples.windows(2).filter(has_failed).count()
}

/// A target has for a while a series with a label that is too long for the daemon.
fn refuse_one_series(start: fn(std::net::SocketAddr, &str) -> Prometheus, version: &str) -> Failed {
    let (data, target) = (TempDir::new().unwrap(), Target::start());
    let mut counts = BTreeMap::from([(("/cart", "200"), 1000), (("/cart", "500"), 10), (("/pay", "200"), 0)]);
    target.set(page(&counts));
    let [port] = free_ports();
    let daemon = start_daemon(data.path(), port, None);
    let remote_write = block("remote_write:").replace("127.0.0.1:8081", &format!("127.0.0.1:{port}"));
    let remote_write = remote_write.replace("    queue_config:", &format!("    {version}\n    queue_config:"));
    let prometheus = start(target.address, &remote_write);
    run(&target, &mut counts, DISCOVERY_SECONDS + 4);
    let rejected = || series::points(&daemon, "remote_write", "rejected") as f64;
    assert_eq!((rejected(), prometheus.own_metric("prometheus_remote_storage_samples_failed_total")), (0.0, 0.0));
    let long: &'static str = "x".repeat(9_000).leak();
    counts.insert((long, "200"), 1);
    let samples_of = |prometheus: &Prometheus| {
        let stored = prometheus.samples("http_requests_total{code=\"200\"}", "handler");
        stored.get(long).cloned().unwrap_or_default()
    };
    run(&target, &mut counts, 3);
    wait_until("two scrapes have the bad series", || {
        run(&target, &mut counts, 1);
        (samples_of(&prometheus).len() >= 2).then_some(())
    });
    counts.remove(&(long, "200"));
    run(&target, &mut counts, 6);
    let stored = samples_of(&prometheus);
    // The markers are sent, too.
    let bad = (stored.len() + markers(&prometheus, &stored)) as f64;
    assert!(bad >= 3.0, "{bad}");
    wait_until("all bad samples are sent", || (rejected() >= bad).then_some(()));
    wait_until_closed(&daemon, micros());
    assert_eq!(rejected(), bad, "each is sent once");
    let answers = metric(&daemon, "derived_statsd_http_requests_total{path=\"/api/v1/write\",status=\"400\"}");
    assert!((1.0..=bad).contains(&answers), "{answers} answers for {bad} samples");
    assert_eq!(prometheus.own_metric("prometheus_remote_storage_samples_retried_total"), 0.0);
    let samples = prometheus.own_metric("prometheus_remote_storage_samples_failed_total");
    let expected = increases(&prometheus);
    daemon.stop();
    assert_eq!(sums(&data.path().join("log")), expected);
    Failed { samples, rejected: bad }
}

/// A configuration with scrapes of a target, too.
fn with_target(scrapes: &str, target: &Target) -> String {
    let shop = format!("  - {{job_name: shop, static_configs: [{{targets: ['{}']}}]}}\n", target.address);
    let scrapes = scrapes.replace("scrape_configs:\n", &format!("scrape_configs:\n{shop}"));
    format!("global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n{scrapes}")
}

#[test]
fn results_join_the_series_of_their_target_and_a_scrape_gives_them_the_ends_of_their_windows() {
    let (data, target) = (TempDir::new().unwrap(), Target::start());
    let mut counts = BTreeMap::from([(("/cart", "200"), 1000), (("/pay", "200"), 0)]);
    target.set(page(&counts));
    let [port] = free_ports();
    let own = |text: &str| text.replace("127.0.0.1:8081", &format!("127.0.0.1:{port}"));
    let flags = &["--web.enable-remote-write-receiver"];
    let writer = Prometheus::start_with(target.address, &own(block("remote_write:")), flags);
    let scraper = Prometheus::receiver(&with_target(&own(series::block(RESULTS, "scrape_configs:")), &target));
    let receiver = writer.url("").replace("http://", "");
    let object = series::block(RESULTS, "object = ").trim_end();
    let config = block("[aggregation]").replace("127.0.0.1:9090", &receiver).replace("object = [\"handler\"]", object);
    let daemon = start_with_config(data.path(), port, &config);
    run(&target, &mut counts, DISCOVERY_SECONDS + 14);
    let join = series::block(RESULTS, "AggProxySum_value and on(job, instance)").trim_end();
    let instance = target.address.to_string();
    for prometheus in [&writer, &scraper] {
        wait_until("the results join the target", || {
            run(&target, &mut counts, 1);
            let found = prometheus.values(join, micros() as f64 / 1e6);
            let is_of_target = |(labels, value): (&Labels, &f64)| {
                labels["job"] == "shop" && labels["instance"] == instance && *value > 0.0
            };
            (found.len() == 1 && found.iter().all(is_of_target)).then_some(())
        });
    }
    let labels = format!("{{name=\"shop,{instance}\",job=\"shop\",instance=\"{instance}\"}}");
    let [written, scraped] = [&writer, &scraper].map(|prometheus| {
        let mut series = prometheus.series(&format!("AggProxySum_value{labels}"));
        assert_eq!(series.len(), 1, "{series:?}");
        series.pop_first().unwrap().1
    });
    daemon.stop();
    // Windows of two seconds are scraped each second.
    let last = written.last().unwrap().0;
    let both: Vec<_> = scraped.iter().filter(|(at, _)| *at <= last).collect();
    assert!(both.len() > 2 && both.iter().all(|sample| written.contains(sample)), "{scraped:?} {written:?}");
}

/// A page of Prometheus that nothing but the test asks for.
const HANDLER: &str = "/api/v1/labels";

/// Asks Prometheus for the page so often, each time after a pause.
fn visit(prometheus: &Prometheus, times: u64, pause: Duration) {
    for _ in 0..times {
        assert_eq!(ureq::get(prometheus.url(HANDLER)).call().unwrap().status().as_u16(), 200);
        thread::sleep(pause);
    }
}

#[test]
fn the_requests_of_each_handler_of_prometheus_are_counted_over_kills_of_both_and_an_injected_anomaly_comes_back() {
    let data = TempDir::new().unwrap();
    let [port] = free_ports();
    // The guide with the metric that every Prometheus has.
    let of_itself = |text: &str| text.replace("http_requests_total", "prometheus_http_requests_total");
    let remote_write = of_itself(block("remote_write:")).replace("127.0.0.1:8081", &format!("127.0.0.1:{port}"));
    let mut prometheus = Prometheus::of_itself(&remote_write);
    let receiver = prometheus.url("").replace("http://", "");
    let config = of_itself(block("[aggregation]")).replace("127.0.0.1:9090", &receiver);
    let start = || start_with_config(data.path(), port, &config);
    let seconds = |seconds: u64| visit(&prometheus, seconds * 10, Duration::from_millis(100));
    let mut daemon = start();
    seconds(DISCOVERY_SECONDS + 4);
    daemon.signal("KILL");
    daemon.wait();
    seconds(3);
    let daemon = start();
    seconds(2);
    // The kill resets the counter: an increase that Prometheus stored and did not send would be lost with it.
    let visited = micros() as f64 / 1e6;
    let sent = "prometheus_remote_storage_queue_highest_sent_timestamp_seconds";
    wait_until("a scrape after the last visit is sent", || (prometheus.own_metric(sent) > visited + 1.0).then_some(()));
    prometheus.kill();
    prometheus.restart();
    let seconds = |seconds: u64| visit(&prometheus, seconds * 10, Duration::from_millis(100));
    // More than the periods that the detector needs before it has a score.
    seconds(DISCOVERY_SECONDS + 45);
    let burst = micros();
    visit(&prometheus, 500, Duration::ZERO);
    let selector = format!("anomaly_score{{table=\"Service\",name=\"{HANDLER}\"}}");
    wait_until("the score of the burst is in Prometheus", || {
        seconds(1);
        let mut scores = prometheus.series(&selector).into_values().flatten();
        scores.any(|(at, score)| at as u64 > burst / 1000 && score >= 2.5).then_some(())
    });
    wait_until_closed(&daemon, micros());
    daemon.stop();
    let metric = format!("prometheus_http_requests_total{{handler=\"{HANDLER}\"}}");
    let stored = prometheus.samples(&metric, "code");
    let expected = increase(&stored["200"]);
    assert!(stored.len() == 1 && expected > 900.0, "{stored:?}");
    assert_eq!(sums(&data.path().join("log")).get(&format!("Service:{HANDLER}")), Some(&expected));
}

#[test]
fn the_guide_is_valid_and_its_rule_is_one_of_prometheus() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("daemon.toml"), block("[aggregation]")).unwrap();
    let mut validate = Command::new(env!("CARGO_BIN_EXE_derived-statsd"));
    let data = format!("log.data_dir={}", path("log").display());
    let output = validate.arg("validate").arg(path("daemon.toml")).args(["--set", &data]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(path("prometheus.yml"), block("remote_write:")).unwrap();
    let check = |arguments: &[&str], file: &str| {
        let output = Command::new("promtool").args(arguments).arg(path(file)).output();
        let output = output.expect("promtool is installed; run .ci/setup");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    check(&["check", "config", "--syntax-only"], "prometheus.yml");
    std::fs::write(path("secured.yml"), block("# Both ways by TLS.\nglobal:")).unwrap();
    check(&["check", "config", "--syntax-only"], "secured.yml");
    std::fs::write(path("rules.yml"), block("groups:")).unwrap();
    check(&["check", "rules"], "rules.yml");
}

/// The part of a text from a line on, up to the next line that is neither empty nor indented.
fn block_from<'t>(text: &'t str, first_line: &str) -> &'t str {
    let start = text.find(&format!("\n{first_line}\n")).unwrap_or_else(|| panic!("no {first_line} in {text}")) + 1;
    let rest = &text[start..];
    let mut lines = rest.split_inclusive('\n');
    let mut length = lines.next().unwrap().len();
    length += lines.take_while(|line| line.starts_with([' ', '\n'])).map(str::len).sum::<usize>();
    &rest[..length]
}

#[test]
fn the_demo_for_a_prometheus_prints_a_block_with_which_its_samples_arrive() {
    let folder = TempDir::new().unwrap();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_derived-statsd"));
    demo.args(["demo", "--prometheus", "--set", "http.listen=127.0.0.1:0"]).stdout(Stdio::piped());
    let mut demo = KilledOnDrop(demo.spawn().unwrap());
    // Open to the end: a demo that cannot print fails.
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let mut said = String::new();
    while !said.contains("Press Ctrl-C to stop.\n") {
        said += &(lines.next().expect("the demo says how to stop it").unwrap() + "\n");
    }
    assert!(said.lines().next().unwrap().ends_with(" is the page of this demo"), "{said}");
    let remote_write = block_from(&said, "remote_write:");
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, remote_write).unwrap();
    let checked = Command::new("promtool").args(["check", "config"]).arg(&file).output().unwrap();
    assert!(checked.status.success(), "{remote_write}: {}", String::from_utf8_lossy(&checked.stderr));
    // The streams that it prints are a configuration.
    let streams = &said[said.find("  [[streams]]").unwrap()..said.find("The first results").unwrap()];
    let configuration = folder.path().join("derived-statsd.toml");
    std::fs::write(&configuration, format!("[aggregation]\nuve_proxy_list = \"\"\n{streams}")).unwrap();
    let mut validate = Command::new(env!("CARGO_BIN_EXE_derived-statsd"));
    let checked = validate.arg("validate").arg(&configuration).output().unwrap();
    assert!(checked.status.success(), "{streams}: {}", String::from_utf8_lossy(&checked.stderr));
    let url = said.lines().find_map(|line| line.split_once("curl -s ")).unwrap().1;
    let prometheus = Prometheus::of_itself(remote_write);
    wait_until("the results of both streams are there", || {
        let shown = ureq::get(url).call().ok()?.body_mut().read_to_string().ok()?;
        let is_there = |name: &str, object: &str| {
            shown.lines().any(|line| line.starts_with(name) && line.contains(object) && !line.ends_with(" 0"))
        };
        (is_there("Newest_value{", "name=\"shop,127.0.0.1:") && is_there("Sum_value{", "name=\"/")).then_some(())
    });
    drop(prometheus);
    // Ctrl-C sends the same signal.
    assert!(Command::new("kill").args(["-s", "INT", &demo.id().to_string()]).status().unwrap().success());
    assert!(demo.wait().unwrap().success());
}
