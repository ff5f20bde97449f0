//! `[opserver]`: Contrail's analytics API, polled for samples where collectors publish none to Kafka.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::uri::Authority;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::duration;

/// The port of the analytics API where none is given.
const PORT: u16 = 8081;

/// `[opserver]`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Opserver {
    /// The analytics API servers, as `host:port` or `http://host:port`, in a list or in one text separated by blanks or
    /// commas; port 8081 if none is given. Default none: nothing is polled. Each knows everything, so one of them is
    /// asked at a time and the next one if it fails.
    #[serde(deserialize_with = "list")]
    pub servers: Vec<String>,
    /// The types of UVE that are asked for the configured streams, in a list or in one text. Default
    /// `["virtual-network"]`. Change it for streams of other objects.
    #[serde(deserialize_with = "list")]
    pub uve_types: Vec<String>,
    /// How often. Default `"60s"`, the period of the built-in proxy types; `"1s"` to `"1d"`. With `samples = "all"` it
    /// should be the period: twice as often makes sums twice as large.
    #[serde(deserialize_with = "duration::deserialize")]
    pub interval: Duration,
    /// How long one request may take in all. Default `"10s"`, `"100ms"` to `"1h"`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
    /// The largest answer in bytes; with a larger one the poll fails. Default 64 MiB, at least 1.
    pub max_body_bytes: usize,
    /// Which values become samples. Default `"changes"`.
    pub samples: PolledSamples,
    /// Modules, such as `contrail-vrouter-agent`, whose generators are each asked for by themselves, so that every
    /// source's own value comes; in a list or in one text. Default none: one request for all, to which the API answers
    /// with the sum over the sources. It costs the API one request for each generator.
    #[serde(deserialize_with = "list")]
    pub modules: Vec<String>,
    /// The user for HTTP's basic authentication. Default unset: none is sent.
    pub user: Option<String>,
    /// A file that holds that user's password and nothing else; a line break at its end is dropped. Default unset.
    pub password_file: Option<PathBuf>,
}

impl Default for Opserver {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            uve_types: vec!["virtual-network".to_owned()],
            interval: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
            max_body_bytes: 64 * 1024 * 1024,
            samples: PolledSamples::default(),
            modules: Vec::new(),
            user: None,
            password_file: None,
        }
    }
}

/// Which values of a poll become samples.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PolledSamples {
    /// All of them: the sum of a period is what the sources had.
    All,
    /// Those that differ from the poll before: a value that stays the same is no sample and missing in the sum.
    #[default]
    Changes,
}

/// Host and port of a server as it may be written.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn authority(server: &str) -> Result<Authority, String> {
    if server.starts_with("https://") {
        return Err(format!("{server:?} asks for TLS, which is not built in; name a local proxy that speaks it"));
    }
    if server.contains('@') {
        // It may hold a password.
        return Err("a server holds no user; set opserver.user and opserver.password_file".to_owned());
    }
    let refuse = || format!("{server:?} is no server; write `host:port` or `http://host:port`");
    let plain = server.strip_prefix("http://").unwrap_or(server);
    let authority: Authority = plain.strip_suffix('/').unwrap_or(plain).parse().map_err(|_| refuse())?;
    match authority.host() {
        "" => Err(refuse()),
        host if host == authority.as_str() => format!("{host}:{PORT}").parse().map_err(|_| refuse()),
        _ => authority.port_u16().is_some().then_some(authority).ok_or_else(refuse),
    }
}

/// A list of texts, or one text with its parts separated by blanks or commas.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_any(TextOrList)
}

struct TextOrList;

impl<'de> Visitor<'de> for TextOrList {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts, or one text separated by blanks or commas")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        let parts = text.split(|character: char| character == ',' || character.is_whitespace());
        Ok(parts.filter(|part| !part.is_empty()).map(str::to_owned).collect())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_a_list_or_a_text() {
        for servers in [r#"["a:1", "b:2"]"#, r#""a:1 b:2""#, r#"" a:1,\tb:2,""#] {
            let section: Opserver = toml::from_str(&format!("servers = {servers}")).unwrap();
            assert_eq!(section.servers, ["a:1", "b:2"], "{servers}");
        }
        assert_eq!(toml::from_str::<Opserver>("servers = \"\"").unwrap().servers, [""; 0]);
        assert!(toml::from_str::<Opserver>("servers = 8081").is_err());
    }

    #[test]
    fn a_server_is_host_and_port_with_or_without_a_scheme() {
        let cases = [
            ("a:1", "a:1"),
            ("http://a:1/", "a:1"),
            ("a.example", "a.example:8081"),
            ("http://10.0.0.5", "10.0.0.5:8081"),
            ("[::1]:80", "[::1]:80"),
            ("[::1]", "[::1]:8081"),
        ];
        for (text, expected) in cases {
            assert_eq!(authority(text).map(|authority| authority.to_string()).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_server_is_told_so_without_its_password() {
        for text in ["", "http://", "ftp://a:1", "a:1/path", "a b", "a:x", ":80", "a:70000", "https://a:1"] {
            assert!(authority(text).is_err(), "{text:?} was taken");
        }
        let error = authority("http://me:hunter2@a:1").unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
