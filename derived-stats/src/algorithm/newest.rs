//! `DSNone`: no aggregation, the newest sample.
//!
//! ```text
//! value = xn
//! ```
//!
//! | | |
//! |---|---|
//! | source | `DSNone` in `derived_stats_algo.h` of Contrail's sandesh library |
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

/// The menu entry of `DSNone`.
pub(crate) static ENTRY: Entry = Entry::new("DSNone", Roles::AGGREGATE, "the newest sample", |_| {
    Ok(Built::aggregate(Newest))
})
.claims(Claims { merges: false, order_insensitive: false, within_samples: true, scales: true });

/// Returns the newest sample.
///
/// 16 bytes an object.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut queue = Pipeline::parse("raw:DSNone")?;
/// queue.update(0, Number::U64(5))?;
/// queue.update(1, Number::U64(3))?;
/// assert_eq!(queue.number(), Some(Number::U64(3)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Newest;

impl<T: Numeric> Algorithm<T> for Newest {
    state_is_fixed!(Tally<T>, 2);

    #[inline]
    fn update(&self, state: &mut Tally<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        state.replace(sample);
        Ok(())
    }

    fn report(&self, state: &Tally<T>, _now: u64) -> Report<Record> {
        state.report()
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
    fn nothing_is_ready_before_the_first_sample() {
        let state: Tally<u64> = Newest.start();
        assert_eq!(Algorithm::<u64>::report(&Newest, &state, 0), Report::NotReady(None));
    }
}
