//! The sum of a sliding window, exact for integers: the state of the buckets of `DSSum:range` and `DSAvg:range`.
//!
//! Adding and subtracting instead of summing again keeps the sum of a window current. Integers are added in 128 bits,
//! so a sum that leaves its type for a while stays exact. With doubles, a rounding error stays after its sample has
//! expired; a sum of doubles that reached the bound of the type is computed again from the remaining buckets.

use core::fmt;

use crate::algorithm::tally::MAX_SAMPLES;
use crate::algorithm::{Algorithm, MergeError, Sample, UpdateError, Windowed};
use crate::number::{Numeric, ValueType};
use crate::record::Record;
use crate::report::{Flaw, Report};
use crate::saved::{RestoreError, WordWriter, Words};
use crate::wide::Wide;

/// The sum of the samples of a window, or their mean.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WideSum<const MEAN: bool>;

/// The exact sum of integers, the sum of doubles, and the number of samples: 24 bytes, 16 for doubles.
// Packed: a sum of 128 bits would pad the state to 32 bytes, and a bucket to 48.
#[derive(Clone, Copy)]
#[repr(Rust, packed(8))]
pub struct WideTally<T: Wide> {
    sum: T::Sum,
    count: Count,
}

/// The number of samples, and in the highest bit whether one of them was the bound of an overflowed sum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
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
        let samples = self.samples().saturating_add(other.samples()).min(!Self::MARK);
        Self(samples | ((self.0 | other.0) & Self::MARK))
    }

    fn minus(self, other: Self) -> Self {
        Self(self.samples().saturating_sub(other.samples()) | (self.0 & Self::MARK))
    }
}

impl<T: Wide> WideTally<T> {
    // Methods, because there are no references to the fields of a packed struct.
    fn sum(&self) -> T::Sum {
        self.sum
    }

    fn count(&self) -> Count {
        self.count
    }
}

impl<T: Numeric> WideTally<T> {
    fn is_empty(&self) -> bool {
        self.count().samples() == 0
    }

    fn add(&mut self, other: Self) {
        // The first sample replaces the empty sum, so that -0.0 keeps its sign.
        let is_start = self.is_empty() && self.sum() == T::ZERO;
        self.sum = if is_start { other.sum } else { T::wide_sum(self.sum, other.sum) };
        self.count = self.count().plus(other.count);
    }
}

impl<T: Numeric> PartialEq for WideTally<T> {
    fn eq(&self, other: &Self) -> bool {
        self.sum() == other.sum() && self.count() == other.count()
    }
}

impl<T: Numeric> fmt::Debug for WideTally<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WideTally").field("sum", &self.sum()).field("count", &self.count()).finish()
    }
}

impl<T: Numeric, const MEAN: bool> Algorithm<T> for WideSum<MEAN> {
    type State = WideTally<T>;

    fn start(&self) -> WideTally<T> {
        WideTally { sum: T::ZERO, count: Count::default() }
    }

    fn is_empty(&self, state: &WideTally<T>) -> bool {
        state.is_empty()
    }

    #[inline]
    fn update(&self, state: &mut WideTally<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        state.add(WideTally { sum: sample.value.widen(), count: Count::one(sample.overflowed) });
        Ok(())
    }

    fn report(&self, state: &WideTally<T>, _now: u64) -> Report<Record> {
        let (sum, count) = (state.sum(), state.count());
        let (value, overflowed) = if MEAN { T::wide_quotient(sum, count.samples()) } else { T::narrow(sum) };
        let is_flawed = overflowed | count.is_marked();
        Report::Value(Record::new([value.into_number()]).flawed(is_flawed.then_some(Flaw::Overflow)))
    }

    fn takes_every_sample(&self) -> bool {
        true
    }

    fn merge(&self, into: &mut WideTally<T>, from: &WideTally<T>) -> Result<(), MergeError> {
        into.add(*from);
        Ok(())
    }

    fn save(&self, state: &WideTally<T>, words: &mut WordWriter<'_>) {
        words.push(state.count().0);
        T::save_wide(state.sum, words);
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<WideTally<T>, RestoreError> {
        let count = Count(words.next("bucket samples")?);
        if count.samples() == 0 || count.samples() > MAX_SAMPLES {
            return Err(RestoreError::invalid("bucket samples", count.0));
        }
        Ok(WideTally { count, sum: T::restore_wide(words)? })
    }
}

impl<T: Numeric, const MEAN: bool> Windowed<T> for WideSum<MEAN> {
    const SUBTRACTS: bool = true;

    fn report_nothing(&self, total: &WideTally<T>) -> Report<Record> {
        if MEAN { Report::NotReady(None) } else { self.report(total, 0) }
    }

    fn subtract(&self, total: &mut WideTally<T>, oldest: &WideTally<T>) -> bool {
        total.sum = T::wide_difference(total.sum, oldest.sum);
        total.count = total.count().minus(oldest.count);
        // Whether another bucket is marked is not known.
        !oldest.count().is_marked()
    }

    fn is_saturated(&self, total: &WideTally<T>) -> bool {
        T::is_bound(total.sum)
    }

    fn save_total(&self, total: &WideTally<T>, words: &mut WordWriter<'_>) {
        T::save_wide(total.sum, words);
    }

    fn restore_total(&self, words: &mut Words<'_>) -> Result<WideTally<T>, RestoreError> {
        Ok(WideTally { sum: T::restore_wide(words)?, count: Count::default() })
    }

    fn checked_total(&self, total: WideTally<T>, buckets: &WideTally<T>) -> Result<WideTally<T>, RestoreError> {
        // The sum of doubles also contains the rounding errors of expired buckets.
        if T::TYPE != ValueType::F64 && total.sum() != buckets.sum() {
            let mut bits = [0; 2];
            T::save_wide(total.sum, &mut WordWriter::at(&mut bits));
            return Err(RestoreError::invalid("sum", bits[0]));
        }
        Ok(WideTally { count: buckets.count, ..total })
    }
}
