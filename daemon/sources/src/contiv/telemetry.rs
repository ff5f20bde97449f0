//! The metrics of the scraper.
//!
//! The counters with labels exist for every node and reason from the time that the node is known, so that an
//! `increase()` sees the first event, and go with the node. Their number is bounded: [`MAX_LABELLED`] nodes have labels
//! of their own.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use netplugin_adapter::{Reason, Uncounted};
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::requests::ScrapeError;

/// How many nodes have labels of their own: the first by name. The others share one.
const MAX_LABELLED: usize = 1_000;

/// The label of the nodes beyond these.
const OTHERS: &str = "others";

/// The reasons of failed scrapes that are not those of a request.
const OWN_REASONS: [&str; 3] = ["late", "log_failed", "log_full"];

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
    /// The values of the label `node`.
    labelled: Arc<Mutex<BTreeSet<Arc<str>>>>,
    scrapes: Counter,
    failures: Family<ByNode, Counter>,
    rejected: Family<ByNode, Counter>,
    uncounted: Family<ByNode, Counter>,
    points: Counter,
    samples: Counter,
    seconds: Histogram,
    discovery_failures: Counter,
}

impl Default for ScraperTelemetry {
    fn default() -> Self {
        Self {
            nodes: Gauge::default(),
            labelled: Arc::default(),
            scrapes: Counter::default(),
            failures: Family::default(),
            rejected: Family::default(),
            uncounted: Family::default(),
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
        let help = "Entries of Netplugin that look new, but are a baseline and not an increase, by node and reason";
        registry.register("contiv_entries_uncounted", help, self.uncounted.clone());
        registry.register("contiv_points", "Points of endpoint, service and provider", self.points.clone());
        registry.register("contiv_samples", "Samples for the pipelines", self.samples.clone());
        let help = "Time from the request to a node to its decoded answer";
        registry.register_with_unit("contiv_scrape", help, Unit::Seconds, self.seconds.clone());
        let help = "Times a server of etcd did not list the nodes";
        registry.register("contiv_discovery_failures", help, self.discovery_failures.clone());
    }

    /// Sets the nodes: creates the counters of the new ones, and removes those of the nodes that are gone.
    pub(super) fn set_nodes<'n>(&self, nodes: impl Iterator<Item = &'n Arc<str>>) {
        let all: BTreeSet<Arc<str>> = nodes.cloned().collect();
        self.nodes.set(i64::try_from(all.len()).unwrap_or(i64::MAX));
        let others = (all.len() > MAX_LABELLED).then(|| OTHERS.into());
        let now: BTreeSet<Arc<str>> = all.into_iter().take(MAX_LABELLED).chain(others).collect();
        let mut labelled = self.labelled.lock().unwrap_or_else(PoisonError::into_inner);
        for (family, reasons) in self.families() {
            for (node, reason) in labelled.difference(&now).flat_map(|node| reasons.iter().map(move |it| (node, *it))) {
                family.remove(&ByNode { node: Arc::clone(node), reason });
            }
            for (node, reason) in now.difference(&labelled).flat_map(|node| reasons.iter().map(move |it| (node, *it))) {
                let _ = family.get_or_create(&ByNode { node: Arc::clone(node), reason });
            }
        }
        *labelled = now;
    }

    /// Returns the counters with labels, each with its reasons.
    fn families(&self) -> [(&Family<ByNode, Counter>, Vec<&'static str>); 3] {
        let failures = [&ScrapeError::REASONS[..], &OWN_REASONS].concat();
        [
            (&self.failures, failures),
            (&self.rejected, Reason::KINDS.to_vec()),
            (&self.uncounted, Uncounted::REASONS.to_vec()),
        ]
    }

    /// Counts events of a node that is known; of another one the end of a request came too late to count.
    fn count(&self, family: &Family<ByNode, Counter>, node: &Arc<str>, reason: &'static str, count: u64) {
        let labelled = self.labelled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = [&**node, OTHERS].into_iter().find_map(|name: &str| labelled.get(name)) {
            family.get_or_create(&ByNode { node: Arc::clone(node), reason }).inc_by(count);
        }
    }

    pub(super) fn took(&self, time: Duration) {
        self.seconds.observe(time.as_secs_f64());
    }

    pub(super) fn failed(&self, node: &Arc<str>, reason: &'static str) {
        self.count(&self.failures, node, reason, 1);
    }

    pub(super) fn rejected(&self, node: &Arc<str>, reason: &'static str) {
        self.count(&self.rejected, node, reason, 1);
    }

    pub(super) fn uncounted(&self, node: &Arc<str>, uncounted: &Uncounted) {
        for (reason, count) in uncounted.counts() {
            self.count(&self.uncounted, node, reason, count);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(telemetry: &ScraperTelemetry) -> Vec<String> {
        let (mut registry, mut text) = (Registry::default(), String::new());
        telemetry.register(&mut registry);
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text.lines().filter(|line| line.contains("node=")).map(str::to_owned).collect()
    }

    fn set(telemetry: &ScraperTelemetry, nodes: &[&str]) {
        telemetry.set_nodes(nodes.iter().map(|name| Arc::from(*name)).collect::<Vec<_>>().iter());
    }

    #[test]
    fn the_counters_of_a_node_exist_from_the_start_and_go_with_it() {
        let telemetry = ScraperTelemetry::default();
        assert_eq!(lines(&telemetry), [""; 0]);
        set(&telemetry, &["a", "b"]);
        let of_a_node = ScrapeError::REASONS.len() + OWN_REASONS.len() + Reason::KINDS.len() + Uncounted::REASONS.len();
        assert_eq!(lines(&telemetry).len(), 2 * of_a_node);
        assert!(lines(&telemetry).iter().all(|line| line.ends_with(" 0")), "{:?}", lines(&telemetry));
        telemetry.failed(&"a".into(), "timeout");
        telemetry.rejected(&"b".into(), "shape");
        set(&telemetry, &["b", "c"]);
        // The end of a request that was in flight.
        telemetry.failed(&"a".into(), "timeout");
        let lines = lines(&telemetry);
        assert_eq!(lines.len(), 2 * of_a_node);
        assert!(!lines.iter().any(|line| line.contains("node=\"a\"")), "{lines:?}");
        let counted: Vec<_> = lines.iter().filter(|line| !line.ends_with(" 0")).collect();
        assert_eq!(counted, ["contiv_endpoints_rejected_total{node=\"b\",reason=\"shape\"} 1"]);
    }

    #[test]
    fn of_too_many_nodes_the_last_ones_share_a_label() {
        let telemetry = ScraperTelemetry::default();
        let names: Vec<Arc<str>> = (0..2 * MAX_LABELLED).map(|number| format!("n{number:05}").into()).collect();
        telemetry.set_nodes(names.iter());
        for name in &names {
            telemetry.failed(name, "status");
        }
        let all = lines(&telemetry);
        let others = format!("contiv_scrape_failures_total{{node=\"others\",reason=\"status\"}} {MAX_LABELLED}");
        assert!(all.contains(&others), "it counts those that have none");
        assert_eq!(all.iter().filter(|line| line.contains("\"status\"")).count(), MAX_LABELLED + 1);
        telemetry.set_nodes(names.iter().take(1));
        assert!(lines(&telemetry).iter().all(|line| line.contains("\"n00000\"")));
    }
}
