//! What is wrong with the listeners of a configuration, and what is risky.

use std::net::{IpAddr, SocketAddr};

use crate::config::{Config, ListenAddress};

/// The most listeners beside `http.listen`: each has a share of the connections.
const MAX_LISTENERS: usize = 16;

/// The problems, each with its key: no listener, too many, or two on one port of one address.
pub(super) fn problems(config: &Config) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    if config.http.all_listeners().next().is_none() {
        problems.push(("http.listen", "there is no listener; set an address, or `[[http.listeners]]`".to_owned()));
    }
    if config.http.listeners.len() > MAX_LISTENERS {
        let message = format!("there are {}; set {MAX_LISTENERS} at most", config.http.listeners.len());
        problems.push(("http.listeners", message));
    }
    let http = config.http.all_listeners().enumerate();
    let http = http.map(|(index, listener)| (config.http.listener_key(index), listener.address));
    let contiv = config.contiv.listen.map(|address| ("contiv.listen", ListenAddress::Tcp(address)));
    let set: Vec<_> = http.chain(contiv).collect();
    for (index, (key, address)) in set.iter().enumerate() {
        for (other_key, other) in set.iter().take(index).filter(|(_, other)| overlap(address, other)) {
            let message = match address {
                ListenAddress::Tcp(_) => format!(
                    "{address} and `{other_key}`, {other}, include the same address and port; set another port in one \
                     of them"
                ),
                ListenAddress::Unix(_) => format!("two listeners are at {address}; name another path in one of them"),
            };
            problems.push((*key, message));
        }
    }
    problems
}

/// The risks of listeners on addresses of the network.
pub(super) fn notices(config: &Config) -> Vec<String> {
    let http = &config.http;
    let mut risks = Vec::new();
    for (index, listener) in http.all_listeners().enumerate().filter(|(_, listener)| listener.address.is_of_network()) {
        let has_clients = listener.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        let risk = match (&http.tokens_file, &listener.tls) {
            // Whether it may be so at all is checked with the files of the listeners.
            (None, _) if !http.insecure || has_clients => continue,
            (None, _) => {
                notice!("is reachable from other machines without authentication; put a firewall or proxy before it")
            }
            (Some(_), None) => notice!(
                "is reachable from other machines without TLS: tokens can be read on the way; set `tls` of a listener, or \
                 put a proxy before it"
            ),
            (Some(_), Some(_)) => continue,
        };
        risks.push(format!("{}: {} {risk}", http.listener_key(index), listener.address));
    }
    let page = config.contiv.listen.map(ListenAddress::Tcp).filter(ListenAddress::is_of_network);
    let has_clients = config.contiv.listen_tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    if let Some(address) = page.filter(|_| http.insecure && !has_clients) {
        risks.push(notice!(
            "contiv.listen: {address} is reachable from other machines without authentication; put a firewall or proxy \
             before it"
        ));
    }
    risks
}

/// Whether two listeners would use the same port of an address. Port 0 is a free one each time; `[::]` includes all
/// addresses of IPv4, too.
fn overlap(left: &ListenAddress, right: &ListenAddress) -> bool {
    let (ListenAddress::Tcp(left), ListenAddress::Tcp(right)) = (left, right) else { return left == right };
    let [one, other] = [*left, *right].map(|address: SocketAddr| address.ip().to_canonical());
    let includes = |all: IpAddr, one: IpAddr| all.is_unspecified() && (all.is_ipv6() || one.is_ipv4());
    left.port() == right.port() && left.port() != 0 && (one == other || includes(one, other) || includes(other, one))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn without_a_listener_or_with_two_at_one_place_nothing_starts() {
        let cases = [
            ("[http]\nlisten = \"none\"", "http.listen", "there is no listener"),
            (
                "[[http.listeners]]\naddress = \"0.0.0.0:8081\"",
                "http.listeners",
                "0.0.0.0:8081 and `http.listen`, 127.0.0.1:8081, include the same address",
            ),
            (
                "[[http.listeners]]\naddress = \"unix:/a\"\n[[http.listeners]]\naddress = \"unix:/a\"",
                "http.listeners",
                "two listeners are at unix:/a",
            ),
        ];
        for (text, key, expected) in cases {
            let found = problems(&config(text));
            let [(found_key, message)] = found.as_slice() else { panic!("{text}: {found:?}") };
            assert!(*found_key == key && message.contains(expected), "{text}: {message}");
        }
        let many: String = (1..18).map(|port| format!("[[http.listeners]]\naddress = \"[::1]:{port}\"\n")).collect();
        assert!(problems(&config(&many))[0].1.contains("there are 17; set 16 at most"));
        assert_eq!(problems(&config("[http]\nlisten = \"none\"\n[[http.listeners]]\naddress = \"unix:/a\"")), []);
    }

    #[test]
    fn a_listener_of_the_network_without_tls_or_tokens_is_a_risk() {
        let files = "tls = { certificate = \"c\", key = \"k\" }";
        let cases = [
            ("insecure = true", "", Some("without authentication")),
            ("tokens_file = \"t\"", "", Some("tokens can be read on the way")),
            ("tokens_file = \"t\"", files, None),
            ("", "", None),
        ];
        for (guard, tls, expected) in cases {
            let text = format!("[http]\n{guard}\n[[http.listeners]]\naddress = \"0.0.0.0:1\"\n{tls}");
            let found = notices(&config(&text));
            match expected {
                Some(expected) => assert!(found.len() == 1 && found[0].contains(expected), "{text}: {found:?}"),
                None => assert_eq!(found, [""; 0], "{text}"),
            }
        }
        let loopback = "[http]\ninsecure = true\n[[http.listeners]]\naddress = \"127.0.0.1:1\"";
        assert_eq!(notices(&config(loopback)), [""; 0]);
        let page = "[http]\ninsecure = true\n[contiv]\nlisten = \"0.0.0.0:4000\"\n";
        let found = notices(&config(page));
        assert!(found.len() == 1 && found[0].starts_with("contiv.listen: 0.0.0.0:4000 is reachable"), "{found:?}");
        let with_clients = "listen_tls = { certificate = \"c\", key = \"k\", client_ca = \"a\" }";
        assert_eq!(notices(&config(&format!("{page}{with_clients}"))), [""; 0]);
    }
}
