//! The column type of all algorithms: an array of states.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use crate::algorithm::{Algorithm, MergeError, Sample, UpdateError};
use crate::column::{Column, Refused, Reports, Update, Values, WORD, bits, prefetch};
use crate::link::Shared;
use crate::number::{Number, Numeric};
use crate::record::Record;
use crate::report::Report;
use crate::saved::{RestoreError, WordWriter, Words};
use crate::source_id::SourceId;

/// The states of many objects under one algorithm.
#[derive(Debug)]
pub(crate) struct TypedColumn<T: Numeric, A: Algorithm<T>> {
    shared: Arc<Shared<T, A>>,
    cells: Vec<A::State>,
}

impl<T: Numeric, A: Algorithm<T>> TypedColumn<T, A> {
    pub(crate) fn new(shared: Arc<Shared<T, A>>) -> Self {
        Self { shared, cells: Vec::new() }
    }

    #[inline]
    fn grow(&mut self, slots: usize) {
        if slots > self.cells.len() {
            let algorithm = &self.shared.algorithm;
            self.cells.resize_with(slots, || algorithm.start());
        }
    }

    /// The existing cells of a word.
    #[inline]
    fn word(&self, word: usize) -> &[A::State] {
        let rest = self.cells.get(word.saturating_mul(WORD)..).unwrap_or_default();
        &rest[..rest.len().min(WORD)]
    }

    /// The cells of a word up to the highest bit of `slots`; grows the column to them.
    #[inline]
    fn grown_word(&mut self, word: usize, slots: u64) -> &mut [A::State] {
        let (first, used) = (word * WORD, WORD - slots.leading_zeros() as usize);
        self.grow(first + used);
        &mut self.cells[first..first + used]
    }
}

impl<T: Numeric, A: Algorithm<T>> Column for TypedColumn<T, A> {
    fn boxed_clone(&self) -> Box<dyn Column> {
        Box::new(Self { shared: Arc::clone(&self.shared), cells: self.cells.clone() })
    }

    fn empty_clone(&self) -> Box<dyn Column> {
        Box::new(Self::new(Arc::clone(&self.shared)))
    }

    fn update(&mut self, slot: usize, at: u64, value: Number) -> Result<(), UpdateError> {
        let value = T::from_number(value)?;
        self.grow(slot + 1);
        self.shared.algorithm.update(&mut self.cells[slot], Sample::new(at, value))
    }

    fn update_from(&mut self, slot: usize, source: SourceId, at: u64, value: Number) -> Result<(), UpdateError> {
        let value = T::from_number(value)?;
        self.grow(slot + 1);
        self.shared.algorithm.update_from(&mut self.cells[slot], source, Sample::new(at, value))
    }

    fn update_increase(&mut self, slot: usize, since: u64, at: u64, value: Number) -> Result<(), UpdateError> {
        let value = T::from_number(value)?;
        self.grow(slot + 1);
        self.shared.algorithm.update_increase(&mut self.cells[slot], since, Sample::new(at, value))
    }

    fn update_all(&mut self, updates: &[Update]) -> Result<(), Refused> {
        if let Some(last) = updates.iter().map(|update| update.slot as usize).max() {
            self.grow(last + 1);
        }
        let Self { shared, cells } = self;
        prefetch(updates, |slot| shared.algorithm.is_empty(&cells[slot]));
        for (index, update) in updates.iter().enumerate() {
            let refused = |error| Refused { index, error };
            let value = T::from_number(update.value).map_err(|error| refused(error.into()))?;
            let sample = Sample::new(update.at, value);
            shared.algorithm.update(&mut cells[update.slot as usize], sample).map_err(refused)?;
        }
        Ok(())
    }

    fn feed(&mut self, word: usize, slots: u64, at: u64, values: &Values) -> u64 {
        if slots == 0 {
            return 0;
        }
        let shared = Arc::clone(&self.shared);
        // Collects the refused bits: for an algorithm that never refuses, the compiler removes this.
        let mut refused = 0;
        let mut feed = |bit: usize, cell: &mut A::State| {
            let value = T::from_bits(values.bits[bit]);
            let sample = Sample { at, value, overflowed: values.overflowed >> bit & 1 == 1 };
            refused |= u64::from(shared.algorithm.update(cell, sample).is_err()) << bit;
        };
        let cells = self.grown_word(word, slots);
        if slots == u64::MAX {
            cells.iter_mut().enumerate().for_each(|(bit, cell)| feed(bit, cell));
        } else {
            bits(slots).for_each(|bit| feed(bit, &mut cells[bit]));
        }
        slots & !refused
    }

    fn pass_silence(&mut self, word: usize, slots: u64) {
        let Some(pass_silence) = self.shared.pass_silence.filter(|_| slots != 0) else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        pass_silence(&shared.algorithm, self.grown_word(word, slots), slots);
    }

