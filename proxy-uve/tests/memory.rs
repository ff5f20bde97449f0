//! What objects cost, and that the sample path allocates nothing.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use derived_stats::Number;
use proxy_uve::schema::Schema;
use proxy_uve::stream::StreamName;
use proxy_uve::{DecodedRecord, Fate, Plan, Position, Record, Table, TableSet, TableSettings};

const MINUTE: u64 = 60_000_000;
const START: u64 = 1000 * MINUTE;

/// Bytes of an object with a key of 50 bytes, both built-in types and three open windows.
const BYTES_PER_OBJECT: i64 = 200;

fn plan() -> Arc<Plan> {
    let schema = Schema::builtin();
    let types: Vec<_> = schema.types().cloned().collect();
    let stream = StreamName::new("UveVirtualNetworkAgent", "egress_flow_count").unwrap();
    Arc::new(Plan::new(stream, &types))
}

fn table(settings: TableSettings) -> Table {
    Table::new(plan(), settings)
}

/// A producer that allocates nothing either.
struct Producer {
    key: String,
    payload: String,
    position: u64,
}

impl Producer {
    fn new() -> Self {
        Self { key: String::with_capacity(100), payload: String::with_capacity(200), position: 0 }
    }

    fn send(&mut self, table: &mut Table, object: u64, at: u64) {
        self.key.clear();
        write!(self.key, "ObjectVNTable:default-domain:tenant-001:vn-{object:07}").unwrap();
        assert_eq!(self.key.len(), 50);
        self.payload.clear();
        write!(self.payload, "<egress_flow_count type=\"u64\" timestamp=\"{at}\">36</egress_flow_count>").unwrap();
        self.position += 1;
        let (position, key, payload) = (Position::new(self.position), self.key.as_bytes(), self.payload.as_bytes());
        let fate = table.ingest(&Record { position, arrived: at, key, payload });
        assert_eq!(fate, Fate::Aggregated);
    }
}

/// Every object in each of six windows.
fn three_open_windows(table: &mut Table, objects: u64) {
    let mut producer = Producer::new();
    for minute in 0..6 {
        for object in 0..objects {
            producer.send(table, object, START + minute * MINUTE);
        }
        table.clear_results();
    }
}

fn live_bytes(work: impl FnOnce()) -> i64 {
    let AllocationInfo { bytes_current, .. } = measure(work);
    bytes_current
}

#[test]
fn an_object_takes_at_most_200_bytes() {
    let objects = 100_000;
    let mut table = table(TableSettings::default().with_allowed_lateness(Duration::from_secs(90)));
    let bytes = live_bytes(|| three_open_windows(&mut table, objects)) / objects as i64;
    assert_eq!((table.objects() as u64, table.watermark()), (objects, START + 7 * MINUTE / 2));
    println!("{bytes} bytes for each of {objects} objects");
    assert!(bytes <= BYTES_PER_OBJECT, "{bytes} bytes for each object");
}

