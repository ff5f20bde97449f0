//! `DSTopK:k[:counters[:range]]`: the most frequent values, by the space-saving algorithm.
//!
//! ```text
//! a sample with a counter        adds 1 to it
//! another, with a counter free   takes it with the count 1 and the error 0
//! another, with none free        replaces the value with the least count c: count c+1, error c
//! ```
//!
//! | | |
//! |---|---|
//! | source | the space-saving algorithm: see below |
//! | unit and type | values as the metric; counts and errors in samples, as u64 |
//! | range | k of 1 to 20; counters of 64 to 1024 (64 unless written) |
//! | error | `count - error <= true count <= count`, `error <= n / counters`; 0 while all values have counters |
//! | memory | 8 bytes an object; with samples 32, and 24 for each value up to the number of counters |
//! | cost | a search among the values for each sample, 150 ns for 64 |
//!
//! Sources: A. Metwally, D. Agrawal, A. El Abbadi, "Efficient computation of frequent and top-k elements in data
//! streams", ICDT 2005; merging: P. Agarwal et al., "Mergeable summaries", PODS 2012, section 3.
//!
//! Every value with a true count above `n / counters` has a counter. k is limited by the
//! [numbers of a result](crate::Record::MAX_NUMBERS). Values of the same count are in ascending order; the most
//! frequent value is the value of the result. A merged state has the same bounds, with the errors of both added; it
//! equals one pass while all different values have counters.
//!
//! Texts are counted by their [hashes](crate::text_sample), which are the values of the result.

mod counters;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::algorithm::range::{RANGE, built, explain_window};
use crate::algorithm::{Algorithm, Measured, MergeError, Sample, UpdateError, Windowed};
use crate::entry::{Argument, ArgumentKind, Claims, Entry, Explanation, Field, Given, NumberKind, Role, Roles, Unit};
use crate::number::{Number, Numeric};
use crate::record::Record;
use crate::report::{Flaw, Report};
use crate::saved::{RestoreError, WordWriter, Words};

use self::counters::{Counter, Counters, insert};

/// The largest number of values in a result, with three numbers each.
const MOST: usize = 20;
const _: () = assert!(3 * MOST <= Record::MAX_NUMBERS);

/// The number of values of a result without a box.
const FEW: usize = Record::INLINE_NUMBERS / 3;

/// The bounds of the number of counters; the lower one is the default.
const LEAST_COUNTERS: usize = 64;
const MOST_COUNTERS: usize = 1024;

/// The menu entry of `DSTopK`.
pub(crate) static ENTRY: Entry =
    Entry::new("DSTopK", Roles::AGGREGATE, "the most frequent values", |given| built(given, 2, top(given)))
        .arguments(&[
            Argument::required(
                "k",
                ArgumentKind::Whole { least: 1, most: MOST as u64 },
                "a number of values, 1 to 20",
                "3",
            ),
            Argument::optional(
                "counters",
                ArgumentKind::Whole { least: LEAST_COUNTERS as u64, most: MOST_COUNTERS as u64 },
                "a number of counters, 64 to 1024",
                "64",
            )
            .absent_is(LEAST_COUNTERS as u64),
            RANGE,
        ])
        .structured_by("TopResult", |given, _| Cow::Borrowed(FIELDS.get(..3 * top(given).k).unwrap_or_default()))
        .explained(|given, _| explain(given))
        .claims(Claims { merges: true, order_insensitive: false, within_samples: true, scales: true });

/// The fields of values by their ranks.
macro_rules! fields_of_ranks {
    ($first:literal $($rank:literal)*) => {
        [
            value(concat!("value_", $first)).role_of(Role::Value),
            count(concat!("count_", $first)),
            error(concat!("error_", $first)),
            $(
                value(concat!("value_", $rank)),
                count(concat!("count_", $rank)),
                error(concat!("error_", $rank)),
            )*
        ]
    };
}

static FIELDS: [Field; 3 * MOST] = fields_of_ranks!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20);

const fn value(name: &'static str) -> Field {
    Field::number(name, NumberKind::Metric, Unit::Metric, "a frequent value")
}

const fn count(name: &'static str) -> Field {
    Field::number(name, NumberKind::U64, Unit::Samples, "its samples, at most")
}

