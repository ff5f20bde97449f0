//! What Netmaster knows of the services, as Contiv's page asks for it.
//!
//! The list of services, then the inspection of each, a few at a time. The answer is made once and used again for a
//! while: the page asks every few seconds for each of its users. Whoever asks while somebody else's question is under
//! way takes that answer, a failure too, so a Netmaster that hangs is asked once and not by everybody.
//!
//! A service that Netmaster lists but refuses to inspect is left out and named in the log: it may just have been
//! deleted. Any other failure fails the whole, as half a structure would be taken for all of it.

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

use super::get::{GetError, Getter};

/// Inspections under way at a time.
const CONCURRENCY: usize = 8;

/// Far above what a cluster has: a list longer than this is not followed.
const MAX_SERVICES: usize = 10_000;

/// Where Netmaster is and how it is asked.
#[derive(Clone, Debug)]
pub struct NetmasterSettings {
    /// `http://host:port`.
    pub base: String,
    /// For each request in all.
    pub timeout: Duration,
    pub max_body_bytes: usize,
    /// How long an answer is used again.
    pub cache: Duration,
}

/// Asks Netmaster.
pub(super) struct Netmaster {
    base: String,
    getter: Getter,
    cache: Duration,
    clock: Arc<dyn Clock>,
    /// Locked by the one that asks.
    last: Mutex<Option<Last>>,
}

/// An answer, or why there was none; and when, by the monotonic clock.
struct Last {
    at: Duration,
    outcome: Result<Bytes, Arc<str>>,
}

impl Netmaster {
    pub(super) fn new(settings: &NetmasterSettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            base: settings.base.clone(),
            getter: Getter::new(settings.timeout, settings.max_body_bytes),
            cache: settings.cache,
            clock,
            last: Mutex::new(None),
        }
    }

    /// The answer of `/services`; the error says which URL failed, how, and what to check.
    pub(super) async fn services(self: &Arc<Self>) -> Result<Bytes, Arc<str>> {
        let (this, came) = (Arc::clone(self), self.clock.monotonic());
        // In a task of its own: a client that goes away must not end the question that others wait for.
        let asked = tokio::spawn(async move { this.ask_or_take(came).await }).await;
        asked.unwrap_or_else(|error| Err(error.to_string().into()))
    }

    async fn ask_or_take(&self, came: Duration) -> Result<Bytes, Arc<str>> {
        let mut last = self.last.lock().await;
        let now = self.clock.monotonic();
        // What was answered after this request came is new enough, whatever the cache's time.
        if let Some(last) = last.as_ref().filter(|last| last.at > came || now < last.at.saturating_add(self.cache)) {
            return last.outcome.clone();
        }
        let outcome = self.ask().await.map_err(|error| Arc::from(format!("{error:#}")));
        if let Err(reason) = &outcome {
            warn!(%reason, "Netmaster could not say which services there are.");
        }
        *last = Some(Last { at: self.clock.monotonic(), outcome: outcome.clone() });
        outcome
    }

    async fn ask(&self) -> anyhow::Result<Bytes> {
        let url = format!("{}/api/v1/serviceLBs/", self.base);
        let body = get(self.getter.clone(), url.clone()).await.with_context(|| unanswered(&url))?;
        let list = service_list(&body).with_context(|| unanswered(&url))?;
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

    /// The inspections in the order of the services; `None` for one that Netmaster refuses.
    async fn inspect_all(&self, services: &[ServiceName]) -> anyhow::Result<Vec<Option<Inspection>>> {
        let mut inspections = vec![None; services.len()];
        let mut refusal = None;
        let mut under_way = JoinSet::new();
        let mut waiting = services.iter().enumerate();
        loop {
            while under_way.len() < CONCURRENCY
                && let Some((place, service)) = waiting.next()
            {
                let name = percent_encoded(&service.to_string(), RESERVED_BUT_COLON);
                let url = format!("{}/api/v1/inspect/serviceLBs/{name}/", self.base);
                let getter = self.getter.clone();
                under_way.spawn(async move { (place, get(getter, url.clone()).await, url) });
            }
            let Some(inspected) = under_way.join_next().await else { break };
            let (place, body, url) = inspected.context("an inspection broke off")?;
            match body {
                Ok(body) => {
                    inspections[place] = Some(inspection(&body).with_context(|| unanswered(&url))?);
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

/// The blocking request on a thread for such.
async fn get(getter: Getter, url: String) -> Result<Vec<u8>, GetError> {
    // It fails only when the runtime goes down, and nobody waits for an answer then.
    tokio::task::spawn_blocking(move || getter.get(&url)).await.unwrap_or(Err(GetError::Timeout))
}

fn unanswered(url: &str) -> String {
    format!("no good answer from {url}; check contiv.netmaster and that Netmaster runs")
}

#[cfg(test)]
mod tests;
