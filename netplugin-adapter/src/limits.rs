//! Bounds on the size of a body.
//!
//! A body comes from another machine, so its size is checked before its content is stored. The defaults are far above
//! the size of a real node: they reject only bodies that are not Netplugin's.

/// Bounds on one `/svcstats` body. [`Limits::default`] suits a node of thousands of containers.
///
/// A limit of zero rejects everything that it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Length of the body in bytes. Default 16 MiB. A longer body is rejected before it is parsed.
    pub body_bytes: usize,
    /// Services and entries in a body together, of all its endpoints. Default 262 144: of 64 bytes or more each, as many
    /// as fit into `body_bytes`. A body with more is rejected: it would take many times its size in memory.
    pub entries: usize,
    /// Endpoints in a body, good and rejected. Default 10 000. A body with more is rejected.
    pub endpoints: usize,
    /// Entries of one `ProvStats`, with the endpoint's own. Default 10 000: Netplugin keeps every provider until it
    /// restarts. An endpoint with more is rejected.
    pub providers_per_service: usize,
    /// Services of one endpoint. Default 10 000. An endpoint with more is rejected.
    pub services_per_endpoint: usize,
}

/// The size of an entry with its four counters in JSON, at least.
const ENTRY_BYTES: usize = 64;

impl Limits {
    /// Returns the default limits for bodies of up to `body_bytes`, with more entries if these are more than 16 MiB.
    #[must_use]
    pub fn of_body(body_bytes: usize) -> Self {
        let limits = Self::default();
        Self { body_bytes, entries: limits.entries.max(body_bytes / ENTRY_BYTES), ..limits }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 16 << 20,
            entries: 1 << 18,
            endpoints: 10_000,
            providers_per_service: 10_000,
            services_per_endpoint: 10_000,
        }
    }
}
