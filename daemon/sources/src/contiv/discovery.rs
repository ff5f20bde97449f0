//! Discovery: the list of nodes from etcd.
//!
//! Netplugin registers itself below `/contiv.io/service/netplugin/` with a time to live of a minute and renews it. The
//! last list is valid while no server answers: nodes do not depend on etcd.

use std::time::Duration;

use anyhow::Context as _;
use axum::http::uri::Authority;
use daemon_base::backoff::random_share;
use daemon_base::servers::Servers;
use netplugin_adapter::discover;
use tracing::{debug, warn};

use super::get::Getter;
use super::settings::{Node, ScraperSettings};
use super::telemetry::ScraperTelemetry;

/// Where Netplugin registers itself.
const PATH: &str = "/v2/keys/contiv.io/service/netplugin/?recursive=true&sorted=true";

/// The client of etcd.
#[derive(Debug)]
pub(super) struct Discovery {
    servers: Servers,
    getter: Getter,
    port: u16,
}

impl Discovery {
    pub(super) fn new(settings: &ScraperSettings, getter: &Getter) -> Self {
        Self { servers: Servers::new(settings.etcd.clone()), getter: getter.clone(), port: settings.netplugin_port }
    }

    /// Requests the nodes from one server after the other; `None` if none answers. `now` is monotonic time.
    pub(super) fn request(&mut self, now: Duration, telemetry: &ScraperTelemetry) -> Option<Vec<Node>> {
        while let Some(server) = self.servers.next(now) {
            match self.nodes_of(server) {
                Ok(nodes) => {
                    self.servers.worked(server);
                    return Some(nodes);
                }
                Err(error) => {
                    warn!(
                        server = self.servers.base(server), error = %format!("{error:#}"),
                        "etcd did not list the nodes; those known are scraped on."
                    );
                    self.servers.failed(server, now, random_share());
                    telemetry.discovery_failed();
                }
            }
        }
        None
    }

    fn nodes_of(&self, server: usize) -> anyhow::Result<Vec<Node>> {
        let url = format!("{}{}", self.servers.base(server), PATH);
        let (status, body) = self.getter.get_any(&url)?;
        // That there is no such key comes with status 404, and is an answer.
        anyhow::ensure!(matches!(status, 200 | 404), "the status is {status}");
        let found = discover(&body).context("is this etcd with its v2 API enabled?")?;
        for entry in &found.rejected {
            debug!(%entry, "An entry of etcd is rejected.");
        }
        let node = |host: &String| {
            let address: Result<Authority, _> = bracketed(host, self.port).parse();
            address.inspect_err(|error| debug!(%host, %error, "A node's host is refused.")).ok()
        };
        Ok(found.hosts.iter().filter_map(node).map(|address| Node::new(&address, self.port)).collect())
    }
}

/// A host with a port; an IPv6 address goes into brackets.
fn bracketed(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
