//! The settings of the InfluxDB sink, from its section of the configuration and the files in it.

use std::time::Duration;

use anyhow::Context as _;
use daemon_base::outbound::{Authorization, RESERVED, percent_encoded};
use daemon_base::setting::Secret;
use ureq::tls::TlsConfig;

use super::batch::Limits;

use super::config::{self, InfluxConfig, Precision, ServerPart};
use crate::endpoint::{secret, tls};

/// The settings of the InfluxDB sink.
#[derive(Clone, Debug)]
pub struct InfluxSettings {
    /// The URL without a slash at its end.
    pub(super) base: String,
    pub(super) api: Api,
    pub(super) authorization: Option<Authorization>,
    pub(super) gzip: bool,
    pub(super) precision: Precision,
    pub(super) limits: Limits,
    pub(super) flush_interval: Duration,
    pub(super) timeout: Duration,
    pub(super) tls: TlsConfig,
    pub(super) host: String,
    pub(super) server: Vec<ServerPart>,
}

/// The API of the server, with the destination of lines.
#[derive(Clone, Debug)]
pub(super) enum Api {
    V1 { database: String, retention_policy: Option<String> },
    V2 { org: Option<String>, bucket: String },
}

impl InfluxSettings {
    /// Reads the settings from a section; `None` if it has no server.
    ///
    /// # Errors
    ///
    /// If a key is invalid, or a file of a key cannot be read or has invalid content.
    pub fn new(section: &InfluxConfig) -> anyhow::Result<Option<Self>> {
        let Some(url) = &section.url else { return Ok(None) };
        let base = config::base(url).map_err(anyhow::Error::msg).context("sinks.influxdb.url")?;
        let server = config::server_parts(&section.server).map_err(anyhow::Error::msg);
        let api = if section.version == 1 {
            Api::V1 { database: section.database.clone(), retention_policy: section.retention_policy.clone() }
        } else {
            Api::V2 { org: section.org.clone(), bucket: section.bucket.clone().unwrap_or_default() }
        };
        let own_name = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(Some(Self {
            base: base.to_owned(),
            api,
            authorization: authorization(section)?,
            gzip: section.gzip,
            precision: section.precision,
            limits: Limits { lines: section.batch_lines, bytes: section.batch_bytes },
            flush_interval: section.flush_interval,
            timeout: section.timeout,
            tls: tls(base, &section.tls_files(), "sinks.influxdb")?,
            host: section.host.clone().unwrap_or_else(own_name),
            server: server.context("sinks.influxdb.server")?,
        }))
    }

    /// The URL for requests with lines.
    pub(super) fn write_url(&self) -> String {
        let (path, parameters) = match &self.api {
            Api::V1 { database, retention_policy } => {
                ("write", [("db", Some(database)), ("rp", retention_policy.as_ref())])
            }
            Api::V2 { org, bucket } => ("api/v2/write", [("org", org.as_ref()), ("bucket", Some(bucket))]),
        };
        let precision = match (self.precision, &self.api) {
            (Precision::Ms, _) => "ms",
            (Precision::Ns, Api::V1 { .. }) => "n",
            (Precision::Ns, Api::V2 { .. }) => "ns",
            (Precision::S, _) => "s",
            (Precision::Us, Api::V1 { .. }) => "u",
            (Precision::Us, Api::V2 { .. }) => "us",
        };
        let given = parameters.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let given: String =
            given.map(|(name, value)| format!("{name}={}&", percent_encoded(value, RESERVED))).collect();
        format!("{}/{path}?{given}precision={precision}", self.base)
    }

    /// The keys of the credentials, for messages that start with "check".
    pub(super) fn credentials(&self) -> &'static str {
        match self.api {
            Api::V1 { .. } => "sinks.influxdb.user and password_file, and the user's permissions for the database",
            Api::V2 { .. } => "sinks.influxdb.token_file, and the token's permission to write to the bucket",
        }
    }

    /// The keys of the address, for messages that start with "check".
    pub(super) fn target(&self) -> &'static str {
        match self.api {
            Api::V1 { .. } => "sinks.influxdb.url, version (set to 1; InfluxDB 2 and 3 need 2) and database",
            Api::V2 { .. } => "sinks.influxdb.url, version (set to 2; InfluxDB 1 needs 1), org and bucket",
        }
    }
}

