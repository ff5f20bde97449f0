//! The newest answer of each node, for requests about an endpoint.
//!
//! Netplugin never deletes an endpoint that moved to another node, so several nodes may have it. The one whose counters
//! changed last is current: between scrapes of the node, by the time of the scrape.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use netplugin_adapter::ServiceStats;

/// The newest answer of each node, for requests about an endpoint.
#[derive(Debug, Default)]
pub struct Latest(RwLock<Nodes>);

#[derive(Debug, Default)]
struct Nodes {
    answers: BTreeMap<Arc<str>, Answer>,
    /// Older answers are not given out. They are kept to find what the next one changes.
    oldest: Duration,
}

#[derive(Debug)]
struct Answer {
    /// The scrape that it came in, by the monotonic clock.
    at: Duration,
    stats: Arc<ServiceStats>,
    /// For each endpoint of `stats` the scrape in which its counters were others than in the one before; `None` if
    /// there was none.
    changed: Vec<Option<Duration>>,
}

impl Latest {
    /// Returns the newest answer of every node that has an endpoint, with the node's name, in the order of the names.
    pub fn nodes_of(&self, endpoint_ip: &str) -> Vec<(Arc<str>, Arc<ServiceStats>)> {
        let has_it = |answer: &&Answer| answer.stats.endpoint_index(endpoint_ip).is_some();
        self.read(|nodes| {
            let found = nodes.current().filter(|(_, answer)| has_it(answer));
            found.map(|(name, answer)| (Arc::clone(name), Arc::clone(&answer.stats))).collect()
        })
    }

    /// Returns the names of the nodes that have an answer.
    pub fn names(&self) -> Vec<Arc<str>> {
        self.read(|nodes| nodes.current().map(|(name, _)| Arc::clone(name)).collect())
    }

    /// Returns the newest answer of one node.
    pub fn node(&self, name: &str) -> Option<Arc<ServiceStats>> {
        self.read(|nodes| Some(Arc::clone(&nodes.answers.get(name).filter(|it| it.at >= nodes.oldest)?.stats)))
    }

    /// Returns the newest answers of the nodes that have an endpoint: the one whose counters changed last comes first,
    /// and of several the first by name.
    pub fn of_endpoint(&self, endpoint_ip: &str) -> Vec<Arc<ServiceStats>> {
        self.read(|nodes| {
            let mut found: Vec<_> = nodes.current().filter_map(|(_, answer)| answer.of(endpoint_ip)).collect();
            found.sort_by_key(|(changed, _)| std::cmp::Reverse(*changed));
            found.into_iter().map(|(_, stats)| Arc::clone(stats)).collect()
        })
    }

    /// Replaces the answer of a node by that of the scrape at `at`.
    pub(super) fn set(&self, node: Arc<str>, at: Duration, stats: Arc<ServiceStats>) {
        // Nobody else writes, so that the comparison holds up no reader.
        let before = self.read(|nodes| nodes.answers.get(&node).map(|it| (Arc::clone(&it.stats), it.changed.clone())));
        let changed = match before {
            None => vec![None; stats.endpoint_ips().count()],
            Some((before, changed)) => changes(&before, &changed, &stats, at),
        };
        let mut nodes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        nodes.answers.insert(node, Answer { at, stats, changed });
    }

    /// Removes nodes that are not among `known`, and hides answers that came before `oldest`.
    pub(super) fn keep(&self, known: &BTreeSet<Arc<str>>, oldest: Duration) {
        let mut nodes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        nodes.answers.retain(|node, _| known.contains(node));
        nodes.oldest = oldest;
    }

