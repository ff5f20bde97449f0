//! `DSSum[:range]`: the sum of all samples, or of those of the last `range` seconds.
//!
//! Integers are exact. The original wraps modulo 2^64; here the sum stops at the bound of the type and every later
//! result carries an error, because a wrapped total looks like an ordinary small number. Doubles are added in order of
//! arrival. The sum over a window is [`RangeSum`].

use crate::algorithm::range::{RANGE, RangeSum, explain_window, window};
use crate::algorithm::{Algorithm, Measured, MergeError, Sample, Tally, UpdateError};
use crate::entry::{Built, Claims, Entry, Roles};
use crate::number::Numeric;
use crate::record::{Record, Report};
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
    type State = Tally<T>;

    #[inline]
    fn start(&self) -> Tally<T> {
        Tally::default()
    }

    #[inline]
    fn is_empty(&self, state: &Tally<T>) -> bool {
        state.is_empty()
    }

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

    fn takes_every_sample(&self) -> bool {
        true
    }

    fn merge(&self, into: &mut Tally<T>, from: &Tally<T>) -> Result<(), MergeError> {
        into.add_all(from);
        Ok(())
    }

    fn words(&self) -> Option<usize> {
        Some(Tally::<T>::WORDS)
    }

    fn save(&self, state: &Tally<T>, words: &mut WordWriter<'_>) {
        state.save(words);
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<Tally<T>, RestoreError> {
        Tally::restore(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Flaw;

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
