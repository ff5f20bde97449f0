//! `DSAnomaly:HoltWinters:season`: exponential smoothing with a level, a trend and an additive season.
//!
//! The forecast of a value x is level + trend + season, where the season is a mean of 48 buckets, read between the
//! centres of two buckets. With the error e = x - forecast, limited to 3 deviations:
//!
//! ```text
//! level   <- level + trend + a*e        a = interval / 2 hours, 1/4 at most     (1)
//! trend   <- trend + b*a*e              b = interval / 7 days                   (2)
//! bucket  <- bucket + c*(1-a)*e         c = 16 * interval / season, 1/3 at most (3)
//! score    = (x - forecast) / deviation                                 (4)
//! ```
//!
//! The deviation is that of the errors over 6 hours and 24 values at least, limited to 10 deviations, and at least a
//! 1000th of the mean size of the values; in (4) also at least a 1000th of the size of x and of the forecast. (3)
//! remembers about three seasons. The limit makes the update robust: an anomaly moves the level by at most 3 deviations
//! times a. During the first 254 values of a bucket, (3) is their plain mean if that weighs more. A lasting shift of 20
//! deviations is usual after about half a day. The season has at least four values: the
//! level would follow every value of a shorter one, and nothing would be left for the season.
//!
//! | | |
//! |---|---|
//! | source | C. Holt (1957), P. Winters (1960); see below |
//! | unit | score: standard deviations; expected value and band (3 deviations): the unit of the metric |
//! | range | score: -2000 to 2000, 0 in the first 20 values |
//! | error | a few roundings for each value; a value beyond 1e150 counts as that bound |
//! | memory | 600 bytes an object |
//! | cost | constant for each value, with a square root and five divisions |
//!
//! The form is the error correction of R. Hyndman et al., "Forecasting with exponential smoothing" (2008). The limit is
//! that of S. Gelper, R. Fried, C. Croux, "Robust forecasting with exponential and Holt-Winters smoothing" (2010).

use crate::algorithm::ewm_prior::{BAND, floored, grown};
use crate::algorithm::large::LARGEST;
use crate::algorithm::scored::{
    ALARMS, BOUND, Clock, Model, Options, Scored, Scores, THRESHOLD, VERSION, WARM_UP, bounded, explain_options,
    fields, positive,
};
use crate::entry::{Argument, ArgumentKind, Entry, Explanation, Field, Given, Roles};
use crate::math::sqrt;
use crate::saved::{RestoreError, WordWriter, Words};

/// The menu entry of the detector `HoltWinters`.
pub(crate) static ENTRY: Entry = Entry::new("HoltWinters", Roles::DETECTOR, SUMMARY, |given| {
    let season = seconds(given);
    let options = Options::of(given, 1, WARM_SEASONS * season);
    let detector = Scored::built(HoltWinters { season: season.saturating_mul(1_000_000) }, options);
    Ok(detector.with_longest_period(season / LEAST_VALUES))
})
.arguments(&[SEASON, ALARMS, THRESHOLD, WARM_UP.absent_is_times(0, WARM_SEASONS)])
.structured("DetectorResult", &FIELDS)
.version(VERSION)
.explained(|given, period| {
    let season = seconds(given);
    let explanation = Explanation::new(SUMMARY).line(
        "season",
        alloc::format!(
            "{season} s in {BUCKETS} buckets; it remembers about three seasons and needs {LEAST_VALUES} values in one"
        ),
    );
    explain_options(explanation, given, 1, WARM_SEASONS * season, period)
});

const SUMMARY: &str =
    "how many deviations the newest value is away from a forecast of level, trend and season (Holt-Winters)";

static FIELDS: [Field; 11] = fields("HoltWinters");

/// `season`, also by name.
const SEASON: Argument = Argument::optional(
    "season",
    ArgumentKind::Whole { least: 600, most: 31_536_000 },
    "season in whole seconds, 600 to 31536000 (a year), such as `86400` (a day)",
    "86400",
)
.absent_is(DEFAULT_SEASON);

const DEFAULT_SEASON: u64 = 86_400;

/// The default of the warm-up, in seasons.
const WARM_SEASONS: u64 = 2;

/// The number of buckets of the season.
const BUCKETS: usize = 48;

/// The spans of (1) and (2) and of the deviation, in seconds.
const LEVEL_SPAN: f64 = 7200.0;
const TREND_SPAN: f64 = 604_800.0;
const DEVIATION_SPAN: f64 = 21_600.0;

/// The same for the level and the deviation, in values at least.
const LEVEL_VALUES: f64 = 4.0;
const DEVIATION_VALUES: f64 = 24.0;

