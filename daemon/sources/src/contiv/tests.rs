//! The scraper against a server on loopback, with a clock set by hand and threads that cannot be started.

use std::io;
use std::sync::Mutex;
use std::thread::{self, JoinHandle};

use daemon_base::clock::ManualClock;
use daemon_base::observation::Observations;
use daemon_log::{EmbeddedLog, LogConfig};
use prometheus_client::registry::Registry;
use tempfile::TempDir;
use ureq::tls::TlsConfig;

use super::requests::{Job, spawn};
use super::*;
use crate::fake_server::{Fake, Reply};
use crate::intake::{Intake, PayloadForm};

const INTERVAL: Duration = Duration::from_secs(10);
/// In the middle of an interval.
const START: u64 = 1_000_000_005_000_000;

/// A running scraper and all that it uses.
struct Rig {
    clock: Arc<ManualClock>,
    telemetry: ScraperTelemetry,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
    _directory: TempDir,
}

fn settings(nodes: &[&Fake], etcd: &[&Fake]) -> ScraperSettings {
    let node = |server: &&Fake| {
        let address: Arc<str> = server.address.to_string().into();
        Node { name: Arc::clone(&address), address }
    };
    ScraperSettings {
        nodes: nodes.iter().map(node).collect(),
        etcd: etcd.iter().map(|server| format!("http://{}", server.address)).collect(),
        netplugin_port: 9090,
        netplugin_tls: false,
        tls: TlsConfig::default(),
        interval: INTERVAL,
        jitter: Duration::ZERO,
        timeout: Duration::from_secs(5),
        concurrency: 1,
        stale_after: Duration::ZERO,
        max_body_bytes: 10_000,
        discovery_interval: Duration::from_secs(30),
    }
}

impl Rig {
    /// A scraper of `nodes` and of the nodes that `etcd` lists, whose first threads of each name in `refused` cannot be
    /// started.
    fn start(nodes: &[&Fake], etcd: &[&Fake], refused: &[&'static str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = Arc::new(EmbeddedLog::open(directory.path(), LogConfig::default()).unwrap());
        let settings = settings(nodes, etcd);
        let (clock, telemetry) = (Arc::new(ManualClock::at(START)), ScraperTelemetry::default());
        let intake = Intake::new([], 1, PayloadForm::Stored, Duration::from_secs(10));
        let by_hand = Arc::<ManualClock>::clone(&clock);
        let latest = Arc::default();
        let observer = observer(&settings, &Observations::default(), START);
        let telemetry_of = telemetry.clone();
        let parts = Parts { settings, log, intake, observer, clock: by_hand, telemetry: telemetry_of, latest };
        let store = ScrapeStore::open(Arc::clone(&parts.log), parts.intake.clone(), START).unwrap();
        let refused = Mutex::new(refused.to_vec());
        let refusing = move |name: &str, job: Job| {
            let mut refused = refused.lock().unwrap();
            match refused.iter().position(|it| *it == name) {
                Some(index) => {
                    refused.swap_remove(index);
                    Err(io::Error::from(io::ErrorKind::WouldBlock))
                }
                None => spawn(name, job),
            }
        };
        let stop = Stop::default();
        let scraper = Scraper::new(parts, store, stop.clone(), Duration::from_millis(5), Box::new(refusing));
        let thread = thread::spawn(move || scraper.run());
        Self { clock, telemetry, stop, thread: Some(thread), _directory: directory }
    }

    /// Waits until a scrape of the daemon shows `line`, ten seconds at most.
    fn wait_for(&self, line: &str) {
        let mut text = String::new();
        for _ in 0..1_000 {
            let mut registry = Registry::default();
            self.telemetry.register(&mut registry);
            text.clear();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            if text.lines().any(|it| it == line) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("there is no line {line} in {text}");
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.set();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || ended.is_none_or(|ended| ended.is_ok()), "the scraper panicked");
    }
}

/// A node without endpoints.
fn node() -> Fake {
    Fake::start(|path| if path == "/svcstats" { Reply::Body("null".to_owned()) } else { Reply::Status(404) })
}

#[test]
fn a_node_whose_thread_cannot_be_started_has_failed_and_is_scraped_again() {
    let server = node();
    let rig = Rig::start(&[&server], &[], &["contiv-get"]);
    rig.clock.advance(INTERVAL);
    rig.wait_for(&format!("contiv_scrape_failures_total{{node=\"{}\",reason=\"thread\"}} 1", server.address));
    assert_eq!(server.requests(), [""; 0]);
    rig.clock.advance(Duration::from_secs(2));
    rig.wait_for("contiv_scrapes_total 1");
    rig.clock.advance(INTERVAL);
    rig.wait_for("contiv_scrapes_total 2");
}

#[test]
fn a_discovery_whose_thread_cannot_be_started_is_tried_again() {
    // That etcd has no such key is an answer.
    let etcd = Fake::start(|_| Reply::Status(404));
    let rig = Rig::start(&[], &[&etcd], &["contiv-etcd"]);
    rig.wait_for("contiv_discovery_failures_total 1");
    assert_eq!(etcd.requests(), [""; 0]);
    for _ in 0..1_000 {
        rig.clock.advance(Duration::from_secs(1));
        if !etcd.requests().is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("etcd is not requested any more");
}

#[test]
fn a_stop_ends_a_scraper_at_once_while_a_node_hangs() {
    let server = Fake::start(|_| Reply::Hang);
    let mut rig = Rig::start(&[&server], &[], &[]);
    rig.clock.advance(INTERVAL);
    for _ in 0..1_000 {
        if !server.requests().is_empty() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let clock = daemon_base::clock::SystemClock::new();
    rig.stop.set();
    rig.thread.take().unwrap().join().unwrap();
    assert!(clock.monotonic() < Duration::from_secs(2), "it took {:?}", clock.monotonic());
}
