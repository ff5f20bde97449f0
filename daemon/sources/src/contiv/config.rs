//! `[contiv]`: the scraper of Contiv's nodes and the server for Contiv's page.

use std::net::SocketAddr;
use std::time::Duration;

use daemon_base::setting::{address, duration, list};
use serde::Deserialize;

/// The default port of etcd.
pub const ETCD_PORT: u16 = 2379;

/// The default port of netmaster.
pub const NETMASTER_PORT: u16 = 9999;

/// The section `[contiv]`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ContivConfig {
    /// The nodes, as `host` or `host:port`, in a list or in one text separated by blanks or commas. Default none.
    #[serde(deserialize_with = "list::deserialize")]
    pub nodes: Vec<String>,
    /// The etcd servers that list the nodes, as `host:port` or `http://host:port`; port 2379 if none is given. One is
    /// polled at a time, and the next one after a failure. Default none. Nodes that they list are scraped besides
    /// `contiv.nodes`.
    #[serde(deserialize_with = "list::deserialize")]
    pub etcd: Vec<String>,
    /// The port of Netplugin on nodes that are named without one. Default 9090, from 1.
    pub netplugin_port: u16,
    /// How often every node is scraped; points carry times that are multiples of it. Default `"10s"`, whole seconds from
    /// `"1s"` to `"1d"`. Contiv's page shows pairs with a point in the last 15 seconds.
    #[serde(deserialize_with = "duration::deserialize")]
    pub interval: Duration,
    /// Over which part of the interval the requests to the nodes are spread. Default `"500ms"`, up to half the
    /// interval.
    #[serde(deserialize_with = "duration::deserialize")]
    pub jitter: Duration,
    /// How long one request may take in all. Default `"3s"`, `"100ms"` to `"1h"`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
    /// Requests in flight at a time. Default 32, 1 to 1,024.
    pub concurrency: usize,
    /// The largest answer in bytes; a larger one is refused. Default 32 MiB, from 1 to 1 GiB.
    pub max_body_bytes: usize,
    /// Entries whose counters have not changed for so long are left out of the points. Default `"0s"`: all are written.
    /// Up to `"30d"`. Netplugin keeps the entry of a provider that was replaced, and an endpoint that
    /// moved to another node, until it restarts.
    #[serde(deserialize_with = "duration::deserialize")]
    pub stale_after: Duration,
    /// How often the nodes are requested from etcd. Default `"30s"`, `"1s"` to `"1d"`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub discovery_interval: Duration,
    /// The address of the server for Contiv's page, which the Python server had on port 4000, such as `"0.0.0.0:4000"`.
    /// Default unset: there is no such server.
    #[serde(deserialize_with = "address::deserialize_some")]
    pub listen: Option<SocketAddr>,
    /// The netmaster that lists the services, as `host:port` or `http://host:port`; port 9999 if none is given. Default
    /// unset: `/services` on `contiv.listen` is answered with an error.
    pub netmaster: Option<String>,
    /// How long an answer of netmaster is used again. Default `"2s"`, up to `"1h"`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub netmaster_cache: Duration,
}

impl Default for ContivConfig {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            etcd: Vec::new(),
            netplugin_port: 9090,
            interval: Duration::from_secs(10),
            jitter: Duration::from_millis(500),
            timeout: Duration::from_secs(3),
            concurrency: 32,
            max_body_bytes: 32 * 1024 * 1024,
            stale_after: Duration::ZERO,
            discovery_interval: Duration::from_secs(30),
            listen: None,
            netmaster: None,
            netmaster_cache: Duration::from_secs(2),
        }
    }
}

impl ContivConfig {
    /// Whether any node or etcd server is configured.
    pub fn is_on(&self) -> bool {
        !(self.nodes.is_empty() && self.etcd.is_empty())
    }
}
