//! The configuration of librdkafka's clients: brokers, security, and tuning.
//!
//! Properties come in three layers, and a later one overrides an earlier one: the defaults for a kind of client, the
//! user's `kafka.properties`, and the properties that exactly-once requires, which cannot be changed.

use std::time::Duration;

use anyhow::Context as _;
use daemon_base::clock::micros;
use daemon_base::setting::{Secret, file};
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;

use crate::config::KafkaConfig;

/// How long a consumer whose fetch queue is full waits before it fetches more. With librdkafka's default of a second a
/// worker would idle: it applies the records of a full queue in some tens of milliseconds.
const FETCH_PAUSE_MS: &str = "5";

/// The largest message that the daemon writes: a chunk of state, or a sample with a long key.
pub(crate) const MAX_MESSAGE_BYTES: usize = 8 * 1024 * 1024;

/// The timeout of a request to the brokers.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// The client configuration that all clients of the daemon share.
#[derive(Clone)]
pub struct Connection {
    base: ClientConfig,
    properties: Vec<(String, String)>,
    session_timeout_ms: u64,
    transaction_timeout_ms: u64,
    refresh_interval_ms: u64,
}

impl Connection {
    /// Makes the client configuration, and reads the password file if there is one.
    ///
    /// # Errors
    ///
    /// When the file of the password, of a key or of certificates cannot be read.
    pub fn new(kafka: &KafkaConfig) -> anyhow::Result<Self> {
        let brokers: Vec<&str> =
            kafka.brokers.split([',', ' ', '\t', '\n']).map(str::trim).filter(|broker| !broker.is_empty()).collect();
        let mut base = ClientConfig::new();
        base.set("bootstrap.servers", brokers.join(","));
        base.set("security.protocol", kafka.security.protocol());
        let paths = [
            ("ssl.ca.location", "ca_file", &kafka.ca_file),
            ("ssl.certificate.location", "certificate_file", &kafka.certificate_file),
            ("ssl.key.location", "key_file", &kafka.key_file),
        ];
        for (property, key, path) in paths {
            if let Some(path) = path {
                // The error of librdkafka contains neither the setting nor the file, and it reads files without an end.
                file::read(path).with_context(|| format!("read kafka.{key} {}", path.display()))?;
                base.set(property, path.to_string_lossy());
            }
        }
        if let Some(password) = &kafka.key_password {
            base.set("ssl.key.password", password.reveal());
        }
        if kafka.security.has_user() {
            base.set("sasl.mechanism", kafka.sasl.mechanism());
            base.set("sasl.username", kafka.user.as_deref().unwrap_or_default());
            base.set("sasl.password", password(kafka)?.reveal());
        }
        let properties = kafka.properties.iter().filter_map(|property| property.split_once('='));
        let milliseconds = |span| micros(span) / 1000;
        Ok(Self {
            base,
            properties: properties.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect(),
            session_timeout_ms: milliseconds(kafka.session_timeout),
            transaction_timeout_ms: milliseconds(kafka.transaction_timeout),
            refresh_interval_ms: milliseconds(kafka.refresh_interval),
        })
    }

    /// The addresses of the brokers to begin with.
    pub(crate) fn brokers(&self) -> String {
        self.base.get("bootstrap.servers").unwrap_or_default().to_owned()
    }

    /// How long a member may send no heartbeat.
    pub(crate) fn session_timeout(&self) -> Duration {
        Duration::from_millis(self.session_timeout_ms)
    }

    /// After what time the broker aborts a transaction that was left open.
    pub(crate) fn transaction_timeout(&self) -> Duration {
        Duration::from_millis(self.transaction_timeout_ms)
    }

    /// The same connection, with transactions that may be open for `timeout` at least.
    #[must_use]
    pub(crate) fn with_transactions_of(&self, timeout: Duration) -> Self {
        let transaction_timeout_ms = self.transaction_timeout_ms.max(micros(timeout) / 1000);
        Self { transaction_timeout_ms, ..self.clone() }
    }

    /// The configuration of a client that requests metadata and creates topics.
    pub fn admin(&self) -> ClientConfig {
        self.finish(&[], &[])
    }

