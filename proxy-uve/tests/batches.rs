//! How records are handed over makes no difference: in batches of any size, and with windows that close at once or
//! spread over the records that follow.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

use std::sync::Arc;
use std::time::Duration;

use derived_stats::Number;
use proptest::prelude::*;
use proxy_uve::schema::Schema;
use proxy_uve::{DecodedRecord, Fate, Plan, Position, Record, ResultRow, StreamName, Table, TableSettings};

const SECOND: u64 = 1_000_000;
const START: u64 = 86_400 * SECOND;

/// Types that go by column alone, and with ones that do not.
const SCHEMAS: [&str; 3] = [
    "",
    "struct Wide {\n 1: string name (key=\"\")\n 2: string proxy\n 3: optional bool deleted\n \
     4: optional u64 raw (hidden=\"yes\")\n 5: optional u64 mean (stats=\"2-raw:DSAvg\")\n \
     6: optional derived_stats_results.AnomalyResult scored (stats=\"3.DSNone-raw:DSAnomaly:EWM:0.3\")\n} \
     (period=\"30\", timeout=\"3\")",
    "struct Float {\n 1: string name (key=\"\")\n 2: string proxy\n 3: optional bool deleted\n \
     4: optional double raw (hidden=\"yes\")\n 5: optional double sum (stats=\"1-raw:DSSum\")\n} (period=\"60\")",
];

fn table(schema: &str, settings: TableSettings) -> Table {
    let schema = Schema::parse("more.sandesh", schema).unwrap();
    let types: Vec<_> = Schema::builtin().types().chain(schema.types()).cloned().collect();
    Table::new(Arc::new(Plan::new(StreamName::new("S", "a").unwrap(), &types)), settings)
}

#[derive(Clone, Debug)]
struct Sample {
    position: u64,
    key: String,
    at: u64,
    arrived: u64,
    value: Number,
}

/// Samples of up to `keys` objects that come and go, some late, some ahead of their time, some repeated.
fn samples(keys: u32, count: usize) -> impl Strategy<Value = Vec<Sample>> {
    // Mostly small steps, so that most batches stay within a window.
    let step = prop_oneof![20 => 0..200u64, 2 => 0..40_000u64, 1 => 50_000..250_000u64];
    let value =
        prop_oneof![20 => (0..1000u64).prop_map(Number::U64), 1 => Just(Number::F64(0.5)), 1 => Just(Number::I64(-1))];
    let odd = prop_oneof![30 => Just(0u8), 1 => Just(1), 1 => Just(2), 1 => Just(3)];
    let sample = (0..keys, step, 0..50_000u64, value, odd);
    proptest::collection::vec(sample, 1..count).prop_map(|samples| {
        let mut now = START;
        let sample = |(index, (key, step, back, value, odd)): (usize, (u32, u64, u64, Number, u8))| {
            now += step * 1000;
            // The objects that are there change with time.
            let key = (u64::from(key) + now / (600 * SECOND) * 40) % 1000;
            let key = if odd == 1 { String::new() } else { format!("ObjectVNTable:vn{key}") };
            let at = if odd == 2 { now + 3600 * SECOND } else { now - back * 1000 };
            let position = if odd == 3 { 0 } else { index as u64 };
            Sample { position, key, at, arrived: now, value }
        };
        samples.into_iter().enumerate().map(sample).collect()
    })
}

fn decoded(sample: &Sample) -> DecodedRecord<'_> {
    let &Sample { position, ref key, at, arrived, value } = sample;
    DecodedRecord { position: Position::new(position), arrived, key: key.as_bytes(), at, value, source: "" }
}

fn taken(table: &mut Table) -> Vec<String> {
    let row = |row: ResultRow<'_>| {
        let (key, json) = (String::from_utf8_lossy(row.key), String::from_utf8_lossy(row.json));
        format!("{} {key} {} {} {json}", row.end, row.uve_name, row.start)
    };
    let rows = table.drain().map(row).collect();
    table.clear_results();
    rows
}

/// All rows of the samples in batches, whose sizes are those of `sizes` again and again.
fn rows(table: Table, samples: &[Sample], sizes: &[usize]) -> (Vec<String>, Table) {
    rows_closing(table, samples, sizes, 0)
}

