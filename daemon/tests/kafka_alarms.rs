//! Alarms of a group on a real broker: over kills and rebalances none fires twice and no end is lost, and a daemon with
//! other rules waits.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;
use support::Daemon;
use support::broker::{Broker, Isolation};
use support::group::{Group, Input, Sample};
use support::receiver::Receiver;
use support::wait_until;

static BROKER: LazyLock<Broker> = LazyLock::new(Broker::start);

const PATIENCE: Duration = Duration::from_secs(120);

/// A rule whose alarms fire and end in many windows of the input; a silent window is a sum of zero.
const RULE: &str = r#"alarms=[{rule='alarm "high" when AggProxySum.value > 4000 for 2 periods, clear below 3000'}]"#;

const OTHER: &str = r#"alarms=[{rule='alarm "high" when AggProxySum.value > 4100 for 2 periods, clear below 3000'}]"#;

fn is_ready(daemon: &Daemon) {
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
}

/// Waits until these daemons have applied what was published. They show the partitions of the whole group, and of their
/// own ones whether windows are closing.
fn wait_until_applied(daemons: &[Daemon]) {
    let is_applied = |partition: &Value| partition["lag"] == 0 && partition["closing"] != true;
    for daemon in daemons {
        daemon.wait_for("/api/v1/partitions", |(_, body)| {
            let partitions: Vec<Value> = serde_json::from_str(body).unwrap_or_default();
            (!partitions.is_empty() && partitions.iter().all(is_applied)).then_some(())
        });
    }
}

/// The alarms that fired, each by its object, its stream and its time, and the number of ends, from the rows.
fn changes(lines: &[String]) -> (BTreeSet<String>, usize) {
    let rows = lines.iter().filter(|line| line.contains("\"uve\":\"UVEAlarms\""));
    let (mut fired, mut ended) = (BTreeSet::new(), 0);
    for row in rows.map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        for alarm in row["data"]["alarms"].as_array().unwrap() {
            fired.insert(format!("{} {} {}", row["key"], row["data"]["proxy"], alarm["timestamp"]));
        }
        let resolved = row["data"]["resolved"].as_array().unwrap();
        ended += resolved.iter().filter(|alarm| alarm["state"] == "resolved").count();
    }
    (fired, ended)
}

#[test]
fn over_kills_and_rebalances_alarms_fire_and_end_as_without_them() {
    let group = Group::new(&BROKER, "alarms", 6);
    let input = Input::new(17, 6, 12, 600, 40);
    let expected = input.expected_with(&[RULE]);
    let (fired, ended) = changes(&expected);
    assert!(fired.len() > 50 && ended > 40, "{} fire, {ended} end: the rule has to do both", fired.len());
    let mut daemons = vec![group.daemon_with("a", &[RULE]), group.daemon_with("b", &[RULE])];
    daemons.iter().for_each(is_ready);
    for (number, slice) in input.samples.chunks(input.samples.len().div_ceil(6)).enumerate() {
        group.publish(slice);
        wait_until_applied(&daemons);
        match number {
            // A third daemon takes partitions with alarms, and hands them on when it stops.
            1 => daemons.push(group.daemon_with("c", &[RULE])),
            3 => drop(daemons.pop().unwrap().stop()),
            _ => {
                let index = number % daemons.len();
                daemons[index].signal("KILL");
                assert!(!daemons[index].wait().success(), "the daemon was killed");
                daemons[index] = group.daemon_with(["a", "b", "c"][index], &[RULE]);
            }
        }
    }
    let mut results = group.results();
    results.wait(&input, expected.len(), PATIENCE);
    input.assert_results(results.lines, &expected, "alarms over kills and rebalances");
    for daemon in daemons {
        daemon.stop();
    }
}

#[test]
fn a_daemon_with_other_rules_waits_names_them_and_ends_no_alarm() {
    let group = Group::new(&BROKER, "rules", 2);
    let input = Input::new(19, 2, 8, 200, 10);
    let expected = input.expected_with(&[RULE]);
    let first = group.daemon_with("a", &[RULE]);
    is_ready(&first);
    let half = input.samples.len() / 2;
    group.publish(&input.samples[..half]);
    for (settings, difference) in [
        (&[][..], "only the group has alarm \"high\""),
        (
            &[OTHER],
            "alarm \"high\" has `when=AggProxySum.value > 4000` in the group and `when=AggProxySum.value > 4100` here",
        ),
    ] {
        let other = group.daemon_with("b", settings);
        let said = other.wait_until_said("This daemon waits.");
        assert!(said.contains(difference), "{said}");
        other.stop();
    }
    group.publish(&input.samples[half..]);
    let mut results = group.results();
    results.wait(&input, expected.len(), PATIENCE);
    input.assert_results(results.lines, &expected, "another daemon has other rules");
    first.stop();
    // A higher version puts its rules in force for the group.
    let newer = group.daemon_with("b", &[OTHER, "kafka.configuration_version=1"]);
    is_ready(&newer);
    newer.stop();
}

/// A sample of the first stream, in seconds after the start.
fn sample(object: &str, second: u64, value: u64) -> Sample {
    let key = format!("ObjectVNTable:default-domain:demo:{object}");
    Sample { attribute: "egress_flow_count", key, at: 1_488_000_000_000_000 + second * 1_000_000, value }
}

