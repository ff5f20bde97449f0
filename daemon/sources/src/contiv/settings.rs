//! The settings of the scraper.

use std::sync::Arc;
use std::time::Duration;

use axum::http::uri::Authority;
use ureq::tls::TlsConfig;

use super::config::{ContivConfig, ETCD_PORT};

/// The servers to scrape, how often, and with which limits.
#[derive(Clone, Debug)]
pub struct ScraperSettings {
    /// The configured nodes.
    pub nodes: Vec<Node>,
    /// The base URLs of the etcd servers that list further nodes, `http://host:port` or `https://host:port`.
    pub etcd: Vec<String>,
    /// Netplugin's port on a node that etcd lists.
    pub netplugin_port: u16,
    /// Whether Netplugin is reached by TLS.
    pub netplugin_tls: bool,
    /// The TLS of nodes and etcd.
    pub tls: TlsConfig,
    /// The scrape interval: whole seconds, at least one.
    pub interval: Duration,
    /// Over how much of the interval the requests are spread.
    pub jitter: Duration,
    /// The time limit of one request.
    pub timeout: Duration,
    /// Requests in flight at a time, at least one.
    pub concurrency: usize,
    /// The largest answer in bytes.
    pub max_body_bytes: usize,
    /// Entries that have not changed for so long are left out of the points; zero for none.
    pub stale_after: Duration,
    /// How often the nodes are requested from etcd.
    pub discovery_interval: Duration,
}

/// A node whose Netplugin is scraped.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Node {
    /// The name in results and errors: its host, and the port if it is not the usual one.
    pub name: Arc<str>,
    /// The address, `host:port`.
    pub address: Arc<str>,
}

impl Node {
    /// Returns the node at an address.
    pub fn new(address: &Authority, usual_port: u16) -> Self {
        let is_usual = address.port_u16() == Some(usual_port);
        let name = if is_usual { address.host() } else { address.as_str() };
        Self { name: name.into(), address: address.as_str().into() }
    }
}

impl ScraperSettings {
    /// Returns the settings of a section; `None` if it has neither nodes nor etcd servers.
    ///
    /// # Errors
    ///
    /// When an address cannot be parsed, or a file of TLS cannot be used.
    pub fn new(section: &ContivConfig) -> anyhow::Result<Option<Self>> {
        if !section.is_on() {
            return Ok(None);
        }
        let port = section.netplugin_port;
        let nodes = daemon_base::setting::servers(&section.nodes, port, "contiv.nodes")?;
        let etcd = daemon_base::setting::servers(&section.etcd, ETCD_PORT, "contiv.etcd")?;
        Ok(Some(Self {
            nodes: nodes.iter().map(|node| Node::new(&node.authority, port)).collect(),
            etcd: etcd.iter().map(ToString::to_string).collect(),
            netplugin_port: port,
            netplugin_tls: section.netplugin_tls,
            tls: tls(section)?,
            interval: section.interval,
            jitter: section.jitter,
            timeout: section.timeout,
            concurrency: section.concurrency,
            max_body_bytes: section.max_body_bytes,
            stale_after: section.stale_after,
            discovery_interval: section.discovery_interval,
        }))
    }
}

/// The TLS of all servers of Contiv.
pub(super) fn tls(section: &ContivConfig) -> anyhow::Result<TlsConfig> {
    if section.has_tls() { section.tls_files().config("contiv") } else { Ok(TlsConfig::default()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_called_by_its_host_unless_its_port_is_its_own() {
        let section = ContivConfig {
            nodes: vec!["10.0.0.5".to_owned(), "n2:9091".to_owned()],
            etcd: vec!["e1".to_owned()],
            ..ContivConfig::default()
        };
        let settings = ScraperSettings::new(&section).unwrap().unwrap();
        let nodes: Vec<_> = settings.nodes.iter().map(|node| (&*node.name, &*node.address)).collect();
        assert_eq!(nodes, [("10.0.0.5", "10.0.0.5:9090"), ("n2:9091", "n2:9091")]);
        assert_eq!(settings.etcd, ["http://e1:2379"]);
        assert!(ScraperSettings::new(&ContivConfig::default()).unwrap().is_none());
    }
}
