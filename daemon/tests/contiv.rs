//! Contiv end to end: real daemons scrape simulated nodes into a real InfluxDB, and the queries of Contiv's page work.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "a test waits for windows that the wall clock closes")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use support::contiv::{Cluster, Etcd, Netplugin};
use support::influxdb::InfluxDb;
use support::{Daemon, dashboards, results, wait_until};
use tempfile::TempDir;

/// The four counters of each endpoint, service and provider.
type Points = BTreeMap<[String; 3], [u64; 4]>;

const FAST: [&str; 4] =
    ["contiv.interval=1s", "contiv.jitter=0s", "sinks.influxdb.flush_interval=100ms", "log.partitions=2"];

/// Starts a daemon that scrapes a cluster's nodes every second and writes to InfluxDB.
fn start(data: &Path, cluster: &Cluster, influxdb: &InfluxDb, settings: &[&str]) -> Daemon {
    let nodes = format!("contiv.nodes={}", cluster.nodes().join(" "));
    let port = format!("contiv.netplugin_port={}", cluster.port());
    let url = format!("sinks.influxdb.url={}", influxdb.url());
    Daemon::start(data, &[&FAST[..], &[&nodes, &port, &url], settings].concat())
}

/// The current points of all nodes.
fn truth(cluster: &Cluster) -> Points {
    cluster.nodes().iter().flat_map(|node| cluster.points(node)).collect()
}

fn metric(daemon: &Daemon, name: &str) -> u64 {
    let (_, metrics) = daemon.get("/metrics");
    let lines = metrics.lines().filter(|line| line.starts_with(&format!("derived_statsd_{name}")));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap() as u64).sum()
}

fn wait_for_metric(daemon: &Daemon, name: &str, least: u64) {
    wait_until(name, || (metric(daemon, name) >= least).then_some(()));
}

fn texts<const N: usize>(tags: &Value, names: [&str; N]) -> [String; N] {
    names.map(|name| tags[name].as_str().unwrap_or_else(|| panic!("{name} of {tags}")).to_owned())
}

const TAGS: [&str; 3] = ["EndpointIP", "ServiceIP", "ProviderIP"];

/// The queries of Contiv's page.
mod page {
    use super::{BTreeSet, InfluxDb, Value};

    /// The edges of the graph.
    pub(super) fn edges(influxdb: &InfluxDb) -> Value {
        influxdb.ask_as_page_get(
            "SELECT BytesIn, BytesOut, EndpointIP, ProviderIP FROM httpjson_svcstats WHERE time > now() - 1m GROUP BY * LIMIT 1",
        )
    }

    /// The latest traffic between some endpoints and some providers, out and in.
    pub(super) fn now(influxdb: &InfluxDb, endpoints: &str, providers: &str) -> Value {
        influxdb.ask_as_page_post(&format!(
            "SELECT sum(BytesOut) from httpjson_svcstats WHERE time > now() - 15s AND {endpoints} AND {providers}GROUP BY time(20s) LIMIT 1; \
             SELECT sum(BytesIn) from httpjson_svcstats WHERE time > now() - 15s AND {providers} AND {endpoints}GROUP BY time(20s) fill(0) LIMIT 1"
        ))
    }

    /// The traffic over the last minute.
    pub(super) fn minute(influxdb: &InfluxDb, endpoints: &str, providers: &str) -> Value {
        influxdb.ask_as_page_post(&format!(
            "SELECT sum(BytesOut) from httpjson_svcstats WHERE time > now() - 1m AND {endpoints} AND {providers}GROUP BY time(10s) fill(0) LIMIT 6; \
             SELECT sum(BytesIn) from httpjson_svcstats WHERE time > now() - 1m AND {providers} AND {endpoints}GROUP BY time(10s) fill(0) LIMIT 6"
        ))
    }

    /// A list of addresses in the form of the page.
    pub(super) fn any_of(tag: &str, addresses: &BTreeSet<&str>) -> String {
        let each: Vec<_> = addresses.iter().map(|address| format!("{tag}='{address}' ")).collect();
        format!("({})", each.join("OR "))
    }
}

/// The sums over all windows in a response to two statements, out and in.
fn sums(answer: &Value) -> [u64; 2] {
    [0, 1].map(|statement| {
        let values = answer[statement]["series"][0]["values"].as_array().unwrap_or_else(|| panic!("{answer}"));
        values.iter().map(|row| row[1].as_u64().unwrap_or(0)).sum()
    })
}

