//! The permits that bound what concurrent requests take, a kind for each kind of request: none waits for another kind.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::Response;
use daemon_base::listener::Client;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::http::{HttpSettings, busy};

/// The most responses with metrics at a time; each is some 100 KiB.
const METRICS: usize = 8;

/// The most responses with the status of partitions at a time; each is some 100 bytes a partition, and on Kafka a few
/// requests to the brokers.
const PARTITIONS: usize = 4;

/// The threads for blocking work that no request takes: the end of the engine, and a few requests of Contiv's page.
const OTHER_THREADS: usize = 32;

/// The time that a request for metrics or partitions waits for its permit.
const PATIENCE: Duration = Duration::from_secs(1);

/// The permits of all kinds. The probes need none.
pub(crate) struct Permits {
    /// For requests with samples.
    pub(super) samples: Arc<Semaphore>,
    /// For lists of UVEs.
    pub(super) readers: Shares,
    /// For event streams.
    pub(super) streams: Shares,
    pub(super) metrics: Arc<Semaphore>,
    pub(super) partitions: Arc<Semaphore>,
}

impl Permits {
    /// All permits of a server.
    pub(crate) fn new(settings: &HttpSettings) -> Self {
        let [samples, metrics, partitions] =
            [settings.max_in_flight, METRICS, PARTITIONS].map(|permits| Arc::new(Semaphore::new(permits)));
        let readers = Shares::new("http.max_readers", settings.max_readers);
        let streams = Shares::new("http.max_streams", settings.max_streams);
        Self { samples, readers, streams, metrics, partitions }
    }
}

/// The threads for blocking work that the settings allow: one for each permit, so that no request, probe or stop waits
/// for those that wait for the log.
pub(crate) fn blocking_threads(settings: &HttpSettings) -> usize {
    let HttpSettings { max_in_flight, max_readers, max_streams, .. } = settings;
    max_in_flight + max_readers + max_streams + METRICS + PARTITIONS + OTHER_THREADS
}

/// Permits of one kind, of which a client has half at most: one client leaves some to the others.
pub(crate) struct Shares {
    /// The setting that is their number.
    setting: &'static str,
    permits: Arc<Semaphore>,
    per_client: usize,
    by_client: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A permit in the share of its client.
pub(super) struct SharePermit {
    _permit: OwnedSemaphorePermit,
    client: IpAddr,
    by_client: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Shares {
    fn new(setting: &'static str, permits: usize) -> Self {
        let per_client = permits.div_ceil(2);
        Self { setting, permits: Arc::new(Semaphore::new(permits)), per_client, by_client: Arc::default() }
    }

    /// A permit of the client; 429 if its share or all are in use.
    pub(super) fn take(&self, Client(client): Client) -> Result<SharePermit, Box<Response>> {
        let Self { setting, per_client, .. } = self;
        let mut taken = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.get(&client).is_some_and(|taken| taken >= per_client) {
            let reason = format!("this address uses its share of {setting}, {per_client}; raise it for a proxy");
            return Err(Box::new(busy(&reason)));
        }
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return Err(Box::new(busy(&format!("all of {setting} are in use"))));
        };
        *taken.entry(client).or_default() += 1;
        Ok(SharePermit { _permit: permit, client, by_client: Arc::clone(&self.by_client) })
    }
}

impl Drop for SharePermit {
    fn drop(&mut self) {
        let mut taken = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.client);
            }
        }
    }
}

/// A permit, for which the request waits a moment; 429 if none is free then.
pub(super) async fn wait_for(permits: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Box<Response>> {
    match timeout(PATIENCE, Arc::clone(permits).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        _ => Err(Box::new(busy("too many clients are reading this path"))),
    }
}
