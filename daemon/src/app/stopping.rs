//! The running daemon until its stop, and the stop: signals, the deadline, and what is left to end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use daemon_base::clock::Clock;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use super::StopSignals;
use super::change::{Applied, Running};
use crate::engine::{Base, Engine, Failure, StopBy};
use crate::http::Change;
use crate::service_manager;

/// The stop: its signals, and when it must be over.
pub(super) struct Stopping {
    /// The signals, until the first one.
    signals: Option<StopSignals>,
    /// Ends the servers.
    stop: watch::Sender<bool>,
    clock: Arc<dyn Clock>,
    grace: Duration,
    /// The monotonic time by which the stop must be over, once it has begun.
    deadline: Option<Duration>,
}

impl Stopping {
    /// A stop within `grace` that has not begun. `stop` ends the servers.
    pub(super) fn new(signals: StopSignals, stop: watch::Sender<bool>, clock: Arc<dyn Clock>, grace: Duration) -> Self {
        Self { signals: Some(signals), stop, clock, grace, deadline: None }
    }

    /// Announces the stop, once; returns its deadline. A second signal ends the process at once from then on.
    pub(super) fn begin(&mut self) -> Duration {
        if let Some(deadline) = self.deadline {
            return deadline;
        }
        service_manager::stopping();
        if let Some(signals) = self.signals.take() {
            tokio::spawn(signals.exit_on_next());
        }
        self.stop.send_replace(true);
        *self.deadline.insert(self.clock.monotonic() + self.grace)
    }

    /// The name of the next stop signal; never ends after the first one.
    async fn next(&mut self) -> &'static str {
        match &mut self.signals {
            Some(signals) => signals.next().await,
            None => std::future::pending().await,
        }
    }

    /// The end of a change. A signal that comes meanwhile begins the stop, and with it the end of the change.
    async fn during<T>(&mut self, stop_by: &StopBy, change: impl Future<Output = T>) -> T {
        let mut change = std::pin::pin!(change);
        let signal = tokio::select! {
            changed = &mut change => return changed,
            signal = self.next() => signal,
        };
        info!(signal, "Stopping.");
        stop_by.set(self.begin());
        change.await
    }
}

/// Changes the configuration when asked, until the stop. What is left to stop, and whether a part failed.
///
/// # Errors
///
/// When a change leaves an engine that cannot go on.
pub(super) async fn until_stop(
    mut running: Running,
    changes: &mut mpsc::Receiver<Change>,
    servers: &mut JoinSet<()>,
    stopping: &mut Stopping,
) -> anyhow::Result<(Remains, bool)> {
    let failed = running.failed();
    loop {
        let change = running.next_change(changes);
        let change = match next_event(stopping, failed.clone(), servers, change).await {
            Event::Change(change) => change,
            Event::Stop { failure } => return Ok((Remains::engine(running), failure)),
        };
        let stop_by = StopBy::default();
        match stopping.during(&stop_by, running.apply(change, stop_by.clone())).await? {
            Applied::Goes(next) if stop_by.is_set() => return Ok((Remains::engine(*next), false)),
            Applied::Goes(next) => running = *next,
            Applied::Stopped(remains) => return Ok((remains, false)),
        }
    }
}

/// What ends the wait of the running daemon.
enum Event {
    /// The configuration is to be read again.
    Change(Change),
    /// A signal, or a thread or server that failed.
    Stop { failure: bool },
}

async fn next_event(
    stopping: &mut Stopping,
    mut failed: watch::Receiver<Failure>,
    servers: &mut JoinSet<()>,
    change: impl Future<Output = Option<Change>>,
) -> Event {
    tokio::select! {
        signal = stopping.next() => { info!(signal, "Stopping."); Event::Stop { failure: false } }
        Some(ended) = servers.join_next() => {
            error!(?ended, "A server ended before the stop. The daemon stops; restart it.");
            Event::Stop { failure: true }
        }
        _ = failed.wait_for(Failure::has_failed) => Event::Stop { failure: true },
        Some(change) = change => Event::Change(change),
    }
}

/// Finishes the requests in flight, then stops what is left, all until the deadline: requests get half of the grace at
/// most, so that the last commit has time.
pub(super) async fn drain(mut servers: JoinSet<()>, remains: Remains, mut stopping: Stopping) -> anyhow::Result<()> {
    let (deadline, clock) = (stopping.begin(), Arc::clone(&stopping.clock));
    let finished = async { while servers.join_next().await.is_some() {} };
    let patience = (stopping.grace / 2).min(deadline.saturating_sub(clock.monotonic()));
    if tokio::time::timeout(patience, finished).await.is_err() {
        warn!("Requests did not finish within half of shutdown.grace and were aborted.");
    }
    let rest = deadline.saturating_sub(clock.monotonic());
    tokio::task::spawn_blocking(move || remains.stop(rest)).await.context("stop the engine")
}

/// The parts that run when the stop begins.
pub(super) enum Remains {
    Engine(Box<Engine>),
    /// Those that go on over a change: a stop came during one.
    Base(Box<Base>),
}

impl Remains {
    fn engine(running: Running) -> Self {
        Self::Engine(Box::new(running.into_engine()))
    }

    /// Stops them within `grace`.
    pub(super) fn stop(self, grace: Duration) {
        match self {
            Self::Engine(engine) => {
                engine.stop(grace);
            }
            Self::Base(base) => base.stop(grace),
        }
    }
}
