//! What the design aims for, one figure each: batches of updates at 1,000 to 10,000,000 objects, closing, the pause
//! that closing makes, a message with both built-in types, saving and restoring.
//!
//! Not criterion's kind of benchmark: the tables are too large to be made anew for every sample. Times are CPU times of
//! the thread, so that neighbours make less noise; each is the best of a few rounds. `OBJECTS` limits the size.

use std::sync::Arc;

use benches::{MINUTE, START, SplitMix64, plan, settings};
use derived_stats::Number;
use proxy_uve::schema::Schema;
use proxy_uve::wire::encode_xml;
use proxy_uve::{AttributeResult, DecodedRecord, Plan, Position, Record, ResultSink, StreamName, Subject, Table};

/// Records that are made, then timed, at a time.
const CHUNK: usize = 65_536;

/// Chunks that are timed.
const ROUNDS: usize = 16;

fn main() {
    let limit = std::env::var("OBJECTS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000_000);
    println!("| objects | ingest_batch, ns a record | XML payload, ns a record |");
    println!("|---|---|---|");
    for objects in [1_000, 10_000, 100_000, 1_000_000, 10_000_000].into_iter().filter(|&objects| objects <= limit) {
        let keys = Keys::new(objects);
        let mut table = filled(&keys, plan());
        let batch = per_record(&keys, &mut table, decoded);
        let payload = per_record(&keys, &mut table, payloads);
        println!("| {objects} | {batch:.1} | {payload:.1} |");
    }
    let objects = limit.min(1_000_000);
    let keys = Keys::new(objects);
    println!("\n| {objects} objects | |\n|---|---|");
    println!("| close, detector, state only | {:.1} ns an object |", close(&keys, detector(), ()));
    println!("| close, detector, results made and dropped | {:.1} ns an object |", close(&keys, detector(), Dropped));
    println!("| close, both built-in types, JSON | {:.1} ns an object |", close_json(&keys));
    let (mean, worst) = pause(&keys);
    println!("| a batch of 64 records while the window closes | {mean:.0} us on average, {worst:.0} us at worst |");
    let (save, restore) = snapshot(&keys);
    println!("| save, restore | {save:.2}, {restore:.2} million objects a second |");
}

/// CPU time of this thread in nanoseconds.
fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// How long `work` takes, in nanoseconds, and what it gives.
fn timed<R>(work: impl FnOnce() -> R) -> (f64, R) {
    let before = cpu();
    let result = work();
    (cpu() - before, result)
}

/// Keys of 50 bytes and a little more.
struct Keys {
    bytes: Vec<u8>,
    len: usize,
    count: u64,
}

impl Keys {
    fn new(count: u64) -> Self {
        let key = |object| format!("ObjectVNTable:default-domain:tenant-{:04}:vn-{object:08}", object % 1000);
        let bytes: Vec<u8> = (0..count).flat_map(|object| key(object).into_bytes()).collect();
        Self { len: bytes.len() / count as usize, bytes, count }
    }

    fn key(&self, object: u64) -> &[u8] {
        &self.bytes[object as usize * self.len..][..self.len]
    }

    /// The keys of random objects, side by side as in a message.
    fn random(&self, random: &mut SplitMix64, count: usize) -> Vec<u8> {
        (0..count).flat_map(|_| self.key(random.below(self.count)).to_vec()).collect()
    }
}

/// A table with every object in the window at hand.
fn filled(keys: &Keys, plan: Arc<Plan>) -> Table {
    let mut table = Table::new(plan, settings());
    fill(keys, &mut table, START, 0);
    table
}

fn fill<S: ResultSink>(keys: &Keys, table: &mut Table<S>, at: u64, from: u64) {
    for start in (0..keys.count).step_by(CHUNK) {
        let objects = start..(start + CHUNK as u64).min(keys.count);
        let records: Vec<_> = objects
            .map(|object| DecodedRecord {
                position: Position::new(from + object + 1),
                arrived: at,
                key: keys.key(object),
                at,
                value: Number::U64(object % 1000),
                source: "",
            })
            .collect();
        table.ingest_batch(&records);
    }
}

/// The best time of a record, over some chunks of records of random objects.
fn per_record(keys: &Keys, table: &mut Table, round: impl Fn(&Keys, &mut Table, &[u8], u64) -> f64) -> f64 {
    let mut random = SplitMix64(keys.count);
    let times = (0..ROUNDS).map(|_| {
        let chunk = keys.random(&mut random, CHUNK);
        let position = table.position().map_or(0, Position::get) + 1;
        round(keys, table, &chunk, position) / CHUNK as f64
    });
    times.fold(f64::INFINITY, f64::min)
}

fn decoded(keys: &Keys, table: &mut Table, chunk: &[u8], position: u64) -> f64 {
    let records: Vec<_> = (position..)
        .map(Position::new)
        .zip(chunk.chunks_exact(keys.len))
        .map(|(position, key)| DecodedRecord {
            position,
            arrived: START,
            key,
            at: START,
            value: Number::U64(7),
            source: "",
        })
        .collect();
    timed(|| table.ingest_batch(&records)).0
}

fn payloads(keys: &Keys, table: &mut Table, chunk: &[u8], position: u64) -> f64 {
    let stream = StreamName::new("UveVirtualNetworkAgent", "egress_flow_count").expect("a valid name");
    let mut payload = Vec::new();
    encode_xml(&stream, derived_stats::ValueType::U64, START, Number::U64(36), &mut payload).expect("a finite value");
    let size = payload.len();
    let payloads = payload.repeat(CHUNK);
    let records: Vec<_> = (position..)
        .map(Position::new)
        .zip(chunk.chunks_exact(keys.len).zip(payloads.chunks_exact(size)))
        .map(|(position, (key, payload))| Record { position, arrived: START, key, payload })
        .collect();
    timed(|| table.ingest_payloads(records)).0
}

/// Takes results and drops them.
#[derive(Debug)]
struct Dropped;

impl ResultSink for Dropped {
    fn begin(&mut self, _: &Subject<'_>) {}

    fn attribute(&mut self, _: &Subject<'_>, result: &AttributeResult<'_>) {
        std::hint::black_box(result);
    }

    fn end(&mut self, _: &Subject<'_>) {}
}

/// A plan with the detector alone.
fn detector() -> Arc<Plan> {
    let schema = Schema::builtin();
    let types: Vec<_> = schema.get("AggProxySumAnomalyEWM01").cloned().into_iter().collect();
    Arc::new(Plan::new(StreamName::new("S", "a").expect("a valid name"), &types))
}

/// The best time that an object takes when its window closes.
fn close<S: ResultSink>(keys: &Keys, plan: Arc<Plan>, sink: S) -> f64 {
    let mut table = Table::with_sink(plan, settings(), sink);
    let times = (0..6).map(|minute| {
        fill(keys, &mut table, START + minute * MINUTE, minute * keys.count);
        timed(|| table.advance(START + (minute + 1) * MINUTE)).0 / keys.count as f64
    });
    times.fold(f64::INFINITY, f64::min)
}

fn close_json(keys: &Keys) -> f64 {
    let mut table = Table::new(plan(), settings());
    // Past the warm-up of ten periods both types have a result.
    let times = (0..14).map(|minute| {
        fill(keys, &mut table, START + minute * MINUTE, minute * keys.count);
        let (time, ()) = timed(|| table.advance(START + (minute + 1) * MINUTE));
        table.clear_results();
        if minute < 11 { f64::INFINITY } else { time / keys.count as f64 }
    });
    times.fold(f64::INFINITY, f64::min)
}

/// How long batches of 64 records take while the window of all objects closes beside them: on average and at worst.
fn pause(keys: &Keys) -> (f64, f64) {
    let settings = settings().with_close_per_record(64);
    let mut table = Table::new(plan(), settings);
    let mut position = 0;
    for minute in 0..12 {
        fill(keys, &mut table, START + minute * MINUTE, position);
        position += keys.count + 1;
        table.advance(START + (minute + 1) * MINUTE);
        table.clear_results();
    }
    fill(keys, &mut table, START + 12 * MINUTE, position);
    position += keys.count;
    let at = START + 13 * MINUTE;
    let mut times = Vec::new();
    while times.is_empty() || table.is_closing() {
        let record = |n: u64| {
            let position = Position::new(position + n + 1);
            DecodedRecord {
                position,
                arrived: at,
                key: keys.key(n % keys.count),
                at,
                value: Number::U64(1),
                source: "",
            }
        };
        let records: Vec<_> = (0..64).map(record).collect();
        times.push(timed(|| table.ingest_batch(&records)).0 / 1000.0);
        position += 64;
        // As an owner does who passes results on.
        table.clear_results();
    }
    (times.iter().sum::<f64>() / times.len() as f64, times.into_iter().fold(0.0, f64::max))
}

/// Millions of objects saved and restored in a second.
fn snapshot(keys: &Keys) -> (f64, f64) {
    let mut table = filled(keys, plan());
    table.advance(START + MINUTE);
    table.clear_results();
    fill(keys, &mut table, START + MINUTE, keys.count);
    let (save, snapshot) = timed(|| table.snapshot());
    let chunks = || snapshot.chunks.iter().filter_map(|(chunk, bytes)| Some((*chunk, bytes.as_deref()?)));
    let (restore, restored) = timed(|| Table::restore(plan(), settings(), &snapshot.meta, chunks()));
    assert_eq!(restored.map(|(table, _)| table.objects() as u64), Ok(keys.count));
    (keys.count as f64 * 1000.0 / save, keys.count as f64 * 1000.0 / restore)
}
