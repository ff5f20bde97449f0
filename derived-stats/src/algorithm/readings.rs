//! The readings of a cumulative counter: the state of `DSIncrease` and `DSRate`.
//!
//! ```text
//! step(from, to) = to - from, or to if it is lower: the counter was reset
//! increase       = step(x1, x2) + step(x2, x3) + ... + step(x(n-1), xn)
//! ```
//!
//! The rules are those for the counters of a metric with `metric="agg"` in `proxy-uve`, for one series: the first
//! reading is a baseline, because the time of its growth is not known; a lower reading means that the counter was
//! reset, and is itself the increase; a reading older than the newest one, or lower at the same time, adds nothing.
//!
//! Times are believed. After one reading of a time in the far future, all later ones are older and add nothing, until
//! the time has come or the period ends; `DSTimeAvg` has the same rule. To believe such a time only when a second
//! reading confirms it, a state would hold a reading more, and report each increase one reading late after an outage.
//! Check times where they enter, as `proxy-uve` does (`allowed_skew`), or replace the state by a new one.

use crate::algorithm::Sample;
use crate::algorithm::fixed::{FixedState, ensure};
use crate::algorithm::tally::MAX_SAMPLES;
use crate::number::Numeric;
use crate::report::Flaw;
use crate::saved::RestoreError;

/// The first and the newest reading of a counter, and the increase between them: 48 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Readings<T> {
    first: T,
    first_at: u64,
    newest: T,
    newest_at: u64,
    increase: T,
    /// The number of readings; in the lowest bit whether the increase is the bound of its type, and in the highest
    /// whether it is that of counters whose readings the caller keeps. Then `first` and `newest` are not used.
    packed: u64,
}

const OVERFLOWED: u64 = 1;
const READING: u64 = 2;
const INCREASES: u64 = 1 << 63;

impl<T: Numeric> Readings<T> {
    /// Takes a reading.
    #[inline]
    pub(crate) fn add(&mut self, sample: Sample<T>) {
        let Sample { at, value, overflowed } = sample;
        if self.is_empty() {
            (self.first, self.first_at) = (value, at);
        } else if at < self.newest_at || (at == self.newest_at && value < self.newest) {
            return;
        } else {
            self.step_to(value);
        }
        (self.newest, self.newest_at) = (value, at);
        self.count(READING | u64::from(overflowed));
    }

    /// Takes the increase of a counter since its reading of time `since`.
    #[inline]
    pub(crate) fn add_increase(&mut self, since: u64, increase: Sample<T>) {
        let Sample { at, value, overflowed } = increase;
        let since = since.min(at);
        // The first increase is that between two readings.
        let readings = if self.is_empty() { 2 * READING } else { READING };
        self.first_at = if self.is_empty() { since } else { since.min(self.first_at) };
        self.newest_at = at.max(self.newest_at);
        self.increase_by(value);
        self.count(readings | INCREASES | u64::from(overflowed));
    }

    /// Appends readings that are newer than all of these.
    pub(crate) fn append(&mut self, later: &Self) {
        if later.is_empty() || self.is_empty() {
            *self = if later.is_empty() { *self } else { *later };
            return;
        }
        // The first increase includes the step from the reading before it.
        if !later.is_of_increases() {
            self.step_to(later.first);
        }
        self.increase_by(later.increase);
        self.first_at = self.first_at.min(later.first_at);
        (self.newest, self.newest_at) = (later.newest, later.newest_at);
        self.count(later.packed);
    }

    /// The increase between the first and the newest reading; `None` before the second.
    #[inline]
    pub(crate) fn increase(&self) -> Option<T> {
        (self.packed & !INCREASES >= 2 * READING).then_some(self.increase)
    }

    /// Whether the increase is that of counters whose readings the caller keeps.
    #[inline]
    pub(crate) fn is_of_increases(&self) -> bool {
        self.packed & INCREASES != 0
    }

    /// The microseconds between the first and the newest reading.
    #[inline]
    pub(crate) fn micros(&self) -> u64 {
        self.newest_at.saturating_sub(self.first_at)
    }

    /// The flaw of a result.
    #[inline]
    pub(crate) fn flaw(&self) -> Option<Flaw> {
        (self.packed & OVERFLOWED != 0).then_some(Flaw::Overflow)
    }

    #[inline]
    fn step_to(&mut self, reading: T) {
        if reading < self.newest {
            return self.increase_by(reading);
        }
        let (step, overflowed) = reading.saturating_difference(self.newest);
        self.increase_by(step);
        self.packed |= u64::from(overflowed);
    }

