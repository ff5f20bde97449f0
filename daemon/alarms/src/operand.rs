//! The values of a window's results, and how they compare.

use std::cmp::Ordering;

use derived_stats::{FieldValue, Number};
use serde_json::Value;

use crate::rule::{Absent, Operation};

/// One value of a result.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar {
    Number(Number),
    Text(Box<str>),
}

/// An operand in one window.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    /// The attribute has no result.
    Absent,
    /// A window of the attribute, over several periods, is still open.
    Open,
    /// The attribute has a result without this field.
    Null,
    /// One value; with a wildcard, several.
    Values(Vec<Scalar>),
}

impl Scalar {
    /// The content of a field; `None` for one of a kind that has no order.
    pub(crate) fn of(value: FieldValue<'_>) -> Option<Self> {
        match value {
            FieldValue::Number(number) => Some(Self::Number(number)),
            FieldValue::Text(text) => Some(Self::Text(text.into())),
            _ => None,
        }
    }

    /// The value of JSON, if it is a number or a text.
    fn of_json(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => {
                let whole = number.as_u64().map(Number::U64).or_else(|| number.as_i64().map(Number::I64));
                whole.or_else(|| number.as_f64().map(Number::F64)).map(Self::Number)
            }
            Value::String(text) => Some(Self::Text(text.as_str().into())),
            Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => None,
        }
    }

    /// Appends the value as JSON.
    pub(crate) fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Number(number) => proxy_uve::json::write_number(*number, out),
            Self::Text(text) => proxy_uve::json::write_text(text, out),
        }
    }

    /// The order of two numbers or two texts; `None` for a number and a text.
    fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => match (whole(*left), whole(*right)) {
                (Some(left), Some(right)) => Some(left.cmp(&right)),
                _ => left.as_f64().partial_cmp(&right.as_f64()),
            },
            (Self::Text(left), Self::Text(right)) => Some(left.cmp(right)),
            (Self::Number(_), Self::Text(_)) | (Self::Text(_), Self::Number(_)) => None,
        }
    }
}

/// An integer exactly: as doubles, large counters would be equal to their neighbours.
fn whole(number: Number) -> Option<i128> {
    match number {
        Number::I64(value) => Some(value.into()),
        Number::U64(value) => Some(value.into()),
        _ => None,
    }
}

/// Compares an operand with a constant; `None` if the period counts neither way.
pub(crate) fn compare(operation: Operation, left: &Operand, right: &Value, absent: Absent) -> Option<bool> {
    with_values(operation, left, absent, |values| values.iter().any(|left| holds(operation, left, right)))
}

/// Compares two operands.
pub(crate) fn compare_both(operation: Operation, left: &Operand, right: &Operand, absent: Absent) -> Option<bool> {
    let right = match (right, absent) {
        (Operand::Values(right), _) => right,
        (Operand::Absent | Operand::Null, Absent::Null) => return Some(false),
        (Operand::Open, _) | (_, Absent::Unknown) => return None,
    };
    with_values(operation, left, absent, |left| {
        left.iter().any(|left| right.iter().any(|right| holds_for_order(operation, left.order(right))))
    })
}

fn with_values(
    operation: Operation,
    left: &Operand,
    absent: Absent,
    holds: impl FnOnce(&[Scalar]) -> bool,
) -> Option<bool> {
    match (left, absent) {
        (Operand::Values(values), _) => Some(holds(values)),
        (Operand::Open, _) | (Operand::Absent | Operand::Null, Absent::Unknown) => None,
        (Operand::Absent, Absent::Null) => Some(false),
        (Operand::Null, Absent::Null) => Some(holds_for_null(operation)),
    }
}

/// Whether null satisfies a comparison, as in Contrail, where it is less than everything.
fn holds_for_null(operation: Operation) -> bool {
    match operation {
        Operation::AtMost | Operation::Less | Operation::NotEqual | Operation::NotIn | Operation::SizeNotEqual => true,
        Operation::AtLeast
        | Operation::Equal
        | Operation::Greater
        | Operation::In
        | Operation::Range
        | Operation::SizeEqual => false,
    }
}

