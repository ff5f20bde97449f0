//! A user who may not see a consumer group, on a real broker with access control: what is not shown to it is not taken
//! for something that does not exist.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use support::Daemon;
use support::broker::Broker;
use support::group::Group;

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
}

/// Gives a user the right Describe on a resource, which takes it from all others. The client library has no call for it,
/// so this is the request CreateAcls of the protocol, version 1.
fn let_describe(broker: &Broker, user: &str, resource: Resource) {
    const DESCRIBE: u8 = 8;
    const ALLOW: u8 = 3;
    const LITERAL: u8 = 3;
    let text = |text: &str| [&(text.len() as i16).to_be_bytes()[..], text.as_bytes()].concat();
    let (kind, name) = match resource {
        Resource::Cluster => (4, "kafka-cluster"),
        Resource::Group(name) => (3, name),
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
        &[DESCRIBE, ALLOW],
    ]
    .concat();
    let mut stream = TcpStream::connect(broker.bootstrap()).unwrap();
    stream.write_all(&[&(request.len() as i32).to_be_bytes()[..], &request].concat()).unwrap();
    // Size, number, throttle time, number of results, and the error code of the first.
    let mut answer = [0; 18];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!((&answer[4..8], &answer[12..]), (&7_i32.to_be_bytes()[..], &[0, 0, 0, 1, 0, 0][..]), "{answer:?}");
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
    let_describe(&broker, "somebody", Resource::Group("unseen-derived-statsd"));
    let refused = |case: &str| {
        let (is_done, shown) = take_over();
        assert!(!is_done, "{case}: {shown}");
        assert!(shown.contains("grant Describe on the consumer group `unseen-derived-statsd`"), "{case}: {shown}");
        assert!(!shown.contains("taken over"), "{case}: {shown}");
    };
    refused("listed");
    // They do not list it, either.
    let_describe(&broker, "somebody", Resource::Cluster);
    refused("not listed");
    let_describe(&broker, "ds", Resource::Group("unseen-derived-statsd"));
    let (is_done, shown) = take_over();
    assert!(!is_done && shown.contains("stop its daemons first"), "{shown}");
    daemon.stop();
    let (is_done, shown) = take_over();
    assert!(is_done && shown.contains("taken over from the consumer group unseen-derived-statsd"), "{shown}");
}
