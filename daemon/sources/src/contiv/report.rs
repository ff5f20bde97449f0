//! What the scraper counts and logs of answers: rejected endpoints and failed scrapes.
//!
//! A node makes one line when it fails and one when it answers again, and the same for rejected endpoints. Entries that
//! look new and do not count make one line. What is repeated meanwhile is in one line a minute, of all nodes together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use daemon_base::backoff::random_share;
use derived_stats::annotation::nearest;
use netplugin_adapter::{ServiceStats, Uncounted, UnknownField};
use tracing::{info, warn};

use super::Scraper;
use super::requests::ScrapeError;
use super::settings::Node;

/// The time between two summaries.
const SUMMARY_INTERVAL: Duration = Duration::from_secs(60);

/// The time between two lines about the misspelt fields of a node.
const MISSPELT_INTERVAL: Duration = Duration::from_secs(3600);

/// How many nodes a summary names.
const NAMED: usize = 5;

/// What has been repeated since the last summary, by node.
#[derive(Debug, Default)]
pub(super) struct Reports {
    failing: BTreeMap<Arc<str>, Repeated>,
    rejecting: BTreeMap<Arc<str>, Repeated>,
    /// When the misspelt fields of a node were logged last.
    misspelt: BTreeMap<Arc<str>, Duration>,
    /// Nodes with uncounted entries in this minute or the one before.
    uncounted: BTreeMap<Arc<str>, Repeated>,
    last_summary: Duration,
}

/// What is repeated of one node.
#[derive(Debug)]
struct Repeated {
    /// How often since the last summary, without the time that had a line of its own.
    count: u64,
    last: String,
    /// Whether the line of its own came since the last summary.
    is_new: bool,
}

/// A summary that is due.
#[derive(Debug, Eq, PartialEq)]
struct Summary {
    nodes: usize,
    count: u64,
    /// The first nodes by name, each with its last error.
    examples: String,
}

impl Reports {
    /// Adds what a node had again; whether it is the first time, which has a line of its own.
    fn add(reports: &mut BTreeMap<Arc<str>, Repeated>, node: &Arc<str>, last: impl ToString) -> bool {
        match reports.get_mut(node) {
            Some(repeated) => {
                (repeated.count, repeated.last) = (repeated.count.saturating_add(1), last.to_string());
                false
            }
            None => {
                reports.insert(Arc::clone(node), Repeated { count: 0, last: last.to_string(), is_new: true });
                true
            }
        }
    }

    /// Removes the nodes that are not among `known`.
    pub(super) fn keep(&mut self, known: &BTreeSet<Arc<str>>) {
        self.failing.retain(|node, _| known.contains(node));
        self.rejecting.retain(|node, _| known.contains(node));
        self.uncounted.retain(|node, _| known.contains(node));
        self.misspelt.retain(|node, _| known.contains(node));
    }

    /// Whether misspelt fields of a node are to be logged `now`.
    fn misspelt_is_due(&mut self, node: &Arc<str>, now: Duration) -> bool {
        let is_recent = |last: &Duration| now.saturating_sub(*last) < MISSPELT_INTERVAL;
        if self.misspelt.get(node).is_some_and(is_recent) {
            return false;
        }
        self.misspelt.insert(Arc::clone(node), now);
        true
    }

    /// Returns the summaries of failed scrapes, of rejected endpoints and of uncounted entries that are due.
    fn summaries(&mut self, now: Duration) -> [Option<Summary>; 3] {
        if now.saturating_sub(self.last_summary) < SUMMARY_INTERVAL {
            return [None, None, None];
        }
        self.last_summary = now;
        // Nothing ends this state but a minute without another event.
        self.uncounted.retain(|_, it| std::mem::take(&mut it.is_new) || it.count > 0);
        [&mut self.failing, &mut self.rejecting, &mut self.uncounted].map(summary)
    }
}

