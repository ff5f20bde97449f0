//! The window of `DSSum:range` and `DSAvg:range`: the samples of the last `range` seconds, in at most 256 buckets.
//!
//! ```text
//! sum(now) = the sum of the x of all buckets b with bucket(b + range) > now
//! ```
//!
//! | | |
//! |---|---|
//! | unit and type | as the metric; `range` in seconds |
//! | error | time: up to one bucket, 1/256 to 1/128 of the range; integers: none; doubles: two roundings for each sample |
//! | memory | 8 bytes an object, and from the first sample on up to 257 buckets of 32 bytes (24 for doubles) |
//! | cost | amortised constant for each sample; a read iterates over the buckets that have expired since the newest sample |
//!
//! Time is divided into buckets of 2^s microseconds, where s is the least number with 2^(s+8) >= range. A bucket
//! expires when time reaches the bucket that contains its start plus the range. The rule is that of the original
//! (`derived_stats_algo.h`) without its defects. In the original, a range above 1073 s overflows an `int` and keeps
//! thousands of buckets; buckets expire only on update, so an object without samples keeps its last sum; time 0 means
//! "never"; and a sample that is older than the previous one moves the window. Here time 0 is a time, buckets also
//! expire on reads, and a sample of an older bucket is refused and counted.
//!
//! Storing buckets instead of samples bounds the memory. Adding and subtracting instead of summing again bounds the
//! cost of an update (amortised constant). With doubles, a rounding error stays after its sample has expired. A sum of
//! doubles that reached the bound of the type is computed again from the remaining buckets.

mod buckets;

use alloc::boxed::Box;

use crate::algorithm::{Sample, UpdateError};
use crate::entry::{Argument, ArgumentError, ArgumentKind, Explanation, Given};
use crate::number::{Number, Numeric};
use crate::saved::{RestoreError, WordWriter, Words};

use self::buckets::Buckets;
pub(crate) use self::buckets::Window;

/// The length of a sliding window, as an argument.
pub(crate) const RANGE: Argument = Argument::optional(
    "range",
    ArgumentKind::Whole { least: 0, most: u32::MAX as u64 },
    "a range in whole seconds, 0 (no range) to 4294967295",
    "3600",
)
.absent_is(0);

/// Reads the argument [`RANGE`]; `None` without a range, which an annotation writes as no argument or as 0.
pub(crate) fn window(given: &Given<'_>) -> Result<Option<Range>, ArgumentError> {
    match given.whole(0) {
        None | Some(0) => Ok(None),
        Some(seconds) => Range::from_seconds(seconds).map(Some).map_err(ArgumentError::other),
    }
}

