//! Many counts, in a box.

use alloc::boxed::Box;

use super::{Classes, MOST_COUNTS, add, add_all, report_into};
use crate::algorithm::{Algorithm, Measured, MergeError, Sample, UpdateError, Windowed};
use crate::number::Numeric;
use crate::record::Record;
use crate::report::Report;
use crate::saved::{RestoreError, WordWriter, Words};

/// An algorithm with more counts than a state has inline: 8 bytes for each, in a box.
#[derive(Clone, Debug)]
pub(in crate::algorithm) struct Many<C>(pub(in crate::algorithm) C);

/// Counts of samples in a box from the first sample on: 16 bytes and the box.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::algorithm) struct ManyCounts(Option<Box<[u64]>>);

impl ManyCounts {
    /// The counts; none before the first sample.
    pub(super) fn counts(&self) -> &[u64] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Adds a sample to the count at `index` of `counts`.
    #[inline]
    pub(super) fn add(&mut self, index: usize, counts: usize) {
        add(self.0.get_or_insert_with(|| alloc::vec![0; counts].into()), index);
    }

    /// Adds the counts of other samples.
    pub(super) fn add_all(&mut self, from: &Self) {
        match (&mut self.0, &from.0) {
            (_, None) => {}
            (Some(counts), Some(from)) => add_all(counts, from),
            (counts @ None, Some(from)) => *counts = Some(from.clone()),
        }
    }

    /// Writes the counts that are not 0, each with its index: most counts of most objects are 0.
    pub(super) fn save(&self, words: &mut WordWriter<'_>) {
        let counts = || self.counts().iter().enumerate().filter(|(_, count)| **count > 0);
        words.push(counts().count() as u64);
        counts().for_each(|(index, count)| words.extend([index as u64, *count]));
    }

    /// Reads what [`save`](Self::save) wrote for so many counts.
    pub(super) fn restore(counts: usize, words: &mut Words<'_>) -> Result<Self, RestoreError> {
        const FIELD: &str = "number of counts";
        let len = words.next(FIELD)?;
        if len == 0 {
            return Ok(Self(None));
        }
        let mut counts: Box<[u64]> = alloc::vec![0; counts].into();
        let mut rest = counts.iter_mut().enumerate();
        for _ in 0..len {
            let index = words.next("index of a count")?;
            // Ascending, so that a state has one form.
            let invalid = || RestoreError::invalid("index of a count", index);
            let (_, count) = rest.find(|(at, _)| *at as u64 == index).ok_or_else(invalid)?;
            *count = words.next("count")?;
            if *count == 0 {
                return Err(RestoreError::invalid("count", 0));
            }
        }
        Ok(Self(Some(counts)))
    }
}

impl<T: Numeric, C: Classes> Algorithm<T> for Many<C> {
    type State = ManyCounts;

    fn start(&self) -> ManyCounts {
        ManyCounts(None)
    }

    fn is_empty(&self, state: &ManyCounts) -> bool {
        state.0.is_none()
    }

    #[inline]
    fn update(&self, state: &mut ManyCounts, sample: Sample<T>) -> Result<(), UpdateError> {
        state.add(self.0.class(sample.value), self.0.counts());
        Ok(())
    }

    fn report(&self, state: &ManyCounts, now: u64) -> Report<Record> {
        let mut record = Record::new([]);
        let report = Algorithm::<T>::report_into(self, state, now, &mut record);
        report.map(|()| record)
    }

    fn report_into(&self, state: &ManyCounts, _now: u64, record: &mut Record) -> Report<()> {
        report_into(&self.0, state.counts(), record)
    }

    #[inline]
    fn value(&self, state: &ManyCounts, _now: u64, value: usize) -> Option<Measured> {
        super::value(&self.0, state.counts(), value)
    }

    fn takes_every_sample(&self) -> bool {
        true
    }

