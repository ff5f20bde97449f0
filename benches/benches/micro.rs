//! Criterion micro-benchmarks: update, close, parse, decode, encode.

use std::hint::black_box;

use benches::{MINUTE, START, plan, records, settings};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use derived_stats::{Context, DETECTOR_CALL, Number, Silence, Spec, ValueType, menu};
use proxy_uve::{DecodedRecord, Position, Record, Table, wire};

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

criterion_group!(benches, pipeline, detectors, text, table);
criterion_main!(benches);
