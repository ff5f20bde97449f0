//! Snapshots across changes of configuration, and snapshots that are damaged. That restarts change nothing is a
//! property of random records: see `table_properties`.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

use std::collections::BTreeMap;
use std::sync::Arc;

use proxy_uve::schema::Schema;
use proxy_uve::stream::StreamName;
use proxy_uve::{CHUNK_SLOTS, Plan, Position, Record, RestoreReport, SnapshotError, Table, TableSettings};

const MINUTE: u64 = 60_000_000;

fn plan(types: &[(&str, &str, &str)]) -> Arc<Plan> {
    let definition = |&(name, attributes, settings): &(&str, &str, &str)| {
        format!(
            "struct {name} {{ 1: string name (key=\"\") 2: string proxy 3: optional bool deleted
            4: optional u64 raw (hidden=\"yes\")
            {attributes} }} ({settings})\n"
        )
    };
    let schema = Schema::parse("test.sandesh", &types.iter().map(definition).collect::<String>()).unwrap();
    let types: Vec<_> = types.iter().map(|(name, ..)| Arc::clone(schema.get(name).unwrap())).collect();
    Arc::new(Plan::new(StreamName::new("S", "a").unwrap(), &types))
}

const SUM: &str = "5: optional u64 sum (stats=\"1-raw:DSSum\")";
const SCORED: &str = "6: optional derived_stats_results.AnomalyResult scored (stats=\"1.DSSum-raw:DSAnomaly:EWM:0.5\")";

/// All kinds of section in one table.
fn rich() -> Vec<(&'static str, &'static str, &'static str)> {
    vec![
        ("All", ALL, "period=\"60\", timeout=\"3\""),
        ("Sum", SUM, "period=\"60\", timeout=\"1\""),
        ("Scored", SCORED, "period=\"120\""),
    ]
}

const ALL: &str = "5: optional u64 sum (stats=\"2-raw:DSSum\")
    6: optional derived_stats_results.AnomalyResult scored (stats=\"1.DSAvg-raw:DSAnomaly:EWM:0.5\")
    7: optional u64 now (stats=\"0-raw:DSSum\")
    8: optional u64 window (stats=\"1-raw:DSSum:10\")";

fn feed(table: &mut Table, minutes: std::ops::Range<u64>, keys: &[&str]) {
    for minute in minutes {
        for key in keys {
            let position = table.position().map_or(0, |position| position.get() + 1);
            let at = minute * MINUTE + position % 7;
            let payload = format!("{{\"ts\":{at},\"value\":{}}}", minute * 10);
            let (key, payload) = (key.as_bytes(), payload.as_bytes());
            table.ingest(&Record { position: Position::new(position), arrived: at, key, payload });
        }
    }
}

fn taken(table: &mut Table) -> Vec<String> {
    let row = |row: proxy_uve::ResultRow<'_>| {
        let (key, json) = (String::from_utf8_lossy(row.key), String::from_utf8_lossy(row.json));
        format!("{} {key} {} {json}", row.end / MINUTE, row.uve_name)
    };
    let rows = table.drain().map(row).collect();
    table.clear_results();
    rows
}

type Chunks = BTreeMap<u32, Vec<u8>>;

fn save(table: &mut Table) -> (Vec<u8>, Chunks) {
    let snapshot = table.snapshot();
    (snapshot.meta, snapshot.chunks.into_iter().filter_map(|(chunk, bytes)| Some((chunk, bytes?))).collect())
}

fn load(plan: &Arc<Plan>, saved: &(Vec<u8>, Chunks)) -> Result<Table, SnapshotError> {
    load_reported(plan, saved).map(|(table, _)| table)
}

fn load_reported(
    plan: &Arc<Plan>,
    (meta, chunks): &(Vec<u8>, Chunks),
) -> Result<(Table, RestoreReport), SnapshotError> {
    let chunks = chunks.iter().map(|(chunk, bytes)| (*chunk, bytes.as_slice()));
    Table::restore(Arc::clone(plan), TableSettings::default(), meta, chunks)
}

/// The part with the right checksum for its content.
fn sealed(mut part: Vec<u8>) -> Vec<u8> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&part[..1]);
    hasher.update(&part[5..]);
    part[1..5].copy_from_slice(&hasher.finalize().to_le_bytes());
    part
}

