//! The alarm decision of a scored detector: a threshold that gives a number of alarms a week.
//!
//! A detector measures how strange a value is, in units that differ from series to series. The decision learns the
//! upper tail of these measures for each object:
//!
//! ```text
//! level     <- level + 0.3 * scale * (1 - p)       if strangeness > level      (1)
//!              level - 0.3 * scale * p             otherwise
//! excess    <- mean of strangeness - level, of the values above the level      (2)
//! cluster   <- mean number of values above the level in one event              (3)
//! threshold  = level + excess * (ln(p * n / (cluster * alarms)) + offset)      (4)
//! offset    <- offset + step at each alarm, offset - step * alarms a week      (5)
//! ```
//!
//! n is at most the number of values above the level in a week so far, divided by p: in a series that is constant but
//! for some bursts, the level is 0, and fewer values than the share p exceed it.
//!
//! (1) is the stochastic approximation (H. Robbins, S. Monro, 1951) of the quantile that the share p of the values
//! exceeds; p is 20 times the share that is to raise an alarm, and the scale is the excess, or a 50th of the level if
//! that is more. (2) to (4) extrapolate an exponential tail from there (peaks over threshold: A. C. Davison, R. L.
//! Smith, "Models for exceedances over high thresholds", 1990), with n values a week, and values in succession counted
//! once. (5) is again a stochastic approximation, of the rate of alarms itself: the offset is stationary only at the
//! requested rate, whatever the tail is. The step is 0.5, and in the first four weeks up to 1.
//!
//! Alarms less than an hour apart are one event. An event counts once in (5), and once more for each six hours that it
//! goes on; meanwhile the offset does not fall. An excess counts as five times the mean at most in (2), so that an anomaly
//! hardly changes the threshold. Before there is a mean, as in a series that was constant so far, an excess counts as five
//! at most. The first level is the second largest of the first 20 values, so that a single one of them does not determine
//! it.

use crate::algorithm::scored::{APART, Clock, Controller, Share, bounded, pair, positive};
use crate::math::{larger, ln, smaller};
use crate::saved::{RestoreError, WordWriter, Words};

/// Seconds in a week.
pub(crate) const WEEK: f64 = 604_800.0;

/// The values above the level for each alarm: (4) extrapolates by this factor.
const PER_ALARM: f64 = 20.0;

/// The largest share of values above the level.
const LARGEST_SHARE: f64 = 0.2;

/// The number of values above the level before the share is as small as requested.
const FIRST_EXCEEDED: f64 = 5.0;

/// The values whose second largest is the first level.
const FIRST_VALUES: u64 = 20;

/// The step of (1), in mean excesses.
const LEVEL_STEP: f64 = 0.3;

/// The least scale of (1), as a share of the level: without it a level above all values falls too slowly.
const LEAST_SCALE: f64 = 0.02;

/// The step of (5), in mean excesses.
const OFFSET_STEP: f64 = 0.5;

/// The factor of the first steps of (5).
const FIRST_STEPS: f64 = 2.0;

/// The bound of the offset by size: a rate that is e^6 times too large or too small is corrected.
const LARGEST_OFFSET: f64 = 6.0;

/// Values above the level that the means of (2) and (3) are over.
const MEMORY: u32 = 64;

/// The largest excess that counts in (2), in mean excesses.
const LARGEST_EXCESS: f64 = 5.0;

/// The mean excess that is assumed before the first one: the strangeness of every detector is in deviations or in
/// decimal logarithms.
const USUAL_EXCESS: f64 = 1.0;

/// The largest strangeness that counts.
const STRANGEST: f64 = 1e30;

/// The largest number of values of an event that is counted.
const LARGEST_CLUSTER: f32 = 1e6;

/// The rate of alarms a week, above 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Alarms {
    per_week: f64,
    /// The share of values above the level that the rate needs.
    share: Share,
    /// (5).
    controller: Controller,
}

