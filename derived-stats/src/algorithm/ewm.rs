//! Exponentially weighted mean and variance: the recursion behind `DSEWM` and `DSAnomaly:EWM`.
//!
//! For a sample x, with d = x - mean:
//!
//! ```text
//! variance <- (1-a) * (variance + a*d*d)        (1)
//! mean     <- (1-a) * mean + a*x                (2)
//! sigma     = (x - mean) / sqrt(variance), 0 where variance is 0   (3)
//! ```
//!
//! This is the incremental form of T. Finch, "Incremental calculation of weighted mean and variance" (2009), section
//! 9, in the order and association of `derived_stats_algo.h`, so every bit agrees with the original: no fused
//! multiply-add, `d*d` and not `pow`. Its properties are kept too, because alarms are tuned to them:
//!
//! * mean and variance start at 0, so a flat series scores `sqrt((1-a)/a)` at first and needs about 1/a samples;
//! * (3) uses the mean that already holds x, hence |sigma| <= sqrt((1-a)/a): 3 for 0.1, and a threshold above that
//!   can never fire;
//! * on a flat series the mean stops a few ulp short while the variance goes on decaying, so sigma settles at
//!   1/sqrt(1-a) (1.054 for 0.1) instead of 0.
//!
//! A double beyond 1e150 has no finite square; the original's variance is then infinite for ever. Here such a sample
//! counts as that bound, and the result carries an error ([`TOO_LARGE`](crate::TOO_LARGE)).

use crate::algorithm::{Algorithm, Sample, UpdateError};
use crate::number::Numeric;
use crate::report::{EwmResult, Output, Report, TOO_LARGE};
use crate::saved::{RestoreError, Words};
use crate::text::is_decimal;

/// The largest sample by size that the moments take as it is: the square of twice as much is far within a double.
const LARGEST: f64 = 1e150;

/// The largest variance that samples of [`LARGEST`] can make, (2*1e150)^2, with room for rounding.
const LARGEST_VARIANCE: f64 = 4.1e300;

/// The weight of the newest sample: more than 0, at most 1, and not so small that 1/alpha leaves 64 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alpha(f64);

/// Why a text is not a weight.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AlphaError {
    /// Not a plain decimal number.
    #[error("alpha is a decimal number such as 0.1, without sign, blank or other text")]
    NotDecimal,
    /// Outside (0, 1].
    #[error("alpha is more than 0 and at most 1")]
    OutOfRange,
}

impl Alpha {
    /// Reads a [plain decimal](is_decimal). The original's `strtod` also takes blanks, signs, hexadecimal and any
    /// trailing text; a slip there changes every later result, so it is an error here.
    ///
    /// # Errors
    ///
    /// [`AlphaError`] for another form or a value outside (0, 1].
    pub fn parse(text: &str) -> Result<Self, AlphaError> {
        if !is_decimal(text) {
            return Err(AlphaError::NotDecimal);
        }
        text.parse().map_err(|_| AlphaError::NotDecimal).and_then(Self::new)
    }

    /// Takes a weight.
    ///
    /// # Errors
    ///
    /// [`AlphaError::OutOfRange`] outside (0, 1], or below 2^-64.
    pub fn new(alpha: f64) -> Result<Self, AlphaError> {
        // `as u64` of 2^64 or more would be undefined in the original, and no one waits for 2^64 samples.
        let warm_up_fits = 1.0 / alpha < 18_446_744_073_709_551_616.0;
        if alpha > 0.0 && alpha <= 1.0 && warm_up_fits { Ok(Self(alpha)) } else { Err(AlphaError::OutOfRange) }
    }

    /// The weight.
    pub fn get(self) -> f64 {
        self.0
    }

    /// Samples before a detector is ready: 1/alpha, truncated.
    pub fn warm_up(self) -> u64 {
        (1.0 / self.0) as u64
    }
}

/// Mean and variance of one series.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Moments {
    pub(super) samples: u64,
    pub(super) mean: f64,
    pub(super) variance: f64,
}

impl Moments {
    #[inline]
    pub(super) fn update(&mut self, alpha: Alpha, x: f64) {
        let a = alpha.0;
        self.samples = self.samples.saturating_add(1);
        let x = within(x);
        let d = x - self.mean;
        self.variance = (1.0 - a) * (self.variance + a * (d * d)); // (1)
        self.mean = ((1.0 - a) * self.mean) + (a * x); // (2)
    }

    pub(super) fn stddev(&self) -> f64 {
        self.variance.sqrt()
    }

    /// (3): the distance of `x`, the newest sample, from the mean that already holds it.
    pub(super) fn sigma(&self, x: f64) -> f64 {
        let stddev = self.stddev();
        if stddev == 0.0 { 0.0 } else { (within(x) - self.mean) / stddev }
    }

