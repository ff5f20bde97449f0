//! What `/readyz` and `/api/v1/partitions` answer while brokers, input topics or the name of a daemon are not there, on
//! a real broker.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::Daemon;
use support::broker::Broker;
use support::group::{Group, Input};

static BROKER: LazyLock<Broker> = LazyLock::new(Broker::start);

/// The slowest answer from what is known, on a machine that does much else.
const AT_ONCE: Duration = Duration::from_secs(3);

const STREAM: &str = "UveVirtualNetworkAgent-egress_flow_count";
const OTHER: &str = "UveVirtualNetworkAgent-ingress_flow_count";

fn is_ready(daemon: &Daemon) {
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
}

/// Waits until the daemon is not ready, for a reason with these texts.
fn is_unready(daemon: &Daemon, texts: &[&str]) {
    let is_said = |body: &str| texts.iter().all(|text| body.contains(text));
    daemon.wait_for("/readyz", |(status, body)| (*status == 503 && is_said(body)).then_some(()));
}

/// The status of all partitions, which comes at once.
#[allow(clippy::disallowed_methods, reason = "the test measures the answer")]
fn partitions(daemon: &Daemon) -> Vec<Value> {
    let began = Instant::now();
    let (status, body) = daemon.get("/api/v1/partitions");
    let took = began.elapsed();
    assert!(status == 200 && took < AT_ONCE, "{status} after {took:?}: {body}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn a_daemon_without_brokers_says_so_and_answers_from_what_it_knows() {
    let mut broker = Broker::start();
    let group = Group::new(&broker, "unreached", 2);
    let input = Input::new(21, 2, 3, 60, 10);
    let daemon = group.daemon("a");
    is_ready(&daemon);
    group.publish(&input.samples);
    daemon.wait_until_applied();
    let is_fresh = |body: &str| {
        let all: Vec<Value> = serde_json::from_str(body).unwrap();
        all.iter().all(|it| it["age_seconds"] == 0).then_some(all)
    };
    let before = daemon.wait_for("/api/v1/partitions", |(_, body)| is_fresh(body));

    let detached = group.detach();
    broker.kill();
    is_unready(&daemon, &["kafka: no broker reached since ", &format!(" s ({}): ", broker.bootstrap())]);
    let known = partitions(&daemon);
    assert!(known.iter().all(|it| it["age_seconds"].as_u64() > Some(0)), "{known:?}");
    let read = |all: &[Value]| all.iter().map(|it| (it["cursor"].clone(), it["lag"].clone())).collect::<Vec<_>>();
    assert_eq!(read(&known), read(&before));
    assert!(!daemon.get("/metrics").1.is_empty());

    broker.restart();
    is_ready(&daemon);
    daemon.wait_for("/api/v1/partitions", |(_, body)| body.contains("\"age_seconds\":0").then_some(()));
    drop(detached);
    daemon.stop();
}

#[test]
fn deleted_input_topics_are_counted_and_make_a_daemon_unready_if_none_is_left() {
    let group = Group::new(&BROKER, "deleted", 1);
    let [topic, other] = [STREAM, OTHER].map(|stream| group.topic(&format!("agg-{stream}")));
    let daemon = group.daemon("a");
    is_ready(&daemon);
    let counts = |missing: u64| {
        let line = format!("derived_statsd_missing_input_topics {missing}\n");
        daemon.wait_for("/metrics", |(_, body)| body.contains(&line).then_some(()));
    };
    BROKER.delete_topic(&topic);
    counts(1);
    let known = partitions(&daemon);
    assert!(known.iter().all(|it| it["stream"] != STREAM), "{known:?}");
    // The other one is deleted later, and both for as long as it takes.
    BROKER.delete_topic(&other);
    counts(2);
    is_unready(&daemon, &["kafka: the input topic ", &topic, " has been missing for ", &other]);
    BROKER.create_topic(&topic, 1, &[]);
    is_ready(&daemon);
    counts(1);
    daemon.stop();
}

#[test]
fn input_and_state_topics_that_are_deleted_together_make_a_daemon_unready() {
    let group = Group::new(&BROKER, "both", 1);
    let daemon = group.daemon("a");
    is_ready(&daemon);
    for stream in [STREAM, OTHER] {
        BROKER.delete_topic(&group.topic(&format!("state-{stream}")));
        BROKER.delete_topic(&group.topic(&format!("agg-{stream}")));
    }
    is_unready(&daemon, &["kafka: the input topic ", STREAM, " has been missing for "]);
    daemon.stop();
}

#[test]
fn a_daemon_that_polls_the_topics_rarely_is_unready_soon_without_brokers() {
    let mut broker = Broker::start();
    let group = Group::new(&broker, "rarely", 1);
    let daemon = group.daemon_with("a", &["kafka.refresh_interval=1h"]);
    let other = group.daemon_with("b", &["kafka.refresh_interval=1h"]);
    is_ready(&daemon);
    is_ready(&other);
    let detached = group.detach();
    broker.kill();
    // One of the two has no partition, and requests nothing.
    is_unready(&daemon, &["kafka: no broker reached since "]);
    is_unready(&other, &["kafka: no broker reached since "]);
    drop(detached);
    daemon.stop();
    other.stop();
}

#[test]
fn the_start_says_which_topics_it_waits_for() {
    let group = Group::bare(&BROKER, "absent", 1);
    let daemon = group.daemon("a");
    let topic = group.topic(&format!("agg-{STREAM}"));
    is_unready(&daemon, &["starting: ", "the input topic ", &topic, " does not exist", "topics --create"]);
    assert_eq!(partitions(&daemon), Vec::<Value>::new());
    BROKER.create_topic(&topic, 1, &[]);
    // A topic that was never there is no reason to serve nothing.
    is_ready(&daemon);
    daemon.stop();
}

#[test]
fn the_start_says_that_another_process_has_the_name() {
    let group = Group::new(&BROKER, "namesakes", 1);
    let first = group.daemon("a");
    is_ready(&first);
    let second = group.daemon("a");
    is_unready(&second, &["starting: ", &format!("a with process id {}", first.id()), "kafka.instance"]);
    let waits = "derived_statsd_waiting{reason=\"name\"}";
    assert!(second.get("/metrics").1.contains(&format!("{waits} 1")));
    assert!(first.get("/metrics").1.contains(&format!("{waits} 0")));
    first.stop();
    is_ready(&second);
    second.stop();
}

#[test]
fn a_start_without_brokers_says_so() {
    let group = Group::bare(&BROKER, "nobody", 1);
    let nobody = format!("kafka.brokers=127.0.0.1:{}", support::broker::free_port());
    let daemon = group.daemon_with("a", &[&nobody]);
    is_unready(&daemon, &["starting: ", "kafka: no broker reached since "]);
    let (status, body) = daemon.get("/api/v1/partitions");
    assert!(status == 503 && body.contains("no broker has answered"), "{status}: {body}");
    daemon.stop();
}
