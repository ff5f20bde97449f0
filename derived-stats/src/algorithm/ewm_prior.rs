//! `DSAnomaly:EWMPrior`: the distance of a value from the exponentially weighted mean of the values before it.
//!
//! For a value x of weight w, with the mean, the variance and the size before it and d = x - mean:
//!
//! ```text
//! score     = d / max(sqrt(variance), 0.001 * max(size, |x|))    (1)
//! mean     <- mean + w*d                                   (2)
//! variance <- (1-w) * (variance + w*d*d)                   (3)
//! size     <- size + w * (|x| - size)
//! w         = max(interval / span, 1/n)                    (4)
//! ```
//!
//! From the 21st value on, d in (2) and (3) is limited to 30 deviations, and |x| in the size to 1000 sizes: a glitch
//! is forgotten within the span however large it is, and a new level is learned after a few values. A size below 1e-9
//! counts as 1e-9 there: the first value after zeros teaches next to nothing, and some more of them teach the new
//! level.
//!
//! `EWM`, the original's detector, scores x against a mean that includes x, so that its score is at most
//! `sqrt((1-a)/a)`, and starts at 0. (1) uses the mean before x and reaches any size; (4) is a plain mean at first, which
//! corrects the bias of the start. The floor of the deviation bounds the score by 2000, also in a series that was flat
//! or 0 before.
//!
//! | | |
//! |---|---|
//! | source | T. Finch, "Incremental calculation of weighted mean and variance" (2009), sections 4 and 9 |
//! | unit | score: standard deviations; expected value and band (3 deviations): the unit of the metric |
//! | range | score: -2000 to 2000, 0 before the third value |
//! | error | a few roundings for each value; a value beyond 1e150 counts as that bound |
//! | memory | 160 bytes an object |
//! | cost | constant for each value, with a square root and a division; two more where the interval is not the period |

use crate::algorithm::large::LARGEST;
use crate::algorithm::scored::{
    ALARMS, BOUND, Clock, Model, Options, Scored, Scores, Share, THRESHOLD, VERSION, WARM_UP, bounded, explain_options,
    fields, positive, span,
};
use crate::entry::{Argument, Entry, Explanation, Field, Given, Roles};
use crate::math::{larger, limited, smaller, sqrt};
use crate::saved::{RestoreError, WordWriter, Words};

/// The menu entry of the detector `EWMPrior`.
pub(crate) static ENTRY: Entry = Entry::new("EWMPrior", Roles::DETECTOR, SUMMARY, |given| {
    let span = seconds(given);
    Ok(Scored::built(EwmPrior::new(span, given.period_seconds()), Options::of(given, 1, span)))
})
.arguments(&[SPAN, ALARMS, THRESHOLD, WARM_UP.absent_is_times(0, 1)])
.structured("DetectorResult", &FIELDS)
.version(VERSION)
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
    span(DEFAULT_SPAN, "span of the mean in whole seconds, 60 to 31536000 (a year), such as `span=7200`", "7200");

/// Two hours: 120 values of a minute, of which a deploy is forgotten in a few hours.
const DEFAULT_SPAN: u64 = 7200;

fn seconds(given: &Given<'_>) -> u64 {
    given.whole(0).unwrap_or(DEFAULT_SPAN)
}

/// The least deviation, as a share of the size of the values.
const FLOOR: f64 = 1e-3;

/// The limit of a deviation in (2) and (3), in deviations.
const LIMIT: f64 = 30.0;

/// The limit of a value in the mean size, in mean sizes. It is far above [`LIMIT`], because the mean size of a series
/// that became 0 goes on falling, and a value in the size is only a thousandth of a deviation.
const LARGEST_GROWTH: f64 = 1e3;

/// The least size that [`LARGEST_GROWTH`] applies to. In a series of zeros, nothing distinguishes a glitch from the
/// first value of a new level. Values of a usual unit are so far above it that one of them does not determine the size,
/// and so near to it that a new level is learned after some ten values.
pub(crate) const LEAST_SIZE: f64 = 1e-9;

/// The mean size of the values with the value `x`, limited in a warm state so that a single value does not determine
/// it.
#[inline]
pub(crate) fn grown(size: f64, x: f64, weight: f64, is_warm: bool) -> f64 {
    let most = if is_warm { LARGEST_GROWTH * larger(size, LEAST_SIZE) } else { f64::MAX };
    size + weight * (smaller(x.abs(), most) - size)
}

/// A deviation for the score of `x`, at least a share of `size` and of the size of `x`. Without the second, the first
/// value after zeros would have a score without bound. It is never 0.
#[inline]
pub(crate) fn floored(deviation: f64, size: f64, x: f64) -> f64 {
    larger(deviation, FLOOR * larger(size, x.abs())) + f64::MIN_POSITIVE
}

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
    /// The share of the interval in the span.
    share: Share,
}

