//! The claims of each entry about its arithmetic.

use std::fmt;
use std::sync::Arc;

use derived_stats::column::WindowColumn;
use derived_stats::entry::{Claims, Entry, Field, Unit};
use derived_stats::{
    FieldValue, MergeError, MetricKind, Number, Output, Report, SourceId, Spec, State, ValueType, Words,
};
use proptest::prelude::*;

use crate::input::sample;
use crate::shapes::{Shape, compile, entries, for_each};

const SECOND: u64 = 1_000_000;

/// A spec, and samples of it in order of time, some of them of the same time.
#[derive(Clone)]
struct Series {
    spec: Arc<Spec>,
    samples: Vec<(u64, Number)>,
}

impl fmt::Debug for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.spec, self.samples)
    }
}

impl Series {
    fn end(&self) -> u64 {
        self.samples.last().map_or(0, |(at, _)| *at)
    }
}

/// Rounding of sums of doubles: each of at most four operations for a sample (added to its bucket and the window, and
/// subtracted again) errs by at most an ulp of a partial sum, which is at most the number of samples times the largest
/// size. Also covers the conversion of exact integers for a comparison.
fn tolerance(samples: &[(u64, Number)]) -> f64 {
    let count = samples.len() as f64;
    largest(samples) * f64::EPSILON * 4.0 * count * count
}

fn largest(samples: &[(u64, Number)]) -> f64 {
    samples.iter().map(|(_, value)| value.as_f64().abs()).fold(0.0, f64::max)
}

/// The rounding of a field in its unit.
fn tolerance_of(field: &Field, samples: &[(u64, Number)]) -> f64 {
    match field.unit() {
        Unit::MetricSquared => tolerance(samples) * largest(samples),
        // Times differ by a microsecond or more.
        Unit::MetricPerSecond => tolerance(samples) * 1e6,
        _ => tolerance(samples),
    }
}

/// The reports of two computations from the same samples agree: integers are equal, doubles may differ by rounding.
pub(crate) fn agree(
    left: Option<Report<Output<'_>>>,
    right: Option<Report<Output<'_>>>,
    samples: &[(u64, Number)],
) -> Result<(), TestCaseError> {
    prop_assert_eq!(left.as_ref().map(Report::name), right.as_ref().map(Report::name));
    let (Some(left), Some(right)) = (left.and_then(Report::any), right.and_then(Report::any)) else {
        return Ok(());
    };
    prop_assert_eq!((left.error(), left.record().len()), (right.error(), right.record().len()));
    for ((field, left), (_, right)) in left.fields().zip(right.fields()) {
        let (FieldValue::Number(left), FieldValue::Number(right)) = (left, right) else {
            prop_assert_eq!(left, right);
            continue;
        };
        if left.value_type() == ValueType::F64 {
            let error = (left.as_f64() - right.as_f64()).abs();
            prop_assert!(error <= tolerance_of(field.field(), samples), "{}: {left} and {right}", field.name());
        } else {
            prop_assert_eq!(left, right, "{}", field.name());
        }
    }
    Ok(())
}

fn series(
    shape: &Shape,
    types: Vec<ValueType>,
    samples: fn(ValueType) -> BoxedStrategy<Number>,
) -> BoxedStrategy<Series> {
    (shape.annotations(), prop::sample::select(types))
        .prop_flat_map(move |(annotation, value)| {
            let step = prop_oneof![3 => Just(0), 3 => 0..SECOND / 2, 1 => 0..3 * SECOND];
            let spec = compile(&annotation, value, MetricKind::Plain);
            prop::collection::vec((step, samples(value)), 1..40).prop_map(move |steps| {
                let mut now = 0;
                let at = |(step, value)| {
                    now += step;
                    (now, value)
                };
                Series { spec: spec.clone(), samples: steps.into_iter().map(at).collect() }
            })
        })
        .boxed()
}

