//! The numbers of a result, in the order of an entry's fields.

use alloc::boxed::Box;

use crate::number::Number;
use crate::report::{Flaw, Report};

/// The numbers of one result, in the order of the entry's numeric [fields](crate::entry::Field).
///
/// Up to [`INLINE_NUMBERS`](Self::INLINE_NUMBERS) numbers are in the record itself. The others, of a histogram with
/// many bounds for example, are in a box of 448 bytes. A record that is [filled](Self::fill) again keeps its box, so
/// the results of many objects, one after the other, need one box.
///
/// Records are equal if all numbers are equal bit for bit: 0.0 and -0.0 are not.
///
/// ```
/// use derived_stats::{Number, Record};
///
/// let record = Record::new([Number::U64(3), Number::F64(0.5)]);
/// assert_eq!((record.len(), record.get(1), record.get(2)), (2, Some(Number::F64(0.5)), None));
/// ```
#[derive(Clone, Debug)]
pub struct Record {
    bits: [u64; Self::INLINE_NUMBERS],
    /// Two bits for each of these numbers: 0 if it is absent, else its type.
    types: u32,
    /// The number of all numbers.
    len: u8,
    flaw: Option<Flaw>,
    /// The other numbers. A record with few numbers ignores it.
    rest: Option<Box<Rest>>,
}

/// The numbers of a record that are not in the record itself.
#[derive(Clone, Debug, PartialEq)]
struct Rest {
    bits: [u64; Record::MAX_NUMBERS - Record::INLINE_NUMBERS],
    /// As in the record.
    types: u128,
}

impl Record {
    /// The largest number of numbers in a result.
    pub const MAX_NUMBERS: usize = 64;

    /// The number of numbers for which a record does not allocate.
    pub const INLINE_NUMBERS: usize = 10;

    /// A result with these numbers. More than [`MAX_NUMBERS`](Self::MAX_NUMBERS) numbers do not compile.
    #[inline(always)]
    pub fn new<const N: usize>(numbers: [Number; N]) -> Self {
        const { assert!(N <= Self::MAX_NUMBERS, "a result has at most 64 numbers") };
        let mut record = Self { bits: [0; Self::INLINE_NUMBERS], types: 0, len: 0, flaw: None, rest: None };
        let inline = const { if N < Self::INLINE_NUMBERS { N } else { Self::INLINE_NUMBERS } };
        // A `while` loop and not an iterator: it is unrolled, and the types are then constants.
        let mut index = 0;
        while index < inline {
            let (tag, bits) = to_bits(numbers[index]);
            record.bits[index] = bits;
            record.types |= tag << (2 * index);
            index += 1;
        }
        record.len = inline as u8;
        if N > Self::INLINE_NUMBERS {
            for number in numbers.into_iter().skip(Self::INLINE_NUMBERS) {
                // There is room for all.
                let _ = record.push(Some(number));
            }
        }
        record
    }

    /// The same result with a flaw, if there is one.
    #[inline]
    #[must_use]
    pub fn flawed(mut self, flaw: Option<Flaw>) -> Self {
        self.flaw = flaw;
        self
    }

    /// The same result without the number at `index`.
    #[inline]
    #[must_use]
    pub fn without(mut self, index: usize) -> Self {
        if let Some(bits) = self.bits.get_mut(index) {
            *bits = 0;
            self.types &= !(3 << (2 * index));
        } else if let Some((rest, index)) = self.rest.as_mut().zip(index.checked_sub(Self::INLINE_NUMBERS))
            && let Some(bits) = rest.bits.get_mut(index)
        {
            *bits = 0;
            rest.types &= !(3 << (2 * index));
        }
        self
    }

    /// A result with these numbers, of which some may be absent; `None` if there are too many.
    pub fn from_numbers(numbers: impl IntoIterator<Item = Option<Number>>) -> Option<Self> {
        let mut record = Self::new([]);
        record.fill(numbers).then_some(record)
    }

    /// Replaces the numbers, of which some may be absent, and removes the flaw. The record keeps its memory.
    ///
    /// Returns `false` if there are more than [`MAX_NUMBERS`](Self::MAX_NUMBERS); the record then has the first ones.
    ///
    /// ```
    /// use derived_stats::{Number, Record};
    ///
    /// let mut record = Record::new([]);
    /// assert!(record.fill((0..30).map(|number| Some(Number::U64(number)))));
    /// assert_eq!((record.len(), record.get(29)), (30, Some(Number::U64(29))));
    /// assert!(!record.fill([None; 65]));
    /// ```
    pub fn fill(&mut self, numbers: impl IntoIterator<Item = Option<Number>>) -> bool {
        self.clear();
        numbers.into_iter().all(|number| self.push(number))
    }

