//! A change of the configuration while the daemon runs.
//!
//! ```text
//! sources ─► checked as a whole ─► workers and sinks end after a last commit ─► the new file gets its name
//!         ─► workers and sinks start with the new settings ─► the handlers get the new state once it is ready
//! ```
//!
//! A start that fails gives the old file its name back, and the old settings start again. A stop during the pause ends the
//! daemon with the old configuration.
//!
//! The server, the log, the event stream and the sources of an embedding program go on. No worker commits with the new
//! settings before the file has its name, and none with the old ones after it: a process that is killed at any instant
//! starts with the old configuration and its states, or with the new one and the states that it continues.

mod switch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use daemon_base::repeats::ANSWER;
use daemon_log::PartitionId;
use daemon_partition::{RestoredStates, TableStatus};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use self::switch::Switched;
use super::staged_file::StagedFile;
use super::{AppSettings, Remains, SourceMemory, shared};
use crate::engine::{Engine, Failure, StopBy};
use crate::http::{Change, Common, Configuration, Current, Outcome, Shared, Wanted};

/// How long the handlers keep the old state while the new one is restored and read.
const UNTIL_READY: Duration = Duration::from_secs(60);

/// Reads the configuration again.
pub(crate) trait Reconfigure: Send + Sync {
    /// The configuration in force, without secrets.
    fn shown(&self) -> Value;

    /// Reads and checks the sources, as they are with the change.
    ///
    /// # Errors
    ///
    /// Why it cannot be put in force.
    fn prepare(&self, wanted: Wanted) -> Result<Prepared, Outcome>;
}

/// A configuration that is ready to be put in force.
pub(crate) struct Prepared {
    /// The settings; `None` if they are those in force.
    pub settings: Option<AppSettings>,
    /// What changes, in words.
    pub report: Value,
    /// The new file, not in its place yet.
    pub file: Option<StagedFile>,
    /// On Kafka, the version by which the group agrees on the configuration.
    pub generation: Option<u64>,
    pub next: Arc<dyn Reconfigure>,
}

/// The engine with what its replacement needs.
pub(super) struct Running {
    engine: Engine,
    settings: AppSettings,
    reconfigure: Arc<dyn Reconfigure>,
    changes: mpsc::Sender<Change>,
    common: Common,
    memory: SourceMemory,
    current: Current,
    /// Gives the handlers the state of the last change.
    settling: Option<JoinHandle<()>>,
}

impl Running {
    /// The engine, and the state of its handlers.
    pub(super) fn new(
        engine: Engine,
        settings: &AppSettings,
        reconfigure: Arc<dyn Reconfigure>,
        common: Common,
        memory: SourceMemory,
    ) -> (Self, mpsc::Receiver<Change>) {
        let (changes, requests) = mpsc::channel(1);
        let configuration = configuration(&*reconfigure, &changes);
        let current = Current::new(shared(&engine, settings, &common, Some(configuration)));
        let settings = settings.clone();
        (Self { engine, settings, reconfigure, changes, common, memory, current, settling: None }, requests)
    }

    /// The state of the handlers.
    pub(super) fn current(&self) -> Current {
        self.current.clone()
    }

    /// Whether a thread has failed.
    pub(super) fn failed(&self) -> watch::Receiver<Failure> {
        self.engine.failed.clone()
    }

    /// The next request for a change, once the handlers have the state of the last one. Dropping the future loses none.
    pub(super) async fn next_change(&mut self, changes: &mut mpsc::Receiver<Change>) -> Option<Change> {
        if let Some(settling) = &mut self.settling {
            // It only waits, and for a limited time.
            let _ = settling.await;
        }
        self.settling = None;
        changes.recv().await
    }

    pub(super) fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// The engine, to be stopped.
    pub(super) fn into_engine(self) -> Engine {
        self.engine
    }

    /// Puts another configuration in force, or answers why not. A stop that comes meanwhile shortens it by `stop_by`.
    ///
    /// # Errors
    ///
    /// When the engine can run neither with the old settings nor with the new ones.
    pub(super) async fn apply(self, change: Change, stop_by: StopBy) -> anyhow::Result<Applied> {
        let Change { wanted, answer } = change;
        let telemetry = Arc::clone(&self.engine.telemetry);
        let tell = move |outcome: Outcome| {
            telemetry.configuration.changed(outcome.name());
            log(&outcome);
            if let Some(answer) = answer {
                // The client may have gone.
                let _ = answer.send(outcome);
            }
        };
        let engine = &self.engine;
        if engine.local.is_some() && !*engine.ready.borrow() {
            tell(Outcome::Unavailable("the daemon is starting; try again when GET /readyz returns 200".to_owned()));
            return Ok(Applied::Goes(Box::new(self)));
        }
        let switched = tokio::task::spawn_blocking(move || self.switch(wanted, &stop_by)).await;
        Ok(match switched.context("change the configuration")?? {
            Switched::No(running, outcome) => {
                tell(outcome);
                Applied::Goes(running)
            }
            Switched::Yes(mut running, outcome, shared) => {
                running.settle(outcome, shared, tell);
                Applied::Goes(running)
            }
            Switched::Stopped(base) => {
                tell(Outcome::Unavailable("the daemon stops".to_owned()));
                Applied::Stopped(Remains::Base(base))
            }
        })
    }

