//! What the scraper counts and logs of answers: rejected endpoints and failed scrapes.

use std::sync::Arc;

use daemon_base::backoff::random_share;
use netplugin_adapter::ServiceStats;
use tracing::warn;

use super::Scraper;
use super::requests::ScrapeError;
use super::settings::Node;

impl Scraper {
    /// Counts the rejected endpoints of an answer.
    pub(super) fn count_rejected(&self, node: &Node, stats: &ServiceStats) {
        for rejected in stats.rejected() {
            self.telemetry.rejected(&node.name, rejected.reason.kind());
        }
    }

    /// Logs the rejected endpoints of an answer when their number has changed.
    pub(super) fn log_rejected(&mut self, node: &Node, stats: &ServiceStats) {
        let count = stats.rejected().len();
        let before = self.rejected.insert(Arc::clone(&node.name), count).unwrap_or(0);
        if let Some(first) = stats.rejected().first().filter(|_| count != before) {
            let (endpoint, reason) = (&first.endpoint, &first.reason);
            warn!(node = &*node.name, %endpoint, %reason, count, "Endpoints of a node are rejected; the others count.");
        }
    }

    /// Counts a failed scrape, and logs the first of several in a row.
    pub(super) fn failed(&mut self, node: &Node, error: &ScrapeError) {
        self.telemetry.failed(&node.name, error.reason());
        if self.schedule.failed(&node.name, self.clock.monotonic(), random_share()) {
            warn!(
                node = &*node.name, %error,
                "A node of Contiv could not be scraped; the scraper retries with back-off."
            );
        }
    }
}
