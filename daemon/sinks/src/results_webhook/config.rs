//! The configuration section `[sinks.results_webhook]`.

use std::path::PathBuf;
use std::time::Duration;

use daemon_base::setting::{Secret, duration};
use serde::Deserialize;

use crate::endpoint::{check_url, signing_key_problems, tls_problems};

/// The configuration section `[sinks.results_webhook]`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ResultsWebhookConfig {
    /// The URL to which results are posted. Default unset: the sink is off.
    pub url: Option<String>,
    /// The key of the signature of each request. Default unset: no signature. Set it by the environment, or use
    /// `secret_file`.
    pub secret: Option<Secret>,
    /// A file with only the key; the sink ignores a line break at its end. Default unset.
    pub secret_file: Option<PathBuf>,
    /// The largest number of results in a request. Default 500; 1 to 1,000,000.
    pub batch_results: usize,
    /// The size of a request, which one result may exceed. Default 1 MiB, from 1,024 bytes to 1 GiB.
    pub batch_bytes: usize,
    /// The longest wait of a result in the buffer. Default `"1s"`, up to `"1h"`; checked five times a second.
    #[serde(deserialize_with = "duration::deserialize")]
    pub flush_interval: Duration,
    /// The timeout of a whole request. Default `"10s"`, `"100ms"` to `"1h"`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
    /// How long requests are repeated that the receiver refuses for a setting, by status 401, 403, 404 and the like. Then
    /// their results are dropped. Default `"10m"`, up to `"24h"`; 0 drops them at once.
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

impl Default for ResultsWebhookConfig {
    fn default() -> Self {
        Self {
            url: None,
            secret: None,
            secret_file: None,
            batch_results: 500,
            batch_bytes: 1024 * 1024,
            flush_interval: Duration::from_secs(1),
            timeout: Duration::from_secs(10),
            refusal_timeout: Duration::from_secs(600),
            ca_file: None,
            certificate_file: None,
            key_file: None,
        }
    }
}

daemon_base::has_tls_files!(ResultsWebhookConfig);

impl ResultsWebhookConfig {
    /// Returns the invalid keys and combinations, each as a key and a text with the remedy; none while the sink is off.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let Some(url) = &self.url else { return Vec::new() };
        let mut problems = Vec::new();
        problems.extend(check_url(url, "https://hooks.example/results").err().map(|problem| ("url", problem)));
        problems.extend(tls_problems(url, &self.tls_files()));
        problems.extend(signing_key_problems(self.secret.as_ref(), self.secret_file.as_deref()));
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_its_key_and_the_remedy_and_no_secret() {
        let cases = [
            ("url = \"ftp://a/hunter2\"", "url", "https://hooks.example/results"),
            ("url = \"http://a\"\nca_file = \"/a\"", "ca_file", "write https"),
            ("url = \"https://a\"\ncertificate_file = \"/a\"", "key_file", "require each other"),
            ("url = \"https://a\"\nkey_file = \"/a\"", "certificate_file", "require each other"),
            ("url = \"http://a\"\nsecret = \"hunter2\"\nsecret_file = \"/a\"", "secret_file", "keep one"),
            ("url = \"http://a\"\nsecret = \"\"", "secret", "it is empty"),
        ];
        for (text, key, expected) in cases {
            let found = toml::from_str::<ResultsWebhookConfig>(text).unwrap().problems();
            let [(found, problem)] = found.as_slice() else { panic!("{text}: {found:?}") };
            assert!(*found == key && problem.contains(expected) && !problem.contains("hunter2"), "{text}: {problem}");
        }
        let good = toml::from_str::<ResultsWebhookConfig>("url = \"https://a/b?token=c\"\nca_file = \"/a\"").unwrap();
        assert!(good.problems().is_empty());
    }
}