/// The number of values in a season at least.
const LEAST_VALUES: u64 = 4;

/// The seasons that a bucket remembers.
const SEASONS: f64 = 3.0;

/// The limit of an error, in deviations.
const LIMIT: f64 = 3.0;

/// The limit of an error in the deviation, in deviations. With [`LIMIT`] the deviation of counts that are mostly 0
/// would shrink for ever; this limit keeps it if one value in a hundred is not 0.
const WIDE_LIMIT: f64 = 10.0;

fn seconds(given: &Given<'_>) -> u64 {
    given.whole(0).unwrap_or(DEFAULT_SEASON)
}

/// `DSAnomaly:HoltWinters[:season][:alarms=N][:threshold=S][:warmup=SECONDS]`.
///
/// ```
/// use derived_stats::entry::Role;
/// use derived_stats::{Number, Pipeline};
///
/// // An hour's season: a value that is usual at its end is strange at its start.
/// let mut queue = Pipeline::parse("raw:DSAnomaly:HoltWinters:3600")?;
/// for minute in 0..600u64 {
///     queue.update(minute * 60_000_000, Number::U64(10 * (minute % 60) + minute * 7919 % 5))?;
/// }
/// queue.update(600 * 60_000_000, Number::U64(590))?;
/// let result = queue.report(0).forced().expect("ready after two seasons");
/// assert!(result.role(Role::Score).is_some_and(|score| score.as_f64() > 5.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct HoltWinters {
    /// In microseconds.
    season: u64,
}

/// The components of one object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Components {
    level: f64,
    trend: f64,
    /// The variance of the errors.
    variance: f64,
    /// The mean size of the values.
    size: f64,
    buckets: [f64; BUCKETS],
    /// The number of values of each bucket, up to 255.
    counts: [u8; BUCKETS],
}

impl Components {
    const START: Self =
        Self { level: 0.0, trend: 0.0, variance: 0.0, size: 0.0, buckets: [0.0; BUCKETS], counts: [0; BUCKETS] };

    fn bucket(&self, index: usize) -> (f64, u8) {
        let value = self.buckets.get(index).copied().unwrap_or_default();
        (value, self.counts.get(index).copied().unwrap_or_default())
    }

    /// The season at `position`, from 0 to below the number of buckets; and the index of its bucket.
    #[inline]
    fn season(&self, position: f64) -> (f64, usize) {
        let index = (position as usize).min(BUCKETS - 1);
        let (phase, (own, count)) = (position - index as f64 - 0.5, self.bucket(index));
        let other = (index + if phase > 0.0 { 1 } else { BUCKETS - 1 }) % BUCKETS;
        let (next, next_count) = self.bucket(other);
        let between = if count > 0 && next_count > 0 { phase.abs() * (next - own) } else { 0.0 };
        (own + between, index)
    }

    /// The deviation of the errors, for a score of a value of this size.
    #[inline]
    fn deviation(&self, size: f64) -> f64 {
        floored(sqrt(self.variance), self.size, size)
    }

    /// (1) to (3) and the deviation, with the error `e` of the value `x`.
    #[inline]
    fn learn(&mut self, x: f64, e: f64, index: usize, clock: &Clock, season: f64) {
        let deviation = self.deviation(0.0);
        let is_warm = clock.is_warm();
        let limited = |limit: f64| if is_warm { e.clamp(-limit * deviation, limit * deviation) } else { e };
        let (e, wide) = (limited(LIMIT), limited(WIDE_LIMIT));
        let interval = clock.interval();
        let a = clock.weight(LEVEL_SPAN.max(LEVEL_VALUES * interval));
        let b = (interval / TREND_SPAN).min(1.0);
        let limit = 2.0 * LARGEST;
        self.level = (self.level + self.trend + a * e).clamp(-limit, limit);
        if is_warm {
            self.trend = (self.trend + b * a * e).clamp(-LARGEST, LARGEST);
        }
        if let (Some(bucket), Some(count)) = (self.buckets.get_mut(index), self.counts.get_mut(index)) {
            *count = count.saturating_add(1);
            // A bucket has one value a season at least.
            let c = (interval * BUCKETS as f64 / season).min(1.0) / SEASONS;
            // A plain mean at first. A count at its bound is not the number of values.
            let c = if *count < u8::MAX { c.max(1.0 / f64::from(*count)) } else { c };
            *bucket = (*bucket + c * (1.0 - a) * e).clamp(-limit, limit);
        }
        let weight = clock.weight(DEVIATION_SPAN.max(DEVIATION_VALUES * interval));
        self.variance += weight * (wide * wide - self.variance);
        self.size = grown(self.size, x, weight, is_warm);
    }
}

