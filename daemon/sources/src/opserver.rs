//! A poller of Contrail's analytics API: the source of samples where collectors publish none to Kafka, as since
//! release 5.1.
//!
//! At each poll time, aligned to the epoch, it requests the configured attributes of all objects and appends their
//! values to the input as samples with the time of the poll. A poll is one server's whole answer or nothing: half an
//! answer would look like a drop.
//!
//! # What the API answers
//!
//! Found in `contrail-opserver` of contrail-analytics: `opserver.py` (`dyn_http_get`), `uveserver.py` (`get_uve`,
//! `multi_uve_get`, `ParallelAggregator.aggregate`), `opserver_util.py` (`uve_attr_flatten`), and in the examples of
//! `docs/opserver.rst`.
//!
//! * A `*` in the name and every filter make the answer **flat**, with or without `flat`: `{"value":
//!   [{"name": "default-domain:demo:vn1", "value": {"UveVirtualNetworkAgent": {"ingress_flow_count": 31}}}]}`.
//! * An integer declared with `aggtype="sum"`, as both flow counts are, is **added up over the sources**, each with its
//!   last value, and stands alone: `31`, or not flat `{"@type": "u32", "@aggtype": "sum", "#text": "31"}`. Neither
//!   form names the sources.
//! * Others are put together by value: `[[31, "cmp1:Compute:contrail-vrouter-agent:0"], [7, "cmp2:…", "cmp3:…"]]`, one
//!   part for each value with all sources that have it. Not flat, this is so for one value too, and the value is an
//!   element, `{"@type": "u32", "#text": "31"}`. Flat, one value stands **alone**, however many sources have it.
//! * An element without text is `null` in the flat form and has no `#text` in the other. 8-bit integers stay texts.
//! * `sfilt=<host>&mfilt=<type>:<module>:<instance>` leaves one generator, and that is the only way to the values by
//!   source of what is added up. [`PollerSettings::modules`] selects it; it costs a request for each generator, and for
//!   each the API reads its whole table.
//!
//! `answer` decodes all of these.
//!
//! # Changes or all
//!
//! A vrouter reports its current number of flows, and a proxy UVE adds up the samples of a period. With
//! [`PolledSamples::All`] and the interval equal to the period there is one sample of each source in each period, and
//! the sum is what the sources had. With [`PolledSamples::Changes`] a value is a sample only when it differs from the
//! poll before, as a collector forwards an attribute when an agent sends it, which is when it changed: a constant
//! source is missing in the sum. [`PollerMemory`] keeps the values over a change of the settings, not over a restart.
//!
//! # Time
//!
//! The first poll waits for the next poll time, so that a restart does not put two polls into one period. There is
//! never more than one poll in flight; poll times that pass meanwhile are skipped and counted. A poll that failed is
//! tried again until the next poll time, after the rest of the servers, also after a change of the settings.
//!
//! A poll whose samples are in the log observes the streams that ever had a value up to the next poll time. The poll times
//! of those that failed or were skipped are unknown time (see [`Observer`]).

mod answer;
mod appender;
mod changes;
mod client;
mod config;
mod memory;
mod parts;
mod polled;
mod requests;
mod settings;
mod telemetry;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use daemon_base::backoff::random_share;
use daemon_base::clock::{Clock, aligned, micros};
use daemon_base::failpoint;
use daemon_base::observation::Observer;
use daemon_base::servers::Servers;
use daemon_base::stop::Stop;
use daemon_log::LogError;
use tracing::{error, info, warn};

use self::answer::{Reading, Request};
use self::appender::Appender;
use self::client::{Client, FetchError};
use self::polled::Polled;
use self::telemetry::{Outcome, Rejected};

pub use self::config::{OpserverConfig, PORT, PolledSamples};
pub use self::memory::PollerMemory;
pub use self::parts::{Parts, confirm_polled, observer};
pub use self::settings::PollerSettings;
pub use self::telemetry::PollerTelemetry;

