//! The metrics of the daemon.
//!
//! Counters are added to once for a batch or a commit, never for a sample. Values that tables and log already hold
//! (fates, objects, sizes) are read at the scrape.

mod alarms;
mod certificates;
mod changes;
mod elections;
mod exposition;
mod history;
mod http;
#[cfg(target_os = "linux")]
mod process;
mod sinks;
mod streams;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use daemon_base::listener::Closed;
use daemon_base::sink_offsets::SinkOffsets;
use daemon_kafka::GroupTelemetry;
use daemon_log::{Log, PartitionLog};
use daemon_partition::{StatusSource, WorkerTelemetry};
use daemon_sinks::PostTelemetry;
use daemon_sinks::alarms::AlarmTelemetry;
use daemon_sinks::influxdb::InfluxTelemetry;
use daemon_sinks::redis::RedisTelemetry;
use daemon_sources::SourceTelemetry;
use daemon_sources::contiv::ScraperTelemetry;
use daemon_sources::mapping::Elections;
use daemon_sources::opserver::PollerTelemetry;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub(crate) use self::certificates::CertificateTelemetry;
pub(crate) use self::changes::ConfigurationTelemetry;
pub(crate) use self::exposition::Exposition;
pub(crate) use self::http::{HttpTelemetry, Refused, input_of};
use crate::logging;
use daemon_view::UveView;

/// A lag is shown for this long after the brokers have answered for the last time.
const MAX_LAG_AGE: Duration = Duration::from_secs(60);

/// The counters of all parts. Each part has its own struct; this one puts them into one registry.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    pub workers: Arc<WorkerTelemetry>,
    pub group: Arc<GroupTelemetry>,
    pub sinks: Arc<SinkOffsets>,
    pub sources: SourceTelemetry,
    pub opserver: PollerTelemetry,
    pub contiv: ScraperTelemetry,
    pub influxdb: InfluxTelemetry,
    pub redis: RedisTelemetry,
    pub remote_write: PostTelemetry,
    pub otlp: PostTelemetry,
    pub results_webhook: PostTelemetry,
    pub alarms: AlarmTelemetry,
    pub http: HttpTelemetry,
    pub configuration: ConfigurationTelemetry,
    pub certificates: CertificateTelemetry,
}

impl Telemetry {
    /// The registry with everything in it.
    pub(crate) fn registry(
        self: &Arc<Self>,
        log: Arc<dyn Log>,
        local: Option<Arc<dyn PartitionLog>>,
        status: Arc<dyn StatusSource>,
        (view, elections): (Arc<UveView>, Arc<Elections>),
    ) -> Registry {
        let mut all = Registry::default();
        let registry = all.sub_registry_with_prefix("derived_statsd");
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The build of this program", build);
        self.workers.register(registry);
        self.group.register(registry);
        self.sources.register(registry);
        self.opserver.register(registry);
        self.contiv.register(registry);
        self.influxdb.register(registry);
        self.redis.register(registry);
        self.remote_write.register(registry, "remote_write", "samples");
        self.otlp.register(registry, "otlp", "points");
        self.results_webhook.register(registry, "results_webhook", "results");
        self.alarms.register(registry);
        self.http.register(registry);
        self.configuration.register(registry);
        self.certificates.register(registry);
        registry.register_collector(Box::new(Gathered {
            telemetry: Arc::clone(self),
            log,
            local,
            status,
            view,
            elections,
        }));
        #[cfg(target_os = "linux")]
        all.register_collector(Box::new(process::ProcessMetrics));
        all
    }
}

/// What is read at a scrape.
struct Gathered {
    telemetry: Arc<Telemetry>,
    log: Arc<dyn Log>,
    local: Option<Arc<dyn PartitionLog>>,
    status: Arc<dyn StatusSource>,
    view: Arc<UveView>,
    elections: Arc<Elections>,
}

