//! The metrics of the scraper.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// The labels of a counter by node and reason.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct ByNode {
    node: Arc<str>,
    reason: &'static str,
}

impl EncodeLabelSet for ByNode {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> std::fmt::Result {
        [("node", &*self.node), ("reason", self.reason)].encode(encoder)
    }
}

/// The scraper's counters.
#[derive(Clone, Debug)]
pub struct ScraperTelemetry {
    nodes: Gauge,
    scrapes: Counter,
    failures: Family<ByNode, Counter>,
    rejected: Family<ByNode, Counter>,
    points: Counter,
    samples: Counter,
    seconds: Histogram,
    discovery_failures: Counter,
}

impl Default for ScraperTelemetry {
    fn default() -> Self {
        Self {
            nodes: Gauge::default(),
            scrapes: Counter::default(),
            failures: Family::default(),
            rejected: Family::default(),
            points: Counter::default(),
            samples: Counter::default(),
            seconds: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            discovery_failures: Counter::default(),
        }
    }
}

impl ScraperTelemetry {
    /// Registers the counters under their names.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("contiv_nodes", "Nodes of Contiv that are scraped", self.nodes.clone());
        registry.register("contiv_scrapes", "Answers of Contiv's nodes that are durable", self.scrapes.clone());
        let help = "Failed scrapes of Contiv's nodes, by node and reason";
        registry.register("contiv_scrape_failures", help, self.failures.clone());
        let help = "Endpoints that were rejected in an answer, by node and reason";
        registry.register("contiv_endpoints_rejected", help, self.rejected.clone());
        registry.register("contiv_points", "Points of endpoint, service and provider", self.points.clone());
        registry.register("contiv_samples", "Samples for the pipelines", self.samples.clone());
        let help = "Time from the request to a node to its decoded answer";
        registry.register_with_unit("contiv_scrape", help, Unit::Seconds, self.seconds.clone());
        let help = "Times a server of etcd did not list the nodes";
        registry.register("contiv_discovery_failures", help, self.discovery_failures.clone());
    }

    pub(super) fn set_nodes(&self, count: usize) {
        self.nodes.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(super) fn took(&self, time: Duration) {
        self.seconds.observe(time.as_secs_f64());
    }

    pub(super) fn failed(&self, node: &Arc<str>, reason: &'static str) {
        self.failures.get_or_create(&ByNode { node: Arc::clone(node), reason }).inc();
    }

    pub(super) fn rejected(&self, node: &Arc<str>, reason: &'static str) {
        self.rejected.get_or_create(&ByNode { node: Arc::clone(node), reason }).inc();
    }

    pub(super) fn stored(&self, scrapes: usize, points: u64, samples: u64) {
        self.scrapes.inc_by(scrapes as u64);
        self.points.inc_by(points);
        self.samples.inc_by(samples);
    }

    pub(super) fn discovery_failed(&self) {
        self.discovery_failures.inc();
    }
}
