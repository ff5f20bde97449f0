//! The numbers of a result, in the order of an entry's fields.

use crate::number::Number;
use crate::report::Flaw;

/// The numbers of one result, in the order of the entry's numeric [fields](crate::entry::Field).
///
/// It has a fixed size and does not allocate. Records are equal if all numbers are equal bit for bit: 0.0 and -0.0 are
/// not.
///
/// ```
/// use derived_stats::{Number, Record};
///
/// let record = Record::new([Number::U64(3), Number::F64(0.5)]);
/// assert_eq!((record.len(), record.get(1), record.get(2)), (2, Some(Number::F64(0.5)), None));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    bits: [u64; Self::MAX_NUMBERS],
    /// Two bits for each number: 0 if it is absent, else its type.
    types: u32,
    len: u8,
    flaw: Option<Flaw>,
}

impl Record {
    /// The largest number of numbers in a result.
    pub const MAX_NUMBERS: usize = 10;

    /// A result with these numbers. More than [`MAX_NUMBERS`](Self::MAX_NUMBERS) numbers do not compile.
    #[inline(always)]
    pub fn new<const N: usize>(numbers: [Number; N]) -> Self {
        const { assert!(N <= Self::MAX_NUMBERS, "a result has at most 10 numbers") };
        let mut record = Self { bits: [0; Self::MAX_NUMBERS], types: 0, len: N as u8, flaw: None };
        // A `while` loop and not an iterator: it is unrolled, and the types are then constants.
        let mut index = 0;
        while index < N {
            let (tag, bits) = to_bits(numbers[index]);
            record.bits[index] = bits;
            record.types |= tag << (2 * index);
            index += 1;
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
        if index < Self::MAX_NUMBERS {
            self.types &= !(3 << (2 * index));
            self.bits[index] = 0;
        }
        self
    }

    /// A result with these numbers, of which some may be absent; `None` if there are too many.
    pub fn from_numbers(numbers: impl IntoIterator<Item = Option<Number>>) -> Option<Self> {
        let mut record = Self::new([]);
        for number in numbers {
            let index = usize::from(record.len);
            let bits = record.bits.get_mut(index)?;
            if let Some(number) = number {
                let (tag, value) = to_bits(number);
                *bits = value;
                record.types |= tag << (2 * index);
            }
            record.len += 1;
        }
        Some(record)
    }

    /// The number at `index`; `None` if it is absent.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Number> {
        let bits = *self.bits.get(index)?;
        match self.types >> (2 * index) & 3 {
            1 => Some(Number::U64(bits)),
            2 => Some(Number::I64(bits as i64)),
            3 => Some(Number::F64(f64::from_bits(bits))),
            _ => None,
        }
    }

    /// Whether every number is present and the result has no flaw.
    #[inline]
    pub fn is_whole(&self) -> bool {
        const LOW: u32 = 0x5555_5555;
        let present = (self.types | self.types >> 1) & LOW;
        self.flaw.is_none() && present == LOW & ((1 << (2 * u32::from(self.len))) - 1)
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

#[inline(always)]
fn to_bits(number: Number) -> (u32, u64) {
    match number {
        Number::U64(value) => (1, value),
        Number::I64(value) => (2, value as u64),
        Number::F64(value) => (3, value.to_bits()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_keeps_the_type_of_each_number() {
        let numbers = [Number::U64(u64::MAX), Number::I64(-1), Number::F64(-0.0)];
        let record = Record::new(numbers);
        assert_eq!(
            [0, 1, 2, 3].map(|index| record.get(index)),
            [Some(numbers[0]), Some(numbers[1]), Some(numbers[2]), None]
        );
        assert_eq!(record.without(1).get(1), None);
        assert_eq!((record.without(1).get(2), record.without(1).len()), (Some(numbers[2]), 3));
    }

    #[test]
    fn a_record_without_a_number_that_it_cannot_have_is_the_same() {
        let record = Record::new([Number::U64(7); Record::MAX_NUMBERS]);
        for index in [Record::MAX_NUMBERS, usize::MAX] {
            assert_eq!((record.without(index), record.get(index)), (record, None));
        }
    }

    #[test]
    fn a_record_is_whole_with_all_numbers_and_without_flaw() {
        for numbers in [vec![], vec![Number::U64(0)], vec![Number::I64(0); 9], vec![Number::F64(0.0); 10]] {
            let record = Record::from_numbers(numbers.iter().copied().map(Some)).expect("at most ten");
            assert!(record.is_whole(), "{record:?}");
            assert!(!record.flawed(Some(Flaw::TooLarge)).is_whole());
            (0..numbers.len())
                .for_each(|index| assert!(!record.without(index).is_whole(), "{record:?} without {index}"));
        }
    }

    #[test]
    fn a_record_from_numbers_has_room_for_ten() {
        let record = Record::from_numbers([Some(Number::U64(1)), None, Some(Number::F64(2.0))]);
        assert_eq!(record, Some(Record::new([Number::U64(1), Number::U64(0), Number::F64(2.0)]).without(1)));
        assert!(Record::from_numbers([None; 10]).is_some());
        assert!(Record::from_numbers([None; 11]).is_none());
    }
}
