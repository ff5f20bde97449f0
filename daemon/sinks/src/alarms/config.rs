//! The configuration sections of the sinks of alarms.

use std::path::PathBuf;
use std::time::Duration;

use daemon_base::setting::{Secret, duration};
use http::Uri;
use serde::Deserialize;

use crate::endpoint::{has_credentials, is_in_clear, signing_key_problems, tls_problems};

/// The configuration section `[sinks.alertmanager]`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct AlertmanagerConfig {
    /// The URL of an Alertmanager with API v2, such as `"http://127.0.0.1:9093"`. Default unset: the sink is off.
    pub url: Option<String>,
    /// The URLs of the further members of its cluster. Default none. Alerts go to each member, as Prometheus sends them.
    pub other_urls: Vec<String>,
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
    /// How often alarms that fire are sent again. Default `"1m"`, `"1s"` to `"1h"`. Without a further request an alarm
    /// ends in the Alertmanager after four of these intervals.
    #[serde(deserialize_with = "duration::deserialize")]
    pub refresh_interval: Duration,
    /// The timeout of a request. Default `"10s"`, `"100ms"` to `"1h"`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
    /// The alarms of one rule and table that are sent by themselves; further ones are one alert with their number.
    /// Default 20, 1 to 1,000.
    pub alarms_per_group: usize,
    /// The alerts over all rules and tables that begin within a minute; further ones wait, and one alert has their
    /// number. Default 60, 1 to 10,000. Raise it if the routes of the Alertmanager group well.
    pub alerts_per_minute: usize,
    /// The URL at which people reach this daemon's page, for links to the charts. Default unset: no links.
    pub page_url: Option<String>,
    /// A PEM file with further trusted certificate authorities, for https. Default unset: only the authorities of the
    /// system.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with the certificate that the client shows to the server, for https. Default unset: none.
    pub certificate_file: Option<PathBuf>,
    /// A PEM file with the private key of the certificate, without a password. Default unset.
    pub key_file: Option<PathBuf>,
}

impl Default for AlertmanagerConfig {
    fn default() -> Self {
        Self {
            url: None,
            other_urls: Vec::new(),
            user: None,
            password: None,
            password_file: None,
            token: None,
            token_file: None,
            refresh_interval: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
            alarms_per_group: 20,
            alerts_per_minute: 60,
            page_url: None,
            ca_file: None,
            certificate_file: None,
            key_file: None,
        }
    }
}

/// The configuration section `[sinks.webhook]`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    /// The URL to which alarms are posted. Default unset: the sink is off.
    pub url: Option<String>,
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
    /// The key of the signature of each request. Default unset: no signature. Set it by the environment, or use
    /// `secret_file`.
    pub secret: Option<Secret>,
    /// A file with only the key; the sink ignores a line break at its end. Default unset.
    pub secret_file: Option<PathBuf>,
    /// The shortest time between two requests; changes in between are one request. Default `"10s"`, `"0s"` to `"1h"`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub interval: Duration,
    /// The timeout of a request. Default `"10s"`, `"100ms"` to `"1h"`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
    /// The changes of one rule and table that a request names; further ones are counted. Default 20, 1 to 1,000.
    pub alarms_per_group: usize,
    /// The URL at which people reach this daemon's page, for links to the charts. Default unset: no links.
    pub page_url: Option<String>,
    /// A PEM file with further trusted certificate authorities, for https. Default unset: only the authorities of the
    /// system.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with the certificate that the client shows to the server, for https. Default unset: none.
    pub certificate_file: Option<PathBuf>,
    /// A PEM file with the private key of the certificate, without a password. Default unset.
    pub key_file: Option<PathBuf>,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            url: None,
            user: None,
            password: None,
            password_file: None,
            token: None,
            token_file: None,
            secret: None,
            secret_file: None,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
            alarms_per_group: 20,
            page_url: None,
            ca_file: None,
            certificate_file: None,
            key_file: None,
        }
    }
}

daemon_base::has_tls_files!(AlertmanagerConfig, WebhookConfig);
has_credentials!(AlertmanagerConfig);
has_credentials!(WebhookConfig);

