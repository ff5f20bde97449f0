//! `DSSum:range`: the sum of the last `range` seconds, in at most 256 buckets.
//!
//! Time is cut into buckets of 2^s microseconds, s the least with 2^(s+8) >= range; a bucket leaves the window when
//! the bucket that holds its start plus the range is reached. The rule is the original's (`derived_stats_algo.h`),
//! without its defects: above 1073 s it overflowed an `int` and kept thousands of buckets; it aged only on update, so
//! that a quiet object kept its last sum for ever; it took time 0 for "never"; and time going back moved the window.
//! Here time 0 is a time, a read ages too, and a sample of an older bucket is refused and counted.
//!
//! Buckets rather than samples bound the memory; adding and subtracting rather than re-adding bounds the cost of an
//! update (amortised constant). The price with doubles is that rounding errors stay after their sample has left.

use std::collections::VecDeque;

use crate::algorithm::{Algorithm, Sample, UpdateError};
use crate::number::{Numeric, ValueType};
use crate::report::{NumberResult, Output, Report};
use crate::saved::{RestoreError, Words};
use crate::wide::Wide;

/// The most buckets a window can have: 2^8, by the choice of their width.
const MAX_BUCKETS: usize = 256;

/// The most samples a saved bucket can have: one every microsecond for nine years.
const MAX_SAMPLES: u64 = (1 << 48) - 1;

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

    /// The start of the bucket that holds `at`.
    fn bucket(self, at: u64) -> u64 {
        at >> self.shift << self.shift
    }

    /// The first bucket whose window no longer holds `bucket`.
    fn end_of(self, bucket: u64) -> u64 {
        self.bucket(bucket.saturating_add(self.micros))
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Bucket<T: Wide> {
    start: u64,
    sum: T::Sum,
    samples: u64,
}

/// The buckets of one object's window: about 6 KiB when busy, so it lives in a box of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeState<T: Numeric> {
    /// Oldest first; capacity is reserved at the start so that no sample allocates.
    buckets: VecDeque<Bucket<T>>,
    /// The sum over `buckets`, kept by adding and subtracting.
    sum: T::Sum,
    samples: u64,
    /// The bucket of the first sample ever.
    first: Option<u64>,
    /// The bucket of the newest sample.
    newest: u64,
    /// Samples refused because time went back.
    refused: u64,
}

/// What the window holds at one time.
pub(crate) struct Window<T: Wide> {
    pub(crate) sum: T::Sum,
    pub(crate) samples: u64,
}

impl<T: Numeric> Window<T> {
    pub(crate) fn total(&self) -> (T, bool) {
        T::narrow(self.sum)
    }

    /// The truncated mean of the exact sum. `samples` is at least 1.
    pub(crate) fn mean(&self) -> (T, bool) {
        T::wide_quotient(self.sum, self.samples)
    }
}

impl<T: Numeric> RangeState<T> {
    pub(crate) fn new(range: Range) -> Self {
        let capacity = usize::try_from(range.micros >> range.shift).unwrap_or(MAX_BUCKETS).min(MAX_BUCKETS) + 1;
        Self {
            buckets: VecDeque::with_capacity(capacity),
            sum: T::ZERO,
            samples: 0,
            first: None,
            newest: 0,
            refused: 0,
        }
    }

    /// How many samples were refused because their bucket was older than the newest.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// How many buckets hold samples now: at most 256.
    pub fn buckets(&self) -> usize {
        self.buckets.len()
    }

    pub(crate) fn update(&mut self, range: Range, sample: Sample<T>) -> Result<(), UpdateError> {
        let bucket = range.bucket(sample.at);
        if self.first.is_some() && bucket < self.newest {
            self.refused = self.refused.saturating_add(1);
            return Err(UpdateError::TimeWentBack { at: sample.at, newest: self.newest });
        }
        self.first.get_or_insert(bucket);
        self.newest = bucket;
        self.add(bucket, sample.value);
        self.expire(range, bucket);
        Ok(())
    }

    fn add(&mut self, bucket: u64, value: T) {
        // The first value is not added to anything, so that -0.0 keeps its sign.
        self.sum = if self.buckets.is_empty() { value.widen() } else { T::wide_sum(self.sum, value.widen()) };
        self.samples += 1;
        match self.buckets.back_mut() {
            Some(newest) if newest.start == bucket => {
                newest.sum = T::wide_sum(newest.sum, value.widen());
                newest.samples += 1;
            }
            _ => self.buckets.push_back(Bucket { start: bucket, sum: value.widen(), samples: 1 }),
        }
    }

    fn expire(&mut self, range: Range, now: u64) {
        while let Some(oldest) = self.buckets.front() {
            if range.end_of(oldest.start) > now {
                break;
            }
            self.sum = T::wide_difference(self.sum, oldest.sum);
            self.samples -= oldest.samples;
            self.buckets.pop_front();
        }
    }

