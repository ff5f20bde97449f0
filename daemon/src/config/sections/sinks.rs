//! `[sinks]`.

use daemon_sinks::file::FileConfig;
use daemon_sinks::influxdb::InfluxConfig;
use serde::Deserialize;

/// `[sinks.…]`: readers of the results log, each with a cursor of its own.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sinks {
    /// A file of JSON lines.
    pub file: FileConfig,
    /// An InfluxDB.
    pub influxdb: InfluxConfig,
}
