//! Replicas of a sender behind a load balancer: two daemons of a group, on a real broker, count one of them.

#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::disallowed_methods, reason = "samples have the time of the clock, as those of a sender")]

mod support;

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use daemon_formats::Point;
use daemon_formats::remote_write::encode::{Written, compress, request_1};
use support::broker::{Broker, Isolation};
use support::group::Group;
use support::series::{Reply, now_ms, past_minute, points, post};
use support::{Daemon, wait_until};

static BROKER: LazyLock<Broker> = LazyLock::new(Broker::start);

const STREAMS: &str = "streams=[{name = \"room\", metric = \"temperature\", object = [\"room\"],
    aggregations = [\"Sum = 1-raw:DSSum\"], period = 60}]";
const NO_LIST: &str = "aggregation.uve_proxy_list=";

/// A replica that sends nothing for three seconds is replaced.
const SOON: &str = "aggregation.replica_timeout=3s";

/// After this time no lease of [`SOON`] is valid.
const LEASE_OVER: Duration = Duration::from_millis(2500);

/// A replica that sends nothing for so long is replaced; a slow machine is faster between two requests.
const LATER: &str = "aggregation.replica_timeout=20s";

/// After this time no lease of [`LATER`] is valid.
const LATER_LEASE_OVER: Duration = Duration::from_secs(14);

const VALUES: [(&str, f64); 2] = [("a", 1.0), ("b", 100.0)];

/// Sends one sample of a room, as a replica of the cluster of that name.
fn send(daemon: &Daemon, room: &str, replica: &str, at: i64, value: f64) -> Reply {
    let labels = vec![("__name__", "temperature"), ("room", room), ("cluster", room), ("__replica__", replica)];
    let samples = vec![Point { timestamp_ms: at, start_ms: 0, value, integer: None }];
    let body = compress(&request_1(&[Written { labels, samples, histograms: Vec::new() }]));
    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "snappy")];
    post(daemon, "/api/v1/write", &headers, &body)
}

/// The same, until it is taken: a daemon that starts does not know its topics yet.
fn send_until_taken(daemon: &Daemon, room: &str, replica: &str, at: i64, value: f64) {
    wait_until("the sample is taken", || {
        let reply = send(daemon, room, replica, at, value);
        assert!([204, 503].contains(&reply.status), "{}: {}", reply.status, reply.text());
        (reply.status == 204).then_some(())
    });
}

/// The samples that a daemon has left out; none before its first request.
fn left_out(daemon: &Daemon) -> u64 {
    let has_some = daemon.get("/metrics").1.contains("series_points_total{format=\"remote_write\"");
    if has_some { points(daemon, "remote_write", "replica") } else { 0 }
}

/// Two daemons whose topics are there.
fn daemons(group: &Group<'_>, settings: &[&str]) -> [Daemon; 2] {
    let output = group.command("topics", "topics", settings).arg("--create").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let daemons = ["one", "two"].map(|instance| group.daemon_with(instance, settings));
    daemons.iter().for_each(|daemon| daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(())));
    daemons
}

/// The sums of each room and window, once all of `rooms` have one of the window that starts at `start`.
fn sums(group: &Group<'_>, rooms: &[&str], start: i64) -> BTreeMap<(String, i64), f64> {
    wait_until("the windows are closed", || {
        let mut sums = BTreeMap::new();
        for record in BROKER.read_all(&group.topic("results"), Isolation::Committed) {
            for line in std::str::from_utf8(&record.payload.unwrap()).unwrap().lines() {
                let result: serde_json::Value = serde_json::from_str(line).unwrap();
                let value = &result["data"]["value"];
                let Some(value) = value.as_f64().or_else(|| value["value"].as_f64()) else { continue };
                let key = (result["key"].as_str().unwrap().to_owned(), result["start"].as_i64().unwrap() / 1000);
                assert_eq!(sums.insert(key, value), None, "one result of each window: {line}");
            }
        }
        rooms.iter().all(|room| sums.contains_key(&(format!("Service:{room}"), start))).then_some(sums)
    })
}

const ROOMS: [&str; 4] = ["hall", "attic", "cellar", "shed"];
const ROUNDS: i64 = 20;

/// Both replicas send at the same time, each its samples to one daemon and the other in turn.
fn send_alternately(daemons: [&Daemon; 2], start: i64) {
    thread::scope(|scope| {
        for (turn, (replica, value)) in (0..).zip(VALUES) {
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    for (index, room) in (0..).zip(ROOMS) {
                        let daemon = daemons[((round + index + turn) % 2) as usize];
                        send_until_taken(daemon, room, replica, start + round * 1000, value);
                    }
                }
            });
        }
    });
}

