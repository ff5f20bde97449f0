//! The settings of the engine on Kafka.

use std::fmt;
use std::time::Duration;

use daemon_results::block::MAX_BLOCK_BYTES;

use crate::client::Connection;
use crate::config::{KafkaConfig, ResultsFormat};
use crate::names::Names;

/// Where the cluster is, and what things are called there.
#[derive(Clone)]
pub struct KafkaSettings {
    pub(crate) connection: Connection,
    pub(crate) names: Names,
    /// How often topics are polled for new partitions.
    pub(crate) refresh_interval: Duration,
    /// Copies of the topics that the daemon makes; 0 for the broker's default.
    pub(crate) replication: u16,
    /// Messages of the results topic that a sink may lag behind before input waits for it; 0 for any number.
    pub(crate) max_sink_lag: u64,
    pub(crate) results: ResultMessages,
}

impl KafkaSettings {
    /// The settings of a section, for the cluster of that id; `instance` names this daemon if the section does not.
    ///
    /// # Errors
    ///
    /// When the file of a password, of a key or of certificates cannot be read.
    pub fn new(section: &KafkaConfig, cluster_id: &str, instance: impl FnOnce() -> String) -> anyhow::Result<Self> {
        Ok(Self {
            connection: Connection::new(section)?,
            names: Names::new(section, cluster_id, instance),
            refresh_interval: section.refresh_interval,
            replication: section.replication,
            max_sink_lag: section.max_sink_lag,
            results: ResultMessages { format: section.results_format, bytes: section.results_message_bytes },
        })
    }
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The connection holds secrets.
        f.debug_struct("KafkaSettings").field("names", &self.names).finish_non_exhaustive()
    }
}

/// The messages of the results topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResultMessages {
    pub(crate) format: ResultsFormat,
    /// How many bytes of results go into one.
    pub(crate) bytes: usize,
}

impl ResultMessages {
    /// The size of the blocks that a table makes: with the binary format a block is a message.
    pub(crate) fn block_bytes(self) -> usize {
        match self.format {
            ResultsFormat::Binary => self.bytes,
            ResultsFormat::Json => MAX_BLOCK_BYTES,
        }
    }
}
