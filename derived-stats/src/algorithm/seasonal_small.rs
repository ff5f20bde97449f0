//! `DSAnomaly:SeasonalSmall`: the idea of `Seasonal` in 200 bytes, for very many objects.
//!
//! A memory of 16 buckets of the day forecasts the value. Three signals measure how far the value is off: r1, a12 and
//! L16 of `Seasonal`. Each has a strangeness q among its own past in a histogram of ten bins, as (1) of `Seasonal`, and
//!
//! ```text
//! g     = (sum of w * q^2 / sum of w)^(1/2), w = 0.8 for L16, else 1           (1)
//! f     = g + 0.2 log10(interval / 300 s) - 0.4 max(0, log10(14 days / age))   (2)
//! score = f / (f + 1.8) if f > 1.3 * peak * (1 - since / hold), else 0        (3)
//! threshold <- threshold + step at each alarm, threshold - step * alarms a week    (4)
//! ```
//!
//! (3) is the gate of `Seasonal`. A value with g above the threshold raises an alarm. (4) is the stochastic
//! approximation (H. Robbins, S. Monro, 1951) of the rate of alarms: the threshold is stationary only at the requested
//! rate. It starts at the maximum of the warm-up, extrapolated to the time between two alarms. The step is 0.15; in the
//! first four weeks it is larger, up to 0.6. Alarms less than an hour apart are one event, which counts once and once more
//! for each six hours that it goes on; meanwhile the threshold does not fall.
//!
//! | | |
//! |---|---|
//! | source | designed for this project, after `Seasonal` |
//! | unit | score and strangeness: none; expected value and band: the unit of the metric |
//! | range | score: 0 to below 1; strangeness (g): 0 or more |
//! | error | expected value and band: single floats; a value beyond 1e37 counts as that bound |
//! | memory | 200 bytes an object |
//! | cost | constant for each value |
//!
//! A value is scored as it is, and learned within a limit: its distance from the forecast is at most 4 times the
//! largest r1 so far. At 20000 values the counts behind q are halved, and the bins end at the largest value that is
//! still counted; the first value beyond the limit after that teaches nothing, because it is a glitch. Extreme values
//! do not move the bins away from the usual ones: those farther above count in the highest bin. An overflowed sum is
//! not learned.
//!
//! A state that began in a version before 4 keeps the weight 1 for L16, and 1.9 in (3), so that its results continue.
//!
//! The time is in whole seconds, up to the year 2106. The interval is a mean over 1000 values, without outages.

mod day;
mod state;
mod tail;

use self::day::Season;
use self::state::{SmallState, State};
use crate::algorithm::scored::{
    ALARMS, APART, Controller, Options, Scores, WARM_UP, WEEK, explain_options, fields, record, threshold,
};
use crate::algorithm::{Algorithm, Detector, Measured, Sample, UpdateError};
use crate::entry::{Argument, Built, Entry, Explanation, Field, Given, Roles};
use crate::math::{log2, sqrt};
use crate::number::Numeric;
use crate::record::Record;
use crate::report::{Flaw, Report};
use crate::saved::{RestoreError, WordWriter, Words};

/// The menu entry of the detector `SeasonalSmall`.
pub(crate) static ENTRY: Entry = Entry::new("SeasonalSmall", Roles::DETECTOR, SUMMARY, |given| {
    let options = Options::of(given, 0, DAY_SECONDS);
    let alarms = options.alarms().per_week();
    let controller = Controller::new(alarms, STEP, FIRST_STEPS, given.period_seconds());
    Ok(Built::detector(SeasonalSmall { options, controller }).with_alarms(alarms))
})
.arguments(&[ALARMS, SCORE_THRESHOLD, WARM_UP.absent_is(DAY_SECONDS)])
.structured("DetectorResult", &FIELDS)
.version(4)
.explained(explain);

const SUMMARY: &str = "how strange the newest value is for its time of day and after the values before it, against the \
                       object's own past; 200 bytes an object";

static FIELDS: [Field; 11] = fields("SeasonalSmall");

const DAY_SECONDS: u64 = 86_400;

/// `threshold=`.
const SCORE_THRESHOLD: Argument = threshold(
    // A score is g / (g + 1.8), and no ratio of values to 1e37 gives a g above 100.
    0.95,
    "threshold, the least score of an alarm, a decimal number above 0 and at most 0.95 (no score is much larger) such \
     as `threshold=0.5`",
    "0.5",
);

fn explain(given: &Given<'_>, seconds: Option<u64>) -> Explanation {
    let explanation = Explanation::new(SUMMARY)
        .line("season", "16 buckets of the day in UTC; it learns them while it runs")
        .line("bound", "the score is 0 to below 1; 0.5 and more is the start of an anomaly");
    explain_options(explanation, given, 0, DAY_SECONDS, seconds)
}

