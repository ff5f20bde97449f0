//! `DSAnomaly:Seasonal`: the recommended detector, for series with a daily and a weekly season or none.
//!
//! Two memories, of the hours of the day and of the week, forecast the value; the nearer forecast counts. Eight signals
//! measure how far the value is off:
//!
//! | signal | weight | meaning |
//! |---|---|---|
//! | r1 | 1 | the residual x - forecast |
//! | r4 | 1 | its mean over 4 values |
//! | a12 | 1 | the mean over 12 values of the residual on the scale asinh(3x/s), s the mean size of x |
//! | L16 | 1 | the mean over 16 values on that scale, against the long mean, in deviations |
//! | v128 | 0.5 | the logarithm of the variance over 128 values, against its mean, in deviations |
//! | v8 | 1 | the same over 8 values |
//! | z | 1 | x against the exponentially weighted mean of weight 0.01, in deviations |
//! | run | 0.5 | the length of a run of equal values |
//!
//! Each signal v has a strangeness q among its own n past values, of which c are larger and the largest is m:
//!
//! ```text
//! q = max(0, 2 + 0.4 log10(n+1) - log10(c+0.5) + (0.5 ln(v/m) if v > m))       (1)
//! f = (sum of w * q^3 / sum of w)^(1/3)                                        (2)
//! f <- max(0, f + 0.2 log10(interval / 300 s) - 0.4 max(0, log10(14 days / age)))   (3)
//! score = f / (f + 2.05) if f > 1.3 * peak * (1 - since / hold), else 0        (4)
//! ```
//!
//! (3) requires more of short intervals and of young series. (4) is a gate: a score passes if f exceeds the newest score
//! that passed, `peak`, which decays over `hold` values (100, or 5 % of all values if that is more). A score of 0.5 and
//! more is the start of an anomaly. The band is that of both forecasts, widened by the 99th percentile of |r1|.
//!
//! | | |
//! |---|---|
//! | source | designed for this project; a public benchmark compares it with its peers (`docs/src/reference/annotations.md`) |
//! | unit | score and strangeness: none; expected value and band: the unit of the metric |
//! | range | score: 0 to below 1; strangeness: 0 or more, above 6 only for extreme values |
//! | error | agrees with the reference implementation to 9 digits; a value beyond 1e150 counts as that bound |
//! | memory | 2920 bytes an object, of which the hours are 1728 and the histograms 896 |
//! | cost | constant for each value, with about 20 logarithms |
//!
//! The hours are doubles. With single floats, the detector would have 2136 bytes and the scores of most values would
//! agree to 6 digits only, but a signal that is exactly at the edge of a bin (counts make such signals) would change its
//! bin, and with it the third digit of the strangeness.
//!
//! The alarm is a decision of its own (see `scored/alarms.rs`): on noise the score (4) reaches 0.5 two to four times a
//! week, because a rank among the past has records for ever.

mod calibrator;
mod memory;
mod spread;

use self::calibrator::Calibrator;
use self::memory::{Memory, Season};
use self::spread::Spread;
use crate::algorithm::scored::{
    ALARMS, BOUND, Clock, LARGEST, Model, Options, Scored, Scores, WARM_UP, bounded, explain_options, fields, positive,
};
use crate::entry::{Argument, ArgumentKind, Entry, Explanation, Field, Given, Roles};
use crate::math::{asinh, cbrt, log10, sqrt};
use crate::saved::{RestoreError, WordWriter, Words};

/// The menu entry of the detector `Seasonal`.
pub(crate) static ENTRY: Entry = Entry::new("Seasonal", Roles::DETECTOR, SUMMARY, |given| {
    Ok(Scored::built(Seasonal, Options::of(given, 0, DAY_SECONDS)))
})
.arguments(&[ALARMS, SCORE_THRESHOLD, WARM_UP])
.structured("DetectorResult", &FIELDS)
.explained(explain);

const SUMMARY: &str = "how strange the newest value is for its hour of the day and of the week, for its level, its \
                       spread and its change, each against the object's own past";

static FIELDS: [Field; 11] = fields("Seasonal");

