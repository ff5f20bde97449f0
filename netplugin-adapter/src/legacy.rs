//! The JSON answers of Contiv UI's Python server: the structure of services, and the traffic of an endpoint.
//!
//! The answers equal those of the Python as JSON values; its order of keys was arbitrary, here it is fixed. These
//! differences are intended:
//!
//! * `ancestors_struct` has all services of an address, in the order of the list. The Python kept the last one.
//! * A service's own address is among its children, without labels: it is the provider of traffic whose provider is not
//!   recorded, and the page would take it for a client and leave that traffic out of the service's.
//! * A label whose value has spaces keeps them: a piece without `:` belongs to the value before it. The Python made it
//!   a label of its own, without the last letter of the key. It did the same to a selector without `=`, which is a key
//!   with an empty value here.
//! * Of several services and providers the Python took the first in the order of a hash. Here it is the first in the
//!   order of their addresses.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::netmaster::{Inspection, ServiceName};
use crate::point::Point;

/// The key of `children_struct` with all services; no service has this name, as theirs have a colon.
const TOP_LEVEL: &str = "topLevel";

#[derive(Serialize, Default)]
struct Structure {
    ancestors_struct: BTreeMap<String, Vec<String>>,
    children_struct: BTreeMap<String, Vec<String>>,
    labels: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(rename = "serviceSelectors")]
    selectors: BTreeMap<String, BTreeMap<String, String>>,
}

/// Returns the answer of `/services`: the containers behind each service and its own address, with labels and
/// selectors.
///
/// `services` is in Netmaster's order. An address that appears twice has the labels of its first occurrence.
///
/// ```
/// use netplugin_adapter::{inspection, service_list, services_answer};
///
/// let list = service_list(br#"[{"tenantName": "default", "serviceName": "app-svc"}]"#)?;
/// let inspected = inspection(br#"{"Config": {"selectors": ["tier=web"]},
///     "Oper": {"providers": [{"ipAddress": ["10.1.1.7", ""], "labels": "map[tier:web]"}]}}"#)?;
/// let answer = services_answer(list.services.iter().zip([&inspected]));
/// assert_eq!(
///     String::from_utf8_lossy(&answer),
///     r#"{"ancestors_struct":{"10.1.1.7":["default:app-svc"]},"#.to_owned()
///         + r#""children_struct":{"default:app-svc":["10.1.1.7"],"topLevel":["default:app-svc"]},"#
///         + r#""labels":{"10.1.1.7":{"tier":"web"}},"serviceSelectors":{"default:app-svc":{"tier":"web"}}}"#,
/// );
/// # Ok::<(), netplugin_adapter::NetmasterError>(())
/// ```
pub fn services_answer<'a>(services: impl IntoIterator<Item = (&'a ServiceName, &'a Inspection)>) -> Vec<u8> {
    let mut structure = Structure::default();
    let mut top_level = Vec::new();
    for (service, inspection) in services {
        let service = service.to_string();
        let children = structure.children_struct.entry(service.clone()).or_default();
        for provider in &inspection.providers {
            for ip in &provider.ips {
                structure.labels.entry(ip.clone()).or_insert_with(|| labels(&provider.labels));
                let ancestors = structure.ancestors_struct.entry(ip.clone()).or_default();
                if !ancestors.contains(&service) {
                    ancestors.push(service.clone());
                }
                children.push(ip.clone());
            }
        }
        if let Some(own) = inspection.service_ip.as_ref().filter(|ip| !children.contains(ip)) {
            children.push(own.clone());
            structure.labels.entry(own.clone()).or_default();
            structure.ancestors_struct.entry(own.clone()).or_default().push(service.clone());
        }
        structure.selectors.insert(service.clone(), inspection.selectors.iter().map(|text| selector(text)).collect());
        top_level.push(service);
    }
    structure.children_struct.insert(TOP_LEVEL.to_owned(), top_level);
    json(&structure)
}

/// Returns the answer of `/<endpoint ip>`: one pair as the Python merged it; `None` without points.
///
/// `points` are those of one endpoint on one node. The pair is the first one with a provider. Its *Out* includes the
/// endpoint's traffic to that service whose provider is not recorded: see [`points`](crate::points).
pub fn pair_answer<'a>(points: impl IntoIterator<Item = Point<'a>>) -> Option<Vec<u8>> {
    let points: Vec<Point<'_>> = points.into_iter().collect();
    let is_provider = |point: &&Point<'_>| point.provider_ip != point.service_ip;
    let Some(first) = points.iter().find(is_provider) else {
        return points.first().map(|point| json(&Pair::from(*point)));
    };
    let mut pair = Pair::from(*first);
    let of_service = |point: &&Point<'_>| point.service_ip == first.service_ip && !is_provider(point);
    if let Some(own) = points.iter().find(of_service) {
        pair.bytes_out = pair.bytes_out.saturating_add(own.bytes_out);
        pair.packets_out = pair.packets_out.saturating_add(own.packets_out);
    }
    Some(json(&pair))
}

