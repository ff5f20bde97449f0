//! The simulated cluster: the crate decodes its answers to the points of the model.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};

use netplugin_adapter::simulate::{Anomaly, Cluster, Counts, Settings, Shape, TruePoint};
use netplugin_adapter::{Limits, Point, decode, discover, inspection, points, service_list};
use proptest::prelude::*;

fn true_point(point: Point<'_>) -> TruePoint {
    let counts = Counts {
        bytes_in: point.bytes_in,
        bytes_out: point.bytes_out,
        packets_in: point.packets_in,
        packets_out: point.packets_out,
    };
    TruePoint {
        endpoint_ip: point.endpoint_ip.to_owned(),
        service_ip: point.service_ip.to_owned(),
        provider_ip: point.provider_ip.to_owned(),
        counts,
    }
}

/// The points of a node's answer, every endpoint good.
fn read(body: &[u8]) -> Vec<TruePoint> {
    let stats = decode(body, &Limits::default()).unwrap();
    assert!(stats.rejected().is_empty());
    points(&stats).map(true_point).collect()
}

fn sum<'a>(counts: impl IntoIterator<Item = &'a Counts>) -> [u64; 4] {
    counts.into_iter().fold([0; 4], |[a, b, c, d], one| {
        [a + one.bytes_in, b + one.bytes_out, c + one.packets_in, d + one.packets_out]
    })
}

/// All answers of a cluster at its tick.
fn answers(cluster: &Cluster) -> Vec<Vec<u8>> {
    let bodies = (0..cluster.nodes().count()).filter_map(|node| cluster.svcstats(node));
    bodies.chain([cluster.etcd_nodes(), cluster.netmaster_services()]).collect()
}

/// The unmerged entries of a body: (client, service, entry) to the four counters.
type Entries = BTreeMap<(String, String, String), [u64; 4]>;

fn entries(body: &[u8]) -> Entries {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    let mut entries = Entries::new();
    for (endpoint, value) in body.as_object().unwrap() {
        for (service, value) in value["SvcStats"].as_object().unwrap() {
            for (provider, value) in value["ProvStats"].as_object().unwrap() {
                let counts =
                    ["BytesIn", "BytesOut", "PacketsIn", "PacketsOut"].map(|name| value[name].as_u64().unwrap());
                entries.insert((endpoint.clone(), service.clone(), provider.clone()), counts);
            }
        }
    }
    entries
}