#[test]
fn a_sample_allocates_nothing() {
    let mut table = table(TableSettings::default());
    let mut producer = Producer::new();
    for minute in 0..3 {
        (0..1000).for_each(|object| producer.send(&mut table, object, START + minute * MINUTE));
        table.clear_results();
    }
    let info = measure(|| {
        for n in 0..10_000 {
            producer.send(&mut table, n % 1000, START + 2 * MINUTE + n);
        }
    });
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[test]
fn memory_comes_back_when_objects_expire() {
    let mut table = table(TableSettings::default());
    let bytes = live_bytes(|| {
        three_open_windows(&mut table, 100_000);
        table.advance(START + 20 * MINUTE);
        table.clear_results();
    });
    assert_eq!(table.objects(), 0);
    assert!(bytes < 1_000_000, "an empty table holds {bytes} bytes");
}

#[test]
fn five_million_keys_pass_through_a_table_that_stays_as_it_is() {
    let settings = TableSettings::default().with_max_objects(200_000);
    let mut table = table(settings);
    let mut producer = Producer::new();
    let mut sizes = Vec::new();
    let mut size = 0;
    // 50,000 new objects in each of 100 periods; they expire one period later, so 100,000 exist at a time.
    for minute in 0..100 {
        size += live_bytes(|| {
            for object in minute * 50_000..(minute + 1) * 50_000 {
                producer.send(&mut table, object, START + minute * MINUTE);
            }
            table.clear_results();
            drop(table.snapshot());
        });
        sizes.push(size);
    }
    assert!((100_000..=150_000).contains(&table.objects()), "{} objects", table.objects());
    let (early, late) = (sizes[5], sizes[99]);
    assert!(late <= early * 5 / 4, "{early} bytes after 300,000 keys, {late} after 5,000,000: {sizes:?}");
}

/// Metrics of a set.
const METRICS: usize = 3;

/// A set with a sample of each object in each metric, by rounds of a minute.
fn filled_set(minutes: u64, objects: u64) -> TableSet {
    let mut set = TableSet::new(vec![plan(); METRICS], TableSettings::default());
    for at in (0..minutes).map(|minute| START + minute * MINUTE) {
        for (index, object) in (0..).zip(0..objects) {
            let key = format!("ObjectVNTable:default-domain:tenant-001:vn-{object:07}");
            let position = Position::new((at / MINUTE) * objects + index);
            let record =
                DecodedRecord { position, arrived: at, key: key.as_bytes(), at, value: Number::U64(36), source: "" };
            for metric in 0..METRICS {
                assert_eq!(set.metric_mut(metric).unwrap().ingest_decoded(&record), Fate::Aggregated);
            }
        }
        (0..METRICS).for_each(|metric| set.metric_mut(metric).unwrap().clear_results());
    }
    set
}

#[test]
fn a_set_of_three_metrics_has_each_key_once() {
    let objects = 65_536;
    let (mut tables, mut set) = (Vec::new(), None);
    let of_tables = live_bytes(|| {
        for _ in 0..METRICS {
            let mut table = table(TableSettings::default());
            let mut producer = Producer::new();
            for minute in 0..3 {
                (0..objects).for_each(|object| producer.send(&mut table, object, START + minute * MINUTE));
                table.clear_results();
            }
            tables.push(table);
        }
    }) / objects as i64;
    let of_set = live_bytes(|| set = Some(filled_set(3, objects))) / objects as i64;
    assert_eq!(set.as_ref().map(TableSet::objects), Some(objects as usize));
    println!("{of_tables} bytes for an object in three tables, {of_set} in a set of three metrics");
    // A key of 50 bytes, 8 for where it is and at least 9 for its entry in the index.
    let key_bytes = 50 + 8 + 9;
    let saved = of_tables - of_set;
    assert!(saved >= (METRICS as i64 - 1) * key_bytes, "{of_tables} bytes in tables, {of_set} in a set: {saved} saved");
}

#[test]
fn a_sample_of_a_set_allocates_nothing() {
    let mut set = filled_set(3, 1000);
    let key = b"ObjectVNTable:default-domain:tenant-001:vn-0000007";
    let info = measure(|| {
        for n in 0..10_000 {
            let (position, at) = (Position::new(u64::MAX / 2 + n), START + 2 * MINUTE + n);
            let record = DecodedRecord { position, arrived: at, key, at, value: Number::U64(36), source: "" };
            let fate = set.metric_mut(n as usize % METRICS).unwrap().ingest_decoded(&record);
            assert_eq!(fate, Fate::Aggregated);
        }
    });
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[test]
fn memory_of_every_metric_comes_back_when_objects_expire() {
    let mut set = None;
    let bytes = live_bytes(|| {
        let set = set.insert(filled_set(6, 100_000));
        for metric in 0..METRICS {
            let mut metric = set.metric_mut(metric).unwrap();
            metric.advance(START + 20 * MINUTE);
            metric.clear_results();
        }
    });
    assert_eq!(set.map(|set| set.objects()), Some(0));
    assert!(bytes < 1_000_000, "an empty set holds {bytes} bytes");
}
