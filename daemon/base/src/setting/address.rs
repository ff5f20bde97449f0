//! Addresses to listen on and servers to ask, with errors that show how to write one.

use std::net::SocketAddr;

use anyhow::Context as _;
use http::uri::Authority;
use serde::de::{Deserialize, Deserializer, Error};

/// For `#[serde(deserialize_with)]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        D::Error::custom(format_args!(
            "expected a numeric address and port such as \"127.0.0.1:8081\" or \"[::1]:8081\", found {text:?}"
        ))
    })
}

/// As [`deserialize`], for a key that may be unset.
pub fn deserialize_some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    deserialize(deserializer).map(Some)
}

/// Host and port of a server, which may be written with a scheme and without a port; `port` is taken then.
///
/// # Errors
///
/// What is wrong with it.
pub fn authority(server: &str, port: u16) -> Result<Authority, String> {
    if server.contains('@') {
        // It may hold a password.
        return Err("a server holds no user; where one is needed, settings of their own hold it".to_owned());
    }
    if server.starts_with("https://") {
        return Err(format!("{server:?} asks for TLS, which is not built in here; name a local proxy that speaks it"));
    }
    let refuse = || format!("{server:?} is no server; write `host:port` or `http://host:port`");
    let plain = server.strip_prefix("http://").unwrap_or(server);
    let authority: Authority = plain.strip_suffix('/').unwrap_or(plain).parse().map_err(|_| refuse())?;
    match authority.host() {
        "" => Err(refuse()),
        host if host == authority.as_str() => format!("{host}:{port}").parse().map_err(|_| refuse()),
        _ => authority.port_u16().is_some().then_some(authority).ok_or_else(refuse),
    }
}

/// The [`authority`] of each server in a list. `key` is the setting that has the list, for the error.
///
/// # Errors
///
/// What is wrong with the first that is none.
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
    fn what_is_no_server_is_told_so_without_its_password() {
        for text in ["", "http://", "ftp://a:1", "a:1/path", "a b", "a:x", ":80", "a:70000", "https://a:1"] {
            assert!(authority(text, 1).is_err(), "{text:?} was taken");
        }
        for text in ["http://me:hunter2@a:1", "https://me:hunter2@a:1", "me:hunter2@a b"] {
            let error = authority(text, 1).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
