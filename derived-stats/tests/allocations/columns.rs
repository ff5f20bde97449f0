//! Columns of known size do not allocate, and they report the bytes that they have allocated.

use std::hint::black_box;
use std::sync::Arc;

use allocation_counter::measure;
use derived_stats::column::{CounterColumn, DownstreamColumn, InlineColumn, MapColumn, WindowColumn};
use derived_stats::{Output, Report, Silence, Spec, menu};

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
