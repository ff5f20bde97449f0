//! Daemons that share the work on a real Kafka broker.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::LazyLock;
use std::time::Duration;

use support::broker::Broker;
use support::group::{Group, Input};

static BROKER: LazyLock<Broker> = LazyLock::new(Broker::start);

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn one_daemon_gives_every_result_once_and_shows_it() {
    let group = Group::new(&BROKER, "one", 4);
    let input = Input::new(1, 4, 6, 400, 20);
    let expected = input.expected();
    let daemon = group.daemon("a");
    group.publish(&input.samples);
    let mut results = group.results();
    results.wait(&input, expected.len(), PATIENCE);
    input.assert_results(results.lines, &expected, "one daemon");
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    println!("{}", daemon.get("/api/v1/partitions").1);
    println!("{}", daemon.get("/analytics/uves/virtual-network/default-domain:demo:vn1").1);
    println!("{}", daemon.stop());
}