    /// The configuration of a worker's consumer, a member of `group`.
    pub fn member(&self, group: &str, client_id: &str) -> ClientConfig {
        let session = self.session_timeout_ms.to_string();
        let heartbeat = (self.session_timeout_ms / 4).max(100).to_string();
        let refresh = self.refresh_interval_ms.to_string();
        let ours = [
            ("client.id", client_id),
            ("heartbeat.interval.ms", &heartbeat),
            ("partition.assignment.strategy", "cooperative-sticky"),
            // Bounds the memory of the fetch queue: a decompressed batch of XML is many times the size of the fetched
            // one.
            ("fetch.max.bytes", "4194304"),
            ("fetch.message.max.bytes", "262144"),
            ("fetch.queue.backoff.ms", FETCH_PAUSE_MS),
            ("queued.max.messages.kbytes", "4096"),
            ("session.timeout.ms", &session),
            ("topic.metadata.refresh.interval.ms", &refresh),
        ];
        let fixed = [
            ("auto.offset.reset", "error"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "false"),
            ("group.id", group),
            ("isolation.level", "read_committed"),
            // The read progress, see `progress`.
            ("statistics.interval.ms", "500"),
        ];
        self.finish(&ours, &fixed)
    }

    /// The configuration of a consumer with manual assignment. `group` only stores offsets, if the caller commits any.
    pub fn reader(&self, group: &str, isolation: Isolation) -> ClientConfig {
        let fixed = [
            ("auto.offset.reset", "error"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "true"),
            ("group.id", group),
            ("isolation.level", isolation.name()),
        ];
        let ours = [
            ("fetch.queue.backoff.ms", FETCH_PAUSE_MS),
            ("fetch.wait.max.ms", "100"),
            ("queued.max.messages.kbytes", "16384"),
        ];
        self.finish(&ours, &fixed)
    }

    /// The configuration of the producer of a worker's transactions.
    pub fn transactional(&self, transactional_id: &str) -> ClientConfig {
        let timeout = self.transaction_timeout_ms.to_string();
        let largest = MAX_MESSAGE_BYTES.to_string();
        let ours = [
            ("compression.type", "lz4"),
            ("linger.ms", "5"),
            // A partition has up to five requests in flight, and while it has, the client's thread polls for more
            // records without a pause. All results go to one partition, so requests must be large.
            ("batch.size", largest.as_str()),
            ("message.max.bytes", largest.as_str()),
            ("queue.buffering.max.messages", "1000000"),
            ("queue.buffering.max.kbytes", "32768"),
        ];
        let fixed = [
            ("enable.idempotence", "true"),
            ("message.timeout.ms", timeout.as_str()),
            ("transaction.timeout.ms", timeout.as_str()),
            ("transactional.id", transactional_id),
        ];
        self.finish(&ours, &fixed)
    }

    /// The configuration of the producer of samples that this daemon's ingest endpoints take.
    pub fn producer(&self, client_id: &str) -> ClientConfig {
        let largest = MAX_MESSAGE_BYTES.to_string();
        let ours = [
            ("client.id", client_id),
            ("compression.type", "lz4"),
            ("linger.ms", "5"),
            ("message.max.bytes", largest.as_str()),
            ("message.timeout.ms", "30000"),
            ("queue.buffering.max.messages", "1000000"),
            ("queue.buffering.max.kbytes", "262144"),
        ];
        self.finish(&ours, &[("enable.idempotence", "true")])
    }

    fn finish(&self, ours: &[(&str, &str)], fixed: &[(&str, &str)]) -> ClientConfig {
        let mut config = self.base.clone();
        config.set_log_level(RDKafkaLogLevel::Warning);
        // A topic is created explicitly: with automatic creation a misspelled name would not be noticed.
        config.set("allow.auto.create.topics", "false");
        let users = self.properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in ours.iter().copied().chain(users).chain(fixed.iter().copied()) {
            config.set(name, value);
        }
        config
    }
}

/// The isolation level of a reader: which records of open transactions it gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Isolation {
    /// None: the end of a partition is the last stable offset.
    Committed,
    /// All: the end of a partition is the high watermark.
    Uncommitted,
}

