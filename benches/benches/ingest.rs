//! What a request of 500 samples costs in instructions by each of two inputs, from its body to the table: the difference is
//! that of the inputs, as what HTTP and the disk cost is the same for both.
//!
//! `.ci/instructions` counts it as `instructions.rs`, and holds the ratio of the two. It is a program of its own, so that the
//! crates of the daemon change nothing in what the others are compiled to.

#![expect(unused_qualifications, reason = "the macros of the benchmark crate write paths in full")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use benches::{Generated, MINUTE, START, plan, records, settings};
use daemon_formats::remote_write::{self, Version, sent};
use daemon_formats::{Limits, METRIC_NAME};
use daemon_log::AppendBatch;
use daemon_sources::intake::{Intake, PayloadForm};
use daemon_sources::mapping::{Kind, Mapping, Rule, StreamConfig, TypeName, Writer};
use gungraun::{Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use proxy_uve::{Fate, Position, Record, Table};

/// The series of a request, each with one sample.
const SERIES: u64 = 500;

/// The C library has a `memcpy` and a `memcmp` for each generation of CPUs. With these it takes the plain ones on all.
const PLAIN_CPU: &str = "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM,-SSSE3,-SSE4_1,-SSE4_2";

#[library_benchmark]
#[bench::lines(setup = request_of_lines)]
#[bench::remote_write(setup = request_of_series)]
fn ingest_request((take, mut path, body): Request) -> Path {
    take(&mut path, black_box(body));
    path
}

/// What takes the requests.
struct Path {
    intake: Intake,
    mapping: Mapping,
    batch: AppendBatch,
    table: Table<()>,
    /// The position of the next record.
    next: u64,
}

impl Path {
    /// One stream with both built-in types, as lines and as gauges, whose table has every object.
    fn new() -> Self {
        let plan = plan();
        let config = StreamConfig {
            name: "UveVirtualNetworkAgent".to_owned(),
            metric: "egress_flow_count".to_owned(),
            object: vec!["object".to_owned()],
            table: "ObjectVNTable".to_owned(),
            kind: Kind::Gauge,
            value_type: TypeName::U64,
            aggregations: vec!["AggProxySum".to_owned()],
            ..StreamConfig::default()
        };
        let rule = Rule::compile(&config).expect("a good stream");
        assert_eq!(rule.stream(), plan.stream(), "one stream for both");
        let intake = Intake::new([(&plan, 0)], 1, PayloadForm::Stored, Duration::from_secs(10));
        let mapping = Mapping::new(&[rule], &intake, Duration::ZERO, Arc::default(), Arc::default());
        let batch = AppendBatch::new(START + MINUTE);
        let mut path = Self { intake, mapping, batch, table: Table::with_sink(plan, settings(), ()), next: 0 };
        path.take_lines(&lines(&records(SERIES, SERIES, 1)));
        path.batch = AppendBatch::new(START + MINUTE);
        path
    }

    /// Takes a body of lines.
    fn take_lines(&mut self, body: &[u8]) {
        let (mut rest, mut scratch) = (body, Vec::new());
        while !rest.is_empty() {
            let (taken, outcome) = self.intake.push_first(rest, &mut self.batch, &mut scratch);
            assert!(matches!(outcome, Some(Ok(()))), "a good line");
            rest = rest.get(taken..).unwrap_or_default();
        }
        self.apply();
    }

    /// Takes a request of remote write.
    fn take_series(&mut self, body: &[u8]) {
        let limits = Limits::default();
        let body = remote_write::decompress(body, &limits).expect("snappy");
        let mut writer = Writer::new(&self.mapping, &self.intake, &mut self.batch);
        let request = remote_write::decode(Version::V1, &body, limits).expect("a request");
        request.series(|series| writer.push(&series.expect("a good series"))).expect("a request");
        let tally = writer.finish().expect("no replica");
        assert_eq!((tally.stored, tally.rejected), (SERIES, 0), "all are stored");
        self.apply();
    }

    /// The records of the batch, as a worker reads them back.
    fn apply(&mut self) {
        let arrived = self.batch.appended_at();
        for (_, key, payload) in self.batch.records() {
            let fate = self.table.ingest(&Record { position: Position::new(self.next), arrived, key, payload });
            assert_eq!(fate, Fate::Aggregated, "a sample that counts");
            self.next += 1;
        }
    }
}

/// A request: what takes it, where, and its body.
type Request = (fn(&mut Path, &[u8]), Path, &'static [u8]);

/// A request of lines of JSON.
fn request_of_lines() -> Request {
    (Path::take_lines, Path::new(), lines(&records(SERIES, SERIES, 1)).leak())
}

/// A request of remote write with the same samples and the labels of a small exporter.
fn request_of_series() -> Request {
    let (mut request, mut labels) = (Vec::new(), Vec::new());
    for Generated { key, at, value, .. } in records(SERIES, SERIES, 1) {
        let key = String::from_utf8(key).expect("UTF-8");
        let (_, object) = key.split_once(':').expect("a table");
        labels.clear();
        let mut pairs = [
            (METRIC_NAME, "egress_flow_count".into()),
            ("instance", "exporter.example:9100".into()),
            ("job", "exporter".into()),
            ("object", object.into()),
        ];
        sent::labels(&mut pairs, &mut labels);
        sent::series(&labels, value as f64, (at / 1000).cast_signed(), &mut request);
    }
    (Path::take_series, Path::new(), sent::compressed(&request).expect("a small request").leak())
}

fn lines(records: &[Generated]) -> Vec<u8> {
    let mut body = Vec::new();
    for Generated { key, at, value, .. } in records {
        let key = String::from_utf8_lossy(key);
        let line = format!("{{\"ts\":{at},\"key\":\"{key}\",\"attr\":\"egress_flow_count\",\"value\":{value}}}\n");
        body.extend_from_slice(line.as_bytes());
    }
    body
}

library_benchmark_group!(name = requests, benchmarks = [ingest_request]);
main!(
    config = LibraryBenchmarkConfig::default()
        .env("GLIBC_TUNABLES", PLAIN_CPU)
        .tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = [requests]
);