/// Feeds both tables alike and gives the results of the types that both have.
fn continued(tables: [&mut Table; 2], name: &str) -> [Vec<String>; 2] {
    tables.map(|table| {
        feed(table, 30..34, &["k:1", "k:2"]);
        table.advance(50 * MINUTE);
        taken(table).into_iter().filter(|row| row.contains(&format!(" {name}-S-a "))).collect()
    })
}

/// The built-in types of these names on one stream, in this order.
fn builtin(names: &[&str]) -> Arc<Plan> {
    let types: Vec<_> = names.iter().map(|name| Arc::clone(Schema::builtin().get(name).unwrap())).collect();
    Arc::new(Plan::new(StreamName::new("S", "a").unwrap(), &types))
}

/// Samples of 20 twice a minute, at seconds 10 and 40; half minutes from the epoch.
fn feed_halves(table: &mut Table, halves: std::ops::Range<u64>) {
    for half in halves {
        let at = half * MINUTE / 2 + MINUTE / 6;
        let payload = format!("{{\"ts\":{at},\"value\":20}}");
        let (position, payload) = (Position::new(half), payload.as_bytes());
        table.ingest(&Record { position, arrived: at, key: b"k:1", payload });
    }
}

#[test]
fn a_window_column_outlives_the_type_that_opened_it() {
    const SUM: &str = "AggProxySum";
    const EWM: &str = "AggProxySumAnomalyEWM01";
    for after in [&[SUM, EWM][..], &[EWM, SUM], &[EWM], &[SUM]] {
        let mut table = Table::new(builtin(&[SUM, EWM]), TableSettings::default());
        // Stopped in the middle of minute 20: minute 19 is still open, as late samples count for 30 s.
        feed_halves(&mut table, 20..41);
        taken(&mut table);
        let mut table = load(&builtin(after), &save(&mut table)).unwrap();
        feed_halves(&mut table, 41..44);
        table.advance(22 * MINUTE);
        let rows = taken(&mut table);
        assert_eq!(rows.len(), 3 * after.len(), "{after:?}: minutes 19, 20 and 21 of each type: {rows:#?}");
        for row in &rows {
            let sum = if row.contains(EWM) { "\"metric\":40}" } else { "\"value\":{\"value\":40}" };
            assert!(row.contains(sum) && !row.contains("partial"), "{after:?}: {row}");
            assert!(!row.contains(EWM) || !row.contains("\"sigma\":-"), "{after:?}: a false anomaly: {row}");
        }
    }
}

#[test]
fn a_type_that_is_added_or_removed_leaves_the_others_as_they_were() {
    let (one, two) = (&rich()[..1], &rich()[..]);
    for (before, after) in [(one, two), (two, one)] {
        let mut undisturbed = Table::new(plan(before), TableSettings::default());
        feed(&mut undisturbed, 20..30, &["k:1", "k:2", "k:3"]);
        taken(&mut undisturbed);
        let mut changed = load(&plan(after), &save(&mut undisturbed)).unwrap();
        let [expected, rows] = continued([&mut undisturbed, &mut changed], "All");
        assert!(expected.len() > 10);
        assert_eq!(expected, rows);
    }
}

/// Minutes 20 to 29 of two objects under `before`, then what `after` gives for minutes 30 to 33 of both.
fn changed(before: &[(&str, &str, &str)], after: &[(&str, &str, &str)]) -> (Vec<String>, RestoreReport) {
    let mut table = Table::new(plan(before), TableSettings::default());
    feed(&mut table, 20..30, &["k:1", "k:2"]);
    taken(&mut table);
    let (mut table, report) = load_reported(&plan(after), &save(&mut table)).unwrap();
    feed(&mut table, 30..34, &["k:1", "k:2"]);
    table.advance(34 * MINUTE);
    (taken(&mut table), report)
}

#[test]
fn names_order_and_timeout_change_no_state() {
    let before = [("Scored", SCORED, "period=\"60\", timeout=\"1\""), ("Sum", SUM, "period=\"60\"")];
    let other = [("Total", SUM, "period=\"60\""), ("Anomalies", SCORED, "period=\"60\", timeout=\"3\"")];
    let (expected, report) = changed(&before, &before);
    assert!(report.is_unchanged(), "{report}");
    let (mut rows, report) = changed(&before, &other);
    assert_eq!(report.dropped().count() + report.started().count(), 0, "{report}");
    rows.iter_mut().for_each(|row| *row = row.replace("Total", "Sum").replace("Anomalies", "Scored"));
    let sorted = |mut rows: Vec<String>| {
        rows.sort();
        rows
    };
    assert!(expected.iter().any(|row| row.contains("\"samples\":14")), "{expected:#?}");
    assert_eq!(sorted(rows), sorted(expected));
}

