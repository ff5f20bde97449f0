//! `derived-statsd run`: the engine behind an HTTP server, until a signal.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use daemon_base::clock::{Clock, SystemClock};
use daemon_base::observation::Observer;
use daemon_base::open_files;
use daemon_sources::contiv::{self, Latest, LegacyServer, LegacySettings, ScraperSettings};
use daemon_sources::mapping::{Mapping, Rule};
use daemon_sources::opserver::{self, PollerSettings};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::engine::{Engine, EngineSettings};
use crate::extensions::Extensions;
use crate::http::{Access, Bodies, HttpSettings, Permits, Server, Shared, blocking_threads};
use crate::ready_file::ReadyFile;
use crate::service_manager;

/// The whole program's settings.
#[derive(Clone, Debug)]
pub(crate) struct AppSettings {
    pub engine: EngineSettings,
    /// The poller of the analytics API, if it is on.
    pub poller: Option<PollerSettings>,
    /// The scraper of Contiv's nodes, if it is on.
    pub contiv: Option<ScraperSettings>,
    /// The server for Contiv's page, if it is on.
    pub legacy: Option<LegacySettings>,
    pub http: HttpSettings,
    /// Who may use the server.
    pub access: Arc<Access>,
    /// The streams of labelled series.
    pub rules: Vec<Rule>,
    /// How long stopping may take.
    pub grace: Duration,
}

/// The context of the error of a start that failed, before anything ran.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotStarted;

impl std::fmt::Display for NotStarted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the daemon cannot start")
    }
}

/// How long the end waits for requests that the stop has cut off.
const REQUESTS_LEFT: Duration = Duration::from_millis(200);

/// Runs until SIGTERM or SIGINT, or until a part fails for good; SIGHUP is ignored. A second signal ends the process at
/// once. `own` are the parts of an embedding program; `ready_file` is written once the daemon listens.
///
/// # Errors
///
/// When it cannot start, or a part failed.
pub(crate) fn run(mut settings: AppSettings, own: Extensions, ready_file: Option<PathBuf>) -> anyhow::Result<()> {
    open_files::raise();
    settings.http = settings.http.within_open_files();
    let runtime = runtime(&settings.http)?;
    let served = runtime.block_on(serve(settings, own, ready_file));
    // A request that still waits for the log, which may never answer, must not keep the process.
    runtime.shutdown_timeout(REQUESTS_LEFT);
    served
}

/// The runtime of the server, with a thread for each request that may block at once.
///
/// # Errors
///
/// When no thread can be started.
pub(crate) fn runtime(http: &HttpSettings) -> anyhow::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).max_blocking_threads(blocking_threads(http)).enable_all();
    builder.build().context("start the async runtime")
}

async fn serve(settings: AppSettings, own: Extensions, ready_file: Option<PathBuf>) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    // Signals are handled before anything announces the daemon: an early SIGTERM must stop it in order.
    let mut signals = StopSignals::listen()?;
    ignore_hangups()?;
    let server = Server::bind(settings.http).await?;
    let latest: Arc<Latest> = Arc::default();
    let page = bind_page(&settings, &latest, &clock).await?;
    let http = settings.http;
    let AppSettings { engine, poller, contiv, access, grace, rules, .. } = settings;
    let allowed_lateness = engine.worker.table.allowed_lateness;
    let mut engine = start_engine(&engine, poller, contiv, own, &latest, &clock).context(NotStarted)?;
    let (stop, stopping) = watch::channel(false);
    let mapping = Mapping::new(&rules, &engine.intake, allowed_lateness);
    let shared = shared(&engine, mapping, Arc::clone(&clock), stopping.clone(), http, Arc::clone(&access));
    keep_tokens_current(&mut engine, access)?;
    info!(address = %server.address(), "Listening.");
    let page_address = page.as_ref().map(LegacyServer::address);
    let ready_file = ready_file.map(|path| ReadyFile::write(&path, server.address(), page_address));
    let _ready_file = ready_file.transpose()?;
    let mut servers = JoinSet::new();
    servers.spawn(server.serve(shared));
    if let Some(page) = page {
        info!(address = %page.address(), "Listening for Contiv's page.");
        servers.spawn(page.serve(engine.telemetry.http.refusals.clone(), stopping));
    }
    inform_service_manager(&mut engine)?;
    let failed = engine.failed.clone();
    let failure = wait_for_end(&mut signals, failed.clone(), &mut servers).await;
    service_manager::stopping();
    tokio::spawn(exit_on_second_signal(signals));
    stop.send_replace(true);
    drain(servers, engine, &*clock, grace).await?;
    // A thread may have failed during the stop, too.
    let failure = failure || *failed.borrow();
    anyhow::ensure!(!failure, "a thread or server that the daemon needs failed; see the first error above");
    info!("Stopped.");
    Ok(())
}