/// The text of `explain` for an algorithm with an optional window: `whole` without a window, else `windowed` and its
/// length.
pub(crate) fn explain_window(given: &Given<'_>, whole: &str, windowed: &str) -> Explanation {
    let Ok(Some(range)) = window(given) else {
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

/// One object's window: 8 bytes, and up to 8 KiB on the heap from the first sample on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RangeState<T: Numeric>(Option<Box<Buckets<T>>>);

impl<T: Numeric> RangeState<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The number of samples that were refused because their bucket was older than the newest.
    pub fn refused(&self) -> u64 {
        self.0.as_ref().map_or(0, |window| window.refused())
    }

    /// The number of buckets with samples: at most 256.
    pub fn buckets(&self) -> usize {
        self.0.as_ref().map_or(0, |window| window.len())
    }

    /// The upper bound of the bytes that a window of `range` allocates.
    pub(crate) fn heap_bytes(range: Range) -> usize {
        Buckets::<T>::heap_bytes(range)
    }

    pub(crate) fn update(&mut self, range: Range, sample: Sample<T>) -> Result<(), UpdateError> {
        let bucket = range.bucket(sample.at);
        let window = self.0.get_or_insert_with(|| Box::new(Buckets::new(range, bucket)));
        window.update(range, bucket, sample)
    }

    /// The window that ends at `now`; `None` until one whole range has passed since the first sample.
    pub(crate) fn window(&self, range: Range, now: u64) -> Option<Window<T>> {
        self.0.as_ref()?.window(range, now)
    }

    /// Adds the samples of another window, as if all samples had been taken in order of time.
    pub(crate) fn merge(&mut self, range: Range, from: &Self) {
        match (&mut self.0, &from.0) {
            (_, None) => {}
            (Some(window), Some(from)) => window.merge(range, from),
            (window @ None, Some(from)) => *window = Some(from.clone()),
        }
    }

    pub(crate) fn save(&self, words: &mut WordWriter<'_>) {
        words.push(u64::from(self.0.is_some()));
        if let Some(window) = &self.0 {
            window.save(words);
        }
    }

    pub(crate) fn restore(range: Range, words: &mut Words<'_>) -> Result<Self, RestoreError> {
        match words.flag("window")? {
            false => Ok(Self(None)),
            true => Ok(Self(Some(Box::new(Buckets::restore(range, words)?)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::buckets::MAX_BUCKETS;
    use super::*;

    fn state(seconds: u64) -> (Range, RangeState<u64>) {
        (Range::from_seconds(seconds).expect("a small range"), RangeState::default())
    }

    /// The saved words, without the number of refused samples.
    fn words(state: &RangeState<u64>) -> Vec<u64> {
        let mut words = Vec::new();
        state.save(&mut WordWriter::new(&mut words));
        words[3] = 0;
        words
    }

    #[test]
    fn a_day_keeps_at_most_256_buckets() {
        let (range, mut state) = state(86_400);
        for second in 0..200_000u64 {
            state.update(range, Sample::new(second * 1_000_000, 1)).expect("time goes forward");
            assert!(state.buckets() <= MAX_BUCKETS, "{} buckets after {second} s", state.buckets());
        }
    }

    #[test]
    fn a_quiet_object_loses_its_sum_on_read() {
        let (range, mut state) = state(1);
        for at in [0, 1_100_000] {
            state.update(range, Sample::new(at, 7)).expect("time goes forward");
        }
        assert_eq!(state.window(range, 1_100_000).map(|w| w.sum), Some(7));
        assert_eq!(state.window(range, 9_000_000).map(|w| w.sum), Some(0));
        assert_eq!(state.window(range, 1_100_000).map(|w| w.sum), Some(7), "a read changed the state");
    }

    #[test]
    fn time_zero_is_a_time() {
        let (range, mut state) = state(1);
        state.update(range, Sample::new(0, 1)).expect("the first sample");
        state.update(range, Sample::new(999_999, 1)).expect("time goes forward");
        assert!(state.window(range, 999_999).is_some(), "the range counts from time 0");
    }

    #[test]
    fn a_sample_of_an_older_bucket_is_refused_and_counted() {
        let (range, mut state) = state(1);
        state.update(range, Sample::new(5_000_000, 1)).expect("the first sample");
        let before = words(&state);
        assert!(state.update(range, Sample::new(4_000_000, 1)).is_err());
        assert_eq!((words(&state), state.refused()), (before, 1));
    }

    #[test]
    fn a_window_that_overflowed_recovers_when_the_large_sample_leaves() {
        let (range, mut state) = state(1);
        for (at, value) in [(0, u64::MAX), (1, 5)] {
            state.update(range, Sample::new(at, value)).expect("time goes forward");
        }
        state.update(range, Sample::new(2_000_000, 3)).expect("time goes forward");
        assert_eq!(state.window(range, 2_000_000).map(|w| w.total()), Some((3, false)));
    }

    fn doubles(samples: &[(u64, f64)]) -> (Range, RangeState<f64>) {
        let range = Range::from_seconds(1).expect("a small range");
        let mut state = RangeState::default();
        for &(at, value) in samples {
            state.update(range, Sample::new(at, value)).expect("time goes forward");
        }
        (range, state)
    }

    #[test]
    fn doubles_that_overflowed_are_marked_until_they_leave() {
        let samples = [(0, f64::MAX), (500_000, f64::MAX), (900_000, -f64::MAX), (1_200_000, 3.0)];
        let (range, state) = doubles(&samples[..2]);
        let window = state.window(range, 1_000_000).expect("a full window");
        assert_eq!(window.total(), (f64::MAX, true), "the remaining sample is the bound itself");
        let (range, state) = doubles(&samples);
        let marked = |now| state.window(range, now).map(|window| (window.total().1, window.mean().1));
        assert_eq!(marked(1_200_000), Some((true, true)), "two bounds of other signs do not make a sum");
        let total = |now| state.window(range, now).map(|window| window.total());
        assert_eq!(total(2_000_000), Some((3.0, false)), "a read forgets them");
        let (range, mut state) = doubles(&samples);
        state.update(range, Sample::new(2_300_000, 4.0)).expect("time goes forward");
        assert_eq!(state.window(range, 2_300_000).map(|window| window.total()), Some((4.0, false)), "so does a sample");
    }

    #[test]
    fn a_bound_of_an_overflowed_sum_is_marked_until_it_leaves() {
        let range = Range::from_seconds(1).expect("a small range");
        let mut state = RangeState::default();
        for (at, overflowed) in [(0, false), (500_000, true), (1_100_000, false)] {
            state.update(range, Sample { at, value: 4u64, overflowed }).expect("time goes forward");
        }
        let mut words = Vec::new();
        state.save(&mut WordWriter::new(&mut words));
        assert_eq!(RangeState::restore(range, &mut Words::new(&words)).as_ref(), Ok(&state));
        let marks = |now| state.window(range, now).map(|window| (window.total(), window.mean()));
        assert_eq!(marks(1_100_000), Some(((8, true), (4, true))));
        assert_eq!(marks(1_600_000), Some(((4, false), (4, false))));
    }

    #[test]
    fn merged_windows_are_those_of_all_samples_in_order() {
        let all = [(0, 1), (10_000, 2), (10_001, 3), (400_000, 4), (1_200_000, 5), (1_300_000, 6)];
        let (range, mut whole) = state(1);
        let (_, mut left) = state(1);
        let (_, mut right) = state(1);
        for (index, (at, value)) in all.into_iter().enumerate() {
            whole.update(range, Sample::new(at, value)).expect("time goes forward");
            let part = if index % 2 == 0 { &mut left } else { &mut right };
            part.update(range, Sample::new(at, value)).expect("time goes forward");
        }
        assert!(right.update(range, Sample::new(0, 1)).is_err());
        let mut empty = RangeState::default();
        empty.merge(range, &left);
        assert_eq!(empty, left);
        left.merge(range, &RangeState::default());
        assert_eq!(left, empty);
        left.merge(range, &right);
        assert_eq!((left.refused(), whole.refused()), (1, 0));
        assert_eq!(words(&left), words(&whole));
    }

    /// A sample in each of three buckets of a window of 1 s, whose buckets are of 2^12 us.
    fn three_buckets() -> (Range, Vec<u64>) {
        let (range, mut state) = state(1);
        for at in [0, 1 << 12, 2 << 12] {
            state.update(range, Sample::new(at, 5)).expect("time goes forward");
        }
        let mut words = Vec::new();
        state.save(&mut WordWriter::new(&mut words));
        (range, words)
    }

    #[test]
    fn saved_windows_that_no_samples_lead_to_are_refused() {
        let (range, words) = three_buckets();
        // has-window, first, newest, refused, sum (2 words), number of buckets; then start, samples, sum (2) of each.
        assert_eq!(words, [1, 0, 8192, 0, 15, 0, 3, 0, 1, 5, 0, 4096, 1, 5, 0, 8192, 1, 5, 0]);
        let most = (1 << 48) - 1;
        let cases = [
            (0, 2, Some("window")),
            (1, 1, Some("first bucket")),
            (1, 8192, None),
            (1, 12_288, Some("first bucket")),
            (2, 8193, Some("first bucket")),
            (2, 12_288, None),
            (2, 4096, Some("bucket start")),
            (3, u64::MAX, None),
            (4, 14, Some("sum")),
            (5, 1, Some("sum")),
            (6, 257, Some("buckets")),
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
            let restored = RangeState::<u64>::restore(range, &mut Words::new(&words));
            let refused = match restored {
                Err(RestoreError::Invalid { field, .. }) => Some(field),
                Err(error) => panic!("word {index} as {word}: {error}"),
                Ok(_) => None,
            };
            assert_eq!(refused, field, "word {index} as {word}");
        }
        let short = RangeState::<u64>::restore(range, &mut Words::new(&words[..words.len() - 1]));
        assert_eq!(short.err(), Some(RestoreError::TooShort { field: "sum" }));
    }

    #[test]
    fn a_window_of_the_most_buckets_is_saved() {
        let (range, mut state) = state(1 << 24);
        let width = range.bucket_micros();
        for bucket in 0..1000 {
            state.update(range, Sample::new(bucket * width, 1)).expect("time goes forward");
            let mut words = Vec::new();
            state.save(&mut WordWriter::new(&mut words));
            assert_eq!(RangeState::restore(range, &mut Words::new(&words)).as_ref(), Ok(&state), "bucket {bucket}");
        }
        let (bucket, most) = (size_of::<[u64; 4]>(), MAX_BUCKETS + 1);
        let bytes = RangeState::<u64>::heap_bytes(range);
        assert!((state.buckets() * bucket..most * bucket + 200).contains(&bytes), "{bytes} bytes");
    }
}
