//! `DSChange`: the newest sample, reported as unchanged if it equals the previous one.
//!
//! ```text
//! value = xn, unchanged while xn = x(n-1)
//! ```
//!
//! | | |
//! |---|---|
//! | source | `DSChange` in `derived_stats_algo.h` of Contrail's sandesh library |
//! | unit, type and range | as the metric |
//! | error | none |
//! | memory | 16 bytes an object |
//! | cost | constant for each sample |
//!
//! The original compares its first sample with an uninitialised value; here the first sample always counts as a change.

use crate::algorithm::fixed::state_is_fixed;
use crate::algorithm::{Algorithm, Measured, Sample, Tally, UpdateError};
use crate::entry::{Built, Claims, Entry, Roles};
use crate::number::Numeric;
use crate::record::Record;
use crate::report::Report;

/// The menu entry of `DSChange`.
pub(crate) static ENTRY: Entry = Entry::new("DSChange", Roles::AGGREGATE, SUMMARY, |_| Ok(Built::aggregate(Change)))
    .claims(Claims { merges: false, order_insensitive: false, within_samples: true, scales: true });

const SUMMARY: &str = "the newest sample, unchanged while it equals the one before";

/// Returns the newest sample, and reports a repeated value as unchanged.
///
/// 16 bytes an object.
///
/// ```
/// use derived_stats::{Number, Pipeline, Report};
///
/// let mut peers = Pipeline::parse("raw:DSChange")?;
/// peers.update(0, Number::U64(4))?;
/// assert!(matches!(peers.report(0), Report::Value(_)));
/// peers.update(1, Number::U64(4))?;
/// assert!(matches!(peers.report(1), Report::Unchanged(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Change;

impl<T: Numeric> Algorithm<T> for Change {
    state_is_fixed!(Tally<T>, 2);

    #[inline]
    fn update(&self, state: &mut Tally<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        state.replace(sample);
        Ok(())
    }

    fn report(&self, state: &Tally<T>, _now: u64) -> Report<Record> {
        let record = state.record(state.value().into_number());
        match (state.is_empty(), state.is_repeated()) {
            (true, _) => Report::NotReady(None),
            (false, true) => Report::Unchanged(record),
            (false, false) => Report::Value(record),
        }
    }

    #[inline]
    fn value(&self, state: &Tally<T>, _now: u64, _value: usize) -> Option<Measured> {
        state.measured()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sample_is_new_even_if_it_is_zero() {
        let mut state = Change.start();
        Change.update(&mut state, Sample::new(0, 0u64)).expect("any u64 is a sample");
        assert!(matches!(Algorithm::<u64>::report(&Change, &state, 0), Report::Value(_)));
    }
}
