//! Requests to a receiver of alarms, each on a thread of its own, so that one that hangs does not hold up a stop.

use std::fmt;
use std::time::Duration;

use daemon_base::one_line::one_line;
use daemon_base::outbound::agent_config;
use daemon_base::stop::Stop;
use ureq::Agent;
use ureq::tls::TlsConfig;

/// How long a request may go on after a stop.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// How much of an answer a message shows.
const EXCERPT: usize = 300;

/// How much of an answer is read.
const ANSWER_BYTES: u64 = 16 * 1024;

/// Why a request had no success.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Failure {
    /// It can succeed later.
    Retryable(String),
    /// It never can.
    Rejected(String),
}

impl Failure {
    /// The one that may pass, if there is one.
    pub(super) fn or_retryable(self, other: Self) -> Self {
        if matches!(self, Self::Retryable(_)) { self } else { other }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(text) | Self::Retryable(text) => f.write_str(text),
        }
    }
}

/// An HTTP client.
pub(super) struct Client {
    agent: Agent,
    thread: &'static str,
    stop: Stop,
}

impl Client {
    pub(super) fn new((timeout, tls): (Duration, TlsConfig), thread: &'static str, stop: Stop) -> Self {
        let config = agent_config(timeout).http_status_as_error(false).tls_config(tls);
        let config = config.user_agent(concat!("derived-statsd/", env!("CARGO_PKG_VERSION")));
        Self { agent: config.build().new_agent(), thread, stop }
    }

    /// Posts JSON.
    pub(super) fn post(&self, url: &str, headers: &[(&str, String)], body: Vec<u8>) -> Result<(), Failure> {
        let mut request = self.agent.post(url).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let exchange = move || {
            let mut response = request.send(&body[..]).map_err(|error| error.to_string())?;
            let status = response.status().as_u16();
            let text = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_string();
            Ok::<_, String>((status, text.unwrap_or_default()))
        };
        match self.stop.aside(self.thread, STOP_PATIENCE, exchange) {
            Ok(Ok((status, text))) => classify(status, &text),
            Ok(Err(text)) => Err(Failure::Retryable(text)),
            Err(_) => Err(Failure::Retryable("the request was given up".to_owned())),
        }
    }
}

/// The requests of one call of [`in_parts`] that a receiver may reject: of what it rejects half by half, so many find a few.
const MAX_REJECTED: u32 = 64;

/// Sends entries together, and what the receiver rejects half by half, so that it gets all that it takes. The error is the
/// last rejection, or the first failure that may pass: then nothing more was sent.
pub(super) fn in_parts<T>(entries: &[T], post: &mut dyn FnMut(&[T]) -> Result<(), Failure>) -> Result<(), Failure> {
    let (mut waiting, mut rejected, mut outcome) = (vec![entries], 0, Ok(()));
    while let Some(part) = waiting.pop() {
        match post(part) {
            Err(Failure::Rejected(text)) => {
                rejected += 1;
                outcome = Err(Failure::Rejected(text));
                if part.len() > 1 && rejected < MAX_REJECTED {
                    let (first, second) = part.split_at(part.len() / 2);
                    waiting.extend([second, first]);
                }
            }
            other => other?,
        }
    }
    outcome
}

/// Only an answer that blames the request is final; credentials and paths can be mended.
fn classify(status: u16, text: &str) -> Result<(), Failure> {
    let text = one_line(text, EXCERPT);
    match status {
        200..=299 => Ok(()),
        400 | 413 | 422 => Err(Failure::Rejected(format!("status {status}: {text}"))),
        _ => Err(Failure::Retryable(format!("status {status}: {text}"))),
    }
}
