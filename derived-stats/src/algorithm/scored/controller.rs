//! The control of the rate of alarms.

use crate::algorithm::scored::{ABOVE_ONE, WEEK};

/// Microseconds in which the steps are larger, because the start is a guess.
const YOUNG: f64 = 4.0 * WEEK * 1e6;

/// Alarms that are not farther apart, in microseconds, are one event.
pub(crate) const APART: u64 = 3_600_000_000;

/// The stochastic approximation (H. Robbins, S. Monro, 1951) of a threshold: it rises by a step with each event, and
/// falls by as many steps in a week as events are requested. It is stationary only at the requested rate, whatever the
/// distribution is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Controller {
    per_week: f64,
    step: f64,
    /// The factor of the first steps. It falls with the age, and is 1 after four weeks.
    most: f64,
}

impl Controller {
    pub(crate) const fn new(per_week: f64, step: f64, most: f64) -> Self {
        Self { per_week, step, most }
    }

    /// The step at an age in microseconds.
    #[inline]
    fn step(&self, age: u64) -> f64 {
        let age = age.max(1) as f64;
        // Most ages need no division.
        if age >= YOUNG {
            self.step
        } else if self.most * age * ABOVE_ONE < YOUNG {
            self.step * self.most
        } else {
            self.step * (YOUNG / age).clamp(1.0, self.most)
        }
    }

    /// The threshold after a value without an event, an interval in seconds after the one before it.
    #[inline]
    pub(crate) fn fall(&self, threshold: f64, interval: f64, age: u64) -> f64 {
        threshold - self.step(age) * self.per_week * interval * (1.0 / WEEK)
    }

    /// The threshold after an event.
    #[inline]
    pub(crate) fn rise(&self, threshold: f64, age: u64) -> f64 {
        threshold + self.step(age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_with_the_requested_events_changes_nothing() {
        let controller = Controller::new(3.0, 0.5, 4.0);
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
    fn the_step_without_a_division_is_the_same() {
        let controller = Controller::new(1.0, 0.5, 2.0);
        let weeks = |weeks: u64| weeks * 604_800_000_000;
        for age in [0, 1, weeks(2) - 1_000_000, weeks(2), weeks(2) + 1, weeks(3), weeks(4) - 1, weeks(4), weeks(9)] {
            let expected = 0.5 * (YOUNG / age.max(1) as f64).clamp(1.0, 2.0);
            assert_eq!(controller.step(age), expected, "{age}");
        }
    }
}