/// The tail of one object's strangeness: 48 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct AlarmState {
    /// The newest times above the level and above the threshold, in microseconds; 0 before the first one.
    above_level: u64,
    above_threshold: u64,
    /// Doubles, as (1) and (5) add small steps.
    level: f64,
    offset: f64,
    excess: f32,
    /// The mean number of values above the level in one event, 1 at least; 0 before the first event.
    cluster: f32,
    /// The number of values above the level in the newest event.
    open: f32,
    /// The number of values above the level, up to the memory.
    exceeded: u16,
    is_alarm: bool,
}

impl Alarms {
    /// `per_week` alarms a week, of a value for each `period` in seconds if that is known.
    pub(crate) fn new(per_week: f64, period: Option<u64>) -> Self {
        let share = Share::new([PER_ALARM * per_week, WEEK], FIRST_EXCEEDED, LARGEST_SHARE, period);
        Self { per_week, share, controller: Controller::new(per_week, OFFSET_STEP, FIRST_STEPS, period) }
    }

    pub(crate) fn per_week(&self) -> f64 {
        self.per_week
    }

    /// Decides whether the newest value raises an alarm, and learns it. `is_armed` is false for a value that cannot
    /// raise one, as in the warm-up.
    #[inline(always)]
    pub(crate) fn update(&self, state: &mut AlarmState, strangeness: f64, clock: &Clock, is_armed: bool) {
        let strangeness = smaller(strangeness, STRANGEST);
        if clock.samples() <= FIRST_VALUES {
            state.start(strangeness, clock.samples() == FIRST_VALUES);
            return;
        }
        state.is_alarm = false;
        if is_armed && !state.is_event(clock.last()) {
            let offset = self.controller.fall(state.offset, clock.interval(), clock.age());
            state.offset = larger(offset, -LARGEST_OFFSET);
        }
        let (share, level) = (self.share.of(clock), state.level);
        if strangeness > level {
            self.exceed(state, strangeness, clock, (share, is_armed));
        } else {
            state.level = larger(level - LEVEL_STEP * state.scale() * share, 0.0);
        }
    }

    /// Decides about a value above the level, and learns it.
    #[cold]
    #[inline(never)]
    fn exceed(&self, state: &mut AlarmState, strangeness: f64, clock: &Clock, (share, is_armed): (f64, bool)) {
        state.is_alarm = is_armed && strangeness > self.threshold(state, clock);
        state.exceed(strangeness, share, clock.last());
        if state.is_alarm {
            let (offset, interval, age) = (state.offset, clock.interval(), clock.age());
            let risen = match state.is_event(clock.last()) {
                true => self.controller.last(offset, interval, age),
                false => self.controller.rise(offset, age),
            };
            state.offset = smaller(risen, LARGEST_OFFSET);
            state.above_threshold = clock.last();
        }
    }

    /// (4).
    pub(crate) fn threshold(&self, state: &AlarmState, clock: &Clock) -> f64 {
        let mut expected = self.share.of(clock) * WEEK / clock.interval();
        if state.exceeded < MEMORY as u16 {
            let weeks = clock.age() as f64 / (1e6 * WEEK);
            expected = expected.min(f64::from(state.exceeded.max(1)) / weeks);
        }
        let cluster = f64::from(state.cluster).max(1.0);
        let beyond = ln(expected / (cluster * self.per_week)) + state.offset;
        state.level + f64::from(state.excess) * beyond.max(0.0)
    }
}

impl AlarmState {
    /// The first values: the level is the second largest of them. Until the last of them, the excess is the largest.
    #[cold]
    #[inline(never)]
    fn start(&mut self, strangeness: f64, is_last: bool) {
        let largest = f64::from(self.excess);
        self.level = self.level.max(strangeness.min(largest));
        self.excess = largest.max(strangeness) as f32;
        if is_last {
            self.excess = (LEVEL_STEP * self.level) as f32;
        }
    }

    /// The scale of (1).
    #[inline]
    fn scale(&self) -> f64 {
        larger(f64::from(self.excess), LEAST_SCALE * self.level)
    }

    /// The clock stepped back to a time.
    #[cold]
    pub(crate) fn step_back(&mut self, to: u64) {
        self.above_level = self.above_level.min(to);
        self.above_threshold = self.above_threshold.min(to);
    }

