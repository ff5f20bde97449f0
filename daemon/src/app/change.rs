//! A change of the configuration while the daemon runs.
//!
//! ```text
//! sources ─► checked as a whole ─► workers and sinks end after a last commit ─► the new file gets its name
//!         ─► workers and sinks start with the new settings ─► the handlers get the new state once it is ready
//! ```
//!
//! The server, the log, the event stream and the sources of an embedding program go on. No worker commits with the new
//! settings before the file has its name, and none with the old ones after it: a process that is killed at any instant
//! starts with the old configuration and its states, or with the new one and the states that it continues.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use daemon_base::failpoint;
use daemon_log::PartitionId;
use daemon_partition::{RestoredStates, TableStatus};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::{AppSettings, SourceMemory, inform_service_manager, shared, start_engine};
use crate::engine::{Engine, Failure};
use crate::http::{Change, Common, Configuration, Current, Outcome, Shared};

/// How long the workers and sinks may take to end. Beyond it only a restart helps.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long the handlers keep the old state while the new one is restored and read.
const UNTIL_READY: Duration = Duration::from_secs(60);

/// Reads the configuration again.
pub(crate) trait Reconfigure: Send + Sync {
    /// The configuration in force, without secrets.
    fn shown(&self) -> Value;

    /// Reads and checks the sources, with `text` in place of the configuration file's.
    ///
    /// # Errors
    ///
    /// Why it cannot be put in force.
    fn prepare(&self, text: Option<String>) -> Result<Prepared, Outcome>;
}

/// A configuration that is ready to be put in force.
pub(crate) struct Prepared {
    /// The settings; `None` if they are those in force.
    pub settings: Option<AppSettings>,
    /// What changes, in words.
    pub report: Value,
    /// The new file, not in its place yet.
    pub file: Option<StagedFile>,
    pub next: Arc<dyn Reconfigure>,
}

/// A file that is written and durable under another name.
pub(crate) struct StagedFile {
    pub from: tempfile::TempPath,
    pub to: PathBuf,
}

impl StagedFile {
    /// Gives the file its name.
    fn put_in_place(self) -> anyhow::Result<()> {
        let Self { from, to } = self;
        from.persist(&to).with_context(|| format!("replace {}", to.display()))?;
        let directory = to.parent().unwrap_or(&to);
        let synced = std::fs::File::open(directory).and_then(|directory| directory.sync_all());
        if let Err(error) = synced {
            // The file has its name; only a power cut could still undo that.
            warn!(%error, directory = %directory.display(), "The new name of the configuration file may not be durable.");
        }
        Ok(())
    }
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

    /// Puts another configuration in force, or answers why not.
    ///
    /// # Errors
    ///
    /// When the engine can run neither with the old settings nor with the new ones.
    pub(super) async fn apply(self, change: Change) -> anyhow::Result<Self> {
        let Change { text, answer } = change;
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
            return Ok(self);
        }
        let switched = tokio::task::spawn_blocking(move || self.switch(text)).await;
        let (mut running, switched) = switched.context("change the configuration")??;
        match switched {
            Switched::No(outcome) => tell(outcome),
            Switched::Yes(outcome, shared) => running.settle(outcome, shared, tell),
        }
        Ok(running)
    }

    /// Prepares the configuration and replaces the engine.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply).
    fn switch(mut self, text: Option<String>) -> anyhow::Result<(Self, Switched)> {
        let Prepared { settings, report, file, next } = match self.reconfigure.prepare(text) {
            Ok(prepared) => prepared,
            Err(outcome) => return Ok((self, Switched::No(outcome))),
        };
        let Some(settings) = settings else {
            let placed = file.map(StagedFile::put_in_place).transpose();
            let outcome = placed.map_or_else(|error| not_replaced(&error), |_| Outcome::Applied(report));
            return Ok((self, Switched::No(outcome)));
        };
        if let Some(reason) = self.engine.replace_hindrance() {
            return Ok((self, Switched::No(Outcome::Refused(vec![reason.to_owned()]))));
        }
        if let Err(error) = self.engine.make_room_for(&settings.engine) {
            return Ok((self, Switched::No(Outcome::Unavailable(format!("{error:#}")))));
        }
        let base = self.engine.pause(PATIENCE).context("change the configuration")?;
        failpoint::point("change.before");
        let placed = file.map(StagedFile::put_in_place).transpose();
        failpoint::point("change.mid");
        let outcome = match placed {
            Ok(_) => {
                (self.settings, self.reconfigure) = (settings, next);
                Outcome::Applied(report)
            }
            Err(error) => not_replaced(&error),
        };
        self.engine = start_engine(&self.settings, &self.memory, base)?;
        inform_service_manager(&mut self.engine)?;
        failpoint::point("change.after");
        let configuration = configuration(&*self.reconfigure, &self.changes);
        let shared = shared(&self.engine, &self.settings, &self.common, Some(configuration));
        Ok((self, Switched::Yes(outcome, shared)))
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
                Outcome::Applied(report) if is_local => {
                    Outcome::Applied(with_states(report, &restored.workers.tables()))
                }
                outcome => outcome,
            });
        }));
    }
}

/// Whether the engine was replaced.
enum Switched {
    No(Outcome),
    /// It was, and the handlers need this state.
    Yes(Outcome, Arc<Shared>),
}

fn not_replaced(error: &anyhow::Error) -> Outcome {
    Outcome::Unavailable(format!("the configuration file cannot be replaced: {error:#}"))
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
            info!("The configuration is the one in force already.")
        }
        Outcome::Applied(report) => info!(%report, "The configuration was changed."),
        Outcome::Invalid(reasons) => {
            let reasons = reasons.join("; ");
            warn!(%reasons, "The configuration is not valid; nothing has changed. Correct it and send SIGHUP again.");
        }
        Outcome::Refused(reasons) => {
            let reasons = reasons.join("; ");
            warn!(%reasons, "The configuration cannot be applied to a running daemon; nothing has changed.");
        }
        Outcome::Unavailable(reason) => warn!(%reason, "The configuration cannot be changed now; nothing has changed."),
    }
}
