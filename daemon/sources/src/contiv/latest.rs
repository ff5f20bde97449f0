//! The newest answer of each node, for requests about an endpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use netplugin_adapter::ServiceStats;

/// The newest answer of each node, for requests about an endpoint.
#[derive(Debug, Default)]
pub struct Latest(RwLock<BTreeMap<Arc<str>, Said>>);

#[derive(Debug)]
struct Said {
    /// By the monotonic clock.
    at: Duration,
    stats: Arc<ServiceStats>,
}

impl Latest {
    /// The newest answer of every node.
    pub fn nodes(&self) -> Vec<Arc<ServiceStats>> {
        let nodes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        nodes.values().map(|said| Arc::clone(&said.stats)).collect()
    }

    pub(super) fn set(&self, node: Arc<str>, at: Duration, stats: Arc<ServiceStats>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(node, Said { at, stats });
    }

    /// Forgets nodes that are not among `known`, and what was said before `oldest`.
    pub(super) fn keep(&self, known: &BTreeSet<Arc<str>>, oldest: Duration) {
        let mut nodes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        nodes.retain(|node, said| known.contains(node) && said.at >= oldest);
    }
}
