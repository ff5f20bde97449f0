//! Single objects of a table: what it shows of them, and forgetting one.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

use std::sync::Arc;
use std::time::Duration;

use derived_stats::{Number, ValueType};
use proxy_uve::schema::{ProxyType, ProxyTypeBuilder};
use proxy_uve::{DecodedRecord, ObjectView, Plan, Position, StreamName, Table, TableSettings};

const MINUTE: u64 = 60_000_000;

/// A sum, a detector and the newest sample; objects expire after three silent minutes.
fn table(settings: TableSettings) -> Table {
    let inline = ProxyType::builder("Now", ValueType::U64).result("newest", "raw:DSNone");
    table_of([periodic(), inline], settings)
}

fn periodic() -> ProxyTypeBuilder {
    ProxyType::builder("Flows", ValueType::U64)
        .period(Duration::from_secs(60))
        .timeout(3)
        .result("sum", "1-raw:DSSum")
        .result("odd", "1.DSSum-raw:DSAnomaly:EWM:0.5")
        .hidden_result("secret", "1-raw:DSAvg")
}

fn table_of<const N: usize>(builders: [ProxyTypeBuilder; N], settings: TableSettings) -> Table {
    let types = builders.map(|builder| Arc::new(builder.build().unwrap()));
    Table::new(Arc::new(Plan::new(StreamName::new("S", "a").unwrap(), &types)), settings)
}

fn in_order() -> TableSettings {
    TableSettings::default().with_allowed_lateness(Duration::ZERO)
}

fn send(table: &mut Table, key: &str, at: u64, value: u64) {
    let position = Position::new(table.position().map_or(0, |position| position.get() + 1));
    table.ingest_decoded(&DecodedRecord {
        position,
        arrived: at,
        key: key.as_bytes(),
        at,
        value: Number::U64(value),
        source: "",
    });
}

/// Start and value of the open windows of the first attribute.
fn open(view: &ObjectView<'_>) -> Vec<(u64, Option<Number>)> {
    view.types[0].attributes[0].open.iter().map(|window| (window.start, window.value)).collect()
}

#[test]
fn an_object_shows_its_life_its_open_windows_and_its_last_reports() {
    let mut table = table(TableSettings::default().with_allowed_lateness(Duration::from_secs(60)));
    send(&mut table, "T:a", 10 * MINUTE, 5);
    send(&mut table, "T:a", 11 * MINUTE, 7);
    let view = table.object(b"T:a").unwrap();
    assert_eq!(view.key, b"T:a");
    assert_eq!(view.types.iter().map(|of| of.uve_name).collect::<Vec<_>>(), ["Flows-S-a", "Now-S-a"]);
    let names: Vec<_> = view.types[0].attributes.iter().map(|attribute| attribute.name).collect();
    assert_eq!(names, ["sum", "odd"], "a hidden result is not shown");
    assert_eq!((view.types[0].is_alive, view.types[0].silent_periods), (false, 0), "no window has closed");
    assert_eq!(open(&view), [(10 * MINUTE, Some(Number::U64(5))), (11 * MINUTE, Some(Number::U64(7)))]);
    let newest = view.types[1].attributes[0]
        .last
        .as_ref()
        .and_then(|last| last.as_ref().forced())
        .and_then(|output| output.value());
    assert_eq!(newest, Some(Number::U64(7)), "{view:?}");

    table.advance(13 * MINUTE);
    let view = table.object(b"T:a").unwrap();
    assert_eq!((view.types[0].is_alive, view.types[0].silent_periods, open(&view)), (true, 1, vec![]));
    assert!(view.types[0].attributes[1].last.is_some(), "the detector was fed");
    table.advance(15 * MINUTE);
    let view = table.object(b"T:a").unwrap();
    let alive: Vec<_> = view.types.iter().map(|of| of.is_alive).collect();
    assert_eq!(alive, [false, true], "deleted after three silent minutes; a type without period has no timeout");
}

#[test]
fn keys_come_in_the_order_of_their_slots() {
    let mut table = table(in_order());
    ["T:c", "T:a", "T:b"].iter().for_each(|key| send(&mut table, key, MINUTE, 1));
    assert!(table.remove(b"T:a"));
    assert!(!table.remove(b"T:a"), "it is gone");
    assert_eq!(table.keys().collect::<Vec<_>>(), [b"T:c", b"T:b"]);
    send(&mut table, "T:d", MINUTE, 1);
    assert_eq!(table.keys().collect::<Vec<_>>(), [b"T:c", b"T:d", b"T:b"]);
}

#[test]
fn a_window_that_is_closing_shows_the_objects_that_wait_and_is_sent_before_one_is_forgotten() {
    for removed in [0, 150] {
        let mut table = table_of([periodic()], in_order().with_close_per_record(64));
        let key = |object: u64| format!("T:{object}");
        (0..200).for_each(|object| send(&mut table, &key(object), MINUTE, 100 + object));
        send(&mut table, "T:199", 2 * MINUTE, 1);
        table.clear_results();
        assert!(table.is_closing());
        let shown = |table: &Table, object| open(&table.object(key(object).as_bytes()).unwrap());
        assert_eq!(shown(&table, 63), [], "its result is out");
        assert_eq!(shown(&table, 150), [(MINUTE, Some(Number::U64(250)))]);
        assert!(table.remove(key(removed).as_bytes()));
        assert!(!table.is_closing());
        let of_removed = |row: &proxy_uve::ResultRow<'_>| row.key == key(removed).as_bytes();
        let waited = usize::from(removed == 150);
        assert_eq!(table.drain().filter(of_removed).count(), waited, "what was due, and nothing later");
        assert_eq!(table.drain().count(), 136);

        // What gets its slot is a new object.
        send(&mut table, "T:new", 2 * MINUTE, 3);
        let view = table.object(b"T:new").unwrap();
        assert_eq!(open(&view), [(2 * MINUTE, Some(Number::U64(3)))]);
        assert!(!view.types[0].is_alive && view.types[0].attributes[1].last.is_none());
    }
}

#[test]
fn objects_are_counted_for_each_type_from_their_first_result_to_their_timeout() {
    let long = ProxyType::builder("Long", ValueType::U64).period(Duration::from_secs(300)).result("sum", "1-raw:DSSum");
    let mut table = table_of([periodic(), long], in_order());
    let counts = |table: &Table| table.objects_by_type().collect::<Vec<_>>();
    let names: Vec<_> = table.plan().uve_names().map(str::to_owned).collect();
    assert_eq!(names, ["Flows-S-a", "Long-S-a"]);
    assert_eq!(table.plan().periods().collect::<Vec<_>>(), [MINUTE, 5 * MINUTE]);
    send(&mut table, "T:a", 0, 5);
    send(&mut table, "T:b", 0, 5);
    assert_eq!(counts(&table), [0, 0], "no window has closed");
    table.advance(MINUTE);
    assert_eq!(counts(&table), [2, 0]);
    send(&mut table, "T:a", 3 * MINUTE, 5);
    table.advance(5 * MINUTE);
    assert_eq!(counts(&table), [1, 2], "b was silent for three minutes");
    assert_eq!(table.objects(), 2);
    table.remove(b"T:a");
    assert_eq!(counts(&table), [0, 1]);
}
