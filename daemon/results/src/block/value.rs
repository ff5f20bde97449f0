//! The encoding of one attribute's result.

use std::ops::Range;

use derived_stats::{Flaw, Number, Record, ValueType};

use crate::block::bytes::{BlockError, Reader, put_varint};

/// Appends the flaw and the first `numbers` numbers of a result.
#[inline]
pub fn put_value(out: &mut Vec<u8>, record: &Record, numbers: usize) {
    out.push(Flaw::code(record.flaw()));
    put_varint(out, types(record, 0..numbers.min(IN_WORD)));
    if numbers > IN_WORD {
        put_varint(out, types(record, IN_WORD..numbers));
    }
    for number in (0..numbers).filter_map(|index| record.get(index)) {
        let (bits, signed) = (number.bits(), number.bits().cast_signed());
        match number.value_type() {
            ValueType::U64 => put_varint(out, bits),
            ValueType::I64 => put_varint(out, (signed << 1 ^ signed >> 63).cast_unsigned()),
            ValueType::F64 => out.extend_from_slice(&bits.to_le_bytes()),
        }
    }
}

/// The number of numbers whose types are in one varint.
const IN_WORD: usize = 32;

/// Two bits for each number of the range.
#[inline]
fn types(record: &Record, numbers: Range<usize>) -> u64 {
    let code = |index| match record.get(index).map(Number::value_type) {
        None => 0u64,
        Some(ValueType::U64) => 1,
        Some(ValueType::I64) => 2,
        Some(ValueType::F64) => 3,
    };
    let first = numbers.start;
    numbers.map(|index| code(index) << (2 * (index - first))).sum()
}

/// Reads a result that [`put_value`] wrote with the same `numbers`.
///
/// # Errors
///
/// [`BlockError::Damaged`] if the bytes are invalid, or `numbers` exceeds [`Record::MAX_NUMBERS`].
#[inline]
pub fn read_value(reader: &mut Reader<'_>, numbers: usize) -> Result<Record, BlockError> {
    let (flaw, types) = read_head(reader, numbers)?;
    let mut damage = None;
    let found = (0..numbers).map(|index| {
        let word = types.get(index / IN_WORD).copied().unwrap_or(0);
        let number = read_one(reader, word >> (2 * (index % IN_WORD)));
        number.unwrap_or_else(|error| {
            damage.get_or_insert(error);
            None
        })
    });
    let record = Record::from_numbers(found);
    match (damage, record) {
        (Some(damage), _) => Err(damage),
        (None, Some(record)) => Ok(record.flawed(flaw)),
        (None, None) => Err(reader.damaged("types", numbers.to_string(), "at most 64 numbers")),
    }
}

/// Reads the number at `index` of a result that [`put_value`] wrote with the same `numbers`.
///
/// # Errors
///
/// As [`read_value`], up to the number.
#[inline]
pub(super) fn read_number(reader: &mut Reader<'_>, numbers: usize, index: usize) -> Result<Option<Number>, BlockError> {
    let (_, [mut types, others]) = read_head(reader, numbers)?;
    if index >= numbers {
        return Ok(None);
    }
    if index >= IN_WORD {
        skip_numbers(reader, types)?;
        types = others;
    }
    let place = 2 * (index % IN_WORD);
    skip_numbers(reader, types & !(u64::MAX << place))?;
    read_one(reader, types >> place)
}

/// Reads a number whose type is in the lowest two bits of `types`.
#[inline]
fn read_one(reader: &mut Reader<'_>, types: u64) -> Result<Option<Number>, BlockError> {
    Ok(match types & 3 {
        1 => Some(Number::U64(reader.varint("number")?)),
        2 => {
            let value = reader.varint("number")?;
            Some(Number::I64((value >> 1).cast_signed() ^ -((value & 1).cast_signed())))
        }
        3 => Some(Number::F64(f64::from_bits(u64::from_le_bytes(reader.array("number")?)))),
        _ => None,
    })
}

/// Skips a result that [`put_value`] wrote with the same `numbers`, and finds every error that [`read_value`] finds.
///
/// # Errors
///
/// As [`read_value`].
#[inline]
pub(super) fn skip_value(reader: &mut Reader<'_>, numbers: usize) -> Result<(), BlockError> {
    let (_, types) = read_head(reader, numbers)?;
    types.into_iter().try_for_each(|types| skip_numbers(reader, types))
}

/// Skips the numbers of these types.
#[inline]
fn skip_numbers(reader: &mut Reader<'_>, mut types: u64) -> Result<(), BlockError> {
    while types != 0 {
        match types & 3 {
            0 => {}
            3 => drop(reader.take(8, "number")?),
            _ => drop(reader.varint("number")?),
        }
        types >>= 2;
    }
    Ok(())
}

/// Reads what is in front of the numbers: the flaw, and the types of the first [`IN_WORD`] numbers and of the others.
#[inline]
fn read_head(reader: &mut Reader<'_>, numbers: usize) -> Result<(Option<Flaw>, [u64; 2]), BlockError> {
    let code = reader.byte("flaw")?;
    let flaw = Flaw::from_code(code).ok_or_else(|| reader.damaged("flaw", code.to_string(), "a known flaw"))?;
    let types = [reader.varint("types")?, if numbers > IN_WORD { reader.varint("types")? } else { 0 }];
    let (last, used) = if numbers > IN_WORD { (types[1], numbers - IN_WORD) } else { (types[0], numbers) };
    // A whole word has no bits behind its numbers.
    if numbers > Record::MAX_NUMBERS || used < IN_WORD && last >> (2 * used) != 0 {
        return Err(reader.damaged("types", format!("{last:#x}"), "two bits for each number of the attribute"));
    }
    Ok((flaw, types))
}
