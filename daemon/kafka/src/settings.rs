//! The settings of the engine on Kafka, made from the `[kafka]` section.

use std::fmt;
use std::time::Duration;

use daemon_results::block::MAX_BLOCK_BYTES;

use crate::client::Connection;
use crate::config::{KafkaConfig, ResultsFormat};
use crate::foreign::ForeignTopic;
use crate::names::Names;

/// The settings of the engine on Kafka.
#[derive(Clone)]
pub struct KafkaSettings {
    pub(crate) connection: Connection,
    pub(crate) names: Names,
    /// The version of the configuration within the group.
    pub(crate) configuration_version: u64,
    /// How often topics are polled for new partitions.
    pub(crate) refresh_interval: Duration,
    /// The replication factor of topics that the daemon creates; 0 for the broker's default.
    pub(crate) replication: u16,
    /// Messages of the results topic by which a sink may lag before input is paused; 0 for any number.
    pub(crate) max_sink_lag: u64,
    pub(crate) results: ResultMessages,
    /// How long an elected replica may send nothing.
    pub(crate) election_timeout: Duration,
    /// Whether replicas are elected at all.
    pub(crate) has_elections: bool,
}

impl KafkaSettings {
    /// The settings of a section, for the cluster with that id; `instance` gives the name of this daemon if the section
    /// has none.
    ///
    /// # Errors
    ///
    /// When the file of a password, of a key or of certificates cannot be read.
    pub fn new(section: &KafkaConfig, cluster_id: &str, instance: impl FnOnce() -> String) -> anyhow::Result<Self> {
        Ok(Self {
            connection: Connection::new(section)?,
            names: Names::new(section, cluster_id, instance),
            configuration_version: section.configuration_version,
            refresh_interval: section.refresh_interval,
            replication: section.replication,
            max_sink_lag: section.max_sink_lag,
            results: ResultMessages { format: section.results_format, bytes: section.results_message_bytes },
            election_timeout: Duration::from_secs(90),
            has_elections: false,
        })
    }
}

impl KafkaSettings {
    /// Takes topics of other programs as the input of these streams.
    #[must_use]
    pub fn with_foreign(self, topics: impl IntoIterator<Item = (String, ForeignTopic)>) -> Self {
        Self { names: self.names.with_foreign(topics), ..self }
    }
}

impl KafkaSettings {
    /// Makes the topic of elected replicas if a stream has series of which one replica counts, and sets how long an elected
    /// one may send nothing, by default 90 s.
    #[must_use]
    pub fn with_elections(self, has_elections: bool, timeout: Duration) -> Self {
        Self { has_elections, election_timeout: timeout, ..self }
    }
}

impl KafkaSettings {
    /// Whether the input of a stream is a topic of another program.
    pub fn is_foreign(&self, stream: &str) -> bool {
        self.names.foreign(stream).is_some()
    }
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The connection contains secrets.
        f.debug_struct("KafkaSettings").field("names", &self.names).finish_non_exhaustive()
    }
}

/// The format and size of messages of the results topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResultMessages {
    pub(crate) format: ResultsFormat,
    /// The size of a message in bytes.
    pub(crate) bytes: usize,
}

impl ResultMessages {
    /// The size of the blocks that a table makes: in the binary format a block is a message.
    pub(crate) fn block_bytes(self) -> usize {
        match self.format {
            ResultsFormat::Binary => self.bytes,
            ResultsFormat::Json => MAX_BLOCK_BYTES,
        }
    }
}
