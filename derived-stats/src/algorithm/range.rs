//! Sliding windows, such as that of `DSSum:3600`: the samples of the last `range` seconds, in at most 256 buckets.
//!
//! ```text
//! window(now) = the samples of all buckets b with bucket(b + range) > now
//! ```
//!
//! Any algorithm whose states merge can slide ([`Ranged`]): a bucket is one of its states.
//!
//! | | |
//! |---|---|
//! | unit and type | those of the algorithm; `range` in seconds |
//! | error | time: a sample leaves up to two buckets early, of 1/256 to 1/128 of the range; otherwise that of the algorithm's merge |
//! | memory | 8 bytes an object, and from the first sample on up to 257 buckets: 8 bytes and a state |
//! | cost | amortised constant for each sample: each bucket is merged twice; three merges for a read, one for each bucket if some have expired since the newest sample |
//!
//! Time is divided into buckets of 2^s microseconds, where s is the least number with 2^(s+8) >= range. A bucket
//! expires when time reaches the bucket that contains its start plus the range. The rule is that of the original
//! (`derived_stats_algo.h`) without its defects. In the original, a range above 1073 s overflows an `int` and keeps
//! thousands of buckets; buckets expire only on update, so an object without samples keeps its last sum; time 0 means
//! "never"; and a sample that is older than the previous one moves the window. Here time 0 is a time, buckets also
//! expire on reads, and a sample of an older bucket is refused and counted.
//!
//! Times are believed: after a sample of a time in the far future, later ones are refused with an error until the time has
//! come, as `algorithm/readings.rs` describes with the remedy.
//!
//! Storing buckets instead of samples bounds the memory.

mod buckets;
mod windowed;

use crate::entry::{Argument, ArgumentError, ArgumentKind, Explanation, Given};
use crate::number::Number;

pub(crate) use self::windowed::built;
pub use self::windowed::{RangeState, Ranged, Windowed};

/// The length of a sliding window, as an argument.
pub(crate) const RANGE: Argument = Argument::optional(
    "range",
    ArgumentKind::Whole { least: 0, most: u32::MAX as u64 },
    "a range in whole seconds, 0 (no range) to 4294967295",
    "3600",
)
.absent_is(0);

/// Reads the argument [`RANGE`] at `index`; `None` without a range, which an annotation writes as no argument or as 0.
pub(crate) fn window(given: &Given<'_>, index: usize) -> Result<Option<Range>, ArgumentError> {
    match given.whole(index) {
        None | Some(0) => Ok(None),
        Some(seconds) => Range::from_seconds(seconds).map(Some).map_err(ArgumentError::other),
    }
}

/// The text of `explain` for an algorithm with an optional window, whose argument is at `index`: `whole` without a
/// window, else `windowed` and its length.
pub(crate) fn explain_window(given: &Given<'_>, index: usize, whole: &str, windowed: &str) -> Explanation {
    let Ok(Some(range)) = window(given, index) else {
        return Explanation::new(whole);
    };
    let (seconds, bucket) = (range.seconds(), range.bucket_micros());
    let line = alloc::format!(
        "slides in buckets of {bucket} us; not ready before {seconds} s have passed since the first sample, and samples \
         must come in order of buckets"
    );
    Explanation::new(alloc::format!("{windowed} {seconds} s"))
        .line("window", line)
        .fact("window", "seconds", Number::U64(seconds))
        .fact("window", "bucket_micros", Number::U64(bucket))
}

/// The text of `explain` for an algorithm that compares the readings of counters.
pub(crate) fn explain_readings(given: &Given<'_>, index: usize, whole: &str, windowed: &str) -> Explanation {
    const SOURCES: &str = "the daemon compares each reading with the last one of its source, also over the ends of \
                           periods, and adds up the increases; the first reading of a source adds nothing";
    let explanation = explain_window(given, index, whole, windowed).line("sources", SOURCES);
    match window(given, index) {
        Ok(Some(range)) => explanation.line(
            "readings",
            alloc::format!(
                "`eval` takes all for one source, and compares the first and the newest inside the window: there \
                 readings must come at least every {} s",
                range.seconds() / 2
            ),
        ),
        _ => explanation,
    }
}

