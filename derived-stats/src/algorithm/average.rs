//! `DSAvg[:range]`: the mean of all samples, or of those of the last `range` seconds.
//!
//! The mean of integers is an integer, truncated towards zero. The original divides a negative sum by an unsigned
//! count and reports garbage; here negatives are right.

use crate::algorithm::{Algorithm, Range, RangeState, Sample, Tally, UpdateError};
use crate::number::Numeric;
use crate::report::{NumberResult, Output, Report};
use crate::saved::{RestoreError, Words};

/// The mean of all samples.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut load = Pipeline::inline("raw:DSAvg")?;
/// load.update(0, Number::U64(10))?;
/// load.update(1, Number::U64(13))?;
/// assert_eq!(load.number(), Some(Number::U64(11)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Average;

impl<T: Numeric> Algorithm<T> for Average {
    type State = Tally<T>;

    fn start(&self) -> Tally<T> {
        Tally::default()
    }

    fn update(&self, state: &mut Tally<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        state.add(sample.value);
        Ok(())
    }

    fn report(&self, state: &Tally<T>, _now: u64) -> Report<Output<'_>> {
        if state.is_empty() {
            return Report::NotReady(None);
        }
        let value = T::quotient(state.value(), state.samples()).into_number();
        Report::Value(Output::Number(NumberResult { value, overflowed: state.is_marked() }))
    }

    fn save(&self, state: &Tally<T>, words: &mut Vec<u64>) {
        state.save(words);
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<Tally<T>, RestoreError> {
        Tally::restore(words)
    }
}

/// The mean of the samples of the last `range` seconds; see [`RangeSum`](crate::algorithm::RangeSum) for the window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RangeAverage {
    range: Range,
}

impl RangeAverage {
    /// A mean over the window of `range`.
    pub fn new(range: Range) -> Self {
        Self { range }
    }

    /// The window.
    pub fn range(&self) -> Range {
        self.range
    }
}

impl<T: Numeric> Algorithm<T> for RangeAverage {
    type State = Box<RangeState<T>>;

    fn start(&self) -> Self::State {
        Box::new(RangeState::new(self.range))
    }

    fn update(&self, state: &mut Self::State, sample: Sample<T>) -> Result<(), UpdateError> {
        state.update(self.range, sample)
    }

    fn report(&self, state: &Self::State, now: u64) -> Report<Output<'_>> {
        match state.window(self.range, now) {
            Some(window) if window.samples > 0 => {
                let (value, overflowed) = window.mean();
                Report::Value(Output::Number(NumberResult { value: value.into_number(), overflowed }))
            }
            _ => Report::NotReady(None),
        }
    }

    fn save(&self, state: &Self::State, words: &mut Vec<u64>) {
        state.save(words);
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<Self::State, RestoreError> {
        RangeState::restore(self.range, words).map(Box::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Number;

    fn number(value: u64) -> Report<Output<'static>> {
        Report::Value(Output::Number(NumberResult { value: Number::U64(value), overflowed: false }))
    }

    fn after<A: Algorithm<u64>>(algorithm: &A, samples: &[(u64, u64)]) -> A::State {
        let mut state = algorithm.start();
        for &(at, value) in samples {
            algorithm.update(&mut state, Sample { at, value }).expect("time goes forward");
        }
        state
    }

    /// The state is saved and restored to the same.
    fn comes_back<A: Algorithm<u64>>(algorithm: &A, state: &A::State) {
        let mut words = Vec::new();
        algorithm.save(state, &mut words);
        let mut reader = Words::new(&words);
        assert_eq!(algorithm.restore(&mut reader).as_ref(), Ok(state));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn a_mean_is_of_all_samples_and_comes_back_from_saved_words() {
        assert_eq!(Algorithm::<u64>::report(&Average, &Algorithm::<u64>::start(&Average), 0), Report::NotReady(None));
        let state = after(&Average, &[(0, 10), (1, 13)]);
        assert_eq!(Algorithm::<u64>::report(&Average, &state, 1), number(11));
        comes_back(&Average, &state);
    }

    #[test]
    fn a_ranged_mean_is_of_the_samples_in_the_window_and_comes_back_from_saved_words() {
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
            Average.update(&mut state, Sample { at: 0, value }).expect("any i64 is a sample");
        }
        let report = Algorithm::<i64>::report(&Average, &state, 0);
        let expected = NumberResult { value: Number::I64(-3), overflowed: false };
        assert_eq!(report, Report::Value(Output::Number(expected)));
    }
}
