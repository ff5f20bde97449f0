//! From which result on the view needs the log, so that a start reads no older ones.
//!
//! The results are divided into *generations* of about 2 MiB. Each value of the view has the number of its generation, and
//! each generation counts its values. What is before the oldest generation with values is not needed any more.

use std::collections::VecDeque;

/// The size of a generation.
const GENERATION_BYTES: u64 = 2 * 1024 * 1024;

/// The most generations at a time: a number takes one byte of each value. Without a free one the newest goes on.
const GENERATIONS: usize = 256;

/// The generations that have values.
#[derive(Debug)]
pub(super) struct Generations {
    /// By their numbers.
    all: Box<[Generation; GENERATIONS]>,
    /// The numbers in use, the oldest first.
    order: VecDeque<u8>,
    newest: u8,
    /// The size of all records so far.
    bytes: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Generation {
    /// The offset of its first record.
    first: u64,
    /// The size of the records before it.
    bytes_before: u64,
    values: u64,
}

impl Default for Generations {
    fn default() -> Self {
        let all = Box::new([Generation::default(); GENERATIONS]);
        Self { all, order: VecDeque::new(), newest: 0, bytes: 0 }
    }
}

impl Generations {
    /// Makes the values that come next those of the record at `offset`, which has `bytes`.
    pub(super) fn begin_record(&mut self, offset: u64, bytes: u64) {
        let newest_bytes = self.bytes - self.all[usize::from(self.newest)].bytes_before;
        if self.order.is_empty() || newest_bytes >= GENERATION_BYTES {
            self.begin(Generation { first: offset, bytes_before: self.bytes, values: 0 });
        }
        self.bytes += bytes;
    }

    fn begin(&mut self, generation: Generation) {
        let all = &self.all;
        self.order.retain(|number| all[usize::from(*number)].values > 0);
        let Some(free) = (0..=u8::MAX).find(|number| !self.order.contains(number)) else { return };
        self.all[usize::from(free)] = generation;
        self.order.push_back(free);
        self.newest = free;
    }

    /// The number of the newest generation.
    pub(super) fn newest(&self) -> u8 {
        self.newest
    }

    /// Counts a value of a generation.
    pub(super) fn add(&mut self, number: u8) {
        self.all[usize::from(number)].values += 1;
    }

    /// Counts a value of the newest generation in place of one of generation `number`.
    #[inline]
    pub(super) fn replace(&mut self, number: u8) {
        self.remove(number);
        self.add(self.newest);
    }

    /// Counts a value of a generation that is not in the view any more.
    pub(super) fn remove(&mut self, number: u8) {
        let values = &mut self.all[usize::from(number)].values;
        debug_assert!(*values > 0, "generation {number} has no value");
        *values = values.saturating_sub(1);
    }

    /// The offset from which on the results are needed; of a view without values, that of the newest generation.
    pub(super) fn oldest_needed(&self) -> u64 {
        let with_values = self.order.iter().find(|number| self.all[usize::from(**number)].values > 0);
        self.all[usize::from(*with_values.unwrap_or(&self.newest))].first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_begins_after_the_size_of_one_and_the_oldest_with_values_is_needed() {
        let mut generations = Generations::default();
        let mut of_record = Vec::new();
        for offset in 0..6 {
            generations.begin_record(10 + offset, GENERATION_BYTES / 2);
            generations.add(generations.newest());
            of_record.push(generations.newest());
        }
        assert_eq!(of_record, [0, 0, 1, 1, 2, 2]);
        assert_eq!(generations.oldest_needed(), 10);
        of_record[..3].iter().for_each(|number| generations.remove(*number));
        assert_eq!(generations.oldest_needed(), 12);
        generations.remove(1);
        assert_eq!(generations.oldest_needed(), 14);
        [2, 2].into_iter().for_each(|number| generations.remove(number));
        assert_eq!(generations.oldest_needed(), 14, "nothing is shown, and nothing is known of what comes");
    }

    #[test]
    fn a_value_that_stays_for_ever_keeps_its_generation_and_no_number_is_used_twice() {
        let mut generations = Generations::default();
        generations.begin_record(0, GENERATION_BYTES);
        generations.add(generations.newest());
        for offset in 1..1000 {
            generations.begin_record(offset, GENERATION_BYTES);
            generations.add(generations.newest());
            assert_eq!(generations.oldest_needed(), 0);
            assert_ne!(generations.newest(), 0);
            generations.remove(generations.newest());
        }
        // All numbers have values: the newest generation goes on.
        for offset in 1000..2000 {
            generations.begin_record(offset, GENERATION_BYTES);
            generations.add(generations.newest());
        }
        assert_eq!((generations.order.len(), generations.oldest_needed()), (GENERATIONS, 0));
        generations.remove(0);
        assert!((900..1010).contains(&generations.oldest_needed()), "{}", generations.oldest_needed());
    }
}
