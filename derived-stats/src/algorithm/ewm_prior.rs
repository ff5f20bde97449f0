//! `DSAnomaly:EWMPrior`: the distance of a value from the exponentially weighted mean of the values before it.
//!
//! For a value x of weight w, with the mean, the variance and the size before it and d = x - mean:
//!
//! ```text
//! score     = d / max(sqrt(variance), 0.001 * size)        (1)
//! mean     <- mean + w*d                                   (2)
//! variance <- (1-w) * (variance + w*d*d)                   (3)
//! size     <- size + w * (|x| - size)
//! w         = max(interval / span, 1/n)                    (4)
//! ```
//!
//! `EWM`, the original's detector, scores x against a mean that includes x, so that its score is at most
//! `sqrt((1-a)/a)`, and starts at 0. (1) uses the mean before x and reaches any size; (4) is a plain mean at first, which
//! corrects the bias of the start. The floor of the deviation keeps a flat series that moves once finite.
//!
//! | | |
//! |---|---|
//! | source | T. Finch, "Incremental calculation of weighted mean and variance" (2009), sections 4 and 9 |
//! | unit | score: standard deviations; expected value and band (3 deviations): the unit of the metric |
//! | range | score: any, 0 before the third value |
//! | error | a few roundings for each value; a value beyond 1e150 counts as that bound |
//! | memory | 152 bytes an object |
//! | cost | constant for each value, with a square root and two divisions |

use crate::algorithm::large::LARGEST;
use crate::algorithm::scored::{
    ALARMS, BOUND, Clock, Model, Options, Scored, Scores, THRESHOLD, WARM_UP, bounded, explain_options, fields,
    positive, span,
};
use crate::entry::{Argument, Entry, Explanation, Field, Given, Roles};
use crate::math::sqrt;
use crate::saved::{RestoreError, WordWriter, Words};

/// The menu entry of the detector `EWMPrior`.
pub(crate) static ENTRY: Entry = Entry::new("EWMPrior", Roles::DETECTOR, SUMMARY, |given| {
    let span = seconds(given);
    Ok(Scored::built(EwmPrior { span: span as f64 }, Options::of(given, 1, span)))
})
.arguments(&[SPAN, ALARMS, THRESHOLD, WARM_UP])
.structured("DetectorResult", &FIELDS)
.explained(|given, period| {
    let explanation = Explanation::new(SUMMARY)
        .line("span", alloc::format!("{} s: an older value counts 1/e as much", seconds(given)));
    explain_options(explanation, given, 1, seconds(given), period)
});

const SUMMARY: &str =
    "how many deviations the newest value is away from the exponentially weighted mean of the values before it";

static FIELDS: [Field; 11] = fields("EWMPrior");

/// `span=`.
const SPAN: Argument =
    span("span", "span of the mean in whole seconds, 60 to 31536000 (a year), such as `span=7200`", "7200");

/// Two hours: 120 values of a minute, of which a deploy is forgotten in a few hours.
const DEFAULT_SPAN: u64 = 7200;

fn seconds(given: &Given<'_>) -> u64 {
    given.whole(0).unwrap_or(DEFAULT_SPAN)
}

/// The least deviation, as a share of the size of the values.
pub(crate) const FLOOR: f64 = 1e-3;

/// The width of the band, in deviations.
pub(crate) const BAND: f64 = 3.0;

/// `DSAnomaly:EWMPrior[:span=SECONDS][:alarms=N][:threshold=S][:warmup=SECONDS]`.
///
/// ```
/// use derived_stats::entry::Role;
/// use derived_stats::{Number, Pipeline};
///
/// let mut load = Pipeline::parse("raw:DSAnomaly:EWMPrior:span=600:warmup=0")?;
/// for minute in 0..100u64 {
///     load.update(minute * 60_000_000, Number::U64(100 + minute % 3))?;
/// }
/// load.update(100 * 60_000_000, Number::U64(200))?;
/// let result = load.report(0).forced().expect("ready after 21 values");
/// assert!(result.role(Role::Score).is_some_and(|score| score.as_f64() > 100.0));
/// assert!(result.role(Role::High).is_some_and(|high| high.as_f64() < 105.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct EwmPrior {
    span: f64,
}

