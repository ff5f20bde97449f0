//! `DSSum[:range]`: the sum of all samples, or of the samples of the last `range` seconds.
//!
//! ```text
//! sum = x1 + x2 + ... + xn
//! ```
//!
//! | | |
//! |---|---|
//! | source | `DSSum` in `derived_stats_algo.h` of Contrail's sandesh library |
//! | unit and type | as the metric |
//! | range | the range of the type: u64, i64, finite doubles |
//! | error | integers: none; doubles: at most `n * 2^-53 * (abs(x1) + ... + abs(xn))` |
//! | memory | 16 bytes an object; over a window 8 bytes and up to 8 KiB |
//! | cost | constant for each sample; over a window amortised constant |
//!
//! Integers are exact. The original wraps modulo 2^64; here the sum saturates, and every later result carries an error,
//! because a wrapped sum cannot be distinguished from a correct small sum. Doubles are added in order of arrival. The
//! sum over a window is [`RangeSum`].

use crate::algorithm::range::{RANGE, explain_window, window};
use crate::algorithm::tally::state_is_tally;
use crate::algorithm::{Algorithm, Measured, MergeError, Range, RangeState, Sample, Tally, UpdateError};
use crate::entry::{Built, Claims, Entry, Roles};
use crate::number::Numeric;
use crate::record::Record;
use crate::report::{Flaw, Report};
use crate::saved::{RestoreError, WordWriter, Words};

/// The menu entry of `DSSum`.
pub(crate) static ENTRY: Entry = Entry::new("DSSum", Roles::AGGREGATE, "the sum of all samples", |given| {
    Ok(match window(given)? {
        None => Built::aggregate(Sum),
        Some(range) => Built::aggregate(RangeSum::new(range)).with_window(range.seconds()),
    })
})
.arguments(&[RANGE])
.explained(|given, _| explain_window(given, "the sum of all samples", "the sum of the last"))
.claims(Claims { merges: true, order_insensitive: true, within_samples: false, scales: true });

/// Adds up samples.
///
/// 16 bytes an object.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut flows = Pipeline::parse("raw:DSSum")?;
/// flows.update(0, Number::U64(20))?;
/// flows.update(1, Number::U64(16))?;
/// assert_eq!(flows.number(), Some(Number::U64(36)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum;

impl<T: Numeric> Algorithm<T> for Sum {
    state_is_tally!(T);

    #[inline]
    fn update(&self, state: &mut Tally<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        state.add(sample);
        Ok(())
    }

    #[inline]
    fn report(&self, state: &Tally<T>, _now: u64) -> Report<Record> {
        if state.is_empty() {
            return Report::NotReady(None);
        }
        Report::Value(state.record(state.value().into_number()))
    }

    #[inline]
    fn value(&self, state: &Tally<T>, _now: u64, _value: usize) -> Option<Measured> {
        state.measured()
    }

    fn merge(&self, into: &mut Tally<T>, from: &Tally<T>) -> Result<(), MergeError> {
        into.add_all(from);
        Ok(())
    }
}

/// The sum of the samples of the last `range` seconds.
///
/// Not ready until one whole range has passed since the first sample.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut bytes = Pipeline::parse("raw:DSSum:60")?;
/// for second in 0..=60 {
///     bytes.update(second * 1_000_000, Number::U64(1))?;
/// }
/// assert_eq!(bytes.number(), Some(Number::U64(60)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RangeSum {
    range: Range,
}

impl RangeSum {
    /// A sum over the window of `range`.
    pub fn new(range: Range) -> Self {
        Self { range }
    }

    /// The window.
    pub fn range(&self) -> Range {
        self.range
    }
}

impl<T: Numeric> Algorithm<T> for RangeSum {
    type State = RangeState<T>;

    fn start(&self) -> RangeState<T> {
        RangeState::default()
    }

    fn is_empty(&self, state: &RangeState<T>) -> bool {
        state.is_empty()
    }

    fn update(&self, state: &mut RangeState<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        state.update(self.range, sample)
    }

    fn report(&self, state: &RangeState<T>, now: u64) -> Report<Record> {
        let Some(window) = state.window(self.range, now) else {
            return Report::NotReady(None);
        };
        let (value, overflowed) = window.total();
        Report::Value(Record::new([value.into_number()]).flawed(overflowed.then_some(Flaw::Overflow)))
    }

    fn merge(&self, into: &mut RangeState<T>, from: &RangeState<T>) -> Result<(), MergeError> {
        into.merge(self.range, from);
        Ok(())
    }

    fn heap_bytes(&self) -> usize {
        RangeState::<T>::heap_bytes(self.range)
    }

    fn save(&self, state: &RangeState<T>, words: &mut WordWriter<'_>) {
        state.save(words);
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<RangeState<T>, RestoreError> {
        RangeState::restore(self.range, words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overflow_stays_at_the_bound_and_is_named() {
        let mut state: Tally<u64> = Sum.start();
        for value in [u64::MAX, 1, 5] {
            state.add(Sample::new(0, value));
        }
        let report = Algorithm::<u64>::report(&Sum, &state, 0);
        let record = report.forced().expect("three samples were added");
        assert_eq!(record.flaw(), Some(Flaw::Overflow));
        assert_eq!(state.value(), u64::MAX);
    }
}
