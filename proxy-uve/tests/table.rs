//! Tables at their edges: liveness of objects, jumps and bounds of time, limits, and the outcomes of bad records.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

use std::sync::Arc;
use std::time::Duration;

use derived_stats::Number;
use proxy_uve::schema::Schema;
use proxy_uve::stream::StreamName;
use proxy_uve::{DecodedRecord, Fate, Plan, Position, Record, Table, TableSettings};

const MINUTE: u64 = 60_000_000;
const HOUR: u64 = 60 * MINUTE;
const YEAR: u64 = 365 * 24 * HOUR;

/// A table of the types that `text` defines, the built-in ones for an empty text.
fn table_of(text: &str, settings: TableSettings) -> Table {
    let schema = if text.is_empty() { Schema::builtin() } else { Schema::parse("test.sandesh", text).unwrap() };
    let types: Vec<_> = schema.types().cloned().collect();
    Table::new(Arc::new(Plan::new(StreamName::new("S", "a").unwrap(), &types)), settings)
}

/// A type with the sum of each period.
fn sums(name: &str, settings: &str) -> String {
    type_of(name, "u64", settings, &[("u64", "1-raw:DSSum")])
}

/// Attributes are called `r5`, `r6`, ….
fn type_of(name: &str, raw: &str, settings: &str, attributes: &[(&str, &str)]) -> String {
    let head = "1: string name (key=\"\") 2: string proxy 3: optional bool deleted";
    let attributes =
        attributes.iter().zip(5..).map(|((ty, stats), n)| format!("{n}: optional {ty} r{n} (stats=\"{stats}\")\n"));
    let (raw, metric) = raw.split_once(' ').unwrap_or((raw, ""));
    let attributes: String = attributes.collect();
    format!("struct {name} {{ {head} 4: optional {raw} raw (hidden=\"yes\" {metric})\n{attributes} }} {settings}\n")
}

fn in_order() -> TableSettings {
    TableSettings::default().with_allowed_lateness(Duration::ZERO)
}

struct Feed {
    table: Table,
    position: u64,
}

impl Feed {
    fn new(table: Table) -> Self {
        Self { table, position: 0 }
    }

    fn sample(&mut self, key: &str, at: u64, value: u64) -> Fate {
        let payload = format!("{{\"ts\":{at},\"value\":{value}}}");
        self.record(key.as_bytes(), at, payload.as_bytes())
    }

    fn record(&mut self, key: &[u8], arrived: u64, payload: &[u8]) -> Fate {
        self.position += 1;
        self.table.ingest(&Record { position: Position::new(self.position), arrived, key, payload })
    }

    /// Advances, and gives what came: `minute key type json`, without the proxy.
    fn until(&mut self, time: u64) -> Vec<String> {
        self.table.advance(time);
        self.taken()
    }

    fn taken(&mut self) -> Vec<String> {
        let rows = self.table.drain().map(|row| {
            let (key, json) = (String::from_utf8_lossy(row.key), String::from_utf8_lossy(row.json));
            let json = json.replace(",\"proxy\":\"S-a\"", "");
            format!("{} {key} {} {json}", row.end / MINUTE, row.uve_name.trim_end_matches("-S-a"))
        });
        let rows = rows.collect();
        self.table.clear_results();
        rows
    }
}

#[test]
fn an_object_is_deleted_created_anew_and_deleted_again() {
    let mut feed = Feed::new(table_of(&sums("T", "(period=\"60\", timeout=\"2\")"), in_order()));
    feed.sample("k:1", 10 * MINUTE, 7);
    feed.sample("k:1", 12 * MINUTE, 8);
    let expected = ["11 k:1 T {\"deleted\":false,\"r5\":{\"value\":7}}"];
    assert_eq!(feed.taken(), expected, "one silent period is not enough");
    feed.sample("k:1", 15 * MINUTE, 9);
    let expected = ["13 k:1 T {\"deleted\":false,\"r5\":{\"value\":8}}", "15 k:1 T {\"deleted\":true}"];
    assert_eq!(feed.taken(), expected);
    let expected = ["16 k:1 T {\"deleted\":false,\"r5\":{\"value\":9}}", "18 k:1 T {\"deleted\":true}"];
    assert_eq!(feed.until(30 * MINUTE), expected);
    assert_eq!(feed.table.objects(), 0);
}

