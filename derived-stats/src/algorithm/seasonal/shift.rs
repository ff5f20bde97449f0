//! The signal of lasting shifts of the level: a control chart of the residuals.

use super::calibrator::{Calibrator, HALVED};
use super::state::{RIPE, ROUNDING, SLOW, WARM, YOUNG_OFFSET};
use crate::algorithm::scored::{Clock, bounded, positive};
use crate::math::sqrt;
use crate::saved::{RestoreError, WordWriter, Words};

/// The time over which the residuals are averaged, in seconds.
const SPAN: f64 = 3600.0;

/// The largest residual that counts, in deviations: a spike is no shift, and sets no record for later shifts.
const LARGEST_DEVIATION: f64 = 2.0;

/// The longest interval in seconds: an hour has twice as many values as the mean over 12 residuals, which is the signal
/// of shifts of slower series.
const LONGEST_INTERVAL: f64 = SPAN / 24.0;

/// No residual on the asinh scale is larger by size.
const LARGEST: f64 = 2e3;

/// When the signal of one object started, in whole seconds since the epoch; 0 if it started with the series, or so long
/// ago that it need not be known. It starts later in a state of a version without it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Start(u32);

impl Start {
    pub(super) const WITH_SERIES: Self = Self(0);

    /// A start at the newest value.
    pub(super) fn now(clock: &Clock) -> Self {
        Self::before(clock, 0.0)
    }

    /// A start so many seconds before the newest value.
    fn before(clock: &Clock, seconds: f64) -> Self {
        Self(((clock.last() / 1_000_000) as f64 - seconds).clamp(1.0, u32::MAX.into()) as u32)
    }

    pub(super) fn of_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(super) fn bits(self) -> u32 {
        self.0
    }

    #[inline]
    fn is_late(self) -> bool {
        self.0 > 0
    }

    /// The time since the start, in microseconds.
    pub(super) fn age(self, clock: &Clock) -> u64 {
        let since = clock.last().saturating_sub(u64::from(self.0) * 1_000_000);
        if self.is_late() { since.min(clock.age()) } else { clock.age() }
    }

    /// Forgets the start once the age no longer matters: it is as large as that of a ripe series.
    #[cold]
    fn tick(&mut self, clock: &Clock) {
        // The clock may have stepped back.
        if u64::from(self.0) * 1_000_000 > clock.last() {
            *self = Self::now(clock);
        }
        if self.age(clock) as f64 / 1e6 + YOUNG_OFFSET >= RIPE {
            *self = Self::WITH_SERIES;
        }
    }
}

/// The exponentially weighted mean of limited residuals over an hour, with its calibration: 128 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ShiftSignal {
    calibrator: Calibrator,
    mean: f64,
    /// The mean square of the residuals.
    square: f64,
}

impl ShiftSignal {
    pub(super) const START: Self = Self { calibrator: Calibrator::START, mean: 0.0, square: 0.0 };

    /// The strangeness of the mean after a `residual` on the asinh scale, 0 at long intervals; then counts the mean.
    #[inline]
    pub(super) fn update(&mut self, residual: f64, start: &mut Start, clock: &Clock) -> f64 {
        let mut earlier = clock.earlier();
        if start.is_late() {
            start.tick(clock);
            // After the counts are halved it is fewer, and the weights below are somewhat larger.
            earlier = f64::from(self.calibrator.values());
        }
        let limit = LARGEST_DEVIATION * sqrt(self.square) + ROUNDING;
        let weight = (clock.interval() / SPAN).min(1.0).max(1.0 / (earlier + 1.0));
        self.mean += weight * (residual.clamp(-limit, limit) - self.mean);
        self.square += SLOW.max(1.0 / (earlier + 1.0)) * (residual * residual - self.square);
        let strangeness = self.calibrator.update(if earlier > WARM { self.mean.abs() } else { 0.0 });
        if clock.interval() > LONGEST_INTERVAL { 0.0 } else { strangeness }
    }

