//! The counters of the workers, and the last published status of their partitions.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use daemon_log::PartitionId;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::{Heartbeats, StreamPlan, TableStatus};

/// By stream and period in seconds.
type ByPeriod = Family<[(&'static str, String); 2], Counter<f64, AtomicU64>>;

type ByStream = Family<[(&'static str, String); 1], Counter<f64, AtomicU64>>;

/// The counters of the workers of a process. They are updated once per batch or commit, never per sample.
#[derive(Debug)]
pub struct WorkerTelemetry {
    /// The heartbeats of the workers.
    pub heartbeats: Heartbeats,
    commits: Counter,
    commit_seconds: Histogram,
    apply_seconds: ByStream,
    close_seconds: ByPeriod,
    results: Counter,
    log_failures: Counter,
    tables: Mutex<BTreeMap<PartitionId, TableStatus>>,
}

impl Default for WorkerTelemetry {
    fn default() -> Self {
        Self {
            heartbeats: Heartbeats::default(),
            commits: Counter::default(),
            // 1 ms to 8 s: a shorter commit is that of a fast disk, a longer one means trouble.
            commit_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            apply_seconds: Family::default(),
            close_seconds: Family::default(),
            results: Counter::default(),
            log_failures: Counter::default(),
            tables: Mutex::default(),
        }
    }
}

impl WorkerTelemetry {
    /// Counts a commit of `results` results that took `took` to be durable.
    pub fn committed(&self, results: u64, took: Duration) {
        self.commits.inc();
        self.commit_seconds.observe(took.as_secs_f64());
        self.results.inc_by(results);
    }

    /// Counts time that a worker spent with the records of a stream.
    pub fn applied(&self, stream: &str, took: Duration) {
        self.apply_seconds.get_or_create(&[("stream", stream.to_owned())]).inc_by(took.as_secs_f64());
    }

    /// Counts time that a worker spent with closing windows of a stream, those of one period (µs).
    pub fn closed(&self, stream: &str, period: u64, took: Duration) {
        let labels =
            [("stream", stream.to_owned()), ("period", Duration::from_micros(period).as_secs_f64().to_string())];
        self.close_seconds.get_or_create(&labels).inc_by(took.as_secs_f64());
    }

    /// Lets the counters of a stream begin at 0: the first increase of one that appears with it is not seen.
    pub fn begin(&self, stream: &StreamPlan) {
        self.applied(&stream.name, Duration::ZERO);
        for period in stream.plan.periods() {
            self.closed(&stream.name, period, Duration::ZERO);
        }
    }

    /// Counts a failure of the log that made a worker restore its partitions.
    pub fn log_failed(&self) {
        self.log_failures.inc();
    }

    /// Publishes the status of a partition's table.
    pub fn set_table(&self, id: PartitionId, status: TableStatus) {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).insert(id, status);
    }

    /// Removes a partition that this process does not own any more.
    pub fn remove_table(&self, id: PartitionId) {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Removes all partitions, before the workers of another configuration publish theirs.
    pub fn remove_tables(&self) {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The last published status of each partition's table.
    pub fn tables(&self) -> BTreeMap<PartitionId, TableStatus> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Registers the counters.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("commits", "Commits of results, state and cursor", self.commits.clone());
        registry.register("results", "Results committed", self.results.clone());
        registry.register(
            "log_failures",
            "Failures of the log after which a worker restored its partitions",
            self.log_failures.clone(),
        );
        let help = "Time until a commit was durable";
        registry.register_with_unit("commit", help, Unit::Seconds, self.commit_seconds.clone());
        let help = "Time that workers spent with records; each of them closes a few objects of a window that is due";
        registry.register_with_unit("apply", help, Unit::Seconds, self.apply_seconds.clone());
        let help =
            "Time that workers spent with closing windows between records, by the period in seconds of the proxy types";
        registry.register_with_unit("close", help, Unit::Seconds, self.close_seconds.clone());
    }
}
