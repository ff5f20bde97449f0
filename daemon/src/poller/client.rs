//! One GET after the other, each on a thread of its own, so that a server that hangs does not hold up a stop.
//!
//! A request that is given up ends by itself at its timeout; nobody waits for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use ureq::Agent;

use super::settings::PollerSettings;
use crate::outbound::{Authorization, agent_config};

/// How long a stop may go unnoticed.
pub(super) const STOP_INTERVAL: Duration = Duration::from_millis(50);

/// Gets answers.
#[derive(Debug)]
pub(super) struct Client<'s> {
    agent: Agent,
    authorization: Option<Authorization>,
    max_body_bytes: usize,
    stop: &'s AtomicBool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the answer is not understood ({0}); is this an analytics API server?")]
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
    #[error(transparent)]
    Transport(ureq::Error),
}

impl FetchError {
    /// The reason as a label.
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

impl<'s> Client<'s> {
    pub(super) fn new(settings: &PollerSettings, stop: &'s AtomicBool) -> Self {
        Self {
            agent: agent_config(settings.timeout).build().new_agent(),
            authorization: settings.authorization.clone(),
            max_body_bytes: settings.max_body_bytes,
            stop,
        }
    }

    /// The body of the answer.
    ///
    /// # Errors
    ///
    /// [`FetchError`], of which [`FetchError::Stopped`] comes at once when told to stop.
    pub(super) fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let (sender, answer) = mpsc::sync_channel(1);
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
        // Nobody listens any more after a stop.
        let fetch = move || drop(sender.send(body()));
        thread::Builder::new().name("opserver-get".to_owned()).spawn(fetch).map_err(FetchError::Thread)?;
        loop {
            if self.stop.load(Ordering::Acquire) {
                return Err(FetchError::Stopped);
            }
            match answer.recv_timeout(STOP_INTERVAL) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Timeout) => {}
                // The thread ended without an answer, which only a panic does.
                Err(RecvTimeoutError::Disconnected) => return Err(FetchError::Timeout),
            }
        }
    }
}
