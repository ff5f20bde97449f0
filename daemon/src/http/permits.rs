//! The permits that bound what concurrent requests take, a kind for each kind of request: none waits for another kind.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::Response;
use daemon_base::listener::Client;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::http::rate::Rates;
use crate::http::{HttpSettings, busy};

/// The most responses with metrics at a time; each is some 100 KiB.
const METRICS: usize = 8;

/// The most responses with the status of partitions at a time; each is some 100 bytes a partition, and on Kafka a few
/// requests to the brokers.
const PARTITIONS: usize = 4;

/// The threads for blocking work that no request takes: the end of the engine, and a few requests of Contiv's page.
const OTHER_THREADS: usize = 32;

/// The time that a request which reads waits for its permit: several pages behind one proxy have one address, and send
/// requests at the same moments.
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

/// The shares that clients have in use or wait for, by client.
type ByClient = Arc<Mutex<HashMap<IpAddr, Arc<Semaphore>>>>;

/// Permits of one kind, of which a client has half at most: one client leaves some to the others.
pub(crate) struct Shares {
    /// The setting that is their number, if there is one.
    setting: Option<&'static str>,
    permits: Arc<Semaphore>,
    per_client: usize,
    by_client: ByClient,
}

/// A permit in the share of its client. The permit is free before the share is.
pub(super) struct SharePermit {
    _permit: OwnedSemaphorePermit,
    _claim: Claim,
}

/// A part of the share of a client: so many permits. They are free before the share is looked at.
struct Claim {
    _permits: OwnedSemaphorePermit,
    _share: Share,
}

/// The share of a client while a request has a part of it or waits for one; the last one removes it.
struct Share {
    client: IpAddr,
    permits: Option<Arc<Semaphore>>,
    by_client: ByClient,
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
        let (share, of_client) = self.share(client);
        let permits = |count: usize| u32::try_from(count).map_err(|_| InUse::All);
        let claim = of_client.try_acquire_many_owned(permits(count)?).map_err(|_| InUse::ShareOfClient)?;
        let claim = Claim { _permits: claim, _share: share };
        match Arc::clone(&self.permits).try_acquire_many_owned(permits(count)?) {
            Ok(permit) => Ok(SharePermit { _permit: permit, _claim: claim }),
            Err(_) => Err(InUse::All),
        }
    }

    /// A permit of the client; 429 if its share or all are in use.
    pub(super) fn take(&self, client: Client) -> Result<SharePermit, Box<Response>> {
        self.take_many(client, 1).map_err(|in_use| self.busy(in_use))
    }

    /// The same, but waits a moment if its share or all are in use, after those that wait already. A request that waits
    /// for the share of its client takes no permit of others.
    pub(super) async fn wait(&self, Client(client): Client) -> Result<SharePermit, Box<Response>> {
        let (share, of_client) = self.share(client);
        let until = Instant::now() + PERMIT_TIMEOUT;
        let Ok(Ok(permits)) = timeout_at(until, of_client.acquire_owned()).await else {
            return Err(self.busy(InUse::ShareOfClient));
        };
        let claim = Claim { _permits: permits, _share: share };
        match timeout_at(until, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(SharePermit { _permit: permit, _claim: claim }),
            _ => Err(self.busy(InUse::All)),
        }
    }

    /// The share of a client, and its permits.
    fn share(&self, client: IpAddr) -> (Share, Arc<Semaphore>) {
        let mut shares = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        let permits = Arc::clone(shares.entry(client).or_insert_with(|| Arc::new(Semaphore::new(self.per_client))));
        let share = Share { client, permits: Some(Arc::clone(&permits)), by_client: Arc::clone(&self.by_client) };
        (share, permits)
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

impl Drop for Share {
    fn drop(&mut self) {
        let mut shares = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        self.permits = None;
        // Every other reference is of a request: it is got under this lock.
        if shares.get(&self.client).is_some_and(|permits| Arc::strong_count(permits) == 1) {
            shares.remove(&self.client);
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
    async fn a_client_waits_for_its_share_and_for_permits_of_others() {
        let shares = Shares::new(None, 4);
        let client = |last| Client(IpAddr::from([127, 0, 0, last]));
        let [first, second] = [shares.wait(client(1)).await.ok(), shares.wait(client(1)).await.ok()];
        assert!(first.is_some() && second.is_some());
        assert!(shares.wait(client(1)).await.is_err(), "it has half, also a second later");
        let (waiting, freed) = (shares.wait(client(1)), async { drop(first) });
        let third = tokio::join!(waiting, freed).0;
        assert!(third.is_ok(), "it waits for a permit of its own");
        let others = [shares.wait(client(2)).await.ok(), shares.wait(client(3)).await.ok()];
        assert!(others.iter().all(Option::is_some), "what waited for a share took no permit of others");
        assert!(shares.wait(client(4)).await.is_err(), "all are in use, also a second later");
        let (waiting, freed) = (shares.wait(client(4)), async { drop(others) });
        assert!(tokio::join!(waiting, freed).0.is_ok());
        drop((second, third));
        let held =
            [shares.take(client(1)), shares.take(client(1)), shares.take(client(1))].map(|permit| permit.is_ok());
        assert_eq!(held, [true, true, false], "its share is free again");
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_client_without_requests() {
        let shares = Shares::new(None, 2);
        let client = Client(IpAddr::from([127, 0, 0, 1]));
        let held = shares.take(client).ok();
        assert!(held.is_some() && shares.wait(client).await.is_err() && shares.take(client).is_err());
        assert_eq!(shares.by_client.lock().unwrap().len(), 1);
        drop(held);
        assert!(shares.by_client.lock().unwrap().is_empty());
    }
}
