//! Which time the scrapes of all nodes cover.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use daemon_base::observation::Observer;

use super::scrape_store::Scrape;

/// The newest stored scrape of each node, from which follows what is observed. All times are µs UTC.
pub(super) struct Coverage {
    observer: Observer,
    interval: u64,
    stored: BTreeMap<Arc<str>, u64>,
    /// The scrape time up to which all nodes are observed; `None` before the first.
    stated: Option<u64>,
    /// The next increases include those of an interval without an answer.
    includes_missed: bool,
}

impl Coverage {
    /// Begins without any scrape.
    pub(super) fn new(observer: Observer, interval: u64) -> Self {
        Self { observer, interval, stored: BTreeMap::new(), stated: None, includes_missed: false }
    }

    /// Notes that scrapes are in the log, with increases `since` an earlier one.
    pub(super) fn stored(&mut self, scrapes: &[Scrape], since: Option<u64>) {
        for Scrape { node, at, .. } in scrapes {
            self.includes_missed |= since.is_some_and(|since| since.saturating_add(self.interval) < *at);
            self.stored.insert(Arc::clone(node), *at);
        }
    }

    /// States what is observed once the newest scrape is stored for each of `nodes`.
    pub(super) fn state(&mut self, nodes: &BTreeSet<Arc<str>>) {
        self.stored.retain(|node, _| nodes.contains(node));
        let Some(newest) = self.stored.values().max().copied() else { return };
        let is_complete = nodes.iter().all(|node| self.stored.get(node) == Some(&newest));
        if is_complete && self.stated != Some(newest) {
            let missed = std::mem::take(&mut self.includes_missed);
            self.stated = Some(newest);
            self.observer.observed(newest + u64::from(missed), newest.saturating_add(self.interval));
        }
    }
}

#[cfg(test)]
mod tests {
    use daemon_base::observation::{Observations, Observed};

    use super::*;

    const INTERVAL: u64 = 10;

    /// What is observed of the nodes `a` and `b` after scrapes, each with its time, the nodes that answered and the time
    /// since which their increases count.
    fn observed(scrapes: &[(u64, &[&str], Option<u64>)]) -> Observed {
        let observations = Observations::default();
        let mut coverage = Coverage::new(observations.observer(["S-a"], INTERVAL), INTERVAL);
        let nodes = BTreeSet::from(["a".into(), "b".into()]);
        for &(at, answered, since) in scrapes {
            let scrape = |node: &&str| Scrape { node: Arc::from(*node), at, stats: Arc::default() };
            coverage.stored(&answered.iter().map(scrape).collect::<Vec<_>>(), since);
            coverage.state(&nodes);
        }
        observations.stream("S-a").get().unwrap()
    }

    fn expected(until: u64, gaps: &[(u64, u64)]) -> Observed {
        Observed { began: INTERVAL, until, is_certain: true, gaps: gaps.iter().copied().collect() }
    }

    #[test]
    fn time_is_observed_when_all_nodes_have_answered() {
        assert_eq!(observed(&[(10, &["a", "b"], None), (20, &["a"], Some(10))]), expected(20, &[]));
        let scrapes: [(u64, &[&str], Option<u64>); 3] =
            [(10, &["a", "b"], None), (20, &["a"], Some(10)), (20, &["b"], Some(10))];
        assert_eq!(observed(&scrapes), expected(30, &[]));
    }

    #[test]
    fn the_scrape_that_brings_the_increases_of_a_missed_one_is_not_observed() {
        let scrapes: [(u64, &[&str], Option<u64>); 4] =
            [(10, &["a", "b"], None), (20, &["a"], Some(10)), (30, &["a", "b"], Some(10)), (40, &["a", "b"], Some(30))];
        assert_eq!(observed(&scrapes), expected(50, &[(20, 30)]));
    }

    #[test]
    fn the_increases_of_a_node_that_comes_back_are_not_observed() {
        let scrapes: [(u64, &[&str], Option<u64>); 2] = [(10, &["a", "b"], None), (20, &["a", "b"], Some(5))];
        assert_eq!(observed(&scrapes), expected(30, &[(20, 20)]));
    }
}
