//! The settings of the Redis sink, from its section of the configuration and the files in it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use daemon_base::outbound::ClientTls;
use daemon_base::setting::Secret;

use super::config::{RedisConfig, Server};

/// The settings of the Redis sink.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    pub(super) target: Target,
    /// `source:node_type:module:instance`.
    pub(super) generator: String,
    /// At least 1.
    pub(super) partitions: u32,
    pub(super) timeout: Duration,
    /// Whether other daemons read the same results and write them to the same Redis.
    pub(super) is_shared: bool,
    pub(super) uve_topics: Option<String>,
    /// The Redis in the keys of messages.
    pub(super) redis_uve: String,
}

/// The server, and how to log in.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub server: Server,
    /// `None` without TLS.
    pub tls: Option<Arc<ClientTls>>,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub database: u32,
}

impl RedisSettings {
    /// Reads the settings from a section; `None` if it has no server.
    ///
    /// `group` is the name of the group whose daemons share the results log; `None` for a log of this process only.
    ///
    /// # Errors
    ///
    /// If a key is invalid, or a file of a key cannot be read or has invalid content.
    pub fn new(section: &RedisConfig, group: Option<&str>) -> anyhow::Result<Option<Self>> {
        let Some(url) = &section.url else { return Ok(None) };
        let server = Server::parse(url).map_err(anyhow::Error::msg).context("sinks.redis.url")?;
        let own_name = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        let source = || group.map_or_else(own_name, str::to_owned).replace(|it: char| ":| \t\n".contains(it), "_");
        let is_ipv6 = server.host.contains(':');
        let host = if is_ipv6 { format!("[{}]", server.host) } else { server.host.clone() };
        let address = format!("{host}:{}", server.port);
        Ok(Some(Self {
            target: Target::new(section, server).context("sinks.redis")?,
            generator: section.generator.clone().unwrap_or_else(|| format!("{}:Analytics:derived-statsd:0", source())),
            partitions: section.partitions.max(1),
            timeout: section.timeout,
            is_shared: group.is_some(),
            uve_topics: section.uve_topics.clone(),
            redis_uve: section.redis_uve.clone().unwrap_or(address),
        }))
    }

    /// Whether changes are published on topics.
    pub fn has_topics(&self) -> bool {
        self.uve_topics.is_some()
    }
}

impl Target {
    fn new(section: &RedisConfig, server: Server) -> anyhow::Result<Self> {
        let password = match &section.password_file {
            Some(path) => Some(Secret::from_file(path, "sinks.redis.password_file")?),
            None => section.password.clone(),
        };
        let read = || section.tls_files().read().map_err(|(key, problem)| anyhow::anyhow!("{key}: {problem}"));
        let tls = if server.has_tls { Some(Arc::new(read()?)) } else { None };
        Ok(Self { server, tls, user: section.user.clone(), password, database: section.database })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str, group: Option<&str>) -> anyhow::Result<Option<RedisSettings>> {
        RedisSettings::new(&toml::from_str(text).unwrap(), group)
    }

    #[test]
    fn without_a_url_it_is_off_and_with_one_it_has_the_names_that_contrail_gets() {
        assert!(settings("", None).unwrap().is_none());
        let found = settings("url = \"redis://[::1]:7000\"", Some("my:group")).unwrap().unwrap();
        assert_eq!(found.generator, "my_group:Analytics:derived-statsd:0");
        assert_eq!((found.redis_uve.as_str(), found.is_shared), ("[::1]:7000", true));
        let own = settings("url = \"redis://a\"\nredis_uve = \"10.0.0.5:6379\"", None).unwrap().unwrap();
        assert_eq!((own.redis_uve.as_str(), own.is_shared), ("10.0.0.5:6379", false));
        assert_eq!(own.generator.split(':').count(), 4);
    }

    #[test]
    fn secrets_come_from_files_or_from_the_environment_and_are_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "hunter2\r\n").unwrap();
        let url = "url = \"redis://a\"\nuser = \"me\"\n";
        for text in [format!("{url}password_file = {path:?}"), format!("{url}password = \"hunter2\"")] {
            let settings = settings(&text, None).unwrap().unwrap();
            let Target { user, password, database, .. } = &settings.target;
            let password = password.as_ref().map(Secret::reveal);
            assert_eq!((user.as_deref(), password, *database), (Some("me"), Some("hunter2"), 1));
            assert!(!format!("{settings:?}").contains("hunter2"), "{text}");
        }
        std::fs::remove_file(&path).unwrap();
        let error = format!("{:#}", settings(&format!("{url}password_file = {path:?}"), None).unwrap_err());
        assert!(error.contains("sinks.redis.password_file"), "{error}");
    }

    #[test]
    fn a_file_without_certificates_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, "none here").unwrap();
        let error = settings(&format!("url = \"rediss://a\"\nca_file = {path:?}"), None).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("sinks.redis") && error.contains("no certificate"), "{error}");
    }
}
