//! The legacy server, for Contiv's page and for Telegraf: a Python program served it on port 4000 of every node.
//!
//! | path | answer |
//! |---|---|
//! | any that contains `/services` | the containers behind each service ([`netmaster`](super::netmaster)) |
//! | `/<endpoint ip>` | the traffic of an endpoint: one object, of its first pair |
//! | `/<endpoint ip>?all` | all pairs of an endpoint, in a list |
//! | `/?all`, `/all` | all pairs of all endpoints, in a list |
//! | `/` | these paths |
//!
//! A path may be percent-encoded and may end with a slash. An IPv6 address may have any of its forms. Unknown parameters
//! are refused, but for the `_` that browsers send against caches.
//!
//! With the parameter `server` the objects of a list have a further member: the name of the node. Telegraf makes a tag
//! of it, so that an endpoint on two nodes has two series.
//!
//! Answers are the JSON of the Python program; where that crashed, they are `{"error": …}` with a status: 404 for an
//! endpoint that no node has, or that has no traffic; 501 without `contiv.netmaster`; 502 if Netmaster fails. One
//! server answers for all nodes. Netplugin keeps an endpoint that moved to another node, with counters that stand
//! still. The one object is of the node whose counters changed last: since its scrape before, by the time of the
//! scrape. If both changed in the same scrape, or none since the start, it is of the first node by name. Lists have the
//! pairs of all nodes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::iter::once;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use daemon_base::clock::Clock;
use daemon_base::listener::{self, Limits, Refusals, ServerTls};
use daemon_base::outbound::percent_decoded;
use netplugin_adapter::{ServiceStats, append_pairs, canonical_address, pair_answer, points, points_of};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::config::{ContivConfig, NETMASTER_PORT};
use super::latest::Latest;
use super::netmaster::{Netmaster, NetmasterSettings};
use super::settings::tls;

/// Requests in flight at a time.
const MAX_IN_FLIGHT: usize = 64;

/// Lists of all endpoints that are read at a time: a client may take its time.
const MAX_LISTS: usize = 8;

/// The time limit of a request. Requests to Netmaster have timeouts of their own, but there may be many.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The paths of the server, and what each answers.
const PATHS: [(&str, &str); 5] = [
    ("/services", "the containers behind each service; any path that contains it"),
    ("/<endpoint ip>", "the traffic of an endpoint with its first provider"),
    ("/<endpoint ip>?all", "all pairs of an endpoint; with &server the node of each"),
    ("/all", "all pairs of all endpoints; with ?server the node of each"),
    ("/", "these paths"),
];

/// The known parameters. The last one has no effect: browsers send it so that no cache has the answer.
const PARAMETERS: [&str; 3] = ["all", "server", "_"];

/// The settings of the legacy server.
#[derive(Clone, Debug)]
pub struct LegacySettings {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Its TLS, if it has one.
    pub tls: Option<Arc<ServerTls>>,
    /// Netmaster, if it is configured.
    pub netmaster: Option<NetmasterSettings>,
}

impl LegacySettings {
    /// Returns the settings of a section; `None` without `contiv.listen`.
    ///
    /// # Errors
    ///
    /// When Netmaster's address cannot be parsed, or a file of TLS cannot be used.
    pub fn new(section: &ContivConfig) -> anyhow::Result<Option<Self>> {
        let Some(listen) = section.listen else { return Ok(None) };
        let server = section.netmaster.as_slice();
        let server = daemon_base::setting::servers(server, NETMASTER_PORT, "contiv.netmaster")?;
        let of_clients = tls(section)?;
        let netmaster = server.first().map(|server| NetmasterSettings {
            base: server.to_string(),
            tls: of_clients,
            timeout: section.timeout,
            max_body_bytes: section.max_body_bytes,
            cache: section.netmaster_cache,
        });
        let tls = section.listen_tls.clone().map(ServerTls::read).transpose();
        let tls = tls.map_err(|problem| anyhow::anyhow!("contiv.listen_tls: {problem}"))?.map(Arc::new);
        Ok(Some(Self { listen, tls, netmaster }))
    }
}

/// A legacy server that is bound and does not serve yet.
pub struct LegacyServer {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<ServerTls>>,
    limits: Limits,
    shared: Arc<Shared>,
}

/// The parts that all handlers use.
struct Shared {
    latest: Arc<Latest>,
    netmaster: Option<Arc<Netmaster>>,
    permits: Semaphore,
    lists: Arc<Semaphore>,
}

impl LegacyServer {
    /// Binds the address.
    ///
    /// # Errors
    ///
    /// When the address is in use or not of this machine; the text names the setting.
    pub async fn bind(
        settings: &LegacySettings,
        limits: Limits,
        latest: Arc<Latest>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await;
        let listener = listener.with_context(|| format!("listen on {}; change contiv.listen", settings.listen))?;
        let address = listener.local_addr().context("read the address that was bound")?;
        let netmaster = settings.netmaster.as_ref().map(|settings| Arc::new(Netmaster::new(settings, clock)));
        let shared = Arc::new(Shared {
            latest,
            netmaster,
            permits: Semaphore::new(MAX_IN_FLIGHT),
            lists: Arc::new(Semaphore::new(MAX_LISTS)),
        });
        Ok(Self { listener, address, tls: settings.tls.clone(), limits, shared })
    }

