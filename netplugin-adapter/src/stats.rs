//! A decoded body: endpoints, their services, and for each service what flowed to and from whom.
//!
//! The entries are merged while they are decoded, so a value of these types is always within 64 bits, sorted and free
//! of duplicates. Each list is sorted by address as text: the order of the points needs no further work.

use crate::error::Rejected;

/// What one node's Netplugin says about its endpoints. [`points`](crate::points) lists it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceStats {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) rejected: Vec<Rejected>,
}

impl ServiceStats {
    /// The addresses of the good endpoints, sorted as text, each once. One may be without points.
    pub fn endpoint_ips(&self) -> impl Iterator<Item = &str> {
        self.endpoints.iter().map(|endpoint| &*endpoint.ip)
    }

    /// The endpoints set aside: in the order of the body, then those listed twice.
    #[must_use]
    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) ip: Box<str>,
    pub(crate) services: Vec<Service>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) ip: Box<str>,
    pub(crate) flows: Vec<Flow>,
}

/// Traffic of an endpoint through a service with one provider, or with all of them under the service's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) provider_ip: Box<str>,
    pub(crate) counters: Counters,
}

/// Netplugin's `Datapath`, as the endpoint sees it. Cumulative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counters {
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) packets_in: u64,
    pub(crate) packets_out: u64,
}

impl Counters {
    /// Both together, or the name of the first counter that leaves 64 bits.
    pub(crate) fn plus(self, other: Self) -> Result<Self, &'static str> {
        Ok(Self {
            bytes_in: self.bytes_in.checked_add(other.bytes_in).ok_or("BytesIn")?,
            bytes_out: self.bytes_out.checked_add(other.bytes_out).ok_or("BytesOut")?,
            packets_in: self.packets_in.checked_add(other.packets_in).ok_or("PacketsIn")?,
            packets_out: self.packets_out.checked_add(other.packets_out).ok_or("PacketsOut")?,
        })
    }
}
