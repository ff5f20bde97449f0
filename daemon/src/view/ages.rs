//! Where in the results the values of the view came from, so that a start reads no older ones.
//!
//! The results are divided into *ages* of about 2 MiB. Each value of the view has the number of its age, and each age
//! counts its values. What is before the oldest age with values is not needed any more.

use std::collections::VecDeque;

/// The size of an age.
const AGE_BYTES: u64 = 2 * 1024 * 1024;

/// The most ages at a time: a number takes one byte of each value. Without a free one the newest age goes on.
const AGES: usize = 256;

/// A place in the results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The offset of a record.
    pub offset: u64,
    /// The size of the records before it, of those that the view has read.
    pub bytes_before: u64,
}

/// The ages that have values.
#[derive(Debug)]
pub(super) struct Ages {
    /// The beginning and the number of values of each age, by its number.
    ages: Box<[(Place, u64); AGES]>,
    /// The numbers in use, the oldest first.
    order: VecDeque<u8>,
    newest: u8,
    bytes: u64,
}

impl Default for Ages {
    fn default() -> Self {
        Self { ages: Box::new([(Place::default(), 0); AGES]), order: VecDeque::new(), newest: 0, bytes: 0 }
    }
}

impl Ages {
    /// Notes that the values of a record of this size come next.
    pub(super) fn begin_record(&mut self, offset: u64, bytes: u64) {
        let (begin, _) = self.ages[usize::from(self.newest)];
        if self.order.is_empty() || self.bytes - begin.bytes_before >= AGE_BYTES {
            self.begin(Place { offset, bytes_before: self.bytes });
        }
        self.bytes += bytes;
    }

    fn begin(&mut self, place: Place) {
        let ages = &self.ages;
        self.order.retain(|number| ages[usize::from(*number)].1 > 0);
        let Some(free) = (0..=u8::MAX).find(|number| !self.order.contains(number)) else { return };
        self.ages[usize::from(free)] = (place, 0);
        self.order.push_back(free);
        self.newest = free;
    }

    /// The age of a value that comes now.
    pub(super) fn newest(&self) -> u8 {
        self.newest
    }

    /// Counts a value of an age.
    pub(super) fn add(&mut self, age: u8) {
        self.ages[usize::from(age)].1 += 1;
    }

    /// Counts a value of an age that is not in the view any more.
    pub(super) fn remove(&mut self, age: u8) {
        let (_, values) = &mut self.ages[usize::from(age)];
        *values = values.saturating_sub(1);
    }

    /// Where the oldest value came from; of a view without values, where the newest age begins.
    pub(super) fn needed(&self) -> Place {
        let with_values = self.order.iter().find(|number| self.ages[usize::from(**number)].1 > 0);
        self.ages[usize::from(*with_values.unwrap_or(&self.newest))].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_age_begins_after_its_size_and_the_oldest_with_values_is_needed() {
        let mut ages = Ages::default();
        let mut of_record = Vec::new();
        for offset in 0..6 {
            ages.begin_record(10 + offset, AGE_BYTES / 2);
            ages.add(ages.newest());
            of_record.push(ages.newest());
        }
        assert_eq!(of_record, [0, 0, 1, 1, 2, 2]);
        assert_eq!(ages.needed(), Place { offset: 10, bytes_before: 0 });
        of_record[..3].iter().for_each(|age| ages.remove(*age));
        assert_eq!(ages.needed(), Place { offset: 12, bytes_before: AGE_BYTES });
        ages.remove(1);
        assert_eq!(ages.needed().offset, 14);
        [2, 2].into_iter().for_each(|age| ages.remove(age));
        assert_eq!(ages.needed().offset, 14, "nothing is shown, and nothing is known of what comes");
    }

    #[test]
    fn a_value_that_stays_for_ever_keeps_its_age_and_no_number_is_used_twice() {
        let mut ages = Ages::default();
        ages.begin_record(0, AGE_BYTES);
        ages.add(ages.newest());
        for offset in 1..1000 {
            ages.begin_record(offset, AGE_BYTES);
            ages.add(ages.newest());
            assert_eq!(ages.needed().offset, 0);
            assert_ne!(ages.newest(), 0);
            ages.remove(ages.newest());
        }
        // All numbers have values: the newest age goes on.
        for offset in 1000..2000 {
            ages.begin_record(offset, AGE_BYTES);
            ages.add(ages.newest());
        }
        assert_eq!((ages.order.len(), ages.needed().offset), (AGES, 0));
        ages.remove(0);
        assert!((900..1010).contains(&ages.needed().offset), "{:?}", ages.needed());
    }
}