/// Constants of (1) to (4).
const WEIGHT_OF_LEVEL: f64 = 0.8;
const HALF: f64 = 1.8;
/// That of versions before 4.
const HALF_BEFORE: f64 = 1.9;
const MARGIN: f64 = 1.3;
const HOLD: f64 = 100.0;
const HOLD_SHARE: f64 = 0.05;
const INTERVAL_WEIGHT: f64 = 0.2 * core::f64::consts::LOG10_2;
/// The largest interval is 2^32 s: 0.2 log10(2^32 / 300).
const LARGEST_INTERVAL_TERM: f64 = 1.5;
const YOUNG_WEIGHT: f64 = 0.4 * core::f64::consts::LOG10_2;
const USUAL_INTERVAL: f64 = 300.0;
const RIPE: f64 = 14.0 * 86_400.0;
const STEP: f64 = 0.15;
const FIRST_STEPS: f64 = 4.0;
/// The scale of the tail of g, for the extrapolation to the first threshold.
const TAIL: f64 = 0.15;
/// The largest first threshold: an anomaly in the warm-up must not hide the later ones.
const LARGEST_START: f64 = 3.6;
/// The largest sample by size that is taken unchanged: twice this value is a finite single float.
const LARGEST: f64 = 1e37;

/// `DSAnomaly:SeasonalSmall[:alarms=N][:threshold=S][:warmup=SECONDS]`.
///
/// 200 bytes an object. The value must come with the time since the Unix epoch.
///
/// ```
/// use derived_stats::entry::Role;
/// use derived_stats::{Number, Pipeline};
///
/// let mut requests = Pipeline::parse("raw:DSAnomaly:SeasonalSmall:alarms=2")?;
/// for minute in 0..2 * 1440u64 {
///     requests.update(minute * 60_000_000, Number::U64(100 + minute * 7919 % 101 / 10))?;
/// }
/// requests.update(2 * 86_400_000_000, Number::U64(900))?;
/// let strange = requests.report(0).forced().expect("ready after a day");
/// assert_eq!(strange.role(Role::Alarm), Some(Number::U64(1)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub(crate) struct SeasonalSmall {
    options: Options,
    /// (4).
    controller: Controller,
}

impl SeasonalSmall {
    fn is_ready<T>(&self, state: &SmallState<T>) -> bool {
        u64::from(state.samples()) > Options::LEAST_SAMPLES && state.age() * 1_000_000 >= self.options.warm_up()
    }

    /// (4), for the strangeness g.
    #[inline]
    fn decide<T>(&self, state: &mut SmallState<T>, g: f64, interval: f64) {
        let alarms = self.options.alarms().per_week();
        state.set(State::Alarm, false);
        if !self.is_ready(state) {
            // A time that went back ends the warm-up no second time: what was learned stays.
            if !state.has(State::Ready) {
                state.set_threshold(state.threshold().max(g));
            }
            return;
        }
        if !state.has(State::Ready) {
            state.set(State::Ready, true);
            let age = (state.age() as f64).max(interval);
            let beyond = TAIL * core::f64::consts::LN_2 * log2(WEEK / (alarms * age)).max(0.0);
            state.set_threshold((state.threshold() + beyond).min(LARGEST_START));
        }
        let age = state.age() * 1_000_000;
        let is_event = u64::from(state.since_alarm) * 1_000_000 <= APART;
        let mut threshold = state.threshold();
        if !is_event {
            threshold = self.controller.fall(threshold, interval, age);
        }
        if g > threshold && g > 0.0 {
            threshold = match is_event {
                true => self.controller.last(threshold, interval, age),
                false => self.controller.rise(threshold, age),
            };
            state.since_alarm = 0;
            // An explicit threshold removes alarms, and changes nothing that is learned.
            state.set(State::Alarm, score(state) >= self.options.threshold());
        }
        state.set_threshold(threshold);
    }

    fn record<T: Numeric>(state: &SmallState<T>) -> Record {
        let width = state.tails.width();
        let ([expected, strangeness], threshold) =
            ([state.expected, state.strangeness].map(f64::from), state.threshold());
        let (low, high) = (expected - width, expected + width);
        let scores = Scores { score: score(state), strangeness, expected, low, high };
        let record = record(u64::from(state.samples()), scores, threshold, state.has(State::Alarm), state.newest);
        let is_beyond = state.newest.to_f64().abs() > LARGEST;
        record.flawed(match state.has(State::Bound) {
            true => Some(Flaw::Overflow),
            false => is_beyond.then_some(Flaw::BeyondSingle),
        })
    }
}

/// The score of the newest value: it passed the gate if no value came since.
fn score<T>(state: &SmallState<T>) -> f64 {
    let passed = if state.since == 1 { f64::from(state.peak) } else { 0.0 };
    passed / (passed + if state.has(State::Even) { HALF_BEFORE } else { HALF })
}

