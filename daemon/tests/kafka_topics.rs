//! `derived-statsd topics` on a real broker: what is missing, what it makes, what it finds wrong.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod binary;
mod support;

use std::net::{Ipv4Addr, TcpListener};
use std::sync::LazyLock;
use std::thread;

use binary::{Run, command, finish};
use support::broker::Broker;

/// One for all tests, which do not meet: each has a prefix of its own.
static BROKER: LazyLock<Broker> = LazyLock::new(Broker::start);

/// Runs `topics` for one stream, with 4 partitions for an input that is missing.
fn topics(prefix: &str, arguments: &[&str]) -> Run {
    let settings = [
        format!("kafka.brokers={}", BROKER.bootstrap()),
        format!("kafka.topic_prefix={prefix}"),
        "kafka.partitions=4".to_owned(),
        "aggregation.uve_proxy_list=S-a:AggProxySum".to_owned(),
    ];
    let mut command = command(&["topics"]);
    command.args(arguments);
    for setting in settings {
        command.args(["--set", &setting]);
    }
    finish(command, "")
}

/// The last column of the table, by topic without prefix.
fn states(run: &Run, prefix: &str) -> Vec<(String, String)> {
    let lines = run.stdout.lines().skip(1);
    lines
        .map(|line| {
            let topic = line.split_whitespace().next().unwrap().strip_prefix(prefix).unwrap();
            (topic.to_owned(), line[line.len().min(state_column(run))..].to_owned())
        })
        .collect()
}

fn state_column(run: &Run) -> usize {
    run.stdout.lines().next().unwrap().find("state").unwrap()
}

const NAMES: [&str; 4] = ["agg-S-a", "state-S-a", "results", "dead-letters"];

/// All four topics in one state.
fn all(state: &str) -> Vec<(String, String)> {
    NAMES.map(|name| (name.to_owned(), state.to_owned())).to_vec()
}

#[test]
fn what_is_missing_is_listed_made_once_and_found_right_afterwards() {
    let before = topics("fresh.", &[]);
    assert_eq!((before.code, states(&before, "fresh.")), (Some(1), all("missing")), "{before:?}");
    assert!(before.stderr.contains("4 missing (`derived-statsd topics --create` makes them)"), "{before:?}");

    let made = topics("fresh.", &["--create"]);
    assert_eq!((made.code, states(&made, "fresh.")), (Some(0), all("created")), "{made:?}");
    for arguments in [&[][..], &["--create"]] {
        let after = topics("fresh.", arguments);
        assert_eq!((after.code, states(&after, "fresh.")), (Some(0), all("ok")), "{arguments:?}: {after:?}");
        assert_eq!(after.stderr, "", "{arguments:?}");
    }
    let lines = topics("fresh.", &["--json"]);
    let rows: Vec<serde_json::Value> = lines.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found: Vec<_> = rows.iter().map(|row| (row["for"].as_str().unwrap(), row["found"].as_u64().unwrap())).collect();
    assert_eq!(found, [("samples", 4), ("states", 4), ("results", 1), ("dead letters", 1)]);
}

#[test]
fn an_input_may_be_grown_to_a_multiple_of_its_states_and_to_nothing_else() {
    assert_eq!(topics("grown.", &["--create"]).code, Some(0));
    BROKER.grow_topic("grown.agg-S-a", 8);
    let grown = topics("grown.", &[]);
    assert_eq!(grown.code, Some(0), "{grown:?}");
    assert!(grown.stdout.contains("ok: 8 partitions over 4 states\n"), "{grown:?}");

    BROKER.grow_topic("grown.agg-S-a", 10);
    let uneven = topics("grown.", &["--create"]);
    assert_eq!(uneven.code, Some(1), "{uneven:?}");
    let problem = "problem: 10 partitions over 4 of states: grow the input to a multiple of 4; until then partitions \
                   from 8 on are not read";
    assert!(uneven.stdout.contains(problem), "{uneven:?}");
    assert!(uneven.stderr.contains("topics: 1 with a problem"), "{uneven:?}");
}

