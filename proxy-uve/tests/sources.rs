//! Counters and last values of many sources: each reading is compared with the last one of its own source, and of levels
//! each source counts once.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proxy_uve::schema::Schema;
use proxy_uve::stream::StreamName;
use proxy_uve::wire::{MAX_SOURCE_BYTES, WireError};
use proxy_uve::{Fate, Plan, Position, Record, RecordFault, Table, TableSettings};

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Never deletes an object, so that only a source can expire.
const BYTES: &str = r#"
    struct Bytes {
        1: string name (key="")
        2: string proxy
        3: optional bool deleted
        4: optional u64 raw (hidden="yes", metric="agg")
        5: optional u64 sum (stats="1-raw:DSSum")
    } (period="60", timeout="0")
"#;

const RUNNING: &str = r#"
    struct Running {
        1: string name (key="")
        2: string proxy
        3: optional bool deleted
        4: optional u64 raw (hidden="yes", metric="agg")
        5: optional u64 sum (stats="0-raw:DSSum")
    }
"#;

/// The levels of sources, which count for three windows. Never deletes an object.
const LEVELS: &str = r#"
    struct Levels {
        1: string name (key="")
        2: string proxy
        3: optional bool deleted
        4: optional u64 raw (hidden="yes")
        5: optional u64 sum (stats="1-raw:DSSumLast:3")
    } (period="60", timeout="0")
"#;

/// As `BYTES`, for readings of a metric that is not declared as a counter.
const READINGS: &str = r#"
    struct Readings {
        1: string name (key="")
        2: string proxy
        3: optional bool deleted
        4: optional u64 raw (hidden="yes")
        5: optional u64 sum (stats="1-raw:DSIncrease")
    } (period="60", timeout="0")
"#;

/// The increase per minute, so that it is an integer here.
const RATES: &str = r#"
    struct Rates {
        1: string name (key="")
        2: string proxy
        3: optional bool deleted
        4: optional u64 raw (hidden="yes")
        5: optional double sum (stats="1-raw:DSRate")
    } (period="60", timeout="0")
"#;

/// Both ways to take samples as readings of counters.
const COUNTERS: [&str; 2] = [BYTES, READINGS];

fn plan(types: &str) -> Arc<Plan> {
    let schema = if types.is_empty() { Schema::builtin() } else { Schema::parse("test.sandesh", types).unwrap() };
    let types: Vec<_> = schema.types().filter(|of| types.is_empty() == (of.name() == "AggProxySum")).cloned().collect();
    Arc::new(Plan::new(StreamName::new("S", "a").unwrap(), &types))
}

fn in_order() -> TableSettings {
    TableSettings::default().with_allowed_lateness(Duration::ZERO)
}

struct Feed {
    table: Table,
    position: u64,
    /// The ends of windows in minutes, and their sums.
    sums: Vec<(u64, u64)>,
}

impl Feed {
    fn new(types: &str, settings: TableSettings) -> Self {
        Self { table: Table::new(plan(types), settings), position: 0, sums: Vec::new() }
    }

    /// A reading of object `T:a`.
    fn reading(&mut self, source: &str, at: u64, value: impl Display) -> Fate {
        self.reading_of(b"T:a", source, at, value)
    }

