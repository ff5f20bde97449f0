//! The server of a real daemon that replaces Contiv's Python server, over the simulated cluster.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::contiv::{COUNTERS, Cluster};
use support::{Daemon, wait_until};
use tempfile::TempDir;

/// A cluster whose counters do not grow.
fn cluster() -> Cluster {
    Cluster::start(&["--endpoints", "30", "--interval", "1h"])
}

/// All pairs, from the responses of the nodes.
fn pairs(cluster: &Cluster) -> Vec<Value> {
    let points = cluster.nodes().into_iter().flat_map(|node| cluster.points(&node));
    let pair = |([endpoint, service, provider], counters): ([String; 3], [u64; 4])| {
        let mut pair = json!({ "EndpointIP": endpoint, "ServiceIP": service, "ProviderIP": provider });
        COUNTERS.into_iter().zip(counters).for_each(|(name, count)| pair[name] = count.into());
        pair
    };
    points.map(pair).collect()
}

/// The server for Contiv's page, which is separate from that of the daemon's API.
struct Page(String);

impl Page {
    fn of(daemon: &Daemon) -> Self {
        Self(daemon.contiv_address().to_owned())
    }

    fn get(&self, path: &str) -> (u16, Value) {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = config.timeout_global(Some(Duration::from_secs(60))).build().new_agent();
        let mut response = agent.get(format!("http://{}{path}", self.0)).call().unwrap();
        assert_eq!(response.headers()["content-type"], "application/json", "{path}");
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.body_mut().read_to_vec().unwrap()).unwrap())
    }
}

fn start(cluster: &Cluster, data: &TempDir) -> Daemon {
    let settings = [
        format!("contiv.etcd={}", cluster.address("etcd")),
        format!("contiv.netplugin_port={}", cluster.port()),
        format!("contiv.netmaster={}", cluster.address("netmaster")),
        "contiv.netmaster_cache=0s".to_owned(),
        "contiv.listen=127.0.0.1:0".to_owned(),
        "contiv.interval=1s".to_owned(),
        "contiv.jitter=0s".to_owned(),
        "log.partitions=1".to_owned(),
    ];
    Daemon::start(data.path(), &settings.each_ref().map(String::as_str))
}

#[test]
fn the_page_has_every_pair_of_the_nodes_in_etcd() {
    let (cluster, data) = (cluster(), TempDir::new().unwrap());
    let expected = pairs(&cluster);
    let endpoints: std::collections::BTreeSet<_> =
        expected.iter().map(|pair| pair["EndpointIP"].as_str().unwrap()).collect();
    assert_eq!(endpoints.len(), 30);
    let daemon = start(&cluster, &data);
    let page = Page::of(&daemon);
    let all = wait_until("all nodes are scraped", || {
        let (status, all) = page.get("/?all");
        assert_eq!(status, 200);
        (all.as_array().unwrap().len() >= expected.len()).then_some(all)
    });
    // Both lists have the nodes in the order of their addresses.
    assert_eq!(all, Value::from(expected.clone()));
    for endpoint in endpoints {
        let of_it: Value = expected.iter().filter(|pair| pair["EndpointIP"] == endpoint).cloned().collect();
        assert_eq!(page.get(&format!("/{endpoint}?all")), (200, of_it.clone()));
        let (status, first) = page.get(&format!("/{endpoint}"));
        assert_eq!((status, &first["EndpointIP"]), (200, &Value::from(endpoint)));
        let same_pair =
            |pair: &&Value| ["ServiceIP", "ProviderIP", "BytesIn"].iter().all(|key| pair[key] == first[key]);
        assert!(of_it.as_array().unwrap().iter().any(|pair| same_pair(&pair)), "{first} is not in {of_it}");
    }
    assert_eq!(page.get("/11.9.9.9").0, 404);
    for path in ["/all?sever", "/?all&sever=1", "/services?sever"] {
        let (status, answer) = page.get(path);
        let reason = answer["error"].as_str().unwrap();
        assert!(status == 400 && ["`sever`", "`all`", "`server`"].iter().all(|name| reason.contains(name)), "{reason}");
    }
    assert_eq!(page.get("/all?server&_=1490306665057").0, 200);
    daemon.stop();
}

#[test]
fn services_are_those_of_netmaster_until_it_is_down() {
    let (cluster, data) = (cluster(), TempDir::new().unwrap());
    let daemon = start(&cluster, &data);
    let page = Page::of(&daemon);
    let (status, structure) = page.get("/visualization/services");
    assert_eq!(status, 200);
    assert_eq!(structure["children_struct"]["topLevel"], json!(["default:app-svc", "default:app-db", "default:svc-2"]));
    assert_eq!(
        structure["children_struct"]["default:app-db"],
        json!(["10.1.1.5", "10.1.1.6", "10.1.1.7", "10.1.1.8", "100.1.1.4"])
    );
    assert_eq!(structure["ancestors_struct"]["100.1.1.4"], json!(["default:app-db"]));
    assert_eq!(structure["ancestors_struct"]["10.1.1.5"], json!(["default:app-db"]));
    assert_eq!(structure["labels"]["10.1.1.5"]["tier"], "db");
    assert_eq!(structure["serviceSelectors"]["default:app-db"]["tier"], "db");
    let netmaster = cluster.address("netmaster").to_owned();
    drop(cluster);
    let (status, answer) = page.get("/services");
    let reason = answer["error"].as_str().unwrap();
    assert!(status == 502 && reason.contains(&netmaster) && reason.contains("contiv.netmaster"), "{status} {reason}");
    daemon.stop();
}
