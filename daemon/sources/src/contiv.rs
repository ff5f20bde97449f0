//! Contiv: what its nodes say about the traffic of their endpoints, for InfluxDB, for the pipelines and for Contiv's
//! page.
//!
//! At each scrape time, aligned to the epoch, `/svcstats` is requested of every node's Netplugin ([`schedule`],
//! [`get`]). An answer is decoded and merged by [`netplugin_adapter`] and becomes, in one write ([`scrape_store`]),
//!
//! * a record of its points in the results, which the sinks deliver like any result;
//! * samples: the increases of the counters since the scrape before, added up by endpoint, provider and service, for
//!   those of the streams `ContivService-BytesIn` and so on that are configured;
//! * what is remembered of the node for the next time.
//!
//! One thread plans and writes; each request has a thread of its own that ends with it, so a node that hangs holds up
//! neither the others nor a stop. Nodes are those of the configuration and those that etcd names ([`discovery`]).
//!
//! The nodes' newest answers are kept ([`latest`]) for the port of the former Python server ([`legacy`]).

mod config;
mod discovery;
mod get;
mod latest;
mod legacy;
mod netmaster;
mod schedule;
mod scrape_store;
mod settings;
pub mod simulated;
mod telemetry;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use daemon_base::backoff::random_share;
use daemon_base::clock::{Clock, micros};
use daemon_base::stop::Stop;
use daemon_log::{LogError, PartitionLog};
use netplugin_adapter::{DecodeError, Limits, ServiceStats, decode};
use tracing::{error, info, warn};

use self::discovery::Discovery;
use self::get::{GetError, Getter};
use self::schedule::Schedule;
use self::scrape_store::{Scrape, ScrapeStore};
use self::settings::Node;
use crate::intake::Intake;

pub use self::config::{ContivConfig, ETCD_PORT, NETMASTER_PORT};
pub use self::latest::Latest;
pub use self::legacy::{LegacyServer, LegacySettings};
pub use self::settings::ScraperSettings;
pub use self::telemetry::ScraperTelemetry;

/// How long to wait before what is remembered is read again.
const RETRY: Duration = Duration::from_millis(500);

/// How long the first answer waits for others that go into the same write.
const LINGER: Duration = Duration::from_millis(200);

/// How often the wall clock is read while a scrape time is waited for: it may step.
const CLOCK_INTERVAL: Duration = Duration::from_secs(1);

/// A node's newest answer is valid for this many intervals.
const LATEST_INTERVALS: u32 = 6;

/// What the scraper works with.
pub struct Parts {
    pub settings: ScraperSettings,
    pub log: Arc<dyn PartitionLog>,
    pub intake: Intake,
    pub clock: Arc<dyn Clock>,
    pub telemetry: ScraperTelemetry,
    pub latest: Arc<Latest>,
}

/// Scrapes until `stop` is set.
pub fn run(parts: Parts, stop: &Stop) {
    let store = loop {
        match ScrapeStore::open(Arc::clone(&parts.log), parts.intake.clone(), parts.clock.now_micros()) {
            Ok(store) => break store,
            Err(error) => warn!(%error, "What is remembered of Contiv's nodes cannot be read; trying again."),
        }
        if !stop.rest(RETRY) {
            return;
        }
    };
    Scraper::new(parts, store, stop.clone(), CLOCK_INTERVAL).run();
}

struct Scraper {
    parts: Parts,
    store: ScrapeStore,
    schedule: Schedule,
    getter: Getter,
    limits: Limits,
    /// The time of the scrape, µs UTC.
    beat: u64,
    /// Scrapes to write, and since when the first of them waits.
    waiting: Vec<Scrape>,
    waiting_since: Duration,
    /// How many endpoints of each node were rejected last: the same number is not logged again.
    set_aside: BTreeMap<Arc<str>, usize>,
    news: mpsc::Receiver<News>,
    reporter: mpsc::Sender<News>,
    /// `None` while it is asking.
    discovery: Option<Discovery>,
    next_discovery: Duration,
    stop: Stop,
    clock_interval: Duration,
}

/// What the threads of the requests say.
enum News {
    Scraped { node: Node, beat: u64, outcome: Result<ServiceStats, ScrapeError>, took: Duration },
    Discovered { discovery: Discovery, nodes: Option<Vec<Node>> },
}

