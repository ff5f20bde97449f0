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
//! | | |
//! |---|---|
//! | unit | mean and deviation: the metric's; sigma: deviations |
//! | range | mean: within the samples and 0; deviation: 0 to twice the largest sample by size; sigma: see below |
//! | error | mean: at most `4 * n * 2^-53 * M`, variance: `16 * n * (n+2) * 2^-53 * M^2`, for n samples of size M at most |
//! | memory | 32 bytes an object |
//! | cost | constant for each sample; a square root and a division for each result |
//!
//! A property test holds the error against exact arithmetic.
//!
//! This is the incremental form of T. Finch, "Incremental calculation of weighted mean and variance" (2009), section 9,
//! in the order and association of `derived_stats_algo.h`, so every bit agrees with the original: no fused
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
use crate::entry::{
    Argument, ArgumentError, ArgumentKind, Built, Entry, Explanation, Field, Given, NumberKind, Role, Roles, Unit,
};
use crate::math::sqrt;
use crate::number::{Number, Numeric};
use crate::record::Record;
use crate::report::{Flaw, Report};
use crate::saved::{RestoreError, WordWriter, Words};
use crate::text::is_decimal;

/// The menu entry of `DSEWM`.
pub(crate) static ENTRY: Entry =
    Entry::new("DSEWM", Roles::INLINE, "exponentially weighted mean and deviation", |given| {
        Ok(Built::aggregate(Ewm::new(alpha(given)?)))
    })
    .arguments(&[ALPHA])
    .structured(
        "EWMResult",
        &[
            Field::number("samples", NumberKind::U64, Unit::Samples, "samples seen"),
            Field::error(),
            Field::number("mean", NumberKind::F64, Unit::Metric, "the weighted mean").role_of(Role::Expected),
            Field::number("stddev", NumberKind::F64, Unit::Metric, "the weighted standard deviation"),
            SIGMA,
            NEWEST,
        ],
    )
    .explained(|given, _| {
        let sentence = "exponentially weighted mean and deviation, and the newest value's distance (sigma)";
        explain_moments(Explanation::new(sentence), given)
    });

/// The weight of the newest sample, as an argument.
pub(crate) const ALPHA: Argument = Argument::required(
    "alpha",
    ArgumentKind::Decimal { above: WARM_UP_FITS, most: 1.0 },
    "alpha, a decimal number above 2^-64 (5.4e-20) and at most 1 such as `0.1`",
    "0.1",
);

/// 2^-64: above it, a warm-up of 1/alpha samples fits 64 bits, and nobody waits for more. `as u64` of more would be
/// undefined in the original.
const WARM_UP_FITS: f64 = 1.0 / 18_446_744_073_709_551_616.0;

/// The distance of the newest sample from the mean.
pub(crate) const SIGMA: Field = Field::number(
    "sigma",
    NumberKind::F64,
    Unit::Deviations,
    "distance of the newest sample from the mean, at most sqrt((1-alpha)/alpha) by size",
)
.role_of(Role::Score);

/// The newest sample in its own type.
pub(crate) const NEWEST: Field = Field::number("value", NumberKind::Metric, Unit::Metric, "the newest sample")
    .role_of(Role::Value)
    .column("metric")
    .beyond_original();

/// Reads the argument [`ALPHA`].
pub(crate) fn alpha(given: &Given<'_>) -> Result<Alpha, ArgumentError> {
    let alpha = given.decimal(0).and_then(|alpha| Alpha::new(alpha).ok());
    alpha.ok_or_else(|| ArgumentError::Bad { index: 0, expected: ALPHA.expected().into() })
}

/// Adds what `explain` prints about a weighted mean.
pub(crate) fn explain_moments(explanation: Explanation, given: &Given<'_>) -> Explanation {
    let Ok(alpha) = alpha(given).map(Alpha::get) else {
        return explanation;
    };
    let kept = 1.0 - alpha;
    let (bound, flat) = (sqrt(kept / alpha), if kept > 0.0 { 1.0 / sqrt(kept) } else { 0.0 });
    let bound_text = alloc::format!(
        "|sigma| stays at or below {bound:.4} (sqrt((1-alpha)/alpha)), since the newest value is part of the mean; on a \
         perfectly flat series rounding may let it settle at {flat:.4}"
    );
    explanation
        .line("alpha", alloc::format!("{alpha}: the weight of the newest value"))
        .line("bound", bound_text)
        .fact("moments", "alpha", Number::F64(alpha))
        .fact("moments", "sigma_bound", Number::F64(bound))
        .fact("moments", "flat_sigma", Number::F64(flat))
}

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
    /// Not above 2^-64, or above 1.
    #[error("alpha is more than 2^-64 (5.4e-20) and at most 1")]
    OutOfRange,
}