/// The same; after each batch the owner closes so many more objects.
fn rows_closing(mut table: Table, samples: &[Sample], sizes: &[usize], more: usize) -> (Vec<String>, Table) {
    let records: Vec<_> = samples.iter().map(decoded).collect();
    let (mut rest, mut rows) = (records.as_slice(), Vec::new());
    for &size in sizes.iter().cycle() {
        let (batch, after) = rest.split_at(size.min(rest.len()));
        table.ingest_batch(batch);
        let left = table.close_more(more);
        assert!(left == 0 || !table.is_closing(), "{left} of {more} are left, and a window is closing");
        rows.extend(taken(&mut table));
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    table.advance(START + 30 * 86_400 * SECOND);
    rows.extend(taken(&mut table));
    (rows, table)
}

fn settings(close_per_record: usize) -> TableSettings {
    TableSettings::default().with_close_per_record(close_per_record).with_max_objects(700)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn property_the_size_of_batches_makes_no_difference(
        samples in samples(400, 1500),
        sizes in proptest::collection::vec(1..200usize, 1..8),
        schema in 0..SCHEMAS.len(),
        close_per_record in prop_oneof![Just(usize::MAX), Just(1), Just(100)],
    ) {
        let settings = settings(close_per_record);
        let (expected, mut single) = rows(table(SCHEMAS[schema], settings), &samples, &[1]);
        let (got, mut batched) = rows(table(SCHEMAS[schema], settings), &samples, &sizes);
        prop_assert_eq!(single.fates(), batched.fates());
        prop_assert_eq!(single.snapshot(), batched.snapshot());
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn property_a_batch_reports_what_its_records_have_one_by_one(
        samples in samples(400, 1500),
        size in 1..200usize,
        schema in 0..SCHEMAS.len(),
    ) {
        let (mut single, mut batched) = (table(SCHEMAS[schema], settings(100)), table(SCHEMAS[schema], settings(100)));
        for samples in samples.chunks(size) {
            let records: Vec<_> = samples.iter().map(decoded).collect();
            let expected: Vec<Fate> = records.iter().map(|record| single.ingest_decoded(record)).collect();
            let mut fates = vec![Fate::Aggregated; records.len()];
            let counts = batched.ingest_batch_with(&records, |index, fate| fates[index] = fate);
            prop_assert_eq!(&fates, &expected);
            prop_assert_eq!(taken(&mut batched), taken(&mut single));
            prop_assert_eq!(batched.watermark(), single.watermark());
            for &fate in Fate::ALL {
                let found = expected.iter().filter(|&&other| other == fate).count();
                prop_assert_eq!(counts.count(fate), found as u64, "{:?}", fate);
            }
        }
        prop_assert_eq!(batched.snapshot(), single.snapshot());
    }

    #[test]
    fn property_payloads_report_as_single_records_do(samples in samples(400, 1500), size in 1..200usize) {
        let (mut single, mut batched) = (table("", settings(100)), table("", settings(100)));
        let payload = |sample: &Sample| match sample.position % 90 {
            7 => b"<a>no time</a>".to_vec(),
            _ => format!("{{\"ts\":{},\"value\":{}}}", sample.at, sample.value).into_bytes(),
        };
        let payloads: Vec<Vec<u8>> = samples.iter().map(payload).collect();
        let records: Vec<Record<'_>> = samples.iter().zip(&payloads).map(|(sample, payload)| {
            let (position, key) = (Position::new(sample.position), sample.key.as_bytes());
            Record { position, arrived: sample.arrived, key, payload }
        }).collect();
        for records in records.chunks(size) {
            let expected: Vec<Fate> = records.iter().map(|record| single.ingest(record)).collect();
            let mut fates = vec![Fate::Aggregated; records.len()];
            let counts = batched.ingest_payloads_with(records.iter().copied(), |index, fate| fates[index] = fate);
            prop_assert_eq!(fates, expected);
            prop_assert_eq!(counts.total(), records.len() as u64);
        }
    }

    #[test]
    fn property_windows_that_close_bit_by_bit_give_the_same_results(
        samples in samples(400, 1500),
        schema in 0..SCHEMAS.len(),
        size in 1..50usize,
        more in prop_oneof![Just(0), Just(1), 64..300usize],
    ) {
        let samples: Vec<_> = samples;
        // At the limit of objects it matters when a slot becomes free.
        let settings = |close_per_record| settings(close_per_record).with_max_objects(10_000);
        let (mut expected, at_once) = rows(table(SCHEMAS[schema], settings(usize::MAX)), &samples, &[1]);
        let (mut got, bit_by_bit) = rows_closing(table(SCHEMAS[schema], settings(1)), &samples, &[size], more);
        expected.sort();
        got.sort();
        prop_assert_eq!(at_once.fates(), bit_by_bit.fates());
        prop_assert_eq!(got, expected);
    }
}