/// Samples whose sums stay within the type.
pub(crate) fn small(value: ValueType) -> BoxedStrategy<Number> {
    match value {
        ValueType::F64 => prop_oneof![4 => -1e3..1e3, 1 => Just(0.0)].prop_map(Number::F64).boxed(),
        ValueType::I64 => prop_oneof![-9..9i64, -1 << 40..1i64 << 40].prop_map(Number::I64).boxed(),
        ValueType::U64 => prop_oneof![0..9u64, 0..1u64 << 40].prop_map(Number::U64).boxed(),
    }
}

const ALL: [ValueType; 3] = [ValueType::F64, ValueType::I64, ValueType::U64];
const INTEGERS: [ValueType; 2] = [ValueType::I64, ValueType::U64];

fn claiming(claim: fn(Claims) -> bool) -> impl Iterator<Item = &'static Entry> {
    entries().filter(move |entry| claim(entry.claim_list()))
}

/// Inline, or over a period for an entry that is not allowed inline.
fn over_samples(entry: &'static Entry) -> Shape {
    if entry.roles().inline { Shape::inline(entry) } else { Shape::per_period(entry) }
}

/// Takes a sample. Its source depends on its value alone, so that samples keep it in every order.
fn take(spec: &Spec, state: &mut State, (at, value): (u64, Number)) {
    spec.update_from(state, source_of(value), at, value).unwrap();
}

fn source_of(value: Number) -> SourceId {
    SourceId::new(value.bits().count_ones().into())
}

/// The result of all samples so far.
fn so_far<'s>(spec: &'s Spec, state: &State, now: u64) -> Report<Output<'s>> {
    match spec.is_periodic() {
        true => spec.running(state, now).unwrap_or(Report::NotReady(None)),
        false => spec.report(state, now),
    }
}

/// The reports at the end, and after windows have expired.
fn reports(series: &Series, samples: &[(u64, Number)]) -> Vec<String> {
    let mut state = series.spec.start();
    samples.iter().for_each(|sample| take(&series.spec, &mut state, *sample));
    let times = [0, SECOND / 2, 2 * SECOND, 9 * SECOND].map(|later| series.end() + later);
    times.map(|now| format!("{:?}", so_far(&series.spec, &state, now))).to_vec()
}

#[test]
fn property_the_order_of_integers_makes_no_difference_where_claimed() {
    let shapes = claiming(|claims| claims.order_insensitive).map(over_samples);
    let input = |shape: &_| {
        series(shape, INTEGERS.to_vec(), small).prop_flat_map(|series| {
            let shuffled = Just(series.samples.clone()).prop_shuffle();
            (Just(series), shuffled)
        })
    };
    for_each(shapes, input, |(series, mut shuffled)| {
        // Within the same time only: samples of a window come in order of time.
        shuffled.sort_by_key(|(at, _)| *at);
        prop_assert_eq!(reports(&series, &series.samples), reports(&series, &shuffled));
        let at_once = |samples: &[(u64, Number)]| samples.iter().map(|(_, value)| (0, *value)).collect::<Vec<_>>();
        let reversed: Vec<_> = series.samples.iter().rev().copied().collect();
        prop_assert_eq!(reports(&series, &at_once(&series.samples)), reports(&series, &at_once(&reversed)));
        Ok(())
    });
}

#[test]
fn property_values_lie_within_the_samples_where_claimed() {
    let shapes = claiming(|claims| claims.within_samples).map(over_samples);
    for_each(
        shapes,
        |shape| series(shape, ALL.to_vec(), sample),
        |series| {
            let mut state = series.spec.start();
            for (count, (at, value)) in series.samples.iter().enumerate() {
                take(&series.spec, &mut state, (*at, *value));
                let seen = || series.samples[..=count].iter().map(|(_, value)| value.as_f64());
                let (least, most) = (seen().fold(f64::MAX, f64::min), seen().fold(f64::MIN, f64::max));
                // A sum of sizes that overflows is not a bound; it is skipped, as flawed values are.
                let slack = tolerance(&series.samples);
                for now in [*at, at + SECOND, at + 9 * SECOND] {
                    let Some(output) =
                        so_far(&series.spec, &state, now).forced().filter(|output| output.error().is_none())
                    else {
                        continue;
                    };
                    let found = output.value().unwrap().as_f64();
                    prop_assert!(least - slack <= found && found <= most + slack, "{found} is not in {least}..{most}");
                }
            }
            Ok(())
        },
    );
}

