//! The points whose counters have changed since a time.
//!
//! Netplugin keeps the entry of a provider that was replaced, and an endpoint that moved to another node, until it
//! restarts: their counters stand still. The merge is that of all entries, so that a point has the same counters
//! whether or not others are left out.

use super::NodeCounters;
use crate::merge::{flows, own};
use crate::point::{Point, point};
use crate::stats::{Reading, ServiceStats};
use crate::tree::Service;

impl NodeCounters {
    /// Returns the [`points`](crate::points) of the last scrape whose counters changed at `oldest` or later, in
    /// microseconds. `stats` is that scrape. The first scrape of an entry is a change.
    pub fn changed_points<'s>(&'s self, stats: &'s ServiceStats, oldest: u64) -> impl Iterator<Item = Point<'s>> {
        stats.tree.services().flat_map(move |service| {
            let points = flows(service).map(move |(provider_ip, counters)| point(service, provider_ip, counters));
            points.filter(move |point| self.changed(service, point.provider_ip).is_none_or(|changed| changed >= oldest))
        })
    }

    /// Returns when the newest of the entries that are merged to a point changed; `None` for unknown entries.
    fn changed(&self, service: Service<'_, Reading>, provider_ip: &str) -> Option<u64> {
        let entries = self.entries.endpoint(service.endpoint_ip)?.service(service.ip)?;
        let of = |ip: &str| Some(entries.entry(entries.position(ip)?)?.1.changed);
        let own = own(service).filter(|own| own.provider_ip == provider_ip).and_then(|_| of(service.endpoint_ip));
        // The service's own point has the endpoint's entry alone.
        of(provider_ip).filter(|_| service.position(provider_ip).is_some()).max(own)
    }
}
