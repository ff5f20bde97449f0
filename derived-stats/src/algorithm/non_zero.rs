//! `DSNon0`: the newest sample, reported as unchanged while it is zero.
//!
//! ```text
//! value = xn, unchanged while xn = 0
//! ```
//!
//! | | |
//! |---|---|
//! | source | `DSNon0` in `derived_stats_algo.h` of Contrail's sandesh library |
//! | unit, type and range | as the metric |
//! | error | none |
//! | memory | 16 bytes an object |
//! | cost | constant for each sample |

use crate::algorithm::fixed::state_is_fixed;
use crate::algorithm::{Algorithm, Measured, Sample, Tally, UpdateError};
use crate::entry::{Built, Claims, Entry, Roles};
use crate::number::Numeric;
use crate::record::Record;
use crate::report::Report;

/// The menu entry of `DSNon0`.
pub(crate) static ENTRY: Entry =
    Entry::new("DSNon0", Roles::AGGREGATE, "the newest sample, unchanged while it is 0", |_| {
        Ok(Built::aggregate(NonZero))
    })
    .claims(Claims { merges: false, order_insensitive: false, within_samples: true, scales: true });

/// Returns the newest sample, and reports a zero as unchanged.
///
/// 16 bytes an object.
///
/// ```
/// use derived_stats::{Number, Pipeline, Report};
///
/// let mut drops = Pipeline::parse("raw:DSNon0")?;
/// drops.update(0, Number::U64(0))?;
/// assert!(matches!(drops.report(0), Report::Unchanged(_)));
/// drops.update(1, Number::U64(2))?;
/// assert!(matches!(drops.report(1), Report::Value(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NonZero;

impl<T: Numeric> Algorithm<T> for NonZero {
    state_is_fixed!(Tally<T>, 2);

    #[inline]
    fn update(&self, state: &mut Tally<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        state.replace(sample);
        Ok(())
    }

    fn report(&self, state: &Tally<T>, _now: u64) -> Report<Record> {
        let record = state.record(state.value().into_number());
        match state.value() {
            _ if state.is_empty() => Report::NotReady(None),
            value if value == T::default() => Report::Unchanged(record),
            _ => Report::Value(record),
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
    fn negative_zero_is_zero() {
        let mut state = NonZero.start();
        NonZero.update(&mut state, Sample::new(0, -0.0f64)).expect("finite");
        assert!(matches!(Algorithm::<f64>::report(&NonZero, &state, 0), Report::Unchanged(_)));
    }
}