#[test]
fn property_a_power_of_two_scales_values_where_claimed() {
    let shapes = claiming(|claims| claims.scales).map(over_samples);
    let input = |shape: &_| (series(shape, vec![ValueType::F64], small), -40..40i32);
    for_each(shapes, input, |(series, power)| {
        let factor = 2f64.powi(power);
        let [mut state, mut scaled] = [series.spec.start(), series.spec.start()];
        for (at, value) in &series.samples {
            let source = source_of(*value);
            series.spec.update_from(&mut state, source, *at, *value).unwrap();
            series.spec.update_from(&mut scaled, source, *at, Number::F64(value.as_f64() * factor)).unwrap();
            for now in [*at, at + SECOND] {
                let value = |state| {
                    let report = so_far(&series.spec, state, now);
                    (report.name(), report.forced().and_then(|output| output.value()).map(Number::as_f64))
                };
                let ((name, found), (expected_name, expected)) = (value(&scaled), value(&state));
                prop_assert_eq!(name, expected_name);
                prop_assert_eq!(found.map(f64::to_bits), expected.map(|value| (value * factor).to_bits()));
            }
        }
        Ok(())
    });
}

/// A series whose samples are distributed to two columns.
fn dealt(shape: &Shape) -> impl Strategy<Value = (Series, Vec<bool>)> + use<> {
    series(shape, ALL.to_vec(), small).prop_flat_map(|series| {
        let hands = prop::collection::vec(any::<bool>(), series.samples.len());
        (Just(series), hands)
    })
}

/// The window of the whole series, and the windows of the two columns.
fn windows(series: &Series, hands: &[bool]) -> [WindowColumn; 3] {
    let mut windows = [(); 3].map(|()| WindowColumn::new(&series.spec).unwrap());
    for ((at, value), hand) in series.samples.iter().zip(hands) {
        let source = source_of(*value);
        windows[0].update_from(3, source, *at, *value).unwrap();
        windows[1 + usize::from(*hand)].update_from(if *hand { 70 } else { 3 }, source, *at, *value).unwrap();
    }
    windows
}

#[test]
fn property_merged_windows_equal_one_pass_where_claimed() {
    let shapes = claiming(|claims| claims.merges).filter(|entry| entry.roles().period).map(Shape::per_period);
    for_each(shapes, dealt, |(series, hands)| {
        let [whole, mut left, right] = windows(&series, &hands);
        prop_assert_eq!(left.merge(3, &right, 70), Ok(()));
        prop_assert_eq!(whole.is_empty(3), left.is_empty(3));
        for later in [0, SECOND / 2, 2 * SECOND, 9 * SECOND] {
            let now = series.end() + later;
            agree(left.report(3, now), whole.report(3, now), &series.samples)?;
        }
        Ok(())
    });
}

/// Pre-aggregation: the samples are distributed to several places, each saves its window, and the words are merged in
/// another order.
#[test]
fn property_saved_windows_of_several_places_merge_in_any_order_where_claimed() {
    const PLACES: usize = 4;
    let shapes = claiming(|claims| claims.merges).filter(|entry| entry.roles().period).map(Shape::per_period);
    let input = |shape: &_| {
        let order = Just((0..PLACES).collect::<Vec<_>>()).prop_shuffle();
        let places = |series: Series| (prop::collection::vec(0..PLACES, series.samples.len()), Just(series));
        (series(shape, ALL.to_vec(), small).prop_flat_map(places), order)
    };
    for_each(shapes, input, |((places, series), order)| {
        let mut whole = WindowColumn::new(&series.spec).unwrap();
        let mut parts = whole.empty_clone();
        for ((at, value), place) in series.samples.iter().zip(&places) {
            whole.update(0, *at, *value).unwrap();
            parts.update(*place, *at, *value).unwrap();
        }
        let mut merged = whole.empty_clone();
        for place in order {
            let (mut words, mut part) = (Vec::new(), whole.empty_clone());
            parts.save(place, &mut words);
            let mut words = Words::new(&words);
            prop_assert_eq!(part.restore(0, &parts.versions(), &mut words).and_then(|()| words.finish()), Ok(()));
            prop_assert_eq!(merged.merge(0, &part, 0), Ok(()));
        }
        prop_assert_eq!(whole.is_empty(0), merged.is_empty(0));
        for later in [0, 2 * SECOND] {
            let now = series.end() + later;
            agree(merged.report(0, now), whole.report(0, now), &series.samples)?;
        }
        Ok(())
    });
}