    fn merge(&self, into: &mut ManyCounts, from: &ManyCounts) -> Result<(), MergeError> {
        into.add_all(from);
        Ok(())
    }

    fn heap_bytes(&self) -> usize {
        self.0.counts() * size_of::<u64>()
    }

    fn save(&self, state: &ManyCounts, words: &mut WordWriter<'_>) {
        state.save(words);
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<ManyCounts, RestoreError> {
        ManyCounts::restore(self.0.counts(), words)
    }
}

impl<T: Numeric, C: Classes> Windowed<T> for Many<C> {
    fn report_window(&self, parts: &mut dyn Iterator<Item = &ManyCounts>, now: u64) -> Report<Record> {
        let mut record = Record::new([]);
        let report = Windowed::<T>::report_window_into(self, parts, now, &mut record);
        report.map(|()| record)
    }

    /// Adds up the parts on the stack.
    fn report_window_into(
        &self,
        parts: &mut dyn Iterator<Item = &ManyCounts>,
        _now: u64,
        record: &mut Record,
    ) -> Report<()> {
        let mut whole = [0; MOST_COUNTS];
        parts.filter_map(|part| part.0.as_deref()).for_each(|part| add_all(&mut whole, part));
        report_into(&self.0, &whole, record)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::super::fill;
    use super::*;
    use crate::algorithm::saved;
    use crate::number::Number;

    /// Samples are the indexes of their counts.
    #[derive(Clone, Debug)]
    struct Indexes;

    impl Classes for Indexes {
        fn counts(&self) -> usize {
            20
        }

        fn class<T: Numeric>(&self, value: T) -> usize {
            value.to_bits() as usize
        }

        fn number(&self, counts: &[u64], index: usize) -> u64 {
            counts[index]
        }

        fn fill(&self, counts: &[u64], record: &mut Record) {
            fill(counts.iter().copied(), record);
        }
    }

    const MANY: Many<Indexes> = Many(Indexes);

    fn state_of(samples: &[u64]) -> ManyCounts {
        let mut state = Algorithm::<u64>::start(&MANY);
        samples.iter().for_each(|value| MANY.update(&mut state, Sample::new(0, *value)).expect("a sample"));
        state
    }

    #[test]
    fn a_box_has_as_many_counts_as_the_arguments_need() {
        let state = state_of(&[3, 19, 3]);
        assert_eq!(state.0.as_ref().map(|counts| counts.len()), Some(20));
        assert_eq!(Algorithm::<u64>::heap_bytes(&MANY), 160);
        let record = Algorithm::<u64>::report(&MANY, &state, 0).forced().expect("there are samples");
        let found: Vec<_> = (0..record.len()).filter_map(|index| record.get(index)).map(Number::bits).collect();
        assert_eq!((found.len(), found[3], found[19], found.iter().sum::<u64>()), (20, 2, 1, 3));
        assert_eq!(Algorithm::<u64>::report(&MANY, &state_of(&[]), 0), Report::NotReady(None));
    }

    #[test]
    fn saved_counts_are_restored_and_impossible_ones_refused() {
        let restore = |words: &[u64]| {
            let mut words = Words::new(words);
            let state = Algorithm::<u64>::restore(&MANY, &mut words)?;
            words.finish().map(|()| state)
        };
        for samples in [&[][..], &[0], &[19, 19], &[4, 5, 4, 0]] {
            let state = state_of(samples);
            let words = saved::<u64, _>(&MANY, &state);
            assert_eq!(restore(&words), Ok(state), "{words:?}");
        }
        assert_eq!(saved::<u64, _>(&MANY, &state_of(&[4, 0, 4])), [2, 0, 1, 4, 2]);
        for words in [&[1, 20, 1][..], &[1, 0, 0], &[2, 4, 1, 4, 1], &[2, 4, 1, 0, 1], &[1, 0], &[u64::MAX, 0, 1]] {
            assert!(restore(words).is_err(), "{words:?}");
        }
    }
}