/// Appends all pairs, each an object as in [`pair_answer`], with commas between them and before the first one if `out`
/// does not end with the bracket of a list. Each has `server`, if there is one.
///
/// ```
/// use netplugin_adapter::{Limits, append_pairs, decode, points};
///
/// let stats = decode(br#"{"e": {"SvcStats": {"s": {"ProvStats": {"p": {"BytesIn": 7}}}}}}"#, &Limits::default())?;
/// let mut list = b"[".to_vec();
/// append_pairs(points(&stats), Some("n1"), &mut list);
/// let expected = r#"[{"EndpointIP":"e","ServiceIP":"s","ProviderIP":"p","BytesIn":7,"BytesOut":0,"#.to_owned()
///     + r#""PacketsIn":0,"PacketsOut":0,"server":"n1"}"#;
/// assert_eq!(String::from_utf8_lossy(&list), expected);
/// # Ok::<(), netplugin_adapter::DecodeError>(())
/// ```
pub fn append_pairs<'a>(points: impl IntoIterator<Item = Point<'a>>, server: Option<&'a str>, out: &mut Vec<u8>) {
    for point in points {
        if out.last() != Some(&b'[') {
            out.push(b',');
        }
        // Serialising texts and numbers into memory cannot fail.
        let _ = serde_json::to_writer(&mut *out, &Pair { server, ..Pair::from(point) });
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Pair<'a> {
    #[serde(rename = "EndpointIP")]
    endpoint_ip: &'a str,
    #[serde(rename = "ServiceIP")]
    service_ip: &'a str,
    #[serde(rename = "ProviderIP")]
    provider_ip: &'a str,
    bytes_in: u64,
    bytes_out: u64,
    packets_in: u64,
    packets_out: u64,
    #[serde(rename = "server", skip_serializing_if = "Option::is_none")]
    server: Option<&'a str>,
}

impl<'a> From<Point<'a>> for Pair<'a> {
    fn from(point: Point<'a>) -> Self {
        let Point { endpoint_ip, service_ip, provider_ip, bytes_in, bytes_out, packets_in, packets_out } = point;
        Self { endpoint_ip, service_ip, provider_ip, bytes_in, bytes_out, packets_in, packets_out, server: None }
    }
}

/// Parses labels from Go's `%s` of a map. A value with a space and a later colon is ambiguous and read as two labels.
fn labels(text: &str) -> BTreeMap<String, String> {
    let text = text.strip_prefix("map[").unwrap_or(text);
    let text = text.strip_suffix(']').unwrap_or(text);
    let mut labels: Vec<(String, String)> = Vec::new();
    for piece in text.split(' ') {
        if let Some((key, value)) = piece.split_once(':') {
            labels.push((key.to_owned(), value.to_owned()));
        } else if let Some((_, value)) = labels.last_mut() {
            value.push(' ');
            value.push_str(piece);
        }
    }
    labels.into_iter().collect()
}

