//! A user who lacks a right, on a real broker with access control: what is not shown to it is not taken for something
//! that does not exist, and a right that is taken away while a daemon works is named by it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use support::Daemon;
use support::broker::Broker;
use support::group::{Group, Input};
use support::series::{now_ms, post};

const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "80915723640017";

/// A broker whose plain listener lets everybody do everything. That of users asks for a right only where somebody else
/// has one.
fn broker() -> Broker {
    Broker::start_secured(&format!(
        "listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_PLAINTEXT\n\
         sasl.enabled.mechanisms=PLAIN\n\
         listener.name.secure.plain.sasl.jaas.config=\
         org.apache.kafka.common.security.plain.PlainLoginModule required user_ds=\"{PASSWORD}\";\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:ANONYMOUS\n\
         allow.everyone.if.no.acl.found=true\n"
    ))
}

/// The resource of an access control entry.
#[derive(Clone, Copy)]
enum Resource {
    Cluster,
    Group(&'static str),
    Topic(&'static str),
}

/// The rights, with their codes of the protocol.
const READ: u8 = 3;
const WRITE: u8 = 4;
const DESCRIBE: u8 = 8;
const DESCRIBE_CONFIGS: u8 = 10;

/// Gives a user a right on a resource, which takes all rights on it from users that have none. The client library has no call for it,
/// so this is the request CreateAcls of the protocol, version 1.
fn allow(broker: &Broker, user: &str, resource: Resource, right: u8) {
    const ALLOW: u8 = 3;
    const LITERAL: u8 = 3;
    let text = |text: &str| [&(text.len() as i16).to_be_bytes()[..], text.as_bytes()].concat();
    let (kind, name) = match resource {
        Resource::Cluster => (4, "kafka-cluster"),
        Resource::Group(name) => (3, name),
        Resource::Topic(name) => (2, name),
    };
    let request = [
        // The request, its version, a number, the name of the client, and the number of entries.
        &30_i16.to_be_bytes()[..],
        &1_i16.to_be_bytes(),
        &7_i32.to_be_bytes(),
        &text("test"),
        &1_i32.to_be_bytes(),
        &[kind],
        &text(name),
        &[LITERAL],
        &text(&format!("User:{user}")),
        &text("*"),
        &[right, ALLOW],
    ]
    .concat();
    let mut stream = TcpStream::connect(broker.bootstrap()).unwrap();
    stream.write_all(&[&(request.len() as i32).to_be_bytes()[..], &request].concat()).unwrap();
    // Size, number, throttle time, number of results, and the error code of the first.
    let mut answer = [0; 18];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!((&answer[4..8], &answer[12..]), (&7_i32.to_be_bytes()[..], &[0, 0, 0, 1, 0, 0][..]), "{answer:?}");
}

/// The settings of a daemon of the user `ds`.
fn as_user(broker: &Broker) -> [String; 5] {
    [
        "kafka.security=sasl_plaintext".to_owned(),
        "kafka.sasl=plain".to_owned(),
        "kafka.user=ds".to_owned(),
        format!("kafka.brokers={}", broker.secure_bootstrap()),
        format!("kafka.password={PASSWORD}"),
    ]
}

fn is_ready(daemon: &Daemon) {
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
}

#[test]
fn a_group_that_the_user_may_not_see_is_not_taken_over() {
    let broker = broker();
    let group = Group::new(&broker, "unseen", 1);
    let take_over = || {
        let settings = [
            "kafka.group_id=other".to_owned(),
            "kafka.security=sasl_plaintext".to_owned(),
            "kafka.sasl=plain".to_owned(),
            "kafka.user=ds".to_owned(),
            format!("kafka.brokers={}", broker.secure_bootstrap()),
        ];
        let mut command = group.command("topics", "topics", &settings.each_ref().map(String::as_str));
        command.arg("--take-over").env("DERIVED_STATSD_KAFKA__PASSWORD", PASSWORD);
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    };
    let daemon = group.daemon("a");
    is_ready(&daemon);
    // The brokers list the group, and show its members to another user only.
    allow(&broker, "somebody", Resource::Group("unseen-derived-statsd"), DESCRIBE);
    let refused = |case: &str| {
        let (is_done, shown) = take_over();
        assert!(!is_done, "{case}: {shown}");
        assert!(shown.contains("grant Describe on the consumer group `unseen-derived-statsd`"), "{case}: {shown}");
        assert!(!shown.contains("taken over"), "{case}: {shown}");
    };
    refused("listed");
    // They do not list it, either.
    allow(&broker, "somebody", Resource::Cluster, DESCRIBE);
    refused("not listed");
    allow(&broker, "ds", Resource::Group("unseen-derived-statsd"), DESCRIBE);
    let (is_done, shown) = take_over();
    assert!(!is_done && shown.contains("stop its daemons first"), "{shown}");
    daemon.stop();
    let (is_done, shown) = take_over();
    assert!(is_done && shown.contains("taken over from the consumer group unseen-derived-statsd"), "{shown}");
}

/// The daemon is unready for as long as it cannot commit, says which right it lacks, and does not read its states again
/// each second meanwhile. Once it has the right, every window is given once.
#[test]
fn a_right_that_is_taken_away_is_named_until_it_is_there_again() {
    for (name, topic, others) in [
        ("norightres", "norightres-uve-results", "results"),
        ("norightsta", "norightsta-uve-state-UveVirtualNetworkAgent-egress_flow_count", "states"),
    ] {
        let broker = broker();
        let group = Group::new(&broker, name, 1);
        let input = Input::new(7, 1, 6, 20, 4);
        let expected = input.expected();
        let settings = as_user(&broker);
        let daemon = group.daemon_with("a", &settings.each_ref().map(String::as_str));
        is_ready(&daemon);
        let half = input.samples.len() / 2;
        group.publish(&input.samples[..half]);
        daemon.wait_for("/api/v1/partitions", |(_, body)| support::is_applied(body).then_some(()));
        [DESCRIBE, DESCRIBE_CONFIGS, READ]
            .into_iter()
            .for_each(|right| allow(&broker, "ds", Resource::Topic(topic), right));
        allow(&broker, "somebody", Resource::Topic(topic), WRITE);
        group.publish(&input.samples[half..]);
        let reason = format!("the user may not write to topic {topic}: grant Write on it");
        let is_named = |(status, body): &(u16, String)| *status == 503 && body.contains(&reason);
        daemon.wait_for("/readyz", |answer| is_named(answer).then_some(()));
        let restores = |daemon: &Daemon| daemon.stderr().matches("Restoring partitions.").count();
        let before = restores(&daemon);
        for _ in 0..60 {
            std::thread::sleep(Duration::from_millis(100));
            let answer = daemon.get("/readyz");
            assert!(is_named(&answer), "{others}: {answer:?}");
        }
        assert!(restores(&daemon) - before <= 4, "{others}: {}", daemon.stderr());
        allow(&broker, "ds", Resource::Topic(topic), WRITE);
        is_ready(&daemon);
        let mut results = group.results();
        results.wait(&input, expected.len(), PATIENCE);
        input.assert_results(results.lines, &expected, others);
        daemon.stop();
    }
}

/// A sample of a replica is refused for as long as the user may not elect one, and by name.
#[test]
fn a_right_that_elections_lack_is_named() {
    const TOPIC: &str = "norightele-uve-elections";
    let broker = broker();
    let group = Group::bare(&broker, "norightele", 1);
    let own = as_user(&broker);
    let streams = "streams=[{name = \"room\", metric = \"temperature.value\", object = [\"room\"],
        aggregations = [\"Sum = 1-raw:DSSum\"]}]";
    let streams = [streams, "aggregation.uve_proxy_list="];
    let output = group.command("topics", "topics", &streams).arg("--create").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let settings: Vec<&str> = own.iter().map(String::as_str).chain(streams).collect();
    let daemon = group.daemon_with("a", &settings);
    is_ready(&daemon);
    let send = || {
        let line = format!("temperature,room=x,cluster=eu,__replica__=a value=1 {}", now_ms());
        let reply = post(&daemon, "/write?precision=ms", &[], line.as_bytes());
        (reply.status, reply.text())
    };
    let refused = |right: &str| {
        let is_named = |(status, text): &(u16, String)| {
            *status == 503 && text.contains(&format!("topic {TOPIC}: grant {right} on it"))
        };
        support::wait_until("the right is named", || is_named(&send()).then_some(()));
    };
    [DESCRIBE, DESCRIBE_CONFIGS].into_iter().for_each(|right| allow(&broker, "ds", Resource::Topic(TOPIC), right));
    refused("Read");
    allow(&broker, "ds", Resource::Topic(TOPIC), READ);
    refused("Write");
    allow(&broker, "ds", Resource::Topic(TOPIC), WRITE);
    support::wait_until("the sample is taken", || (send().0 == 204).then_some(()));
    daemon.stop();
}
