//! Addresses to listen on and servers to connect to, with errors that show how to write one.

use std::net::SocketAddr;

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

/// Parses the host and port of a server. The scheme `http://` may stand before them; `port` is the default port.
///
/// # Errors
///
/// A sentence that says what is wrong and what to write.
pub fn authority(server: &str, port: u16) -> Result<Authority, String> {
    if server.contains('@') {
        // The text may contain a password, so the error does not.
        return Err("a server contains a user; remove it, and use the settings for credentials".to_owned());
    }
    if server.starts_with("https://") {
        return Err(format!("{server:?} needs TLS, which this client does not support; name a local proxy that does"));
    }
    let refuse = || format!("{server:?} is not a server; write `host:port` or `http://host:port`");
    let plain = server.strip_prefix("http://").unwrap_or(server);
    let authority: Authority = plain.strip_suffix('/').unwrap_or(plain).parse().map_err(|_| refuse())?;
    match authority.host() {
        "" => Err(refuse()),
        host if host == authority.as_str() => format!("{host}:{port}").parse().map_err(|_| refuse()),
        _ => authority.port_u16().is_some().then_some(authority).ok_or_else(refuse),
    }
}

/// Parses each server in a list as [`authority`] does. `key` is the setting that has the list, for the error.
///
/// # Errors
///
/// When one cannot be parsed: the key and what is wrong with the first of them.
pub fn authorities(servers: &[String], port: u16, key: &'static str) -> anyhow::Result<Vec<Authority>> {
    let authorities = servers.iter().map(|server| authority(server, port)).collect::<Result<_, _>>();
    authorities.map_err(anyhow::Error::msg).context(key)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let authority = authority(text, 8081).map(|authority| authority.to_string());
            assert_eq!(authority.as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_server_is_refused_without_showing_its_password() {
        for text in ["", "http://", "ftp://a:1", "a:1/path", "a b", "a:x", ":80", "a:70000", "https://a:1"] {
            assert!(authority(text, 1).is_err(), "{text:?} was taken");
        }
        for text in ["http://me:hunter2@a:1", "https://me:hunter2@a:1", "me:hunter2@a b"] {
            let error = authority(text, 1).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