    /// Returns the address that is bound, with the port also if the setting is 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stopping` is true, then finishes the requests in flight. Adds the connections that it refuses to
    /// `refusals`.
    pub async fn serve(self, refusals: Refusals, stopping: watch::Receiver<bool>) {
        listener::serve(self.listener, self.tls, router(self.shared), self.limits, refusals, stopping).await;
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .fallback(answer)
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), bounded))
        .with_state(shared)
}

/// Limits how many requests are in flight, and how long.
async fn bounded(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let Ok(_permit) = shared.permits.try_acquire() else { return busy() };
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => problem(StatusCode::GATEWAY_TIMEOUT, "the answer took too long; see contiv.netmaster in the log"),
    }
}

async fn answer(State(shared): State<Arc<Shared>>, method: Method, uri: Uri) -> Response {
    if method != Method::GET && method != Method::HEAD {
        let allowed = [(header::ALLOW, "GET, HEAD")];
        return (allowed, problem(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here")).into_response();
    }
    let parameters = || uri.query().unwrap_or_default().split('&').filter_map(|parameter| parameter.split('=').next());
    if let Some(name) = parameters().find(|name| !PARAMETERS.contains(name) && !name.is_empty()) {
        let text = format!(
            "unknown parameter `{name}`; the parameters are `all`, for every pair, and `server`, for the node of each"
        );
        return problem(StatusCode::BAD_REQUEST, &text);
    }
    let path = percent_decoded(uri.path());
    if path.contains("/services") {
        return services(&shared).await;
    }
    let has = |wanted: &str| parameters().any(|name| name == wanted);
    let (all, with_server) = (has("all"), has("server"));
    match (&*canonical_address(path.trim_matches('/')), all) {
        ("", false) => json(StatusCode::OK, serde_json::json!({ "paths": BTreeMap::from(PATHS) }).to_string()),
        ("", true) | ("all", _) => {
            let Ok(permit) = Arc::clone(&shared.lists).try_acquire_owned() else { return busy() };
            let pieces = all_pairs(Arc::clone(&shared.latest), with_server, permit).map(Ok::<_, Infallible>);
            json(StatusCode::OK, Body::from_stream(tokio_stream::iter(pieces)))
        }
        (endpoint, true) => every_pair(&shared.latest.nodes_of(endpoint), endpoint, with_server),
        (endpoint, false) => first_pair(&shared.latest.of_endpoint(endpoint), endpoint),
    }
}

async fn services(shared: &Shared) -> Response {
    let Some(netmaster) = &shared.netmaster else {
        let text = "no Netmaster is configured, which lists the services; set contiv.netmaster";
        return problem(StatusCode::NOT_IMPLEMENTED, text);
    };
    match netmaster.services().await {
        Ok(answer) => json(StatusCode::OK, answer),
        Err(reason) => problem(StatusCode::BAD_GATEWAY, &reason),
    }
}

/// Returns the pair of an endpoint in the answers that have it, the current one first.
fn first_pair(nodes: &[Arc<ServiceStats>], endpoint: &str) -> Response {
    match nodes.iter().find_map(|stats| pair_answer(points_of(stats, endpoint))) {
        Some(answer) => json(StatusCode::OK, answer),
        None if !nodes.is_empty() => {
            problem(StatusCode::NOT_FOUND, &format!("the endpoint `{endpoint}` has had no traffic with a service yet"))
        }
        None => unknown(endpoint),
    }
}

fn every_pair(nodes: &[(Arc<str>, Arc<ServiceStats>)], endpoint: &str, with_server: bool) -> Response {
    if nodes.is_empty() {
        return unknown(endpoint);
    }
    let mut list = b"[".to_vec();
    for (node, stats) in nodes {
        append_pairs(points_of(stats, endpoint), with_server.then_some(&**node), &mut list);
    }
    list.push(b']');
    json(StatusCode::OK, list)
}

fn unknown(endpoint: &str) -> Response {
    let text = format!("no node had an endpoint `{endpoint}` in its last answer; /all lists those with traffic");
    problem(StatusCode::NOT_FOUND, &text)
}

/// Returns the list of all pairs in pieces, one for each node: of a large cluster the whole list is megabytes. Each is of
/// the node's newest answer when its turn comes, so that a slow client keeps no old ones. The permit is held to the end.
fn all_pairs(latest: Arc<Latest>, with_server: bool, permit: OwnedSemaphorePermit) -> impl Iterator<Item = Vec<u8>> {
    let mut is_first = true;
    let pairs = latest.names().into_iter().filter_map(move |node| {
        let _held = &permit;
        let stats = latest.node(&node)?;
        let mut points = points(&stats).peekable();
        points.peek()?;
        // Before the first piece there is the bracket, and no comma.
        let before = std::mem::take(&mut is_first);
        let mut piece = if before { b"[".to_vec() } else { Vec::new() };
        append_pairs(points, with_server.then_some(&*node), &mut piece);
        Some(if before { piece.split_off(1) } else { piece })
    });
    once(b"[".to_vec()).chain(pairs).chain(once(b"]".to_vec()))
}

/// Returns the answer to a request beyond a limit.
fn busy() -> Response {
    let busy = problem(StatusCode::SERVICE_UNAVAILABLE, "too many requests are in flight; try again in a second");
    ([(header::RETRY_AFTER, "1")], busy).into_response()
}

/// Returns an error as an answer: `{"error": …}`.
fn problem(status: StatusCode, text: &str) -> Response {
    json(status, serde_json::json!({ "error": text }).to_string())
}

fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.into()).into_response()
}

#[cfg(test)]
mod tests;
