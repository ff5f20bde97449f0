//! Entries that are new on a known node: which of them count in full, and which are a baseline.
//!
//! A history has a body for each round of ten seconds and the bytes that really flowed in it, in each direction.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use netplugin_adapter::{FORGET_AFTER, Limits, NodeCounters, decode};
use proptest::prelude::*;

/// The counters of a container that is old when the daemon starts.
const OLD: u64 = 1_000_000_000;

const ROUNDS: u64 = 20;

const SECOND: u64 = 1_000_000;

/// The answer of a round: the fields of the only service.
type History = fn(u64) -> String;

fn several(entries: &[(&str, u64, u64)]) -> String {
    let entry =
        |(ip, received, sent): &(&str, u64, u64)| format!(r#""{ip}":{{"BytesIn":{received},"BytesOut":{sent}}}"#);
    format!(r#""ProvStats":{{{}}}"#, entries.iter().map(entry).collect::<Vec<_>>().join(","))
}

fn single(ip: &str, received: u64, sent: u64) -> String {
    format!(r#""ProviderIP":"{ip}","Stats":{{"BytesIn":{received},"BytesOut":{sent}}}"#)
}

fn body(service: &str) -> String {
    format!(r#"{{"e":{{"SvcStats":{{"s":{{{service}}}}}}}}}"#)
}

/// The bytes in and out that a node's readings added, and how many entries were left uncounted.
#[derive(Default)]
struct Added {
    counters: NodeCounters,
    received: u64,
    sent: u64,
    uncounted: [u64; 3],
    example: String,
}

impl Added {
    fn observe(&mut self, at: u64, body: &str) {
        let stats = decode(body.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(stats.rejected(), [], "{body}");
        let uncounted = self.counters.observe(at, &stats, |increase| {
            self.received += increase.bytes_in;
            self.sent += increase.bytes_out;
        });
        self.uncounted.iter_mut().zip(uncounted.counts()).for_each(|(sum, (_, count))| *sum += count);
        self.example = uncounted.example().unwrap_or_default().to_owned();
        let mut saved = Vec::new();
        self.counters.save(&mut saved);
        self.counters = NodeCounters::load(&saved).unwrap();
    }
}

fn sum(history: History) -> [u64; 2] {
    let mut added = Added::default();
    for round in 0..ROUNDS {
        added.observe(10 * SECOND * (round + 1), &body(&history(round)));
    }
    [added.received, added.sent]
}

/// Bytes that the endpoint received by a round; it sent twice as many.
fn now(round: u64) -> u64 {
    OLD + 100 * round
}

fn small(round: u64) -> u64 {
    100 * (round + 1)
}

/// Histories with what they add: 1,900 bytes flow in 19 rounds, and twice as many out.
const HISTORIES: [(&str, History, [u64; 2]); 12] = [
    ("one form", |at| several(&[("p", now(at), 0), ("e", 0, 2 * now(at))]), [1_900, 3_800]),
    ("the form of 2016", |at| single("p", now(at), 2 * now(at)), [1_900, 3_800]),
    (
        "from the form of 2016 to today's: a round is lost",
        |at| {
            if at < 8 {
                single("p", now(at), 2 * now(at))
            } else {
                several(&[("p", now(at), 0), ("e", 0, 2 * now(at))])
            }
        },
        [1_800, 3_600],
    ),
    (
        "and back",
        |at| {
            if at >= 8 {
                single("p", now(at), 2 * now(at))
            } else {
                several(&[("p", now(at), 0), ("e", 0, 2 * now(at))])
            }
        },
        [1_800, 3_600],
    ),
    (
        "of counters that are small",
        |at| {
            if at < 8 {
                single("p", small(at), 2 * small(at))
            } else {
                several(&[("p", small(at), 0), ("e", 0, 2 * small(at))])
            }
        },
        [1_800, 3_600],
    ),
    (
        "and back, of small ones",
        |at| {
            if at >= 8 {
                single("p", small(at), 2 * small(at))
            } else {
                several(&[("p", small(at), 0), ("e", 0, 2 * small(at))])
            }
        },
        [1_800, 3_600],
    ),
    (
        "the form changes twice",
        |at| {
            if (8..12).contains(&at) {
                single("p", now(at), 2 * now(at))
            } else {
                several(&[("p", now(at), 0), ("e", 0, 2 * now(at))])
            }
        },
        [1_700, 3_400],
    ),
    (
        "the form changes with each answer",
        |at| {
            if at % 2 == 0 {
                single("p", now(at), 2 * now(at))
            } else {
                several(&[("p", now(at), 0), ("e", 0, 2 * now(at))])
            }
        },
        [0, 0],
    ),
    (
        "the form changes after nothing was listed",
        |at| match at {
            0..8 => single("p", now(at), 2 * now(at)),
            8 => "\"ProvStats\":{}".to_owned(),
            _ => several(&[("p", now(at), 0), ("e", 0, 2 * now(at))]),
        },
        [1_700, 3_400],
    ),
    (
        "a second provider begins",
        |at| {
            let first = ("p", now(at), 0);
            let own = ("e", 0, 2 * now(at));
            if at < 8 { several(&[first, own]) } else { several(&[first, own, ("q", (at - 7) * 50, 0)]) }
        },
        [1_900 + 12 * 50, 3_800],
    ),
    (
        "a second provider appears that is old",
        |at| {
            let first = ("p", now(at), 0);
            let own = ("e", 0, 2 * now(at));
            if at < 8 { several(&[first, own]) } else { several(&[first, own, ("q", 5 * OLD + at, 0)]) }
        },
        [1_900 + 11, 3_800],
    ),
    (
        "nothing is listed at times",
        |at| {
            if at % 3 == 1 {
                "\"ProvStats\":null".to_owned()
            } else {
                several(&[("p", now(at), 0), ("e", 0, 2 * now(at))])
            }
        },
        [1_800, 3_600],
    ),
];

#[test]
fn a_new_entry_counts_in_full_only_if_it_is_plausible() {
    let wrong: Vec<_> = HISTORIES
        .iter()
        .map(|(name, history, expected)| (name, sum(*history), expected))
        .filter(|(_, sum, expected)| sum != *expected)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_entry_that_was_forgotten_is_a_baseline_whatever_its_size() {
    for old in [300, OLD] {
        let mut added = Added::default();
        let both = |at: u64, other: u64| body(&several(&[("p", at, 0), ("q", other, 0)]));
        let alone = |at: u64| body(&several(&[("p", at, 0)]));
        added.observe(10 * SECOND, &both(100, old));
        added.observe(20 * SECOND, &both(300, old + 10));
        added.observe(30 * SECOND, &alone(500));
        added.observe(20 * SECOND + FORGET_AFTER, &alone(700));
        assert_eq!([added.received, added.counters.entry_count() as u64], [610, 1], "{old}");
        added.observe(30 * SECOND + FORGET_AFTER, &both(700, old + 50));
        let expected = "expected its last counters to be known: it was dropped";
        assert!(added.example.ends_with(expected), "{}", added.example);
        added.observe(40 * SECOND + FORGET_AFTER, &both(700, old + 55));
        assert_eq!((added.received, added.uncounted), (615, [1, 0, 0]), "{old}");
        // It is known again, and goes on from its last values for an hour.
        added.observe(50 * SECOND + FORGET_AFTER, &alone(700));
        added.observe(60 * SECOND + FORGET_AFTER, &both(700, old + 57));
        assert_eq!(added.received, 617, "{old}");
    }
}

#[test]
fn the_bound_is_twice_the_highest_rate_of_the_node_or_a_line_rate() {
    // A node whose highest rate is 30 bytes a second: of an entry that is absent now.
    let known = || {
        let mut added = Added::default();
        for (at, high, low) in [(10, 100, 100), (20, 400, 110), (30, 700, 120)] {
            added.observe(at * SECOND, &body(&several(&[("high", high, 0), ("low", low, 0)])));
        }
        added.observe(40 * SECOND, &body(&several(&[("low", 130, 0)])));
        added
    };
    for (total, seconds, counts) in [(600, 10, true), (601, 10, false), (1_200, 20, true), (1_201, 20, false)] {
        let mut added = known();
        let before = added.received;
        added.observe((40 + seconds) * SECOND, &body(&several(&[("low", 130, 0), ("new", total, 0)])));
        assert_eq!((added.received - before, added.uncounted[2]), (if counts { total } else { 0 }, u64::from(!counts)));
    }
    // Nothing is known of a node without traffic. A longer interval than ten seconds allows no more.
    let table =
        [(10, 1_250_000_000, true), (10, 1_250_000_001, false), (5, 625_000_001, false), (30, 1_250_000_000, true)];
    for (seconds, total, counts) in table.into_iter().chain([(30, 1_250_000_001, false), (3_600, 2 * OLD, false)]) {
        let mut added = Added::default();
        added.observe(10 * SECOND, "null");
        added.observe((10 + seconds) * SECOND, &body(&several(&[("new", total, 0)])));
        assert_eq!((added.received, added.uncounted[2]), (if counts { total } else { 0 }, u64::from(!counts)));
    }
}

/// The bytes that a new entry with `total` adds ten seconds after these readings of another one, ten seconds apart.
fn added_after(readings: &[u64], total: u64) -> u64 {
    let mut added = Added::default();
    for (round, bytes) in readings.iter().enumerate() {
        added.observe(10 * SECOND * (round as u64 + 1), &body(&several(&[("p", *bytes, 0)])));
    }
    let (before, last) = (added.received, readings[readings.len() - 1]);
    added.observe(10 * SECOND * (readings.len() as u64 + 1), &body(&several(&[("p", last, 0), ("new", total, 0)])));
    added.received - before
}

#[test]
fn a_jump_gives_the_nodes_highest_rate_only_when_the_next_rise_confirms_it() {
    const JUMP: u64 = 50_000_000_000;
    let table: [(&str, &[u64], u64); 9] = [
        ("the usual rate", &[0, 300, 600], 600),
        ("the rate rises", &[0, 300, 600, 1_200], 1_200),
        ("a jump", &[0, 300, 600, JUMP], 600),
        ("a jump and less", &[0, 300, 600, JUMP, JUMP + 300], 600),
        ("a jump, nothing and less", &[0, 300, 600, JUMP, JUMP, JUMP + 300], 600),
        ("a jump and as much", &[0, 300, 600, 10_600, 20_600], 20_000),
        ("a jump and half of it", &[0, 300, 600, 10_600, 15_600], 20_000),
        ("first a jump and less", &[0, JUMP, JUMP + 300, JUMP + 600], 600),
        ("two jumps", &[0, 300, 600, JUMP, JUMP + 300, 2 * JUMP, 2 * JUMP + 300], 600),
    ];
    for (name, readings, most) in table {
        assert_eq!([added_after(readings, most), added_after(readings, most + 1)], [most, 0], "{name}");
    }
    // A single rise stands for the rate of a node, up to 1 Gbit/s.
    let most = 1_250_000_000;
    assert_eq!([added_after(&[0, JUMP], most), added_after(&[0, JUMP], most + 1)], [most, 0]);
    assert_eq!([added_after(&[0, 300], 600), added_after(&[0, 300], 601)], [600, 0]);
}

#[test]
fn an_entry_of_a_service_that_changed_its_form_was_not_absent() {
    let mut added = Added::default();
    let both = |bytes: u64| body(&several(&[("p", OLD + bytes, 0), ("e", 0, OLD + bytes)]));
    added.observe(10 * SECOND, &both(100));
    added.observe(20 * SECOND, &body(&single("p", OLD + 200, OLD + 200)));
    // The entry of `e` was dropped.
    added.observe(30 * SECOND, &both(300));
    assert_eq!((added.received + added.sent, added.uncounted), (0, [0, 3, 0]));
}

#[test]
fn an_uncounted_entry_is_named_with_what_was_found_and_expected() {
    let both = |bytes: u64| body(&several(&[("p", bytes, 0), ("q", OLD, 0)]));
    let mut added = Added::default();
    added.observe(10 * SECOND, &body(&several(&[("p", 0, 0)])));
    added.observe(20 * SECOND, &body(&several(&[("p", 300, 0)])));
    added.observe(30 * SECOND, &both(400));
    insta::assert_snapshot!(added.example, @"endpoint e, service s, provider q has 1000000000 bytes and packets, expected at most 600 of a new one: twice the node's highest rate of 30/s, for 10 s");
    added.observe(40 * SECOND, &both(500));
    assert_eq!(added.example, "");
    added.observe(50 * SECOND, &body(&single("p", 600, 0)));
    insta::assert_snapshot!(added.example, @"endpoint e, service s, provider p has 600 bytes and packets, expected the service in its form of before, in which these counters were counted");
    let mut added = Added::default();
    added.observe(10 * SECOND, "null");
    added.observe(20 * SECOND, &body(&several(&[("p", 5 * OLD, 0)])));
    insta::assert_snapshot!(added.example, @"endpoint e, service s, provider p has 5000000000 bytes and packets, expected at most 1250000000 of a new one: 1 Gbit/s for 10 s, as no rate of the node is known");
}

/// The providers beside the first one.
const OTHERS: [&str; 3] = ["q", "r", "t"];

proptest! {
    #[test]
    fn property_new_entries_at_the_usual_rate_count_whole(
        rounds in prop::collection::vec(
            (1_000..2_000u64, [0..4u64, 0..4, 0..4], [0..1_000u64, 0..1_000, 0..1_000]),
            1..40,
        ),
        begins in [0..40usize, 0..40, 0..40],
    ) {
        // The first provider shows the rate.
        let (mut first, mut others, mut listed) = (OLD + 1_000, [0; 3], [0; 3]);
        let mut added = Added::default();
        added.observe(SECOND, &body(&several(&[("p", OLD, 0)])));
        added.observe(11 * SECOND, &body(&several(&[("p", first, 0)])));
        for (round, (traffic, absent, flows)) in rounds.into_iter().enumerate() {
            first += traffic;
            let mut entries = vec![("p", first, 0)];
            for (index, ip) in OTHERS.iter().enumerate().filter(|(index, _)| begins[*index] <= round) {
                others[index] += flows[index];
                // In the first round it is listed.
                if absent[index] > 0 || begins[index] == round {
                    listed[index] = others[index];
                    entries.push((ip, others[index], 0));
                }
            }
            added.observe((21 + 10 * round as u64) * SECOND, &body(&several(&entries)));
        }
        prop_assert_eq!(added.received, first - OLD + listed.iter().sum::<u64>());
        prop_assert_eq!(added.uncounted, [0; 3]);
    }

    #[test]
    fn property_a_change_of_form_counts_nothing_twice(
        rounds in prop::collection::vec((0..3u8, 0..1_000u64, 0..1_000u64), 1..40),
        mut received in prop_oneof![Just(0), Just(OLD)],
        mut last in 0..2u8,
    ) {
        let mut sent = received;
        let (mut listed, mut expected) = ([received, sent], [0, 0]);
        let answer = |form, received, sent| match form {
            0 => single("p", received, sent),
            1 => several(&[("p", received, 0), ("e", 0, sent)]),
            _ => several(&[]),
        };
        let mut added = Added::default();
        added.observe(SECOND, &body(&answer(last, received, sent)));
        for (round, (form, more_received, more_sent)) in rounds.into_iter().enumerate() {
            (received, sent) = (received + more_received, sent + more_sent);
            added.observe((11 + 10 * round as u64) * SECOND, &body(&answer(form, received, sent)));
            if form == last {
                expected = [expected[0] + received - listed[0], expected[1] + sent - listed[1]];
            }
            if form < 2 {
                (last, listed) = (form, [received, sent]);
            }
        }
        prop_assert_eq!([added.received, added.sent], expected);
    }
}
