//! `DSChange`: the newest sample, worth sending only when it differs from the one before.
//!
//! The original compares its first sample with an uninitialised value; here the first sample is always new.

use crate::algorithm::newest::number;
use crate::algorithm::{Algorithm, Sample, Tally, UpdateError};
use crate::number::Numeric;
use crate::report::{Output, Report};
use crate::saved::{RestoreError, Words};

/// Passes the newest sample through and calls a repetition unchanged.
///
/// ```
/// use derived_stats::{Number, Pipeline, Report};
///
/// let mut peers = Pipeline::inline("raw:DSChange")?;
/// peers.update(0, Number::U64(4))?;
/// assert!(matches!(peers.report(0), Report::Value(_)));
/// peers.update(1, Number::U64(4))?;
/// assert!(matches!(peers.report(1), Report::Unchanged(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Change;

impl<T: Numeric> Algorithm<T> for Change {
    type State = Tally<T>;

    fn start(&self) -> Tally<T> {
        Tally::default()
    }

    fn update(&self, state: &mut Tally<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        state.replace(sample.value);
        Ok(())
    }

    fn report(&self, state: &Tally<T>, _now: u64) -> Report<Output<'_>> {
        match number(state.value()) {
            _ if state.is_empty() => Report::NotReady(None),
            output if state.is_marked() => Report::Unchanged(output),
            output => Report::Value(output),
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
    fn the_first_sample_is_new_even_if_it_is_zero() {
        let mut state = Change.start();
        Change.update(&mut state, Sample { at: 0, value: 0u64 }).expect("any u64 is a sample");
        assert!(matches!(Algorithm::<u64>::report(&Change, &state, 0), Report::Value(_)));
    }
}
