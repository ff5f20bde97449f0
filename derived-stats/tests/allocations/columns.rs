//! Columns of known size do not allocate, and they report the bytes that they have allocated.

use std::hint::black_box;
use std::sync::Arc;

use allocation_counter::measure;
use derived_stats::column::{CounterColumn, DownstreamColumn, InlineColumn, MapColumn, Reports, WindowColumn};
use derived_stats::entry::{Argument, ArgumentKind, Entry};
use derived_stats::{Output, Record, Report, Silence, Spec, menu};

use crate::{SECOND, allocations, calls, grows, has_range, inline, periodic, sample, specs};

const SLOTS: usize = 200;

#[test]
fn reserved_columns_allocate_nothing_as_they_grow_and_free_memory_as_they_shrink() {
    for annotation in inline().iter().chain(&periodic()) {
        for spec in specs(annotation).iter().filter(|spec| !allocates(spec)) {
            let mut kept = None;
            let grown = measure(|| kept = Some(Columns::new(spec, SLOTS)));
            let mut columns = kept.unwrap();
            let used = allocations(|| (0..SLOTS).for_each(|slot| columns.fill(spec, slot)));
            assert_eq!(used, 0, "{}", spec.identity());
            let shrunk = measure(|| columns.shrink(SLOTS / 2));
            let given_back = -shrunk.bytes_current;
            assert!(given_back * 3 > grown.bytes_current, "{given_back} of {grown:?} of {}", spec.identity());
        }
    }
}

/// Whether an object allocates.
fn allocates(spec: &Spec) -> bool {
    has_range(spec) || grows(spec)
}

/// The columns of a spec.
struct Columns {
    counters: CounterColumn,
    downstream: Option<DownstreamColumn>,
    inline: Option<InlineColumn>,
    window: Option<WindowColumn>,
}

impl Columns {
    fn new(spec: &Spec, slots: usize) -> Self {
        let mut columns = Self {
            counters: CounterColumn::new(spec),
            downstream: DownstreamColumn::new(spec),
            inline: InlineColumn::new(spec),
            window: WindowColumn::new(spec),
        };
        columns.counters.reserve(slots);
        columns.downstream.iter_mut().for_each(|column| column.reserve(slots));
        columns.inline.iter_mut().for_each(|column| column.reserve(slots));
        columns.window.iter_mut().for_each(|column| column.reserve(slots));
        columns
    }

    fn fill(&mut self, spec: &Spec, slot: usize) {
        self.counters.update(slot, sample(spec, 1), |_| Ok(())).unwrap();
        self.inline.iter_mut().for_each(|column| column.update(slot, 0, sample(spec, 1)).unwrap());
        self.window.iter_mut().for_each(|column| column.update(slot, 0, sample(spec, 1)).unwrap());
        if let (Some(downstream), Some(window)) = (&mut self.downstream, &self.window) {
            downstream.close(slot, window, 0, Silence::Once);
        }
    }

    fn shrink(&mut self, slots: usize) {
        self.counters.shrink(slots);
        self.downstream.iter_mut().for_each(|column| column.shrink(slots));
        self.inline.iter_mut().for_each(|column| column.shrink(slots));
        self.window.iter_mut().for_each(|column| column.shrink(slots));
    }
}

/// The calls of an entry with the largest number of numbers in its results: with its required arguments, and with all.
fn largest_calls(entry: &Entry) -> [String; 2] {
    let text = |argument: &Argument| match argument.kind() {
        ArgumentKind::List { most } => (1..=most).map(|part| part.to_string()).collect::<Vec<_>>().join(","),
        ArgumentKind::Whole { most, .. } if argument.is_required() => most.to_string(),
        _ => crate::text(argument),
    };
    let call = |arguments: Vec<String>| [vec![entry.name().to_owned()], arguments].concat().join(":");
    let all = entry.argument_list();
    let required = all.iter().filter(|argument| argument.is_required()).map(text).collect();
    [call(required), call(all.iter().map(text).collect())]
}

/// A result with many numbers takes a box. The results of a column, one after the other, need it once.
#[test]
fn results_of_columns_allocate_nothing_however_many_numbers_they_have() {
    let entries = menu().iter().filter(|entry| entry.roles().period);
    let mut most = 0;
    for call in entries.flat_map(|entry| largest_calls(entry)) {
        for spec in specs(&format!("1-raw:{call}")).iter().filter(|spec| !(grows(spec) && has_range(spec))) {
            let mut window = WindowColumn::new(spec).unwrap();
            for n in 0..300 {
                (0..8).for_each(|slot| window.update(slot, n * SECOND / 100, sample(spec, n)).unwrap());
            }
            let (now, mut reports) = (3 * SECOND, Reports::new());
            window.reports(0, u64::MAX, now, &mut reports);
            most = most.max(reports.get(7).and_then(|report| report.any().map(Record::len)).unwrap_or(0));
            let again = allocations(|| window.reports(0, u64::MAX, now, &mut reports));
            assert_eq!(again, 0, "{}", spec.identity());
        }
    }
    assert_eq!(most, Record::MAX_NUMBERS);
}

