//! The requests of commands to a running daemon, and their token.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use daemon_base::setting::Secret;

/// The token of requests.
#[derive(Args, Clone, Debug)]
pub(crate) struct TokenOption {
    /// A file with the token of this client and nothing else, for a daemon with http.tokens_file.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// A client of one daemon.
#[derive(Debug)]
pub(super) struct Client {
    agent: ureq::Agent,
    authorization: Option<Secret>,
}

impl TokenOption {
    /// A client whose requests take up to `timeout`; without one there is no limit.
    ///
    /// # Errors
    ///
    /// When the file of the token cannot be read.
    pub(super) fn client(&self, timeout: Option<Duration>) -> anyhow::Result<Client> {
        let config = ureq::Agent::config_builder().proxy(None).http_status_as_error(false).timeout_global(timeout);
        let read = |path: &PathBuf| Secret::from_file(Path::new(path), "--token-file");
        Ok(Client { agent: config.build().new_agent(), authorization: self.token_file.as_ref().map(read).transpose()? })
    }
}

impl Client {
    /// Sends a GET.
    ///
    /// # Errors
    ///
    /// When there is no response.
    pub(super) fn get(&self, url: &str) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let request = self.agent.get(url);
        match &self.authorization {
            Some(token) => request.header("authorization", format!("Bearer {}", token.reveal())).call(),
            None => request.call(),
        }
    }
}
