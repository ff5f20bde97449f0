//! The seasonal memories: a mean for each hour of the day and for each hour of the week.

use crate::algorithm::large::LARGEST;
use crate::algorithm::scored::bounded;
use crate::saved::{RestoreError, WordWriter, Words};

/// The least weight of a value in the mean of its hour.
const ALPHA: f64 = 0.02;

/// The largest count of an hour.
const MOST: u8 = 200;

const HOUR: u64 = 3_600_000_000;
const HOURS_OF_DAY: usize = 24;
const HOURS_OF_WEEK: usize = 168;

/// The mean of each of `N` hours in turn.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Hours<const N: usize> {
    means: [f64; N],
    /// The number of values of each hour, up to 200.
    counts: [u8; N],
}

/// The memories of one object: 1728 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Memory {
    day: Hours<HOURS_OF_DAY>,
    week: Hours<HOURS_OF_WEEK>,
}

/// The position of a time in the day and in the week.
#[derive(Clone, Copy)]
pub(super) struct Season {
    hour: u64,
    /// The distance from the middle of the hour, -0.5 to 0.5.
    phase: f64,
}

impl Season {
    /// The position of `at`, microseconds since the epoch.
    #[inline]
    pub(super) fn of(at: u64) -> Self {
        Self { hour: at / HOUR, phase: (at % HOUR) as f64 / HOUR as f64 - 0.5 }
    }
}

impl<const N: usize> Hours<N> {
    const START: Self = Self { means: [0.0; N], counts: [0; N] };

    /// The mean of an hour and whether it has values.
    #[inline]
    fn get(&self, hour: usize) -> (f64, bool) {
        let mean = self.means.get(hour).copied().unwrap_or_default();
        (mean, self.counts.get(hour).is_some_and(|count| *count > 0))
    }

    #[inline]
    fn learn(&mut self, hour: usize, x: f64) {
        if let (Some(mean), Some(count)) = (self.means.get_mut(hour), self.counts.get_mut(hour)) {
            *count = (*count + 1).min(MOST);
            *mean += (x - *mean) * ALPHA.max(1.0 / f64::from(*count));
        }
    }

    fn save(&self, words: &mut WordWriter<'_>) {
        words.extend(self.means.iter().map(|mean| mean.to_bits()));
        let (eights, _) = self.counts.as_chunks::<8>();
        words.extend(eights.iter().map(|eight| u64::from_be_bytes(*eight)));
    }

    fn restore(words: &mut Words<'_>) -> Result<Self, RestoreError> {
        let mut hours = Self::START;
        for mean in &mut hours.means {
            *mean = bounded(words, "mean of an hour", LARGEST)?;
        }
        for eight in hours.counts.as_chunks_mut::<8>().0 {
            let word = words.next("counts of hours")?;
            *eight = word.to_be_bytes();
            if eight.iter().any(|count| *count > MOST) {
                return Err(RestoreError::invalid("counts of hours", word));
            }
        }
        Ok(hours)
    }
}

impl Memory {
    pub(super) const START: Self = Self { day: Hours::START, week: Hours::START };

    /// The forecasts of both memories, between the centres of two hours; `mean` where neither has values.
    #[inline]
    pub(super) fn forecasts(&self, season: Season, mean: f64) -> (f64, f64) {
        let (day, week) = season.hours(0);
        let (other_day, other_week) = season.hours(if season.phase > 0.0 { 1 } else { -1 });
        let distance = season.phase.abs();
        let ((of_day, has_day), (of_week, has_week)) = (self.day.get(day), self.week.get(week));
        let (mut by_day, mut by_week) = if has_day { (of_day, of_day) } else { (mean, mean) };
        if has_week {
            by_week = of_week;
        }
        let (next, has_next) = self.day.get(other_day);
        if has_day && has_next {
            by_day += distance * (next - of_day);
        }
        let (next, has_next) = self.week.get(other_week);
        if !has_week {
            by_week = by_day;
        } else if has_next {
            by_week += distance * (next - of_week);
        }
        if has_week && !has_day {
            by_day = by_week;
        }
        (by_day, by_week)
    }

    #[inline]
    pub(super) fn learn(&mut self, season: Season, x: f64) {
        let (day, week) = season.hours(0);
        self.day.learn(day, x);
        self.week.learn(week, x);
    }

    pub(super) fn save(&self, words: &mut WordWriter<'_>) {
        self.day.save(words);
        self.week.save(words);
    }

    pub(super) fn restore(words: &mut Words<'_>) -> Result<Self, RestoreError> {
        Ok(Self { day: Hours::restore(words)?, week: Hours::restore(words)? })
    }
}

impl Season {
    /// The hours of the day and of the week, `by` hours later.
    #[inline]
    fn hours(self, by: i64) -> (usize, usize) {
        let of = |hours: usize| (self.hour as i64 + by).rem_euclid(hours as i64) as usize;
        (of(HOURS_OF_DAY), of(HOURS_OF_WEEK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: u64, minute: u64) -> Season {
        Season::of(hour * HOUR + minute * 60_000_000)
    }

    #[test]
    fn a_forecast_is_read_between_the_centres_of_two_hours() {
        let mut memory = Memory::START;
        assert_eq!(memory.forecasts(at(5, 30), 7.0), (7.0, 7.0), "the mean before the first value");
        memory.learn(at(5, 30), 10.0);
        assert_eq!(memory.forecasts(at(5, 0), 7.0), (10.0, 10.0), "the hour before has no values");
        memory.learn(at(6, 30), 20.0);
        assert_eq!(memory.forecasts(at(5, 30), 7.0), (10.0, 10.0));
        assert_eq!(memory.forecasts(at(6, 0), 7.0), (15.0, 15.0));
        // The next day has the hours of the day only.
        assert_eq!(memory.forecasts(at(24 + 6, 0), 7.0), (15.0, 15.0));
        memory.learn(at(24 + 5, 30), 30.0);
        assert_eq!(memory.forecasts(at(24 + 5, 30), 7.0), (20.0, 30.0));
        assert_eq!(memory.forecasts(at(168 + 5, 30), 7.0), (20.0, 10.0));
    }

    #[test]
    fn the_mean_of_an_hour_adapts_at_a_fiftieth_at_least() {
        let mut hours = Hours::<24>::START;
        (0..1000).for_each(|_| hours.learn(3, 1.0));
        hours.learn(3, 51.0);
        assert_eq!(hours.get(3), (2.0, true));
        assert_eq!(hours.counts[3], MOST);
    }
}