/// The edges of the graph, in and out, with checks of the tags from which the page parses them.
fn edges(influxdb: &InfluxDb) -> BTreeMap<[String; 3], [u64; 2]> {
    let answer = page::edges(influxdb);
    let edge = |series: &Value| {
        let row = &series["values"][0];
        let key = texts(&series["tags"], TAGS);
        let [endpoint, _, provider] = &key;
        assert_eq!([&row[3], &row[4]], [endpoint, provider], "{series}");
        let [host, server] = texts(&series["tags"], ["host", "server"]);
        assert!(!host.is_empty() && server.ends_with(&format!(":4000/{endpoint}")), "{series}");
        (key, [1, 2].map(|column| row[column].as_u64().unwrap()))
    };
    answer[0]["series"].as_array().unwrap().iter().map(edge).collect()
}

#[test]
fn the_queries_of_contivs_page_find_every_pair() {
    let cluster = Cluster::start(&["--nodes", "3", "--endpoints", "12", "--services", "4", "--interval", "1h"]);
    let (influxdb, data) = (InfluxDb::start(), TempDir::new().unwrap());
    let daemon = start(data.path(), &cluster, &influxdb, &["contiv.interval=10s"]);
    let expected = truth(&cluster);
    let count = "SELECT count(BytesIn) FROM httpjson_svcstats";
    wait_until("a scrape is written", || (influxdb.row(count)? == [json!(expected.len())]).then_some(()));
    let in_and_out = expected.iter().map(|(pair, counters)| (pair.clone(), [counters[0], counters[1]]));
    assert_eq!(edges(&influxdb), in_and_out.collect(), "every pair once, with its counters");

    let endpoints: BTreeSet<_> = expected.keys().map(|[endpoint, ..]| endpoint.as_str()).take(3).collect();
    let providers: BTreeSet<_> = expected.keys().map(|[.., provider]| provider.as_str()).collect();
    let asked = [page::any_of("EndpointIP", &endpoints), page::any_of("ProviderIP", &providers)];
    let of_asked = expected.iter().filter(|([endpoint, ..], _)| endpoints.contains(endpoint.as_str()));
    let total = of_asked.fold([0, 0], |[out, into], (_, counters)| [out + counters[1], into + counters[0]]);
    // Each scrape adds the same values again. The windows of the page begin at round times, and its limit excludes the
    // newest one.
    for ask in [page::now, page::minute] {
        let sums = wait_until("sums", || Some(sums(&ask(&influxdb, &asked[0], &asked[1]))).filter(|sums| sums[0] > 0));
        let scrapes = sums[0] / total[0];
        assert!(scrapes > 0, "{sums:?} of {total:?}");
        assert_eq!(sums, total.map(|sum| sum * scrapes));
    }
    daemon.stop();
}

/// The points in the results log: time, pair, counters.
fn points_in_results(data: &Path) -> BTreeMap<(u64, [String; 3]), [u64; 4]> {
    let mut points = BTreeMap::new();
    for line in results(data).iter().filter(|line| line.starts_with("{\"scrape\":")) {
        let record: Value = serde_json::from_str(line).unwrap();
        for point in record["points"].as_array().unwrap() {
            let pair = [0, 1, 2].map(|place| point[place].as_str().unwrap().to_owned());
            let counters = [3, 4, 5, 6].map(|place| point[place].as_u64().unwrap());
            points.insert((record["at"].as_u64().unwrap(), pair), counters);
        }
    }
    points
}

/// The points in InfluxDB, in the same form.
fn points_in_influxdb(influxdb: &InfluxDb) -> BTreeMap<(u64, [String; 3]), [u64; 4]> {
    let answer =
        influxdb.query("telegraf", "SELECT BytesIn, BytesOut, PacketsIn, PacketsOut FROM httpjson_svcstats GROUP BY *");
    let mut points = BTreeMap::new();
    for series in answer[0]["series"].as_array().unwrap() {
        for row in series["values"].as_array().unwrap() {
            let counters = [1, 2, 3, 4].map(|column| row[column].as_u64().unwrap());
            points.insert((row[0].as_u64().unwrap(), texts(&series["tags"], TAGS)), counters);
        }
    }
    points
}

