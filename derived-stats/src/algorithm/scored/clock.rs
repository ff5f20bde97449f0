//! The times of one object's values.

use crate::math::{larger, smaller};
use crate::saved::{RestoreError, WordWriter, Words};

/// Microseconds in a second.
const SECOND: f64 = 1e6;

/// The interval that is assumed while the time does not advance, in seconds.
pub(crate) const USUAL_INTERVAL: f64 = 60.0;

/// A microsecond, the unit of the time, in seconds.
const LEAST_INTERVAL: f64 = 1e-6;

/// Up to this number of values the mean of all gaps is the interval. Later a gap counts as four intervals at most, so
/// that an outage does not count.
const FIRST_GAPS: u64 = 20;

/// The largest gap of a known interval, in intervals.
const LARGEST_GAP: f64 = 4.0;

/// The least weight of a gap.
const LEAST_WEIGHT: f64 = 0.001;

/// The first time was wrong if a gap is so much shorter than the mean of the first ones.
const WRONG_START: f64 = 1000.0;

/// A time that is farther back than this, in microseconds, replaces the latest one: that one was wrong, as a sender's
/// whose clock is years ahead. Without this rule, each later value would be at the wrong time, in the wrong season.
const LARGEST_STEP_BACK: u64 = 86_400_000_000;

/// The number of values, their first and last time, and the usual interval between them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Clock {
    /// The number of values.
    samples: u64,
    /// The time of the first value, in microseconds.
    first: u64,
    /// The latest time of a value, in microseconds. It is before the first one while one of both is wrong.
    last: u64,
    /// The mean interval in seconds; 0 while the time does not advance.
    mean_interval: f64,
}

/// A product of doubles that is larger has factors whose exact product is above 1: that needs no division.
const ABOVE_ONE: f64 = 1.000_001;

/// The number of gaps from which on the weight is the least one.
const MANY_GAPS: u64 = 1000;

/// A whole number as a double. Processors convert signed numbers in one instruction, and unsigned ones in eight.
#[inline]
fn rounded(number: u64) -> f64 {
    if number <= i64::MAX as u64 { number as i64 as f64 } else { number as f64 }
}

/// A number of at most [`Clock::MOST`], which a double holds.
#[inline]
fn exact(samples: u64) -> f64 {
    samples as i64 as f64
}

/// The weight of the gap numbered `count`, from 1 on.
#[inline]
fn weight_of_gap(count: u64) -> f64 {
    if count >= MANY_GAPS { LEAST_WEIGHT } else { 1.0 / count.max(1) as f64 }
}

/// The mean interval after a `gap`, the one numbered `count` from 1 on, in seconds. `unit` is the unit of the times.
#[inline]
fn mean_interval(mean: f64, gap: f64, count: u64, unit: f64) -> f64 {
    // Values of one unit share the first gap. Those that had one time for longer say nothing about the interval.
    if mean == 0.0 && gap > unit {
        return gap;
    }
    let is_full = count <= FIRST_GAPS || mean == 0.0;
    let gap = if is_full { gap } else { gap.min((LARGEST_GAP * mean).max(unit)) };
    mean + (gap - mean) * weight_of_gap(count)
}

impl Clock {
    /// The clock of some values, with these first and last times.
    #[inline]
    pub(crate) fn of(samples: u64, [first, last]: [u64; 2], mean_interval: f64) -> Self {
        Self { samples, first, last, mean_interval }
    }

    /// The times of the first and of the latest value, in microseconds.
    #[inline]
    pub(crate) fn times(&self) -> [u64; 2] {
        [self.first, self.last]
    }

    /// Counts a value of time `at`. A time up to a day before the latest one counts as the latest one; an earlier one
    /// replaces it.
    #[inline]
    pub(crate) fn tick(&mut self, at: u64) {
        self.tick_in(LEAST_INTERVAL, at);
    }

    /// [`tick`](Self::tick) for times that are multiples of a unit, in seconds.
    #[inline]
    pub(crate) fn tick_in(&mut self, unit: f64, at: u64) {
        if self.samples > FIRST_GAPS && self.first <= self.last && self.last <= at {
            self.advance(unit, at);
        } else {
            self.tick_rarely(unit, at);
        }
        self.samples = (self.samples + 1).min(Self::MOST);
    }

