//! What the sample path costs in instructions, counted by callgrind: update, close, encode, decode, parse.
//!
//! Time wanders with the machine, the count does not: `.ci/instructions` runs this and holds each count to the one in
//! `instructions.expected`. Counted is the benchmarked function alone, with what it calls. Input is made before and
//! leaked, and a table is given back: when a large block is freed the allocator tidies up, which costs a tenth of a
//! decoder or more and depends on whatever else lies on the heap. Each benchmark runs once, in a process of its own.

#![expect(unused_qualifications, reason = "the macros of the benchmark crate write paths in full")]

use std::hint::black_box;

use benches::netplugin::{NODE, body};
use benches::{Generated, MINUTE, START, plan, records, settings};
use derived_stats::{Annotation, AnnotationError, Context, Number, Spec, ValueType};
use gungraun::{Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use netplugin_adapter::{Limits, NodeCounters, ServiceStats, decode, encode_record, points};
use proxy_uve::wire::line::{LineForm, plain};
use proxy_uve::{DecodedRecord, Position, ResultBuffer, ResultSink, Table, wire};

const OBJECTS: u64 = 1_000;
const UPDATES: u64 = 4_096;
const TEXTS: u64 = 1_000;
const PARSES: u64 = 100;

/// The annotation that the counts are for: sums with a detector.
const ANNOTATION: &str = "1.DSSum-raw:DSAnomaly:EWM:0.1";

/// The C library has a `memcpy` and a `memcmp` for each generation of CPUs. With these it takes the plain ones on all.
const PLAIN_CPU: &str = "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM,-SSSE3,-SSE4_1,-SSE4_2";

// A minute's samples for an open window with both built-in types.
#[library_benchmark]
#[bench::both_types(setup = open_table)]
fn update((mut table, samples): (Table<()>, &'static [DecodedRecord<'static>])) -> Table<()> {
    table.ingest_batch(black_box(samples));
    table
}

// The end of a window, without encoding.
#[library_benchmark]
#[bench::no_sink(args = ((), |_| ()), setup = due_table)]
fn close(mut table: Table<()>) -> Table<()> {
    table.advance(black_box(START + 3 * MINUTE));
    table
}

// The same with rows of JSON.
#[library_benchmark]
#[bench::json_rows(args = (ResultBuffer::default(), Table::clear_results), setup = due_table)]
fn encode(mut table: Table) -> Table {
    table.advance(black_box(START + 3 * MINUTE));
    table
}

// Whole lines, as a reader takes them out of a block.
#[library_benchmark]
#[bench::ndjson(args = (LineForm::Json), setup = block)]
#[bench::tabbed(args = (LineForm::Tabbed), setup = block)]
fn decode_lines((form, block): (LineForm, &'static [u8])) -> usize {
    let (mut rest, mut lines) = (black_box(block), 0);
    while let Some((line, taken)) = plain(form, rest) {
        black_box(line);
        rest = &rest[taken..];
        lines += 1;
    }
    lines
}

// Payloads of the log.
#[library_benchmark]
#[bench::xml(setup = xml_payloads)]
#[bench::json(setup = json_payloads)]
fn decode_payloads(payloads: &'static [Vec<u8>]) -> usize {
    payloads.iter().filter(|payload| black_box(wire::decode(black_box(payload))).is_ok()).count()
}

// From text to what runs; many times, because the allocator treats a single time now better, now worse.
#[library_benchmark]
#[bench::seed(setup = parsed_before)]
fn parse(text: &'static str) -> usize {
    (0..PARSES).filter(|_| black_box(compiled(black_box(text))).is_ok()).count()
}

// A node's statistics to points and to a record of them.
#[library_benchmark]
#[bench::node(setup = node_body)]
fn netplugin_record(body: &'static str) -> Vec<u8> {
    let mut record = Vec::with_capacity(body.len());
    if let Ok(stats) = decode(black_box(body.as_bytes()), &Limits::default()) {
        encode_record("192.168.2.10", START, points(&stats), &mut record);
    }
    record
}

// Increases from one scrape to the next.
#[library_benchmark]
#[bench::node(setup = known_node)]
fn netplugin_observe((mut counters, stats): (NodeCounters, ServiceStats)) -> (NodeCounters, ServiceStats) {
    counters.observe(START + MINUTE, black_box(&stats), |increase| {
        black_box(increase);
    });
    (counters, stats)
}

/// A table with every object in its open window, and what comes next.
fn open_table() -> (Table<()>, &'static [DecodedRecord<'static>]) {
    let mut table = Table::with_sink(plan(), settings(), ());
    fill(&mut table, 0);
    let samples = records(UPDATES, OBJECTS, 1).leak();
    let samples: Vec<_> = (OBJECTS..).zip(samples).map(|(position, sample)| decoded(position, sample)).collect();
    (table, samples.leak())
}

