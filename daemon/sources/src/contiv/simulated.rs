//! The simulated cluster behind real sockets: its Netplugins, its Netmaster and its etcd, on loopback.
//!
//! Each node has an address of its own and all have the same port, as in a real cluster: Linux answers on all of
//! 127.0.0.0/8. So the nodes that etcd names can be scraped. Netmaster and etcd share one further listener.
//!
//! With faults, a node answers one request in eight wrongly: status 500, nothing at all, half a body, or far too much.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use daemon_base::splitmix::mix;
use netplugin_adapter::simulate::Cluster;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// How often another port is tried when one is taken on some node's address.
const PORTS_TRIED: usize = 16;

/// One request in so many meets a fault.
const FAULT_ONE_IN: u64 = 8;

/// Pieces of the body that is far too much, and the size of each.
const HUGE_PIECES: usize = 64;
const HUGE_PIECE_BYTES: usize = 1 << 20;

/// The settings of a simulated cluster.
#[derive(Clone, Copy, Debug)]
pub struct SimulatedSettings {
    /// Netmaster's and etcd's address; port 0 is any.
    pub listen: SocketAddr,
    /// The nodes' port; 0 is any.
    pub netplugin_port: u16,
    /// How often the cluster advances by a tick; without it, only tests advance it.
    pub interval: Option<Duration>,
    /// The seed that decides which requests meet which fault; without it, none does.
    pub faults: Option<u64>,
}

impl Default for SimulatedSettings {
    fn default() -> Self {
        Self { listen: (Ipv4Addr::LOCALHOST, 0).into(), netplugin_port: 0, interval: None, faults: None }
    }
}

/// The addresses of the cluster.
#[derive(Clone, Debug, Serialize)]
pub struct Addresses {
    /// The nodes' addresses, present or not.
    pub nodes: Vec<Ipv4Addr>,
    /// The port of all nodes.
    pub netplugin_port: u16,
    /// The base URL of Netmaster, `http://host:port`.
    pub netmaster: String,
    /// The base URL of etcd, `http://host:port`.
    pub etcd: String,
}

/// A cluster that is served until this is dropped.
pub struct Simulated {
    #[cfg(test)]
    world: Arc<World>,
    addresses: Addresses,
    /// Aborted when dropped, so that a request that hangs delays nothing.
    _tasks: JoinSet<()>,
}

struct World {
    cluster: Mutex<Cluster>,
    faults: Option<u64>,
    /// Requests so far, for each node.
    requests: Vec<AtomicU64>,
}

impl Simulated {
    /// Binds all addresses and serves. The cluster's nodes must be on loopback.
    ///
    /// # Errors
    ///
    /// When an address cannot be bound, or is not on loopback.
    pub async fn start(cluster: Cluster, settings: SimulatedSettings) -> anyhow::Result<Self> {
        let nodes: Vec<Ipv4Addr> = cluster.nodes().collect();
        anyhow::ensure!(
            nodes.iter().all(Ipv4Addr::is_loopback) && settings.listen.ip().is_loopback(),
            "a simulated cluster listens on loopback only; choose addresses in 127.0.0.0/8",
        );
        let (netplugin_port, listeners) = bind_nodes(&nodes, settings.netplugin_port).await?;
        let shared = TcpListener::bind(settings.listen).await;
        let shared = shared.with_context(|| format!("listen on {}; change --listen", settings.listen))?;
        let base = format!("http://{}", shared.local_addr().context("read the address that was bound")?);
        let requests = nodes.iter().map(|_| AtomicU64::new(0)).collect();
        let world = Arc::new(World { cluster: Mutex::new(cluster), faults: settings.faults, requests });
        let mut tasks = JoinSet::new();
        for (node, listener) in listeners.into_iter().enumerate() {
            let router = Router::new().route("/svcstats", get(svcstats)).with_state((Arc::clone(&world), node));
            tasks.spawn(serve(listener, router));
        }
        tasks.spawn(serve(shared, shared_router(Arc::clone(&world))));
        if let Some(interval) = settings.interval {
            tasks.spawn(tick(Arc::clone(&world), interval));
        }
        let addresses = Addresses { nodes, netplugin_port, netmaster: base.clone(), etcd: base };
        Ok(Self {
            #[cfg(test)]
            world,
            addresses,
            _tasks: tasks,
        })
    }

    /// Returns the addresses.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Advances by one tick.
    #[cfg(test)]
    pub fn advance(&self) {
        self.world.cluster().advance();
    }

    /// Reads the state of the cluster, which does not advance meanwhile.
    #[cfg(test)]
    pub fn inspect<T>(&self, inspect: impl FnOnce(&Cluster) -> T) -> T {
        inspect(&self.world.cluster())
    }
}