/// Why a node's answer is missing.
#[derive(Debug, thiserror::Error)]
enum ScrapeError {
    #[error(transparent)]
    Get(#[from] GetError),
    #[error("{0}")]
    Decode(#[from] DecodeError),
}

impl ScrapeError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Get(error) => error.reason(),
            Self::Decode(error) => error.kind(),
        }
    }
}

impl Scraper {
    fn new(parts: Parts, store: ScrapeStore, stop: Stop, clock_interval: Duration) -> Self {
        let settings = &parts.settings;
        let (reporter, news) = mpsc::channel();
        let getter = Getter::new(settings.timeout, settings.max_body_bytes);
        let discovery = Discovery::new(settings, &getter);
        let mut schedule = Schedule::new(settings.jitter, settings.concurrency);
        schedule.set_nodes(settings.nodes.iter().cloned());
        parts.telemetry.set_nodes(settings.nodes.len());
        Self {
            limits: Limits { body_bytes: settings.max_body_bytes, ..Limits::default() },
            store,
            schedule,
            getter,
            beat: 0,
            waiting: Vec::new(),
            waiting_since: Duration::ZERO,
            set_aside: BTreeMap::new(),
            news,
            reporter,
            discovery: (!settings.etcd.is_empty()).then_some(discovery),
            next_discovery: Duration::ZERO,
            stop,
            clock_interval,
            parts,
        }
    }

    fn run(mut self) {
        self.beat = self.beat_now();
        while !self.stop.is_set() {
            let now = self.parts.clock.monotonic();
            self.discover(now);
            self.begin_beat(now);
            while let Some(node) = self.schedule.next(now) {
                self.ask(node);
            }
            if let Some(news) = self.stop.wait_for(self.pause(now), || self.news.try_recv().ok()) {
                self.hear(news);
            }
            while let Ok(news) = self.news.try_recv() {
                self.hear(news);
            }
            self.write_if_due();
        }
        self.write();
    }

    /// The time of the current scrape interval.
    fn beat_now(&self) -> u64 {
        let (now, interval) = (self.parts.clock.now_micros(), micros(self.parts.settings.interval).max(1));
        now - now % interval
    }

    /// How long there is nothing to do after `now`, unless an answer comes.
    fn pause(&self, now: Duration) -> Duration {
        let interval = micros(self.parts.settings.interval).max(1);
        let left_of_beat = Duration::from_micros(interval - self.parts.clock.now_micros() % interval);
        let due = self.schedule.next_due(now);
        let write = (!self.waiting.is_empty()).then(|| self.waiting_since + LINGER);
        let discovery = self.discovery.as_ref().map(|_| self.next_discovery);
        let next = [due, write, discovery].into_iter().flatten().min().map(|at| at.saturating_sub(now));
        next.unwrap_or(Duration::MAX).min(left_of_beat).min(self.clock_interval)
    }

    /// Another interval rather than a later one: the wall clock may step back.
    fn begin_beat(&mut self, now: Duration) {
        let beat = self.beat_now();
        if beat == self.beat {
            return;
        }
        self.write();
        self.beat = beat;
        self.schedule.begin(now);
        let known: BTreeSet<_> = self.schedule.names().cloned().collect();
        let kept = self.parts.settings.interval * LATEST_INTERVALS;
        self.parts.latest.keep(&known, now.saturating_sub(kept));
    }

    fn ask(&self, node: Node) {
        let (getter, limits, beat) = (self.getter.clone(), self.limits, self.beat);
        let (reporter, clock, name) = (self.reporter.clone(), Arc::clone(&self.parts.clock), Arc::clone(&node.name));
        let stop = self.stop.clone();
        let request = move || {
            let began = clock.monotonic();
            let outcome = scrape(&getter, &node, &limits);
            let took = clock.monotonic().saturating_sub(began);
            // Nobody listens any more after a stop.
            let _ = reporter.send(News::Scraped { node, beat, outcome, took });
            stop.wake();
        };
        if let Err(error) = thread::Builder::new().name("contiv-get".to_owned()).spawn(request) {
            error!(node = &*name, %error, "No thread could be started to scrape a node.");
        }
    }

