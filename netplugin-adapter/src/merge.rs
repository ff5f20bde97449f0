//! The merge of one service's entries to flows.
//!
//! Netplugin records both directions under the source address: a provider's traffic under the provider, the endpoint's
//! traffic under the endpoint, without the provider that it went to. With one provider the two entries are one flow.
//! With more, the endpoint's entry becomes a flow with the service's address as its provider: a copy for each provider
//! would count twice in a sum, and a proportional share would be a guess. If the service's address is a provider too,
//! the entry is added to that provider, so that no pair appears twice.
//!
//! The rule applies to all four counters of the own entry, also to *In*, which is nearly always 0: so the sum over the
//! flows equals the sum over the entries for every counter.

use crate::decode::Entries;
use crate::stats::{Counters, Reading};
use crate::tree::Service;

/// The endpoint's own entry of a service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own<'a> {
    /// Its index among the entries.
    pub(crate) index: usize,
    /// The provider that it is merged into.
    pub(crate) provider_ip: &'a str,
    counters: Counters,
}

/// Returns the endpoint's own entry and the provider that it is merged into; `None` when there is none.
pub(crate) fn own(service: Service<'_, Reading>) -> Option<Own<'_>> {
    let index = service.position(service.endpoint_ip)?;
    let (_, &Reading { counters, .. }) = service.entry(index)?;
    let ips = service.entries().map(|(ip, _)| ip);
    let provider_ip = own_provider(service.endpoint_ip, service.ip, ips);
    Some(Own { index, provider_ip, counters })
}

/// Returns the provider of the endpoint's own entry: the only provider, else the service's address.
fn own_provider<'a>(endpoint_ip: &str, service_ip: &'a str, ips: impl Iterator<Item = &'a str>) -> &'a str {
    let mut providers = ips.filter(|&ip| ip != endpoint_ip);
    match (providers.next(), providers.next()) {
        (Some(only), None) => only,
        _ => service_ip,
    }
}

/// Checks that the merged counters of a service fit into 64 bits; the error is the name of the one that overflows.
pub(crate) fn check(endpoint_ip: &str, service_ip: &str, entries: &Entries<'_>) -> Result<(), &'static str> {
    let Some(&own) = entries.get(endpoint_ip) else { return Ok(()) };
    match own_provider(endpoint_ip, service_ip, entries.keys().map(|ip| &**ip)) {
        // The service has the endpoint's address: the entry is the flow.
        ip if ip == endpoint_ip => Ok(()),
        ip => entries.get(ip).map_or(Ok(()), |counters| counters.plus(own).map(|_| ())),
    }
}

/// Returns the counters between the endpoint and each provider, sorted by provider, each once.
pub(crate) fn flows(service: Service<'_, Reading>) -> impl Iterator<Item = (&str, Counters)> {
    Flows { service, next: 0, own: own(service), own_is_due: true }
}

struct Flows<'a> {
    service: Service<'a, Reading>,
    next: usize,
    own: Option<Own<'a>>,
    /// Whether the own entry is still to be returned.
    own_is_due: bool,
}

impl<'a> Iterator for Flows<'a> {
    type Item = (&'a str, Counters);

    fn next(&mut self) -> Option<Self::Item> {
        if self.own.is_some_and(|own| own.index == self.next) {
            self.next += 1;
        }
        let entry = self.service.entry(self.next);
        let due = self.own.filter(|_| self.own_is_due);
        match (entry, due) {
            (Some((ip, &Reading { counters, .. })), Some(own)) if ip == own.provider_ip => {
                self.next += 1;
                self.own_is_due = false;
                // The decoder rejects sums that overflow.
                Some((ip, counters.plus(own.counters).unwrap_or(counters)))
            }
            (Some((ip, &Reading { counters, .. })), due) if due.is_none_or(|own| ip < own.provider_ip) => {
                self.next += 1;
                Some((ip, counters))
            }
            (_, Some(own)) => {
                self.own_is_due = false;
                Some((own.provider_ip, own.counters))
            }
            (_, None) => None,
        }
    }
}
