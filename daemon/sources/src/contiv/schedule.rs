//! When each node is scraped.
//!
//! All points of a scrape carry its time, which is a multiple of the interval. Within an interval every node has an
//! offset of its own, always the same, so that requests are spread. A node that failed is tried again after a rest that
//! doubles with each consecutive failure, in the same interval if there is time. An answer that comes after its interval
//! is dropped, since the next one has the same counters and more.
//!
//! Nodes that fail must not delay the others: they come after them, and have at most half of the concurrent requests.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::Duration;

use daemon_base::servers::REST;

use super::settings::Node;

/// When each node is scraped next, and how many requests are in flight. Times are those of the monotonic clock.
#[derive(Debug)]
pub(super) struct Schedule {
    nodes: BTreeMap<Arc<str>, State>,
    jitter: Duration,
    concurrency: usize,
    in_flight: usize,
    failing_in_flight: usize,
}

#[derive(Debug)]
struct State {
    node: Node,
    /// When the request is due; `None` if it was sent in this interval.
    due: Option<Duration>,
    rests_until: Duration,
    /// Consecutive failures.
    failures: u32,
    flight: Flight,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Flight {
    None,
    /// A request is in flight, and the one before had failed or not.
    Under {
        failing: bool,
    },
}

impl Schedule {
    pub(super) fn new(jitter: Duration, concurrency: usize) -> Self {
        Self { nodes: BTreeMap::new(), jitter, concurrency, in_flight: 0, failing_in_flight: 0 }
    }

