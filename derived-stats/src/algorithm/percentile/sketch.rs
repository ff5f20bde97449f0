//! One object's sketch: the counts of the buckets, and the exact smallest and largest sample.

use crate::saved::{RestoreError, WordWriter, Words};

use super::bins::{Bins, Walk};
use super::mapping::Mapping;

/// The samples of an object that has taken one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sketch {
    samples: u64,
    zeros: u64,
    /// The smallest sample.
    least: f64,
    /// The largest sample.
    most: f64,
    /// The positive samples, by the bucket of their size.
    positive: Bins,
    /// The negative samples, by the bucket of their size.
    negative: Bins,
    /// Whether the buckets of the smallest sizes were collapsed.
    pub(super) is_collapsed: bool,
    /// Whether a sample was the bound of an overflowed sum.
    pub(super) is_overflowed: bool,
}

impl Sketch {
    /// A sketch of one sample.
    pub(super) fn of(mapping: &Mapping, sample: f64, is_overflowed: bool) -> Self {
        let mut sketch = Self {
            samples: 0,
            zeros: 0,
            least: f64::MAX,
            most: f64::MIN,
            positive: Bins::default(),
            negative: Bins::default(),
            is_collapsed: false,
            is_overflowed,
        };
        sketch.add(mapping, sample);
        sketch
    }

    /// Adds a sample, unless there are 2^64-1.
    #[inline]
    pub(super) fn add(&mut self, mapping: &Mapping, sample: f64) {
        // Makes -0.0 the same as 0.0, so that the order of the samples makes no difference.
        let sample = sample + 0.0;
        let Some(samples) = self.samples.checked_add(1) else {
            return;
        };
        self.samples = samples;
        self.least = if sample < self.least { sample } else { self.least };
        self.most = if sample > self.most { sample } else { self.most };
        let collapsed = if sample > 0.0 {
            self.positive.add_one(mapping.index(sample), mapping.limit())
        } else if sample < 0.0 {
            self.negative.add_one(mapping.index(-sample), mapping.limit())
        } else {
            self.zeros += 1;
            false
        };
        self.is_collapsed |= collapsed;
    }

    /// Adds the samples of another sketch with the same mapping. Equal to one sketch of all samples.
    pub(super) fn add_all(&mut self, mapping: &Mapping, from: &Self) {
        let Some(samples) = self.samples.checked_add(from.samples) else {
            return;
        };
        self.samples = samples;
        self.least = self.least.min(from.least);
        self.most = self.most.max(from.most);
        self.is_overflowed |= from.is_overflowed;
        self.zeros += from.zeros;
        self.is_collapsed |= from.is_collapsed;
        self.is_collapsed |= self.positive.add_all(&from.positive, mapping.limit());
        self.is_collapsed |= self.negative.add_all(&from.negative, mapping.limit());
    }

    pub(super) fn samples(&self) -> u64 {
        self.samples
    }

    /// The bytes that the counts take.
    pub(super) fn bytes(&self) -> usize {
        self.positive.bytes() + self.negative.bytes()
    }

    /// The samples at these ranks, which ascend: rank 0 is the smallest sample. Each is passed with its position among
    /// the ranks.
    pub(super) fn at_ranks(&self, mapping: &Mapping, ranks: impl Iterator<Item = u64>, found: impl FnMut(usize, f64)) {
        let mut ranks = ranks.enumerate();
        let mut search = Search { sketch: self, mapping, next: ranks.next(), ranks, found, below: 0, sign: -1.0 };
        self.negative.descend(&mut search);
        search.pass(self.zeros, 0.0);
        search.sign = 1.0;
        self.positive.ascend(&mut search);
    }

    pub(super) fn save(&self, words: &mut WordWriter<'_>) {
        words.extend([u64::from(self.is_collapsed) | u64::from(self.is_overflowed) << 1, self.zeros]);
        words.extend([self.least.to_bits(), self.most.to_bits()]);
        self.positive.save(words);
        self.negative.save(words);
    }

