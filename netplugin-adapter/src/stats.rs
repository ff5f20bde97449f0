//! A decoded body: the endpoints with the entries of their services, and the rejected endpoints.
//!
//! The entries are stored unmerged: each is one counter of Netplugin's that rises until it is reset, unlike a merged
//! one. The decoder has checked that their sums fit into 64 bits.

use crate::error::Rejected;
use crate::point::points;
use crate::tree::Tree;

/// The statistics of one node's endpoints. [`points`](crate::points) lists them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceStats {
    pub(crate) tree: Tree<Reading>,
    pub(crate) rejected: Vec<Rejected>,
    pub(crate) unknown: Vec<UnknownField>,
}

/// A field that is not read, of an object that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownField {
    /// The first object that has it: `service 100.1.1.3, provider 10.1.1.7`.
    pub location: String,
    /// Its name, truncated when long.
    pub found: String,
    /// The names of the fields that are read in such an object.
    pub known: Vec<&'static str>,
}

impl ServiceStats {
    /// Returns the addresses of the accepted endpoints, sorted as text, each once. An endpoint may have no points.
    pub fn endpoint_ips(&self) -> impl Iterator<Item = &str> {
        self.tree.endpoints().map(|endpoint| endpoint.ip())
    }

    /// Returns the place of an endpoint in [`endpoint_ips`](Self::endpoint_ips), by binary search.
    #[must_use]
    pub fn endpoint_index(&self, endpoint_ip: &str) -> Option<usize> {
        self.tree.endpoint_index(endpoint_ip)
    }

    /// Returns whether an endpoint has the same entries with the same counters in both.
    #[must_use]
    pub fn has_same_counters(&self, other: &Self, endpoint_ip: &str) -> bool {
        match (self.entries_of(endpoint_ip), other.entries_of(endpoint_ip)) {
            (Some(own), Some(others)) => own.eq(others),
            (own, others) => own.is_none() && others.is_none(),
        }
    }

    fn entries_of(&self, endpoint_ip: &str) -> Option<impl Iterator<Item = (&str, &str, &Counters)>> {
        let services = self.tree.endpoint(endpoint_ip)?.services();
        Some(
            services
                .flat_map(|service| service.entries().map(move |(ip, reading)| (service.ip, ip, &reading.counters))),
        )
    }

    /// Returns the number of [`points`](crate::points), in linear time.
    #[must_use]
    pub fn point_count(&self) -> usize {
        points(self).count()
    }

    /// Returns the rejected endpoints, in the order of the body.
    #[must_use]
    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    /// Returns the fields that were ignored, each name once, at most 16 of them: to find those that are misspelt. Of
    /// more, names near one that is read are preferred.
    #[must_use]
    pub fn unknown_fields(&self) -> &[UnknownField] {
        &self.unknown
    }

    /// Returns about how many bytes this takes on the heap, without the texts of [`rejected`](Self::rejected) and
    /// [`unknown_fields`](Self::unknown_fields).
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.tree.heap_bytes() + size_of::<Rejected>() * self.rejected.capacity()
    }
}

/// The counters of an entry, with the port and the form of its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Reading {
    pub(crate) counters: Counters,
    pub(crate) port: Port,
    pub(crate) form: Form,
}

/// The form of a service: which of an endpoint's counters are in which entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Form {
    /// Saved by a version that did not know it.
    #[default]
    Unknown = 0,
    /// One provider, whose entry has both directions, as in 2016.
    Single = 1,
    /// An entry for each provider, and one for what the endpoint sent.
    Several = 2,
}

impl Form {
    /// All forms, each at the index that is its number.
    pub(crate) const ALL: [Self; 3] = [Self::Unknown, Self::Single, Self::Several];

    /// Whether both are known and are not the same.
    pub(crate) fn differs(self, other: Self) -> bool {
        self != other && self != Self::Unknown && other != Self::Unknown
    }
}

/// A protocol and a port, each 0 when it is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Port {
    /// The number of IP; 255 for others than TCP and UDP.
    pub(crate) protocol: u8,
    pub(crate) number: u16,
}

impl Port {
    /// Returns whether both may be the same: what is not known matches.
    pub(crate) fn matches(self, other: Self) -> bool {
        let same = |one: u16, other: u16| one == other || one == 0 || other == 0;
        same(self.protocol.into(), other.protocol.into()) && same(self.number, other.number)
    }
}

/// Netplugin's `Datapath` from the endpoint's side: cumulative counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counters {
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) packets_in: u64,
    pub(crate) packets_out: u64,
}

impl Counters {
    /// Returns bytes and packets together: one number to compare readings by.
    pub(crate) fn total(self) -> u128 {
        [self.bytes_in, self.bytes_out, self.packets_in, self.packets_out].into_iter().map(u128::from).sum()
    }

    /// Returns the sum, or the name of the first counter that overflows.
    pub(crate) fn plus(self, other: Self) -> Result<Self, &'static str> {
        Ok(Self {
            bytes_in: self.bytes_in.checked_add(other.bytes_in).ok_or("BytesIn")?,
            bytes_out: self.bytes_out.checked_add(other.bytes_out).ok_or("BytesOut")?,
            packets_in: self.packets_in.checked_add(other.packets_in).ok_or("PacketsIn")?,
            packets_out: self.packets_out.checked_add(other.packets_out).ok_or("PacketsOut")?,
        })
    }

    /// Returns the growth since `before`; `None` when one of the four counters is below it.
    pub(crate) fn minus(self, before: Self) -> Option<Self> {
        Some(Self {
            bytes_in: self.bytes_in.checked_sub(before.bytes_in)?,
            bytes_out: self.bytes_out.checked_sub(before.bytes_out)?,
            packets_in: self.packets_in.checked_sub(before.packets_in)?,
            packets_out: self.packets_out.checked_sub(before.packets_out)?,
        })
    }
}