    /// Replaces the nodes. New ones are scraped from the next interval on.
    pub(super) fn set_nodes(&mut self, nodes: impl IntoIterator<Item = Node>) {
        let mut old = std::mem::take(&mut self.nodes);
        for node in nodes {
            let known = old.remove(&node.name).filter(|state| state.node == node);
            let state = known.unwrap_or_else(|| State {
                node: node.clone(),
                due: None,
                rests_until: Duration::ZERO,
                failures: 0,
                flight: Flight::None,
            });
            self.nodes.insert(Arc::clone(&node.name), state);
        }
        for removed in old.into_values() {
            self.landed(removed.flight);
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.nodes.keys()
    }

    /// Begins an interval at `now`: each node is due, those with a request in flight as soon as that ends.
    pub(super) fn begin(&mut self, now: Duration) {
        for state in self.nodes.values_mut() {
            let due = now + offset(&state.node.name, self.jitter);
            state.due = Some(due.max(state.rests_until));
        }
    }

    /// Returns the next node to scrape at `now`, whose request is then in flight.
    pub(super) fn next(&mut self, now: Duration) -> Option<Node> {
        if self.in_flight >= self.concurrency {
            return None;
        }
        let room_for_failing = self.failing_in_flight < (self.concurrency / 2).max(1);
        let waiting = self.nodes.values_mut().filter(|state| state.flight == Flight::None);
        let due = waiting.filter(|state| state.due.is_some_and(|due| due <= now));
        let allowed = due.filter(|state| state.failures == 0 || room_for_failing);
        let state = allowed.min_by_key(|state| (state.failures > 0, state.due))?;
        let failing = state.failures > 0;
        (state.due, state.flight) = (None, Flight::Under { failing });
        self.in_flight += 1;
        self.failing_in_flight += usize::from(failing);
        Some(state.node.clone())
    }

    /// Records an answer of a node; returns whether its request before had failed.
    pub(super) fn worked(&mut self, name: &str) -> bool {
        let Some(state) = self.nodes.get_mut(name) else { return false };
        let flight = std::mem::replace(&mut state.flight, Flight::None);
        let had_failed = std::mem::take(&mut state.failures) > 0;
        self.landed(flight);
        had_failed
    }

    /// Records a failure of a node at `now`, which then rests; `share` is the jitter. Returns whether it had worked
    /// before; `None` for a node that is gone.
    pub(super) fn failed(&mut self, name: &str, now: Duration, share: f64) -> Option<bool> {
        let state = self.nodes.get_mut(name)?;
        let flight = std::mem::replace(&mut state.flight, Flight::None);
        state.rests_until = now + REST.after(state.failures, share);
        state.failures = state.failures.saturating_add(1);
        state.due = Some(state.due.unwrap_or(Duration::ZERO).max(state.rests_until));
        let had_worked = state.failures == 1;
        self.landed(flight);
        Some(had_worked)
    }

    /// Returns when the next node after `now` is due. Nodes that are due and wait for other requests are left out.
    pub(super) fn next_due(&self, now: Duration) -> Option<Duration> {
        let waiting = self.nodes.values().filter(|state| state.flight == Flight::None);
        waiting.filter_map(|state| state.due).filter(|due| *due > now).min()
    }

    /// Whether no request is in flight or due at `now`.
    pub(super) fn is_quiet(&self, now: Duration) -> bool {
        self.in_flight == 0 && self.nodes.values().all(|state| state.due.is_none_or(|due| due > now))
    }

    fn landed(&mut self, flight: Flight) {
        if let Flight::Under { failing } = flight {
            self.in_flight -= 1;
            self.failing_in_flight -= usize::from(failing);
        }
    }
}

/// Returns the node's offset within the time over which requests are spread.
fn offset(name: &str, jitter: Duration) -> Duration {
    // The same in every process: points of a node stay equally far apart over a restart.
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(name);
    jitter.mul_f64((hash >> 11) as f64 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn node(name: &str) -> Node {
        Node { name: name.into(), address: format!("{name}:9090").into() }
    }

    fn schedule(names: &[&str], concurrency: usize) -> Schedule {
        let mut schedule = Schedule::new(Duration::ZERO, concurrency);
        schedule.set_nodes(names.iter().map(|name| node(name)));
        schedule
    }

    fn taken(schedule: &mut Schedule, now: Duration) -> Vec<String> {
        std::iter::from_fn(|| schedule.next(now)).map(|node| node.name.to_string()).collect()
    }

    #[test]
    fn every_node_is_scraped_once_in_an_interval() {
        let mut schedule = schedule(&["a", "b", "c"], 2);
        assert_eq!(taken(&mut schedule, SECOND), [""; 0], "not before the first interval");
        schedule.begin(SECOND);
        assert_eq!(taken(&mut schedule, SECOND), ["a", "b"], "two requests at a time");
        schedule.worked("a");
        assert_eq!(taken(&mut schedule, SECOND), ["c"]);
        for name in ["b", "c"] {
            schedule.worked(name);
        }
        assert!(schedule.is_quiet(SECOND));
        assert_eq!(schedule.next_due(SECOND), None);
        assert_eq!(taken(&mut schedule, 5 * SECOND), [""; 0]);
        schedule.begin(11 * SECOND);
        assert_eq!(taken(&mut schedule, 11 * SECOND), ["a", "b"]);
        schedule.begin(21 * SECOND);
        assert_eq!(taken(&mut schedule, 21 * SECOND), [""; 0], "no node has two requests in flight");
        schedule.worked("a");
        assert_eq!(taken(&mut schedule, 22 * SECOND), ["a"]);
    }

    #[test]
    fn requests_are_spread_and_each_node_keeps_its_offset() {
        let names: Vec<String> = (0..100).map(|number| format!("10.0.0.{number}")).collect();
        let mut schedule = Schedule::new(SECOND, 100);
        schedule.set_nodes(names.iter().map(|name| node(name)));
        schedule.begin(SECOND);
        let early = taken(&mut schedule, SECOND + SECOND / 2);
        assert!((30..=70).contains(&early.len()), "{}", early.len());
        assert_eq!(early.len() + taken(&mut schedule, 2 * SECOND).len(), 100, "none later than the jitter");
        assert_eq!(offset("10.0.0.1", SECOND), offset("10.0.0.1", SECOND));
    }

    #[test]
    fn a_node_that_failed_rests_longer_each_time_and_is_tried_again_in_the_same_interval() {
        let mut schedule = schedule(&["a"], 1);
        schedule.begin(SECOND);
        assert_eq!(taken(&mut schedule, SECOND), ["a"]);
        assert_eq!(schedule.failed("a", SECOND, 1.0), Some(true), "it had worked");
        assert_eq!(schedule.failed("gone", SECOND, 1.0), None);
        assert_eq!(schedule.next_due(SECOND), Some(2 * SECOND));
        assert_eq!(schedule.next_due(2 * SECOND), None, "it is due");
        assert_eq!(taken(&mut schedule, 2 * SECOND - Duration::from_millis(1)), [""; 0]);
        assert_eq!(taken(&mut schedule, 2 * SECOND), ["a"]);
        assert_eq!(schedule.failed("a", 2 * SECOND, 1.0), Some(false));
        schedule.begin(3 * SECOND);
        assert_eq!(taken(&mut schedule, 3 * SECOND), [""; 0], "a new interval does not end its rest");
        assert_eq!(taken(&mut schedule, 4 * SECOND), ["a"]);
        assert!(schedule.worked("a"), "it had failed");
        schedule.begin(5 * SECOND);
        assert_eq!(taken(&mut schedule, 5 * SECOND), ["a"]);
    }

    #[test]
    fn nodes_that_fail_leave_half_of_the_requests_to_others() {
        let mut schedule = schedule(&["a", "b", "c", "d", "e"], 4);
        schedule.begin(SECOND);
        for name in taken(&mut schedule, SECOND) {
            schedule.failed(&name, SECOND, 1.0);
        }
        schedule.begin(10 * SECOND);
        let due = taken(&mut schedule, 10 * SECOND);
        assert_eq!(due, ["e", "a", "b"], "the healthy one first, and two of the four that fail");
    }

    #[test]
    fn a_node_that_is_removed_frees_its_request() {
        let mut schedule = schedule(&["a", "b"], 1);
        schedule.begin(SECOND);
        assert_eq!(taken(&mut schedule, SECOND), ["a"]);
        schedule.set_nodes([node("b")]);
        assert!(!schedule.worked("a"), "its answer is ignored");
        assert_eq!(taken(&mut schedule, SECOND), ["b"]);
    }
}