    fn reading_of(&mut self, key: &[u8], source: &str, at: u64, value: impl Display) -> Fate {
        let payload = format!(r#"{{"ts":{at},"value":{value},"source":"{source}"}}"#);
        self.position += 1;
        let position = Position::new(self.position);
        let record = Record { position, arrived: at, key, payload: payload.as_bytes() };
        let mut fate = Fate::Aggregated;
        self.table.ingest_payloads_with([record], |_, not_aggregated| fate = not_aggregated);
        fate
    }

    /// The sums since the last call, up to a time.
    fn sums(&mut self, until: u64) -> Vec<(u64, u64)> {
        self.table.advance(until);
        self.drain();
        std::mem::take(&mut self.sums)
    }

    fn drain(&mut self) {
        let rows = self.table.drain().map(|row| {
            let json: serde_json::Value = serde_json::from_slice(row.json).unwrap();
            let sum = if json["sum"].is_object() { &json["sum"]["value"] } else { &json["sum"] };
            (row.end / MINUTE, sum.as_f64().unwrap() as u64)
        });
        self.sums.extend(rows);
        self.table.clear_results();
    }

    /// Goes on in a table that is restored from this one's snapshot.
    fn restart(&mut self, types: &str) {
        self.drain();
        let snapshot = self.table.snapshot();
        let chunks = snapshot.chunks.iter().filter_map(|(chunk, bytes)| Some((*chunk, bytes.as_deref()?)));
        let settings = *self.table.settings();
        let (table, report) = Table::restore(plan(types), settings, &snapshot.meta, chunks).unwrap();
        assert!(report.is_unchanged(), "{report}");
        self.table = table;
    }
}

#[test]
fn a_late_start_of_a_counter_is_its_baseline_if_it_is_newer_than_the_last_reading() {
    for (types, is_restarted) in [(BYTES, false), (BYTES, true), (READINGS, false), (READINGS, true)] {
        let mut feed = Feed::new(types, in_order().with_late_starts(true));
        assert_eq!(feed.reading("a", 10 * MINUTE + 5 * SECOND, 10), Fate::Aggregated);
        // The process begins anew at 10 s, and is read first in the next minute but one.
        feed.reading("b", 12 * MINUTE + 30 * SECOND, 7);
        assert_eq!(feed.reading("a", 10 * MINUTE + 10 * SECOND, 0), Fate::Aggregated);
        if is_restarted {
            feed.restart(types);
        }
        feed.reading("a", 12 * MINUTE + 40 * SECOND, 50);
        // The same start once more, an older one, and that of another process.
        assert_eq!(feed.reading("a", 10 * MINUTE + 10 * SECOND, 0), Fate::Aggregated);
        assert_eq!(feed.reading_of(b"T:b", "a", 10 * MINUTE, 0), Fate::Aggregated);
        feed.reading("a", 12 * MINUTE + 50 * SECOND, 52);
        assert_eq!(feed.sums(20 * MINUTE), [(13, 52)], "{types}");
        assert_eq!(feed.reading("a", 13 * MINUTE, 1), Fate::Late, "no start");
    }
}

#[test]
fn a_late_start_is_late_where_it_is_older_than_the_time_of_sources_or_nothing_is_set() {
    let mut feed = Feed::new(BYTES, in_order().with_late_starts(true));
    feed.reading("a", 10 * HOUR, 10);
    assert_eq!(feed.reading_of(b"T:b", "a", 8 * HOUR, 0), Fate::Late);
    assert_eq!(feed.reading_of(b"T:b", "a", 10 * HOUR - 30 * MINUTE, 0), Fate::Aggregated);
    feed.reading_of(b"T:b", "a", 10 * HOUR + SECOND, 5);
    assert_eq!(feed.sums(11 * HOUR), [(601, 5)]);
    let mut feed = Feed::new(LEVELS, in_order().with_late_starts(true));
    feed.reading("a", 10 * HOUR, 10);
    assert_eq!(feed.reading("b", 10 * HOUR - MINUTE, 0), Fate::Late, "no counters");
    let mut feed = Feed::new(BYTES, in_order());
    feed.reading("a", 10 * HOUR, 10);
    assert_eq!(feed.reading("b", 10 * HOUR - MINUTE, 0), Fate::Late);
}

#[test]
fn two_vrouters_with_counters_of_their_own_add_up_to_their_increases() {
    for types in COUNTERS {
        let mut feed = Feed::new(types, in_order());
        for sample in 0..8 {
            let at = MINUTE + sample * 30 * SECOND;
            feed.reading("compute-1", at, 1000 + 10 * sample);
            feed.reading("compute-2", at, 50 + 10 * sample);
            if sample % 3 == 0 {
                feed.restart(types);
            }
        }
        assert_eq!(feed.sums(HOUR), [(2, 20), (3, 40), (4, 40), (5, 40)]);
    }
}

#[test]
fn samples_without_a_source_are_of_one_unnamed_source() {
    for types in COUNTERS {
        let mut feed = Feed::new(types, in_order());
        for (source, value) in [("", 1000), ("a", 5), ("", 1030), ("a", 6)] {
            feed.reading(source, MINUTE, value);
        }
        assert_eq!(feed.sums(HOUR), [(2, 31)]);
    }
}

#[test]
fn the_first_reading_keeps_the_object_alive_and_adds_nothing() {
    for types in COUNTERS {
        let mut feed = Feed::new(types, in_order());
        assert_eq!(feed.reading("a", MINUTE, 1000), Fate::Aggregated);
        assert_eq!((feed.table.objects(), feed.sums(2 * MINUTE)), (1, vec![]));
        feed.reading("a", 2 * MINUTE, 1001);
        assert_eq!(feed.sums(HOUR), [(3, 1)]);
    }
}

#[test]
fn a_lower_reading_is_that_of_a_counter_that_was_reset() {
    for types in COUNTERS {
        let mut feed = Feed::new(types, in_order());
        for (second, value) in [(0, 1000), (1, 1005), (2, 3), (3, 4)] {
            feed.reading("a", MINUTE + second * SECOND, value);
        }
        assert_eq!(feed.sums(HOUR), [(2, 5 + 3 + 1)]);
    }
}

#[test]
fn a_reading_older_than_the_last_of_its_source_is_no_reset() {
    for types in COUNTERS {
        let mut feed = Feed::new(types, TableSettings::default());
        for (source, second, value) in [("a", 0, 1000), ("a", 20, 1050), ("a", 10, 1020), ("b", 5, 7), ("a", 21, 1060)]
        {
            assert_eq!(feed.reading(source, MINUTE + second * SECOND, value), Fate::Aggregated);
        }
        assert_eq!(feed.sums(HOUR), [(2, 60)]);
    }
}

#[test]
fn a_source_that_was_silent_for_longer_than_its_timeout_has_a_first_reading_again() {
    for types in COUNTERS {
        let settings = in_order().with_source_timeout(Duration::from_secs(600));
        let mut feed = Feed::new(types, settings);
        for (minute, value) in [(1, 1000), (11, 1100), (22, 9000), (23, 9001)] {
            feed.reading("a", minute * MINUTE, value);
            feed.reading("b", minute * MINUTE, 0);
        }
        // Just in time, too late, in time. `b` has the same silences.
        let sums: Vec<_> = feed.sums(HOUR).into_iter().filter(|(_, sum)| *sum > 0).collect();
        assert_eq!(sums, [(12, 100), (24, 1)]);
    }
}

#[test]
fn unknown_time_is_no_silence_of_a_source() {
    for types in COUNTERS {
        for restarts in [false, true] {
            let mut feed = Feed::new(types, in_order().with_source_timeout(Duration::from_secs(600)));
            feed.reading("a", MINUTE, 1000);
            feed.reading("b", MINUTE, 100);
            feed.table.mark_unknown(2 * MINUTE, 3 * HOUR - 1);
            // The windows after the outage close, and the source is still quiet.
            for minute in 0..8 {
                feed.reading("b", 3 * HOUR + minute * MINUTE, 100 + minute);
                if restarts {
                    feed.restart(types);
                }
            }
            feed.reading("a", 3 * HOUR + 8 * MINUTE, 1007);
            feed.reading("b", 3 * HOUR + 8 * MINUTE, 107);
            let sums = feed.sums(4 * HOUR);
            assert_eq!(sums.last(), Some(&(189, 7)), "{sums:?}");
            // Ten minutes of known time after the last sample.
            feed.reading("a", 4 * HOUR, 9000);
            assert_eq!(feed.sums(5 * HOUR), [], "a first reading");
        }
    }
}

#[test]
fn a_source_beyond_the_limit_is_refused_and_the_others_go_on() {
    for types in COUNTERS {
        let settings = in_order().with_max_sources(2).with_source_timeout(Duration::from_secs(600));
        let mut feed = Feed::new(types, settings);
        let fates = ["a", "b", "c", "a"].map(|source| feed.reading(source, MINUTE, 10));
        assert_eq!(fates, [Fate::Aggregated, Fate::Aggregated, Fate::OverLimit, Fate::Aggregated]);
        feed.reading("a", 2 * MINUTE, 17);
        assert_eq!(feed.sums(3 * MINUTE), [(2, 0), (3, 7)]);
        // Both have expired and make room.
        let fates = ["c", "d", "e"].map(|source| feed.reading(source, 14 * MINUTE, 10));
        assert_eq!(fates, [Fate::Aggregated, Fate::Aggregated, Fate::OverLimit]);
        assert_eq!(feed.table.fates().over_limit, 2);
    }
}

#[test]
fn an_object_whose_only_reading_is_refused_is_not_there() {
    let mut feed = Feed::new(BYTES, in_order());
    let long = "x".repeat(MAX_SOURCE_BYTES + 1);
    assert_eq!(feed.reading(&long[1..], MINUTE, 1), Fate::Aggregated);
    assert!(feed.table.remove(b"T:a"));
    assert_eq!((feed.reading(&long, MINUTE, 1), feed.table.objects()), (Fate::MalformedPayload, 0));
    let payload = format!(r#"{{"ts":1,"value":1,"source":"{long}"}}"#);
    let expected = RecordFault::Payload(WireError::SourceTooLong { length: MAX_SOURCE_BYTES + 1 });
    assert_eq!(feed.table.fault(b"T:a", payload.as_bytes()), Some(expected));
}

#[test]
fn a_name_with_escapes_is_the_same_source_in_batches_too() {
    let mut feed = Feed::new(BYTES, in_order());
    let names = ["compute-é", r"compute-\u00e9", "compute-é", r"compute\u002d\u00e9"];
    let payload =
        |(at, name): (u64, &str)| format!(r#"{{"ts":{},"value":{},"source":"{name}"}}"#, MINUTE + at, at * at);
    let payloads: Vec<String> = (0..).zip(names.into_iter().cycle().take(200)).map(payload).collect();
    let records = (1..).zip(&payloads).map(|(position, payload)| Record {
        position: Position::new(position),
        arrived: HOUR,
        key: b"T:a",
        payload: payload.as_bytes(),
    });
    assert_eq!(feed.table.ingest_payloads(records).aggregated, 200);
    assert_eq!(feed.sums(HOUR), [(2, 199 * 199)]);
}

#[test]
fn inline_results_have_the_increases_of_each_source() {
    let mut feed = Feed::new(RUNNING, in_order());
    for (source, second, value) in [("a", 0, 1000), ("b", 1, 50), ("a", 2, 1010), ("b", 3, 55)] {
        feed.reading(source, MINUTE + second * SECOND, value);
        feed.restart(RUNNING);
    }
    let running: Vec<u64> = feed.sums(MINUTE).into_iter().map(|(_, sum)| sum).collect();
    assert_eq!(running.last(), Some(&15), "{running:?}");
}

#[test]
fn the_rate_of_an_object_is_the_sum_of_the_increases_of_its_sources_per_second_of_the_period() {
    for (every, restarts) in [(1, false), (1, true), (5, false)] {
        let types = RATES.replace("1-raw", &format!("{every}-raw"));
        let mut feed = Feed::new(&types, in_order());
        // Three counters grow by 2, 3 and 5 a second, each read once a minute at a time of its own, and one is reset.
        for minute in 0..=20 {
            for (source, second, per_second) in [("a", 10, 2), ("b", 25, 3), ("c", 55, 5)] {
                let since_reset = if minute > 12 && source == "b" { minute - 12 } else { minute };
                feed.reading(source, (10 + minute) * MINUTE + second * SECOND, per_second * 60 * since_reset);
            }
            if restarts {
                feed.restart(&types);
            }
        }
        let rates = feed.sums(HOUR);
        let inner: Vec<u64> = rates.iter().filter(|(end, _)| (16..=30).contains(end)).map(|(_, rate)| *rate).collect();
        assert!(inner.iter().all(|rate| *rate == 10) && inner.len() as u64 == 15 / every, "{rates:?}");
    }
}

#[test]
fn sources_whose_clocks_lag_are_in_the_rate_of_a_range() {
    let types = RATES.replace("DSRate", "DSRate:30");
    let mut feed = Feed::new(&types, in_order());
    // Read at the same moments every 10 s; the clock of the second lags by 5 s, 20 buckets of the range.
    for n in 0..60 {
        let at = 10 * MINUTE + n * 10 * SECOND;
        assert_eq!(feed.reading("a", at + 6 * SECOND, 20 * n), Fate::Aggregated);
        assert_eq!(feed.reading("b", at + SECOND, 30 * n), Fate::Aggregated, "reading {n}");
    }
    let rates = feed.sums(20 * MINUTE);
    assert!(rates.iter().any(|(end, _)| *end == 15), "{rates:?}");
    assert!(rates.iter().filter(|(end, _)| *end > 11).all(|(_, rate)| *rate == 5), "{rates:?}");
}

#[test]
fn inline_increases_are_those_of_each_source() {
    let types = RUNNING.replace(", metric=\"agg\"", "").replace("DSSum", "DSIncrease");
    let mut feed = Feed::new(&types, in_order());
    for (source, second, value) in [("a", 0, 1000), ("b", 1, 50), ("a", 2, 1010), ("b", 3, 55)] {
        feed.reading(source, MINUTE + second * SECOND, value);
        feed.restart(&types);
    }
    let running: Vec<u64> = feed.sums(MINUTE).into_iter().map(|(_, sum)| sum).collect();
    assert_eq!(running, [10, 15]);
}

#[test]
fn a_sum_of_values_does_not_need_the_source() {
    let settings = in_order().with_max_sources(1);
    let mut feed = Feed::new("", settings);
    for source in ["a", "b", "c"] {
        assert_eq!(feed.reading(source, MINUTE, 5), Fate::Aggregated);
    }
    feed.table.advance(2 * MINUTE);
    assert!(feed.table.drain().next().unwrap().json.ends_with(br#""value":{"value":15}}"#));
}

#[test]
fn counters_of_doubles_go_on_over_a_restart_whatever_the_form_of_their_numbers() {
    let types = BYTES.replace("u64", "double");
    let mut feed = Feed::new(&types, in_order());
    for (second, value) in ["1000", "1010.5", "-5", "-4", "0", "1e3"].into_iter().enumerate() {
        feed.reading("a", MINUTE + second as u64 * SECOND, value);
        feed.restart(&types);
    }
    // 10.5, a reset to -5, 1, 4, 1000.
    assert_eq!(feed.sums(HOUR), [(2, 1010)]);
}

#[test]
fn a_lower_reading_of_the_same_time_is_no_reset() {
    for types in COUNTERS {
        let mut feed = Feed::new(types, in_order());
        for value in [1000, 1010, 1004, 1010, 1011] {
            feed.reading("a", MINUTE, value);
        }
        assert_eq!(feed.sums(HOUR), [(2, 11)]);
    }
}

#[test]
fn a_source_that_reports_twice_counts_once_with_its_newest_sample() {
    let mut feed = Feed::new(LEVELS, TableSettings::default());
    for (source, second, value) in [("a", 0, 10), ("a", 30, 20), ("b", 20, 5), ("a", 15, 90), ("b", 20, 4)] {
        assert_eq!(feed.reading(source, MINUTE + second * SECOND, value), Fate::Aggregated);
    }
    // The next window has begun, while the first one is open for late samples.
    feed.reading("a", 2 * MINUTE + 5 * SECOND, 70);
    feed.reading("b", 2 * MINUTE - SECOND, 6);
    let open = feed.table.object(b"T:a").unwrap().types[0].attributes[0].open.clone();
    let open: Vec<_> = open.iter().map(|window| (window.start / MINUTE, window.value.unwrap().as_f64())).collect();
    assert_eq!(open, [(1, 26.0), (2, 76.0)]);
    assert_eq!(feed.sums(3 * MINUTE), [(2, 26), (3, 76)]);
}

#[test]
fn a_silent_source_counts_for_three_windows_and_is_dropped() {
    for restarts in [false, true] {
        let mut feed = Feed::new(LEVELS, in_order());
        feed.reading("a", MINUTE, 10);
        for minute in 1..7 {
            feed.reading("", minute * MINUTE + SECOND, 1);
            if restarts {
                feed.restart(LEVELS);
            }
        }
        let sums = [(2, 11), (3, 11), (4, 11), (5, 1), (6, 1), (7, 1), (8, 1), (9, 1)];
        assert_eq!(feed.sums(20 * MINUTE), sums);
        // Nothing is left of them after a long time.
        feed.reading("b", 24 * HOUR, 3);
        assert_eq!(feed.sums(24 * HOUR + 2 * MINUTE), [(1441, 3), (1442, 3)]);
    }
}

#[test]
fn a_source_that_comes_back_counts_for_as_long_as_a_new_one() {
    let mut feed = Feed::new(LEVELS, in_order());
    for minute in 1..9 {
        feed.reading("", minute * MINUTE, 1);
        if minute == 1 || minute == 3 {
            feed.reading("a", minute * MINUTE + SECOND, 10);
        }
    }
    assert_eq!(feed.sums(9 * MINUTE), [(2, 11), (3, 11), (4, 11), (5, 11), (6, 11), (7, 1), (8, 1), (9, 1)]);
}

#[test]
fn a_value_of_a_closed_window_is_not_an_open_window() {
    let mut feed = Feed::new(LEVELS, in_order());
    feed.reading("a", MINUTE, 10);
    feed.reading("", 2 * MINUTE + SECOND, 1);
    let open = &feed.table.object(b"T:a").unwrap().types[0].attributes[0].open;
    let open: Vec<_> = open.iter().map(|window| (window.start / MINUTE, window.value.unwrap().as_f64())).collect();
    assert_eq!(open, [(2, 11.0)]);
}

#[test]
fn integers_are_levels_of_a_metric_of_doubles() {
    let mut feed = Feed::new(&LEVELS.replace("optional u64", "optional double"), in_order());
    for (source, value) in [("a", "10"), ("b", "2.5"), ("c", "-4"), ("d", "0.5")] {
        assert_eq!(feed.reading(source, MINUTE, value), Fate::Aggregated);
    }
    assert_eq!(feed.sums(2 * MINUTE), [(2, 9)]);
}

#[test]
fn a_snapshot_does_not_depend_on_which_source_came_first() {
    for types in [BYTES, READINGS, LEVELS] {
        let chunks = |order: [&str; 3]| {
            let mut feed = Feed::new(types, in_order());
            // What was there before decides which numbers the names get.
            feed.reading_of(b"T:b", order[2], MINUTE, 1);
            let fates = order.map(|source| feed.reading(source, MINUTE, 7));
            assert_eq!(fates, [Fate::Aggregated; 3]);
            assert!(feed.table.remove(b"T:b"));
            feed.table.snapshot().chunks.iter().map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>()
        };
        assert_eq!(chunks(["a", "b", "c"]), chunks(["c", "a", "b"]), "{types}");
    }
}

#[test]
fn the_inline_rate_has_the_time_from_the_earliest_reading_on() {
    let types = RUNNING.replace(", metric=\"agg\"", "").replace("optional u64 sum", "optional double sum");
    let mut feed = Feed::new(&types.replace("DSSum", "DSRate"), in_order());
    for (source, second, value) in [("a", 0, 1000), ("b", 10, 50), ("a", 20, 1200), ("b", 40, 650)] {
        feed.reading(source, MINUTE + second * SECOND, value);
    }
    let rates: Vec<u64> = feed.sums(MINUTE).into_iter().map(|(_, rate)| rate).collect();
    assert_eq!(rates, [200 / 20, (200 + 600) / 40]);
}

#[test]
fn unknown_time_ages_no_source_and_makes_no_results_of_it() {
    for restarts in [false, true] {
        let mut feed = Feed::new(LEVELS, in_order());
        feed.reading("a", MINUTE, 10);
        feed.reading("b", MINUTE, 100);
        feed.table.mark_unknown(2 * MINUTE, 3 * HOUR - 1);
        for minute in 180..184 {
            feed.reading("b", minute * MINUTE, 100 + minute);
            if restarts {
                feed.restart(LEVELS);
            }
        }
        let sums = [(2, 110), (181, 290), (182, 291), (183, 282), (184, 283), (185, 283), (186, 283)];
        assert_eq!(feed.sums(4 * HOUR), sums);
    }
}

#[test]
fn a_deleted_object_forgets_its_sources() {
    let types = LEVELS.replace("timeout=\"0\"", "timeout=\"1\"");
    let mut feed = Feed::new(&types, TableSettings::default());
    feed.reading("a", MINUTE, 10);
    feed.reading("b", 3 * MINUTE + SECOND, 5);
    // It is deleted by then, with samples in an open window.
    feed.reading("b", 3 * MINUTE + 40 * SECOND, 6);
    let rows: Vec<_> = feed.table.drain().map(|row| (row.end / MINUTE, row.deleted)).collect();
    assert_eq!(rows, [(2, false), (3, true)]);
    feed.table.clear_results();
    assert_eq!(feed.sums(4 * MINUTE), [(4, 6)]);
}

#[test]
fn sums_of_doubles_are_the_same_bits_whatever_came_first() {
    let types = LEVELS.replace("optional u64", "optional double");
    let values = [("a", "0.1"), ("b", "1e16"), ("c", "-1e16"), ("d", "0.3")];
    let sum = |order: [usize; 4], restarts: bool| {
        let mut feed = Feed::new(&types, in_order());
        for index in order {
            let (source, value) = values[index];
            feed.reading(source, MINUTE, value);
            if restarts {
                feed.restart(&types);
            }
        }
        feed.table.advance(2 * MINUTE);
        let row = feed.table.drain().next().unwrap().json.to_vec();
        String::from_utf8(row).unwrap()
    };
    let expected = sum([0, 1, 2, 3], false);
    for order in [[3, 2, 1, 0], [1, 2, 0, 3], [2, 0, 3, 1]] {
        assert_eq!((sum(order, false), sum(order, true)), (expected.clone(), expected.clone()));
    }
}

#[test]
fn a_level_of_a_source_beyond_the_limit_is_refused_until_another_is_dropped() {
    let mut feed = Feed::new(LEVELS, in_order().with_max_sources(2));
    let fates = ["a", "b", "c", "a"].map(|source| feed.reading(source, MINUTE, 10));
    assert_eq!(fates, [Fate::Aggregated, Fate::Aggregated, Fate::OverLimit, Fate::Aggregated]);
    let late: Vec<_> = (2..7).map(|minute| feed.reading("c", minute * MINUTE, 1)).collect();
    assert_eq!(late[..3], [Fate::OverLimit; 3]);
    assert_eq!(late[3..], [Fate::Aggregated; 2], "the others were silent for three windows");
    assert_eq!(feed.sums(7 * MINUTE), [(2, 20), (3, 20), (4, 20), (6, 1), (7, 1)]);
}

#[test]
fn the_sources_of_neighbouring_objects_fit_a_message_of_a_log() {
    [BYTES, READINGS, LEVELS].into_iter().for_each(sources_fit_a_message_of_a_log);
}

fn sources_fit_a_message_of_a_log(types: &str) {
    let mut feed = Feed::new(types, in_order().with_max_sources(usize::MAX));
    let name = |number: u64| format!("{number:0>1000}");
    let fates: Vec<Fate> = (0..8000).map(|number| feed.reading(&name(number), MINUTE, 1)).collect();
    let taken = fates.iter().filter(|fate| **fate == Fate::Aggregated).count();
    assert!(taken > 4500 && fates.last() == Some(&Fate::OverLimit), "{taken}");
    let snapshot = feed.table.snapshot();
    let bytes = snapshot.chunks[0].1.as_ref().unwrap().len();
    assert!(bytes > 4 << 20 && bytes < 6 << 20, "{bytes}");
    // A source that is known goes on, and each other object has room for some.
    assert_eq!(feed.reading(&name(0), MINUTE, 2), Fate::Aggregated);
    for object in 0..255 {
        for source in 0..8 {
            let fate = feed.reading_of(format!("T:{object}").as_bytes(), &name(source), MINUTE, 1);
            assert_eq!(fate, Fate::Aggregated, "{object} {source}");
        }
    }
    assert_eq!(feed.reading_of(b"T:254", "b", MINUTE, 1), Fate::OverLimit);
    assert_eq!(feed.reading_of(b"T:other-chunk", "b", MINUTE, 1), Fate::Aggregated);
    let bytes = feed.table.snapshot().chunks[0].1.as_ref().unwrap().len();
    assert!(bytes < 8 << 20, "{bytes}");
}

proptest! {
    /// Limits and expiry are those of the samples alone: it makes no difference when a snapshot was taken.
    #[test]
    fn property_restarts_change_nothing_where_sources_expire_and_are_over_the_limit(
        samples in prop::collection::vec((0..3usize, 0..5usize, 0..40u64, 0..40u64, 0..1000u64), 1..120),
        restarts in prop::collection::vec(0..120usize, 0..4),
        gap in prop::option::of((0..1500u64, 0..600u64)),
        types in prop::sample::select(vec![BYTES, READINGS, LEVELS]),
    ) {
        let settings = TableSettings::default().with_max_sources(2).with_source_timeout(Duration::from_secs(60));
        let mut feeds = [Feed::new(types, settings), Feed::new(types, settings)];
        let mut newest = HOUR;
        for (index, (object, source, on, back, value)) in samples.into_iter().enumerate() {
            newest += on * SECOND;
            let at = newest - back * SECOND;
            let fates = feeds.each_mut().map(|feed| {
                if let Some((from, length)) = gap && index == 10 {
                    feed.table.mark_unknown(HOUR + from * SECOND, HOUR + (from + length) * SECOND);
                }
                feed.reading_of([&b"T:a"[..], b"T:b", b"T:c"][object], ["", "a", "b", "c", "d"][source], at, value)
            });
            prop_assert_eq!(fates[0], fates[1], "sample {}", index);
            if restarts.contains(&index) {
                feeds[1].restart(types);
            }
        }
        let [mut one, mut other] = feeds;
        prop_assert_eq!(one.sums(newest + HOUR), other.sums(newest + HOUR));
        prop_assert_eq!(one.table.fates(), other.table.fates());
    }
}