fn holds(operation: Operation, left: &Scalar, right: &Value) -> bool {
    let equals =
        |value: &Value| Scalar::of_json(value).is_some_and(|value| left.order(&value) == Some(Ordering::Equal));
    let elements = || right.as_array().map(Vec::as_slice).unwrap_or_default();
    match operation {
        Operation::In => elements().iter().any(equals),
        Operation::NotIn => !elements().iter().any(equals),
        Operation::Range => match elements() {
            [low, high] => holds(Operation::AtLeast, left, low) && holds(Operation::AtMost, left, high),
            _ => false,
        },
        Operation::AtLeast
        | Operation::AtMost
        | Operation::Equal
        | Operation::Greater
        | Operation::Less
        | Operation::NotEqual
        | Operation::SizeEqual
        | Operation::SizeNotEqual => {
            holds_for_order(operation, Scalar::of_json(right).and_then(|right| left.order(&right)))
        }
    }
}

fn holds_for_order(operation: Operation, order: Option<Ordering>) -> bool {
    match operation {
        Operation::AtLeast => order.is_some_and(Ordering::is_ge),
        Operation::AtMost => order.is_some_and(Ordering::is_le),
        Operation::Equal | Operation::In | Operation::SizeEqual | Operation::Range => {
            order.is_some_and(Ordering::is_eq)
        }
        Operation::Greater => order.is_some_and(Ordering::is_gt),
        Operation::Less => order.is_some_and(Ordering::is_lt),
        Operation::NotEqual | Operation::NotIn | Operation::SizeNotEqual => !order.is_some_and(Ordering::is_eq),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: u64) -> Operand {
        Operand::Values(vec![Scalar::Number(Number::U64(value))])
    }

    #[test]
    fn every_operation_compares_as_in_contrail() {
        let text = Operand::Values(vec![Scalar::Text("up".into())]);
        let cases: [(&Operand, Operation, &str, bool); 17] = [
            (&number(5), Operation::Equal, "5.0", true),
            (&number(5), Operation::Equal, "\"5\"", false),
            (&number(5), Operation::NotEqual, "\"5\"", true),
            (&number(5), Operation::Greater, "5", false),
            (&number(5), Operation::AtLeast, "5", true),
            (&number(5), Operation::Less, "5.5", true),
            (&number(5), Operation::AtMost, "4", false),
            (&number(70), Operation::Range, "[70, 90]", true),
            (&number(90), Operation::Range, "[70, 90]", true),
            (&number(91), Operation::Range, "[70, 90]", false),
            (&number(5), Operation::In, "[1, 5]", true),
            (&number(5), Operation::NotIn, "[1, 5]", false),
            (&text, Operation::Equal, "\"up\"", true),
            (&text, Operation::In, "[\"down\", \"up\"]", true),
            (&text, Operation::Greater, "\"down\"", true),
            (&number(3), Operation::SizeEqual, "3", true),
            (&number(3), Operation::SizeNotEqual, "3", false),
        ];
        for (left, operation, right, expected) in cases {
            let right: Value = serde_json::from_str(right).unwrap();
            let found = compare(operation, left, &right, Absent::Null);
            assert_eq!(found, Some(expected), "{left:?} {operation:?} {right}");
        }
    }

    #[test]
    fn null_satisfies_what_it_satisfies_in_contrail_and_is_unknown_in_the_short_form() {
        let right: Value = serde_json::json!([1, 2]);
        for (operation, _) in Operation::ALL {
            let expected = matches!(operation.symbol(), "<" | "<=" | "!=" | "not in" | "size!=");
            assert_eq!(compare(operation, &Operand::Null, &right, Absent::Null), Some(expected), "{operation:?}");
            assert_eq!(compare(operation, &Operand::Absent, &right, Absent::Null), Some(false), "{operation:?}");
            assert_eq!(compare(operation, &Operand::Null, &right, Absent::Unknown), None, "{operation:?}");
            assert_eq!(compare(operation, &Operand::Open, &right, Absent::Null), None, "{operation:?}");
        }
    }

    #[test]
    fn large_integers_compare_exactly_and_wildcards_with_any_value() {
        let right = serde_json::json!(u64::MAX);
        assert_eq!(compare(Operation::Equal, &number(u64::MAX - 1), &right, Absent::Null), Some(false));
        let two = Operand::Values([3, 9].map(|value| Scalar::Number(Number::U64(value))).to_vec());
        assert_eq!(compare(Operation::Greater, &two, &serde_json::json!(5), Absent::Null), Some(true));
        assert_eq!(compare_both(Operation::Equal, &two, &number(9), Absent::Unknown), Some(true));
        assert_eq!(compare_both(Operation::Equal, &two, &Operand::Null, Absent::Unknown), None);
    }
}
