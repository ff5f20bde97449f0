//! The requests of commands to a running daemon: its URL, the token, and TLS, in one place for all of them.

mod unix;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use daemon_base::outbound::ClientTlsFiles;
use daemon_base::setting::Secret;
use daemon_base::setting::address::is_https;
use ureq::Agent;

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
            return Ok(Client { agent, base: "http://localhost".to_owned(), authorization });
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
        Ok(Client { agent, base: url.to_owned(), authorization })
    }
}

impl Client {
    /// Sends a GET for a path of the daemon.
    ///
    /// # Errors
    ///
    /// When there is no response.
    pub(super) fn get(&self, path: &str) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let request = self.agent.get(format!("{}{path}", self.base));
        match &self.authorization {
            Some(token) => request.header("authorization", format!("Bearer {}", token.reveal())).call(),
            None => request.call(),
        }
    }
}
