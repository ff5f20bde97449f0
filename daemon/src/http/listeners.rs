//! The listeners of the server: each serves the paths of its roles.
//!
//! | role | paths |
//! |---|---|
//! | `ingest` | the `POST` of samples in every format, and what clients of InfluxDB ask before they write |
//! | `query` | UVEs, results, history, alarms, annotations, the state of the daemon, metrics, the tap, the page |
//! | `admin` | the configuration, the state of the daemon, metrics |
//! | `probes` | `/healthz`, `/readyz`, `/health`, `/ping` |

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use daemon_base::listener::{self, ServerTls, Socket};
use daemon_sources::contiv::LegacySettings;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tracing::{error, info};

use super::{Current, HttpSettings, problem, router};
use crate::config::{ListenAddress, Role};

/// One listener of the server.
#[derive(Clone, Debug)]
pub(crate) struct ListenerSettings {
    pub address: ListenAddress,
    pub roles: Vec<Role>,
    pub tls: Option<Arc<ServerTls>>,
    /// The permissions of the file of a Unix socket.
    pub mode: u32,
}

/// The certificates of the listeners, each with the configured address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Certificates(Arc<[(String, Arc<ServerTls>)]>);

impl Certificates {
    /// Those of the server, and of the server for Contiv's page.
    pub(crate) fn of(listeners: &[ListenerSettings], page: Option<&LegacySettings>) -> Self {
        let http = listeners.iter().map(|listener| (listener.address.to_string(), &listener.tls));
        let page = page.map(|page| (page.listen.to_string(), &page.tls));
        let with_tls = http.chain(page).filter_map(|(address, tls)| Some((address, tls.clone()?)));
        Self(with_tls.collect())
    }

    /// The certificates.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &Arc<ServerTls>> {
        self.0.iter().map(|(_, tls)| tls)
    }

    /// The listeners whose files cannot be used as they are now, each with the reason.
    pub(super) fn problems(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().filter_map(|(address, tls)| Some((address.as_str(), tls.problem()?)))
    }

    /// The same in a line for each, without the reasons: those who ask for them may be anybody.
    pub(super) fn warnings(&self) -> String {
        let line = |address| {
            format!(
                "warning: the new certificate of the listener {address} cannot be used, and the one before it stays in \
                 use; see the log\n"
            )
        };
        self.problems().map(|(address, _)| line(address)).collect()
    }
}

/// What the handlers of a listener know of it.
#[derive(Debug)]
pub(super) struct ListenerInfo {
    /// The address that is bound.
    address: ListenAddress,
    roles: Vec<Role>,
    /// Whether it has TLS.
    pub(super) is_tls: bool,
}

/// A server with bound listeners that does not serve yet.
pub(crate) struct Server {
    bound: Vec<(Socket, Option<Arc<ServerTls>>, Arc<ListenerInfo>)>,
    settings: HttpSettings,
}

impl Server {
    /// Binds the listeners.
    ///
    /// # Errors
    ///
    /// Fails if an address is in use or belongs to another machine; the error names it.
    pub(crate) async fn bind(settings: HttpSettings) -> anyhow::Result<Self> {
        let mut bound = Vec::new();
        for ListenerSettings { address, roles, tls, mode } in settings.listeners.clone() {
            let socket = bind(&address, mode).await;
            let change = "change http.listen or its listener of http.listeners";
            let socket = socket.with_context(|| format!("listen on {address}; {change}"))?;
            let address = match socket.tcp_address().context("read the address that was bound")? {
                Some(real) => ListenAddress::Tcp(real),
                None => address,
            };
            let is_tls = tls.is_some();
            bound.push((socket, tls, Arc::new(ListenerInfo { address, roles, is_tls })));
        }
        Ok(Self { bound, settings })
    }

    /// The first bound address of the network or of this machine: its port is the real one even if 0 was configured.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.addresses().find_map(|address| match address {
            ListenAddress::Tcp(address) => Some(*address),
            ListenAddress::Unix(_) => None,
        })
    }

    /// The bound addresses.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &ListenAddress> {
        self.bound.iter().map(|(_, _, info)| &info.address)
    }

    /// Logs where the server listens.
    pub(crate) fn announce(&self) {
        for (_, tls, info) in &self.bound {
            let roles: Vec<_> = info.roles.iter().map(|role| role.name()).collect();
            let (address, roles, tls) = (&info.address, roles.join(","), tls.is_some());
            info!(%address, %roles, tls, "Listening.");
        }
    }

    /// Serves until `stopping` turns true, then finishes the requests in flight. It ends early if a listener does.
    pub(crate) async fn serve(self, current: Current) {
        let shared = current.load();
        let (stopping, refusals) = (shared.stopping.clone(), shared.telemetry.http.refusals.clone());
        drop(shared);
        let mut serving = JoinSet::new();
        for (socket, tls, info) in self.bound {
            let router = router::router(current.clone(), &info);
            let (refusals, stopping) = (refusals.clone(), stopping.clone());
            serving.spawn(listener::serve(socket, tls, router, self.settings.limits, refusals, stopping));
        }
        while let Some(ended) = serving.join_next().await {
            if !*stopping.borrow() {
                error!(?ended, "A listener ended before the stop.");
                return;
            }
        }
    }
}

async fn bind(address: &ListenAddress, mode: u32) -> std::io::Result<Socket> {
    match address {
        ListenAddress::Tcp(address) => TcpListener::bind(address).await.map(Socket::from),
        ListenAddress::Unix(path) => Socket::bind_unix(path, mode),
    }
}

/// Responds with 404 to a request for a path whose roles the listener does not have.
pub(super) async fn refuse_other_roles(
    State(listener): State<Arc<ListenerInfo>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let wanted = roles_of(path);
    if wanted.is_empty() || wanted.iter().any(|role| listener.roles.contains(role)) {
        return next.run(request).await;
    }
    let names = |roles: &[Role]| roles.iter().map(|role| role.name()).collect::<Vec<_>>();
    let text = format!(
        "{} needs a listener with the role {}; {} has {}; use another listener, or add the role in http.listeners",
        request.uri().path(),
        names(wanted).join(" or "),
        listener.address,
        names(&listener.roles).join(", "),
    );
    problem(StatusCode::NOT_FOUND, &text)
}

/// The roles of which a listener needs one to serve a route; none for a path that does not exist.
fn roles_of(route: &str) -> &'static [Role] {
    match route {
        "" => &[],
        "/healthz" | "/readyz" => &[Role::Probes],
        "/health" | "/ping" => &[Role::Probes, Role::Ingest],
        "/api/v1/samples" | "/api/v1/partials" | "/api/v1/write" | "/v1/metrics" => &[Role::Ingest],
        "/write" | "/api/v2/write" | "/query" => &[Role::Ingest],
        // With all that is under it.
        config if config.starts_with("/api/v1/config") => &[Role::Admin],
        "/metrics" | "/api/v1/partitions" | "/api/v1/status" => &[Role::Query, Role::Admin],
        _ => &[Role::Query],
    }
}
