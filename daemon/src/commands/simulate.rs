//! `simulate contiv` serves a simulated Contiv cluster on loopback until a signal.
//!
//! It prints one JSON line with its addresses once all of them accept connections, and nothing else.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand, value_parser};
use daemon_sources::contiv::simulated::{Simulated, SimulatedSettings};
use netplugin_adapter::simulate::{Cluster, Settings, Shape};

use crate::app::StopSignals;

/// The address of the first node; the next nodes have the next addresses.
const FIRST_NODE: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);

/// Arguments of `simulate`.
#[derive(Args, Debug)]
pub(crate) struct SimulateArgs {
    #[command(subcommand)]
    system: System,
}

/// The simulated system.
#[derive(Debug, Subcommand)]
enum System {
    /// Serve a Contiv cluster, with the Netplugin of every node, netmaster and etcd, until SIGTERM or Ctrl-C.
    Contiv(ContivArgs),
}

/// Arguments of `simulate contiv`.
#[derive(Args, Debug)]
struct ContivArgs {
    /// The number of nodes, which have the addresses from 127.0.1.1 on.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u16).range(1..=800))]
    nodes: u16,
    /// The number of services.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u16).range(1..))]
    services: u16,
    /// The total number of endpoints, spread over the nodes.
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = value_parser!(u32).range(0..=1_000_000))]
    endpoints: u32,
    /// The number of services that an endpoint uses, each through one or two providers.
    #[arg(long, value_name = "N", default_value_t = 2)]
    services_per_endpoint: u16,
    /// The seed of all random choices.
    #[arg(long, value_name = "SEED", default_value_t = 7)]
    seed: u64,
    /// The interval at which the counters grow.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = daemon_base::setting::duration::parse)]
    interval: Duration,
    /// The address of netmaster and etcd; port 0 binds any free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The port of Netplugin on every node; 0 binds any free port.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    netplugin_port: u16,
    /// Serve a list of endpoints, as Netplugin did before the middle of 2016, instead of a map.
    #[arg(long)]
    list: bool,
    /// Fail one request in eight: status 500, a closed connection, half a body, or a body that is too large.
    #[arg(long)]
    faults: bool,
}

/// Serves until a signal.
///
/// # Errors
///
/// Fails if an address cannot be bound.
pub(crate) fn run(args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    let System::Contiv(args) = &args.system;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.context("start the async runtime")?.block_on(serve(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(args: &ContivArgs) -> anyhow::Result<()> {
    // Before the addresses are printed, so that a signal from then on stops the server in order.
    let mut signals = StopSignals::listen()?;
    let settings = SimulatedSettings {
        listen: args.listen,
        netplugin_port: args.netplugin_port,
        interval: Some(args.interval),
        faults: args.faults.then_some(args.seed),
    };
    let served = Simulated::start(Cluster::new(cluster(args)), settings).await?;
    let line = serde_json::to_string(served.addresses()).context("print the addresses")?;
    super::print::print(&format!("{line}\n")).context("write to standard output")?;
    signals.next().await;
    Ok(())
}

fn cluster(args: &ContivArgs) -> Settings {
    Settings {
        seed: args.seed,
        nodes: args.nodes.into(),
        first_node: FIRST_NODE,
        services: args.services.into(),
        endpoints: usize::try_from(args.endpoints).unwrap_or(usize::MAX),
        services_per_endpoint: args.services_per_endpoint.into(),
        shape: if args.list { Shape::List } else { Shape::Map },
        ..Settings::default()
    }
}
