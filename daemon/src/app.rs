//! `derived-statsd run`: the engine behind an HTTP server, until a signal.

mod change;
mod expiry;
mod signals;
mod staged_file;
mod start;
mod stopping;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use daemon_base::clock::{Clock, SystemClock};
use daemon_base::listener::reload_on_change;
use daemon_base::open_files;
use daemon_kafka::Elections as GroupElections;
use daemon_results::object_labels::ObjectLabels;
use daemon_sources::contiv::{Latest, LegacyServer, LegacySettings, ScraperSettings};
use daemon_sources::mapping::{Elections, Mapping, Rule};
use daemon_sources::opserver::PollerSettings;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::info;

use crate::engine::{Base, Engine, EngineSettings, Failure, LogSettings};
use crate::extensions::Extensions;
use crate::http::{Access, Certificates, Common, Configuration, HttpSettings, Server, Shared, blocking_threads};
use crate::ready_file::ReadyFile;
use crate::service_manager;

use self::change::Running;
pub(crate) use self::change::{Prepared, Reconfigure};
use self::expiry::Expiry;
pub(crate) use self::expiry::OwnCertificate;
pub(crate) use self::signals::{Hangups, StopSignals};
pub(crate) use self::staged_file::StagedFile;
pub(crate) use self::start::start_scraper;
use self::start::{SourceMemory, start_engine};
use self::stopping::{Remains, Stopping, drain, until_stop};

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
    /// The certificates that the daemon shows, each with its setting.
    pub certificates: Vec<OwnCertificate>,
    /// The streams of labelled series.
    pub rules: Vec<Rule>,
    /// The labels that make the names of their objects.
    pub objects: ObjectLabels,
    /// How long an elected replica may be silent.
    pub replica_timeout: Duration,
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

/// Runs until SIGTERM or SIGINT, or until a part fails for good. A second signal ends the process at once. At SIGHUP
/// `reconfigure` reads the configuration again. `own` are the parts of an embedding program; `ready_file` is written once
/// the daemon listens.
///
/// # Errors
///
/// When it cannot start, or a part failed.
pub(crate) fn run(
    mut settings: AppSettings,
    own: Extensions,
    ready_file: Option<PathBuf>,
    reconfigure: Arc<dyn Reconfigure>,
) -> anyhow::Result<()> {
    open_files::raise();
    settings.http = settings.http.within_open_files();
    let runtime = runtime(&settings.http)?;
    let served = runtime.block_on(serve(settings, own, ready_file, reconfigure));
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

async fn serve(
    settings: AppSettings,
    own: Extensions,
    ready_file: Option<PathBuf>,
    reconfigure: Arc<dyn Reconfigure>,
) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    // Signals are handled before anything announces the daemon: an early SIGTERM must stop it in order.
    let (signals, hangups) = (StopSignals::listen()?, Hangups::listen()?);
    let server = Server::bind(settings.http.clone()).await?;
    let memory = SourceMemory::default();
    let page = bind_page(&settings, &memory.latest, &clock).await?;
    let (access, grace) = (Arc::clone(&settings.access), settings.grace);
    let certificates_shown = settings.certificates.clone();
    let mut engine = start_engine(&settings, &memory, Base::new(Arc::clone(&clock)))
        .map_err(|failed| failed.error)
        .and_then(|engine| own.start(engine))
        .context(NotStarted)?;
    let (stop, stopping) = watch::channel(false);
    let certificates = Certificates::of(&settings.http.listeners, settings.legacy.as_ref());
    keep_tokens_current(&mut engine, Arc::clone(&access))?;
    keep_certificates_current(&mut engine, &certificates)?;
    let elections = elections(&mut engine, &settings.engine, &clock)?;
    let common = Common::new(&settings.http, Arc::clone(&clock), stopping.clone(), access, (certificates, elections));
    let (mut running, mut changes) = Running::new(engine, &settings, reconfigure, common, memory);
    server.announce();
    let _ready_file = ready_file.map(|path| announce(&path, &server, page.as_ref())).transpose()?;
    let mut servers = JoinSet::new();
    servers.spawn(server.serve(running.current()));
    if let Some(page) = page {
        info!(address = %page.address(), "Listening for Contiv's page.");
        servers.spawn(page.serve(running.engine_mut().telemetry.http.refusals.clone(), stopping));
    }
    start_helpers(running.engine_mut(), &certificates_shown)?;
    hangups.change(running.current());
    let failed = running.failed();
    let mut stop = Stopping::new(signals, stop, clock, grace);
    let (remains, failure) = until_stop(running, &mut changes, &mut servers, &mut stop).await?;
    drain(servers, remains, stop).await?;
    // A thread may have failed during the stop, too.
    stopped(failure, &failed.borrow().clone())
}

