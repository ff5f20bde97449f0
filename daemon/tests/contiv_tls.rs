//! Contiv and Contrail's analytics API by TLS: a real etcd, nodes, netmaster and an API that require the certificate of a
//! client, and Contiv's page.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::path::Path;

use support::analytics::AnalyticsApi;
use support::contiv::{Cluster, Etcd, Netplugin};
use support::tls::TlsFront;
use support::{Daemon, certificates, curl, wait_until};
use tempfile::TempDir;

const FAST: [&str; 5] = [
    "contiv.interval=1s",
    "contiv.jitter=0s",
    "contiv.discovery_interval=1s",
    "contiv.listen=127.0.0.1:0",
    "log.partitions=1",
];

/// The certificates of a server and of a client.
fn made() -> TempDir {
    let folder = TempDir::new().unwrap();
    certificates::make(folder.path(), "server");
    certificates::sign(folder.path(), "client", "authority");
    folder
}

/// The settings of a section: the authority, and the certificate of the client.
fn files(folder: &Path, section: &str) -> [String; 3] {
    [("ca_file", "authority.pem"), ("certificate_file", "client.pem"), ("key_file", "client.key")]
        .map(|(key, name)| format!("{section}.{key}={}", folder.join(name).display()))
}

fn start(data: &TempDir, settings: &[&[String]]) -> Daemon {
    let settings: Vec<_> = FAST.into_iter().chain(settings.iter().copied().flatten().map(String::as_str)).collect();
    Daemon::start(data.path(), &settings)
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

#[test]
fn etcd_nodes_and_netmaster_are_reached_with_the_certificate_of_the_section_and_the_page_has_its_own() {
    let (folder, data) = (made(), TempDir::new().unwrap());
    let node = Netplugin::start(&["100.1.1.3"]);
    node.add("100.1.1.3", 7);
    let front = TlsFront::start(node.address(), folder.path());
    let etcd = Etcd::start_with_tls(folder.path());
    etcd.add("127.0.0.1");
    let cluster = Cluster::start(&["--nodes", "1", "--interval", "1h"]);
    let netmaster = TlsFront::start(cluster.address("netmaster").trim_start_matches("http://"), folder.path());
    let listen = ["certificate", "key"].map(|key| {
        let end = if key == "key" { "key" } else { "pem" };
        format!("{key} = \"{}\"", path(folder.path(), &format!("server.{end}")))
    });
    let servers = [
        format!("contiv.etcd=https://{}", etcd.address()),
        "contiv.netplugin_tls=true".to_owned(),
        format!("contiv.netplugin_port={}", front.port()),
        format!("contiv.netmaster={}", netmaster.url()),
        format!("contiv.listen_tls={{{}}}", listen.join(", ")),
    ];
    let daemon = start(&data, &[&servers, &files(folder.path(), "contiv")]);
    daemon.wait_for("/metrics", |(_, metrics)| metrics.contains("derived_statsd_contiv_points_total 1").then_some(()));
    let authority = path(folder.path(), "authority.pem");
    let get = |route: &str| curl(&["--cacert", &authority, &format!("https://{}{route}", daemon.contiv_address())]);
    let (status, body) = get("/all").unwrap();
    let pairs: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert!(status == 200 && pairs[0]["BytesIn"] == 7, "{body}");
    let (status, body) = get("/services").unwrap();
    assert!(status == 200 && body.len() > 10, "{status} {body}");
    let plain = curl(&[&format!("http://{}/all", daemon.contiv_address())]);
    assert!(plain.is_err(), "{plain:?}");
    daemon.stop();
}

#[test]
fn a_server_of_another_authority_and_one_that_wants_a_certificate_are_reported_with_the_setting() {
    let (folder, data) = (made(), TempDir::new().unwrap());
    let node = Netplugin::start(&["100.1.1.3"]);
    let front = TlsFront::start(node.address(), folder.path());
    let servers = ["contiv.netplugin_tls=true".to_owned(), format!("contiv.nodes=127.0.0.1:{}", front.port())];
    let [authority, _, _] = files(folder.path(), "contiv");
    let stranger = authority.replace("authority.pem", "stranger.pem");
    for setting in [authority, stranger] {
        let daemon = start(&data, &[&servers, &[setting]]);
        daemon.wait_until_said("check contiv.ca_file, and contiv.certificate_file if the server requires one");
        daemon.stop();
    }
    assert!(node.answers().is_empty());
}

#[test]
fn the_analytics_api_is_polled_with_the_certificate_of_the_section() {
    let (folder, data) = (made(), TempDir::new().unwrap());
    let api = AnalyticsApi::start();
    let front = TlsFront::start(api.address(), folder.path());
    let [authority, certificate, key] = files(folder.path(), "opserver");
    let poll = [format!("opserver.servers={}", front.url()), "opserver.interval=1s".to_owned()];
    let daemon = start(&data, &[&poll, std::slice::from_ref(&authority)]);
    daemon.wait_until_said("check opserver.ca_file, and opserver.certificate_file if the server requires one");
    assert!(api.answers().is_empty());
    daemon.stop();
    let daemon = start(&data, &[&poll, &[authority, certificate, key]]);
    wait_until("a poll", || (!api.answers().is_empty()).then_some(()));
    daemon.stop();
}
