//! Unknown time: nobody observed the sources, so the absence of samples is not silence.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

use std::sync::Arc;
use std::time::Duration;

use derived_stats::Number;
use proxy_uve::schema::Schema;
use proxy_uve::{DecodedRecord, Plan, Position, StreamName, Table, TableSettings};

const MINUTE: u64 = 60_000_000;
const KEY: &[u8] = b"ObjectVNTable:vn1";

/// Sum and detector of each minute, deleted after two silent ones.
const TYPE: &str = r#"struct Load {
    1: string name (key="") 2: string proxy 3: optional bool deleted
    4: optional u64 raw (hidden="yes")
    5: optional u64 sum (stats="1-raw:DSSum")
    6: optional derived_stats_results.AnomalyResult score (stats="1.DSSum-raw:DSAnomaly:EWM:0.5")
    7: optional u64 three (stats="3-raw:DSSum")
    8: optional derived_stats_results.AnomalyResult threes (stats="3.DSSum-raw:DSAnomaly:EWM:0.5")
} (period="60", timeout="2", silence="SILENCE")"#;

struct Feed {
    plan: Arc<Plan>,
    table: Table,
    position: u64,
}

impl Feed {
    fn new(silence: &str) -> Self {
        let schema = Schema::parse("test.sandesh", &TYPE.replace("SILENCE", silence)).unwrap();
        let types: Vec<_> = schema.types().cloned().collect();
        let plan = Arc::new(Plan::new(StreamName::new("S", "a").unwrap(), &types));
        let settings = TableSettings::default().with_allowed_lateness(Duration::ZERO);
        Self { table: Table::new(Arc::clone(&plan), settings), plan, position: 0 }
    }

    fn sample(&mut self, at: u64, value: u64) {
        self.sample_of(KEY, at, value);
    }

    fn sample_of(&mut self, key: &[u8], at: u64, value: u64) {
        self.position += 1;
        let (position, value) = (Position::new(self.position), Number::U64(value));
        self.table.ingest_batch(&[DecodedRecord { position, arrived: at, key, at, value, source: "" }]);
    }

    /// One sample in each of these minutes.
    fn samples(&mut self, minutes: std::ops::Range<u64>) {
        minutes.for_each(|minute| self.sample(minute * MINUTE, 10 + minute % 2));
    }

    /// The results of the windows up to `minute`: the end in minutes and the JSON.
    fn until(&mut self, minute: u64) -> Vec<(u64, String)> {
        self.table.advance(minute * MINUTE);
        let rows = self.table.drain();
        let rows =
            rows.map(|row| (row.end / MINUTE, String::from_utf8_lossy(row.json).replace(",\"proxy\":\"S-a\"", "")));
        let rows = rows.collect();
        self.table.clear_results();
        rows
    }

    fn restored(self) -> Self {
        let Self { plan, mut table, position } = self;
        let snapshot = table.snapshot();
        let chunks = snapshot.chunks.iter().filter_map(|(id, chunk)| Some((*id, chunk.as_deref()?)));
        let table = Table::restore(Arc::clone(&plan), *table.settings(), &snapshot.meta, chunks).unwrap().0;
        Self { plan, table, position }
    }
}

/// The detector's score object in a row.
fn score(json: &str) -> Option<&str> {
    json.split_once("\"score\":").map(|(_, rest)| &rest[..=rest.find('}').unwrap()])
}

