//! The configuration section `[sinks.redis]`, for the Redis that Contrail's opserver and alarm-gen read.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use daemon_base::setting::duration;
use daemon_base::setting::{Secret, without_path};
use http::Uri;
use serde::Deserialize;

/// The port of a Redis whose URL has none.
const PORT: u16 = 6379;

/// The configuration section `[sinks.redis]`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// The URL of the server, `"redis://127.0.0.1:6379"`, or `"rediss://…"` for TLS. Default unset: the sink is off.
    pub url: Option<String>,
    /// The number of the database. Default 1, from which Contrail's processes read; 0 to 1,023.
    pub database: u32,
    /// The user of an access control list. Default unset: Redis' `default` user.
    pub user: Option<String>,
    /// The password. Default unset. Set it by the environment, or use `password_file`.
    pub password: Option<Secret>,
    /// A file with only the password; the sink ignores a line break at its end. Default unset.
    pub password_file: Option<PathBuf>,
    /// A PEM file with the certificate authorities that may have signed the server's certificate, instead of those of
    /// the system. Default unset.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with the certificate that the client shows to the server, for rediss. Default unset: none.
    pub certificate_file: Option<PathBuf>,
    /// A PEM file with the private key of the certificate, without a password. Default unset.
    pub key_file: Option<PathBuf>,
    /// The generator under which the results are stored, as `source:node_type:module:instance`. Default unset: the name
    /// of this machine, or on Kafka of the group, with `:Analytics:derived-statsd:0`. All daemons of a group have the
    /// same one. A changed value leaves the results of the former one in Redis.
    pub generator: Option<String>,
    /// The number of UVE partitions, `DEFAULT.partitions` of the collector and of alarm-gen. Default 30, as in the file
    /// that Contrail ships; its code has 15. 1 to 1,024.
    pub partitions: u32,
    /// The timeout of a connection with its login, and of each transaction as a whole. Default `"10s"`, `"100ms"` to `"1h"`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
    /// The prefix of the Kafka topics on which alarm-gen listens for changes: `"-uve-topic-"`, before 2020-10-12
    /// `"-uve-"`, with the cluster id in front. Default unset: no message, so that alarm-gen does not notice changes.
    /// The brokers are those of `[kafka]`.
    pub uve_topics: Option<String>,
    /// The Redis, as `address:port` in alarm-gen's `redis_uve_list`; alarm-gen ignores messages with another one.
    /// Default unset: host and port of `url`.
    pub redis_uve: Option<String>,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            url: None,
            database: 1,
            user: None,
            password: None,
            password_file: None,
            ca_file: None,
            certificate_file: None,
            key_file: None,
            generator: None,
            partitions: 30,
            timeout: Duration::from_secs(10),
            uve_topics: None,
            redis_uve: None,
        }
    }
}

daemon_base::has_tls_files!(RedisConfig);

impl RedisConfig {
    /// Returns the invalid combinations of keys, each as a key and a text with the remedy; none while the sink is off.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let Some(url) = &self.url else { return Vec::new() };
        let mut problems = Vec::new();
        match Server::parse(url) {
            Err(message) => problems.push(("url", message)),
            Ok(server) => {
                let remedy = "a url with redis uses no certificate; write rediss";
                problems.extend(self.tls_files().problems(server.has_tls, remedy));
            }
        }
        if let Some(Err(message)) = self.generator.as_deref().map(check_generator) {
            problems.push(("generator", message));
        }
        let is_list = |text: &str| text.is_empty() || text.contains('|');
        let is_secret = self.password.is_some() || self.password_file.is_some();
        let wrong = [
            ("user", self.user.is_some() && !is_secret, "the user has no password; set password_file too"),
            (
                "password_file",
                self.password.is_some() && self.password_file.is_some(),
                "password is set too; remove one of them",
            ),
            (
                "redis_uve",
                self.redis_uve.as_deref().is_some_and(is_list),
                "write the `address:port` that alarm-gen has in redis_uve_list, without `|`",
            ),
        ];
        let wrong = wrong.into_iter().filter(|&(_, is_wrong, _)| is_wrong);
        problems.extend(wrong.map(|(key, _, message)| (key, message.to_owned())));
        problems
    }

    /// Whether the server is reached by TLS.
    pub fn has_tls(&self) -> bool {
        self.url.as_deref().and_then(|url| Server::parse(url).ok()).is_some_and(|server| server.has_tls)
    }

    /// Whether a password goes over the network without encryption.
    pub fn sends_secret_in_clear(&self) -> bool {
        let has_secret = self.password.is_some() || self.password_file.is_some();
        let server = self.url.as_deref().and_then(|url| Server::parse(url).ok());
        has_secret && server.is_some_and(|server| !server.has_tls && !server.is_local())
    }
}

/// Checks the form `source:node_type:module:instance`.
fn check_generator(generator: &str) -> Result<(), String> {
    let parts: Vec<_> = generator.split(':').collect();
    let is_good = |part: &&str| !part.is_empty() && !part.contains('|') && !part.contains(char::is_whitespace);
    if parts.len() == 4 && parts.iter().all(is_good) {
        return Ok(());
    }
    Err(format!(
        "{generator:?} is not a generator; write four parts, `source:node_type:module:instance`, such as \
         \"stats1:Analytics:derived-statsd:0\""
    ))
}