/// Returns the summary of what was repeated, and begins the next one.
fn summary(reports: &mut BTreeMap<Arc<str>, Repeated>) -> Option<Summary> {
    let repeated: Vec<_> = reports.iter_mut().filter(|(_, it)| it.count > 0).collect();
    if repeated.is_empty() {
        return None;
    }
    let mut summary = Summary { nodes: repeated.len(), count: 0, examples: String::new() };
    for (number, (node, repeated)) in repeated.into_iter().enumerate() {
        summary.count = summary.count.saturating_add(std::mem::take(&mut repeated.count));
        if number < NAMED {
            let separator = if number == 0 { "" } else { " | " };
            summary.examples += &format!("{separator}{node}: {}", repeated.last);
        }
    }
    Some(summary)
}

impl Scraper {
    /// Counts the rejected endpoints of an answer.
    fn count_rejected(&self, node: &Node, stats: &ServiceStats) {
        for rejected in stats.rejected() {
            self.telemetry.rejected(&node.name, rejected.reason.kind());
        }
    }

    /// Counts the rejected endpoints of an answer, and logs when it has some and the one before had none, or the other
    /// way round.
    pub(super) fn report_rejected(&mut self, node: &Node, stats: &ServiceStats) {
        self.count_rejected(node, stats);
        let Some(first) = stats.rejected().first() else {
            if self.reports.rejecting.remove(&node.name).is_some() {
                info!(node = &*node.name, "All endpoints of a node can be read again.");
            }
            return;
        };
        let (endpoint, reason, count) = (&first.endpoint, &first.reason, stats.rejected().len());
        if Reports::add(&mut self.reports.rejecting, &node.name, format_args!("{endpoint}: {reason}")) {
            warn!(node = &*node.name, %endpoint, %reason, count, "Endpoints of a node are rejected; the others count.");
        }
    }

    /// Logs the fields of an answer that are ignored and are near one that is read, once an hour for a node.
    pub(super) fn report_misspelt(&mut self, node: &Node, stats: &ServiceStats) {
        let near = |field: &UnknownField| {
            let near = nearest(&field.found, field.known.iter().copied())?;
            Some(format!("{} has `{}`; did you mean `{near}`?", field.location, field.found))
        };
        let fields: Vec<_> = stats.unknown_fields().iter().filter_map(near).collect();
        if !fields.is_empty() && self.reports.misspelt_is_due(&node.name, self.clock.monotonic()) {
            let fields = fields.join(" ");
            warn!(
                node = &*node.name, %fields,
                "Fields of a node's answer are ignored, but are near those that are read."
            );
        }
    }

    /// Counts the entries of an answer that look new and do not count, and logs the first such answer.
    pub(super) fn report_uncounted(&mut self, node: &Arc<str>, uncounted: &Uncounted) {
        self.telemetry.uncounted(node, uncounted);
        let example = uncounted.example().unwrap_or_default();
        if Reports::add(&mut self.reports.uncounted, node, example) {
            let count: u64 = uncounted.counts().iter().map(|(_, count)| count).sum();
            warn!(
                node = &**node, count, %example,
                "Entries of a node look new, but their counters are not: they are a baseline and add nothing."
            );
        }
    }

    /// Counts a failed scrape, and logs the first of several in a row.
    pub(super) fn failed(&mut self, node: &Node, error: &ScrapeError) {
        self.telemetry.failed(&node.name, error.reason());
        if let ScrapeError::Unreadable { stats, .. } = error {
            self.count_rejected(node, stats);
        }
        let is_known = self.schedule.failed(&node.name, self.clock.monotonic(), random_share()).is_some();
        let last = format_args!("tried {}: {error}", node.address);
        if is_known && Reports::add(&mut self.reports.failing, &node.name, last) {
            warn!(
                node = &*node.name, tried = &*node.address, %error,
                "A node of Contiv could not be scraped; the scraper retries with back-off."
            );
        }
    }

    /// Logs that a node answers if its last scrape failed.
    pub(super) fn report_answer(&mut self, node: &Node) {
        self.schedule.worked(&node.name);
        if self.reports.failing.remove(&node.name).is_some() {
            info!(node = &*node.name, "A node of Contiv answers again.");
        }
    }

