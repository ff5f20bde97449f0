//! `derived-statsd demo` shows the daemon on simulated input, without any other service.
//!
//! The engine and the HTTP server of the daemon run on a temporary directory. Simulated vrouters post Contrail's XML to
//! them over loopback, and the daemon scrapes a simulated Contiv cluster. For some periods one virtual network has far
//! more flows, and one service far more traffic. A table on the terminal shows the objects with the largest sigma, and
//! the demo prints each anomaly when the detector finds it.
//!
//! With `--prometheus` nothing is simulated: a Prometheus of the user sends to the demo.

mod board;
mod contiv;
mod prometheus;
mod vrouters;

use std::fs::Permissions;
use std::io::{IsTerminal as _, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use daemon_alarms::{Rules, text};
use daemon_base::clock::{Clock, SystemClock};
use daemon_base::open_files;
use daemon_base::setting::duration;
use daemon_base::stop::Stop;
use proxy_uve::proxy_list::{DEFAULT_PROXY_LIST, ProxyList};
use proxy_uve::schema::Schema;
use tokio::sync::watch;

use self::board::{Board, BoardSink};
use self::contiv::Contiv;
use self::vrouters::{Simulation, Vrouters};
use crate::app::{self, AppSettings, Hangups, StopSignals};
use crate::commands::config_args::ConfigArgs;
use crate::commands::print;
use crate::config::{Loaded, Streams};
use crate::engine::{Engine, Failure};
use crate::extensions::Extensions;
use crate::http::{Common, Current, Server};
use crate::settings;

/// The interval at which the table is drawn.
const FRAME: Duration = Duration::from_secs(1);

/// The default period, long enough to follow on a terminal and short enough for a quick warm-up.
const PERIOD_SECONDS: u32 = 5;

/// How late the samples of a Prometheus may be: it sends each second.
const PROMETHEUS_LATENESS: Duration = Duration::from_secs(5);

/// The rule of the demo. EWM adapts, so that an anomaly that stays is not an alarm for long.
const RULE: &str = "alarm \"unusual\" when AggProxySumAnomalyEWM01.value.sigma > 2.5, clear below 1 \
    text \"{key} has sigma {value.sigma}\"";

/// Arguments of `demo`.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Stop after this time, such as 90s. The default is to run until Ctrl-C.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) duration: Option<Duration>,
    /// Take the samples of a Prometheus in place of simulated ones. Prints what to add to its configuration.
    #[arg(long)]
    pub(crate) prometheus: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

impl DemoArgs {
    /// The arguments of the configuration, with the streams of the demo if it is that of a Prometheus.
    ///
    /// # Errors
    ///
    /// Fails if the streams of the demo are not settings.
    pub(crate) fn configuration(&self) -> anyhow::Result<ConfigArgs> {
        let mut config = self.config.clone();
        if self.prometheus {
            config.overrides.set.splice(0..0, prometheus::settings()?);
        }
        Ok(config)
    }
}

/// Runs the demo for a time, or until Ctrl-C, with its log in a temporary directory that it removes at the end.
///
/// # Errors
///
/// Fails if a part of the demo cannot start.
pub(crate) fn run(mut loaded: Loaded, args: &DemoArgs, own: Extensions) -> anyhow::Result<()> {
    let private = Permissions::from_mode(0o700);
    let directory = tempfile::Builder::new().permissions(private).tempdir().context("create a temporary directory")?;
    loaded.config.log.data_dir = directory.path().to_owned();
    let period = if args.prometheus {
        loaded.config.aggregation.allowed_lateness = PROMETHEUS_LATENESS;
        None
    } else {
        Some(simulate(&mut loaded)?)
    };
    let settings = settings::app(&loaded)?;
    app::runtime(&settings.http)?.block_on(show(settings, period, args.duration, own))
}

/// Sets what the simulated input needs; returns its period.
fn simulate(loaded: &mut Loaded) -> anyhow::Result<Duration> {
    let seconds = loaded.config.aggregation.period.unwrap_or(PERIOD_SECONDS);
    let schema = Schema::builtin().with_period(seconds).context("shorten the built-in types")?;
    let proxies = format!("{DEFAULT_PROXY_LIST} {}", contiv::PROXIES);
    let alarms = Arc::new(Rules::new(vec![text::rule(RULE)?]));
    loaded.streams = Streams { proxies: ProxyList::parse(&proxies, &schema)?, schema, mapped: Vec::new(), alarms };
    let aggregation = &mut loaded.config.aggregation;
    // All samples have timestamps of one clock and arrive shortly after them.
    aggregation.allowed_lateness = Duration::from_millis(500);
    aggregation.allowed_skew = Duration::from_millis(250);
    Ok(Duration::from_secs(seconds.into()))
}

/// Shows the demo: with simulated input of a period, or that of a Prometheus.
async fn show(
    settings: AppSettings,
    period: Option<Duration>,
    duration: Option<Duration>,
    own: Extensions,
) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut signals = StopSignals::listen()?;
    Hangups::listen()?.ignore();
    open_files::raise();
    let http = settings.http.clone().within_open_files();
    let server = Server::bind(http.clone()).await?;
    let address = server.address().context("the demo needs http.listen, an address of this machine; set it")?;
    let mut engine = own.start(Engine::start(&settings.engine, Arc::clone(&clock))?)?;
    let board = Arc::new(Board::default());
    engine.add_sink(BoardSink::new(Arc::clone(&board)))?;
    let (stop, stopping) = watch::channel(false);
    let mut contiv = None;
    if let Some(period) = period {
        contiv = Some((contiv::start(&mut engine, period, http.limits, &clock, stopping.clone()).await?, period));
    }
    let common = Common::new(&http, Arc::clone(&clock), stopping, Arc::default(), Default::default());
    let shared = app::shared(&engine, &settings, &common, None);
    let serving = tokio::spawn(server.serve(Current::new(shared)));
    let stop_vrouters = Stop::default();
    // The simulated cluster ends when it is dropped.
    let (announcement, vrouters) = match &contiv {
        Some((contiv, period)) => start_vrouters(address, contiv, *period, &clock, &stop_vrouters)?,
        None => (prometheus::announcement(address), None),
    };
    let ended = wait(&announcement, &board, &engine, duration, &mut signals).await;
    stop_vrouters.set();
    if let Some(vrouters) = vrouters {
        tokio::task::spawn_blocking(move || vrouters.join()).await.context("stop the vrouters")??;
    }
    stop.send_replace(true);
    serving.await.context("stop the server")?;
    tokio::task::spawn_blocking(move || engine.stop(settings.grace)).await.context("stop the engine")?;
    ended
}