/// A window of whole seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Range {
    micros: u64,
    shift: u32,
}

/// A range that is not between 1 and 4,294,967,295 seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a range is 1 to 4294967295 whole seconds")]
pub struct RangeError;

impl Range {
    /// A window of `seconds`, from 1 to 2^32-1.
    ///
    /// # Errors
    ///
    /// [`RangeError`] outside that.
    pub fn from_seconds(seconds: u64) -> Result<Self, RangeError> {
        if seconds == 0 || seconds > u64::from(u32::MAX) {
            return Err(RangeError);
        }
        let micros = seconds * 1_000_000;
        let mut shift = 0;
        while 1u64 << (shift + 8) < micros {
            shift += 1;
        }
        Ok(Self { micros, shift })
    }

    /// The width of a bucket in microseconds: 1/256 to 1/128 of the range.
    pub fn bucket_micros(self) -> u64 {
        1 << self.shift
    }

    /// The length of the window in seconds.
    pub fn seconds(self) -> u64 {
        self.micros / 1_000_000
    }

    /// The start of the bucket that contains `at`.
    fn bucket(self, at: u64) -> u64 {
        at >> self.shift << self.shift
    }

    /// The first bucket at which `bucket` has expired.
    fn end_of(self, bucket: u64) -> u64 {
        self.bucket(bucket.saturating_add(self.micros))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::buckets::MAX_BUCKETS;
    use super::*;
    use crate::algorithm::{Algorithm, RangeAverage, RangeSum, Sample, WideTally, saved};
    use crate::number::Numeric;
    use crate::report::Flaw;
    use crate::saved::{RestoreError, Words};

    type Sums<T> = RangeState<WideTally<T>>;

    fn sum(seconds: u64) -> RangeSum {
        RangeSum::new(Range::from_seconds(seconds).expect("a small range"))
    }

    fn after<T: Numeric>(sum: &RangeSum, samples: &[(u64, T)]) -> Sums<T> {
        let mut state = sum.start();
        for &(at, value) in samples {
            sum.update(&mut state, Sample::new(at, value)).expect("time goes forward");
        }
        state
    }

    /// The sum at a time, and whether it is flawed.
    fn total<T: Numeric>(sum: &RangeSum, state: &Sums<T>, now: u64) -> Option<(Number, bool)> {
        let record = sum.report(state, now).forced()?;
        Some((record.get(0)?, record.flaw() == Some(Flaw::Overflow)))
    }

    /// The saved words, without the number of refused samples.
    fn words(sum: &RangeSum, state: &Sums<u64>) -> Vec<u64> {
        let mut words = saved(sum, state);
        words[3] = 0;
        words
    }

    fn restored(sum: &RangeSum, words: &[u64]) -> Result<Sums<u64>, RestoreError> {
        sum.restore(&mut Words::new(words))
    }

    #[test]
    fn a_day_keeps_at_most_256_buckets() {
        let (sum, mut state) = (sum(86_400), RangeState::default());
        for second in 0..200_000u64 {
            sum.update(&mut state, Sample::new(second * 1_000_000, 1u64)).expect("time goes forward");
            assert!(state.buckets() <= MAX_BUCKETS, "{} buckets after {second} s", state.buckets());
        }
    }

    #[test]
    fn a_quiet_object_loses_its_sum_on_read() {
        let sum = sum(1);
        let state = after(&sum, &[(0, 7u64), (1_100_000, 7)]);
        let total = |now| total(&sum, &state, now);
        assert_eq!(total(1_100_000), Some((Number::U64(7), false)));
        assert_eq!(total(9_000_000), Some((Number::U64(0), false)));
        assert_eq!(total(1_100_000), Some((Number::U64(7), false)), "a read changed the state");
    }

    #[test]
    fn time_zero_is_a_time() {
        let sum = sum(1);
        let state = after(&sum, &[(0, 1u64), (999_999, 1)]);
        assert!(total(&sum, &state, 999_999).is_some(), "the range counts from time 0");
    }

    #[test]
    fn a_sample_of_an_older_bucket_is_refused_and_counted() {
        let sum = sum(1);
        let mut state = after(&sum, &[(5_000_000, 1u64)]);
        let before = words(&sum, &state);
        assert!(sum.update(&mut state, Sample::new(4_000_000, 1)).is_err());
        assert_eq!((words(&sum, &state), state.refused()), (before, 1));
    }

    #[test]
    fn a_window_that_overflowed_recovers_when_the_large_sample_leaves() {
        let sum = sum(1);
        let state = after(&sum, &[(0, u64::MAX), (1, 5), (2_000_000, 3)]);
        assert_eq!(total(&sum, &state, 2_000_000), Some((Number::U64(3), false)));
    }

    #[test]
    fn doubles_that_overflowed_are_marked_until_they_leave() {
        let sum = sum(1);
        let samples = [(0, f64::MAX), (500_000, f64::MAX), (900_000, -f64::MAX), (1_200_000, 3.0)];
        let total = |state: &_, now| total(&sum, state, now);
        let state = after(&sum, &samples[..2]);
        let bound = Some((Number::F64(f64::MAX), true));
        assert_eq!(total(&state, 1_000_000), bound, "the remaining sample is the bound itself");
        let mut state = after(&sum, &samples);
        let flawed = |state: &_, now| total(state, now).map(|(_, flawed)| flawed);
        assert_eq!(flawed(&state, 1_200_000), Some(true), "two bounds of other signs do not make a sum");
        assert_eq!(total(&state, 2_000_000), Some((Number::F64(3.0), false)), "a read forgets them");
        sum.update(&mut state, Sample::new(2_300_000, 4.0)).expect("time goes forward");
        assert_eq!(total(&state, 2_300_000), Some((Number::F64(4.0), false)), "so does a sample");
    }

    #[test]
    fn a_bound_of_an_overflowed_sum_is_marked_until_it_leaves() {
        let (sum, mean) = (sum(1), RangeAverage::new(Range::from_seconds(1).expect("a small range")));
        let mut state = RangeState::default();
        for (at, overflowed) in [(0, false), (500_000, true), (1_100_000, false)] {
            sum.update(&mut state, Sample { at, value: 4u64, overflowed }).expect("time goes forward");
        }
        assert_eq!(restored(&sum, &saved(&sum, &state)).as_ref(), Ok(&state));
        let marks = |now| {
            let mean = mean.report(&state, now).forced().map(|record| (record.get(0), record.flaw()));
            (total(&sum, &state, now), mean)
        };
        let (four, eight, overflow) = (Number::U64(4), Number::U64(8), Some(Flaw::Overflow));
        assert_eq!(marks(1_100_000), (Some((eight, true)), Some((Some(four), overflow))));
        assert_eq!(marks(1_600_000), (Some((four, false)), Some((Some(four), None))));
    }

    #[test]
    fn merged_windows_are_those_of_all_samples_in_order() {
        let sum = sum(1);
        let all = [(0, 1u64), (10_000, 2), (10_001, 3), (400_000, 4), (1_200_000, 5), (1_300_000, 6)];
        let part = |rest| {
            let part: Vec<_> = all.iter().enumerate().filter(|(index, _)| index % 2 == rest).map(|(_, x)| *x).collect();
            after(&sum, &part)
        };
        let (whole, mut left, mut right) = (after(&sum, &all), part(0), part(1));
        assert!(sum.update(&mut right, Sample::new(0, 1)).is_err());
        let merge = |into: &mut Sums<u64>, from: &Sums<u64>| Algorithm::<u64>::merge(&sum, into, from);
        let mut empty = RangeState::default();
        assert_eq!((merge(&mut empty, &left), &empty), (Ok(()), &left));
        assert_eq!((merge(&mut left, &RangeState::default()), &left), (Ok(()), &empty));
        assert_eq!(merge(&mut left, &right), Ok(()));
        assert_eq!((left.refused(), whole.refused()), (1, 0));
        assert_eq!(words(&sum, &left), words(&sum, &whole));
    }

    /// A sample in each of three buckets of a window of 1 s, whose buckets are of 2^12 us.
    fn three_buckets() -> (RangeSum, Vec<u64>) {
        let sum = sum(1);
        let state = after(&sum, &[0, 1 << 12, 2 << 12].map(|at| (at, 5u64)));
        let words = saved(&sum, &state);
        (sum, words)
    }

    #[test]
    fn saved_windows_that_no_samples_lead_to_are_refused() {
        let (sum, words) = three_buckets();
        // has-window, first, newest, refused, sum (2 words), number of buckets; then start, samples, sum (2) of each.
        assert_eq!(words, [1, 0, 8192, 0, 15, 0, 3, 0, 1, 5, 0, 4096, 1, 5, 0, 8192, 1, 5, 0]);
        let most = (1 << 48) - 1;
        let cases = [
            (0, 2, Some("window")),
            (1, 1, Some("first bucket")),
            (1, 8192, Some("bucket start")),
            (1, 12_288, Some("first bucket")),
            (2, 8193, Some("first bucket")),
            (2, 12_288, Some("newest bucket")),
            (2, 1 << 20, Some("bucket start")),
            (2, 4096, Some("bucket start")),
            (3, u64::MAX, None),
            (4, 14, Some("sum")),
            (5, 1, Some("sum")),
            (6, 257, Some("buckets")),
            (6, 0, Some("newest bucket")),
            (6, 2, Some("newest bucket")),
            (7, 1, Some("bucket start")),
            (7, 4096, Some("bucket start")),
            (11, 0, Some("bucket start")),
            (15, 12_288, Some("bucket start")),
            (8, 0, Some("bucket samples")),
            (8, most, None),
            (8, most + 1, Some("bucket samples")),
            (8, 1 << 63, Some("bucket samples")),
            (8, 1 << 63 | 1, None),
            (9, 6, Some("sum")),
        ];
        for (index, word, field) in cases {
            let mut words = words.clone();
            words[index] = word;
            let refused = match restored(&sum, &words) {
                Err(RestoreError::Invalid { field, .. }) => Some(field),
                Err(error) => panic!("word {index} as {word}: {error}"),
                Ok(_) => None,
            };
            assert_eq!(refused, field, "word {index} as {word}");
        }
    }

    #[test]
    fn a_saved_window_that_ends_early_is_refused() {
        let (sum, words) = three_buckets();
        let short = restored(&sum, &words[..words.len() - 1]);
        assert_eq!(short.err(), Some(RestoreError::TooShort { field: "sum" }));
    }

    #[test]
    fn a_window_of_the_most_buckets_is_saved() {
        let (sum, mut state) = (sum(1 << 24), RangeState::default());
        let width = sum.range().bucket_micros();
        for bucket in 0..1000 {
            sum.update(&mut state, Sample::new(bucket * width, 1u64)).expect("time goes forward");
            assert_eq!(restored(&sum, &saved(&sum, &state)).as_ref(), Ok(&state), "bucket {bucket}");
        }
        let (bucket, most) = (size_of::<[u64; 4]>(), MAX_BUCKETS + 1);
        let bytes = Algorithm::<u64>::heap_bytes(&sum);
        assert!((state.buckets() * bucket..most * bucket + 200).contains(&bytes), "{bytes} bytes");
    }
}
