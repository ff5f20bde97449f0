//! The configuration section `[sinks.remote_write]`.

use std::path::PathBuf;
use std::time::Duration;

use daemon_base::setting::{Secret, duration};
use serde::Deserialize;

use crate::endpoint::{check_url, has_credentials, is_in_clear, tls_problems};

/// The labels that the sink sets itself.
const OWN_LABELS: [&str; 6] = ["__name__", "attribute", "name", "stream", "table", "type"];

/// The configuration section `[sinks.remote_write]`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RemoteWriteConfig {
    /// The URL of the receiver, such as `"http://127.0.0.1:9090/api/v1/write"`. Default unset: the sink is off.
    pub url: Option<String>,
    /// Labels of every series, each as `"name=value"`. Default none.
    pub labels: Vec<String>,
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
    /// The tenant of Mimir, Cortex or Thanos, in the header `X-Scope-OrgID`. Default unset: no header.
    pub tenant: Option<String>,
    /// The largest number of samples in a request; a larger result is a request of its own. Default 5,000; 1 to
    /// 1,000,000.
    pub batch_samples: usize,
    /// The largest size of a request before compression. Default 4 MiB, from 1,024 bytes to 1 GiB.
    pub batch_bytes: usize,
    /// The longest wait of a sample in the buffer. Default `"1s"`, up to `"1h"`; checked five times a second.
    #[serde(deserialize_with = "duration::deserialize")]
    pub flush_interval: Duration,
    /// The timeout of a whole request. Default `"10s"`, `"100ms"` to `"1h"`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
    /// How long requests are repeated that the receiver refuses for a setting, by status 401, 403, 404 and the like. Then
    /// their samples are dropped. Default `"10m"`, up to `"24h"`; 0 drops them at once.
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

impl Default for RemoteWriteConfig {
    fn default() -> Self {
        Self {
            url: None,
            labels: Vec::new(),
            user: None,
            password: None,
            password_file: None,
            token: None,
            token_file: None,
            tenant: None,
            batch_samples: 5_000,
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

daemon_base::has_tls_files!(RemoteWriteConfig);
has_credentials!(RemoteWriteConfig, tenant);

impl RemoteWriteConfig {
    /// Returns the invalid keys and combinations, each as a key and a text with the remedy; none while the sink is off.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let Some(url) = &self.url else { return Vec::new() };
        let mut problems = Vec::new();
        problems.extend(check_url(url, "http://127.0.0.1:9090/api/v1/write").err().map(|problem| ("url", problem)));
        problems.extend(tls_problems(url, &self.tls_files()));
        problems.extend(labels(&self.labels).err().map(|problem| ("labels", problem)));
        problems.extend(self.credentials().problems());
        problems
    }

    /// Whether requests carry a secret over the network without encryption.
    pub fn sends_secret_in_clear(&self) -> bool {
        self.credentials().has_secret() && self.url.as_deref().is_some_and(is_in_clear)
    }
}

/// The labels of a list.
///
/// # Errors
///
/// A text with the first entry that is not a label of its own.
pub(super) fn labels(entries: &[String]) -> Result<Vec<(String, String)>, String> {
    let mut labels: Vec<(String, String)> = Vec::new();
    for entry in entries {
        let (name, value) = entry.split_once('=').unwrap_or_default();
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let is_name = name.bytes().all(is_legal) && !name.starts_with(|first: char| first.is_ascii_digit());
        if name.is_empty() || value.is_empty() || !is_name || name.starts_with("__") {
            return Err(format!(
                "{entry:?} is not a label; write \"name=value\", the name of letters, digits and `_`, not `__` in front"
            ));
        }
        if OWN_LABELS.contains(&name) || labels.iter().any(|(other, _)| other == name) {
            return Err(format!("the label `{name}` is set already; use another name"));
        }
        labels.push((name.to_owned(), value.to_owned()));
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<(&'static str, String)> {
        toml::from_str::<RemoteWriteConfig>(text).unwrap().problems()
    }

    #[test]
    fn a_problem_names_its_key_and_the_remedy_and_no_secret() {
        let cases = [
            ("url = \"http://me:hunter2@a/api/v1/write\"", "url", "without credentials"),
            ("url = \"hunter2\"", "url", "http://127.0.0.1:9090/api/v1/write"),
            ("url = \"http://a\"\nca_file = \"/a\"", "ca_file", "write https"),
            ("url = \"http://a\"\nlabels = [\"a\"]", "labels", "write \"name=value\""),
            ("url = \"http://a\"\nlabels = [\"__a=b\"]", "labels", "write \"name=value\""),
            ("url = \"http://a\"\nlabels = [\"1=b\"]", "labels", "write \"name=value\""),
            ("url = \"http://a\"\nlabels = [\"table=b\"]", "labels", "`table` is set already"),
            ("url = \"http://a\"\nlabels = [\"a=b\", \"a=c\"]", "labels", "`a` is set already"),
            ("url = \"http://a\"\nuser = \"me\"", "user", "set password_file too"),
            ("url = \"http://a\"\nuser = \"m:e\"\npassword = \"hunter2\"", "user", "cannot contain `:`"),
            ("url = \"http://a\"\npassword = \"hunter2\"", "password", "set user too"),
            ("url = \"http://a\"\npassword_file = \"/a\"", "password_file", "set user too"),
            ("url = \"http://a\"\ntoken = \"hunter2\"\ntoken_file = \"/a\"", "token_file", "remove one"),
            (
                "url = \"http://a\"\nuser = \"me\"\npassword = \"hunter2\"\ntoken_file = \"/a\"",
                "token_file",
                "either a user or a token",
            ),
            ("url = \"http://a\"\ntenant = \"a b\"", "tenant", "without blanks"),
        ];
        for (text, key, expected) in cases {
            let found = problems(text);
            let [(found, problem)] = found.as_slice() else { panic!("{text}: {found:?}") };
            assert!(*found == key && problem.contains(expected) && !problem.contains("hunter2"), "{text}: {problem}");
        }
        assert!(problems("labels = [\"a\"]").is_empty(), "without a url it is off");
        assert!(problems("url = \"https://a/w?x=y\"\nca_file = \"/a\"\nlabels = [\"site=b=c\"]").is_empty());
    }

    #[test]
    fn a_secret_over_http_to_another_machine_is_in_clear() {
        let is_clear = |text: &str| toml::from_str::<RemoteWriteConfig>(text).unwrap().sends_secret_in_clear();
        assert!(is_clear("url = \"http://a/w\"\ntoken = \"t\""));
        for text in
            ["url = \"http://a/w\"", "url = \"https://a/w\"\ntoken = \"t\"", "url = \"http://[::1]/w\"\ntoken = \"t\""]
        {
            assert!(!is_clear(text), "{text}");
        }
    }
}