#[test]
fn a_closing_window_takes_its_share_of_each_record_and_no_more() {
    let mut table = table("", settings(64));
    let key = |object: u64| format!("ObjectVNTable:vn{object}");
    let mut position = 0;
    let mut send = |table: &mut Table, object: u64, at: u64| {
        position += 1;
        let sample = Sample { position, key: key(object), at, arrived: at, value: Number::U64(1) };
        table.ingest_batch(&[decoded(&sample)]);
    };
    (0..640).for_each(|object| send(&mut table, object, START));
    assert!(!table.is_closing());
    for done in 1..=10 {
        send(&mut table, 0, START + 100 * SECOND);
        // One result of the sum for each; the detector is warming up.
        assert_eq!(table.pending_results().0, done * 64);
        assert_eq!(table.is_closing(), done < 10);
    }
    assert_eq!(table.fates().count(Fate::Aggregated), 650);
}

#[test]
fn an_object_beyond_the_limit_is_reported_from_a_batch_without_other_faults() {
    let mut table = table("", settings(64).with_max_objects(10));
    let sample = |position: u64| {
        let key = format!("ObjectVNTable:vn{}", position % 13);
        Sample { position, key, at: START, arrived: START, value: Number::U64(1) }
    };
    let samples: Vec<_> = (0..200).map(sample).collect();
    let records: Vec<_> = samples.iter().map(decoded).collect();
    let mut reported = Vec::new();
    let fates = table.ingest_batch_with(&records, |index, fate| reported.push((index, fate)));
    let expected: Vec<_> = (0..200).filter(|index| index % 13 >= 10).map(|index| (index, Fate::OverLimit)).collect();
    assert_eq!(reported, expected);
    assert_eq!((fates.over_limit, fates.total()), (45, 200));
}

#[test]
fn after_a_restore_with_less_lateness_a_batch_still_equals_single_records() {
    let restored = || {
        let lateness = |seconds| TableSettings::default().with_allowed_lateness(Duration::from_secs(seconds));
        let mut table = table("", lateness(90));
        let at = START + 100 * SECOND;
        let first = Sample { position: 0, key: "T:a".into(), at, arrived: at, value: Number::U64(1) };
        table.ingest_batch(&[decoded(&first)]);
        let saved = table.snapshot();
        let chunks = saved.chunks.iter().filter_map(|(chunk, bytes)| Some((*chunk, bytes.as_deref()?)));
        let types: Vec<_> = Schema::builtin().types().cloned().collect();
        let plan = Plan::new(StreamName::new("S", "a").unwrap(), &types);
        Table::restore(Arc::new(plan), lateness(5), &saved.meta, chunks).unwrap().0
    };
    // The first is older than the newest timestamp, so it does not move the watermark past the window of the second.
    let times = [START + 90 * SECOND, START + 30 * SECOND, START + 101 * SECOND];
    let sample = |(position, at)| Sample { position, key: "T:a".into(), at, arrived: at, value: Number::U64(1) };
    let samples: Vec<_> = (1..).zip(times).map(sample).collect();
    let records: Vec<_> = samples.iter().map(decoded).collect();

    let (mut single, mut batch) = (restored(), restored());
    let fates: Vec<_> = records.iter().map(|record| single.ingest_decoded(record)).collect();
    assert_eq!(fates, [Fate::Aggregated; 3]);
    assert_eq!(batch.ingest_batch(&records).aggregated, 3);
    assert_eq!(taken(&mut single), taken(&mut batch));
    assert!(single.snapshot() == batch.snapshot());
}
