//! Requests to the server, each on a thread of its own, so that a server that hangs does not hold up a stop.
//!
//! After a stop a request may still take [`STOP_PATIENCE`]: what is gathered should go out, if the server is well. One
//! that is given up ends by itself at its timeout, and nobody waits for it; should it have worked, the same lines are
//! sent again at the next start and change nothing.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use daemon_base::outbound::{Authorization, RESERVED, agent_config, percent_encoded};
use daemon_base::stop::{Stop, Unfinished};
use flate2::Compression;
use flate2::write::GzEncoder;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::answer::{Answer, NoAnswer};
use super::delivery::{Remote, Stopped};
use super::settings::{Api, InfluxSettings};

/// How long a request may go on after a stop.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// How much of an answer is read. It is a sentence; with partial writes one for each bad line.
const ANSWER_BYTES: u64 = 256 * 1024;

/// Text that compresses tenfold at the lowest level; the higher ones cost several times as much for little.
const LEVEL: Compression = Compression::fast();

/// The HTTP client of one InfluxDB database, with a thread for each request.
pub(super) struct Client {
    agent: Agent,
    write_url: String,
    query_url: String,
    authorization: Option<Authorization>,
    create: Option<String>,
    gzip: bool,
    stop: Stop,
}

impl Client {
    pub(super) fn new(settings: &InfluxSettings, stop: Stop) -> Self {
        let config = agent_config(settings.timeout).http_status_as_error(false).tls_config(settings.tls.clone());
        let config = config.user_agent(concat!("derived-statsd/", env!("CARGO_PKG_VERSION")));
        let create = match &settings.api {
            Api::V1 { database, .. } => Some(create_database(database)),
            Api::V2 { .. } => None,
        };
        Self {
            agent: config.build().new_agent(),
            write_url: settings.write_url(),
            query_url: format!("{}/query", settings.base),
            authorization: settings.authorization.clone(),
            create,
            gzip: settings.gzip,
            stop,
        }
    }

    /// Sends a body and waits for the answer.
    fn post(&self, url: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Result<Answer, NoAnswer> {
        let mut request = self.agent.post(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization.header());
        }
        let exchange = move || request.send(&body[..]).and_then(read).map_err(no_answer);
        self.stop.aside("influxdb-post", STOP_PATIENCE, exchange).unwrap_or_else(|unfinished| {
            Err(match unfinished {
                Unfinished::Died => NoAnswer::Timeout,
                Unfinished::Stopped => NoAnswer::Stopped,
                Unfinished::Thread(error) => NoAnswer::Transport(format!("no thread could be started: {error}")),
            })
        })
    }
}

impl Remote for Client {
    fn write(&mut self, lines: &[u8]) -> Result<Answer, NoAnswer> {
        let plain = ("content-type", "text/plain; charset=utf-8");
        if self.gzip {
            self.post(&self.write_url, &[plain, ("content-encoding", "gzip")], compressed(lines))
        } else {
            self.post(&self.write_url, &[plain], lines.to_vec())
        }
    }

    fn create_database(&mut self) -> Result<Answer, NoAnswer> {
        let form = ("content-type", "application/x-www-form-urlencoded");
        let statement = percent_encoded(self.create.as_deref().unwrap_or_default(), RESERVED);
        self.post(&self.query_url, &[form], format!("q={statement}").into_bytes())
    }

    fn wait(&mut self, time: Duration) -> Result<(), Stopped> {
        self.stop.rest(time).then_some(()).ok_or(Stopped)
    }
}

fn read(mut response: Response<Body>) -> Result<Answer, ureq::Error> {
    let mut body = Vec::new();
    response.body_mut().as_reader().take(ANSWER_BYTES).read_to_end(&mut body)?;
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
    Ok(Answer {
        status: response.status().as_u16(),
        retry_after: retry_after.map(str::to_owned),
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

fn no_answer(error: ureq::Error) -> NoAnswer {
    match error {
        ureq::Error::Timeout(_) => NoAnswer::Timeout,
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => NoAnswer::Timeout,
        error => {
            let text = error.to_string();
            let hint = if text.contains("certificate") { "; see sinks.influxdb.ca_file" } else { "" };
            NoAnswer::Transport(text + hint)
        }
    }
}

fn compressed(lines: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(lines.len() / 8), LEVEL);
    // Writing to memory has no way to fail.
    let _ = encoder.write_all(lines);
    encoder.finish().unwrap_or_default()
}

/// The statement that makes a database; InfluxQL's way to quote a name.
fn create_database(name: &str) -> String {
    let name = name.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    format!("CREATE DATABASE \"{name}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_database_is_quoted() {
        assert_eq!(create_database(r#"tele"gr\af"#), r#"CREATE DATABASE "tele\"gr\\af""#);
    }

    #[test]
    fn what_is_compressed_is_the_lines() {
        let lines = "m f=1i 1\n".repeat(1000);
        let mut back = String::new();
        let packed = compressed(lines.as_bytes());
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut back).unwrap();
        assert_eq!(back, lines);
        assert!(packed.len() < lines.len() / 10);
    }
}
