//! Sliding windows against a scan of all samples.

use derived_stats::entry::{Argument, Entry};
use derived_stats::{MetricKind, Number, OVERFLOW, Output, Report, ValueType};
use proptest::prelude::*;

use crate::claims::{agree, small};
use crate::input::{sample, value_type};
use crate::shapes::{Shape, compile, entries, for_each};

const SECOND: u64 = 1_000_000;

/// The rounding error of a sum of doubles that is updated by adding and subtracting: each operation errs by at most
/// half an ulp of a partial sum, which is at most the sum of all sizes.
fn tolerance(sizes: f64, operations: usize) -> f64 {
    sizes * operations as f64 * f64::EPSILON
}

/// The bucket rule: buckets of 2^s microseconds, s the least with 2^(s+8) at least the range; a bucket is in the
/// window until the bucket of its start plus the range is reached, and the window is full when the first bucket is
/// out of it.
struct Rule {
    width: u64,
    range: u64,
}

impl Rule {
    fn of(seconds: u64) -> Self {
        let range = seconds * SECOND;
        let shift = (0..56).find(|shift| (1 << (shift + 8)) >= range).unwrap();
        Self { width: 1 << shift, range }
    }

    fn holds(&self, at: u64, now: u64) -> bool {
        (at / self.width * self.width + self.range) / self.width > now / self.width
    }
}

fn times(seconds: u64) -> impl Strategy<Value = Vec<u64>> {
    let step = prop_oneof![6 => 0..seconds * SECOND / 8, 2 => 0..seconds * SECOND * 2, 2 => Just(0)];
    prop::collection::vec(step, 1..80).prop_map(|steps| {
        let mut now = 0;
        steps
            .into_iter()
            .map(|step| {
                now += step;
                now
            })
            .collect()
    })
}

fn input(value: ValueType) -> impl Strategy<Value = (u64, Vec<(u64, Number)>, u64)> {
    input_of(value, sample)
}

fn input_of(
    value: ValueType,
    sample: fn(ValueType) -> BoxedStrategy<Number>,
) -> impl Strategy<Value = (u64, Vec<(u64, Number)>, u64)> {
    let seconds = prop::sample::select(vec![1, 3, 60, 1073, 1074, 86_400, u64::from(u32::MAX)]);
    seconds.prop_flat_map(move |seconds| {
        let samples = times(seconds)
            .prop_flat_map(move |times| times.into_iter().map(|at| (Just(at), sample(value))).collect::<Vec<_>>());
        (Just(seconds), samples, 0..3 * seconds * SECOND)
    })
}

/// The values in the window that ends at `now`; `None` while it is not full.
fn naive(rule: &Rule, samples: &[(u64, Number)], now: u64) -> Option<Vec<Number>> {
    Some(scanned(rule, samples, now)?.into_iter().map(|(_, value)| value).collect())
}

/// The samples in the window that ends at `now`; `None` while it is not full.
fn scanned(rule: &Rule, samples: &[(u64, Number)], now: u64) -> Option<Vec<(u64, Number)>> {
    let (first, _) = samples.first()?;
    let inside = samples.iter().filter(|(at, _)| rule.holds(*at, now)).copied();
    (!rule.holds(*first, now)).then(|| inside.collect())
}

fn exact(value: Number) -> i128 {
    match value.value_type() {
        ValueType::I64 => value.bits().cast_signed().into(),
        ValueType::U64 => value.bits().into(),
        ValueType::F64 => panic!("{value} is no integer"),
    }
}

fn integer_reports(value: ValueType, seconds: u64, samples: &[(u64, Number)], idle: u64) -> Result<(), TestCaseError> {
    let rule = Rule::of(seconds);
    for algorithm in ["DSSum", "DSAvg"] {
        let spec = compile(&format!("raw:{algorithm}:{seconds}"), value, MetricKind::Plain);
        let mut state = spec.start();
        for (position, (at, sample)) in samples.iter().enumerate() {
            spec.update(&mut state, *at, *sample).unwrap();
            for now in [*at, at + idle] {
                let inside = naive(&rule, &samples[..=position], now);
                let sum = |inside: &Vec<Number>| inside.iter().map(|value| exact(*value)).sum::<i128>();
                let expected = match (algorithm, inside) {
                    (_, None) => None,
                    ("DSSum", Some(inside)) => Some(sum(&inside)),
                    (_, Some(inside)) if inside.is_empty() => None,
                    (_, Some(inside)) => Some(sum(&inside) / inside.len() as i128),
                };
                same_integer(spec.report(&state, now), expected, value)?;
            }
        }
    }
    Ok(())
}

