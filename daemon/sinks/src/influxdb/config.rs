//! The configuration section `[sinks.influxdb]`, for InfluxDB and other servers that accept its line protocol.

use std::path::PathBuf;
use std::time::Duration;

use daemon_base::setting::duration;
use daemon_base::setting::{Secret, without_path};
use http::Uri;
use serde::Deserialize;

use crate::endpoint::{is_in_clear, tls_problems};

/// The configuration section `[sinks.influxdb]`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct InfluxConfig {
    /// The URL of the server, such as `"http://127.0.0.1:8086"` or `"https://influx.example/path"`. Default unset: the
    /// sink is off.
    pub url: Option<String>,
    /// The version of the server's API: 1 writes to `/write`, 2 to `/api/v2/write`, which InfluxDB 3 has too. Default
    /// 1.
    pub version: u8,
    /// The database, with version 1. The sink creates it if it does not exist. Default `"telegraf"`, the database of
    /// Telegraf, which Contiv's page reads.
    pub database: String,
    /// The retention policy, with version 1. Default unset: the database's default one. It must exist.
    pub retention_policy: Option<String>,
    /// The user, with version 1. Default unset: requests have no credentials.
    pub user: Option<String>,
    /// The password of the user. Default unset. Set it by the environment, or use `password_file`.
    pub password: Option<Secret>,
    /// A file with only the password; the sink ignores a line break at its end. Default unset.
    pub password_file: Option<PathBuf>,
    /// The organisation, with version 2. Default unset, which InfluxDB 3 and others accept.
    pub org: Option<String>,
    /// The bucket, with version 2, or the database of InfluxDB 3. Version 2 requires it, and it must exist. Default
    /// unset.
    pub bucket: Option<String>,
    /// The token, with version 2. Default unset: requests have no credentials. Set it by the environment, or use
    /// `token_file`.
    pub token: Option<Secret>,
    /// A file with only the token; the sink ignores a line break at its end. Default unset.
    pub token_file: Option<PathBuf>,
    /// Whether requests are compressed. Default true: a tenth of the bytes for some microseconds of CPU time per line.
    pub gzip: bool,
    /// The unit of the points' times, to which times are truncated. Default `"us"`, which truncates no time. With a
    /// coarser unit, points of one series may have the same time, and the last one overwrites the others.
    pub precision: Precision,
    /// The largest number of lines in a request. Default 5,000, the recommendation of InfluxDB; 1 to 1,000,000.
    pub batch_lines: usize,
    /// The largest size of a request before compression; a larger line is a request of its own. Default 4 MiB, from
    /// 1,024 bytes to 1 GiB.
    pub batch_bytes: usize,
    /// The longest wait of a line in the buffer. Default `"1s"`, up to `"1h"`; checked five times a second.
    #[serde(deserialize_with = "duration::deserialize")]
    pub flush_interval: Duration,
    /// The timeout of a whole request. Default `"10s"`, `"100ms"` to `"1h"`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
    /// A PEM file with further trusted certificate authorities, for https. Default unset: only the authorities of the
    /// system.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with the certificate that the client shows to the server, for https. Default unset: none.
    pub certificate_file: Option<PathBuf>,
    /// A PEM file with the private key of the certificate, without a password. Default unset.
    pub key_file: Option<PathBuf>,
    /// The tag `host` of Contiv's points. Default unset: the name of this machine. A changed value starts new series.
    pub host: Option<String>,
    /// The tag `server` of Contiv's points, with `{node}` and `{endpoint}` for their addresses; empty for no such tag.
    /// Default `"http://{node}:4000/{endpoint}"`, the URL from which Telegraf reads the endpoint.
    pub server: String,
}

impl Default for InfluxConfig {
    fn default() -> Self {
        Self {
            url: None,
            version: 1,
            database: "telegraf".to_owned(),
            retention_policy: None,
            user: None,
            password: None,
            password_file: None,
            org: None,
            bucket: None,
            token: None,
            token_file: None,
            gzip: true,
            precision: Precision::default(),
            batch_lines: 5_000,
            batch_bytes: 4 * 1024 * 1024,
            flush_interval: Duration::from_secs(1),
            timeout: Duration::from_secs(10),
            ca_file: None,
            certificate_file: None,
            key_file: None,
            host: None,
            server: "http://{node}:4000/{endpoint}".to_owned(),
        }
    }
}

/// The unit of the points' times.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Milliseconds.
    Ms,
    /// Nanoseconds.
    Ns,
    /// Seconds.
    S,
    /// Microseconds, the unit of results.
    #[default]
    Us,
}

daemon_base::has_tls_files!(InfluxConfig);