#[test]
fn alarms_of_a_state_that_cannot_be_used_go_on_from_the_results() {
    let group = Group::new(&BROKER, "lost", 1);
    let mut results = group.results();
    let first = group.daemon_with("a", &[RULE]);
    is_ready(&first);
    let loud = (0..4).flat_map(|window| ["a", "b"].map(|object| sample(object, window * 10, 5000)));
    group.publish(&loud.collect::<Vec<_>>());
    results.wait_until(|lines| changes(lines).0.len() == 2);
    first.stop();
    let (fired, ended) = changes(&results.lines);
    assert_eq!((fired.len(), ended), (2, 0));
    // Neither the state nor the input tells that the alarms fire.
    let stream = "UveVirtualNetworkAgent-egress_flow_count";
    BROKER.produce(&group.topic(&format!("state-{stream}")), [(0, "h", "not a head")]);
    let input = group.topic(&format!("agg-{stream}"));
    BROKER.delete_before(&input, 0, BROKER.end_offsets(&input, Isolation::Committed)[0]);
    let second = group.daemon_with("a", &[RULE]);
    second.wait_until_said("The saved state cannot be used");
    // One object is quiet, the other does not come again.
    group.publish(&(10..90).map(|window| sample("a", window * 10, 5)).collect::<Vec<_>>());
    results.wait_until(|lines| changes(lines).1 == 2);
    assert_eq!(changes(&results.lines).0, fired, "an alarm fired again");
    second.wait_for("/api/v1/alarms", |(_, body)| body.starts_with(r#"{"alarms":[],"#).then_some(()));
    second.stop();
}

/// Waits until both sinks of alarms have delivered and stored all, without a problem.
fn wait_until_sent(daemon: &Daemon) {
    daemon.wait_for("/api/v1/status", |(_, body)| {
        let status: Value = serde_json::from_str(body).ok()?;
        let sinks: Vec<&Value> = status["sinks"].as_array()?.iter().filter(|sink| sink["name"] != "view").collect();
        assert_eq!(sinks.len(), 2, "{body}");
        sinks.iter().all(|sink| sink["lag"] == 0 && sink["problem"].is_null()).then_some(())
    });
}

/// The changes of one kind in requests to a webhook: their ids.
fn ids(requests: &[Value], kind: &str) -> BTreeSet<String> {
    let groups = requests.iter().flat_map(|request| request["groups"].as_array().unwrap());
    groups.flat_map(|group| group[kind].as_array().unwrap()).map(|it| it["id"].as_str().unwrap().to_owned()).collect()
}

/// The objects of which more alerts wait for a minute with room than the metadata of an offset takes as whole digests.
const OBJECTS: u64 = 330;

/// The settings of both sinks of alarms.
fn sinks(alertmanager: &Receiver, webhook: &Receiver) -> Vec<String> {
    vec![
        r#"alarms=[{rule='alarm "high" when AggProxySum.value > 4000'}]"#.to_owned(),
        "sinks.alertmanager.alarms_per_group=1000".to_owned(),
        "sinks.alertmanager.alerts_per_minute=20".to_owned(),
        "sinks.webhook.alarms_per_group=1000".to_owned(),
        "sinks.webhook.interval=0s".to_owned(),
        format!("sinks.alertmanager.url={}", alertmanager.url()),
        format!("sinks.webhook.url={}/hook", webhook.url()),
    ]
}

fn publish_all(group: &Group<'_>, seconds: std::ops::Range<u64>, value: u64) {
    let of = |second: u64| (0..OBJECTS).map(move |object| sample(&format!("o{object}"), second, value));
    group.publish(&seconds.step_by(10).flat_map(of).collect::<Vec<_>>());
}

/// Lets the alarms of all objects fire. Returns the alerts that the Alertmanager got of objects.
fn fire(group: &Group<'_>, daemon: &Daemon, alertmanager: &Receiver, webhook: &Receiver) -> BTreeSet<String> {
    publish_all(group, 0..40, 5000);
    let mut fired = Vec::new();
    wait_until("all have fired", || {
        fired.extend(webhook.take());
        (ids(&fired, "fired").len() as u64 == OBJECTS && alertmanager.alerts()[0].len() >= 21).then_some(())
    });
    wait_until_sent(daemon);
    let sent: BTreeSet<String> =
        alertmanager.alerts()[0].iter().filter(|name| name.starts_with("default")).cloned().collect();
    assert!((20..200).contains(&sent.len()), "{} alerts within a minute or a few", sent.len());
    sent
}

#[test]
fn the_sinks_of_alarms_keep_their_position_with_many_held_alerts_and_send_all_ends_over_a_kill() {
    let group = Group::new(&BROKER, "sinks", 1);
    let (alertmanager, webhook) = (Receiver::start(), Receiver::start());
    let settings = sinks(&alertmanager, &webhook);
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let mut daemon = group.daemon_with("a", &settings);
    is_ready(&daemon);
    let sent = fire(&group, &daemon, &alertmanager, &webhook);
    alertmanager.without_answers(|| {
        webhook.without_answers(|| {
            publish_all(&group, 40..80, 5);
            let is_taken = || alertmanager.alerts()[1].is_superset(&sent).then_some(());
            wait_until("the Alertmanager takes the ends", is_taken);
            daemon.wait_for("/api/v1/alarms", |(_, body)| body.starts_with(r#"{"alarms":[],"#).then_some(()));
            daemon.signal("KILL");
            assert!(!daemon.wait().success(), "the daemon was killed");
        });
    });
    let (mut ended, before) = (Vec::new(), webhook.take());
    assert!(ids(&before, "fired").is_empty(), "no alarm fires twice");
    alertmanager.take();
    let daemon = group.daemon_with("a", &settings);
    wait_until("all ends are sent", || {
        ended.extend(webhook.take());
        (alertmanager.alerts()[1].is_superset(&sent) && ids(&ended, "resolved").len() as u64 == OBJECTS).then_some(())
    });
    assert!(ids(&ended, "fired").is_empty(), "no alarm fires again");
    wait_until_sent(&daemon);
    daemon.stop();
}