impl Alpha {
    /// Reads a [plain decimal](is_decimal). The original's `strtod` also takes blanks, signs, hexadecimal and any
    /// trailing text; a slip there changes every later result, so it is an error here.
    ///
    /// # Errors
    ///
    /// [`AlphaError`] for another form, or a value that is not above 2^-64 or is above 1.
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
    /// [`AlphaError::OutOfRange`] above 1, or at 2^-64 and below.
    pub fn new(alpha: f64) -> Result<Self, AlphaError> {
        if alpha > WARM_UP_FITS && alpha <= 1.0 { Ok(Self(alpha)) } else { Err(AlphaError::OutOfRange) }
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
    pub(super) mean: f64,
    pub(super) variance: f64,
}

impl Moments {
    #[inline]
    pub(super) fn update(&mut self, alpha: Alpha, x: f64) {
        let a = alpha.0;
        let x = within(x);
        let d = x - self.mean;
        self.variance = (1.0 - a) * (self.variance + a * (d * d)); // (1)
        self.mean = ((1.0 - a) * self.mean) + (a * x); // (2)
    }

    #[inline]
    pub(super) fn stddev(&self) -> f64 {
        sqrt(self.variance)
    }

    /// (3): the distance of `x`, the newest sample, from the mean that already holds it.
    #[inline]
    pub(super) fn sigma(&self, x: f64) -> f64 {
        self.sigma_of(x, self.stddev())
    }

    /// The same for who has the standard deviation already.
    #[inline]
    pub(super) fn sigma_of(&self, x: f64, stddev: f64) -> f64 {
        if stddev == 0.0 { 0.0 } else { (within(x) - self.mean) / stddev }
    }

    #[inline]
    pub(super) fn bits(&self) -> [u64; 2] {
        [self.mean.to_bits(), self.variance.to_bits()]
    }

    #[inline]
    pub(super) fn from_bits(mean: u64, variance: u64) -> Self {
        Self { mean: f64::from_bits(mean), variance: f64::from_bits(variance) }
    }

    pub(super) fn save(&self, words: &mut WordWriter<'_>) {
        words.extend(self.bits());
    }

    pub(super) fn restore(words: &mut Words<'_>) -> Result<Self, RestoreError> {
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

    /// Refuses a restored newest sample that these moments cannot hold: its score would be infinite.
    pub(super) fn check_newest(&self, newest: f64) -> Result<(), RestoreError> {
        if self.sigma(newest).is_finite() {
            return Ok(());
        }
        Err(RestoreError::invalid("newest sample", newest.to_bits()))
    }
}

#[inline]
fn within(x: f64) -> f64 {
    x.clamp(-LARGEST, LARGEST)
}

/// What is wrong with a result whose newest sample is `x`.
#[inline]
pub(super) fn flaw(x: f64, overflowed: bool) -> Option<Flaw> {
    if overflowed {
        return Some(Flaw::Overflow);
    }
    (x.abs() > LARGEST).then_some(Flaw::TooLarge)
}

/// `DSEWM:alpha` (deprecated in Contrail, kept for its annotations): the moments, without warm-up.
///
/// 32 bytes an object.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut load = Pipeline::parse("raw:DSEWM:0.8")?;
/// load.update(0, Number::U64(197))?;
/// let result = load.report(0).forced().expect("a result after every sample");
/// assert_eq!(result.number("mean"), Some(Number::F64(157.60000000000002)));
/// assert_eq!(result.number("stddev"), Some(Number::F64(78.8)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ewm {
    alpha: Alpha,
}

/// The moments, the count and the newest sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EwmState<T> {
    moments: Moments,
    samples: u64,
    newest: T,
}

impl Ewm {
    /// Moments with weight `alpha`.
    pub fn new(alpha: Alpha) -> Self {
        Self { alpha }
    }
}

impl<T: Numeric> Algorithm<T> for Ewm {
    type State = EwmState<T>;

    fn start(&self) -> EwmState<T> {
        EwmState::default()
    }

    fn is_empty(&self, state: &EwmState<T>) -> bool {
        state.samples == 0
    }

