//! What the daemon says about itself, in Prometheus' terms.
//!
//! Counters are added to once for a batch or a commit, never for a sample. What the tables and the log know already
//! (fates, objects, sizes) is not counted a second time: it is read when somebody scrapes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use daemon_log::{Log, PartitionId, PartitionLog};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use proxy_uve::{Fate, Fates};

use crate::contiv::ScraperTelemetry;
use crate::places::Places;
use crate::poller::PollerTelemetry;
use crate::restored::RestoredStates;
use crate::sink::InfluxTelemetry;

/// Where a partition stands, as its worker last said.
#[derive(Clone, Debug, Default)]
pub(crate) struct PartitionStatus {
    pub stream: String,
    pub cursor: u64,
    /// The same by input partition, where the partition has more than one.
    pub cursors: BTreeMap<u16, u64>,
    /// A window is closing; its results come with the next records, or soon if none come.
    pub closing: bool,
    pub objects: usize,
    /// Microseconds since the epoch.
    pub watermark: u64,
    pub fates: Fates,
    /// What its last restore did; `None` for a partition that had no saved state, or none that could be used.
    pub restored: Option<RestoredStates>,
}

/// Where a sink stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SinkPlace {
    /// The next result it will deliver; none before it has started.
    pub next: Option<u64>,
    /// It had delivered all there was, at some time since this was asked before.
    pub was_at_end: bool,
}

/// Counts what a restore has done.
#[derive(Clone, Debug)]
pub(crate) struct RestoreProgress(Arc<Restore>);

#[derive(Debug, Default)]
struct Restore {
    partitions: u64,
    done: AtomicU64,
    records: AtomicU64,
    expected: AtomicU64,
}

impl Restore {
    fn numbers(&self) -> [u64; 4] {
        let [done, records, expected] =
            [&self.done, &self.records, &self.expected].map(|it| it.load(Ordering::Relaxed));
        [done, self.partitions, records, expected]
    }
}

impl RestoreProgress {
    /// State records to read.
    pub(crate) fn expect(&self, records: u64) {
        self.0.expected.store(records, Ordering::Relaxed);
    }

    /// State records read.
    pub(crate) fn read(&self, records: u64) {
        self.0.records.store(records, Ordering::Relaxed);
    }

    /// A partition is restored.
    pub(crate) fn one_done(&self) {
        self.0.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// The counters and the last known state of the partitions.
#[derive(Debug)]
pub(crate) struct Telemetry {
    /// Those of the poller of the analytics API.
    pub poller: PollerTelemetry,
    /// Those of the scraper of Contiv's nodes.
    pub contiv: ScraperTelemetry,
    /// Those of the InfluxDB sink.
    pub influxdb: InfluxTelemetry,
    commits: Counter,
    commit_seconds: Histogram,
    results: Counter,
    log_failures: Counter,
    accepted: Counter,
    rejected: Counter,
    requests: Family<Vec<(&'static str, String)>, Counter>,
    rebalances: Counter,
    dead_letters: Counter,
    input_paused: Gauge,
    restore_seconds: Histogram,
    restores: Mutex<Vec<Weak<Restore>>>,
    partitions: Mutex<BTreeMap<PartitionId, PartitionStatus>>,
    sinks: Mutex<BTreeMap<String, SinkPlace>>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            poller: PollerTelemetry::default(),
            contiv: ScraperTelemetry::default(),
            influxdb: InfluxTelemetry::default(),
            commits: Counter::default(),
            // 1 ms to 8 s: below is a fast disk, above is a fault.
            commit_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            results: Counter::default(),
            log_failures: Counter::default(),
            accepted: Counter::default(),
            rejected: Counter::default(),
            requests: Family::default(),
            rebalances: Counter::default(),
            dead_letters: Counter::default(),
            input_paused: Gauge::default(),
            // 10 ms to 80 s: below is next to nothing to restore.
            restore_seconds: Histogram::new(exponential_buckets(0.01, 2.0, 14)),
            restores: Mutex::default(),
            partitions: Mutex::default(),
            sinks: Mutex::default(),
        }
    }
}

impl Telemetry {
    pub(crate) fn committed(&self, results: u64, took: Duration) {
        self.commits.inc();
        self.commit_seconds.observe(took.as_secs_f64());
        self.results.inc_by(results);
    }

    pub(crate) fn log_failed(&self) {
        self.log_failures.inc();
    }

