//! The state of `DSHistogram` and `DSCategory`: a count for each number of a result.

use crate::algorithm::fixed::FixedState;
use crate::record::Record;
use crate::saved::RestoreError;

/// The number of counts: as many as a result has numbers.
pub(super) const COUNTS: usize = Record::MAX_NUMBERS;

/// Counts of samples: 80 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts([u64; COUNTS]);

impl Counts {
    /// Adds a sample to the count at `index`.
    #[inline]
    pub(super) fn add(&mut self, index: usize) {
        if let Some(count) = self.0.get_mut(index) {
            *count = count.saturating_add(1);
        }
    }

    /// Adds the counts of other samples.
    pub(super) fn add_all(&mut self, from: &Self) {
        self.0.iter_mut().zip(from.0).for_each(|(count, from)| *count = count.saturating_add(from));
    }

    /// The counts.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> {
        self.0.into_iter()
    }
}

impl FixedState<COUNTS> for Counts {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_stops_at_the_end_of_its_type() {
        let mut counts = Counts::from_words([u64::MAX - 1; COUNTS]);
        let other = counts;
        counts.add(0);
        counts.add(0);
        counts.add(COUNTS);
        assert_eq!(counts.words()[..2], [u64::MAX, u64::MAX - 1]);
        counts.add_all(&other);
        assert_eq!(counts.words(), [u64::MAX; COUNTS]);
    }
}
