//! The daemon polls an analytics API, which the test implements.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::Daemon;
use support::analytics::AnalyticsApi;
use tempfile::TempDir;

#[test]
fn polled_samples_become_proxy_uves() {
    let (data, api) = (TempDir::new().unwrap(), AnalyticsApi::start());
    let servers = format!("opserver.servers=http://{}", api.address());
    let settings = [
        "aggregation.period=2",
        "aggregation.allowed_lateness=1s",
        "opserver.interval=1s",
        "opserver.samples=all",
        servers.as_str(),
    ];
    let daemon = Daemon::start(data.path(), &settings);
    // The streams commit one after the other.
    daemon.wait_for("/analytics/uves/virtual-network/default-domain:demo:vn1", |(status, body)| {
        let is_shown = |value: u64| body.contains(&format!(r#""value":{{"value":{value}}}"#));
        let has_both = is_shown(62) && body.contains("ingress_flow_count") && is_shown(14);
        (*status == 200 && has_both).then_some(())
    });
    let metrics = daemon.get("/metrics").1;
    assert!(metrics.contains(r#"derived_statsd_opserver_polls_total{outcome="ok"}"#), "{metrics}");
    daemon.stop();
}
