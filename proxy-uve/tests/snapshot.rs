//! Snapshots across changes of configuration, and snapshots that are damaged. That restarts change nothing is a
//! property of random records: see `table_properties`.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

use std::collections::BTreeMap;
use std::sync::Arc;

use proxy_uve::schema::Schema;
use proxy_uve::stream::StreamName;
use proxy_uve::{CHUNK_SLOTS, Plan, Record, SnapshotError, Table, TableSettings};

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
const JUDGED: &str = "6: optional derived_stats_results.AnomalyResult judged (stats=\"1.DSSum-raw:DSAnomaly:EWM:0.5\")";

/// All kinds of section in one table.
fn rich() -> Vec<(&'static str, &'static str, &'static str)> {
    vec![
        ("All", ALL, "period=\"60\", timeout=\"3\""),
        ("Sum", SUM, "period=\"60\", timeout=\"1\""),
        ("Judged", JUDGED, "period=\"120\""),
    ]
}

const ALL: &str = "5: optional u64 sum (stats=\"2-raw:DSSum\")
    6: optional derived_stats_results.AnomalyResult judged (stats=\"1.DSAvg-raw:DSAnomaly:EWM:0.5\")
    7: optional u64 now (stats=\"0-raw:DSSum\")
    8: optional u64 window (stats=\"1-raw:DSSum:10\")";

fn feed(table: &mut Table, minutes: std::ops::Range<u64>, keys: &[&str]) {
    for minute in minutes {
        for key in keys {
            let position = table.position().map_or(0, |position| position + 1);
            let at = minute * MINUTE + position % 7;
            let payload = format!("{{\"ts\":{at},\"value\":{}}}", minute * 10);
            let (key, payload) = (key.as_bytes(), payload.as_bytes());
            table.ingest(&Record { position, arrived: at, key, payload });
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

fn load(plan: &Arc<Plan>, (meta, chunks): &(Vec<u8>, Chunks)) -> Result<Table, SnapshotError> {
    let chunks = chunks.iter().map(|(chunk, bytes)| (*chunk, bytes.as_slice()));
    Table::restore(Arc::clone(plan), TableSettings::default(), meta, chunks)
}

/// Feeds both tables alike and gives the results of the types that both have.
fn continued(tables: [&mut Table; 2], name: &str) -> [Vec<String>; 2] {
    tables.map(|table| {
        feed(table, 30..34, &["k:1", "k:2"]);
        table.advance(50 * MINUTE);
        taken(table).into_iter().filter(|row| row.contains(&format!(" {name}-S-a "))).collect()
    })
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

#[test]
fn a_type_whose_timeout_changed_starts_anew_and_the_others_go_on() {
    let changed = [("Sum", SUM, "period=\"60\""), ("Judged", JUDGED, "period=\"60\", timeout=\"2\"")];
    let before = [changed[0], ("Judged", JUDGED, "period=\"60\", timeout=\"1\"")];
    let mut table = Table::new(plan(&before), TableSettings::default());
    feed(&mut table, 20..30, &["k:1", "k:2"]);
    taken(&mut table);
    let mut after = load(&plan(&changed), &save(&mut table)).unwrap();
    let [expected, rows] = continued([&mut table, &mut after], "Sum");
    assert_eq!(expected, rows);

    // Of the old detector nothing is left: the second period is its second sample.
    let mut table = Table::new(plan(&before), TableSettings::default());
    feed(&mut table, 20..30, &["k:1"]);
    taken(&mut table);
    let mut after = load(&plan(&changed), &save(&mut table)).unwrap();
    feed(&mut after, 30..32, &["k:1"]);
    after.advance(32 * MINUTE);
    let judged: Vec<String> = taken(&mut after).into_iter().filter(|row| row.contains(" Judged-S-a ")).collect();
    assert!(judged.len() == 1 && judged[0].contains("\"samples\":2"), "{judged:#?}");
}

#[test]
fn objects_that_a_change_orphans_leave_nothing_to_those_who_get_their_slots() {
    let (before, after) = ([("T", ALL, "period=\"60\", timeout=\"1\"")], [("T", ALL, "period=\"60\", timeout=\"2\"")]);
    let mut table = Table::new(plan(&before), TableSettings::default());
    feed(&mut table, 20..30, &["old:1", "old:2"]);
    let mut changed = load(&plan(&after), &save(&mut table)).unwrap();
    assert_eq!(changed.objects(), 0, "a type with another timeout is another type");
    let mut fresh = Table::new(plan(&after), TableSettings::default());
    feed(&mut fresh, 29..30, &["x:1"]);
    fresh.advance(35 * MINUTE);
    let rows = [&mut changed, &mut fresh].map(|table| {
        table.advance(40 * MINUTE);
        taken(table);
        feed(table, 41..46, &["new:1"]);
        taken(table).iter().map(|row| row.replace(",\"partial\":true", "")).collect::<Vec<_>>()
    });
    assert!(rows[0].len() > 5);
    assert_eq!(rows[0], rows[1]);
}

#[test]
fn a_type_that_comes_back_later_does_not_find_its_old_state() {
    let (both, one) = (plan(&rich()[1..]), plan(&rich()[2..]));
    let mut table = Table::new(Arc::clone(&both), TableSettings::default());
    feed(&mut table, 20..22, &["k:1"]);
    let mut saved = save(&mut table);
    // Without `Sum` for less than a window of `Judged`, so that no close writes the chunk anew.
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

/// A small table with every kind of section.
fn small() -> (Arc<Plan>, (Vec<u8>, Chunks)) {
    let plan = plan(&rich());
    let mut table = Table::new(Arc::clone(&plan), TableSettings::default());
    feed(&mut table, 20..25, &["k:1", "k:2"]);
    let saved = save(&mut table);
    (plan, saved)
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
    let (mut errors, whole) = (0, &chunks[&0]);
    for len in 0..whole.len() {
        let cut = BTreeMap::from([(0, whole[..len].to_vec())]);
        // Between two sections a chunk ends like a shorter one.
        errors += usize::from(!is_harmless(&plan, &(meta.clone(), cut)));
    }
    assert!(errors > whole.len() * 9 / 10, "{errors} errors in {} cuts", whole.len());
}

#[test]
fn a_snapshot_with_a_flipped_byte_gives_an_error_or_a_table_that_works() {
    let (plan, (meta, chunks)) = small();
    let (mut errors, mut tables) = (0, 0);
    let mut count = |saved| match is_harmless(&plan, &saved) {
        true => tables += 1,
        false => errors += 1,
    };
    for index in 0..meta.len() {
        for mask in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
            let mut flipped = meta.clone();
            flipped[index] ^= mask;
            count((flipped, chunks.clone()));
        }
    }
    for index in 0..chunks[&0].len() {
        for mask in [1, 16, 128, 255] {
            let mut flipped = chunks.clone();
            flipped.get_mut(&0).unwrap()[index] ^= mask;
            count((meta.clone(), flipped));
        }
    }
    // Names and counts are checked; a flip in a sum or a time gives another value that is valid.
    assert!(errors > 0 && tables > 0, "{errors} errors, {tables} tables");
}

#[test]
fn what_cannot_be_in_a_snapshot_is_named() {
    let (plan, (meta, chunks)) = small();
    let with = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut edited = chunks.clone();
        edit(edited.get_mut(&0).unwrap());
        load(&plan, &(meta.clone(), edited)).map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(with(&|chunk| chunk[0] = 9), "the snapshot has version 9, this build reads version 1");
    assert_eq!(
        with(&|chunk| chunk[1..3].copy_from_slice(&(CHUNK_SLOTS as u16 + 1).to_le_bytes())),
        "chunk 0 of the snapshot is inconsistent: it has more slots than a table"
    );
    // The keys are `k:1` and `k:2`.
    assert_eq!(with(&|chunk| chunk[16] = b'1'), "chunk 0 of the snapshot is inconsistent: a key is there twice");
    let twice = BTreeMap::from([(0, chunks[&0].clone()), (1, chunks[&0].clone())]);
    let error = load(&plan, &(meta.clone(), twice)).map(|_| ()).unwrap_err().to_string();
    assert_eq!(error, "chunk 1 of the snapshot is inconsistent: a key is there twice");
    let far = BTreeMap::from([(u32::MAX, chunks[&0].clone())]);
    assert!(load(&plan, &(meta, far)).is_err(), "a slot has 32 bits");
}
