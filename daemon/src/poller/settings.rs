//! What the poller is told.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use proxy_uve::{StreamName, table_of_uve_type};

use crate::config::{self, PolledSamples};

/// How and what to poll.
#[derive(Clone, Debug)]
pub(crate) struct PollerSettings {
    /// `http://host:port` of each server, at least one.
    pub servers: Vec<String>,
    /// The types of UVE to ask for, with the tables of their objects.
    pub uve_types: Vec<(String, &'static str)>,
    /// The attributes to ask for.
    pub streams: Vec<StreamName>,
    /// Modules whose generators are asked for by themselves; if none, one request asks for all sources.
    pub modules: Vec<String>,
    pub interval: Duration,
    pub timeout: Duration,
    pub max_body_bytes: usize,
    pub samples: PolledSamples,
    pub credentials: Option<Credentials>,
}

impl PollerSettings {
    /// The settings for `streams`; `None` if no server is configured.
    ///
    /// # Errors
    ///
    /// When the file of the password cannot be used.
    pub(crate) fn new(
        section: &config::Opserver,
        streams: impl IntoIterator<Item = StreamName>,
    ) -> anyhow::Result<Option<Self>> {
        let authorities = section.servers.iter().map(|server| config::authority(server, config::OPSERVER_PORT));
        let authorities = authorities.collect::<Result<Vec<_>, _>>().map_err(anyhow::Error::msg);
        let authorities = authorities.context("opserver.servers")?;
        if authorities.is_empty() {
            return Ok(None);
        }
        let tables = section.uve_types.iter();
        let tables = tables.filter_map(|uve_type| Some((uve_type.clone(), table_of_uve_type(uve_type)?)));
        let credentials = match (&section.user, &section.password_file) {
            (Some(user), Some(path)) => Some(Credentials::read(user, path)?),
            _ => None,
        };
        Ok(Some(Self {
            servers: authorities.iter().map(|authority| format!("http://{authority}")).collect(),
            uve_types: tables.collect(),
            streams: streams.into_iter().collect(),
            modules: section.modules.clone(),
            interval: section.interval,
            timeout: section.timeout,
            max_body_bytes: section.max_body_bytes,
            samples: section.samples,
            credentials,
        }))
    }
}

/// A user and a password, as the header of HTTP's basic authentication (RFC 7617). Never shown.
#[derive(Clone)]
pub(crate) struct Credentials(String);

impl Credentials {
    fn read(user: &str, path: &Path) -> anyhow::Result<Self> {
        anyhow::ensure!(!user.contains(':'), "opserver.user: a user of basic authentication holds no `:`");
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("read opserver.password_file {}", path.display()))?;
        let password = text.strip_suffix('\n').unwrap_or(&text);
        let password = password.strip_suffix('\r').unwrap_or(password);
        Ok(Self::new(user, password))
    }

    pub(crate) fn new(user: &str, password: &str) -> Self {
        Self(format!("Basic {}", base64(format!("{user}:{password}").as_bytes())))
    }

    pub(crate) fn header(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// RFC 4648, section 4. One header of one request is not worth a dependency.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut bits = [0; 4];
        bits[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(bits);
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place)) & 63;
            text.push(if place > group.len() { '=' } else { char::from(ALPHABET[index as usize]) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("\u{ff}~", "w79+")];
        for (text, expected) in cases {
            assert_eq!(base64(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_password_comes_from_its_file_without_the_line_break_and_is_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        std::fs::write(&path, "hunter2\r\n").unwrap();
        let section = config::Opserver {
            servers: vec!["a".to_owned()],
            user: Some("me".to_owned()),
            password_file: Some(path.clone()),
            ..config::Opserver::default()
        };
        let settings = PollerSettings::new(&section, []).unwrap().unwrap();
        assert_eq!(settings.credentials.as_ref().unwrap().header(), "Basic bWU6aHVudGVyMg==");
        let shown = format!("{settings:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("bWU6"), "{shown}");
        std::fs::remove_file(&path).unwrap();
        let error = format!("{:#}", PollerSettings::new(&section, []).unwrap_err());
        assert!(error.contains("opserver.password_file"), "{error}");
    }

    #[test]
    fn without_servers_there_is_nothing_to_poll() {
        assert!(PollerSettings::new(&config::Opserver::default(), []).unwrap().is_none());
    }
}
