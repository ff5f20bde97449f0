//! The encoding of one attribute's result.

use derived_stats::{Flaw, Number, Record, ValueType};

use crate::block::bytes::{BlockError, Reader, put_varint};

/// Appends the flaw and the first `numbers` numbers of a result.
#[inline]
pub fn put_value(out: &mut Vec<u8>, record: &Record, numbers: usize) {
    out.push(Flaw::code(record.flaw()));
    let code = |index| match record.get(index).map(Number::value_type) {
        None => 0u64,
        Some(ValueType::U64) => 1,
        Some(ValueType::I64) => 2,
        Some(ValueType::F64) => 3,
    };
    put_varint(out, (0..numbers).map(|index| code(index) << (2 * index)).sum());
    for number in (0..numbers).filter_map(|index| record.get(index)) {
        let (bits, signed) = (number.bits(), number.bits().cast_signed());
        match number.value_type() {
            ValueType::U64 => put_varint(out, bits),
            ValueType::I64 => put_varint(out, (signed << 1 ^ signed >> 63).cast_unsigned()),
            ValueType::F64 => out.extend_from_slice(&bits.to_le_bytes()),
        }
    }
}

/// Reads a result that [`put_value`] wrote with the same `numbers`.
///
/// # Errors
///
/// [`BlockError::Damaged`] if the bytes are invalid, or `numbers` exceeds [`Record::MAX_NUMBERS`].
#[inline]
pub fn read_value(reader: &mut Reader<'_>, numbers: usize) -> Result<Record, BlockError> {
    let (flaw, types) = read_head(reader, numbers)?;
    let mut found = [None; Record::MAX_NUMBERS];
    for (index, number) in found.iter_mut().enumerate().take(numbers) {
        *number = read_one(reader, types >> (2 * index))?;
    }
    let record = Record::from_numbers(found.into_iter().take(numbers));
    let record = record.ok_or_else(|| reader.damaged("types", numbers.to_string(), "at most 10 numbers"))?;
    Ok(record.flawed(flaw))
}

/// Reads the number at `index` of a result that [`put_value`] wrote with the same `numbers`.
///
/// # Errors
///
/// As [`read_value`], up to the number.
#[inline]
pub(super) fn read_number(reader: &mut Reader<'_>, numbers: usize, index: usize) -> Result<Option<Number>, BlockError> {
    let (_, types) = read_head(reader, numbers)?;
    if index >= numbers {
        return Ok(None);
    }
    skip_numbers(reader, types & !(u64::MAX << (2 * index)))?;
    read_one(reader, types >> (2 * index))
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
    skip_numbers(reader, types)
}

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

/// Reads what is in front of the numbers: the flaw, and the type of each number.
#[inline]
fn read_head(reader: &mut Reader<'_>, numbers: usize) -> Result<(Option<Flaw>, u64), BlockError> {
    let code = reader.byte("flaw")?;
    let flaw = Flaw::from_code(code).ok_or_else(|| reader.damaged("flaw", code.to_string(), "a known flaw"))?;
    let types = reader.varint("types")?;
    if numbers > Record::MAX_NUMBERS || types >> (2 * numbers) != 0 {
        return Err(reader.damaged("types", format!("{types:#x}"), "two bits for each number of the attribute"));
    }
    Ok((flaw, types))
}
