//! `DSSpread[:range]`: the largest sample minus the smallest, of all samples or of those of the last `range` seconds.
//!
//! ```text
//! spread = max(x1, ..., xn) - min(x1, ..., xn)
//! ```
//!
//! | | |
//! |---|---|
//! | source | the definition: the range of a sample in statistics |
//! | unit and type | as the metric |
//! | range | 0 to the largest value of the type, where it stops with an error in the result (i64 and doubles) |
//! | error | integers: none; doubles: one rounding; merging is exact |
//! | memory | 24 bytes an object; over a window 8 bytes and up to 8 KiB |
//! | cost | constant for each sample; over a window amortised constant |

use crate::algorithm::fixed::{FixedState, ensure, state_is_fixed};
use crate::algorithm::range::{RANGE, built, explain_window};
use crate::algorithm::tally::MAX_SAMPLES;
use crate::algorithm::{Algorithm, MergeError, Sample, UpdateError, Windowed};
use crate::entry::{Claims, Entry, Roles};
use crate::number::Numeric;
use crate::record::Record;
use crate::report::{Flaw, Report};
use crate::saved::RestoreError;

/// The menu entry of `DSSpread`.
pub(crate) static ENTRY: Entry = Entry::new("DSSpread", Roles::AGGREGATE, SUMMARY, |given| built(given, 0, Spread))
    .arguments(&[RANGE])
    .explained(|given, _| explain_window(given, 0, SUMMARY, "the largest sample minus the smallest of the last"))
    .claims(Claims { merges: true, order_insensitive: true, within_samples: false, scales: true });

const SUMMARY: &str = "the largest sample minus the smallest";

/// The largest sample minus the smallest.
///
/// 24 bytes an object.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut latency = Pipeline::parse("raw:DSSpread")?;
/// for micros in [300, 800, 500] {
///     latency.update(0, Number::U64(micros))?;
/// }
/// assert_eq!(latency.number(), Some(Number::U64(500)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread;

/// The smallest and the largest sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SpreadState<T> {
    least: T,
    most: T,
    /// The number of samples, and in the lowest bit whether one of them was the bound of an overflowed sum.
    packed: u64,
}

const OVERFLOWED: u64 = 1;
const SAMPLE: u64 = 2;

impl<T: Numeric> SpreadState<T> {
    #[inline]
    fn of(sample: Sample<T>) -> Self {
        let (least, most) = (sample.value, sample.value);
        Self { least, most, packed: SAMPLE | u64::from(sample.overflowed) }
    }

    /// Adds the samples of another state, which has some.
    #[inline]
    fn add(&mut self, other: &Self) {
        let is_first = self.is_empty();
        self.least = if is_first | (other.least < self.least) { other.least } else { self.least };
        self.most = if is_first | (other.most > self.most) { other.most } else { self.most };
        let samples = (self.packed / SAMPLE).saturating_add(other.packed / SAMPLE).min(MAX_SAMPLES);
        self.packed = (samples * SAMPLE) | (self.packed | other.packed) & OVERFLOWED;
    }
}

impl<T: Numeric> FixedState<3> for SpreadState<T> {
    const FIELDS: [&'static str; 3] = ["smallest sample", "largest sample", "samples"];

    #[inline]
    fn words(&self) -> [u64; 3] {
        [self.least.to_bits(), self.most.to_bits(), self.packed]
    }

    #[inline]
    fn from_words([least, most, packed]: [u64; 3]) -> Self {
        Self { least: T::from_bits(least), most: T::from_bits(most), packed }
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.packed < SAMPLE
    }

    fn check(&self) -> Result<(), RestoreError> {
        let [least, most] = [self.least, self.most];
        ensure(least.to_f64().is_finite(), "smallest sample", least.to_bits())?;
        ensure(most.to_f64().is_finite() && least <= most, "largest sample", most.to_bits())?;
        let is_start = !self.is_empty() || *self == Self::default();
        ensure(is_start && self.packed / SAMPLE <= MAX_SAMPLES, "samples", self.packed)
    }
}

impl<T: Numeric> Algorithm<T> for Spread {
    state_is_fixed!(SpreadState<T>, 3);

    #[inline]
    fn update(&self, state: &mut SpreadState<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        state.add(&SpreadState::of(sample));
        Ok(())
    }

    fn report(&self, state: &SpreadState<T>, _now: u64) -> Report<Record> {
        if state.is_empty() {
            return Report::NotReady(None);
        }
        let (spread, overflowed) = state.most.saturating_difference(state.least);
        let is_flawed = overflowed | (state.packed & OVERFLOWED != 0);
        Report::Value(Record::new([spread.into_number()]).flawed(is_flawed.then_some(Flaw::Overflow)))
    }

    fn merge(&self, into: &mut SpreadState<T>, from: &SpreadState<T>) -> Result<(), MergeError> {
        if !from.is_empty() {
            into.add(from);
        }
        Ok(())
    }
}

impl<T: Numeric> Windowed<T> for Spread {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Number;

    fn spread<T: Numeric>(samples: &[T]) -> Option<(Number, bool)> {
        let mut state: SpreadState<T> = Spread.start();
        for value in samples {
            Spread.update(&mut state, Sample::new(0, *value)).expect("every value is a sample");
        }
        let record = Algorithm::<T>::report(&Spread, &state, 0).forced()?;
        Some((record.get(0)?, record.flaw().is_some()))
    }

    #[test]
    fn one_sample_has_no_spread_and_none_has_no_result() {
        assert_eq!(spread::<u64>(&[]), None);
        assert_eq!(spread(&[7u64]), Some((Number::U64(0), false)));
        assert_eq!(spread(&[7u64, 9, 4]), Some((Number::U64(5), false)));
    }

    #[test]
    fn a_spread_beyond_the_type_stops_at_the_bound_and_is_marked() {
        assert_eq!(spread(&[i64::MIN, 1]), Some((Number::I64(i64::MAX), true)));
        assert_eq!(spread(&[f64::MIN, f64::MAX]), Some((Number::F64(f64::MAX), true)));
        assert_eq!(spread(&[-4i64, 1]), Some((Number::I64(5), false)));
    }
}