#[test]
fn the_states_take_the_number_of_an_input_that_others_made() {
    BROKER.create_topic("given.agg-S-a", 3, &[]);
    let made = topics("given.", &["--create"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let row =
        |topic: &str| made.stdout.lines().find(|line| line.starts_with(topic)).unwrap().split_whitespace().collect();
    let (input, state): (Vec<_>, Vec<_>) = (row("given.agg-S-a"), row("given.state-S-a"));
    assert_eq!(input[..5], ["given.agg-S-a", "samples", "any", "3", "ok:"]);
    assert!(
        made.stdout.contains("message.timestamp.type is CreateTime: records have their producer's time"),
        "{made:?}"
    );
    assert_eq!(state, ["given.state-S-a", "states", "3", "3", "created"]);
}

#[test]
fn a_state_topic_that_forgets_and_results_in_two_parts_are_problems() {
    BROKER.create_topic("wrong.agg-S-a", 2, &[]);
    BROKER.create_topic("wrong.state-S-a", 2, &[("cleanup.policy", "delete"), ("max.message.bytes", "8388608")]);
    BROKER.create_topic("wrong.results", 2, &[]);
    BROKER.create_topic("wrong.dead-letters", 1, &[]);
    let wrong = topics("wrong.", &["--create"]);
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    let found = states(&wrong, "wrong.");
    for (index, said) in [
        (0, "ok"),
        (1, "problem: cleanup.policy is `delete`: states would be deleted"),
        (2, "problem: 2 partitions: results would not have one order"),
        (3, "problem: max.message.bytes is 1048588"),
    ] {
        assert!(found[index].1.starts_with(said), "{}: {}", found[index].0, found[index].1);
    }
}

#[test]
fn two_that_create_at_once_both_succeed() {
    let rivals: Vec<_> = (0..4).map(|_| thread::spawn(|| topics("raced.", &["--create"]))).collect();
    for rival in rivals {
        let run = rival.join().unwrap();
        assert_eq!(run.code, Some(0), "{run:?}");
        let states = states(&run, "raced.");
        assert!(!states.is_empty(), "{run:?}");
        assert!(states.iter().all(|(_, state)| state.starts_with("ok") || state.starts_with("created")), "{run:?}");
    }
}

#[test]
fn without_brokers_it_is_said_what_to_set() {
    let run = finish(command(&["topics"]), "");
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert!(run.stderr.contains("no broker is configured; set kafka.brokers"), "{run:?}");
}

#[test]
fn brokers_that_do_not_answer_are_named_with_the_reason() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let run = finish(command(&["topics", "--set", &format!("kafka.brokers={closed}")]), "");
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert!(run.stderr.contains(&format!("no broker of kafka.brokers = \"{closed}\" responds (")), "{run:?}");
    assert!(run.stderr.contains("refused"), "{run:?}");
}

#[test]
fn the_settings_and_the_keys_of_an_input_are_checked() {
    let settings =
        [("cleanup.policy", "compact"), ("retention.ms", "1000"), ("message.timestamp.type", "LogAppendTime")];
    BROKER.create_topic("checked.agg-S-a", 1, &settings);
    let shown = topics("checked.", &["--create", "--set", "workers.threads=2"]);
    assert_eq!(shown.code, Some(1), "{shown:?}");
    for said in [
        "problem: cleanup.policy is `compact`: a sample is deleted as soon as",
        "; retention.ms is 1000: a daemon that starts again may miss samples",
        "set it to 90000,",
        "; 1 partitions for 2 workers.threads",
    ] {
        assert!(shown.stdout.contains(said), "{said}: {shown:?}");
    }
    assert!(!shown.stdout.contains("CreateTime"), "{shown:?}");

    assert_eq!(topics("keys.", &["--create"]).code, Some(0));
    let key = |number: u32| format!("ObjectVNTable:vn{number}");
    let home = |number: u32| proxy_uve::partition(key(number).as_bytes(), 4) as i32;
    BROKER.produce("keys.agg-S-a", (0..50).map(|number| (home(number), key(number), "")));
    assert_eq!(topics("keys.", &[]).code, Some(0));
    BROKER.produce("keys.agg-S-a", (0..5).map(|number| ((home(number) + 1) % 4, key(number), "")));
    let shown = topics("keys.", &[]);
    assert_eq!(shown.code, Some(1), "{shown:?}");
    assert!(shown.stdout.contains("problem: 5 of the newest 55 records are in other partitions"), "{shown:?}");
    assert!(shown.stdout.contains("such as `ObjectVNTable:vn"), "{shown:?}");
}