#[test]
fn a_detector_and_a_counter_start_anew_after_a_deletion() {
    let detector = ("derived_stats_results.AnomalyResult", "1.DSSum-raw:DSAnomaly:EWM:0.5");
    let text =
        type_of("T", "u64 ,metric=\"agg\"", "(period=\"60\", timeout=\"1\")", &[detector, ("u64", "1-raw:DSSum")]);
    let mut feed = Feed::new(table_of(&text, in_order()));
    for minute in 1..5 {
        feed.sample("k:1", minute * MINUTE, 100 * minute);
    }
    let rows = feed.until(6 * MINUTE);
    assert!(rows[2].contains("\"samples\":3") && rows[2].contains("{\"value\":100}"), "{rows:?}");
    assert_eq!(rows[3..], ["6 k:1 T {\"deleted\":true}"]);
    // Its first reading is a baseline again: nobody knows when it grew.
    feed.sample("k:1", 7 * MINUTE, 450);
    feed.sample("k:1", 8 * MINUTE, 500);
    assert_eq!(feed.until(9 * MINUTE), ["9 k:1 T {\"deleted\":false,\"r6\":{\"value\":50}}"]);
}

#[test]
fn a_counter_that_comes_back_before_its_deletion_closes_goes_on() {
    let text = type_of("T", "u64 ,metric=\"agg\"", "(period=\"60\", timeout=\"1\")", &[("u64", "1-raw:DSSum")]);
    let mut feed = Feed::new(table_of(&text, in_order().with_allowed_lateness(Duration::from_secs(300))));
    for (minute, reading) in [(1, 1000), (3, 1500), (4, 1600)] {
        feed.sample("k:1", minute * MINUTE, reading);
    }
    let sums = |value| format!("{{\"deleted\":false,\"r5\":{{\"value\":{value}}}}}");
    let rows = feed.until(5 * MINUTE);
    let expected = [(3, "{\"deleted\":true}".to_owned()), (4, sums(500)), (5, sums(100))];
    assert_eq!(rows, expected.map(|(minute, json)| format!("{minute} k:1 T {json}")));
}

#[test]
fn a_slot_is_used_again_without_a_trace_of_who_had_it() {
    let attributes = [
        ("derived_stats_results.AnomalyResult", "1.DSSum-raw:DSAnomaly:EWM:0.5"),
        ("u64", "3-raw:DSSum"),
        ("u64", "0-raw:DSSum"),
    ];
    let text = type_of("T", "u64 ,metric=\"agg\"", "(period=\"60\", timeout=\"1\")", &attributes);
    let used = &mut Feed::new(table_of(&text, in_order()));
    let fresh = &mut Feed::new(table_of(&text, in_order()));
    for minute in 3..5 {
        used.sample("old:1", minute * MINUTE, 1000 * minute);
    }
    used.until(6 * MINUTE);
    assert_eq!(used.table.objects(), 0, "in the middle of a window of three periods");
    // The same slot, in the same long window.
    let mut rows = [used, fresh].map(|feed| {
        feed.table.advance(5 * MINUTE);
        for (at, value) in [(6 * MINUTE, 50), (7 * MINUTE, 60), (8 * MINUTE, 90)] {
            feed.sample("new:1", at, value);
        }
        feed.until(9 * MINUTE)
    });
    rows.iter_mut().flatten().for_each(|row| *row = row.replace("\"partial\":true,", ""));
    assert_eq!(rows[0], rows[1]);
    assert!(rows[0].last().is_some_and(|row| row.contains("\"r6\":{\"value\":40}")), "{rows:?}");
}

#[test]
fn a_year_without_samples_passes_at_once() {
    // 31 million periods, 10,000 objects: one by one they would take hours.
    for (settings, deletions) in [
        ("(period=\"1\")", 0),
        ("(period=\"1\", timeout=\"100\")", 10_000),
        ("(period=\"1\", timeout=\"4000000000\", silence=\"skip\")", 0),
        ("(period=\"1\", timeout=\"1000000\")", 10_000),
    ] {
        let attributes = [("u64", "1-raw:DSSum"), ("u64", "86400-raw:DSSum")];
        let mut feed = Feed::new(table_of(&type_of("T", "u64", settings, &attributes), in_order()));
        for n in 0..10_000 {
            feed.sample(&format!("k:{n}"), HOUR, 1);
        }
        feed.until(HOUR + MINUTE);
        assert_eq!(feed.sample("k:new", HOUR + YEAR, 2), Fate::Aggregated);
        let deleted = feed.taken().iter().filter(|row| row.contains("\"deleted\":true")).count();
        assert_eq!(deleted, deletions, "{settings}");
    }
}

