//! Retention of absent entries, with shorter times than the real ones. The other rules are in the integration tests.

use super::new_entries::MAX_FORGOTTEN;
use super::{NodeCounters, Retention};
use crate::limits::Limits;
use crate::{decode, decode::is_address};

/// A body of one endpoint and service with these entries, by their bytes received.
fn body(entries: &[(&str, u64)]) -> String {
    let entries: Vec<_> = entries.iter().map(|(ip, bytes)| format!(r#""{ip}":{{"BytesIn":{bytes}}}"#)).collect();
    format!(r#"{{"e":{{"SvcStats":{{"s":{{"ProvStats":{{{}}}}}}}}}}}"#, entries.join(","))
}

/// The increases of a scrape by provider.
fn observe(counters: &mut NodeCounters, retention: Retention, at: u64, entries: &[(&str, u64)]) -> Vec<(String, u64)> {
    let stats = decode(body(entries).as_bytes(), &Limits::default()).expect("a good body");
    let mut seen = Vec::new();
    counters.observe_within(retention, at, &stats, |increase| {
        assert!(is_address(increase.provider_ip));
        seen.push((increase.provider_ip.to_owned(), increase.bytes_in));
    });
    seen
}

fn of(provider: &str, bytes: u64) -> Vec<(String, u64)> {
    if bytes == 0 { Vec::new() } else { vec![(provider.to_owned(), bytes)] }
}

#[test]
fn an_absent_entry_is_kept_for_less_than_the_time_and_then_a_baseline() {
    let retention = Retention { forget_after: 100, max_absent: 10 };
    let table = [("just kept", 109, 5), ("just dropped", 110, 0)];
    for (name, absent_at, expected) in table {
        let mut counters = NodeCounters::default();
        observe(&mut counters, retention, 10, &[("p", 20), ("q", 0)]);
        assert_eq!(observe(&mut counters, retention, absent_at, &[("q", 0)]), []);
        assert_eq!(observe(&mut counters, retention, 500, &[("p", 25), ("q", 0)]), of("p", expected), "{name}");
        assert_eq!(observe(&mut counters, retention, 501, &[("p", 26), ("q", 0)]), of("p", 1), "{name}");
    }
}

#[test]
fn an_entry_of_the_last_scrape_continues_however_long_ago_that_was() {
    let retention = Retention { forget_after: 100, max_absent: 10 };
    let mut counters = NodeCounters::default();
    observe(&mut counters, retention, 10, &[("p", 20)]);
    assert_eq!(observe(&mut counters, retention, 100_000, &[("p", 25)]), of("p", 5));
}

#[test]
fn of_too_many_absent_entries_the_oldest_are_dropped_and_of_one_age_the_first() {
    let retention = Retention { forget_after: 1000, max_absent: 2 };
    let mut counters = NodeCounters::default();
    let all: [(&str, u64); 4] = [("a", 1), ("b", 2), ("c", 3), ("d", 4)];
    observe(&mut counters, retention, 10, &all);
    // `b` is absent last. Of `a`, `c` and `d` one is too many, and `a` is the first.
    observe(&mut counters, retention, 20, &all[1..2]);
    assert_eq!(counters.entry_count(), 3);
    observe(&mut counters, retention, 30, &[]);
    assert_eq!(counters.entry_count(), 2);
    // `a` and `c` were dropped: they are baselines.
    assert_eq!(observe(&mut counters, retention, 40, &[("a", 2), ("b", 3), ("c", 4), ("d", 4)]), of("b", 1));
}

#[test]
fn present_entries_are_not_counted_as_absent() {
    let retention = Retention { forget_after: 1000, max_absent: 0 };
    let mut counters = NodeCounters::default();
    observe(&mut counters, retention, 10, &[("a", 1), ("b", 2)]);
    assert_eq!(observe(&mut counters, retention, 20, &[("a", 3), ("b", 2)]), of("a", 2));
    assert_eq!(counters.entry_count(), 2);
}

/// More entries than are remembered once they are dropped, each with the same bytes received.
fn many(bytes: u64) -> Vec<(String, u64)> {
    (0..MAX_FORGOTTEN + 904).map(|number| (format!("p{number:05}"), bytes)).collect()
}

fn borrowed(entries: &[(String, u64)]) -> Vec<(&str, u64)> {
    entries.iter().map(|(ip, bytes)| (&**ip, *bytes)).collect()
}

#[test]
fn of_too_many_forgotten_entries_the_oldest_are_new() {
    let retention = Retention { forget_after: 100, max_absent: 1_000_000 };
    let rest = &many(1)[..MAX_FORGOTTEN];
    // The rate is one byte in ten microseconds, so that two are plausible.
    for (back, expected) in [(2, 2), (3, 0)] {
        let mut counters = NodeCounters::default();
        for bytes in 1..=3 {
            observe(&mut counters, retention, 10 * bytes, &[("a", bytes)]);
        }
        observe(&mut counters, retention, 140, &borrowed(rest));
        observe(&mut counters, retention, 300, &[]);
        let all = [&[("a", back)][..], &borrowed(rest)].concat();
        assert_eq!(observe(&mut counters, retention, 310, &all), of("a", expected));
        assert_eq!((counters.forgotten.len(), counters.entry_count()), (0, MAX_FORGOTTEN + 1));
    }
}

#[test]
fn old_counters_add_nothing_when_more_entries_come_back_than_are_remembered() {
    let retention = Retention { forget_after: 4_000_000_000, max_absent: 1_000_000 };
    // In each second an entry receives so much.
    for rate in [0, 10] {
        let mut counters = NodeCounters::default();
        for second in 1..=3 {
            observe(&mut counters, retention, 1_000_000 * second, &borrowed(&many(1_000_000 + rate * second)));
        }
        observe(&mut counters, retention, 3_000_000 + retention.forget_after, &[]);
        assert_eq!((counters.forgotten.len(), counters.entry_count()), (MAX_FORGOTTEN, 0));
        let back = many(1_000_000 + rate * 4_000);
        assert_eq!(
            observe(&mut counters, retention, 4_000_000 + retention.forget_after, &borrowed(&back)),
            [],
            "{rate}"
        );
    }
}

#[test]
fn the_highest_rate_outlives_its_entry() {
    let retention = Retention { forget_after: 100_000_000, max_absent: 1_000_000 };
    let mut counters = NodeCounters::default();
    for second in 1..=3 {
        observe(&mut counters, retention, 1_000_000 * second, &[("busy", 1_000 * second), ("idle", second)]);
    }
    for second in [4, 103, 104] {
        observe(&mut counters, retention, 1_000_000 * second, &[("idle", second)]);
    }
    assert_eq!(counters.entry_count(), 1);
    let mut saved = Vec::new();
    counters.save(&mut saved);
    for (total, expected) in [(2_000, 2_000), (2_001, 0)] {
        let mut counters = NodeCounters::load(&saved).expect("a saved state");
        let all = [("idle", 104), ("new", total)];
        assert_eq!(observe(&mut counters, retention, 105_000_000, &all), of("new", expected));
    }
}
