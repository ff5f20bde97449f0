//! The signal of lasting shifts of the level: a control chart of the residuals.

use super::calibrator::{Calibrator, HALVED};
use super::state::{ROUNDING, SLOW, WARM};
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
    /// `of_series` is the number of values in a calibrator of the series.
    #[inline]
    pub(super) fn update(&mut self, residual: f64, of_series: u16, clock: &Clock) -> f64 {
        let limit = LARGEST_DEVIATION * sqrt(self.square) + ROUNDING;
        self.mean += clock.weight(SPAN) * (residual.clamp(-limit, limit) - self.mean);
        let earlier = self.late_values(of_series).unwrap_or_else(|| clock.earlier());
        self.square += SLOW.max(1.0 / (earlier + 1.0)) * (residual * residual - self.square);
        let strangeness = self.calibrator.update(if earlier > WARM { self.mean.abs() } else { 0.0 });
        if clock.interval() > LONGEST_INTERVAL { 0.0 } else { strangeness }
    }

    /// The time since its first residual, in microseconds.
    pub(super) fn age(&self, of_series: u16, clock: &Clock) -> u64 {
        let late = self.late_values(of_series).map(|values| (1e6 * values * clock.interval()) as u64);
        late.map_or_else(|| clock.age(), |age| age.min(clock.age()))
    }

    /// How many residuals it has seen, if it started later than the series: in a state of a version without it. `None`
    /// once they are so many that their number need not be known.
    #[inline]
    fn late_values(&self, of_series: u16) -> Option<f64> {
        // The calibrators of one series count the same values, and differ only after they have halved their counts.
        let values = self.calibrator.values();
        (values < of_series && values < HALVED).then(|| f64::from(values))
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
        let (mut signal, mut clock) = (ShiftSignal::START, Clock::default());
        let noise = (0..604_800 / interval).map(|n| (n * 7919 % 101) as f64 / 100.0 - 0.5);
        noise.chain(residuals.iter().copied()).fold(0.0, |_, residual| {
            clock.tick(clock.samples() * interval * 1_000_000);
            signal.update(residual, 0, &clock)
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
    fn the_age_is_that_of_the_series_but_for_a_signal_that_started_later() {
        let (mut series, mut signal, mut late) = (Calibrator::START, ShiftSignal::START, ShiftSignal::START);
        let mut clock = Clock::default();
        // Long enough for the calibrators to halve their counts, twice.
        for n in 0..32_000u64 {
            clock.tick(n * 60_000_000);
            let residual = (n * 7919 % 101) as f64 / 100.0 - 0.5;
            let of_series = series.values();
            series.update(residual.abs());
            signal.update(residual, of_series, &clock);
            assert_eq!(signal.late_values(series.values()), None, "after {n} values");
            assert_eq!(signal.age(series.values(), &clock), clock.age());
            if n >= 30_000 {
                late.update(residual, of_series, &clock);
                assert_eq!(late.age(series.values(), &clock), (n - 29_999) * 60_000_000);
            }
        }
        assert!((late.square - signal.square).abs() < 0.01, "{} is learned as {}", signal.square, late.square);
    }

    #[test]
    fn slow_series_have_no_signal() {
        assert_eq!([151, 300].map(|interval| newest(interval, &[0.3; 60])), [0.0; 2]);
        assert!(newest(150, &[0.3; 60]) > 2.0, "{}", newest(150, &[0.3; 60]));
    }
}
