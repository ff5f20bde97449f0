//! Who may work on a state topic, on a real broker: one consumer group, one process of a name.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};
use support::broker::{Broker, Isolation};
use support::configured::Configured;
use support::group::{Group, Input, Sample};
use support::{Daemon, is_applied, wait_until};

static BROKER: LazyLock<Broker> = LazyLock::new(Broker::start);

const PATIENCE: Duration = Duration::from_secs(60);

fn is_ready(daemon: &Daemon) {
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
}

/// Starts a daemon that must end with an error; its messages.
fn refused(command: Command) -> String {
    let (status, messages) = match Daemon::try_spawn(command) {
        Ok(mut daemon) => (daemon.wait_for_end(), daemon.stderr()),
        Err(ended) => ended,
    };
    assert_eq!(status.code(), Some(1), "{messages}");
    messages
}

fn topics(group: &Group<'_>, settings: &[&str], arguments: &[&str]) -> (bool, String) {
    let output = group.command("topics", "topics", settings).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn a_second_group_is_refused_until_it_takes_over_and_every_window_is_given_once() {
    let group = Group::new(&BROKER, "claimed", 4);
    let input = Input::new(11, 4, 6, 300, 20);
    let expected = input.expected();
    let (head, tail) = input.samples.split_at(input.samples.len() / 2);
    let first = group.daemon("a");
    is_ready(&first);
    group.publish(head);
    let other = ["kafka.group_id=other"];
    let messages = refused(group.command("run", "b", &other));
    for said in ["claimed-uve-state-", "`claimed-derived-statsd`", "`other`", "topics --take-over"] {
        assert!(messages.contains(said), "{said}: {messages}");
    }
    assert!(!first.stderr().contains("A transaction failed"), "the running group was disturbed");
    let (is_right, shown) = topics(&group, &other, &[]);
    assert!(!is_right && shown.contains("problem: it holds the states of the consumer group"), "{shown}");
    let (is_done, shown) = topics(&group, &other, &["--take-over"]);
    assert!(!is_done && shown.contains("stop its daemons first"), "{shown}");

    first.stop();
    let (is_done, shown) = topics(&group, &other, &["--take-over"]);
    assert!(is_done && shown.contains("ok: taken over from the consumer group claimed-derived-statsd"), "{shown}");
    let messages = refused(group.command("run", "a", &[]));
    assert!(messages.contains("holds the states of the consumer group `other`"), "{messages}");
    let second = group.daemon_with("b", &other);
    group.publish(tail);
    let mut results = group.results();
    results.wait(&input, expected.len(), PATIENCE);
    input.assert_results(results.lines, &expected, "two groups, one after the other");
    second.stop();
}

/// The daemons make a state topic again that somebody deletes. Without the claim of the group a second one would be let
/// in, and give every window again.
#[test]
fn a_state_topic_that_is_deleted_while_the_group_runs_is_claimed_again() {
    let group = Group::new(&BROKER, "reclaimed", 2);
    let daemon = group.daemon("a");
    is_ready(&daemon);
    let topic = group.topic("state-UveVirtualNetworkAgent-egress_flow_count");
    let registered = format!("registered its group or its configuration. topic=\"{topic}\"");
    let times = |daemon: &Daemon| daemon.stderr().matches(&registered).count();
    wait_until("the group has its claim", || (times(&daemon) == 1).then_some(()));
    BROKER.delete_topic(&topic);
    wait_until("the group has the claim again", || (times(&daemon) == 2).then_some(()));
    daemon.wait_until_said("A state topic was deleted while the group runs");
    BROKER.delete_topic(&topic);
    BROKER.create_topic(&topic, 2, &[("cleanup.policy", "compact"), ("max.message.bytes", "8388608")]);
    wait_until("the group has the claim of that one, too", || (times(&daemon) == 3).then_some(()));
    let messages = refused(group.command("run", "b", &OTHER));
    assert!(messages.contains("holds the states of the consumer group `reclaimed-derived-statsd`"), "{messages}");
    daemon.stop();
}

/// The topics of results and of dead letters are made again as well. What a transaction could not write is read again:
/// no window is missing after it.
#[test]
fn shared_topics_that_are_deleted_while_the_group_runs_are_made_again() {
    let group = Group::new(&BROKER, "unshared", 1);
    let daemon = group.daemon("a");
    is_ready(&daemon);
    let input = Input::new(11, 1, 6, 20, 4);
    let expected = input.expected();
    let begin = input.samples.len() / 8;
    group.publish(&input.samples[..begin]);
    daemon.wait_for("/api/v1/partitions", |(_, body)| is_applied(body).then_some(()));
    for name in ["dead-letters", "results"] {
        let topic = group.topic(name);
        BROKER.delete_topic(&topic);
        let said = format!(
            "A topic was deleted while the group runs. The daemons made it again; its records are lost. topic=\"{topic}\""
        );
        daemon.wait_until_said(&said);
        daemon.wait_until_said(&format!("Created a topic. topic=\"{topic}\""));
    }
    let attribute = "agg-UveVirtualNetworkAgent-egress_flow_count";
    BROKER.produce(&group.topic(attribute), [(0, "ObjectVNTable:a".to_owned(), "no sample".to_owned())]);
    group.publish(&input.samples[begin..]);
    let mut results = group.results();
    results.wait(&input, expected.len(), PATIENCE);
    input.assert_results(results.lines, &expected, "after the topics were made again");
    let letters = BROKER.read_all(&group.topic("dead-letters"), Isolation::Committed);
    assert_eq!(letters.len(), 1, "{letters:?}");
    is_ready(&daemon);
    // The view reads the new topic as well.
    daemon.wait_for("/analytics/uves/virtual-network/*", |(_, body)| body.contains("AggProxySum").then_some(()));
    daemon.stop();
}

/// The setting of a second group.
const OTHER: [&str; 1] = ["kafka.group_id=other"];

/// A daemon that has applied these samples, and is frozen since before its states were moved to another group.
fn frozen_while_taken_over(group: &Group<'_>, samples: &[Sample]) -> Daemon {
    let daemon = group.daemon("a");
    is_ready(&daemon);
    group.publish(samples);
    daemon.wait_for("/api/v1/partitions", |(_, body)| is_applied(body).then_some(()));
    daemon.signal("STOP");
    wait_until("its session has ended", || topics(group, &OTHER, &["--take-over"]).0.then_some(()));
    daemon
}

#[test]
fn a_daemon_that_was_frozen_while_another_group_took_over_ends() {
    let group = Group::new(&BROKER, "thawed", 2);
    let input = Input::new(15, 2, 6, 200, 20);
    let expected = input.expected();
    let (head, tail) = input.samples.split_at(input.samples.len() / 2);
    let mut first = frozen_while_taken_over(&group, head);
    let second = group.daemon_with("b", &OTHER);
    is_ready(&second);
    group.publish(tail);
    let mut results = group.results();
    results.wait(&input, expected.len(), PATIENCE);
    first.signal("CONT");
    let said =
        first.wait_until_said("the state topic was taken over: it holds the states of the consumer group `other`");
    assert_eq!(first.wait().code(), Some(1), "{said}");
    results.wait(&input, expected.len(), PATIENCE);
    input.assert_results(results.lines, &expected, "a group that was moved away");
    second.stop();
}

/// It thaws when the states still name its own group: the claim alone shows that they were moved.
#[test]
fn a_daemon_that_thaws_before_the_other_group_has_committed_ends() {
    let group = Group::new(&BROKER, "early", 2);
    let input = Input::new(16, 2, 6, 200, 20);
    let (head, _) = input.samples.split_at(input.samples.len() / 2);
    let mut first = frozen_while_taken_over(&group, head);
    first.signal("CONT");
    first.wait_until_said("the state topic was taken over: it holds the states of the consumer group `other`");
    assert_eq!(first.wait().code(), Some(1));
}

/// Both see a new topic, and the one that waits sees it first.
#[test]
fn a_daemon_that_waits_registers_nothing_and_stops_no_other() {
    let group = Group::bare(&BROKER, "waiting", 1);
    let input = |name: &str| group.topic(&format!("agg-{name}"));
    let list = |types: &str| format!("aggregation.uve_proxy_list=S-b:{types} S-c:{types}");
    BROKER.create_topic(&input("S-c"), 1, &[]);
    let [works, waits] = [("works", "AggProxySum:AggProxySumAnomalyEWM01"), ("waits", "AggProxySum")]
        .map(|(name, types)| (name, list(types)));
    let works = group.daemon_with(works.0, &[&works.1]);
    is_ready(&works);
    let waits = group.daemon_with(waits.0, &[&waits.1]);
    waits.wait_until_said("This daemon waits.");
    works.signal("STOP");
    BROKER.create_topic(&input("S-b"), 1, &[]);
    // Long enough for several polls of the topics, and shorter than the session.
    std::thread::sleep(Duration::from_millis(2_000));
    works.signal("CONT");
    works.wait_for("/api/v1/partitions", |(_, body)| body.contains("S-b").then_some(()));
    is_ready(&works);
    let payload = r#"{"ts":1488000000000000,"value":1}"#;
    BROKER.produce(&input("S-b"), [(0, "ObjectVNTable:a", payload)]);
    works.wait_for("/api/v1/partitions", |(_, body)| (body.matches("\"cursor\":1").count() == 1).then_some(()));
    let said = works.stop();
    assert!(!said.contains("This daemon waits."), "{said}");
    waits.stop();
}

#[test]
fn of_groups_that_start_at_once_exactly_one_has_the_topics() {
    for round in 0..3 {
        let group = Group::new(&BROKER, &format!("race{round}"), 2);
        let names = ["x", "y", "z"];
        let daemons = names.map(|name| group.daemon_with(name, &[&format!("kafka.group_id={name}")]));
        let [mut x, mut y, mut z] = daemons;
        wait_until("two have ended and one is ready", || {
            let running = [x.is_running(), y.is_running(), z.is_running()];
            let ready = [&x, &y, &z].map(|daemon| daemon.try_get("/readyz").is_some_and(|(status, _)| status == 200));
            (running == ready && running.iter().filter(|it| **it).count() == 1).then_some(())
        });
    }
}

#[test]
fn a_second_process_with_the_same_name_ends_and_names_the_first() {
    let group = Group::new(&BROKER, "namesake", 2);
    let first = group.daemon("a");
    is_ready(&first);
    let messages = refused(group.command("run", "a", &[]));
    let duplicate =
        format!("another process has the name of this daemon: a with process id {} at 127.0.0.1", first.id());
    assert!(messages.contains(&duplicate) && messages.contains("kafka.instance"), "{messages}");
    let said = first.stop();
    assert!(!said.contains("A transaction failed") && !said.contains("Partitions lost"), "{said}");
}

#[test]
fn a_process_that_was_frozen_ends_when_another_one_has_its_name() {
    let group = Group::new(&BROKER, "frozen", 2);
    let input = Input::new(12, 2, 6, 200, 20);
    let expected = input.expected();
    let (head, tail) = input.samples.split_at(input.samples.len() / 2);
    let mut first = group.daemon("a");
    is_ready(&first);
    group.publish(head);
    first.wait_until_said("Ready");
    first.signal("STOP");
    let second = group.daemon("a");
    is_ready(&second);
    first.signal("CONT");
    group.publish(tail);
    let said = first.wait_until_said("another process has the name of this daemon: a with process id");
    assert_eq!(first.wait().code(), Some(1), "{said}");
    let mut results = group.results();
    results.wait(&input, expected.len(), PATIENCE);
    input.assert_results(results.lines, &expected, "a frozen process and its successor");
    let said = second.stop();
    assert!(said.matches("A transaction failed").count() <= 1, "{said}");
}

/// Streams without their detectors.
const SUMS: &str = "aggregation.uve_proxy_list=UveVirtualNetworkAgent-egress_flow_count:AggProxySum \
                    UveVirtualNetworkAgent-ingress_flow_count:AggProxySum";

/// The default streams and one more.
const MORE: &str = "aggregation.uve_proxy_list=\
                    UveVirtualNetworkAgent-egress_flow_count:AggProxySum:AggProxySumAnomalyEWM01 \
                    UveVirtualNetworkAgent-ingress_flow_count:AggProxySum:AggProxySumAnomalyEWM01 S-a:AggProxySum";

#[test]
fn a_daemon_with_an_older_configuration_waits_and_loses_no_state() {
    let group = Group::new(&BROKER, "older", 4);
    let input = Input::new(13, 4, 8, 300, 20);
    let expected = input.expected();
    let third = input.samples.len() / 3;
    let newer = ["kafka.configuration_version=7"];
    let first = group.daemon_with("new", &newer);
    is_ready(&first);
    group.publish(&input.samples[..third]);
    for version in ["kafka.configuration_version=6", "kafka.configuration_version=7"] {
        let older = group.daemon_with("old", &[SUMS, version]);
        let said = older.wait_until_said("This daemon waits.");
        assert!(
            said.contains("of version 7 (daemon new)") && said.contains("kafka.configuration_version = 8"),
            "{said}"
        );
        says_what_differs(&group, &older, &[SUMS, version]);
        assert_eq!(waits(&first), ["0", "0"]);
        first.wait_until_said("A daemon with another configuration waits.");
        older.stop();
    }
    let (is_right, shown) = topics(&group, &[SUMS, "kafka.configuration_version=8"], &[]);
    assert!(is_right && shown.contains("will replace that of the group"), "{shown}");
    let (is_right, shown) = topics(&group, &newer, &[]);
    assert!(is_right && !shown.contains("configuration"), "{shown}");
    let older = group.daemon_with("old", &[SUMS]);
    older.wait_until_said("This daemon waits.");
    first.stop();
    group.publish(&input.samples[third..2 * third]);
    let second = group.daemon_with("new", &newer);
    is_ready(&second);
    group.publish(&input.samples[2 * third..]);
    let mut results = group.results();
    results.wait(&input, expected.len(), PATIENCE);
    input.assert_results(results.lines, &expected, "an older configuration in the group");
    let said = second.stop();
    assert!(!said.contains("states that no proxy type continues"), "{said}");
    older.stop();
}

/// Daemons without a common stream have no topic in which both configurations could be registered: the members show them.
#[test]
fn a_daemon_with_other_streams_waits_as_well() {
    let group = Group::new(&BROKER, "disjoint", 1);
    let streams = ["egress", "ingress"]
        .map(|way| format!("aggregation.uve_proxy_list=UveVirtualNetworkAgent-{way}_flow_count:AggProxySum"));
    let first = group.daemon_with("a", &[&streams[0], "kafka.configuration_version=4"]);
    is_ready(&first);
    let second = group.daemon_with("b", &[&streams[1], "kafka.configuration_version=2"]);
    let said = second.wait_until_said("This daemon waits.");
    for part in [
        "only the group has AggProxySum-UveVirtualNetworkAgent-egress_flow_count; only this daemon has \
         AggProxySum-UveVirtualNetworkAgent-ingress_flow_count",
        "kafka.configuration_version = 5",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!((waits(&second), waits(&first)), (["1", "0"].map(str::to_owned), ["0", "0"].map(str::to_owned)));
    first.wait_until_said("A daemon with another configuration waits.");
    // What is registered counts also while no daemon runs.
    first.stop();
    let first = group.daemon_with("a", &[&streams[0], "kafka.configuration_version=4"]);
    is_ready(&first);
    assert_eq!(waits(&second)[0], "1");
    first.stop();
    second.stop();
    let raised = group.daemon_with("b", &[&streams[1], "kafka.configuration_version=5"]);
    is_ready(&raised);
    raised.stop();
}

/// Nothing is registered when two start at once without a common stream: one of them ends, and waits when it starts again.
#[test]
fn of_two_daemons_with_other_streams_that_start_at_once_one_works() {
    let group = Group::new(&BROKER, "atonce", 1);
    let settings = ["egress", "ingress"]
        .map(|way| format!("aggregation.uve_proxy_list=UveVirtualNetworkAgent-{way}_flow_count:AggProxySum"));
    let mut both: Vec<_> =
        ["a", "b"].into_iter().zip(&settings).map(|(name, list)| group.daemon_with(name, &[list])).collect();
    wait_until("one of them works alone", || {
        both.retain_mut(|daemon| daemon.is_running());
        let answers: Vec<_> = both.iter().filter_map(|daemon| daemon.try_get("/readyz")).collect();
        let ready = answers.iter().filter(|(status, _)| *status == 200).count();
        let waiting = answers.iter().filter(|(_, body)| body.contains("the group has the configuration")).count();
        (ready == 1 && (both.len() == 1 || waiting == 1)).then_some(())
    });
    both.into_iter().for_each(|daemon| drop(daemon.stop()));
}

/// A daemon without the detectors says in words what differs: in its log, at its probe, and in `topics`.
fn says_what_differs(group: &Group<'_>, older: &Daemon, settings: &[&str]) {
    let differs = "only the group has AggProxySumAnomalyEWM01-UveVirtualNetworkAgent-egress_flow_count, \
                   AggProxySumAnomalyEWM01-UveVirtualNetworkAgent-ingress_flow_count. Give";
    let said = older.stderr();
    assert!(said.contains(differs), "{said}");
    older.wait_for("/readyz", |(status, body)| {
        (*status == 503 && body.contains("has the configuration") && body.contains(differs)).then_some(())
    });
    assert_eq!(waits(older), ["1", "0"]);
    let (is_right, shown) = topics(group, settings, &[]);
    assert!(!is_right && shown.contains("problem: a daemon with this configuration waits"), "{shown}");
    assert!(shown.contains(differs), "{shown}");
}

/// Whether a daemon waits for another configuration, and for another process with its name.
fn waits(daemon: &Daemon) -> [String; 2] {
    let metrics = daemon.get("/metrics").1;
    ["configuration", "name"].map(|reason| {
        let name = format!("derived_statsd_waiting{{reason=\"{reason}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or("missing").to_owned()
    })
}

/// The types of a stream in another order compute the same.
#[test]
fn a_daemon_whose_types_are_in_another_order_works_with_the_others() {
    let group = Group::new(&BROKER, "ordered", 2);
    let list = |types: &str| {
        let streams = ["egress_flow_count", "ingress_flow_count"];
        let entries = streams.map(|stream| format!("UveVirtualNetworkAgent-{stream}:{types}"));
        format!("aggregation.uve_proxy_list={}", entries.join(" "))
    };
    let first = group.daemon_with("a", &[&list("AggProxySum:AggProxySumAnomalyEWM01")]);
    is_ready(&first);
    let second = group.daemon_with("b", &[&list("AggProxySumAnomalyEWM01:AggProxySum")]);
    is_ready(&second);
    let owners = [r#""owner":"a/0""#, r#""owner":"b/0""#];
    second.wait_for("/api/v1/partitions", |(_, body)| owners.iter().all(|it| body.contains(it)).then_some(()));
    second.stop();
    first.stop();
}

#[test]
fn a_configuration_is_changed_daemon_by_daemon_and_every_window_is_given_once() {
    let group = Group::new(&BROKER, "rolling", 4);
    let input = Input::new(14, 4, 8, 300, 20);
    let expected = input.expected();
    let third = input.samples.len() / 3;
    let [a, b] = ["a", "b"].map(|name| group.daemon(name));
    group.publish(&input.samples[..third]);
    is_ready(&a);
    is_ready(&b);
    // The first one is restarted: it takes over, and the other one gives way.
    a.stop();
    let newer = [MORE, "kafka.configuration_version=1"];
    let a = group.daemon_with("a", &newer);
    let said = b.wait_until_said("This daemon waits.");
    assert!(said.contains("only the group has AggProxySum-S-a"), "{said}");
    wait_until("the metric", || (waits(&b) == ["1", "0"]).then_some(()));
    is_ready(&a);
    a.wait_until_said("A daemon with another configuration waits.");
    group.publish(&input.samples[third..2 * third]);
    b.stop();
    let b = group.daemon_with("b", &newer);
    is_ready(&b);
    group.publish(&input.samples[2 * third..]);
    let mut results = group.results();
    results.wait(&input, expected.len(), PATIENCE);
    input.assert_results(results.lines, &expected, "a rolling change of the configuration");
    b.wait_for("/api/v1/partitions", |(_, body)| (body.contains("\"a/0\"") && body.contains("\"b/0\"")).then_some(()));
    a.stop();
    b.stop();
}

/// What is written to the topic of a stream while no daemon has the stream is applied when it comes back, so that no time
/// is unknown there.
#[test]
fn a_stream_that_comes_back_has_what_its_topic_took_meanwhile_in_whole_windows() {
    let group = Group::new(&BROKER, "absent", 4);
    let input = Input::new(16, 4, 8, 300, 20);
    let expected = input.expected();
    let third = input.samples.len() / 3;
    let one = "aggregation.uve_proxy_list=UveVirtualNetworkAgent-egress_flow_count:AggProxySum:AggProxySumAnomalyEWM01";
    let settings: [&[&str]; 3] = [&[], &[one, "kafka.configuration_version=1"], &["kafka.configuration_version=2"]];
    for (slice, settings) in input.samples.chunks(third + 1).zip(settings) {
        let daemon = group.daemon_with("a", settings);
        is_ready(&daemon);
        group.publish(slice);
        daemon.wait_for("/api/v1/partitions", |(_, body)| {
            let partitions: Vec<Value> = serde_json::from_str(body).unwrap_or_default();
            let is_applied = |partition: &Value| partition["lag"] == 0 && partition["closing"] != true;
            (!partitions.is_empty() && partitions.iter().all(is_applied)).then_some(())
        });
        daemon.stop();
    }
    let mut results = group.results();
    results.wait(&input, expected.len(), PATIENCE);
    input.assert_results(results.lines, &expected, "a stream that was removed for a while");
}

/// Waits until the daemon shows that generation 1 is in force: `a` works with it, and `b` waits with the one before.
fn wait_for_generations(daemon: &Daemon) {
    let in_force = |members: &Value| {
        let members = members.as_array().unwrap().iter();
        let mut found: Vec<_> =
            members.map(|it| (it["instance"].as_str(), it["generation"].as_u64(), &it["works"])).collect();
        found.sort_by_key(|(instance, ..)| *instance);
        found == [(Some("a"), Some(1), &json!(true)), (Some("b"), Some(0), &json!(false))]
    };
    daemon.wait_for("/api/v1/config", |(_, body)| {
        let group = serde_json::from_str::<Value>(body).unwrap()["group"].take();
        (group["generation"] == 1 && in_force(&group["members"])).then_some(())
    });
}

/// The daemon does not restart: it leaves the group, and joins it again with the other configuration.
#[test]
fn a_configuration_is_changed_by_signal_and_every_window_is_given_once() {
    let group = Group::new(&BROKER, "signals", 4);
    let input = Input::new(15, 4, 8, 300, 20);
    let expected = input.expected();
    let third = input.samples.len() / 3;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("derived-statsd.toml");
    std::fs::write(&file, "").unwrap();
    let [a, b] = ["a", "b"].map(|name| {
        let mut command = group.command("run", name, &[]);
        command.arg("--config").arg(&file);
        Daemon::spawn(command).expect(name)
    });
    group.publish(&input.samples[..third]);
    is_ready(&a);
    is_ready(&b);
    let (key, value) = MORE.split_once('=').unwrap();
    let more = format!("[aggregation]\n{} = \"{value}\"\n", key.strip_prefix("aggregation.").unwrap());
    std::fs::write(&file, &more).unwrap();
    a.signal("HUP");
    let said = a.wait_until_said("cannot be applied to a running daemon");
    assert!(said.contains("kafka.configuration_version is 0") && said.contains("set 1"), "{said}");
    std::fs::write(&file, more + "[kafka]\nconfiguration_version = 1\n").unwrap();
    a.signal("HUP");
    b.wait_until_said("This daemon waits.");
    a.wait_until_said("The configuration was taken over by this daemon");
    is_ready(&a);
    // `a` works with the new one, and `b` waits with the old one.
    [&a, &b].into_iter().for_each(wait_for_generations);
    group.publish(&input.samples[third..2 * third]);
    b.signal("HUP");
    b.wait_until_said("The configuration was taken over by this daemon");
    is_ready(&b);
    group.publish(&input.samples[2 * third..]);
    let mut results = group.results();
    results.wait(&input, expected.len(), PATIENCE);
    input.assert_results(results.lines, &expected, "a change of the configuration by signal");
    b.wait_for("/api/v1/partitions", |(_, body)| (body.contains("\"a/0\"") && body.contains("\"b/0\"")).then_some(()));
    a.stop();
    b.stop();
}

/// A member of a group whose configuration is in a file, with tokens.
fn configured(group: &Group<'_>, name: &str, file: &Configured) -> Daemon {
    file.write("");
    let tokens = format!("http.tokens_file={}", file.path().join("tokens").display());
    let mut command = group.command("run", name, &[&tokens]);
    command.arg("--config").arg(file.file());
    Daemon::spawn(command).expect(name)
}

/// The others wait until they are given the posted configuration, too; no daemon restarts.
#[test]
fn a_configuration_is_posted_to_one_member_and_then_to_the_others() {
    let group = Group::new(&BROKER, "posts", 4);
    let input = Input::new(18, 4, 8, 300, 20);
    let expected = input.expected();
    let third = input.samples.len() / 3;
    let files = [Configured::new(&[]), Configured::new(&[])];
    let [a, b] = [(0, "a"), (1, "b")].map(|(index, name)| configured(&group, name, &files[index]));
    group.publish(&input.samples[..third]);
    is_ready(&a);
    is_ready(&b);
    let (key, value) = MORE.split_once('=').unwrap();
    let more = format!("[aggregation]\n{} = \"{value}\"\n", key.strip_prefix("aggregation.").unwrap());
    let (status, answer) = files[0].post(&a, &more);
    assert!(status == 409 && answer.to_string().contains("set 1"), "{status} {answer}");
    let more = more + "[kafka]\nconfiguration_version = 1\n";
    let (status, answer) = files[0].post(&a, &more);
    assert_eq!(status, 202, "{answer}");
    let said = b.wait_until_said("This daemon waits.");
    assert!(said.contains("give it the configuration by `POST /api/v1/config`"), "{said}");
    is_ready(&a);
    group.publish(&input.samples[third..2 * third]);
    let (status, answer) = files[1].post(&b, &more);
    assert_eq!(status, 202, "{answer}");
    is_ready(&b);
    group.publish(&input.samples[2 * third..]);
    let mut results = group.results();
    results.wait(&input, expected.len(), PATIENCE);
    input.assert_results(results.lines, &expected, "a change of the configuration by POST");
    let works = |it: &Value| it["generation"] == 1 && it["works"] == true;
    wait_until("both work with the new configuration", || {
        let (_, body) = files[1].ask(&b, "GET", "/api/v1/config", "")?;
        let members = serde_json::from_str::<Value>(&body).ok()?["group"]["members"].take();
        members.as_array().is_some_and(|members| members.len() == 2 && members.iter().all(works)).then_some(())
    });
    a.stop();
    b.stop();
}
