//! Blocking GET requests to Contiv's services.

use std::time::Duration;

use daemon_base::outbound::agent_config;
use ureq::Agent;

/// An HTTP client with limits on time and size. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Getter {
    agent: Agent,
    max_body_bytes: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum GetError {
    #[error("the status is {status}{}{text}", if text.is_empty() { "" } else { ": " })]
    Status { status: u16, text: String },
    #[error("no whole answer came in time")]
    Timeout,
    #[error("the answer is larger than contiv.max_body_bytes")]
    TooLarge,
    #[error("{0}")]
    Transport(ureq::Error),
}

impl GetError {
    /// Returns the reason as a label.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::Transport(_) => "transport",
        }
    }
}

impl From<ureq::Error> for GetError {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::Timeout(_) => Self::Timeout,
            ureq::Error::BodyExceedsLimit(_) => Self::TooLarge,
            error => Self::Transport(error),
        }
    }
}

/// How many bytes of an error's text are kept.
const MAX_ERROR_TEXT: u64 = 200;

impl Getter {
    pub(super) fn new(timeout: Duration, max_body_bytes: usize) -> Self {
        // Requests to a node are seconds apart: a connection would mostly be closed by then.
        let config = agent_config(timeout).http_status_as_error(false).max_idle_connections(0);
        Self { agent: config.build().new_agent(), max_body_bytes }
    }

    /// Returns the body of an answer with status 200.
    ///
    /// # Errors
    ///
    /// [`GetError`]; a status other than 200 comes with the start of its text.
    pub(super) fn get(&self, url: &str) -> Result<Vec<u8>, GetError> {
        let (status, body) = self.get_any(url)?;
        if status == 200 {
            return Ok(body);
        }
        let text = String::from_utf8_lossy(&body[..body.len().min(MAX_ERROR_TEXT as usize)]).trim().to_owned();
        Err(GetError::Status { status, text })
    }

    /// Returns status and body, whatever the status.
    ///
    /// # Errors
    ///
    /// [`GetError`], never [`GetError::Status`].
    pub(super) fn get_any(&self, url: &str) -> Result<(u16, Vec<u8>), GetError> {
        let mut response = self.agent.get(url).header("accept", "application/json").call()?;
        let body = response.body_mut().with_config().limit(self.max_body_bytes as u64).read_to_vec()?;
        Ok((response.status().as_u16(), body))
    }
}
