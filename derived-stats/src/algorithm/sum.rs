//! `DSSum`: the sum of all samples.
//!
//! Integers are exact. The original wraps modulo 2^64; here the sum stops at the bound of the type and every later
//! result says so, because a wrapped total looks like an ordinary small number. Doubles are added in order of arrival.

use crate::algorithm::{Algorithm, Sample, Tally, UpdateError};
use crate::number::Numeric;
use crate::report::{NumberResult, Output, Report};
use crate::saved::{RestoreError, Words};

/// Adds up samples.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut flows = Pipeline::inline("raw:DSSum")?;
/// flows.update(0, Number::U64(20))?;
/// flows.update(1, Number::U64(16))?;
/// assert_eq!(flows.number(), Some(Number::U64(36)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum;

impl<T: Numeric> Algorithm<T> for Sum {
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
        let value = state.value().into_number();
        Report::Value(Output::Number(NumberResult { value, overflowed: state.is_marked() }))
    }

    fn save(&self, state: &Tally<T>, words: &mut Vec<u64>) {
        state.save(words);
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<Tally<T>, RestoreError> {
        Tally::restore(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::OVERFLOW;

    #[test]
    fn an_overflow_stays_at_the_bound_and_is_named() {
        let mut state: Tally<u64> = Sum.start();
        for value in [u64::MAX, 1, 5] {
            state.add(value);
        }
        let report = Algorithm::<u64>::report(&Sum, &state, 0);
        let output = report.forced().expect("three samples were added");
        assert_eq!(output.error(), Some(OVERFLOW));
        assert_eq!(state.value(), u64::MAX);
    }
}