const fn error(name: &'static str) -> Field {
    Field::number(name, NumberKind::U64, Unit::Samples, "how many of them may be of other values")
}

fn top(given: &Given<'_>) -> Top {
    let whole = |index, default| given.whole(index).and_then(|whole| usize::try_from(whole).ok()).unwrap_or(default);
    Top { k: whole(0, 1).clamp(1, MOST), counters: whole(1, LEAST_COUNTERS).clamp(LEAST_COUNTERS, MOST_COUNTERS) }
}

fn explain(given: &Given<'_>) -> Explanation {
    let Top { k, counters } = top(given);
    let whole = alloc::format!("the {k} most frequent values with their counts");
    let line = alloc::format!(
        "counts are exact up to {counters} different values; above, each is at most its `error` too high, which is at \
         most one {counters}th of the samples"
    );
    explain_window(given, 2, &whole, &alloc::format!("{whole}, of the last")).line("error", line).fact(
        "top",
        "counters",
        Number::U64(counters as u64),
    )
}

/// The most frequent values.
///
/// 8 bytes an object, and up to 1.6 KB for 64 values.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut ports = Pipeline::parse("raw:DSTopK:2")?;
/// for port in [443, 80, 443, 22, 443, 80] {
///     ports.update(0, Number::U64(port))?;
/// }
/// let result = ports.report(0).forced().expect("a result after every sample");
/// let numbers = ["value_1", "count_1", "value_2", "count_2"].map(|name| result.number(name));
/// assert_eq!(numbers, [443, 3, 80, 2].map(|number| Some(Number::U64(number))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Top {
    k: usize,
    counters: usize,
}

/// A number of values or counters that is out of range.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected 1 to 20 values and 64 to 1024 counters")]
pub struct TopError;

/// The counters of one object: 8 bytes, and the counters on the heap from the first sample on.
#[derive(Clone, Debug, PartialEq)]
pub struct TopState<T>(Option<Box<Counters<T>>>);

impl Top {
    /// The `k` most frequent values, from a number of counters.
    ///
    /// # Errors
    ///
    /// [`TopError`] for other numbers than 1 to 20 values and 64 to 1024 counters.
    pub fn new(k: usize, counters: usize) -> Result<Self, TopError> {
        let is_in_range = (1..=MOST).contains(&k) && (LEAST_COUNTERS..=MOST_COUNTERS).contains(&counters);
        if is_in_range { Ok(Self { k, counters }) } else { Err(TopError) }
    }

    /// Puts the k values with the largest counts into a record; `N` is the room for them, at least k.
    fn fill<T: Numeric, const N: usize>(&self, counters: &[Counter<T>], record: &mut Record) {
        // The k largest, without a copy of all.
        let mut largest: [Option<Counter<T>>; N] = [None; N];
        let largest = largest.get_mut(..self.k).unwrap_or_default();
        for counter in counters {
            insert(largest, *counter);
        }
        let numbers = |counter: &Option<Counter<T>>| match *counter {
            None => [None; 3],
            Some(Counter { value, count, error }) => {
                [value.into_number(), Number::U64(count), Number::U64(error)].map(Some)
            }
        };
        // There are at most as many as a record has.
        let _ = record.fill(largest.iter().flat_map(numbers));
    }
}

impl<T: Numeric> Algorithm<T> for Top {
    type State = TopState<T>;

    fn start(&self) -> TopState<T> {
        TopState(None)
    }

    fn is_empty(&self, state: &TopState<T>) -> bool {
        state.0.is_none()
    }

    #[inline]
    fn update(&self, state: &mut TopState<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        let start = || Box::new(Counters { counters: Vec::new(), is_overflowed: false });
        let counters = state.0.get_or_insert_with(start);
        counters.is_overflowed |= sample.overflowed;
        counters.add(self.counters, sample.value);
        Ok(())
    }

    fn report(&self, state: &TopState<T>, now: u64) -> Report<Record> {
        let mut record = Record::new([]);
        self.report_into(state, now, &mut record).map(|()| record)
    }

