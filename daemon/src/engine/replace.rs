//! The replacement of an engine by one with other settings: the pause, and the way back from a start that failed.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use daemon_log::PartitionLog as _;
use tracing::warn;

use super::{Base, Engine, EngineSettings};
use daemon_view::ViewSink;

/// How long sinks that are replaced may deliver their backlog. What is left then is for the sinks of the next settings.
const BACKLOG_PATIENCE: Duration = Duration::from_secs(30);

/// How long the threads of a start that failed may take to end.
const FAILED_PATIENCE: Duration = Duration::from_secs(30);

/// The monotonic time by which a stop that comes during a pause must be over; none until it comes.
#[derive(Clone, Debug, Default)]
pub(crate) struct StopBy(Arc<OnceLock<Duration>>);

impl StopBy {
    /// Shortens the pause to `deadline`. The first one counts.
    pub(crate) fn set(&self, deadline: Duration) {
        let _ = self.0.set(deadline);
    }

    /// Whether the daemon is to stop.
    pub(crate) fn is_set(&self) -> bool {
        self.0.get().is_some()
    }

    fn or(&self, deadline: Duration) -> Duration {
        self.0.get().map_or(deadline, |stop| deadline.min(*stop))
    }
}

/// A start that failed.
pub(crate) struct FailedStart {
    /// Why.
    pub error: anyhow::Error,
    /// What another start can use; `None` if threads of this one still run.
    pub base: Option<Base>,
}

impl FailedStart {
    /// A start that failed before it started a thread.
    pub(super) fn before(error: anyhow::Error, base: Base) -> Box<Self> {
        Box::new(Self { error, base: Some(base) })
    }
}

impl Engine {
    /// Ends the workers and the sinks of these settings, each after its last commit, and returns what goes on: the log, the
    /// event stream, what has been observed, sources and sinks of an embedding program. A stop that comes meanwhile
    /// shortens `patience`.
    ///
    /// # Errors
    ///
    /// When a thread did not end in `patience`: then only a restart helps.
    pub(crate) fn pause(mut self, patience: Duration, stop_by: &StopBy) -> anyhow::Result<Base> {
        let deadline = self.clock.monotonic() + patience;
        self.control.is_replaced.store(true, Ordering::Release);
        self.control.stop.set();
        self.wake_all();
        let workers = self.workers.wait_until(&*self.clock, || stop_by.or(deadline));
        self.stop_sinks.set();
        self.wake_all();
        let cut = deadline.min(self.clock.monotonic() + BACKLOG_PATIENCE);
        let delivered = self.sinks.wait_until(&*self.clock, || stop_by.or(cut));
        self.cut_sinks.store(true, Ordering::Release);
        let sinks = delivered || self.sinks.wait_until(&*self.clock, || stop_by.or(deadline));
        if !(workers && sinks) && stop_by.is_set() {
            warn!("Not everything ended in time; what is missing is done again at the next start.");
        } else {
            anyhow::ensure!(
                workers && sinks,
                "a thread did not end within {} s; restart the daemon",
                patience.as_secs()
            );
        }
        self.telemetry.workers.remove_tables();
        for name in &self.built_in_sinks {
            let next = self.telemetry.sinks.remove(name);
            if name == ViewSink::NAME {
                self.base.events_from = next.unwrap_or(0).max(self.events_from);
            }
        }
        self.base.algorithms = self.algorithms;
        Ok(self.base)
    }

    /// Ends what a start that failed with `error` has started.
    pub(crate) fn give_up(self, error: anyhow::Error) -> Box<FailedStart> {
        Box::new(match self.pause(FAILED_PATIENCE, &StopBy::default()) {
            Ok(base) => FailedStart { error, base: Some(base) },
            Err(left) => FailedStart { error: error.context(left), base: None },
        })
    }

    /// Why the settings of this engine cannot be replaced while it runs, if they cannot.
    pub(crate) fn why_not_replaceable(&self) -> Option<&'static str> {
        let is_shared = self.local.is_none() && self.base.has_own_parts;
        is_shared.then_some("sources and sinks of this program hold the connection to Kafka; restart the daemon")
    }

    /// Makes sure, before anything ends, that the log takes what other settings need of it.
    ///
    /// # Errors
    ///
    /// When it cannot write.
    pub(crate) fn make_room_for(&self, settings: &EngineSettings) -> anyhow::Result<()> {
        let Some(log) = &self.base.embedded else { return Ok(()) };
        if let Some(outage) = self.log.outage() {
            anyhow::bail!("the log cannot write: {}", outage.reason);
        }
        for plan in &settings.plans {
            let name = plan.stream().to_string();
            log.stream_id(&name).with_context(|| format!("register the stream {name}"))?;
        }
        Ok(())
    }
}
