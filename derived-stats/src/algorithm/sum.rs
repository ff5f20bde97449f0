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

use crate::algorithm::fixed::state_is_fixed;
use crate::algorithm::range::{RANGE, explain_window, window};
use crate::algorithm::{Algorithm, Measured, MergeError, Ranged, Sample, Tally, UpdateError, WideSum};
use crate::entry::{Built, Claims, Entry, Roles};
use crate::number::Numeric;
use crate::record::Record;
use crate::report::Report;

/// The menu entry of `DSSum`.
pub(crate) static ENTRY: Entry = Entry::new("DSSum", Roles::AGGREGATE, "the sum of all samples", |given| {
    Ok(match window(given, 0)? {
        None => Built::aggregate(Sum),
        Some(range) => Built::aggregate(RangeSum::new(range)).with_window(range.seconds()),
    })
})
.arguments(&[RANGE])
.explained(|given, _| explain_window(given, 0, "the sum of all samples", "the sum of the last"))
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
    state_is_fixed!(Tally<T>, 2);

    #[inline]
    fn update(&self, state: &mut Tally<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        state.add(sample);
        Ok(())
    }

    #[inline]
    fn report(&self, state: &Tally<T>, _now: u64) -> Report<Record> {
        state.report()
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
pub type RangeSum = Ranged<WideSum<false>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Flaw;

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
