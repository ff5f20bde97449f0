//! The simulated vrouters, each of which posts the flow counts of its virtual networks once a period.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use daemon_base::clock::Clock;
use daemon_base::splitmix::mix;
use daemon_base::stop::Stop;
use derived_stats::{Number, ValueType};
use proxy_uve::{StreamName, wire};

const NETWORKS: u64 = 300;
const VROUTERS: u64 = 24;
/// The number of vrouters with VMs of a network.
const HOSTS_OF_A_NETWORK: u64 = 3;
/// The periods before the anomaly: the warm-up of EWM 0.1 takes 10.
const CALM_PERIODS: u64 = 13;
const TROUBLED_PERIODS: u64 = 3;
/// The factor of the flows of the network with the anomaly.
const TROUBLE: u64 = 8;

/// The simulated flow counts, which are a function of the seed.
#[derive(Clone, Debug)]
pub(super) struct Simulation {
    seed: u64,
    period: Duration,
}

impl Simulation {
    pub(super) fn seeded(seed: u64, period: Duration) -> Self {
        Self { seed, period }
    }

    /// The network with the anomaly.
    pub(super) fn troubled_network(&self) -> String {
        network(self.troubled())
    }

    fn troubled(&self) -> u64 {
        mix(self.seed) % NETWORKS
    }

    /// The flow count of a network on a vrouter in a period, which counts from the start of the demo.
    fn flows(&self, network: u64, vrouter: u64, attribute: u64, period: u64) -> u64 {
        let usual = 20 + mix(self.seed ^ network << 8 ^ attribute) % 180;
        let noise = mix(self.seed ^ network << 40 ^ vrouter << 32 ^ attribute << 24 ^ period) % (usual / 5 + 1);
        let troubled = network == self.troubled()
            && (CALM_PERIODS..CALM_PERIODS + TROUBLED_PERIODS).contains(&(period % (4 * CALM_PERIODS)));
        (usual + noise) * if troubled { TROUBLE } else { 1 }
    }

    /// The body that a vrouter posts in a period: a line for each network and attribute.
    fn body(&self, vrouter: u64, period: u64, at: u64, streams: &[StreamName]) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        let networks = (0..NETWORKS)
            .filter(|network| (network + VROUTERS - vrouter).is_multiple_of(VROUTERS / HOSTS_OF_A_NETWORK));
        for network_number in networks {
            for (attribute, stream) in (0..).zip(streams) {
                body.extend_from_slice(b"ObjectVNTable:");
                body.extend_from_slice(network(network_number).as_bytes());
                body.push(b'\t');
                let flows = self.flows(network_number, vrouter, attribute, period);
                wire::encode_xml(stream, ValueType::U64, at, Number::U64(flows), &mut body)?;
                body.push(b'\n');
            }
        }
        Ok(body)
    }
}

impl fmt::Display for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.period.as_secs();
        write!(
            f,
            "{NETWORKS} virtual networks on {VROUTERS} vrouters, periods of {seconds} s; {} gets {TROUBLE} times its \
             flows after about {} s",
            self.troubled_network(),
            CALM_PERIODS * seconds,
        )
    }
}

fn network(number: u64) -> String {
    format!("default-domain:tenant-{:02}:vn-{number:03}", number % 20)
}

/// The thread that simulates all vrouters, one after the other.
pub(super) struct Vrouters(JoinHandle<anyhow::Result<()>>);

impl Vrouters {
    pub(super) fn start(
        simulation: Simulation,
        address: SocketAddr,
        clock: Arc<dyn Clock>,
        stop: Stop,
    ) -> anyhow::Result<Self> {
        let post_all = move || post_until_stopped(&simulation, address, &*clock, &stop);
        Ok(Self(thread::Builder::new().name("vrouters".to_owned()).spawn(post_all).context("start the vrouters")?))
    }

    pub(super) fn join(self) -> anyhow::Result<()> {
        self.0.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the simulated vrouters panicked")))
    }
}

fn post_until_stopped(
    simulation: &Simulation,
    address: SocketAddr,
    clock: &dyn Clock,
    stop: &Stop,
) -> anyhow::Result<()> {
    let attributes = ["egress_flow_count", "ingress_flow_count"];
    let streams: Vec<_> = attributes
        .iter()
        .map(|attribute| StreamName::new("UveVirtualNetworkAgent", attribute))
        .collect::<Result<_, _>>()?;
    let agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10))).build().new_agent();
    let url = format!("http://{address}/api/v1/samples");
    let pause = simulation.period / u32::try_from(VROUTERS).unwrap_or(u32::MAX);
    let micros = daemon_base::clock::micros(simulation.period).max(1);
    let first = clock.now_micros() / micros;
    let mut posts = 0;
    while !stop.is_set() {
        let (vrouter, at) = (posts % VROUTERS, clock.now_micros());
        let body = simulation.body(vrouter, (at / micros).saturating_sub(first), at, &streams)?;
        let sent = agent.post(&url).header("content-type", "text/plain").send(&body[..]);
        sent.context("post samples to the demo's own server")?;
        posts += 1;
        stop.rest(pause);
    }
    Ok(())
}