/// The bound with an overflow if the exact value does not fit.
fn same_integer(report: Report<Output<'_>>, expected: Option<i128>, value: ValueType) -> Result<(), TestCaseError> {
    let (low, high): (i128, i128) =
        if value == ValueType::U64 { (0, u64::MAX.into()) } else { (i64::MIN.into(), i64::MAX.into()) };
    let found = report.forced().map(|output| (exact(output.value().unwrap()), output.error() == Some(OVERFLOW)));
    prop_assert_eq!(found, expected.map(|sum| (sum.clamp(low, high), !(low..=high).contains(&sum))));
    Ok(())
}

/// The name of the argument for the length of a window.
const RANGE: &str = "range";

/// An annotation of an entry with its required arguments, and with or without a window.
fn annotation(entry: &Entry, seconds: Option<u64>) -> String {
    let text = |argument: &Argument| match seconds {
        Some(seconds) if argument.name() == RANGE => seconds.to_string(),
        _ if argument.is_required() => argument.example().to_owned(),
        _ => String::new(),
    };
    let arguments: Vec<String> = entry.argument_list().iter().map(text).collect();
    format!("raw:{}:{}", entry.name(), arguments.join(":")).trim_end_matches(':').to_owned()
}

/// The report of a window is that of the algorithm without a window, fed with the samples inside.
#[test]
fn property_every_window_is_that_of_its_samples() {
    let slides = |entry: &&'static Entry| entry.argument_list().iter().any(|argument| argument.name() == RANGE);
    for entry in entries().filter(slides) {
        let input = |_: &Shape| value_type().prop_flat_map(|value| (Just(value), input_of(value, small)));
        for_each([Shape::inline(entry)], input, |(value, (seconds, samples, idle))| {
            let rule = Rule::of(seconds);
            let [window, whole] =
                [Some(seconds), None].map(|seconds| compile(&annotation(entry, seconds), value, MetricKind::Plain));
            let mut state = window.start();
            for (position, (at, sample)) in samples.iter().enumerate() {
                window.update(&mut state, *at, *sample).unwrap();
                let seen = &samples[..=position];
                for now in [*at, at + idle] {
                    let found = window.report(&state, now);
                    let Some(inside) = scanned(&rule, seen, now) else {
                        prop_assert_eq!(found, Report::NotReady(None), "before the window is full");
                        continue;
                    };
                    if inside.is_empty() {
                        let value = found.forced().map_or(0.0, |output| output.value().unwrap().as_f64());
                        prop_assert!(value.abs() <= tolerance(1e12, 4 * (position + 1)), "{} of nothing", value);
                        continue;
                    }
                    let mut expected = whole.start();
                    for (at, sample) in inside {
                        whole.update(&mut expected, at, sample).unwrap();
                    }
                    agree(Some(found), Some(whole.report(&expected, now)), seen)?;
                }
            }
            Ok(())
        });
    }
}

proptest! {
    #[test]
    fn property_windows_of_unsigned_integers_are_exact((seconds, samples, idle) in input(ValueType::U64)) {
        integer_reports(ValueType::U64, seconds, &samples, idle)?;
    }

    #[test]
    fn property_windows_of_signed_integers_are_exact((seconds, samples, idle) in input(ValueType::I64)) {
        integer_reports(ValueType::I64, seconds, &samples, idle)?;
    }

    #[test]
    fn property_windows_of_doubles_are_as_near_as_their_rounding(
        (seconds, samples, idle) in input(ValueType::F64),
        scale in 1e-3..1e3,
    ) {
        let rule = Rule::of(seconds);
        let spec = compile(&format!("raw:DSSum:{seconds}"), ValueType::F64, MetricKind::Plain);
        let mut state = spec.start();
        let small = |value: Number| (value.as_f64() % 1e6) * scale;
        let samples: Vec<_> = samples.iter().map(|(at, value)| (*at, Number::F64(small(*value)))).collect();
        for (position, (at, sample)) in samples.iter().enumerate() {
            spec.update(&mut state, *at, *sample).unwrap();
            let sizes: f64 = samples[..=position].iter().map(|(_, value)| value.as_f64().abs()).sum();
            for now in [*at, at + idle] {
                let expected = naive(&rule, &samples[..=position], now);
                let expected = expected.map(|inside| inside.iter().map(|value| value.as_f64()).sum::<f64>());
                let found = spec.report(&state, now).forced().and_then(|output| output.value()).map(Number::as_f64);
                prop_assert_eq!(found.is_some(), expected.is_some());
                let error = (found.unwrap_or(0.0) - expected.unwrap_or(0.0)).abs();
                prop_assert!(error <= tolerance(sizes, 4 * (position + 1)), "{:?} for {:?}", found, expected);
            }
        }
    }
}