    /// Learns a value above the level.
    fn exceed(&mut self, strangeness: f64, share: f64, at: u64) {
        if at.saturating_sub(self.above_level) > APART {
            let mean = if self.cluster < 1.0 { self.open } else { self.cluster + (self.open - self.cluster) / 16.0 };
            self.cluster = mean.max(1.0);
            self.open = 0.0;
        }
        (self.above_level, self.open) = (at, (self.open + 1.0).min(LARGEST_CLUSTER));
        let (level, excess) = (self.level, f64::from(self.excess));
        let is_known = self.exceeded > 0 && excess > 0.0;
        let usual = if is_known { excess } else { excess.max(USUAL_EXCESS) };
        let measured = (strangeness - level).min(LARGEST_EXCESS * usual);
        self.exceeded = (self.exceeded + 1).min(MEMORY as u16);
        // The first level is a guess; it counts as four values.
        let weight = 1.0 / (f64::from(self.exceeded) + if excess > 0.0 { 4.0 } else { 0.0 });
        let excess = excess + (measured - excess) * weight;
        self.excess = excess as f32;
        self.level = level + LEVEL_STEP * self.scale() * (1.0 - share);
    }

    /// Whether a value of this time, without an alarm so far, is in the event of the newest alarm.
    #[inline]
    fn is_event(&self, at: u64) -> bool {
        self.above_threshold != 0 && at.saturating_sub(self.above_threshold) <= APART
    }

    /// Takes back the alarm of the newest value, and nothing that was learned from it. The learned threshold does not
    /// depend on the alarms that the user wants to see: it would fall or rise for ever if it counted only those.
    #[inline]
    pub(crate) fn suppress(&mut self) {
        self.is_alarm = false;
    }

    /// Whether the newest value raises an alarm.
    #[inline]
    pub(crate) fn is_alarm(&self) -> bool {
        self.is_alarm
    }

    pub(crate) fn save(&self, words: &mut WordWriter<'_>) {
        let pair = |high: f32, low: u32| u64::from(high.to_bits()) << 32 | u64::from(low);
        words.extend([self.above_level, self.above_threshold, self.level.to_bits(), self.offset.to_bits()]);
        let counts = u32::from(self.exceeded) << 1 | u32::from(self.is_alarm);
        words.extend([pair(self.excess, self.cluster.to_bits()), pair(self.open, counts)]);
    }

    /// Reads the words of a version. Version 1 had single floats.
    pub(crate) fn restore(version: u16, words: &mut Words<'_>, clock: &Clock) -> Result<Self, RestoreError> {
        let above_level = words.next("time above the level")?;
        let above_threshold = words.next("time of an alarm")?;
        let mut state = Self { above_level, above_threshold, ..Self::default() };
        if version == 1 {
            state.restore_singles(words)?
        } else {
            state.restore_doubles(words)?
        }
        if above_level > clock.last() {
            return Err(RestoreError::invalid("time above the level", above_level));
        }
        // Each alarm is above the level.
        if above_threshold > above_level || state.is_alarm && above_threshold != clock.last() {
            return Err(RestoreError::invalid("time of an alarm", above_threshold));
        }
        Ok(state)
    }

    fn restore_doubles(&mut self, words: &mut Words<'_>) -> Result<(), RestoreError> {
        self.level = positive(words, "level of alarms", 2.0 * STRANGEST)?;
        self.offset = bounded(words, "offset of alarms", LARGEST_OFFSET)?;
        [self.excess, self.cluster] = pair(words, "excess of alarms", 0.0..=2.0 * STRANGEST as f32)?;
        if self.cluster > LARGEST_CLUSTER {
            return Err(RestoreError::invalid("excess of alarms", self.cluster.to_bits().into()));
        }
        let word = words.next("values of an event")?;
        self.open = f32::from_bits((word >> 32) as u32);
        let is_count = (0.0..=LARGEST_CLUSTER).contains(&self.open);
        self.set_counts(word as u32)
            .filter(|()| is_count)
            .ok_or_else(|| RestoreError::invalid("values of an event", word))
    }

