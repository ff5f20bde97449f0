//! The data of one object, and its signals.

mod saved;
mod threshold;

use self::threshold::Threshold;
use super::day::{Day, Season};
use super::tail::{SIGNALS, Tails};
use crate::algorithm::ewm_prior::LEAST_SIZE;
use crate::algorithm::scored::Clock;
use crate::math::{quick_asinh, sqrt};
use crate::number::Numeric;

/// Microseconds in a second, the unit of the times.
const SECOND: u64 = 1_000_000;

/// The days over which the mean of a bucket is weighted.
const BUCKET_DAYS: f64 = 2.0;

/// The weight of a value in the mean size of the values.
const SIZE_WEIGHT: f64 = 1.0 / 2000.0;

/// The least weight of a value in the long mean of the level.
const LEVEL_WEIGHT: f64 = 1.0 / 32_000.0;

/// The limit of what a value teaches: its distance from the forecast, in largest residuals so far. A histogram has two
/// and a half octaves.
const LIMIT: f64 = 4.0;

/// The number of values before the distance of the level counts.
const WARM: f64 = 20.0;

/// A residual below this share of the size of the values is rounding of single floats.
const ROUNDING: f64 = 1e-5;

/// The largest number of values that is counted, 27 bits: 255 years of minutes.
pub(super) const MOST_SAMPLES: u32 = (1 << 27) - 1;

/// A flag of a state.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(super) enum State {
    /// The state began in a version before 4, whose signals had equal weights.
    Even = 1 << 27,
    /// The newest value raises an alarm.
    Alarm = 1 << 28,
    /// The newest value is the bound of an overflowed sum.
    Bound = 1 << 29,
    /// The warm-up is over, and the threshold is set.
    Ready = 1 << 30,
    /// A value was beyond the limit since the counts of the tails were halved.
    Beyond = 1 << 31,
}

/// The data of one object: 200 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SmallState<T> {
    pub(super) newest: T,
    /// The times of the first and of the latest value, in seconds, as in [`Clock`].
    first: u32,
    last: u32,
    /// The number of values, and above it the flags.
    packed: u32,
    day: Day,
    /// The mean size of the values.
    size: f32,
    /// The mean over 12 residuals on the asinh scale.
    a12: f32,
    /// On that scale: the mean over 16 values, the long mean and the deviation of their difference.
    fast_level: f32,
    level: f32,
    level_deviation: f32,
    pub(super) strangeness: f32,
    pub(super) expected: f32,
    /// The newest f that passed the gate.
    pub(super) peak: f32,
    /// The mean interval in seconds; 0 while the time does not advance.
    interval: f32,
    threshold: Threshold,
    pub(super) tails: Tails,
    /// The values since the gate passed one, up to 65535, and 1 for that value itself.
    pub(super) since: u16,
    /// The seconds since an alarm, up to 65535.
    pub(super) since_alarm: u16,
}

impl<T> SmallState<T> {
    /// The threshold of alarms.
    #[inline]
    pub(super) fn threshold(&self) -> f64 {
        self.threshold.value()
    }

    /// Sets the threshold of alarms, which is limited to its range.
    #[inline]
    pub(super) fn set_threshold(&mut self, threshold: f64) {
        self.threshold = Threshold::of(threshold);
    }

    #[inline]
    pub(super) fn has(&self, flag: State) -> bool {
        self.packed & flag as u32 != 0
    }

    #[inline]
    pub(super) fn set(&mut self, flag: State, is_set: bool) {
        self.packed = self.packed & !(flag as u32) | if is_set { flag as u32 } else { 0 };
    }

    /// The number of values.
    #[inline]
    pub(super) fn samples(&self) -> u32 {
        self.packed & MOST_SAMPLES
    }

    /// The time since the first value, in seconds.
    #[inline]
    pub(super) fn age(&self) -> u64 {
        u64::from(self.last.saturating_sub(self.first))
    }

    /// The mean interval in seconds, never 0.
    #[inline]
    pub(super) fn interval(&self) -> f64 {
        self.clock().interval()
    }

    #[inline]
    fn clock(&self) -> Clock {
        let times = [self.first, self.last].map(|seconds| u64::from(seconds) * SECOND);
        Clock::of(self.samples().into(), times, self.interval.into())
    }

    /// The forecast; that of the value before if no bucket near has values.
    #[inline]
    pub(super) fn forecast(&self, season: Season) -> f64 {
        self.day.forecast(season).unwrap_or_else(|| self.expected.into())
    }
}

impl<T: Numeric> SmallState<T> {
    pub(super) fn start() -> Self {
        Self {
            newest: T::default(),
            first: 0,
            last: 0,
            packed: 0,
            day: Day::START,
            size: 0.0,
            a12: 0.0,
            fast_level: 0.0,
            level: 0.0,
            level_deviation: 0.0,
            strangeness: 0.0,
            expected: 0.0,
            peak: 0.0,
            interval: 0.0,
            threshold: Threshold::default(),
            tails: Tails::START,
            since: u16::MAX,
            since_alarm: u16::MAX,
        }
    }

    /// Counts a value at `seconds`.
    #[inline]
    pub(super) fn tick(&mut self, seconds: u64) {
        let now = u32::try_from(seconds).unwrap_or(u32::MAX);
        let gap = now.saturating_sub(self.last);
        if self.samples() > 0 {
            self.since_alarm = self.since_alarm.saturating_add(gap.try_into().unwrap_or(u16::MAX));
        }
        let times = [self.first, self.last, now];
        match Clock::usual_interval(self.samples().into(), times, self.interval.into()) {
            Some(interval) => (self.interval, self.last) = (interval as f32, self.last.max(now)),
            None => self.tick_clock(now),
        }
        if self.samples() < MOST_SAMPLES {
            self.packed += 1;
        }
    }

