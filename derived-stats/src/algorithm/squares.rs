//! The mean and the sum of squared deviations of samples: the state of `DSVariance` and `DSStddev`.
//!
//! ```text
//! d = x - mean;   n <- n + 1;   mean <- mean + d/n;   squares <- squares + d * (x - mean)      (1)
//! ```
//!
//! for a sample x, and for the states a and b of two sets of samples
//!
//! ```text
//! d = mean_b - mean_a;   n = n_a + n_b
//! mean    = mean_a + d * n_b/n                                                                 (2)
//! squares = squares_a + squares_b + d*d * n_a * n_b/n                                          (3)
//! ```
//!
//! (1): B. P. Welford, "Note on a method for calculating corrected sums of squares and products", Technometrics 4(3),
//! 1962. (2), (3): T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for computing
//! sample variances", Stanford report STAN-CS-79-773, 1979, equations 2.1. The difference of the mean of squares and the
//! square of the mean would be cheaper, but loses all digits if the samples are large and their deviations small.

use crate::algorithm::Sample;
use crate::algorithm::fixed::{FixedState, ensure};
use crate::algorithm::large::{LARGEST, within};
use crate::algorithm::tally::MAX_SAMPLES;
use crate::number::{Number, Numeric};
use crate::record::Record;
use crate::report::{Flaw, Report};
use crate::saved::RestoreError;

/// The mean, the sum of squared deviations and the number of samples: 24 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Squares {
    mean: f64,
    squares: f64,
    /// The number of samples, and in the two lowest bits the flags.
    packed: u64,
}

/// A sample was the bound of an overflowed sum, or the sum of squares left the range of doubles.
const OVERFLOWED: u64 = 1;
/// A sample was beyond [`LARGEST`].
const TOO_LARGE: u64 = 2;
/// One sample.
const SAMPLE: u64 = 4;

impl Squares {
    /// Adds a sample: equation (1).
    #[inline]
    pub(crate) fn add<T: Numeric>(&mut self, sample: Sample<T>) {
        let value = sample.value.to_f64();
        let x = within(value);
        let flags = (OVERFLOWED * u64::from(sample.overflowed)) | (TOO_LARGE * u64::from(x != value));
        self.count(SAMPLE | flags);
        let d = x - self.mean;
        self.mean += d / self.samples();
        self.set_squares(self.squares + d * (x - self.mean));
    }

    /// Adds the samples of another state: equations (2) and (3).
    pub(crate) fn add_all(&mut self, other: &Self) {
        if other.is_empty() || self.is_empty() {
            *self = if other.is_empty() { *self } else { *other };
            return;
        }
        let (before, added) = (self.samples(), other.samples());
        self.count(other.packed);
        let (d, share) = (other.mean - self.mean, added / self.samples());
        self.mean += d * share;
        self.set_squares(self.squares + other.squares + d * d * (before * share));
    }

    /// Sets the sum of squares, which stops at the bound of doubles and marks the result.
    #[inline]
    fn set_squares(&mut self, squares: f64) {
        self.packed |= OVERFLOWED * u64::from(squares > f64::MAX);
        self.squares = squares.min(f64::MAX);
    }

    /// The variance of the samples; `None` without samples.
    #[inline]
    pub(crate) fn variance(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.squares / self.samples())
    }

    /// What `of` makes of the variance, as a result; not ready without samples.
    pub(crate) fn report(&self, of: impl FnOnce(f64) -> f64) -> Report<Record> {
        match self.variance() {
            None => Report::NotReady(None),
            Some(variance) => Report::Value(Record::new([Number::F64(of(variance))]).flawed(self.flaw())),
        }
    }

    /// The flaw of a result.
    #[inline]
    pub(crate) fn flaw(&self) -> Option<Flaw> {
        match self.packed & (OVERFLOWED | TOO_LARGE) {
            0 => None,
            TOO_LARGE => Some(Flaw::TooLarge),
            _ => Some(Flaw::Overflow),
        }
    }

    #[inline]
    fn samples(&self) -> f64 {
        (self.packed / SAMPLE) as f64
    }

    /// Counts samples, up to the largest number, and adds their flags.
    #[inline]
    fn count(&mut self, packed: u64) {
        let samples = (self.packed / SAMPLE + packed / SAMPLE).min(MAX_SAMPLES);
        self.packed = (samples * SAMPLE) | (self.packed | packed) & (OVERFLOWED | TOO_LARGE);
    }
}