#[test]
fn another_weight_or_rule_for_silence_starts_the_detector_anew_and_nothing_else() {
    let both = format!("{SUM} {SCORED}");
    let (quicker, settings) = (both.replace("0.5", "0.9"), "period=\"60\", timeout=\"3\"");
    let zero = "period=\"60\", timeout=\"3\", silence=\"zero\"";
    for (definition, settings) in [(quicker.as_str(), settings), (both.as_str(), zero)] {
        let (rows, report) = changed(&[("T", &both, "period=\"60\", timeout=\"3\"")], &[("T", definition, settings)]);
        assert_eq!((report.dropped().count(), report.started().count()), (1, 1), "{report}");
        // Minute 28 was open when the table was saved. Each minute is whole; the detector saw 28 to 33.
        let of_first: Vec<&String> = rows.iter().filter(|row| row.contains(" k:1 ")).collect();
        assert_eq!(of_first.len(), 6, "{rows:#?}");
        for (minute, row) in (28..).zip(of_first) {
            let expected = format!("\"sum\":{{\"value\":{}}}", minute * 10);
            assert!(row.contains(&expected) && !row.contains("partial"), "{row}");
            let scored = row.contains(&format!("\"samples\":{},", minute - 27));
            assert_eq!(scored, row.contains("samples"), "{row}");
            assert!(scored || minute < 33, "{row}");
        }
    }
}

#[test]
fn windows_of_a_type_that_is_new_are_partial_until_one_begins_after_the_restore() {
    let before = [("Sum", SUM, "period=\"60\"")];
    let mean = "5: optional u64 mean (stats=\"1-raw:DSAvg\")";
    let (rows, report) = changed(&before, &[before[0], ("Mean", mean, "period=\"60\"")]);
    assert_eq!(report.to_string(), "kept 3 states of 2 objects; started anew window 60s DSAvg u64");
    let partial = |name: &str| rows.iter().filter(|row| row.contains(name) && row.contains("partial")).count();
    assert_eq!((partial(" Sum-"), partial(" Mean-")), (0, 0), "what was before the restore is not part of a result");
    // The newest sample before the restore is of minute 29, so minute 29 is not whole, and minute 30 is.
    let mut table = Table::new(plan(&before), TableSettings::default());
    feed(&mut table, 20..30, &["k:1"]);
    let saved = save(&mut table);
    let after = plan(&[before[0], ("Mean", mean, "period=\"60\"")]);
    for restarts in 1..3 {
        let mut table = load(&after, &saved).unwrap();
        for _ in 1..restarts {
            table = load(&after, &save(&mut table)).unwrap();
        }
        feed(&mut table, 29..32, &["k:1"]);
        table.advance(32 * MINUTE);
        let rows: Vec<String> = taken(&mut table).into_iter().filter(|row| row.contains(" Mean-")).collect();
        let partial: Vec<bool> = rows.iter().map(|row| row.contains("\"partial\":true")).collect();
        assert_eq!(partial, [true, false, false], "{restarts} restarts: {rows:#?}");
    }
}

#[test]
fn a_window_goes_on_under_another_period_if_its_length_is_the_same() {
    let halves = [("T", "5: optional u64 sum (stats=\"2-raw:DSSum\")", "period=\"60\", timeout=\"2\"")];
    let whole = [("T", SUM, "period=\"120\", timeout=\"1\"")];
    for (before, after) in [(halves, whole), (whole, halves)] {
        let mut table = Table::new(plan(&before), TableSettings::default());
        feed(&mut table, 20..29, &["k:1", "k:2"]);
        taken(&mut table);
        let (mut table, report) = load_reported(&plan(&after), &save(&mut table)).unwrap();
        assert_eq!(report.kept().count(), 1, "{report}");
        // Minutes 28 and 29 are one window, of which the restart saw the half.
        feed(&mut table, 29..30, &["k:2"]);
        table.advance(30 * MINUTE);
        let rows = taken(&mut table);
        let sums: Vec<&String> = rows.iter().filter(|row| row.contains("30 ") && row.contains("\"sum\"")).collect();
        assert!(sums.len() == 2 && sums[0].contains(":280}") && sums[1].contains(":570}"), "{rows:#?}");
        assert!(!sums.iter().any(|row| row.contains("partial")), "{sums:#?}");
    }
}

