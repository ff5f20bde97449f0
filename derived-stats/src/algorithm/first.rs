//! `DSFirst[:range]`: the first sample, or the first of the last `range` seconds.
//!
//! ```text
//! first = x1
//! ```
//!
//! | | |
//! |---|---|
//! | source | the counterpart of `DSNone`, which is the newest sample |
//! | unit, type and range | as the metric |
//! | error | none |
//! | memory | 16 bytes an object; over a window 8 bytes and about 6 KiB |
//! | cost | constant for each sample; over a window amortised constant |
//!
//! The first sample is the first that arrives, as the newest one of `DSNone` is the last that arrives. So states do not
//! merge: the order of the samples of two states is not known.

use crate::algorithm::fixed::state_is_fixed;
use crate::algorithm::range::{RANGE, built, explain_window};
use crate::algorithm::{Algorithm, Measured, Sample, Tally, UpdateError, Windowed};
use crate::entry::{Claims, Entry, Roles};
use crate::number::Numeric;
use crate::record::Record;
use crate::report::Report;

/// The menu entry of `DSFirst`.
pub(crate) static ENTRY: Entry =
    Entry::new("DSFirst", Roles::AGGREGATE, "the first sample", |given| built(given, 0, First))
        .arguments(&[RANGE])
        .explained(|given, _| explain_window(given, 0, "the first sample", "the first sample of the last"))
        .claims(Claims { merges: false, order_insensitive: false, within_samples: true, scales: true });

/// Returns the first sample.
///
/// 16 bytes an object.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut queue = Pipeline::parse("raw:DSFirst")?;
/// queue.update(0, Number::U64(5))?;
/// queue.update(1, Number::U64(3))?;
/// assert_eq!(queue.number(), Some(Number::U64(5)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct First;

impl<T: Numeric> Algorithm<T> for First {
    state_is_fixed!(Tally<T>, 2);

    #[inline]
    fn update(&self, state: &mut Tally<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        state.keep_first(sample);
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

impl<T: Numeric> Windowed<T> for First {
    fn append(&self, state: &mut Tally<T>, later: &Tally<T>) {
        state.keep_first_of(later);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Number;

    #[test]
    fn only_the_flag_of_the_first_sample_counts() {
        let mut state: Tally<u64> = First.start();
        for (value, overflowed) in [(5, false), (u64::MAX, true)] {
            First.update(&mut state, Sample { at: 0, value, overflowed }).expect("every value is a sample");
        }
        let report = Algorithm::<u64>::report(&First, &state, 0);
        assert_eq!(report, Report::Value(Record::new([Number::U64(5)])));
        assert_eq!(state.samples(), 2);
    }
}
