//! A node's `/svcstats` as Netplugin writes it, without white space and in the order of Go's maps.

use std::fmt::Write as _;

use crate::SplitMix64;

/// Endpoints, services of each and providers of each service of a busy node.
pub const NODE: [u64; 3] = [100, 3, 2];

/// The points of such a node: one for each provider, one for what was sent to the service.
pub const POINTS: u64 = NODE[0] * NODE[1] * (NODE[2] + 1);

/// The answer of a node after `scrapes` scrapes: the same addresses each time, and counters that rose.
pub fn body([endpoints, services, providers]: [u64; 3], scrapes: u64) -> String {
    let mut random = SplitMix64(42);
    let members = (0..endpoints).map(|index| {
        let ip = format!("11.1.{}.{}", 1 + index / 200, 2 + index % 200);
        let services = (0..services).map(|service| self::service(&mut random, &ip, service, providers, scrapes));
        format!(
            r#""{ip}":{{"EndpointIP":"{ip}","VrfName":"default","PortStats":{{{}}},"SvcStats":{{{}}}}}"#,
            counters([0; 4]),
            join(services)
        )
    });
    format!("{{{}}}", join(members))
}

fn service(random: &mut SplitMix64, endpoint_ip: &str, service: u64, providers: u64, scrapes: u64) -> String {
    let ip = format!("100.1.1.{}", 3 + service);
    let mut count = |packet: u64| {
        let packets = random.below(100_000) + scrapes * random.below(1_000);
        [packets, packets * packet]
    };
    let mut entries = Vec::new();
    for provider in 0..providers {
        let [packets, bytes] = count(700);
        entries.push(entry(&format!("10.1.{}.{}", 1 + service, 7 + provider), [packets, bytes, 0, 0]));
    }
    let [packets, bytes] = count(120);
    entries.push(entry(endpoint_ip, [0, 0, packets, bytes]));
    format!(
        r#""{ip}":{{"ServiceIP":"{ip}","ServiceVRF":"default","Protocol":"TCP","SvcPort":"8080","ProvPort":"80","SvcStats":{{{}}},"ProvStats":{{{}}}}}"#,
        counters([0; 4]),
        entries.join(",")
    )
}

fn entry(ip: &str, counts: [u64; 4]) -> String {
    format!(r#""{ip}":{{"ProviderIP":"{ip}","ServiceIP":"","ServiceVrf":"",{}}}"#, counters(counts))
}

fn counters([packets_in, bytes_in, packets_out, bytes_out]: [u64; 4]) -> String {
    format!(r#""PacketsIn":{packets_in},"BytesIn":{bytes_in},"PacketsOut":{packets_out},"BytesOut":{bytes_out}"#)
}

fn join(members: impl Iterator<Item = String>) -> String {
    members.enumerate().fold(String::new(), |mut joined, (index, member)| {
        // A text takes all that is written to it.
        let _ = write!(joined, "{}{member}", if index == 0 { "" } else { "," });
        joined
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use netplugin_adapter::{Limits, decode};

    #[test]
    fn a_node_has_the_points_that_are_said_and_the_same_bytes_each_time() {
        let stats = decode(body(NODE, 0).as_bytes(), &Limits::default()).unwrap();
        assert_eq!((stats.point_count() as u64, stats.rejected().len()), (POINTS, 0));
        assert_eq!(body(NODE, 5), body(NODE, 5));
    }
}
