//! The counts of the buckets of one sign: an array from the lowest to the highest bucket in use.
//!
//! Counts are as narrow as the largest of them allows: a period of some hundred samples takes one byte for each bucket
//! between its smallest and its largest value. The array grows at the side that needs it, by half of its length, so
//! samples allocate a logarithmic number of times.

use alloc::vec::Vec;

use crate::algorithm::packed::{Packed, Unpacked};
use crate::saved::{RestoreError, WordWriter, Words};

/// The length of the first array.
const FIRST_LENGTH: usize = 32;

/// The counts of consecutive buckets. The buckets of an array span at most a limit, which the caller passes.
#[derive(Clone, Debug)]
pub(super) struct Bins {
    /// The index of the first bucket of the array.
    first: i32,
    counts: Counts,
}

/// The array, in one of four widths.
#[derive(Clone, Debug)]
enum Counts {
    Bits8(Vec<u8>),
    Bits16(Vec<u16>),
    Bits32(Vec<u32>),
    Bits64(Vec<u64>),
}

/// The same expression for an array of any width.
macro_rules! each {
    ($counts:expr, $array:ident => $of:expr) => {
        match $counts {
            Counts::Bits8($array) => $of,
            Counts::Bits16($array) => $of,
            Counts::Bits32($array) => $of,
            Counts::Bits64($array) => $of,
        }
    };
}

/// A count of one width.
trait Count: Copy + TryFrom<u64> + Into<u64> {}

impl<C: Copy + TryFrom<u64> + Into<u64>> Count for C {}

/// Adds `n` to the count at `offset`; `false` if there is none, or the sum does not fit the width.
#[inline]
fn plus<C: Count>(counts: &mut [C], offset: usize, n: u64) -> bool {
    let Some(count) = counts.get_mut(offset) else {
        return false;
    };
    match C::try_from((*count).into().saturating_add(n)) {
        Ok(sum) => {
            *count = sum;
            true
        }
        Err(_) => false,
    }
}

fn widened<C: Count, W: Count + From<C>>(counts: &[C]) -> Vec<W> {
    counts.iter().map(|count| W::from(*count)).collect()
}

/// A walk over the buckets with values.
pub(super) trait Walk {
    /// Whether to go past the next buckets without visiting them: they have `n` values in all.
    fn passes(&mut self, n: u64) -> bool;

    /// Visits a bucket of `n` values.
    fn visit(&mut self, index: i32, n: u64);
}

/// Visits every bucket.
impl<F: FnMut(i32, u64)> Walk for F {
    fn passes(&mut self, n: u64) -> bool {
        n == 0
    }

    fn visit(&mut self, index: i32, n: u64) {
        self(index, n);
    }
}

/// The number of buckets whose sum a walk computes before it visits them.
const STRIDE: usize = 16;

/// The sum of counts, which fits: no sketch has more than 2^64-1 samples.
fn sum<C: Count>(counts: &[C]) -> u64 {
    counts.iter().fold(0, |sum: u64, count| sum.wrapping_add((*count).into()))
}

fn ascend<C: Count>(counts: &[C], first: i32, walk: &mut impl Walk) {
    for (chunk, counts) in counts.chunks(STRIDE).enumerate() {
        if !walk.passes(sum(counts)) {
            let used = counts.iter().enumerate().filter(|(_, count)| (**count).into() > 0);
            used.for_each(|(offset, n)| walk.visit(first + (chunk * STRIDE + offset) as i32, (*n).into()));
        }
    }
}

fn descend<C: Count>(counts: &[C], first: i32, walk: &mut impl Walk) {
    let mut end = counts.len();
    for counts in counts.rchunks(STRIDE) {
        end -= counts.len();
        if !walk.passes(sum(counts)) {
            let used = counts.iter().enumerate().rev().filter(|(_, count)| (**count).into() > 0);
            used.for_each(|(offset, n)| walk.visit(first + (end + offset) as i32, (*n).into()));
        }
    }
}

impl Default for Bins {
    fn default() -> Self {
        Self { first: 0, counts: Counts::Bits8(Vec::new()) }
    }
}

impl Bins {
    /// Counts one value of a bucket. Returns whether buckets were collapsed.
    #[inline]
    pub(super) fn add_one(&mut self, index: i32, limit: usize) -> bool {
        let offset = self.offset(index);
        if each!(&mut self.counts, counts => plus(counts, offset, 1)) { false } else { self.add(index, 1, limit) }
    }