impl InfluxConfig {
    /// Returns the invalid combinations of keys, each as a key and a text with the remedy; none while the sink is off.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let Some(url) = &self.url else { return Vec::new() };
        let mut problems = Vec::new();
        match base(url) {
            Err(message) => problems.push(("url", message)),
            Ok(base) => problems.extend(tls_problems(base, &self.tls_files())),
        }
        problems.extend(self.foreign().map(|(key, version)| {
            let message = format!("belongs to version {version}; set version = {version}, or remove it");
            (key, message)
        }));
        problems.extend(self.lacking().map(|(key, message)| (key, message.to_owned())));
        if let Err(message) = server_parts(&self.server) {
            problems.push(("server", message));
        }
        problems
    }

    /// Whether requests carry a secret over the network without encryption.
    pub fn sends_secret_in_clear(&self) -> bool {
        let secret =
            [self.password.is_some(), self.password_file.is_some(), self.token.is_some(), self.token_file.is_some()];
        secret.contains(&true) && self.url.as_deref().is_some_and(is_in_clear)
    }

    /// The keys that are set and belong to the other version, with that version.
    fn foreign(&self) -> impl Iterator<Item = (&'static str, u8)> {
        let set = [
            ("retention_policy", 1, self.retention_policy.is_some()),
            ("user", 1, self.user.is_some()),
            ("password", 1, self.password.is_some()),
            ("password_file", 1, self.password_file.is_some()),
            ("org", 2, self.org.is_some()),
            ("bucket", 2, self.bucket.is_some()),
            ("token", 2, self.token.is_some()),
            ("token_file", 2, self.token_file.is_some()),
        ];
        let own = self.version;
        set.into_iter()
            .filter(move |&(_, version, is_set)| is_set && version != own)
            .map(|(key, version, _)| (key, version))
    }

    /// The keys that other keys require or exclude, with the remedy.
    fn lacking(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let Self { user, password, password_file, token, token_file, .. } = self;
        let is_empty = |text: &Option<String>| text.as_deref().is_none_or(str::is_empty);
        let has_password = password.is_some() || password_file.is_some();
        let wrong = [
            ("version", !matches!(self.version, 1 | 2), "expected 1 for `/write` or 2 for `/api/v2/write`"),
            (
                "database",
                self.version == 1 && self.database.is_empty(),
                "the name is empty; set the name of a database",
            ),
            (
                "bucket",
                self.version == 2 && is_empty(&self.bucket),
                "version 2 requires a bucket; set the name of an existing one",
            ),
            ("user", user.is_some() && !has_password, "the user has no password; set password_file too"),
            (
                "user",
                user.as_deref().is_some_and(|user| user.contains(':')),
                "a user of basic authentication cannot contain `:`; use another user",
            ),
            (
                if password.is_some() { "password" } else { "password_file" },
                user.is_none() && has_password,
                "there is no user for the password; set user too",
            ),
            ("password_file", password.is_some() && password_file.is_some(), "password is set too; remove one of them"),
            ("token_file", token.is_some() && token_file.is_some(), "token is set too; remove one of them"),
        ];
        wrong.into_iter().filter(|&(_, is_wrong, _)| is_wrong).map(|(key, _, message)| (key, message))
    }
}

/// Validates a URL and returns it without a slash at its end.
///
/// # Errors
///
/// A text with the invalid part and the remedy, which never contains a password.
pub(super) fn base(url: &str) -> Result<&str, String> {
    if url.contains('@') {
        return Err("a url cannot contain a user; set user and password_file, or token_file".to_owned());
    }
    let refuse =
        || format!("{:?} is not a url; write it as `http://host:8086` or `https://host:8086`", without_path(url));
    let uri: Uri = url.parse().map_err(|_| refuse())?;
    if uri.query().is_some() {
        return Err("a url cannot contain `?`; set the keys database, bucket or org instead".to_owned());
    }
    let host = uri.host().unwrap_or_default();
    let good = matches!(uri.scheme_str(), Some("http" | "https")) && !host.is_empty() && !url.contains('#');
    let port = uri.authority().map_or("", |authority| authority.as_str()).strip_prefix(host).unwrap_or_default();
    // The parser accepts any digits, or none, as a port.
    let good = good && (port.is_empty() || uri.port_u16().is_some());
    good.then(|| url.trim_end_matches('/')).ok_or_else(refuse)
}

/// A part of the tag `server`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum ServerPart {
    Endpoint,
    Node,
    Text(String),
}

