//! How much of a body is read.
//!
//! A node is another machine: what it sends is bounded before it is kept. The counts are far above what a node holds,
//! so that they only stop what is not Netplugin's answer at all.

/// Bounds on one `/svcstats` body. [`Limits::default`] suits a node of thousands of containers.
///
/// A zero refuses all there is to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Length of the body in bytes. Default 16 MiB. Beyond it the body is refused unread.
    pub body_bytes: usize,
    /// Endpoints in a body, good and bad. Default 10 000. Beyond it the body is refused.
    pub endpoints: usize,
    /// Entries of one `ProvStats`, the endpoint's own among them. Default 10 000: Netplugin never forgets a provider
    /// while it runs. Beyond it the endpoint is refused.
    pub providers_per_service: usize,
    /// Services of one endpoint. Default 10 000. Beyond it the endpoint is refused.
    pub services_per_endpoint: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes: 16 << 20, endpoints: 10_000, providers_per_service: 10_000, services_per_endpoint: 10_000 }
    }
}
