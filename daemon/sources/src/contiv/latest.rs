//! The newest answer of each node, for requests about an endpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use netplugin_adapter::ServiceStats;

/// The newest answer of each node, for requests about an endpoint.
#[derive(Debug, Default)]
pub struct Latest(RwLock<BTreeMap<Arc<str>, Answer>>);

#[derive(Debug)]
struct Answer {
    /// When it came, by the monotonic clock.
    at: Duration,
    stats: Arc<ServiceStats>,
}

impl Latest {
    /// Returns the newest answer of every node.
    pub fn nodes(&self) -> Vec<Arc<ServiceStats>> {
        let nodes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        nodes.values().map(|answer| Arc::clone(&answer.stats)).collect()
    }

    /// Returns the names of the nodes that have an answer.
    pub fn names(&self) -> Vec<Arc<str>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Returns the newest answer of one node.
    pub fn node(&self, name: &str) -> Option<Arc<ServiceStats>> {
        let nodes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        nodes.get(name).map(|answer| Arc::clone(&answer.stats))
    }

    pub(super) fn set(&self, node: Arc<str>, at: Duration, stats: Arc<ServiceStats>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(node, Answer { at, stats });
    }

    /// Removes nodes that are not among `known`, and answers that came before `oldest`.
    pub(super) fn keep(&self, known: &BTreeSet<Arc<str>>, oldest: Duration) {
        let mut nodes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        nodes.retain(|node, answer| known.contains(node) && answer.at >= oldest);
    }
}