    #[cold]
    fn tick_clock(&mut self, now: u32) {
        let mut clock = self.clock();
        clock.tick_in(1.0, u64::from(now) * SECOND);
        [self.first, self.last] = clock.times().map(|at| (at / SECOND) as u32);
        self.interval = clock.mean_interval() as f32;
    }

    /// The value that is learned for `x`: `x` itself, or a nearer one if it is beyond the limit, or none if it is the
    /// first one beyond the limit.
    #[inline]
    pub(super) fn learned(&mut self, x: f64, forecast: f64) -> Option<f64> {
        let Some(known) = self.tails.largest() else { return Some(x) };
        // A series that never moved has no residual, and zeros have no size.
        let limit = LIMIT * if known > 0.0 { known } else { f64::from(self.size).max(LEAST_SIZE) };
        let r = x - forecast;
        if r.abs() <= limit {
            return Some(x);
        }
        let is_first = !self.has(State::Beyond);
        self.set(State::Beyond, true);
        (!is_first).then(|| x - r + limit.copysign(r))
    }

    /// The signals of the value `x`, which is counted already, at a season, after an interval, with its forecast; then
    /// learns it.
    #[inline]
    pub(super) fn signals(&mut self, x: f64, (season, interval, forecast): (Season, f64, f64)) -> [f64; SIGNALS] {
        let earlier = f64::from(self.samples() - 1);
        let weight = 1.0 / (earlier + 1.0);
        let size = f64::from(self.size) + (x.abs() - f64::from(self.size)) * SIZE_WEIGHT.max(weight);
        self.size = size as f32;
        let expected = if earlier == 0.0 { x } else { forecast };
        self.expected = expected as f32;
        let k = 3.0 / (size + 1e-12);
        let (y, mut ra, mut r) = (quick_asinh(k * x), 0.0, x - expected);
        if r.abs() < ROUNDING * size {
            r = 0.0;
        } else {
            ra = y - quick_asinh(k * expected);
        }
        let a12 = f64::from(self.a12) + (ra - f64::from(self.a12)) * weight.max(1.0 / 12.0);
        self.a12 = a12 as f32;
        let level = self.level_signal(y, earlier, weight);
        self.day.learn(x, season, interval, BUCKET_DAYS);
        [r.abs(), a12.abs(), level]
    }

    /// The distance of the mean over 16 values from the long mean, in deviations. `weight` is that of a plain mean.
    #[inline]
    fn level_signal(&mut self, y: f64, earlier: f64, weight: f64) -> f64 {
        if earlier == 0.0 {
            (self.fast_level, self.level) = (y as f32, y as f32);
        }
        let fast = f64::from(self.fast_level) + (y - f64::from(self.fast_level)) * weight.max(1.0 / 16.0);
        let (level, deviation) = (f64::from(self.level), f64::from(self.level_deviation));
        let d = fast - level;
        let is_rounding = d.abs() < ROUNDING * (level.abs() + fast.abs());
        let signal = if is_rounding { 0.0 } else { d.abs() / (deviation + 1e-3 * level.abs() + 1e-6) };
        let weight = LEVEL_WEIGHT.max(0.5 * weight);
        self.fast_level = fast as f32;
        self.level = (level + weight * d) as f32;
        self.level_deviation = sqrt((1.0 - weight) * (deviation * deviation + weight * d * d)) as f32;
        if earlier > WARM { signal } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_follows_a_new_period_and_ignores_an_outage() {
        let mut state = SmallState::<u64>::start();
        let mut now = 1_700_000_000;
        let mut run = |count: u32, interval: u64| {
            for _ in 0..count {
                now += interval;
                state.tick(now);
            }
            state.interval()
        };
        assert_eq!(run(20_000, 300), 300.0);
        assert!((300.0..302.0).contains(&run(1, 30 * 86_400)));
        assert!((60.0..62.0).contains(&run(6000, 60)));
        assert!((0.99..1.01).contains(&run(10_000, 1)));
    }

    #[test]
    fn values_within_a_second_have_an_interval() {
        let mut state = SmallState::<u64>::start();
        (0..10_000u64).for_each(|n| state.tick(1_700_000_000 + n / 100));
        assert!((0.009..0.011).contains(&state.interval()), "{}", state.interval());
    }

    #[test]
    fn one_time_in_the_far_future_is_not_believed_after_the_next() {
        for wrong in [0, 5, 500] {
            let mut state = SmallState::<u64>::start();
            (0..1000u64).for_each(|n| state.tick(if n == wrong { u64::MAX } else { 1_700_000_000 + n * 60 }));
            assert_eq!((state.last, state.samples()), (1_700_059_940, 1000));
            assert!((59_000..60_000).contains(&state.age()), "{wrong}: {}", state.age());
        }
    }

    #[test]
    fn an_alarm_is_an_event_again_after_an_hour_at_any_interval() {
        let mut state = SmallState::<u64>::start();
        let mut now = 1_700_000_000;
        state.tick(now);
        state.since_alarm = 0;
        // A hundred values a second.
        for n in 0..3601 * 100u64 {
            state.tick(now + n / 100);
        }
        now += 3600;
        assert_eq!((state.last, state.since_alarm), (now as u32, 3600));
    }
}
