//! `DSTimeAvg[:range]`: the mean over time of a value that holds until the next sample.
//!
//! ```text
//! mean(now) = (x1 * (t2 - t1) + x2 * (t3 - t2) + ... + xn * (now - tn)) / (now - t1)
//! ```
//!
//! | | |
//! |---|---|
//! | source | the mean of a step function; the weighted update of D. H. D. West, "Updating mean and variance estimates: an improved method", CACM 22(9), 1979 |
//! | unit and type | as the metric; a double for every metric |
//! | range | from the smallest to the largest sample |
//! | error | at most `6 * n * 2^-53 * M` for n samples of size M at most |
//! | memory | 40 bytes an object; over a window 8 bytes and about 12 KiB |
//! | cost | a division for each sample, one for each result; over a window amortised constant |
//!
//! Use it for a state that is reported when it changes, such as the length of a queue: the plain mean counts a value
//! that held for an hour as much as one that held for a second. The newest value counts until the time of the result,
//! which for a period is its end; the time before the first sample is not known and does not count. At the time of the
//! first sample the mean is the newest value. A sample that is older than the newest one adds nothing, so after one
//! sample of a time in the far future none does, until the time has come: see `algorithm/readings.rs`.
//!
//! States do not merge: which value held at a time depends on the samples of both.

use crate::algorithm::fixed::{FixedState, ensure, state_is_fixed};
use crate::algorithm::range::{RANGE, built, explain_window};
use crate::algorithm::{Algorithm, Sample, UpdateError, Windowed};
use crate::entry::{Claims, Entry, Field, NumberKind, Role, Roles, Unit};
use crate::number::{Number, Numeric};
use crate::record::Record;
use crate::report::{Flaw, Report};
use crate::saved::RestoreError;

/// The menu entry of `DSTimeAvg`.
pub(crate) static ENTRY: Entry =
    Entry::new("DSTimeAvg", Roles::AGGREGATE, SUMMARY, |given| built(given, 0, TimeAverage))
        .arguments(&[RANGE])
        .number(&[Field::number("value", NumberKind::F64, Unit::Metric, "the mean over time").role_of(Role::Value)])
        .explained(|given, _| {
            let mut explanation = explain_window(given, 0, "the mean over time", "the mean over time of the last");
            explanation.sentence.push_str(", in which each sample holds until the next");
            explanation
        })
        .claims(Claims { merges: false, order_insensitive: false, within_samples: true, scales: true });

const SUMMARY: &str = "the mean over time, in which each sample holds until the next";

/// The mean over time, in which each sample holds until the next.
///
/// 40 bytes an object. A sample that is older than the newest one adds nothing, so after one sample of a time in the
/// far future none does: check the times, or start with a new state.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut queue = Pipeline::parse("raw:DSTimeAvg")?;
/// queue.update(0, Number::U64(100))?;
/// queue.update(1_000_000, Number::U64(0))?;
/// // 100 for one second, 0 for three.
/// let result = queue.report(4_000_000).forced().expect("a result after the first sample");
/// assert_eq!(result.value(), Some(Number::F64(25.0)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TimeAverage;

/// The mean until the newest sample, and that sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TimeAverageState<T> {
    /// The mean from `start` to `at`; 0 while they are equal.
    mean: f64,
    newest: T,
    /// The time of the first sample.
    start: u64,
    /// The time of the newest sample.
    at: u64,
    flags: u64,
}

/// The state has taken a sample.
const SAMPLED: u64 = 1;
/// A sample was the bound of an overflowed sum.
const OVERFLOWED: u64 = 2;

impl<T: Numeric> TimeAverageState<T> {
    /// The mean from the start to `end`, at which or before which the newest sample was taken.
    #[inline]
    fn mean_until(&self, end: u64) -> f64 {
        weighted(self.mean, self.newest.to_f64(), end.saturating_sub(self.at), end.saturating_sub(self.start))
    }
}

/// The mean over `whole` microseconds, of which `x` is the mean of the last `part` and `mean` that of the time before.
#[inline]
fn weighted(mean: f64, x: f64, part: u64, whole: u64) -> f64 {
    if part == 0 {
        return mean;
    }
    let share = part as f64 / whole as f64;
    let distance = x - mean;
    // The difference of two values of other signs may be too large for a double.
    if distance.is_finite() { mean + share * distance } else { (1.0 - share) * mean + share * x }
}

impl<T: Numeric> FixedState<5> for TimeAverageState<T> {
    const FIELDS: [&'static str; 5] = ["mean", "newest sample", "time of the first", "time of the newest", "flags"];

    #[inline]
    fn words(&self) -> [u64; 5] {
        [self.mean.to_bits(), self.newest.to_bits(), self.start, self.at, self.flags]
    }

    #[inline]
    fn from_words([mean, newest, start, at, flags]: [u64; 5]) -> Self {
        Self { mean: f64::from_bits(mean), newest: T::from_bits(newest), start, at, flags }
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.flags & SAMPLED == 0
    }

    fn check(&self) -> Result<(), RestoreError> {
        let [mean, newest, ..] = self.words();
        ensure(self.at >= self.start, "time of the newest", self.at)?;
        ensure(self.mean.is_finite() && (self.at > self.start || mean == 0), "mean", mean)?;
        ensure(self.newest.to_f64().is_finite(), "newest sample", newest)?;
        let is_start = !self.is_empty() || self.words() == [0; 5];
        ensure(is_start && self.flags <= SAMPLED | OVERFLOWED, "flags", self.flags)
    }
}

impl<T: Numeric> Algorithm<T> for TimeAverage {
    state_is_fixed!(TimeAverageState<T>, 5);

