//! The states of `DSHistogram` and `DSCategory`: a count for each number of a result.
//!
//! The states of an annotation are as small as its arguments allow: few counts are in the state itself ([`Few`]), more
//! are in a box with as many as the arguments need ([`Many`]). The public algorithms have one type of state for both
//! ([`Counts`]), and save it in the same form.

mod many;
mod of_any_number;

use core::fmt;

use crate::algorithm::fixed::{FixedState, state_is_fixed};
use crate::algorithm::{Algorithm, Measured, MergeError, Sample, UpdateError, Windowed};
use crate::number::{Number, Numeric};
use crate::record::Record;
use crate::report::Report;
use crate::saved::RestoreError;

pub(super) use self::many::Many;
pub use self::of_any_number::Counts;
pub(super) use self::of_any_number::algorithm_of_counts;

/// The number of counts in the state itself: as many as a result has numbers without a box.
pub(super) const COUNTS: usize = Record::INLINE_NUMBERS;

/// The largest number of counts.
pub(super) const MOST_COUNTS: usize = Record::MAX_NUMBERS;

/// Few counts of samples: 80 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct FewCounts([u64; COUNTS]);

#[inline]
fn add(counts: &mut [u64], index: usize) {
    if let Some(count) = counts.get_mut(index) {
        *count = count.saturating_add(1);
    }
}

fn add_all(counts: &mut [u64], from: &[u64]) {
    counts.iter_mut().zip(from).for_each(|(count, from)| *count = count.saturating_add(*from));
}

impl FixedState<COUNTS> for FewCounts {
    const FIELDS: [&'static str; COUNTS] = ["count"; COUNTS];

    #[inline]
    fn words(&self) -> [u64; COUNTS] {
        self.0
    }

    #[inline]
    fn from_words(words: [u64; COUNTS]) -> Self {
        Self(words)
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.0 == [0; COUNTS]
    }

    fn check(&self) -> Result<(), RestoreError> {
        Ok(())
    }
}

/// The distribution of samples among counts, and the result of the counts.
pub(super) trait Classes: Clone + fmt::Debug + Send + Sync + 'static {
    /// The number of counts: at most [`MOST_COUNTS`].
    fn counts(&self) -> usize;

    /// The index of the count of a sample.
    fn class<T: Numeric>(&self, value: T) -> usize;

    /// The number at an index of the result, below [`counts`](Self::counts).
    fn number(&self, counts: &[u64], index: usize) -> u64;

    /// Puts the result of the counts into a record, one number for each.
    fn fill(&self, counts: &[u64], record: &mut Record);
}

/// The report of counts, without the result, which is put into the record.
pub(super) fn report_into<C: Classes>(classes: &C, counts: &[u64], record: &mut Record) -> Report<()> {
    if counts.iter().all(|count| *count == 0) {
        record.clear();
        return Report::NotReady(None);
    }
    classes.fill(counts.get(..classes.counts()).unwrap_or(counts), record);
    Report::Value(())
}

/// Makes one number of each count.
pub(super) fn fill(counts: impl Iterator<Item = u64>, record: &mut Record) {
    // There are at most as many counts as numbers.
    let _ = record.fill(counts.map(|count| Some(Number::U64(count))));
}

/// The number at an index of the report, without the other numbers: a detector takes one of them for each period.
#[inline]
pub(super) fn value<C: Classes>(classes: &C, counts: &[u64], index: usize) -> Option<Measured> {
    let is_number = index < classes.counts() && counts.iter().any(|count| *count > 0);
    is_number.then(|| Measured { number: Number::U64(classes.number(counts, index)), overflowed: false })
}

/// An algorithm with at most [`COUNTS`] counts.
#[derive(Clone, Debug)]
pub(super) struct Few<C>(pub(super) C);

impl<T: Numeric, C: Classes> Algorithm<T> for Few<C> {
    state_is_fixed!(FewCounts, 10);

    #[inline]
    fn update(&self, state: &mut FewCounts, sample: Sample<T>) -> Result<(), UpdateError> {
        add(&mut state.0, self.0.class(sample.value));
        Ok(())
    }

    fn report(&self, state: &FewCounts, now: u64) -> Report<Record> {
        let mut record = Record::new([]);
        Algorithm::<T>::report_into(self, state, now, &mut record).map(|()| record)
    }

    fn report_into(&self, state: &FewCounts, _now: u64, record: &mut Record) -> Report<()> {
        report_into(&self.0, &state.0, record)
    }

    #[inline]
    fn value(&self, state: &FewCounts, _now: u64, value: usize) -> Option<Measured> {
        self::value(&self.0, &state.0, value)
    }

    fn merge(&self, into: &mut FewCounts, from: &FewCounts) -> Result<(), MergeError> {
        add_all(&mut into.0, &from.0);
        Ok(())
    }
}

impl<T: Numeric, C: Classes> Windowed<T> for Few<C> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_stops_at_the_end_of_its_type() {
        let mut counts = [u64::MAX - 1; COUNTS];
        let other = counts;
        add(&mut counts, 0);
        add(&mut counts, 0);
        add(&mut counts, COUNTS);
        assert_eq!(counts[..2], [u64::MAX, u64::MAX - 1]);
        add_all(&mut counts, &other);
        assert_eq!(counts, [u64::MAX; COUNTS]);
    }
}