impl World {
    fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the fault of the next request to a node.
    fn fault(&self, node: usize) -> Option<Fault> {
        let seed = self.faults?;
        let number = self.requests[node].fetch_add(1, Ordering::Relaxed);
        let chance = mix(seed ^ (node as u64) << 40 ^ number);
        let fault = [Fault::Half, Fault::Hang, Fault::Huge, Fault::Status][(chance >> 32) as usize % 4];
        chance.is_multiple_of(FAULT_ONE_IN).then_some(fault)
    }
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Half,
    Hang,
    Huge,
    Status,
}

/// All addresses on one port: any port is that of the first node, and another one if that is taken on a later one.
async fn bind_nodes(nodes: &[Ipv4Addr], port: u16) -> anyhow::Result<(u16, Vec<TcpListener>)> {
    let mut tried = 0;
    loop {
        tried += 1;
        match bind_all(nodes, port).await {
            Err(error) if port == 0 && tried < PORTS_TRIED && error.1.kind() == io::ErrorKind::AddrInUse => {}
            Err((address, error)) => {
                return Err(error).with_context(|| format!("listen on {address}; change --netplugin-port or --nodes"));
            }
            Ok(bound) => return Ok(bound),
        }
    }
}

async fn bind_all(nodes: &[Ipv4Addr], mut port: u16) -> Result<(u16, Vec<TcpListener>), (SocketAddr, io::Error)> {
    let mut listeners = Vec::with_capacity(nodes.len());
    for &node in nodes {
        let address = SocketAddr::from((node, port));
        let listener = TcpListener::bind(address).await.map_err(|error| (address, error))?;
        port = listener.local_addr().map_err(|error| (address, error))?.port();
        listeners.push(listener);
    }
    Ok((port, listeners))
}

async fn serve(listener: TcpListener, router: Router) {
    // It ends by being aborted; errors of single connections are dealt with inside.
    let _ = axum::serve(listener, router).await;
}

async fn tick(world: Arc<World>, interval: Duration) {
    let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(1)));
    // The first one comes at once, but the cluster has its first tick already.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        world.cluster().advance();
    }
}

async fn svcstats(State((world, node)): State<(Arc<World>, usize)>) -> Response {
    let fault = world.fault(node);
    let Some(body) = world.cluster().svcstats(node) else {
        return (StatusCode::SERVICE_UNAVAILABLE, "this node is away\n").into_response();
    };
    match fault {
        None => json(body),
        Some(Fault::Half) => {
            let half = Bytes::copy_from_slice(&body[..body.len() / 2]);
            let cut = Err(io::Error::from(io::ErrorKind::ConnectionAborted));
            let headers = [
                (header::CONTENT_TYPE, "application/json".to_owned()),
                (header::CONTENT_LENGTH, body.len().to_string()),
            ];
            (headers, Body::from_stream(tokio_stream::iter([Ok(half), cut]))).into_response()
        }
        // Until the client gives up.
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Huge) => {
            let piece = Bytes::from(vec![b' '; HUGE_PIECE_BYTES]);
            let pieces = std::iter::repeat_n(piece, HUGE_PIECES).map(Ok::<_, io::Error>);
            json(Body::from_stream(tokio_stream::iter(pieces)))
        }
        Some(Fault::Status) => (StatusCode::INTERNAL_SERVER_ERROR, "simulated failure\n").into_response(),
    }
}

/// Netmaster's paths and etcd's, with and without a slash at the end.
fn shared_router(world: Arc<World>) -> Router {
    Router::new()
        .route("/api/v1/serviceLBs", get(services))
        .route("/api/v1/serviceLBs/", get(services))
        .route("/api/v1/inspect/serviceLBs/{name}", get(inspect))
        .route("/api/v1/inspect/serviceLBs/{name}/", get(inspect))
        .route("/v2/keys/contiv.io/service/netplugin", get(etcd))
        .route("/v2/keys/contiv.io/service/netplugin/", get(etcd))
        .with_state(world)
}

async fn services(State(world): State<Arc<World>>) -> Response {
    json(world.cluster().netmaster_services())
}

async fn inspect(State(world): State<Arc<World>>, Path(name): Path<String>) -> Response {
    let body = name.split_once(':').and_then(|(tenant, name)| world.cluster().netmaster_inspect(tenant, name));
    // As the original: a 500 with plain text.
    let unknown = || (StatusCode::INTERNAL_SERVER_ERROR, format!("service {name} not found\n")).into_response();
    body.map_or_else(unknown, json)
}

async fn etcd(State(world): State<Arc<World>>) -> Response {
    json(world.cluster().etcd_nodes())
}

fn json(body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body.into()).into_response()
}

#[cfg(test)]
mod tests;
