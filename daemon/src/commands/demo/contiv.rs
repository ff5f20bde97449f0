//! The Contiv part of the demo: a simulated cluster, the scraper of the daemon, and the server for Contiv's page.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use daemon_base::clock::Clock;
use daemon_base::listener::Limits;
use daemon_sources::contiv::simulated::{Simulated, SimulatedSettings};
use daemon_sources::contiv::{self, ContivConfig, Latest, LegacyServer, LegacySettings, ScraperSettings};
use netplugin_adapter::simulate::{Anomaly, Cluster, Settings};
use tokio::sync::watch;

use crate::app;
use crate::engine::Engine;

/// The stream of the services' traffic and its proxy types.
pub(super) const PROXIES: &str = "ContivService-BytesOut:AggProxySum:AggProxySumAnomalyEWM01";

/// The updates of the counters in a period, many enough that each period has about the same traffic.
const TICKS: u32 = 10;

/// The periods before the anomaly: the warm-up of EWM 0.1 takes 10, and the first scrape only sets the counter
/// baselines.
const CALM_PERIODS: u64 = 14;
const TROUBLED_PERIODS: u64 = 3;

/// The index of the service with the anomaly.
const TROUBLED: usize = 1;

/// The running cluster and the address of Contiv's page.
pub(super) struct Contiv {
    // Serves until it is dropped.
    simulated: Simulated,
    page: SocketAddr,
    troubled: String,
}

/// Starts a cluster, the scraper and the server for Contiv's page.
pub(super) async fn start(
    engine: &mut Engine,
    period: Duration,
    limits: Limits,
    clock: &Arc<dyn Clock>,
    stopping: watch::Receiver<bool>,
) -> anyhow::Result<Contiv> {
    let cluster = Cluster::new(settings());
    let troubled = cluster.service_ips().nth(TROUBLED).context("the cluster has too few services")?;
    let served = SimulatedSettings { interval: Some(period / TICKS), ..SimulatedSettings::default() };
    let simulated = Simulated::start(cluster, served).await?;
    let addresses = simulated.addresses();
    let section = ContivConfig {
        nodes: addresses.nodes.iter().map(ToString::to_string).collect(),
        netplugin_port: addresses.netplugin_port,
        interval: Duration::from_secs(1),
        jitter: Duration::from_millis(100),
        listen: Some((Ipv4Addr::LOCALHOST, 0).into()),
        netmaster: Some(addresses.netmaster.clone()),
        ..ContivConfig::default()
    };
    let latest: Arc<Latest> = Arc::default();
    let scraper = ScraperSettings::new(&section)?.context("the cluster has no nodes")?;
    let observer = contiv::observer(&scraper, &engine.observations, clock.now_micros());
    app::start_scraper(engine, scraper, observer, &latest)?;
    let page = LegacySettings::new(&section)?.context("the page has no address")?;
    let page = LegacyServer::bind(&page, limits, latest, Arc::clone(clock)).await?;
    let address = page.address();
    tokio::spawn(page.serve(engine.telemetry.http.refusals.clone(), stopping));
    Ok(Contiv { simulated, page: address, troubled })
}

fn settings() -> Settings {
    let ticks = |periods: u64| periods * u64::from(TICKS);
    Settings {
        first_node: Ipv4Addr::new(127, 0, 1, 1),
        services: 4,
        endpoints: 24,
        // Restarts and departures of nodes would be further anomalies.
        restart_one_in: 0,
        leave_one_in: 0,
        anomaly: Some(Anomaly {
            service: TROUBLED,
            calm: ticks(CALM_PERIODS),
            ticks: ticks(TROUBLED_PERIODS),
            ..Anomaly::default()
        }),
        ..Settings::default()
    }
}

impl Contiv {
    /// The lines that describe the cluster.
    pub(super) fn announcement(&self, period: Duration) -> String {
        let after = period.as_secs() * CALM_PERIODS;
        let nodes = self.simulated.addresses().nodes.len();
        let Self { troubled, page, .. } = self;
        format!(
            "  and a Contiv cluster of {nodes} nodes; the service {troubled} gets far more traffic after about {after} s\n  \
             its structure  http://{page}/services\n  its traffic    http://{page}/all\n"
        )
    }
}
