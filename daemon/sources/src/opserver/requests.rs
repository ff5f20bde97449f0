//! The paths of requests to the analytics API.

use std::fmt::Write as _;

use daemon_base::outbound::{RESERVED_BUT_COLON, percent_encoded};
use proxy_uve::StreamName;

/// The path of the list of generators.
pub(super) const GENERATORS: &str = "/analytics/uves/generators";

/// Returns the path of the values of `streams` of all objects of a type: of all sources, or of one `generator`,
/// `host:type:module:instance`.
pub(super) fn objects(uve_type: &str, streams: &[StreamName], generator: Option<&str>) -> String {
    let mut path = format!("/analytics/uves/{}/*?cfilt=", encoded(uve_type));
    for (index, stream) in streams.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        // Writing to a string does not fail.
        let _ = write!(path, "{comma}{}:{}", stream.struct_name(), stream.attribute());
    }
    if let Some((host, module)) = generator.and_then(|name| name.split_once(':')) {
        let _ = write!(path, "&sfilt={}&mfilt={}", encoded(host), encoded(module));
    }
    path
}

/// Whether a generator, `host:type:module:instance`, runs one of the `modules`.
pub(super) fn is_of_module(generator: &str, modules: &[String]) -> bool {
    generator.split(':').nth(2).is_some_and(|module| modules.iter().any(|wanted| wanted == module))
}

fn encoded(text: &str) -> String {
    percent_encoded(text, RESERVED_BUT_COLON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_structs_and_attributes_and_perhaps_a_generator() {
        let streams = ["egress_flow_count", "ingress_flow_count"];
        let streams = streams.map(|name| StreamName::new("UveVirtualNetworkAgent", name).unwrap());
        let all = "/analytics/uves/virtual-network/*?cfilt=\
                   UveVirtualNetworkAgent:egress_flow_count,UveVirtualNetworkAgent:ingress_flow_count";
        assert_eq!(objects("virtual-network", &streams, None), all);
        assert_eq!(
            objects("virtual-network", &streams, Some("cmp&1:Compute:contrail-vrouter-agent:0")),
            format!("{all}&sfilt=cmp%261&mfilt=Compute:contrail-vrouter-agent:0")
        );
    }

    #[test]
    fn generators_are_known_by_their_module() {
        let modules = ["contrail-vrouter-agent".to_owned()];
        assert!(is_of_module("cmp1:Compute:contrail-vrouter-agent:0", &modules));
        for other in ["cmp1:Compute:contrail-vrouter-nodemgr:0", "contrail-vrouter-agent", "", ":::"] {
            assert!(!is_of_module(other, &modules), "{other}");
        }
    }
}