#[test]
fn of_two_groups_that_fit_the_one_that_is_most_alike_is_continued_in_any_order() {
    let longer = [("Long", SUM, "period=\"60\", timeout=\"5\""), ("Short", SUM, "period=\"60\", timeout=\"1\"")];
    let alive = |before: &[(&str, &str, &str)], settings: &str| {
        let mut table = Table::new(plan(before), TableSettings::default());
        feed(&mut table, 20..21, &["k:1", "k:2"]);
        feed(&mut table, 21..24, &["k:2"]);
        table.advance(24 * MINUTE);
        load(&plan(&[("T", SUM, settings)]), &save(&mut table)).unwrap().objects()
    };
    // Only the group with the longer timeout has `k:1`, which is silent since minute 21.
    for before in [longer, [longer[1], longer[0]]] {
        assert_eq!(alive(&before, "period=\"60\", timeout=\"5\""), 2, "the same group");
        assert_eq!(alive(&before, "period=\"60\", timeout=\"1\""), 1, "the same group");
        assert_eq!(alive(&before, "period=\"60\", timeout=\"4\""), 2, "the group that has all objects");
    }
}

#[test]
fn objects_that_a_change_orphans_leave_nothing_to_those_who_get_their_slots() {
    let definition = format!("{SUM} {SCORED}");
    let before = [("T", definition.as_str(), "period=\"60\"")];
    let after = [("T", definition.as_str(), "period=\"90\", timeout=\"2\"")];
    let mut table = Table::new(plan(&before), TableSettings::default());
    feed(&mut table, 20..30, &["old:1", "old:2"]);
    let (mut changed, report) = load_reported(&plan(&after), &save(&mut table)).unwrap();
    assert_eq!(changed.objects(), 0, "a type with another period has none of the states");
    assert_eq!((report.kept().count(), report.dropped().count(), report.started().count()), (0, 4, 4), "{report}");
    let mut fresh = Table::new(plan(&after), TableSettings::default());
    feed(&mut fresh, 29..30, &["x:1"]);
    fresh.advance(36 * MINUTE);
    let rows = [&mut changed, &mut fresh].map(|table| {
        table.advance(40 * MINUTE);
        taken(table);
        feed(table, 42..50, &["new:1"]);
        taken(table)
    });
    assert!(rows[0].len() > 3, "{rows:#?}");
    assert_eq!(rows[0], rows[1]);
}

#[test]
fn a_type_that_comes_back_later_does_not_find_its_old_state() {
    let (both, one) = (plan(&rich()[1..]), plan(&rich()[2..]));
    let mut table = Table::new(Arc::clone(&both), TableSettings::default());
    feed(&mut table, 20..22, &["k:1"]);
    let mut saved = save(&mut table);
    // Without `Sum` for less than a window of `Scored`, so that no close writes the chunk anew.
    let mut without = load(&one, &saved).unwrap();
    let (meta, chunks) = save(&mut without);
    assert_eq!(chunks.len(), 1, "the chunk is written again without the type that went");
    saved = (meta, chunks);
    let mut back = load(&both, &saved).unwrap();
    taken(&mut back);
    back.advance(40 * MINUTE);
    let rows = taken(&mut back);
    assert!(!rows.is_empty());
    assert!(rows.iter().all(|row| !row.contains(" Sum-S-a ")), "{rows:#?}");
}

/// A small table with every kind of section but a counter's.
fn small() -> (Arc<Plan>, (Vec<u8>, Chunks)) {
    (plan(&rich()), save(&mut small_table()))
}

fn small_table() -> Table {
    let mut table = Table::new(plan(&rich()), TableSettings::default());
    feed(&mut table, 20..25, &["k:1", "k:2"]);
    taken(&mut table);
    table
}

/// An error, or a table that works.
fn is_harmless(plan: &Arc<Plan>, saved: &(Vec<u8>, Chunks)) -> bool {
    let Ok(mut table) = load(plan, saved) else { return false };
    feed(&mut table, 24..27, &["k:1", "k:3", "k:2"]);
    table.advance(40 * MINUTE);
    taken(&mut table);
    let saved = save(&mut table);
    load(plan, &saved).unwrap();
    true
}