    /// The window that ends at `now`; `None` until one whole range has passed since the first sample.
    pub(crate) fn window(&self, range: Range, now: u64) -> Option<Window<T>> {
        let now = range.bucket(now).max(self.newest);
        if now < range.end_of(self.first?) {
            return None;
        }
        let mut window = Window { sum: self.sum, samples: self.samples };
        for bucket in self.buckets.iter().take_while(|bucket| range.end_of(bucket.start) <= now) {
            window.sum = T::wide_difference(window.sum, bucket.sum);
            window.samples -= bucket.samples;
        }
        Some(window)
    }

    pub(crate) fn save(&self, words: &mut Vec<u64>) {
        let first = self.first.map_or([0, 0], |first| [1, first]);
        words.extend(first);
        words.extend([self.newest, self.refused]);
        T::save_wide(self.sum, words);
        words.push(self.buckets.len() as u64);
        for bucket in &self.buckets {
            words.extend([bucket.start, bucket.samples]);
            T::save_wide(bucket.sum, words);
        }
    }

    pub(crate) fn restore(range: Range, words: &mut Words<'_>) -> Result<Self, RestoreError> {
        let mut state = Self::new(range);
        state.first = words.optional("first bucket")?;
        state.newest = words.next("newest bucket")?;
        let first = state.first.unwrap_or_default();
        if range.bucket(first) != first || range.bucket(state.newest) != state.newest || first > state.newest {
            return Err(RestoreError::invalid("first bucket", first));
        }
        state.refused = words.next("refused samples")?;
        state.sum = T::restore_wide(words)?;
        state.restore_buckets(range, words)?;
        Ok(state)
    }

    fn restore_buckets(&mut self, range: Range, words: &mut Words<'_>) -> Result<(), RestoreError> {
        let mut sum = T::ZERO;
        let count = words.next("buckets")?;
        if count > MAX_BUCKETS as u64 {
            return Err(RestoreError::invalid("buckets", count));
        }
        for _ in 0..count {
            let (start, samples) = (words.next("bucket start")?, words.next("bucket samples")?);
            let follows = self.buckets.back().is_none_or(|newest| newest.start < start);
            if !follows || start > self.newest || range.bucket(start) != start || self.first.is_none() {
                return Err(RestoreError::invalid("bucket start", start));
            }
            if samples == 0 || samples > MAX_SAMPLES {
                return Err(RestoreError::invalid("bucket samples", samples));
            }
            let bucket = Bucket { start, samples, sum: T::restore_wide(words)? };
            sum = T::wide_sum(sum, bucket.sum);
            self.samples += samples;
            self.buckets.push_back(bucket);
        }
        // The sum of doubles also holds the rounding errors of buckets that have left.
        if T::TYPE != ValueType::F64 && sum != self.sum {
            let mut bits = Vec::new();
            T::save_wide(self.sum, &mut bits);
            return Err(RestoreError::invalid("sum", bits.first().copied().unwrap_or_default()));
        }
        Ok(())
    }
}

/// The sum of the samples of the last `range` seconds.
///
/// Not ready until one whole range has passed since the first sample.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut bytes = Pipeline::inline("raw:DSSum:60")?;
/// for second in 0..=60 {
///     bytes.update(second * 1_000_000, Number::U64(1))?;
/// }
/// assert_eq!(bytes.number(), Some(Number::U64(60)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RangeSum {
    range: Range,
}

impl RangeSum {
    /// A sum over the window of `range`.
    pub fn new(range: Range) -> Self {
        Self { range }
    }

    /// The window.
    pub fn range(&self) -> Range {
        self.range
    }
}

impl<T: Numeric> Algorithm<T> for RangeSum {
    type State = Box<RangeState<T>>;

    fn start(&self) -> Self::State {
        Box::new(RangeState::new(self.range))
    }

    fn update(&self, state: &mut Self::State, sample: Sample<T>) -> Result<(), UpdateError> {
        state.update(self.range, sample)
    }