fn selector(text: &str) -> (String, String) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    (key.to_owned(), value.to_owned())
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Serialising texts, numbers and maps with text keys into memory cannot fail.
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netmaster::inspection;

    fn value(answer: &[u8]) -> serde_json::Value {
        serde_json::from_slice(answer).unwrap()
    }

    /// The answer for services of the tenant `default`, each with its inspection.
    fn structure(services: &[(&str, &str)]) -> serde_json::Value {
        let services: Vec<_> = services
            .iter()
            .map(|&(name, body)| {
                let name = ServiceName { tenant: "default".to_owned(), name: name.to_owned() };
                (name, inspection(body.as_bytes()).unwrap())
            })
            .collect();
        value(&services_answer(services.iter().map(|(name, inspection)| (name, inspection))))
    }

    fn map(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
        labels.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn the_structure_of_the_services_that_service_init_sets_up() {
        let app = r#"{"Config":{"selectors":["tier=web","release=stable","environment=prod"]},"Oper":{"providers":[
            {"ipAddress":["10.1.1.1",""],"labels":"map[environment:prod version:1.0 tier:web release:stable]"},
            {"ipAddress":["10.1.1.2",""],"labels":"map[tier:web]"}]}}"#;
        let db = r#"{"Config":{"selectors":["tier=db"]},"Oper":{"providers":[
            {"ipAddress":["10.1.1.15","fd00::15"],"labels":"map[tier:db]"}]}}"#;
        let expected = serde_json::json!({
            "ancestors_struct": {
                "10.1.1.1": ["default:app-svc"],
                "10.1.1.2": ["default:app-svc"],
                "10.1.1.15": ["default:app-db"],
                "fd00::15": ["default:app-db"],
            },
            "children_struct": {
                "topLevel": ["default:app-svc", "default:app-db"],
                "default:app-svc": ["10.1.1.1", "10.1.1.2"],
                "default:app-db": ["10.1.1.15", "fd00::15"],
            },
            "labels": {
                "10.1.1.1": {"environment": "prod", "version": "1.0", "tier": "web", "release": "stable"},
                "10.1.1.2": {"tier": "web"},
                "10.1.1.15": {"tier": "db"},
                "fd00::15": {"tier": "db"},
            },
            "serviceSelectors": {
                "default:app-svc": {"tier": "web", "release": "stable", "environment": "prod"},
                "default:app-db": {"tier": "db"},
            },
        });
        assert_eq!(structure(&[("app-svc", app), ("app-db", db)]), expected);
    }

    #[test]
    fn an_address_behind_several_services_has_all_of_them_in_list_order_and_its_first_labels() {
        let first =
            r#"{"Oper":{"providers":[{"ipAddress":["10.1.1.1"],"labels":"map[n:1]"},{"ipAddress":["10.1.1.1"]}]}}"#;
        let second = r#"{"Oper":{"providers":[{"ipAddress":["10.1.1.1"],"labels":"map[n:2]"}]}}"#;
        let expected = serde_json::json!({
            "ancestors_struct": {"10.1.1.1": ["default:z", "default:a"]},
            "children_struct": {
                "topLevel": ["default:z", "default:a"],
                "default:z": ["10.1.1.1", "10.1.1.1"],
                "default:a": ["10.1.1.1"],
            },
            "labels": {"10.1.1.1": {"n": "1"}},
            "serviceSelectors": {"default:z": {}, "default:a": {}},
        });
        assert_eq!(structure(&[("z", first), ("a", second)]), expected);
    }

    #[test]
    fn the_address_of_a_service_is_its_last_child() {
        let service = |vip: &str, providers: &str| {
            format!(r#"{{"Config":{{}},"Oper":{{"serviceVip":"{vip}","providers":[{providers}]}}}}"#)
        };
        let provider = r#"{"ipAddress":["10.1.1.1"],"labels":"map[n:1]"}"#;
        let bodies = [service("100.1.1.3", provider), service("10.1.1.1", provider), service("100.1.1.5", "")];
        let names = ["app", "host", "idle"];
        let services: Vec<_> = names.into_iter().zip(&bodies).map(|(name, body)| (name, &**body)).collect();
        let expected = serde_json::json!({
            "ancestors_struct": {
                "10.1.1.1": ["default:app", "default:host"],
                "100.1.1.3": ["default:app"],
                "100.1.1.5": ["default:idle"],
            },
            "children_struct": {
                "topLevel": ["default:app", "default:host", "default:idle"],
                "default:app": ["10.1.1.1", "100.1.1.3"],
                "default:host": ["10.1.1.1"],
                "default:idle": ["100.1.1.5"],
            },
            "labels": {"10.1.1.1": {"n": "1"}, "100.1.1.3": {}, "100.1.1.5": {}},
            "serviceSelectors": {"default:app": {}, "default:host": {}, "default:idle": {}},
        });
        assert_eq!(structure(&services), expected);
    }

    #[test]
    fn a_service_without_providers_and_no_service_at_all_keep_every_key() {
        let expected = serde_json::json!({
            "ancestors_struct": {},
            "children_struct": {"topLevel": ["default:idle"], "default:idle": []},
            "labels": {},
            "serviceSelectors": {"default:idle": {}},
        });
        assert_eq!(structure(&[("idle", "{}")]), expected);
        let nothing = String::from_utf8(services_answer([])).unwrap();
        let expected = r#"{"ancestors_struct":{},"children_struct":{"topLevel":[]},"labels":{},"serviceSelectors":{}}"#;
        assert_eq!(nothing, expected);
    }

    #[test]
    fn labels_split_at_spaces_and_first_colons() {
        let table: [(&str, &[(&str, &str)]); 12] = [
            ("map[tier:web release:stable]", &[("tier", "web"), ("release", "stable")]),
            ("map[]", &[]),
            ("", &[]),
            ("map[url:http://x:80 k:v]", &[("url", "http://x:80"), ("k", "v")]),
            ("map[note:two words k:v]", &[("note", "two words"), ("k", "v")]),
            ("map[note:a  b k:v]", &[("note", "a  b"), ("k", "v")]),
            ("map[empty: k:v]", &[("empty", ""), ("k", "v")]),
            ("map[lost k:v]", &[("k", "v")]),
            ("map[k:1 k:2]", &[("k", "2")]),
            ("map[k:]]", &[("k", "]")]),
            ("map[k:a\tb]", &[("k", "a\tb")]),
            ("k:v", &[("k", "v")]),
        ];
        for (text, expected) in table {
            assert_eq!(labels(text), map(expected), "{text}");
        }
    }

    #[test]
    fn selectors_split_at_the_first_equals_sign() {
        for (text, key, value) in [("a=b", "a", "b"), ("a=b=c", "a", "b=c"), ("a", "a", ""), ("=b", "", "b")] {
            assert_eq!(selector(text), (key.to_owned(), value.to_owned()), "{text}");
        }
    }

    fn point<'a>(service_ip: &'a str, provider_ip: &'a str, counts: [u64; 4]) -> Point<'a> {
        let [bytes_in, bytes_out, packets_in, packets_out] = counts;
        Point { endpoint_ip: "11.1.1.2", service_ip, provider_ip, bytes_in, bytes_out, packets_in, packets_out }
    }

    #[test]
    fn one_pair_is_an_object_with_exact_integers() {
        let answer = pair_answer([point("100.1.1.3", "10.1.1.7", [u64::MAX, 1200, 12, 14])]).unwrap();
        let expected = r#"{"EndpointIP":"11.1.1.2","ServiceIP":"100.1.1.3","ProviderIP":"10.1.1.7","#.to_owned()
            + r#""BytesIn":18446744073709551615,"BytesOut":1200,"PacketsIn":12,"PacketsOut":14}"#;
        assert_eq!(String::from_utf8(answer).unwrap(), expected);
    }

    #[test]
    fn of_several_pairs_the_first_provider_comes_with_what_the_endpoint_sent_to_its_service() {
        // `100…` sorts after `10.…`, but before `9…`: the service's own point stands before its provider.
        let points = [
            point("100.1.1.3", "100.1.1.3", [0, 50, 0, 5]),
            point("100.1.1.3", "9.1.1.7", [9, 1, 4, 2]),
            point("100.1.1.3", "9.1.1.8", [8, 0, 3, 0]),
            point("100.1.1.4", "100.1.1.4", [0, 900, 0, 90]),
        ];
        let expected = serde_json::json!({
            "EndpointIP": "11.1.1.2", "ServiceIP": "100.1.1.3", "ProviderIP": "9.1.1.7",
            "BytesIn": 9, "BytesOut": 51, "PacketsIn": 4, "PacketsOut": 7,
        });
        assert_eq!(value(&pair_answer(points).unwrap()), expected);
    }

    #[test]
    fn an_endpoint_that_only_sent_is_a_pair_with_the_service_and_without_points_there_is_none() {
        let answer = value(&pair_answer([point("100.1.1.3", "100.1.1.3", [0, 7, 0, 3])]).unwrap());
        assert_eq!((&answer["ProviderIP"], &answer["BytesOut"]), (&"100.1.1.3".into(), &7.into()));
        assert_eq!(pair_answer([]), None);
    }

    #[test]
    fn all_pairs_are_a_list_of_the_merged_points() {
        let points = [point("S", "P", [1, 2, 3, 4]), point("S", "S", [0, 5, 0, 6])];
        let pair = |provider: &str, [a, b, c, d]: [u64; 4]| {
            serde_json::json!({
                "EndpointIP": "11.1.1.2", "ServiceIP": "S", "ProviderIP": provider,
                "BytesIn": a, "BytesOut": b, "PacketsIn": c, "PacketsOut": d,
            })
        };
        let list = |points: &[Point<'_>], server| {
            let mut list = b"[".to_vec();
            append_pairs(points.iter().copied(), server, &mut list);
            list.push(b']');
            value(&list)
        };
        let mut expected = serde_json::json!([pair("P", [1, 2, 3, 4]), pair("S", [0, 5, 0, 6])]);
        assert_eq!(list(&points, None), expected);
        for pair in expected.as_array_mut().unwrap() {
            pair["server"] = "n\"1".into();
        }
        assert_eq!(list(&points, Some("n\"1")), expected);
        assert_eq!(list(&[], Some("n1")), serde_json::json!([]));
    }
}