impl AlertmanagerConfig {
    /// Returns the invalid keys, each with a text that names the remedy.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = urls(&[("page_url", &self.page_url)]);
        let Some(url) = &self.url else {
            let others = (!self.other_urls.is_empty()).then(|| "there is no url; set it to one of them".to_owned());
            problems.extend(others.map(|problem| ("other_urls", problem)));
            return problems;
        };
        problems.extend(api(url).err().map(|problem| ("url", problem)));
        let others = self.other_urls.iter().find_map(|url| api(url).err());
        problems.extend(others.map(|problem| ("other_urls", problem)));
        if self.other_urls.iter().any(|other| other.starts_with("https:") != url.starts_with("https:")) {
            problems
                .push(("other_urls", "some URLs are of http and some of https; use one for all members".to_owned()));
        }
        problems.extend(tls_problems(url, &self.tls_files()));
        problems.extend(self.credentials().problems());
        problems
    }

    /// Whether requests carry a secret over the network without encryption.
    pub fn sends_secret_in_clear(&self) -> bool {
        let mut urls = self.url.iter().chain(&self.other_urls);
        self.credentials().has_secret() && urls.any(|url| is_in_clear(url))
    }
}

impl WebhookConfig {
    /// Returns the invalid keys, each with a text that names the remedy.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = urls(&[("url", &self.url), ("page_url", &self.page_url)]);
        problems.extend(signing_key_problems(self.secret.as_ref(), self.secret_file.as_deref()));
        problems.extend(self.url.as_deref().map(|url| tls_problems(url, &self.tls_files())).unwrap_or_default());
        problems.extend(self.credentials().problems());
        problems
    }

    /// Whether requests carry a secret over the network without encryption.
    pub fn sends_secret_in_clear(&self) -> bool {
        self.credentials().has_secret() && self.url.as_deref().is_some_and(is_in_clear)
    }
}

fn urls(given: &[(&'static str, &Option<String>)]) -> Vec<(&'static str, String)> {
    let given = given.iter().filter_map(|(key, url)| Some((*key, url.as_deref()?)));
    given.filter_map(|(key, url)| base(url).err().map(|problem| (key, problem))).collect()
}

/// The URL of a server to which paths are appended, without a slash at its end.
pub(super) fn api(url: &str) -> Result<&str, String> {
    if url.contains(['?', '#']) {
        return Err("the URL cannot contain `?` or `#`; write it as \"http://127.0.0.1:9093\"".to_owned());
    }
    base(url)
}

/// A URL without a slash at its end. The problem never shows the URL, which may contain a password or a token.
pub(super) fn base(url: &str) -> Result<&str, String> {
    let uri = url.parse::<Uri>().ok();
    let is_http = uri.as_ref().and_then(Uri::scheme_str).is_some_and(|scheme| matches!(scheme, "http" | "https"));
    let is_plain = uri.as_ref().and_then(Uri::authority).is_some_and(|authority| !authority.as_str().contains('@'));
    if is_http && is_plain {
        Ok(url.trim_end_matches('/'))
    } else {
        Err("expected a URL without credentials such as \"http://127.0.0.1:9093\"".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_with_credentials_is_refused_and_not_shown() {
        let cases = [
            ("http://user:hunter2@host:9093", "without credentials"),
            ("hunter2", "such as \"http://127.0.0.1:9093\""),
            ("http://host:9093?token=hunter2", "cannot contain `?`"),
            ("http://host:9093/#hunter2", "cannot contain `?` or `#`"),
        ];
        for (url, expected) in cases {
            let section = AlertmanagerConfig { url: Some(url.to_owned()), ..AlertmanagerConfig::default() };
            let problems = section.problems();
            let [(key, problem)] = problems.as_slice() else { panic!("{url}: {problems:?}") };
            assert!(*key == "url" && problem.contains(expected) && !problem.contains("hunter2"), "{url}: {problem}");
        }
        let good = AlertmanagerConfig { url: Some("http://host:9093/am/".to_owned()), ..AlertmanagerConfig::default() };
        assert!(good.problems().is_empty());
        let hook = WebhookConfig { url: Some("https://host/hook?token=x".to_owned()), ..WebhookConfig::default() };
        assert!(hook.problems().is_empty(), "a webhook gets no path appended");
    }
}
