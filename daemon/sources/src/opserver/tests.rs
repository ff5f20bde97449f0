//! The poller against servers on loopback, with a clock set by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use daemon_base::clock::{ManualClock, SystemClock};
use daemon_base::observation::Observations;
use daemon_base::outbound::Authorization;
use daemon_base::stop::Stop;
use daemon_log::{EmbeddedLog, LogConfig, PartitionCommit, PartitionId, PartitionLog, RecordBuffer};
use derived_stats::{Number, ValueType};
use prometheus_client::registry::Registry;
use proxy_uve::{StreamName, wire};
use tempfile::TempDir;

use super::*;
use crate::fake_server::{Fake, Reply};
use crate::intake::tests::intake_of;
use crate::intake::{Intake, PayloadForm};

const INTERVAL: Duration = Duration::from_secs(60);
/// In the middle of an interval.
const START: u64 = 1_488_000_030_000_000;
/// When the first poll is due.
const FIRST: u64 = START + 30_000_000;
/// How often the poller reads the clock, which only moves when a test moves it.
const CLOCK_INTERVAL: Duration = Duration::from_millis(5);
const PARTITION: PartitionId = PartitionId::new(0, 0);

fn stream() -> StreamName {
    StreamName::new("UveVirtualNetworkAgent", "ingress_flow_count").unwrap()
}

fn settings(servers: &[&Fake]) -> PollerSettings {
    PollerSettings {
        servers: servers.iter().map(|server| format!("http://{}", server.address)).collect(),
        uve_types: vec![("virtual-network".to_owned(), "ObjectVNTable")],
        streams: vec![stream()],
        modules: Vec::new(),
        interval: INTERVAL,
        timeout: Duration::from_secs(10),
        max_body_bytes: 100_000,
        samples: PolledSamples::Changes,
        authorization: None,
        tls: ureq::tls::TlsConfig::default(),
    }
}

/// A bad answer instead of a good one.
type Misbehave = fn(String) -> Reply;

