//! The metrics of the InfluxDB sink.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::answer::Dropped;

type Labelled = Family<[(&'static str, &'static str); 1], Counter>;

/// The sink's counters.
#[derive(Clone, Debug, Default)]
pub struct InfluxTelemetry {
    lines: Counter,
    dropped: Labelled,
    unreadable: Counter,
    capped: Counter,
    requests: Labelled,
    last_success: Gauge<f64, AtomicU64>,
}

impl InfluxTelemetry {
    /// Adds them to what a scrape shows.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("influxdb_lines", "Lines that InfluxDB took", self.lines.clone());
        registry.register("influxdb_lines_dropped", "Lines that it never will, by reason", self.dropped.clone());
        registry.register("influxdb_unreadable_results", "Results that gave no line", self.unreadable.clone());
        registry.register("influxdb_capped_integers", "Integers above 2^63-1, written as that", self.capped.clone());
        registry.register("influxdb_requests", "Requests to InfluxDB by how they ended", self.requests.clone());
        let help = "Time of the last request that it took, since the epoch";
        registry.register_with_unit("influxdb_last_success", help, Unit::Seconds, self.last_success.clone());
    }

    pub(super) fn written(&self, lines: u64, now: u64) {
        self.lines.inc_by(lines);
        self.last_success.set(now as f64 / 1e6);
    }

    pub(super) fn dropped(&self, lines: u64, reason: Dropped) {
        self.dropped.get_or_create(&[("reason", reason.label())]).inc_by(lines);
    }

    pub(super) fn unreadable(&self) {
        self.unreadable.inc();
    }

    pub(super) fn capped(&self, integers: u64) {
        self.capped.inc_by(integers);
    }

    pub(super) fn requested(&self, outcome: &'static str) {
        self.requests.get_or_create(&[("outcome", outcome)]).inc();
    }

    #[cfg(test)]
    pub(super) fn counts(&self, reason: Dropped) -> (u64, u64) {
        (self.lines.get(), self.dropped.get_or_create(&[("reason", reason.label())]).get())
    }

    #[cfg(test)]
    pub(super) fn results(&self) -> (u64, u64) {
        (self.unreadable.get(), self.capped.get())
    }
}
