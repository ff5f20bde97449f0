//! What each way to embed the library costs: updates of random objects, the close of a period with a detector, and
//! bytes per object, next to the same job written by hand.
//!
//! Ways without a key take the number of an object; the others take its key, which lies next to the other keys of the
//! input, as in a message. Times are CPU times of the thread, the best of several rounds. `OBJECTS` sets the size.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use allocation_counter::measure;
use benches::{MINUTE, START, SplitMix64, settings};
use derived_stats::column::{DownstreamColumn, Reports, Update, WORD, WindowColumn};
use derived_stats::{Context, Number, Silence, Spec, State, ValueType};
use foldhash::fast::FixedState;
use proxy_uve::schema::Schema;
use proxy_uve::{AttributeResult, DecodedRecord, Plan, Position, ResultSink, StreamName, Subject, Table, TableSet};

const ANNOTATION: &str = "1.DSSum-raw:DSAnomaly:EWM:0.1";
const ALPHA: f64 = 0.1;

/// Updates that are made, then timed, at a time.
const CHUNK: usize = 65_536;

/// Chunks of updates, and closes, that are timed.
const ROUNDS: usize = 16;
const CLOSES: usize = 5;

/// Records of a batch.
const BATCH: usize = 256;

/// Metrics of the same objects.
const METRICS: usize = 3;

fn main() {
    let objects = std::env::var("OBJECTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    println!("| {objects} objects | update, ns | close, ns an object | bytes an object |\n|---|---|---|---|");
    row("a `Vec` of structs, by hand", objects, ByHand::new);
    row("columns, one by one", objects, |_| Columns::<1>::new());
    row("columns, batches of 256", objects, |_| Columns::<BATCH>::new());
    row("`Spec` with a `Vec<State>`, one by one", objects, States::<1>::new);
    row("`Spec` with a `Vec<State>`, batches of 256", objects, States::<BATCH>::new);
    row("a hash map with boxed keys, by hand", objects, |_| Mapped::default());
    row("`Table`, single records", objects, |_| Objects::<1>::new());
    row("`Table`, batches of 256", objects, |_| Objects::<BATCH>::new());
    row("three `Table`s, an update of each", objects, |_| Tables([(); METRICS].map(|()| Objects::new())));
    row("`TableSet`, an update of three metrics", objects, |_| Set::new());
}

/// One way to keep the objects.
trait Way {
    fn update(&mut self, input: &Input);
    /// Ends the minute.
    fn close(&mut self, end: u64);
}

/// Updates in the order in which they come.
struct Input {
    updates: Vec<Update>,
    /// The keys of the updates, side by side.
    keys: Vec<u8>,
    key_len: usize,
}

impl Input {
    fn new(objects: impl Iterator<Item = u64>, at: u64) -> Self {
        let key = |object: u64| format!("ObjectVNTable:default-domain:tenant-{:04}:vn-{object:08}", object % 1000);
        let (mut updates, mut keys) = (Vec::new(), Vec::new());
        for object in objects {
            updates.push(Update { slot: object as u32, at, value: Number::U64(10 + object % 250) });
            keys.extend_from_slice(key(object).as_bytes());
        }
        Self { updates, keys, key_len: key(0).len() }
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &Update)> {
        self.keys.chunks_exact(self.key_len).zip(&self.updates)
    }
}

fn row<W: Way>(name: &str, objects: u64, start: impl FnOnce(usize) -> W) {
    let mut way = None;
    // The second fill is for what a first close allocates.
    let memory = measure(|| {
        let mut filled = start(objects as usize);
        fill(&mut filled, objects, START);
        filled.close(START + MINUTE);
        fill(&mut filled, objects, START + MINUTE);
        way = Some(filled);
    });
    let Some(mut way) = way else { return };
    let mut random = SplitMix64(42);
    let update = best(ROUNDS, CHUNK as u64, || {
        let input = Input::new((0..CHUNK).map(|_| random.below(objects)), START + MINUTE);
        timed(|| way.update(&input))
    });
    let mut minute = 2;
    let close = best(CLOSES, objects, || {
        let (time, ()) =
            (timed(|| way.close(START + minute * MINUTE)), fill(&mut way, objects, START + minute * MINUTE));
        minute += 1;
        time
    });
    println!("| {name} | {update:.0} | {close:.0} | {:.0} |", memory.bytes_current as f64 / objects as f64);
}

fn fill(way: &mut impl Way, objects: u64, at: u64) {
    for first in (0..objects).step_by(CHUNK) {
        way.update(&Input::new(first..(first + CHUNK as u64).min(objects), at));
    }
}

/// The least time of an item, in nanoseconds.
fn best(rounds: usize, items: u64, mut round: impl FnMut() -> f64) -> f64 {
    (0..rounds).map(|_| round() / items as f64).fold(f64::INFINITY, f64::min)
}

/// CPU time of this thread that `work` takes, in nanoseconds.
fn timed(work: impl FnOnce()) -> f64 {
    let cpu = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    };
    let before = cpu();
    work();
    cpu() - before
}

