//! Contiv: the traffic counters of its nodes, for InfluxDB, for the pipelines and for Contiv's page.
//!
//! At each scrape time, aligned to the epoch, the scraper requests `/svcstats` of every node's Netplugin (`schedule`,
//! `requests`). [`netplugin_adapter`] decodes and merges an answer, and in one write (`scrape_store`) it becomes
//!
//! * a record of its points in the results, which the sinks deliver like any result;
//! * samples: the increases of the counters since the previous scrape, added up by endpoint, provider and service, for
//!   those of the streams `ContivService-BytesIn` and so on that are configured;
//! * the counters of the node, as the baseline of the next scrape.
//!
//! One thread plans and writes; each request has a thread of its own, so a node that hangs delays neither the other
//! nodes nor a stop. Nodes are those of the configuration and those that etcd lists (`discovery`).
//!
//! The streams are observed up to the next scrape time when all nodes have answered. Increases after an interval in
//! which a node did not answer include those of that interval, so that the scrape which brings them is not observed
//! either (see [`Observer`](daemon_base::observation::Observer)).
//!
//! The newest answer of each node is kept (`latest`) for the port of the former Python server (`legacy`).

mod config;
mod coverage;
mod discovery;
mod get;
mod latest;
mod legacy;
mod netmaster;
mod parts;
mod report;
mod requests;
mod schedule;
mod scrape_store;
mod settings;
pub mod simulated;
mod telemetry;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::{Clock, aligned, micros};
use daemon_base::failpoint;
use daemon_base::stop::Stop;
use daemon_log::LogError;
use netplugin_adapter::ServiceStats;
use tracing::warn;

use self::coverage::Coverage;
use self::discovery::Discovery;
use self::get::Getter;
use self::report::Reports;
use self::requests::{Event, Requests, Spawn, spawn};
use self::schedule::Schedule;
use self::scrape_store::{Scrape, ScrapeStore};
use self::settings::Node;

pub use self::config::{ContivConfig, ETCD_PORT, NETMASTER_PORT};
pub use self::latest::Latest;
pub use self::legacy::{LegacyServer, LegacySettings};
pub use self::parts::{Parts, observer};
pub use self::scrape_store::stream_names;
pub use self::settings::ScraperSettings;
pub use self::telemetry::ScraperTelemetry;

/// The pause before the store is opened again after it could not be.
const RETRY: Duration = Duration::from_millis(500);

/// How long the first answer waits for others that go into the same write.
const LINGER: Duration = Duration::from_millis(200);

/// How often the wall clock is read while a scrape time is waited for: it may step.
const CLOCK_INTERVAL: Duration = Duration::from_secs(1);

/// A node's newest answer is valid for this many intervals.
const LATEST_INTERVALS: u32 = 6;

/// Scrapes until `stop` is set.
pub fn run(parts: Parts, stop: &Stop) {
    failpoint::point("contiv.run");
    let store = loop {
        match ScrapeStore::open(Arc::clone(&parts.log), parts.intake.clone(), parts.clock.now_micros()) {
            Ok(store) => break store.leaving_out(parts.settings.stale_after),
            Err(error) => warn!(%error, "The stored counters of Contiv's nodes cannot be read; trying again."),
        }
        if !stop.rest(RETRY) {
            return;
        }
    };
    Scraper::new(parts, store, stop.clone(), CLOCK_INTERVAL, Box::new(spawn)).run();
}

struct Scraper {
    settings: ScraperSettings,
    clock: Arc<dyn Clock>,
    telemetry: ScraperTelemetry,
    latest: Arc<Latest>,
    store: ScrapeStore,
    coverage: Coverage,
    schedule: Schedule,
    requests: Requests,
    stop: Stop,
    clock_interval: Duration,
    /// The time of the current scrape, µs UTC, and by the monotonic clock.
    scrape_time: u64,
    scrape_began: Duration,
    /// The nodes of the current scrape; those that are found meanwhile are scraped from the next one on.
    scraped_nodes: BTreeSet<Arc<str>>,
    /// Scrapes to write, and the monotonic time at which the first of them came.
    waiting: Vec<Scrape>,
    waiting_since: Duration,
    reports: Reports,
    /// `None` without etcd, and while a request to etcd is in flight.
    discovery: Option<Discovery>,
    next_discovery: Duration,
}