    /// Sets the number at `index`, one of those that the record was filled with; `false` for another index.
    pub fn set(&mut self, index: usize, number: Number) -> bool {
        if index >= self.len() {
            return false;
        }
        let (tag, bits) = to_bits(number);
        if let Some(place) = self.bits.get_mut(index) {
            *place = bits;
            self.types = self.types & !(3 << (2 * index)) | tag << (2 * index);
        } else if let Some((rest, index)) = self.rest.as_mut().zip(index.checked_sub(Self::INLINE_NUMBERS))
            && let Some(place) = rest.bits.get_mut(index)
        {
            *place = bits;
            rest.types = rest.types & !(3 << (2 * index)) | u128::from(tag) << (2 * index);
        }
        true
    }

    /// Removes the numbers and the flaw. The record keeps its memory.
    pub fn clear(&mut self) {
        (self.bits, self.types, self.len, self.flaw) = ([0; Self::INLINE_NUMBERS], 0, 0, None);
        if let Some(rest) = &mut self.rest {
            rest.types = 0;
        }
    }

    /// Sets the flaw.
    #[inline]
    pub fn set_flaw(&mut self, flaw: Option<Flaw>) {
        self.flaw = flaw;
    }

    /// Adds a number, which may be absent; `false` if the record is full.
    fn push(&mut self, number: Option<Number>) -> bool {
        let index = usize::from(self.len);
        let (tag, bits) = number.map_or((0, 0), to_bits);
        if let Some(place) = self.bits.get_mut(index) {
            *place = bits;
            self.types |= tag << (2 * index);
        } else {
            let index = index - Self::INLINE_NUMBERS;
            let rest = self.rest.get_or_insert_with(Rest::boxed);
            let Some(place) = rest.bits.get_mut(index) else {
                return false;
            };
            *place = bits;
            rest.types |= u128::from(tag) << (2 * index);
        }
        self.len += 1;
        true
    }

    /// Puts the result of a report into this record, and returns the report without it.
    #[inline]
    pub(crate) fn put(&mut self, report: Report<Self>) -> Report<()> {
        match report {
            Report::NotReady(None) => {
                self.clear();
                Report::NotReady(None)
            }
            report => report.map(|record| *self = record),
        }
    }

    /// The number at `index`; `None` if it is absent.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Number> {
        match self.bits.get(index) {
            Some(bits) => from_bits(self.types >> (2 * index) & 3, *bits),
            None => self.rest.as_ref()?.get(index - Self::INLINE_NUMBERS),
        }
    }

    /// Whether every number is present and the result has no flaw.
    #[inline]
    pub fn is_whole(&self) -> bool {
        const LOW: u32 = 0x5555_5555;
        let present = (self.types | self.types >> 1) & LOW;
        let inline = self.len.min(Self::INLINE_NUMBERS as u8);
        self.flaw.is_none() && present == LOW & ((1 << (2 * u32::from(inline))) - 1) && self.rest_is_whole()
    }

    #[inline]
    fn rest_is_whole(&self) -> bool {
        let rest = self.len().saturating_sub(Self::INLINE_NUMBERS);
        rest == 0 || (Self::INLINE_NUMBERS..self.len()).all(|index| self.get(index).is_some())
    }

    /// The number of numbers, absent ones included.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether the result has no numbers.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The flaw of the result.
    #[inline]
    pub fn flaw(&self) -> Option<Flaw> {
        self.flaw
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        let inline = |record: &Self| (record.bits, record.types, record.len, record.flaw);
        let mut rest = Self::INLINE_NUMBERS..self.len();
        // The types first, because the bits of two numbers may be equal and their types not.
        let number = |record: &Self, index| record.get(index).map(to_bits);
        inline(self) == inline(other) && rest.all(|index| number(self, index) == number(other, index))
    }
}

impl Rest {
    #[cold]
    fn boxed() -> Box<Self> {
        Box::new(Self { bits: [0; Record::MAX_NUMBERS - Record::INLINE_NUMBERS], types: 0 })
    }

    fn get(&self, index: usize) -> Option<Number> {
        let bits = *self.bits.get(index)?;
        from_bits((self.types >> (2 * index) & 3) as u32, bits)
    }
}

#[inline(always)]
fn to_bits(number: Number) -> (u32, u64) {
    match number {
        Number::U64(value) => (1, value),
        Number::I64(value) => (2, value as u64),
        Number::F64(value) => (3, value.to_bits()),
    }
}

