//! The arithmetic of the three element types.
//!
//! Integers are exact. A sum or a difference outside the range of the type saturates, and the function returns a flag.

use core::fmt;

use crate::number::{Number, ValueError, ValueType};
use crate::wide::Wide;

/// An element type of the pipelines: `u64`, `i64` or `f64`.
///
/// Do not implement it for other types: [`Number`] has no variants for them.
pub trait Numeric: Wide + Copy + PartialEq + PartialOrd + fmt::Debug + Default + Send + Sync + 'static {
    /// The run-time name of this type.
    const TYPE: ValueType;

    /// The neutral element of addition, bit for bit: 0, for doubles -0.0.
    const NEUTRAL: Self;

    /// Wraps the value.
    fn into_number(self) -> Number;

    /// Converts a number to this type.
    ///
    /// Integers convert to each other if the value fits. Every integer converts to `f64`, rounded above 2^53, as by the
    /// cast of the original. A double never converts to an integer.
    ///
    /// # Errors
    ///
    /// [`ValueError::NotFinite`] for NaN and infinities, [`ValueError::WrongType`] if the value does not fit.
    fn from_number(number: Number) -> Result<Self, ValueError>;

    /// The nearest double.
    fn to_f64(self) -> f64;

    /// The saturating sum, and whether it is outside the range of the type.
    fn saturating_sum(self, other: Self) -> (Self, bool);

    /// The saturating difference, and whether it is outside the range of the type.
    fn saturating_difference(self, other: Self) -> (Self, bool);

    /// The mean of `sum` over `count` samples, truncated towards zero for integers; `count` is at least 1.
    fn quotient(sum: Self, count: u64) -> Self;

    /// The bits, for saved states.
    fn to_bits(self) -> u64;

    /// The inverse of [`to_bits`](Self::to_bits).
    fn from_bits(bits: u64) -> Self;
}

impl Numeric for u64 {
    const TYPE: ValueType = ValueType::U64;
    const NEUTRAL: Self = 0;

    fn into_number(self) -> Number {
        Number::U64(self)
    }

    fn from_number(number: Number) -> Result<Self, ValueError> {
        match number {
            Number::U64(value) => Ok(value),
            Number::I64(value) => Self::try_from(value).map_err(|_| wrong_type(number, Self::TYPE)),
            Number::F64(value) => Err(not_an_integer(value, Self::TYPE)),
        }
    }

    fn to_f64(self) -> f64 {
        self as f64
    }

    fn saturating_sum(self, other: Self) -> (Self, bool) {
        match self.checked_add(other) {
            Some(sum) => (sum, false),
            None => (Self::MAX, true),
        }
    }

    fn saturating_difference(self, other: Self) -> (Self, bool) {
        match self.checked_sub(other) {
            Some(difference) => (difference, false),
            None => (0, true),
        }
    }

    fn quotient(sum: Self, count: u64) -> Self {
        sum / count.max(1)
    }

    fn to_bits(self) -> u64 {
        self
    }

    fn from_bits(bits: u64) -> Self {
        bits
    }
}

impl Numeric for i64 {
    const TYPE: ValueType = ValueType::I64;
    const NEUTRAL: Self = 0;

    fn into_number(self) -> Number {
        Number::I64(self)
    }

    fn from_number(number: Number) -> Result<Self, ValueError> {
        match number {
            Number::I64(value) => Ok(value),
            Number::U64(value) => Self::try_from(value).map_err(|_| wrong_type(number, Self::TYPE)),
            Number::F64(value) => Err(not_an_integer(value, Self::TYPE)),
        }
    }

    fn to_f64(self) -> f64 {
        self as f64
    }

    fn saturating_sum(self, other: Self) -> (Self, bool) {
        match self.checked_add(other) {
            Some(sum) => (sum, false),
            None => (self.saturating_add(other), true),
        }
    }

    fn saturating_difference(self, other: Self) -> (Self, bool) {
        match self.checked_sub(other) {
            Some(difference) => (difference, false),
            None => (self.saturating_sub(other), true),
        }
    }

    fn quotient(sum: Self, count: u64) -> Self {
        // A count is below 2^63; the clamp avoids a panic path.
        sum / Self::try_from(count.max(1)).unwrap_or(Self::MAX)
    }

    fn to_bits(self) -> u64 {
        self as u64
    }

    fn from_bits(bits: u64) -> Self {
        bits as Self
    }
}

impl Numeric for f64 {
    const TYPE: ValueType = ValueType::F64;
    const NEUTRAL: Self = -0.0;

    fn into_number(self) -> Number {
        Number::F64(self)
    }

    fn from_number(number: Number) -> Result<Self, ValueError> {
        let value = number.as_f64();
        if value.is_finite() { Ok(value) } else { Err(ValueError::NotFinite { value }) }
    }

    fn to_f64(self) -> f64 {
        self
    }

    fn saturating_sum(self, other: Self) -> (Self, bool) {
        clamp_finite(self + other)
    }

    fn saturating_difference(self, other: Self) -> (Self, bool) {
        clamp_finite(self - other)
    }

    fn quotient(sum: Self, count: u64) -> Self {
        sum / count.max(1) as Self
    }

    fn to_bits(self) -> u64 {
        Self::to_bits(self)
    }

    fn from_bits(bits: u64) -> Self {
        Self::from_bits(bits)
    }
}

