//! The daemon polls an analytics API, which the test implements.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use support::Daemon;
use tempfile::TempDir;

/// The response to every request: one network, summed over its sources.
const ANSWER: &str = r#"{"value":[{"name":"default-domain:demo:vn1","value":{"UveVirtualNetworkAgent":{"egress_flow_count":31,"ingress_flow_count":7}}}]}"#;

/// Serves until the test ends, and returns its address.
fn analytics_api() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(|stream| drop(answer(stream))));
    address
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let length = ANSWER.len();
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{ANSWER}")
}

#[test]
fn polled_samples_become_proxy_uves() {
    let (data, api) = (TempDir::new().unwrap(), analytics_api());
    let servers = format!("opserver.servers=http://{api}");
    let settings = [
        "aggregation.period=2",
        "aggregation.allowed_lateness=1s",
        "opserver.interval=1s",
        "opserver.samples=all",
        servers.as_str(),
    ];
    let daemon = Daemon::start(data.path(), &settings);
    let shown = daemon.wait_for("/analytics/uves/virtual-network/default-domain:demo:vn1", |(status, body)| {
        (*status == 200 && body.contains(r#""value":{"value":62}"#)).then(|| body.clone())
    });
    assert!(shown.contains("ingress_flow_count") && shown.contains(r#""value":{"value":14}"#), "{shown}");
    let metrics = daemon.get("/metrics").1;
    assert!(metrics.contains(r#"derived_statsd_opserver_polls_total{outcome="ok"}"#), "{metrics}");
    daemon.stop();
}
