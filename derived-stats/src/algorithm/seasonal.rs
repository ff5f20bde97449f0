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
//! s = h if h > f and h >= 2.05, else f                                         (4)
//! score = s / (s + 2.05) if s > 1.3 * peak * (1 - since / hold), else 0        (5)
//! ```
//!
//! (3) requires more of short intervals and of young series. (5) is a gate: a score passes if s exceeds the newest
//! score that passed, `peak`, which decays over `hold` values (100, or 5 % of all values if that is more). A score of
//! 0.5 and more is the start of an anomaly. The band is that of both forecasts, widened by the 99th percentile of |r1|.
//!
//! h in (4) finds lasting shifts of the level that are too small for the other signals. It is (1) to (3) with a ninth
//! signal of weight 1.5, where the sum of weights is 7.75: the exponentially weighted mean over an hour of the residual
//! on the asinh scale, each limited to 2 deviations. This is a control chart (S. W. Roberts, "Control chart tests based
//! on geometric moving averages", 1959), of the kind of a cumulative sum. It counts at intervals of at most 150 s; in
//! slower series, a12 is a mean over an hour already. In a state of a version before it, it starts with an age of its
//! own: for two weeks its weights are those of a young series, and (3) requires more of h. The strangeness is f,
//! without h, and so is the alarm decision: `docs/src/design/detection.md` has the figures.
//!
//! A value is scored as it is, and learned within a limit: its distance from the forecast is at most 8 times the
//! largest |r1| so far, 16 times on the first day; the first 50 values have no limit. The first value beyond the limit
//! in 2000 values teaches nothing: it is a glitch. Another one counts as the limit, so a new level is learned after a
//! few values; in a series of zeros, whose largest |r1| counts as 1e-9, after some ten. An overflowed sum is not
//! learned.
//!
//! The counts behind (1) are in bins of an eighth of an octave. At 20000 values, after two weeks of minutes, they are
//! halved, and the bins end at the largest value that is still counted. Extreme values do not move the bins away from
//! the usual ones: those farther above count in the highest bin.
//!
//! | | |
//! |---|---|
//! | source | designed for this project; 76.6 points in half of the Numenta Anomaly Benchmark, standard profile |
//! | unit | score and strangeness: none; expected value and band: the unit of the metric |
//! | range | score: 0 to below 1; strangeness: 0 or more, above 6 only for extreme values |
//! | error | 9 digits as the reference implementation, without (4); a value beyond 1e150 counts as that bound |
//! | memory | 3064 bytes an object, of which the hours are 1728 and the histograms 1008 |
//! | cost | constant for each value, with about 20 logarithms |
//!
//! `docs/src/design/detection.md` has the reasons why 9 digits need more than 2048 bytes.
//!
//! The alarm is a decision of its own (see `scored/alarms.rs`): on noise the score (5) reaches 0.5 two to four times a
//! week, because a rank among the past has records for ever.

mod calibrator;
mod memory;
mod shift;
mod spread;
mod state;

use self::calibrator::Calibrator;
use self::memory::Season;
use self::state::{SLOW, SeasonalMemory};
use crate::algorithm::scored::{
    ALARMS, Clock, Model, Options, Scored, Scores, WARM_UP, explain_options, fields, threshold,
};
use crate::entry::{Argument, Entry, Explanation, Field, Given, Roles};
use crate::saved::{RestoreError, WordWriter, Words};

/// The menu entry of the detector `Seasonal`.
pub(crate) static ENTRY: Entry = Entry::new("Seasonal", Roles::DETECTOR, SUMMARY, |given| {
    Ok(Scored::built(Seasonal, Options::of(given, 0, DAY_SECONDS)))
})
.arguments(&[ALARMS, SCORE_THRESHOLD, WARM_UP.absent_is(DAY_SECONDS)])
.structured("DetectorResult", &FIELDS)
.version(<Seasonal as Model>::VERSION)
.explained(explain);

const SUMMARY: &str = "how strange the newest value is for its hour of the day and of the week, for its level, its \
                       spread and its change, each against the object's own past";

static FIELDS: [Field; 11] = fields("Seasonal");

const DAY_SECONDS: u64 = 86_400;

/// `threshold=`, for a score below 1.
const SCORE_THRESHOLD: Argument = threshold(
    // A score is f / (f + 2.05), and no ratio of doubles gives an f above 360.
    0.99,
    "threshold, the least score of an alarm, a decimal number above 0 and at most 0.99 (the score is below 1) such as \
     `threshold=0.5`",
    "0.5",
);

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

impl Model for Seasonal {
    type State = SeasonalMemory;

    /// Version 4 has the signal of shifts, version 5 the time when it started.
    const VERSION: u16 = 5;

    fn start(&self) -> SeasonalMemory {
        SeasonalMemory::START
    }

    fn score(&self, state: &mut SeasonalMemory, x: f64, clock: &Clock) -> Scores {
        let season = Season::of(clock.last());
        if clock.earlier() == 0.0 {
            state.first(x);
        }
        let forecasts = state.memory.forecasts(season, state.mean);
        let learned = state.learned(x, forecasts, clock);
        if learned == Some(x) {
            return step(state, x, clock, (season, forecasts));
        }
        let scores = step(&mut state.clone(), x, clock, (season, forecasts));
        if let Some(learned) = learned {
            step(state, learned, clock, (season, forecasts));
        }
        scores
    }

    /// A series that never moved has the longest run of equal values with each value, which is not a reason for an alarm.
    /// A value beyond the limit is one, although it is not learned and so does not count as a move.
    fn can_alarm(&self, state: &SeasonalMemory) -> bool {
        state.z_variance > 0.0 || state.since_beyond == 0
    }

    fn save(&self, state: &SeasonalMemory, words: &mut WordWriter<'_>) {
        state.save(words);
    }

