//! The configuration section `[sinks.otlp]`.

use std::path::PathBuf;
use std::time::Duration;

use daemon_base::setting::{Secret, duration};
use serde::Deserialize;

use crate::endpoint::{check_url, has_credentials, is_in_clear, tls_problems};

/// The configuration section `[sinks.otlp]`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpConfig {
    /// The URL of the receiver with its path, such as `"http://127.0.0.1:4318/v1/metrics"`. Default unset: the sink is off.
    pub url: Option<String>,
    /// Attributes of the resource, each as `"name=value"`. Default none; `service.name` is `derived-statsd` unless it is
    /// here.
    pub attributes: Vec<String>,
    /// The user of basic authentication. Default unset: none.
    pub user: Option<String>,
    /// The password of the user. Default unset. Set it by the environment, or use `password_file`.
    pub password: Option<Secret>,
    /// A file with only the password; the sink ignores a line break at its end. Default unset.
    pub password_file: Option<PathBuf>,
    /// The bearer token. Default unset: none. Set it by the environment, or use `token_file`.
    pub token: Option<Secret>,
    /// A file with only the token; the sink ignores a line break at its end. Default unset.
    pub token_file: Option<PathBuf>,
    /// The tenant of Mimir or Cortex, in the header `X-Scope-OrgID`. Default unset: no header.
    pub tenant: Option<String>,
    /// The largest number of points in a request; a larger result is a request of its own. Default 5,000; 1 to
    /// 1,000,000.
    pub batch_points: usize,
    /// The largest size of a request before compression. Default 4 MiB, from 1,024 bytes to 1 GiB.
    pub batch_bytes: usize,
    /// The longest wait of a point in the buffer. Default `"1s"`, up to `"1h"`; checked five times a second.
    #[serde(deserialize_with = "duration::deserialize")]
    pub flush_interval: Duration,
    /// The timeout of a whole request. Default `"10s"`, `"100ms"` to `"1h"`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
    /// How long requests are repeated that the receiver refuses for a setting, by status 401, 403, 404 and the like, or
    /// fails on, by status 500 and the like, which may be the fault of the request. Then their points are dropped.
    /// Default `"10m"`, up to `"24h"`; 0 drops them at once.
    #[serde(deserialize_with = "duration::deserialize")]
    pub refusal_timeout: Duration,
    /// A PEM file with further trusted certificate authorities, for https. Default unset: only the authorities of the
    /// system.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with the certificate that the client shows to the server, for https. Default unset: none.
    pub certificate_file: Option<PathBuf>,
    /// A PEM file with the private key of the certificate, without a password. Default unset.
    pub key_file: Option<PathBuf>,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            url: None,
            attributes: Vec::new(),
            user: None,
            password: None,
            password_file: None,
            token: None,
            token_file: None,
            tenant: None,
            batch_points: 5_000,
            batch_bytes: 4 * 1024 * 1024,
            flush_interval: Duration::from_secs(1),
            timeout: Duration::from_secs(10),
            refusal_timeout: Duration::from_secs(600),
            ca_file: None,
            certificate_file: None,
            key_file: None,
        }
    }
}

daemon_base::has_tls_files!(OtlpConfig);
has_credentials!(OtlpConfig, tenant);

impl OtlpConfig {
    /// Returns the invalid keys and combinations, each as a key and a text with the remedy; none while the sink is off.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let Some(url) = &self.url else { return Vec::new() };
        let mut problems = Vec::new();
        problems.extend(check_url(url, "http://127.0.0.1:4318/v1/metrics").err().map(|problem| ("url", problem)));
        problems.extend(tls_problems(url, &self.tls_files()));
        problems.extend(attributes(&self.attributes).err().map(|problem| ("attributes", problem)));
        problems.extend(self.credentials().problems());
        problems
    }

    /// Whether requests carry a secret over the network without encryption.
    pub fn sends_secret_in_clear(&self) -> bool {
        self.credentials().has_secret() && self.url.as_deref().is_some_and(is_in_clear)
    }
}

/// The attributes of a list.
///
/// # Errors
///
/// A text with the first entry that is not an attribute of its own.
pub(super) fn attributes(entries: &[String]) -> Result<Vec<(String, String)>, String> {
    let mut attributes: Vec<(String, String)> = Vec::new();
    for entry in entries {
        let (name, value) = entry.split_once('=').unwrap_or_default();
        if name.trim() != name || name.is_empty() || value.is_empty() {
            return Err(format!("{entry:?} is not an attribute; write \"name=value\""));
        }
        if attributes.iter().any(|(other, _)| other == name) {
            return Err(format!("the attribute `{name}` is set already; use another name"));
        }
        attributes.push((name.to_owned(), value.to_owned()));
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_its_key_and_the_remedy_and_no_secret() {
        let cases = [
            ("url = \"http://me:hunter2@a/v1/metrics\"", "url", "http://127.0.0.1:4318/v1/metrics"),
            ("url = \"http://a\"\nca_file = \"/a\"", "ca_file", "write https"),
            ("url = \"http://a\"\nattributes = [\"a\"]", "attributes", "write \"name=value\""),
            ("url = \"http://a\"\nattributes = [\" a=b\"]", "attributes", "write \"name=value\""),
            ("url = \"http://a\"\nattributes = [\"a=b\", \"a=c\"]", "attributes", "`a` is set already"),
            ("url = \"http://a\"\npassword = \"hunter2\"", "password", "set user too"),
            ("url = \"http://a\"\ntenant = \"a b\"", "tenant", "without blanks"),
        ];
        for (text, key, expected) in cases {
            let found = toml::from_str::<OtlpConfig>(text).unwrap().problems();
            let [(found, problem)] = found.as_slice() else { panic!("{text}: {found:?}") };
            assert!(*found == key && problem.contains(expected) && !problem.contains("hunter2"), "{text}: {problem}");
        }
        let is_clear = |text: &str| toml::from_str::<OtlpConfig>(text).unwrap().sends_secret_in_clear();
        assert!(is_clear("url = \"http://a/w\"\ntoken = \"t\""));
        assert!(!is_clear("url = \"http://a/w\"") && !is_clear("url = \"http://[::1]/w\"\ntoken = \"t\""));
    }
}