#[test]
fn a_snapshot_cut_short_anywhere_is_an_error() {
    let (plan, (meta, chunks)) = small();
    assert!(is_harmless(&plan, &(meta.clone(), chunks.clone())));
    for len in 0..meta.len() {
        assert!(load(&plan, &(meta[..len].to_vec(), chunks.clone())).is_err(), "{len} bytes of meta");
    }
    let whole = &chunks[&0];
    for len in 0..whole.len() {
        let cut = BTreeMap::from([(0, whole[..len].to_vec())]);
        assert!(load(&plan, &(meta.clone(), cut)).is_err(), "{len} bytes of the chunk");
        if len > 5 {
            // With a checksum that is right; between two sections a chunk ends like a shorter one.
            is_harmless(&plan, &(meta.clone(), BTreeMap::from([(0, sealed(whole[..len].to_vec()))])));
        }
    }
}

#[test]
fn every_flip_of_a_bit_is_refused() {
    let (plan, (meta, chunks)) = small();
    let flipped = |part: &Vec<u8>, bit: usize| {
        let mut part = part.clone();
        part[bit / 8] ^= 1 << (bit % 8);
        part
    };
    for bit in 0..meta.len() * 8 {
        assert!(load(&plan, &(flipped(&meta, bit), chunks.clone())).is_err(), "bit {bit} of the meta part");
    }
    for bit in 0..chunks[&0].len() * 8 {
        let chunks = BTreeMap::from([(0, flipped(&chunks[&0], bit))]);
        assert!(load(&plan, &(meta.clone(), chunks)).is_err(), "bit {bit} of the chunk");
    }
}

#[test]
fn a_snapshot_that_was_written_wrong_gives_an_error_or_a_table_that_works() {
    let (plan, (meta, chunks)) = small();
    let flipped = |part: &Vec<u8>, index: usize, mask: u8| {
        let mut part = part.clone();
        part[index] ^= mask;
        sealed(part)
    };
    let mut harmless = 0;
    for (index, mask) in (5..meta.len()).flat_map(|index| [1, 2, 4, 8, 16, 32, 64, 128, 255].map(|mask| (index, mask)))
    {
        harmless += usize::from(is_harmless(&plan, &(flipped(&meta, index, mask), chunks.clone())));
    }
    for (index, mask) in (5..chunks[&0].len()).flat_map(|index| [1, 16, 128, 255].map(|mask| (index, mask))) {
        let chunks = BTreeMap::from([(0, flipped(&chunks[&0], index, mask))]);
        harmless += usize::from(is_harmless(&plan, &(meta.clone(), chunks)));
    }
    assert!(harmless > 100, "{harmless}: without the checksum many flips give another valid state");
}

#[test]
fn a_chunk_with_the_number_of_no_table_is_refused_before_it_takes_memory() {
    let (plan, (meta, chunks)) = small();
    for number in [100_000, 1_000_000, (1 << 24) - 1, u32::MAX] {
        let renamed = chunks.values().map(|bytes| (number, bytes.clone())).take(1).collect();
        let error = load(&plan, &(meta.clone(), renamed)).unwrap_err();
        assert!(error.to_string().contains("beyond"), "{number}: {error}");
    }
}

#[test]
fn what_cannot_be_in_a_snapshot_is_named() {
    let (plan, (meta, chunks)) = small();
    let with = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut chunk = chunks[&0].clone();
        edit(&mut chunk);
        let chunks = BTreeMap::from([(0, sealed(chunk))]);
        load(&plan, &(meta.clone(), chunks)).map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(
        with(&|chunk| chunk[0] = 9),
        "chunk 0 of the snapshot has format version 9, this build reads version 2: run the newer program, or discard \
         the snapshot"
    );
    assert_eq!(
        with(&|chunk| chunk[5..7].copy_from_slice(&(CHUNK_SLOTS as u16 + 1).to_le_bytes())),
        "chunk 0 of the snapshot is inconsistent: it has more slots than a chunk"
    );
    // The keys are `k:1` and `k:2`.
    assert_eq!(with(&|chunk| chunk[20] = b'1'), "chunk 0 of the snapshot is inconsistent: a key appears twice");
    let kind = 21;
    assert_eq!(
        with(&|chunk| chunk[kind] = 77),
        "chunk 0 of the snapshot is inconsistent: a section has an unknown kind"
    );
    let identity = kind + 1 + 1 + 2 + 4;
    assert_eq!(
        with(&|chunk| chunk[identity] = b'9'),
        "chunk 0 of the snapshot is inconsistent: a section is of a column that the meta part does not list"
    );
    let twice = BTreeMap::from([(0, chunks[&0].clone()), (1, chunks[&0].clone())]);
    let error = load(&plan, &(meta.clone(), twice)).map(|_| ()).unwrap_err().to_string();
    assert_eq!(error, "chunk 1 of the snapshot is inconsistent: a key appears twice");
    let far = BTreeMap::from([(u32::MAX, chunks[&0].clone())]);
    assert!(load(&plan, &(meta, far)).is_err(), "a slot has 32 bits");
}

