//! The changes of the configuration.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// What the changes of the configuration count.
#[derive(Debug, Default)]
pub(crate) struct ConfigurationTelemetry {
    changes: Family<[(&'static str, &'static str); 1], Counter>,
}

impl ConfigurationTelemetry {
    /// Counts a change that was asked for, by its outcome.
    pub(crate) fn changed(&self, outcome: &'static str) {
        self.changes.get_or_create(&[("outcome", outcome)]).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        for outcome in ["applied", "invalid", "refused", "unavailable"] {
            drop(self.changes.get_or_create(&[("outcome", outcome)]));
        }
        let help = "Changes of the configuration that were asked for, by outcome";
        registry.register("configuration_changes", help, self.changes.clone());
    }
}