/// The number of the two bits of a type; `None` if it is absent.
#[inline(always)]
fn from_bits(tag: u32, bits: u64) -> Option<Number> {
    match tag {
        1 => Some(Number::U64(bits)),
        2 => Some(Number::I64(bits as i64)),
        3 => Some(Number::F64(f64::from_bits(bits))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    /// Numbers of every type.
    fn numbers(count: usize) -> Vec<Option<Number>> {
        let number = |index| match index % 3 {
            0 => Number::U64(u64::MAX - index),
            1 => Number::I64(-1 - index as i64),
            _ => Number::F64(index as f64 + 0.5),
        };
        (0..count as u64).map(|index| Some(number(index))).collect()
    }

    fn record(numbers: &[Option<Number>]) -> Record {
        Record::from_numbers(numbers.iter().copied()).expect("not too many numbers")
    }

    #[test]
    fn a_record_keeps_the_type_of_each_number() {
        let numbers = [Number::U64(u64::MAX), Number::I64(-1), Number::F64(-0.0)];
        let record = Record::new(numbers);
        assert_eq!(
            [0, 1, 2, 3].map(|index| record.get(index)),
            [Some(numbers[0]), Some(numbers[1]), Some(numbers[2]), None]
        );
        assert_eq!(record.clone().without(1).get(1), None);
        assert_eq!((record.clone().without(1).get(2), record.without(1).len()), (Some(numbers[2]), 3));
    }

    #[test]
    fn numbers_beyond_the_record_itself_are_as_the_others() {
        let all = numbers(Record::MAX_NUMBERS);
        for count in [9, 10, 11, 42, 43, Record::MAX_NUMBERS] {
            let whole = record(&all[..count]);
            let found: Vec<_> = (0..=Record::MAX_NUMBERS).map(|index| whole.get(index)).collect();
            let absent = vec![None; Record::MAX_NUMBERS + 1 - count];
            assert_eq!((whole.len(), found), (count, [&all[..count], &absent].concat()));
            assert!(whole.is_whole());
            for index in 0..count {
                let mut expected = all[..count].to_vec();
                expected[index] = None;
                let without = whole.clone().without(index);
                assert_eq!(without, record(&expected), "{count} without {index}");
                assert!(without != whole && !without.is_whole(), "{count} without {index}");
            }
        }
        let numbers: [Number; 12] = core::array::from_fn(|index| Number::U64(index as u64));
        assert_eq!(Record::new(numbers), record(&numbers.map(Some)));
    }

    #[test]
    fn a_record_without_a_number_that_it_cannot_have_is_the_same() {
        for count in [Record::INLINE_NUMBERS, Record::MAX_NUMBERS] {
            let record = record(&numbers(count));
            for index in [Record::MAX_NUMBERS, usize::MAX] {
                assert_eq!((record.clone().without(index), record.get(index)), (record.clone(), None));
            }
        }
    }

    #[test]
    fn a_record_is_whole_with_all_numbers_and_without_flaw() {
        for numbers in [vec![], vec![Number::U64(0)], vec![Number::I64(0); 9], vec![Number::F64(0.0); 10]] {
            let record = Record::from_numbers(numbers.iter().copied().map(Some)).expect("at most ten");
            assert!(record.is_whole(), "{record:?}");
            assert!(!record.clone().flawed(Some(Flaw::TooLarge)).is_whole());
            (0..numbers.len())
                .for_each(|index| assert!(!record.clone().without(index).is_whole(), "{record:?} without {index}"));
        }
    }

    #[test]
    fn a_record_from_numbers_has_room_for_sixty_four() {
        let record = Record::from_numbers([Some(Number::U64(1)), None, Some(Number::F64(2.0))]);
        assert_eq!(record, Some(Record::new([Number::U64(1), Number::U64(0), Number::F64(2.0)]).without(1)));
        assert!(Record::from_numbers([None; 64]).is_some());
        assert!(Record::from_numbers([None; 65]).is_none());
    }

    #[test]
    fn a_number_replaces_another_one_or_an_absent_one() {
        for count in [Record::INLINE_NUMBERS, Record::MAX_NUMBERS] {
            let all = numbers(count);
            for old in [None, Some(Number::F64(-0.5))] {
                let mut found = record(&vec![old; count]);
                for (index, number) in all.iter().enumerate() {
                    assert!(found.set(index, number.expect("all are present")));
                }
                assert_eq!(found, record(&all));
                assert!(!found.set(count, Number::U64(0)) && found == record(&all));
            }
        }
    }

    #[test]
    fn a_record_that_is_filled_again_has_nothing_of_the_old_numbers() {
        let counts = [0, 3, 10, 11, Record::MAX_NUMBERS];
        for before in counts {
            for after in counts {
                let mut reused = record(&numbers(before)).flawed(Some(Flaw::Overflow));
                let mut other = numbers(after);
                other.iter_mut().step_by(2).for_each(|number| *number = None);
                assert!(reused.fill(other.iter().copied()));
                assert_eq!(reused, record(&other), "{after} after {before}");
                assert_eq!(reused.without(usize::MAX).flaw(), None);
            }
        }
        let mut full = Record::new([]);
        assert!(!full.fill([None; 65]));
        assert_eq!(full, record(&[None; 64]));
    }
}
