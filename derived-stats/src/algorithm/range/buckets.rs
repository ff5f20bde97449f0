//! The buckets of one object's window.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::algorithm::range::Range;
use crate::algorithm::tally::MAX_SAMPLES;
use crate::algorithm::{Sample, UpdateError};
use crate::number::{Numeric, ValueType};
use crate::saved::{RestoreError, WordWriter, Words};
use crate::wide::Wide;

/// The largest number of buckets of a window: 2^8, by the choice of their width.
pub(super) const MAX_BUCKETS: usize = 256;

/// The window of an object that has taken a sample.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::algorithm) struct Buckets<T: Numeric> {
    /// Oldest first; the capacity is reserved at the start, so that later samples do not allocate.
    buckets: VecDeque<Bucket<T>>,
    /// The sum over `buckets`, updated by adding and subtracting.
    sum: T::Sum,
    samples: u64,
    /// The newest bucket with the bound of an overflowed sum.
    marked: Option<u64>,
    /// The bucket of the first sample ever.
    first: u64,
    /// The bucket of the newest sample.
    newest: u64,
    /// The number of samples that were refused because they were older than the newest bucket.
    refused: u64,
}

/// The samples of a window at one time.
pub(crate) struct Window<T: Wide> {
    pub(crate) sum: T::Sum,
    pub(crate) samples: u64,
    /// Whether a sample was the bound of an overflowed sum.
    is_marked: bool,
}

impl<T: Numeric> Window<T> {
    /// The sum, and whether it or a sample is the bound of its type.
    pub(crate) fn total(&self) -> (T, bool) {
        let (sum, overflowed) = T::narrow(self.sum);
        (sum, overflowed | self.is_marked)
    }

