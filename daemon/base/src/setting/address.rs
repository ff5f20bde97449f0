//! Addresses to listen on and servers to connect to, with errors that show how to write one.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use anyhow::Context as _;
use http::uri::Authority;
use serde::de::{Deserialize, Deserializer, Error};

/// Deserializes an address from a text, for `#[serde(deserialize_with)]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        D::Error::custom(format_args!(
            "expected a numeric address and port such as \"127.0.0.1:8081\" or \"[::1]:8081\", found {text:?}"
        ))
    })
}

/// Deserializes the address of a key that may be unset, as [`deserialize`].
pub fn deserialize_some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    deserialize(deserializer).map(Some)
}

/// What a URL begins with whose server is reached by TLS.
const HTTPS: &str = "https://";

/// A server to connect to; its text is the base of its URLs, `http://host:port` or `https://host:port`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Server {
    /// Whether it is reached by TLS.
    pub has_tls: bool,
    /// Host and port.
    pub authority: Authority,
}

impl Server {
    /// Whether it is on this machine.
    pub fn is_local(&self) -> bool {
        let host = self.authority.host().trim_matches(['[', ']']);
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.has_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority)
    }
}

/// Parses the host and port of a server. The scheme `http://` or `https://` may stand before them, without one it is
/// reached without TLS; `port` is the default port of both.
///
/// # Errors
///
/// A sentence that says what is wrong and what to write.
pub fn server(text: &str, port: u16) -> Result<Server, String> {
    if text.contains('@') {
        // The text may contain a password, so the error does not.
        return Err("a server contains a user; remove it, and use the settings for credentials".to_owned());
    }
    let refuse = || format!("{text:?} is not a server; write `host:port`, `http://host:port` or `https://host:port`");
    let (has_tls, plain) = match text.strip_prefix(HTTPS) {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix("http://").unwrap_or(text)),
    };
    let authority: Authority = plain.strip_suffix('/').unwrap_or(plain).parse().map_err(|_| refuse())?;
    let authority = match authority.host() {
        "" => Err(refuse()),
        host if host == authority.as_str() => format!("{host}:{port}").parse().map_err(|_| refuse()),
        _ => authority.port_u16().is_some().then_some(authority).ok_or_else(refuse),
    };
    Ok(Server { has_tls, authority: authority? })
}

/// Parses each server in a list as [`server`] does. `key` is the setting that has the list, for the error.
///
/// # Errors
///
/// When one cannot be parsed: the key and what is wrong with the first of them.
pub fn servers(texts: &[String], port: u16, key: &'static str) -> anyhow::Result<Vec<Server>> {
    let servers = texts.iter().map(|text| server(text, port)).collect::<Result<_, _>>();
    servers.map_err(anyhow::Error::msg).context(key)
}

/// Whether a server, or that of a URL, is reached by TLS.
pub fn is_https(text: &str) -> bool {
    text.starts_with(HTTPS)
}

/// Whether one of these servers is reached by TLS.
pub fn has_tls<'s>(texts: impl IntoIterator<Item = &'s String>) -> bool {
    texts.into_iter().any(|text| is_https(text))
}

/// A URL without its path and query, which may be a credential: `https://host/…` in place of
/// `https://host/services/token`. Whatever shows the URL of a server shows this.
pub fn without_path(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + "://".len());
    match url[start..].find(['/', '?', '#']) {
        Some(end) => format!("{}/…", &url[..start + end]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_url_is_left_out_and_its_server_is_not() {
        let cases = [
            ("https://a/services/token", "https://a/…"),
            ("http://a:1?key=b", "http://a:1/…"),
            ("http://a:1/#b", "http://a:1/…"),
            ("http://a:1", "http://a:1"),
            ("a:1/b", "a:1/…"),
        ];
        for (url, expected) in cases {
            assert_eq!(without_path(url), expected, "{url}");
        }
    }

    #[test]
    fn a_server_is_host_and_port_with_or_without_a_scheme() {
        let cases = [
            ("a:1", "http://a:1"),
            ("http://a:1/", "http://a:1"),
            ("https://a:1/", "https://a:1"),
            ("https://a", "https://a:8081"),
            ("a.example", "http://a.example:8081"),
            ("http://10.0.0.5", "http://10.0.0.5:8081"),
            ("[::1]:80", "http://[::1]:80"),
            ("https://[::1]", "https://[::1]:8081"),
        ];
        for (text, expected) in cases {
            let server = server(text, 8081).map(|server| server.to_string());
            assert_eq!(server.as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_server_is_refused_without_showing_its_password() {
        for text in ["", "http://", "ftp://a:1", "a:1/path", "a b", "a:x", ":80", "a:70000", "https://"] {
            assert!(server(text, 1).is_err(), "{text:?} was taken");
        }
        for text in ["http://me:hunter2@a:1", "https://me:hunter2@a:1", "me:hunter2@a b"] {
            let error = server(text, 1).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
