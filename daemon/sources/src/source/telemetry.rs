//! The counters of the sources that run through [`run`](super::run).

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

type BySource = Family<Vec<(&'static str, String)>, Counter>;

/// What sources count, each by its name. Clones share their counters.
#[derive(Clone, Debug, Default)]
pub struct SourceTelemetry {
    samples: BySource,
    rejected: BySource,
    failures: BySource,
}

impl SourceTelemetry {
    pub(super) fn appended(&self, source: &str, accepted: usize, rejected: usize) {
        self.samples.get_or_create(&labels(source)).inc_by(accepted as u64);
        self.rejected.get_or_create(&labels(source)).inc_by(rejected as u64);
    }

    pub(super) fn failed(&self, source: &str) {
        self.failures.get_or_create(&labels(source)).inc();
    }

    /// How many samples and failures a source has.
    #[cfg(test)]
    pub(super) fn counts(&self, source: &str) -> [u64; 3] {
        [&self.samples, &self.rejected, &self.failures].map(|family| family.get_or_create(&labels(source)).get())
    }

    /// Registers the counters.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("source_samples", "Samples of a source that are durable", self.samples.clone());
        registry.register("source_rejected", "Samples of a source that were rejected", self.rejected.clone());
        registry.register("source_failures", "Runs of a source that ended in an error", self.failures.clone());
    }
}

fn labels(source: &str) -> Vec<(&'static str, String)> {
    vec![("source", source.to_owned())]
}
