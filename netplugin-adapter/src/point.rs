//! The decoded body as flat points for a sink or a pipeline.

use crate::merge::flows;
use crate::stats::{Counters, Reading, ServiceStats};
use crate::tree::{Endpoint, Service};

/// The traffic between one endpoint and one provider of one service since its flows were installed.
///
/// The counters are cumulative. They restart from 0 when flows are installed again or the node restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point<'a> {
    /// The endpoint, a container of the scraped node.
    pub endpoint_ip: &'a str,
    /// The service's virtual address.
    pub service_ip: &'a str,
    /// The provider behind the service, or the service's address for traffic whose provider is not recorded.
    pub provider_ip: &'a str,
    /// Bytes the endpoint received.
    pub bytes_in: u64,
    /// Bytes the endpoint sent.
    pub bytes_out: u64,
    /// Packets the endpoint received.
    pub packets_in: u64,
    /// Packets the endpoint sent.
    pub packets_out: u64,
}

/// Returns every point of `stats`, each (endpoint, service, provider) once, sorted by these addresses as text.
///
/// It borrows all texts and allocates nothing.
///
/// ```
/// use netplugin_adapter::{Limits, decode, points};
///
/// // Two providers: the endpoint's own traffic is a point of the service itself.
/// let body = br#"[{"EndpointIP": "11.1.1.2", "SvcStats": {"100.1.1.3": {"ProvStats": {
///     "10.1.1.7": {"BytesIn": 10}, "10.1.1.8": {"BytesIn": 20}, "11.1.1.2": {"BytesOut": 5}}}}}]"#;
/// let stats = decode(body, &Limits::default())?;
/// let merged: Vec<_> = points(&stats).map(|point| (point.provider_ip, point.bytes_in, point.bytes_out)).collect();
/// assert_eq!(merged, [("10.1.1.7", 10, 0), ("10.1.1.8", 20, 0), ("100.1.1.3", 0, 5)]);
/// # Ok::<(), netplugin_adapter::DecodeError>(())
/// ```
pub fn points(stats: &ServiceStats) -> impl Iterator<Item = Point<'_>> {
    stats.tree.services().flat_map(points_of_service)
}

/// Returns the points of one endpoint, found by binary search; none for an unknown or rejected endpoint.
pub fn points_of<'s>(stats: &'s ServiceStats, endpoint_ip: &str) -> impl Iterator<Item = Point<'s>> + use<'s> {
    stats.tree.endpoint(endpoint_ip).into_iter().flat_map(Endpoint::services).flat_map(points_of_service)
}

fn points_of_service(service: Service<'_, Reading>) -> impl Iterator<Item = Point<'_>> {
    flows(service).map(move |(provider_ip, counters)| point(service, provider_ip, counters))
}

pub(crate) fn point<'a>(service: Service<'a, Reading>, provider_ip: &'a str, counters: Counters) -> Point<'a> {
    let Counters { bytes_in, bytes_out, packets_in, packets_out } = counters;
    let (endpoint_ip, service_ip) = (service.endpoint_ip, service.ip);
    Point { endpoint_ip, service_ip, provider_ip, bytes_in, bytes_out, packets_in, packets_out }
}
