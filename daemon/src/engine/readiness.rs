//! A countdown of the parts that are not ready.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tracing::info;

/// A countdown of the parts that are not ready.
pub(crate) struct Readiness {
    ready: watch::Sender<bool>,
    missing: Mutex<usize>,
}

impl Readiness {
    /// `parts` parts must report readiness; the receiver turns true with the last one.
    pub(crate) fn new(parts: usize) -> (Arc<Self>, watch::Receiver<bool>) {
        let (ready, receiver) = watch::channel(false);
        (Arc::new(Self { ready, missing: parts.into() }), receiver)
    }

    /// One more part is ready.
    pub(crate) fn one_more(&self) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        *missing = missing.saturating_sub(1);
        if *missing == 0 {
            info!("Ready: all partitions are restored and the view has caught up.");
            self.ready.send_replace(true);
        }
    }
}
