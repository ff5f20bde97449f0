//! `DSCount[:range]`: the number of samples, or of the samples of the last `range` seconds.
//!
//! ```text
//! count = n
//! ```
//!
//! | | |
//! |---|---|
//! | source | the definition |
//! | unit and type | samples; u64 for every metric |
//! | range | 0 to 2^64-1, where it stops |
//! | error | none; merging is exact |
//! | memory | 8 bytes an object; over a window 8 bytes and about 4 KiB |
//! | cost | constant for each sample, as `DSSum`; over a window amortised constant |
//!
//! The values make no difference, so the count of sums that overflowed is exact too, and is not marked. The count of a
//! full window whose samples have all expired is 0.

use crate::algorithm::fixed::{FixedState, state_is_fixed};
use crate::algorithm::range::{RANGE, built, explain_window};
use crate::algorithm::{Algorithm, MergeError, Sample, UpdateError, Windowed};
use crate::entry::{Claims, Entry, Field, NumberKind, Role, Roles, Unit};
use crate::number::{Number, Numeric};
use crate::record::Record;
use crate::report::Report;
use crate::saved::RestoreError;

/// The menu entry of `DSCount`.
pub(crate) static ENTRY: Entry =
    Entry::new("DSCount", Roles::AGGREGATE, "the number of samples", |given| built(given, 0, Count))
        .arguments(&[RANGE])
        .number(&[Field::number("value", NumberKind::U64, Unit::Samples, "the number of samples").role_of(Role::Value)])
        .explained(|given, _| explain_window(given, 0, "the number of samples", "the number of samples of the last"))
        .claims(Claims { merges: true, order_insensitive: true, within_samples: false, scales: false })
        .of_texts();

/// Counts samples.
///
/// 8 bytes an object.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut requests = Pipeline::parse("raw:DSCount")?;
/// requests.update(0, Number::U64(250))?;
/// requests.update(1, Number::U64(0))?;
/// assert_eq!(requests.number(), Some(Number::U64(2)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Count;

/// The number of samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CountState(u64);

impl FixedState<1> for CountState {
    const FIELDS: [&'static str; 1] = ["samples"];

    #[inline]
    fn words(&self) -> [u64; 1] {
        [self.0]
    }

    #[inline]
    fn from_words([samples]: [u64; 1]) -> Self {
        Self(samples)
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.0 == 0
    }

    fn check(&self) -> Result<(), RestoreError> {
        Ok(())
    }
}

impl<T: Numeric> Algorithm<T> for Count {
    state_is_fixed!(CountState, 1);

    #[inline]
    fn update(&self, state: &mut CountState, _sample: Sample<T>) -> Result<(), UpdateError> {
        state.0 = state.0.saturating_add(1);
        Ok(())
    }

    fn report(&self, state: &CountState, _now: u64) -> Report<Record> {
        if state.is_empty() {
            return Report::NotReady(None);
        }
        Report::Value(Record::new([Number::U64(state.0)]))
    }

    fn merge(&self, into: &mut CountState, from: &CountState) -> Result<(), MergeError> {
        into.0 = into.0.saturating_add(from.0);
        Ok(())
    }
}

impl<T: Numeric> Windowed<T> for Count {
    fn report_nothing(&self, _total: &CountState) -> Report<Record> {
        Report::Value(Record::new([Number::U64(0)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::{Range, Ranged};

    #[test]
    fn a_count_stops_at_the_end_of_its_type() {
        let mut state = CountState(u64::MAX - 1);
        Algorithm::<f64>::merge(&Count, &mut state, &CountState(3)).expect("it merges");
        Count.update(&mut state, Sample::new(0, 0.5)).expect("every value is a sample");
        assert_eq!(state, CountState(u64::MAX));
    }

    #[test]
    fn a_full_window_whose_samples_have_expired_has_0() {
        let window = Ranged::<Count>::new(Range::from_seconds(1).expect("a small range"));
        let mut state = Algorithm::<u64>::start(&window);
        let count = |state: &_, now| Algorithm::<u64>::report(&window, state, now).forced()?.get(0);
        for at in [0, 500_000] {
            window.update(&mut state, Sample::new(at, 7u64)).expect("time goes forward");
        }
        let counts = [500_000, 1_200_000, 9_000_000].map(|now| count(&state, now));
        assert_eq!(counts, [None, Some(Number::U64(1)), Some(Number::U64(0))]);
    }

    #[test]
    fn a_count_is_a_whole_number_for_every_metric() {
        let mut state = Algorithm::<f64>::start(&Count);
        assert_eq!(Algorithm::<f64>::report(&Count, &state, 0), Report::NotReady(None));
        Count.update(&mut state, Sample::new(0, -0.5)).expect("every value is a sample");
        let report = Algorithm::<f64>::report(&Count, &state, 0);
        assert_eq!(report, Report::Value(Record::new([Number::U64(1)])));
    }
}