    /// Adds to the increase. It stays at the bound that it reached.
    #[inline]
    fn increase_by(&mut self, step: T) {
        if self.packed & OVERFLOWED == 0 {
            let (increase, overflowed) = self.increase.saturating_sum(step);
            self.increase = increase;
            self.packed |= u64::from(overflowed);
        }
    }

    #[inline]
    fn count(&mut self, packed: u64) {
        let readings = (readings(self.packed) + readings(packed)).min(MAX_SAMPLES);
        self.packed = (readings * READING) | (self.packed | packed) & (OVERFLOWED | INCREASES);
    }
}

/// The number of readings.
fn readings(packed: u64) -> u64 {
    (packed & !INCREASES) / READING
}

impl<T: Numeric> FixedState<6> for Readings<T> {
    const FIELDS: [&'static str; 6] =
        ["first reading", "time of the first", "newest reading", "time of the newest", "increase", "readings"];

    #[inline]
    fn words(&self) -> [u64; 6] {
        let [first, newest, increase] = [self.first, self.newest, self.increase].map(T::to_bits);
        [first, self.first_at, newest, self.newest_at, increase, self.packed]
    }

    #[inline]
    fn from_words([first, first_at, newest, newest_at, increase, packed]: [u64; 6]) -> Self {
        let [first, newest, increase] = [first, newest, increase].map(T::from_bits);
        Self { first, first_at, newest, newest_at, increase, packed }
    }

    #[inline]
    fn is_empty(&self) -> bool {
        readings(self.packed) == 0
    }

    fn check(&self) -> Result<(), RestoreError> {
        let [first, _, newest, newest_at, increase, packed] = self.words();
        let finite = |value: T, field, word| ensure(value.to_f64().is_finite(), field, word);
        finite(self.first, "first reading", first)?;
        finite(self.newest, "newest reading", newest)?;
        finite(self.increase, "increase", increase)?;
        ensure(self.newest_at >= self.first_at, "time of the newest", newest_at)?;
        let is_start = !self.is_empty() || self.words() == [0; 6];
        ensure(is_start && readings(packed) <= MAX_SAMPLES, "readings", packed)?;
        ensure(!self.is_of_increases() || readings(packed) >= 2, "readings", packed)?;
        if packed < 2 * READING {
            // The first reading is the newest one.
            ensure(newest == first, "newest reading", newest)?;
            ensure(newest_at == self.first_at, "time of the newest", newest_at)?;
            ensure(increase == 0, "increase", increase)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings<T: Numeric>(samples: &[(u64, T)]) -> Readings<T> {
        let mut readings = Readings::default();
        samples.iter().for_each(|&(at, value)| readings.add(Sample::new(at, value)));
        readings
    }

    #[test]
    fn the_first_reading_is_a_baseline_and_a_lower_one_a_reset() {
        let increase = |samples: &[(u64, u64)]| readings(samples).increase();
        assert_eq!(increase(&[]), None);
        assert_eq!(increase(&[(0, 700)]), None);
        assert_eq!(increase(&[(0, 700), (1, 700)]), Some(0));
        assert_eq!(increase(&[(0, 700), (1, 710), (2, 3), (3, 5)]), Some(10 + 3 + 2));
    }

    #[test]
    fn a_reading_that_is_older_or_lower_at_the_same_time_adds_nothing() {
        let before = readings(&[(5, 700u64), (9, 710)]);
        let mut after = before;
        after.add(Sample::new(8, 705));
        after.add(Sample::new(9, 709));
        assert_eq!(after, before);
        after.add(Sample::new(9, 712));
        assert_eq!((after.increase(), after.micros()), (Some(12), 4));
    }

    /// The contract of times: see the top.
    #[test]
    fn a_time_in_the_far_future_is_believed_until_it_has_come() {
        let mut after = readings(&[(5, 700u64), (9, 710), (1 << 60, 720u64)]);
        let before = after;
        for second in 10..1000 {
            after.add(Sample::new(second, 800));
        }
        assert_eq!((after, after.increase()), (before, Some(20)));
        after.add(Sample::new((1 << 60) + 1, 800));
        assert_eq!(after.increase(), Some(100));
        let mut new = Readings::default();
        [(1000, 800u64), (1001, 801)].into_iter().for_each(|(at, value)| new.add(Sample::new(at, value)));
        assert_eq!(new.increase(), Some(1), "a new state continues");
    }

    #[test]
    fn an_increase_beyond_the_type_stays_at_the_bound() {
        let large = readings(&[(0, i64::MIN), (1, i64::MAX), (2, 5)]);
        assert_eq!((large.increase(), large.flaw()), (Some(i64::MAX), Some(Flaw::Overflow)));
        let sum = readings(&[(0, 0), (1, u64::MAX), (2, 7), (3, 8)]);
        assert_eq!((sum.increase(), sum.flaw()), (Some(u64::MAX), Some(Flaw::Overflow)));
    }

    #[test]
    fn appended_readings_have_the_increase_of_all() {
        let samples = [(0, 700u64), (1, 710), (2, 3), (3, 5), (3, 9)];
        for cut in 0..=samples.len() {
            let (earlier, later) = samples.split_at(cut);
            let mut appended = readings(earlier);
            appended.append(&readings(later));
            assert_eq!(appended, readings(&samples), "cut at {cut}");
        }
    }

    fn increases(increases: &[(u64, u64, u64)]) -> Readings<u64> {
        let mut readings = Readings::default();
        let add = |&(since, at, value): &(u64, u64, u64)| readings.add_increase(since, Sample::new(at, value));
        increases.iter().for_each(add);
        readings
    }

    #[test]
    fn the_increases_of_one_counter_are_those_of_its_readings() {
        let of_readings = readings(&[(4, 700u64), (9, 710), (12, 3)]);
        let of_increases = increases(&[(4, 9, 10), (9, 12, 3)]);
        assert_eq!((of_increases.increase(), of_increases.micros()), (Some(13), 8));
        assert_eq!((of_readings.increase(), of_readings.micros()), (Some(13), 8));
        assert_eq!([of_readings, of_increases].map(|readings| readings.is_of_increases()), [false, true]);
    }

    #[test]
    fn increases_of_many_counters_add_up_in_any_order_and_in_buckets() {
        let all = [(4, 9, 10), (2, 8, 7), (9, 12, 3), (8, 20, 0)];
        let whole = increases(&all);
        assert_eq!((whole.increase(), whole.micros(), whole.flaw()), (Some(20), 18, None));
        assert_eq!(increases(&[all[2], all[0], all[3], all[1]]).increase(), Some(20));
        for cut in 0..=all.len() {
            let (earlier, later) = all.split_at(cut);
            let mut appended = increases(earlier);
            appended.append(&increases(later));
            assert_eq!((appended.increase(), appended.micros()), (Some(20), 18), "cut at {cut}");
        }
        let bound = increases(&[(0, 1, u64::MAX), (0, 2, 1), (2, 3, 5)]);
        assert_eq!((bound.increase(), bound.flaw()), (Some(u64::MAX), Some(Flaw::Overflow)));
        assert_eq!(increases(&[(9, 4, 1)]).micros(), 0, "a counter is not read before itself");
    }

    #[test]
    fn increases_follow_the_readings_of_a_state_of_an_earlier_release() {
        let mut state = readings(&[(4, 700u64), (9, 710)]);
        state.add_increase(9, Sample::new(12, 5));
        assert_eq!((state.increase(), state.micros()), (Some(15), 8));
        let mut bucket = readings(&[(4, 700u64), (9, 710)]);
        bucket.append(&increases(&[(9, 12, 5)]));
        assert_eq!((bucket.increase(), bucket.micros()), (Some(15), 8));
    }

    #[test]
    fn saved_readings_that_no_samples_lead_to_are_refused() {
        let words = readings(&[(4, 700u64), (9, 710)]).words();
        let check = |index: usize, word| {
            let mut words = words;
            words[index] = word;
            match Readings::<u64>::from_words(words).check() {
                Err(RestoreError::Invalid { field, .. }) => Some(field),
                _ => None,
            }
        };
        assert_eq!(check(0, 700), None);
        assert_eq!(check(3, 3), Some("time of the newest"));
        assert_eq!(check(5, 0), Some("readings"));
        assert_eq!(check(5, READING), Some("newest reading"));
        assert_eq!(check(5, INCREASES | READING), Some("readings"));
        assert_eq!(check(5, INCREASES | (2 * READING)), None);
        assert_eq!(check(5, (MAX_SAMPLES + 1) * READING), Some("readings"));
        let one = readings(&[(4, 700u64)]).words();
        let check_one = |index: usize, word: u64| {
            let mut words = one;
            words[index] = word;
            Readings::<u64>::from_words(words).check().is_ok()
        };
        assert!(check_one(0, 700) && !check_one(0, 699) && !check_one(3, 5) && !check_one(4, 1));
        assert_eq!(check(5, (MAX_SAMPLES + 1) * READING), Some("readings"));
    }
}