impl EwmPrior {
    fn new(span: u64, period: Option<u64>) -> Self {
        Self { share: Share::new([1.0, span as f64], 1.0, 1.0, period) }
    }
}

/// The mean, the variance and the size of the values of one object.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct PriorMoments {
    mean: f64,
    variance: f64,
    size: f64,
}

impl PriorMoments {
    /// The moments of the first value.
    pub(crate) fn of_first(x: f64) -> Self {
        Self { mean: x, variance: 0.0, size: x.abs() }
    }

    /// The mean.
    #[inline]
    pub(crate) fn mean(&self) -> f64 {
        self.mean
    }

    /// The square root of the variance, which the other functions take: it is computed once for each value.
    #[inline]
    pub(crate) fn root(&self) -> f64 {
        sqrt(self.variance)
    }

    /// The deviation of (1) for the value `x`, which is never 0.
    #[inline]
    pub(crate) fn deviation(&self, root: f64, x: f64) -> f64 {
        floored(root, larger(self.size, self.mean.abs()), x)
    }

    /// (2) and (3). `is_warm` is whether there were enough values for the limits.
    #[inline]
    pub(crate) fn learn(&mut self, root: f64, x: f64, weight: f64, is_warm: bool) {
        self.size = grown(self.size, x, weight, is_warm);
        let limit = if is_warm { LIMIT * self.deviation(root, 0.0) } else { f64::MAX };
        let d = limited(x - self.mean, limit);
        self.mean += weight * d;
        self.variance = (1.0 - weight) * (self.variance + weight * d * d);
    }

    /// The band, and a score with its size as strangeness.
    #[inline]
    pub(crate) fn scores(&self, root: f64, score: f64) -> Scores {
        let (mean, width) = (self.mean, BAND * self.deviation(root, 0.0));
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

impl Model for EwmPrior {
    type State = PriorMoments;

    fn start(&self) -> PriorMoments {
        PriorMoments::default()
    }

    #[inline(always)]
    fn score(&self, state: &mut PriorMoments, x: f64, clock: &Clock) -> Scores {
        if clock.samples() == 1 {
            *state = PriorMoments::of_first(x);
        }
        let root = state.root();
        let score = if clock.samples() > 2 { (x - state.mean) / state.deviation(root, x) } else { 0.0 };
        let scores = state.scores(root, score);
        state.learn(root, x, self.share.of(clock), clock.is_warm());
        scores
    }

    fn save(&self, state: &PriorMoments, words: &mut WordWriter<'_>) {
        state.save(words);
    }

    fn restore(&self, _version: u16, words: &mut Words<'_>, _clock: &Clock) -> Result<PriorMoments, RestoreError> {
        PriorMoments::restore(words)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::algorithm::scored::ScoredState;

    #[test]
    fn a_state_has_the_documented_size() {
        assert_eq!(size_of::<ScoredState<u64, PriorMoments>>(), 160);
    }

    #[test]
    fn a_score_is_the_distance_from_the_values_before() {
        let (model, mut state, mut clock) = (EwmPrior::new(240, None), PriorMoments::default(), Clock::default());
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

    /// The scores of values a minute apart.
    fn scores(values: impl IntoIterator<Item = f64>) -> (PriorMoments, Vec<f64>) {
        let (model, mut state, mut clock) = (EwmPrior::new(7200, None), PriorMoments::default(), Clock::default());
        let mut score = |x| {
            clock.tick(clock.samples() * 60_000_000);
            model.score(&mut state, x, &clock).score
        };
        let scores = values.into_iter().map(&mut score).collect();
        (state, scores)
    }

    #[test]
    fn a_score_is_at_most_2000_by_size() {
        for values in [[0.0, 50.0], [50.0, -50.0], [1e-300, 1e150], [1e150, 0.0]] {
            let (_, scores) = scores([values[0]; 5000].into_iter().chain([values[1]]));
            let last = scores.last().copied().unwrap_or_default().abs();
            assert!((999.0..=2000.1).contains(&last), "{values:?}: {last}");
        }
    }

    #[test]
    fn a_glitch_is_forgotten_within_the_span_and_a_new_level_is_learned() {
        let usual = |n: u32| (0..n).map(|n| 100.0 + f64::from(n % 7));
        let (before, _) = scores(usual(3000));
        for glitch in [1e5, 1e19, -1e150] {
            let (state, _) = scores(usual(3000).chain([glitch]).chain(usual(720)));
            assert!(
                state.deviation(state.root(), 0.0) < 3.0 * before.deviation(before.root(), 0.0),
                "{glitch:e}: {state:?}"
            );
        }
        let (state, scores) = scores([0.0; 5000].into_iter().chain([50.0; 600]));
        assert!((state.mean() - 50.0).abs() < 1.0 && scores[5100].abs() < 3.0, "{state:?} {}", scores[5100]);
    }
}
