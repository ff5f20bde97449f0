//! The control of the rate of alarms.

use crate::algorithm::scored::WEEK;
use crate::algorithm::scored::share::interval_of;
use crate::math::smaller;

/// Microseconds in which the steps are larger, because the start is a guess.
const YOUNG: u64 = 4 * WEEK as u64 * 1_000_000;

/// Alarms that are not farther apart, in microseconds, are one event.
pub(crate) const APART: u64 = 3_600_000_000;

/// The seconds after which an event that goes on counts once more.
const LASTING: f64 = 6.0 * 3600.0;

/// The stochastic approximation (H. Robbins, S. Monro, 1951) of a threshold: it rises by a step with each event, and
/// falls by as many steps in a week as events are requested. It is stationary only at the requested rate, whatever the
/// distribution is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Controller {
    per_week: f64,
    step: f64,
    /// The factor of the first steps. It falls with the age, and is 1 after four weeks.
    most: f64,
    /// Microseconds in which the factor is the largest.
    youngest: u64,
    /// The length of the period in seconds, and the falls of a value of it: of the youngest and of the old.
    period: f64,
    falls: [f64; 2],
}

impl Controller {
    /// `step` is that after four weeks, `most` the factor of the first ones. `period` is in seconds.
    pub(crate) fn new(per_week: f64, step: f64, most: f64, period: Option<u64>) -> Self {
        let period = interval_of(period);
        let falls = [step * most, step].map(|step| fall(step, per_week, period));
        Self { per_week, step, most, youngest: (YOUNG as f64 / most) as u64, period, falls }
    }

    /// The step at an age in microseconds.
    #[inline]
    fn step(&self, age: u64) -> f64 {
        if age >= YOUNG {
            self.step
        } else if age < self.youngest {
            self.step * self.most
        } else {
            self.step * (YOUNG as f64 / age.max(1) as f64).clamp(1.0, self.most)
        }
    }

    /// The threshold after a value without an event, an interval in seconds after the one before it.
    #[inline]
    pub(crate) fn fall(&self, threshold: f64, interval: f64, age: u64) -> f64 {
        let [youngest, old] = self.falls;
        // Of an object without gaps nothing is left to compute.
        let fall = match interval == self.period {
            true if age >= YOUNG => old,
            true if age < self.youngest => youngest,
            _ => self.fall_of_any(interval, age),
        };
        threshold - fall
    }

    #[inline(never)]
    fn fall_of_any(&self, interval: f64, age: u64) -> f64 {
        fall(self.step(age), self.per_week, interval)
    }

    /// The threshold after a value of an event that goes on, an interval in seconds after the one before it: it rises by
    /// a step in six hours. An event counts once, so that an incident hardly changes the threshold; but one without an
    /// end is not an event, and a threshold that everything exceeds would never rise.
    pub(crate) fn last(&self, threshold: f64, interval: f64, age: u64) -> f64 {
        threshold + self.step(age) * smaller(interval * (1.0 / LASTING), 1.0)
    }

    /// The threshold after an event.
    #[inline]
    pub(crate) fn rise(&self, threshold: f64, age: u64) -> f64 {
        threshold + self.step(age)
    }
}

/// The fall of a value of an interval in seconds.
fn fall(step: f64, per_week: f64, interval: f64) -> f64 {
    step * per_week * interval * (1.0 / WEEK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_with_the_requested_events_changes_nothing() {
        let controller = Controller::new(3.0, 0.5, 4.0, Some(60));
        for (weeks, step) in [(1, 2.0), (2, 1.0), (4, 0.5), (50, 0.5)] {
            let age = weeks * 604_800_000_000;
            let risen = (0..3).fold(1.0, |threshold, _| controller.rise(threshold, age));
            assert_eq!(risen, 1.0 + 3.0 * step, "{weeks} weeks");
            let fallen = (0..10_080).fold(risen, |threshold, _| controller.fall(threshold, 60.0, age));
            assert!((fallen - 1.0).abs() < 1e-9, "{weeks} weeks: {fallen}");
        }
        assert_eq!(controller.rise(0.0, 0), 2.0);
    }

    #[test]
    fn an_event_that_lasts_counts_once_more_in_six_hours() {
        let controller = Controller::new(3.0, 0.5, 4.0, Some(60));
        let age = 10 * YOUNG;
        let risen = (0..360).fold(1.0, |threshold, _| controller.last(threshold, 60.0, age));
        assert!((risen - 1.5f64).abs() < 1e-9, "{risen}");
        assert_eq!(controller.last(1.0, 86_400.0, age), 1.5, "a value counts once at most");
    }

    #[test]
    fn the_step_without_a_division_is_the_same() {
        let [controller, periodic] = [None, Some(60)].map(|period| Controller::new(1.0, 0.5, 2.0, period));
        let weeks = |weeks: u64| weeks * 604_800_000_000;
        for age in [0, 1, weeks(2) - 1_000_000, weeks(2), weeks(2) + 1, weeks(3), weeks(4) - 1, weeks(4), weeks(9)] {
            let expected = 0.5 * (YOUNG as f64 / age.max(1) as f64).clamp(1.0, 2.0);
            assert_eq!(controller.step(age), expected, "{age}");
            for interval in [60.0, 61.0, 0.001] {
                let falls = [&controller, &periodic].map(|controller| controller.fall(9.0, interval, age));
                assert_eq!(falls, [9.0 - expected * interval * (1.0 / WEEK); 2], "{age}, {interval} s");
            }
        }
    }
}
