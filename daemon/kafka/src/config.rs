//! The `[kafka]` section of the configuration: the cluster, its topics, and how to connect. Used with
//! `log.kind = "kafka"`.

use std::path::PathBuf;
use std::time::Duration;

use daemon_base::setting::Secret;
use daemon_base::setting::duration;
use serde::Deserialize;

/// The `[kafka]` section.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// Brokers as `host:port`, separated by blanks or commas. Default empty. `kafka_broker_list` in a collector's
    /// configuration file sets it too.
    pub brokers: String,
    /// The consumer group of all daemons that share the work. Default unset: `<cluster_id>-derived-statsd`, so that
    /// two clusters can share one Kafka.
    pub group_id: Option<String>,
    /// The prefix of topic names, before `agg-<Struct>-<attribute>` and the like. Default unset: `<cluster_id>-uve-`,
    /// as in Contrail.
    pub topic_prefix: Option<String>,
    /// The name of this daemon, unique in the group. Default unset: host name and HTTP port. Keep it the same after a
    /// restart: then the daemon aborts the transactions that its predecessor left open at once.
    pub instance: Option<String>,
    /// The version of this configuration within the group. Default 0. All daemons of a group have the same streams, proxy
    /// types and rules of alarms; one that differs waits, unless its version is higher: then it makes its configuration
    /// that of the group. Raise it with each change of `aggregation.uve_proxy_list`, of the types, of
    /// `aggregation.period`, or of `[[alarms]]`.
    pub configuration_version: u64,
    /// How often a worker commits states and offsets while samples arrive; results do not wait for it. Default `"10s"`,
    /// from `"100ms"` to `"1h"`. Longer writes less and re-reads more after a kill; nothing is lost either way.
    #[serde(deserialize_with = "duration::deserialize")]
    pub commit_interval: Duration,
    /// How long a daemon may send no heartbeat before the group assigns its partitions to others. Default `"10s"`, from
    /// `"1s"` to `"30m"`; the broker has limits too (`group.min.session.timeout.ms`).
    #[serde(deserialize_with = "duration::deserialize")]
    pub session_timeout: Duration,
    /// How long a transaction may stay open before the broker aborts it. A daemon that hangs in the middle of one
    /// blocks readers for that long. Default `"15s"`, from `"1s"` to `"15m"`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub transaction_timeout: Duration,
    /// How often the daemon polls the topics for new partitions, new topics and lag. Default `"5s"`, from `"100ms"` to
    /// `"1h"`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub refresh_interval: Duration,
    /// How many messages of the results topic a durable sink of this daemon may lag behind before the daemon pauses all
    /// its input; it resumes when the sink has caught up with half of them. Default 1,000,000; 0: never pause.
    pub max_sink_lag: u64,
    /// The format of the results topic: `"json"`, one line per result, for readers other than the daemons; or
    /// `"binary"`, typed blocks, which take a fraction of the bytes. Daemons read both. Default `"json"`.
    pub results_format: ResultsFormat,
    /// The size of a message of the results topic, in bytes. Default 65,536, up to 1,048,576; 0: every result is a
    /// message of its own, keyed by its object.
    pub results_message_bytes: usize,
    /// Partitions of each input topic that `derived-statsd topics --create` creates. Default 30, as in Contrail.
    pub partitions: u16,
    /// The replication factor of created topics. Default 0: the broker's `default.replication.factor`.
    pub replication: u16,
    /// `"plaintext"`, `"ssl"`, `"sasl_plaintext"` or `"sasl_ssl"`. Default `"plaintext"`.
    pub security: Security,
    /// Certificates of the authorities that may have signed the brokers' certificates, in PEM. Default unset: those of
    /// the system.
    pub ca_file: Option<PathBuf>,
    /// The daemon's certificate, in PEM, for brokers that require one. Default unset.
    pub certificate_file: Option<PathBuf>,
    /// Its private key, in PEM. Default unset.
    pub key_file: Option<PathBuf>,
    /// The password of that key. Default unset. Prefer the environment to a file that others can read.
    pub key_password: Option<Secret>,
    /// The SASL mechanism, with the `sasl_…` kinds of security: `"plain"`, `"scram-sha-256"`, `"scram-sha-512"`.
    /// Default `"scram-sha-512"`.
    pub sasl: Sasl,
    /// The SASL user. Default unset.
    pub user: Option<String>,
    /// The SASL password. Default unset. Set it in the environment, or use `password_file`.
    pub password: Option<Secret>,
    /// A file that contains only the password; a line break at its end is ignored. Default unset.
    pub password_file: Option<PathBuf>,
    /// Further properties of librdkafka, as `name=value`, for all clients. Default none. They override every setting
    /// above, except for the properties that exactly-once requires.
    pub properties: Vec<String>,
}

daemon_base::has_tls_files!(KafkaConfig);

impl KafkaConfig {
    /// Whether the brokers are reached by TLS.
    pub fn has_tls(&self) -> bool {
        matches!(self.security, Security::SaslSsl | Security::Ssl)
    }
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            group_id: None,
            topic_prefix: None,
            instance: None,
            configuration_version: 0,
            commit_interval: Duration::from_secs(10),
            session_timeout: Duration::from_secs(10),
            transaction_timeout: Duration::from_secs(15),
            refresh_interval: Duration::from_secs(5),
            max_sink_lag: 1_000_000,
            results_format: ResultsFormat::default(),
            results_message_bytes: 64 * 1024,
            partitions: 30,
            replication: 0,
            security: Security::default(),
            ca_file: None,
            certificate_file: None,
            key_file: None,
            key_password: None,
            sasl: Sasl::default(),
            user: None,
            password: None,
            password_file: None,
            properties: Vec::new(),
        }
    }
}

/// The format of results in the results topic.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum ResultsFormat {
    /// Blocks of typed numbers.
    Binary,
    /// Lines of JSON.
    #[default]
    Json,
}

/// The protection of connections; librdkafka's `security.protocol`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// A plain connection without authentication.
    #[default]
    Plaintext,
    /// TLS without SASL.
    Ssl,
    /// A user and a password over a plain connection.
    SaslPlaintext,
    /// A user and a password over TLS.
    SaslSsl,
}

impl Security {
    /// The value of the librdkafka property.
    pub fn protocol(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    /// Whether the client authenticates with a user and a password.
    pub fn has_user(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// The mechanism of authentication; librdkafka's `sasl.mechanism`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub enum Sasl {
    /// Sends the password itself: use it over TLS only.
    #[serde(rename = "plain")]
    Plain,
    /// Challenge and response with SHA-256.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// Challenge and response with SHA-512.
    #[default]
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

impl Sasl {
    /// The value of the librdkafka property.
    pub fn mechanism(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_the_file_map_to_those_of_librdkafka() {
        let kafka: KafkaConfig = toml::from_str("security = \"sasl_ssl\"\nsasl = \"scram-sha-256\"").unwrap();
        assert_eq!((kafka.security.protocol(), kafka.sasl.mechanism()), ("sasl_ssl", "SCRAM-SHA-256"));
        assert!(kafka.security.has_user() && !Security::Ssl.has_user());
    }
}
