//! The start of the engine with the daemon's own sources.

use std::sync::Arc;

use anyhow::Context as _;
use daemon_base::observation::Observer;
use daemon_sources::contiv::{self, Latest, ScraperSettings};
use daemon_sources::opserver::{self, PollerMemory, PollerSettings};

use super::AppSettings;
use crate::engine::{Base, Engine, FailedStart};

/// What the daemon's own sources keep over a change of the configuration.
#[derive(Clone, Default)]
pub(super) struct SourceMemory {
    /// The last scrapes, which Contiv's page shows.
    pub latest: Arc<Latest>,
    pub poller: PollerMemory,
}

/// Starts the engine on `base`, with the daemon's own sources. Workers must know which streams have an observer before
/// they start.
///
/// # Errors
///
/// When a part cannot start; what a start with other settings needs is in the error.
pub(super) fn start_engine(
    settings: &AppSettings,
    memory: &SourceMemory,
    base: Base,
) -> Result<Engine, Box<FailedStart>> {
    let (observations, now) = (base.observations().clone(), base.now());
    let poller = settings.poller.clone().map(|poller| (opserver::observer(&poller, &observations, now), poller));
    let scraper = settings.contiv.clone().map(|scraper| (contiv::observer(&scraper, &observations, now), scraper));
    let mut engine = Engine::start_on(&settings.engine, base)?;
    let poller = poller.map(|(observer, poller)| start_poller(&mut engine, poller, observer, &memory.poller));
    let scraper = scraper.map(|(observer, scraper)| start_scraper(&mut engine, scraper, observer, &memory.latest));
    match poller.into_iter().chain(scraper).collect() {
        Ok(()) => Ok(engine),
        Err(error) => Err(engine.give_up(error)),
    }
}

fn start_poller(
    engine: &mut Engine,
    settings: PollerSettings,
    observer: Observer,
    memory: &PollerMemory,
) -> anyhow::Result<()> {
    let parts = opserver::Parts {
        settings,
        intake: engine.intake.clone(),
        log: Arc::clone(&engine.log),
        local: engine.local.clone(),
        observer,
        clock: Arc::clone(&engine.clock),
        telemetry: engine.telemetry.opserver.clone(),
        memory: memory.clone(),
    };
    engine.add_source("opserver", move |stop| opserver::run(parts, stop))
}

/// Scrapes Contiv's nodes into the engine's log.
///
/// # Errors
///
/// When the log is shared with other daemons, or no thread can be started.
pub(crate) fn start_scraper(
    engine: &mut Engine,
    settings: ScraperSettings,
    observer: Observer,
    latest: &Arc<Latest>,
) -> anyhow::Result<()> {
    let log = engine.local.clone().context("Contiv's nodes are scraped into the embedded log only; see log.kind")?;
    let parts = contiv::Parts {
        settings,
        log,
        intake: engine.intake.clone(),
        observer,
        clock: Arc::clone(&engine.clock),
        telemetry: engine.telemetry.contiv.clone(),
        latest: Arc::clone(latest),
    };
    engine.add_source("contiv", move |stop| contiv::run(parts, stop))
}
