//! The metrics of a sink that posts results.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::answer::{OUTCOMES, REASONS};
use crate::problem::Problem;

type Labelled = Family<[(&'static str, &'static str); 1], Counter>;

/// The metrics of a sink.
#[derive(Clone, Debug, Default)]
pub struct PostTelemetry {
    delivered: Counter,
    dropped: Labelled,
    unreadable: Counter,
    requests: Labelled,
    last_success: Gauge<f64, AtomicU64>,
    problem: Problem,
}

impl PostTelemetry {
    /// Registers the metrics of the sink `name`, whose items are `items`, the counters at 0: the first increase of one that
    /// appears with it is not seen.
    pub fn register(&self, registry: &mut Registry, name: &str, items: &str) {
        REASONS.into_iter().for_each(|reason| self.dropped(0, reason));
        for outcome in OUTCOMES {
            drop(self.requests.get_or_create(&[("outcome", outcome)]));
        }
        let all = format!("{name}_{items}");
        registry.register(&all, format!("Delivered {items}"), self.delivered.clone());
        let dropped = format!("{items} that were dropped, by reason");
        registry.register(format!("{all}_dropped"), capitalized(&dropped), self.dropped.clone());
        let unreadable = "Results that could not be read";
        registry.register(format!("{name}_unreadable_results"), unreadable, self.unreadable.clone());
        registry.register(format!("{name}_requests"), "Requests by outcome", self.requests.clone());
        let help = "Time of the last request that the server took, since the epoch";
        registry.register_with_unit(format!("{name}_last_success"), help, Unit::Seconds, self.last_success.clone());
    }

    /// Counts delivered items, at time `now` (µs UTC).
    pub(super) fn delivered(&self, items: u64, now: u64) {
        self.delivered.inc_by(items);
        self.last_success.set(now as f64 / 1e6);
    }

    /// Counts items that are not delivered.
    pub(super) fn dropped(&self, items: u64, reason: &'static str) {
        self.dropped.get_or_create(&[("reason", reason)]).inc_by(items);
    }

    /// Counts a result that cannot be read.
    pub(super) fn unreadable(&self) {
        self.unreadable.inc();
    }

    /// Why the server takes no results at present, if so.
    pub fn problem(&self) -> Option<String> {
        self.problem.get()
    }

    /// Sets that reason.
    pub(super) fn set_problem(&self, reason: impl Into<Option<String>>) {
        self.problem.set(reason);
    }

    /// Counts a request.
    pub(super) fn requested(&self, outcome: &'static str) {
        self.requests.get_or_create(&[("outcome", outcome)]).inc();
    }

    #[cfg(test)]
    pub(super) fn counts(&self, reason: &'static str) -> (u64, u64) {
        (self.delivered.get(), self.dropped.get_or_create(&[("reason", reason)]).get())
    }
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