#[test]
fn silence_as_zero_is_limited_to_a_week_of_minutes_and_deletes_on_time() {
    let detector = ("derived_stats_results.AnomalyResult", "1.DSSum-raw:DSAnomaly:EWM:0.5");
    let text = |timeout: &str| type_of("T", "u64", &format!("(period=\"60\", silence=\"zero\"{timeout})"), &[detector]);
    let mut feed = Feed::new(table_of(&text(""), in_order()));
    feed.sample("k:1", HOUR, 1);
    assert_eq!(feed.until(HOUR + YEAR).len(), 10_081, "a week of minutes, and the first one");
    for timeout in [3, 9000, 20_000] {
        let mut feed = Feed::new(table_of(&text(&format!(", timeout=\"{timeout}\"")), in_order()));
        feed.sample("k:1", HOUR, 1);
        let rows = feed.until(HOUR + YEAR);
        let end = HOUR / MINUTE + 1 + timeout;
        assert_eq!(rows.last(), Some(&format!("{end} k:1 T {{\"deleted\":true}}")));
        assert_eq!(
            rows.len() as u64,
            timeout.min(10_081),
            "each silent period, at most a week of them after the first"
        );
    }
}

#[test]
fn time_begins_at_zero() {
    let mut feed = Feed::new(table_of(&sums("T", "(period=\"60\", timeout=\"1\")"), in_order()));
    assert_eq!(feed.sample("k:1", 0, 5), Fate::Aggregated);
    assert_eq!(feed.until(MINUTE), ["1 k:1 T {\"deleted\":false,\"r5\":{\"value\":5}}"]);
}

#[test]
fn time_ends_without_overflow() {
    let text = type_of(
        "T",
        "u64",
        "(period=\"60\")",
        &[("u64", "1-raw:DSSum"), ("u64", "7-raw:DSSum"), ("u64", "0-raw:DSSum")],
    );
    for lateness in [Duration::ZERO, Duration::from_micros(1), Duration::from_secs(30), Duration::MAX] {
        let settings = TableSettings::default().with_allowed_lateness(lateness).with_allowed_skew(Duration::MAX);
        let mut feed = Feed::new(table_of(&text, settings));
        feed.sample("k:1", 3 * MINUTE, 1);
        for at in [u64::MAX - HOUR, u64::MAX - MINUTE, u64::MAX - 1, u64::MAX, u64::MAX] {
            feed.sample("k:1", at, 1);
            feed.sample("k:2", at, 1);
        }
        assert_eq!(feed.table.fates().total(), 11);
        feed.table.advance(u64::MAX);
        let snapshot = feed.table.snapshot();
        assert!(!snapshot.meta.is_empty());
        assert_eq!(feed.sample("k:1", u64::MAX, 1), Fate::Future, "no clock goes so far");
    }
}

#[test]
fn the_latest_time_has_a_result_and_what_is_later_is_in_the_future() {
    const LATEST: u64 = i64::MAX as u64;
    let record = |position: u64, at: u64| {
        let (position, value) = (Position::new(position), Number::U64(1));
        DecodedRecord { position, arrived: u64::MAX, key: b"k:1", at, value, source: "" }
    };
    let records: Vec<_> =
        (1..).zip([1, LATEST, LATEST + 1, u64::MAX - 5, u64::MAX]).map(|(n, at)| record(n, at)).collect();
    let fates = |one_by_one: bool, advanced: u64| {
        let mut table = table_of(&sums("T", "(period=\"60\")"), TableSettings::default());
        table.ingest_decoded(&records[0]);
        table.advance(advanced);
        match one_by_one {
            true => records[1..].iter().for_each(|record| _ = table.ingest_decoded(record)),
            false => _ = table.ingest_batch(&records[1..]),
        }
        table.advance(u64::MAX);
        (*table.fates(), table.drain().filter(|row| row.end > LATEST).count())
    };
    for (advanced, results) in [(1, 1), (u64::MAX, 0)] {
        let (fates, rows) = (fates(true, advanced), fates(false, advanced));
        assert_eq!(fates, rows, "one by one and in a batch");
        assert_eq!((fates.0.future, fates.0.aggregated + fates.0.late, fates.1), (3, 2, results));
    }
}

