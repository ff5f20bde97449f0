//! The metrics of the sinks of alarms.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The metrics of the sinks of alarms.
#[derive(Clone, Debug, Default)]
pub struct AlarmTelemetry {
    notifications: Family<[(&'static str, &'static str); 2], Counter>,
    limited: Family<[(&'static str, &'static str); 1], Gauge>,
    held: Family<[(&'static str, &'static str); 1], Gauge>,
    problems: Arc<Mutex<BTreeMap<&'static str, String>>>,
}

impl AlarmTelemetry {
    /// Registers the metrics in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Requests with alarms, by sink and outcome";
        registry.register("alarm_notifications", help, self.notifications.clone());
        let help = "Alarms that fire and are a part of the notification of their group only, by sink";
        registry.register("alarm_notifications_limited", help, self.limited.clone());
        let help = "Alerts that wait because of the limit for each minute (alertmanager), or changes that wait for the \
                    next request (webhook), by sink";
        registry.register("alarm_notifications_held", help, self.held.clone());
    }

    /// Shows the counters of a sink from the start: the first increase of one that appears with it is not seen.
    pub(super) fn expect(&self, sink: &'static str) {
        for outcome in ["delivered", "failed", "rejected"] {
            drop(self.notifications.get_or_create(&[("sink", sink), ("outcome", outcome)]));
        }
        self.limited(sink, 0);
        self.held(sink, 0);
    }

    /// Why the sink of this name sends no alarms at present, if so.
    pub fn problem(&self, sink: &str) -> Option<String> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).get(sink).cloned()
    }

    /// Sets that reason.
    pub(super) fn set_problem(&self, sink: &'static str, reason: impl Into<Option<String>>) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        match reason.into() {
            Some(reason) => problems.insert(sink, reason),
            None => problems.remove(sink),
        };
    }

    /// Sets the number of notifications that wait.
    pub(super) fn held(&self, sink: &'static str, notifications: usize) {
        self.held.get_or_create(&[("sink", sink)]).set(i64::try_from(notifications).unwrap_or(i64::MAX));
    }

    /// Counts a request.
    pub(super) fn sent(&self, sink: &'static str, outcome: &'static str) {
        self.notifications.get_or_create(&[("sink", sink), ("outcome", outcome)]).inc();
    }

    /// Sets the number of alarms that are not sent by themselves.
    pub(super) fn limited(&self, sink: &'static str, alarms: usize) {
        self.limited.get_or_create(&[("sink", sink)]).set(i64::try_from(alarms).unwrap_or(i64::MAX));
    }
}
