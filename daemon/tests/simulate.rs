//! `simulate contiv` as a process: one line of addresses, then a cluster that responds and whose counters grow.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod binary;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// A running cluster, killed on drop.
struct Cluster {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    addresses: Value,
}

impl Cluster {
    fn start(arguments: &[&str]) -> Self {
        let mut command = binary::command(&["simulate", "contiv"]);
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let addresses = serde_json::from_str(&line).unwrap();
        Self { child, out, addresses }
    }

    fn svcstats(&self, node: usize) -> Vec<u8> {
        let host = self.addresses["nodes"][node].as_str().unwrap();
        get(&format!("http://{host}:{}/svcstats", self.addresses["netplugin_port"])).unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(url: &str) -> Result<Vec<u8>, ureq::Error> {
    let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10)));
    config.build().new_agent().get(url).call()?.body_mut().read_to_vec()
}

#[test]
fn it_prints_its_addresses_serves_growing_counters_and_stops_in_order() {
    for signal in ["TERM", "INT"] {
        let mut cluster = Cluster::start(&["--nodes", "2", "--endpoints", "8", "--interval", "20ms"]);
        let addresses = cluster.addresses.clone();
        assert_eq!(addresses["nodes"], serde_json::json!(["127.0.1.1", "127.0.1.2"]));
        let etcd = addresses["etcd"].as_str().unwrap();
        let nodes = get(&format!("{etcd}/v2/keys/contiv.io/service/netplugin/?recursive=true&sorted=true")).unwrap();
        assert!(!netplugin_adapter::discover(&nodes).unwrap().hosts.is_empty());
        let netmaster = addresses["netmaster"].as_str().unwrap();
        let services = get(&format!("{netmaster}/api/v1/serviceLBs/")).unwrap();
        assert_eq!(netplugin_adapter::service_list(&services).unwrap().services.len(), 3);
        let first = cluster.svcstats(0);
        let changed = (0..500).any(|_| {
            thread::sleep(Duration::from_millis(10));
            cluster.svcstats(0) != first
        });
        assert!(changed, "the counters stand still");
        let pid = cluster.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        assert!(cluster.child.wait().unwrap().success(), "after SIG{signal}");
        let mut more = String::new();
        cluster.out.read_to_string(&mut more).unwrap();
        assert_eq!(more, "", "one line is all");
    }
}

#[test]
fn the_same_seed_gives_the_same_first_bytes_and_the_list_form_is_a_list() {
    let still = ["--interval", "1h", "--seed"];
    let start = |arguments: &[&str]| Cluster::start(&[&still[..], arguments].concat()).svcstats(1);
    let map = start(&["5"]);
    assert_eq!((map[0], &start(&["5"])), (b'{', &map));
    assert_ne!(start(&["6"]), map);
    assert_eq!(start(&["5", "--list"])[0], b'[');
}

#[test]
fn with_faults_some_requests_fail() {
    let cluster = Cluster::start(&["--nodes", "1", "--interval", "1h", "--faults"]);
    let host = cluster.addresses["nodes"][0].as_str().unwrap();
    let url = format!("http://{host}:{}/svcstats", cluster.addresses["netplugin_port"]);
    let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(3)));
    let agent = config.build().new_agent();
    let failed = (0..60).filter(|_| {
        let answer = agent.get(&url).call();
        !answer.is_ok_and(|mut answer| answer.body_mut().with_config().limit(1 << 20).read_to_vec().is_ok())
    });
    let failed = failed.count();
    assert!((1..30).contains(&failed), "{failed} of 60 requests failed");
}

#[test]
fn an_address_that_is_not_on_loopback_is_refused() {
    let run = binary::run(&["simulate", "contiv", "--listen", "0.0.0.0:0"], "");
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert!(run.stderr.contains("a simulated cluster listens on loopback only"), "{run:?}");
}
