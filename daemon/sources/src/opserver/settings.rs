//! The settings of the poller.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use daemon_base::outbound::Authorization;
use daemon_base::setting::file;
use proxy_uve::{StreamName, table_of_uve_type};
use ureq::tls::TlsConfig;

use super::config::{OpserverConfig, PORT, PolledSamples};

/// The servers and attributes to poll, how often, and with which limits.
#[derive(Clone, Debug)]
pub struct PollerSettings {
    /// The base URLs of the servers, `http://host:port` or `https://host:port`, at least one.
    pub servers: Vec<String>,
    /// The requested types of UVE, with the tables of their objects.
    pub uve_types: Vec<(String, &'static str)>,
    /// The requested attributes.
    pub streams: Vec<StreamName>,
    /// The modules whose generators are requested one by one; if none, one request is for all sources.
    pub modules: Vec<String>,
    /// The poll interval.
    pub interval: Duration,
    /// The time limit of one request.
    pub timeout: Duration,
    /// The largest answer in bytes.
    pub max_body_bytes: usize,
    /// Which values become samples.
    pub samples: PolledSamples,
    /// The credentials, if any are sent.
    pub authorization: Option<Authorization>,
    /// The TLS of servers with https.
    pub tls: TlsConfig,
}

impl PollerSettings {
    /// Returns the settings for `streams`; `None` if no server is configured.
    ///
    /// # Errors
    ///
    /// When the file of the password or one of TLS cannot be used.
    pub fn new(
        section: &OpserverConfig,
        streams: impl IntoIterator<Item = StreamName>,
    ) -> anyhow::Result<Option<Self>> {
        let servers = daemon_base::setting::servers(&section.servers, PORT, "opserver.servers")?;
        if servers.is_empty() {
            return Ok(None);
        }
        let tables = section.uve_types.iter();
        let tables = tables.filter_map(|uve_type| Some((uve_type.clone(), table_of_uve_type(uve_type)?)));
        let authorization = match (&section.user, &section.password_file) {
            (Some(user), Some(path)) => Some(authorization(user, path)?),
            _ => None,
        };
        Ok(Some(Self {
            servers: servers.iter().map(ToString::to_string).collect(),
            uve_types: tables.collect(),
            streams: streams.into_iter().collect(),
            modules: section.modules.clone(),
            interval: section.interval,
            timeout: section.timeout,
            max_body_bytes: section.max_body_bytes,
            samples: section.samples,
            authorization,
            tls: if section.has_tls() { section.tls_files().config("opserver")? } else { TlsConfig::default() },
        }))
    }
}

fn authorization(user: &str, path: &Path) -> anyhow::Result<Authorization> {
    anyhow::ensure!(
        !user.contains(':'),
        "opserver.user: a user of basic authentication cannot contain `:`; use another user"
    );
    let text = file::read_text(path);
    let text = text.with_context(|| format!("read opserver.password_file {}", path.display()))?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    Ok(Authorization::basic(user, password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_comes_from_its_file_without_the_line_break_and_is_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        std::fs::write(&path, "hunter2\r\n").unwrap();
        let section = OpserverConfig {
            servers: vec!["a".to_owned()],
            user: Some("me".to_owned()),
            password_file: Some(path.clone()),
            ..OpserverConfig::default()
        };
        let settings = PollerSettings::new(&section, []).unwrap().unwrap();
        assert_eq!(settings.authorization.as_ref().unwrap().header(), "Basic bWU6aHVudGVyMg==");
        let shown = format!("{settings:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("bWU6"), "{shown}");
        std::fs::remove_file(&path).unwrap();
        let error = format!("{:#}", PollerSettings::new(&section, []).unwrap_err());
        assert!(error.contains("opserver.password_file"), "{error}");
    }

    #[test]
    fn without_servers_there_is_nothing_to_poll() {
        assert!(PollerSettings::new(&OpserverConfig::default(), []).unwrap().is_none());
    }
}
