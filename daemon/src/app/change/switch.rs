//! The instant of a change: the engine ends, the file gets its name, and the next engine starts, or the old one again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use daemon_base::failpoint;
use daemon_base::repeats::ANSWER;
use tracing::info;

use super::{Outcome, Prepared, Reconfigure, Running, configuration};
use crate::app::staged_file::{ReplacedFile, StagedFile};
use crate::app::{AppSettings, SourceMemory, shared, start_engine, start_helpers};
use crate::engine::{Base, Engine, FailedStart, StopBy};
use crate::http::{Shared, Wanted};

/// How long the workers and sinks may take to end. Beyond it only a restart helps.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whether the engine was replaced.
pub(super) enum Switched {
    No(Box<Running>, Outcome),
    /// It was, and the handlers need this state.
    Yes(Box<Running>, Outcome, Arc<Shared>),
    /// It has ended, and the daemon shall end.
    Stopped(Box<Base>),
}

/// What takes the place of the running engine.
struct Next {
    settings: AppSettings,
    reconfigure: Arc<dyn Reconfigure>,
    file: Option<StagedFile>,
    /// The outcome, once it has started.
    outcome: Outcome,
}

impl Running {
    /// Prepares the configuration and replaces the engine.
    ///
    /// # Errors
    ///
    /// When the engine can run neither with the old settings nor with the new ones.
    pub(super) fn switch(self, wanted: Wanted, stop_by: &StopBy) -> anyhow::Result<Switched> {
        let Prepared { settings, report, file, next, generation } = match self.reconfigure.prepare(wanted) {
            Ok(prepared) => prepared,
            Err(outcome) => return Ok(Switched::No(Box::new(self), outcome)),
        };
        let Some(settings) = settings else {
            let placed = file.map(StagedFile::put_in_place).transpose();
            let outcome = placed.map_or_else(|error| not_replaced(&error), |_| Outcome::Applied(report));
            return Ok(Switched::No(Box::new(self), outcome));
        };
        if let Some(reason) = self.engine.why_not_replaceable() {
            return Ok(Switched::No(Box::new(self), Outcome::Refused(vec![reason.to_owned()])));
        }
        if let Err(error) = self.engine.make_room_for(&settings.engine) {
            return Ok(Switched::No(Box::new(self), Outcome::Unavailable(format!("{error:#}"))));
        }
        let outcome = Outcome::started(report, generation);
        self.replace(Next { settings, reconfigure: next, file, outcome }, stop_by)
    }

    /// Ends the engine and starts the next one, or one with the old settings if that fails.
    fn replace(self, next: Next, stop_by: &StopBy) -> anyhow::Result<Switched> {
        let Self { engine, settings, reconfigure, changes, common, memory, current, settling } = self;
        info!(name: ANSWER, "The configuration changes: workers and sinks end first.");
        let base = engine.pause(PATIENCE, stop_by).context("change the configuration")?;
        failpoint::point("change.before");
        if stop_by.is_set() {
            return Ok(Switched::Stopped(Box::new(base)));
        }
        let placed = next.file.map(StagedFile::put_in_place).transpose();
        failpoint::point("change.mid");
        let started = match placed {
            Ok(file) => match start(&next.settings, &memory, base) {
                Ok(engine) => Ok((engine, next.settings, next.reconfigure, next.outcome)),
                Err(failed) => Err(go_back(*failed, file)?),
            },
            Err(error) => Err((base, not_replaced(&error))),
        };
        let (engine, settings, reconfigure, outcome) = match started {
            Ok(started) => started,
            Err((base, outcome)) => {
                let again = start(&settings, &memory, base).map_err(|failed| failed.error);
                let engine = again.context("start again with the configuration before the change")?;
                (engine, settings, reconfigure, outcome)
            }
        };
        failpoint::point("change.after");
        let shown = configuration(&*reconfigure, &changes);
        let shared = shared(&engine, &settings, &common, Some(shown));
        let running = Self { engine, settings, reconfigure, changes, common, memory, current, settling };
        Ok(Switched::Yes(Box::new(running), outcome, shared))
    }
}

/// Starts an engine with all that belongs to it.
fn start(settings: &AppSettings, memory: &SourceMemory, base: Base) -> Result<Engine, Box<FailedStart>> {
    let mut engine = start_engine(settings, memory, base)?;
    match start_helpers(&mut engine, &settings.certificates) {
        Ok(()) => Ok(engine),
        Err(error) => Err(engine.give_up(error)),
    }
}

/// Undoes a change whose start failed: the old file gets its name back. Returns what another start needs, and the
/// outcome.
///
/// # Errors
///
/// When threads of the start that failed still run, or the new file keeps its name: the next start would fail, too.
fn go_back(failed: FailedStart, file: Option<ReplacedFile>) -> anyhow::Result<(Base, Outcome)> {
    let FailedStart { error, base } = failed;
    let undone = file.map(ReplacedFile::undo).transpose();
    undone.with_context(|| format!("put the old file back, as the new one cannot start: {error:#}"))?;
    match base {
        Some(base) => Ok((base, Outcome::Failed(vec![format!("{error:#}")]))),
        None => Err(error.context("start with the changed configuration")),
    }
}

fn not_replaced(error: &anyhow::Error) -> Outcome {
    Outcome::Unavailable(format!("the configuration file cannot be replaced: {error:#}"))
}
