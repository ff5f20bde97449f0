//! The parts of the daemon that the scraper uses.

use std::sync::Arc;

use daemon_base::clock::{Clock, aligned};
use daemon_base::observation::{Observations, Observer};
use daemon_log::PartitionLog;

use super::scrape_store;
use super::{Latest, ScraperSettings, ScraperTelemetry};
use crate::intake::Intake;

/// The settings of the scraper and the parts of the daemon that it uses.
pub struct Parts {
    /// The settings.
    pub settings: ScraperSettings,
    /// The log that results, samples and counters are written to.
    pub log: Arc<dyn PartitionLog>,
    /// The intake that makes records of samples.
    pub intake: Intake,
    /// States which time is scraped; see [`observer`].
    pub observer: Observer,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The counters.
    pub telemetry: ScraperTelemetry,
    /// The newest answers, for the legacy server.
    pub latest: Arc<Latest>,
}

/// Returns the observer of the scraper's streams. Make it before the workers start.
pub fn observer(settings: &ScraperSettings, observations: &Observations, now: u64) -> Observer {
    let names = scrape_store::stream_names();
    // The first scrape is at the next scrape time.
    observations.observer(names.iter().map(String::as_str), aligned(now, settings.interval).end)
}
