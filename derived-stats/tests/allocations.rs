//! The sample path and the close of a period allocate nothing.
//!
//! Counted by a global allocator, for this thread alone, after each object has started: a ranged window reserves its
//! buckets when it starts (for a periodic one, in each period), everything else is a plain value.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

use std::hint::black_box;

use allocation_counter::measure;
use derived_stats::{Annotation, Context, MetricKind, Number, Pipeline, Silence, Spec, State, ValueType};

const SECOND: u64 = 1_000_000;

/// More than a window of 2 s has buckets at the step used here, so that buckets come and go.
const SAMPLES: u64 = 2_000;

const INLINE: [&str; 10] = [
    "raw:DSSum",
    "raw:DSAvg",
    "raw:DSNone",
    "raw:DSNon0",
    "raw:DSChange",
    "raw:DSNull",
    "raw:DSEWM:0.1",
    "raw:DSAnomaly:EWM:0.1",
    "raw:DSSum:2",
    "raw:DSAvg:2",
];

const PERIODIC: [&str; 8] = [
    "1-raw:DSSum",
    "1-raw:DSAvg",
    "1-raw:DSNone",
    "1-raw:DSNon0",
    "1-raw:DSChange",
    "1.DSSum-raw:DSAnomaly:EWM:0.1",
    "1.DSAvg-raw:DSAnomaly:EWM:0.1",
    "1.DSNone-raw:DSAnomaly:EWM:0.1",
];

fn specs(annotation: &str) -> Vec<Spec> {
    let annotation = Annotation::parse(annotation).unwrap();
    let mut specs = Vec::new();
    for value in [ValueType::F64, ValueType::I64, ValueType::U64] {
        for metric in [MetricKind::Agg, MetricKind::Plain] {
            specs.push(Spec::compile(&annotation, Context::new(value).with_metric(metric)).unwrap());
        }
    }
    specs
}

fn sample(spec: &Spec, n: u64) -> Number {
    match spec.value_type() {
        ValueType::F64 => Number::F64(n as f64 + 0.5),
        ValueType::I64 => Number::I64(n as i64),
        ValueType::U64 => Number::U64(n),
    }
}

fn allocations(run: impl FnOnce()) -> u64 {
    measure(run).count_total
}

/// `SAMPLES` samples, each with a look at the results.
fn feed(spec: &Spec, state: &mut State, from: u64) {
    for n in from..from + SAMPLES {
        let at = n * SECOND / 100;
        spec.update(state, at, sample(spec, n)).unwrap();
        black_box(spec.report(state, at));
        black_box(spec.running(state, at));
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(black_box(Box::new(1)))), 1);
}

#[test]
fn samples_and_reports_allocate_nothing() {
    for annotation in INLINE.iter().chain(&PERIODIC) {
        for spec in specs(annotation) {
            let mut state = spec.start();
            spec.update(&mut state, 0, sample(&spec, 0)).unwrap();
            assert_eq!(allocations(|| feed(&spec, &mut state, 0)), 0, "{}", spec.identity());
        }
    }
}

#[test]
fn closing_periods_allocates_nothing() {
    for annotation in PERIODIC {
        for (spec, silence) in
            specs(annotation).iter().zip([Silence::Once, Silence::Skip, Silence::Zero].iter().cycle())
        {
            let mut state = spec.start();
            let count = allocations(|| {
                for period in 0..SAMPLES {
                    // Every third period is silent.
                    if period % 3 > 0 {
                        spec.update(&mut state, period, sample(spec, period)).unwrap();
                    }
                    black_box(spec.close(&mut state, period, *silence));
                }
            });
            assert_eq!(count, 0, "{}", spec.identity());
        }
    }
}

#[test]
fn a_window_in_a_period_allocates_only_when_the_period_starts() {
    for spec in specs("1-raw:DSSum:2") {
        let mut state = spec.start();
        for period in 0..3 {
            let from = period * SAMPLES;
            let start = allocations(|| spec.update(&mut state, from * SECOND / 100, sample(&spec, from)).unwrap());
            assert_eq!(start, 2, "its box and its buckets, of {}", spec.identity());
            assert_eq!(allocations(|| feed(&spec, &mut state, from)), 0, "{}", spec.identity());
            let close = allocations(|| {
                black_box(spec.close(&mut state, (from + SAMPLES) * SECOND / 100, Silence::Once));
            });
            assert_eq!(close, 0, "{}", spec.identity());
        }
    }
}

#[test]
fn a_pipeline_allocates_nothing_either() {
    let mut flows = Pipeline::parse("1.DSSum-raw:DSAnomaly:EWM:0.1").unwrap();
    let count = allocations(|| {
        for period in 0..SAMPLES {
            flows.update(period, Number::U64(period)).unwrap();
            black_box(flows.close_period(period));
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn a_state_has_at_most_64_bytes() {
    assert!(size_of::<State>() <= 64, "a state has {} bytes", size_of::<State>());
}
