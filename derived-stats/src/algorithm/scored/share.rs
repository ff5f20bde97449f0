//! The share of one value in a span or in a rate.

use crate::algorithm::scored::Clock;
use crate::math::smaller;

/// `factor * interval / divisor` for the mean interval of an object; at least `values` by the number of its values, and
/// at most `most`.
///
/// An object without gaps has the length of the period as its interval, and soon has so many values that their number
/// does not matter: its share is computed once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share {
    factor: f64,
    divisor: f64,
    values: f64,
    most: f64,
    /// The length of the period in seconds; [`NO_PERIOD`] if it is not known.
    period: f64,
    of_period: f64,
    /// The number of values from which on their number does not matter, for that period.
    enough: u64,
}

/// A length that no interval has.
pub(crate) const NO_PERIOD: f64 = -1.0;

/// The length of a period as a mean interval, or [`NO_PERIOD`].
pub(crate) fn interval_of(period: Option<u64>) -> f64 {
    period.filter(|seconds| *seconds > 0).map_or(NO_PERIOD, |seconds| seconds as f64)
}

impl Share {
    /// `factor * interval / divisor`, limited as above. `period` is in seconds.
    pub(crate) fn new([factor, divisor]: [f64; 2], values: f64, most: f64, period: Option<u64>) -> Self {
        let period = interval_of(period);
        let share = factor * period / divisor;
        // One more than the quotient, whose rounding could make it too small.
        let enough = if share > 0.0 { (values / share) as u64 + 2 } else { u64::MAX };
        Self { factor, divisor, values, most, period, of_period: smaller(share, most), enough }
    }

    /// The share of the newest value.
    #[inline]
    pub(crate) fn of(&self, clock: &Clock) -> f64 {
        if clock.mean_interval() == self.period && clock.samples() >= self.enough {
            return self.of_period;
        }
        self.of_any(clock)
    }

    #[inline(never)]
    fn of_any(&self, clock: &Clock) -> f64 {
        let share = self.factor * clock.interval() / self.divisor;
        smaller(clock.at_least(share, self.values), self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_period_changes_no_bit() {
        for (quotient, values, most) in [([1.0, 7200.0], 1.0, 1.0), ([20.0 * 0.7, 604_800.0], 5.0, 0.2)] {
            for period in [1, 10, 60, 77, 300, 90_000] {
                let [known, unknown] = [Some(period), None].map(|period| Share::new(quotient, values, most, period));
                let interval = period as f64;
                for interval in [interval, interval.next_up(), 1e-6, 0.0] {
                    for samples in (0..20_000).chain([1 << 40]) {
                        let clock = Clock::of(samples, [0, 0], interval);
                        assert_eq!(known.of(&clock), unknown.of(&clock), "{samples} values, one in {interval} s");
                    }
                }
            }
        }
    }

    #[test]
    fn a_share_is_between_that_of_the_values_and_the_most() {
        let share = Share::new([1.0, 7200.0], 5.0, 0.2, Some(60));
        let of = |samples| share.of(&Clock::of(samples, [0, 0], 60.0));
        assert_eq!([1, 50, 600, 601].map(of), [0.2, 0.1, 60.0 / 7200.0, 60.0 / 7200.0]);
    }
}