    fn report(&self, state: &Self::State, now: u64) -> Report<Output<'_>> {
        let Some(window) = state.window(self.range, now) else {
            return Report::NotReady(None);
        };
        let (value, overflowed) = window.total();
        Report::Value(Output::Number(NumberResult { value: value.into_number(), overflowed }))
    }

    fn save(&self, state: &Self::State, words: &mut Vec<u64>) {
        state.save(words);
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<Self::State, RestoreError> {
        RangeState::restore(self.range, words).map(Box::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(seconds: u64) -> (Range, RangeState<u64>) {
        let range = Range::from_seconds(seconds).expect("a small range");
        (range, RangeState::new(range))
    }

    #[test]
    fn a_day_keeps_at_most_256_buckets() {
        let (range, mut state) = state(86_400);
        for second in 0..200_000u64 {
            state.update(range, Sample { at: second * 1_000_000, value: 1 }).expect("time goes forward");
            assert!(state.buckets() <= MAX_BUCKETS, "{} buckets after {second} s", state.buckets());
        }
    }

    #[test]
    fn a_quiet_object_loses_its_sum_on_read() {
        let (range, mut state) = state(1);
        for at in [0, 1_100_000] {
            state.update(range, Sample { at, value: 7 }).expect("time goes forward");
        }
        assert_eq!(state.window(range, 1_100_000).map(|w| w.sum), Some(7));
        assert_eq!(state.window(range, 9_000_000).map(|w| w.sum), Some(0));
        assert_eq!(state.window(range, 1_100_000).map(|w| w.sum), Some(7), "a read changed the state");
    }

    #[test]
    fn time_zero_is_a_time() {
        let (range, mut state) = state(1);
        state.update(range, Sample { at: 0, value: 1 }).expect("the first sample");
        state.update(range, Sample { at: 999_999, value: 1 }).expect("time goes forward");
        assert!(state.window(range, 999_999).is_some(), "the range counts from time 0");
    }

    #[test]
    fn a_sample_of_an_older_bucket_is_refused_and_counted() {
        let (range, mut state) = state(1);
        state.update(range, Sample { at: 5_000_000, value: 1 }).expect("the first sample");
        let before = state.sum;
        assert!(state.update(range, Sample { at: 4_000_000, value: 1 }).is_err());
        assert_eq!((state.sum, state.refused()), (before, 1));
    }

    #[test]
    fn a_window_that_overflowed_recovers_when_the_large_sample_leaves() {
        let (range, mut state) = state(1);
        for (at, value) in [(0, u64::MAX), (1, 5)] {
            state.update(range, Sample { at, value }).expect("time goes forward");
        }
        state.update(range, Sample { at: 2_000_000, value: 3 }).expect("time goes forward");
        assert_eq!(state.window(range, 2_000_000).map(|w| w.total()), Some((3, false)));
    }

    #[test]
    fn a_range_is_whole_seconds_in_at_most_256_buckets() {
        for seconds in [0, 1 << 32, u64::MAX] {
            assert_eq!(Range::from_seconds(seconds), Err(RangeError), "{seconds}");
        }
        for (seconds, bucket_micros) in [(1, 4096), (2, 8192), (60, 262_144), (u64::from(u32::MAX), 1 << 44)] {
            let range = Range::from_seconds(seconds).expect("a good range");
            assert_eq!((range.seconds(), range.bucket_micros()), (seconds, bucket_micros));
            assert!(bucket_micros * 256 >= range.micros && bucket_micros * 128 < range.micros, "{seconds}");
        }
    }

    #[test]
    fn a_bucket_leaves_when_the_bucket_of_its_start_plus_the_range_is_reached() {
        let (range, mut state) = state(1);
        // 1 s after the start of the bucket at 8192 us is in the bucket at 1,007,616 us.
        for (at, value) in [(8192 + 100, 5), (12_288, 7)] {
            state.update(range, Sample { at, value }).expect("time goes forward");
        }
        let window = |now| state.window(range, now).map(|window| (window.sum, window.samples));
        assert_eq!(window(1_007_615), None, "one whole range has not passed");
        assert_eq!(window(1_007_616), Some((7, 1)));
        assert_eq!(window(1_011_711), Some((7, 1)));
        assert_eq!(window(1_011_712), Some((0, 0)));
    }

    #[test]
    fn samples_of_one_bucket_share_it() {
        let (range, mut state) = state(1);
        for (at, buckets) in [(0, 1), (4095, 1), (4096, 2), (4096, 2), (999_424, 2)] {
            state.update(range, Sample { at, value: 1 }).expect("time goes forward");
            assert_eq!(state.buckets(), buckets, "at {at}");
        }
        assert_eq!((state.sum, state.samples), (3, 3));
        assert_eq!(
            state.update(range, Sample { at: 9, value: 1 }),
            Err(UpdateError::TimeWentBack { at: 9, newest: 999_424 })
        );
    }

    fn saved(seconds: &[u64]) -> (Range, Vec<u64>) {
        let (range, mut state) = state(1);
        for &at in seconds {
            state.update(range, Sample { at, value: 9 }).expect("time goes forward");
        }
        let mut words = Vec::new();
        state.save(&mut words);
        (range, words)
    }

    #[test]
    fn a_saved_window_comes_back_and_no_other_does() {
        // first flag, first, newest, refused, sum (2), buckets, then start, samples, sum (2) of each.
        let (range, good) = saved(&[4096, 8192, 8193]);
        assert_eq!(good, [1, 4096, 8192, 0, 27, 0, 2, 4096, 1, 9, 0, 8192, 2, 18, 0]);
        let restore = |words: &[u64]| RangeState::<u64>::restore(range, &mut Words::new(words));
        let mut words = Vec::new();
        restore(&good).expect("what was saved").save(&mut words);
        assert_eq!(words, good);
        let cases = [
            (0, 2, "first bucket"),
            (1, 4097, "first bucket"),
            (1, 12_288, "first bucket"),
            (2, 8193, "first bucket"),
            (2, 4096, "bucket start"),
            (4, 28, "sum"),
            (5, 1, "sum"),
            (6, 257, "buckets"),
            (7, 4095, "bucket start"),
            (7, 8192, "bucket start"),
            (8, 0, "bucket samples"),
            (8, 1 << 48, "bucket samples"),
            (11, 4096, "bucket start"),
            (11, 12_288, "bucket start"),
            (14, 1, "sum"),
        ];
        for (position, word, expected) in cases {
            let mut words = good.clone();
            words[position] = word;
            let field = match restore(&words) {
                Err(RestoreError::Invalid { field, .. }) => field,
                other => panic!("word {position} as {word}: {other:?}"),
            };
            assert_eq!(field, expected, "word {position} as {word}");
        }
        let mut words = good.clone();
        words[8] = (1 << 48) - 1;
        words[3] = 5;
        assert_eq!(restore(&words).map(|state| (state.samples, state.refused())), Ok(((1 << 48) + 1, 5)));
        let mut absent = vec![0, 0, 8192, 0, 27, 0, 2];
        absent.extend(&good[7..]);
        assert!(restore(&absent).is_err(), "buckets without a first one");
    }

    #[test]
    fn a_ranged_sum_is_of_the_window_and_comes_back_from_saved_words() {
        let algorithm = RangeSum::new(Range::from_seconds(1).expect("a good range"));
        let mut state: Box<RangeState<u64>> = algorithm.start();
        for (at, value) in [(0, 100), (1_500_000, 10), (1_600_000, 13)] {
            algorithm.update(&mut state, Sample { at, value }).expect("time goes forward");
        }
        let expected = NumberResult { value: crate::number::Number::U64(23), overflowed: false };
        assert_eq!(algorithm.report(&state, 1_600_000), Report::Value(Output::Number(expected)));
        let mut words = Vec::new();
        algorithm.save(&state, &mut words);
        assert_eq!(algorithm.restore(&mut Words::new(&words)), Ok(state));
    }

    #[test]
    fn a_saved_window_may_have_256_buckets() {
        let (range, full) = saved(&(0..256).map(|bucket| bucket * 4096).collect::<Vec<_>>());
        assert_eq!(full[6], 244, "the range is not a whole number of buckets");
        let words = |buckets: u64| {
            let mut words = vec![1, 0, 4096 * buckets, 0, 9 * buckets, 0, buckets];
            words.extend((0..buckets).flat_map(|bucket| [bucket * 4096, 1, 9, 0]));
            words
        };
        let restore = |buckets| RangeState::<u64>::restore(range, &mut Words::new(&words(buckets)));
        assert_eq!(restore(256).map(|state| state.buckets()), Ok(256));
        assert!(restore(257).is_err());
    }

    #[test]
    fn only_the_first_sample_decides_the_sign_of_zero() {
        let range = Range::from_seconds(1).expect("a good range");
        for (values, expected) in [([-0.0, -0.0], -0.0f64), ([0.0, -0.0], 0.0), ([-0.0, 0.0], 0.0), ([-0.0, 2.5], 2.5)]
        {
            let mut state = RangeState::<f64>::new(range);
            for (at, value) in [0, 500_000].into_iter().zip(values) {
                state.update(range, Sample { at, value }).expect("time goes forward");
            }
            assert_eq!(state.sum.to_bits(), expected.to_bits(), "{values:?}");
        }
    }

    #[test]
    fn the_sum_of_doubles_keeps_the_rounding_of_samples_that_have_left() {
        let range = Range::from_seconds(1).expect("a good range");
        let mut state = RangeState::<f64>::new(range);
        for (at, value) in [(0, 1e17), (500_000, 1.0), (1_200_000, 1.0)] {
            state.update(range, Sample { at, value }).expect("time goes forward");
        }
        assert_eq!((state.sum, state.samples), (0.0, 2), "both 1s were lost beside 1e17");
        let mut words = Vec::new();
        state.save(&mut words);
        assert_eq!(RangeState::restore(range, &mut Words::new(&words)), Ok(state));
    }
}