const DAY_SECONDS: u64 = 86_400;

/// `threshold=`, for a score below 1.
pub(crate) const SCORE_THRESHOLD: Argument = Argument::optional(
    "threshold",
    // A score is f / (f + 2.05), and no f is above 1000.
    ArgumentKind::Decimal { above: 0.0, most: 0.99 },
    "threshold, the least score of an alarm, a decimal number above 0 and at most 0.99 (the score is below 1) such as \
     `threshold=0.5`",
    "0.5",
)
.named();

fn explain(given: &Given<'_>, seconds: Option<u64>) -> Explanation {
    let explanation = Explanation::new(SUMMARY)
        .line("season", "hours of the day and of the week in UTC; it learns them while it runs")
        .line("bound", "the score is 0 to below 1; 0.5 and more is the start of an anomaly");
    explain_options(explanation, given, 0, DAY_SECONDS, seconds)
}

/// `DSAnomaly:Seasonal[:alarms=N][:threshold=S][:warmup=SECONDS]`.
///
/// The value must come with the time since the Unix epoch.
///
/// ```
/// use derived_stats::entry::Role;
/// use derived_stats::{Number, Pipeline};
///
/// // After `1.DSSum-` the detector takes the sum of each period; inline it scores every sample.
/// let mut requests = Pipeline::parse("raw:DSAnomaly:Seasonal")?;
/// let mut at = 0;
/// for minute in 0..3 * 1440u64 {
///     at = minute * 60_000_000;
///     let (hour, noise) = (minute / 60 % 24, minute * 7919 % 101 / 10);
///     requests.update(at, Number::U64(100 + 5 * hour.min(24 - hour) + noise))?;
/// }
/// let usual = requests.report(at).forced().expect("ready after a day");
/// assert_eq!(usual.role(Role::Alarm), Some(Number::U64(0)));
/// requests.update(at + 60_000_000, Number::U64(900))?;
/// let strange = requests.report(at).forced().expect("ready after a day");
/// assert!(strange.role(Role::Score).is_some_and(|score| score.as_f64() > 0.5));
/// assert_eq!(strange.role(Role::Alarm), Some(Number::U64(1)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seasonal;
/// The weights of the signals, and their sum.
const WEIGHTS: [f64; SIGNALS] = [1.0, 1.0, 1.0, 1.0, 0.5, 1.0, 1.0, 0.5];
const WEIGHT: f64 = 7.0;
const SIGNALS: usize = 8;

/// Values over which the size of the values is averaged.
const MEMO: f64 = 2000.0;
/// The least weight of a value in a long mean.
const SLOW: f64 = 1.0 / (16.0 * MEMO);
/// The number of values before a signal in deviations starts.
const WARM: f64 = 20.0;
/// The weight of a value in the mean of the signal z.
const ALPHA: f64 = 0.01;
/// A residual below this share of the size of the values is rounding.
const ROUNDING: f64 = 1e-7;
/// Constants of (3) and (4).
const INTERVAL_WEIGHT: f64 = 0.2;
const USUAL_INTERVAL: f64 = 300.0;
const YOUNG_WEIGHT: f64 = 0.4;
const RIPE: f64 = 14.0 * 86_400.0;
const HALF: f64 = 2.05;
const MARGIN: f64 = 1.3;
const HOLD: f64 = 100.0;
const HOLD_SHARE: f64 = 0.05;

/// The data of one object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SeasonalMemory {
    memory: Memory,
    calibrators: [Calibrator; SIGNALS],
    /// The mean size of the values.
    size: f64,
    /// The mean of the values.
    mean: f64,
    last: f64,
    /// The number of values in a row that equal the one before them.
    run: f64,
    /// Means over 4 and 12 residuals.
    r4: f64,
    a12: f64,
    /// On the asinh scale: the mean over 16 values, the long mean and the variance of their difference.
    fast_level: f64,
    level: f64,
    level_variance: f64,
    long_spread: Spread<128>,
    short_spread: Spread<8>,
    /// The mean and the variance of the signal z.
    z_mean: f64,
    z_variance: f64,
    /// The newest f that passed the gate, and the values since then.
    peak: f64,
    since: f64,
}

