//! `DSMax[:range]`: the largest sample, or the largest of the last `range` seconds.
//!
//! ```text
//! max = max(x1, x2, ..., xn)
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
//! the true sum is not known, so it may have been the largest one.

use crate::algorithm::fixed::state_is_fixed;
use crate::algorithm::range::{RANGE, built, explain_window};
use crate::algorithm::{Algorithm, Measured, MergeError, Sample, Tally, UpdateError, Windowed};
use crate::entry::{Claims, Entry, Roles};
use crate::number::Numeric;
use crate::record::Record;
use crate::report::Report;

/// The menu entry of `DSMax`.
pub(crate) static ENTRY: Entry =
    Entry::new("DSMax", Roles::AGGREGATE, "the largest sample", |given| built(given, 0, Max))
        .arguments(&[RANGE])
        .explained(|given, _| explain_window(given, 0, "the largest sample", "the largest sample of the last"))
        .claims(Claims { merges: true, order_insensitive: true, within_samples: true, scales: true });

/// The largest sample.
///
/// 16 bytes an object.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut queue = Pipeline::parse("raw:DSMax")?;
/// for length in [3, 8, 5] {
///     queue.update(0, Number::U64(length))?;
/// }
/// assert_eq!(queue.number(), Some(Number::U64(8)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Max;

impl<T: Numeric> Algorithm<T> for Max {
    state_is_fixed!(Tally<T>, 2);

    #[inline]
    fn update(&self, state: &mut Tally<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        state.keep(sample, |new, old| new > old);
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
        into.keep_all(from, |new, old| new > old);
        Ok(())
    }
}

impl<T: Numeric> Windowed<T> for Max {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Number;

    fn largest<T: Numeric>(samples: &[(T, bool)]) -> (Option<Number>, bool) {
        let mut state: Tally<T> = Max.start();
        for &(value, overflowed) in samples {
            Max.update(&mut state, Sample { at: 0, value, overflowed }).expect("every value is a sample");
        }
        let record = Algorithm::<T>::report(&Max, &state, 0).forced();
        (record.as_ref().and_then(|record| record.get(0)), record.is_some_and(|record| record.flaw().is_some()))
    }

    #[test]
    fn the_largest_of_negative_samples_is_negative() {
        assert_eq!(largest(&[(-5i64, false), (-3, false), (-9, false)]), (Some(Number::I64(-3)), false));
        assert_eq!(largest(&[(-5.5, false), (-3.5, false)]), (Some(Number::F64(-3.5)), false));
        assert_eq!(largest::<u64>(&[]), (None, false));
    }

    #[test]
    fn an_overflow_before_it_marks_later_results() {
        let samples = [(i64::MIN, true), (7, false)];
        assert_eq!(largest(&samples), (Some(Number::I64(7)), true), "the true sum is not known");
    }
}