/// Sends a sample of each replica to each daemon; returns the one whose samples count at both.
fn elected(daemons: [&Daemon; 2], room: &str, at: i64) -> (&'static str, f64) {
    let mut counting = Vec::new();
    for daemon in daemons {
        for (replica, value) in VALUES {
            let before = left_out(daemon);
            send_until_taken(daemon, room, replica, at, value);
            if left_out(daemon) == before {
                counting.push((replica, value));
            }
        }
    }
    assert!(counting.len() == 2 && counting[0] == counting[1], "{room}: one counts at both daemons: {counting:?}");
    counting[0]
}

#[test]
fn one_of_two_replicas_that_both_send_to_two_daemons_counts_over_a_kill() {
    let group = Group::bare(&BROKER, "elected", 3);
    let settings = [STREAMS, NO_LIST];
    let [mut one, two] = daemons(&group, &settings);
    let start = past_minute();
    send_alternately([&one, &two], start);
    let total = left_out(&one) + left_out(&two);
    assert_eq!(total, (ROOMS.len() as i64 * ROUNDS).unsigned_abs(), "the samples of one replica of each room");
    one.signal("KILL");
    one.wait();
    one = group.daemon_with("one", &settings);
    let elected = ROOMS.map(|room| elected([&one, &two], room, start + 30_000));
    // Closes the windows.
    for room in ROOMS {
        for (replica, value) in VALUES {
            send_until_taken(&two, room, replica, start + 200_000, value);
        }
    }
    let found = sums(&group, &ROOMS, start);
    for (room, (replica, value)) in ROOMS.into_iter().zip(elected) {
        let sum = found[&(format!("Service:{room}"), start)];
        assert_eq!(
            sum,
            value * (ROUNDS as f64 + 2.0),
            "{room}: {replica} counts from the start, and the other does not"
        );
    }
    one.stop();
    two.stop();
}

#[test]
fn another_replica_takes_over_from_a_silent_one_and_counts_once() {
    let group = Group::bare(&BROKER, "silent", 3);
    let [one, two] = daemons(&group, &[STREAMS, NO_LIST, LATER]);
    let start = past_minute();
    // A replica whose samples are all rejected is not elected.
    let future = send(&one, "x", "b", start + 1_000_000_000, 1.0);
    assert_eq!(future.status, 400, "{}", future.text());
    send_until_taken(&one, "x", "a", start, 1.0);
    send_until_taken(&two, "x", "b", start + 1, 100.0);
    assert_eq!(left_out(&two), 1);
    // From now on `a` is silent. What `b` sends is left out, then counts; its samples have different values.
    let (mut sent, mut expected) = (0, 1.0);
    wait_until("b takes over", || {
        let before = left_out(&two);
        sent += 1;
        send_until_taken(&two, "x", "b", start + 100 + sent, 1000.0 + sent as f64);
        if left_out(&two) > before {
            return None;
        }
        expected += 1000.0 + sent as f64;
        Some(())
    });
    two.wait_until_said("The elected replica is silent; another one counts.");
    for daemon in [&one, &two] {
        daemon.wait_for("/metrics", |(_, body)| {
            let has = |line: &str| body.contains(&format!("\nderived_statsd_replica_{line}\n"));
            (has("clusters 1") && has("takeovers_total 1")).then_some(())
        });
    }
    // It is back, and the other one stays, at both daemons.
    send_until_taken(&one, "x", "a", start + 50_000, 1.0);
    send_until_taken(&one, "x", "b", start + 50_001, 7.0);
    send_until_taken(&two, "x", "a", start + 50_002, 1.0);
    assert_eq!(left_out(&one), 1);
    send_until_taken(&two, "x", "b", start + 200_000, 1.0);
    assert_eq!(sums(&group, &["x"], start)[&("Service:x".to_owned(), start)], expected + 7.0);
    one.stop();
    two.stop();
}

/// Sends a reading of a counter of the room, until it is taken; returns whether it counts.
fn reads(daemon: &Daemon, replica: &str, at: i64, value: f64) -> bool {
    let before = left_out(daemon);
    send_until_taken(daemon, "hall", replica, at, value);
    left_out(daemon) == before
}

