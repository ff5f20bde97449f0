//! The data of one object: the signals, and equations (1) to (5) of [`seasonal`](super).

mod saved;

use super::calibrator::{Calibrator, Length};
use super::memory::Memory;
use super::shift::{ShiftSignal, Start};
use super::spread::SpreadSignal;
use crate::algorithm::ewm_prior::LEAST_SIZE;
use crate::algorithm::large::within;
use crate::algorithm::scored::Clock;
use crate::math::{asinh, cbrt, log10, sqrt};

/// The weights of the signals, and their sum.
const WEIGHTS: [f64; SIGNALS] = [1.0, 1.0, 1.0, 1.0, 0.5, 1.0, 1.0, 0.5];
const WEIGHT: f64 = 7.0;
const SIGNALS: usize = 8;

/// Values over which the size of the values is averaged.
const MEMO: f64 = 2000.0;
/// The least weight of a value in a long mean.
pub(super) const SLOW: f64 = 1.0 / (16.0 * MEMO);
/// The number of values before a signal in deviations starts.
pub(super) const WARM: f64 = 20.0;
/// The weight of a value in the mean of the signal z.
const ALPHA: f64 = 0.01;
/// A residual below this share of the size of the values is rounding.
pub(super) const ROUNDING: f64 = 1e-7;
/// The limits of what a value teaches: its distance from the forecast, in largest residuals so far, on the first day
/// and later. A histogram has six octaves.
const FIRST_LIMIT: f64 = 16.0;
const LIMIT: f64 = 8.0;
/// The length of the first day, in microseconds, and the number of values without limits.
const FIRST_DAY: u64 = 86_400_000_000;
const UNLIMITED: f64 = 50.0;
/// Constants of (3) to (5).
const INTERVAL_WEIGHT: f64 = 0.2;
const USUAL_INTERVAL: f64 = 300.0;
const YOUNG_WEIGHT: f64 = 0.4;
/// In seconds; a series is that old by the second one when it starts.
pub(super) const RIPE: f64 = 14.0 * 86_400.0;
pub(super) const YOUNG_OFFSET: f64 = 3600.0;
const HALF: f64 = 2.05;
const SHIFT_WEIGHT: f64 = 1.5;
const WEIGHT_WITH_SHIFT: f64 = 7.75;
const MARGIN: f64 = 1.3;
const HOLD: f64 = 100.0;
const HOLD_SHARE: f64 = 0.05;

/// The data of one object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SeasonalMemory {
    pub(super) memory: Memory,
    pub(super) calibrators: [Calibrator; SIGNALS],
    /// The mean size of the values.
    size: f64,
    /// The mean of the values.
    pub(super) mean: f64,
    pub(super) last: f64,
    /// The number of values in a row that equal the one before them.
    run: f64,
    /// Means over 4 and 12 residuals.
    r4: f64,
    a12: f64,
    /// On the asinh scale: the mean over 16 values, the long mean and the variance of their difference.
    fast_level: f64,
    level: f64,
    level_variance: f64,
    long_spread: SpreadSignal<128>,
    short_spread: SpreadSignal<8>,
    shift: ShiftSignal,
    /// The mean and the variance of the signal z.
    z_mean: f64,
    pub(super) z_variance: f64,
    /// The newest f that passed the gate, and the values since then.
    peak: f64,
    since: f64,
    /// The values since the newest one beyond the limit, up to 2^32 - 1.
    pub(super) since_beyond: u32,
    shift_start: Start,
}

/// The forecast that is nearer to the value `x`.
#[inline]
fn nearer(x: f64, (day, week): (f64, f64)) -> f64 {
    if (x - day).abs() <= (x - week).abs() { day } else { week }
}

/// The term of (3) of the interval.
#[inline]
fn of_interval(clock: &Clock) -> f64 {
    let interval = clock.mean_interval();
    if interval > 0.0 { INTERVAL_WEIGHT * log10(interval / USUAL_INTERVAL) } else { 0.0 }
}

/// The term of (3) of an age in microseconds.
#[inline]
fn of_age(age: u64) -> f64 {
    let age = age as f64 / 1e6 + YOUNG_OFFSET;
    if age < RIPE { YOUNG_WEIGHT * log10(RIPE / age).max(0.0) } else { 0.0 }
}

/// The values before the first one passes the gate or is beyond the limit.
const NEVER: f64 = 1e9;

