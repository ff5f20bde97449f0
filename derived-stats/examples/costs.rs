//! The table of the costs of every entry of the menu, as docs/src/design/performance.md has it.
//!
//! ```text
//! cargo run --release -p derived-stats --example costs
//! ```
//!
//! The times are the lowest of many rounds, so that other programs on the machine change them little.

use std::hint::black_box;
use std::time::Instant;

use derived_stats::column::{DownstreamColumn, InlineColumn, Reports, WORD, WindowColumn};
use derived_stats::entry::Entry;
use derived_stats::{Context, DETECTOR_CALL, Number, Periods, Silence, SourceId, Spec, ValueType, menu};

const START: u64 = 1_488_000_000_000_000;
const MINUTE: u64 = 60_000_000;
/// The objects of a column, with the samples of a minute each.
const OBJECTS: usize = WORD;
const SAMPLES: u64 = 60;
/// The sources of an object.
const SOURCES: u64 = 3;
/// The values that a detector has learnt from.
const LEARNT: u64 = 20_000;
const ROUNDS: usize = 40;

fn main() {
    println!("| algorithm | bytes | ns a sample | ns a result |");
    println!("|---|---|---|---|");
    for entry in menu() {
        let call = call(entry);
        let [update, close] = [update_nanos(entry, &call), close_nanos(entry, &call)];
        let cell = |nanos: Option<f64>| nanos.map(|nanos| format!("{nanos:.1}")).unwrap_or_default();
        println!("| `{call}` | {} | {} | {} |", bytes(entry, &call), cell(update), cell(close));
    }
}

/// The call of an entry with its required arguments.
fn call(entry: &Entry) -> String {
    let prefix = if entry.roles().detector { format!("{DETECTOR_CALL}:") } else { String::new() };
    let example = entry.example();
    let separator = if example.is_empty() { "" } else { ":" };
    format!("{prefix}{}{separator}{example}", entry.name())
}

fn spec(annotation: &str) -> Spec {
    Spec::parse(annotation, Context::new(ValueType::U64)).expect("a good annotation")
}

/// As the daemon compiles it: the length of the period is known.
fn periodic(annotation: &str) -> Spec {
    let context = Context::new(ValueType::U64).with_periods(Periods::Every { seconds: 60 });
    Spec::parse(annotation, context).expect("a good annotation")
}

/// A value of about the size and the irregularity of flow counts, with a season of a day of minutes.
fn value(n: u64) -> Number {
    let noise = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
    Number::U64(1000 + n / 60 % 24 * 20 + noise)
}

/// The nanoseconds of one of `count` operations of a round: the lowest.
fn nanos(count: usize, mut round: impl FnMut()) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        #[expect(clippy::disallowed_methods, reason = "it measures")]
        let start = Instant::now();
        round();
        start.elapsed().as_secs_f64() * 1e9 / count as f64
    });
    rounds.fold(f64::INFINITY, f64::min)
}

/// A window of all objects with the samples of a minute.
fn window(annotation: &str) -> WindowColumn {
    let mut window = WindowColumn::new(&spec(annotation)).expect("a periodic spec");
    for n in 0..SAMPLES {
        for slot in 0..OBJECTS {
            let source = SourceId::new(n % SOURCES);
            let at = START + n * 1_000_000;
            window.update_from(slot, source, at, value(n * 64 + slot as u64)).expect("a sample");
        }
    }
    window
}

/// The detector of one object, or the window of one, after it has learnt.
fn update_nanos(entry: &Entry, call: &str) -> Option<f64> {
    let step = if entry.roles().detector { MINUTE } else { 1000 };
    let (mut n, mut at) = (0, START);
    let mut next = || {
        (n, at) = (n + 1, at + step);
        (SourceId::new(n % SOURCES), at, value(black_box(n)))
    };
    if entry.roles().inline {
        let mut column = InlineColumn::new(&spec(&format!("raw:{call}")))?;
        let mut update = || {
            let (_, at, value) = next();
            column.update(0, at, value).expect("a sample");
        };
        (0..LEARNT).for_each(|_| update());
        return Some(nanos(1000, || (0..1000).for_each(|_| update())));
    }
    let mut column = WindowColumn::new(&spec(&format!("1-raw:{call}")))?;
    let mut update = || {
        let (source, at, value) = next();
        column.update_from(0, source, at, value).expect("a sample");
    };
    Some(nanos(1000, || (0..1000).for_each(|_| update())))
}

fn close_nanos(entry: &Entry, call: &str) -> Option<f64> {
    let mut reports = Reports::new();
    if entry.roles().detector {
        let annotation = format!("1.DSSum-raw:{call}");
        let (window, mut now) = (window(&annotation), START);
        let mut detectors = DownstreamColumn::new(&periodic(&annotation))?;
        let mut close = || {
            now += MINUTE;
            black_box(detectors.close_many(0, u64::MAX, Some(&window), black_box(now), Silence::Once));
        };
        (0..2000).for_each(|_| close());
        return Some(nanos(100 * OBJECTS, || (0..100).for_each(|_| close())));
    }
    if !entry.roles().period {
        return None;
    }
    let window = window(&format!("1-raw:{call}"));
    let mut close = || window.reports(0, u64::MAX, black_box(START + MINUTE), &mut reports);
    Some(nanos(100 * OBJECTS, || (0..100).for_each(|_| close())))
}

/// The bytes of the state of an object in its column, and those that it allocates after the samples of a minute, or a
/// detector after what it has learnt.
fn bytes(entry: &Entry, call: &str) -> String {
    let (array, all) = match entry.roles().period {
        true => {
            let mut column = WindowColumn::new(&spec(&format!("1-raw:{call}"))).expect("a periodic spec");
            column.reserve(OBJECTS);
            let mut filled = window(&format!("1-raw:{call}"));
            filled.shrink(OBJECTS);
            (column.bytes(), filled.bytes())
        }
        false => {
            let mut column = InlineColumn::new(&spec(&format!("raw:{call}"))).expect("an inline spec");
            column.reserve(OBJECTS);
            let array = column.bytes();
            for n in 0..SAMPLES * OBJECTS as u64 {
                let slot = n as usize % OBJECTS;
                column.update(slot, START + n * MINUTE, value(n)).expect("a sample");
            }
            (array, column.bytes())
        }
    };
    match (array / OBJECTS, all.saturating_sub(array) / OBJECTS) {
        (array, 0) => array.to_string(),
        (array, heap) => format!("{array}, and {heap} allocated"),
    }
}
