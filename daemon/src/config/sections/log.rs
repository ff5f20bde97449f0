//! `[log]`.

use std::path::PathBuf;
use std::time::Duration;

use daemon_base::setting::duration;
use daemon_log::LogConfig;
use serde::Deserialize;

/// `[log]`: where samples, results and states are kept.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogSection {
    /// `"embedded"`: in `data_dir`, by this daemon alone. `"kafka"`: in topics of the cluster of `[kafka]`, by all
    /// daemons of a group; all other keys of this section are then without effect. Default `"embedded"`.
    pub kind: LogKind,
    /// The directory of the log. Default `"/var/lib/derived-statsd"`. One process at a time; it is made if it does not
    /// exist.
    pub data_dir: PathBuf,
    /// Partitions of each stream; an object always meets the same one. Default 8, from 1 to 1024. More let more workers
    /// share the work. Contrail's own topics have 30. It must not change once the log holds records.
    pub partitions: u16,
    /// How often at most a worker writes results, states and cursor while samples flow. Default `"1s"`, from `"1ms"`
    /// to `"1h"`. Longer costs less writing and more re-reading after a kill; nothing is lost either way.
    #[serde(deserialize_with = "duration::deserialize")]
    pub commit_interval: Duration,
    /// What is kept for how long.
    pub retention: LogConfig,
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            kind: LogKind::default(),
            data_dir: PathBuf::from("/var/lib/derived-statsd"),
            partitions: 8,
            commit_interval: Duration::from_secs(1),
            retention: LogConfig::default(),
        }
    }
}

/// Where everything durable is kept.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogKind {
    /// In a directory of this machine.
    #[default]
    Embedded,
    /// In topics of a Kafka cluster.
    Kafka,
}