fn authorization(section: &InfluxConfig) -> anyhow::Result<Option<Authorization>> {
    if section.version == 1 {
        let password =
            secret(section.password.as_ref(), section.password_file.as_deref(), "sinks.influxdb.password_file")?;
        let given = section.user.as_deref().zip(password);
        return Ok(given.map(|(user, password)| Authorization::basic(user, password.reveal())));
    }
    let token = secret(section.token.as_ref(), section.token_file.as_deref(), "sinks.influxdb.token_file")?;
    let is_legal = |token: &Secret| token.reveal().bytes().all(|byte| byte.is_ascii_graphic());
    anyhow::ensure!(
        token.as_ref().is_none_or(is_legal),
        "sinks.influxdb.token_file: the token has a character that is not visible ASCII"
    );
    Ok(token.map(|token| Authorization::token(token.reveal())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> InfluxSettings {
        InfluxSettings::new(&toml::from_str(text).unwrap()).unwrap().unwrap()
    }

    #[test]
    fn lines_are_sent_to_the_configured_url() {
        let cases = [
            ("url = \"http://a:8086/\"", "http://a:8086/write?db=telegraf&precision=u"),
            (
                "url = \"https://a/influx\"\ndatabase = \"a b\"\nretention_policy = \"r&d\"\nprecision = \"ns\"",
                "https://a/influx/write?db=a%20b&rp=r%26d&precision=n",
            ),
            (
                "url = \"http://a\"\nversion = 2\norg = \"o/1\"\nbucket = \"b\"",
                "http://a/api/v2/write?org=o%2F1&bucket=b&precision=us",
            ),
            (
                "url = \"http://a\"\nversion = 2\nbucket = \"b\"\nprecision = \"s\"",
                "http://a/api/v2/write?bucket=b&precision=s",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(settings(text).write_url(), expected, "{text}");
        }
        assert!(InfluxSettings::new(&InfluxConfig::default()).unwrap().is_none(), "without a url it is off");
    }

    #[test]
    fn secrets_come_from_files_or_from_the_environment_and_are_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "hunter2\r\n").unwrap();
        let v1 = "url = \"http://a\"\nuser = \"me\"\n";
        let v2 = "url = \"http://a\"\nversion = 2\nbucket = \"b\"\n";
        for (text, expected) in [
            (format!("{v1}password_file = {path:?}"), "Basic bWU6aHVudGVyMg=="),
            (format!("{v1}password = \"hunter2\""), "Basic bWU6aHVudGVyMg=="),
            (format!("{v2}token_file = {path:?}"), "Token hunter2"),
            (format!("{v2}token = \"hunter2\""), "Token hunter2"),
        ] {
            let settings = settings(&text);
            assert_eq!(settings.authorization.as_ref().map(Authorization::header), Some(expected), "{text}");
            let shown = format!("{settings:?}");
            assert!(!shown.contains("hunter2") && !shown.contains("bWU6"), "{shown}");
        }
        std::fs::write(&path, "two\nlines").unwrap();
        let section = toml::from_str(&format!("{v2}token_file = {path:?}")).unwrap();
        let error = format!("{:#}", InfluxSettings::new(&section).unwrap_err());
        assert!(error.contains("sinks.influxdb.token_file") && !error.contains("lines"), "{error}");
        std::fs::remove_file(&path).unwrap();
        let error = format!("{:#}", InfluxSettings::new(&section).unwrap_err());
        assert!(error.contains("sinks.influxdb.token_file"), "{error}");
    }

    #[test]
    fn a_file_without_certificates_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, "none here").unwrap();
        let section = toml::from_str(&format!("url = \"https://a\"\nca_file = {path:?}")).unwrap();
        let error = format!("{:#}", InfluxSettings::new(&section).unwrap_err());
        assert!(error.contains("sinks.influxdb.ca_file") && error.contains("no certificate"), "{error}");
    }
}
