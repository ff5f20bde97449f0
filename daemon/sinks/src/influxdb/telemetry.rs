//! The metrics of the InfluxDB sink.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::answer::{DropReason, OUTCOMES};
use crate::problem::Problem;

type Labelled = Family<[(&'static str, &'static str); 1], Counter>;

/// The metrics of the sink.
#[derive(Clone, Debug, Default)]
pub struct InfluxTelemetry {
    lines: Counter,
    dropped: Labelled,
    unreadable: Counter,
    capped: Counter,
    requests: Labelled,
    last_success: Gauge<f64, AtomicU64>,
    problem: Problem,
}

impl InfluxTelemetry {
    /// Why InfluxDB accepts no lines at present, if so.
    pub fn problem(&self) -> Option<String> {
        self.problem.get()
    }

    /// Sets that reason.
    pub(super) fn set_problem(&self, reason: impl Into<Option<String>>) {
        self.problem.set(reason);
    }

    /// Registers the metrics in `registry`, the counters at 0: the first increase of one that appears with it is not seen.
    pub fn register(&self, registry: &mut Registry) {
        DropReason::ALL.into_iter().for_each(|reason| self.dropped(0, reason));
        for outcome in OUTCOMES {
            drop(self.requests.get_or_create(&[("outcome", outcome)]));
        }
        registry.register("influxdb_lines", "Lines that InfluxDB accepted", self.lines.clone());
        registry.register(
            "influxdb_lines_dropped",
            "Lines that InfluxDB rejected permanently, by reason",
            self.dropped.clone(),
        );
        registry.register("influxdb_unreadable_results", "Results that could not be read", self.unreadable.clone());
        registry.register(
            "influxdb_capped_integers",
            "Integers above 2^63-1, which are written as 2^63-1",
            self.capped.clone(),
        );
        registry.register("influxdb_requests", "Requests to InfluxDB, by outcome", self.requests.clone());
        let help = "Time of the last request that InfluxDB accepted, since the epoch";
        registry.register_with_unit("influxdb_last_success", help, Unit::Seconds, self.last_success.clone());
    }

    /// Counts accepted lines, at time `now` (µs UTC).
    pub(super) fn written(&self, lines: u64, now: u64) {
        self.lines.inc_by(lines);
        self.last_success.set(now as f64 / 1e6);
    }

    /// Counts lines that the server rejected permanently.
    pub(super) fn dropped(&self, lines: u64, reason: DropReason) {
        self.dropped.get_or_create(&[("reason", reason.label())]).inc_by(lines);
    }

    /// Counts a result that cannot be read.
    pub(super) fn unreadable(&self) {
        self.unreadable.inc();
    }

    /// Counts integers above 2^63-1.
    pub(super) fn capped(&self, integers: u64) {
        self.capped.inc_by(integers);
    }

    /// Counts a request.
    pub(super) fn requested(&self, outcome: &'static str) {
        self.requests.get_or_create(&[("outcome", outcome)]).inc();
    }

    #[cfg(test)]
    pub(super) fn counts(&self, reason: DropReason) -> (u64, u64) {
        (self.lines.get(), self.dropped.get_or_create(&[("reason", reason.label())]).get())
    }

    #[cfg(test)]
    pub(super) fn results(&self) -> (u64, u64) {
        (self.unreadable.get(), self.capped.get())
    }
}