impl FixedState<3> for Squares {
    const FIELDS: [&'static str; 3] = ["mean", "squares", "samples"];

    #[inline]
    fn words(&self) -> [u64; 3] {
        [self.mean.to_bits(), self.squares.to_bits(), self.packed]
    }

    #[inline]
    fn from_words([mean, squares, packed]: [u64; 3]) -> Self {
        Self { mean: f64::from_bits(mean), squares: f64::from_bits(squares), packed }
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.packed < SAMPLE
    }

    fn check(&self) -> Result<(), RestoreError> {
        // A mean may be rounded beyond the largest sample.
        ensure(self.mean.abs() <= 2.0 * LARGEST, "mean", self.mean.to_bits())?;
        let is_possible =
            (0.0..=f64::MAX).contains(&self.squares) && (self.packed >= 2 * SAMPLE || self.squares == 0.0);
        ensure(is_possible, "squares", self.squares.to_bits())?;
        let is_start = !self.is_empty() || self.words() == [0; 3];
        ensure(is_start && self.packed / SAMPLE <= MAX_SAMPLES, "samples", self.packed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squares(samples: &[f64]) -> Squares {
        let mut squares = Squares::default();
        samples.iter().for_each(|value| squares.add(Sample::new(0, *value)));
        squares
    }

    #[test]
    fn small_deviations_of_large_samples_keep_their_digits() {
        let samples = [4.0, 7.0, 13.0, 16.0].map(|x| x + 1e9);
        assert_eq!(squares(&samples).variance(), Some(22.5));
        let mean = samples.iter().sum::<f64>() / 4.0;
        let naive = samples.iter().map(|x| x * x).sum::<f64>() / 4.0 - mean * mean;
        assert_ne!(naive, 22.5, "the cheaper formula has this result too: another test is needed");
    }

    #[test]
    fn merged_states_have_the_variance_of_all_samples() {
        let (left, right) = ([1.0, 2.0, 4.0], [100.0, 104.0]);
        let mut merged = squares(&left);
        merged.add_all(&squares(&right));
        let whole = squares(&[left.as_slice(), right.as_slice()].concat());
        let error = (merged.variance().unwrap() - whole.variance().unwrap()).abs();
        assert!(error < 1e-12 * 1e4, "{merged:?} for {whole:?}");
        let mut same = whole;
        same.add_all(&Squares::default());
        assert_eq!(same, whole);
        let mut copy = Squares::default();
        copy.add_all(&whole);
        assert_eq!(copy, whole);
    }

    #[test]
    fn a_sample_beyond_the_largest_counts_as_that_and_marks_the_result() {
        let large = squares(&[f64::MAX, -f64::MAX]);
        let largest = squares(&[LARGEST, -LARGEST]);
        assert_eq!((large.variance(), large.flaw()), (largest.variance(), Some(Flaw::TooLarge)));
        assert_eq!(largest.flaw(), None);
        let mut overflowed = squares(&[1.0]);
        overflowed.add(Sample { at: 0, value: u64::MAX, overflowed: true });
        overflowed.add_all(&large);
        assert_eq!(overflowed.flaw(), Some(Flaw::Overflow));
    }

    /// It takes 10^8 samples of the largest sizes.
    #[test]
    fn a_sum_of_squares_beyond_doubles_marks_the_result() {
        let most = squares(&[LARGEST, -LARGEST]);
        let whole = core::iter::repeat_n(most, 2).fold(most, |mut sum, state| {
            sum.add_all(&state);
            sum
        });
        assert_eq!(whole.flaw(), None);
        let mut doubled = whole;
        for _ in 0..30 {
            let half = doubled;
            doubled.add_all(&half);
        }
        assert_eq!((doubled.squares, doubled.flaw()), (f64::MAX, Some(Flaw::Overflow)));
        let mut added = Squares { squares: f64::MAX, ..most };
        added.add(Sample::new(0, LARGEST));
        assert_eq!(added.flaw(), Some(Flaw::Overflow));
    }

    #[test]
    fn a_saved_state_that_no_samples_lead_to_is_refused() {
        let [mean, squares, packed] = squares(&[1.0, 5.0]).words();
        let cases = [
            ([mean, squares, packed], None),
            ([1e151f64.to_bits(), squares, packed], Some("mean")),
            ([f64::NAN.to_bits(), squares, packed], Some("mean")),
            ([mean, (-1f64).to_bits(), packed], Some("squares")),
            ([mean, f64::INFINITY.to_bits(), packed], Some("squares")),
            ([mean, squares, SAMPLE], Some("squares")),
            ([mean, 0, SAMPLE], None),
            ([mean, 0, 0], Some("samples")),
            ([0, 0, TOO_LARGE], Some("samples")),
            ([mean, squares, (MAX_SAMPLES + 1) * SAMPLE], Some("samples")),
        ];
        for (words, field) in cases {
            let refused = match Squares::from_words(words).check() {
                Err(RestoreError::Invalid { field, .. }) => Some(field),
                _ => None,
            };
            assert_eq!(refused, field, "{words:?}");
        }
    }
}
