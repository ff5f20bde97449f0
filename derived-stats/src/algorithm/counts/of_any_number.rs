//! The state of the public algorithms, which have few or many counts.

use super::many::ManyCounts;
use super::{COUNTS, FewCounts, add, add_all};
use crate::algorithm::MergeError;
use crate::algorithm::fixed::FixedState;
use crate::saved::{RestoreError, WordWriter, Words};

/// Counts of samples: 88 bytes, and a box if there are more than 10.
#[derive(Clone, Debug, PartialEq)]
pub struct Counts(Kept);

#[derive(Clone, Debug, PartialEq)]
enum Kept {
    Few(FewCounts),
    Many(ManyCounts),
}

impl Counts {
    /// So many counts, all 0.
    pub(in crate::algorithm) fn start(counts: usize) -> Self {
        Self(if counts <= COUNTS { Kept::Few(FewCounts::default()) } else { Kept::Many(ManyCounts::default()) })
    }

    pub(in crate::algorithm) fn is_empty(&self) -> bool {
        self.counts().iter().all(|count| *count == 0)
    }

    pub(in crate::algorithm) fn counts(&self) -> &[u64] {
        match &self.0 {
            Kept::Few(few) => &few.0,
            Kept::Many(many) => many.counts(),
        }
    }

    /// Adds a sample to the count at `index` of `counts`.
    #[inline]
    pub(in crate::algorithm) fn add(&mut self, index: usize, counts: usize) {
        match &mut self.0 {
            Kept::Few(few) => add(&mut few.0, index),
            Kept::Many(many) => many.add(index, counts),
        }
    }

    pub(in crate::algorithm) fn merge(&mut self, from: &Self) -> Result<(), MergeError> {
        match (&mut self.0, &from.0) {
            (Kept::Few(few), Kept::Few(from)) => add_all(&mut few.0, &from.0),
            (Kept::Many(many), Kept::Many(from)) => many.add_all(from),
            _ => return Err(MergeError::Foreign),
        }
        Ok(())
    }

    pub(in crate::algorithm) fn save(&self, words: &mut WordWriter<'_>) {
        match &self.0 {
            Kept::Few(few) => few.save(words),
            Kept::Many(many) => many.save(words),
        }
    }

    pub(in crate::algorithm) fn restore(counts: usize, words: &mut Words<'_>) -> Result<Self, RestoreError> {
        Ok(Self(match counts {
            ..=COUNTS => Kept::Few(FewCounts::restore(words)?),
            _ => Kept::Many(ManyCounts::restore(counts, words)?),
        }))
    }
}

/// Implements [`Algorithm`] for a public algorithm with any number of counts.
macro_rules! algorithm_of_counts {
    ($Classes:ty) => {
        impl<T: Numeric> Algorithm<T> for $Classes {
            type State = Counts;

            fn start(&self) -> Counts {
                Counts::start(self.counts())
            }

            fn is_empty(&self, state: &Counts) -> bool {
                state.is_empty()
            }

            #[inline]
            fn update(&self, state: &mut Counts, sample: Sample<T>) -> Result<(), UpdateError> {
                state.add(self.class(sample.value), self.counts());
                Ok(())
            }

            fn report(&self, state: &Counts, now: u64) -> Report<Record> {
                let mut record = Record::new([]);
                Algorithm::<T>::report_into(self, state, now, &mut record).map(|()| record)
            }

            fn report_into(&self, state: &Counts, _now: u64, record: &mut Record) -> Report<()> {
                counts::report_into(self, state.counts(), record)
            }

            #[inline]
            fn value(&self, state: &Counts, _now: u64, value: usize) -> Option<Measured> {
                counts::value(self, state.counts(), value)
            }

            fn takes_every_sample(&self) -> bool {
                true
            }

            fn words(&self) -> Option<usize> {
                (self.counts() <= COUNTS).then_some(COUNTS)
            }

            fn heap_bytes(&self) -> usize {
                if self.counts() <= COUNTS { 0 } else { self.counts() * size_of::<u64>() }
            }

            fn merge(&self, into: &mut Counts, from: &Counts) -> Result<(), MergeError> {
                into.merge(from)
            }

            fn save(&self, state: &Counts, words: &mut WordWriter<'_>) {
                state.save(words);
            }

            fn restore(&self, words: &mut Words<'_>) -> Result<Counts, RestoreError> {
                Counts::restore(self.counts(), words)
            }
        }

        impl<T: Numeric> Windowed<T> for $Classes {}
    };
}
pub(in crate::algorithm) use algorithm_of_counts;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn states_of_few_and_of_many_counts_do_not_merge() {
        let mut few = Counts::start(COUNTS);
        assert_eq!(few.merge(&Counts::start(COUNTS + 1)), Err(MergeError::Foreign));
        assert_eq!(few, Counts::start(1));
    }

    #[test]
    fn saved_states_have_the_form_of_few_or_of_many_counts() {
        let few = &[0, 2, 0, 0, 0, 0, 0, 0, 0, 0][..];
        for (counts, expected) in [(3, few), (12, &[1, 1, 2])] {
            let mut state = Counts::start(counts);
            (0..2).for_each(|_| state.add(1, counts));
            let mut words = Vec::new();
            state.save(&mut WordWriter::new(&mut words));
            assert_eq!(words, expected);
            assert_eq!(Counts::restore(counts, &mut Words::new(&words)), Ok(state));
        }
    }
}
