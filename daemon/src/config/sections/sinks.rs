//! The section `[sinks]`.

use daemon_sinks::alarms::{AlertmanagerConfig, WebhookConfig};
use daemon_sinks::file::FileConfig;
use daemon_sinks::influxdb::InfluxConfig;
use daemon_sinks::otlp::OtlpConfig;
use daemon_sinks::redis::RedisConfig;
use daemon_sinks::remote_write::RemoteWriteConfig;
use daemon_sinks::results_webhook::ResultsWebhookConfig;
use serde::Deserialize;

/// `[sinks]` configures the readers of the results log, each of which has its own cursor.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sinks {
    /// The sink that sends alarms to an Alertmanager.
    pub alertmanager: AlertmanagerConfig,
    /// The sink that appends JSON lines to a file.
    pub file: FileConfig,
    /// The sink that writes points to InfluxDB.
    pub influxdb: InfluxConfig,
    /// The sink that sends gauges by OTLP.
    pub otlp: OtlpConfig,
    /// The sink that writes UVEs to the Redis of a Contrail collector.
    pub redis: RedisConfig,
    /// The sink that writes series to Prometheus.
    pub remote_write: RemoteWriteConfig,
    /// The sink that posts results.
    pub results_webhook: ResultsWebhookConfig,
    /// The sink that posts alarms.
    pub webhook: WebhookConfig,
}
