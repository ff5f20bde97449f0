//! Criterion benchmarks of a node's statistics: decode, list, find, record, increases.

use std::hint::black_box;

use benches::START;
use benches::netplugin::{NODE, POINTS, body};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use netplugin_adapter::{Limits, NodeCounters, ScrapeRecord, decode, encode_record, points, points_of};

fn netplugin(c: &mut Criterion) {
    let mut group = c.benchmark_group("netplugin");
    group.throughput(Throughput::Elements(POINTS));
    let body = body(NODE, 0);
    group.bench_function("decode", |b| b.iter(|| decode(black_box(body.as_bytes()), &Limits::default()).is_ok()));
    let stats = decode(body.as_bytes(), &Limits::default()).expect("a good body");
    group.bench_function("points", |b| b.iter(|| points(black_box(&stats)).map(black_box).count()));
    let mut record = Vec::new();
    group.bench_function("encode_record", |b| {
        b.iter(|| {
            record.clear();
            encode_record("192.168.2.10", START, points(black_box(&stats)), &mut record);
        });
    });
    group.bench_function("parse_record", |b| b.iter(|| ScrapeRecord::parse(black_box(&record)).is_ok()));
    increases(&mut group);
    group.finish();
    c.bench_function("netplugin/points_of", |b| {
        b.iter(|| points_of(&stats, black_box("11.1.1.77")).map(black_box).count());
    });
}

/// Every counter rises with each scrape, for hours.
fn increases(group: &mut BenchmarkGroup<'_, WallTime>) {
    let read = |scrapes| decode(body(NODE, scrapes).as_bytes(), &Limits::default()).expect("a good body");
    let scrapes: Vec<_> = (0..8).map(read).collect();
    let mut counters = NodeCounters::default();
    let mut at = START;
    group.bench_function("observe", |b| {
        b.iter(|| {
            at += 10_000_000;
            let mut count = 0;
            counters
                .observe(at, &scrapes[at as usize / 10_000_000 % 8], |increase| count += black_box(increase).bytes_in);
            count
        });
    });
    let mut saved = Vec::new();
    group.bench_function("save", |b| {
        b.iter(|| {
            saved.clear();
            counters.save(&mut saved);
        });
    });
    group.bench_function("load", |b| b.iter(|| NodeCounters::load(black_box(&saved)).is_ok()));
}

criterion_group!(benches, netplugin);
criterion_main!(benches);
