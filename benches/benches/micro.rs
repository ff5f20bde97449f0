//! Criterion micro-benchmarks: update, close, parse, decode, encode.

use std::hint::black_box;

use benches::{MINUTE, START, plan, records, settings};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use derived_stats::column::{DownstreamColumn, InlineColumn, Reports, Update, WORD, WindowColumn};
use derived_stats::entry::{Argument, ArgumentKind, Entry};
use derived_stats::{Context, DETECTOR_CALL, Number, Silence, SourceId, Spec, ValueType, menu};
use proxy_uve::{DecodedRecord, Position, Record, Table, wire};

/// The sources of an object, for algorithms that distinguish them.
const SOURCES: u64 = 3;

fn spec(annotation: &str) -> Spec {
    Spec::parse(annotation, Context::new(ValueType::U64)).expect("a good annotation")
}

fn pipeline(c: &mut Criterion) {
    let mut group = c.benchmark_group("pipeline/update");
    group.throughput(Throughput::Elements(1));
    for annotation in ["raw:DSSum", "raw:DSSum:60", "raw:DSAnomaly:EWM:0.1", "1.DSSum-raw:DSAnomaly:EWM:0.1"] {
        let spec = spec(annotation);
        let mut state = spec.start();
        let mut at = START;
        group.bench_function(annotation, |b| {
            b.iter(|| {
                at += 1000;
                spec.update(&mut state, at, Number::U64(black_box(36)))
            });
        });
    }
    group.finish();
    let spec = spec("1.DSSum-raw:DSAnomaly:EWM:0.1");
    let mut state = spec.start();
    c.bench_function("pipeline/close", |b| {
        b.iter(|| {
            let _ = spec.update(&mut state, START, Number::U64(black_box(36)));
            black_box(spec.close(&mut state, START, Silence::Once).is_some())
        });
    });
}

/// The calls of an entry, without and with its optional arguments.
fn calls(entry: &Entry) -> Vec<String> {
    let text = |argument: &Argument| match argument.kind() {
        // A short window, so that buckets expire.
        ArgumentKind::Whole { least, most } => 60.clamp(least, most).to_string(),
        _ => argument.example().to_owned(),
    };
    let name =
        if entry.roles().detector { format!("{DETECTOR_CALL}:{}", entry.name()) } else { entry.name().to_owned() };
    let all = entry.argument_list();
    let required = all.iter().filter(|argument| argument.is_required()).map(text).collect();
    let call = |arguments: Vec<String>| [vec![name.clone()], arguments].concat().join(":");
    let mut calls = vec![call(required), call(all.iter().map(text).collect())];
    calls.dedup();
    calls
}

/// Values of about the size and the irregularity of flow counts.
fn value(n: u64) -> Number {
    Number::U64(1000 + n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 512)
}

/// Every entry of the menu: a sample a millisecond, and the end of a minute for 64 objects.
fn algorithms(c: &mut Criterion) {
    let mut group = c.benchmark_group("algorithm/update");
    group.throughput(Throughput::Elements(1));
    for call in menu().iter().filter(|entry| entry.roles().inline).flat_map(|entry| calls(entry)) {
        let mut column = InlineColumn::new(&spec(&format!("raw:{call}"))).expect("an inline spec");
        let mut n = 0;
        group.bench_function(&call, |b| {
            b.iter(|| {
                n += 1;
                column.update(0, START + n * 1000, value(black_box(n)))
            });
        });
    }
    for call in menu().iter().filter(|entry| !entry.roles().inline).flat_map(|entry| calls(entry)) {
        let mut column = WindowColumn::new(&spec(&format!("1-raw:{call}"))).expect("a periodic spec");
        let mut n = 0;
        group.bench_function(&call, |b| {
            b.iter(|| {
                n += 1;
                column.update_from(0, SourceId::new(n % SOURCES), START + n * 1000, value(black_box(n)))
            });
        });
    }
    group.finish();
    let mut group = c.benchmark_group("algorithm/close");
    group.throughput(Throughput::Elements(WORD as u64));
    for entry in menu() {
        for call in calls(entry) {
            if entry.roles().detector {
                close_detector(&mut group, &call);
            } else if entry.roles().period {
                close_window(&mut group, &call);
            }
        }
    }
    group.finish();
}

/// Every detector of the menu without optional arguments, on minutes of a noisy season.
fn detectors(c: &mut Criterion) {
    let mut group = c.benchmark_group("detector/update");
    group.throughput(Throughput::Elements(1));
    for entry in menu().iter().filter(|entry| entry.roles().detector) {
        let example = entry.example();
        let separator = if example.is_empty() { "" } else { ":" };
        let spec = spec(&format!("raw:{DETECTOR_CALL}:{}{separator}{example}", entry.name()));
        let (mut state, mut at, mut seed) = (spec.start(), START, 1u64);
        let mut update = || {
            at += MINUTE;
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let season = (at / (60 * MINUTE) % 24) * 20;
            spec.update(&mut state, at, Number::U64(black_box(1000 + season + (seed >> 58) + (seed << 6 >> 58))))
        };
        (0..20_000).for_each(|_| update().expect("an unsigned number"));
        group.bench_function(entry.name(), |b| b.iter(&mut update));
    }
    group.finish();
}

