//! Discovery: the list of nodes from etcd.
//!
//! Netplugin registers itself below `/contiv.io/service/netplugin/` with a time to live of a minute and renews it. The
//! last list is valid while no server answers: nodes do not depend on etcd.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use axum::http::uri::Authority;
use daemon_base::backoff::random_share;
use daemon_base::servers::Servers;
use netplugin_adapter::discover;
use tracing::{debug, error, info, warn};

use super::Scraper;
use super::get::{Getter, START_LENGTH, start};
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
        let answer = self.getter.get_any(&url)?;
        // That there is no such key comes with status 404, and is an answer.
        if !matches!(answer.status, 200 | 404) {
            return Err(answer.unexpected().into());
        }
        let found = discover(&answer.body).with_context(|| {
            let start = start(&answer.body, START_LENGTH);
            format!("the answer begins with `{start}`; is this etcd with its v2 API enabled?")
        })?;
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

impl Scraper {
    /// Requests the nodes from etcd when it is time.
    pub(super) fn discover(&mut self, now: Duration) {
        if now < self.next_discovery {
            return;
        }
        let Some(discovery) = self.discovery.take() else { return };
        self.next_discovery = now + self.settings.discovery_interval;
        if let Err(error) = self.requests.discover(discovery, now) {
            error!(
                %error,
                "No thread could be started for the request to etcd; the scraper keeps the known nodes. Raise the \
                 limit on threads."
            );
            self.telemetry.discovery_failed();
            self.discovery = Some(Discovery::new(&self.settings, self.requests.getter()));
        }
    }

    /// Replaces the nodes that etcd lists.
    pub(super) fn set_nodes(&mut self, found: Vec<Node>) {
        let all: BTreeSet<Node> = self.settings.nodes.iter().cloned().chain(found).collect();
        let known = self.schedule.names().count();
        self.schedule.set_nodes(all);
        let count = self.schedule.names().count();
        if count != known {
            info!(nodes = count, "Contiv's nodes have changed.");
        }
        self.telemetry.set_nodes(self.schedule.names());
        self.reports.keep(&self.schedule.names().cloned().collect());
    }
}

/// A host with a port; an IPv6 address goes into brackets.
fn bracketed(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