    fn restore_singles(&mut self, words: &mut Words<'_>) -> Result<(), RestoreError> {
        let [level, excess] = pair(words, "level of alarms", 0.0..=2.0 * STRANGEST as f32)?;
        (self.level, self.excess) = (level.into(), excess);
        [self.cluster, self.open] = pair(words, "values of an event", 0.0..=LARGEST_CLUSTER)?;
        let word = words.next("offset of alarms")?;
        self.offset = f32::from_bits((word >> 32) as u32).into();
        let is_offset = (-LARGEST_OFFSET..=LARGEST_OFFSET).contains(&self.offset);
        self.set_counts(word as u32)
            .filter(|()| is_offset)
            .ok_or_else(|| RestoreError::invalid("offset of alarms", word))
    }

    /// Sets the number of values above the level, and in the lowest bit whether there is an alarm.
    fn set_counts(&mut self, counts: u32) -> Option<()> {
        self.is_alarm = counts & 1 == 1;
        self.exceeded = u16::try_from(counts >> 1).ok().filter(|exceeded| u32::from(*exceeded) <= MEMORY)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// The alarms of each value, one a minute, at one alarm a week.
    fn decide(values: impl IntoIterator<Item = f64>) -> (AlarmState, Vec<bool>) {
        let (state, _, decided) = run(values);
        (state, decided)
    }

    fn run(values: impl IntoIterator<Item = f64>) -> (AlarmState, Clock, Vec<bool>) {
        let (alarms, mut state, mut clock) = (Alarms::new(1.0, None), AlarmState::default(), Clock::default());
        let mut decide = |(minute, value): (u64, f64)| {
            clock.tick((minute + 1) * 60_000_000);
            alarms.update(&mut state, value, &clock, true);
            state.is_alarm()
        };
        let decided = (0..).zip(values).map(&mut decide).collect();
        (state, clock, decided)
    }

    /// Values with an exponential tail of mean 1.
    fn exponential(count: u64) -> impl Iterator<Item = f64> {
        let mut seed = 1u64;
        (0..count).map(move |_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            -ln(((seed >> 11) as f64 + 0.5) / (1u64 << 53) as f64)
        })
    }

    #[test]
    fn the_rate_of_alarms_is_the_requested_one() {
        let weeks = 40;
        let (state, decided) = decide(exponential(weeks * 10_080));
        let alarms = decided.iter().filter(|is_alarm| **is_alarm).count();
        assert!((30..=55).contains(&alarms), "{alarms} alarms in {weeks} weeks: {state:?}");
        // One value in 10080 is above ln(10080) = 9.2.
        let threshold = state.level + f64::from(state.excess) * (ln(PER_ALARM) + state.offset);
        assert!((7.5..11.5).contains(&threshold), "{threshold}: {state:?}");
    }

    #[test]
    fn an_anomaly_raises_an_alarm_and_hardly_changes_the_threshold() {
        let days = |count: u64| exponential(count * 1440);
        let (state, decided) = decide(days(14).chain([1e20, 1e25]));
        assert!(decided.ends_with(&[true, true]));
        let (usual, _) = decide(days(14));
        assert!(state.level < usual.level + 3.0 && state.excess < 1.3 * usual.excess, "{usual:?} {state:?}");
        assert!(state.offset < usual.offset + 1.1, "one event: {usual:?} {state:?}");
    }

    #[test]
    fn a_series_without_strangeness_has_no_alarm_until_there_is_some() {
        let (_, decided) = decide(core::iter::repeat_n(0.0, 5000).chain([0.1]));
        assert_eq!(decided.iter().position(|is_alarm| *is_alarm), Some(5000));
    }

    #[test]
    fn the_first_strangeness_after_none_teaches_a_bounded_excess() {
        let zeros = || core::iter::repeat_n(0.0, 5000);
        let (state, _) = decide(zeros().chain([1e30]));
        assert!(state.level < 2.0 && state.excess <= 5.0, "{state:?}");
        // A week later a strangeness of 50 is still an alarm.
        let (_, decided) = decide(zeros().chain([1e30]).chain(zeros()).chain(zeros()).chain([50.0]));
        assert_eq!(decided.iter().filter(|is_alarm| **is_alarm).count(), 2);
        assert!(decided.ends_with(&[true]));
    }