    fn restore(&self, version: u16, words: &mut Words<'_>, clock: &Clock) -> Result<SeasonalMemory, RestoreError> {
        SeasonalMemory::restore(version, words, clock)
    }
}

/// Scores and learns a value.
#[inline]
fn step(state: &mut SeasonalMemory, x: f64, clock: &Clock, (season, (day, week)): (Season, (f64, f64))) -> Scores {
    let earlier = clock.earlier();
    let width = state.calibrators.first().map_or(0.0, Calibrator::width);
    let (signals, shift) = state.signals(x, (day, week), clock);
    let (f, s) = state.strangeness(signals, shift, clock);
    let score = state.gated(s, earlier);
    state.memory.learn(season, x);
    state.mean += (x - state.mean) * SLOW.max(1.0 / (earlier + 1.0));
    state.last = x;
    let expected = 0.5 * (day + week);
    Scores { score, strangeness: f, expected, low: day.min(week) - width, high: day.max(week) + width }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::scored::ScoredState;

    #[test]
    fn a_state_has_the_documented_size() {
        assert_eq!(size_of::<ScoredState<u64, SeasonalMemory>>(), 3064);
    }

    /// A state of version 3: it ends before the word with the start of the signal of shifts and its 16 words, two means
    /// and the calibrator, and has the number of values since a large one as a double.
    fn of_version_3(state: &SeasonalMemory, clock: &Clock) -> SeasonalMemory {
        let mut words = Vec::new();
        state.save(&mut WordWriter::new(&mut words));
        words.truncate(words.len() - 16);
        if let Some(since_beyond) = words.last_mut() {
            *since_beyond = ((*since_beyond >> 32) as f64).to_bits();
        }
        SeasonalMemory::restore(3, &mut Words::new(&words), clock).expect("a good state")
    }

    #[test]
    fn a_state_without_the_signal_of_shifts_learns_it_without_false_anomalies() {
        let value = |minute: u64| 100.0 + (minute * 7919 % 101) as f64 / 10.0;
        let (mut state, mut clock) = (SeasonalMemory::START, Clock::default());
        for minute in 0..14 * 1440 {
            clock.tick(minute * 60_000_000);
            Seasonal.score(&mut state, value(minute), &clock);
        }
        let mut restored = of_version_3(&state, &clock);
        for minute in 14 * 1440..30 * 1440 {
            clock.tick(minute * 60_000_000);
            let [usual, score] =
                [&mut state, &mut restored].map(|state| Seasonal.score(state, value(minute), &clock).score);
            assert!(score < 0.5 || score <= usual, "{score} after {} minutes, {usual} with it", minute - 14 * 1440);
            if minute % 1440 == 0 {
                let mut words = Vec::new();
                restored.save(&mut WordWriter::new(&mut words));
                let read = SeasonalMemory::restore(Seasonal::VERSION, &mut Words::new(&words), &clock);
                assert!(read == Ok(restored), "the saved state of day {}", minute / 1440);
            }
        }
    }

    /// A value every 5 s, with a plateau of two hours on every fourth day. The counts of a calibrator are halved within
    /// 28 hours, and no longer show that the signal is late.
    #[test]
    fn a_state_without_the_signal_of_shifts_is_young_for_two_weeks_at_short_intervals() {
        const DAY: u64 = 17_280;
        let value = |n: u64| {
            let plateau = n / DAY % 4 == 2 && (DAY / 2..DAY / 2 + DAY / 12).contains(&(n % DAY));
            100.0 + (n * 7919 % 10_007) as f64 / 1000.0 + if plateau { 4.0 } else { 0.0 }
        };
        let (mut state, mut clock) = (SeasonalMemory::START, Clock::default());
        for n in 0..21 * DAY {
            clock.tick(n * 5_000_000);
            Seasonal.score(&mut state, value(n), &clock);
        }
        let mut restored = of_version_3(&state, &clock);
        for n in 21 * DAY..24 * DAY {
            clock.tick(n * 5_000_000);
            let [usual, score] = [&mut state, &mut restored].map(|state| Seasonal.score(state, value(n), &clock).score);
            assert!(score < 0.5 || score <= usual, "{score} after {} hours, {usual} with it", (n - 21 * DAY) / 720);
        }
    }

    /// The states after 20 days of values, and after a glitch; each with the score of a later anomaly.
    #[test]
    fn a_glitch_is_scored_as_it_is_and_learned_within_limits() {
        let value = |minute: u64| 100.0 + (minute * 7919 % 101) as f64 / 10.0;
        let after = |glitch: Option<f64>, days: u64| {
            let (mut state, mut clock) = (SeasonalMemory::START, Clock::default());
            let mut score = |minute: u64, x| {
                clock.tick(minute * 60_000_000);
                Seasonal.score(&mut state, x, &clock)
            };
            for minute in 0..20 * 1440 {
                score(minute, value(minute));
            }
            let found = score(20 * 1440, glitch.unwrap_or(100.0)).strangeness;
            for minute in 20 * 1440 + 1..(20 + days) * 1440 {
                score(minute, value(minute));
            }
            let later = score((20 + days) * 1440, 140.0);
            (found, later.strangeness, later.expected)
        };
        let (_, usual, expected) = after(None, 1);
        let (small, ..) = after(Some(200.0), 1);
        for glitch in [1e5, 1e19, -1e150] {
            let (found, later, near) = after(Some(glitch), 1);
            assert!(found > small, "{glitch:e}: {found}, {small}");
            assert!((near - expected).abs() < 1.0, "{glitch:e}: {near} expected, {expected} without it");
            assert!((later - usual).abs() < 0.01, "{glitch:e}: {later} a day later, {usual} without it");
        }
    }
}
