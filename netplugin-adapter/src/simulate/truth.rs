//! The expected results of a cluster, for tests: the merged points and the total traffic.
//!
//! The merge is implemented a second time here, on the model, so that it can check the decoder.

use super::Cluster;

/// Four counters, of one entry or summed over many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Bytes that clients received.
    pub bytes_in: u64,
    /// Bytes that clients sent.
    pub bytes_out: u64,
    /// Packets that clients received.
    pub packets_in: u64,
    /// Packets that clients sent.
    pub packets_out: u64,
}

impl Counts {
    /// Adds other counters. A simulation would have to run for centuries to overflow 64 bits.
    pub(super) fn add(&mut self, other: Self) {
        self.bytes_in = self.bytes_in.wrapping_add(other.bytes_in);
        self.bytes_out = self.bytes_out.wrapping_add(other.bytes_out);
        self.packets_in = self.packets_in.wrapping_add(other.packets_in);
        self.packets_out = self.packets_out.wrapping_add(other.packets_out);
    }
}

/// A point that the scrape of a node is expected to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TruePoint {
    /// The client.
    pub endpoint_ip: String,
    /// The service's virtual address.
    pub service_ip: String,
    /// The provider, or the service's address for traffic whose provider is not recorded.
    pub provider_ip: String,
    /// The cumulative counters.
    pub counts: Counts,
}

impl Cluster {
    /// Returns the points of a node, sorted by their addresses as text; none while the node is absent.
    #[must_use]
    pub fn points(&self, node: usize) -> Vec<TruePoint> {
        let mut points = Vec::new();
        if !self.is_present(node) {
            return points;
        }
        for (index, endpoint) in self.layout.endpoints_of(node) {
            for (one, entries) in self.traffic.uses(index, endpoint) {
                let service = &self.layout.services[one.service];
                let point = |provider_ip: &str, counts| TruePoint {
                    endpoint_ip: endpoint.ip.clone(),
                    service_ip: service.ip.clone(),
                    provider_ip: provider_ip.to_owned(),
                    counts,
                };
                let installed = one.providers.iter().zip(&entries[1..]).filter(|((_, from), _)| *from <= self.tick());
                let installed: Vec<_> =
                    installed.map(|((provider, _), counts)| (&*service.providers[*provider].ip, *counts)).collect();
                if let [(provider_ip, counts)] = installed[..] {
                    let mut both = counts;
                    both.add(entries[0]);
                    points.push(point(provider_ip, both));
                } else {
                    points.push(point(&service.ip, entries[0]));
                    points.extend(installed.iter().map(|&(provider_ip, counts)| point(provider_ip, counts)));
                }
            }
        }
        points.sort_by(|one, other| {
            let key =
                |point: &TruePoint| (point.endpoint_ip.clone(), point.service_ip.clone(), point.provider_ip.clone());
            key(one).cmp(&key(other))
        });
        points
    }

    /// Returns the total traffic of a service, regardless of resets; zero for an unknown service.
    #[must_use]
    pub fn sent(&self, service: usize) -> Counts {
        self.traffic.sent.get(service).copied().unwrap_or_default()
    }
}
