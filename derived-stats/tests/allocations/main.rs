//! Updates, reports and the ends of periods do not allocate.
//!
//! A global allocator counts the allocations of this thread after each object has started. A ranged window reserves its
//! buckets when it starts (a periodic one in each period). A state that grows with its samples is measured once it has
//! taken the same samples before. All other states are plain values.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

mod columns;

use std::hint::black_box;

use allocation_counter::measure;
use derived_stats::annotation::ErrorKind;
use derived_stats::entry::{Argument, ArgumentKind, Entry};
use derived_stats::{
    Annotation, Context, DETECTOR_CALL, MetricKind, Number, Pipeline, Silence, Spec, SpecLink, State, ValueType, menu,
};

const SECOND: u64 = 1_000_000;

/// More samples than a window of 2 s has buckets at the step of these tests, so that buckets expire.
const SAMPLES: u64 = 2_000;

/// The calls of an entry in an annotation, without and with its optional arguments.
fn calls(entry: &Entry) -> Vec<String> {
    let call = |arguments: Vec<String>| {
        let detector = if entry.roles().detector { format!("{DETECTOR_CALL}:") } else { String::new() };
        [vec![format!("{detector}{}", entry.name())], arguments].concat().join(":")
    };
    let all = entry.argument_list();
    let required = all.iter().filter(|argument| argument.is_required()).map(text).collect();
    let mut calls = vec![call(required), call(all.iter().map(text).collect())];
    calls.dedup();
    calls
}

/// The text of an argument; for a window 2 s, so that buckets expire.
fn text(argument: &Argument) -> String {
    match argument.kind() {
        ArgumentKind::Whole { least, most } => argument.written(&2.clamp(least, most).to_string()),
        _ => argument.written(argument.example()),
    }
}

/// The call of an entry as a link of a chain, with the required arguments only.
fn link(entry: &Entry) -> String {
    match calls(entry).remove(0).split_once(':') {
        Some((name, arguments)) => format!("{name}({arguments})"),
        None => entry.name().to_owned(),
    }
}

fn inline() -> Vec<String> {
    let entries = menu().iter().filter(|entry| entry.roles().inline);
    entries.flat_map(|entry| calls(entry)).map(|call| format!("raw:{call}")).collect()
}

/// Every periodic algorithm, and every detector after every pre-aggregation, without windows.
fn periodic() -> Vec<String> {
    let first = |entry: &&Entry| calls(entry).remove(0);
    let mut annotations: Vec<String> =
        menu().iter().filter(|entry| entry.roles().period).map(|entry| format!("1-raw:{}", first(entry))).collect();
    for detector in menu().iter().filter(|entry| entry.roles().detector) {
        for pre in menu().iter().filter(|entry| entry.roles().pre_aggregation) {
            annotations.push(format!("1.{}-raw:{}", link(pre), first(detector)));
            annotations.push(format!("1.{0}.{0}-raw:{1}", link(pre), first(detector)));
        }
    }
    annotations
}

fn specs(annotation: &str) -> Vec<Spec> {
    let annotation = Annotation::parse(annotation).unwrap();
    let mut specs = Vec::new();
    for value in [ValueType::F64, ValueType::I64, ValueType::U64] {
        for metric in [MetricKind::Agg, MetricKind::Plain] {
            let compiled = Spec::compile(&annotation, Context::new(value).with_metric(metric));
            // An algorithm that takes the readings of a counter refuses their differences.
            let is_refused = compiled.as_ref().is_err_and(|error| {
                metric != MetricKind::Plain && matches!(error.kind(), ErrorKind::ReadingsOfDifferences { .. })
            });
            if !is_refused {
                specs.push(compiled.unwrap());
            }
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

/// Whether a state allocates again as it takes samples.
fn grows(spec: &Spec) -> bool {
    spec.links().any(SpecLink::grows)
}

/// Whether a link has a window, which allocates for each object.
fn has_range(spec: &Spec) -> bool {
    spec.links().any(|link| link.explain(None).facts.iter().any(|(group, ..)| *group == "window"))
}

/// Takes `SAMPLES` samples, and reads the results after each.
fn feed(spec: &Spec, state: &mut State, from: u64) {
    for n in from..from + SAMPLES {
        let at = n * SECOND / 100;
        spec.update(state, at, sample(spec, n % SAMPLES)).unwrap();
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
    for annotation in inline().iter().chain(&periodic()) {
        // Each bucket of a window starts a state.
        for spec in specs(annotation).into_iter().filter(|spec| !(grows(spec) && has_range(spec))) {
            let mut state = spec.start();
            spec.update(&mut state, 0, sample(&spec, 0)).unwrap();
            if grows(&spec) {
                feed(&spec, &mut state, 0);
            }
            assert_eq!(allocations(|| feed(&spec, &mut state, SAMPLES)), 0, "{}", spec.identity());
        }
    }
}

/// The largest number of allocations of a growing state for its first sample.
const START: u64 = 4;

#[test]
fn closing_periods_allocates_nothing() {
    for annotation in &periodic() {
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
            // The closed period of a state that grows is freed; the first sample of the next one starts another.
            let most = if grows(spec) { START * spec.links().count() as u64 * SAMPLES } else { 0 };
            assert!(count <= most, "{count} allocations of {}", spec.identity());
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
fn a_pipeline_allocates_nothing() {
    let mut flows = Pipeline::parse("1.DSSum-raw:DSAnomaly:EWM:0.1").unwrap();
    let count = allocations(|| {
        for period in 0..SAMPLES {
            flows.update(period, Number::U64(period)).unwrap();
            black_box(flows.close_period(period));
        }
    });
    assert_eq!(count, 0);
}

/// Runs two periods, so that a spec without a detector has an open and a closed window.
#[test]
fn an_object_takes_the_bytes_that_its_spec_names() {
    let entries = menu().iter().filter(|entry| entry.roles().period);
    let windows = entries.flat_map(|entry| calls(entry)).map(|call| format!("1-raw:{call}"));
    for annotation in inline().into_iter().chain(periodic()).chain(windows) {
        for spec in specs(&annotation) {
            let mut kept = None;
            let allocated = measure(|| {
                let mut state = spec.start();
                feed(&spec, &mut state, 0);
                spec.close(&mut state, SAMPLES * SECOND / 100, Silence::Once);
                feed(&spec, &mut state, SAMPLES);
                kept = Some(state);
            });
            drop(kept);
            let bytes = allocated.bytes_max as usize + size_of::<State>();
            let is_bounded = if grows(&spec) { bytes <= spec.state_bytes() } else { bytes == spec.state_bytes() };
            assert!(is_bounded, "{bytes} bytes, not {}, of {}", spec.state_bytes(), spec.identity());
        }
    }
}

#[test]
fn a_state_has_at_most_64_bytes() {
    assert!(size_of::<State>() <= 64, "a state has {} bytes", size_of::<State>());
}