    /// Counts `n` values of a bucket. If the array would exceed the limit, the lowest buckets are collapsed into the
    /// lowest that fits. Returns whether that happened.
    fn add(&mut self, index: i32, n: u64, limit: usize) -> bool {
        let (index, collapsed) = self.cover(index, limit);
        let offset = self.offset(index);
        self.add_at(offset, n);
        collapsed
    }

    /// Counts the values of another array. Returns whether buckets were collapsed.
    pub(super) fn add_all(&mut self, from: &Self, limit: usize) -> bool {
        let mut collapsed = false;
        // From the highest, which determines the buckets that are collapsed.
        from.descend(&mut |index: i32, n: u64| collapsed |= self.add(index, n, limit));
        collapsed
    }

    /// Walks over the buckets with values, from the lowest.
    pub(super) fn ascend(&self, walk: &mut impl Walk) {
        each!(&self.counts, counts => ascend(counts, self.first, walk));
    }

    /// Walks over the buckets with values, from the highest.
    pub(super) fn descend(&self, walk: &mut impl Walk) {
        each!(&self.counts, counts => descend(counts, self.first, walk));
    }

    /// The lowest and the highest bucket with values.
    pub(super) fn used(&self) -> Option<(i32, i32)> {
        let ends = each!(&self.counts, counts => {
            let low = counts.iter().position(|count| *count != 0);
            low.zip(counts.iter().rposition(|count| *count != 0))
        });
        ends.map(|(low, high)| (self.first + low as i32, self.first + high as i32))
    }

    /// The allocated bytes.
    pub(super) fn bytes(&self) -> usize {
        each!(&self.counts, counts => size_of_val(counts.as_slice()))
    }

    /// The offset of a bucket, beyond the end of the array if the bucket is below its start.
    #[inline]
    fn offset(&self, index: i32) -> usize {
        index.wrapping_sub(self.first).cast_unsigned() as usize
    }

    fn len(&self) -> usize {
        each!(&self.counts, counts => counts.len())
    }

    /// Makes the array cover a bucket. Returns the bucket that counts its values, and whether buckets were collapsed.
    fn cover(&mut self, index: i32, limit: usize) -> (i32, bool) {
        if self.offset(index) < self.len() {
            return (index, false);
        }
        let (low, high) = self.used().unwrap_or((index, index));
        let top = high.max(index);
        let floor = top - (limit as i32 - 1);
        let bottom = low.min(index).max(floor);
        let needed = (top - bottom) as usize + 1;
        let length = (needed + needed / 2).max(FIRST_LENGTH).min(limit.max(needed));
        let spare = (length - needed) as i32;
        // The spare buckets are where the array grows.
        let first = match (index > high, index < low) {
            (true, _) => bottom,
            (false, true) => bottom - spare,
            (false, false) => bottom - spare / 2,
        };
        self.rebuild(first, bottom, length);
        (index.max(floor), low.min(index) < floor)
    }

    /// Moves the counts to a new array of `length` buckets from `first` on; those below `bottom` are added to `bottom`.
    fn rebuild(&mut self, first: i32, bottom: i32, length: usize) {
        let counts = match &self.counts {
            Counts::Bits8(_) => Counts::Bits8(alloc::vec![0; length]),
            Counts::Bits16(_) => Counts::Bits16(alloc::vec![0; length]),
            Counts::Bits32(_) => Counts::Bits32(alloc::vec![0; length]),
            Counts::Bits64(_) => Counts::Bits64(alloc::vec![0; length]),
        };
        let before = core::mem::replace(self, Self { first, counts });
        before.ascend(&mut |index: i32, n: u64| {
            let offset = self.offset(index.max(bottom));
            self.add_at(offset, n);
        });
    }

    /// Adds to the count at `offset`, in a wider array if it does not fit.
    fn add_at(&mut self, offset: usize, n: u64) {
        while !each!(&mut self.counts, counts => plus(counts, offset, n)) && self.widen() {}
    }

    /// Doubles the width of the counts; `false` if they have the largest.
    fn widen(&mut self) -> bool {
        self.counts = match &self.counts {
            Counts::Bits8(counts) => Counts::Bits16(widened(counts)),
            Counts::Bits16(counts) => Counts::Bits32(widened(counts)),
            Counts::Bits32(counts) => Counts::Bits64(widened(counts)),
            Counts::Bits64(_) => return false,
        };
        true
    }
}