/// A sum and its detector, by hand.
#[derive(Clone, Copy, Default)]
struct Cell {
    sum: u64,
    samples: u64,
    mean: f64,
    variance: f64,
}

impl Cell {
    fn add(&mut self, value: Number) {
        if let Number::U64(value) = value {
            self.sum = self.sum.saturating_add(value);
            self.samples += 1;
        }
    }

    /// The value's distance from the mean in standard deviations.
    fn close(&mut self) -> f64 {
        let (value, difference) = (self.sum as f64, self.sum as f64 - self.mean);
        self.variance = (1.0 - ALPHA) * (self.variance + ALPHA * difference * difference);
        self.mean = (1.0 - ALPHA) * self.mean + ALPHA * value;
        self.sum = 0;
        let deviation = self.variance.sqrt();
        if deviation == 0.0 { 0.0 } else { (value - self.mean) / deviation }
    }
}

struct ByHand(Vec<Cell>);

impl ByHand {
    fn new(objects: usize) -> Self {
        Self(vec![Cell::default(); objects])
    }
}

impl Way for ByHand {
    fn update(&mut self, input: &Input) {
        input.updates.iter().for_each(|update| self.0[update.slot as usize].add(update.value));
    }

    fn close(&mut self, _: u64) {
        self.0.iter_mut().for_each(|cell| _ = black_box(cell.close()));
    }
}

#[derive(Default)]
struct Mapped(HashMap<Box<[u8]>, Cell, FixedState>);

impl Way for Mapped {
    fn update(&mut self, input: &Input) {
        for (key, update) in input.iter() {
            match self.0.get_mut(key) {
                Some(cell) => cell.add(update.value),
                None => self.0.entry(key.into()).or_default().add(update.value),
            }
        }
    }

    fn close(&mut self, _: u64) {
        self.0.values_mut().for_each(|cell| _ = black_box(cell.close()));
    }
}

fn spec() -> Spec {
    Spec::parse(ANNOTATION, Context::new(ValueType::U64)).expect("a good annotation")
}

/// States with updates in batches of `B`.
struct States<const B: usize> {
    spec: Spec,
    states: Vec<State>,
}

impl<const B: usize> States<B> {
    fn new(objects: usize) -> Self {
        let spec = spec();
        Self { states: (0..objects).map(|_| spec.start()).collect(), spec }
    }
}

impl<const B: usize> Way for States<B> {
    fn update(&mut self, input: &Input) {
        if B > 1 {
            let (spec, states) = (&self.spec, &mut self.states);
            let update = |batch| spec.update_all(states, batch).expect("values of u64");
            return input.updates.chunks(B).for_each(update);
        }
        for &Update { slot, at, value } in &input.updates {
            self.spec.update(&mut self.states[slot as usize], at, value).expect("a u64");
        }
    }

    fn close(&mut self, end: u64) {
        for state in &mut self.states {
            black_box(self.spec.close(state, end, Silence::Once));
        }
    }
}

/// Columns with updates in batches of `B`.
struct Columns<const B: usize> {
    running: WindowColumn,
    detectors: DownstreamColumn,
    reports: Reports,
    slots: usize,
}

impl<const B: usize> Columns<B> {
    fn new() -> Self {
        let spec = spec();
        let running = WindowColumn::new(&spec).expect("a periodic spec");
        let detectors = DownstreamColumn::new(&spec).expect("a spec with a detector");
        Self { running, detectors, reports: Reports::new(), slots: 0 }
    }
}

