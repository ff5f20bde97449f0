//! The permits that bound what concurrent requests take, a kind for each kind of request: none waits for another kind.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::Response;
use daemon_base::listener::Client;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::http::rate::Rates;
use crate::http::{HttpSettings, busy};

/// The most responses with metrics at a time; each is some 100 KiB.
const METRICS: usize = 8;

/// The most responses with the status of partitions at a time; each is some 100 bytes a partition, and on Kafka a few
/// requests to the brokers.
const PARTITIONS: usize = 4;

/// The threads for blocking work that no request takes: the end of the engine, and a few requests of Contiv's page.
const OTHER_THREADS: usize = 32;

/// The time that a request for metrics or partitions waits for its permit.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(1);

/// The permits of all kinds. The probes need none.
pub(crate) struct Permits {
    /// For requests with samples.
    pub(super) samples: Shares,
    /// For lists of UVEs.
    pub(super) readers: Shares,
    /// For event streams.
    pub(super) streams: Shares,
    pub(super) metrics: Shares,
    pub(super) partitions: Shares,
    /// The requests of each client.
    pub(super) rates: Rates,
}

impl Permits {
    /// All permits of a server.
    pub(crate) fn new(settings: &HttpSettings) -> Self {
        Self {
            samples: Shares::new(Some("http.max_in_flight"), settings.max_in_flight),
            readers: Shares::new(Some("http.max_readers"), settings.max_readers),
            streams: Shares::new(Some("http.max_streams"), settings.max_streams),
            metrics: Shares::new(None, METRICS),
            partitions: Shares::new(None, PARTITIONS),
            rates: Rates::new(settings.max_requests_per_second),
        }
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
    /// The setting that is their number, if there is one.
    setting: Option<&'static str>,
    permits: Arc<Semaphore>,
    per_client: usize,
    by_client: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A permit in the share of its client. The permit is free before the share is.
pub(super) struct SharePermit {
    _permit: OwnedSemaphorePermit,
    _claim: Claim,
}

/// A part of the share of a client: so many permits.
struct Claim {
    client: IpAddr,
    count: usize,
    by_client: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// What is in use, so that there is no permit.
#[derive(Clone, Copy, Debug)]
pub(super) enum InUse {
    All,
    ShareOfClient,
}

impl Shares {
    /// So many permits, of which a client may have half.
    pub(super) fn new(setting: Option<&'static str>, permits: usize) -> Self {
        let permits = permits.min(Semaphore::MAX_PERMITS);
        let per_client = permits.div_ceil(2);
        Self { setting, permits: Arc::new(Semaphore::new(permits)), per_client, by_client: Arc::default() }
    }

    /// So many permits of the client as one.
    pub(super) fn take_many(&self, Client(client): Client, count: usize) -> Result<SharePermit, InUse> {
        let claim = self.claim(client, count)?;
        let count = u32::try_from(count).map_err(|_| InUse::All)?;
        match Arc::clone(&self.permits).try_acquire_many_owned(count) {
            Ok(permit) => Ok(SharePermit { _permit: permit, _claim: claim }),
            Err(_) => Err(InUse::All),
        }
    }

    /// A permit of the client; 429 if its share or all are in use.
    pub(super) fn take(&self, client: Client) -> Result<SharePermit, Box<Response>> {
        self.take_many(client, 1).map_err(|in_use| self.busy(in_use))
    }

    /// The same, but waits a moment if all are in use.
    pub(super) async fn wait(&self, Client(client): Client) -> Result<SharePermit, Box<Response>> {
        let claim = self.claim(client, 1).map_err(|in_use| self.busy(in_use))?;
        match timeout(PERMIT_TIMEOUT, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(SharePermit { _permit: permit, _claim: claim }),
            _ => Err(self.busy(InUse::All)),
        }
    }

    fn claim(&self, client: IpAddr, count: usize) -> Result<Claim, InUse> {
        let mut taken = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        let of_client = taken.get(&client).copied().unwrap_or_default().saturating_add(count);
        if of_client > self.per_client {
            return Err(InUse::ShareOfClient);
        }
        taken.insert(client, of_client);
        Ok(Claim { client, count, by_client: Arc::clone(&self.by_client) })
    }

    fn busy(&self, in_use: InUse) -> Box<Response> {
        let per_client = self.per_client;
        Box::new(busy(&match (in_use, self.setting) {
            (InUse::All, Some(setting)) => format!("all of {setting} are in use"),
            (InUse::All, None) => "too many clients are reading this path".to_owned(),
            (InUse::ShareOfClient, Some(setting)) => {
                format!("this address uses its share of {setting}, {per_client}; raise it for a proxy")
            }
            (InUse::ShareOfClient, None) => format!("this address reads this path {per_client} times already"),
        }))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut taken = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.client) {
            *count -= self.count;
            if *count == 0 {
                taken.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_half_of_many_permits_at_most_and_they_are_free_again() {
        let shares = Shares::new(None, 100);
        let client = |last| Client(IpAddr::from([127, 0, 0, last]));
        let first = shares.take_many(client(1), 40).expect("40 of its 50");
        assert!(matches!(shares.take_many(client(1), 11), Err(InUse::ShareOfClient)));
        let second = shares.take_many(client(2), 50).expect("another client has its own 50");
        assert!(matches!(shares.take_many(client(3), 11), Err(InUse::All)));
        assert!(shares.take_many(client(3), 10).is_ok(), "a refusal takes nothing");
        drop((first, second));
        assert!(shares.take_many(client(1), 50).is_ok());
    }

    #[tokio::test]
    async fn a_client_waits_for_a_permit_of_others_but_not_for_more_than_its_share() {
        let shares = Shares::new(None, 4);
        let client = |last| Client(IpAddr::from([127, 0, 0, last]));
        let first = [shares.wait(client(1)).await.ok(), shares.wait(client(1)).await.ok()];
        assert!(first.iter().all(Option::is_some) && shares.wait(client(1)).await.is_err(), "it has half");
        let others = [shares.wait(client(2)).await.ok(), shares.wait(client(3)).await.ok()];
        assert!(others.iter().all(Option::is_some));
        assert!(shares.wait(client(4)).await.is_err(), "all are in use, also a second later");
        let waiting = shares.wait(client(4));
        let freed = async { drop(others) };
        assert!(tokio::join!(waiting, freed).0.is_ok());
        drop(first);
        let held =
            [shares.take(client(1)), shares.take(client(1)), shares.take(client(1))].map(|permit| permit.is_ok());
        assert_eq!(held, [true, true, false], "its share is free again");
    }
}