/// (2) and (3).
#[inline]
fn gate<T: Numeric>(state: &mut SmallState<T>, g: f64, interval: f64) {
    // The values since the peak are counted up to 65535.
    let hold = HOLD.max(HOLD_SHARE * f64::from(state.samples())).min(u16::MAX.into());
    let decayed = (1.0 - f64::from(state.since) / hold).max(0.0);
    let least = MARGIN * f64::from(state.peak) * decayed;
    let mut f = g;
    // Few values are near enough to need the logarithms.
    if g > 0.0 && g + LARGEST_INTERVAL_TERM > least {
        f += INTERVAL_WEIGHT * log2(interval / USUAL_INTERVAL);
        let age = state.age() as f64 + 3600.0;
        if age < RIPE {
            f -= YOUNG_WEIGHT * log2(RIPE / age);
        }
    }
    if f > 0.0 && f > least {
        (state.peak, state.since) = (f as f32, 0);
    }
    state.since = state.since.saturating_add(1).max(1);
}

/// (1) for a value, which is scored as it is, and learned as [`SmallState::learned`] returns it, or not at all if it is
/// the bound of its type or of the detector.
#[inline]
fn learn<T: Numeric>(state: &mut SmallState<T>, value: f64, is_bound: bool, (seconds, interval): (u64, f64)) -> f64 {
    let season = Season::of(seconds);
    let forecast = state.forecast(season);
    let x = value.clamp(-LARGEST, LARGEST);
    let learned = if is_bound || x != value { None } else { state.learned(x, forecast) };
    let moment = (season, interval, forecast);
    if learned == Some(x) {
        return strangeness(state, x, moment);
    }
    let mut scored = *state;
    let g = strangeness(&mut scored, x, moment);
    if let Some(learned) = learned {
        strangeness(state, learned, moment);
    }
    state.expected = scored.expected;
    g
}

/// (1) for a value that is learned in full, at a season, after an interval, with its forecast.
#[inline]
fn strangeness<T: Numeric>(state: &mut SmallState<T>, x: f64, moment: (Season, f64, f64)) -> f64 {
    let (signals, before) = (state.signals(x, moment), state.tails.values());
    let [r1, a12, level] = state.tails.update(signals).map(|q| q * q);
    if state.tails.values() < before {
        state.set(State::Beyond, false);
    }
    let is_even = state.has(State::Even);
    let (weight, share) = if is_even { (1.0, 1.0 / 3.0) } else { (WEIGHT_OF_LEVEL, 1.0 / (2.0 + WEIGHT_OF_LEVEL)) };
    sqrt((r1 + a12 + weight * level) * share)
}

impl<T: Numeric> Algorithm<T> for SeasonalSmall {
    type State = SmallState<T>;

    fn start(&self) -> SmallState<T> {
        SmallState::start()
    }

    fn is_empty(&self, state: &SmallState<T>) -> bool {
        state.samples() == 0
    }

    fn update(&self, state: &mut SmallState<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        state.newest = sample.value;
        state.set(State::Bound, sample.overflowed);
        let (value, seconds) = (sample.value.to_f64(), sample.at / 1_000_000);
        state.tick(seconds);
        let interval = state.interval();
        let g = learn(state, value, sample.overflowed, (seconds, interval));
        state.strangeness = g as f32;
        gate(state, g, interval);
        self.decide(state, g, interval);
        Ok(())
    }

    fn report(&self, state: &SmallState<T>, _now: u64) -> Report<Record> {
        let record = Self::record(state);
        if self.is_ready(state) { Report::Value(record) } else { Report::NotReady(Some(record)) }
    }

    #[inline]
    fn value(&self, state: &SmallState<T>, _now: u64, _value: usize) -> Option<Measured> {
        let measured = Measured { number: state.newest.into_number(), overflowed: state.has(State::Bound) };
        self.is_ready(state).then_some(measured)
    }

    fn takes_every_sample(&self) -> bool {
        true
    }

    fn save(&self, state: &SmallState<T>, words: &mut WordWriter<'_>) {
        state.save(words);
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<SmallState<T>, RestoreError> {
        SmallState::restore(words)
    }

    fn migrate(&self, version: u16, words: &mut Words<'_>) -> Result<SmallState<T>, RestoreError> {
        match version {
            1 => SmallState::migrate(words).map(SmallState::even),
            // The same words. Version 2 had no histogram whose top bin has larger values.
            2 | 3 => SmallState::restore(words).map(SmallState::even),
            found => Err(RestoreError::UnknownAlgorithmVersion { found }),
        }
    }
}

impl<T: Numeric> Detector<T> for SeasonalSmall {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_200_bytes() {
        assert_eq!(size_of::<SmallState<u64>>(), 200);
    }
}
