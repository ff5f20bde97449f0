//! Increases of a node's counters: each rule, the saved state, and their sum against the traffic of a model.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use netplugin_adapter::{CountersError, FORGET_AFTER, Limits, NodeCounters, ServiceStats, Uncounted, decode};
use proptest::prelude::*;

/// BytesIn, BytesOut, PacketsIn, PacketsOut.
type Counts = [u64; 4];

/// Endpoint, service, provider and what flowed.
type Seen = (String, String, String, Counts);

fn read(body: &str) -> ServiceStats {
    decode(body.as_bytes(), &Limits::default()).unwrap()
}

fn observe(counters: &mut NodeCounters, at: u64, body: &str) -> Vec<Seen> {
    observe_all(counters, at, body).0
}

fn observe_all(counters: &mut NodeCounters, at: u64, body: &str) -> (Vec<Seen>, Uncounted) {
    let mut seen = Vec::new();
    let uncounted = counters.observe(at, &read(body), |i| {
        let counts = [i.bytes_in, i.bytes_out, i.packets_in, i.packets_out];
        seen.push((i.endpoint_ip.to_owned(), i.service_ip.to_owned(), i.provider_ip.to_owned(), counts));
    });
    (seen, uncounted)
}

/// A body with these entries of endpoint `e` and service `s`.
fn body(entries: &[(&str, Counts)]) -> String {
    let entries = entries.iter().map(|(ip, counts)| entry(ip, *counts)).collect::<Vec<_>>().join(",");
    format!(r#"{{"e":{{"SvcStats":{{"s":{{"ProvStats":{{{entries}}}}}}}}}}}"#)
}

fn entry(ip: &str, [a, b, c, d]: Counts) -> String {
    format!(r#""{ip}":{{"BytesIn":{a},"BytesOut":{b},"PacketsIn":{c},"PacketsOut":{d}}}"#)
}

/// Increases of endpoint `e` and service `s`.
fn of(expected: &[(&str, Counts)]) -> Vec<Seen> {
    expected.iter().map(|(ip, counts)| ("e".to_owned(), "s".to_owned(), (*ip).to_owned(), *counts)).collect()
}

#[test]
fn a_second_scrape_gives_what_changed_by_the_rule_for_each_entry() {
    type Entries<'a> = &'a [(&'a str, Counts)];
    let table: [(&str, Entries<'_>, Entries<'_>, Entries<'_>); 11] = [
        ("nothing flowed", &[("p", [1, 2, 3, 4])], &[("p", [1, 2, 3, 4])], &[]),
        ("all rose", &[("p", [1, 2, 3, 4])], &[("p", [11, 22, 33, 44])], &[("p", [10, 20, 30, 40])]),
        ("one rose", &[("p", [1, 2, 3, 4])], &[("p", [1, 2, 3, 5])], &[("p", [0, 0, 0, 1])]),
        ("the largest", &[("p", [0; 4])], &[("p", [u64::MAX; 4])], &[("p", [u64::MAX; 4])]),
        ("all fell, at no known rate", &[("p", [9, 9, 9, 9])], &[("p", [1, 2, 3, 4])], &[]),
        ("all fell to zero", &[("p", [9, 9, 9, 9])], &[("p", [0; 4])], &[]),
        ("one fell, at no known rate", &[("p", [9, 9, 9, 9])], &[("p", [12, 9, 9, 8])], &[]),
        ("a new entry", &[("p", [9, 9, 9, 9])], &[("p", [9; 4]), ("q", [5, 6, 7, 8])], &[("q", [5, 6, 7, 8])]),
        ("an entry went", &[("p", [9, 9, 9, 9]), ("q", [1; 4])], &[("p", [9; 4])], &[]),
        (
            "the own entry beside one provider",
            &[("e", [0, 1, 0, 1]), ("p", [1, 0, 1, 0])],
            &[("e", [0, 3, 0, 2]), ("p", [5, 0, 2, 0])],
            &[("p", [0, 2, 0, 1]), ("p", [4, 0, 1, 0])],
        ),
        (
            "the own entry when a second provider appears",
            &[("e", [0, 1, 0, 1]), ("p", [1, 0, 1, 0])],
            &[("e", [0, 3, 0, 2]), ("p", [5, 0, 2, 0]), ("q", [1, 0, 1, 0])],
            &[("s", [0, 2, 0, 1]), ("p", [4, 0, 1, 0]), ("q", [1, 0, 1, 0])],
        ),
    ];
    for (name, first, second, expected) in table {
        let mut counters = NodeCounters::default();
        assert_eq!(observe(&mut counters, 10, &body(first)), [], "{name}: the first scrape");
        assert_eq!(observe(&mut counters, 20, &body(second)), of(expected), "{name}");
    }
}

/// The sums of the bytes that scrapes of one entry add, ten seconds apart.
fn added(readings: &[u64]) -> Vec<u64> {
    let mut counters = NodeCounters::default();
    let mut add = |(number, bytes): (usize, &u64)| {
        let seen = observe(&mut counters, 10_000_000 * (number as u64 + 1), &body(&[("p", [*bytes, 0, 0, 0])]));
        seen.iter().map(|(.., counts)| counts[0]).sum()
    };
    readings.iter().enumerate().map(&mut add).collect()
}

#[test]
fn a_fall_is_a_reset_when_the_highest_rate_could_give_the_new_value() {
    let table: [(&str, &[u64], &[u64]); 9] = [
        ("at the rate", &[1_000, 1_700, 700], &[0, 700, 700]),
        ("at twice the rate", &[5_000, 5_700, 1_400], &[0, 700, 1_400]),
        ("beyond that", &[5_000, 5_700, 1_401, 1_501], &[0, 700, 0, 100]),
        ("to zero, at no known rate", &[5_000, 0, 10], &[0, 0, 10]),
        ("the highest rate counts", &[5_000, 5_700, 5_701, 5_702, 1_400], &[0, 700, 1, 1, 1_400]),
        ("after a reset", &[5_000, 5_700, 100, 800, 50, 750], &[0, 700, 100, 700, 50, 700]),
        ("up to the old value and past it", &[500, 1_000, 100, 900, 1_900, 2_900], &[0, 500, 100, 800, 1_000, 1_000]),
        ("a burst counts", &[0, 10, 20, 1_000_000, 1_000_010], &[0, 10, 10, 999_980, 10]),
        ("a burst and a reset", &[0, 10, 20, 1_000_000, 1_000_010, 500_000], &[0, 10, 10, 999_980, 10, 500_000]),
    ];
    for (name, readings, expected) in table {
        assert_eq!(added(readings), expected, "{name}");
    }
}

#[test]
fn readings_of_two_counters_under_one_entry_are_not_resets() {
    let table: [(&str, &[u64], &[u64]); 6] = [
        ("a small one", &[5_000_000, 1_000, 5_000_100, 1_050, 5_000_200, 1_100], &[0, 0, 100, 50, 100, 50]),
        ("a large one", &[9_000_000, 7_000_000, 9_000_100, 7_000_050], &[0, 0, 100, 50]),
        ("one stands still", &[5_000_000, 1_000, 5_000_000, 1_050, 5_000_000, 1_100], &[0, 0, 0, 50, 0, 50]),
        ("in no order", &[5_000_000, 1_000, 1_050, 5_000_100, 5_000_200, 1_100], &[0, 0, 50, 100, 100, 50]),
        ("three", &[5_000_000, 1_000, 90_000, 5_000_100, 1_050, 90_010], &[0, 0, 89_000, 100, 50, 10]),
        // The first rise cannot be told from a burst. It counts once.
        ("the small one first", &[1_000, 5_000_000, 1_050, 5_000_100, 1_100], &[0, 4_999_000, 50, 100, 50]),
    ];
    for (name, readings, expected) in table {
        assert_eq!(added(readings), expected, "{name}");
    }
}

/// A body with one service whose readings are of a protocol and ports, in either form of a service.
fn body_of_port(flat: bool, [protocol, service, provider]: [&str; 3], bytes: u64) -> String {
    let stats = if flat {
        format!(r#""ProviderIP":"p","Stats":{{"BytesIn":{bytes}}}"#)
    } else {
        format!(r#""ProvStats":{{"p":{{"BytesIn":{bytes}}},"e":{{"BytesOut":{bytes}}}}}"#)
    };
    let ports = format!(r#""Protocol":"{protocol}","SvcPort":"{service}","ProvPort":"{provider}""#);
    format!(r#"{{"e":{{"SvcStats":{{"s":{{{ports},{stats}}}}}}}}}"#)
}

#[test]
fn each_port_of_a_service_has_counters_of_its_own() {
    let http = ["TCP", "8080", "80"];
    for (other, flat) in [
        (["TCP", "8443", "443"], false),
        (["TCP", "8443", "443"], true),
        (["TCP", "8443", ""], false),
        (["TCP", "", "443"], true),
        (["UDP", "8080", "80"], false),
    ] {
        for (first, second) in [(5_000_000, 1_000), (1_000, 5_000_000), (5_000_000, 5_000_001)] {
            let mut counters = NodeCounters::default();
            let mut sum = 0;
            for round in 0..8 {
                let (port, bytes) =
                    if round % 2 == 0 { (http, first + round * 50) } else { (other, second + round * 10) };
                let seen = observe(&mut counters, 10_000_000 * (round + 1), &body_of_port(flat, port, bytes));
                sum += seen.iter().map(|(.., counts)| counts[0]).sum::<u64>();
                counters = NodeCounters::load(&saved(&counters)).unwrap();
            }
            assert_eq!(sum, 300 + 60, "{other:?}, {flat}, {first} and {second}");
        }
    }
}

#[test]
fn the_own_entry_alone_is_the_services() {
    let mut counters = NodeCounters::default();
    observe(&mut counters, 10, &body(&[("e", [0, 1, 0, 1])]));
    assert_eq!(observe(&mut counters, 20, &body(&[("e", [0, 9, 0, 2])])), of(&[("s", [0, 8, 0, 1])]));
}

#[test]
fn a_first_scrape_without_endpoints_makes_the_node_known() {
    let mut counters = NodeCounters::default();
    assert_eq!(counters.last(), None);
    observe(&mut counters, 0, "null");
    assert_eq!(counters.last(), Some(0));
    assert_eq!(observe(&mut counters, 1, &body(&[("p", [1; 4])])), of(&[("p", [1; 4])]));
}

#[test]
fn an_entry_that_comes_back_continued_or_was_reset() {
    for (back, expected) in [([15; 4], [5; 4]), ([3; 4], [3; 4])] {
        let mut counters = NodeCounters::default();
        observe(&mut counters, 10, &body(&[("p", [8; 4]), ("q", [1; 4])]));
        observe(&mut counters, 15, &body(&[("p", [10; 4]), ("q", [1; 4])]));
        observe(&mut counters, 20, &body(&[("q", [1; 4])]));
        observe(&mut counters, 9 + FORGET_AFTER, "null");
        assert_eq!(observe(&mut counters, 2 * FORGET_AFTER, &body(&[("p", back)])), of(&[("p", expected)]));
    }
}

#[test]
fn an_entry_absent_for_an_hour_is_a_baseline() {
    let mut counters = NodeCounters::default();
    observe(&mut counters, 10, &body(&[("p", [10; 4])]));
    observe(&mut counters, 10 + FORGET_AFTER, "null");
    assert_eq!(counters.entry_count(), 0);
    assert_eq!(observe(&mut counters, 20 + FORGET_AFTER, &body(&[("p", [15; 4])])), []);
    assert_eq!(observe(&mut counters, 30 + FORGET_AFTER, &body(&[("p", [16; 4])])), of(&[("p", [1; 4])]));
}

#[test]
fn a_scrape_that_is_not_later_changes_nothing() {
    let mut counters = NodeCounters::default();
    observe(&mut counters, 10, &body(&[("p", [10; 4])]));
    let before = counters.clone();
    for at in [10, 9, 0] {
        assert_eq!(observe(&mut counters, at, &body(&[("p", [50; 4])])), []);
        assert_eq!(counters, before);
    }
    assert_eq!(observe(&mut counters, 11, &body(&[("p", [11; 4])])), of(&[("p", [1; 4])]));
}

const REJECTED: &str = r#"{"e":{"SvcStats":1}}"#;

#[test]
fn a_rejected_endpoint_neither_changes_nor_expires() {
    let mut counters = NodeCounters::default();
    observe(&mut counters, 10, &body(&[("p", [10; 4])]));
    observe(&mut counters, 20 + FORGET_AFTER, REJECTED);
    observe(&mut counters, 20 + 2 * FORGET_AFTER, REJECTED);
    let seen = observe(&mut counters, 21 + 2 * FORGET_AFTER, &body(&[("p", [15; 4]), ("q", [1; 4])]));
    assert_eq!(seen, of(&[("p", [5; 4]), ("q", [1; 4])]));
}

#[test]
fn an_endpoint_rejected_in_the_first_scrape_has_its_own_first_scrape() {
    let mut counters = NodeCounters::default();
    observe(&mut counters, 10, REJECTED);
    observe(&mut counters, 20, "null");
    assert_eq!(observe(&mut counters, 30, &body(&[("p", [10; 4])])), []);
    assert_eq!(
        observe(&mut counters, 40, &body(&[("p", [11; 4]), ("q", [2; 4])])),
        of(&[("p", [1; 4]), ("q", [2; 4])])
    );
    // An endpoint that is rejected when it appears later is new all the same.
    let mut counters = NodeCounters::default();
    observe(&mut counters, 10, "null");
    observe(&mut counters, 20, REJECTED);
    assert_eq!(observe(&mut counters, 30, &body(&[("p", [10; 4])])), of(&[("p", [10; 4])]));
}

#[test]
fn increases_come_in_the_order_of_addresses() {
    let both = |count: u64| {
        let services = |ip: &str| format!(r#""{ip}":{{"ProvStats":{{{}}}}}"#, entry("p", [count; 4]));
        let endpoint = format!(r#"{{"SvcStats":{{{},{}}}}}"#, services("s2"), services("s1"));
        format!(r#"{{"b":{endpoint},"a":{endpoint}}}"#)
    };
    let mut counters = NodeCounters::default();
    observe(&mut counters, 10, &both(1));
    let seen = observe(&mut counters, 20, &both(2));
    let pairs: Vec<_> = seen.iter().map(|(endpoint, service, ..)| (&**endpoint, &**service)).collect();
    assert_eq!(pairs, [("a", "s1"), ("a", "s2"), ("b", "s1"), ("b", "s2")]);
}

fn saved(counters: &NodeCounters) -> Vec<u8> {
    let mut out = Vec::new();
    counters.save(&mut out);
    out
}

#[test]
fn the_saved_form_is_pinned() {
    assert_eq!(saved(&NodeCounters::default()), [3, 0]);
    let mut counters = NodeCounters::default();
    observe(&mut counters, 300, r#"{"u":1}"#);
    observe(&mut counters, 301, &body(&[("p", [1, 200, 3, u64::MAX])]));
    observe(&mut counters, 304, &body(&[("p", [1, 200, 3, u64::MAX])]));
    observe(&mut counters, 306, "null");
    let mut expected = vec![3, 1, 0xB2, 2, 1, 1, b'u', 0, 0, 1, 1, b'e', 1, 1, b's', 1, 1, b'p', 3, 0, 1, 1, 200, 1, 3];
    expected.extend([0xFF; 9]);
    // Its form is the second one, and its kind 1,024.
    expected.extend([1, 2, 0, 0x80, 8, 0]);
    assert_eq!(saved(&counters), expected);
    assert_eq!(NodeCounters::load(&expected), Ok(counters));
}

#[test]
fn counters_that_version_1_saved_go_on() {
    // Endpoint `e`, service `s`: `p` with 1, 200, 3 and 4, seen in the last scrape at 301, and `q` with 7, gone since
    // 290.
    let bytes = [
        &[1, 1, 0xAD, 2, 1, 1, b'u', 1, 1, b'e', 1, 1, b's', 2][..],
        &[1, b'p', 1, 200, 1, 3, 4, 0, 1, b'q', 7, 7, 7, 7, 11],
    ];
    let mut counters = NodeCounters::load(&bytes.concat()).unwrap();
    assert_eq!((counters.last(), counters.entry_count()), (Some(301), 2));
    let seen = observe(&mut counters, 310, &body(&[("p", [2, 200, 3, 4]), ("q", [7, 7, 7, 9])]));
    assert_eq!(seen, of(&[("p", [1, 0, 0, 0]), ("q", [0, 0, 0, 2])]));
}

#[test]
fn counters_that_version_2_saved_go_on_in_either_form() {
    // Endpoint `e`, service `s`: `p` with 1, 200, 3 and 4, seen in the last scrape at 301.
    let bytes = [2, 1, 0xAD, 2, 0, 1, 1, b'e', 1, 1, b's', 1, 1, b'p', 0, 0, 1, 1, 200, 1, 3, 4, 0, 0, 0, 0];
    let counts = r#"{"BytesIn":2,"BytesOut":200,"PacketsIn":3,"PacketsOut":4}"#;
    for service in [format!(r#""ProvStats":{{"p":{counts}}}"#), format!(r#""ProviderIP":"p","Stats":{counts}"#)] {
        let mut counters = NodeCounters::load(&bytes).unwrap();
        let body = format!(r#"{{"e":{{"SvcStats":{{"s":{{{service}}}}}}}}}"#);
        assert_eq!(observe(&mut counters, 310, &body), of(&[("p", [1, 0, 0, 0])]), "{service}");
    }
}

/// The providers whose points changed at `oldest` or later, by the last of several scrapes.
fn changed(scrapes: &[(u64, &[(&str, Counts)])], oldest: u64, reload: bool) -> Vec<String> {
    let mut counters = NodeCounters::default();
    for (at, entries) in scrapes {
        observe(&mut counters, *at, &body(entries));
        if reload {
            counters = NodeCounters::load(&saved(&counters)).unwrap();
        }
    }
    let stats = read(&body(scrapes.last().unwrap().1));
    counters.changed_points(&stats, oldest).map(|point| point.provider_ip.to_owned()).collect()
}

#[test]
fn points_are_left_out_when_none_of_their_entries_has_changed() {
    let [a, b, c] = [[1; 4], [2; 4], [3; 4]];
    // The provider `old` was replaced by `new`; `e` is the endpoint's own entry, and `s` its point beside two
    // providers.
    let scrapes: [(u64, &[(&str, Counts)]); 4] = [
        (10, &[("e", a), ("old", a)]),
        (20, &[("e", a), ("new", a), ("old", b)]),
        (30, &[("e", b), ("new", b), ("old", b)]),
        (40, &[("e", b), ("new", c), ("old", b)]),
    ];
    let table: [(u64, &[&str]); 5] =
        [(0, &["new", "old", "s"]), (20, &["new", "old", "s"]), (21, &["new", "s"]), (31, &["new"]), (41, &[])];
    for (oldest, expected) in table {
        for reload in [false, true] {
            assert_eq!(changed(&scrapes, oldest, reload), expected, "{oldest}");
        }
    }
    // With one provider its point has both entries.
    assert_eq!(changed(&[(10, &[("e", a), ("p", a)]), (20, &[("e", b), ("p", a)])], 20, false), ["p"]);
    assert_eq!(changed(&[(10, &[("e", a), ("p", a)]), (20, &[("e", a), ("p", b)])], 20, false), ["p"]);
    assert_eq!(changed(&[(10, &[("e", a), ("p", a)]), (20, &[("e", a), ("p", a)])], 20, false), [""; 0]);
    // One that falls has changed, too, and one that comes back as it was has not.
    assert_eq!(changed(&[(10, &[("p", b)]), (20, &[("p", a)])], 20, false), ["p"]);
    assert_eq!(changed(&[(10, &[("p", b)]), (20, &[]), (30, &[("p", b)])], 20, false), [""; 0]);
}

#[test]
fn a_rejected_endpoint_without_an_address_can_be_saved() {
    let mut counters = NodeCounters::default();
    observe(&mut counters, 10, r#"{"no address":{},"b":1,"a":{"EndpointIP":1},"a":{"EndpointIP":1}}"#);
    assert_eq!(saved(&counters), [3, 1, 10, 2, 1, b'a', 1, b'b', 0, 0, 0]);
    assert_eq!(NodeCounters::load(&saved(&counters)), Ok(counters));
}

#[test]
fn bytes_of_another_format_are_rejected() {
    let truncated = |field| Err(CountersError::Truncated { field });
    let inconsistent = |problem| Err(CountersError::Inconsistent { problem });
    let table: [(&str, &[u8], Result<NodeCounters, CountersError>); 13] = [
        ("nothing", &[], truncated("version")),
        ("no version", &[0, 0], Err(CountersError::Version { found: 0 })),
        ("a later version", &[4, 0], Err(CountersError::Version { found: 4 })),
        ("neither known nor new", &[1, 2], inconsistent("`known` is neither 0 nor 1")),
        ("more than was saved", &[1, 0, 0], inconsistent("bytes after the end")),
        ("truncated in a number", &[1, 1, 0x80], truncated("time")),
        (
            "a number of 65 bits",
            &[&[1, 1][..], &[0xFF; 9], &[2]].concat(),
            inconsistent("a number is not minimal or exceeds 64 bits"),
        ),
        (
            "a number of needless bytes",
            &[1, 1, 0x81, 0, 0, 0],
            inconsistent("a number is not minimal or exceeds 64 bits"),
        ),
        ("a text longer than all", &[1, 1, 5, 1, 9, b'u'], truncated("address")),
        ("an empty address", &[1, 1, 5, 1, 0, 0], inconsistent("an address is empty, too long or not visible ASCII")),
        (
            "endpoints twice",
            &[1, 1, 5, 0, 2, 1, b'e', 0, 1, b'e', 0],
            inconsistent("addresses are not in ascending order"),
        ),
        ("endless endpoints", &[1, 1, 5, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 1, b'e', 0], truncated("length")),
        (
            "older than the world",
            &[1, 1, 5, 0, 1, 1, b'e', 1, 1, b's', 1, 1, b'p', 0, 0, 0, 0, 6],
            inconsistent("an age exceeds the time of the last scrape"),
        ),
    ];
    for (name, bytes, expected) in table {
        assert_eq!(NodeCounters::load(bytes), expected, "{name}");
    }
}

#[test]
fn forgotten_entries_and_forms_of_another_format_are_rejected() {
    assert_eq!(NodeCounters::load(&[3, 1, 5, 0, 2, 7]), Err(CountersError::Truncated { field: "hash" }));
    let problem = "more forgotten entries than are kept";
    assert_eq!(NodeCounters::load(&[3, 1, 5, 0, 0x81, 0x20]), Err(CountersError::Inconsistent { problem }));
    // The kind of the last track is 512 times the form.
    let of_form = |version: u8, form: u8| {
        let head = [&[version, 1, 5, 0][..], if version == 2 { &[] } else { &[0, 0] }].concat();
        let entry = [1, 1, b'e', 1, 1, b's', 1, 1, b'p', 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x80, 4 * form, 0];
        NodeCounters::load(&[&head[..], &entry].concat()).map(drop)
    };
    let problem = "a protocol, a form or a port is too large";
    let refused = Err(CountersError::Inconsistent { problem });
    assert_eq!(
        [of_form(3, 1), of_form(3, 2), of_form(3, 3), of_form(2, 1)],
        [Ok(()), Ok(()), refused.clone(), refused.clone()]
    );
    // Above the forms is the mark of a jump.
    assert_eq!(
        [of_form(3, 4), of_form(3, 6), of_form(3, 7), of_form(3, 8), of_form(2, 4)],
        [Ok(()), Ok(()), refused.clone(), refused.clone(), refused]
    );
}

#[test]
fn an_entry_takes_about_a_hundred_bytes() {
    let entries: Vec<_> = (0..100).map(|index| entry(&format!("10.1.1.{index}"), [1_000_000; 4])).collect();
    let body = format!(r#"{{"e":{{"SvcStats":{{"s":{{"ProvStats":{{{}}}}}}}}}}}"#, entries.join(","));
    let mut counters = NodeCounters::default();
    observe(&mut counters, 10, &body);
    observe(&mut counters, 20, &body);
    assert!(counters.heap_bytes() < 110 * 100, "{}", counters.heap_bytes());
    assert!(saved(&counters).len() < 34 * 100, "{}", saved(&counters).len());
}

/// The model of one entry of the switch.
#[derive(Debug, Clone, Default)]
struct Flow {
    /// The counters of the switch.
    counters: Counts,
    /// The traffic since the entry was last shown, or since the reset after that.
    unseen: Counts,
    /// The counters and the time of the last scrape that had the entry.
    shown: Option<(Counts, u64)>,
    /// Whether it was shown and then forgotten.
    is_forgotten: bool,
    is_installed: bool,
}

/// An event between scrapes, with the index of its flow, or a scrape.
#[derive(Debug, Clone)]
enum Step {
    Install(usize),
    Reload,
    Remove(usize),
    Reset(usize),
    Scrape { minutes: u64, reject_endpoint: Option<usize> },
    Traffic(usize, Counts),
}

const FLOWS: usize = 8;

/// Two endpoints, two services, two entries.
fn addresses(flow: usize) -> [&'static str; 3] {
    [["e1", "e2"][flow / 4], ["s1", "s2"][flow / 2 % 2], ["e1", "p1"][flow % 2]]
}

fn step() -> impl Strategy<Value = Step> {
    let count = || prop_oneof![3 => 0..3u64, 1 => 0..1_000_000u64];
    prop_oneof![
        2 => (0..FLOWS).prop_map(Step::Install),
        1 => Just(Step::Reload),
        1 => (0..FLOWS).prop_map(Step::Remove),
        1 => (0..FLOWS).prop_map(Step::Reset),
        4 => (prop_oneof![4 => 0..2u64, 1 => 0..90u64], prop::option::weighted(0.2, 0..2usize))
            .prop_map(|(minutes, reject_endpoint)| Step::Scrape { minutes, reject_endpoint }),
        8 => (0..FLOWS, [count(), count(), count(), count()]).prop_map(|(flow, counts)| Step::Traffic(flow, counts)),
    ]
}

fn add(sum: &mut Counts, counts: Counts) {
    sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
}

/// The model of the switch, with the increases that are expected for each entry.
#[derive(Debug, Default)]
struct World {
    flows: [Flow; FLOWS],
    is_known: bool,
    /// Endpoints that were rejected in the first scrape and not read since.
    unread: [bool; 2],
    at: u64,
    /// New entries that did not count, as they were implausible.
    implausible: u64,
    expected: BTreeMap<[String; 3], Counts>,
}

impl World {
    fn body(&self, reject_endpoint: Option<usize>) -> String {
        let mut endpoints = Vec::new();
        for (endpoint, flows) in self.flows.chunks(4).enumerate() {
            let mut services = Vec::new();
            for (service, flows) in flows.chunks(2).enumerate() {
                let shown = flows.iter().enumerate().filter(|(_, flow)| flow.is_installed);
                let entries: Vec<_> = shown
                    .map(|(entry_, flow)| entry(addresses(endpoint * 4 + service * 2 + entry_)[2], flow.counters))
                    .collect();
                services.push(format!(r#""s{}":{{"ProvStats":{{{}}}}}"#, service + 1, entries.join(",")));
            }
            let bad = if reject_endpoint == Some(endpoint) { r#","EndpointIP":7"# } else { "" };
            endpoints.push(format!(r#""e{}":{{"SvcStats":{{{}}}{bad}}}"#, endpoint + 1, services.join(",")));
        }
        format!("{{{}}}", endpoints.join(","))
    }

    /// Applies the scrape at `self.at` to the expected increases.
    fn show(&mut self, reject_endpoint: Option<usize>) {
        for index in 0..FLOWS {
            let endpoint = index / 4;
            let is_rejected = reject_endpoint == Some(endpoint);
            let flow = &mut self.flows[index];
            let forgotten = |(_, at): (Counts, u64)| self.at - at >= FORGET_AFTER;
            if !is_rejected && !flow.is_installed && flow.shown.is_some_and(forgotten) {
                (flow.shown, flow.is_forgotten) = (None, true);
            }
            if is_rejected || !flow.is_installed {
                continue;
            }
            let visible = match flow.shown {
                Some((shown, _)) if flow.counters.iter().zip(shown).all(|(now, then)| *now >= then) => {
                    // A reset would not be visible.
                    std::array::from_fn(|of| flow.counters[of] - shown[of])
                }
                Some(_) => flow.unseen,
                None if self.is_known && !self.unread[endpoint] && !flow.is_forgotten => flow.counters,
                None => [0; 4],
            };
            flow.is_forgotten = false;
            add(self.expected.entry(addresses(index).map(str::to_owned)).or_default(), visible);
            flow.shown = Some((flow.counters, self.at));
            flow.unseen = [0; 4];
        }
        for endpoint in 0..2 {
            let is_rejected = reject_endpoint == Some(endpoint);
            self.unread[endpoint] = is_rejected && (self.unread[endpoint] || !self.is_known);
        }
        self.is_known = true;
    }
}

/// Runs the schedule; with `reload`, [`Step::Reload`] saves and loads the state.
fn run(steps: &[Step], reload: bool) -> (World, Vec<(u64, Seen)>, NodeCounters) {
    let (mut world, mut counters, mut seen) =
        (World { at: 1, ..World::default() }, NodeCounters::default(), Vec::new());
    for step in steps {
        match step {
            Step::Install(flow) => world.flows[*flow].is_installed = true,
            Step::Remove(flow) => world.flows[*flow].is_installed = false,
            Step::Reset(flow) => (world.flows[*flow].counters, world.flows[*flow].unseen) = ([0; 4], [0; 4]),
            Step::Traffic(flow, counts) => {
                add(&mut world.flows[*flow].counters, *counts);
                add(&mut world.flows[*flow].unseen, *counts);
            }
            Step::Reload if reload => counters = NodeCounters::load(&saved(&counters)).unwrap(),
            Step::Reload => {}
            Step::Scrape { minutes, reject_endpoint } => {
                world.at += minutes * 60_000_000 + 1;
                world.show(*reject_endpoint);
                let body = world.body(*reject_endpoint);
                let (increases, uncounted) = observe_all(&mut counters, world.at, &body);
                world.implausible += uncounted.counts()[2].1;
                seen.extend(increases.into_iter().map(|seen| (world.at, seen)));
            }
        }
    }
    (world, seen, counters)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn property_the_sum_is_at_most_the_visible_traffic_and_all_of_it_if_plausible(
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let (world, seen, _) = run(&steps, true);
        let mut sums: BTreeMap<(String, String), Counts> = BTreeMap::new();
        for (_, (endpoint, service, _, counts)) in seen {
            prop_assert_ne!(counts, [0; 4]);
            add(sums.entry((endpoint, service)).or_default(), counts);
        }
        let mut expected: BTreeMap<(String, String), Counts> = BTreeMap::new();
        for ([endpoint, service, _], counts) in world.expected {
            if counts != [0; 4] {
                add(expected.entry((endpoint, service)).or_default(), counts);
            }
        }
        if world.implausible > 0 || steps.iter().any(|step| matches!(step, Step::Reset(_))) {
            // Of a reset or a new entry that is not plausible something is lost, and nothing is counted twice.
            for (pair, sum) in sums {
                let most = expected.get(&pair).copied().unwrap_or_default();
                prop_assert!(sum.iter().sum::<u64>() <= most.iter().sum(), "{sum:?} of {most:?}");
            }
        } else {
            prop_assert_eq!(sums, expected);
        }
    }

    #[test]
    fn property_resets_at_the_usual_rate_lose_only_what_was_not_seen(
        rounds in prop::collection::vec((50..100u64, prop::option::weighted(0.2, 0..100u64)), 1..60),
    ) {
        // The first rise shows the rate.
        let (mut readings, mut expected) = (vec![1_000, 1_060], 60);
        for (traffic, reset) in rounds {
            let before = readings[readings.len() - 1];
            let now = reset.unwrap_or(before + traffic);
            expected += if now >= before { now - before } else { now };
            readings.push(now);
        }
        prop_assert_eq!(added(&readings).iter().sum::<u64>(), expected);
    }

    #[test]
    fn property_two_counters_under_one_entry_add_what_each_of_them_rose(
        rounds in prop::collection::vec((any::<bool>(), 0..100u64), 1..60),
        base in 10_000..5_000_000u64,
    ) {
        let (mut values, mut seen) = ([base + 1_000_000, base], [true, false]);
        let (mut readings, mut expected) = (vec![values[0]], 0);
        for (which, traffic) in rounds {
            let which = usize::from(which);
            values[which] += traffic;
            // The first reading of a counter has no age.
            expected += if seen[which] { traffic } else { 0 };
            seen[which] = true;
            readings.push(values[which]);
        }
        prop_assert_eq!(added(&readings).iter().sum::<u64>(), expected);
    }

    #[test]
    fn property_saving_and_loading_anywhere_changes_nothing(steps in prop::collection::vec(step(), 0..80)) {
        let (_, with, last_with) = run(&steps, true);
        let (_, without, last_without) = run(&steps, false);
        prop_assert_eq!(with, without);
        prop_assert_eq!(saved(&last_with), saved(&last_without));
        prop_assert_eq!(last_with, last_without);
    }

    #[test]
    fn property_traffic_that_is_never_lost_from_sight_is_counted_whole(
        rounds in prop::collection::vec(prop::collection::vec((0..FLOWS, any::<[u16; 4]>()), 0..8), 1..20),
    ) {
        let mut traffic = [[0; 4]; FLOWS];
        let mut steps: Vec<_> = (0..FLOWS).map(Step::Install).collect();
        steps.push(Step::Scrape { minutes: 0, reject_endpoint: None });
        for (flow, counts) in rounds.iter().flatten() {
            add(&mut traffic[*flow], counts.map(u64::from));
        }
        for round in &rounds {
            steps.extend(round.iter().map(|(flow, counts)| Step::Traffic(*flow, counts.map(u64::from))));
            steps.push(Step::Scrape { minutes: 1, reject_endpoint: None });
        }
        let (_, seen, _) = run(&steps, false);
        let mut sum = [0; 4];
        seen.iter().for_each(|(_, (.., counts))| add(&mut sum, *counts));
        let mut whole = [0; 4];
        traffic.iter().for_each(|counts| add(&mut whole, *counts));
        prop_assert_eq!(sum, whole);
    }

    #[test]
    fn property_arbitrary_bytes_are_loaded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = NodeCounters::load(&bytes);
        let known = [&[3, 1][..], &bytes].concat();
        if let Ok(counters) = NodeCounters::load(&known) {
            prop_assert_eq!(saved(&counters), known);
        }
    }

    #[test]
    fn property_a_damaged_state_is_loaded_or_refused(
        steps in prop::collection::vec(step(), 20..60),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut: prop::sample::Index,
        is_cut: bool,
    ) {
        let (_, _, counters) = run(&steps, false);
        let mut bytes = saved(&counters);
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
            prop_assert!(NodeCounters::load(&bytes).is_err());
        } else {
            for (index, byte) in damage {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(counters) = NodeCounters::load(&bytes) {
                // An older version is saved in the new form.
                prop_assert!(bytes[0] < 3 || saved(&counters) == bytes);
            }
        }
    }
}
