//! The whole job in one process: XML records of 100,000 Virtual Networks through a table with both built-in types.
//!
//! Not criterion's kind of benchmark: it runs once, for a given number of records (`RECORDS`, 2,000,000 by default),
//! and prints records per core-second and live bytes per object. Generating the input is not counted.

use std::time::Instant;

use benches::{Generated, plan, records, settings};
use proxy_uve::{Position, Record, Table};

const OBJECTS: u64 = 100_000;

/// Records handed over at a time, as a worker does with what it reads.
const CHUNK: usize = 4096;

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn main() {
    let count = std::env::var("RECORDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000_000);
    let records = records(count, OBJECTS, 10);
    let started = Instant::now();
    let (table, results) = run(&records);
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!(table.fates().aggregated, count, "every record counts");
    let objects = table.objects();
    println!("whole job: {count} records, {objects} objects, {results} results in {seconds:.2} s");
    println!("  {:.2} million records per core-second", count as f64 / seconds / 1e6);

    // Apart from the timing, because counting allocations costs time.
    let mut kept = None;
    let memory = allocation_counter::measure(|| kept = Some(run(&records)));
    println!("  {} live bytes per object, results buffer included", memory.bytes_current / objects as i64);
}

fn run(records: &[Generated]) -> (Table, usize) {
    let mut table = Table::new(plan(), settings());
    let mut results = 0;
    for (chunk, records) in (0..).zip(records.chunks(CHUNK)) {
        table.ingest_payloads((chunk * CHUNK as u64..).zip(records).map(|(position, record)| Record {
            position: Position::new(position),
            arrived: record.at,
            key: &record.key,
            payload: &record.payload,
        }));
        if table.pending_results().0 > 0 {
            results += table.drain().count();
            table.clear_results();
        }
    }
    (table, results)
}
