//! The ranges of the settings that are whole numbers or durations.

use std::time::Duration;

use crate::config::Config;

const DAY: Duration = Duration::from_secs(24 * 3600);
const THIRTY_DAYS: Duration = Duration::from_secs(30 * 24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);
const HALF_HOUR: Duration = Duration::from_secs(1800);
const QUARTER: Duration = Duration::from_secs(900);
const TEN_MINUTES: Duration = Duration::from_secs(600);
const SECOND: Duration = Duration::from_secs(1);
const TENTH: Duration = Duration::from_millis(100);
const MILLISECOND: Duration = Duration::from_millis(1);

/// The most bytes of what is held in memory as a whole, such as a body: 1 GiB.
const MEMORY: u64 = 1 << 30;

/// The most bytes on disk: 1 PiB, more than any machine has.
const DISK: u64 = 1 << 50;

/// The oldest age: a hundred years.
const AGE_SECONDS: u64 = 100 * 366 * 24 * 3600;

/// The most objects of a partition: more than fit into the memory of a machine.
const OBJECTS: u64 = 1_000_000_000;

/// The most sources of an object: more than a virtual network has vrouters.
const SOURCES: u64 = 1_000_000;

/// The most partitions of a stream: beyond it the state per partition costs more than the parallelism gains.
const PARTITIONS: u64 = 1024;

/// The most threads: more than the cores of any machine.
const THREADS: u64 = 1024;

/// The most clients that read at once: each takes some 100 KiB.
const READERS: u64 = 1024;

/// The most requests with samples that are worked on at once: each has a thread.
const MAX_IN_FLIGHT: u64 = 1024;

/// The most connections: the ports of one client.
const CONNECTIONS: u64 = 65_536;

/// The default limit of brokers for the size of a message (`message.max.bytes`).
const MESSAGE: u64 = 1 << 20;

/// The most lines of a request: more than any server accepts.
const LINES: u64 = 1_000_000;

/// A setting that is a whole number.
pub(super) struct Number {
    pub(super) key: &'static str,
    pub(super) least: u64,
    pub(super) most: u64,
    /// The value in a configuration; `None` if it is unset.
    pub(super) value: fn(&Config) -> Option<u64>,
}

/// A setting that is a duration.
pub(super) struct Span {
    pub(super) key: &'static str,
    pub(super) least: Duration,
    pub(super) most: Duration,
    pub(super) value: fn(&Config) -> Duration,
}

const fn number(key: &'static str, least: u64, most: u64, value: fn(&Config) -> Option<u64>) -> Number {
    Number { key, least, most, value }
}

const fn span(key: &'static str, least: Duration, most: Duration, value: fn(&Config) -> Duration) -> Span {
    Span { key, least, most, value }
}

fn some(value: impl TryInto<u64>) -> Option<u64> {
    Some(value.try_into().unwrap_or(u64::MAX))
}