    pub(super) fn save(&self, words: &mut Vec<u64>) {
        words.extend([self.samples, self.mean.to_bits(), self.variance.to_bits()]);
    }

    pub(super) fn restore(words: &mut Words<'_>) -> Result<Self, RestoreError> {
        let samples = words.next("samples")?;
        let mean: f64 = words.finite("mean")?;
        if mean.abs() > 2.0 * LARGEST {
            return Err(RestoreError::invalid("mean", mean.to_bits()));
        }
        let variance: f64 = words.finite("variance")?;
        if !(0.0..=LARGEST_VARIANCE).contains(&variance) {
            return Err(RestoreError::invalid("variance", variance.to_bits()));
        }
        Ok(Self { samples, mean, variance })
    }

    /// Refuses a restored newest sample that these moments cannot hold: its score would be infinite.
    pub(super) fn check_newest(&self, newest: f64) -> Result<(), RestoreError> {
        if self.sigma(newest).is_finite() {
            return Ok(());
        }
        Err(RestoreError::invalid("newest sample", newest.to_bits()))
    }
}

fn within(x: f64) -> f64 {
    x.clamp(-LARGEST, LARGEST)
}

/// What is wrong with a result whose newest sample is `x`.
pub(super) fn too_large(x: f64) -> Option<&'static str> {
    (x.abs() > LARGEST).then_some(TOO_LARGE)
}

/// `DSEWM:alpha` (deprecated in Contrail, kept for its annotations): the moments, without warm-up.
///
/// ```
/// use derived_stats::{Number, Output, Pipeline};
///
/// let mut load = Pipeline::inline("raw:DSEWM:0.8")?;
/// load.update(0, Number::U64(197))?;
/// let Some(Output::Ewm(result)) = load.report(0).forced() else { unreachable!() };
/// assert_eq!((result.mean, result.stddev), (157.60000000000002, 78.8));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ewm {
    alpha: Alpha,
}

/// The moments and the newest sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EwmState {
    moments: Moments,
    newest: f64,
}

impl Ewm {
    /// Moments with weight `alpha`.
    pub fn new(alpha: Alpha) -> Self {
        Self { alpha }
    }
}

impl<T: Numeric> Algorithm<T> for Ewm {
    type State = EwmState;

    fn start(&self) -> EwmState {
        EwmState::default()
    }

    fn update(&self, state: &mut EwmState, sample: Sample<T>) -> Result<(), UpdateError> {
        state.newest = sample.value.to_f64();
        state.moments.update(self.alpha, state.newest);
        Ok(())
    }

