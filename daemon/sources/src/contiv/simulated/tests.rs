//! The simulated cluster over its sockets.

use std::collections::BTreeSet;

use netplugin_adapter::simulate::Settings;
use netplugin_adapter::{Limits, decode, discover};

use super::*;
use crate::contiv::get::{GetError, Getter};

fn loopback(settings: Settings) -> Cluster {
    Cluster::new(Settings { first_node: Ipv4Addr::new(127, 0, 1, 1), ..settings })
}

/// A GET on a thread for such.
async fn fetch(url: String) -> Result<Vec<u8>, GetError> {
    let getter = Getter::new(Duration::from_millis(300), 4 << 20, ureq::tls::TlsConfig::default());
    tokio::task::spawn_blocking(move || getter.get(&url)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_sockets_answer_is_what_the_cluster_says() {
    let served = Simulated::start(loopback(Settings::default()), SimulatedSettings::default()).await.unwrap();
    served.advance();
    let Addresses { nodes, netplugin_port, netmaster, etcd } = served.addresses().clone();
    assert_eq!(nodes, [1, 2, 3].map(|last| Ipv4Addr::new(127, 0, 1, last)));
    for (place, node) in nodes.iter().enumerate() {
        let body = fetch(format!("http://{node}:{netplugin_port}/svcstats")).await.unwrap();
        assert_eq!(Some(&body), served.inspect(|cluster| cluster.svcstats(place)).as_ref(), "{node}");
        assert!(decode(&body, &Limits::default()).is_ok());
    }
    let url = format!("{etcd}/v2/keys/contiv.io/service/netplugin/?recursive=true&sorted=true");
    assert_eq!(discover(&fetch(url).await.unwrap()).unwrap().hosts, ["127.0.1.1", "127.0.1.2", "127.0.1.3"]);
    let list = fetch(format!("{netmaster}/api/v1/serviceLBs/")).await.unwrap();
    assert_eq!(list, served.inspect(Cluster::netmaster_services));
    let inspected = fetch(format!("{netmaster}/api/v1/inspect/serviceLBs/default:app-db/")).await.unwrap();
    assert_eq!(Some(inspected), served.inspect(|cluster| cluster.netmaster_inspect("default", "app-db")));
    let unknown = fetch(format!("{netmaster}/api/v1/inspect/serviceLBs/default:nobody/")).await;
    assert!(matches!(unknown, Err(GetError::Status { status: 500, .. })), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_away_answers_503() {
    let leaving = Settings { leave_one_in: 2, ..Settings::default() };
    let served = Simulated::start(loopback(leaving), SimulatedSettings::default()).await.unwrap();
    let away = (0..100).find_map(|_| {
        served.advance();
        served.inspect(|cluster| (0..3).find(|&node| !cluster.is_present(node)))
    });
    let node = served.addresses().nodes[away.unwrap()];
    let answer = fetch(format!("http://{node}:{}/svcstats", served.addresses().netplugin_port)).await;
    assert!(matches!(answer, Err(GetError::Status { status: 503, .. })), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_happens_at_times_and_the_rest_is_whole() {
    let calm = Settings { nodes: 1, ..Settings::default() };
    let settings = SimulatedSettings { faults: Some(3), ..SimulatedSettings::default() };
    let served = Simulated::start(loopback(calm), settings).await.unwrap();
    let url = format!("http://127.0.1.1:{}/svcstats", served.addresses().netplugin_port);
    let (mut seen, mut whole) = (BTreeSet::new(), 0);
    for _ in 0..120 {
        match fetch(url.clone()).await {
            Ok(body) => {
                assert_eq!(Some(body), served.inspect(|cluster| cluster.svcstats(0)));
                whole += 1;
            }
            Err(error) => drop(seen.insert(error.reason())),
        }
    }
    assert_eq!(Vec::from_iter(seen), ["status", "timeout", "too_large", "transport"]);
    assert!((90..120).contains(&whole), "{whole} of 120 answers are whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_interval_time_goes_by_itself() {
    let settings = SimulatedSettings { interval: Some(Duration::from_millis(5)), ..SimulatedSettings::default() };
    let served = Simulated::start(loopback(Settings::default()), settings).await.unwrap();
    for _ in 0..2_000 {
        if served.inspect(Cluster::tick) >= 3 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the cluster stands still");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_bound_is_named() {
    let outside = Cluster::new(Settings::default());
    let error = Simulated::start(outside, SimulatedSettings::default()).await.err().unwrap();
    assert!(format!("{error:#}").contains("on loopback only"), "{error:#}");
    // Taken on the second node's address only.
    let taken = TcpListener::bind("127.0.1.2:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let settings = SimulatedSettings { netplugin_port: port, ..SimulatedSettings::default() };
    let error = Simulated::start(loopback(Settings::default()), settings).await.err().unwrap();
    assert!(
        format!("{error:#}").starts_with(&format!("listen on 127.0.1.2:{port}; change --netplugin-port")),
        "{error:#}"
    );
}
