//! The problems of the sinks, by the names that they have in the status.

use daemon_sinks::influxdb::InfluxSink;
use daemon_sinks::redis::RedisSink;
use daemon_sinks::{otlp, remote_write, results_webhook};

use crate::telemetry::Telemetry;

impl Telemetry {
    /// Why a sink does not deliver everything at present, if so.
    pub(crate) fn problem_of(&self, sink: &str) -> Option<String> {
        let own = match sink {
            RedisSink::NAME => self.redis.problem(),
            InfluxSink::NAME => self.influxdb.problem(),
            remote_write::NAME => self.remote_write.problem(),
            otlp::NAME => self.otlp.problem(),
            results_webhook::NAME => self.results_webhook.problem(),
            other => self.alarms.problem(other),
        };
        own.or_else(|| self.sinks.problem(sink))
    }
}