/// Checks that InfluxDB accepts the queries of all dashboards, and that those about Contiv return data.
fn assert_dashboards_show_data(influxdb: &InfluxDb) {
    for dashboard in dashboards::all() {
        for query in dashboard.influxql("time > now() - 1h") {
            let answer = influxdb.query("telegraf", &query.text);
            assert!(answer[0]["error"].is_null(), "{}: {answer}", query.text);
            // A panel of exceeded limits may be empty.
            let may_be_empty = query.location.contains("beyond");
            let is_about_contiv = query.text.contains("Contiv") || query.text.contains("httpjson_svcstats");
            assert!(
                !is_about_contiv || may_be_empty || answer[0]["series"].is_array(),
                "{}: {}",
                query.location,
                query.text
            );
        }
    }
}

#[test]
fn an_influxdb_that_was_down_has_every_point_in_the_end() {
    let cluster = Cluster::start(&["--nodes", "3", "--endpoints", "12", "--interval", "1s"]);
    let (mut influxdb, data) = (InfluxDb::start(), TempDir::new().unwrap());
    let proxies = "aggregation.uve_proxy_list=ContivService-BytesIn:AggProxySum:AggProxySumAnomalyEWM01";
    let settings = [proxies, "aggregation.period=1", "aggregation.allowed_lateness=0s", "aggregation.idle_timeout=1s"];
    let daemon = start(data.path(), &cluster, &influxdb, &settings);
    wait_until("points are written", || influxdb.row("SELECT count(BytesIn) FROM httpjson_svcstats"));
    influxdb.stop();
    let scrapes = metric(&daemon, "contiv_scrapes_total");
    wait_for_metric(&daemon, "contiv_scrapes_total", scrapes + 4 * 3);
    influxdb.restart();
    // The traffic of the services has anomaly scores after the warm-up of the detector.
    let detector = "SELECT count(value_sigma) FROM AggProxySumAnomalyEWM01 WHERE \"table\"='ContivService'";
    wait_until("the detector's results", || influxdb.row(detector));
    assert_dashboards_show_data(&influxdb);
    // A stop delivers all stored results.
    daemon.stop();
    let expected = points_in_results(data.path());
    assert!(expected.len() as u64 >= scrapes + 6 * 3, "{}", expected.len());
    assert_eq!(points_in_influxdb(&influxdb), expected);

    let sums: u64 = results(data.path())
        .iter()
        .filter_map(|line| {
            let result: Value = serde_json::from_str(line).unwrap();
            result["uve"]
                .as_str()?
                .starts_with("AggProxySum-")
                .then(|| result["data"]["value"]["value"].as_u64())
                .flatten()
        })
        .sum();
    let row = influxdb.row("SELECT sum(value_value) FROM AggProxySum WHERE \"table\"='ContivService'").unwrap();
    assert_eq!(row, [json!(sums)]);
    assert!(sums > 0);
}

/// The sum over the windows of a service.
#[cfg(feature = "fault-points")]
fn derived(data: &Path, service: &str) -> u64 {
    let of_service = |line: &String| line.contains("AggProxySum-ContivService-BytesIn") && line.contains(service);
    let value = |line: String| serde_json::from_str::<Value>(&line).unwrap()["data"]["value"]["value"].as_u64();
    results(data).into_iter().filter(of_service).filter_map(value).sum()
}

#[cfg(feature = "fault-points")]
#[test]
fn a_kill_at_any_point_of_a_scrape_neither_loses_nor_duplicates_traffic() {
    use std::thread;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    const SERVICES: [&str; 2] = ["100.1.1.3", "100.1.1.4"];
    let (netplugin, data) = (Netplugin::start(&SERVICES), TempDir::new().unwrap());
    let nodes = format!("contiv.nodes={}", netplugin.address());
    let settings = [
        "aggregation.uve_proxy_list=ContivService-BytesIn:AggProxySum",
        "aggregation.period=1",
        "aggregation.allowed_lateness=0s",
        "aggregation.idle_timeout=5s",
        "log.commit_interval=100ms",
    ];
    let settings = [&FAST[..], &settings, &[&nodes]].concat();
    let daemon = Daemon::start(data.path(), &settings);
    wait_for_metric(&daemon, "contiv_scrapes_total", 1);
    drop(daemon);
    let mut random = support::Random(5);
    let mut raise = |rounds: u64| {
        for _ in 0..rounds {
            SERVICES.iter().for_each(|service| netplugin.add(service, random.below(10_000)));
            thread::sleep(Duration::from_millis(100));
        }
    };
    for point in ["append.mid:2", "commit.mid:2", "commit.mid:5", "append.mid:1", "commit.mid:9"] {
        let mut daemon = Daemon::doomed(support::command("run", data.path(), &settings), point);
        while daemon.is_running() {
            raise(1);
        }
        raise(3);
    }
    let daemon = Daemon::start(data.path(), &settings);
    raise(10);
    let scrapes = metric(&daemon, "contiv_scrapes_total");
    wait_for_metric(&daemon, "contiv_scrapes_total", scrapes + 2);
    // One of the next two scrapes has the last traffic, and its windows close by the clock.
    let ended = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    wait_for_metric(&daemon, "watermark_seconds", ended + 3);
    daemon.stop();
    for service in SERVICES {
        assert_eq!(derived(data.path(), service), netplugin.bytes(service), "{service}");
    }
}