    pub(crate) fn ingested(&self, accepted: u64, rejected: u64) {
        self.accepted.inc_by(accepted);
        self.rejected.inc_by(rejected);
    }

    pub(crate) fn answered(&self, path: &str, status: u16) {
        let labels = vec![("path", path.to_owned()), ("status", status.to_string())];
        self.requests.get_or_create(&labels).inc();
    }

    /// The group gave this process partitions, or took some.
    pub(crate) fn rebalanced(&self) {
        self.rebalances.inc();
    }

    /// Records went to the dead letters.
    pub(crate) fn set_aside(&self, records: u64) {
        self.dead_letters.inc_by(records);
    }

    /// So many partitions are being restored; they count as such until the last handle is dropped.
    pub(crate) fn restoring(&self, partitions: usize) -> RestoreProgress {
        let restore = Arc::new(Restore { partitions: partitions as u64, ..Restore::default() });
        let mut restores = self.restores.lock().unwrap_or_else(PoisonError::into_inner);
        restores.retain(|restore| restore.strong_count() > 0);
        restores.push(Arc::downgrade(&restore));
        RestoreProgress(restore)
    }

    /// A restore came to its end.
    pub(crate) fn restored(&self, took: Duration) {
        self.restore_seconds.observe(took.as_secs_f64());
    }

    /// How far the restores under way are, added up: partitions done and in all, state records read and in all. `None`
    /// while there are none.
    pub(crate) fn restores(&self) -> Option<[u64; 4]> {
        let restores = self.restores.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = restores.iter().filter_map(Weak::upgrade).map(|restore| restore.numbers());
        sum.reduce(|left, right| std::array::from_fn(|index| left[index] + right[index]))
    }

    pub(crate) fn remove_partition(&self, id: PartitionId) {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    pub(crate) fn set_partition(&self, id: PartitionId, status: PartitionStatus) {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner).insert(id, status);
    }

    /// Whether all input waits for a sink.
    pub(crate) fn set_input_paused(&self, is: bool) {
        self.input_paused.set(i64::from(is));
    }

    /// There is a sink of this name; it has not started yet.
    pub(crate) fn expect_sink(&self, name: &str) {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default();
    }

    /// The next result that a sink will deliver, and whether there is none yet.
    pub(crate) fn set_sink(&self, name: &str, next: u64, at_end: bool) {
        let mut sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        let place = sinks.entry(name.to_owned()).or_default();
        place.next = Some(next);
        place.was_at_end |= at_end;
    }

    /// Where each sink stands. Whoever asks is the only one to do so: see [`SinkPlace::was_at_end`].
    pub(crate) fn take_sinks(&self) -> BTreeMap<String, SinkPlace> {
        let mut sinks = self.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        let places = sinks.clone();
        sinks.values_mut().for_each(|place| place.was_at_end = false);
        places
    }

    pub(crate) fn partitions(&self) -> BTreeMap<PartitionId, PartitionStatus> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The registry with everything in it.
    pub(crate) fn registry(
        self: &Arc<Self>,
        log: Arc<dyn Log>,
        local: Option<Arc<dyn PartitionLog>>,
        places: Arc<dyn Places>,
    ) -> Registry {
        let mut registry = Registry::with_prefix("derived_statsd");
        let counters = [
            ("commits", "Commits of results, state and cursor", &self.commits),
            ("results", "Results committed", &self.results),
            ("log_failures", "Times the log failed a worker", &self.log_failures),
            ("samples_accepted", "Samples taken by HTTP and durable", &self.accepted),
            ("samples_rejected", "Lines refused by HTTP", &self.rejected),
            ("rebalances", "Changes of this process's share of the group's partitions", &self.rebalances),
            ("dead_letters", "Records that are no samples and were set aside", &self.dead_letters),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        self.poller.register(&mut registry);
        self.contiv.register(&mut registry);
        self.influxdb.register(&mut registry);
        let help = "Whether all input of this process waits for a sink that lags; on Kafka only";
        registry.register("input_paused", help, self.input_paused.clone());
        registry.register("http_requests", "Requests answered", self.requests.clone());
        let help = "Time that a commit took to be durable";
        registry.register_with_unit("commit", help, Unit::Seconds, self.commit_seconds.clone());
        let help = "Time from a partition's assignment to its state being restored";
        registry.register_with_unit("restore", help, Unit::Seconds, self.restore_seconds.clone());
        registry.register_collector(Box::new(Gathered { telemetry: Arc::clone(self), log, local, places }));
        registry
    }
}

/// What is read at a scrape.
struct Gathered {
    telemetry: Arc<Telemetry>,
    log: Arc<dyn Log>,
    local: Option<Arc<dyn PartitionLog>>,
    places: Arc<dyn Places>,
}

impl fmt::Debug for Gathered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gathered")
    }
}