    #[inline]
    fn update(&self, state: &mut TimeAverageState<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        if state.is_empty() {
            (state.start, state.at) = (sample.at, sample.at);
        } else if sample.at < state.at {
            return Ok(());
        }
        state.mean = state.mean_until(sample.at);
        (state.newest, state.at) = (sample.value, sample.at);
        state.flags |= SAMPLED | (OVERFLOWED * u64::from(sample.overflowed));
        Ok(())
    }

    fn report(&self, state: &TimeAverageState<T>, now: u64) -> Report<Record> {
        if state.is_empty() {
            return Report::NotReady(None);
        }
        let end = now.max(state.at);
        let mean = if end == state.start { state.newest.to_f64() } else { state.mean_until(end) };
        let flaw = (state.flags & OVERFLOWED != 0).then_some(Flaw::Overflow);
        Report::Value(Record::new([Number::F64(mean)]).flawed(flaw))
    }
}

impl<T: Numeric> Windowed<T> for TimeAverage {
    fn append(&self, state: &mut TimeAverageState<T>, later: &TimeAverageState<T>) {
        if later.is_empty() || state.is_empty() {
            *state = if later.is_empty() { *state } else { *later };
            return;
        }
        let mean = state.mean_until(later.start.max(state.at));
        let (part, whole) = (later.at.saturating_sub(later.start), later.at.saturating_sub(state.start));
        state.mean = weighted(mean, later.mean, part, whole);
        (state.newest, state.at) = (later.newest, later.at.max(state.at));
        state.flags |= later.flags;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn after(samples: &[(u64, i64)]) -> TimeAverageState<i64> {
        let mut state = Algorithm::<i64>::start(&TimeAverage);
        for &(second, value) in samples {
            TimeAverage.update(&mut state, Sample::new(second * SECOND, value)).expect("every value is a sample");
        }
        state
    }

    fn mean(state: &TimeAverageState<i64>, second: u64) -> Option<Number> {
        TimeAverage.report(state, second * SECOND).forced()?.get(0)
    }

    /// The contract of times: see the top.
    #[test]
    fn a_time_in_the_far_future_is_believed_until_it_has_come() {
        let mut state = Algorithm::<u64>::start(&TimeAverage);
        for (at, value) in [(0, 4u64), (1 << 60, 4), (10, 400), (20, 400)] {
            TimeAverage.update(&mut state, Sample::new(at, value)).expect("every value is a sample");
        }
        assert_eq!(TimeAverage.report(&state, 30), Report::Value(Record::new([Number::F64(4.0)])));
        TimeAverage.update(&mut state, Sample::new(1 << 61, 10)).expect("every value is a sample");
        assert_eq!(TimeAverage.report(&state, (1 << 61) + (1 << 60)), Report::Value(Record::new([Number::F64(6.0)])));
    }

    #[test]
    fn a_value_counts_as_long_as_it_holds() {
        let state = after(&[(10, 6), (12, -3), (16, 3)]);
        // 6 for 2 s, -3 for 4 s, then 3.
        assert_eq!(mean(&state, 0), Some(Number::F64(0.0)), "at the time of the newest sample");
        assert_eq!(mean(&state, 16), Some(Number::F64(0.0)));
        assert_eq!(mean(&state, 22), Some(Number::F64(1.5)));
        assert_eq!(mean(&after(&[]), 9), None);
    }

    #[test]
    fn at_the_time_of_the_first_sample_the_newest_one_is_the_mean() {
        let state = after(&[(10, 6), (10, 8)]);
        assert_eq!((mean(&state, 10), mean(&state, 11)), (Some(Number::F64(8.0)), Some(Number::F64(8.0))));
    }

    #[test]
    fn a_sample_older_than_the_newest_adds_nothing() {
        assert_eq!(after(&[(10, 6), (12, 3), (11, 100)]), after(&[(10, 6), (12, 3)]));
    }

    #[test]
    fn appended_states_are_those_of_all_samples() {
        let samples = [(10, 6), (12, -3), (16, 3), (16, 5), (19, 9)];
        for cut in 0..=samples.len() {
            let (earlier, later) = samples.split_at(cut);
            let mut state = after(earlier);
            TimeAverage.append(&mut state, &after(later));
            for second in [19, 25] {
                let (found, expected) = (mean(&state, second), mean(&after(&samples), second));
                let error = (found.unwrap().as_f64() - expected.unwrap().as_f64()).abs();
                assert!(error < 1e-14, "{found:?} for {expected:?}, cut at {cut}");
            }
        }
    }

    #[test]
    fn the_mean_of_the_largest_doubles_is_finite() {
        let mut state: TimeAverageState<f64> = TimeAverage.start();
        for (at, value) in [(0, f64::MAX), (SECOND, f64::MIN)] {
            TimeAverage.update(&mut state, Sample::new(at, value)).expect("every value is a sample");
        }
        let mean = TimeAverage.report(&state, 2 * SECOND).forced().and_then(|record| record.get(0));
        assert_eq!(mean, Some(Number::F64(0.0)));
    }
}
