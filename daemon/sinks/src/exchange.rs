//! Requests to a server, each on a thread of its own, so that a server that hangs does not hold up a stop.
//!
//! After a stop a request may still take [`STOP_PATIENCE`]: what is gathered should go out, if the server is well. One
//! that is given up ends by itself at its timeout, and nobody waits for it; should it have worked, the same data is sent
//! again at the next start and changes nothing.

use std::borrow::Cow;
use std::io::Read as _;
use std::time::Duration;

use daemon_base::outbound::agent_config;
use daemon_base::stop::{Stop, Unfinished};
use ureq::http::Response;
use ureq::tls::TlsConfig;
use ureq::{Agent, Body};

/// How long a request may go on after a stop.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// How much of an answer is read. It is a sentence; with partial writes one for each bad line.
const ANSWER_BYTES: u64 = 256 * 1024;

/// The longest wait that a server may request.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// The number of characters of a text in a log message.
const EXCERPT_CHARS: usize = 400;

/// An answer of the server.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Answer {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

/// The reason for a missing answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum NoAnswer {
    /// The daemon stops.
    Stopped,
    Timeout,
    /// The connection failed, with the text of the error.
    Transport(String),
}

/// An HTTP client of one server.
pub(crate) struct Exchange {
    agent: Agent,
    /// The name of the thread of a request.
    thread: &'static str,
    /// The setting of the authorities, for messages about certificates.
    ca_file: &'static str,
    stop: Stop,
}

impl Exchange {
    /// Creates a client whose requests take `timeout` at most, and end soon after `stop`.
    pub(crate) fn new(
        timeout: Duration,
        tls: TlsConfig,
        thread: &'static str,
        ca_file: &'static str,
        stop: Stop,
    ) -> Self {
        let config = agent_config(timeout).http_status_as_error(false).tls_config(tls);
        let config = config.user_agent(concat!("derived-statsd/", env!("CARGO_PKG_VERSION")));
        Self { agent: config.build().new_agent(), thread, ca_file, stop }
    }

    /// Sends a body and waits for the answer.
    pub(crate) fn post(&self, url: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Result<Answer, NoAnswer> {
        let mut request = self.agent.post(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let ca_file = self.ca_file;
        let exchange = move || request.send(&body[..]).and_then(read).map_err(|error| no_answer(error, ca_file));
        self.stop.aside(self.thread, STOP_PATIENCE, exchange).unwrap_or_else(|unfinished| {
            Err(match unfinished {
                Unfinished::Died => NoAnswer::Timeout,
                Unfinished::Stopped => NoAnswer::Stopped,
                Unfinished::Thread(error) => NoAnswer::Transport(format!("no thread could be started: {error}")),
            })
        })
    }

    /// Waits for `time`; false as soon as the daemon stops.
    pub(crate) fn rest(&self, time: Duration) -> bool {
        self.stop.rest(time)
    }
}

fn read(mut response: Response<Body>) -> Result<Answer, ureq::Error> {
    let mut body = Vec::new();
    response.body_mut().as_reader().take(ANSWER_BYTES).read_to_end(&mut body)?;
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
    Ok(Answer { status: response.status().as_u16(), retry_after: retry_after.map(str::to_owned), body })
}

fn no_answer(error: ureq::Error, ca_file: &str) -> NoAnswer {
    match error {
        ureq::Error::Timeout(_) => NoAnswer::Timeout,
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => NoAnswer::Timeout,
        error => {
            let text = error.to_string();
            let hint = hint(&text, ca_file);
            NoAnswer::Transport(text + &hint)
        }
    }
}

/// The end of a message about a connection: what to look at, if its certificate is refused.
fn hint(error: &str, ca_file: &str) -> String {
    match () {
        () if error.contains("certificate: Expired") => "; replace the certificate of the server".to_owned(),
        () if error.contains("CertificateExpired") => "; replace the certificate of this client".to_owned(),
        () if error.contains("certificate") => format!("; see {ca_file}"),
        () => String::new(),
    }
}

/// The first characters of a text, for a log message.
pub(crate) fn excerpt(text: &str) -> &str {
    text.char_indices().nth(EXCERPT_CHARS).map_or(text, |(end, _)| &text[..end])
}

/// Parses a `Retry-After` header, in seconds or as a date (RFC 9110, section 10.2.3), into at most [`MAX_RETRY_AFTER`].
pub(crate) fn retry_after(requested: &str, now: u64) -> Option<Duration> {
    let requested = requested.trim();
    let wait = match requested.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(requested).ok()?;
            let date = date.duration_since(std::time::UNIX_EPOCH).ok()?;
            date.saturating_sub(Duration::from_micros(now))
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2017-03-23T22:04:25Z.
    const NOW: u64 = 1_490_306_665_000_000;

    #[test]
    fn a_requested_wait_is_in_seconds_or_a_date_and_has_a_limit() {
        let cases = [
            ("0", Some(0)),
            (" 17 ", Some(17)),
            ("99999", Some(300)),
            ("18446744073709551616", None),
            ("-1", None),
            ("soon", None),
            ("Thu, 23 Mar 2017 22:04:35 GMT", Some(10)),
            ("Thu, 23 Mar 2017 22:04:15 GMT", Some(0)),
            ("Fri, 23 Mar 2018 22:04:15 GMT", Some(300)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
        ];
        for (requested, seconds) in cases {
            assert_eq!(retry_after(requested, NOW), seconds.map(Duration::from_secs), "{requested}");
        }
    }

    #[test]
    fn an_excerpt_ends_between_characters() {
        assert_eq!(excerpt("short"), "short");
        assert_eq!(excerpt(&"é".repeat(EXCERPT_CHARS)), "é".repeat(EXCERPT_CHARS));
        assert_eq!(excerpt(&"é".repeat(EXCERPT_CHARS + 1)), "é".repeat(EXCERPT_CHARS));
    }
}
