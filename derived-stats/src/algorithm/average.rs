//! `DSAvg[:range]`: the mean of all samples, or of the samples of the last `range` seconds.
//!
//! ```text
//! mean = (x1 + x2 + ... + xn) / n
//! ```
//!
//! | | |
//! |---|---|
//! | source | `DSAvg` in `derived_stats_algo.h` of Contrail's sandesh library |
//! | unit and type | as the metric |
//! | range | from the smallest to the largest sample |
//! | error | integers: truncated to an integer; doubles: the error of the sum, divided by n, and one rounding |
//! | memory | 16 bytes an object; over a window 8 bytes and up to 8 KiB |
//! | cost | constant for each sample, a division for each result; over a window amortised constant |
//!
//! The state is the sum and the count, not a running mean, because the sum of integers is exact. If the sum leaves the
//! range of the type, the mean is computed from the bound and carries an error. Over a window, integers are added in
//! 128 bits and cannot overflow.
//!
//! The mean of integers is an integer, truncated towards zero. The original divides a negative sum by an unsigned
//! count, which gives a wrong result; here the mean of negative integers is correct.

use crate::algorithm::fixed::state_is_fixed;
use crate::algorithm::range::{RANGE, explain_window, window};
use crate::algorithm::{Algorithm, Measured, MergeError, Ranged, Sample, Tally, UpdateError, WideSum};
use crate::entry::{Built, Claims, Entry, Roles};
use crate::number::{Number, Numeric};
use crate::record::Record;
use crate::report::Report;

/// The menu entry of `DSAvg`.
pub(crate) static ENTRY: Entry = Entry::new("DSAvg", Roles::AGGREGATE, "the mean of all samples", |given| {
    Ok(match window(given, 0)? {
        None => Built::aggregate(Average),
        Some(range) => Built::aggregate(RangeAverage::new(range)).with_window(range.seconds()),
    })
})
.arguments(&[RANGE])
.explained(|given, _| {
    let mut explanation = explain_window(given, 0, "the mean of all samples", "the mean of the last");
    explanation.sentence.push_str(", cut to a whole number for integers");
    explanation
})
.claims(Claims { merges: true, order_insensitive: true, within_samples: true, scales: true });

/// The mean of all samples.
///
/// 16 bytes an object.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut load = Pipeline::parse("raw:DSAvg")?;
/// load.update(0, Number::U64(10))?;
/// load.update(1, Number::U64(13))?;
/// assert_eq!(load.number(), Some(Number::U64(11)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Average;

impl Average {
    fn mean<T: Numeric>(state: &Tally<T>) -> Number {
        T::quotient(state.value(), state.samples()).into_number()
    }
}

impl<T: Numeric> Algorithm<T> for Average {
    state_is_fixed!(Tally<T>, 2);

    #[inline]
    fn update(&self, state: &mut Tally<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        state.add(sample);
        Ok(())
    }

    fn report(&self, state: &Tally<T>, _now: u64) -> Report<Record> {
        if state.is_empty() {
            return Report::NotReady(None);
        }
        Report::Value(state.record(Self::mean(state)))
    }

    #[inline]
    fn value(&self, state: &Tally<T>, _now: u64, _value: usize) -> Option<Measured> {
        let measured = || Measured { number: Self::mean(state), overflowed: state.is_overflowed() };
        (!state.is_empty()).then(measured)
    }

    fn merge(&self, into: &mut Tally<T>, from: &Tally<T>) -> Result<(), MergeError> {
        into.add_all(from);
        Ok(())
    }
}

/// The mean of the samples of the last `range` seconds.
pub type RangeAverage = Ranged<WideSum<true>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::{Range, saved};
    use crate::saved::Words;

    fn number(value: u64) -> Report<Record> {
        Report::Value(Record::new([Number::U64(value)]))
    }

    fn after<A: Algorithm<u64>>(algorithm: &A, samples: &[(u64, u64)]) -> A::State {
        let mut state = algorithm.start();
        for &(at, value) in samples {
            algorithm.update(&mut state, Sample::new(at, value)).expect("time goes forward");
        }
        state
    }

    /// The state is saved and restored to the same.
    fn comes_back<A: Algorithm<u64>>(algorithm: &A, state: &A::State) {
        let words = saved(algorithm, state);
        let mut reader = Words::new(&words);
        assert_eq!(algorithm.restore(&mut reader).as_ref(), Ok(state));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn a_mean_is_of_all_samples_and_is_restored_from_saved_words() {
        assert_eq!(Algorithm::<u64>::report(&Average, &Algorithm::<u64>::start(&Average), 0), Report::NotReady(None));
        let state = after(&Average, &[(0, 10), (1, 13)]);
        assert_eq!(Algorithm::<u64>::report(&Average, &state, 1), number(11));
        comes_back(&Average, &state);
    }

    #[test]
    fn a_ranged_mean_is_of_the_samples_in_the_window_and_is_restored_from_saved_words() {
        let algorithm = RangeAverage::new(Range::from_seconds(1).expect("a good range"));
        let state = after(&algorithm, &[(0, 100), (1_500_000, 10), (1_600_000, 13)]);
        let report = |now| Algorithm::<u64>::report(&algorithm, &state, now);
        assert_eq!(report(1_600_000), number(11));
        assert_eq!(report(9_000_000), Report::NotReady(None), "an empty window has no mean");
        comes_back(&algorithm, &state);
    }

    #[test]
    fn the_mean_of_negative_samples_is_negative() {
        let mut state: Tally<i64> = Average.start();
        for value in [-3i64, -3, -4] {
            Average.update(&mut state, Sample::new(0, value)).expect("any i64 is a sample");
        }
        let report = Algorithm::<i64>::report(&Average, &state, 0);
        assert_eq!(report, Report::Value(Record::new([Number::I64(-3)])));
    }

    #[test]
    fn an_average_without_samples_is_not_ready() {
        let state: Tally<u64> = Average.start();
        assert_eq!(Algorithm::<u64>::report(&Average, &state, 0), Report::NotReady(None));
        assert_eq!(Algorithm::<u64>::value(&Average, &state, 0, 0), None);
    }
}
