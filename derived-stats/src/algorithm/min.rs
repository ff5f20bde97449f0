//! `DSMin[:range]`: the smallest sample, or the smallest of the last `range` seconds.
//!
//! ```text
//! min = min(x1, x2, ..., xn)
//! ```
//!
//! | | |
//! |---|---|
//! | source | the definition; a window by two stacks, see `algorithm/range/buckets.rs` |
//! | unit, type and range | as the metric |
//! | error | none; merging is exact |
//! | memory | 16 bytes an object; over a window 8 bytes and about 6 KiB |
//! | cost | constant for each sample, as `DSSum`; over a window amortised constant |
//!
//! Of 0.0 and -0.0 the first one stays. In a chain, a sum that overflowed marks every later result of the same state:
//! the true sum is not known, so it may have been the smallest one.

use crate::algorithm::fixed::state_is_fixed;
use crate::algorithm::range::{RANGE, built, explain_window};
use crate::algorithm::{Algorithm, Measured, MergeError, Sample, Tally, UpdateError, Windowed};
use crate::entry::{Claims, Entry, Roles};
use crate::number::Numeric;
use crate::record::Record;
use crate::report::Report;

/// The menu entry of `DSMin`.
pub(crate) static ENTRY: Entry =
    Entry::new("DSMin", Roles::AGGREGATE, "the smallest sample", |given| built(given, 0, Min))
        .arguments(&[RANGE])
        .explained(|given, _| explain_window(given, 0, "the smallest sample", "the smallest sample of the last"))
        .claims(Claims { merges: true, order_insensitive: true, within_samples: true, scales: true });

/// The smallest sample.
///
/// 16 bytes an object.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut queue = Pipeline::parse("raw:DSMin")?;
/// for length in [3, 8, 5] {
///     queue.update(0, Number::U64(length))?;
/// }
/// assert_eq!(queue.number(), Some(Number::U64(3)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Min;

impl<T: Numeric> Algorithm<T> for Min {
    state_is_fixed!(Tally<T>, 2);

    #[inline]
    fn update(&self, state: &mut Tally<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        state.keep(sample, |new, old| new < old);
        Ok(())
    }

    fn report(&self, state: &Tally<T>, _now: u64) -> Report<Record> {
        state.report()
    }

    #[inline]
    fn value(&self, state: &Tally<T>, _now: u64, _value: usize) -> Option<Measured> {
        state.measured()
    }

    fn merge(&self, into: &mut Tally<T>, from: &Tally<T>) -> Result<(), MergeError> {
        into.keep_all(from, |new, old| new < old);
        Ok(())
    }
}

impl<T: Numeric> Windowed<T> for Min {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Number;

    #[test]
    fn the_smallest_sample_is_not_the_zero_of_a_new_state() {
        let mut state: Tally<u64> = Min.start();
        assert_eq!(Algorithm::<u64>::report(&Min, &state, 0), Report::NotReady(None));
        for value in [9, 4, 6] {
            Min.update(&mut state, Sample::new(0, value)).expect("every value is a sample");
        }
        let expected = Report::Value(Record::new([Number::U64(4)]));
        assert_eq!(Algorithm::<u64>::report(&Min, &state, 0), expected);
        Algorithm::<u64>::merge(&Min, &mut state, &Tally::default()).expect("it merges");
        assert_eq!(Algorithm::<u64>::report(&Min, &state, 0), expected, "a state without samples has no zero either");
    }
}
