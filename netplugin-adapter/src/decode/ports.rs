//! The protocol and the ports of a service.
//!
//! Of a service with several ports Netplugin sends those of the flow that it read last: the provider's port with the
//! traffic from a provider, the service's port with that of the endpoint.

use crate::json::{text, whole_number};
use crate::stats::Port;

/// TCP and UDP in IP, and any other protocol.
const TCP: u8 = 6;
const UDP: u8 = 17;
const OTHER: u8 = 255;

/// `Protocol`, `SvcPort` and `ProvPort` of a service, each 0 when it is not known.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ports {
    protocol: u8,
    service: u16,
    provider: u16,
}

impl Ports {
    /// Takes a field in JSON if it is one of the three. A value that is not a port, or not a text, is not known.
    pub(super) fn take(&mut self, name: &str, json: &str) {
        match name {
            "Protocol" => self.protocol = protocol(json),
            "ProvPort" => self.provider = port(json),
            "SvcPort" => self.service = port(json),
            _ => {}
        }
    }

    /// Returns the port of the endpoint's own entry.
    pub(super) fn of_own(self) -> Port {
        self.first(self.service, self.provider)
    }

    /// Returns the port of a provider's entry.
    pub(super) fn of_provider(self) -> Port {
        self.first(self.provider, self.service)
    }

    fn first(self, usual: u16, other: u16) -> Port {
        Port { protocol: self.protocol, number: if usual == 0 { other } else { usual } }
    }
}

fn protocol(json: &str) -> u8 {
    match text(json) {
        Some(name) if name.eq_ignore_ascii_case("TCP") => TCP,
        Some(name) if name.eq_ignore_ascii_case("UDP") => UDP,
        Some(name) if !name.is_empty() => OTHER,
        _ => 0,
    }
}

fn port(json: &str) -> u16 {
    let number = match text(json) {
        Some(digits) => whole_number(&digits),
        None => whole_number(json),
    };
    number.and_then(|number| number.try_into().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_number_bare_or_quoted_and_what_is_none_is_not_known() {
        let table = [
            (r#""8080""#, 8080),
            ("8080", 8080),
            (r#""65535""#, 65535),
            ("65536", 0),
            ("-1", 0),
            (r#""http""#, 0),
            (r#""""#, 0),
            ("null", 0),
            ("[80]", 0),
        ];
        for (json, expected) in table {
            assert_eq!(port(json), expected, "{json}");
        }
        for (json, expected) in
            [(r#""TCP""#, TCP), (r#""udp""#, UDP), (r#""SCTP""#, OTHER), (r#""""#, 0), ("6", 0), ("null", 0)]
        {
            assert_eq!(protocol(json), expected, "{json}");
        }
    }

    #[test]
    fn an_entry_has_the_port_of_its_side_or_the_other_one() {
        let ports = |service, provider| Ports { protocol: TCP, service, provider };
        let number = |port: Port| port.number;
        assert_eq!((number(ports(8080, 80).of_own()), number(ports(8080, 80).of_provider())), (8080, 80));
        assert_eq!((number(ports(8080, 0).of_own()), number(ports(8080, 0).of_provider())), (8080, 8080));
        assert_eq!((number(ports(0, 80).of_own()), number(ports(0, 80).of_provider())), (80, 80));
    }
}
