//! What outlives the workers: the parts of an engine that a change of its settings leaves as they are.

use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::Clock;
use daemon_base::observation::Observations;
use daemon_base::stop::Stop;
use daemon_log::{EmbeddedLog, Log as _};
use daemon_partition::Taps;
use daemon_sources::intake::{CurrentIntake, Intake, PayloadForm};
use derived_stats::Registry;
use tokio::sync::watch;
use tracing::warn;

use super::failure::Failure;
use super::threads::Threads;
use crate::telemetry::Telemetry;
use daemon_view::EventHub;

/// The parts of an engine that start once in a process.
pub(crate) struct Base {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) events: Arc<EventHub>,
    pub(super) observations: Observations,
    pub(super) taps: Taps,
    /// The algorithms of the embedding program.
    pub(super) algorithms: Arc<Registry>,
    /// The log, once it is open.
    pub(super) embedded: Option<Arc<EmbeddedLog>>,
    /// The intake of the sources that keep running.
    pub(super) intake: CurrentIntake,
    /// The first result that the clients of the event stream have not got.
    pub(super) events_from: u64,
    /// Whether sources or sinks of an embedding program run: they hold the log for as long as the process lives.
    pub(super) has_own_parts: bool,
    pub(super) failure: Arc<watch::Sender<Failure>>,
    pub(super) failed: watch::Receiver<Failure>,
    pub(super) stop_sources: Stop,
    pub(super) sources: Threads,
    pub(super) stop_helpers: Stop,
    pub(super) helpers: Threads,
}

impl Base {
    /// Nothing runs yet.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let (failure, failed) = watch::channel(Failure::None);
        let failure = Arc::new(failure);
        let (stop_sources, stop_helpers) = (Stop::default(), Stop::default());
        Self {
            clock,
            telemetry: Arc::default(),
            events: Arc::default(),
            observations: Observations::default(),
            taps: Taps::default(),
            algorithms: Arc::default(),
            embedded: None,
            intake: CurrentIntake::new(Intake::new([], 1, PayloadForm::Stored, Duration::ZERO)),
            events_from: 0,
            has_own_parts: false,
            sources: Threads::new(stop_sources.clone(), Arc::clone(&failure)),
            stop_sources,
            helpers: Threads::new(stop_helpers.clone(), Arc::clone(&failure)),
            stop_helpers,
            failure,
            failed,
        }
    }

    /// What the sources have observed, for the observers of the next start.
    pub(crate) fn observations(&self) -> &Observations {
        &self.observations
    }

    /// The wall clock in microseconds since the epoch.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now_micros()
    }

    /// Stops what goes on over a change: sources and sinks of an embedding program, and helpers.
    pub(crate) fn stop(mut self, grace: Duration) {
        let deadline = self.clock.monotonic() + grace;
        self.stop_sources.set();
        let sources = self.sources.wait(&*self.clock, deadline);
        self.stop_helpers.set();
        if let Some(log) = &self.embedded {
            log.wake_all();
        }
        let helpers = self.helpers.wait(&*self.clock, deadline);
        if !(sources && helpers) {
            warn!("Not everything ended in time; what is missing is done again at the next start.");
        }
    }

    /// Puts an intake in force, also for the sources that run.
    pub(super) fn replace_intake(&self, intake: &Intake) {
        self.intake.replace(intake.clone());
    }
}
