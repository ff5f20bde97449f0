//! Bodies of Netplugin's `GET /svcstats`.

use netplugin_adapter::{Limits, decode, points, points_of};

/// Limits that small inputs reach.
const TIGHT: Limits =
    Limits { body_bytes: 4096, entries: 16, endpoints: 3, providers_per_service: 2, services_per_endpoint: 2 };

/// Decodes the body within usual and within tight limits.
pub fn netplugin_body(data: &[u8]) {
    for limits in [Limits::default(), TIGHT] {
        let stats = match decode(data, &limits) {
            Ok(stats) => stats,
            Err(error) => {
                assert!(!error.kind().is_empty() && !error.to_string().is_empty());
                continue;
            }
        };
        let endpoints: Vec<_> = stats.endpoint_ips().collect();
        assert!(endpoints.is_sorted_by(|one, next| one < next), "{endpoints:?}");
        assert!(endpoints.len() + stats.rejected().len() <= limits.endpoints, "more endpoints than allowed");
        let all: Vec<_> = points(&stats).collect();
        let place = |point: &netplugin_adapter::Point<'_>| {
            (point.endpoint_ip.to_owned(), point.service_ip.to_owned(), point.provider_ip.to_owned())
        };
        assert!(all.is_sorted_by(|one, next| place(one) < place(next)), "{all:?}");
        let of_each: Vec<_> = endpoints.iter().flat_map(|ip| points_of(&stats, ip)).collect();
        assert_eq!(of_each, all);
        for rejected in stats.rejected() {
            assert!(!rejected.reason.kind().is_empty() && !rejected.reason.to_string().is_empty());
        }
    }
}
