//! The section `[log]`.

use std::path::PathBuf;
use std::time::Duration;

use daemon_base::setting::duration;
use daemon_log::LogConfig;
use serde::Deserialize;

/// `[log]` selects the log that stores samples, results and states.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogSection {
    /// The kind of log. `"embedded"`: files in `data_dir`, used by this daemon alone. `"kafka"`: topics of the cluster
    /// of `[kafka]`, used by all daemons of a group; the other keys of this section then have no effect. Default
    /// `"embedded"`.
    pub kind: LogKind,
    /// The directory of the embedded log. Default `"/var/lib/derived-statsd"`. One process uses it at a time; the
    /// daemon creates it if it does not exist.
    pub data_dir: PathBuf,
    /// The number of partitions of each stream; the key of an object determines its partition. Default 8, from 1 to
    /// 1024. More partitions allow more workers. Contrail's own topics have 30. It must not change once the log holds
    /// records.
    pub partitions: u16,
    /// The shortest time between two commits of a worker, which write results, states and cursor. Default `"1s"`, from
    /// `"1ms"` to `"1h"`. A longer interval writes less and re-reads more after a crash; neither loses data.
    #[serde(deserialize_with = "duration::deserialize")]
    pub commit_interval: Duration,
    /// The retention limits.
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

/// The kind of log that stores samples, results and states.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogKind {
    /// Files in a directory of this machine.
    #[default]
    Embedded,
    /// Topics of a Kafka cluster.
    Kafka,
}