    fn read<T>(&self, read: impl FnOnce(&Nodes) -> T) -> T {
        read(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Nodes {
    fn current(&self) -> impl Iterator<Item = (&Arc<str>, &Answer)> {
        self.answers.iter().filter(|(_, answer)| answer.at >= self.oldest)
    }
}

impl Answer {
    /// Returns when an endpoint changed last, with the answer; `None` if it has no such endpoint.
    fn of(&self, endpoint_ip: &str) -> Option<(Option<Duration>, &Arc<ServiceStats>)> {
        let index = self.stats.endpoint_index(endpoint_ip)?;
        Some((self.changed.get(index).copied().flatten(), &self.stats))
    }
}

/// Returns when each endpoint of `now` changed last, of which `before` is the answer before, at `at`.
fn changes(
    before: &ServiceStats,
    changed: &[Option<Duration>],
    now: &ServiceStats,
    at: Duration,
) -> Vec<Option<Duration>> {
    let change = |endpoint_ip: &str| match before.endpoint_index(endpoint_ip) {
        Some(index) if now.has_same_counters(before, endpoint_ip) => changed.get(index).copied().flatten(),
        _ => Some(at),
    };
    now.endpoint_ips().map(change).collect()
}

#[cfg(test)]
mod tests {
    use netplugin_adapter::{Limits, decode, points_of};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The counter of `e` in the first answer of those that have it, after scrapes such as `a@1=5`: the node, the
    /// second and the counter, which is missing where the node does not have the endpoint.
    fn first(scrapes: &str) -> Option<u64> {
        let latest = Latest::default();
        for scrape in scrapes.split(' ') {
            let (node, scrape) = scrape.split_once('@').unwrap();
            let (at, bytes) = scrape.split_once('=').map_or((scrape, None), |(at, bytes)| (at, Some(bytes)));
            let endpoint =
                |bytes| format!(r#""e":{{"SvcStats":{{"s":{{"ProvStats":{{"p":{{"BytesIn":{bytes}}}}}}}}}}}"#);
            let body = format!("{{{}}}", bytes.map(endpoint).unwrap_or_default());
            let stats = decode(body.as_bytes(), &Limits::default()).unwrap();
            latest.set(node.into(), SECOND * at.parse::<u32>().unwrap(), Arc::new(stats));
        }
        let found = latest.of_endpoint("e");
        Some(points_of(found.first()?, "e").next()?.bytes_in)
    }

    #[test]
    fn of_an_endpoint_on_several_nodes_the_one_that_changed_last_comes_first() {
        let table = [
            ("none has it", "a@1", None),
            ("none changed", "a@1=1 b@1=2", Some(1)),
            ("the second changes", "a@1=1 b@1=2 a@2=1 b@2=3", Some(3)),
            ("the first changes", "a@1=1 b@1=2 b@2=2 a@2=5", Some(5)),
            ("a later scrape of a frozen one is not a change", "a@1=1 b@1=2 b@2=3 a@3=1 a@4=1", Some(3)),
            ("it moves to a node that is known", "a@1=8 b@1 a@2=9 b@3=1 a@3=9", Some(1)),
            ("it moves back", "a@1=8 b@1 b@2=1 a@2=8 a@3=9 b@3=1", Some(9)),
            ("both change: the first by name", "b@1=1 a@1=4 a@2=5 b@2=2", Some(5)),
        ];
        for (name, scrapes, expected) in table {
            assert_eq!(first(scrapes), expected, "{name}");
        }
    }

    #[test]
    fn an_answer_that_is_too_old_is_hidden_and_compared_with_the_next_one() {
        let latest = Latest::default();
        let body =
            |bytes: u64| format!(r#"{{"e":{{"SvcStats":{{"s":{{"ProvStats":{{"p":{{"BytesIn":{bytes}}}}}}}}}}}}}"#);
        let set = |node: &str, at: u32, bytes: u64| {
            latest.set(node.into(), SECOND * at, Arc::new(decode(body(bytes).as_bytes(), &Limits::default()).unwrap()));
        };
        set("a", 1, 1);
        set("b", 1, 2);
        set("a", 2, 5);
        let both = BTreeSet::from(["a".into(), "b".into()]);
        latest.keep(&both, SECOND * 3);
        assert_eq!((latest.nodes_of("e").len(), latest.names().len(), latest.node("a").is_some()), (0, 0, false));
        set("b", 9, 3);
        set("a", 9, 5);
        assert_eq!(points_of(&latest.of_endpoint("e")[0], "e").next().unwrap().bytes_in, 3, "it changed meanwhile");
        latest.keep(&BTreeSet::from(["a".into()]), Duration::ZERO);
        assert_eq!(latest.of_endpoint("e").len(), 1);
    }
}