#[test]
fn decoded_points_equal_those_of_the_model_in_both_shapes_at_every_tick() {
    for shape in [Shape::List, Shape::Map] {
        let mut cluster = Cluster::new(Settings { shape, ..Settings::default() });
        let mut own_points = 0;
        for _ in 0..60 {
            for node in 0..3 {
                let Some(body) = cluster.svcstats(node) else {
                    assert!(!cluster.is_present(node) && cluster.points(node).is_empty());
                    continue;
                };
                assert_eq!(body[0], if shape == Shape::List { b'[' } else { b'{' });
                let read = read(&body);
                assert_eq!(read, cluster.points(node), "node {node} at tick {}", cluster.tick());
                own_points += read.iter().filter(|point| point.provider_ip == point.service_ip).count();
            }
            cluster.advance();
        }
        assert!(own_points > 0, "no case of several or no providers");
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_one_others() {
    let run = |seed| {
        let mut cluster = Cluster::new(Settings { seed, ..Settings::default() });
        (0..20).for_each(|_| cluster.advance());
        answers(&cluster)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn every_documented_event_happens() {
    let mut cluster = Cluster::new(Settings::default());
    let mut before: BTreeMap<usize, Entries> = BTreeMap::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for _ in 0..400 {
        for node in 0..3 {
            let Some(body) = cluster.svcstats(node) else {
                seen.insert("a node is away");
                continue;
            };
            let now = entries(&body);
            if let Some(before) = before.insert(node, now.clone()) {
                let fell = before.iter().filter(|(key, counts)| now[*key][0] < counts[0] || now[*key][1] < counts[1]);
                match fell.count() {
                    0 => {}
                    1 => drop(seen.insert("one entry is installed again")),
                    count if count + 2 >= before.len() => drop(seen.insert("a node restarts")),
                    _ => {}
                }
                if now.len() > before.len() {
                    seen.insert("an entry is installed later");
                }
            }
        }
        cluster.advance();
    }
    assert!((0..3).any(|node| cluster.is_present(node)));
    let expected = ["a node is away", "a node restarts", "an entry is installed later", "one entry is installed again"];
    assert_eq!(Vec::from_iter(seen), expected);
}

#[test]
fn an_anomaly_multiplies_the_traffic_of_its_service_alone() {
    let anomaly = Anomaly { service: 1, calm: 10, ticks: 5, factor: 8 };
    let calm =
        Settings { endpoints: 300, reinstall_one_in: 0, restart_one_in: 0, leave_one_in: 0, ..Settings::default() };
    let mut cluster = Cluster::new(Settings { anomaly: Some(anomaly), ..calm });
    let growth = |cluster: &mut Cluster, service: usize, ticks: u64| {
        let before = cluster.sent(service).bytes_out;
        (0..ticks).for_each(|_| cluster.advance());
        (cluster.sent(service).bytes_out - before) as f64 / ticks as f64
    };
    // Each service in a run of its own, as all advance together.
    let mut other = cluster.clone();
    let usual = growth(&mut cluster, 1, 9);
    let troubled = growth(&mut cluster, 1, 5);
    let after = growth(&mut cluster, 1, 9);
    assert!((7.0..9.0).contains(&(troubled / usual)), "{usual} then {troubled}");
    assert!((0.8..1.2).contains(&(after / usual)), "{usual} then {after}");
    let (usual, meanwhile) = (growth(&mut other, 0, 9), growth(&mut other, 0, 5));
    assert!((0.8..1.2).contains(&(meanwhile / usual)), "{usual} then {meanwhile}");
}

#[test]
fn etcd_lists_the_present_nodes() {
    let mut cluster = Cluster::new(Settings { nodes: 5, leave_one_in: 20, ..Settings::default() });
    let mut counts = BTreeSet::new();
    for _ in 0..100 {
        let mut present: Vec<String> = cluster
            .nodes()
            .enumerate()
            .filter(|(node, _)| cluster.is_present(*node))
            .map(|(_, ip)| ip.to_string())
            .collect();
        present.sort();
        counts.insert(present.len());
        let found = discover(&cluster.etcd_nodes()).unwrap();
        assert_eq!((found.hosts, found.rejected), (present, vec![]));
        cluster.advance();
    }
    assert!(counts.len() > 2 && !counts.contains(&0), "{counts:?}");
}

#[test]
fn the_last_node_never_leaves() {
    for nodes in [1, 3] {
        let mut cluster = Cluster::new(Settings { nodes, leave_one_in: 2, ..Settings::default() });
        for _ in 0..50 {
            cluster.advance();
            assert!((0..nodes).any(|node| cluster.is_present(node)), "tick {} of {nodes} nodes", cluster.tick());
        }
    }
}

#[test]
fn netmaster_lists_the_services_and_their_providers_with_matching_labels() {
    let cluster = Cluster::new(Settings { services: 4, ..Settings::default() });
    let list = service_list(&cluster.netmaster_services()).unwrap();
    let names: Vec<_> = list.services.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["default:app-svc", "default:app-db", "default:svc-2", "default:svc-3"]);
    assert_eq!(Vec::from_iter(cluster.service_ips()), ["100.1.1.3", "100.1.1.4", "100.1.1.5", "100.1.1.6"]);
    let mut ips = BTreeSet::new();
    for service in &list.services {
        let inspection = inspection(&cluster.netmaster_inspect(&service.tenant, &service.name).unwrap()).unwrap();
        assert_eq!(inspection.providers.len(), 4);
        for provider in inspection.providers {
            assert_eq!(provider.ips.len(), 1);
            ips.extend(provider.ips);
            for selector in &inspection.selectors {
                assert!(provider.labels.contains(&selector.replace('=', ":")), "{selector} in {}", provider.labels);
            }
        }
    }
    // Every provider that a client talks to is one of these.
    let talked_to = (0..3).flat_map(|node| cluster.points(node)).filter(|point| point.provider_ip != point.service_ip);
    assert!(talked_to.map(|point| point.provider_ip).all(|ip| ips.contains(&ip)));
    assert_eq!(cluster.netmaster_inspect("default", "nobody"), None);
    assert_eq!(cluster.netmaster_inspect("blue", "app-svc"), None);
}

#[test]
fn sizes_are_clamped_to_their_ranges() {
    let nothing = Settings { nodes: 0, services: 0, providers: 0, endpoints: 0, ..Settings::default() };
    let mut cluster = Cluster::new(nothing);
    cluster.advance();
    assert_eq!((cluster.nodes().count(), cluster.service_ips().count()), (1, 1));
    assert_eq!(cluster.svcstats(0).unwrap(), b"{}");
    assert_eq!((cluster.svcstats(1), cluster.sent(9)), (None, Counts::default()));
    let one = Settings { nodes: 9, services: 1, providers: 1, endpoints: 4, ..Settings::default() };
    let cluster = Cluster::new(one);
    assert!((0..9).flat_map(|node| cluster.points(node)).all(|point| point.service_ip == "100.1.1.3"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Increases of a scrape at every tick, fallen counters counted from 0, add up to the traffic since the first.
    #[test]
    fn property_increases_seen_every_tick_add_up_to_what_was_sent(
        seed in any::<u64>(), nodes in 1..5usize, endpoints in 0..20usize, often in 2..40u64, ticks in 1..40,
    ) {
        let settings = Settings {
            seed, nodes, endpoints, reinstall_one_in: often, restart_one_in: often, leave_one_in: often,
            ..Settings::default()
        };
        let mut cluster = Cluster::new(settings);
        let mut last: Vec<Entries> =
            (0..nodes).map(|node| entries(&cluster.svcstats(node).unwrap())).collect();
        let totals = |cluster: &Cluster| sum((0..3).map(|service| cluster.sent(service)).collect::<Vec<_>>().iter());
        let (first, mut seen) = (totals(&cluster), [0; 4]);
        for _ in 0..ticks {
            cluster.advance();
            for (node, last) in last.iter_mut().enumerate() {
                let Some(body) = cluster.svcstats(node) else { continue };
                let now = entries(&body);
                for (key, counts) in &now {
                    let before = last.get(key).filter(|before| before.iter().zip(counts).all(|(old, new)| old <= new));
                    let before = before.copied().unwrap_or_default();
                    (0..4).for_each(|place| seen[place] += counts[place] - before[place]);
                }
                *last = now;
            }
        }
        let end = totals(&cluster);
        prop_assert_eq!(seen, [0, 1, 2, 3].map(|place| end[place] - first[place]));
    }
}
