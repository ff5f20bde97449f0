//! Counts down to readiness.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tracing::info;

/// What is missing until the daemon can do its work.
pub(crate) struct Readiness {
    ready: watch::Sender<bool>,
    missing: Mutex<usize>,
}

impl Readiness {
    /// So many parts must say that they are ready. The receiver turns true with the last one.
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
