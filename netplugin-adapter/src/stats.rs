//! A decoded body: the endpoints with the entries of their services, and those that were rejected.
//!
//! The entries are kept as they came, not merged: each is one counter of Netplugin's that rises until it is reset,
//! which a merged one is not. That their sums stay within 64 bits was seen to while decoding.

use crate::error::Rejected;
use crate::point::points;
use crate::tree::Tree;

/// What one node's Netplugin says about its endpoints. [`points`](crate::points) lists it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceStats {
    pub(crate) tree: Tree<Counters>,
    pub(crate) rejected: Vec<Rejected>,
}

impl ServiceStats {
    /// The addresses of the good endpoints, sorted as text, each once. One may be without points.
    pub fn endpoint_ips(&self) -> impl Iterator<Item = &str> {
        self.tree.endpoints().map(|endpoint| endpoint.ip())
    }

    /// How many points [`points`](crate::points) gives, which it goes through for that.
    #[must_use]
    pub fn point_count(&self) -> usize {
        points(self).count()
    }

    /// The rejected endpoints, in the order of the body.
    #[must_use]
    pub fn rejected(&self) -> &[Rejected] {
        &self.rejected
    }

    /// About how many bytes this takes on the heap; the texts of [`rejected`](Self::rejected) are not counted.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.tree.heap_bytes() + size_of::<Rejected>() * self.rejected.capacity()
    }
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

    /// What came on top of `before`; `None` when one of the four is below it.
    pub(crate) fn minus(self, before: Self) -> Option<Self> {
        Some(Self {
            bytes_in: self.bytes_in.checked_sub(before.bytes_in)?,
            bytes_out: self.bytes_out.checked_sub(before.bytes_out)?,
            packets_in: self.packets_in.checked_sub(before.packets_in)?,
            packets_out: self.packets_out.checked_sub(before.packets_out)?,
        })
    }
}
