//! Exact arithmetic: integers in 128 bits, doubles in doubles.

use derived_stats::{Number, ValueType};

use super::quirk::{Quirk, Quirks};

/// A sample or a sum: an exact integer, or a double.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Exact {
    Int(i128),
    Float(f64),
}

impl Exact {
    pub(super) fn of(value: Number) -> Self {
        match value.value_type() {
            ValueType::F64 => Self::Float(value.as_f64()),
            ValueType::I64 => Self::Int(value.bits().cast_signed().into()),
            ValueType::U64 => Self::Int(value.bits().into()),
        }
    }

    pub(super) fn zero(kind: ValueType) -> Self {
        if kind == ValueType::F64 { Self::Float(0.0) } else { Self::Int(0) }
    }

    pub(super) fn combined(self, other: Self, sign: i8) -> Self {
        match (self, other) {
            (Self::Int(left), Self::Int(right)) => Self::Int(left + right * i128::from(sign)),
            (left, right) => Self::Float(left.double() + right.double() * f64::from(sign)),
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        self.combined(other, 1)
    }

    pub(super) fn minus(self, other: Self) -> Self {
        self.combined(other, -1)
    }

    pub(super) fn over(self, count: usize) -> Self {
        match self {
            Self::Int(sum) => Self::Int(sum / i128::try_from(count).unwrap()),
            Self::Float(sum) => Self::Float(sum / count as f64),
        }
    }

    pub(super) fn double(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
        }
    }

    pub(super) fn is_zero(self) -> bool {
        self.double() == 0.0
    }

    /// The value in its type, which it must fit.
    pub(super) fn number(self, kind: ValueType) -> Number {
        match self {
            Self::Float(value) => Number::F64(value),
            value => value.bounded(kind).0,
        }
    }

    /// The value in its type: modulo 2^64 with the quirk, else within the bounds, and whether it is the bound.
    pub(super) fn fitted(self, kind: ValueType, quirks: Quirks) -> (Number, bool) {
        match self {
            Self::Int(value) if kind == ValueType::U64 && quirks.contains(&Quirk::Wraps) => {
                (Number::U64(value as u64), false)
            }
            _ => self.bounded(kind),
        }
    }

    /// The mean of a sum; with the quirk, of its 64 bits taken as unsigned and cut to the `i32` of the vectors.
    pub(super) fn mean(self, count: usize, quirks: Quirks) -> Self {
        match self {
            Self::Int(sum) if sum < 0 && quirks.contains(&Quirk::Wraps) => {
                Self::Int((sum as u64 / count as u64) as i32 as i128)
            }
            sum => sum.over(count),
        }
    }

    /// The value within its type, and whether that is the bound.
    pub(super) fn bounded(self, kind: ValueType) -> (Number, bool) {
        let (low, high) =
            if kind == ValueType::U64 { (0, u64::MAX.into()) } else { (i64::MIN.into(), i64::MAX.into()) };
        match self {
            Self::Float(value) if value.is_finite() => (Number::F64(value), false),
            Self::Float(value) => (Number::F64(f64::MAX.copysign(value)), true),
            Self::Int(value) => {
                let bounded: i128 = value.clamp(low, high);
                let number = match kind {
                    ValueType::U64 => Number::U64(bounded as u64),
                    _ => Number::I64(bounded as i64),
                };
                (number, bounded != value)
            }
        }
    }
}