/// A table whose third window is due, so that detectors run; what came of the others is taken out with `clear`.
fn due_table<S: ResultSink>(sink: S, clear: fn(&mut Table<S>)) -> Table<S> {
    let mut table = Table::with_sink(plan(), settings(), sink);
    for minute in 0..3 {
        table.advance(START + minute * MINUTE);
        clear(&mut table);
        fill(&mut table, minute);
    }
    table
}

/// One sample of each object in minute `minute`.
fn fill<S: ResultSink>(table: &mut Table<S>, minute: u64) {
    for object in 0..OBJECTS {
        let key = format!("ObjectVNTable:default-domain:tenant-{:04}:vn-{object:06}", object % 1000);
        let at = START + minute * MINUTE;
        let position = Position::new(minute * OBJECTS + object);
        let value = Number::U64(10 + 7 * (object + minute) % 250);
        table.ingest_batch(&[DecodedRecord { position, arrived: at, key: key.as_bytes(), at, value, source: "" }]);
    }
}

fn decoded(position: u64, sample: &'static Generated) -> DecodedRecord<'static> {
    let Generated { key, at, value, .. } = sample;
    DecodedRecord {
        position: Position::new(position),
        arrived: *at,
        key,
        at: *at,
        value: Number::U64(*value),
        source: "",
    }
}

fn block(form: LineForm) -> (LineForm, &'static [u8]) {
    let mut block = Vec::new();
    for Generated { key, payload, at, value } in records(TEXTS, OBJECTS, 1) {
        let key = String::from_utf8_lossy(&key);
        let line = match form {
            LineForm::Json => {
                format!("{{\"ts\":{at},\"key\":\"{key}\",\"attr\":\"egress_flow_count\",\"value\":{value}}}\n")
            }
            LineForm::Tabbed => format!("{key}\t{}\n", String::from_utf8_lossy(&payload)),
        };
        block.extend_from_slice(line.as_bytes());
    }
    (form, block.leak())
}

/// The annotation, once what a first parse sets up for all later ones is there.
fn parsed_before() -> &'static str {
    assert!(compiled(ANNOTATION).is_ok(), "a good annotation");
    ANNOTATION
}

fn compiled(text: &str) -> Result<Spec, AnnotationError> {
    Spec::compile(&Annotation::parse(text)?, Context::new(ValueType::U64))
}

fn node_body() -> &'static str {
    body(NODE, 1).leak()
}

/// The counters of a node after its first scrape, and what the second one says.
fn known_node() -> (NodeCounters, ServiceStats) {
    let read = |scrapes| decode(body(NODE, scrapes).as_bytes(), &Limits::default()).expect("a good body");
    let mut counters = NodeCounters::default();
    counters.observe(START, &read(0), |_| {});
    (counters, read(1))
}

fn xml_payloads() -> &'static [Vec<u8>] {
    records(TEXTS, OBJECTS, 1).into_iter().map(|record| record.payload).collect::<Vec<_>>().leak()
}

fn json_payloads() -> &'static [Vec<u8>] {
    let json = |Generated { at, value, .. }| format!("{{\"ts\":{at},\"value\":{value},\"source\":\"compute-7\"}}");
    records(TEXTS, OBJECTS, 1).into_iter().map(json).map(String::into_bytes).collect::<Vec<_>>().leak()
}

library_benchmark_group!(name = table, benchmarks = [update, close, encode]);
library_benchmark_group!(name = netplugin, benchmarks = [netplugin_record, netplugin_observe]);
library_benchmark_group!(name = text, benchmarks = [decode_lines, decode_payloads, parse]);
main!(
    config = LibraryBenchmarkConfig::default()
        .env("GLIBC_TUNABLES", PLAIN_CPU)
        .tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = [table, netplugin, text]
);