type Group<'c> = criterion::BenchmarkGroup<'c, criterion::measurement::WallTime>;

/// A window of 64 objects with a minute's samples.
fn window(annotation: &str) -> WindowColumn {
    let mut window = WindowColumn::new(&spec(annotation)).expect("a periodic spec");
    for n in 0..60 * WORD as u64 {
        let (slot, second) = ((n % WORD as u64) as usize, n / WORD as u64);
        window.update(slot, START + second * 1_000_000, value(n)).expect("time goes forward");
    }
    window
}

fn close_window(group: &mut Group<'_>, call: &str) {
    let (window, mut reports) = (window(&format!("1-raw:{call}")), Reports::new());
    group.bench_function(call, |b| b.iter(|| window.reports(0, u64::MAX, black_box(START + MINUTE), &mut reports)));
}

fn close_detector(group: &mut Group<'_>, call: &str) {
    let annotation = format!("1.DSSum-raw:{call}");
    let window = window(&annotation);
    let mut detectors = DownstreamColumn::new(&spec(&annotation)).expect("a detector");
    let mut now = START;
    group.bench_function(call, |b| {
        b.iter(|| {
            now += MINUTE;
            detectors.close_many(0, u64::MAX, Some(&window), black_box(now), Silence::Once)
        });
    });
}

/// Algorithms whose states grow with the samples, on samples of three decades of many objects.
fn sketches(c: &mut Criterion) {
    const OBJECTS: u32 = 64;
    let value = |n: u32| 10f64.powf(f64::from(n.wrapping_mul(2_654_435_761) >> 8) / f64::from(1 << 24) * 3.0);
    let sample = |n| Update { slot: n % OBJECTS, at: START, value: Number::U64(value(n) as u64) };
    let samples: Vec<Update> = (0..16_384).map(sample).collect();
    for annotation in SKETCHES {
        let spec = spec(annotation);
        let mut window = WindowColumn::new(&spec).expect("a periodic annotation");
        let mut group = c.benchmark_group(format!("window/{annotation}"));
        group.throughput(Throughput::Elements(samples.len() as u64));
        group.bench_function("update", |b| b.iter(|| window.update_all(black_box(&samples))));
        group.throughput(Throughput::Elements(u64::from(OBJECTS)));
        let mut reports = Reports::new();
        group.bench_function("close", |b| b.iter(|| window.reports(0, u64::MAX, black_box(START), &mut reports)));
        group.finish();
    }
}

const SKETCHES: [&str; 5] = [
    "1-raw:DSPercentile:50,90,99",
    "1-raw:DSDistinct",
    "1-raw:DSTopK:3",
    "1-raw:DSCategory:1,2,3",
    "1-raw:DSHistogram:10,100,1000",
];

fn text(c: &mut Criterion) {
    c.bench_function("annotation/parse", |b| b.iter(|| spec(black_box("1.DSSum-raw:DSAnomaly:EWM:0.1"))));
    let record = &records(1, 1, 1)[0];
    let json = format!("{{\"ts\":{},\"value\":{},\"source\":\"compute-7\"}}", record.at, record.value);
    let mut group = c.benchmark_group("wire/decode");
    group.throughput(Throughput::Elements(1));
    group.bench_function("xml", |b| b.iter(|| wire::decode(black_box(&record.payload)).is_ok()));
    group.bench_function("json", |b| b.iter(|| wire::decode(black_box(json.as_bytes())).is_ok()));
    group.finish();
}

fn table(c: &mut Criterion) {
    let mut group = c.benchmark_group("table/ingest");
    group.sample_size(10);
    for objects in [1_000u64, 100_000] {
        let records = records(200_000, objects, 1);
        group.throughput(Throughput::Elements(records.len() as u64));
        group.bench_with_input(BenchmarkId::new("xml", objects), &records, |b, records| {
            let fresh = || Table::new(plan(), settings());
            b.iter_batched(
                fresh,
                |mut table| {
                    for (position, record) in (0..).map(Position::new).zip(records) {
                        let (key, payload) = (&record.key[..], &record.payload[..]);
                        table.ingest(&Record { position, arrived: record.at, key, payload });
                    }
                    table
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
    close(c);
}

/// A table of `objects`, all with a sample in the minute that is open.
fn filled(objects: u64) -> Table {
    let mut table = Table::new(plan(), settings());
    for (position, object) in (0..).map(Position::new).zip(0..objects) {
        let key = format!("ObjectVNTable:default-domain:tenant-{:04}:vn-{object:06}", object % 1000);
        let value = Number::U64(object);
        let record = DecodedRecord { position, arrived: START, key: key.as_bytes(), at: START, value, source: "" };
        table.ingest_batch(&[record]);
    }
    table
}

fn close(c: &mut Criterion) {
    let mut group = c.benchmark_group("table/close");
    group.sample_size(10);
    let objects = 100_000;
    group.throughput(Throughput::Elements(objects));
    group.bench_function(BenchmarkId::from_parameter(objects), |b| {
        b.iter_batched(
            || filled(objects),
            |mut table| {
                table.advance(START + MINUTE);
                table
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, pipeline, algorithms, detectors, sketches, text, table);
criterion_main!(benches);