/// All settings that are whole numbers. Versions, such as `sinks.influxdb.version`, are names.
pub(super) const NUMBERS: [Number; 43] = [
    number("aggregation.max_objects_per_partition", 1, OBJECTS, |c| some(c.aggregation.max_objects_per_partition)),
    number("aggregation.max_sources_per_object", 1, SOURCES, |c| some(c.aggregation.max_sources_per_object)),
    number("aggregation.period", 1, 86_400, |c| c.aggregation.period.map(u64::from)),
    number("contiv.concurrency", 1, THREADS, |c| some(c.contiv.concurrency)),
    number("contiv.max_body_bytes", 1, MEMORY, |c| some(c.contiv.max_body_bytes)),
    number("contiv.netplugin_port", 1, 65_535, |c| some(c.contiv.netplugin_port)),
    number("http.max_body_bytes", 1, MEMORY, |c| some(c.http.max_body_bytes)),
    number("http.max_connections", 8, CONNECTIONS, |c| some(c.http.max_connections)),
    number("http.max_connections_per_client", 1, CONNECTIONS, |c| some(c.http.max_connections_per_client)),
    number("http.max_in_flight", 1, MAX_IN_FLIGHT, |c| some(c.http.max_in_flight)),
    number("http.max_readers", 1, READERS, |c| some(c.http.max_readers)),
    number("http.max_requests_per_second", 0, 1_000_000, |c| some(c.http.max_requests_per_second)),
    number("http.max_streams", 1, READERS, |c| some(c.http.max_streams)),
    number("kafka.configuration_version", 0, 1_000_000_000_000, |c| some(c.kafka.configuration_version)),
    number("kafka.max_sink_lag", 0, 1_000_000_000_000, |c| some(c.kafka.max_sink_lag)),
    number("kafka.partitions", 1, PARTITIONS, |c| some(c.kafka.partitions)),
    number("kafka.replication", 0, 32_767, |c| some(c.kafka.replication)),
    number("kafka.results_message_bytes", 0, MESSAGE, |c| some(c.kafka.results_message_bytes)),
    number("log.partitions", 1, PARTITIONS, |c| some(c.log.partitions)),
    number("log.retention.full_retry_after_seconds", 0, 86_400, |c| some(c.log.retention.full_retry_after_seconds)),
    number("log.retention.idempotency_age_seconds", 0, AGE_SECONDS, |c| some(c.log.retention.idempotency_age_seconds)),
    number("log.retention.max_backlog_bytes", 1, DISK, |c| some(c.log.retention.max_backlog_bytes)),
    number("log.retention.max_idempotency_keys", 1, 10_000_000, |c| some(c.log.retention.max_idempotency_keys)),
    number("log.retention.max_input_age_seconds", 0, AGE_SECONDS, |c| some(c.log.retention.max_input_age_seconds)),
    number("log.retention.max_input_bytes", 0, DISK, |c| some(c.log.retention.max_input_bytes)),
    number("log.retention.max_results_age_seconds", 0, AGE_SECONDS, |c| some(c.log.retention.max_results_age_seconds)),
    number("log.retention.max_results_bytes", 0, DISK, |c| some(c.log.retention.max_results_bytes)),
    number("log.retention.results_hard_limit_bytes", 0, DISK, |c| some(c.log.retention.results_hard_limit_bytes)),
    number("opserver.max_body_bytes", 1, MEMORY, |c| some(c.opserver.max_body_bytes)),
    number("sinks.alertmanager.alarms_per_group", 1, 1_000, |c| some(c.sinks.alertmanager.alarms_per_group)),
    number("sinks.alertmanager.alerts_per_minute", 1, 10_000, |c| some(c.sinks.alertmanager.alerts_per_minute)),
    number("sinks.influxdb.batch_bytes", 1024, MEMORY, |c| some(c.sinks.influxdb.batch_bytes)),
    number("sinks.influxdb.batch_lines", 1, LINES, |c| some(c.sinks.influxdb.batch_lines)),
    number("sinks.redis.database", 0, 1023, |c| some(c.sinks.redis.database)),
    number("sinks.redis.partitions", 1, PARTITIONS, |c| some(c.sinks.redis.partitions)),
    number("sinks.otlp.batch_bytes", 1024, MEMORY, |c| some(c.sinks.otlp.batch_bytes)),
    number("sinks.otlp.batch_points", 1, LINES, |c| some(c.sinks.otlp.batch_points)),
    number("sinks.remote_write.batch_bytes", 1024, MEMORY, |c| some(c.sinks.remote_write.batch_bytes)),
    number("sinks.remote_write.batch_samples", 1, LINES, |c| some(c.sinks.remote_write.batch_samples)),
    number("sinks.results_webhook.batch_bytes", 1024, MEMORY, |c| some(c.sinks.results_webhook.batch_bytes)),
    number("sinks.results_webhook.batch_results", 1, LINES, |c| some(c.sinks.results_webhook.batch_results)),
    number("sinks.webhook.alarms_per_group", 1, 1_000, |c| some(c.sinks.webhook.alarms_per_group)),
    number("workers.threads", 0, THREADS, |c| some(c.workers.threads)),
];

/// The largest value of a setting that is a whole number; `None` if it is another one.
pub(crate) fn most(key: &str) -> Option<u64> {
    NUMBERS.iter().find(|number| number.key == key).map(|number| number.most)
}