    /// The mean of the exact sum, truncated for integers. `samples` is at least 1.
    pub(crate) fn mean(&self) -> (T, bool) {
        let (mean, overflowed) = T::wide_quotient(self.sum, self.samples);
        (mean, overflowed | self.is_marked)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Bucket<T: Wide> {
    start: u64,
    sum: T::Sum,
    count: Count,
}

/// The number of samples of a bucket, and in the highest bit whether one of them was the bound of an overflowed sum.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Count(u64);

impl Count {
    const MARK: u64 = 1 << 63;

    fn one(is_bound: bool) -> Self {
        Self(1 | if is_bound { Self::MARK } else { 0 })
    }

    fn samples(self) -> u64 {
        self.0 & !Self::MARK
    }

    fn is_marked(self) -> bool {
        self.0 & Self::MARK != 0
    }

    fn plus(self, other: Self) -> Self {
        Self((self.samples() + other.samples()) | ((self.0 | other.0) & Self::MARK))
    }
}

impl<T: Wide> Bucket<T> {
    fn add(&mut self, other: Self) {
        self.sum = T::wide_sum(self.sum, other.sum);
        self.count = self.count.plus(other.count);
    }
}

fn capacity(range: Range) -> usize {
    usize::try_from(range.micros >> range.shift).unwrap_or(MAX_BUCKETS).min(MAX_BUCKETS) + 1
}

impl<T: Numeric> Buckets<T> {
    pub(super) fn new(range: Range, first: u64) -> Self {
        let buckets = VecDeque::with_capacity(capacity(range));
        Self { buckets, sum: T::ZERO, samples: 0, marked: None, first, newest: first, refused: 0 }
    }

    /// The upper bound of the bytes that a window of `range` allocates.
    pub(super) fn heap_bytes(range: Range) -> usize {
        size_of::<Self>() + capacity(range) * size_of::<Bucket<T>>()
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    pub(super) fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Adds a sample of `bucket`; refuses it if the bucket is older than the newest.
    pub(super) fn update(&mut self, range: Range, bucket: u64, sample: Sample<T>) -> Result<(), UpdateError> {
        if bucket < self.newest {
            self.refused = self.refused.saturating_add(1);
            return Err(UpdateError::TimeWentBack { at: sample.at, newest: self.newest });
        }
        self.newest = bucket;
        self.add(bucket, sample);
        self.expire(range, bucket);
        Ok(())
    }

    fn add(&mut self, bucket: u64, sample: Sample<T>) {
        if sample.overflowed {
            self.marked = Some(bucket);
        }
        let sample = Bucket { start: bucket, sum: sample.value.widen(), count: Count::one(sample.overflowed) };
        self.sum = if self.samples == 0 && self.buckets.is_empty() && self.sum == T::ZERO {
            sample.sum
        } else {
            T::wide_sum(self.sum, sample.sum)
        };
        self.samples += 1;
        self.append(sample);
    }

    /// Adds a bucket that is the newest or newer.
    fn append(&mut self, bucket: Bucket<T>) {
        match self.buckets.back_mut() {
            Some(newest) if newest.start == bucket.start => newest.add(bucket),
            _ => self.buckets.push_back(bucket),
        }
    }

    fn expire(&mut self, range: Range, now: u64) {
        let is_bound = T::is_bound(self.sum);
        while let Some(oldest) = self.buckets.front() {
            if range.end_of(oldest.start) > now {
                break;
            }
            self.sum = T::wide_difference(self.sum, oldest.sum);
            self.samples -= oldest.count.samples();
            self.buckets.pop_front();
        }
        if is_bound {
            self.sum = Self::added(self.buckets.iter());
        }
        self.marked = self.marked.filter(|marked| range.end_of(*marked) > now);
    }

    /// The sum of buckets, computed again.
    fn added<'b>(buckets: impl Iterator<Item = &'b Bucket<T>>) -> T::Sum {
        buckets.fold(T::ZERO, |sum, bucket| T::wide_sum(sum, bucket.sum))
    }

    /// Adds the buckets of another window, as if all samples had been taken in order of time.
    pub(super) fn merge(&mut self, range: Range, from: &Self) {
        let mut from = from.clone();
        self.first = self.first.min(from.first);
        self.newest = self.newest.max(from.newest);
        self.refused = self.refused.saturating_add(from.refused);
        self.expire(range, self.newest);
        from.expire(range, self.newest);
        self.sum = T::wide_sum(self.sum, from.sum);
        self.samples = self.samples.saturating_add(from.samples);
        self.marked = self.marked.max(from.marked);
        let mut both: Vec<Bucket<T>> = self.buckets.drain(..).chain(from.buckets).collect();
        both.sort_by_key(|bucket| bucket.start);
        for bucket in both {
            self.append(bucket);
        }
    }

    pub(super) fn window(&self, range: Range, now: u64) -> Option<Window<T>> {
        let now = range.bucket(now).max(self.newest);
        if now < range.end_of(self.first) {
            return None;
        }
        let is_marked = self.marked.is_some_and(|marked| range.end_of(marked) > now);
        let mut window = Window { sum: self.sum, samples: self.samples, is_marked };
        let is_over = |bucket: &&Bucket<T>| range.end_of(bucket.start) <= now;
        for bucket in self.buckets.iter().take_while(is_over) {
            window.sum = T::wide_difference(window.sum, bucket.sum);
            window.samples -= bucket.count.samples();
        }
        if T::is_bound(self.sum) {
            window.sum = Self::added(self.buckets.iter().skip_while(is_over));
        }
        Some(window)
    }

    pub(super) fn save(&self, words: &mut WordWriter<'_>) {
        words.extend([self.first, self.newest, self.refused]);
        T::save_wide(self.sum, words);
        words.push(self.buckets.len() as u64);
        for bucket in &self.buckets {
            words.extend([bucket.start, bucket.count.0]);
            T::save_wide(bucket.sum, words);
        }
    }

    pub(super) fn restore(range: Range, words: &mut Words<'_>) -> Result<Self, RestoreError> {
        let first = words.next("first bucket")?;
        let newest = words.next("newest bucket")?;
        if range.bucket(first) != first || range.bucket(newest) != newest || first > newest {
            return Err(RestoreError::invalid("first bucket", first));
        }
        let mut window = Self { newest, ..Self::new(range, first) };
        window.refused = words.next("refused samples")?;
        window.sum = T::restore_wide(words)?;
        window.restore_buckets(range, words)?;
        Ok(window)
    }

    fn restore_buckets(&mut self, range: Range, words: &mut Words<'_>) -> Result<(), RestoreError> {
        let mut sum = T::ZERO;
        let count = words.next("buckets")?;
        if count > MAX_BUCKETS as u64 {
            return Err(RestoreError::invalid("buckets", count));
        }
        for _ in 0..count {
            let (start, count) = (words.next("bucket start")?, Count(words.next("bucket samples")?));
            let follows = self.buckets.back().is_none_or(|newest| newest.start < start);
            if !follows || start > self.newest || range.bucket(start) != start {
                return Err(RestoreError::invalid("bucket start", start));
            }
            if count.samples() == 0 || count.samples() > MAX_SAMPLES {
                return Err(RestoreError::invalid("bucket samples", count.0));
            }
            let bucket = Bucket { start, count, sum: T::restore_wide(words)? };
            sum = T::wide_sum(sum, bucket.sum);
            self.samples += count.samples();
            self.marked = if count.is_marked() { Some(start) } else { self.marked };
            self.buckets.push_back(bucket);
        }
        // The sum of doubles also contains the rounding errors of expired buckets.
        if T::TYPE != ValueType::F64 && sum != self.sum {
            let mut bits = Vec::new();
            T::save_wide(self.sum, &mut WordWriter::new(&mut bits));
            return Err(RestoreError::invalid("sum", bits.first().copied().unwrap_or_default()));
        }
        Ok(())
    }
}