impl fmt::Debug for Gathered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gathered")
    }
}

impl Collector for Gathered {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_streams(&mut encoder)?;
        let dropped = ConstCounter::new(logging::dropped());
        let help = "Messages of this program that could not be written to standard error.";
        dropped.encode(encoder.encode_descriptor("messages_dropped", help, None, dropped.metric_type())?)?;
        self.encode_connections(&mut encoder)?;
        self.encode_elections(&mut encoder)?;
        self.encode_lag(&mut encoder)?;
        self.encode_log(&mut encoder)?;
        self.encode_sinks(&mut encoder)
    }
}

impl Gathered {
    /// The lag of the partitions that this process works on: over all daemons of a group it adds up.
    fn encode_lag(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        // The scrape omits a lag that is not known any more.
        let Ok(partitions) = self.status.partitions() else {
            return Ok(());
        };
        let mut streams: BTreeMap<String, u64> = BTreeMap::new();
        let is_known = |age: Option<Duration>| age.is_none_or(|age| age < MAX_LAG_AGE);
        for partition in partitions.into_iter().filter(|it| it.table.is_some() && is_known(it.age)) {
            *streams.entry(partition.stream).or_default() += partition.lag;
        }
        let help = "Records not applied yet, of the partitions of this process.";
        let mut lag = encoder.encode_descriptor("lag_records", help, None, ConstGauge::new(0u64).metric_type())?;
        for (stream, records) in &streams {
            ConstGauge::new(*records).encode(lag.encode_family(&[("stream", stream.as_str())])?)?;
        }
        Ok(())
    }

    fn encode_connections(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let refusals = &self.telemetry.http.refusals;
        let refused = ConstCounter::new(refusals.count(Closed::Refused));
        let help = "Connections refused with 429, of clients with all that they may have.";
        let kind = refused.metric_type();
        refused.encode(encoder.encode_descriptor("http_connections_refused", help, None, kind)?)?;
        let help = "Connections that the server closed by itself.";
        let mut closed = encoder.encode_descriptor("http_connections_closed", help, None, kind)?;
        for reason in Closed::ALL.into_iter().filter(|reason| *reason != Closed::Refused) {
            let count = ConstCounter::new(refusals.count(reason));
            count.encode(closed.encode_family(&[("reason", reason.name())])?)?;
        }
        Ok(())
    }

    fn encode_log(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        // The log logs its own errors; the scrape omits its sizes.
        let stats = self.local.as_ref().map(|log| log.stats()).transpose().ok().flatten();
        self.encode_states(stats.as_ref(), encoder)?;
        let Some(stats) = stats else { return Ok(()) };
        let uncommitted: u64 = stats.partitions.iter().map(|partition| partition.backlog_bytes).sum();
        history::encode(&self.view, stats.results, encoder)?;
        let gauges = [
            ("log_uncommitted", "Input that is durable and that no commit covers, applied or not.", uncommitted),
            (
                "log_input",
                "Input kept, applied or not.",
                stats.partitions.iter().map(|partition| partition.bytes).sum(),
            ),
            ("log_disk", "Size of the log's files.", stats.disk_bytes),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, Some(&Unit::Bytes), gauge.metric_type())?)?;
        }
        Ok(())
    }

    fn encode_sinks(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Ok(bounds) = self.log.results_bounds() else {
            return Ok(());
        };
        let kind = ConstGauge::new(0u64).metric_type();
        let mut lag = encoder.encode_descriptor(
            "sink_lag_results",
            "Records of the results log that a sink has not delivered.",
            None,
            kind,
        )?;
        let offsets = self.telemetry.sinks.all();
        for (sink, next) in offsets.iter().filter_map(|(sink, offset)| Some((sink, offset.next?))) {
            ConstGauge::new(bounds.next.saturating_sub(next)).encode(lag.encode_family(&[("sink", sink.as_str())])?)?;
        }
        Ok(())
    }
}
