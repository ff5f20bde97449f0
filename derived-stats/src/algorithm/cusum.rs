//! `DSAnomaly:CUSUM`: cumulative sums of deviations, for lasting shifts of the level that no single value shows.
//!
//! With z the distance of a value from the exponentially weighted mean of `span=` seconds before it, in deviations, and
//! at most 4 by size:
//!
//! ```text
//! upper <- max(0, upper + z - 0.5)        (1)
//! lower <- max(0, lower - z - 0.5)        (2)
//! score  = upper if it is larger than lower, else -lower
//! ```
//!
//! Mean and deviation are those of `EWMPrior`. A shift by s deviations, s above 0.5, adds s - 0.5 with each value. The
//! mean adapts over the span, and the sums then return to 0. A single spike adds 3.5 at most.
//!
//! | | |
//! |---|---|
//! | source | E. S. Page, "Continuous inspection schemes" (1954); 0.5 is the usual allowance |
//! | unit | score: standard deviations, summed; expected value and band (3 deviations): the unit of the metric |
//! | range | score: -1e6 to 1e6 |
//! | error | a few roundings for each value; a value beyond 1e150 counts as that bound |
//! | memory | 176 bytes an object |
//! | cost | constant for each value, with a square root and a division; two more where the interval is not the period |

use crate::algorithm::ewm_prior::PriorMoments;
use crate::algorithm::scored::{
    ALARMS, Clock, Model, Options, Scored, Scores, Share, VERSION, WARM_UP, explain_options, fields, positive, span,
    threshold,
};
use crate::entry::{Argument, Entry, Explanation, Field, Given, Roles};
use crate::math::{larger, limited, smaller};
use crate::saved::{RestoreError, WordWriter, Words};

/// The menu entry of the detector `CUSUM`.
pub(crate) static ENTRY: Entry = Entry::new("CUSUM", Roles::DETECTOR, SUMMARY, |given| {
    let span = seconds(given);
    Ok(Scored::built(Cusum::new(span, given.period_seconds()), Options::of(given, 1, span)))
})
.arguments(&[SPAN, ALARMS, SUM_THRESHOLD, WARM_UP.absent_is_times(0, 1)])
.structured("DetectorResult", &FIELDS)
.version(VERSION)
.explained(|given, period| {
    let explanation = Explanation::new(SUMMARY)
        .line("span", alloc::format!("{} s: the time in which a new level becomes the usual one", seconds(given)));
    explain_options(explanation, given, 1, seconds(given), period)
});

const SUMMARY: &str = "the sum of the deviations in one direction, which grows while the level is not the usual one";

static FIELDS: [Field; 11] = fields("CUSUM");

/// `span=`.
const SPAN: Argument = span(
    DEFAULT_SPAN,
    "span of the usual level in whole seconds, 60 to 31536000 (a year), such as `span=86400`",
    "86400",
);

/// A day: a deploy that shifts the level is usual on the next one.
const DEFAULT_SPAN: u64 = 86_400;

/// The allowance: deviations that do not count.
const ALLOWANCE: f64 = 0.5;

/// The largest deviation of one value.
const LARGEST_DEVIATION: f64 = 4.0;

/// The bound of the sums.
const LARGEST_SUM: f64 = 1e6;

/// `threshold=`.
const SUM_THRESHOLD: Argument = threshold(
    LARGEST_SUM,
    "threshold, the least score of an alarm, a decimal number above 0 and at most 1000000 (no score is larger) such as \
     `threshold=3`",
    "3",
);

fn seconds(given: &Given<'_>) -> u64 {
    given.whole(0).unwrap_or(DEFAULT_SPAN)
}

/// `DSAnomaly:CUSUM[:span=SECONDS][:alarms=N][:threshold=S][:warmup=SECONDS]`.
///
/// ```
/// use derived_stats::entry::Role;
/// use derived_stats::{Number, Pipeline};
///
/// // The level rises by one in 3: no value is unusual, their sum is.
/// let mut load = Pipeline::parse("raw:DSAnomaly:CUSUM:span=3600:warmup=0")?;
/// let score = |load: &Pipeline| load.report(0).any().and_then(|result| result.role(Role::Score));
/// for minute in 0..150u64 {
///     let level = if minute < 120 { 100 } else { 101 };
///     load.update(minute * 60_000_000, Number::U64(level + minute * 7919 % 4))?;
///     if minute == 119 {
///         assert!(score(&load).is_some_and(|score| score.as_f64().abs() < 5.0));
///     }
/// }
/// assert!(score(&load).is_some_and(|score| score.as_f64() > 5.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cusum {
    /// The share of the interval in the span.
    share: Share,
}

impl Cusum {
    fn new(span: u64, period: Option<u64>) -> Self {
        Self { share: Share::new([1.0, span as f64], 1.0, 1.0, period) }
    }
}

/// The usual level and the sums of one object.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sums {
    moments: PriorMoments,
    upper: f64,
    lower: f64,
}

impl Model for Cusum {
    type State = Sums;

    fn start(&self) -> Sums {
        Sums::default()
    }

    #[inline]
    fn score(&self, state: &mut Sums, x: f64, clock: &Clock) -> Scores {
        if clock.samples() == 1 {
            state.moments = PriorMoments::of_first(x);
        }
        let root = state.moments.root();
        if clock.is_warm() {
            let z = limited((x - state.moments.mean()) / state.moments.deviation(root, x), LARGEST_DEVIATION);
            state.upper = larger(smaller(state.upper + z - ALLOWANCE, LARGEST_SUM), 0.0);
            state.lower = larger(smaller(state.lower - z - ALLOWANCE, LARGEST_SUM), 0.0);
        }
        let score = if state.upper > state.lower { state.upper } else { -state.lower };
        let scores = state.moments.scores(root, score);
        state.moments.learn(root, x, self.share.of(clock), clock.is_warm());
        scores
    }

    fn save(&self, state: &Sums, words: &mut WordWriter<'_>) {
        state.moments.save(words);
        words.extend([state.upper, state.lower].map(f64::to_bits));
    }

    fn restore(&self, _version: u16, words: &mut Words<'_>, _clock: &Clock) -> Result<Sums, RestoreError> {
        Ok(Sums {
            moments: PriorMoments::restore(words)?,
            upper: positive(words, "upper sum", LARGEST_SUM)?,
            lower: positive(words, "lower sum", LARGEST_SUM)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::scored::ScoredState;

    #[test]
    fn a_state_has_the_documented_size() {
        assert_eq!(size_of::<ScoredState<u64, Sums>>(), 176);
    }

    #[test]
    fn a_shift_adds_up_and_a_spike_does_not() {
        let after = |values: &[f64]| {
            let (model, mut state, mut clock) = (Cusum::new(1_000_000_000, None), Sums::default(), Clock::default());
            let usual = (0..1000).map(|n| f64::from(n % 2));
            usual.chain(values.iter().copied()).fold(0.0, |_, x| {
                clock.tick(clock.samples() * 60_000_000);
                model.score(&mut state, x, &clock).score
            })
        };
        assert!(after(&[]).abs() <= 1.0);
        assert!((3.0..5.0).contains(&after(&[1e9])), "{}", after(&[1e9]));
        // Twice the usual deviation, 0.5, above the mean: 1.5 with each value.
        assert!((13.0..17.0).contains(&after(&[1.5; 10])), "{}", after(&[1.5; 10]));
        assert!((-17.0..-13.0).contains(&after(&[-0.5; 10])), "{}", after(&[-0.5; 10]));
    }
}