    fn update(&self, state: &mut EwmState<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        state.newest = sample.value;
        state.samples = state.samples.saturating_add(1);
        state.moments.update(self.alpha, state.newest.to_f64());
        Ok(())
    }

    /// Without samples, the moments are 0 and there is no newest one: so the original shows it.
    fn report(&self, state: &EwmState<T>, _now: u64) -> Report<Record> {
        let EwmState { moments, samples, newest } = state;
        let record = Record::new([
            Number::U64(*samples),
            Number::F64(moments.mean),
            Number::F64(moments.stddev()),
            Number::F64(moments.sigma(newest.to_f64())),
            newest.into_number(),
        ]);
        let record = if *samples == 0 { record.without(4) } else { record };
        Report::Value(record.flawed(flaw(newest.to_f64(), false)))
    }

    fn takes_every_sample(&self) -> bool {
        true
    }

    fn words(&self) -> Option<usize> {
        Some(4)
    }

    #[inline]
    fn load(&self, words: &[u64]) -> Option<EwmState<T>> {
        let &[mean, variance, samples, newest] = words else {
            return None;
        };
        Some(EwmState { moments: Moments::from_bits(mean, variance), samples, newest: T::from_bits(newest) })
    }

    #[inline]
    fn store(&self, state: &EwmState<T>, words: &mut [u64]) {
        if let [mean, variance, samples, newest] = words {
            [*mean, *variance] = state.moments.bits();
            (*samples, *newest) = (state.samples, state.newest.to_bits());
        }
    }

    fn save(&self, state: &EwmState<T>, words: &mut WordWriter<'_>) {
        state.moments.save(words);
        words.extend([state.samples, state.newest.to_bits()]);
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<EwmState<T>, RestoreError> {
        let state: EwmState<T> = EwmState {
            moments: Moments::restore(words)?,
            samples: words.next("samples")?,
            newest: words.finite("newest sample")?,
        };
        state.moments.check_newest(state.newest.to_f64())?;
        if state.samples == 0 && state != EwmState::default() {
            return Err(RestoreError::invalid("samples", 0));
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::saved;

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
    fn an_error_names_the_bounds_of_alpha() {
        for (alpha, is_taken) in [("5.4e-20", false), ("5.5e-20", true), ("1", true)] {
            assert_eq!(Alpha::parse(alpha).is_ok(), is_taken, "{alpha}");
        }
        assert_eq!(AlphaError::OutOfRange.to_string(), "alpha is more than 2^-64 (5.4e-20) and at most 1");
        assert!(ALPHA.expected().contains("above 2^-64 (5.4e-20) and at most 1"), "{}", ALPHA.expected());
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

    fn restored(mean: f64, variance: f64) -> Result<Moments, RestoreError> {
        Moments::restore(&mut Words::new(&[mean.to_bits(), variance.to_bits()]))
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

    #[test]
    fn a_saved_state_comes_back_and_goes_on_alike() {
        let ewm = Ewm::new(Alpha::new(0.25).expect("in range"));
        let mut state: EwmState<f64> = EwmState::default();
        for value in [8.0, 4.0] {
            ewm.update(&mut state, Sample::new(0, value)).expect("a finite sample");
        }
        let mut words = saved(&ewm, &state);
        assert_eq!(words, [2.5f64.to_bits(), 9.75f64.to_bits(), 2, 4.0f64.to_bits()]);
        assert_eq!(Algorithm::<f64>::restore(&ewm, &mut Words::new(&words)), Ok(state));
        let record = ewm.report(&state, 0).forced().expect("there is always a result");
        let numbers = [Number::U64(2), Number::F64(2.5), Number::F64(9.75f64.sqrt())];
        assert_eq!([0, 1, 2].map(|index| record.get(index)), numbers.map(Some));
        assert_eq!(record.flaw(), None);
        // The score of this newest sample would be infinite.
        words[1] = f64::MIN_POSITIVE.to_bits();
        words[3] = 1e150f64.to_bits();
        assert!(Algorithm::<f64>::restore(&ewm, &mut Words::new(&words)).is_ok(), "1e150 over 1e-154 is finite");
        words[1] = f64::from_bits(1).to_bits();
        let refused = Algorithm::<f64>::restore(&ewm, &mut Words::new(&words));
        assert_eq!(refused, Err(RestoreError::invalid("newest sample", 1e150f64.to_bits())));
    }
}