    /// [`tick_in`](Self::tick_in) for a later time, or the same.
    #[inline]
    fn advance(&mut self, unit: f64, at: u64) {
        let micros = rounded(at.saturating_sub(self.last));
        // The mean of equal gaps does not change. Most periods end here, without a division.
        if self.samples <= FIRST_GAPS || micros != self.mean_interval * SECOND {
            self.add_gap(micros / SECOND, unit);
        }
        self.last = self.last.max(at);
    }

    /// [`tick_in`](Self::tick_in) for any time.
    #[inline(never)]
    fn tick_rarely(&mut self, unit: f64, at: u64) {
        if self.samples == 0 {
            (self.first, self.last) = (at, at);
        } else if self.last.saturating_sub(at) > LARGEST_STEP_BACK {
            self.step_back(at);
        } else if self.first > self.last {
            self.resume(at);
        } else {
            self.advance(unit, at);
        }
    }

    /// Learns the gap before the newest value, in seconds.
    fn add_gap(&mut self, gap: f64, unit: f64) {
        if self.samples <= FIRST_GAPS && self.is_start_wrong(gap) {
            (self.first, self.mean_interval) = (self.last, 0.0);
        }
        self.mean_interval = mean_interval(self.mean_interval, gap, self.samples, unit);
    }

    /// Whether one of the first gaps led from a wrong time, such as that of a device which boots in 1970, to the right
    /// one. It shows with the gap after it.
    #[inline]
    fn is_start_wrong(&self, gap: f64) -> bool {
        gap > 0.0 && WRONG_START * gap < self.mean_interval && self.age() > LARGEST_STEP_BACK
    }

    /// [`tick_in`](Self::tick_in) for times in whole seconds, which are `first`, `last` and `now`, and a unit of a
    /// second: the mean interval, if the times need none of its rules. The seconds are exact doubles, so it is equal.
    #[inline]
    pub(crate) fn usual_interval(samples: u64, [first, last, now]: [u32; 3], mean_interval: f64) -> Option<f64> {
        const STEP_BACK: u32 = (LARGEST_STEP_BACK / 1_000_000) as u32;
        let is_usual = samples > FIRST_GAPS && first <= last && last.saturating_sub(now) <= STEP_BACK;
        is_usual.then(|| self::mean_interval(mean_interval, now.saturating_sub(last).into(), samples, 1.0))
    }

    /// Continues from `at`, because the latest time was wrong: the gap to it does not count. The first gaps count in
    /// full, so they are measured again. A later one counted as four intervals: with two senders whose clocks are days
    /// apart, every second gap is such a one.
    #[cold]
    fn step_back(&mut self, at: u64) {
        self.last = at;
        if self.samples == 1 {
            self.first = at;
        } else if self.samples > FIRST_GAPS + 1 {
            self.mean_interval /= 1.0 + (LARGEST_GAP - 1.0) * weight_of_gap(self.samples - 1);
        } else if at >= self.first {
            self.mean_interval = (at - self.first) as f64 / SECOND / self.samples as f64;
        }
    }

    /// Continues from a time before the first one: either that time was wrong, or, if the next is before the first one
    /// too, the first.
    #[cold]
    fn resume(&mut self, at: u64) {
        if at < self.first {
            self.first = self.last.min(at);
        }
        self.last = self.last.max(at);
    }

    /// The number of values of a [warm](Self::is_warm) state.
    pub(crate) const WARM: u64 = 20;

    /// The largest number of values that is counted, which a double holds exactly.
    const MOST: u64 = 1 << 48;