/// What comes out of the same samples when windows close at once, and when each record closes 64 objects.
fn at_once_and_in_parts(text: &str, feed: impl Fn(&mut Feed) -> Vec<String>) -> [Vec<String>; 2] {
    [usize::MAX, 0].map(|close_per_record| {
        let mut table = Feed::new(table_of(text, in_order().with_close_per_record(close_per_record)));
        let mut rows = feed(&mut table);
        rows.append(&mut table.until(HOUR));
        rows.sort();
        rows
    })
}

#[test]
fn counters_and_inline_results_do_not_depend_on_how_fast_a_window_closes() {
    let counter = type_of("T", "u64 metric=\"agg\"", "(period=\"60\", timeout=\"1\")", &[("u64", "1-raw:DSSum")]);
    let inline = type_of("T", "u64", "(period=\"60\", timeout=\"1\")", &[("u64", "0-raw:DSSum")]);
    for text in [counter, inline] {
        let [at_once, in_parts] = at_once_and_in_parts(&text, |feed| {
            feed.sample("k:a", 0, 100);
            feed.sample("k:b", 3 * MINUTE, 1);
            feed.sample("k:a", 3 * MINUTE + 1, 150);
            feed.taken()
        });
        assert!(!at_once.is_empty());
        assert_eq!(in_parts, at_once, "{text}");
    }
}

#[test]
fn an_object_that_is_removed_and_a_gap_do_not_change_a_window_that_is_closing() {
    let many = |feed: &mut Feed| {
        for object in 0..200 {
            feed.sample(&format!("k:{object}"), 1, 1);
        }
        feed.sample("k:0", MINUTE + 1, 1);
    };
    let text = sums("T", "(period=\"60\", timeout=\"3\")");
    let [at_once, in_parts] = at_once_and_in_parts(&text, |feed| {
        many(feed);
        assert!(feed.table.remove(b"k:199"));
        feed.taken()
    });
    assert_eq!(in_parts, at_once);
    let [at_once, in_parts] = at_once_and_in_parts(&text, |feed| {
        many(feed);
        feed.table.mark_gap(2 * MINUTE);
        feed.taken()
    });
    assert_eq!(in_parts, at_once);
    assert!(at_once.iter().any(|row| row.contains("partial")), "of the window that was open");
}

#[test]
fn a_window_longer_than_the_lateness_stays_open_to_its_end() {
    let settings = TableSettings::default().with_allowed_lateness(Duration::from_secs(60));
    let mut feed = Feed::new(table_of(&sums("T", "(period=\"3600\")"), settings));
    feed.sample("k:1", 2 * HOUR, 1);
    feed.sample("k:1", 3 * HOUR - 1, 2);
    assert_eq!(feed.sample("k:1", 2 * HOUR + 1, 4), Fate::Aggregated, "an hour late, in the open window");
    assert_eq!(feed.sample("k:1", 2 * HOUR - 1, 8), Fate::Late);
    assert_eq!(feed.until(3 * HOUR).len(), 1);
    assert_eq!(feed.sample("k:1", 2 * HOUR + 1, 16), Fate::Late);
}

#[test]
fn a_sample_can_be_late_for_one_period_and_not_for_another() {
    let text = sums("Long", "(period=\"600\")") + &sums("Short", "(period=\"60\")");
    let mut feed = Feed::new(table_of(&text, in_order()));
    feed.sample("k:1", 20 * MINUTE, 1);
    feed.sample("k:1", 25 * MINUTE, 2);
    assert_eq!(feed.sample("k:1", 21 * MINUTE, 4), Fate::Aggregated);
    assert_eq!(feed.sample("k:2", 21 * MINUTE, 8), Fate::Aggregated);
    let sum = |value| format!("{{\"deleted\":false,\"r5\":{{\"value\":{value}}}}}");
    let expected = [
        format!("21 k:1 Short {}", sum(1)),
        format!("26 k:1 Short {}", sum(2)),
        format!("30 k:1 Long {}", sum(7)),
        format!("30 k:2 Long {}", sum(8)),
    ];
    assert_eq!(feed.until(30 * MINUTE), expected);
}