impl<const B: usize> Way for Columns<B> {
    fn update(&mut self, input: &Input) {
        let last = input.updates.iter().map(|update| update.slot as usize + 1).max();
        self.slots = self.slots.max(last.unwrap_or(0));
        if B == 1 {
            for &Update { slot, at, value } in &input.updates {
                self.running.update(slot as usize, at, value).expect("a u64");
            }
        } else {
            input.updates.chunks(B).for_each(|batch| self.running.update_all(batch).expect("values of u64"));
        }
    }

    fn close(&mut self, end: u64) {
        for word in 0..self.slots.div_ceil(WORD) {
            let here = u64::MAX >> (WORD - (self.slots - word * WORD).min(WORD));
            let fed = self.detectors.close_many(word, here, Some(&self.running), end, Silence::Once);
            self.detectors.reports(word, fed, end, &mut self.reports);
            (0..WORD).for_each(|bit| _ = black_box(self.reports.get(bit)));
            self.running.clear_many(word * WORD, WORD);
        }
    }
}

/// A table with records in batches of `B`.
struct Objects<const B: usize> {
    table: Table<Seen>,
    position: u64,
}

/// Looks at results and drops them.
struct Seen;

impl ResultSink for Seen {
    fn begin(&mut self, _: &Subject<'_>) {}

    fn attribute(&mut self, _: &Subject<'_>, result: &AttributeResult<'_>) {
        black_box(result);
    }

    fn end(&mut self, _: &Subject<'_>) {}
}

fn plan() -> Arc<Plan> {
    let types: Vec<_> = Schema::builtin().get("AggProxySumAnomalyEWM01").cloned().into_iter().collect();
    Arc::new(Plan::new(StreamName::new("S", "a").expect("a valid name"), &types))
}

/// The updates as records, the first one after `position`.
fn records(input: &Input, position: u64) -> impl Iterator<Item = DecodedRecord<'_>> {
    (position + 1..).map(Position::new).zip(input.iter()).map(|(position, (key, &Update { at, value, .. }))| {
        DecodedRecord { position, arrived: at, key, at, value, source: "" }
    })
}

/// Gives the updates to `ingest` in batches of `B`.
fn in_batches<const B: usize>(input: &Input, position: u64, mut ingest: impl FnMut(&[DecodedRecord<'_>])) {
    let (mut records, mut batch) = (records(input, position), Vec::with_capacity(B));
    while {
        batch.clear();
        batch.extend(records.by_ref().take(B));
        !batch.is_empty()
    } {
        ingest(&batch);
    }
}

impl<const B: usize> Objects<B> {
    fn new() -> Self {
        Self { table: Table::with_sink(plan(), settings(), Seen), position: 0 }
    }
}

impl<const B: usize> Way for Objects<B> {
    fn update(&mut self, input: &Input) {
        if B == 1 {
            records(input, self.position).for_each(|record| _ = black_box(self.table.ingest_decoded(&record)));
        } else {
            in_batches::<B>(input, self.position, |batch| _ = self.table.ingest_batch(batch));
        }
        self.position += input.updates.len() as u64;
    }

    fn close(&mut self, end: u64) {
        self.table.advance(end);
    }
}

/// A table for each metric; every update is one of each metric.
struct Tables([Objects<BATCH>; METRICS]);

impl Way for Tables {
    fn update(&mut self, input: &Input) {
        self.0.iter_mut().for_each(|table| table.update(input));
    }

    fn close(&mut self, end: u64) {
        self.0.iter_mut().for_each(|table| table.close(end));
    }
}

/// The same metrics under one key map.
struct Set {
    set: TableSet<Seen>,
    position: u64,
}

impl Set {
    fn new() -> Self {
        let metrics = [(); METRICS].map(|()| (plan(), Seen));
        Self { set: TableSet::with_sinks(metrics, settings()), position: 0 }
    }
}

impl Way for Set {
    fn update(&mut self, input: &Input) {
        for metric in 0..METRICS {
            let mut metric = self.set.metric_mut(metric).expect("one of three");
            in_batches::<BATCH>(input, self.position, |batch| _ = metric.ingest_batch(batch));
        }
        self.position += input.updates.len() as u64;
    }

    fn close(&mut self, end: u64) {
        for metric in 0..METRICS {
            self.set.metric_mut(metric).expect("one of three").advance(end);
        }
    }
}