/// The values before the first one passes the gate.
const NEVER: f64 = 1e9;

impl SeasonalMemory {
    const START: Self = Self {
        memory: Memory::START,
        calibrators: [Calibrator::START; SIGNALS],
        size: 0.0,
        mean: 0.0,
        last: 0.0,
        run: 0.0,
        r4: 0.0,
        a12: 0.0,
        fast_level: 0.0,
        level: 0.0,
        level_variance: 0.0,
        long_spread: Spread::START,
        short_spread: Spread::START,
        z_mean: 0.0,
        z_variance: 0.0,
        peak: 0.0,
        since: NEVER,
    };

    fn first(&mut self, x: f64) {
        (self.size, self.mean, self.z_mean, self.last) = (x.abs(), x, x, x);
        (self.long_spread, self.short_spread) = (Spread::start(x), Spread::start(x));
    }

    /// The signals of the value `x`, after `earlier` values.
    #[inline]
    fn signals(&mut self, x: f64, earlier: f64, forecasts: (f64, f64)) -> [f64; SIGNALS] {
        self.size += (x.abs() - self.size) * (1.0 / MEMO).max(1.0 / (earlier + 1.0));
        let k = 3.0 / (self.size + 1e-12);
        let y = asinh(k * x);
        let (day, week) = forecasts;
        let forecast = if (x - day).abs() <= (x - week).abs() { day } else { week };
        let (mut r, mut ra) = (x - forecast, y - asinh(k * forecast));
        if r.abs() < ROUNDING * self.size {
            r = 0.0;
        }
        if ra.abs() < ROUNDING {
            ra = 0.0;
        }
        self.r4 += (r - self.r4) / (earlier + 1.0).min(4.0);
        self.a12 += (ra - self.a12) / (earlier + 1.0).min(12.0);
        let level = self.level_signal(y, earlier);
        let long = self.long_spread.update(x, earlier, self.size, SLOW);
        let short = self.short_spread.update(x, earlier, self.size, SLOW);
        self.run = if earlier > 0.0 && x == self.last { self.run + 1.0 } else { 0.0 };
        let z = self.z_signal(x, earlier);
        [r.abs(), self.r4.abs(), self.a12.abs(), level, long, short, z, self.run]
    }

    #[inline]
    fn level_signal(&mut self, y: f64, earlier: f64) -> f64 {
        if earlier == 0.0 {
            (self.fast_level, self.level) = (y, y);
        }
        self.fast_level += (y - self.fast_level) / (earlier + 1.0).min(16.0);
        let d = self.fast_level - self.level;
        let floor = 1e-6 * (self.level * self.level);
        let signal = if earlier > WARM { d.abs() / sqrt(self.level_variance + 1e-12 + floor) } else { 0.0 };
        let weight = SLOW.max(1.0 / (earlier + 2.0));
        self.level += weight * d;
        self.level_variance = (1.0 - weight) * (self.level_variance + weight * d * d);
        signal
    }

    #[inline]
    fn z_signal(&mut self, x: f64, earlier: f64) -> f64 {
        let d = x - self.z_mean;
        let deviation = sqrt(self.z_variance) + 1e-3 * self.size + 1e-12;
        let signal = if earlier > WARM { d.abs() / deviation } else { 0.0 };
        let weight = ALPHA.max(1.0 / (earlier + 1.0));
        self.z_mean += weight * d;
        self.z_variance = (1.0 - weight) * (self.z_variance + weight * d * d);
        signal
    }

    /// (1) to (3).
    #[inline]
    fn strangeness(&mut self, signals: [f64; SIGNALS], clock: &Clock) -> f64 {
        let mut sum = 0.0;
        for ((calibrator, signal), weight) in self.calibrators.iter_mut().zip(signals).zip(WEIGHTS) {
            let q = calibrator.update(signal);
            sum += weight * (q * q * q);
        }
        let mut f = cbrt(sum / WEIGHT);
        if f > 0.0 {
            if clock.mean_interval() > 0.0 {
                f += INTERVAL_WEIGHT * log10(clock.mean_interval() / USUAL_INTERVAL);
            }
            let age = clock.age() as f64 / 1e6;
            if age + 3600.0 < RIPE {
                f -= YOUNG_WEIGHT * log10(RIPE / (age + 3600.0)).max(0.0);
            }
        }
        f.max(0.0)
    }

