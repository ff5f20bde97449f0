//! The data that links pass on: values, flags of overflow, and the absence of a value.

use std::cell::Cell;

use derived_stats::column::{DownstreamColumn, WindowColumn};
use derived_stats::entry::{Role, Unit};
use derived_stats::{Flaw, MetricKind, Number, OVERFLOW, Silence, Spec, SpecLink, ValueType};
use proptest::prelude::*;

use crate::input::silence;
use crate::shapes::{Shape, for_each, shapes};

const SECOND: u64 = 1_000_000;

fn chains() -> impl Iterator<Item = Shape> {
    shapes().into_iter().filter(Shape::is_chain)
}

/// The largest samples of each type.
fn bounds(value: ValueType) -> Number {
    match value {
        ValueType::F64 => Number::F64(f64::MAX),
        ValueType::I64 => Number::I64(i64::MAX),
        ValueType::U64 => Number::U64(u64::MAX),
    }
}

/// Sums that overflow in every period; the windows, and the links after them.
fn overflowing(spec: &Spec) -> (Option<Flaw>, DownstreamColumn) {
    let mut downstream = DownstreamColumn::new(spec).unwrap();
    let mut newest = None;
    for period in 0..40u64 {
        let mut window = WindowColumn::new(spec).unwrap();
        for sample in 0..200 {
            let at = period * 20 * SECOND + sample * SECOND / 10;
            window.update(0, at, bounds(spec.value_type())).unwrap();
        }
        let end = (period + 1) * 20 * SECOND;
        newest = window.report(0, end).and_then(|report| report.any()?.record().flaw());
        downstream.close(0, &window, end, Silence::Once);
    }
    (newest, downstream)
}

/// Whether a link counts its samples: their number is exact whatever their values are.
fn counts_samples(spec: &Spec) -> bool {
    let counts = |link: &SpecLink| {
        let value = link.description().of_role(Role::Value);
        value.is_some_and(|value| value.field().unit() == Unit::Samples)
    };
    spec.links().any(counts)
}

#[test]
fn property_an_overflow_before_a_chain_is_flagged_in_its_results() {
    let marked = Cell::new(0);
    for_each(chains(), Shape::specs, |spec| {
        let (flaw, downstream) = overflowing(&spec);
        if flaw == Some(Flaw::Overflow)
            && !counts_samples(&spec)
            && let Some(output) = downstream.report(0).and_then(|report| report.any())
        {
            prop_assert_eq!(output.error(), Some(OVERFLOW), "{}: {:?}", spec, output);
            marked.set(marked.get() + 1);
        }
        Ok(())
    });
    assert!(marked.get() > 0, "no window overflowed");
}

/// A period with samples but without a value does not change the links after the window, except for the flag of
/// samples.
#[test]
fn property_a_window_without_value_is_neither_fed_nor_silent() {
    let input = |shape: &Shape| (shape.specs(), prop::collection::vec(any::<bool>(), 1..12), silence());
    for_each(chains(), input, |(spec, periods, silence)| {
        let (mut window, mut downstream) = (WindowColumn::new(&spec).unwrap(), DownstreamColumn::new(&spec).unwrap());
        let mut state = spec.start();
        for (period, sampled) in periods.into_iter().enumerate() {
            let at = period as u64 * SECOND;
            if sampled {
                window.update(0, at, Number::U64(1)).unwrap();
                spec.update(&mut state, at, Number::U64(1)).unwrap();
            }
            let words = |column: &DownstreamColumn| {
                let mut words = Vec::new();
                column.save(0, &mut words);
                words
            };
            let (before, end) = (words(&downstream), at + SECOND / 2);
            let has_no_value = sampled && window.value(0, end).is_none();
            let fed = downstream.close(0, &window, end, silence).is_some();
            if spec.metric() != MetricKind::Agg {
                prop_assert_eq!(spec.close(&mut state, end, silence).is_some(), fed);
            }
            if has_no_value {
                prop_assert!(!fed, "{} was fed nothing", &spec);
                let after = words(&downstream);
                prop_assert_eq!(after[0], 1, "the period had samples");
                prop_assert_eq!(&after[1..], &before[1..]);
            }
            window.end_period(0, 1);
        }
        Ok(())
    });
}