/// An answer with a flat value for each object.
fn page(values: &[(&str, &str)]) -> String {
    let objects = values.iter().map(|(name, value)| {
        format!(r#"{{"name": "{name}", "value": {{"UveVirtualNetworkAgent": {{"ingress_flow_count": {value}}}}}}}"#)
    });
    format!(r#"{{"value": [{}]}}"#, objects.collect::<Vec<_>>().join(", "))
}

/// A running poller and all that it uses.
struct Rig {
    clock: Arc<ManualClock>,
    log: Arc<EmbeddedLog>,
    telemetry: PollerTelemetry,
    observations: Observations,
    settings: PollerSettings,
    memory: PollerMemory,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
    _directory: TempDir,
}

impl Rig {
    fn start(settings: PollerSettings) -> Self {
        Self::with_log(settings, LogConfig::default())
    }

    fn with_log(settings: PollerSettings, config: LogConfig) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = Arc::new(EmbeddedLog::open(directory.path(), config).unwrap());
        let id = log.stream_id(&stream().to_string()).unwrap();
        assert_eq!(id, PARTITION.stream);
        let intake = intake_of(&[(stream(), id)], ValueType::F64, PayloadForm::Stored);
        let (clock, telemetry) = (Arc::new(ManualClock::at(START)), PollerTelemetry::default());
        let stop = Stop::default();
        let (appender, by_hand) = (Arc::<EmbeddedLog>::clone(&log), Arc::<ManualClock>::clone(&clock));
        // Made here, so that it knows the time before the test moves it.
        let observations = Observations::default();
        let observer = observer(&settings, &observations, START);
        let local = Some(Arc::clone(&log) as Arc<dyn PartitionLog>);
        let polled = Polled::open(local.clone(), Appender::names(&settings.streams), 1).unwrap();
        let telemetry_of = telemetry.clone();
        let (of_poller, memory) = (settings.clone(), PollerMemory::default());
        let parts = Parts {
            settings,
            intake,
            log: appender,
            local,
            observer,
            clock: by_hand,
            telemetry: telemetry_of,
            memory: memory.clone(),
        };
        let poller = Poller::new(parts, polled, stop.clone(), CLOCK_INTERVAL);
        let thread = Some(thread::spawn(move || poller.run()));
        let settings = of_poller;
        Self { clock, log, telemetry, observations, settings, memory, stop, thread, _directory: directory }
    }

    /// Replaces the poller by another one with the same memory, as a change of the configuration does.
    fn replace(&mut self) {
        self.stop.set();
        self.thread.take().unwrap().join().unwrap();
        self.stop = Stop::default();
        let now = self.clock.now_micros();
        let observer = observer(&self.settings, &self.observations, now);
        let local = Some(Arc::clone(&self.log) as Arc<dyn PartitionLog>);
        let polled = Polled::open(local.clone(), Appender::names(&self.settings.streams), 1).unwrap();
        let (log, clock) = (Arc::<EmbeddedLog>::clone(&self.log), Arc::<ManualClock>::clone(&self.clock));
        let parts = Parts {
            settings: self.settings.clone(),
            intake: intake_of(&[(stream(), PARTITION.stream)], ValueType::F64, PayloadForm::Stored),
            log,
            local,
            observer,
            clock,
            telemetry: self.telemetry.clone(),
            memory: self.memory.clone(),
        };
        let poller = Poller::new(parts, polled, self.stop.clone(), CLOCK_INTERVAL);
        self.thread = Some(thread::spawn(move || poller.run()));
    }

    /// Advances to the next interval.
    fn advance_interval(&self) {
        let now = self.clock.now_micros();
        self.clock.advance(Duration::from_micros(60_000_000 - now % 60_000_000));
    }

    /// Advances to the next interval and waits for the poll to succeed.
    fn poll(&self) {
        let before = self.count(r#"opserver_polls_total{outcome="ok"}"#);
        self.advance_interval();
        eventually(|| self.count(r#"opserver_polls_total{outcome="ok"}"#) > before, "the poll is done");
    }

    /// What a scrape says of a metric.
    fn count(&self, metric: &str) -> u64 {
        let mut registry = Registry::default();
        self.telemetry.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(metric));
        line.map_or(0, |value| value.trim().parse().unwrap())
    }

    /// `object source value` of each sample at time `at`, in order.
    fn samples_at(&self, at: u64) -> Vec<String> {
        let batch = self.log.read(PARTITION, 0, 1 << 30).unwrap();
        let samples = batch.records().filter_map(|record| {
            let sample = wire::decode(record.payload).unwrap();
            let (key, source) = (String::from_utf8_lossy(record.key), sample.source.as_deref().unwrap_or("-"));
            (sample.timestamp == at).then(|| format!("{key} {source} {:?}", sample.value))
        });
        samples.collect()
    }

    /// All samples that there are.
    fn samples(&self) -> usize {
        self.log.read(PARTITION, 0, 1 << 30).unwrap().records().count()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.set();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || ended.is_none_or(|ended| ended.is_ok()), "the poller panicked");
    }
}

/// Waits for what happens on other threads; ten seconds at most.
fn eventually(condition: impl Fn() -> bool, what: &str) {
    for _ in 0..1000 {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("it did not happen that {what}");
}

/// A server whose answers are `pages`, one after the other, and then the last one for ever.
fn in_turn(pages: Vec<String>) -> Fake {
    let mut served = 0;
    Fake::of_bodies(move || {
        served += 1;
        pages[(served - 1).min(pages.len() - 1)].clone()
    })
}

#[test]
fn changes_become_samples_with_the_time_of_the_poll() {
    let server = in_turn(vec![
        page(&[("d:p:a", "1"), ("d:p:b", "2")]),
        page(&[("d:p:a", "1"), ("d:p:b", "3")]),
        page(&[("d:p:a", "1"), ("d:p:b", "3")]),
        page(&[("d:p:a", "0"), ("d:p:c", "null"), ("d:p:d", "true")]),
    ]);
    let rig = Rig::start(settings(&[&server]));
    for _ in 0..4 {
        rig.poll();
    }
    assert_eq!(rig.samples_at(FIRST), ["ObjectVNTable:d:p:a - U64(1)", "ObjectVNTable:d:p:b - U64(2)"]);
    assert_eq!(rig.samples_at(FIRST + 60_000_000), ["ObjectVNTable:d:p:b - U64(3)"]);
    assert_eq!(rig.samples_at(FIRST + 180_000_000), ["ObjectVNTable:d:p:a - U64(0)"]);
    assert_eq!((rig.samples(), rig.count("opserver_samples_total")), (4, 4));
    assert_eq!(rig.count(r#"opserver_rejected_total{reason="empty"}"#), 1);
    assert_eq!(rig.count(r#"opserver_rejected_total{reason="form"}"#), 1);
}

#[test]
fn a_poller_that_replaces_another_emits_no_unchanged_value_again_and_does_not_poll_the_interval_twice() {
    let server = in_turn(vec![page(&[("d:p:a", "1")]), page(&[("d:p:a", "1"), ("d:p:b", "2")])]);
    let mut rig = Rig::start(settings(&[&server]));
    rig.poll();
    rig.replace();
    rig.poll();
    assert_eq!(rig.samples_at(FIRST), ["ObjectVNTable:d:p:a - U64(1)"]);
    assert_eq!(rig.samples_at(FIRST + 60_000_000), ["ObjectVNTable:d:p:b - U64(2)"]);
    assert_eq!((rig.samples(), server.requests().len()), (2, 2));
    assert_eq!(rig.count(r#"opserver_polls_total{outcome="missed"}"#), 0);
}

#[test]
fn an_interval_whose_poll_a_replacement_cut_off_is_polled_at_once() {
    let fails = Arc::new(AtomicBool::new(true));
    let of_server = Arc::clone(&fails);
    let server = Fake::start(move |_| match of_server.load(Ordering::Acquire) {
        true => Reply::Status(500),
        false => Reply::Body(page(&[("d:p:a", "1")])),
    });
    let mut rig = Rig::start(settings(&[&server]));
    rig.advance_interval();
    eventually(|| rig.count(r#"opserver_server_failures_total{reason="status"}"#) == 1, "the poll fails");
    fails.store(false, Ordering::Release);
    rig.replace();
    eventually(|| rig.count(r#"opserver_polls_total{outcome="ok"}"#) == 1, "the interval is polled");
    assert_eq!(rig.samples_at(FIRST), ["ObjectVNTable:d:p:a - U64(1)"]);
}

#[test]
fn all_values_are_samples_at_each_poll_if_asked_for() {
    let server = in_turn(vec![page(&[("d:p:a", r#"[[1, "x:C:m:0", "y:C:m:0"], [2, "z:C:m:0"]]"#)])]);
    let rig = Rig::start(PollerSettings { samples: PolledSamples::All, ..settings(&[&server]) });
    rig.poll();
    rig.poll();
    let expected =
        ["x:C:m:0 U64(1)", "y:C:m:0 U64(1)", "z:C:m:0 U64(2)"].map(|rest| format!("ObjectVNTable:d:p:a {rest}"));
    assert_eq!(rig.samples_at(FIRST), expected);
    assert_eq!(rig.samples_at(FIRST + 60_000_000), expected);
}

#[test]
fn another_server_takes_over_whatever_is_wrong_with_the_first() {
    let good = page(&[("d:p:a", "1")]);
    let cases: [(&str, Misbehave); 6] = [
        ("timeout", |_| Reply::Hang),
        ("status", |_| Reply::Status(500)),
        ("status", |_| Reply::Status(302)),
        ("transport", Reply::Cut),
        ("answer", |_| Reply::Body("<html>".to_owned())),
        ("too_large", |good| Reply::Body(good + &" ".repeat(100_000))),
    ];
    for (reason, play) in cases {
        let answer = good.clone();
        let bad = Fake::start(move |_| play(answer.clone()));
        let other = in_turn(vec![good.clone()]);
        let rig = Rig::start(PollerSettings { timeout: Duration::from_millis(300), ..settings(&[&bad, &other]) });
        rig.poll();
        assert_eq!(rig.samples_at(FIRST), ["ObjectVNTable:d:p:a - U64(1)"], "{reason}");
        let failures = format!("opserver_server_failures_total{{reason=\"{reason}\"}}");
        assert_eq!(rig.count(&failures), 1, "{reason}");
        rig.poll();
        assert_eq!((bad.requests().len(), other.requests().len()), (1, 2), "{reason}: the one that works is kept");
    }
}

#[test]
fn a_server_that_is_not_there_is_tried_again_within_the_interval() {
    let healthy = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&healthy);
    let server = Fake::start(move |_| match asked.load(Ordering::Acquire) {
        true => Reply::Body(page(&[("d:p:a", "1")])),
        false => Reply::Status(503),
    });
    let rig = Rig::start(settings(&[&server]));
    rig.advance_interval();
    eventually(|| rig.count(r#"opserver_server_failures_total{reason="status"}"#) == 1, "it has failed");
    thread::sleep(20 * CLOCK_INTERVAL);
    assert_eq!(server.requests().len(), 1, "it rests");
    healthy.store(true, Ordering::Release);
    rig.clock.advance(Duration::from_secs(1));
    eventually(|| rig.count("opserver_samples_total") == 1, "the second attempt works");
    assert_eq!(rig.samples_at(FIRST + 1_000_000).len(), 1);
    assert_eq!(rig.count(r#"opserver_polls_total{outcome="failed"}"#), 0);
}

/// What is observed of the stream: its end and its gaps, in seconds after the first poll time.
fn observed(rig: &Rig) -> (i64, Vec<(i64, i64)>) {
    let observed = rig.observations.stream(&stream().to_string()).get().unwrap();
    let seconds = |time: u64| (time as i64 - FIRST as i64).div_euclid(1_000_000);
    (seconds(observed.until), observed.gaps.iter().map(|&(from, until)| (seconds(from), seconds(until))).collect())
}

#[test]
fn polls_that_failed_are_unknown_time_and_those_that_answered_are_observed() {
    let down = Arc::new(AtomicBool::new(false));
    let refuses = Arc::clone(&down);
    let server = Fake::start(move |_| match refuses.load(Ordering::Relaxed) {
        true => Reply::Status(401),
        false => Reply::Body(page(&[("d:p:a", "1")])),
    });
    let rig = Rig::start(settings(&[&server]));
    assert_eq!(observed(&rig), (0, vec![]), "nothing is due before the first poll time");
    rig.poll();
    eventually(|| observed(&rig) == (60, vec![]), "the first interval is observed");
    down.store(true, Ordering::Relaxed);
    for failed in 1..=3 {
        rig.advance_interval();
        eventually(|| server.requests().len() > failed, "the server refuses");
    }
    assert_eq!(observed(&rig), (60, vec![]));
    down.store(false, Ordering::Relaxed);
    rig.poll();
    eventually(|| observed(&rig) == (300, vec![(60, 239)]), "three polls are missing");
}

#[test]
fn an_interval_without_an_answer_counts_as_failed_and_the_next_one_is_tried() {
    let first = AtomicBool::new(true);
    let server = Fake::start(move |_| match first.swap(false, Ordering::AcqRel) {
        true => Reply::Status(500),
        false => Reply::Body(page(&[("d:p:a", "1")])),
    });
    let rig = Rig::start(settings(&[&server]));
    rig.advance_interval();
    eventually(|| rig.count(r#"opserver_server_failures_total{reason="status"}"#) == 1, "it has failed");
    rig.poll();
    assert_eq!(rig.count(r#"opserver_polls_total{outcome="failed"}"#), 1);
    assert_eq!((rig.samples(), rig.samples_at(FIRST + 60_000_000).len()), (1, 1));
}

#[test]
fn intervals_that_pass_during_a_poll_are_skipped_and_no_two_polls_run_at_once() {
    let (go, going) = mpsc::channel::<()>();
    let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, highest) = (Arc::clone(&under_way), Arc::clone(&most));
    let server = Fake::of_bodies(move || {
        highest.fetch_max(counted.fetch_add(1, Ordering::AcqRel) + 1, Ordering::AcqRel);
        let _ = going.recv();
        counted.fetch_sub(1, Ordering::AcqRel);
        page(&[("d:p:a", "1")])
    });
    let rig = Rig::start(PollerSettings { samples: PolledSamples::All, ..settings(&[&server]) });
    rig.advance_interval();
    eventually(|| server.requests().len() == 1, "it is asked");
    rig.clock.advance(3 * INTERVAL);
    thread::sleep(20 * CLOCK_INTERVAL);
    assert_eq!(server.requests().len(), 1);
    go.send(()).unwrap();
    go.send(()).unwrap();
    eventually(|| rig.count("opserver_samples_total") == 2, "the late poll and the next one are done");
    assert_eq!(rig.count(r#"opserver_polls_total{outcome="missed"}"#), 2);
    assert_eq!((rig.samples_at(FIRST).len(), rig.samples_at(FIRST + 180_000_000).len()), (1, 1));
    assert_eq!(most.load(Ordering::Acquire), 1);
}

#[test]
fn a_stop_ends_the_poller_at_once_while_a_server_hangs() {
    let server = Fake::start(|_| Reply::Hang);
    let mut rig = Rig::start(settings(&[&server]));
    rig.advance_interval();
    eventually(|| server.requests().len() == 1, "it is asked");
    let clock = SystemClock::new();
    rig.stop.set();
    rig.thread.take().unwrap().join().unwrap();
    assert!(clock.monotonic() < Duration::from_millis(200), "it took {:?}", clock.monotonic());
}

#[test]
fn after_a_stop_no_server_is_requested() {
    let server = Fake::start(|_| Reply::Status(500));
    let directory = tempfile::tempdir().unwrap();
    let log = Arc::new(EmbeddedLog::open(directory.path(), LogConfig::default()).unwrap());
    let stop = Stop::default();
    stop.set();
    let clock = Arc::new(ManualClock::at(START));
    let settings = settings(&[&server]);
    let observer = observer(&settings, &Observations::default(), START);
    let intake = Intake::new([], 1, PayloadForm::Stored, Duration::from_secs(10));
    let telemetry = PollerTelemetry::default();
    let memory = PollerMemory::default();
    run(Parts { settings, intake, log, local: None, observer, clock, telemetry, memory }, &stop);
    assert_eq!(server.requests(), [""; 0]);
}

#[test]
fn the_wall_clock_may_step_back() {
    let server = in_turn(vec![page(&[("d:p:a", "1")])]);
    let rig = Rig::start(PollerSettings { samples: PolledSamples::All, ..settings(&[&server]) });
    rig.poll();
    let hour_before = FIRST - 3_600_000_000;
    rig.clock.set_wall(hour_before);
    eventually(|| rig.count("opserver_samples_total") == 2, "the poll does not wait an hour");
    assert_eq!(rig.samples_at(hour_before).len(), 1);
    assert_eq!(rig.count(r#"opserver_polls_total{outcome="missed"}"#), 0);
}

#[test]
fn generators_of_a_module_are_asked_one_by_one_and_named_in_the_samples() {
    let server = Fake::start(|path| {
        Reply::Body(match path {
            "/analytics/uves/generators" => r#"[{"href": "x", "name": "c1:Compute:contrail-vrouter-agent:0"},
                {"name": "c1:Compute:contrail-vrouter-nodemgr:0"}, {"name": "c2:Compute:contrail-vrouter-agent:0"}]"#
                .to_owned(),
            path if path.ends_with("&sfilt=c1&mfilt=Compute:contrail-vrouter-agent:0") => page(&[("d:p:a", "1")]),
            path if path.ends_with("&sfilt=c2&mfilt=Compute:contrail-vrouter-agent:0") => page(&[("d:p:a", "2")]),
            _ => return Reply::Status(404),
        })
    });
    let rig = Rig::start(PollerSettings { modules: vec!["contrail-vrouter-agent".to_owned()], ..settings(&[&server]) });
    rig.poll();
    let expected = ["c1:Compute:contrail-vrouter-agent:0 U64(1)", "c2:Compute:contrail-vrouter-agent:0 U64(2)"];
    assert_eq!(rig.samples_at(FIRST), expected.map(|rest| format!("ObjectVNTable:d:p:a {rest}")));
}

#[test]
fn half_a_poll_is_dropped() {
    let served = AtomicUsize::new(0);
    let server = Fake::start(move |path| match (path, served.fetch_add(1, Ordering::AcqRel)) {
        ("/analytics/uves/generators", _) => Reply::Body(r#"[{"name":"a:b:m:0"},{"name":"c:d:m:0"}]"#.to_owned()),
        (_, 1) => Reply::Body(page(&[("d:p:a", "1")])),
        (_, _) => Reply::Status(500),
    });
    let rig = Rig::start(PollerSettings { modules: vec!["m".to_owned()], ..settings(&[&server]) });
    rig.advance_interval();
    eventually(|| server.requests().len() == 3, "the second generator is asked");
    rig.advance_interval();
    eventually(|| rig.count(r#"opserver_polls_total{outcome="failed"}"#) == 1, "the interval has failed");
    assert_eq!(rig.samples(), 0);
}

#[test]
fn the_user_goes_with_the_request_only_if_there_is_one() {
    for (authorization, expected) in [(None, false), (Some(Authorization::basic("me", "hunter2")), true)] {
        let server = in_turn(vec![page(&[])]);
        let rig = Rig::start(PollerSettings { authorization, ..settings(&[&server]) });
        rig.poll();
        let head = server.requests().remove(0);
        let path = "GET /analytics/uves/virtual-network/*?cfilt=UveVirtualNetworkAgent:ingress_flow_count HTTP/1.1";
        assert!(head.starts_with(path), "{head}");
        assert_eq!(head.to_lowercase().contains("authorization:"), expected, "{head}");
        assert_eq!(head.contains("Basic bWU6aHVudGVyMg=="), expected, "{head}");
    }
}

#[test]
fn a_full_log_is_waited_for_and_a_stop_ends_the_wait() {
    let mut served = 0;
    let server = Fake::of_bodies(move || {
        served += 1;
        page(&[("d:p:a", &served.to_string())])
    });
    let config = LogConfig { max_backlog_bytes: 1, ..LogConfig::default() };
    let rig = Rig::with_log(settings(&[&server]), config);
    rig.poll();
    rig.advance_interval();
    eventually(|| server.requests().len() == 2, "it is asked again");
    thread::sleep(20 * CLOCK_INTERVAL);
    assert_eq!(rig.samples(), 1, "the log is full");
    apply_all(&rig.log);
    rig.clock.advance(Duration::from_secs(5));
    eventually(|| rig.count("opserver_samples_total") == 2, "the sample goes once there is room");
    assert_eq!(rig.samples(), 2);
    rig.advance_interval();
    eventually(|| server.requests().len() == 3, "it is asked once more");
    // Dropping the rig waits for the thread.
}

/// Applies all input, as a worker does.
fn apply_all(log: &EmbeddedLog) {
    log.restore(PARTITION).unwrap();
    let cursor = log.read(PARTITION, 0, 1 << 30).unwrap().next_offset();
    let commit = PartitionCommit {
        partition: PARTITION,
        cursor,
        meta: Vec::new(),
        chunks: Vec::new(),
        results: RecordBuffer::default(),
    };
    log.commit(vec![commit], 0).unwrap();
}

#[test]
fn many_samples_go_in_several_batches_and_all_arrive() {
    let server = Fake::of_bodies(|| {
        let names: Vec<_> = (0..30_000).map(|number| format!("d:p:network-{number}")).collect();
        page(&names.iter().map(|name| (name.as_str(), "7")).collect::<Vec<_>>())
    });
    let rig = Rig::start(PollerSettings { max_body_bytes: 10_000_000, ..settings(&[&server]) });
    rig.poll();
    let samples = rig.samples_at(FIRST);
    assert_eq!((samples.len(), rig.count("opserver_samples_total")), (30_000, 30_000));
    assert_eq!(samples[29_999], format!("ObjectVNTable:d:p:network-29999 - {:?}", Number::U64(7)));
}