/// Parses the template of the tag `server`.
///
/// # Errors
///
/// A text with the invalid part and the valid ones.
pub(super) fn server_parts(template: &str) -> Result<Vec<ServerPart>, String> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some(start) = rest.find(['{', '}']) {
        let (text, at_brace) = rest.split_at(start);
        let known = [("{endpoint}", ServerPart::Endpoint), ("{node}", ServerPart::Node)];
        let found = known.into_iter().find_map(|(name, part)| Some((part, at_brace.strip_prefix(name)?)));
        let (part, after) =
            found.ok_or_else(|| format!("found {at_brace:?}, expected `{{node}}` or `{{endpoint}}`"))?;
        parts.extend((!text.is_empty()).then(|| ServerPart::Text(text.to_owned())));
        parts.push(part);
        rest = after;
    }
    parts.extend((!rest.is_empty()).then(|| ServerPart::Text(rest.to_owned())));
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> InfluxConfig {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn an_invalid_combination_of_keys_is_rejected_with_its_key() {
        let v1 = "url = \"http://a:8086\"";
        let v2 = "url = \"http://a:8086\"\nversion = 2\nbucket = \"b\"";
        let cases = [
            ("url = \"a:8086\"", "url"),
            ("url = \"ftp://a\"", "url"),
            ("url = \"http://\"", "url"),
            ("url = \"http://a:x\"", "url"),
            ("url = \"http://a:70000\"", "url"),
            ("url = \"http://a/?db=x\"", "url"),
            (&format!("{v1}\nversion = 3"), "version"),
            (&format!("{v1}\ndatabase = \"\""), "database"),
            (&format!("{v1}\norg = \"o\""), "org"),
            (&format!("{v1}\nbucket = \"b\""), "bucket"),
            (&format!("{v1}\ntoken_file = \"t\""), "token_file"),
            (&format!("{v1}\ntoken = \"t\""), "token"),
            (&format!("{v1}\nuser = \"u\""), "user"),
            (&format!("{v1}\nuser = \"u:v\"\npassword = \"p\""), "user"),
            (&format!("{v1}\npassword_file = \"p\""), "password_file"),
            (&format!("{v1}\nuser = \"u\"\npassword = \"p\"\npassword_file = \"p\""), "password_file"),
            (&format!("{v1}\nca_file = \"c\""), "ca_file"),
            (&format!("{v1}\nserver = \"{{host}}\""), "server"),
            ("url = \"http://a:8086\"\nversion = 2", "bucket"),
            (&format!("{v2}\nretention_policy = \"r\""), "retention_policy"),
            (&format!("{v2}\nuser = \"u\"\npassword = \"p\""), "user password"),
            (&format!("{v2}\ntoken = \"t\"\ntoken_file = \"t\""), "token_file"),
        ];
        for (text, expected) in cases {
            let found: Vec<_> = section(text).problems().into_iter().map(|(key, _)| key).collect();
            assert_eq!(found.join(" "), expected, "{text}");
        }
    }

    #[test]
    fn a_valid_combination_of_keys_is_accepted() {
        for text in [
            "",
            "org = \"without effect while the sink is off\"",
            "url = \"http://a:8086/\"",
            "url = \"https://[::1]:8086/influx/\"\nca_file = \"c\"\nuser = \"u\"\npassword_file = \"p\"",
            "url = \"http://a\"\nversion = 2\nbucket = \"b\"",
            "url = \"http://a\"\nversion = 2\nbucket = \"b\"\norg = \"o\"\ntoken_file = \"t\"\nserver = \"\"",
        ] {
            assert_eq!(section(text).problems(), [], "{text}");
        }
        assert_eq!(base("https://a/influx//"), Ok("https://a/influx"));
    }

    #[test]
    fn no_error_and_no_debug_text_shows_a_secret() {
        let section =
            section("url = \"http://me:hunter1@a:1\"\nversion = 3\npassword = \"hunter2\"\ntoken = \"hunter3\"");
        let problems = format!("{:?}", section.problems());
        assert!(!problems.contains("hunter"), "{problems}");
        let problem = base("ftp://a/hunter2").unwrap_err();
        assert!(problem.starts_with("\"ftp://a/…\" is not a url"), "{problem}");
        let shown = format!("{:?}", InfluxConfig { url: None, ..section });
        assert!(!shown.contains("hunter"), "{shown}");
    }

    #[test]
    fn an_unencrypted_secret_is_detected_unless_the_server_is_on_this_machine() {
        let cases = [
            ("http://a:8086", "token = \"t\"", true),
            ("http://10.0.0.5", "password_file = \"p\"", true),
            ("https://a:8086", "token = \"t\"", false),
            ("http://127.0.0.1:8086", "token = \"t\"", false),
            ("http://[::1]:8086", "token = \"t\"", false),
            ("http://localhost", "token_file = \"t\"", false),
            ("http://a:8086", "", false),
        ];
        for (url, text, expected) in cases {
            assert_eq!(section(&format!("url = {url:?}\n{text}")).sends_secret_in_clear(), expected, "{url} {text}");
        }
    }

    #[test]
    fn the_tag_server_is_a_template() {
        use ServerPart::{Endpoint, Node, Text};
        let text = |text: &str| Text(text.to_owned());
        let parts = vec![text("http://"), Node, text(":4000/"), Endpoint];
        assert_eq!(server_parts(&InfluxConfig::default().server), Ok(parts));
        assert_eq!(server_parts("{endpoint}{node}x"), Ok(vec![Endpoint, Node, text("x")]));
        assert_eq!(server_parts(""), Ok(vec![]));
        for bad in ["{", "}", "{nodes}", "{node", "x{}"] {
            assert!(server_parts(bad).is_err(), "{bad}");
        }
    }
}