/// The address of a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Server {
    /// A name or an address, of IPv6 without brackets.
    pub host: String,
    pub port: u16,
    pub has_tls: bool,
}

impl Server {
    /// Parses a URL.
    ///
    /// # Errors
    ///
    /// A text with the invalid part and the remedy, which never contains a password.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        if url.contains('@') {
            return Err("a url cannot contain a user; set user and password_file".to_owned());
        }
        let refuse = || {
            format!(
                "{:?} is not a url; write it as `redis://host:6379`, or `rediss://host:6379` for TLS",
                without_path(url)
            )
        };
        let uri: Uri = url.parse().map_err(|_| refuse())?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(format!("{:?} has something behind the port; set the key database instead", without_path(url)));
        }
        let host = uri.host().unwrap_or_default();
        let has_tls = uri.scheme_str() == Some("rediss");
        let good = (has_tls || uri.scheme_str() == Some("redis")) && !host.is_empty() && !url.contains('#');
        let port = uri.authority().map_or("", |authority| authority.as_str()).strip_prefix(host).unwrap_or_default();
        // The parser accepts any digits, or none, as a port.
        let good = good && (port.is_empty() || uri.port_u16().is_some());
        let host = host.trim_matches(['[', ']']).to_owned();
        good.then(|| Self { host, port: uri.port_u16().unwrap_or(PORT), has_tls }).ok_or_else(refuse)
    }

    fn is_local(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> RedisConfig {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn an_invalid_combination_of_keys_is_rejected_with_its_key() {
        let on = "url = \"redis://a\"";
        let cases = [
            ("url = \"a:6379\"", "url"),
            ("url = \"http://a\"", "url"),
            ("url = \"redis://\"", "url"),
            ("url = \"redis://a:x\"", "url"),
            ("url = \"redis://a:70000\"", "url"),
            ("url = \"redis://a/2\"", "url"),
            ("url = \"redis://me:hunter2@a\"", "url"),
            ("url = \"redis://a/hunter2\"", "url"),
            ("url = \"http://a/hunter2\"", "url"),
            (&format!("{on}\nca_file = \"c\""), "ca_file"),
            (&format!("{on}\ncertificate_file = \"c\"\nkey_file = \"k\""), "certificate_file key_file"),
            ("url = \"rediss://a\"\ncertificate_file = \"c\"", "key_file"),
            ("url = \"rediss://a\"\nkey_file = \"k\"", "certificate_file"),
            (&format!("{on}\nuser = \"u\""), "user"),
            (&format!("{on}\npassword = \"p\"\npassword_file = \"p\""), "password_file"),
            (&format!("{on}\ngenerator = \"a:b:c\""), "generator"),
            (&format!("{on}\ngenerator = \"a:b::d\""), "generator"),
            (&format!("{on}\ngenerator = \"a:b:c|:d\""), "generator"),
            (&format!("{on}\nredis_uve = \"\""), "redis_uve"),
        ];
        for (text, expected) in cases {
            let section = section(text);
            let found: Vec<_> = section.problems().into_iter().map(|(key, _)| key).collect();
            assert_eq!(found.join(" "), expected, "{text}");
            assert!(!format!("{:?}", section.problems()).contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn a_valid_combination_of_keys_is_accepted() {
        for text in [
            "",
            "user = \"without effect while the sink is off\"",
            "url = \"redis://a:6379/\"\npassword = \"p\"",
            "url = \"rediss://[::1]\"\nca_file = \"c\"\nuser = \"u\"\npassword_file = \"p\"",
            "url = \"redis://a\"\ngenerator = \"a:b:c:0\"\nuve_topics = \"-uve-\"\nredis_uve = \"10.0.0.5:6379\"",
        ] {
            assert_eq!(section(text).problems(), [], "{text}");
        }
        let server = |url| Server::parse(url).map(|Server { host, port, has_tls }| (host, port, has_tls));
        assert_eq!(server("redis://a.example"), Ok(("a.example".to_owned(), 6379, false)));
        assert_eq!(server("rediss://[::1]:7000/"), Ok(("::1".to_owned(), 7000, true)));
    }

    #[test]
    fn an_unencrypted_secret_is_detected_unless_the_server_is_on_this_machine() {
        for (text, expected) in [
            ("url = \"redis://a\"\npassword = \"p\"", true),
            ("url = \"redis://10.0.0.5\"\npassword_file = \"p\"", true),
            ("url = \"rediss://a\"\npassword = \"p\"", false),
            ("url = \"redis://[::1]\"\npassword = \"p\"", false),
            ("url = \"redis://localhost\"\npassword = \"p\"", false),
            ("url = \"redis://a\"", false),
        ] {
            assert_eq!(section(text).sends_secret_in_clear(), expected, "{text}");
        }
    }
}