/// The pause before the log is read again after it could not be.
const RETRY: Duration = Duration::from_millis(500);

/// How often the wall clock is read while a poll time is waited for: it may step.
const CLOCK_INTERVAL: Duration = Duration::from_secs(1);

/// Polls until `stop` is set.
pub fn run(parts: Parts, stop: &Stop) {
    failpoint::point("opserver.run");
    let polled = loop {
        let streams = Appender::names(&parts.settings.streams);
        match Polled::open(parts.local.clone(), streams, parts.clock.now_micros()) {
            Ok(polled) => break polled,
            Err(error) => warn!(%error, "The names of the polled streams cannot be read; trying again."),
        }
        if !stop.rest(RETRY) {
            return;
        }
    };
    Poller::new(parts, polled, stop.clone(), CLOCK_INTERVAL).run();
}

struct Poller {
    settings: PollerSettings,
    client: Client,
    servers: Servers,
    memory: PollerMemory,
    appender: Appender,
    observer: Observer,
    polled: Polled,
    clock: Arc<dyn Clock>,
    telemetry: PollerTelemetry,
    stop: Stop,
    clock_interval: Duration,
    /// The number of the current poll interval.
    interval: u64,
}

impl Poller {
    fn new(parts: Parts, polled: Polled, stop: Stop, clock_interval: Duration) -> Self {
        let Parts { settings, intake, log, observer, clock, telemetry, memory, .. } = parts;
        let appender = Appender {
            intake,
            log,
            clock: Arc::clone(&clock),
            stop: stop.clone(),
            clock_interval,
            streams: Appender::names(&settings.streams),
        };
        let mut poller = Self {
            client: Client::new(&settings, stop.clone()),
            servers: Servers::new(settings.servers.clone()),
            memory,
            appender,
            observer,
            polled,
            settings,
            clock,
            telemetry,
            stop,
            clock_interval,
            interval: 0,
        };
        poller.interval = poller.memory.begin(&poller.appender.streams, poller.interval_now());
        poller
    }

    fn run(mut self) {
        while let Some(next) = self.wait_for_interval() {
            // Where the wall clock stepped back, nothing was missed.
            let missed = next.saturating_sub(self.interval).saturating_sub(1);
            self.telemetry.ended(Outcome::Missed, missed);
            self.interval = next;
            if self.poll() {
                self.memory.ended(next);
            }
        }
    }

    /// Returns the number of the poll interval by the wall clock.
    fn interval_now(&self) -> u64 {
        self.clock.now_micros() / micros(self.settings.interval).max(1)
    }

    /// Waits for another interval than the last; `None` after a stop. It need not be a later one: the wall clock may step
    /// back, and waiting for it to catch up could take for ever.
    fn wait_for_interval(&self) -> Option<u64> {
        while !self.stop.is_set() {
            let interval = self.interval_now();
            if interval != self.interval {
                return Some(interval);
            }
            self.stop.rest(self.left_of_interval().min(self.clock_interval));
        }
        None
    }

    /// Returns how long the interval lasts if the wall clock does not step.
    fn left_of_interval(&self) -> Duration {
        let now = self.clock.now_micros();
        Duration::from_micros(aligned(now, self.settings.interval).end - now)
    }

    /// Polls once, with retries until the interval is over. Returns `false` if a stop came before the end.
    fn poll(&mut self) -> bool {
        loop {
            let at = self.clock.now_micros();
            if let Some(readings) = self.request_servers() {
                return self.append(readings, at);
            }
            loop {
                if self.stop.is_set() {
                    return false;
                }
                if self.interval_now() != self.interval {
                    self.telemetry.ended(Outcome::Failed, 1);
                    return true;
                }
                let rest = self.servers.rested_at().saturating_sub(self.clock.monotonic());
                if rest.is_zero() {
                    break;
                }
                self.stop.rest(rest.min(self.left_of_interval()).min(self.clock_interval));
            }
        }
    }

