//! The permits that bound what concurrent requests take, a kind for each kind of request: none waits for another kind.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::http::{HttpSettings, busy};

/// The most responses with metrics at a time; each is some 100 KiB.
const METRICS: usize = 8;

/// The most responses with the status of partitions at a time; each is some 100 bytes a partition, and on Kafka a few
/// requests to the brokers.
const PARTITIONS: usize = 4;

/// The time that a request for metrics or partitions waits for its permit.
const PATIENCE: Duration = Duration::from_secs(1);

/// The permits of all kinds. The probes need none.
pub(crate) struct Permits {
    /// For requests with samples.
    pub(super) samples: Arc<Semaphore>,
    /// For lists of UVEs.
    pub(super) readers: Arc<Semaphore>,
    /// For event streams.
    pub(super) streams: Arc<Semaphore>,
    pub(super) metrics: Arc<Semaphore>,
    pub(super) partitions: Arc<Semaphore>,
}

impl Permits {
    /// All permits of a server.
    pub(crate) fn new(settings: &HttpSettings) -> Self {
        let [samples, readers, streams, metrics, partitions] =
            [settings.max_in_flight, settings.max_readers, settings.max_streams, METRICS, PARTITIONS]
                .map(|permits| Arc::new(Semaphore::new(permits)));
        Self { samples, readers, streams, metrics, partitions }
    }
}

/// A permit, for which the request waits a moment; 429 if none is free then.
pub(super) async fn wait_for(permits: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Box<Response>> {
    match timeout(PATIENCE, Arc::clone(permits).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(Box::new(busy("too many clients are reading this path"))),
    }
}
