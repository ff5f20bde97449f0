//! An outage is not silence: while sources do not answer, and while the daemon is down, no proxy UVE is deleted and no
//! detector forgets. Without an outage, silence deletes.
//!
//! The sleeps below are the outages themselves: longer than the windows that follow each other, of two seconds.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "a test pushes samples with the time of the machine")]

mod support;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use support::analytics::AnalyticsApi;
use support::configured::hang_up;
use support::contiv::Netplugin;
use support::{Daemon, line, results, wait_until};
use tempfile::TempDir;

/// Windows of two seconds. Their objects are deleted after two silent windows, and the detector scores from its second
/// value on.
const TYPES: &str = r#"
struct OutageSum {
    1: string name (key="") 2: string proxy 3: optional bool deleted
    4: optional u64 raw (hidden="yes")
    5: optional u64 value (stats="1-raw:DSSum")
} (period="2", timeout="2")

struct OutageScore {
    1: string name (key="") 2: string proxy 3: optional bool deleted
    4: optional u64 raw (hidden="yes")
    5: optional derived_stats_results.AnomalyResult value (stats="1.DSSum-raw:DSAnomaly:EWM:0.5")
} (period="2", timeout="2")
"#;

const NETWORKS: &str = "UveVirtualNetworkAgent-egress_flow_count";

/// A data directory, and the settings of short windows on a stream.
struct Setting {
    folder: TempDir,
    settings: Vec<String>,
}

impl Setting {
    fn new(stream: &str, settings: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let schema = folder.path().join("outage.sandesh");
        std::fs::write(&schema, TYPES).unwrap();
        let schema = format!("aggregation.schema_files={}", schema.display());
        let list = format!("aggregation.uve_proxy_list={stream}:OutageScore:OutageSum");
        let short = ["aggregation.allowed_lateness=1s", "aggregation.idle_timeout=1s", "log.commit_interval=100ms"];
        let settings = [&short[..], settings, &[&schema, &list]].concat();
        Self { folder, settings: settings.into_iter().map(str::to_owned).collect() }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn start(&self) -> Daemon {
        let settings: Vec<_> = self.settings.iter().map(String::as_str).collect();
        Daemon::start(&self.data(), &settings)
    }
}

/// Longer than the time for which producers are expected to try again.
const OUTAGE: Duration = Duration::from_secs(7);

/// The results of the anomaly type in a data directory: the numbers of values that the detector has taken, and the
/// deletions.
struct Outcome {
    fed: Vec<u64>,
    deleted: usize,
}

fn outcome(data: &Path) -> Outcome {
    let lines = results(data).into_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap());
    let (sums, scores): (Vec<_>, Vec<_>) =
        lines.partition(|line| line["uve"].as_str().is_some_and(|uve| uve.starts_with("OutageSum")));
    assert!(!sums.is_empty() && !scores.is_empty(), "{sums:?} {scores:?}");
    let samples = |line: &Value| line["data"]["value"]["samples"].as_u64();
    Outcome {
        fed: scores.iter().filter_map(samples).collect(),
        deleted: sums.iter().chain(&scores).filter(|line| line["data"]["deleted"] == true).count(),
    }
}

/// Asserts that an outage deleted nothing and that the detector continued, over at least `values` values.
fn assert_continued(data: &Path, values: u64) {
    let Outcome { fed, deleted } = outcome(data);
    assert_eq!(deleted, 0, "the outage was taken for silence");
    assert!(fed.is_sorted_by(|before, after| *after == before + 1), "the detector began anew or skipped: {fed:?}");
    assert!(fed.last() >= Some(&values), "{fed:?}");
}

/// Whether a detector of an object has taken `values` values.
fn has_values(daemon: &Daemon, object: &str, values: u64) -> bool {
    let (_, body) = daemon.get(&format!("/analytics/uves/{object}"));
    let counts = body.split("\"samples\":").skip(1);
    let counts = counts.filter_map(|rest| rest.split([',', '}']).next()?.trim().parse::<u64>().ok());
    counts.max() >= Some(values)
}