    pub(super) fn restore(mapping: &Mapping, words: &mut Words<'_>) -> Result<Self, RestoreError> {
        let flags = words.next("flags")?;
        if flags > 3 {
            return Err(RestoreError::invalid("flags", flags));
        }
        let zeros = words.next("zeros")?;
        let (least, most) = (words.finite("smallest sample")?, words.finite("largest sample")?);
        let indexes = mapping.index(f64::from_bits(1))..=mapping.index(f64::MAX);
        let positive = Bins::restore(indexes.clone(), mapping.limit(), words)?;
        let negative = Bins::restore(indexes, mapping.limit(), words)?;
        let total = positive.total().checked_add(negative.total());
        let samples = total.and_then(|total| total.checked_add(zeros)).filter(|samples| *samples > 0);
        let samples = samples.ok_or_else(|| RestoreError::invalid("zeros", zeros))?;
        let (is_collapsed, is_overflowed) = (flags & 1 == 1, flags & 2 == 2);
        let sketch = Self { samples, zeros, least, most, positive, negative, is_collapsed, is_overflowed };
        sketch.check_ends(mapping)?;
        Ok(sketch)
    }

    /// Refuses a smallest or a largest sample that is not in the outermost bucket.
    fn check_ends(&self, mapping: &Mapping) -> Result<(), RestoreError> {
        let [positive, negative] = [&self.positive, &self.negative].map(Bins::used);
        let is_in = |size: f64, index: i32, is_collapsed: bool| {
            size > 0.0 && (mapping.index(size) == index || is_collapsed && mapping.index(size) < index)
        };
        let has_least = match (negative, self.zeros, positive) {
            (Some((_, high)), _, _) => is_in(-self.least, high, false),
            (None, 0, Some((low, _))) => is_in(self.least, low, self.is_collapsed),
            (None, _, _) => self.least.to_bits() == 0,
        };
        let has_most = match (positive, self.zeros, negative) {
            (Some((_, high)), _, _) => is_in(self.most, high, false),
            (None, 0, Some((low, _))) => is_in(-self.most, low, self.is_collapsed),
            (None, _, _) => self.most.to_bits() == 0,
        };
        match (has_least && self.least <= self.most, has_most) {
            (true, true) => Ok(()),
            (false, _) => Err(RestoreError::invalid("smallest sample", self.least.to_bits())),
            (true, false) => Err(RestoreError::invalid("largest sample", self.most.to_bits())),
        }
    }
}

/// A walk over the samples in order of size, in search of ranks.
struct Search<'s, R, F> {
    sketch: &'s Sketch,
    mapping: &'s Mapping,
    /// The next rank, with its position.
    next: Option<(usize, u64)>,
    ranks: R,
    found: F,
    /// The number of samples before the next bucket.
    below: u64,
    sign: f64,
}

impl<R: Iterator<Item = (usize, u64)>, F: FnMut(usize, f64)> Search<'_, R, F> {
    /// Passes `n` samples that `value` stands for.
    fn pass(&mut self, n: u64, value: f64) {
        self.below += n;
        while let Some((position, rank)) = self.next.filter(|(_, rank)| *rank < self.below) {
            let &Sketch { samples, least, most, .. } = self.sketch;
            let sample = match rank {
                0 => least,
                _ if rank == samples - 1 => most,
                _ => value.max(least).min(most),
            };
            (self.found)(position, sample);
            self.next = self.ranks.next();
        }
    }
}

impl<R: Iterator<Item = (usize, u64)>, F: FnMut(usize, f64)> Walk for Search<'_, R, F> {
    #[inline]
    fn passes(&mut self, n: u64) -> bool {
        let passes = self.next.is_none_or(|(_, rank)| rank >= self.below + n);
        self.below += if passes { n } else { 0 };
        passes
    }

    #[inline]
    fn visit(&mut self, index: i32, n: u64) {
        let is_here = self.next.is_some_and(|(_, rank)| rank < self.below + n);
        let value = if is_here { self.sign * self.mapping.value(index) } else { 0.0 };
        self.pass(n, value);
    }
}