/// Arrays are equal if the same buckets have the same counts.
impl PartialEq for Bins {
    fn eq(&self, other: &Self) -> bool {
        let counts = |bins: &Self| {
            let mut counts = Vec::new();
            bins.ascend(&mut |index: i32, n: u64| counts.push((index, n)));
            counts
        };
        counts(self) == counts(other)
    }
}

/// The name of the field in errors.
const FIELD: &str = "bucket counts";

impl Bins {
    /// Writes the first bucket with values, and the counts from there on; a run of `n` empty buckets is 0 and `n-1`.
    pub(super) fn save(&self, words: &mut WordWriter<'_>) {
        let (mut packed, mut next) = (Packed::default(), None);
        self.ascend(&mut |index: i32, n: u64| {
            let gap = next.map_or(0, |next: i32| index - next);
            if gap > 0 {
                packed.put(0);
                packed.put(gap as u64 - 1);
            }
            packed.put(n);
            next = Some(index + 1);
        });
        packed.save(words);
        if let Some((first, _)) = self.used() {
            words.push(i64::from(first).cast_unsigned());
        }
    }

    /// Reads what [`save`](Self::save) wrote. The buckets are within `indexes`, and span at most `limit`.
    pub(super) fn restore(
        indexes: core::ops::RangeInclusive<i32>,
        limit: usize,
        words: &mut Words<'_>,
    ) -> Result<Self, RestoreError> {
        let mut bins = Self::default();
        let mut unpacked = Unpacked::restore(FIELD, words)?;
        if unpacked.is_empty() {
            return Ok(bins);
        }
        let word = words.next("first bucket")?;
        let first = i32::try_from(word.cast_signed()).ok().filter(|first| indexes.contains(first));
        let first = first.ok_or_else(|| RestoreError::invalid("first bucket", word))?;
        let (mut offset, mut last, mut total) = (0u64, 0, 0u64);
        while !unpacked.is_empty() {
            let n = unpacked.next()?;
            let step = if n > 0 { 1 } else { unpacked.next()?.saturating_add(1) };
            // Neither starts nor ends with empty buckets, and has no two runs of them in a row.
            let is_run_misplaced = n == 0 && last == 0;
            if is_run_misplaced || offset.saturating_add(step) > limit as u64 {
                return Err(RestoreError::invalid(FIELD, offset));
            }
            let index = i32::try_from(offset).ok().and_then(|offset| first.checked_add(offset));
            let index =
                index.filter(|index| indexes.contains(index)).ok_or_else(|| RestoreError::invalid(FIELD, offset))?;
            if n > 0 {
                total = total.checked_add(n).ok_or_else(|| RestoreError::invalid(FIELD, n))?;
                bins.add(index, n, limit);
            }
            (offset, last) = (offset + step, n);
        }
        if last == 0 { Err(RestoreError::invalid(FIELD, offset)) } else { Ok(bins) }
    }