    #[test]
    fn one_of_the_first_values_does_not_determine_the_level() {
        let level = |values: &[f64]| decide(values.iter().copied().chain([1.0; 20]).take(20)).0;
        let (usual, glitch) = (level(&[]), level(&[1.0, 1e6, 1.0]));
        assert_eq!((usual.level, usual.excess), (1.0, 0.3));
        assert_eq!((glitch.level, glitch.excess), (1.0, 0.3));
    }

    #[test]
    fn a_saved_tail_is_restored_and_an_impossible_one_is_refused() {
        let (state, clock, _) = run(exponential(30_000));
        let mut words = Vec::new();
        state.save(&mut WordWriter::new(&mut words));
        assert_eq!(AlarmState::restore(2, &mut Words::new(&words), &clock), Ok(state));
        let nan = u64::from(f32::NAN.to_bits());
        for (index, word) in [
            (0, clock.last() + 1),
            (1, state.above_level + 1),
            (2, f64::NAN.to_bits()),
            (2, (-1f64).to_bits()),
            (3, 6.5f64.to_bits()),
            (4, nan),
            (4, nan << 32),
            (4, u64::from((-1f32).to_bits())),
            (5, nan << 32),
            (5, 131),
            (5, words[5] | 1),
        ] {
            let mut words = words.clone();
            words[index] = word;
            assert!(AlarmState::restore(2, &mut Words::new(&words), &clock).is_err(), "word {index} as {word:#x}");
        }
    }

    #[test]
    fn the_words_of_version_1_are_read() {
        let pair = |high: f32, low: f32| u64::from(high.to_bits()) << 32 | u64::from(low.to_bits());
        let mut clock = Clock::default();
        [5, 7].into_iter().for_each(|at| clock.tick(at));
        let words = [7, 5, pair(2.5, 0.5), pair(1.5, 3.0), pair(-0.25, f32::from_bits(9 << 1))];
        let state = AlarmState::restore(1, &mut Words::new(&words), &clock).expect("words of version 1");
        assert_eq!((state.above_level, state.above_threshold, state.exceeded, state.is_alarm), (7, 5, 9, false));
        assert_eq!((state.level, state.excess, state.offset), (2.5, 0.5, -0.25));
        assert_eq!((state.cluster, state.open), (1.5, 3.0));
        for (index, word) in [(2, pair(f32::NAN, 0.0)), (3, pair(-1.0, 0.0)), (4, pair(f32::NAN, 0.0)), (4, 131)] {
            let mut words = words;
            words[index] = word;
            assert!(AlarmState::restore(1, &mut Words::new(&words), &clock).is_err(), "word {index} as {word:#x}");
        }
    }

    /// At one alarm in two years and a value a second, a step of the level is less than 1e-6, and one of the offset
    /// 1e-8.
    #[test]
    fn small_steps_add_up() {
        let (alarms, mut clock) = (Alarms::new(0.01, None), Clock::default());
        let start = AlarmState { level: 20.0, excess: 0.5, offset: 1.0, exceeded: 64, ..AlarmState::default() };
        let mut state = start;
        for second in 0..1_000_000 {
            clock.tick(second * 1_000_000);
            if clock.samples() > FIRST_VALUES {
                alarms.update(&mut state, 0.0, &clock, true);
            }
        }
        let fallen = |step: f64| 0.01 * step * 1e6 / WEEK;
        let [level, offset] = [start.level - state.level, start.offset - state.offset];
        assert!((offset - fallen(FIRST_STEPS * OFFSET_STEP)).abs() < 1e-6, "{state:?}");
        let share = fallen(PER_ALARM) + FIRST_EXCEEDED * ln(1e6 / 20.0);
        assert!((level / (LEVEL_STEP * 0.5 * share) - 1.0).abs() < 0.05, "{level} {share}: {state:?}");
    }
}