    /// The number of values.
    #[inline]
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }

    /// The number of values before the newest one.
    #[inline]
    pub(crate) fn earlier(&self) -> f64 {
        exact(self.samples.saturating_sub(1))
    }

    /// Whether there were enough values before the newest one for a score and for limits of what one value teaches.
    #[inline]
    pub(crate) fn is_warm(&self) -> bool {
        self.samples > Self::WARM
    }

    /// The latest time, in microseconds.
    #[inline]
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// The mean interval in seconds; 0 while the time does not advance.
    #[inline]
    pub(crate) fn mean_interval(&self) -> f64 {
        self.mean_interval
    }

    /// The mean interval in seconds, never 0.
    #[inline]
    pub(crate) fn interval(&self) -> f64 {
        if self.mean_interval > 0.0 { larger(self.mean_interval, LEAST_INTERVAL) } else { USUAL_INTERVAL }
    }

    /// The weight of one value in an exponentially weighted mean over `span` seconds. During the first values it is
    /// that of a plain mean, which corrects the bias of the start.
    #[inline]
    pub(crate) fn weight(&self, span: f64) -> f64 {
        self.at_least(smaller(self.interval() / span, 1.0), 1.0)
    }

    /// The larger of a share and that of so many of the values: once there are many, without a division.
    #[inline]
    pub(crate) fn at_least(&self, share: f64, values: f64) -> f64 {
        let samples = exact(self.samples.max(1));
        if share * samples > ABOVE_ONE * values { share } else { larger(share, values / samples) }
    }

    /// The time since the first value, in microseconds.
    #[inline]
    pub(crate) fn age(&self) -> u64 {
        self.last.saturating_sub(self.first)
    }

    pub(crate) fn save(&self, words: &mut WordWriter<'_>) {
        words.extend([self.samples, self.first, self.last, self.mean_interval.to_bits()]);
    }

    pub(crate) fn restore(words: &mut Words<'_>) -> Result<Self, RestoreError> {
        let clock = Self {
            samples: words.next("samples")?,
            first: words.next("first time")?,
            last: words.next("last time")?,
            mean_interval: words.finite("interval")?,
        };
        if clock.samples > Self::MOST {
            return Err(RestoreError::invalid("samples", clock.samples));
        }
        if clock.samples < 2 && clock.last != clock.first {
            return Err(RestoreError::invalid("last time", clock.last));
        }
        // No gap is longer than the range of the time.
        if !(0.0..=u64::MAX as f64 / SECOND).contains(&clock.mean_interval) {
            return Err(RestoreError::invalid("interval", clock.mean_interval.to_bits()));
        }
        if clock.samples == 0 && clock != Self::default() {
            return Err(RestoreError::invalid("samples", 0));
        }
        Ok(clock)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn after(times: impl IntoIterator<Item = u64>) -> Clock {
        let mut clock = Clock::default();
        times.into_iter().for_each(|seconds| clock.tick(seconds * 1_000_000));
        clock
    }

    #[test]
    fn an_outage_and_a_time_that_goes_back_hardly_change_the_interval() {
        let regular = || (0..1000).map(|n| n * 60);
        assert_eq!(after(regular()).interval(), 60.0);
        let late = after(regular().chain([999 * 60 + 1_000_000]));
        assert!((60.0..60.3).contains(&late.interval()), "{late:?}");
        let back = after(regular().chain([0]));
        assert!((59.8..60.0).contains(&back.interval()), "{back:?}");
        assert_eq!((back.last(), back.age()), (999 * 60_000_000, 999 * 60_000_000));
    }

    #[test]
    fn one_time_in_the_far_future_is_not_believed_after_the_next() {
        for wrong in [0, 5, 500] {
            let clock = after((0..1000).map(|n| if n == wrong { 4_000_000_000 } else { 100_000 + n * 60 }));
            assert_eq!(clock.last(), 159_940_000_000, "{wrong}");
            assert!(clock.age() >= 59_000_000_000 && clock.age() < 60_000_000_000, "{wrong}: {clock:?}");
            assert!((58.0..60.5).contains(&clock.interval()), "{wrong}: {clock:?}");
        }
        for wrong in [5, 500, 999] {
            let clock = after((0..1000).map(|n| if n == wrong { 0 } else { 1_000_000 + n * 60 }));
            let last: u64 = if wrong == 999 { 0 } else { 1_059_940_000_000 };
            assert_eq!(
                (clock.last(), clock.first, clock.age()),
                (last, 1_000_000_000_000, last.saturating_sub(clock.first))
            );
            assert!((58.0..60.5).contains(&clock.interval()), "{wrong}: {clock:?}");
        }
    }

    #[test]
    fn a_time_that_stands_still_counts_as_a_value_a_minute() {
        let clock = after([5; 30]);
        assert_eq!((clock.mean_interval(), clock.interval(), clock.age()), (0.0, 60.0, 0));
        assert_eq!([6000.0, 600.0, 6.0].map(|span| clock.weight(span)), [1.0 / 30.0, 0.1, 1.0]);
    }

    #[test]
    fn a_first_time_long_ago_is_not_believed_after_the_next_two() {
        for wrong in [1, 3, 15] {
            let clock = after((0..1000).map(|n| if n < wrong { n } else { 1_700_000_000 + n * 60 }));
            assert_eq!(clock.age(), (999 - wrong) * 60_000_000, "{wrong}");
            assert!((50.0..60.5).contains(&clock.interval()), "{wrong}: {clock:?}");
        }
    }

    #[test]
    fn the_first_gap_after_a_time_that_stood_still_is_the_interval() {
        for still in [2, 20, 5000] {
            let clock = after((0..still).map(|_| 100).chain([400, 700, 1000]));
            assert!((295.0..=300.0).contains(&clock.interval()), "{still}: {clock:?}");
        }
    }

    #[test]
    fn clocks_that_are_days_apart_have_the_interval_of_each() {
        for apart in [100_000, 1_000_000, 1_000_000_000] {
            for order in [[0, apart], [apart, 0]] {
                let clock = after((0..20_000).flat_map(|n| order.map(|ahead| 1_000_000 + n * 60 + ahead)));
                assert!((25.0..65.0).contains(&clock.interval()), "{order:?}: {clock:?}");
            }
        }
    }

    #[test]
    fn the_usual_interval_is_that_of_the_rules() {
        let (mut clock, mut usual, mut now) = (Clock::default(), 0, 1_000_000u32);
        for n in 0..6000u32 {
            // Values of one second, an outage, and senders whose clocks are wrong.
            now += if n % 7 == 3 { 0 } else { 60 } + if n % 1000 == 400 { 86_400 } else { 0 };
            let at = match n % 500 {
                100 | 200 => now - 50_000,
                300 => 5,
                450 => u32::MAX - n,
                _ => now,
            };
            let before = clock;
            clock.tick_in(1.0, u64::from(at) * 1_000_000);
            let [first, last] = before.times().map(|time| (time / 1_000_000) as u32);
            if let Some(interval) = Clock::usual_interval(before.samples, [first, last, at], before.mean_interval) {
                let after = [first, last.max(at)].map(|seconds| u64::from(seconds) * 1_000_000);
                assert_eq!((interval, after), (clock.mean_interval, clock.times()), "value {n} at {at}");
                usual += 1;
            }
        }
        assert!((5900..5980).contains(&usual), "{usual}: the far times need the rules");
    }

    #[test]
    fn impossible_times_are_refused() {
        let mut words = Vec::new();
        after([5, 65]).save(&mut WordWriter::new(&mut words));
        assert_eq!(Clock::restore(&mut Words::new(&words)), Ok(after([5, 65])));
        for (index, word) in [(0, 0), (0, 1), (0, u64::MAX), (3, f64::NAN.to_bits()), (3, (-1f64).to_bits())] {
            let mut words = words.clone();
            words[index] = word;
            assert!(Clock::restore(&mut Words::new(&words)).is_err(), "word {index} as {word}");
        }
    }

    #[test]
    fn a_share_without_a_division_is_the_same() {
        for (share, values) in [(1.0 / 120.0, 1.0), (0.2 / 1440.0, 5.0), (1.0, 1.0), (1e-9, 1.0)] {
            for samples in (1..20_000).chain([1 << 40]) {
                let found = Clock::of(samples, [0, 0], 60.0).at_least(share, values);
                assert_eq!(found, share.max(values / samples as f64), "{share} after {samples} values");
            }
        }
    }

    #[test]
    fn a_gap_of_the_mean_interval_changes_no_bit() {
        let mut equal = 0;
        for micros in (0..5_000_000u64).step_by(997).chain([60_000_000, 300_000_000, 604_800_000_001]) {
            let (micros, gap) = (micros as f64, micros as f64 / SECOND);
            for mean in [gap, gap.next_up(), gap.next_down()].into_iter().filter(|mean| mean * SECOND == micros) {
                assert_eq!(mean_interval(mean, gap, FIRST_GAPS + 1, LEAST_INTERVAL), mean, "{micros}");
                equal += 1;
            }
        }
        assert!(equal > 5000, "{equal}");
    }
}