    /// The number of values in all buckets.
    pub(super) fn total(&self) -> u64 {
        each!(&self.counts, counts => sum(counts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 100;

    fn of(indexes: &[i32]) -> (Bins, bool) {
        let mut bins = Bins::default();
        let collapsed = indexes.iter().fold(false, |collapsed, index| bins.add_one(*index, LIMIT) | collapsed);
        (bins, collapsed)
    }

    fn counts(bins: &Bins) -> Vec<(i32, u64)> {
        let mut counts = Vec::new();
        bins.ascend(&mut |index: i32, n: u64| counts.push((index, n)));
        counts
    }

    #[test]
    fn counts_are_those_of_the_indexes_in_any_order() {
        let (up, _) = of(&[-3, 0, 0, 40, 90]);
        let (down, collapsed) = of(&[90, 40, 0, -3, 0]);
        assert_eq!((counts(&up), collapsed), (vec![(-3, 1), (0, 2), (40, 1), (90, 1)], false));
        assert_eq!(up, down);
        let mut descending = Vec::new();
        up.descend(&mut |index: i32, n: u64| descending.insert(0, (index, n)));
        assert_eq!(descending, counts(&up));
        assert_ne!(up, of(&[-3, 0, 40, 90]).0);
    }

    #[test]
    fn buckets_beyond_the_limit_collapse_into_the_lowest_that_fits_in_any_order() {
        let expected = vec![(1, 3), (50, 1), (100, 1)];
        for indexes in [[-7, 0, 1, 50, 100], [100, 50, 1, 0, -7], [50, -7, 100, 1, 0], [0, 100, -7, 50, 1]] {
            let (bins, collapsed) = of(&indexes);
            assert_eq!((counts(&bins), collapsed), (expected.clone(), true), "{indexes:?}");
            assert!(bins.len() <= LIMIT);
        }
        assert!(!of(&[1, 100]).1, "the buckets fit exactly");
        assert!(of(&[0, 100]).1);
        // A gap that is longer than the limit leaves one bucket.
        assert_eq!(counts(&of(&[-1_000_000, 1_000_000]).0), [(999_901, 1), (1_000_000, 1)]);
    }

    #[test]
    fn counts_widen_when_they_must() {
        let mut bins = Bins::default();
        let mut expected = 0;
        for n in [1, 254, 1, 65_279, 1, u64::from(u32::MAX) - 65_536, 1, u64::MAX / 2] {
            bins.add(5, n, LIMIT);
            expected += n;
            assert_eq!(counts(&bins), [(5, expected)]);
        }
        assert_eq!(bins.bytes(), FIRST_LENGTH * 8);
        let (mut narrow, _) = of(&[5, 7, 40]);
        assert_eq!(narrow.bytes(), 36 + 18, "one byte for each bucket and each spare one");
        narrow.add_all(&bins, LIMIT);
        assert_eq!(narrow.bytes(), 8 * 54);
    }

    #[test]
    fn merged_counts_are_those_of_all_indexes() {
        let (mut left, _) = of(&[3, 3, 80]);
        let (right, _) = of(&[-20, 3, 60]);
        assert!(left.add_all(&right, LIMIT));
        assert_eq!(left, of(&[3, 3, 80, -20, 3, 60]).0);
        let (mut empty, _) = of(&[]);
        assert!(!empty.add_all(&left, LIMIT));
        assert_eq!(empty, left);
    }

    fn restored(words: &[u64]) -> Result<Bins, RestoreError> {
        let mut words = Words::new(words);
        let bins = Bins::restore(-1000..=1000, LIMIT, &mut words)?;
        words.finish().map(|()| bins)
    }

    #[test]
    fn saved_counts_are_restored_and_impossible_ones_refused() {
        for indexes in [&[][..], &[5], &[-9, -9, 0, 1, 2, 80], &[1000; 300]] {
            let (bins, _) = of(indexes);
            let mut words = Vec::new();
            bins.save(&mut WordWriter::new(&mut words));
            assert_eq!(restored(&words).as_ref(), Ok(&bins), "{words:?}");
            assert_eq!(restored(&words).map(|bins| bins.total()), Ok(indexes.len() as u64));
        }
        // Two, a gap of three, and one: the length in bytes, the bytes, the first index.
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        let good = [4, word(&[2, 0, 2, 1]), 7];
        assert_eq!(restored(&good).map(|bins| counts(&bins)), Ok(vec![(7, 2), (11, 1)]));
        let bad: [(&str, &[u64]); 10] = [
            ("a gap at the start", &[3, word(&[0, 2, 1]), 7]),
            ("a gap at the end", &[3, word(&[2, 0, 2]), 7]),
            ("two gaps", &[6, word(&[2, 0, 2, 0, 2, 1]), 7]),
            ("a gap without length", &[2, word(&[2, 0]), 7]),
            ("a gap beyond the limit", &[4, word(&[2, 0, 98, 1]), 7]),
            ("more than 2^64-1 values", &[20, u64::MAX, 0xffff_ffff_ffff_01ff, 0x01ff_ffff, 7]),
            ("no first index", &good[..2]),
            ("a first index out of range", &[4, word(&[2, 0, 2, 1]), 1001]),
            ("a last index out of range", &[4, word(&[2, 0, 2, 1]), 999]),
            ("a first index of more than 32 bits", &[4, word(&[2, 0, 2, 1]), 1 << 32 | 7]),
        ];
        for (name, words) in bad {
            assert!(restored(words).is_err(), "{name}");
        }
    }
}
