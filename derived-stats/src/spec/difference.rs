//! The differencing of a cumulative counter.

use crate::algorithm::UpdateError;
use crate::number::{Number, Numeric, ValueType};

/// The difference to the last reading. A counter that falls was reset, so it grew by its new value.
pub(crate) fn difference(
    value_type: ValueType,
    last: &mut Option<Number>,
    reading: Number,
) -> Result<Number, UpdateError> {
    match value_type {
        ValueType::F64 => typed::<f64>(last, reading),
        ValueType::I64 => typed::<i64>(last, reading),
        ValueType::U64 => typed::<u64>(last, reading),
    }
}

fn typed<T: Numeric>(last: &mut Option<Number>, reading: Number) -> Result<Number, UpdateError> {
    let reading = T::from_number(reading)?;
    let Some(before) = last.replace(reading.into_number()) else {
        return Ok(reading.into_number());
    };
    let before = T::from_number(before)?;
    if reading < before {
        return Ok(reading.into_number());
    }
    match reading.saturating_difference(before) {
        (difference, false) => Ok(difference.into_number()),
        (_, true) => Err(UpdateError::DifferenceOverflow { from: before.into_number(), to: reading.into_number() }),
    }
}