#[test]
fn windows_that_were_not_read_from_their_start_are_partial() {
    let text = type_of("T", "u64", "(period=\"60\")", &[("u64", "1-raw:DSSum"), ("u64", "3-raw:DSSum")]);
    let mut feed = Feed::new(table_of(&text, TableSettings::default().with_allowed_lateness(Duration::from_secs(600))));
    feed.sample("k:1", 12 * MINUTE + 1, 1);
    feed.sample("k:1", 11 * MINUTE, 1);
    let partial =
        |rows: Vec<String>| -> Vec<bool> { rows.iter().map(|row| row.contains("\"partial\":true")).collect() };
    for minute in 13..18 {
        feed.sample("k:1", minute * MINUTE, 1);
    }
    // Ends 12, 13, and 15 with the window of three periods from 12 on.
    assert_eq!(partial(feed.until(18 * MINUTE)), [true, true, false, true, false, false, false]);
    feed.table.mark_gap(20 * MINUTE + 1);
    for minute in 18..23 {
        feed.sample("k:1", minute * MINUTE, 1);
    }
    assert_eq!(partial(feed.until(21 * MINUTE)), [true, true, true]);
    feed.table.mark_gap(3);
    assert_eq!(partial(feed.until(23 * MINUTE)), [false, false], "a gap of long ago changes nothing");
}

#[test]
fn a_million_keys_against_a_limit_stay_within_it() {
    let settings = TableSettings::default().with_max_objects(10_000);
    let mut table = table_of("", settings);
    let used = allocation_counter::measure(|| {
        for position in 0..1_000_000 {
            let key = format!("ObjectVNTable:default-domain:tenant:vn-{position:08}");
            let (at, key) = (HOUR, key.as_bytes());
            let position = Position::new(position);
            table.ingest_batch(&[DecodedRecord { position, arrived: at, key, at, value: Number::U64(1), source: "" }]);
        }
    });
    let used = used.bytes_current;
    assert_eq!((table.fates().aggregated, table.fates().over_limit), (10_000, 990_000));
    assert!(used < 4_000_000, "10,000 objects take {used} bytes");
    table.advance(HOUR + 3 * MINUTE);
    assert_eq!(table.objects(), 0);
    assert_eq!(table.pending_results().0, 30_000, "a sum for each object, and the end of both its proxy UVEs");
}

#[test]
fn every_record_has_its_outcome() {
    let mut feed = Feed::new(table_of("", TableSettings::default()));
    let at = |timestamp: u64, value: &str| format!("<a timestamp=\"{timestamp}\">{value}</a>");
    let long_key = "k:".to_owned() + &"x".repeat(1023);
    let cases: Vec<(&[u8], String, Fate)> = vec![
        (b"k:1", at(HOUR, "1"), Fate::Aggregated),
        (b"k:1", at(HOUR + 10_000_000, "1"), Fate::Aggregated),
        (b"k:1", at(HOUR + 10_000_001, "1"), Fate::Future),
        (b"k:1", at(u64::MAX, "1"), Fate::Future),
        (b"k:1", at(HOUR - MINUTE, "1"), Fate::Aggregated),
        (b"k:1", at(HOUR - MINUTE - 1, "1"), Fate::Late),
        (b"", at(HOUR, "1"), Fate::MalformedKey),
        (b":1", at(HOUR, "1"), Fate::MalformedKey),
        (b"k", at(HOUR, "1"), Fate::MalformedKey),
        (b"k:\xff", at(HOUR, "1"), Fate::MalformedKey),
        (long_key.as_bytes(), at(HOUR, "1"), Fate::MalformedKey),
        (b"k:1", String::new(), Fate::MalformedPayload),
        (b"k:1", "<a>1</a>".to_owned(), Fate::MalformedPayload),
        (b"k:1", "{\"ts\":1}".to_owned(), Fate::MalformedPayload),
        (b"k:1", at(HOUR, &" ".repeat(70_000)), Fate::MalformedPayload),
        (b"k:1", at(HOUR, "-1"), Fate::MalformedValue),
        (b"k:1", at(HOUR, "1.5"), Fate::MalformedValue),
        (b"k:1", at(HOUR, "-0"), Fate::Aggregated),
    ];
    for (key, payload, fate) in &cases {
        assert_eq!(feed.record(key, HOUR, payload.as_bytes()), *fate, "{payload:.80}");
        let is_malformed = matches!(fate, Fate::MalformedKey | Fate::MalformedPayload | Fate::MalformedValue);
        let fault = feed.table.fault(key, payload.as_bytes());
        assert_eq!(fault.is_some(), is_malformed, "{:?} {payload:.80}: {fault:?}", key.escape_ascii().to_string());
    }
    let fates = *feed.table.fates();
    assert_eq!(fates.total(), cases.len() as u64);
    let (position, payload) = (Position::new(18), at(HOUR, "1"));
    let again = feed.table.ingest(&Record { position, arrived: HOUR, key: b"k:1", payload: payload.as_bytes() });
    assert_eq!((again, feed.table.fates().duplicate), (Fate::Duplicate, 1));
}