/// A detector takes one number of a result, which may have many.
#[test]
fn detectors_allocate_nothing_however_many_numbers_the_result_before_has() {
    let mut categories = 0;
    for entry in menu().iter().filter(|entry| entry.roles().pre_aggregation) {
        let [call, _] = largest_calls(entry);
        categories += usize::from(call.split(',').count() > Record::INLINE_NUMBERS);
        let link = match call.split_once(':') {
            Some((name, arguments)) => format!("{name}({arguments})"),
            None => call,
        };
        for spec in &specs(&format!("1.{link}-raw:DSAnomaly:EWM:0.1")) {
            let (mut window, mut detectors) = (WindowColumn::new(spec).unwrap(), DownstreamColumn::new(spec).unwrap());
            for n in 0..300 {
                (0..8).for_each(|slot| window.update(slot, n * SECOND / 100, sample(spec, n)).unwrap());
            }
            let mut close = |now| detectors.close_many(0, u64::MAX, Some(&window), now, Silence::Once);
            assert_eq!(close(3 * SECOND), 0xff, "{}", spec.identity());
            let again = allocations(|| {
                black_box(close(4 * SECOND));
            });
            assert_eq!(again, 0, "{}", spec.identity());
        }
    }
    assert!(categories >= 2, "percentiles and categories have more numbers than a record has without a box");
}

#[test]
fn inline_results_allocate_nothing_with_a_record_of_the_caller() {
    let entries = menu().iter().filter(|entry| entry.roles().inline && !entry.roles().detector);
    for call in entries.flat_map(|entry| largest_calls(entry)) {
        for spec in specs(&format!("raw:{call}")).iter().filter(|spec| !(grows(spec) && has_range(spec))) {
            let (mut column, mut record) = (InlineColumn::new(spec).unwrap(), Record::new([]));
            let mut results = |from: u64| {
                let result = |n| {
                    column.update(0, n * SECOND / 100, sample(spec, n % 300)).unwrap();
                    allocations(|| drop(black_box(column.report_into(0, n * SECOND / 100, &mut record))))
                };
                (from..from + 300).map(result).sum::<u64>()
            };
            // The record gets its box once.
            assert!(results(0) <= 1, "{}", spec.identity());
            assert_eq!(results(300), 0, "{}", spec.identity());
        }
    }
}

const KEYS: [&str; 3] = ["blue", "green", "red"];

fn maps(spec: &Spec, column: &mut MapColumn, n: u64) {
    for slot in 0..SLOTS {
        column.update(slot, n * SECOND, KEYS.map(|key| (key, sample(spec, n))), []).unwrap();
    }
}

fn see(_slot: usize, _key: &str, report: Report<Output<'_>>) {
    black_box(report);
}

#[test]
fn maps_of_known_keys_and_their_periods_allocate_nothing() {
    for annotation in inline().iter().chain(&periodic()) {
        for spec in specs(annotation).into_iter().filter(|spec| !allocates(spec)) {
            let mut column = MapColumn::new(Arc::new(spec.clone()));
            let mut periods = |from: u64| {
                for n in from..from + 5 {
                    maps(&spec, &mut column, n);
                    column.close_many(n as usize % 3, u64::MAX, n, Silence::Zero, see);
                    column.close_all(n, Silence::Zero, see);
                }
            };
            periods(0);
            assert_eq!(allocations(|| periods(5)), 0, "{}", spec.identity());
        }
    }
}

/// `bytes` does not count the nodes of the search tree of names.
#[test]
fn a_column_of_maps_has_the_bytes_that_it_names() {
    const NODES: usize = 1_000;
    let entries = menu().iter().filter(|entry| entry.roles().period);
    let windows = entries.flat_map(|entry| calls(entry)).map(|call| format!("1-raw:{call}"));
    for annotation in inline().into_iter().chain(periodic()).chain(windows) {
        for spec in specs(&annotation) {
            let (shared, mut kept) = (Arc::new(spec.clone()), None);
            let allocated = measure(|| {
                let mut column = MapColumn::new(shared);
                for n in 0..3 {
                    maps(&spec, &mut column, n);
                    column.close(2, n * SECOND, Silence::Once, |_, _, _| {});
                    column.close_all(n * SECOND, Silence::Once, |_, _, _| {});
                }
                maps(&spec, &mut column, 3);
                kept = Some(column);
            });
            let (found, named) = (allocated.bytes_current as usize, kept.unwrap().bytes());
            assert!(found.abs_diff(named) < NODES, "{found} bytes, not {named}, of {}", spec.identity());
        }
    }
}
