//! The parts of the daemon that the poller uses.

use std::sync::Arc;

use daemon_base::clock::{Clock, aligned};
use daemon_log::{Log, Observations, Observer};

use super::appender::Appender;
use super::{PollerSettings, PollerTelemetry};
use crate::intake::Intake;

/// The parts of the daemon that the poller uses.
pub struct Parts {
    /// The settings.
    pub settings: PollerSettings,
    /// The intake that makes records of samples.
    pub intake: Intake,
    /// The log that samples are written to.
    pub log: Arc<dyn Log>,
    /// States which time is polled; see [`observer`].
    pub observer: Observer,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The counters.
    pub telemetry: PollerTelemetry,
}

/// Returns the observer of the poller's streams, of which others may bring the samples. Make it before the workers
/// start.
pub fn observer(settings: &PollerSettings, observations: &Observations, now: u64) -> Observer {
    let names = Appender::names(&settings.streams);
    // The first poll is at the next poll time.
    observations.candidate(names.iter().map(String::as_str), aligned(now, settings.interval).end)
}
