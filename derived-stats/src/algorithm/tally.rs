//! The small state that most algorithms share: one value, a count, a mark.

use crate::number::Numeric;
use crate::saved::{RestoreError, Words};

/// The largest count that fits: a sample every microsecond for nine years.
const MAX_SAMPLES: u64 = (1 << 48) - 1;

/// A value, the number of samples behind it, and a mark: 16 bytes.
///
/// What the value and the mark mean is the algorithm's: a sum and whether it overflowed (`DSSum`, `DSAvg`), or the
/// newest sample and whether it repeated the one before (`DSChange`). One layout for all keeps a pipeline's state
/// without a tag of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally<T> {
    value: T,
    /// The count has 48 bits, in two parts so that it shares a word with the mark.
    samples_low: u32,
    samples_high: u16,
    marked: bool,
}

impl<T: Numeric> Tally<T> {
    /// Adds `value` to the sum; marks the tally if the sum leaves the range of the type and stops at the bound.
    #[inline]
    pub fn add(&mut self, value: T) {
        // The first value is added to what changes no value, so that -0.0 keeps its sign, as in the original. Chosen,
        // not jumped over: half of all first samples would be mispredicted.
        let before = if self.is_empty() { T::NEUTRAL } else { self.value };
        let (sum, overflowed) = before.saturating_sum(value);
        self.value = sum;
        self.marked |= overflowed;
        self.count();
    }

    /// Replaces the value, and marks the tally if it is the same again.
    #[inline]
    pub fn replace(&mut self, value: T) {
        self.marked = !self.is_empty() && self.value == value;
        self.value = value;
        self.count();
    }

    /// Whether there was no sample yet.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.samples_low == 0 && self.samples_high == 0
    }

    /// How many samples there were; stops at 2^48-1.
    #[inline]
    pub fn samples(&self) -> u64 {
        u64::from(self.samples_high) << 32 | u64::from(self.samples_low)
    }

    /// The sum or the newest sample.
    #[inline]
    pub fn value(&self) -> T {
        self.value
    }

    /// Whether the sum overflowed, or the newest sample repeated the one before.
    #[inline]
    pub fn is_marked(&self) -> bool {
        self.marked
    }

    #[inline]
    fn count(&mut self) {
        self.set_samples((self.samples() + 1).min(MAX_SAMPLES));
    }

    #[inline]
    fn set_samples(&mut self, samples: u64) {
        self.samples_low = samples as u32;
        self.samples_high = (samples >> 32) as u16;
    }

    pub(crate) fn save(&self, words: &mut Vec<u64>) {
        words.extend([self.value.to_bits(), self.samples() << 1 | u64::from(self.marked)]);
    }

    pub(crate) fn restore(words: &mut Words<'_>) -> Result<Self, RestoreError> {
        let value = words.finite("value")?;
        let packed = words.next("samples")?;
        if packed >> 1 > MAX_SAMPLES {
            return Err(RestoreError::invalid("samples", packed));
        }
        let mut tally = Self { value, marked: packed & 1 == 1, ..Self::default() };
        tally.set_samples(packed >> 1);
        Ok(tally)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_is_sixteen_bytes() {
        assert_eq!(size_of::<Tally<u64>>(), 16);
        assert_eq!(size_of::<Option<Tally<f64>>>(), 16);
    }

    #[test]
    fn the_count_carries_into_its_upper_part_and_stops_at_the_end() {
        let mut tally = Tally::<u64>::default();
        tally.set_samples(u64::from(u32::MAX));
        tally.add(0);
        assert_eq!(tally.samples(), 1 << 32);
        tally.set_samples(MAX_SAMPLES);
        tally.add(0);
        assert_eq!(tally.samples(), MAX_SAMPLES);
    }

    fn restored(words: &[u64]) -> Result<Tally<u64>, RestoreError> {
        Tally::restore(&mut Words::new(words))
    }

    #[test]
    fn a_repeated_value_marks_and_another_one_clears_the_mark() {
        let mut tally = Tally::<u64>::default();
        let marks = [0, 0, 7, 7, 7, 8].map(|value| {
            tally.replace(value);
            tally.is_marked()
        });
        assert_eq!(marks, [false, true, false, true, true, false]);
        assert_eq!((tally.value(), tally.samples()), (8, 6));
    }

    #[test]
    fn a_saved_tally_comes_back_with_value_count_and_mark() {
        for (value, samples, mark) in [(0, 0, 0), (7, 1, 0), (7, 2, 1), (u64::MAX, MAX_SAMPLES, 1), (7, 1 << 32, 0)] {
            let words = [value, samples << 1 | mark];
            let tally = restored(&words).expect("a possible tally");
            assert_eq!((tally.value(), tally.samples(), tally.is_marked()), (value, samples, mark == 1));
            let mut saved = Vec::new();
            tally.save(&mut saved);
            assert_eq!(saved, words);
        }
    }

    #[test]
    fn a_saved_count_that_does_not_fit_is_refused() {
        for packed in [(MAX_SAMPLES + 1) << 1, u64::MAX] {
            assert_eq!(restored(&[7, packed]), Err(RestoreError::invalid("samples", packed)));
        }
        assert_eq!(restored(&[7]), Err(RestoreError::TooShort { field: "samples" }));
    }
}
