//! JSON of another program's topic as the input of a stream, on a real Kafka broker.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use support::broker::{Broker, Isolation, Record};
use support::group::Group;
use support::{Daemon, Random, wait_until};

static BROKER: LazyLock<Broker> = LazyLock::new(Broker::start);

const START: u64 = 1_488_000_000_000;
const PERIOD: u64 = 10_000;
const PARTITIONS: u16 = 3;

/// A stream whose messages have nested fields, one with a dot in its name.
fn streams(topic: &str) -> String {
    format!(
        "streams=[{{name = \"hosts\", metric = \"load\", topic = \"{topic}\", table = \"Host\", type = \"u64\",
         fields = {{ key = 'host.k8s\\.name', time = \"ts\", time_unit = \"ms\", value = \"load.0\" }},
         aggregations = [\"Sum = 1-raw:DSSum\"], period = 10}}]"
    )
}

fn settings(streams: &str) -> [&str; 2] {
    [streams, "aggregation.uve_proxy_list="]
}

/// The partition that the producer gives an object, by a partitioner that is not Contrail's.
fn partition_of(object: u64) -> i32 {
    (object * 7 % u64::from(PARTITIONS)) as i32
}

fn message(object: u64, at: u64, value: u64) -> (i32, String, String) {
    let payload = format!(r#"{{"host":{{"k8s.name":"h{object}"}},"ts":{at},"load":["{value}",0],"more":null}}"#);
    (partition_of(object), format!("h{object}"), payload)
}

/// The sum of each object and window among the results that readers of committed records have.
fn sums(group: &Group<'_>) -> BTreeMap<(String, u64), Vec<u64>> {
    let is_of_hosts = |((uve, key, start), sums): ((String, String, u64), Vec<u64>)| {
        assert_eq!(uve, "Sum-hosts-load", "{key}");
        ((key, start), sums)
    };
    sums_by_stream(group).into_iter().map(is_of_hosts).collect()
}

/// The sum of each stream, object and window.
fn sums_by_stream(group: &Group<'_>) -> BTreeMap<(String, String, u64), Vec<u64>> {
    let mut sums: BTreeMap<_, Vec<u64>> = BTreeMap::new();
    for record in BROKER.read_all(&group.topic("results"), Isolation::Committed) {
        for line in std::str::from_utf8(&record.payload.unwrap()).unwrap().lines() {
            let result: serde_json::Value = serde_json::from_str(line).unwrap();
            let value = &result["data"]["value"];
            let Some(value) = value.as_u64().or_else(|| value["value"].as_u64()) else { continue };
            let [uve, key] = ["uve", "key"].map(|name| result[name].as_str().unwrap().to_owned());
            sums.entry((uve, key, result["start"].as_u64().unwrap() / 1000)).or_default().push(value);
        }
    }
    sums
}

/// Messages that are not samples, each with the reason.
const BAD: [(i32, &str, &str, &str); 6] = [
    (0, "h0", r#"{"ts":1488000000000,"load":[1]}"#, "`host.k8s\\.name` is missing"),
    (0, "h0", r#"{"host":{"k8s.name":"h0"},"ts":"soon","load":[1]}"#, "`ts` is \"soon\", not a number of milliseconds"),
    (0, "h0", r#"{"host":{"k8s.name":"h0"},"ts":1488000000000}"#, "`load.0` is missing"),
    (0, "h0", "{", "not JSON"),
    (0, "Host:h0", r#"{"ts":1488000000000000,"value":1}"#, "is missing"),
    (0, "", r#"{"host":{"k8s.name":"h0"},"ts":1488000000000,"load":[1]}"#, "has no key"),
];

/// Produces samples for twelve windows, and kills the daemon now and then; returns the sum of each object and window.
fn produce_over_kills(group: &Group<'_>, daemon: &mut Daemon, streams: &str) -> BTreeMap<(String, u64), u64> {
    let (mut random, mut expected) = (Random(17), BTreeMap::<(String, u64), u64>::new());
    for window in 0..12 {
        let messages: Vec<_> = (0..200)
            .map(|index| {
                let (object, value) = (random.below(10), random.below(1000));
                let at = START + window * PERIOD + index * PERIOD / 200;
                *expected.entry((format!("Host:h{object}"), START + window * PERIOD)).or_default() += value;
                message(object, at, value)
            })
            .collect();
        BROKER.produce("collectd", messages);
        if window % 3 == 2 {
            std::thread::sleep(Duration::from_millis(random.below(1500)));
            daemon.signal("KILL");
            daemon.wait();
            *daemon = group.daemon_with("a", &settings(streams));
        }
    }
    expected
}

fn assert_dead_letters(group: &Group<'_>) {
    let letters = BROKER.read_all(&group.topic("dead-letters"), Isolation::Committed);
    assert_eq!(letters.len(), BAD.len());
    for (letter, (_, key, payload, reason)) in letters.iter().zip(BAD) {
        let text = |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap_or_default()).unwrap();
        assert_eq!((text(&letter.payload).as_str(), text(&letter.key).as_str()), (payload, key));
        let header = letter.headers.iter().find(|(name, _)| name == "reason").unwrap();
        let found = String::from_utf8_lossy(&header.1);
        assert!(found.contains(reason), "{payload}: {found}");
    }
}

#[test]
fn every_sample_counts_once_over_kills_and_what_is_none_is_a_dead_letter() {
    let group = Group::bare(&BROKER, "json", PARTITIONS);
    BROKER.create_topic("collectd", PARTITIONS, &[]);
    let streams = streams("collectd");
    let mut daemon: Daemon = group.daemon_with("a", &settings(&streams));
    let expected = produce_over_kills(&group, &mut daemon, &streams);
    BROKER.produce("collectd", BAD.map(|(partition, key, payload, _)| (partition, key, payload)));
    // Closes all windows of every partition.
    let last = (0..10).map(|object| message(object, START + 20 * PERIOD, 1));
    BROKER.produce("collectd", last);
    wait_until("all windows are closed", || {
        let found = sums(&group);
        expected.keys().all(|key| found.contains_key(key)).then_some(())
    });
    daemon.stop();
    let found = sums(&group);
    for (key, sum) in &expected {
        assert_eq!(found[key], [*sum], "{key:?}");
    }
    assert_dead_letters(&group);
}

#[test]
fn an_object_in_several_partitions_is_found_and_posted_samples_are_refused() {
    let group = Group::bare(&BROKER, "spread", PARTITIONS);
    BROKER.create_topic("spread", PARTITIONS, &[]);
    let streams = streams("spread");
    let daemon = group.daemon_with("a", &settings(&streams));
    let spread = (0..30_u64).map(|index| {
        let (_, _, payload) = message(index % 2, START + index, 1);
        ((index % 3) as i32, format!("{index}"), payload)
    });
    BROKER.produce("spread", spread);
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    let body = r#"{"stream":"hosts-load","key":"Host:h0","ts":1488000000000000,"value":1}"#;
    let (status, answer) = daemon.post(body.as_bytes(), None).unwrap();
    assert_eq!(status, 400, "{answer}");
    daemon.stop();
    let output = group.command("topics", "topics", &settings(&streams)).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && shown.contains("in other partitions than others of their object"), "{shown}");
    assert!(shown.contains("Host:h"), "{shown}");
}

/// The value of a metric of the daemon, summed over its labels; `of` is a part of the labels.
fn metric(daemon: &Daemon, name: &str, of: &str) -> u64 {
    let metrics = daemon.get("/metrics").1;
    let of_name =
        metrics.lines().filter(|line| line.starts_with(&format!("derived_statsd_{name}")) && line.contains(of));
    of_name.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// The value of a field of a line of the log.
fn field<'l>(line: &'l str, name: &str) -> &'l str {
    let (_, rest) = line.split_once(&format!(" {name}=")).unwrap_or_else(|| panic!("no {name} in {line}"));
    rest.split(' ').next().unwrap()
}

const MANY: u64 = 10_000;

/// Bad messages, each with another text or without a value, and after every tenth a sample of one of ten objects.
fn mostly_bad() -> impl Iterator<Item = (i32, String, String)> {
    let bad = |index: u64| match index % 2 {
        0 => format!(r#"{{"host":{{"k8s.name":"h0"}},"ts":"soon-{}","load":[1]}}"#, "x".repeat(index as usize % 100)),
        _ => format!(r#"{{"host":{{"k8s.name":"h0"}},"ts":{},"load":[]}}"#, START + index),
    };
    (0..MANY).flat_map(move |index| {
        let bad = ((index % u64::from(PARTITIONS)) as i32, "h0".to_owned(), bad(index));
        let good = (index % 10 == 0).then(|| message(index / 10 % 10, START + index / 20_000 * 1000, 1));
        [Some(bad), good].into_iter().flatten()
    })
}

/// Demands that a line names a record that is among the dead letters, with its reason.
fn assert_named(line: &str, letters: &[Record]) {
    assert_eq!(field(line, "topic"), "poison", "{line}");
    let [partition, offset] = ["partition", "offset"].map(|name| field(line, name));
    let header = |name: &str, letter: &Record| {
        let header = letter.headers.iter().find(|(found, _)| found == name).unwrap();
        String::from_utf8_lossy(&header.1).into_owned()
    };
    let named = letters.iter().find(|it| header("partition", it) == partition && header("offset", it) == offset);
    let reason = header("reason", named.unwrap_or_else(|| panic!("{line}")));
    assert!(
        reason.contains("the field `ts` is \"soon-") || reason.contains("the field `load.0` is missing"),
        "{reason}"
    );
    let start: String = reason.chars().take(40).collect();
    assert!(line.contains(&format!(" reason={start}")), "{start}: {line}");
}

#[test]
fn ten_thousand_bad_messages_make_few_lines_that_name_them_and_the_good_ones_count() {
    let group = Group::bare(&BROKER, "poison", PARTITIONS);
    BROKER.create_topic("poison", PARTITIONS, &[]);
    let streams = streams("poison");
    let daemon = group.daemon_with("a", &settings(&streams));
    BROKER.produce("poison", mostly_bad());
    BROKER.produce("poison", (0..10).map(|object| message(object, START + 20 * PERIOD, 1)));
    let of_each = vec![MANY / 100];
    let expected: BTreeMap<_, _> =
        (0..10).map(|object| ((format!("Host:h{object}"), START), of_each.clone())).collect();
    wait_until("the windows of all objects are closed", || (sums(&group).len() >= expected.len()).then_some(()));
    let is_counted = |(name, of)| metric(&daemon, name, of) == MANY;
    wait_until("every bad message is counted", || {
        [("dead_letters_total", ""), ("records_total", "malformed_payload")].into_iter().all(is_counted).then_some(())
    });
    let stderr = daemon.stop();
    assert_eq!(sums(&group), expected);
    let letters = BROKER.read_all(&group.topic("dead-letters"), Isolation::Committed);
    assert_eq!(letters.len() as u64, MANY);
    let of_warnings = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
    let (lines, others): (Vec<_>, Vec<_>) =
        stderr.lines().filter(of_warnings).partition(|line| line.contains("Records are not samples, such as this one"));
    // Four kinds of each partition, at once and when the daemon stops, and one each ten seconds.
    assert!((usize::from(PARTITIONS)..=60).contains(&lines.len()), "{} lines: {lines:#?}", lines.len());
    let counted = lines.iter().map(|line| field(line, "records").parse::<u64>().unwrap()).sum::<u64>();
    assert_eq!(counted, MANY, "{lines:#?}");
    lines.iter().for_each(|line| assert_named(line, &letters));
    assert!(others.len() <= 20, "{others:#?}");
}

/// As `series_limits.rs` for the inputs of series.
#[test]
fn objects_and_sources_beyond_the_limits_are_counted_and_silent_ones_make_room() {
    let group = Group::bare(&BROKER, "limited", 1);
    BROKER.create_topic("limited", 1, &[]);
    let streams = "streams=[{name = \"jobs\", metric = \"requests\", topic = \"limited\", kind = \"counter\",
         fields = { key = \"job\", time = \"ts\", time_unit = \"ms\", value = \"v\", source = \"from\" },
         aggregations = [\"Sum = 1-raw:DSSum\"], period = 60}]";
    let limits = [
        "aggregation.max_objects_per_partition=3",
        "aggregation.max_sources_per_object=3",
        "aggregation.source_timeout=60s",
        "aggregation.allowed_lateness=0s",
    ];
    let settings: Vec<&str> = settings(streams).into_iter().chain(limits).collect();
    let daemon = group.daemon_with("a", &settings);
    let mut produced = 0;
    let mut send = |second: u64, readings: &[(&str, &str, u64)]| {
        let message = |(job, from, value): &(&str, &str, u64)| {
            let at = START + second * 1000;
            (0, (*job).to_owned(), format!(r#"{{"job":"{job}","from":"{from}","ts":{at},"v":{value}}}"#))
        };
        BROKER.produce("limited", readings.iter().map(message));
        produced += readings.len() as u64;
        wait_until("all is applied", || (metric(&daemon, "records_total{", "stream=\"jobs") == produced).then_some(()));
        metric(&daemon, "records_total{", "over_limit")
    };
    let all = |value| [("a", "1", value), ("a", "2", value), ("a", "3", value), ("a", "4", value), ("a", "5", value)];
    assert_eq!(send(0, &all(100)), 2, "two sources");
    assert_eq!(send(20, &[("b", "1", 5), ("c", "1", 5), ("d", "1", 5), ("e", "1", 5)]), 4, "and two objects");
    for second in (40..400).step_by(20) {
        assert_eq!(send(second, &[("a", "1", 110)]), 4);
    }
    assert_eq!(send(400, &[("a", "4", 500), ("a", "5", 500), ("d", "1", 500), ("e", "1", 500)]), 4, "new ones fit");
    assert_eq!(send(420, &[("a", "2", 500), ("b", "1", 500)]), 6, "and the limits hold for them");
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    let log = daemon.stop();
    assert!(log.contains("fate=\"over_limit\"") && log.contains("stream=jobs-requests"), "{log}");
}

/// Two streams of one topic: one takes the messages of a type, with its host as the object, the other those of two types,
/// with the region as the object. No stream takes other types.
fn two_streams(topic: &str) -> String {
    let stream = |name: &str, kind: &str, key: &str| {
        format!(
            "{{name = \"{name}\", metric = \"load\", topic = \"{topic}\", table = \"T\", type = \"u64\",
             where = {{ type = \"{kind}\" }}, fields = {{ key = \"{key}\", time = \"ts\", value = \"v\" }},
             aggregations = [\"Sum = 1-raw:DSSum\"], period = 10}}"
        )
    };
    format!("streams=[{}, {}]", stream("hosts", "cpu", "host"), stream("regions", "cpu|mem", "at.region"))
}

/// A message of a host, each five of which are in a region, which is the key of the message.
fn typed(kind: &str, host: u64, at: u64, value: u64) -> (i32, String, String) {
    let region = host / 5;
    let payload =
        format!(r#"{{"type":"{kind}","host":"h{host}","at":{{"region":"r{region}"}},"ts":{at},"v":{value}}}"#);
    (partition_of(region), format!("r{region}"), payload)
}

/// Produces messages of three types for twelve windows, and kills the daemon now and then.
fn produce_typed(group: &Group<'_>, daemon: &mut Daemon, streams: &str) -> BTreeMap<(String, String, u64), u64> {
    let (mut random, mut expected) = (Random(18), BTreeMap::new());
    for window in 0..12 {
        let start = START + window * PERIOD;
        let messages: Vec<_> = (0..200)
            .map(|index| {
                let (host, value) = (random.below(20), random.below(1000));
                let kind = ["cpu", "mem", "disk"][random.below(3) as usize];
                let mut add = |stream: &str, key: String| {
                    *expected.entry((format!("Sum-{stream}-load"), key, start)).or_default() += value;
                };
                if kind == "cpu" {
                    add("hosts", format!("T:h{host}"));
                }
                if kind != "disk" {
                    add("regions", format!("T:r{}", host / 5));
                }
                typed(kind, host, start + index * PERIOD / 200, value)
            })
            .collect();
        BROKER.produce("mixed", messages);
        if window % 3 == 1 {
            std::thread::sleep(Duration::from_millis(random.below(1500)));
            daemon.signal("KILL");
            daemon.wait();
            *daemon = group.daemon_with("a", &settings(streams));
        }
    }
    expected
}

#[test]
fn two_streams_of_one_topic_take_their_parts_of_each_message_once_over_kills() {
    let group = Group::bare(&BROKER, "mixed", PARTITIONS);
    BROKER.create_topic("mixed", PARTITIONS, &[]);
    let streams = two_streams("mixed");
    let mut daemon = group.daemon_with("a", &settings(&streams));
    let expected = produce_typed(&group, &mut daemon, &streams);
    // Messages that no stream takes: they close the windows of all partitions.
    let last: Vec<_> = (0..20).map(|host| typed("disk", host, START + 20 * PERIOD, 1)).collect();
    let passed = last.len() as u64;
    BROKER.produce("mixed", last);
    BROKER.produce("mixed", [(0, "r0", "{")]);
    wait_until("all windows are closed", || {
        let found = sums_by_stream(&group);
        expected.keys().all(|key| found.contains_key(key)).then_some(())
    });
    wait_until("what no stream takes is counted", || {
        (metric(&daemon, "unmatched_messages_total", "") >= passed).then_some(())
    });
    let partitions = daemon.wait_for("/api/v1/partitions", |(status, body)| {
        let partitions: serde_json::Value = serde_json::from_str(body).ok().filter(|_| *status == 200)?;
        let partitions = partitions.as_array()?.clone();
        partitions.iter().all(|it| it["lag"] == 0).then_some(partitions)
    });
    let of = |stream: &str| partitions.iter().filter(|it| it["stream"] == stream).count();
    assert_eq!([of("hosts-load"), of("regions-load")], [usize::from(PARTITIONS); 2], "{partitions:?}");
    daemon.stop();
    let found = sums_by_stream(&group);
    let once: BTreeMap<_, _> = expected.into_iter().map(|(key, sum)| (key, vec![sum])).collect();
    assert_eq!(found, once);
    let letters = BROKER.read_all(&group.topic("dead-letters"), Isolation::Committed);
    assert_eq!(letters.len(), 1, "what no stream can read is one dead letter, not one of each");
    let output = group.command("topics", "topics", &settings(&streams)).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && shown.matches("mixed ").count() == 1, "{shown}");
}

/// One stream reads on while the other is restored: the second begins when the first has read the topic.
#[test]
fn a_stream_that_is_added_to_a_topic_reads_it_from_its_start_and_the_first_one_counts_nothing_twice() {
    let group = Group::bare(&BROKER, "added", PARTITIONS);
    BROKER.create_topic("added", PARTITIONS, &[]);
    let both = two_streams("added");
    let first = format!("{}]", both.split(", {name").next().unwrap());
    let daemon = group.daemon_with("a", &settings(&first));
    let messages = |window: u64| (0..20).map(move |host| typed("cpu", host, START + window * PERIOD, 1));
    BROKER.produce("added", messages(0).chain(messages(2)));
    let is_closed =
        |uve: &str| sums_by_stream(&group).keys().filter(|(of, _, start)| of == uve && *start == START).count();
    wait_until("the first stream has closed a window", || (is_closed("Sum-hosts-load") == 20).then_some(()));
    daemon.stop();
    let settings: Vec<_> = settings(&both).into_iter().chain(["kafka.configuration_version=1"]).collect();
    let daemon = group.daemon_with("a", &settings);
    wait_until("the second one, too", || (is_closed("Sum-regions-load") == 4).then_some(()));
    BROKER.produce("added", messages(4));
    let of = |uve: &str, start: u64| {
        let found = sums_by_stream(&group);
        found
            .into_iter()
            .filter(|((of, _, at), _)| of == uve && *at == start)
            .flat_map(|(_, sums)| sums)
            .collect::<Vec<_>>()
    };
    let second = START + 2 * PERIOD;
    wait_until("both go on", || {
        (of("Sum-hosts-load", second).len() + of("Sum-regions-load", second).len() >= 24).then_some(())
    });
    daemon.stop();
    for start in [START, second] {
        assert_eq!((of("Sum-hosts-load", start), of("Sum-regions-load", start)), (vec![1; 20], vec![5; 4]), "{start}");
    }
}
