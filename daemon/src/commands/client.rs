//! The requests of commands to a running daemon: its URL, the token, and TLS, in one place for all of them.

mod remedy;
mod unix;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use daemon_base::outbound::ClientTlsFiles;
use daemon_base::setting::Secret;
use daemon_base::setting::address::is_https;
use derived_stats::Registry;
use ureq::Agent;
use ureq::http::StatusCode;

use super::http_url::daemon_url;
use super::print::excerpt;
use crate::config::{self, Http, ListenAddress, ListenerConfig, Role, Sources};

/// The URL of a daemon with the default configuration.
const DEFAULT_URL: &str = "http://127.0.0.1:8081";

/// The characters of a response that are shown.
const EXCERPT: usize = 500;

/// Which daemon a command requests.
#[derive(Args, Clone, Debug)]
pub(crate) struct DaemonUrl {
    /// The URL of the daemon's HTTP server, also `https://…` or `unix:/path/of/a.sock`. Default: that of a listener in the
    /// configuration, as `run` reads it of --config and the environment; http://127.0.0.1:8081 without any.
    #[arg(long, value_name = "URL", env = "DERIVED_STATSD_URL", value_parser = daemon_url)]
    url: Option<String>,
    /// The configuration of the daemon, for its listener.
    #[arg(long, value_name = "FILE", env = "DERIVED_STATSD_CONFIG")]
    config: Option<PathBuf>,
}

impl DaemonUrl {
    /// The URL that is given, or that of a listener of the configuration that serves `role` on this machine.
    pub(super) fn url(&self, role: Role) -> String {
        let configured = || {
            let environment = std::env::vars_os().collect();
            let sources = Sources { file: self.config.clone(), environment, ..Sources::default() };
            // A problem elsewhere in the configuration is not one of this command.
            of_listener(&config::survey(&sources, &Registry::new()).config.http, role)
        };
        self.url.clone().or_else(configured).unwrap_or_else(|| DEFAULT_URL.to_owned())
    }
}

/// The URL of the listener that is the simplest to reach: one without TLS first, one that wants a certificate last.
fn of_listener(http: &Http, role: Role) -> Option<String> {
    let effort = |listener: &ListenerConfig| match (&listener.tls, &listener.address) {
        (None, ListenAddress::Tcp(_)) => 0,
        (None, ListenAddress::Unix(_)) => 1,
        (Some(tls), _) if tls.client_ca.is_none() => 2,
        (Some(_), _) => 3,
    };
    // Port 0 is another one at each start.
    let is_usable = |listener: &ListenerConfig| {
        listener.roles.contains(&role)
            && !matches!(listener.address, ListenAddress::Tcp(address) if address.port() == 0)
    };
    let listener = http.all_listeners().filter(is_usable).min_by_key(effort)?;
    let scheme = if listener.tls.is_some() { "https" } else { "http" };
    Some(match listener.address {
        ListenAddress::Tcp(address) => format!("{scheme}://{}", reachable(address)),
        address @ ListenAddress::Unix(_) => address.to_string(),
    })
}

/// Where a listener on all addresses is reached on its machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// How a command connects to a daemon.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClientOptions {
    /// A file with the token of this client and nothing else, for a daemon with http.tokens_file.
    #[arg(long, value_name = "FILE", env = "DERIVED_STATSD_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// A PEM file with the authorities of the daemon's certificate, besides those of the system.
    #[arg(long, value_name = "FILE", env = "DERIVED_STATSD_CA")]
    ca: Option<PathBuf>,
    /// A PEM file with the certificate of this client, for a listener with client_ca.
    #[arg(long, value_name = "FILE", env = "DERIVED_STATSD_CERTIFICATE", requires = "key")]
    certificate: Option<PathBuf>,
    /// A PEM file with the private key of the certificate.
    #[arg(long, value_name = "FILE", env = "DERIVED_STATSD_KEY", requires = "certificate")]
    key: Option<PathBuf>,
}

/// A client of one daemon.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    /// What stands before the path of a request.
    base: String,
    /// The same, as the user has named it.
    url: String,
    authorization: Option<Secret>,
}