#[test]
fn limits_of_keys_and_payloads_are_settings() {
    let settings = TableSettings::default().with_max_key_bytes(4000).with_max_payload_bytes(200_000);
    let mut feed = Feed::new(table_of("", settings));
    let blank = " ".repeat(100_000);
    let payload = format!("{{\"ts\":{HOUR},{blank}\"value\":1}}");
    let key = |length: usize| format!("k:{}", "x".repeat(length - 2));
    assert_eq!(feed.record(key(4000).as_bytes(), HOUR, payload.as_bytes()), Fate::Aggregated);
    assert_eq!(feed.record(key(4001).as_bytes(), HOUR, payload.as_bytes()), Fate::MalformedKey);
}

#[test]
fn a_refused_value_opens_nothing() {
    // Of two periods the short one, which takes every integer, is over; the long one takes none below 0.
    let text = type_of("Short", "i64", "(period=\"1\")", &[("i64", "1-raw:DSSum")]) + &sums("Long", "(period=\"60\")");
    let mut feed = Feed::new(table_of(&text, in_order()));
    let used = allocation_counter::measure(|| {
        for n in 0..100_000u64 {
            feed.table.advance(HOUR + (n + 1) * MINUTE - 1_000_000);
            let (key, at) = (format!("k:{n}"), HOUR + n * MINUTE);
            let (position, key) = (Position::new(n + 10), key.as_bytes());
            feed.table.ingest_batch(&[DecodedRecord {
                position,
                arrived: at,
                key,
                at,
                value: Number::I64(-1),
                source: "",
            }]);
        }
        feed.table.clear_results();
    });
    assert_eq!((feed.table.fates().refused, feed.table.objects()), (100_000, 0));
    assert!(used.bytes_current < 10_000, "refused records hold {} bytes", used.bytes_current);
}

#[test]
fn a_double_that_is_an_integer_fits_as_that_integer() {
    let plan = |raw| {
        let schema =
            Schema::parse("test.sandesh", &type_of("A", raw, "(period=\"60\")", &[(raw, "1-raw:DSSum")])).unwrap();
        let types: Vec<_> = schema.types().cloned().collect();
        Plan::new(StreamName::new("S", "a").unwrap(), &types)
    };
    let (unsigned, signed, double) = (plan("u64"), plan("i64"), plan("double"));
    for (value, of_unsigned, of_signed) in [
        (36.0, Some(Number::U64(36)), Some(Number::U64(36))),
        (-0.0, Some(Number::U64(0)), Some(Number::U64(0))),
        (-5.0, None, Some(Number::I64(-5))),
        (36.9, None, None),
        (9_007_199_254_740_992.0, None, None),
        (f64::INFINITY, None, None),
        (f64::NAN, None, None),
    ] {
        let value = Number::F64(value);
        assert_eq!((unsigned.fit(value), signed.fit(value)), (of_unsigned, of_signed), "{value}");
    }
    assert_eq!(double.fit(Number::F64(36.0)), Some(Number::F64(36.0)), "nothing is gained by another type");
    assert_eq!(signed.fit(Number::U64(u64::MAX)), None);
    assert_eq!(unsigned.fit(Number::U64(u64::MAX)), Some(Number::U64(u64::MAX)));
}