#[test]
fn an_object_neither_ages_nor_is_deleted_nor_fed_in_unknown_time() {
    for silence in ["once", "skip", "zero"] {
        let (mut observed, mut unknown) = (Feed::new(silence), Feed::new(silence));
        for feed in [&mut observed, &mut unknown] {
            feed.samples(0..5);
            feed.until(5);
        }
        unknown.table.mark_unknown(5 * MINUTE, 65 * MINUTE - 1);
        let outage = unknown.until(65);
        assert!(outage.iter().all(|(_, json)| score(json).is_none()), "{silence}: {outage:?}");
        assert!(outage.iter().all(|(_, json)| json.contains("\"partial\":true")), "{silence}: {outage:?}");
        // The minute after the outage continues where the one before it ended, as if no time had passed.
        unknown.sample(65 * MINUTE, 11);
        observed.sample(5 * MINUTE, 11);
        let (after, expected) = (unknown.until(66), observed.until(6));
        assert_eq!(score(&after[0].1), score(&expected[0].1), "{silence}");
        assert!(score(&after[0].1).is_some());
        // Silence counts from there on.
        let last = unknown.until(70).pop().unwrap();
        assert_eq!(last, (68, r#"{"deleted":true}"#.to_owned()), "{silence}");
    }
}

#[test]
fn a_window_of_which_a_part_is_unknown_is_partial_and_feeds_no_detector() {
    let mut feed = Feed::new("once");
    feed.samples(0..4);
    feed.until(4);
    // From the middle of the fifth minute to the first instant of the seventh.
    feed.table.mark_unknown(4 * MINUTE + 30_000_000, 6 * MINUTE);
    feed.samples(4..9);
    let rows = feed.until(9);
    let of_end = |end: u64| rows.iter().find(|row| row.0 == end).map(|row| row.1.as_str()).unwrap();
    for end in [5, 6, 7] {
        assert!(of_end(end).contains("\"partial\":true") && score(of_end(end)).is_none(), "{}", of_end(end));
        assert!(of_end(end).contains("\"sum\":{\"value\":1"), "the samples that came are shown: {}", of_end(end));
    }
    assert!(!of_end(8).contains("partial") && score(of_end(8)).is_some(), "{}", of_end(8));
    // The window of three minutes from the seventh on overlaps it too.
    assert!(of_end(9).contains("\"three\":") && of_end(9).contains("\"partial\":true"), "{}", of_end(9));
}

#[test]
fn time_that_is_not_observed_yet_is_unknown() {
    let mut feed = Feed::new("once");
    feed.samples(0..3);
    feed.table.set_observed_until(Some(3 * MINUTE));
    assert_eq!(feed.until(3).len(), 3);
    // A second source of the stream continues while the first one does not answer.
    feed.samples(3..5);
    let rows = feed.until(5);
    assert!(rows.iter().all(|(_, json)| json.contains("\"partial\":true") && score(json).is_none()), "{rows:?}");
    feed.table.set_observed_until(Some(10 * MINUTE));
    feed.samples(5..7);
    let rows = feed.until(7);
    assert!(score(&rows[0].1).is_some() && score(&rows[1].1).is_some(), "{rows:?}");
}

#[test]
fn lost_records_are_unknown_time_up_to_the_next_sample() {
    let mut feed = Feed::new("once");
    feed.samples(0..3);
    feed.table.mark_lost();
    feed.samples(30..32);
    let rows = feed.until(32);
    assert!(rows.iter().all(|(_, json)| !json.contains("\"deleted\":true")), "{rows:?}");
    let of_end = |end: u64| rows.iter().find(|row| row.0 == end).map(|row| row.1.as_str()).unwrap();
    assert!(of_end(3).contains("partial") && !of_end(31).contains("partial"), "{rows:?}");
    assert!(score(of_end(31)).is_some() && score(of_end(32)).is_some());
}

#[test]
fn unknown_time_survives_a_restore() {
    let mut feed = Feed::new("once");
    feed.samples(0..5);
    feed.until(5);
    feed.table.mark_unknown(5 * MINUTE, 65 * MINUTE - 1);
    feed.table.set_observed_until(Some(100 * MINUTE));
    let mut feed = feed.restored();
    assert_eq!(feed.table.observed_until(), Some(100 * MINUTE));
    assert!(feed.until(90).iter().any(|(end, json)| (*end, json.as_str()) == (67, r#"{"deleted":true}"#)));
    feed.table.set_observed_until(None);
    feed.samples(100..102);
    let json = &feed.until(102)[1].1;
    assert!(score(json).is_some() && !json.contains("partial"), "{json}");
}

#[test]
fn a_table_without_unknown_time_is_saved_as_before() {
    let mut feed = Feed::new("once");
    feed.samples(0..5);
    assert_eq!(feed.table.snapshot().meta[0], 2, "an older program reads it");
    feed.table.mark_unknown(5 * MINUTE, 6 * MINUTE);
    assert_eq!(feed.table.snapshot().meta[0], 3, "an older program must refuse it");
}

/// Unknown and known time in any order, skipped in large steps or closed window by window: the same results.
#[test]
fn long_unknown_time_is_skipped_with_the_same_results() {
    for silence in ["once", "skip", "zero"] {
        let run = |step: u64, gaps: &[(u64, u64)]| {
            let mut feed = Feed::new(silence);
            let mut rows = Vec::new();
            feed.samples(0..5);
            feed.sample_of(b"ObjectVNTable:vn2", 3 * MINUTE, 7);
            for (from, until) in gaps {
                feed.table.mark_unknown(from * MINUTE, until * MINUTE - 1);
            }
            let mut minute = 5;
            while minute < 2_010 {
                minute = (minute + step).min(2_010);
                rows.extend(feed.until(minute));
            }
            rows
        };
        let cases: [&[(u64, u64)]; 4] =
            [&[(6, 500), (501, 502), (503, 2_000)], &[(5, 6)], &[(5, 40)], &[(7, 8), (9, 10), (11, 31)]];
        for gaps in cases {
            let expected = run(1, gaps);
            assert!(expected.iter().any(|(_, json)| json == r#"{"deleted":true}"#), "{expected:?}");
            for step in [7, 100, 5_000] {
                assert_eq!(run(step, gaps), expected, "{silence}, {gaps:?}, {step} minutes at a time");
            }
        }
    }
}