/// The partitions of one stream, added up.
#[derive(Default)]
struct StreamTotals {
    fates: BTreeMap<&'static str, u64>,
    objects: u64,
    oldest_watermark: Option<u64>,
}

impl Gathered {
    fn by_stream(&self) -> BTreeMap<String, StreamTotals> {
        let mut streams: BTreeMap<String, StreamTotals> = BTreeMap::new();
        for status in self.telemetry.partitions().into_values() {
            let totals = streams.entry(status.stream).or_default();
            for &fate in Fate::ALL {
                *totals.fates.entry(fate.name()).or_default() += status.fates.count(fate);
            }
            totals.objects += status.objects as u64;
            if status.watermark > 0 {
                let oldest = totals.oldest_watermark.unwrap_or(u64::MAX);
                totals.oldest_watermark = Some(oldest.min(status.watermark));
            }
        }
        streams
    }
}

impl Collector for Gathered {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let streams = self.by_stream();
        let counter = ConstCounter::new(0u64);
        let kind = counter.metric_type();
        let mut records = encoder.encode_descriptor("records", "Records by what became of them", None, kind)?;
        for (stream, totals) in &streams {
            for (fate, count) in &totals.fates {
                let labels = [("stream", stream.as_str()), ("fate", fate)];
                ConstCounter::new(*count).encode(records.encode_family(&labels)?)?;
            }
        }
        let kind = ConstGauge::new(0u64).metric_type();
        let mut objects = encoder.encode_descriptor("objects", "Objects with state", None, kind)?;
        for (stream, totals) in &streams {
            ConstGauge::new(totals.objects).encode(objects.encode_family(&[("stream", stream.as_str())])?)?;
        }
        let help = "Event time up to which every partition of the stream has closed its windows";
        let mut watermark = encoder.encode_descriptor("watermark", help, Some(&Unit::Seconds), kind)?;
        for (stream, totals) in &streams {
            let seconds = totals.oldest_watermark.unwrap_or(0) as f64 / 1e6;
            ConstGauge::new(seconds).encode(watermark.encode_family(&[("stream", stream.as_str())])?)?;
        }
        self.encode_lag(&mut encoder)?;
        self.encode_log(&mut encoder)?;
        self.encode_sinks(&mut encoder)
    }
}

impl Gathered {
    /// The lag of the partitions that this process works on: over all daemons of a group it adds up.
    fn encode_lag(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        // A cluster that does not answer says so in the log; a scrape just lacks the lag.
        let Ok(places) = self.places.places() else {
            return Ok(());
        };
        let mut streams: BTreeMap<String, u64> = BTreeMap::new();
        for place in places.into_iter().filter(|place| place.own.is_some()) {
            *streams.entry(place.stream).or_default() += place.lag;
        }
        let help = "Records that are there and not applied, of the partitions of this process";
        let mut lag = encoder.encode_descriptor("lag_records", help, None, ConstGauge::new(0u64).metric_type())?;
        for (stream, records) in &streams {
            ConstGauge::new(*records).encode(lag.encode_family(&[("stream", stream.as_str())])?)?;
        }
        Ok(())
    }

    fn encode_log(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        // A log that cannot be read says so in its own errors; a scrape just lacks its sizes.
        let Some(Ok(stats)) = self.local.as_ref().map(|log| log.stats()) else {
            return Ok(());
        };
        let backlog: u64 = stats.partitions.iter().map(|partition| partition.backlog_bytes).sum();
        let gauges = [
            ("log_backlog", "Input that is durable and not applied yet", backlog),
            ("log_input", "Input kept, applied or not", stats.partitions.iter().map(|partition| partition.bytes).sum()),
            ("log_disk", "What the log's files take", stats.disk_bytes),
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
            "Records of the results log that a sink has not delivered",
            None,
            kind,
        )?;
        let sinks = self.telemetry.sinks.lock().unwrap_or_else(PoisonError::into_inner);
        for (sink, next) in sinks.iter().filter_map(|(sink, place)| Some((sink, place.next?))) {
            ConstGauge::new(bounds.next.saturating_sub(next)).encode(lag.encode_family(&[("sink", sink.as_str())])?)?;
        }
        Ok(())
    }
}
