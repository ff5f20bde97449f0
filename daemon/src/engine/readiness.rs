//! Whether the daemon is ready: `/readyz` and the log have it from one place.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use daemon_base::stop::Stop;
use daemon_kafka::{GroupTelemetry, RestoreTotals};
use daemon_log::Log;
use tokio::sync::watch;
use tracing::info;

/// How often the log is compared with the state.
const INTERVAL: Duration = Duration::from_millis(200);

/// A countdown of the parts that are not ready.
pub(crate) struct Readiness {
    ready: watch::Sender<bool>,
    missing: Mutex<usize>,
}

impl Readiness {
    /// `parts` parts must report readiness; the receiver turns true with the last one.
    pub(crate) fn new(parts: usize) -> (Arc<Self>, watch::Receiver<bool>) {
        let (ready, receiver) = watch::channel(false);
        (Arc::new(Self { ready, missing: parts.into() }), receiver)
    }

    /// One more part is ready.
    pub(crate) fn one_more(&self) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        *missing = missing.saturating_sub(1);
        if *missing == 0 {
            self.ready.send_replace(true);
        }
    }
}

/// The state of everything that the daemon needs to be ready.
#[derive(Clone)]
pub(crate) struct ReadyState {
    pub(super) log: Arc<dyn Log>,
    /// True once the parts of the [`Readiness`] are.
    pub(super) started: watch::Receiver<bool>,
    pub(super) group: Arc<GroupTelemetry>,
}

impl ReadyState {
    /// Why the daemon is not ready; `None` if it is: the log can write, or the brokers and the input topics are there;
    /// partitions are restored, the view is current.
    pub(crate) fn not_ready_reason(&self) -> Option<String> {
        if let Some(outage) = self.log.outage() {
            return Some(outage.reason);
        }
        match self.group.restores() {
            None if *self.started.borrow() => None,
            None => Some(match self.log.waits_for() {
                Some(reason) => format!("starting: {reason}"),
                None => "starting".to_owned(),
            }),
            Some(RestoreTotals { done, partitions, records, expected }) => Some(format!(
                "restoring: {done} of {partitions} partitions, {records} of at most {expected} state records"
            )),
        }
    }

    /// Logs each change until the stop.
    pub(super) fn log_changes(&self, stop: &Stop) {
        let mut was_ready = false;
        loop {
            match (self.not_ready_reason(), was_ready) {
                (None, false) => {
                    was_ready = true;
                    info!("Ready: all partitions are restored, the view has caught up, and the log can write.");
                }
                (Some(reason), true) => {
                    was_ready = false;
                    info!(reason, "Not ready.");
                }
                _ => {}
            }
            if !stop.rest(INTERVAL) {
                return;
            }
        }
    }
}
