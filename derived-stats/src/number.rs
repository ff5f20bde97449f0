//! Sample values: exact integers and finite floats.
//!
//! The original is a C++ template over the element type of the raw attribute. Here the element type is a run-time
//! property of a pipeline ([`ValueType`]), and the arithmetic is generic over [`Numeric`]: integers are never converted
//! to doubles, and an overflow is reported instead of wrapping.

mod numeric;

use core::fmt;

pub use self::numeric::Numeric;

/// The element type of a raw metric.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "lowercase"))]
pub enum ValueType {
    /// Finite IEEE-754 doubles.
    F64,
    /// Signed integers, -2^63 to 2^63-1.
    I64,
    /// Unsigned integers, 0 to 2^64-1: the type of Contrail counters.
    U64,
}

impl ValueType {
    /// Whether a value has this type or converts to it; see [`Numeric::from_number`].
    #[inline]
    pub fn accepts(self, value: Number) -> bool {
        value.to_type(self).is_some()
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F64 => "f64",
            Self::I64 => "i64",
            Self::U64 => "u64",
        })
    }
}

/// A value with its type.
///
/// Two numbers are equal if their types and values are: `U64(1) != F64(1.0)`.
///
/// More variants may be added. Code outside of this crate branches on [`value_type`](Self::value_type), and reads the
/// value with [`bits`](Self::bits) or [`as_f64`](Self::as_f64):
///
/// ```
/// use derived_stats::{Number, ValueType};
///
/// let text = |number: Number| match number.value_type() {
///     ValueType::F64 => format!("{:.1}", number.as_f64()),
///     ValueType::I64 => number.bits().cast_signed().to_string(),
///     ValueType::U64 => number.bits().to_string(),
/// };
/// let numbers = [Number::F64(0.25), Number::I64(-3), Number::U64(u64::MAX)];
/// assert_eq!(numbers.map(text), ["0.2", "-3", "18446744073709551615"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(untagged))]
pub enum Number {
    /// An unsigned integer.
    U64(u64),
    /// A signed integer.
    I64(i64),
    /// A double. Pipelines refuse NaN and infinities.
    F64(f64),
}

impl Number {
    /// The type of the value.
    #[inline]
    pub fn value_type(self) -> ValueType {
        match self {
            Self::F64(_) => ValueType::F64,
            Self::I64(_) => ValueType::I64,
            Self::U64(_) => ValueType::U64,
        }
    }

    /// The bits of the value in its own type.
    #[inline]
    pub fn bits(self) -> u64 {
        match self {
            Self::F64(value) => value.to_bits(),
            Self::I64(value) => value as u64,
            Self::U64(value) => value,
        }
    }

    /// The value of a type with these bits; the inverse of [`bits`](Self::bits).
    #[inline]
    pub fn from_bits(value_type: ValueType, bits: u64) -> Self {
        match value_type {
            ValueType::F64 => Self::F64(f64::from_bits(bits)),
            ValueType::I64 => Self::I64(bits as i64),
            ValueType::U64 => Self::U64(bits),
        }
    }

    /// Whether the value is neither NaN nor an infinity. Every integer is finite.
    #[inline]
    pub fn is_finite(self) -> bool {
        match self {
            Self::F64(value) => value.is_finite(),
            Self::I64(_) | Self::U64(_) => true,
        }
    }

    /// The same value as a number of another type; `None` if [`Numeric::from_number`] refuses it.
    ///
    /// ```
    /// use derived_stats::{Number, ValueType};
    ///
    /// assert_eq!(Number::U64(7).to_type(ValueType::F64), Some(Number::F64(7.0)));
    /// assert_eq!(Number::I64(-7).to_type(ValueType::U64), None);
    /// ```
    #[inline]
    pub fn to_type(self, value_type: ValueType) -> Option<Self> {
        match (value_type, self) {
            (ValueType::I64, Self::I64(_)) | (ValueType::U64, Self::U64(_)) => Some(self),
            (ValueType::F64, _) => f64::from_number(self).map(Self::F64).ok(),
            (ValueType::I64, _) => i64::from_number(self).map(Self::I64).ok(),
            (ValueType::U64, _) => u64::from_number(self).map(Self::U64).ok(),
        }
    }

    /// The nearest double. Integers above 2^53 are rounded to even.
    #[inline]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::F64(value) => value,
            Self::I64(value) => value as f64,
            Self::U64(value) => value as f64,
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F64(value) => write!(f, "{value:?}"),
            Self::I64(value) => write!(f, "{value}"),
            Self::U64(value) => write!(f, "{value}"),
        }
    }
}

/// The reason why a value cannot be a sample of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// NaN or an infinity, which would make every later result NaN or an infinity.
    #[error("the value {value} is not finite; send finite numbers only")]
    NotFinite {
        /// The refused value.
        value: f64,
    },
    /// The number does not convert to the type of the pipeline.
    #[error(
        "the value {value} does not fit the type {expected} of this metric; compile the annotation for values of its \
         type, with `Context::new(ValueType::{:?})`",
        value.value_type()
    )]
    WrongType {
        /// The refused value.
        value: Number,
        /// The type of the samples of the pipeline.
        expected: ValueType,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_printed_so_that_its_type_can_be_recognised() {
        let cases =
            [(Number::U64(7), "7"), (Number::I64(-7), "-7"), (Number::F64(7.0), "7.0"), (Number::F64(-0.0), "-0.0")];
        for (number, text) in cases {
            assert_eq!(number.to_string(), text);
        }
        let types = [ValueType::F64, ValueType::I64, ValueType::U64].map(|value| value.to_string());
        assert_eq!(types, ["f64", "i64", "u64"]);
    }

    #[test]
    fn every_number_but_nan_and_the_infinities_is_finite() {
        for number in [Number::U64(u64::MAX), Number::I64(i64::MIN), Number::F64(f64::MAX), Number::F64(-0.0)] {
            assert!(number.is_finite(), "{number}");
        }
        for double in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(!Number::F64(double).is_finite(), "{double}");
        }
    }
}