    fn report(&self, state: &EwmState, _now: u64) -> Report<Output<'_>> {
        let EwmState { moments, newest } = state;
        Report::Value(Output::Ewm(EwmResult {
            samples: moments.samples,
            error: too_large(*newest),
            mean: moments.mean,
            stddev: moments.stddev(),
            sigma: moments.sigma(*newest),
        }))
    }

    fn save(&self, state: &EwmState, words: &mut Vec<u64>) {
        state.moments.save(words);
        words.push(state.newest.to_bits());
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<EwmState, RestoreError> {
        let state = EwmState { moments: Moments::restore(words)?, newest: words.finite("newest sample")? };
        state.moments.check_newest(state.newest)?;
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_strict_decimal_text() {
        for text in ["0.1", "1", "1.0", "1e-5", "0.999999", "1E-2"] {
            assert!(Alpha::parse(text).is_ok(), "{text} was refused");
        }
        for text in ["", " 0.1", "0.1x", "+0.5", "-0.1", ".1", "1.", "0x1p-1", "nan", "inf", "0,5", "1e", "1e-"] {
            assert_eq!(Alpha::parse(text), Err(AlphaError::NotDecimal), "of {text:?}");
        }
        for text in ["0", "0.0", "1.1", "2", "4.9e-324", "1e-400"] {
            assert_eq!(Alpha::parse(text), Err(AlphaError::OutOfRange), "of {text:?}");
        }
    }

    #[test]
    fn the_warm_up_is_the_truncated_inverse() {
        for (alpha, samples) in [(0.1, 10), (0.3, 3), (1.0, 1), (0.999999, 1), (1e-5, 99_999)] {
            assert_eq!(Alpha::new(alpha).expect("in range").warm_up(), samples, "of {alpha}");
        }
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

    fn restored(samples: u64, mean: f64, variance: f64) -> Result<Moments, RestoreError> {
        Moments::restore(&mut Words::new(&[samples, mean.to_bits(), variance.to_bits()]))
    }

    #[test]
    fn a_weight_may_be_so_small_that_the_warm_up_just_fits_64_bits() {
        let smallest = 1.0 / 18_446_744_073_709_551_616.0;
        assert_eq!(Alpha::new(smallest), Err(AlphaError::OutOfRange));
        assert_eq!(Alpha::new(smallest * 2.0).map(Alpha::warm_up), Ok(1 << 63));
        assert_eq!([1.0, 0.25].map(|alpha| Alpha::new(alpha).map(Alpha::get)), [Ok(1.0), Ok(0.25)]);
        for alpha in [0.0, -0.5, 1.0f64.next_up(), f64::NAN, f64::NEG_INFINITY] {
            assert_eq!(Alpha::new(alpha), Err(AlphaError::OutOfRange), "{alpha}");
        }
    }

    #[test]
    fn moments_follow_the_recursion() {
        let alpha = Alpha::new(0.25).expect("in range");
        let mut moments = Moments::default();
        moments.update(alpha, 8.0);
        // d = 8: variance = 0.75 * 0.25 * 64, mean = 0.25 * 8.
        assert_eq!(moments, Moments { samples: 1, mean: 2.0, variance: 12.0 });
        moments.update(alpha, 4.0);
        // d = 2: variance = 0.75 * (12 + 0.25 * 4), mean = 0.75 * 2 + 0.25 * 4.
        assert_eq!(moments, Moments { samples: 2, mean: 2.5, variance: 9.75 });
        assert_eq!(moments.sigma(4.0), 1.5 / 9.75f64.sqrt());
        assert_eq!(Moments { variance: 0.0, ..moments }.sigma(4.0), 0.0, "without variance there is no score");
    }

    #[test]
    fn a_sample_at_the_bound_is_taken_as_it_is_and_one_beyond_it_counts_as_the_bound() {
        let alpha = Alpha::new(1.0).expect("in range");
        for (x, mean, error) in [
            (LARGEST, LARGEST, None),
            (LARGEST.next_up(), LARGEST, Some(TOO_LARGE)),
            (-LARGEST, -LARGEST, None),
            (f64::MIN, -LARGEST, Some(TOO_LARGE)),
        ] {
            let mut moments = Moments::default();
            moments.update(alpha, x);
            assert_eq!((moments.mean, too_large(x)), (mean, error), "{x:e}");
        }
    }

    #[test]
    fn saved_moments_are_refused_exactly_where_no_samples_lead_to_them() {
        let good = [(0.0, 0.0), (2.0 * LARGEST, 0.0), (-2.0 * LARGEST, LARGEST_VARIANCE), (-7.5, 2.5)];
        for (mean, variance) in good {
            assert_eq!(restored(3, mean, variance), Ok(Moments { samples: 3, mean, variance }));
        }
        let bad = [(2.0 * LARGEST).next_up(), f64::MIN, f64::NAN, f64::INFINITY];
        for mean in bad {
            assert_eq!(restored(3, mean, 1.0), Err(RestoreError::invalid("mean", mean.to_bits())), "{mean:e}");
        }
        for variance in [LARGEST_VARIANCE.next_up(), -f64::MIN_POSITIVE, f64::NAN, f64::INFINITY] {
            let expected = Err(RestoreError::invalid("variance", variance.to_bits()));
            assert_eq!(restored(3, 1.0, variance), expected, "{variance:e}");
        }
    }

    #[test]
    fn a_saved_state_comes_back_and_goes_on_alike() {
        let ewm = Ewm::new(Alpha::new(0.25).expect("in range"));
        let mut state = EwmState::default();
        for value in [8.0, 4.0] {
            Algorithm::<f64>::update(&ewm, &mut state, Sample { at: 0, value }).expect("a finite sample");
        }
        let mut words = Vec::new();
        Algorithm::<f64>::save(&ewm, &state, &mut words);
        assert_eq!(words, [2, 2.5f64.to_bits(), 9.75f64.to_bits(), 4.0f64.to_bits()]);
        assert_eq!(Algorithm::<f64>::restore(&ewm, &mut Words::new(&words)), Ok(state));
        let Report::Value(Output::Ewm(result)) = Algorithm::<f64>::report(&ewm, &state, 0) else {
            panic!("there is always a result")
        };
        assert_eq!((result.samples, result.mean, result.stddev, result.error), (2, 2.5, 9.75f64.sqrt(), None));
        // The score of this newest sample would be infinite.
        words[2] = f64::MIN_POSITIVE.to_bits();
        words[3] = 1e150f64.to_bits();
        assert!(Algorithm::<f64>::restore(&ewm, &mut Words::new(&words)).is_ok(), "1e150 over 1e-154 is finite");
        words[2] = f64::from_bits(1).to_bits();
        let refused = Algorithm::<f64>::restore(&ewm, &mut Words::new(&words));
        assert_eq!(refused, Err(RestoreError::invalid("newest sample", 1e150f64.to_bits())));
    }
}