    /// (4).
    #[inline]
    fn gated(&mut self, f: f64, earlier: f64) -> f64 {
        let decayed = (1.0 - self.since / HOLD.max(HOLD_SHARE * earlier)).max(0.0);
        let mut passed = 0.0;
        if f > MARGIN * self.peak * decayed {
            (passed, self.peak, self.since) = (f, f, 0.0);
        }
        self.since += 1.0;
        passed / (passed + HALF)
    }
}

impl Model for Seasonal {
    type State = SeasonalMemory;

    fn start(&self) -> SeasonalMemory {
        SeasonalMemory::START
    }

    fn score(&self, state: &mut SeasonalMemory, x: f64, clock: &Clock) -> Scores {
        let (earlier, season) = (clock.earlier(), Season::of(clock.last()));
        if earlier == 0.0 {
            state.first(x);
        }
        let (day, week) = state.memory.forecasts(season, state.mean);
        let width = state.calibrators.first().map_or(0.0, Calibrator::width);
        let signals = state.signals(x, earlier, (day, week));
        let f = state.strangeness(signals, clock);
        let score = state.gated(f, earlier);
        state.memory.learn(season, x);
        state.mean += (x - state.mean) * SLOW.max(1.0 / (earlier + 1.0));
        state.last = x;
        let expected = 0.5 * (day + week);
        Scores { score, strangeness: f, expected, low: day.min(week) - width, high: day.max(week) + width }
    }

    /// A series that never moved has the longest run of equal values with each value, which is no reason for an alarm.
    fn can_alarm(&self, state: &SeasonalMemory) -> bool {
        state.z_variance > 0.0
    }

    fn save(&self, state: &SeasonalMemory, words: &mut WordWriter<'_>) {
        let SeasonalMemory { size, mean, last, run, r4, a12, fast_level, level, level_variance, .. } = *state;
        words.extend([size, mean, last, run, r4, a12, fast_level, level, level_variance].map(f64::to_bits));
        words.extend([state.z_mean, state.z_variance, state.peak, state.since].map(f64::to_bits));
        state.long_spread.save(words);
        state.short_spread.save(words);
        state.memory.save(words);
        state.calibrators.iter().for_each(|calibrator| calibrator.save(words));
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<SeasonalMemory, RestoreError> {
        // The asinh of a double is at most 745 by size.
        const COMPRESSED: f64 = 1e3;
        let mut state = SeasonalMemory {
            size: positive(words, "size", LARGEST)?,
            mean: bounded(words, "mean", 2.0 * LARGEST)?,
            last: bounded(words, "last value", LARGEST)?,
            run: positive(words, "run", 1e18)?,
            r4: bounded(words, "mean residual", 4.0 * LARGEST)?,
            a12: bounded(words, "mean compressed residual", 2.0 * COMPRESSED)?,
            fast_level: bounded(words, "fast level", COMPRESSED)?,
            level: bounded(words, "level", COMPRESSED)?,
            level_variance: positive(words, "variance of the level", 4.0 * COMPRESSED * COMPRESSED)?,
            z_mean: bounded(words, "mean of z", 2.0 * LARGEST)?,
            z_variance: positive(words, "variance of z", BOUND)?,
            peak: positive(words, "peak", COMPRESSED)?,
            since: positive(words, "values since the peak", 1e18)?,
            long_spread: Spread::restore(words)?,
            short_spread: Spread::restore(words)?,
            memory: Memory::restore(words)?,
            calibrators: [Calibrator::START; SIGNALS],
        };
        for calibrator in &mut state.calibrators {
            *calibrator = Calibrator::restore(words)?;
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::scored::ScoredState;

    #[test]
    fn a_state_has_the_documented_size() {
        assert_eq!(size_of::<ScoredState<u64, SeasonalMemory>>(), 2920);
    }
}