impl SeasonalMemory {
    pub(super) const START: Self = Self {
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
        long_spread: SpreadSignal::START,
        short_spread: SpreadSignal::START,
        shift: ShiftSignal::START,
        z_mean: 0.0,
        z_variance: 0.0,
        peak: 0.0,
        since: NEVER,
        since_beyond: NEVER as u32,
        shift_start: Start::WITH_SERIES,
    };

    pub(super) fn first(&mut self, x: f64) {
        (self.size, self.mean, self.z_mean, self.last) = (x.abs(), x, x, x);
        (self.long_spread, self.short_spread) = (SpreadSignal::start(x), SpreadSignal::start(x));
    }

    /// The value that is learned for `x`: `x` itself, or a nearer one if it is beyond the limit, or none if it is the
    /// only one beyond the limit for long.
    #[inline]
    pub(super) fn learned(&mut self, x: f64, forecasts: (f64, f64), clock: &Clock) -> Option<f64> {
        let known = self.calibrators.first().map_or(0.0, Calibrator::largest);
        // A series that never moved has no residual, and zeros have no size.
        let known = if known > 0.0 { known } else { self.size.max(LEAST_SIZE) };
        let limit = known * if clock.age() < FIRST_DAY { FIRST_LIMIT } else { LIMIT };
        let r = x - nearer(x, forecasts);
        self.since_beyond = self.since_beyond.saturating_add(1);
        if r.abs() <= limit || clock.earlier() < UNLIMITED {
            return Some(x);
        }
        let is_first = f64::from(core::mem::take(&mut self.since_beyond)) > MEMO;
        (!is_first).then(|| within(x - r + limit.copysign(r)))
    }

    /// The signals of the value `x`, and the strangeness of the shift.
    #[inline]
    pub(super) fn signals(&mut self, x: f64, forecasts: (f64, f64), clock: &Clock) -> ([f64; SIGNALS], f64) {
        let earlier = clock.earlier();
        self.size += (x.abs() - self.size) * (1.0 / MEMO).max(1.0 / (earlier + 1.0));
        let k = 3.0 / (self.size + 1e-12);
        let y = asinh(k * x);
        let forecast = nearer(x, forecasts);
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
        let shift = self.shift.update(ra, self.shift_start, clock);
        ([r.abs(), self.r4.abs(), self.a12.abs(), level, long, short, z, self.run], shift)
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

    /// (1) to (4), for the strangeness of the shift: f and s.
    #[inline]
    pub(super) fn strangeness(&mut self, signals: [f64; SIGNALS], shift: f64, clock: &Clock) -> (f64, f64) {
        let (mut sum, mut length) = (0.0, Length::UNKNOWN);
        for ((calibrator, signal), weight) in self.calibrators.iter_mut().zip(signals).zip(WEIGHTS) {
            let q = calibrator.update_in_turn(signal, &mut length);
            sum += weight * (q * q * q);
        }
        let with_shift = sum + SHIFT_WEIGHT * (shift * shift * shift);
        if with_shift == 0.0 {
            return (0.0, 0.0);
        }
        let (mean, with_shift) = (sum / WEIGHT, with_shift / WEIGHT_WITH_SHIFT);
        let (of_interval, of_age) = (of_interval(clock), of_age(clock.age()));
        let required = |mean: f64| if mean > 0.0 { (cbrt(mean) + of_interval - of_age).max(0.0) } else { 0.0 };
        let f = required(mean);
        // Few shifts are strange enough to need the cube root.
        let least = HALF - of_interval + of_age;
        if with_shift > mean && 1.000_001 * with_shift >= least * least * least {
            let h = required(with_shift);
            return (f, if h >= HALF + self.shift_lacks(of_age, clock) { h } else { f });
        }
        (f, f)
    }

    /// By how much the term of (3) of the age is larger for the signal of shifts than `of_series`, that of the series.
    fn shift_lacks(&self, of_series: f64, clock: &Clock) -> f64 {
        of_age(self.shift.age(self.shift_start, clock)) - of_series
    }

    /// (5).
    #[inline]
    pub(super) fn gated(&mut self, s: f64, earlier: f64) -> f64 {
        let decayed = (1.0 - self.since / HOLD.max(HOLD_SHARE * earlier)).max(0.0);
        let mut passed = 0.0;
        if s > MARGIN * self.peak * decayed {
            (passed, self.peak, self.since) = (s, s, 0.0);
        }
        self.since += 1.0;
        passed / (passed + HALF)
    }
}
