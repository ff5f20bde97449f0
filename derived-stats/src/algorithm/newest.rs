//! `DSNone`: no aggregation, the newest sample.

use crate::algorithm::{Algorithm, Sample, Tally, UpdateError};
use crate::number::Numeric;
use crate::report::{NumberResult, Output, Report};
use crate::saved::{RestoreError, Words};

/// Passes the newest sample through.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut queue = Pipeline::inline("raw:DSNone")?;
/// queue.update(0, Number::U64(5))?;
/// queue.update(1, Number::U64(3))?;
/// assert_eq!(queue.number(), Some(Number::U64(3)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Newest;

/// The result of the algorithms that show the newest sample.
pub(super) fn number<'s, T: Numeric>(value: T) -> Output<'s> {
    Output::Number(NumberResult { value: value.into_number(), overflowed: false })
}

impl<T: Numeric> Algorithm<T> for Newest {
    type State = Tally<T>;

    fn start(&self) -> Tally<T> {
        Tally::default()
    }

    fn update(&self, state: &mut Tally<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        state.replace(sample.value);
        Ok(())
    }

    fn report(&self, state: &Tally<T>, _now: u64) -> Report<Output<'_>> {
        if state.is_empty() { Report::NotReady(None) } else { Report::Value(number(state.value())) }
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
    fn nothing_is_ready_before_the_first_sample() {
        let state: Tally<u64> = Newest.start();
        assert_eq!(Algorithm::<u64>::report(&Newest, &state, 0), Report::NotReady(None));
    }
}
