//! When each node is scraped.
//!
//! All points of a scrape carry its time, which is a multiple of the interval. Within an interval every node has an
//! offset of its own, always the same, so that the nodes are not asked all at once. A node that failed is asked again
//! after a rest that doubles with each failure in a row, in the same interval if there is time; what comes after its
//! interval is dropped, since the next answer holds the same counters and more.
//!
//! Nodes that fail must not keep the others waiting: they come after them, and have at most half of the places.

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
    /// When to ask; `None` if it was requested in this interval.
    due: Option<Duration>,
    rests_until: Duration,
    /// In a row.
    failures: u32,
    flight: Flight,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Flight {
    None,
    /// Asked, having failed before or not.
    Under {
        failing: bool,
    },
}

impl Schedule {
    pub(super) fn new(jitter: Duration, concurrency: usize) -> Self {
        Self { nodes: BTreeMap::new(), jitter, concurrency, in_flight: 0, failing_in_flight: 0 }
    }

    /// The nodes from now on. New ones are scraped from the next interval on.
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
        for gone in old.into_values() {
            self.landed(gone.flight);
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.nodes.keys()
    }

    /// Begins an interval at `now`: each node is due, those with a request in flight as soon as that ends.
    pub(super) fn begin(&mut self, now: Duration) {
        for state in self.nodes.values_mut() {
            let turn = now + offset(&state.node.name, self.jitter);
            state.due = Some(turn.max(state.rests_until));
        }
    }

    /// The next node to ask at `now`, which is then under way.
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

    /// The answer of a node has come. Whether it had failed before.
    pub(super) fn worked(&mut self, name: &str) -> bool {
        let Some(state) = self.nodes.get_mut(name) else { return false };
        let flight = std::mem::replace(&mut state.flight, Flight::None);
        let had_failed = std::mem::take(&mut state.failures) > 0;
        self.landed(flight);
        had_failed
    }

    /// A node failed at `now`: it rests, for a time of which `share` (0 to 1) is left to chance. Whether it had worked
    /// before.
    pub(super) fn failed(&mut self, name: &str, now: Duration, share: f64) -> bool {
        let Some(state) = self.nodes.get_mut(name) else { return false };
        let flight = std::mem::replace(&mut state.flight, Flight::None);
        state.rests_until = now + REST.after(state.failures, share);
        state.failures = state.failures.saturating_add(1);
        state.due = Some(state.due.unwrap_or(Duration::ZERO).max(state.rests_until));
        let had_worked = state.failures == 1;
        self.landed(flight);
        had_worked
    }

    /// When the next node after `now` is due, as far as it is known. Nodes that wait for others to end are left out.
    pub(super) fn next_due(&self, now: Duration) -> Option<Duration> {
        let waiting = self.nodes.values().filter(|state| state.flight == Flight::None);
        waiting.filter_map(|state| state.due).filter(|due| *due > now).min()
    }

    /// Whether nobody is being asked or has to be at `now`.
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

/// The node's own part of the time over which requests are spread.
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
    fn every_node_is_asked_once_in_a_beat() {
        let mut schedule = schedule(&["a", "b", "c"], 2);
        assert_eq!(taken(&mut schedule, SECOND), [""; 0], "not before the first beat");
        schedule.begin(SECOND);
        assert_eq!(taken(&mut schedule, SECOND), ["a", "b"], "two places");
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
        assert_eq!(taken(&mut schedule, 21 * SECOND), [""; 0], "nobody is asked twice at a time");
        schedule.worked("a");
        assert_eq!(taken(&mut schedule, 22 * SECOND), ["a"]);
    }

    #[test]
    fn requests_are_spread_and_each_node_keeps_its_place() {
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
    fn a_node_that_failed_rests_longer_each_time_and_is_asked_again_in_the_same_beat() {
        let mut schedule = schedule(&["a"], 1);
        schedule.begin(SECOND);
        assert_eq!(taken(&mut schedule, SECOND), ["a"]);
        assert!(schedule.failed("a", SECOND, 1.0), "it had worked");
        assert_eq!(schedule.next_due(SECOND), Some(2 * SECOND));
        assert_eq!(schedule.next_due(2 * SECOND), None, "it is due");
        assert_eq!(taken(&mut schedule, 2 * SECOND - Duration::from_millis(1)), [""; 0]);
        assert_eq!(taken(&mut schedule, 2 * SECOND), ["a"]);
        assert!(!schedule.failed("a", 2 * SECOND, 1.0));
        schedule.begin(3 * SECOND);
        assert_eq!(taken(&mut schedule, 3 * SECOND), [""; 0], "a new beat does not end its rest");
        assert_eq!(taken(&mut schedule, 4 * SECOND), ["a"]);
        assert!(schedule.worked("a"), "it had failed");
        schedule.begin(5 * SECOND);
        assert_eq!(taken(&mut schedule, 5 * SECOND), ["a"]);
    }

    #[test]
    fn nodes_that_fail_leave_half_of_the_places_to_others() {
        let mut schedule = schedule(&["a", "b", "c", "d", "e"], 4);
        schedule.begin(SECOND);
        for name in taken(&mut schedule, SECOND) {
            schedule.failed(&name, SECOND, 1.0);
        }
        schedule.begin(10 * SECOND);
        let asked = taken(&mut schedule, 10 * SECOND);
        assert_eq!(asked, ["e", "a", "b"], "the healthy one first, and two of the four that fail");
    }

    #[test]
    fn a_node_that_goes_gives_its_place_back() {
        let mut schedule = schedule(&["a", "b"], 1);
        schedule.begin(SECOND);
        assert_eq!(taken(&mut schedule, SECOND), ["a"]);
        schedule.set_nodes([node("b")]);
        assert!(!schedule.worked("a"), "its answer is nobody's");
        assert_eq!(taken(&mut schedule, SECOND), ["b"]);
    }
}