impl Scraper {
    fn new(parts: Parts, store: ScrapeStore, stop: Stop, clock_interval: Duration, spawn: Box<Spawn>) -> Self {
        let Parts { settings, clock, telemetry, latest, observer, .. } = parts;
        let coverage = Coverage::new(observer, micros(settings.interval));
        let getter = Getter::new(settings.timeout, settings.max_body_bytes, settings.tls.clone());
        let discovery = (!settings.etcd.is_empty()).then(|| Discovery::new(&settings, &getter));
        let mut schedule = Schedule::new(settings.jitter, settings.concurrency);
        schedule.set_nodes(settings.nodes.iter().cloned());
        telemetry.set_nodes(schedule.names());
        let requests = Requests::new(&settings, getter, &clock, &telemetry, &stop, spawn);
        let mut scraper = Self {
            settings,
            clock,
            telemetry,
            latest,
            store,
            coverage,
            schedule,
            requests,
            stop,
            clock_interval,
            scrape_time: 0,
            scrape_began: Duration::ZERO,
            scraped_nodes: BTreeSet::new(),
            waiting: Vec::new(),
            waiting_since: Duration::ZERO,
            reports: Reports::default(),
            discovery,
            next_discovery: Duration::ZERO,
        };
        // The first scrape is at the next scrape time.
        scraper.scrape_time = scraper.last_scrape_time();
        scraper
    }

    fn run(mut self) {
        while !self.stop.is_set() {
            let now = self.clock.monotonic();
            self.discover(now);
            self.begin_scrape(now);
            while let Some(node) = self.schedule.next(now) {
                if let Err(error) = self.requests.scrape(node.clone(), self.scrape_time) {
                    self.failed(&node, &error);
                }
            }
            if let Some(event) = self.requests.next(self.pause(now)) {
                self.handle(event);
            }
            while let Some(event) = self.requests.try_next() {
                self.handle(event);
            }
            self.write_if_due();
            self.summarise(now);
        }
        self.write();
    }

    /// Returns the last multiple of the interval by the wall clock.
    fn last_scrape_time(&self) -> u64 {
        aligned(self.clock.now_micros(), self.settings.interval).start
    }

    /// Returns how long there is nothing to do after `now` unless an event comes.
    fn pause(&self, now: Duration) -> Duration {
        let wall = self.clock.now_micros();
        let left = Duration::from_micros(aligned(wall, self.settings.interval).end - wall);
        let write = (!self.waiting.is_empty()).then(|| self.waiting_since + LINGER);
        let discovery = self.discovery.as_ref().map(|_| self.next_discovery);
        let due = [self.schedule.next_due(now), write, discovery].into_iter().flatten().min();
        due.map_or(Duration::MAX, |due| due.saturating_sub(now)).min(left).min(self.clock_interval)
    }

    /// Begins the next scrape when its time has come. Its time is another one than before rather than a later one: the
    /// wall clock may step back.
    fn begin_scrape(&mut self, now: Duration) {
        let scrape_time = self.last_scrape_time();
        if scrape_time == self.scrape_time {
            return;
        }
        self.write();
        (self.scrape_time, self.scrape_began) = (scrape_time, now);
        self.schedule.begin(now);
        let known: BTreeSet<_> = self.schedule.names().cloned().collect();
        let kept = self.settings.interval * LATEST_INTERVALS;
        self.latest.keep(&known, now.saturating_sub(kept));
        self.scraped_nodes = known;
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Scraped { node, scrape_time, outcome, took } => match outcome {
                Ok(stats) => self.scraped(&node, scrape_time, stats, took),
                Err(error) => self.failed(&node, &error),
            },
            Event::Discovered { discovery, nodes } => {
                self.discovery = Some(discovery);
                if let Some(found) = nodes {
                    self.set_nodes(found);
                }
            }
        }
    }

    fn scraped(&mut self, node: &Node, scrape_time: u64, stats: ServiceStats, took: Duration) {
        self.telemetry.took(took);
        self.report_answer(node);
        self.report_rejected(node, &stats);
        self.report_misspelt(node, &stats);
        let (now, stats) = (self.clock.monotonic(), Arc::new(stats));
        self.latest.set(Arc::clone(&node.name), self.scrape_began, Arc::clone(&stats));
        if scrape_time != self.scrape_time {
            // The next answer has the same counters and more.
            return self.telemetry.failed(&node.name, "late");
        }
        if self.waiting.is_empty() {
            self.waiting_since = now;
        }
        self.waiting.push(Scrape { node: Arc::clone(&node.name), at: scrape_time, stats });
    }

    fn write_if_due(&mut self) {
        let now = self.clock.monotonic();
        if self.schedule.is_quiet(now) || now.saturating_sub(self.waiting_since) >= LINGER {
            self.write();
        }
    }

    fn write(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let scrapes = std::mem::take(&mut self.waiting);
        match self.store.write_scrapes(&scrapes, self.clock.now_micros()) {
            Ok(written) => {
                self.telemetry.stored(scrapes.len(), written.points, written.samples);
                self.coverage.stored(&scrapes, written.since);
                self.coverage.state(&self.scraped_nodes);
                written.uncounted.iter().for_each(|(node, uncounted)| self.report_uncounted(node, uncounted));
            }
            Err(error) => {
                let reason = if matches!(error, LogError::Full { .. }) { "log_full" } else { "log_failed" };
                scrapes.iter().for_each(|scrape| self.telemetry.failed(&scrape.node, reason));
                warn!(
                    nodes = scrapes.len(), %error,
                    "Scrapes could not be stored; the next scrape contains their increases."
                );
            }
        }
    }
}
