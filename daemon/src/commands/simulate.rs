//! `simulate contiv`: a Contiv cluster on loopback, to be scraped, until a signal.
//!
//! It prints one line of JSON with its addresses once all of them answer, and nothing else.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand, value_parser};
use daemon_sources::contiv::simulated::{Simulated, SimulatedSettings};
use netplugin_adapter::simulate::{Cluster, Settings, Shape};

use crate::app::StopSignals;

/// The address of the first node; the others follow it.
const FIRST_NODE: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);

/// Arguments of `simulate`.
#[derive(Args, Debug)]
pub(crate) struct SimulateArgs {
    #[command(subcommand)]
    what: What,
}

/// What is simulated.
#[derive(Debug, Subcommand)]
enum What {
    /// A Contiv cluster: every node's Netplugin, netmaster and etcd, until SIGTERM or Ctrl-C.
    Contiv(ContivArgs),
}

/// Arguments of `simulate contiv`.
#[derive(Args, Debug)]
struct ContivArgs {
    /// Nodes, each with an address of its own from 127.0.1.1 on.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u16).range(1..=800))]
    nodes: u16,
    /// Services.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u16).range(1..))]
    services: u16,
    /// Endpoints in all, spread over the nodes.
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = value_parser!(u32).range(0..=1_000_000))]
    endpoints: u32,
    /// Services that an endpoint talks to, each through one or two providers.
    #[arg(long, value_name = "N", default_value_t = 2)]
    services_per_endpoint: u16,
    /// Decides all that is left to chance.
    #[arg(long, value_name = "SEED", default_value_t = 7)]
    seed: u64,
    /// How often traffic goes on.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = daemon_base::setting::duration::parse)]
    interval: Duration,
    /// Where netmaster and etcd answer; port 0 is any.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The port of every node's Netplugin; 0 is any.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    netplugin_port: u16,
    /// Nodes answer with a list of endpoints, as before the middle of 2016, not with a map.
    #[arg(long)]
    list: bool,
    /// Nodes answer one request in eight wrongly: status 500, nothing, half a body, or far too much.
    #[arg(long)]
    faults: bool,
}

/// Serves until a signal.
///
/// # Errors
///
/// When an address cannot be bound.
pub(crate) fn run(args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    let What::Contiv(args) = &args.what;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.context("start the async runtime")?.block_on(serve(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(args: &ContivArgs) -> anyhow::Result<()> {
    // Before anybody can know that it runs: who then stops it wants an orderly stop.
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