    fn report_into(&self, state: &TopState<T>, _now: u64, record: &mut Record) -> Report<()> {
        let Some(state) = &state.0 else {
            record.clear();
            return Report::NotReady(None);
        };
        match self.k {
            ..=FEW => self.fill::<T, FEW>(&state.counters, record),
            _ => self.fill::<T, MOST>(&state.counters, record),
        }
        record.set_flaw(state.is_overflowed.then_some(Flaw::Overflow));
        Report::Value(())
    }

    /// One number, without the values of higher ranks.
    fn value(&self, state: &TopState<T>, now: u64, value: usize) -> Option<Measured> {
        let up_to = Self { k: (value / 3 + 1).min(self.k), ..*self };
        let record = up_to.report(state, now).forced()?;
        Some(Measured { number: record.get(value)?, overflowed: record.flaw() == Some(Flaw::Overflow) })
    }

    fn takes_every_sample(&self) -> bool {
        true
    }

    fn merge(&self, into: &mut TopState<T>, from: &TopState<T>) -> Result<(), MergeError> {
        match (&mut into.0, &from.0) {
            (_, None) => {}
            (Some(counters), Some(from)) => counters.add_all(self.counters, from),
            (counters @ None, Some(from)) => *counters = Some(from.clone()),
        }
        Ok(())
    }

    /// Twice the counters: a merge has those of both states.
    fn heap_bytes(&self) -> usize {
        size_of::<Counters<T>>() + 2 * self.counters * size_of::<Counter<T>>()
    }

    fn allocated_bytes(&self, state: &TopState<T>) -> usize {
        let bytes = |state: &Counters<T>| state.counters.capacity() * size_of::<Counter<T>>();
        state.0.as_ref().map_or(0, |state| size_of::<Counters<T>>() + bytes(state))
    }

    fn grows(&self) -> bool {
        true
    }

    fn save(&self, state: &TopState<T>, words: &mut WordWriter<'_>) {
        let Some(state) = &state.0 else {
            return words.push(0);
        };
        words.extend([1 + u64::from(state.is_overflowed), state.counters.len() as u64]);
        for Counter { value, count, error } in &state.counters {
            words.extend([value.to_bits(), *count, *error]);
        }
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<TopState<T>, RestoreError> {
        let is_overflowed = match words.next("counters")? {
            0 => return Ok(TopState(None)),
            1 => false,
            2 => true,
            word => return Err(RestoreError::invalid("counters", word)),
        };
        let len = words.next("number of counters")?;
        if len == 0 || len > self.counters as u64 {
            return Err(RestoreError::invalid("number of counters", len));
        }
        let mut counters: Vec<Counter<T>> = Vec::new();
        for _ in 0..len {
            let counter: Counter<T> =
                Counter { value: words.finite("value")?, count: words.next("count")?, error: words.next("error")? };
            if counter.error >= counter.count && counter.count != u64::MAX || counter.count == 0 {
                return Err(RestoreError::invalid("error", counter.error));
            }
            counters.push(counter);
        }
        let state = Counters { counters, is_overflowed };
        if state.has_twins() {
            return Err(RestoreError::invalid("value", len));
        }
        Ok(TopState(Some(Box::new(state))))
    }
}

impl<T: Numeric> Windowed<T> for Top {}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::algorithm::saved;

    const TOP: Top = Top { k: 3, counters: LEAST_COUNTERS };

    fn state_of(samples: &[u64]) -> TopState<u64> {
        let mut state = TOP.start();
        samples.iter().for_each(|value| TOP.update(&mut state, Sample::new(0, *value)).expect("a sample"));
        state
    }

    /// The counts and errors are bounds of the true counts, as stated.
    fn holds(state: &TopState<u64>, samples: &[u64]) -> Result<(), TestCaseError> {
        let mut exact: BTreeMap<u64, u64> = BTreeMap::new();
        samples.iter().for_each(|value| *exact.entry(*value).or_default() += 1);
        let counters = state.0.as_ref().map_or(&[][..], |state| &state.counters);
        prop_assert!(counters.len() <= LEAST_COUNTERS);
        let bound = samples.len() as u64 / LEAST_COUNTERS as u64;
        for Counter { value, count, error } in counters {
            let exact = exact.get(value).copied().unwrap_or(0);
            prop_assert!(count - error <= exact && exact <= *count, "{value}: {count}-{error}, not {exact}");
            prop_assert!(*error <= bound, "an error of {error} of {} samples", samples.len());
        }
        for (value, exact) in exact {
            let has_counter = counters.iter().any(|counter| counter.value == value);
            prop_assert!(has_counter || exact <= bound, "{value} with {exact} samples has no counter");
        }
        Ok(())
    }

