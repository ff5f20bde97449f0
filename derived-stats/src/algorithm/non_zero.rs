//! `DSNon0`: the newest sample, worth sending only while it is not zero.

use crate::algorithm::newest::number;
use crate::algorithm::{Algorithm, Sample, Tally, UpdateError};
use crate::number::Numeric;
use crate::report::{Output, Report};
use crate::saved::{RestoreError, Words};

/// Passes the newest sample through and calls a zero unchanged.
///
/// ```
/// use derived_stats::{Number, Pipeline, Report};
///
/// let mut drops = Pipeline::inline("raw:DSNon0")?;
/// drops.update(0, Number::U64(0))?;
/// assert!(matches!(drops.report(0), Report::Unchanged(_)));
/// drops.update(1, Number::U64(2))?;
/// assert!(matches!(drops.report(1), Report::Value(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NonZero;

impl<T: Numeric> Algorithm<T> for NonZero {
    type State = Tally<T>;

    fn start(&self) -> Tally<T> {
        Tally::default()
    }

    fn update(&self, state: &mut Tally<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        state.replace(sample.value);
        Ok(())
    }

    fn report(&self, state: &Tally<T>, _now: u64) -> Report<Output<'_>> {
        match state.value() {
            _ if state.is_empty() => Report::NotReady(None),
            value if value == T::default() => Report::Unchanged(number(value)),
            value => Report::Value(number(value)),
        }
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

    #[test]
    fn negative_zero_is_zero() {
        let mut state = NonZero.start();
        NonZero.update(&mut state, Sample { at: 0, value: -0.0f64 }).expect("finite");
        assert!(matches!(Algorithm::<f64>::report(&NonZero, &state, 0), Report::Unchanged(_)));
    }
}