    /// The start in a state of version 4, which had none: a signal that started later has fewer values in its
    /// calibrator than the `of_series` in another one, until they are halved.
    pub(super) fn start_of_version_4(&self, of_series: u16, clock: &Clock) -> Start {
        // The calibrators of one series count the same values, and differ only after they have halved their counts.
        let values = self.calibrator.values();
        let is_late = values < of_series && values < HALVED;
        if is_late { Start::before(clock, f64::from(values) * clock.interval()) } else { Start::WITH_SERIES }
    }

    pub(super) fn save(&self, words: &mut WordWriter<'_>) {
        words.extend([self.mean, self.square].map(f64::to_bits));
        self.calibrator.save(words);
    }

    pub(super) fn restore(words: &mut Words<'_>) -> Result<Self, RestoreError> {
        Ok(Self {
            mean: bounded(words, "mean residual of an hour", LARGEST)?,
            square: positive(words, "square of residuals", LARGEST * LARGEST)?,
            calibrator: Calibrator::restore(words)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The strangeness of the newest of these residuals, after a week of noise up to 0.5 by size.
    fn newest(interval: u64, residuals: &[f64]) -> f64 {
        let (mut signal, mut start, mut clock) = (ShiftSignal::START, Start::WITH_SERIES, Clock::default());
        let noise = (0..604_800 / interval).map(|n| (n * 7919 % 101) as f64 / 100.0 - 0.5);
        noise.chain(residuals.iter().copied()).fold(0.0, |_, residual| {
            clock.tick(clock.samples() * interval * 1_000_000);
            signal.update(residual, &mut start, &clock)
        })
    }

    #[test]
    fn a_shift_adds_up_and_a_spike_does_not() {
        let [usual, spike, short, long] =
            [&[0.0][..], &[1e3], &[0.3; 3], &[0.3; 60]].map(|residuals| newest(60, residuals));
        assert!(
            usual < 2.0 && short < long && long > 3.5,
            "{usual} usual, {short} after 3 values, {long} after an hour"
        );
        assert!(spike < long, "{spike} after a spike");
        let after_spike = newest(60, &[&[1e3][..], &[0.0; 300], &[0.3; 60]].concat());
        assert!(after_spike > 3.5, "{after_spike} after an hour, some hours after a spike");
    }

    #[test]
    fn a_late_signal_has_an_age_of_its_own_until_it_is_ripe() {
        let (mut late, mut start, mut clock) = (ShiftSignal::START, Start::WITH_SERIES, Clock::default());
        let day = |days: u64| days * 86_400_000_000;
        for n in 0..50_000u64 {
            clock.tick(day(30) + n * 60_000_000);
            assert_eq!(start.age(&clock) == clock.age(), n < 20_000 || start == Start::WITH_SERIES, "after {n} values");
            late.update((n * 7919 % 101) as f64 / 100.0 - 0.5, &mut start, &clock);
            if n == 20_000 {
                (late, start) = (ShiftSignal::START, Start::now(&clock));
            }
            if n == 20_000 + 5 * 1440 {
                assert_eq!(start.age(&clock), day(5));
                let read = late.start_of_version_4(20_000, &clock);
                assert_eq!(read.age(&clock), day(5), "as in a state of version 4");
                assert_eq!(late.start_of_version_4(5 * 1440, &clock), Start::WITH_SERIES);
            }
        }
        assert_eq!(start, Start::WITH_SERIES);
        start = Start::now(&clock);
        clock.tick(day(31));
        late.update(0.0, &mut start, &clock);
        assert_eq!((start, start.age(&clock)), (Start::now(&clock), 0), "the time stepped back");
    }

    #[test]
    fn slow_series_have_no_signal() {
        assert_eq!([151, 300].map(|interval| newest(interval, &[0.3; 60])), [0.0; 2]);
        assert!(newest(150, &[0.3; 60]) > 2.0, "{}", newest(150, &[0.3; 60]));
    }
}