#[test]
fn a_bad_node_is_reported_and_does_not_affect_the_others() {
    let (good, data) = (Netplugin::start(&["100.1.1.3"]), TempDir::new().unwrap());
    // One address with no listener, and one whose listener never responds.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap();
    let nodes = format!("contiv.nodes={} 127.0.0.1:1 {silent}", good.address());
    let daemon = Daemon::start(data.path(), &[&FAST[..], &["contiv.timeout=500ms", &nodes]].concat());
    wait_for_metric(&daemon, "contiv_scrapes_total", 3);
    wait_for_metric(&daemon, &format!("contiv_scrape_failures_total{{node=\"{silent}\",reason=\"timeout\"}}"), 1);
    wait_for_metric(&daemon, "contiv_scrape_failures_total{node=\"127.0.0.1:1\",reason=\"transport\"}", 1);
    let said = daemon.stop();
    // The good one may be slow for once.
    for bad in ["127.0.0.1:1".to_owned(), silent.to_string()] {
        let of_bad = |line: &&str| line.contains("could not be scraped") && line.contains(&format!("node=\"{bad}\""));
        assert_eq!(said.lines().filter(of_bad).count(), 1, "once for each bad node: {bad}: {said}");
    }
    assert!(points_in_results(data.path()).len() >= 3);
}

#[test]
fn nodes_follow_etcd_and_stay_while_etcd_is_down() {
    let cluster = Cluster::start(&["--nodes", "3", "--interval", "1h"]);
    let (etcd, data) = (Etcd::start(), TempDir::new().unwrap());
    let servers = format!("contiv.etcd=127.0.0.1:1 {}", etcd.address());
    let port = format!("contiv.netplugin_port={}", cluster.port());
    let daemon = Daemon::start(data.path(), &[&FAST[..], &["contiv.discovery_interval=1s", &servers, &port]].concat());
    let nodes = |count: u64| wait_until("nodes", || (metric(&daemon, "contiv_nodes ") == count).then_some(()));
    wait_for_metric(&daemon, "contiv_discovery_failures_total", 1);
    let [first, second, _] = &cluster.nodes()[..] else { panic!("three nodes") };
    etcd.add(first);
    nodes(1);
    etcd.add(second);
    nodes(2);
    let scrapes = metric(&daemon, "contiv_scrapes_total");
    wait_for_metric(&daemon, "contiv_scrapes_total", scrapes + 4);
    let of_first = |daemon: &Daemon| daemon.get("/metrics").1.matches(&format!("node=\"{first}\"")).count();
    assert!(of_first(&daemon) > 10, "the counters exist before the first failure");
    etcd.remove(first);
    nodes(1);
    wait_until("the labels go", || (of_first(&daemon) == 0).then_some(()));
    drop(etcd);
    let failures = metric(&daemon, "contiv_discovery_failures_total");
    wait_for_metric(&daemon, "contiv_discovery_failures_total", failures + 1);
    let scrapes = metric(&daemon, "contiv_scrapes_total");
    wait_for_metric(&daemon, "contiv_scrapes_total", scrapes + 2);
    assert_eq!(metric(&daemon, "contiv_nodes "), 1);
    daemon.stop();
    let scraped: BTreeSet<_> = results(data.path())
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["node"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(scraped.iter().collect::<Vec<_>>(), [first, second]);
}
