//! Requests to an InfluxDB.

use std::io::Write as _;
use std::time::Duration;

use daemon_base::outbound::{Authorization, RESERVED, percent_encoded};
use daemon_base::stop::Stop;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::delivery::{Remote, Stopped};
use super::settings::{Api, InfluxSettings};
use crate::exchange::{Answer, Exchange, NoAnswer};

/// Text that compresses tenfold at the lowest level; the higher ones cost several times as much for little.
const LEVEL: Compression = Compression::fast();

/// The HTTP client of one InfluxDB database, with a thread for each request.
pub(super) struct Client {
    exchange: Exchange,
    write_url: String,
    query_url: String,
    authorization: Option<Authorization>,
    create: Option<String>,
    gzip: bool,
}

impl Client {
    pub(super) fn new(settings: &InfluxSettings, stop: Stop) -> Self {
        let (timeout, tls) = (settings.timeout, settings.tls.clone());
        let create = match &settings.api {
            Api::V1 { database, .. } => Some(create_database(database)),
            Api::V2 { .. } => None,
        };
        Self {
            exchange: Exchange::new(timeout, tls, "influxdb-post", "sinks.influxdb.ca_file", stop),
            write_url: settings.write_url(),
            query_url: format!("{}/query", settings.base),
            authorization: settings.authorization.clone(),
            create,
            gzip: settings.gzip,
        }
    }

    /// Sends a body and waits for the answer.
    fn post(&self, url: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Result<Answer, NoAnswer> {
        let authorization = self.authorization.as_ref().map(|it| ("authorization", it.header()));
        let headers: Vec<_> = headers.iter().copied().chain(authorization).collect();
        self.exchange.post(url, &headers, body)
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
        self.exchange.rest(time).then_some(()).ok_or(Stopped)
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
    use std::io::Read as _;

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