    /// Values of very different frequencies, many more than counters.
    fn samples() -> impl Strategy<Value = Vec<u64>> {
        let value = prop_oneof![0..10u64, 0..100u64, 0..1000u64, 0..100_000u64];
        prop::collection::vec(value, 0..3000)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

        #[test]
        fn property_counts_are_within_their_errors(samples in samples()) {
            holds(&state_of(&samples), &samples)?;
        }

        #[test]
        fn property_merged_counts_are_within_their_errors(mut left in samples(), right in samples()) {
            let mut state = state_of(&left);
            TOP.merge(&mut state, &state_of(&right)).expect("counters merge");
            left.extend(&right);
            holds(&state, &left)?;
        }
    }

    #[test]
    fn the_most_frequent_come_first_and_equally_frequent_ones_in_order() {
        let report = |samples: &[u64]| Algorithm::<u64>::report(&TOP, &state_of(samples), 0).forced();
        let record = report(&[9, 5, 7, 5, 9, 3]).expect("there are samples");
        assert_eq!(record, Record::new([5, 2, 0, 9, 2, 0, 3, 1, 0].map(Number::U64)));
        let record = report(&[8]).expect("there are samples");
        assert_eq!(
            (record.get(0), record.get(1), record.get(3), record.len()),
            (Some(Number::U64(8)), Some(Number::U64(1)), None, 9)
        );
    }

    #[test]
    fn twenty_values_are_those_that_a_sort_finds() {
        let top = Top::new(20, LEAST_COUNTERS).expect("a good number");
        let samples: Vec<u64> = (0..30u64).flat_map(|value| (0..1 + value * 7 % 30).map(move |_| value)).collect();
        let mut sorted: Vec<(u64, u64)> = (0..30).map(|value| (1 + value * 7 % 30, value)).collect();
        sorted.sort_unstable_by_key(|(count, value)| (core::cmp::Reverse(*count), *value));
        let expected = sorted.into_iter().take(20).flat_map(|(count, value)| [value, count, 0].map(Number::U64));
        let record = Algorithm::<u64>::report(&top, &state_of(&samples), 0).forced().expect("there are samples");
        assert_eq!(Some(record), Record::from_numbers(expected.map(Some)));
    }

    #[test]
    fn a_new_value_replaces_the_least_frequent_one() {
        let mut samples: Vec<u64> = (0..64).flat_map(|value| [value; 2]).collect();
        samples.extend([0, 1, 3, 100]);
        let state = state_of(&samples);
        let counters = &state.0.as_ref().expect("there are samples").counters;
        let position = counters.iter().position(|counter| counter.value == 100);
        assert_eq!(position.map(|index| counters[index]), Some(Counter { value: 100, count: 3, error: 2 }));
        assert!(!counters.iter().any(|counter| counter.value == 2), "the first of the least");
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for (k, counters) in [(0, 64), (21, 64), (1, 63), (1, 1025)] {
            assert_eq!(Top::new(k, counters), Err(TopError));
        }
        assert_eq!(Top::new(3, 64), Ok(TOP));
    }

    #[test]
    fn saved_counters_are_restored_and_impossible_ones_refused() {
        let restore = |words: &[u64]| {
            let mut words = Words::new(words);
            let state: TopState<u64> = TOP.restore(&mut words)?;
            words.finish().map(|()| state)
        };
        let state = state_of(&[7, 7, 9]);
        let words = saved(&TOP, &state);
        assert_eq!(words, [1, 2, 7, 2, 0, 9, 1, 0]);
        assert_eq!(restore(&words), Ok(state));
        let cases = [(0, 3), (1, 0), (1, 65), (2, 9), (3, 0), (4, 2), (7, 1)];
        for (index, word) in cases {
            let mut words = words.clone();
            words[index] = word;
            assert!(restore(&words).is_err(), "word {index} as {word}");
        }
        assert!(restore(&[2, 1, 7, 5, 4]).is_ok());
    }
}
