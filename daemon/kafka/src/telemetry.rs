//! The counters of a member of the group: rebalances, dead letters, restores.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// The counters of a group member, in addition to those of every worker.
#[derive(Debug)]
pub struct GroupTelemetry {
    rebalances: Counter,
    dead_letters: Counter,
    misplaced: Counter,
    unmatched: Counter,
    input_paused: Gauge,
    missing_inputs: Gauge,
    waiting: Family<[(&'static str, &'static str); 1], Gauge>,
    restore_seconds: Histogram,
    restores: Mutex<Vec<Weak<Restore>>>,
}

/// The progress of one restore, as the restore thread reports it.
#[derive(Clone, Debug)]
pub(crate) struct RestoreProgress(Arc<Restore>);

#[derive(Debug, Default)]
struct Restore {
    partitions: u64,
    done: AtomicU64,
    records: AtomicU64,
    expected: AtomicU64,
}

/// The progress of all restores in progress, added up.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RestoreTotals {
    /// Partitions that are restored already.
    pub done: u64,
    /// Partitions in all.
    pub partitions: u64,
    /// State records read so far.
    pub records: u64,
    /// State records to read in all.
    pub expected: u64,
}

impl Default for GroupTelemetry {
    fn default() -> Self {
        Self {
            rebalances: Counter::default(),
            dead_letters: Counter::default(),
            misplaced: Counter::default(),
            unmatched: Counter::default(),
            input_paused: Gauge::default(),
            missing_inputs: Gauge::default(),
            waiting: Family::default(),
            // 10 ms to 80 s: a shorter restore has almost no state.
            restore_seconds: Histogram::new(exponential_buckets(0.01, 2.0, 14)),
            restores: Mutex::default(),
        }
    }
}

impl GroupTelemetry {
    /// Counts a change of this process's assignment.
    pub(crate) fn rebalanced(&self) {
        self.rebalances.inc();
    }

    /// Counts records that were written to the dead-letter topic.
    pub(crate) fn dead_lettered(&self, records: u64) {
        self.dead_letters.inc_by(records);
    }

    /// Counts records that are in a partition of another shard than that of their keys.
    pub(crate) fn misplaced(&self, records: u64) {
        self.misplaced.inc_by(records);
    }

    /// Counts messages of topics of other programs that no stream takes.
    pub(crate) fn unmatched(&self, messages: u64) {
        self.unmatched.inc_by(messages);
    }

    /// Sets whether all input is paused because a sink lags.
    pub(crate) fn set_input_paused(&self, is_paused: bool) {
        self.input_paused.set(i64::from(is_paused));
    }

    /// The gauge of a reason for which this daemon does no work; 0 until it is set.
    pub(crate) fn waiting(&self, reason: &'static str) -> Gauge {
        self.waiting.get_or_create(&[("reason", reason)]).clone()
    }

    /// The gauge of input topics that are missing.
    pub(crate) fn missing_inputs(&self) -> Gauge {
        self.missing_inputs.clone()
    }

    /// Starts a restore of `partitions` partitions; it is in progress until the returned handle is dropped.
    pub(crate) fn restoring(&self, partitions: usize) -> RestoreProgress {
        let restore = Arc::new(Restore { partitions: partitions as u64, ..Restore::default() });
        let mut restores = self.restores.lock().unwrap_or_else(PoisonError::into_inner);
        restores.retain(|restore| restore.strong_count() > 0);
        restores.push(Arc::downgrade(&restore));
        RestoreProgress(restore)
    }

    /// Counts a restore that is complete.
    pub(crate) fn restored(&self, took: Duration) {
        self.restore_seconds.observe(took.as_secs_f64());
    }

    /// The progress of all restores in progress, added up; `None` while there are none.
    pub fn restores(&self) -> Option<RestoreTotals> {
        let restores = self.restores.lock().unwrap_or_else(PoisonError::into_inner);
        let totals = restores.iter().filter_map(Weak::upgrade).map(|restore| restore.totals());
        totals.reduce(|left, right| RestoreTotals {
            done: left.done + right.done,
            partitions: left.partitions + right.partitions,
            records: left.records + right.records,
            expected: left.expected + right.expected,
        })
    }

    /// Registers the counters.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Rebalances that changed this process's assignment";
        registry.register("rebalances", help, self.rebalances.clone());
        let help = "Records that are not samples and were written to the dead-letter topic";
        registry.register("dead_letters", help, self.dead_letters.clone());
        let help = "Records in a partition of another shard than that of their keys: their objects have results twice";
        registry.register("misplaced_records", help, self.misplaced.clone());
        let help = "Messages of topics of other programs that no stream takes, by its `where`";
        registry.register("unmatched_messages", help, self.unmatched.clone());
        let help = "Whether all input of this process is paused because a sink lags; on Kafka only";
        registry.register("input_paused", help, self.input_paused.clone());
        let help = "Input topics that existed before and do not exist: their streams stand still";
        registry.register("missing_input_topics", help, self.missing_inputs.clone());
        let help = "Whether this daemon waits, or has left the group, for a reason: it does no work";
        registry.register("waiting", help, self.waiting.clone());
        let help = "Time from the assignment of partitions until their states are restored";
        registry.register_with_unit("restore", help, Unit::Seconds, self.restore_seconds.clone());
    }
}

impl Restore {
    fn totals(&self) -> RestoreTotals {
        RestoreTotals {
            done: self.done.load(Ordering::Relaxed),
            partitions: self.partitions,
            records: self.records.load(Ordering::Relaxed),
            expected: self.expected.load(Ordering::Relaxed),
        }
    }
}

impl RestoreProgress {
    /// Sets how many state records there are to read.
    pub(crate) fn expect(&self, records: u64) {
        self.0.expected.store(records, Ordering::Relaxed);
    }

    /// Sets how many state records are read so far.
    pub(crate) fn read(&self, records: u64) {
        self.0.records.store(records, Ordering::Relaxed);
    }

    /// Counts a partition that is restored.
    pub(crate) fn one_done(&self) {
        self.0.done.fetch_add(1, Ordering::Relaxed);
    }
}