fn stopped(has_failed: bool, failure: &Failure) -> anyhow::Result<()> {
    let failed = "a thread or server that the daemon needs failed; see the first error above";
    failure.check(failed)?;
    anyhow::ensure!(!has_failed, failed);
    info!("Stopped.");
    Ok(())
}

/// The replicas that count, as they did before. On Kafka the daemons of the group agree on them, which takes a thread.
fn elections(engine: &mut Engine, settings: &EngineSettings, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<Elections>> {
    Ok(Arc::new(match &settings.log {
        LogSettings::Embedded(embedded) => Elections::read(&embedded.data_dir, clock.now_micros()),
        LogSettings::Kafka(own) => {
            let group = Arc::new(GroupElections::new(own, clock));
            let reader = Arc::clone(&group);
            engine.add_lasting_helper("elections", move |stop| {
                reader.run(stop);
                Ok(())
            })?;
            Elections::of_group(group)
        }
    }))
}

/// Starts the thread that reads the tokens again, if there are any.
fn keep_tokens_current(engine: &mut Engine, access: Arc<Access>) -> anyhow::Result<()> {
    if !access.is_guarded() {
        return Ok(());
    }
    engine.add_lasting_helper("tokens", move |stop| {
        access.reload_on_change(stop);
        Ok(())
    })
}

/// Starts the thread that reads the certificates of the listeners again, if there are any.
fn keep_certificates_current(engine: &mut Engine, certificates: &Certificates) -> anyhow::Result<()> {
    let servers: Vec<_> = certificates.servers().cloned().collect();
    if servers.is_empty() {
        return Ok(());
    }
    engine.add_lasting_helper("certificates", move |stop| {
        reload_on_change(&servers, stop);
        Ok(())
    })
}

/// Writes the ready file.
fn announce(path: &Path, server: &Server, page: Option<&LegacyServer>) -> anyhow::Result<ReadyFile> {
    let listeners = server.addresses().map(ToString::to_string).collect();
    ReadyFile::write(path, server.address(), listeners, page.map(LegacyServer::address))
}

/// Starts what ends with each engine: the threads that watch the expiry of the daemon's certificates, and that tell the
/// service manager about the daemon.
fn start_helpers(engine: &mut Engine, certificates: &[OwnCertificate]) -> anyhow::Result<()> {
    let (telemetry, clock) = (Arc::clone(&engine.telemetry), Arc::clone(&engine.clock));
    telemetry.certificates.forget();
    if !certificates.is_empty() {
        let mut expiry = Expiry::new(certificates);
        engine.add_helper("certificate-expiry", move |stop| {
            expiry.watch(&telemetry.certificates, &*clock, stop);
            Ok(())
        })?;
    }
    inform_service_manager(engine)
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

/// What the handlers share, for a running engine.
pub(crate) fn shared(
    engine: &Engine,
    settings: &AppSettings,
    common: &Common,
    configuration: Option<Configuration>,
) -> Arc<Shared> {
    let Common { clock, stopping, time_unit, permits, bodies, access, certificates, elections, processes } =
        common.clone();
    let allowed_lateness = settings.engine.worker.table.allowed_lateness;
    elections.set_timeout(settings.replica_timeout);
    Arc::new(Shared {
        log: Arc::clone(&engine.log),
        status: Arc::clone(&engine.status),
        clock,
        intake: engine.intake.clone().with_time_unit(time_unit),
        objects: settings.objects.clone(),
        mapping: Mapping::new(&settings.rules, &engine.intake, allowed_lateness, Arc::clone(&elections), processes),
        remembers_keys: engine.local.is_some(),
        view: Arc::clone(&engine.view),
        events: Arc::clone(&engine.events),
        telemetry: Arc::clone(&engine.telemetry),
        algorithms: Arc::clone(&engine.algorithms),
        plans: engine.plans.clone(),
        registry: engine.telemetry.registry(
            Arc::clone(&engine.log),
            engine.local.clone(),
            Arc::clone(&engine.status),
            (Arc::clone(&engine.view), elections),
        ),
        ready: engine.ready_state(),
        stopping,
        permits,
        bodies,
        access,
        certificates,
        taps: engine.taps.clone(),
        configuration,
    })
}