    fn discover(&mut self, now: Duration) {
        if now < self.next_discovery {
            return;
        }
        let Some(mut discovery) = self.discovery.take() else { return };
        self.next_discovery = now + self.parts.settings.discovery_interval;
        let (reporter, telemetry, stop) = (self.reporter.clone(), self.parts.telemetry.clone(), self.stop.clone());
        let ask = move || {
            let nodes = discovery.ask(now, &telemetry);
            let _ = reporter.send(News::Discovered { discovery, nodes });
            stop.wake();
        };
        if let Err(error) = thread::Builder::new().name("contiv-etcd".to_owned()).spawn(ask) {
            error!(%error, "No thread could be started to ask etcd; the nodes known now are scraped on.");
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Scraped { node, beat, outcome, took } => match outcome {
                Ok(stats) => self.scraped(&node, beat, stats, took),
                Err(error) => self.failed(&node, &error),
            },
            News::Discovered { discovery, nodes } => {
                self.discovery = Some(discovery);
                if let Some(found) = nodes {
                    self.set_nodes(found);
                }
            }
        }
    }

    fn set_nodes(&mut self, found: Vec<Node>) {
        let all: BTreeSet<Node> = self.parts.settings.nodes.iter().cloned().chain(found).collect();
        let known = self.schedule.names().count();
        self.schedule.set_nodes(all);
        let count = self.schedule.names().count();
        if count != known {
            info!(nodes = count, "Contiv's nodes have changed.");
        }
        self.parts.telemetry.set_nodes(count);
    }

    fn scraped(&mut self, node: &Node, beat: u64, stats: ServiceStats, took: Duration) {
        let Parts { telemetry, latest, clock, .. } = &self.parts;
        telemetry.took(took);
        if self.schedule.worked(&node.name) {
            info!(node = &*node.name, "A node of Contiv answers again.");
        }
        for rejected in stats.rejected() {
            telemetry.rejected(&node.name, rejected.reason.kind());
        }
        let before = self.set_aside.insert(Arc::clone(&node.name), stats.rejected().len()).unwrap_or(0);
        if let Some(first) = stats.rejected().first().filter(|_| stats.rejected().len() != before) {
            let (endpoint, reason, count) = (&first.endpoint, &first.reason, stats.rejected().len());
            warn!(node = &*node.name, %endpoint, %reason, count, "Endpoints of a node are set aside; the others count.");
        }
        let (now, stats) = (clock.monotonic(), Arc::new(stats));
        latest.set(Arc::clone(&node.name), now, Arc::clone(&stats));
        if beat != self.beat {
            // The beat is over: the next answer has the same counters and more.
            return telemetry.failed(&node.name, "late");
        }
        if self.waiting.is_empty() {
            self.waiting_since = now;
        }
        self.waiting.push(Scrape { node: Arc::clone(&node.name), at: beat, stats });
    }

    fn failed(&mut self, node: &Node, error: &ScrapeError) {
        self.parts.telemetry.failed(&node.name, error.reason());
        if self.schedule.failed(&node.name, self.parts.clock.monotonic(), random_share()) {
            warn!(node = &*node.name, %error, "A node of Contiv could not be scraped; it is tried again and again.");
        }
    }

    fn write_if_due(&mut self) {
        let now = self.parts.clock.monotonic();
        if self.schedule.is_quiet(now) || now.saturating_sub(self.waiting_since) >= LINGER {
            self.write();
        }
    }

    fn write(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let scrapes = std::mem::take(&mut self.waiting);
        let Parts { clock, telemetry, .. } = &self.parts;
        match self.store.write_scrapes(&scrapes, clock.now_micros()) {
            Ok(written) => telemetry.stored(scrapes.len(), written.points, written.samples),
            Err(error) => {
                let reason = if matches!(error, LogError::Full { .. }) { "log_full" } else { "log_failed" };
                scrapes.iter().for_each(|scrape| telemetry.failed(&scrape.node, reason));
                warn!(nodes = scrapes.len(), %error, "Scrapes could not be stored; the next ones bring their traffic.");
            }
        }
    }
}

fn scrape(getter: &Getter, node: &Node, limits: &Limits) -> Result<ServiceStats, ScrapeError> {
    let body = getter.get(&format!("http://{}/svcstats", node.address))?;
    Ok(decode(&body, limits)?)
}