impl ClientOptions {
    /// A client of the daemon at `url`, such as `https://host:8443` or `unix:/run/derived-statsd/http.sock`, whose
    /// requests take up to `timeout`; without one there is no limit. It sends no request.
    ///
    /// # Errors
    ///
    /// When the file of the token, of authorities or of a certificate cannot be used.
    pub(super) fn client(&self, url: &str, timeout: Option<Duration>) -> anyhow::Result<Client> {
        let read = |path: &PathBuf| Secret::from_file(Path::new(path), "--token-file");
        let authorization = self.token_file.as_ref().map(read).transpose()?;
        let mut config = Agent::config_builder().proxy(None).http_status_as_error(false).timeout_global(timeout);
        if let Some(path) = url.strip_prefix("unix:") {
            let agent = unix::agent(config.build(), Path::new(path));
            return Ok(Client { agent, base: "http://localhost".to_owned(), url: url.to_owned(), authorization });
        }
        if is_https(url) {
            let [ca, certificate, key] = [&self.ca, &self.certificate, &self.key].map(Clone::clone);
            let tls = ClientTlsFiles { ca, certificate, key }.read().map_err(|(key, problem)| {
                // The options have the names of the settings without `_file`.
                anyhow::anyhow!("--{}: {problem}", key.trim_end_matches("_file"))
            })?;
            config = config.tls_config(tls.config());
        }
        // With a redirect the token would go to another server.
        let agent = config.max_redirects(0).build().new_agent();
        Ok(Client { agent, base: url.to_owned(), url: url.to_owned(), authorization })
    }
}

impl Client {
    /// Sends a GET for a path of the daemon.
    ///
    /// # Errors
    ///
    /// When there is no response: the reason, and the remedy of the usual ones.
    pub(super) fn get(&self, path: &str) -> anyhow::Result<ureq::http::Response<ureq::Body>> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let answer = match &self.authorization {
            Some(token) => request.header("authorization", format!("Bearer {}", token.reveal())).call(),
            None => request.call(),
        };
        answer
            .map_err(|error| anyhow::anyhow!("no answer from {}{path}: {error}{}", self.url, remedy::of_error(&error)))
    }

    /// Returns the message about a response that is an error, with its status and the beginning of its text, and the remedy
    /// if it refuses the token.
    pub(super) fn refusal(&self, path: &str, status: StatusCode, text: &str) -> String {
        let remedy = remedy::of_status(status, self.authorization.is_some());
        format!("{}{path} responds with {status}: {}{remedy}", self.url, excerpt(text.trim(), EXCERPT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_that_of_the_simplest_listener_with_the_role() {
        let tls = |more: &str| format!("tls = {{ certificate = \"c\", key = \"k\"{more} }}\n");
        let further = |address: &str, rest: &str| format!("[[http.listeners]]\naddress = \"{address}\"\n{rest}");
        let (none, socket) = ("[http]\nlisten = \"none\"\n", further("unix:/a.sock", ""));
        let (plain, secured) = (further("10.0.0.5:1", ""), further("[::]:2", &tls("")));
        let with_clients = further("10.0.0.5:3", &tls(", client_ca = \"a\""));
        let ingest = further("127.0.0.1:4", "roles = [\"ingest\"]\n");
        let cases = [
            (String::new(), Some("http://127.0.0.1:8081")),
            ("[http]\nlisten = \"0.0.0.0:18120\"".to_owned(), Some("http://127.0.0.1:18120")),
            ("[http]\nlisten = \"127.0.0.1:0\"".to_owned(), None),
            (format!("{none}{with_clients}{secured}{socket}{plain}"), Some("http://10.0.0.5:1")),
            (format!("{none}{with_clients}{secured}{socket}"), Some("unix:/a.sock")),
            (format!("{none}{with_clients}{secured}"), Some("https://[::1]:2")),
            (format!("{none}{with_clients}{ingest}"), Some("https://10.0.0.5:3")),
            (format!("{none}{ingest}"), None),
        ];
        for (text, expected) in cases {
            let config: config::Config = toml::from_str(&text).unwrap();
            assert_eq!(of_listener(&config.http, Role::Probes).as_deref(), expected, "{text}");
        }
    }
}
