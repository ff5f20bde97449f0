//! `[[http.listeners]]`: further listeners of the HTTP server.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use daemon_base::listener::TlsFiles;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// The scheme of a Unix socket.
const UNIX: &str = "unix:";

/// One listener, with what is served on it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListenerConfig {
    /// A numeric address and port, or `unix:` and the absolute path of a socket.
    pub address: ListenAddress,
    /// What is served: a path of another role gets status 404. Default all.
    #[serde(default = "Role::all", deserialize_with = "roles")]
    pub roles: Vec<Role>,
    /// The files of the certificate. By default there is no TLS.
    #[serde(default)]
    pub tls: Option<TlsFiles>,
    /// The permissions of the file of a Unix socket, in octal digits. Default `"0660"`.
    #[serde(default)]
    pub mode: FileMode,
}

/// Where a listener listens.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum ListenAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl ListenAddress {
    /// Whether other machines may connect.
    pub(crate) fn is_of_network(&self) -> bool {
        matches!(self, Self::Tcp(address) if !address.ip().is_loopback())
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = match text.strip_prefix(UNIX) {
            Some(path) => Some(PathBuf::from(path)).filter(|path| path.is_absolute()).map(Self::Unix),
            None => text.parse().ok().map(Self::Tcp),
        };
        parsed.ok_or_else(|| {
            D::Error::custom(format_args!(
                "expected a numeric address and port such as \"127.0.0.1:8082\", or \"unix:\" and the absolute path of a \
                 socket such as \"unix:/run/derived-statsd/http.sock\", found {text:?}"
            ))
        })
    }
}

/// What a listener serves.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Shows and replaces the configuration, and shows metrics and the state of the daemon.
    Admin,
    /// Takes samples.
    Ingest,
    /// Answers probes of liveness and readiness.
    Probes,
    /// Shows results, objects, metrics, and the page.
    Query,
}

impl Role {
    const ALL: [Self; 4] = [Self::Admin, Self::Ingest, Self::Probes, Self::Query];

    /// All roles.
    pub(crate) fn all() -> Vec<Self> {
        Self::ALL.to_vec()
    }

    /// The name in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Ingest => "ingest",
            Self::Probes => "probes",
            Self::Query => "query",
        }
    }
}

fn roles<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Role>, D::Error> {
    let roles = Vec::<Role>::deserialize(deserializer)?;
    if roles.is_empty() {
        return Err(D::Error::custom("`roles` is empty; name admin, ingest, probes or query, or leave it out for all"));
    }
    Ok(roles)
}

/// The permissions of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct FileMode(pub u32);

impl Default for FileMode {
    fn default() -> Self {
        Self(0o660)
    }
}

impl<'de> Deserialize<'de> for FileMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| is_octal && *mode <= 0o777);
        mode.map(Self).ok_or_else(|| {
            D::Error::custom(format_args!("expected permissions in octal digits such as \"0660\", found {text:?}"))
        })
    }
}

/// Deserializes `http.listen`: an address, or `none`.
pub(super) fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "none" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        D::Error::custom(format_args!(
            "expected a numeric address and port such as \"127.0.0.1:8081\" or \"[::1]:8081\", or \"none\", found {text:?}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(text: &str) -> Result<ListenerConfig, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_listener_has_all_roles_and_no_tls_unless_it_names_others() {
        let plain = listener("address = \"[::1]:80\"").unwrap();
        assert_eq!((plain.roles.len(), plain.tls, plain.mode), (4, None, FileMode(0o660)));
        let all = listener(
            "address = \"unix:/run/a.sock\"\nroles = [\"ingest\"]\nmode = \"600\"\n\
             tls = { certificate = \"c\", key = \"k\", client_ca = \"a\" }",
        );
        let all = all.unwrap();
        assert_eq!((all.address.to_string().as_str(), all.roles), ("unix:/run/a.sock", vec![Role::Ingest]));
        assert_eq!((all.mode, all.tls.unwrap().client_ca), (FileMode(0o600), Some(PathBuf::from("a"))));
    }

    #[test]
    fn a_fault_states_what_was_expected() {
        for (text, expected) in [
            ("roles = [\"query\"]", "missing field `address`"),
            ("address = \"localhost:80\"", "found \"localhost:80\""),
            ("address = \"unix:a.sock\"", "the absolute path of a socket"),
            ("address = \"[::1]:80\"\nroles = []", "`roles` is empty"),
            ("address = \"[::1]:80\"\nroles = [\"all\"]", "expected one of `admin`, `ingest`, `probes`, `query`"),
            ("address = \"[::1]:80\"\nrole = \"query\"", "unknown field `role`"),
            ("address = \"[::1]:80\"\ntls = { certificate = \"c\" }", "missing field `key`"),
            ("address = \"unix:/a\"\nmode = \"0999\"", "octal digits"),
            ("address = \"unix:/a\"\nmode = \"1777\"", "octal digits"),
        ] {
            let error = listener(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
