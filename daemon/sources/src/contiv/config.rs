//! `[contiv]`: the scraper of Contiv's nodes and the server for Contiv's page.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use daemon_base::listener::TlsFiles;
use daemon_base::outbound::TlsFileProblem;
use daemon_base::setting::address::has_tls;
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
    /// The etcd servers that list the nodes, as `host:port`, `http://host:port` or `https://host:port`; port 2379 if none
    /// is given. One is polled at a time, and the next one after a failure. Default none. Nodes that they list are
    /// scraped besides `contiv.nodes`.
    #[serde(deserialize_with = "list::deserialize")]
    pub etcd: Vec<String>,
    /// The port of Netplugin on nodes that are named without one. Default 9090, from 1.
    pub netplugin_port: u16,
    /// Whether Netplugin is reached by TLS, on all nodes. Default false.
    pub netplugin_tls: bool,
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
    /// An address of the network needs `client_ca` in `listen_tls`, or `http.insecure`. Default unset: there is no such
    /// server.
    #[serde(deserialize_with = "address::deserialize_some")]
    pub listen: Option<SocketAddr>,
    /// The files of the certificate of `contiv.listen`, as those of `[[http.listeners]]`: `certificate`, `key`, and
    /// `client_ca` to require certificates of clients. Default unset: no TLS.
    pub listen_tls: Option<TlsFiles>,
    /// The netmaster that lists the services, as `host:port`, `http://host:port` or `https://host:port`; port 9999 if
    /// none is given. Default unset: `/services` on `contiv.listen` is answered with an error.
    pub netmaster: Option<String>,
    /// How long an answer of netmaster is used again. Default `"2s"`, up to `"1h"`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub netmaster_cache: Duration,
    /// A PEM file with further trusted certificate authorities, for nodes, etcd and netmaster with TLS. Default unset:
    /// only the authorities of the system.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with the certificate that the daemon shows to nodes, etcd and netmaster with TLS. Default unset: none.
    pub certificate_file: Option<PathBuf>,
    /// A PEM file with the private key of the certificate, without a password. Default unset.
    pub key_file: Option<PathBuf>,
}

daemon_base::has_tls_files!(ContivConfig);

impl Default for ContivConfig {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            etcd: Vec::new(),
            netplugin_port: 9090,
            netplugin_tls: false,
            interval: Duration::from_secs(10),
            jitter: Duration::from_millis(500),
            timeout: Duration::from_secs(3),
            concurrency: 32,
            max_body_bytes: 32 * 1024 * 1024,
            stale_after: Duration::ZERO,
            discovery_interval: Duration::from_secs(30),
            listen: None,
            listen_tls: None,
            netmaster: None,
            netmaster_cache: Duration::from_secs(2),
            ca_file: None,
            certificate_file: None,
            key_file: None,
        }
    }
}

impl ContivConfig {
    /// Whether any node or etcd server is configured.
    pub fn is_on(&self) -> bool {
        !(self.nodes.is_empty() && self.etcd.is_empty())
    }

    /// Whether nodes, etcd or netmaster are reached by TLS.
    pub fn has_tls(&self) -> bool {
        self.netplugin_tls || has_tls(self.etcd.iter().chain(&self.netmaster))
    }

    /// Returns what is wrong with the settings of TLS, each with its key and the remedy.
    pub fn tls_problems(&self) -> Vec<TlsFileProblem> {
        let remedy =
            "nothing is reached by TLS; set contiv.netplugin_tls, or write https in contiv.etcd or contiv.netmaster";
        let mut problems = self.tls_files().problems(self.has_tls(), remedy);
        if self.listen_tls.is_some() && self.listen.is_none() {
            problems.push(("listen_tls", "there is no contiv.listen to use it; set that too, or remove it".to_owned()));
        }
        // Nodes that etcd lists have no scheme, so that one setting is for all.
        if !self.netplugin_tls && has_tls(&self.nodes) {
            let text = "a node with https; set contiv.netplugin_tls = true, which is for all nodes";
            problems.push(("nodes", text.to_owned()));
        }
        if self.netplugin_tls && self.nodes.iter().any(|node| node.starts_with("http://")) {
            let text = "a node with http, and contiv.netplugin_tls is for all nodes; write `host:port`";
            problems.push(("nodes", text.to_owned()));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_tls_that_do_not_go_together_are_refused_with_their_key() {
        let files = "listen_tls = { certificate = \"c\", key = \"k\" }";
        let cases = [
            ("ca_file = \"a\"\netcd = [\"e\"]", "ca_file"),
            ("ca_file = \"a\"\netcd = [\"https://e\"]", ""),
            ("ca_file = \"a\"\nnetmaster = \"https://n\"", ""),
            ("ca_file = \"a\"\nnetplugin_tls = true", ""),
            ("netplugin_tls = true\ncertificate_file = \"a\"", "key_file"),
            (files, "listen_tls"),
            (&format!("listen = \"127.0.0.1:1\"\n{files}"), ""),
            ("nodes = [\"https://n\"]", "nodes"),
            ("netplugin_tls = true\nnodes = [\"https://n\", \"m\"]", ""),
            ("netplugin_tls = true\nnodes = [\"http://n\"]", "nodes"),
        ];
        for (text, expected) in cases {
            let section: ContivConfig = toml::from_str(text).unwrap();
            let keys: Vec<_> = section.tls_problems().into_iter().map(|(key, _)| key).collect();
            assert_eq!(keys.join(" "), expected, "{text}");
        }
    }
}
