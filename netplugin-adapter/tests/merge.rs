//! The rule of the merge, case by case and as properties.
//!
//! The oracle of the properties works on the generated entries, not on decoded ones, and shares no code with the crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use netplugin_adapter::{Limits, Point, ServiceStats, decode, points, points_of};
use proptest::prelude::*;

/// BytesIn, BytesOut, PacketsIn, PacketsOut.
type Counts = [u64; 4];

/// A provider's address and its counters, for each.
type Entries<'a> = &'a [(&'a str, Counts)];

fn owned(entries: Entries<'_>) -> Vec<(String, Counts)> {
    entries.iter().map(|&(ip, counts)| (ip.to_owned(), counts)).collect()
}

fn counts(point: &Point<'_>) -> Counts {
    [point.bytes_in, point.bytes_out, point.packets_in, point.packets_out]
}

fn json_of_entry(ip: &str, [bytes_in, bytes_out, packets_in, packets_out]: Counts) -> String {
    format!(
        r#""{ip}":{{"ProviderIP":"{ip}","ServiceIP":"","PacketsIn":{packets_in},"BytesIn":"{bytes_in}","PacketsOut":{packets_out},"BytesOut":{bytes_out}}}"#
    )
}

fn read(body: &str) -> ServiceStats {
    decode(body.as_bytes(), &Limits::default()).expect("a body within the limits")
}

/// The points of endpoint `E` and service `S` with these entries: provider and counters.
fn merged(entries: Entries<'_>) -> Vec<(String, Counts)> {
    let entries: Vec<String> = entries.iter().map(|&(ip, counts)| json_of_entry(ip, counts)).collect();
    let stats = read(&format!(r#"{{"E":{{"SvcStats":{{"S":{{"ProvStats":{{{}}}}}}}}}}}"#, entries.join(",")));
    assert_eq!(stats.rejected(), []);
    points(&stats)
        .map(|point| {
            assert_eq!((point.endpoint_ip, point.service_ip), ("E", "S"));
            (point.provider_ip.to_owned(), counts(&point))
        })
        .collect()
}

#[test]
fn the_endpoints_own_entry_is_merged_into_the_only_provider_or_the_service() {
    let table: [(&str, Entries<'_>, Entries<'_>); 10] = [
        ("nothing", &[], &[]),
        ("own only", &[("E", [0, 7, 0, 3])], &[("S", [0, 7, 0, 3])]),
        ("own only, all zero", &[("E", [0; 4])], &[("S", [0; 4])]),
        ("own only, with In", &[("E", [1, 7, 2, 3])], &[("S", [1, 7, 2, 3])]),
        ("one provider", &[("P1", [9, 0, 4, 0]), ("E", [0, 7, 0, 3])], &[("P1", [9, 7, 4, 3])]),
        ("one provider, no own", &[("P1", [9, 5, 4, 2])], &[("P1", [9, 5, 4, 2])]),
        (
            "one provider, Out on both, In on own",
            &[("P1", [9, 5, 4, 2]), ("E", [1, 7, 1, 3])],
            &[("P1", [10, 12, 5, 5])],
        ),
        (
            "two providers",
            &[("E", [0, 7, 0, 3]), ("P1", [9, 0, 4, 0]), ("P2", [8, 1, 5, 1])],
            &[("P1", [9, 0, 4, 0]), ("P2", [8, 1, 5, 1]), ("S", [0, 7, 0, 3])],
        ),
        (
            "two providers, no own",
            &[("P2", [1, 2, 3, 4]), ("P1", [5, 6, 7, 8])],
            &[("P1", [5, 6, 7, 8]), ("P2", [1, 2, 3, 4])],
        ),
        (
            "two providers, In on own, sorted around the service",
            &[("P1", [9, 0, 4, 0]), ("T1", [8, 0, 5, 0]), ("E", [2, 7, 1, 3])],
            &[("P1", [9, 0, 4, 0]), ("S", [2, 7, 1, 3]), ("T1", [8, 0, 5, 0])],
        ),
    ];
    for (name, entries, expected) in table {
        assert_eq!(merged(entries), owned(expected), "{name}");
    }
}

#[test]
fn no_pair_appears_twice_and_no_large_counter_is_cut() {
    let table: [(&str, Entries<'_>, Entries<'_>); 2] = [
        (
            "the service is a provider among others",
            &[("P1", [9, 0, 4, 0]), ("S", [8, 1, 5, 1]), ("E", [0, 7, 0, 3])],
            &[("P1", [9, 0, 4, 0]), ("S", [8, 8, 5, 4])],
        ),
        (
            "the largest counters apart",
            &[("P1", [u64::MAX, 0, 0, 0]), ("E", [0, u64::MAX, 0, 0])],
            &[("P1", [u64::MAX, u64::MAX, 0, 0])],
        ),
    ];
    for (name, entries, expected) in table {
        assert_eq!(merged(entries), owned(expected), "{name}");
    }
}

#[test]
fn many_providers_give_a_point_each_and_one_for_the_service() {
    let ips: Vec<String> = (0..1000).map(|index| format!("P{index:03}")).collect();
    let mut entries: Vec<(&str, Counts)> = ips.iter().map(|ip| (&**ip, [1, 0, 1, 0])).collect();
    entries.push(("E", [0, 50, 0, 5]));
    let merged = merged(&entries);
    assert_eq!(merged.len(), 1001);
    assert!(merged[..1000].iter().all(|(_, counts)| *counts == [1, 0, 1, 0]));
    assert_eq!(merged[1000], ("S".to_owned(), [0, 50, 0, 5]));
}

#[test]
fn every_service_of_an_endpoint_has_its_points() {
    let service =
        |ip: &str, provider: &str| format!(r#""{ip}":{{"ProvStats":{{{}}}}}"#, json_of_entry(provider, [1, 2, 3, 4]));
    let stats = read(&format!(r#"{{"E":{{"SvcStats":{{{},{},"S3":{{}}}}}}}}"#, service("S2", "P"), service("S1", "P")));
    let pairs: Vec<_> = points(&stats).map(|point| (point.service_ip, point.provider_ip)).collect();
    assert_eq!(pairs, [("S1", "P"), ("S2", "P")]);
}

#[test]
fn an_endpoint_may_have_the_address_of_its_service() {
    let large = u64::MAX;
    let stats = read(&format!(
        r#"{{"S":{{"SvcStats":{{"S":{{"ProvStats":{{{}}}}}}}}}}}"#,
        json_of_entry("S", [0, large, 0, 1])
    ));
    let points: Vec<_> = points(&stats).map(|point| (point.provider_ip, counts(&point))).collect();
    assert_eq!(points, [("S", [0, large, 0, 1])]);
}

#[test]
fn an_unknown_or_rejected_endpoint_has_no_points() {
    let stats = read(r#"{"b":{"SvcStats":{"s":{"ProvStats":{"p":{}}}}},"c":{"SvcStats":1}}"#);
    for ip in ["", "a", "bb", "c"] {
        assert_eq!(points_of(&stats, ip).count(), 0, "{ip}");
    }
    assert_eq!(points_of(&stats, "b").count(), 1);
}

#[test]
fn an_entry_takes_about_sixty_bytes() {
    let entries: Vec<_> = (0..100).map(|index| json_of_entry(&format!("10.1.1.{index}"), [1; 4])).collect();
    let stats = read(&format!(r#"{{"E":{{"SvcStats":{{"S":{{"ProvStats":{{{}}}}}}}}}}}"#, entries.join(",")));
    assert!((54 * 100..60 * 100).contains(&stats.heap_bytes()), "{}", stats.heap_bytes());
}

/// Endpoint -> service -> entry -> counters.
type Model = BTreeMap<String, BTreeMap<String, BTreeMap<String, Counts>>>;

/// Few addresses for all three roles, so that every combination of equal ones occurs.
fn address() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["1.1.1.1", "1.1.1.2", "1.1.1.3", "2.2.2.1", "2.2.2.2", "fe80::1%eth0"])
        .prop_map(str::to_owned)
}

fn model() -> impl Strategy<Value = Model> {
    // Half the range, so that one sum of two entries always fits.
    let count = || prop_oneof![0..5u64, Just(u64::MAX / 2), any::<u64>().prop_map(|count| count / 2)];
    let counts = (count(), count(), count(), count()).prop_map(|(a, b, c, d)| [a, b, c, d]);
    let entries = prop::collection::btree_map(address(), counts, 0..5);
    let services = prop::collection::btree_map(address(), entries, 0..4);
    prop::collection::btree_map(address(), services, 0..5)
}

/// The model as a body: list or map, each level in order or backwards.
fn body(model: &Model, list: bool, backwards: bool) -> String {
    fn join(mut parts: Vec<String>, backwards: bool) -> String {
        if backwards {
            parts.reverse();
        }
        parts.join(",")
    }
    let mut endpoints = Vec::new();
    for (endpoint, services) in model {
        let services = services.iter().map(|(service, entries)| {
            let entries = entries.iter().map(|(ip, counts)| json_of_entry(ip, *counts)).collect();
            format!(r#""{service}":{{"ProvStats":{{{}}}}}"#, join(entries, backwards))
        });
        let services = join(services.collect(), backwards);
        let mut text = if list { String::new() } else { format!(r#""{endpoint}":"#) };
        write!(text, r#"{{"SvcStats":{{{services}}},"EndpointIP":"{endpoint}"}}"#).expect("a text grows");
        endpoints.push(text);
    }
    let inside = join(endpoints, backwards);
    if list { format!("[{inside}]") } else { format!("{{{inside}}}") }
}

/// The pairs that the rule requires, from the entries alone.
fn expected_pairs(model: &Model) -> BTreeSet<(&str, &str, &str)> {
    let mut pairs = BTreeSet::new();
    for (endpoint, services) in model {
        for (service, entries) in services {
            let others: Vec<&str> = entries.keys().map(|ip| &**ip).filter(|ip| ip != endpoint).collect();
            pairs.extend(others.iter().map(|ip| (&**endpoint, &**service, *ip)));
            if entries.contains_key(endpoint) && others.len() != 1 {
                pairs.insert((endpoint, service, service));
            }
        }
    }
    pairs
}

fn add(sum: &mut [u128; 4], counts: Counts) {
    for (sum, count) in sum.iter_mut().zip(counts) {
        *sum += u128::from(count);
    }
}

proptest! {
    #[test]
    fn property_every_pair_appears_exactly_once_and_in_order(model in model(), list: bool, backwards: bool) {
        let body = body(&model, list, backwards);
        let stats = read(&body);
        prop_assert_eq!(stats.rejected(), []);
        let pairs: Vec<_> = points(&stats).map(|p| (p.endpoint_ip, p.service_ip, p.provider_ip)).collect();
        let expected: Vec<_> = expected_pairs(&model).into_iter().collect();
        prop_assert_eq!(pairs, expected);
        prop_assert!(stats.endpoint_ips().eq(model.keys().map(|ip| &**ip)));
    }

    #[test]
    fn property_the_points_of_each_endpoint_are_those_among_all(model in model()) {
        let stats = read(&body(&model, false, true));
        let each: Vec<_> = model.keys().flat_map(|ip| points_of(&stats, ip)).collect();
        prop_assert_eq!(&each, &points(&stats).collect::<Vec<_>>());
        prop_assert_eq!(stats.point_count(), each.len());
    }

    #[test]
    fn property_the_merge_conserves_every_counter_of_every_service(model in model(), list: bool) {
        let mut sums: BTreeMap<(&str, &str), [u128; 4]> = BTreeMap::new();
        for (endpoint, services) in &model {
            for (service, entries) in services.iter().filter(|(_, entries)| !entries.is_empty()) {
                let sum = sums.entry((endpoint, service)).or_default();
                entries.values().for_each(|counts| add(sum, *counts));
            }
        }
        let stats = read(&body(&model, list, false));
        let mut merged: BTreeMap<(&str, &str), [u128; 4]> = BTreeMap::new();
        for point in points(&stats) {
            add(merged.entry((point.endpoint_ip, point.service_ip)).or_default(), counts(&point));
        }
        prop_assert_eq!(merged, sums);
    }

    #[test]
    fn property_a_provider_keeps_its_own_counters_among_others(model in model()) {
        let stats = read(&body(&model, false, false));
        for point in points(&stats).filter(|point| point.provider_ip != point.service_ip) {
            let entries = &model[point.endpoint_ip][point.service_ip];
            let others = entries.keys().filter(|ip| **ip != point.endpoint_ip).count();
            if others > 1 {
                prop_assert_eq!(counts(&point), entries[point.provider_ip]);
            }
        }
    }

    #[test]
    fn property_the_order_in_the_body_and_its_form_change_nothing(model in model()) {
        let first = read(&body(&model, false, false));
        for (list, backwards) in [(false, true), (true, false), (true, true)] {
            prop_assert_eq!(&read(&body(&model, list, backwards)), &first);
        }
    }

    #[test]
    fn property_bodies_that_differ_are_not_equal(one in model(), other in model()) {
        prop_assert_eq!(read(&body(&one, false, false)) == read(&body(&other, false, false)), one == other);
    }

    #[test]
    fn property_one_more_packet_makes_a_difference(model in model(), flow: prop::sample::Index) {
        let mut other = model.clone();
        let mut entries: Vec<_> = other.values_mut().flat_map(BTreeMap::values_mut).flat_map(BTreeMap::values_mut).collect();
        if !entries.is_empty() {
            let at = flow.index(entries.len());
            entries[at][2] += 1;
            prop_assert_ne!(read(&body(&other, false, false)), read(&body(&model, false, false)));
        }
    }

    #[test]
    fn property_bad_endpoints_change_nothing_of_the_others(
        model in model(),
        bad in prop::sample::select(vec!["1", "[]", "\"\"", r#"{"SvcStats":[0]}"#, r#"{"SvcStats":{"s":{"ProvStats":{"p":{"BytesIn":"x"}}}}}"#]),
        first: bool,
    ) {
        let alone = read(&body(&model, false, false));
        let text = body(&model, false, false);
        let inside = &text[1..text.len() - 1];
        let comma = if inside.is_empty() { "" } else { "," };
        let text = if first { format!(r#"{{"bad":{bad}{comma}{inside}}}"#) } else { format!(r#"{{{inside}{comma}"bad":{bad}}}"#) };
        let stats = read(&text);
        prop_assert!(points(&stats).eq(points(&alone)));
        prop_assert_eq!(stats.rejected().len(), 1);
        prop_assert_eq!(&stats.rejected()[0].endpoint, "bad");
    }

    #[test]
    fn property_arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(stats) = decode(&bytes, &Limits::default()) {
            points(&stats).for_each(drop);
        }
    }

    #[test]
    fn property_a_damaged_body_never_panics(
        model in model(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        limit in 0..4usize,
    ) {
        let mut bytes = body(&model, false, false).into_bytes();
        for (index, byte) in damage {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        let small = Limits { endpoints: limit, providers_per_service: limit, services_per_endpoint: limit, ..Limits::default() };
        for limits in [Limits::default(), small] {
            if let Ok(stats) = decode(&bytes, &limits) {
                let pairs: Vec<_> = points(&stats).map(|p| (p.endpoint_ip, p.service_ip, p.provider_ip)).collect();
                prop_assert!(pairs.is_sorted_by(|one, other| one < other), "{pairs:?}");
            }
        }
    }

    #[test]
    fn property_arbitrary_json_like_text_never_panics(
        words in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "null", "1", "-1", "1e9", "\"", "\\u", "\"\\ud800\"", "\"e\"", "\"SvcStats\"", "\"ProvStats\"", "\"BytesIn\"", "\"EndpointIP\"",
        ]), 0..40),
    ) {
        if let Ok(stats) = decode(words.concat().as_bytes(), &Limits::default()) {
            points(&stats).for_each(drop);
        }
    }
}
