//! A changed configuration over a restart: the API serves what is configured now, and nothing of before.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::Value;
use support::{Daemon, line};
use tempfile::TempDir;

const START: u64 = 1_488_000_000_000_000;
const MINUTE: u64 = 60_000_000;
const SUM: &str = "AggProxySum-UveVirtualNetworkAgent-egress_flow_count";
const SCORE: &str = "AggProxySumAnomalyEWM01-UveVirtualNetworkAgent-egress_flow_count";
const BOTH: &str = "UveVirtualNetworkAgent-egress_flow_count:AggProxySum:AggProxySumAnomalyEWM01 \
                    UveVirtualNetworkAgent-ingress_flow_count:AggProxySum";

/// A daemon for this list, to which samples of minutes are posted for `attributes`; the UVE after that.
fn uve(data: &TempDir, list: &str, period: &str, minutes: std::ops::Range<u64>, attributes: &[&str]) -> Value {
    let list = format!("aggregation.uve_proxy_list={list}");
    let period = format!("aggregation.period={period}");
    let daemon = Daemon::start(data.path(), &[&list, &period, "aggregation.allowed_lateness=0s", "log.partitions=1"]);
    for minute in minutes {
        for attribute in attributes {
            let (status, body) =
                daemon.post(line("a", attribute, START + minute * MINUTE, 7).as_bytes(), None).unwrap();
            assert_eq!(status, 200, "{body}");
        }
    }
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    daemon.wait_until_applied();
    // What is applied is committed; the view follows.
    let lag = "derived_statsd_sink_lag_results{sink=\"view\"} 0";
    daemon.wait_for("/metrics", |(_, metrics)| metrics.contains(lag).then_some(()));
    let shown = daemon.get("/analytics/uves/virtual-network/a?flat");
    daemon.stop();
    if shown.0 == 200 { serde_json::from_str(&shown.1).unwrap() } else { Value::Null }
}

#[test]
fn a_removed_type_and_a_removed_stream_are_gone() {
    let data = TempDir::new().unwrap();
    let before = uve(&data, BOTH, "60", 0..15, &["egress_flow_count", "ingress_flow_count"]);
    assert_eq!(before.as_object().unwrap().len(), 3, "{before}");
    let after = uve(&data, "UveVirtualNetworkAgent-egress_flow_count:AggProxySum", "60", 15..15, &[]);
    assert_eq!(after.as_object().unwrap().keys().collect::<Vec<_>>(), [SUM], "{after}");
}

#[test]
fn a_refused_batch_is_checked_again_under_its_key_and_an_accepted_one_is_not() {
    let data = TempDir::new().unwrap();
    let body = line("a", "ingress_flow_count", START, 7);
    let post = |list: &str, times: usize| {
        let list = format!("aggregation.uve_proxy_list={list}");
        let daemon = Daemon::start(data.path(), &[&list, "log.partitions=1"]);
        let answers: Vec<_> = (0..times).map(|_| daemon.post(body.as_bytes(), Some("k")).unwrap()).collect();
        daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
        let partitions: Value = serde_json::from_str(&daemon.get("/api/v1/partitions").1).unwrap();
        let records: u64 = partitions.as_array().unwrap().iter().map(|it| it["cursor"].as_u64().unwrap()).sum();
        daemon.stop();
        (answers, records)
    };
    let one = "UveVirtualNetworkAgent-egress_flow_count:AggProxySum";
    let (refused, _) = post(one, 2);
    assert!(refused.iter().all(|(status, body)| *status == 400 && body.contains("ingress")), "{refused:?}");
    let (accepted, _) = post(BOTH, 2);
    assert!(accepted.iter().all(|(status, body)| *status == 200 && body.contains("\"accepted\":1")), "{accepted:?}");
    assert_eq!(post(one, 1).0, accepted[..1], "what is accepted stays so");
    let (again, records) = post(BOTH, 1);
    assert_eq!((&again[..], records), (&accepted[..1], 1), "it counts once");
}

#[test]
fn a_changed_period_starts_anew() {
    let data = TempDir::new().unwrap();
    let list = "UveVirtualNetworkAgent-egress_flow_count:AggProxySumAnomalyEWM01";
    let before = uve(&data, list, "60", 0..15, &["egress_flow_count"]);
    assert!(before[SCORE]["value"]["sigma"].is_number(), "{before}");
    let after = uve(&data, list, "120", 15..15, &[]);
    assert_eq!(after, Value::Null, "the score of windows of a minute is gone");
}
