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
//! | unit | mean and deviation: the unit of the metric; sigma: deviations |
//! | range | mean: within the samples and 0; deviation: 0 to twice the largest sample by size; sigma: see below |
//! | error | mean: at most `4 * n * 2^-53 * M`, variance: `16 * n * (n+2) * 2^-53 * M^2`, for n samples of size M at most |
//! | memory | 32 bytes an object |
//! | cost | constant for each sample; a square root and a division for each result |
//!
//! A property test compares the error with exact arithmetic.
//!
//! This is the incremental form of T. Finch, "Incremental calculation of weighted mean and variance" (2009), section 9,
//! in the order and association of `derived_stats_algo.h`, so the results equal those of the original bit for bit: no
//! fused multiply-add, `d*d` and not `pow`. The properties of the original stay too, because alarms are tuned to them:
//!
//! * mean and variance start at 0, so a flat series scores `sqrt((1-a)/a)` at first and needs about 1/a samples;
//! * (3) uses the mean that includes x, hence |sigma| <= sqrt((1-a)/a): 3 for 0.1, and an alarm with a higher threshold
//!   never fires;
//! * on a flat series the mean stays a few ulp below the samples while the variance decays, so sigma converges to
//!   1/sqrt(1-a) (1.054 for 0.1) instead of 0.
//!
//! The square of a double beyond 1e150 can overflow, and the variance of the original then stays infinite. Here such a
//! sample counts as that bound, and the result carries an error ([`TOO_LARGE`](crate::TOO_LARGE)).

mod alpha;
mod moments;

use crate::algorithm::large::flaw;
use crate::algorithm::{Algorithm, Sample, UpdateError};
use crate::entry::{Built, Entry, Explanation, Field, Given, NumberKind, Role, Roles, Unit};
use crate::math::sqrt;
use crate::number::{Number, Numeric};
use crate::record::Record;
use crate::report::Report;
use crate::saved::{RestoreError, WordWriter, Words};

pub(crate) use self::alpha::{ALPHA, alpha};
pub use self::alpha::{Alpha, AlphaError};
pub(crate) use self::moments::Moments;

/// The menu entry of `DSEWM`.
pub(crate) static ENTRY: Entry =
    Entry::new("DSEWM", Roles::INLINE, "exponentially weighted mean and deviation", |given| {
        let alpha = alpha(given)?;
        Ok(Built::aggregate(Ewm::new(alpha)).with_largest_score(alpha.largest_sigma()))
    })
    .arguments(&[ALPHA])
    .structured(
        "EWMResult",
        &[
            Field::number("samples", NumberKind::U64, Unit::Samples, "samples seen"),
            Field::error(),
            Field::number("mean", NumberKind::F64, Unit::Metric, "the weighted mean").role_of(Role::Expected),
            Field::number("stddev", NumberKind::F64, Unit::Metric, "the weighted standard deviation").not_negative(),
            SIGMA,
            NEWEST,
        ],
    )
    .explained(|given, _| {
        let sentence = "exponentially weighted mean and deviation, and the newest value's distance (sigma)";
        explain_moments(Explanation::new(sentence), given)
    });

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

/// Adds the lines of `explain` about a weighted mean.
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

/// The moments, the number of samples and the newest sample.
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

    /// Without samples the moments are 0 and the newest sample is absent, as in the original.
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
    fn a_saved_state_is_restored_and_equal() {
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