    /// Returns the answer of the first server that gives one; `None` if none does, or after a stop.
    fn request_servers(&mut self) -> Option<Vec<Reading>> {
        while let Some(server) = self.servers.next(self.clock.monotonic()) {
            match self.request(self.servers.base(server)) {
                Ok((readings, rejected)) => {
                    if self.servers.worked(server) {
                        info!(server = self.servers.base(server), "The analytics API answers again.");
                    }
                    rejected.into_iter().for_each(|reason| self.telemetry.rejected(reason));
                    return Some(readings);
                }
                Err(FetchError::Stopped) => return None,
                Err(error) => {
                    warn!(server = self.servers.base(server), %error, "The analytics API could not be polled.");
                    self.servers.failed(server, self.clock.monotonic(), random_share());
                    self.telemetry.server_failed(error.reason());
                }
            }
        }
        None
    }

    /// Requests all readings from one server.
    fn request(&self, base: &str) -> Result<(Vec<Reading>, Vec<Rejected>), FetchError> {
        let (mut readings, mut rejected) = (Vec::new(), Vec::new());
        for generator in self.generators(base)? {
            for (uve_type, table) in &self.settings.uve_types {
                let path = requests::objects(uve_type, &self.settings.streams, generator.as_deref());
                let body = self.client.get(&format!("{base}{path}"))?;
                let request = Request { table, streams: &self.settings.streams, source: generator.as_ref() };
                answer::decode(&body, request, |reading| match reading {
                    Ok(reading) => readings.push(reading),
                    Err(reason) => rejected.push(reason),
                })?;
            }
        }
        Ok((readings, rejected))
    }

    /// Returns the generators to request one by one; `None` stands for all at once.
    fn generators(&self, base: &str) -> Result<Vec<Option<Arc<str>>>, FetchError> {
        if self.settings.modules.is_empty() {
            return Ok(vec![None]);
        }
        let names = answer::names(&self.client.get(&format!("{base}{}", requests::GENERATORS))?)?;
        let of_modules = names.into_iter().filter(|name| requests::is_of_module(name, &self.settings.modules));
        let generators: Vec<_> = of_modules.map(|name| Some(Arc::from(name))).collect();
        if generators.is_empty() {
            warn!(modules = ?self.settings.modules, "The analytics API lists no generator of opserver.modules; check the names.");
        }
        Ok(generators)
    }

    /// States that the interval of a poll at `at` (µs UTC) is observed.
    fn observed(&self, at: u64) {
        let interval = aligned(at, self.settings.interval);
        self.observer.observed_of(|stream| self.polled.contains(stream), interval.start, interval.end);
    }

    /// Appends what a poll at `at` (µs UTC) read. Returns `false` if a stop came before all was appended.
    fn append(&mut self, mut samples: Vec<Reading>, at: u64) -> bool {
        if let Err(error) = self.polled.add(&samples, self.clock.now_micros()) {
            return self.lost(&error);
        }
        if self.settings.samples == PolledSamples::Changes {
            self.memory.retain_changes(&mut samples, |reason| self.telemetry.rejected(reason));
        }
        match self.appender.append(&samples, at, &self.telemetry) {
            Ok(true) => {
                self.telemetry.ended(Outcome::Ok, 1);
                self.observed(at);
                true
            }
            Ok(false) => {
                // Some may not be in the log: the next poller must not take them for unchanged.
                self.memory.forget_values();
                false
            }
            Err(error) => self.lost(&error),
        }
    }

    /// Ends a poll whose samples are lost: at the next one all have changed.
    fn lost(&mut self, error: &LogError) -> bool {
        error!(%error, "Polled samples could not be stored and are lost.");
        self.memory.forget_values();
        self.telemetry.ended(Outcome::LogFailed, 1);
        true
    }
}