/// States from outside: words that an algorithm restores, whoever wrote them, merge to a state that it restores again.
#[test]
fn property_whatever_words_are_restored_merge_to_a_valid_state() {
    let shapes = claiming(|claims| claims.merges).filter(|entry| entry.roles().period).map(Shape::per_period);
    let input = |shape: &_| {
        let change = (any::<prop::sample::Index>(), word());
        (dealt(shape), [changes(change.clone()), changes(change)])
    };
    for_each(shapes, input, |((series, hands), changes)| {
        let [_, left, right] = windows(&series, &hands);
        let mut columns = Vec::new();
        for ((column, slot), changes) in [(&left, 3), (&right, 70)].into_iter().zip(changes) {
            let mut words = Vec::new();
            column.save(slot, &mut words);
            for (index, word) in changes {
                let index = index.index(words.len().max(1));
                words.get_mut(index).into_iter().for_each(|old| *old = word);
            }
            let (mut restored, mut words) = (column.empty_clone(), Words::new(&words));
            if restored.restore(0, &column.versions(), &mut words).and_then(|()| words.finish()).is_ok() {
                columns.push(restored);
            }
        }
        let [mut into, from]: [WindowColumn; 2] = match columns.try_into() {
            Ok(columns) => columns,
            Err(_) => return Ok(()),
        };
        prop_assert_eq!(into.merge(0, &from, 0), Ok(()));
        let now = series.end() + SECOND;
        let (mut words, mut again) = (Vec::new(), into.empty_clone());
        into.save(0, &mut words);
        let mut reader = Words::new(&words);
        let restored = again.restore(0, &into.versions(), &mut reader).and_then(|()| reader.finish());
        prop_assert_eq!(restored, Ok(()), "{:?}", words);
        prop_assert_eq!(again.report(0, now), into.report(0, now));
        Ok(())
    });
}

/// A few changed words.
fn changes<S: Strategy>(change: S) -> impl Strategy<Value = Vec<S::Value>> {
    prop::collection::vec(change, 0..3)
}

/// A word that is a bound of something, or any.
fn word() -> impl Strategy<Value = u64> + Clone {
    let doubles = [f64::MAX, f64::MIN, f64::MIN_POSITIVE, -0.0].map(f64::to_bits);
    let bounds = [0, 1, 2, u64::MAX, u64::MAX - 1, 1 << 63, i64::MAX as u64, 1 << 32, 1 << 53];
    prop_oneof![prop::sample::select([&bounds[..], &doubles].concat()), any::<u64>(), 0..1000u64]
}

#[test]
fn property_windows_that_do_not_merge_are_left_as_they_were() {
    let others = entries().filter(|entry| entry.roles().period && !entry.claim_list().merges);
    for_each(others.map(Shape::per_period), dealt, |(series, hands)| {
        let [_, mut left, right] = windows(&series, &hands);
        let words = |column: &WindowColumn| {
            let mut words = Vec::new();
            column.save(3, &mut words);
            words
        };
        let before = words(&left);
        prop_assert_eq!(left.merge(3, &right, 70), Err(MergeError::NotMergeable));
        prop_assert_eq!(words(&left), before);
        Ok(())
    });
}

#[test]
fn windows_of_other_specs_do_not_merge() {
    let window = |annotation| WindowColumn::new(&compile(annotation, ValueType::U64, MetricKind::Plain)).unwrap();
    for other in ["1-raw:DSAvg", "1-raw:DSSum:60"] {
        assert_eq!(window("1-raw:DSSum").merge(0, &window(other), 0), Err(MergeError::Foreign), "of {other}");
    }
}