/// Starts the simulated vrouters; returns what the demo announces.
fn start_vrouters(
    address: SocketAddr,
    contiv: &Contiv,
    period: Duration,
    clock: &Arc<dyn Clock>,
    stop: &Stop,
) -> anyhow::Result<(String, Option<Vrouters>)> {
    let simulation = Simulation::seeded(7, period);
    let announcement = announcement(address, &simulation, contiv, period);
    Ok((announcement, Some(Vrouters::start(simulation, address, Arc::clone(clock), stop.clone())?)))
}

/// Prints the announcement, then draws the table until the time is over or a signal arrives.
async fn wait(
    announcement: &str,
    board: &Board,
    engine: &Engine,
    duration: Option<Duration>,
    signals: &mut StopSignals,
) -> anyhow::Result<()> {
    let (live, mut out) = (std::io::stdout().is_terminal(), print::output());
    write(&mut out, announcement)?;
    let mut frames = tokio::time::interval(FRAME);
    let over = tokio::time::sleep(duration.unwrap_or(Duration::MAX / 4));
    let mut failed = engine.failed.clone();
    tokio::pin!(over);
    loop {
        tokio::select! {
            _ = frames.tick() => write(&mut out, &board.draw(live, engine))?,
            () = &mut over => return Ok(()),
            _ = signals.next() => return Ok(()),
            _ = failed.wait_for(Failure::has_failed) => anyhow::bail!("a thread failed; see the first error above"),
        }
    }
}

fn write(out: &mut impl Write, text: &str) -> anyhow::Result<()> {
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("write to standard output")
}

fn announcement(address: SocketAddr, simulation: &Simulation, contiv: &Contiv, period: Duration) -> String {
    let network = simulation.troubled_network();
    format!(
        "http://{address}/ is the page of this demo\n\
         derived-statsd demo: {simulation}\n  \
         all networks   http://{address}/analytics/uves/virtual-networks\n  \
         one network    http://{address}/analytics/uves/virtual-network/{network}?flat\n  \
         live results   curl -N http://{address}/api/v1/results/stream\n  \
         alarms         http://{address}/api/v1/alarms\n  \
         metrics        http://{address}/metrics\n\
         {}Press Ctrl-C to stop.\n\n",
        contiv.announcement(period)
    )
}
