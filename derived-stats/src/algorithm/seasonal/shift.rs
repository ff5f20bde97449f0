//! The signal of lasting shifts of the level: a control chart of the residuals.

use super::calibrator::{Calibrator, HALVED};
use super::state::{RIPE, ROUNDING, SLOW, WARM, YOUNG_OFFSET};
use crate::algorithm::scored::{Clock, bounded, positive};
use crate::math::sqrt;
use crate::saved::{RestoreError, WordWriter, Words};

/// The time over which the residuals are averaged, in seconds.
const SPAN: f64 = 3600.0;

/// The largest residual that counts, in deviations: a spike is not a shift, and sets no record for later shifts.
const LARGEST_DEVIATION: f64 = 2.0;

/// The longest interval in seconds: an hour has twice as many values as the mean over 12 residuals, which is the signal
/// of shifts of slower series.
const LONGEST_INTERVAL: f64 = SPAN / 24.0;

/// No residual on the asinh scale is larger by size.
const LARGEST: f64 = 2e3;

/// When the signal of one object started, in whole seconds since the epoch; 0 if it started with the series. It starts
/// later in a state of a version without it, and is then kept for ever: a single wrong time must not change it.
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

    /// The time since the start, in microseconds, of a signal with so many `values` in its calibrator. If the newest time
    /// is before the start, one of both is wrong, and the values show the age until they are halved.
    fn age(self, clock: &Clock, values: u16) -> u64 {
        if self == Self::WITH_SERIES {
            return clock.age();
        }
        match clock.last().checked_sub(u64::from(self.0) * 1_000_000) {
            Some(since) => since.min(clock.age()),
            None => ((f64::from(values) * clock.interval() * 1e6) as u64).min(clock.age()),
        }
    }

    /// Whether the signal is younger than the series, and its age matters.
    #[inline]
    fn is_young(self, clock: &Clock, values: u16) -> bool {
        self != Self::WITH_SERIES && self.age(clock, values) as f64 / 1e6 + YOUNG_OFFSET < RIPE
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
    pub(super) fn update(&mut self, residual: f64, start: Start, clock: &Clock) -> f64 {
        let mut earlier = clock.earlier();
        if start.is_young(clock, self.calibrator.values()) {
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

    /// The time since the `start` of the signal, in microseconds.
    pub(super) fn age(&self, start: Start, clock: &Clock) -> u64 {
        start.age(clock, self.calibrator.values())
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

    const MINUTE: u64 = 60_000_000;

    fn day(days: u64) -> u64 {
        days * 1440 * MINUTE
    }

    /// The strangeness of the newest of these residuals, after a week of noise up to 0.5 by size.
    fn newest(interval: u64, residuals: &[f64]) -> f64 {
        let (mut signal, mut clock) = (ShiftSignal::START, Clock::default());
        let noise = (0..604_800 / interval).map(|n| (n * 7919 % 101) as f64 / 100.0 - 0.5);
        noise.chain(residuals.iter().copied()).fold(0.0, |_, residual| {
            clock.tick(clock.samples() * interval * 1_000_000);
            signal.update(residual, Start::WITH_SERIES, &clock)
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
        for n in 0..50_000u64 {
            clock.tick(day(30) + n * MINUTE);
            assert_eq!(late.age(start, &clock) == clock.age(), n <= 20_000, "after {n} values");
            assert_eq!(start.is_young(&clock, 0), (20_001..20_000 + 14 * 1440 - 60).contains(&n), "after {n} values");
            late.update((n * 7919 % 101) as f64 / 100.0 - 0.5, start, &clock);
            if n == 20_000 {
                (late, start) = (ShiftSignal::START, Start::now(&clock));
            }
            if n == 20_000 + 5 * 1440 {
                assert_eq!(late.age(start, &clock), day(5));
                let read = late.start_of_version_4(20_000, &clock);
                assert_eq!(late.age(read, &clock), day(5), "as in a state of version 4");
                assert_eq!(late.start_of_version_4(5 * 1440, &clock), Start::WITH_SERIES);
            }
        }
    }

    /// A signal that is five days late, in a series of 30 days; then one value at a wrong time.
    #[test]
    fn a_wrong_time_does_not_change_the_age_of_a_late_signal() {
        for wrong in [day(20_000), day(0), day(59) + 1, day(61)] {
            let (mut late, mut start, mut clock) = (ShiftSignal::START, Start::WITH_SERIES, Clock::default());
            for n in 0..30 * 1440u64 {
                clock.tick(day(30) + n * MINUTE);
                if n == 25 * 1440 {
                    (late, start) = (ShiftSignal::START, Start::now(&clock));
                }
                late.update((n * 7919 % 101) as f64 / 100.0 - 0.5, start, &clock);
            }
            clock.tick(wrong);
            late.update(0.0, start, &clock);
            clock.tick(day(60) + MINUTE);
            late.update(0.0, start, &clock);
            let expected = if wrong == day(61) { day(6) } else { day(5) + MINUTE };
            assert_eq!(late.age(start, &clock), expected, "after a value at {wrong}");
        }
    }

    /// The clock was years ahead when the signal started.
    #[test]
    fn a_late_signal_that_started_at_a_wrong_time_has_the_age_of_its_values() {
        let (mut late, mut clock) = (ShiftSignal::START, Clock::default());
        (0..30 * 1440).for_each(|n| clock.tick(day(30) + n * MINUTE));
        let mut ahead = clock;
        ahead.tick(day(5000));
        let start = Start::now(&ahead);
        for n in 0..2880u64 {
            clock.tick(day(60) + n * MINUTE);
            late.update((n * 7919 % 101) as f64 / 100.0 - 0.5, start, &clock);
        }
        assert!(late.age(start, &clock).abs_diff(day(2)) < MINUTE, "{}", late.age(start, &clock));
    }

    #[test]
    fn slow_series_have_no_signal() {
        assert_eq!([151, 300].map(|interval| newest(interval, &[0.3; 60])), [0.0; 2]);
        assert!(newest(150, &[0.3; 60]) > 2.0, "{}", newest(150, &[0.3; 60]));
    }
}
