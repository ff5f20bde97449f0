//! The server over its socket, asked as the page and Telegraf ask it.

use std::net::Ipv4Addr;

use daemon_base::clock::SystemClock;
use netplugin_adapter::simulate::{Cluster, Settings, TruePoint};
use netplugin_adapter::{Limits, decode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use ureq::tls::TlsConfig;

use super::*;
use crate::contiv::simulated::{Simulated, SimulatedSettings};

struct Running {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Running {
    async fn start(latest: Latest, netmaster: Option<String>) -> Self {
        let netmaster = netmaster.map(|base| NetmasterSettings {
            base,
            tls: TlsConfig::default(),
            timeout: Duration::from_millis(500),
            max_body_bytes: 1 << 20,
            cache: Duration::from_secs(2),
        });
        let settings = LegacySettings { listen: (Ipv4Addr::LOCALHOST, 0).into(), tls: None, netmaster };
        let limits = listener::Limits {
            connections: 1024,
            per_client: 1024,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
        };
        let clock = Arc::new(SystemClock::new());
        let server = LegacyServer::bind(&settings, limits, Arc::new(latest), clock).await.unwrap();
        let (stop, stopping) = watch::channel(false);
        Self { address: server.address(), stop, serving: tokio::spawn(server.serve(Refusals::default(), stopping)) }
    }

    /// Status, content type and body.
    async fn raw(&self, path: &str) -> (u16, String, String) {
        let url = format!("http://{}{path}", self.address);
        let ask = move || {
            let config = ureq::Agent::config_builder().http_status_as_error(false);
            let mut response = config.build().new_agent().get(url).call().unwrap();
            let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
            (response.status().as_u16(), kind, response.body_mut().read_to_string().unwrap())
        };
        tokio::task::spawn_blocking(ask).await.unwrap()
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let (status, kind, body) = self.raw(path).await;
        assert_eq!(kind, "application/json", "{path}");
        (status, serde_json::from_str(&body).unwrap())
    }

    async fn stop(self) {
        self.stop.send(true).unwrap();
        self.serving.await.unwrap();
    }
}

fn latest(bodies: &[&[u8]]) -> Latest {
    let latest = Latest::default();
    for (number, body) in bodies.iter().enumerate() {
        let stats = decode(body, &Limits::default()).unwrap();
        latest.set(format!("n{number}").into(), Duration::ZERO, Arc::new(stats));
    }
    latest
}

/// An endpoint's answer of Netplugin with entries of one service: address, BytesIn, BytesOut.
fn endpoint(ip: &str, service: &str, entries: &[(&str, u64, u64)]) -> Vec<u8> {
    let entries: serde_json::Map<_, _> = entries
        .iter()
        .map(|&(ip, bytes_in, bytes_out)| (ip.to_owned(), json!({ "BytesIn": bytes_in, "BytesOut": bytes_out })))
        .collect();
    json!({ ip: { "SvcStats": { service: { "ProvStats": entries } } } }).to_string().into_bytes()
}

fn pair(endpoint: &str, service: &str, provider: &str, bytes_in: u64, bytes_out: u64) -> Value {
    json!({
        "EndpointIP": endpoint, "ServiceIP": service, "ProviderIP": provider,
        "BytesIn": bytes_in, "BytesOut": bytes_out, "PacketsIn": 0, "PacketsOut": 0,
    })
}

fn truth(point: TruePoint) -> Value {
    json!({
        "EndpointIP": point.endpoint_ip, "ServiceIP": point.service_ip, "ProviderIP": point.provider_ip,
        "BytesIn": point.counts.bytes_in, "BytesOut": point.counts.bytes_out,
        "PacketsIn": point.counts.packets_in, "PacketsOut": point.counts.packets_out,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_one_object_and_with_all_every_pair() {
    let body = endpoint("11.1.1.2", "S", &[("P1", 1018, 0), ("P2", 7, 0), ("11.1.1.2", 0, 1200)]);
    let server = Running::start(latest(&[b"null", &body]), None).await;
    let first = pair("11.1.1.2", "S", "P1", 1018, 1200);
    assert_eq!(server.get("/11.1.1.2").await, (200, first));
    assert_eq!(server.get("/11.1.1.2?al=1").await.0, 400);
    let all = [("P1", 1018, 0), ("P2", 7, 0), ("S", 0, 1200)];
    let all: Value = all.iter().map(|&(provider, in_, out)| pair("11.1.1.2", "S", provider, in_, out)).collect();
    for path in ["/11.1.1.2?all", "/11.1.1.2?_=7&all=1"] {
        assert_eq!(server.get(path).await, (200, all.clone()), "{path}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_on_two_nodes_has_the_pairs_of_both() {
    let bodies = [endpoint("E", "S", &[("P", 1, 2)]), endpoint("E", "S", &[("P", 30, 40)])];
    let server = Running::start(latest(&[&bodies[0], &bodies[1]]), None).await;
    assert_eq!(server.get("/E").await, (200, pair("E", "S", "P", 1, 2)));
    let both = json!([pair("E", "S", "P", 1, 2), pair("E", "S", "P", 30, 40)]);
    for path in ["/E?all", "/?all", "/all"] {
        assert_eq!(server.get(path).await, (200, both.clone()), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_objects_of_a_list_have_the_node_as_server_if_asked_for() {
    let bodies = [endpoint("E", "S", &[("P", 1, 2)]), endpoint("E", "S", &[("P", 30, 40)])];
    let server = Running::start(latest(&[&bodies[0], &bodies[1]]), None).await;
    let with = |mut pair: Value, node: &str| {
        pair["server"] = node.into();
        pair
    };
    let both = json!([with(pair("E", "S", "P", 1, 2), "n0"), with(pair("E", "S", "P", 30, 40), "n1")]);
    for path in ["/E?all&server", "/?all&server", "/all?server=1"] {
        assert_eq!(server.get(path).await, (200, both.clone()), "{path}");
    }
    assert_eq!(server.get("/E?server").await, (200, pair("E", "S", "P", 1, 2)), "one object is as the Python had it");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pairs_of_a_cluster_are_its_true_points_node_by_node() {
    let cluster = Cluster::new(Settings { nodes: 5, endpoints: 300, ..Settings::default() });
    let bodies: Vec<_> = (0..5).filter_map(|node| cluster.svcstats(node)).collect();
    let bodies: Vec<&[u8]> = bodies.iter().map(|body| &**body).collect();
    let server = Running::start(latest(&bodies), None).await;
    let expected: Value = (0..5).flat_map(|node| cluster.points(node)).map(truth).collect();
    assert!(expected.as_array().unwrap().len() > 600);
    assert_eq!(server.get("/?all").await, (200, expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_pairs_are_an_empty_list_wherever_the_nodes_without_any_stand() {
    let some = endpoint("E", "S", &[("P", 1, 2)]);
    let idle: &[u8] = br#"{"idle":{"SvcStats":{}}}"#;
    for (bodies, pairs) in [(vec![], 0), (vec![idle], 0), (vec![idle, &some, idle], 1), (vec![&some, idle, &some], 2)] {
        let server = Running::start(latest(&bodies), None).await;
        let (status, answer) = server.get("/?all").await;
        assert_eq!((status, answer.as_array().unwrap().len()), (200, pairs));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_python_crashed_there_is_an_error_with_a_status() {
    let server = Running::start(latest(&[br#"{"idle":{"SvcStats":{}}}"#]), None).await;
    let table = [
        ("/11.1.1.9", 404, "no node had an endpoint `11.1.1.9` in its last answer; /all lists those with traffic"),
        ("/11.1.1.9?all", 404, "no node had an endpoint `11.1.1.9` in its last answer; /all lists those with traffic"),
        ("/idle", 404, "the endpoint `idle` has had no traffic with a service yet"),
        ("/services", 501, "no Netmaster is configured, which lists the services; set contiv.netmaster"),
    ];
    for (path, status, text) in table {
        assert_eq!(server.get(path).await, (status, json!({ "error": text })), "{path}");
    }
    assert_eq!(server.get("/idle?all").await, (200, json!([])));
    let url = format!("http://{}/11.1.1.9", server.address);
    let posted = tokio::task::spawn_blocking(move || ureq::post(url).send_empty()).await.unwrap();
    assert!(matches!(posted, Err(ureq::Error::StatusCode(405))), "{posted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_may_be_encoded_and_end_with_a_slash() {
    let bodies = [endpoint("11.1.1.2", "S", &[("P", 1, 2)]), endpoint("fd00::2", "S", &[("P", 3, 4)])];
    let server = Running::start(latest(&[&bodies[0], &bodies[1]]), None).await;
    let [four, six] = [pair("11.1.1.2", "S", "P", 1, 2), pair("fd00::2", "S", "P", 3, 4)];
    for path in ["/11.1.1.2", "/11%2E1%2E1%2E2", "/11%2e1.1.2/", "//11.1.1.2//", "/11.1.1.2%2F"] {
        assert_eq!(server.get(path).await, (200, four.clone()), "{path}");
    }
    for path in ["/fd00::2", "/fd00%3A%3A2", "/fd00%3a:2/", "/FD00::2", "/fd00:0:0::2", "/Fd00%3A0000%3A%3A0002/"] {
        assert_eq!(server.get(path).await, (200, six.clone()), "{path}");
    }
    for path in ["/fd00%3A%3A2/?all", "/fd00%3A%3A2?all"] {
        assert_eq!(server.get(path).await, (200, json!([six])), "{path}");
    }
    assert_eq!(server.get("/all/").await, (200, json!([four, six])));
    assert_eq!(server.get("/%73ervices/").await.0, 501, "it is not an endpoint");
    for path in ["/%zz", "/%FF", "/11.1.1%", "/%00"] {
        assert_eq!(server.get(path).await.0, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_lists_the_paths() {
    let server = Running::start(latest(&[]), None).await;
    let (status, answer) = server.get("/").await;
    let paths: Vec<_> = answer["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((status, paths), (200, vec!["/", "/<endpoint ip>", "/<endpoint ip>?all", "/all", "/services"]));
    assert_eq!(server.get("/?_=1").await, (200, answer));
    assert_eq!(server.get("/?x=1").await.0, 400);
    assert_eq!(server.get("/?all").await, (200, json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_path_with_services_in_it_is_the_structure() {
    let cluster = Cluster::new(Settings { first_node: Ipv4Addr::new(127, 0, 1, 1), ..Settings::default() });
    let simulated = Simulated::start(cluster, SimulatedSettings::default()).await.unwrap();
    let server = Running::start(Latest::default(), Some(simulated.addresses().netmaster.clone())).await;
    let (status, answer) = server.get("/services").await;
    assert_eq!(status, 200);
    let services = json!(["default:app-svc", "default:app-db", "default:svc-2"]);
    assert_eq!(answer["children_struct"]["topLevel"], services);
    assert_eq!(answer["ancestors_struct"]["10.1.1.1"], json!(["default:app-svc"]));
    let labels = json!({ "tier": "web", "release": "stable", "environment": "prod", "version": "1.0" });
    assert_eq!(answer["labels"]["10.1.1.1"], labels);
    let selectors = json!({ "tier": "db", "release": "stable", "environment": "prod" });
    assert_eq!(answer["serviceSelectors"]["default:app-db"], selectors);
    for path in ["/visualization/services", "/services?_=1", "/x/services/y"] {
        assert_eq!(server.get(path).await, (200, answer.clone()), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_netmaster_that_is_down_is_a_502_with_the_reason() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let server = Running::start(Latest::default(), Some(format!("http://{closed}"))).await;
    let (status, answer) = server.get("/services").await;
    let reason = answer["error"].as_str().unwrap();
    let expected = format!("no good answer from http://{closed}/api/v1/serviceLBs/; check contiv.netmaster");
    assert!(status == 502 && reason.starts_with(&expected), "{status} {reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_are_turned_away_and_a_stop_ends_the_others_in_order() {
    // It takes connections and never answers.
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", hanging.local_addr().unwrap());
    let server = Running::start(Latest::default(), Some(base)).await;
    let server = Arc::new(server);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..=MAX_IN_FLIGHT {
        let server = Arc::clone(&server);
        asking.spawn(async move { server.get("/services").await.0 });
    }
    let statuses = asking.join_all().await;
    let count = |status| statuses.iter().filter(|found| **found == status).count();
    assert_eq!((count(502), count(503)), (MAX_IN_FLIGHT, 1), "{statuses:?}");
    let server = Arc::into_inner(server).unwrap();
    assert_eq!(server.get("/all").await.0, 200, "the places are free again");
    server.stop().await;
}

#[test]
fn the_settings_are_those_of_the_section() {
    let section = ContivConfig::default();
    assert!(LegacySettings::new(&section).unwrap().is_none(), "not asked for");
    let listen = Some("127.0.0.1:4000".parse().unwrap());
    let section = ContivConfig { listen, netmaster: Some("nm".to_owned()), ..section };
    let settings = LegacySettings::new(&section).unwrap().unwrap();
    assert_eq!(settings.netmaster.unwrap().base, "http://nm:9999");
    let section = ContivConfig { netmaster: Some("not an address".to_owned()), ..section };
    let error = LegacySettings::new(&section).unwrap_err();
    assert!(format!("{error:#}").starts_with("contiv.netmaster"), "{error:#}");
    let section = ContivConfig { netmaster: None, ..section };
    assert!(LegacySettings::new(&section).unwrap().unwrap().netmaster.is_none());
}
