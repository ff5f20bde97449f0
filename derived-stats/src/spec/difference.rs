//! The differences of a cumulative counter.

use crate::algorithm::UpdateError;
use crate::number::{Number, Numeric, ValueType};

/// The difference to the last reading. A decrease is a reset: the difference is then the new reading.
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
    match last.replace(reading.into_number()) {
        None => Ok(reading.into_number()),
        Some(before) => increase(T::from_number(before)?, reading),
    }
}

/// The increase of a cumulative counter of type `value_type` between two readings, by the rule of
/// [`MetricKind::Agg`](crate::MetricKind::Agg): their difference, or the second one if it is lower, as the counter was
/// reset. For callers that keep the readings themselves, such as one for each sender. Constant time.
///
/// ```
/// use derived_stats::{Number, ValueType, counter_increase};
///
/// let increase = |from, to| counter_increase(ValueType::U64, Number::U64(from), Number::U64(to));
/// assert_eq!(increase(1000, 1010), Ok(Number::U64(10)));
/// assert_eq!(increase(1010, 3), Ok(Number::U64(3)), "it was reset");
/// ```
///
/// # Errors
///
/// [`UpdateError::Value`] if a reading is not of the type, and [`UpdateError::DifferenceOverflow`] if the difference is
/// not.
pub fn counter_increase(value_type: ValueType, from: Number, to: Number) -> Result<Number, UpdateError> {
    difference(value_type, &mut Some(from), to)
}

fn increase<T: Numeric>(before: T, reading: T) -> Result<Number, UpdateError> {
    if reading < before {
        return Ok(reading.into_number());
    }
    match reading.saturating_difference(before) {
        (difference, false) => Ok(difference.into_number()),
        (_, true) => Err(UpdateError::DifferenceOverflow { from: before.into_number(), to: reading.into_number() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_counts_from_its_last_reading_and_from_0_after_a_reset() {
        let readings = [7, 7, 9, 3, 4].map(Number::U64);
        let mut last = None;
        let differences = readings.map(|reading| difference(ValueType::U64, &mut last, reading));
        assert_eq!(differences, [7, 0, 2, 3, 1].map(|difference| Ok(Number::U64(difference))));
        assert_eq!(last, Some(Number::U64(4)));
    }

    #[test]
    fn a_difference_beyond_the_type_is_an_error_and_the_reading_counts() {
        let (from, to) = (Number::I64(i64::MIN), Number::I64(i64::MAX));
        let mut last = Some(from);
        let overflow = Err(UpdateError::DifferenceOverflow { from, to });
        assert_eq!((difference(ValueType::I64, &mut last, to), last), (overflow, Some(to)));
    }

    #[test]
    fn a_reading_of_another_type_is_refused_and_does_not_count() {
        let mut last = Some(Number::U64(7));
        assert!(difference(ValueType::U64, &mut last, Number::F64(8.5)).is_err());
        assert_eq!(last, Some(Number::U64(7)));
    }
}
