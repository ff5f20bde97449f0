//! The close of a window with the detector `Seasonal` while ingestion goes on: 1,000,000 objects, or `OBJECTS`.
//!
//! A table of `AggProxySeasonal` ingests a value of each object a minute, for 70 minutes: by then each signal has its
//! calibration, except that of the variance over 128 values, which starts after 306. Then the window of all objects
//! closes in parts, beside batches of 64 records. Times are CPU times of the thread, so that neighbours make less noise.
//!
//! A million objects take 4 GB.

use std::sync::Arc;

use benches::{MINUTE, START, settings};
use derived_stats::Number;
use proxy_uve::schema::Schema;
use proxy_uve::{DecodedRecord, Plan, Position, StreamName, Table};

/// Windows before the measured ones.
const WARM_UP: u64 = 70;

/// Windows that are measured.
const ROUNDS: u64 = 3;

/// Records of a batch, and objects that a record closes.
const BATCH: u64 = 64;

fn main() {
    let objects = std::env::var("OBJECTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let keys: Vec<String> = (0..objects).map(|object| format!("ObjectVNTable:default-domain:vn-{object:08}")).collect();
    let mut feed =
        Feed { table: Table::new(plan(), settings().with_close_per_record(BATCH as usize)), keys, records: 0 };
    let mut minute = 0;
    for _ in 0..WARM_UP {
        feed.fill(minute);
        minute += 1;
        feed.table.advance(START + minute * MINUTE);
        feed.table.clear_results();
    }
    println!(
        "| {objects} objects with `Seasonal` | CPU, s | records meanwhile | mean, worst pause, ms |\n|---|---|---|---|"
    );
    for round in 1..=ROUNDS {
        feed.fill(minute);
        minute += 1;
        let times = feed.close(minute);
        let (sum, worst) = (times.iter().sum::<f64>(), times.iter().copied().fold(0.0, f64::max));
        let mean = sum / times.len() as f64;
        let records = times.len() as u64 * BATCH;
        println!("| close {round} | {sum:.3} | {records} | {:.1}, {:.1} |", 1e3 * mean, 1e3 * worst);
    }
}

/// The detector on the sum of each minute.
fn plan() -> Arc<Plan> {
    let types: Vec<_> = Schema::extended().get("AggProxySeasonal").cloned().into_iter().collect();
    Arc::new(Plan::new(StreamName::new("S", "a").expect("a valid name"), &types))
}

/// CPU time of this thread in seconds.
fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// A table and the keys of its objects.
struct Feed {
    table: Table,
    keys: Vec<String>,
    /// The number of records so far.
    records: u64,
}

impl Feed {
    /// Ingests a value of each of these objects.
    fn ingest(&mut self, minute: u64, objects: std::ops::Range<u64>) {
        let records: Vec<_> = objects
            .zip(self.records + 1..)
            .map(|(object, position)| DecodedRecord {
                position: Position::new(position),
                arrived: START + minute * MINUTE,
                key: self.keys[object as usize].as_bytes(),
                at: START + minute * MINUTE,
                value: Number::U64(1000 + (object + minute * 1_000_003).wrapping_mul(0x9e37_79b9_7f4a_7c15) % 512),
                source: "",
            })
            .collect();
        self.table.ingest_batch(&records);
        self.records += records.len() as u64;
    }

    /// Ingests a value of every object.
    fn fill(&mut self, minute: u64) {
        let count = self.keys.len() as u64;
        for first in (0..count).step_by(65_536) {
            self.ingest(minute, first..(first + 65_536).min(count));
        }
    }

    /// The times of the batches of the next minute, until the window before it is closed.
    fn close(&mut self, minute: u64) -> Vec<f64> {
        let (mut times, count) = (Vec::new(), self.keys.len() as u64);
        while times.is_empty() || self.table.is_closing() {
            let first = times.len() as u64 * BATCH % count;
            let before = cpu();
            self.ingest(minute, first..(first + BATCH).min(count));
            times.push(cpu() - before);
            // As an owner does who passes results on.
            self.table.clear_results();
        }
        times
    }
}