    /// Logs what is repeated, once a minute.
    pub(super) fn summarise(&mut self, now: Duration) {
        let [failing, rejecting, uncounted] = self.reports.summaries(now);
        if let Some(Summary { nodes, count, examples }) = failing {
            warn!(nodes, failures = count, %examples, "Nodes of Contiv still fail; this is the summary of a minute.");
        }
        if let Some(Summary { nodes, count, examples }) = rejecting {
            warn!(
                nodes, answers = count, %examples,
                "Nodes still have endpoints that are rejected; this is the summary of a minute."
            );
        }
        if let Some(Summary { nodes, count, examples }) = uncounted {
            warn!(
                nodes, answers = count, %examples,
                "Nodes still have entries that look new and add nothing; this is the summary of a minute."
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn add(reports: &mut Reports, node: &str, last: &str) -> bool {
        Reports::add(&mut reports.failing, &node.into(), last)
    }

    fn of_failing(reports: &mut Reports, now: Duration) -> Option<(usize, u64, String)> {
        let [failing, rejecting, uncounted] = reports.summaries(now);
        assert_eq!([rejecting, uncounted], [None, None]);
        failing.map(|summary| (summary.nodes, summary.count, summary.examples))
    }

    #[test]
    fn what_is_repeated_is_in_one_summary_a_minute() {
        let mut reports = Reports::default();
        assert!(add(&mut reports, "a", "x") && add(&mut reports, "b", "y"), "the first time");
        assert_eq!(of_failing(&mut reports, 60 * SECOND), None, "nothing is repeated");
        for number in 0..10 {
            assert!(!add(&mut reports, "a", &format!("x{number}")));
        }
        assert_eq!(of_failing(&mut reports, 119 * SECOND), None);
        assert_eq!(of_failing(&mut reports, 120 * SECOND), Some((1, 10, "a: x9".to_owned())));
        assert_eq!(of_failing(&mut reports, 180 * SECOND), None, "nothing since");
        assert!(!add(&mut reports, "b", "z") && !add(&mut reports, "a", "x"));
        reports.keep(&BTreeSet::from(["b".into()]));
        assert_eq!(of_failing(&mut reports, 240 * SECOND), Some((1, 1, "b: z".to_owned())));
        assert!(add(&mut reports, "a", "x"), "it was gone");
    }

    #[test]
    fn uncounted_entries_have_a_line_of_their_own_again_after_a_quiet_minute() {
        let mut reports = Reports::default();
        let add = |reports: &mut Reports| Reports::add(&mut reports.uncounted, &"a".into(), "x");
        let summary = |reports: &mut Reports, minute: u32| {
            let [.., uncounted] = reports.summaries(60 * minute * SECOND);
            uncounted.map(|summary| summary.count)
        };
        assert!(add(&mut reports));
        assert_eq!(summary(&mut reports, 1), None);
        assert!(!add(&mut reports) && !add(&mut reports));
        assert_eq!((summary(&mut reports, 2), summary(&mut reports, 3)), (Some(2), None));
        assert!(add(&mut reports));
    }

    #[test]
    fn misspelt_fields_of_a_node_are_logged_once_an_hour() {
        let mut reports = Reports::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        assert!(reports.misspelt_is_due(&a, SECOND) && reports.misspelt_is_due(&b, 2 * SECOND));
        assert!(!reports.misspelt_is_due(&a, 3600 * SECOND));
        assert!(reports.misspelt_is_due(&a, 3601 * SECOND) && !reports.misspelt_is_due(&a, 3602 * SECOND));
        reports.keep(&BTreeSet::from([Arc::clone(&a)]));
        assert!(reports.misspelt_is_due(&b, 3602 * SECOND), "it was gone");
    }

    #[test]
    fn a_summary_names_few_nodes() {
        let mut reports = Reports::default();
        for _ in 0..2 {
            for node in 0..9 {
                add(&mut reports, &format!("n{node}"), "e");
            }
        }
        let examples = "n0: e | n1: e | n2: e | n3: e | n4: e".to_owned();
        assert_eq!(of_failing(&mut reports, 60 * SECOND), Some((9, 9, examples)));
    }
}