const NETWORK: &str = "virtual-network/default-domain:demo:vn1";

#[test]
fn an_analytics_api_that_refuses_for_a_while_deletes_nothing() {
    let api = AnalyticsApi::start();
    let servers = format!("opserver.servers=http://{}", api.address());
    let setting = Setting::new(NETWORKS, &["opserver.interval=1s", "opserver.samples=all", &servers]);
    let daemon = setting.start();
    wait_until("values", || has_values(&daemon, NETWORK, 2).then_some(()));
    api.refuse(true);
    thread::sleep(OUTAGE);
    api.refuse(false);
    wait_until("values", || has_values(&daemon, NETWORK, 5).then_some(()));
    daemon.stop();
    assert_continued(&setting.data(), 5);
}

/// The next start finds the poll in the log, and no saved state that was observed.
#[cfg(feature = "fault-points")]
#[test]
fn an_analytics_api_that_refuses_after_a_kill_before_the_first_commit_deletes_nothing() {
    let api = AnalyticsApi::start();
    let servers = format!("opserver.servers=http://{}", api.address());
    let setting = Setting::new(NETWORKS, &["opserver.interval=1s", "opserver.samples=all", &servers]);
    let settings: Vec<_> = setting.settings.iter().map(String::as_str).collect();
    let command = support::command("run", &setting.data(), &settings);
    assert!(!Daemon::doomed(command, "commit.before:1").wait().success(), "the daemon ended by itself");
    api.refuse(true);
    let daemon = setting.start();
    thread::sleep(OUTAGE);
    api.refuse(false);
    wait_until("values", || has_values(&daemon, NETWORK, 3).then_some(()));
    daemon.stop();
    assert_continued(&setting.data(), 3);
}

#[test]
fn a_netplugin_that_answers_503_for_a_while_deletes_nothing_and_scores_no_burst() {
    const SERVICE: &str = "100.1.1.3";
    let netplugin = Netplugin::start(&[SERVICE]);
    let nodes = format!("contiv.nodes={}", netplugin.address());
    let setting = Setting::new("ContivService-BytesIn", &["contiv.interval=1s", "contiv.jitter=0s", &nodes]);
    let daemon = setting.start();
    let object = format!("contivservice/{SERVICE}");
    // On a thread of its own: a slow answer of the daemon must not look like silence.
    let source = netplugin.clone();
    thread::spawn(move || {
        loop {
            source.add(SERVICE, 100);
            thread::sleep(Duration::from_millis(100));
        }
    });
    wait_until("values", || has_values(&daemon, &object, 3).then_some(()));
    netplugin.refuse(true);
    thread::sleep(OUTAGE);
    netplugin.refuse(false);
    wait_until("values", || has_values(&daemon, &object, 6).then_some(()));
    daemon.stop();
    assert_continued(&setting.data(), 6);
    // The traffic of the outage is in one window, which the detector did not take.
    let sums = results(&setting.data()).into_iter().filter(|line| line.contains("OutageSum"));
    let sums = sums.filter_map(|line| Some((line.contains("\"partial\":true"), sum(&line)?)));
    let largest = sums.max_by_key(|&(_, sum)| sum).unwrap();
    assert!(largest.0 && largest.1 > 3_000, "{largest:?}");
}

fn sum(line: &str) -> Option<u64> {
    serde_json::from_str::<Value>(line).unwrap()["data"]["value"]["value"].as_u64()
}

/// Repeats `act` every 100 ms until the condition holds, for a minute at most.
fn repeat(mut act: impl FnMut(), until: impl Fn() -> bool) {
    for _ in 0..600 {
        if until() {
            return;
        }
        act();
        thread::sleep(Duration::from_millis(100));
    }
    panic!("waited in vain");
}