/// All settings that are durations, except for `contiv.jitter`, whose range depends on `contiv.interval`.
pub(super) const DURATIONS: [Span; 37] = [
    span("aggregation.allowed_lateness", Duration::ZERO, DAY, |c| c.aggregation.allowed_lateness),
    span("aggregation.allowed_skew", Duration::ZERO, DAY, |c| c.aggregation.allowed_skew),
    span("aggregation.idle_timeout", MILLISECOND, DAY, |c| c.aggregation.idle_timeout),
    span("aggregation.replica_timeout", SECOND, DAY, |c| c.aggregation.replica_timeout),
    span("aggregation.source_timeout", SECOND, THIRTY_DAYS, |c| c.aggregation.source_timeout),
    span("contiv.discovery_interval", SECOND, DAY, |c| c.contiv.discovery_interval),
    span("contiv.interval", SECOND, DAY, |c| c.contiv.interval),
    span("contiv.netmaster_cache", Duration::ZERO, HOUR, |c| c.contiv.netmaster_cache),
    span("contiv.stale_after", Duration::ZERO, THIRTY_DAYS, |c| c.contiv.stale_after),
    span("contiv.timeout", TENTH, HOUR, |c| c.contiv.timeout),
    span("http.body_timeout", SECOND, HOUR, |c| c.http.body_timeout),
    span("http.header_timeout", TENTH, TEN_MINUTES, |c| c.http.header_timeout),
    span("http.idle_timeout", SECOND, DAY, |c| c.http.idle_timeout),
    span("kafka.commit_interval", TENTH, HOUR, |c| c.kafka.commit_interval),
    span("kafka.refresh_interval", TENTH, HOUR, |c| c.kafka.refresh_interval),
    span("kafka.session_timeout", SECOND, HALF_HOUR, |c| c.kafka.session_timeout),
    span("kafka.transaction_timeout", SECOND, QUARTER, |c| c.kafka.transaction_timeout),
    span("log.commit_interval", MILLISECOND, HOUR, |c| c.log.commit_interval),
    span("opserver.interval", SECOND, DAY, |c| c.opserver.interval),
    span("opserver.timeout", TENTH, HOUR, |c| c.opserver.timeout),
    span("shutdown.grace", Duration::ZERO, HOUR, |c| c.shutdown.grace),
    span("sinks.alertmanager.refresh_interval", SECOND, HOUR, |c| c.sinks.alertmanager.refresh_interval),
    span("sinks.alertmanager.timeout", TENTH, HOUR, |c| c.sinks.alertmanager.timeout),
    span("sinks.influxdb.flush_interval", Duration::ZERO, HOUR, |c| c.sinks.influxdb.flush_interval),
    span("sinks.influxdb.timeout", TENTH, HOUR, |c| c.sinks.influxdb.timeout),
    span("sinks.redis.timeout", TENTH, HOUR, |c| c.sinks.redis.timeout),
    span("sinks.otlp.flush_interval", Duration::ZERO, HOUR, |c| c.sinks.otlp.flush_interval),
    span("sinks.otlp.refusal_timeout", Duration::ZERO, DAY, |c| c.sinks.otlp.refusal_timeout),
    span("sinks.otlp.timeout", TENTH, HOUR, |c| c.sinks.otlp.timeout),
    span("sinks.remote_write.flush_interval", Duration::ZERO, HOUR, |c| c.sinks.remote_write.flush_interval),
    span("sinks.remote_write.refusal_timeout", Duration::ZERO, DAY, |c| c.sinks.remote_write.refusal_timeout),
    span("sinks.remote_write.timeout", TENTH, HOUR, |c| c.sinks.remote_write.timeout),
    span("sinks.results_webhook.flush_interval", Duration::ZERO, HOUR, |c| c.sinks.results_webhook.flush_interval),
    span("sinks.results_webhook.refusal_timeout", Duration::ZERO, DAY, |c| c.sinks.results_webhook.refusal_timeout),
    span("sinks.results_webhook.timeout", TENTH, HOUR, |c| c.sinks.results_webhook.timeout),
    span("sinks.webhook.interval", Duration::ZERO, HOUR, |c| c.sinks.webhook.interval),
    span("sinks.webhook.timeout", TENTH, HOUR, |c| c.sinks.webhook.timeout),
];

/// What a whole number must be, for a message about another value; `None` for other keys.
pub(super) fn expected(key: &str) -> Option<String> {
    let Number { least, most, .. } = NUMBERS.iter().find(|number| number.key == key)?;
    Some(format!("a whole number, {least} to {most}"))
}