    fn values(&self, word: usize, slots: u64, now: u64, values: &mut Values) {
        // Read once, not for each cell as in `Shared::value`.
        let Some((index, value_type)) = self.shared.value_field else {
            (values.valued, values.overflowed) = (0, 0);
            return;
        };
        let (mut valued, mut overflowed) = (0, 0);
        // Iterates over all cells and masks the result, because most words use every slot.
        for (bit, (cell, target)) in self.word(word).iter().zip(&mut values.bits).enumerate() {
            // A registered algorithm may have a value before the first sample; it is not a value of the period.
            if !self.shared.algorithm.is_empty(cell)
                && let Some(measured) = self.shared.algorithm.value(cell, now, index)
                && let Some(number) = measured.number.to_type(value_type)
            {
                *target = number.bits();
                valued |= 1 << bit;
                overflowed |= u64::from(measured.overflowed) << bit;
            }
        }
        (values.valued, values.overflowed) = (valued & slots, overflowed & slots);
    }

    fn occupied(&self, word: usize, slots: u64) -> u64 {
        let (algorithm, cells) = (&self.shared.algorithm, self.word(word));
        let is_occupied = |bit: &usize| cells.get(*bit).is_some_and(|cell| !algorithm.is_empty(cell));
        bits(slots).filter(is_occupied).fold(0, |occupied, bit| occupied | 1 << bit)
    }

    #[inline]
    fn is_empty(&self, slot: usize) -> bool {
        self.cells.get(slot).is_none_or(|cell| self.shared.algorithm.is_empty(cell))
    }

    fn report(&self, slot: usize, now: u64) -> Report<Record> {
        match self.cells.get(slot) {
            Some(cell) => self.shared.algorithm.report(cell, now),
            None => self.shared.algorithm.report(&self.shared.algorithm.start(), now),
        }
    }

    fn report_into(&self, slot: usize, now: u64, record: &mut Record) -> Report<()> {
        match self.cells.get(slot) {
            Some(cell) => self.shared.algorithm.report_into(cell, now, record),
            None => self.shared.algorithm.report_into(&self.shared.algorithm.start(), now, record),
        }
    }

    fn reports(&self, word: usize, slots: u64, now: u64, reports: &mut Reports) {
        let cells = self.word(word);
        for bit in bits(slots) {
            if let Some(cell) = cells.get(bit) {
                reports.set_with(bit, |record| self.shared.algorithm.report_into(cell, now, record));
            }
        }
    }

    fn merge(&mut self, slot: usize, from: &dyn Column, other: usize) -> Result<(), MergeError> {
        let from: &dyn Any = from;
        let from: &Self = from.downcast_ref().ok_or(MergeError::Foreign)?;
        let shared = Arc::clone(&self.shared);
        if !shared.entry.claim_list().merges {
            return Err(MergeError::NotMergeable);
        }
        let empty = shared.algorithm.start();
        self.grow(slot + 1);
        shared.algorithm.merge(&mut self.cells[slot], from.cells.get(other).unwrap_or(&empty))
    }

    fn clear_many(&mut self, first: usize, count: usize) {
        let first = first.min(self.cells.len());
        let end = first.saturating_add(count).min(self.cells.len());
        self.cells[first..end].fill(self.shared.algorithm.start());
    }

    fn take(&mut self, word: usize, slots: u64, from: &mut dyn Column) {
        let from: &mut dyn Any = from;
        if let Some(from) = from.downcast_mut::<Self>() {
            let shared = Arc::clone(&self.shared);
            let (to, from) = (self.grown_word(word, slots), from.grown_word(word, slots));
            for bit in bits(slots) {
                let next = shared.algorithm.next_period(&from[bit]);
                to[bit] = core::mem::replace(&mut from[bit], next);
            }
        }
    }

    fn end_period(&mut self, word: usize, slots: u64) {
        let first = word.saturating_mul(WORD).min(self.cells.len());
        let Self { shared, cells } = self;
        for (_, cell) in cells[first..].iter_mut().take(WORD).enumerate().filter(|(bit, _)| slots >> bit & 1 == 1) {
            *cell = shared.algorithm.next_period(cell);
        }
    }

    fn bytes(&self) -> usize {
        let algorithm = &self.shared.algorithm;
        let array = self.cells.capacity() * size_of::<A::State>();
        if algorithm.heap_bytes() == 0 {
            return array;
        }
        array + self.cells.iter().map(|cell| algorithm.allocated_bytes(cell)).sum::<usize>()
    }

    fn reserve(&mut self, slots: usize) {
        self.cells.reserve_exact(slots.saturating_sub(self.cells.len()));
    }

    fn shrink(&mut self, slots: usize) {
        self.cells.truncate(slots);
        self.cells.shrink_to_fit();
    }

    fn save(&self, slot: usize, words: &mut Vec<u64>) {
        let (algorithm, mut writer) = (&self.shared.algorithm, WordWriter::new(words));
        match self.cells.get(slot) {
            Some(cell) => algorithm.save(cell, &mut writer),
            None => algorithm.save(&algorithm.start(), &mut writer),
        }
    }

    fn restore(&mut self, slot: usize, version: u16, words: &mut Words<'_>) -> Result<(), RestoreError> {
        let state = self.shared.restore(version, words)?;
        self.grow(slot + 1);
        self.cells[slot] = state;
        Ok(())
    }
}
