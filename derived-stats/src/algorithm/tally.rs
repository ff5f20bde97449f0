//! The state that most algorithms use: a value, the number of samples and two flags.

use crate::algorithm::fixed::{FixedState, ensure};
use crate::algorithm::{Measured, Sample};
use crate::number::{Number, Numeric};
use crate::record::Record;
use crate::report::{Flaw, Report};
use crate::saved::RestoreError;

/// The largest number of samples that a state counts, which leaves bits for flags: one sample per microsecond for nine
/// years.
pub(super) const MAX_SAMPLES: u64 = (1 << 48) - 1;

/// A value, the number of its samples and two flags: 16 bytes.
///
/// The value is a sum (`DSSum`, `DSAvg`), the newest sample (`DSNone`, `DSNon0`, `DSChange`), the first (`DSFirst`), the
/// smallest (`DSMin`) or the largest (`DSMax`). One flag is set if the
/// value is the bound of its type because the true value did not fit, the other if the newest sample equals the
/// previous one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally<T> {
    value: T,
    /// The number of samples, and in the two lowest bits the flags.
    packed: u64,
}

/// The newest sample equals the previous one.
const REPEATED: u64 = 1;
/// The value is the bound of its type because the true value did not fit.
const OVERFLOWED: u64 = 2;
/// One sample.
const SAMPLE: u64 = 4;

impl<T: Numeric> Tally<T> {
    /// Adds a sample to the sum. The sum saturates, and keeps the bound from then on.
    #[inline]
    pub fn add(&mut self, sample: Sample<T>) {
        // The first sample is added to the neutral element, so that -0.0 keeps its sign, as in the original. A select
        // and not a branch, which would be mispredicted for half of all first samples.
        let before = if self.is_empty() { T::NEUTRAL } else { self.value };
        self.accumulate(before, sample.value, sample.overflowed);
        self.count(1);
    }

    /// Adds a value. If the sum or the value is the bound of an overflow, the sum stays at that bound, because the true
    /// sum is unknown.
    #[inline]
    fn accumulate(&mut self, before: T, value: T, is_bound: bool) {
        let (sum, overflowed) = before.saturating_sum(value);
        let sum = if is_bound { value } else { sum };
        self.value = if self.is_overflowed() { self.value } else { sum };
        self.packed |= OVERFLOWED * u64::from(overflowed | is_bound);
    }

    /// Replaces the value with the value of a sample.
    #[inline]
    pub fn replace(&mut self, sample: Sample<T>) {
        let repeated = !self.is_empty() && self.value == sample.value;
        self.value = sample.value;
        let flags = (OVERFLOWED * u64::from(sample.overflowed)) | (REPEATED * u64::from(repeated));
        self.packed = self.packed & !(OVERFLOWED | REPEATED) | flags;
        self.count(1);
    }

    /// Keeps the value of the sample if it is the first or `takes` prefers it to the stored value. A value that is the
    /// bound of an overflow sets the flag for good, because the true value is not known.
    #[inline]
    pub(crate) fn keep(&mut self, sample: Sample<T>, takes: impl FnOnce(T, T) -> bool) {
        let is_better = self.is_empty() | takes(sample.value, self.value);
        self.value = if is_better { sample.value } else { self.value };
        self.packed |= OVERFLOWED * u64::from(sample.overflowed);
        self.count(1);
    }

    /// Keeps the value of other samples, as [`keep`](Self::keep).
    #[inline]
    pub(crate) fn keep_all(&mut self, other: &Self, takes: impl FnOnce(T, T) -> bool) {
        if other.is_empty() {
            return;
        }
        let is_better = self.is_empty() | takes(other.value, self.value);
        self.value = if is_better { other.value } else { self.value };
        self.packed |= other.packed & OVERFLOWED;
        self.count(other.samples());
    }

    /// Keeps the value of the first sample only.
    #[inline]
    pub(crate) fn keep_first(&mut self, sample: Sample<T>) {
        if self.is_empty() {
            self.replace(sample);
        } else {
            self.count(1);
        }
    }

    /// Counts samples that are later than those of this tally, and takes their first if there are no earlier ones.
    #[inline]
    pub(crate) fn keep_first_of(&mut self, later: &Self) {
        if self.is_empty() {
            *self = *later;
        } else {
            self.count(later.samples());
        }
    }

    /// Adds the sum of other samples.
    pub fn add_all(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        let before = if self.is_empty() { T::NEUTRAL } else { self.value };
        self.accumulate(before, other.value, other.is_overflowed());
        self.count(other.samples());
    }

    /// Whether the state has taken no sample.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.packed < SAMPLE
    }

    /// The number of samples; saturates at 2^48-1.
    #[inline]
    pub fn samples(&self) -> u64 {
        self.packed / SAMPLE
    }

    /// The sum or the newest sample.
    #[inline]
    pub fn value(&self) -> T {
        self.value
    }

    /// Whether the value is the bound of its type because the true value did not fit.
    #[inline]
    pub fn is_overflowed(&self) -> bool {
        self.packed & OVERFLOWED != 0
    }

    /// Whether the newest sample equals the previous one.
    #[inline]
    pub fn is_repeated(&self) -> bool {
        self.packed & REPEATED != 0
    }

    /// A result with `number`, flawed if the value overflowed.
    #[inline]
    pub(crate) fn record(&self, number: Number) -> Record {
        Record::new([number]).flawed(self.is_overflowed().then_some(Flaw::Overflow))
    }

    /// The value as a result; not ready without samples.
    #[inline]
    pub(crate) fn report(&self) -> Report<Record> {
        if self.is_empty() {
            return Report::NotReady(None);
        }
        Report::Value(self.record(self.value.into_number()))
    }

    /// The value, if the state has taken a sample.
    #[inline]
    pub(crate) fn measured(&self) -> Option<Measured> {
        let measured = Measured { number: self.value.into_number(), overflowed: self.is_overflowed() };
        (!self.is_empty()).then_some(measured)
    }

    /// Counts more samples, up to the largest number.
    #[inline]
    fn count(&mut self, samples: u64) {
        let room = MAX_SAMPLES.saturating_sub(self.samples());
        self.packed += SAMPLE * samples.min(room);
    }
}

