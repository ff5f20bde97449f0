//! The parts of the daemon that the poller uses.

use std::sync::Arc;

use daemon_base::clock::{Clock, aligned};
use daemon_base::observation::{Observations, Observer};
use daemon_log::{Log, LogError, PartitionLog};

use super::appender::Appender;
use super::polled;
use super::{PollerMemory, PollerSettings, PollerTelemetry};
use crate::intake::Intake;

/// The parts of the daemon that the poller uses.
pub struct Parts {
    /// The settings.
    pub settings: PollerSettings,
    /// The intake that makes records of samples.
    pub intake: Intake,
    /// The log that samples are written to.
    pub log: Arc<dyn Log>,
    /// The same log, unless other processes share it.
    pub local: Option<Arc<dyn PartitionLog>>,
    /// States which time is polled; see [`observer`].
    pub observer: Observer,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The counters.
    pub telemetry: PollerTelemetry,
    /// What the poller before this one has kept; empty for the first one.
    pub memory: PollerMemory,
}

/// Makes the poller certain of the streams of which a poll had a value, in this process or an earlier one, if they are
/// polled now. Call it after [`observer`] and before the workers start.
///
/// # Errors
///
/// When the log cannot be used.
pub fn confirm_polled(log: &dyn PartitionLog, observations: &Observations) -> Result<(), LogError> {
    if !observations.has_candidates() {
        // Without a poller the log gets no state of one, and keeps none.
        return polled::forget(log);
    }
    let names = polled::names(log)?;
    observations.confirm(names.iter().map(String::as_str));
    Ok(())
}

/// Returns the observer of the poller's streams, of which others may bring the samples. Make it before the workers
/// start.
pub fn observer(settings: &PollerSettings, observations: &Observations, now: u64) -> Observer {
    let names = Appender::names(&settings.streams);
    // The first poll is at the next poll time.
    observations.candidate(names.iter().map(String::as_str), aligned(now, settings.interval).end)
}
