//! The client of Netmaster: the services, in the form that Contiv's page reads.
//!
//! It requests the list of services, then the inspection of each, a few at a time. The answer is cached for a while:
//! the page requests it every few seconds for each of its users. Requests that come while another one is in flight
//! share its answer, or its failure, so a Netmaster that hangs gets one request and not one from each user.
//!
//! A service that Netmaster lists but refuses to inspect is left out and named in the log: it may just have been
//! deleted. Any other failure fails the whole answer, because half of it would look like all of it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Bytes;
use daemon_base::clock::Clock;
use daemon_base::outbound::{RESERVED_BUT_COLON, percent_encoded};
use netplugin_adapter::{Inspection, ServiceName, inspection, service_list, services_answer};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tracing::warn;
use ureq::tls::TlsConfig;

use super::get::{GetError, Getter, START_LENGTH, start};

/// Inspections in flight at a time.
const CONCURRENCY: usize = 8;

/// The longest list of services that is inspected, far above that of a real cluster.
const MAX_SERVICES: usize = 10_000;

/// The address of Netmaster and the limits of requests to it.
#[derive(Clone, Debug)]
pub struct NetmasterSettings {
    /// The base URL, `http://host:port` or `https://host:port`.
    pub base: String,
    /// The TLS of a base with https.
    pub tls: TlsConfig,
    /// The time limit of each request.
    pub timeout: Duration,
    /// The largest answer in bytes.
    pub max_body_bytes: usize,
    /// How long an answer is used again.
    pub cache: Duration,
}

/// The client of Netmaster with its cache.
pub(super) struct Netmaster {
    base: String,
    getter: Getter,
    cache: Duration,
    clock: Arc<dyn Clock>,
    /// Locked while a request is in flight.
    last: Mutex<Option<Last>>,
}

/// A cached answer or failure, and when it came by the monotonic clock.
struct Last {
    at: Duration,
    outcome: Result<Bytes, Arc<str>>,
}

impl Netmaster {
    pub(super) fn new(settings: &NetmasterSettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            base: settings.base.clone(),
            getter: Getter::new(settings.timeout, settings.max_body_bytes, settings.tls.clone()),
            cache: settings.cache,
            clock,
            last: Mutex::new(None),
        }
    }

    /// Returns the answer to `/services`.
    ///
    /// # Errors
    ///
    /// Which URL failed, how, and what to check.
    pub(super) async fn services(self: &Arc<Self>) -> Result<Bytes, Arc<str>> {
        let (this, came) = (Arc::clone(self), self.clock.monotonic());
        // In a task of its own: a client that goes away must not end the request that others wait for.
        let fetched = tokio::spawn(async move { this.fetch_or_share(came).await }).await;
        fetched.unwrap_or_else(|error| Err(error.to_string().into()))
    }

    async fn fetch_or_share(&self, came: Duration) -> Result<Bytes, Arc<str>> {
        let mut last = self.last.lock().await;
        let now = self.clock.monotonic();
        // What was answered after this request came is new enough, whatever the cache's time.
        if let Some(last) = last.as_ref().filter(|last| last.at > came || now < last.at.saturating_add(self.cache)) {
            return last.outcome.clone();
        }
        let outcome = self.fetch().await.map_err(|error| Arc::from(format!("{error:#}")));
        if let Err(reason) = &outcome {
            warn!(%reason, "Netmaster did not list its services.");
        }
        *last = Some(Last { at: self.clock.monotonic(), outcome: outcome.clone() });
        outcome
    }

    async fn fetch(&self) -> anyhow::Result<Bytes> {
        let url = format!("{}/api/v1/serviceLBs/", self.base);
        let body = get(self.getter.clone(), url.clone()).await.with_context(|| unanswered(&url))?;
        let list = service_list(&body).with_context(|| begins(&body)).with_context(|| unanswered(&url))?;
        if list.nameless > 0 {
            warn!(url, count = list.nameless, "Netmaster lists services without tenant or name; they are left out.");
        }
        let count = list.services.len();
        anyhow::ensure!(count <= MAX_SERVICES, "{url} lists {count} services, at most {MAX_SERVICES} are shown");
        let inspections = self.inspect_all(&list.services).await?;
        let known = list.services.iter().zip(&inspections);
        let known = known.filter_map(|(service, inspection)| Some((service, inspection.as_ref()?)));
        Ok(services_answer(known).into())
    }

    /// Returns the inspections in the order of the services; `None` for one that Netmaster refuses.
    async fn inspect_all(&self, services: &[ServiceName]) -> anyhow::Result<Vec<Option<Inspection>>> {
        let mut inspections = vec![None; services.len()];
        let mut refusal = None;
        let mut in_flight = JoinSet::new();
        let mut waiting = services.iter().enumerate();
        loop {
            while in_flight.len() < CONCURRENCY
                && let Some((index, service)) = waiting.next()
            {
                let name = percent_encoded(&service.to_string(), RESERVED_BUT_COLON);
                let url = format!("{}/api/v1/inspect/serviceLBs/{name}/", self.base);
                let getter = self.getter.clone();
                in_flight.spawn(async move { (index, get(getter, url.clone()).await, url) });
            }
            let Some(inspected) = in_flight.join_next().await else { break };
            let (index, body, url) = inspected.context("an inspection broke off")?;
            match body {
                Ok(body) => {
                    inspections[index] =
                        Some(inspection(&body).with_context(|| begins(&body)).with_context(|| unanswered(&url))?);
                }
                Err(GetError::Status { status, text }) => {
                    warn!(url, status, text, "Netmaster refuses to inspect a service; it is left out.");
                    refusal = Some(anyhow::anyhow!("the status is {status}: {text}").context(unanswered(&url)));
                }
                Err(error) => return Err(error).with_context(|| unanswered(&url)),
            }
        }
        match refusal {
            Some(refusal) if inspections.iter().all(Option::is_none) => Err(refusal),
            _ => Ok(inspections),
        }
    }
}

/// Sends the blocking request on a thread for such.
async fn get(getter: Getter, url: String) -> Result<Vec<u8>, GetError> {
    // It fails only when the runtime goes down, and the answer is not needed then.
    tokio::task::spawn_blocking(move || getter.get(&url)).await.unwrap_or(Err(GetError::Timeout(Duration::ZERO)))
}

fn begins(body: &[u8]) -> String {
    format!("the answer begins with `{}`", start(body, START_LENGTH))
}

fn unanswered(url: &str) -> String {
    format!("no good answer from {url}; check contiv.netmaster and that Netmaster runs")
}

#[cfg(test)]
mod tests;
