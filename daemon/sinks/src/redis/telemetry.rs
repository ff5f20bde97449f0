//! The metrics of the Redis sink.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::client::FailureKind;
use super::transaction::Counts;
use crate::problem::Problem;

/// How many missing topics a text names.
const NAMED: usize = 3;

type Labelled = Family<[(&'static str, &'static str); 1], Counter>;

/// The metrics of the sink.
#[derive(Clone, Debug, Default)]
pub struct RedisTelemetry {
    results: Labelled,
    left_out: Labelled,
    requests: Labelled,
    messages: Counter,
    rewrites: Counter,
    last_success: Gauge<f64, AtomicU64>,
    missing_topics: Gauge,
    /// Why alarm-gen does not get all messages.
    missing: Problem,
    /// Why nothing is delivered.
    failure: Problem,
}

impl RedisTelemetry {
    /// Registers the metrics in `registry`, the counters at 0: the first increase of one that appears with it is not seen.
    pub fn register(&self, registry: &mut Registry) {
        self.count(Counts::default());
        self.left_out("refused", 0);
        self.left_out("unreadable", 0);
        self.left_out("unannounced", 0);
        for outcome in FailureKind::ALL.map(FailureKind::label).into_iter().chain(["ok"]) {
            drop(self.requests.get_or_create(&[("outcome", outcome)]));
        }
        registry.register("redis_results", "Results that Redis took, by operation", self.results.clone());
        registry.register("redis_left_out", "What is left out, by reason", self.left_out.clone());
        registry.register("redis_requests", "Transactions and reads of Redis, by outcome", self.requests.clone());
        registry.register("redis_messages", "Messages for alarm-gen that Kafka took", self.messages.clone());
        registry.register("redis_rewrites", "Times that all results were written anew", self.rewrites.clone());
        let help = "Topics for alarm-gen that do not exist";
        registry.register("redis_missing_topics", help, self.missing_topics.clone());
        let help = "Time of the last transaction that Redis took, since the epoch";
        registry.register_with_unit("redis_last_success", help, Unit::Seconds, self.last_success.clone());
    }

    /// Counts a transaction that Redis took at time `now` (µs UTC).
    pub(super) fn committed(&self, counts: Counts, now: u64) {
        self.count(counts);
        self.last_success.set(now as f64 / 1e6);
    }

    fn count(&self, counts: Counts) {
        self.results.get_or_create(&[("operation", "write")]).inc_by(counts.written);
        self.results.get_or_create(&[("operation", "delete")]).inc_by(counts.deleted);
        self.left_out("oversized", counts.oversized);
        self.left_out("unnamed", counts.unnamed);
    }

    /// Counts what is left out.
    pub(super) fn left_out(&self, reason: &'static str, count: u64) {
        self.left_out.get_or_create(&[("reason", reason)]).inc_by(count);
    }

    /// Counts a request.
    pub(super) fn requested(&self, outcome: &'static str) {
        self.requests.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// Counts messages.
    pub(super) fn published(&self, messages: u64) {
        self.messages.inc_by(messages);
    }

    /// Sets the topics that do not exist.
    pub(super) fn set_missing_topics<'t>(&self, topics: impl Iterator<Item = &'t str>) {
        let topics: Vec<_> = topics.collect();
        self.missing_topics.set(topics.len() as i64);
        let named = topics.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        let more = if topics.len() > NAMED { format!(" and {} more", topics.len() - NAMED) } else { String::new() };
        let problem = (!topics.is_empty()).then(|| {
            let remedy = "check sinks.redis.uve_topics and sinks.redis.partitions";
            format!("topics for alarm-gen do not exist: {named}{more}; {remedy}")
        });
        self.missing.set(problem);
    }

    /// Why not everything is delivered at present, if so.
    pub fn problem(&self) -> Option<String> {
        self.failure.get().or_else(|| self.missing.get())
    }

    /// Sets why nothing is delivered.
    pub(super) fn set_failure(&self, reason: impl Into<Option<String>>) {
        self.failure.set(reason);
    }

    /// Counts that all results are written anew.
    pub(super) fn rewrites(&self) {
        self.rewrites.inc();
    }
}