#[test]
fn a_snapshot_of_another_format_version_or_stream_is_refused() {
    let (plan, (meta, chunks)) = small();
    // Version 1 began its meta part with the JSON itself.
    for first in [meta[5..].to_vec(), [&[1], &meta[1..]].concat()] {
        let error = load(&plan, &(first, chunks.clone())).map(|_| ()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the meta part of the snapshot has format version 1, this build reads version 2: no release wrote that \
             version, discard the snapshot"
        );
    }
    let types = [Arc::clone(Schema::builtin().get("AggProxySum").unwrap())];
    let other = Arc::new(Plan::new(StreamName::new("S", "b").unwrap(), &types));
    assert_eq!(
        load(&other, &(meta, chunks)).map(|_| ()).unwrap_err().to_string(),
        "the snapshot is of stream `S-a`, not of `S-b`: give each stream's table its own snapshots"
    );
}

/// Where the section with this identity begins in a chunk, and where its words do.
fn section(chunk: &[u8], identity: &str) -> (usize, usize) {
    let text = [&(identity.len() as u32).to_le_bytes()[..], identity.as_bytes()].concat();
    let at = chunk.windows(text.len()).position(|bytes| bytes == text).unwrap();
    let group = at + text.len();
    let length = u32::from_le_bytes(chunk[group..group + 4].try_into().unwrap()) as usize;
    (at - 4, group + 4 + length + 8 + 32 + 4)
}

const DETECTOR: &str = "60s DSAvg DSAnomaly:EWM:0.5 u64 silence=once";

#[test]
fn a_state_of_a_newer_version_is_refused_unless_its_aggregation_is_gone() {
    let (plan, (meta, mut chunks)) = small();
    let chunk = chunks.get_mut(&0).unwrap();
    let version = section(chunk, DETECTOR).0 + 2;
    assert_eq!(chunk[version], 1);
    chunk[version] = 2;
    *chunk = sealed(std::mem::take(chunk));
    let saved = (meta, chunks);
    assert_eq!(
        load(&plan, &saved).map(|_| ()).unwrap_err().to_string(),
        "the detector state `60s DSAvg DSAnomaly:EWM:0.5 u64 silence=once` in chunk 0 of the snapshot has version 2, this \
         build reads up to 1: run the newer program, or start this aggregation anew by taking the proxy types that use \
         it out of the configuration for one start"
    );
    let without = self::plan(&rich()[1..]);
    let (mut table, report) = load_reported(&without, &saved).unwrap();
    assert!(report.dropped().any(|state| state.identity == DETECTOR), "{report}");
    load(&plan, &save(&mut table)).unwrap();
}

#[test]
fn a_state_that_its_algorithm_cannot_read_starts_anew_and_the_others_go_on() {
    let (plan, (meta, chunks)) = small();
    for (identity, kind) in [(DETECTOR, "detector"), ("60s DSSum:10 u64", "window"), ("DSSum u64", "inline")] {
        let mut chunks = chunks.clone();
        let chunk = chunks.get_mut(&0).unwrap();
        let (_, words) = section(chunk, identity);
        let end = chunk.len().min(words + 64);
        chunk[words..end].fill(0xff);
        *chunk = sealed(std::mem::take(chunk));
        let (mut table, report) = load_reported(&plan, &(meta.clone(), chunks)).unwrap();
        let text = report.to_string();
        assert!(
            report.started().count() == 1 && text.contains(&format!("; started anew {kind} {identity} (2 ")),
            "{text}"
        );
        let of = |table: &mut Table| {
            feed(table, 25..27, &["k:1", "k:2"]);
            taken(table).into_iter().filter(|row| row.contains("\"sum\"") && !row.contains(" All-")).collect::<Vec<_>>()
        };
        assert_eq!(of(&mut table), of(&mut small_table()), "{identity}");
    }
}