/// Regression: a daemon that starts did not know the readings of the replica before, and took a late one of the next
/// replica, which is lower, for a reset.
#[test]
fn a_late_reading_of_the_next_replica_after_a_restart_is_left_out() {
    let group = Group::bare(&BROKER, "late", 1);
    let counter = STREAMS.replace("object", "kind = \"counter\", object");
    let settings = [&*counter, NO_LIST, LATER];
    let [mut one, two] = daemons(&group, &settings);
    two.stop();
    let at = now_ms();
    assert!(reads(&one, "a", at, 1010.0));
    one.signal("KILL");
    one.wait();
    let one = group.daemon_with("one", &settings);
    one.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    wait_until("b takes over", || {
        assert!(!reads(&one, "b", at - 500, 1005.0), "it is left out, or late");
        one.stderr().contains("The elected replica is silent; another one counts.").then_some(())
    });
    assert!(!reads(&one, "b", at + 1000, 1006.0), "its clock may be ahead");
    wait_until("a reading is clearly newer", || reads(&one, "b", now_ms(), 1030.0).then_some(()));
    assert!(!reads(&one, "b", at, 1010.0), "a series of it that is sent later");
    one.stop();
}

#[test]
fn without_brokers_nothing_is_taken_and_what_is_sent_again_counts_once() {
    let mut broker = Broker::start();
    let group = Group::bare(&broker, "away", 1);
    let settings = [STREAMS, NO_LIST, SOON];
    let output = group.command("topics", "topics", &settings).arg("--create").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let daemon = group.daemon_with("one", &settings);
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    let start = past_minute();
    send_until_taken(&daemon, "x", "a", start, 1.0);
    let own = group.detach();
    broker.stop();
    let away = Instant::now();
    thread::sleep(LEASE_OVER);
    for _ in 0..2 {
        let reply = send(&daemon, "x", "a", start + 1000, 2.0);
        assert_eq!((reply.status, reply.retry_after.as_deref()), (503, Some("1")), "{}", reply.text());
        assert!(reply.text().contains("cannot elect a replica: "), "{}", reply.text());
    }
    let failed = "No replica of a sender can be elected; series of replicas get 503.";
    let said = daemon.wait_until_said(failed);
    // It comes again after ten seconds.
    let most = 1 + away.elapsed().as_secs() as usize / 10;
    assert!(said.matches(failed).count() <= most, "{said}");
    broker.restart();
    let group = own.attach(&broker);
    send_until_taken(&daemon, "x", "a", start + 1000, 2.0);
    send_until_taken(&daemon, "x", "a", start + 200_000, 1.0);
    let found = wait_until("the window is closed", || {
        let records = broker.read_all(&group.topic("results"), Isolation::Committed);
        let lines = records.into_iter().map(|record| String::from_utf8(record.payload.unwrap()).unwrap());
        lines.map(|line| serde_json::from_str::<serde_json::Value>(line.lines().next().unwrap()).unwrap()).next()
    });
    assert_eq!(
        found["data"]["value"]["value"].as_f64().or_else(|| found["data"]["value"].as_f64()),
        Some(3.0),
        "{found}"
    );
    daemon.stop();
}

#[test]
fn a_topic_that_is_deleted_is_made_again_and_elects_anew() {
    let group = Group::bare(&BROKER, "gone", 1);
    let [one, two] = daemons(&group, &[STREAMS, NO_LIST, LATER]);
    let start = past_minute();
    let mut second = 0;
    let mut left_out_in_a_round = || {
        let before = left_out(&one) + left_out(&two);
        for daemon in [&one, &two] {
            for (replica, value) in VALUES {
                second += 1;
                send_until_taken(daemon, "x", replica, start + second, value);
            }
        }
        left_out(&one) + left_out(&two) - before
    };
    assert_eq!(left_out_in_a_round(), 2, "one of the replicas at each daemon");
    BROKER.delete_topic(&group.topic("elections"));
    for daemon in [&one, &two] {
        daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    }
    thread::sleep(LATER_LEASE_OVER);
    wait_until("one replica counts again", || (left_out_in_a_round() == 2).then_some(()));
    let found = BROKER.read_all(&group.topic("elections"), Isolation::Committed);
    assert!(found.iter().any(|record| record.key.as_deref() == Some(b"x")), "{} records", found.len());
    one.stop();
    two.stop();
}

/// The topic is made where a stream needs it, and only there.
#[test]
fn the_topic_of_elections_is_one_of_the_group_where_a_stream_has_series() {
    let shown = |settings: &[&str], arguments: &[&str]| {
        let group = Group::bare(&BROKER, "topic", 1);
        let output = group.command("topics", "topics", settings).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(!shown(&[], &[]).contains("topic-uve-elections"));
    let created = shown(&[STREAMS, NO_LIST], &["--create"]);
    let row = created.lines().find(|line| line.starts_with("topic-uve-elections")).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["topic-uve-elections", "elections", "1", "1", "created"]);
    let row = shown(&[STREAMS, NO_LIST], &[]);
    assert!(row.lines().any(|line| line.starts_with("topic-uve-elections") && line.ends_with("ok")), "{row}");
}
