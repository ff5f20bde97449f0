//! Blocking GET requests to Contiv's services.

use std::time::Duration;

use daemon_base::one_line::one_line;
use daemon_base::outbound::{agent_config, certificate_hint};
use ureq::Agent;
use ureq::tls::TlsConfig;

/// An HTTP client with limits on time and size. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Getter {
    agent: Agent,
    timeout: Duration,
    max_body_bytes: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum GetError {
    #[error(
        "the status is {status}, with the Location `{location}`; redirects are not followed: configure the address \
         that answers itself"
    )]
    Redirect { status: u16, location: String },
    #[error("the status is {status}{}{text}", if text.is_empty() { "" } else { ": " })]
    Status { status: u16, text: String },
    #[error("no whole answer came in time, which is {0:?} (contiv.timeout); raise it, or check the server")]
    Timeout(Duration),
    #[error("the answer is larger than contiv.max_body_bytes, which is {0}; raise it, or check the address")]
    TooLarge(usize),
    #[error("{0}{hint}", hint = certificate_hint(.0, "contiv"))]
    Transport(ureq::Error),
}

impl GetError {
    /// Returns the reason as a label.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Redirect { .. } | Self::Status { .. } => "status",
            Self::Timeout(_) => "timeout",
            Self::TooLarge(_) => "too_large",
            Self::Transport(_) => "transport",
        }
    }
}

/// How many characters of a text from a server are kept.
const MAX_TEXT: usize = 200;

/// How many characters of a body that cannot be read an error has.
pub(super) const START_LENGTH: usize = 60;

/// An answer, whatever its status.
pub(super) struct Answer {
    pub status: u16,
    /// Where a redirect leads.
    pub location: Option<String>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Returns the error of an answer with another status than expected.
    pub(super) fn unexpected(&self) -> GetError {
        match &self.location {
            Some(location) => GetError::Redirect { status: self.status, location: location.clone() },
            None => GetError::Status { status: self.status, text: start(&self.body, MAX_TEXT) },
        }
    }
}

/// Returns the start of a text from a server, in one line without control characters, for an error.
pub(super) fn start(bytes: &[u8], length: usize) -> String {
    // A character has at most four bytes.
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * length)]);
    let mut start = one_line(text.trim(), length + 1);
    if let Some((end, _)) = start.char_indices().nth(length) {
        start.truncate(end);
        start.push('…');
    }
    start
}

impl Getter {
    pub(super) fn new(timeout: Duration, max_body_bytes: usize, tls: TlsConfig) -> Self {
        // Requests to a node are seconds apart: a connection would mostly be closed by then.
        let config = agent_config(timeout).http_status_as_error(false).max_idle_connections(0).tls_config(tls);
        Self { agent: config.build().new_agent(), timeout, max_body_bytes }
    }

    /// Returns the body of an answer with status 200.
    ///
    /// # Errors
    ///
    /// [`GetError`]; a status other than 200 comes with the start of its text.
    pub(super) fn get(&self, url: &str) -> Result<Vec<u8>, GetError> {
        let answer = self.get_any(url)?;
        if answer.status == 200 { Ok(answer.body) } else { Err(answer.unexpected()) }
    }

    /// Returns the answer, whatever its status.
    ///
    /// # Errors
    ///
    /// [`GetError`], never [`GetError::Status`] or [`GetError::Redirect`].
    pub(super) fn get_any(&self, url: &str) -> Result<Answer, GetError> {
        self.request(url).map_err(|error| match error {
            ureq::Error::Timeout(_) => GetError::Timeout(self.timeout),
            ureq::Error::BodyExceedsLimit(_) => GetError::TooLarge(self.max_body_bytes),
            error => GetError::Transport(error),
        })
    }

    fn request(&self, url: &str) -> Result<Answer, ureq::Error> {
        let mut response = self.agent.get(url).header("accept", "application/json").call()?;
        let body = response.body_mut().with_config().limit(self.max_body_bytes as u64).read_to_vec()?;
        let location = response.headers().get("location").filter(|_| response.status().is_redirection());
        let location = location.map(|location| start(location.as_bytes(), MAX_TEXT));
        Ok(Answer { status: response.status().as_u16(), location, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_server::{Fake, Reply};

    fn error(reply: impl FnMut(&str) -> Reply + Send + 'static) -> String {
        let fake = Fake::start(reply);
        let getter = Getter::new(Duration::from_millis(300), 10, TlsConfig::default());
        getter.get(&format!("http://{}/svcstats", fake.address)).unwrap_err().to_string()
    }

    #[test]
    fn an_error_names_the_setting_its_value_and_where_a_redirect_leads() {
        let expected = "no whole answer came in time, which is 300ms (contiv.timeout); raise it, or check the server";
        assert_eq!(error(|_| Reply::Hang), expected);
        let expected = "the answer is larger than contiv.max_body_bytes, which is 10; raise it, or check the address";
        assert_eq!(error(|_| Reply::Body("x".repeat(11))), expected);
        let expected = "the status is 302, with the Location `http://other/svcstats`; redirects are not followed: \
                        configure the address that answers itself";
        assert_eq!(error(|_| Reply::Redirect("http://other/svcstats".to_owned())), expected);
        assert_eq!(error(|_| Reply::Status(503)), "the status is 503");
    }

    #[test]
    fn the_start_of_a_text_is_one_short_line() {
        assert_eq!(start(b" a\nb\x1b[31m\xff ", 20), "a b [31m\u{fffd}");
        assert_eq!((start("é".repeat(6).as_bytes(), 5), start(b"12345", 5)), ("ééééé…".to_owned(), "12345".to_owned()));
    }
}
