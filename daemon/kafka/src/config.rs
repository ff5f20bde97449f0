//! `[kafka]`: how the daemon finds a Kafka cluster and what it does there. Used with `log.kind = "kafka"`.

use std::path::PathBuf;
use std::time::Duration;

use daemon_base::setting::Secret;
use daemon_base::setting::duration;
use serde::Deserialize;

/// `[kafka]`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// Brokers as `host:port`, separated by blanks or commas. Default empty. `kafka_broker_list` of a collector's file
    /// sets it too.
    pub brokers: String,
    /// The consumer group of all daemons that share the work. Default unset: `<cluster_id>-derived-statsd`, so that
    /// two clusters on one Kafka do not meet.
    pub group_id: Option<String>,
    /// What topic names begin with; `agg-<Struct>-<attribute>` and the like follow. Default unset: `<cluster_id>-uve-`,
    /// as Contrail's.
    pub topic_prefix: Option<String>,
    /// The name of this daemon among those of the group; no two may share it. Default unset: host name and HTTP port.
    /// It should stay the same over restarts: then a restart ends at once what the one before left unfinished.
    pub instance: Option<String>,
    /// How often a worker commits states and offsets while samples flow; results do not wait for it. Default `"10s"`,
    /// from `"100ms"` to `"1h"`. Longer writes less and re-reads more after a kill; nothing is lost either way.
    #[serde(deserialize_with = "duration::deserialize")]
    pub commit_interval: Duration,
    /// How long a daemon may be silent before the group gives its partitions to others. Default `"10s"`, from `"1s"` to
    /// `"30m"`; the broker has limits too (`group.min.session.timeout.ms`).
    #[serde(deserialize_with = "duration::deserialize")]
    pub session_timeout: Duration,
    /// How long a transaction may stay open before the broker aborts it: that long a daemon that hangs in the middle of
    /// one holds up readers. Default `"15s"`, from `"1s"` to `"15m"`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub transaction_timeout: Duration,
    /// How often topics are looked at for new partitions, new topics and lag. Default `"5s"`, from `"100ms"` to `"1h"`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub refresh_interval: Duration,
    /// How many messages of the results topic a durable sink of this daemon may lag behind before all input of the
    /// daemon is paused; it goes on when the sink has caught up with half of them. Default 1,000,000; 0: never pause.
    pub max_sink_lag: u64,
    /// How results stand in the results topic: `"json"`, a line each, for readers other than the daemons; or
    /// `"binary"`, blocks with types, which cost a fraction of the bytes. Daemons read both. Default `"json"`.
    pub results_format: ResultsFormat,
    /// How many bytes of results go into one message of the results topic. Default 65,536, up to 1,048,576; 0: every
    /// result is a message of its own, keyed by its object.
    pub results_message_bytes: usize,
    /// Partitions that `derived-statsd topics --create` gives each input topic. Default 30, Contrail's own number.
    pub partitions: u16,
    /// Copies of each partition that it asks for. Default 0: what the broker's `default.replication.factor` says.
    pub replication: u16,
    /// `"plaintext"`, `"ssl"`, `"sasl_plaintext"` or `"sasl_ssl"`. Default `"plaintext"`.
    pub security: Security,
    /// Certificates of the authorities that may have signed the brokers', in PEM. Default unset: those of the system.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate, in PEM, for brokers that ask for one. Default unset.
    pub certificate_file: Option<PathBuf>,
    /// Its private key, in PEM. Default unset.
    pub key_file: Option<PathBuf>,
    /// The password of that key. Default unset. Better in the environment than in a file that many read.
    pub key_password: Option<Secret>,
    /// How to prove who we are, with the `sasl_…` kinds of security: `"plain"`, `"scram-sha-256"`, `"scram-sha-512"`.
    /// Default `"scram-sha-512"`.
    pub sasl: Sasl,
    /// The user. Default unset.
    pub user: Option<String>,
    /// The password. Default unset. Set it by the environment, or use `password_file`.
    pub password: Option<Secret>,
    /// A file that holds the password and nothing else; a line break at its end is dropped. Default unset.
    pub password_file: Option<PathBuf>,
    /// Further properties of librdkafka, as `name=value`, for all clients. Default none. They win over everything
    /// above, except for those that exactly-once rests on.
    pub properties: Vec<String>,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            group_id: None,
            topic_prefix: None,
            instance: None,
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

/// The form of results in the results topic.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum ResultsFormat {
    /// Blocks: numbers with their types.
    Binary,
    /// Lines of JSON.
    #[default]
    Json,
}

/// How connections are protected; librdkafka's `security.protocol`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// Not at all.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// A user and a password over a plain connection.
    SaslPlaintext,
    /// A user and a password over TLS.
    SaslSsl,
}

impl Security {
    /// The name that librdkafka knows.
    pub fn protocol(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    /// Whether a user and a password are sent.
    pub fn has_user(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// How a user proves who it is; librdkafka's `sasl.mechanism`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub enum Sasl {
    /// The password itself: only over TLS.
    #[serde(rename = "plain")]
    Plain,
    /// A challenge, by SHA-256.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// A challenge, by SHA-512.
    #[default]
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

impl Sasl {
    /// The name that librdkafka knows.
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
    fn the_words_of_the_file_are_those_of_librdkafka() {
        let kafka: KafkaConfig = toml::from_str("security = \"sasl_ssl\"\nsasl = \"scram-sha-256\"").unwrap();
        assert_eq!((kafka.security.protocol(), kafka.sasl.mechanism()), ("sasl_ssl", "SCRAM-SHA-256"));
        assert!(kafka.security.has_user() && !Security::Ssl.has_user());
    }
}