impl Isolation {
    fn name(self) -> &'static str {
        match self {
            Self::Committed => "read_committed",
            Self::Uncommitted => "read_uncommitted",
        }
    }
}

fn password(kafka: &KafkaConfig) -> anyhow::Result<Secret> {
    match (&kafka.password, &kafka.password_file) {
        (Some(password), _) => Ok(password.clone()),
        (None, Some(path)) => Secret::from_file(path, "kafka.password_file"),
        (None, None) => anyhow::bail!("kafka.security requires a password; set kafka.password or kafka.password_file"),
    }
}

/// Whether the error means that a requested offset does not exist: deleted, or beyond the end.
pub(crate) fn is_out_of_range(error: &KafkaError) -> bool {
    matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange))
}

/// Whether the error means that a broker was not reached.
pub(crate) fn is_unreachable(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(Code::AllBrokersDown | Code::BrokerTransportFailure | Code::OperationTimedOut | Code::Resolve)
    )
}

/// Partition 0 of a topic, from an offset on, for a consumer to be assigned.
pub(crate) fn partition_0(topic: &str, from: Offset) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, from)?;
    Ok(list)
}

/// Discards the events in the queue of a client that requests metadata only: while brokers are unreachable their errors
/// would accumulate.
pub(crate) fn discard_events<C: ConsumerContext>(client: &BaseConsumer<C>) {
    const MAX_EVENTS: usize = 10_000;
    // A poll that handles a log line or statistics returns nothing, too.
    const MAX_EMPTY: usize = 32;
    let mut empty = 0;
    for _ in 0..MAX_EVENTS {
        empty = if client.poll(Duration::ZERO).is_some() { 0 } else { empty + 1 };
        if empty == MAX_EMPTY {
            return;
        }
    }
}

/// The client context that writes librdkafka's log lines and errors to the daemon's log.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogContext;

impl ConsumerContext for LogContext {}

impl ClientContext for LogContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka's client.");
    }
}

/// Writes a log line of librdkafka to the daemon's log, one level lower.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::warn!(facility, "Kafka's client: {message}");
        }
        RDKafkaLogLevel::Warning => tracing::info!(facility, "Kafka's client: {message}"),
        _ => tracing::debug!(facility, "Kafka's client: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(text: &str) -> Connection {
        Connection::new(&toml::from_str::<KafkaConfig>(text).unwrap()).unwrap()
    }

    #[test]
    fn user_properties_override_the_defaults_but_not_those_that_exactly_once_requires() {
        let connection =
            connection("brokers = \"a:1, b:2\"\nproperties = [\"linger.ms = 50\", \"enable.idempotence=false\"]");
        let config = connection.transactional("t");
        assert_eq!(config.get("bootstrap.servers"), Some("a:1,b:2"));
        assert_eq!((config.get("linger.ms"), config.get("enable.idempotence")), (Some("50"), Some("true")));
    }

    #[test]
    fn the_password_is_read_from_its_file_without_the_line_break() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        std::fs::write(&path, "hunter2\n").unwrap();
        let text = format!("security = \"sasl_ssl\"\nuser = \"u\"\npassword_file = {path:?}");
        let config = connection(&text).admin();
        assert_eq!((config.get("sasl.password"), config.get("sasl.username")), (Some("hunter2"), Some("u")));
        assert_eq!(
            (config.get("sasl.mechanism"), config.get("security.protocol")),
            (Some("SCRAM-SHA-512"), Some("sasl_ssl"))
        );
    }

    #[test]
    fn the_error_of_a_missing_file_contains_its_setting() {
        for key in ["password_file", "ca_file", "certificate_file", "key_file"] {
            let text = format!("security = \"sasl_ssl\"\nuser = \"u\"\n{key} = \"/nowhere/x\"");
            let error = Connection::new(&toml::from_str(&text).unwrap()).map(drop).unwrap_err();
            assert!(format!("{error:#}").starts_with(&format!("read kafka.{key} /nowhere/x: ")), "{error:#}");
        }
    }
}