impl<T: Numeric> FixedState<2> for Tally<T> {
    const FIELDS: [&'static str; 2] = ["value", "samples"];

    #[inline]
    fn words(&self) -> [u64; 2] {
        [self.value.to_bits(), self.packed]
    }

    #[inline]
    fn from_words([value, packed]: [u64; 2]) -> Self {
        Self { value: T::from_bits(value), packed }
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.is_empty()
    }

    fn check(&self) -> Result<(), RestoreError> {
        ensure(self.value.to_f64().is_finite(), "value", self.value.to_bits())?;
        // Without samples there is neither a value nor a flag.
        let is_start = !self.is_empty() || *self == Self::default();
        ensure(is_start && self.packed / SAMPLE <= MAX_SAMPLES, "samples", self.packed)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::saved::{WordWriter, Words};

    #[test]
    fn a_tally_is_sixteen_bytes() {
        assert_eq!(size_of::<Tally<u64>>(), 16);
    }

    #[test]
    fn the_count_carries_into_its_upper_part_and_stops_at_the_end() {
        let mut tally = Tally { value: 0u64, packed: SAMPLE * u64::from(u32::MAX) };
        tally.add(Sample::new(0, 0));
        assert_eq!(tally.samples(), 1 << 32);
        tally.packed = SAMPLE * MAX_SAMPLES;
        tally.add(Sample::new(0, 0));
        assert_eq!(tally.samples(), MAX_SAMPLES);
    }

    #[test]
    fn a_saved_count_beyond_the_largest_is_refused() {
        let mut words = Vec::new();
        let tally = Tally { value: 0u64, packed: SAMPLE * MAX_SAMPLES };
        tally.save(&mut WordWriter::new(&mut words));
        assert_eq!(Tally::restore(&mut Words::new(&words)), Ok(tally));
        assert_eq!(words[1], MAX_SAMPLES << 2);
        words[1] = (MAX_SAMPLES + 1) << 2;
        let refused = Tally::<u64>::restore(&mut Words::new(&words));
        assert_eq!(refused, Err(RestoreError::invalid("samples", words[1])));
    }

    #[test]
    fn each_mark_is_saved() {
        for (repeated, overflowed) in [(false, false), (true, false), (false, true), (true, true)] {
            let packed = SAMPLE | (OVERFLOWED * u64::from(overflowed)) | (REPEATED * u64::from(repeated));
            let tally = Tally { value: 3u64, packed };
            let mut words = Vec::new();
            tally.save(&mut WordWriter::new(&mut words));
            assert_eq!(Tally::restore(&mut Words::new(&words)), Ok(tally));
        }
    }

    #[test]
    fn a_sum_that_left_its_type_stays_at_the_bound() {
        let sum = |samples: &[(i64, bool)]| {
            let mut tally = Tally::default();
            samples.iter().for_each(|&(value, overflowed)| tally.add(Sample { at: 0, value, overflowed }));
            (tally.value(), tally.is_overflowed())
        };
        assert_eq!(sum(&[(i64::MAX, false), (1, false), (-5, false)]), (i64::MAX, true));
        assert_eq!(sum(&[(i64::MIN, false), (-1, false), (5, false)]), (i64::MIN, true));
        assert_eq!(sum(&[(-5, false), (i64::MAX, true)]), (i64::MAX, true), "a bound before the sum");
        assert_eq!(sum(&[(i64::MAX, false), (-5, false)]), (i64::MAX - 5, false));
    }

    #[test]
    fn merged_sums_stay_at_the_bound_too() {
        let tally = |value: i64, overflowed| {
            let mut tally = Tally::default();
            tally.add(Sample { at: 0, value, overflowed });
            tally
        };
        let merged = |mut into: Tally<i64>, from| {
            into.add_all(&from);
            (into.value(), into.is_overflowed(), into.samples())
        };
        assert_eq!(merged(tally(i64::MAX, true), tally(-5, false)), (i64::MAX, true, 2));
        assert_eq!(merged(tally(-5, false), tally(i64::MAX, true)), (i64::MAX, true, 2));
        assert_eq!(merged(tally(i64::MAX, false), tally(1, false)), (i64::MAX, true, 2));
        assert_eq!(merged(tally(2, false), tally(1, false)), (3, false, 2));
        assert_eq!(merged(tally(2, false), Tally::default()), (2, false, 1));
    }

    #[test]
    fn an_overflow_before_the_tally_stays_one() {
        let mut tally = Tally::default();
        tally.add(Sample { at: 0, value: u64::MAX, overflowed: true });
        tally.add(Sample::new(1, 0));
        assert!(tally.is_overflowed());
        tally.replace(Sample::new(2, 5));
        assert!(!tally.is_overflowed(), "the newest sample has not overflowed");
    }
}