impl Model for HoltWinters {
    type State = Components;

    fn start(&self) -> Components {
        Components::START
    }

    #[inline]
    fn score(&self, state: &mut Components, x: f64, clock: &Clock) -> Scores {
        if clock.samples() == 1 {
            (state.level, state.size) = (x, x.abs());
        }
        let position = (clock.last() % self.season) as f64 / self.season as f64 * BUCKETS as f64;
        let (season, index) = state.season(position);
        let forecast = state.level + state.trend + season;
        let (e, width) = (x - forecast, BAND * state.deviation(0.0));
        let score = if clock.is_warm() { e / state.deviation(x.abs().max(forecast.abs())) } else { 0.0 };
        state.learn(x, e, index, clock, self.season as f64 / 1e6);
        Scores { score, strangeness: score.abs(), expected: forecast, low: forecast - width, high: forecast + width }
    }

    fn save(&self, state: &Components, words: &mut WordWriter<'_>) {
        words.extend([state.level, state.trend, state.variance, state.size].map(f64::to_bits));
        words.extend(state.buckets.iter().map(|bucket| bucket.to_bits()));
        let (eights, _) = state.counts.as_chunks::<8>();
        words.extend(eights.iter().map(|eight| u64::from_be_bytes(*eight)));
    }

    fn restore(&self, _version: u16, words: &mut Words<'_>, _clock: &Clock) -> Result<Components, RestoreError> {
        let mut state = Components {
            level: bounded(words, "level", 2.0 * LARGEST)?,
            trend: bounded(words, "trend", LARGEST)?,
            variance: positive(words, "variance", BOUND)?,
            size: positive(words, "size", 2.0 * LARGEST)?,
            ..Components::START
        };
        for bucket in &mut state.buckets {
            *bucket = bounded(words, "bucket of the season", 2.0 * LARGEST)?;
        }
        for eight in state.counts.as_chunks_mut::<8>().0 {
            *eight = words.next("counts of the season")?.to_be_bytes();
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::algorithm::scored::ScoredState;

    #[test]
    fn a_state_has_the_documented_size() {
        assert_eq!(size_of::<ScoredState<u64, Components>>(), 600);
    }

    #[test]
    fn a_bucket_remembers_three_seasons_however_many_values_they_have() {
        for season in [86_400.0, 604_800.0, 31_536_000.0] {
            let mut clock = Clock::default();
            (0..1000).for_each(|minute| clock.tick(minute * 60_000_000));
            let mut state = Components { variance: 1.0, size: 1.0, counts: [u8::MAX; BUCKETS], ..Components::START };
            state.learn(1.0, 1.0, 7, &clock, season);
            let values = 3.0 * season / (60.0 * BUCKETS as f64);
            assert!((state.buckets[7] * values - (1.0 - 1.0 / 120.0)).abs() < 1e-9, "{season}: {}", state.buckets[7]);
        }
    }

    /// The scores of values a minute apart.
    fn scores(values: impl Iterator<Item = f64>) -> Vec<Scores> {
        let (model, mut state, mut clock) =
            (HoltWinters { season: 86_400_000_000 }, Components::START, Clock::default());
        let mut score = |x| {
            clock.tick(clock.samples() * 60_000_000);
            model.score(&mut state, x, &clock)
        };
        values.map(&mut score).collect()
    }

    /// A day of minutes: a triangle and some noise.
    fn value(minute: u64) -> f64 {
        let of_day = minute % 1440;
        of_day.min(1440 - of_day) as f64 + (minute * 7919 % 101) as f64 / 10.0
    }

    #[test]
    fn a_season_is_forecast_after_some_days() {
        let days = scores((0..10 * 1440).map(value));
        let error = |day: &[Scores], minute: u64| (day[minute as usize].expected - value(minute)).abs();
        let worst = (9 * 1440..10 * 1440).map(|minute| error(&days, minute)).fold(0.0, f64::max);
        assert!(worst < 60.0, "the season has a range of 720: {worst}");
    }

    #[test]
    fn a_shift_of_the_level_is_usual_after_a_day() {
        let shifted = scores((0..12 * 1440).map(|minute| value(minute) + if minute < 14_400 { 0.0 } else { 500.0 }));
        let largest =
            |day: usize| shifted[day * 1440..][..1440].iter().map(|scores| scores.strangeness).fold(0.0, f64::max);
        assert!(largest(10) > 5.0 && largest(11) < 4.0, "{} {}", largest(10), largest(11));
    }
}