/// Saturates an infinite sum of finite doubles, and returns whether it is infinite, as for integers.
fn clamp_finite(value: f64) -> (f64, bool) {
    if value.is_finite() { (value, false) } else { (f64::MAX.copysign(value), true) }
}

fn wrong_type(value: Number, expected: ValueType) -> ValueError {
    ValueError::WrongType { value, expected }
}

fn not_an_integer(value: f64, expected: ValueType) -> ValueError {
    if value.is_finite() { wrong_type(Number::F64(value), expected) } else { ValueError::NotFinite { value } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_never_pass_through_doubles() {
        let odd = (1 << 53) + 1;
        assert_eq!(u64::from_number(Number::U64(odd)), Ok(odd));
        assert_eq!(i64::from_number(Number::U64(odd)), Ok(odd as i64));
    }

    #[test]
    fn a_refused_value_names_a_type_that_takes_it() {
        let cases = [
            (u64::from_number(Number::F64(1.5)).map(drop), "1.5", "u64", "F64"),
            (u64::from_number(Number::I64(-3)).map(drop), "-3", "u64", "I64"),
            (i64::from_number(Number::U64(u64::MAX)).map(drop), "18446744073709551615", "i64", "U64"),
        ];
        for (refused, value, expected, remedy) in cases {
            let sentence = format!(
                "the value {value} does not fit the type {expected} of this metric; compile the annotation for values \
                 of its type, with `Context::new(ValueType::{remedy})`"
            );
            assert_eq!(refused.expect_err("another type").to_string(), sentence);
        }
    }

    #[test]
    fn values_outside_the_type_are_refused() {
        assert!(u64::from_number(Number::I64(-1)).is_err());
        assert!(i64::from_number(Number::U64(u64::MAX)).is_err());
        assert!(u64::from_number(Number::F64(1.0)).is_err());
        assert!(f64::from_number(Number::F64(f64::NAN)).is_err());
        assert!(matches!(u64::from_number(Number::F64(f64::INFINITY)), Err(ValueError::NotFinite { .. })));
    }

    #[test]
    fn sums_stop_at_the_bound_and_report_it() {
        assert_eq!(u64::MAX.saturating_sum(1), (u64::MAX, true));
        assert_eq!(i64::MIN.saturating_sum(-1), (i64::MIN, true));
        assert_eq!(f64::MAX.saturating_sum(f64::MAX), (f64::MAX, true));
        assert_eq!(3u64.saturating_sum(4), (7, false));
    }

    #[test]
    fn a_mean_of_negative_integers_truncates_towards_zero() {
        assert_eq!(i64::quotient(-10, 3), -3);
    }

    #[test]
    fn doubles_take_the_nearest_of_every_integer() {
        let cases = [
            (Number::U64(5), 5.0),
            (Number::I64(-5), -5.0),
            (Number::F64(2.5), 2.5),
            (Number::U64((1 << 53) + 1), 9_007_199_254_740_992.0),
        ];
        for (number, double) in cases {
            assert_eq!(number.as_f64(), double, "{number}");
            assert_eq!(f64::from_number(number), Ok(double), "{number}");
        }
        assert_eq!((7u64.to_f64(), (-7i64).to_f64(), 7.5f64.to_f64()), (7.0, -7.0, 7.5));
    }

    #[test]
    fn differences_stop_at_the_bound_and_report_it() {
        assert_eq!(9u64.saturating_difference(4), (5, false));
        assert_eq!(4u64.saturating_difference(9), (0, true));
        assert_eq!((-9i64).saturating_difference(4), (-13, false));
        assert_eq!(i64::MIN.saturating_difference(1), (i64::MIN, true));
        assert_eq!(i64::MAX.saturating_difference(-1), (i64::MAX, true));
        assert_eq!(9.5f64.saturating_difference(4.0), (5.5, false));
        assert_eq!(f64::MIN.saturating_difference(f64::MAX), (f64::MIN, true));
    }

    #[test]
    fn sums_within_the_type_are_plain_sums() {
        assert_eq!((-3i64).saturating_sum(-4), (-7, false));
        assert_eq!(3.5f64.saturating_sum(4.0), (7.5, false));
        assert_eq!(f64::MIN.saturating_sum(f64::MIN), (f64::MIN, true));
    }

    #[test]
    fn a_mean_divides_and_of_nothing_is_the_sum() {
        assert_eq!((u64::quotient(11, 3), i64::quotient(11, 3), f64::quotient(11.0, 4)), (3, 3, 2.75));
        assert_eq!((u64::quotient(11, 0), i64::quotient(11, 0), f64::quotient(11.0, 0)), (11, 11, 11.0));
    }

    #[test]
    fn bits_and_neutral_elements_are_exact() {
        fn round_trip<T: Numeric>(value: T) {
            assert_eq!(T::from_bits(value.to_bits()), value);
            assert_eq!(Numeric::to_bits(T::NEUTRAL.saturating_sum(value).0), value.to_bits());
            assert_eq!(T::from_number(value.into_number()), Ok(value));
        }
        [0, 7, u64::MAX].into_iter().for_each(round_trip::<u64>);
        [0, -7, i64::MIN, i64::MAX].into_iter().for_each(round_trip::<i64>);
        [0.0, -0.0, -7.5, f64::MAX, f64::MIN_POSITIVE].into_iter().for_each(round_trip::<f64>);
        // Neither 0 nor 1, which a constant would give.
        assert_eq!((Numeric::to_bits(-2i64), Numeric::to_bits(7u64)), (u64::MAX - 1, 7));
    }
}
