//! GET requests, each on a thread of its own, so that a server that hangs does not delay a stop.
//!
//! A request that is abandoned ends by itself at its timeout.

use std::time::Duration;

use daemon_base::outbound::{Authorization, agent_config, certificate_hint};
use daemon_base::stop::{Stop, Unfinished};
use ureq::Agent;

use super::settings::PollerSettings;

/// The HTTP client of the poller.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    authorization: Option<Authorization>,
    max_body_bytes: usize,
    stop: Stop,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the answer cannot be decoded ({0}); check that opserver.servers are analytics API servers")]
    Answer(#[from] serde_json::Error),
    #[error("the status is {0}{hint}", hint = if matches!(.0, 401 | 403) { "; check opserver.user and opserver.password_file" } else { "" })]
    Status(u16),
    #[error("the poller is stopping")]
    Stopped,
    #[error("no thread could be started: {0}")]
    Thread(std::io::Error),
    #[error("no whole answer came within opserver.timeout")]
    Timeout,
    #[error("the answer is larger than opserver.max_body_bytes")]
    TooLarge,
    #[error("{0}{hint}", hint = certificate_hint(.0, "opserver"))]
    Transport(ureq::Error),
}

impl FetchError {
    /// Returns the reason as a label.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Answer(_) => "answer",
            Self::Status(_) => "status",
            Self::Stopped => "stopped",
            Self::Thread(_) => "thread",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::Transport(_) => "transport",
        }
    }
}

impl From<ureq::Error> for FetchError {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::StatusCode(status) => Self::Status(status),
            ureq::Error::Timeout(_) => Self::Timeout,
            ureq::Error::BodyExceedsLimit(_) => Self::TooLarge,
            error => Self::Transport(error),
        }
    }
}

impl Client {
    pub(super) fn new(settings: &PollerSettings, stop: Stop) -> Self {
        Self {
            agent: agent_config(settings.timeout).tls_config(settings.tls.clone()).build().new_agent(),
            authorization: settings.authorization.clone(),
            max_body_bytes: settings.max_body_bytes,
            stop,
        }
    }

    /// Returns the body of the answer.
    ///
    /// # Errors
    ///
    /// [`FetchError`], of which [`FetchError::Stopped`] comes at once after a stop.
    pub(super) fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let mut request = self.agent.get(url).header("accept", "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization.header());
        }
        let limit = self.max_body_bytes as u64;
        let body = move || {
            let mut response = request.call()?;
            match response.status().as_u16() {
                200 => Ok(response.body_mut().with_config().limit(limit).read_to_vec()?),
                status => Err(FetchError::Status(status)),
            }
        };
        self.stop.aside("opserver-get", Duration::ZERO, body).unwrap_or_else(|unfinished| {
            Err(match unfinished {
                Unfinished::Died => FetchError::Timeout,
                Unfinished::Stopped => FetchError::Stopped,
                Unfinished::Thread(error) => FetchError::Thread(error),
            })
        })
    }
}