/// Pushes samples of the network until the condition holds.
fn push(daemon: &Daemon, until: impl Fn() -> bool) {
    let push = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
        let (status, body) =
            daemon.post(line("default-domain:demo:vn1", "egress_flow_count", now, 31).as_bytes(), None).unwrap();
        assert_eq!(status, 200, "{body}");
    };
    repeat(push, until);
}

#[test]
fn a_daemon_that_was_down_for_longer_than_a_window_deletes_nothing() {
    for signal in ["TERM", "KILL"] {
        let setting = Setting::new(NETWORKS, &[]);
        let mut daemon = setting.start();
        push(&daemon, || has_values(&daemon, NETWORK, 2));
        daemon.signal(signal);
        daemon.wait();
        thread::sleep(OUTAGE);
        let daemon = setting.start();
        push(&daemon, || has_values(&daemon, NETWORK, 5));
        assert!(daemon.stderr().contains("Nothing was observed while this program was down"), "{}", daemon.stderr());
        daemon.stop();
        assert_continued(&setting.data(), 5);
    }
}

/// Another stream than that of the network.
const OTHER: &str = "UveVirtualNetworkAgent-ingress_flow_count";

/// Sends samples of the other stream for the time of an outage: the daemon runs all that time, as its log shows.
fn push_others(daemon: &Daemon) {
    let end = SystemTime::now() + OUTAGE;
    let other = || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
        assert_eq!(daemon.post(line("other", "ingress_flow_count", now, 1).as_bytes(), None).unwrap().0, 200);
    };
    repeat(other, || SystemTime::now() > end);
}

#[test]
fn a_stream_that_was_not_configured_for_longer_than_a_window_deletes_nothing() {
    for is_running in [true, false] {
        let mut setting = Setting::new(NETWORKS, &[]);
        // The list is in a file, which changes.
        setting.settings.retain(|setting| !setting.starts_with("aggregation.uve_proxy_list"));
        let file = setting.folder.path().join("derived-statsd.toml");
        let write = |streams: &[&str]| {
            let list: Vec<_> = streams.iter().map(|stream| format!("{stream}:OutageScore:OutageSum")).collect();
            std::fs::write(&file, format!("[aggregation]\nuve_proxy_list = \"{}\"\n", list.join(" "))).unwrap();
        };
        let start = || {
            let settings: Vec<_> = setting.settings.iter().map(String::as_str).collect();
            let mut command = support::command("run", &setting.data(), &settings);
            command.arg("--config").arg(&file);
            let daemon = Daemon::spawn(command).expect("the daemon starts");
            daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
            daemon
        };
        write(&[NETWORKS, OTHER]);
        let mut daemon = start();
        push(&daemon, || has_values(&daemon, NETWORK, 2));
        for (change, streams) in [(1, &[OTHER][..]), (2, &[NETWORKS, OTHER])] {
            write(streams);
            if is_running {
                hang_up(&daemon, change);
            } else {
                daemon.stop();
                daemon = start();
            }
            if change == 1 {
                push_others(&daemon);
            }
        }
        push(&daemon, || has_values(&daemon, NETWORK, 5));
        assert!(daemon.stderr().contains("The stream was not configured"), "{}", daemon.stderr());
        daemon.stop();
        let of_network = |line: &String| line.contains("default-domain:demo:vn1");
        let lines: Vec<_> = results(&setting.data()).into_iter().filter(of_network).collect();
        assert!(!lines.iter().any(|line| line.contains("\"deleted\":true")), "running: {is_running}\n{lines:#?}");
    }
}

#[test]
fn silence_of_a_producer_deletes_its_objects() {
    let setting = Setting::new(NETWORKS, &[]);
    let daemon = setting.start();
    push(&daemon, || has_values(&daemon, NETWORK, 2));
    wait_until("the network is deleted", || {
        let (_, body) = daemon.get(&format!("/analytics/uves/{NETWORK}"));
        (!body.contains("\"samples\"")).then_some(())
    });
    daemon.stop();
    assert!(outcome(&setting.data()).deleted > 0);
}
