//! The mean and the variance of one series: equations (1) to (3) of [`ewm`](super).

use crate::algorithm::Alpha;
use crate::algorithm::large::{LARGEST, within};
use crate::math::sqrt;
use crate::saved::{RestoreError, WordWriter, Words};

/// The upper bound of the variance of samples up to [`LARGEST`], (2*1e150)^2, with a margin for rounding.
const LARGEST_VARIANCE: f64 = 4.1e300;

/// The mean and the variance of one series.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Moments {
    pub(crate) mean: f64,
    pub(crate) variance: f64,
}

impl Moments {
    #[inline]
    pub(crate) fn update(&mut self, alpha: Alpha, x: f64) {
        let a = alpha.get();
        let x = within(x);
        let d = x - self.mean;
        self.variance = (1.0 - a) * (self.variance + a * (d * d)); // (1)
        self.mean = ((1.0 - a) * self.mean) + (a * x); // (2)
    }

    #[inline]
    pub(crate) fn stddev(&self) -> f64 {
        sqrt(self.variance)
    }

    /// (3): the distance of `x`, the newest sample, from the mean, which includes it.
    #[inline]
    pub(crate) fn sigma(&self, x: f64) -> f64 {
        self.sigma_of(x, self.stddev())
    }

    /// [`sigma`](Self::sigma) for callers that have computed the standard deviation.
    #[inline]
    pub(crate) fn sigma_of(&self, x: f64, stddev: f64) -> f64 {
        if stddev == 0.0 { 0.0 } else { (within(x) - self.mean) / stddev }
    }

    #[inline]
    pub(crate) fn bits(&self) -> [u64; 2] {
        [self.mean.to_bits(), self.variance.to_bits()]
    }

    #[inline]
    pub(crate) fn from_bits(mean: u64, variance: u64) -> Self {
        Self { mean: f64::from_bits(mean), variance: f64::from_bits(variance) }
    }

    pub(crate) fn save(&self, words: &mut WordWriter<'_>) {
        words.extend(self.bits());
    }

    pub(crate) fn restore(words: &mut Words<'_>) -> Result<Self, RestoreError> {
        let mean: f64 = words.finite("mean")?;
        if mean.abs() > 2.0 * LARGEST {
            return Err(RestoreError::invalid("mean", mean.to_bits()));
        }
        let variance: f64 = words.finite("variance")?;
        if !(0.0..=LARGEST_VARIANCE).contains(&variance) {
            return Err(RestoreError::invalid("variance", variance.to_bits()));
        }
        Ok(Self { mean, variance })
    }

    /// Refuses a restored newest sample whose score would be infinite: no sequence of samples produces it.
    pub(crate) fn check_newest(&self, newest: f64) -> Result<(), RestoreError> {
        if self.sigma(newest).is_finite() {
            return Ok(());
        }
        Err(RestoreError::invalid("newest sample", newest.to_bits()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::large::flaw;
    use crate::report::Flaw;

    fn restored(mean: f64, variance: f64) -> Result<Moments, RestoreError> {
        Moments::restore(&mut Words::new(&[mean.to_bits(), variance.to_bits()]))
    }

    #[test]
    fn huge_samples_leave_finite_moments_and_a_bounded_score() {
        let alpha = Alpha::new(0.5).expect("in range");
        let mut moments = Moments::default();
        for x in [f64::MAX, f64::MIN, f64::MAX, 3.0, 1e149] {
            moments.update(alpha, x);
            assert!(moments.mean.is_finite() && moments.variance <= LARGEST_VARIANCE, "after {x:e}: {moments:?}");
            assert!(moments.sigma(x).abs() <= 1.0, "sigma is {} after {x:e}", moments.sigma(x));
        }
    }

    #[test]
    fn moments_follow_the_recursion() {
        let alpha = Alpha::new(0.25).expect("in range");
        let mut moments = Moments::default();
        moments.update(alpha, 8.0);
        // d = 8: variance = 0.75 * 0.25 * 64, mean = 0.25 * 8.
        assert_eq!(moments, Moments { mean: 2.0, variance: 12.0 });
        moments.update(alpha, 4.0);
        // d = 2: variance = 0.75 * (12 + 0.25 * 4), mean = 0.75 * 2 + 0.25 * 4.
        assert_eq!(moments, Moments { mean: 2.5, variance: 9.75 });
        assert_eq!(moments.sigma(4.0), 1.5 / 9.75f64.sqrt());
        assert_eq!(Moments { variance: 0.0, ..moments }.sigma(4.0), 0.0, "without variance there is no score");
    }

    #[test]
    fn a_sample_at_the_bound_is_taken_as_it_is_and_one_beyond_it_counts_as_the_bound() {
        let alpha = Alpha::new(1.0).expect("in range");
        for (x, mean, error) in [
            (LARGEST, LARGEST, None),
            (LARGEST.next_up(), LARGEST, Some(Flaw::TooLarge)),
            (-LARGEST, -LARGEST, None),
            (f64::MIN, -LARGEST, Some(Flaw::TooLarge)),
        ] {
            let mut moments = Moments::default();
            moments.update(alpha, x);
            assert_eq!((moments.mean, flaw(x, false)), (mean, error), "{x:e}");
        }
    }

    #[test]
    fn saved_moments_are_refused_exactly_where_no_samples_lead_to_them() {
        let good = [(0.0, 0.0), (2.0 * LARGEST, 0.0), (-2.0 * LARGEST, LARGEST_VARIANCE), (-7.5, 2.5)];
        for (mean, variance) in good {
            assert_eq!(restored(mean, variance), Ok(Moments { mean, variance }));
        }
        let bad = [(2.0 * LARGEST).next_up(), f64::MIN, f64::NAN, f64::INFINITY];
        for mean in bad {
            assert_eq!(restored(mean, 1.0), Err(RestoreError::invalid("mean", mean.to_bits())), "{mean:e}");
        }
        for variance in [LARGEST_VARIANCE.next_up(), -f64::MIN_POSITIVE, f64::NAN, f64::INFINITY] {
            let expected = Err(RestoreError::invalid("variance", variance.to_bits()));
            assert_eq!(restored(1.0, variance), expected, "{variance:e}");
        }
    }
}