    /// Gives the handlers their new state as soon as it is as complete as the old one.
    fn settle(&mut self, outcome: Outcome, shared: Arc<Shared>, tell: impl FnOnce(Outcome) + Send + 'static) {
        let (current, mut ready) = (self.current.clone(), self.engine.ready.clone());
        let mut stopping = self.common.stopping.clone();
        let is_local = self.engine.local.is_some();
        let restored = Arc::clone(&self.engine.telemetry);
        self.settling = Some(tokio::spawn(async move {
            let until_ready = async { tokio::time::timeout(UNTIL_READY, ready.wait_for(|ready| *ready)).await.is_ok() };
            let stopped = async { stopping.wait_for(|stopping| *stopping).await.is_ok() };
            // Where others share the log, restoring may take as long as theirs.
            let is_late = tokio::select! {
                is_ready = until_ready, if is_local => !is_ready,
                _ = stopped, if is_local => false,
                else => false,
            };
            if is_late {
                warn!("The view of the new configuration is not complete yet; it is shown all the same.");
            }
            current.replace(shared);
            tell(match outcome {
                Outcome::Applied(report) => Outcome::Applied(with_states(report, &restored.workers.tables())),
                outcome => outcome,
            });
        }));
    }
}

/// What runs after a change.
pub(super) enum Applied {
    Goes(Box<Running>),
    /// A stop came during the change.
    Stopped(Remains),
}

/// The report with what the partitions have restored.
fn with_states(mut report: Value, tables: &BTreeMap<PartitionId, TableStatus>) -> Value {
    let restored = || tables.values().filter_map(|table| table.restored.as_ref());
    // A state is named with its number of objects, which differs from partition to partition.
    let names = |states: &dyn Fn(&RestoredStates) -> Vec<String>| {
        let all = restored().flat_map(states);
        let named = all.map(|state| state.split(" (").next().unwrap_or_default().to_owned());
        named.collect::<BTreeSet<_>>()
    };
    let kept = restored().map(|states| states.kept).max().unwrap_or(0);
    let (dropped, started) = (names(&|states| states.dropped.clone()), names(&|states| states.started.clone()));
    if let Some(fields) = report.as_object_mut() {
        fields.insert("states".to_owned(), json!({ "kept": kept, "dropped": dropped, "started": started }));
    }
    report
}

fn configuration(reconfigure: &dyn Reconfigure, changes: &mpsc::Sender<Change>) -> Configuration {
    Configuration { shown: Arc::new(reconfigure.shown()), changes: changes.clone() }
}

fn log(outcome: &Outcome) {
    match outcome {
        Outcome::Applied(report) if report["changed"] == false => {
            info!(name: ANSWER, "The configuration is the one in force already.")
        }
        Outcome::Applied(report) => info!(name: ANSWER, %report, "The configuration was changed."),
        Outcome::Accepted(report) => {
            info!(
                name: ANSWER, %report,
                "The configuration was taken over by this daemon; the group agrees on it by kafka.configuration_version."
            )
        }
        Outcome::Failed(reasons) => {
            let reasons = reasons.join("; ");
            error!(
                name: ANSWER, %reasons,
                "The daemon cannot start with the changed configuration; the one before is in force again."
            );
        }
        Outcome::Invalid(reasons) => {
            let reasons = reasons.join("; ");
            warn!(
                name: ANSWER, %reasons,
                "The configuration is not valid; nothing has changed. Correct it and send it again."
            );
        }
        Outcome::Refused(reasons) => {
            let reasons = reasons.join("; ");
            warn!(
                name: ANSWER, %reasons,
                "The configuration cannot be applied to a running daemon; nothing has changed."
            );
        }
        Outcome::Unavailable(reason) => {
            warn!(name: ANSWER, %reason, "The configuration cannot be changed now; nothing has changed.")
        }
    }
}