/// The mean, the variance and the size of the values of one object.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Moments {
    mean: f64,
    variance: f64,
    size: f64,
}

impl Moments {
    /// The moments of the first value.
    pub(crate) fn of_first(x: f64) -> Self {
        Self { mean: x, variance: 0.0, size: x.abs() }
    }

    /// The mean.
    #[inline]
    pub(crate) fn mean(&self) -> f64 {
        self.mean
    }

    /// The deviation, which is never 0.
    #[inline]
    pub(crate) fn deviation(&self) -> f64 {
        sqrt(self.variance).max(FLOOR * self.size) + f64::MIN_POSITIVE
    }

    /// (2) and (3).
    #[inline]
    pub(crate) fn learn(&mut self, x: f64, weight: f64) {
        let d = x - self.mean;
        self.mean += weight * d;
        self.variance = (1.0 - weight) * (self.variance + weight * d * d);
        self.size += weight * (x.abs() - self.size);
    }

    /// The band, and a score with its size as strangeness.
    #[inline]
    pub(crate) fn scores(&self, score: f64) -> Scores {
        let (mean, width) = (self.mean, BAND * self.deviation());
        Scores { score, strangeness: score.abs(), expected: mean, low: mean - width, high: mean + width }
    }

    pub(crate) fn save(&self, words: &mut WordWriter<'_>) {
        words.extend([self.mean, self.variance, self.size].map(f64::to_bits));
    }

    pub(crate) fn restore(words: &mut Words<'_>) -> Result<Self, RestoreError> {
        Ok(Self {
            mean: bounded(words, "mean", 2.0 * LARGEST)?,
            variance: positive(words, "variance", BOUND)?,
            size: positive(words, "size", 2.0 * LARGEST)?,
        })
    }
}

/// The largest score by size: the alarm decision and the JSON of a result take no infinity.
pub(crate) const LARGEST_SCORE: f64 = 1e30;

impl Model for EwmPrior {
    type State = Moments;

    fn start(&self) -> Moments {
        Moments::default()
    }

    #[inline]
    fn score(&self, state: &mut Moments, x: f64, clock: &Clock) -> Scores {
        if clock.samples() == 1 {
            *state = Moments::of_first(x);
        }
        let score = if clock.samples() > 2 { (x - state.mean) / state.deviation() } else { 0.0 };
        let scores = state.scores(score.clamp(-LARGEST_SCORE, LARGEST_SCORE));
        state.learn(x, clock.weight(self.span));
        scores
    }

    fn save(&self, state: &Moments, words: &mut WordWriter<'_>) {
        state.save(words);
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<Moments, RestoreError> {
        Moments::restore(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::scored::ScoredState;

    #[test]
    fn a_state_has_the_documented_size() {
        assert_eq!(size_of::<ScoredState<u64, Moments>>(), 152);
    }

    #[test]
    fn a_score_is_the_distance_from_the_values_before() {
        let (model, mut state, mut clock) = (EwmPrior { span: 240.0 }, Moments::default(), Clock::default());
        let mut scores = [8.0, 4.0, 12.0, 6.0].map(|x| {
            clock.tick(clock.samples() * 60_000_000);
            model.score(&mut state, x, &clock)
        });
        // Means 8, 6, 8; variance of 8 and 4 is 4, then of all three 32/3.
        assert_eq!(scores.map(|scores| scores.expected), [8.0, 8.0, 6.0, 8.0]);
        assert_eq!((scores[2].score, scores[2].low, scores[2].high), (3.0, 0.0, 12.0));
        let last = &mut scores[3];
        assert!((last.score + 2.0 / (32.0 / 3.0f64).sqrt()).abs() < 1e-12, "{last:?}");
        assert_eq!(last.strangeness, -last.score);
    }
}