/// Starts the engine with all sources. Workers must know which streams have an observer before they start.
fn start_engine(
    settings: &EngineSettings,
    poller: Option<PollerSettings>,
    scraper: Option<ScraperSettings>,
    own: Extensions,
    latest: &Arc<Latest>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Engine> {
    let (observations, now) = (&settings.worker.observations, clock.now_micros());
    let poller = poller.map(|poller| (opserver::observer(&poller, observations, now), poller));
    let scraper = scraper.map(|scraper| (contiv::observer(&scraper, observations, now), scraper));
    let mut engine = Engine::start(settings, Arc::clone(clock))?;
    own.start(&mut engine)?;
    if let Some((observer, poller)) = poller {
        start_poller(&mut engine, poller, observer)?;
    }
    if let Some((observer, scraper)) = scraper {
        start_scraper(&mut engine, scraper, observer, latest)?;
    }
    Ok(engine)
}

/// Starts the thread that reads the tokens again, if there are any.
fn keep_tokens_current(engine: &mut Engine, access: Arc<Access>) -> anyhow::Result<()> {
    if !access.is_guarded() {
        return Ok(());
    }
    engine.add_helper("tokens", move |stop| {
        access.reload_on_change(stop);
        Ok(())
    })
}

/// Starts the thread that tells the service manager about the daemon, if there is one.
fn inform_service_manager(engine: &mut Engine) -> anyhow::Result<()> {
    if !service_manager::is_there() {
        return Ok(());
    }
    let (state, workers) = (engine.ready_state(), Arc::clone(&engine.telemetry.workers));
    let clock = Arc::clone(&engine.clock);
    engine.add_helper("service-manager", move |stop| {
        service_manager::notify_until_stop(&state, &workers, &*clock, stop);
        Ok(())
    })
}

/// Binds the server for Contiv's page, if it is on.
async fn bind_page(
    settings: &AppSettings,
    latest: &Arc<Latest>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<LegacyServer>> {
    let Some(legacy) = &settings.legacy else { return Ok(None) };
    LegacyServer::bind(legacy, settings.http.limits, Arc::clone(latest), Arc::clone(clock)).await.map(Some)
}

/// Waits for a signal, or until a thread or server fails; whether one did.
async fn wait_for_end(signals: &mut StopSignals, mut failed: watch::Receiver<bool>, servers: &mut JoinSet<()>) -> bool {
    tokio::select! {
        signal = signals.next() => { info!(signal, "Stopping."); false }
        Some(ended) = servers.join_next() => {
            error!(?ended, "A server ended before the stop. The daemon stops; restart it.");
            true
        }
        _ = failed.wait_for(|failed| *failed) => true,
    }
}

/// Finishes the requests in flight, then stops the engine, all within `grace`: requests get half of it at most, so that
/// the last commit has time.
async fn drain(mut servers: JoinSet<()>, engine: Engine, clock: &dyn Clock, grace: Duration) -> anyhow::Result<()> {
    let deadline = clock.monotonic() + grace;
    let finished = async { while servers.join_next().await.is_some() {} };
    if tokio::time::timeout(grace / 2, finished).await.is_err() {
        warn!("Requests did not finish within half of shutdown.grace and were aborted.");
    }
    let rest = deadline.saturating_sub(clock.monotonic());
    tokio::task::spawn_blocking(move || engine.stop(rest)).await.context("stop the engine")?;
    Ok(())
}

fn start_poller(engine: &mut Engine, settings: PollerSettings, observer: Observer) -> anyhow::Result<()> {
    let parts = opserver::Parts {
        settings,
        intake: engine.intake.clone(),
        log: Arc::clone(&engine.log),
        local: engine.local.clone(),
        observer,
        clock: Arc::clone(&engine.clock),
        telemetry: engine.telemetry.opserver.clone(),
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

/// What the handlers share, for a running engine.
pub(crate) fn shared(
    engine: &Engine,
    mapping: Mapping,
    clock: Arc<dyn Clock>,
    stopping: watch::Receiver<bool>,
    http: HttpSettings,
    access: Arc<Access>,
) -> Arc<Shared> {
    Arc::new(Shared {
        log: Arc::clone(&engine.log),
        status: Arc::clone(&engine.status),
        clock,
        intake: engine.intake.clone().with_time_unit(http.time_unit),
        mapping,
        remembers_keys: engine.local.is_some(),
        view: Arc::clone(&engine.view),
        events: Arc::clone(&engine.events),
        telemetry: Arc::clone(&engine.telemetry),
        algorithms: Arc::clone(&engine.algorithms),
        plans: engine.plans.clone(),
        registry: engine.telemetry.registry(Arc::clone(&engine.log), engine.local.clone(), Arc::clone(&engine.status)),
        ready: engine.ready_state(),
        stopping,
        permits: Permits::new(&http),
        bodies: Bodies::new(&http),
        access,
    })
}

/// The stop signals. Once registered, none of them ends the process by itself.
pub(crate) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    pub(crate) fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("listen for SIGINT")?,
        })
    }

    /// The name of the next one.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Ignores SIGHUP from now on, with a message for each: others reload their configuration at it.
///
/// # Errors
///
/// When the signal cannot be listened for.
pub(crate) fn ignore_hangups() -> anyhow::Result<()> {
    let mut hangups = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            warn!(
                "SIGHUP is ignored: the configuration is read at the start; restart to apply a changed configuration."
            );
        }
    });
    Ok(())
}

async fn exit_on_second_signal(mut signals: StopSignals) {
    signals.next().await;
    warn!("Second signal: ending at once. What is not committed is done again at the next start.");
    std::process::exit(1);
}
