//! The values of a window's results, and how they compare: in the short form numbers with numbers and texts with texts,
//! and a value that is not there with nothing; in Contrail's rules as `alarmgen.py` does.

mod loaded;

use std::cmp::Ordering;

use derived_stats::{FieldValue, Number};
use serde_json::Value;

use self::loaded::Loaded;
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
    /// One value; with a wildcard, several or none.
    Values(Vec<Scalar>),
}

/// The right operand of a comparison.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side<'o> {
    Constant(&'o Value),
    Operand(&'o Operand),
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
            Value::Number(number) => Self::number(number).map(Self::Number),
            Value::String(text) => Some(Self::Text(text.as_str().into())),
            Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => None,
        }
    }

    /// A number of JSON.
    fn number(number: &serde_json::Number) -> Option<Number> {
        let whole = number.as_u64().map(Number::U64).or_else(|| number.as_i64().map(Number::I64));
        whole.or_else(|| number.as_f64().map(Number::F64))
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

impl Operand {
    /// The number of its elements: null is one.
    fn len(&self) -> usize {
        match self {
            Self::Absent | Self::Open => 0,
            Self::Null => 1,
            Self::Values(values) => values.len(),
        }
    }

    /// An element; `None` for null.
    pub(crate) fn get(&self, index: usize) -> Option<&Scalar> {
        match self {
            Self::Absent | Self::Open | Self::Null => None,
            Self::Values(values) => values.get(index),
        }
    }

    /// Whether no comparison with it is true or false.
    fn is_unknown(&self, absent: Absent) -> bool {
        match (self, absent) {
            (Self::Open, _) => true,
            (_, Absent::Null) => false,
            (Self::Absent | Self::Null, Absent::Unknown) => true,
            (Self::Values(values), Absent::Unknown) => values.is_empty(),
        }
    }
}

/// Compares an operand with another or a constant; `None` if the period counts neither way.
pub(crate) fn compare(operation: Operation, left: &Operand, right: Side<'_>, absent: Absent) -> Option<bool> {
    let mut pairs = pairs(left, right, absent)?;
    Some(match absent {
        Absent::Unknown => pairs.any(|(one, other)| holds_for(operation, left.get(one), right, other)),
        Absent::Null => {
            let loaded = Loadable::new(right);
            pairs.any(|(one, other)| loaded.holds(operation, left.get(one), other))
        }
    })
}

/// The pairs of elements of which a comparison is true: that of the left operand and that of the right one. A constant is
/// one element.
pub(crate) fn matching(operation: Operation, left: &Operand, right: Side<'_>, absent: Absent) -> Vec<(usize, usize)> {
    let pairs = pairs(left, right, absent).into_iter().flatten();
    match absent {
        Absent::Unknown => pairs.filter(|(one, other)| holds_for(operation, left.get(*one), right, *other)).collect(),
        Absent::Null => {
            let loaded = Loadable::new(right);
            pairs.filter(|(one, other)| loaded.holds(operation, left.get(*one), *other)).collect()
        }
    }
}

/// The pairs of elements that are compared; `None` if the period counts neither way. Contrail compares two operands with
/// wildcards element by element, and if they have different numbers of them nothing is true.
fn pairs(left: &Operand, right: Side<'_>, absent: Absent) -> Option<impl Iterator<Item = (usize, usize)>> {
    let (all, others) = match right {
        Side::Constant(_) => (left.len(), 1),
        // A result that is not there makes a comparison of Contrail false, whatever the other side is.
        _ if absent == Absent::Null && *left == Operand::Absent => (0, 0),
        Side::Operand(Operand::Absent) if absent == Absent::Null => (0, 0),
        Side::Operand(right) if right.is_unknown(absent) => return None,
        Side::Operand(right) => (left.len(), right.len()),
    };
    if left.is_unknown(absent) && (all, others) != (0, 0) {
        return None;
    }
    let is_one_by_one = absent == Absent::Null && all > 1 && others > 1;
    let all = if is_one_by_one && all != others { 0 } else { all };
    let partners = move |index: usize| if is_one_by_one { index..index + 1 } else { 0..others };
    Some((0..all).flat_map(move |index| partners(index).map(move |other| (index, other))))
}

/// A right operand of Contrail's rules: a constant is read once.
enum Loadable<'o> {
    Constant(Loaded),
    Operand(&'o Operand),
}

impl<'o> Loadable<'o> {
    fn new(right: Side<'o>) -> Self {
        match right {
            Side::Constant(value) => Self::Constant(Loaded::of_constant(value)),
            Side::Operand(operand) => Self::Operand(operand),
        }
    }

    fn holds(&self, operation: Operation, left: Option<&Scalar>, other: usize) -> bool {
        match self {
            Self::Constant(value) => loaded::holds(operation, &Loaded::of(left), value),
            Self::Operand(right) => loaded::holds(operation, &Loaded::of(left), &Loaded::of(right.get(other))),
        }
    }
}

/// Compares an element as in the short form.
fn holds_for(operation: Operation, left: Option<&Scalar>, right: Side<'_>, other: usize) -> bool {
    left.is_some_and(|left| match right {
        Side::Constant(value) => holds(operation, left, value),
        Side::Operand(right) => right.get(other).is_some_and(|right| holds_for_order(operation, left.order(right))),
    })
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

    fn texts(values: &[&str]) -> Operand {
        Operand::Values(values.iter().map(|text| Scalar::Text((*text).into())).collect())
    }

    fn with(operation: &str, left: &Operand, right: &str, absent: Absent) -> Option<bool> {
        let operation = Operation::parse(operation).unwrap_or_else(|| panic!("{operation}"));
        let right: Value = serde_json::from_str(right).unwrap_or_else(|error| panic!("{right}: {error}"));
        compare(operation, left, Side::Constant(&right), absent)
    }

    #[test]
    fn numbers_and_texts_compare_in_the_short_form_with_their_like() {
        let text = texts(&["up"]);
        let cases = [
            (&number(5), "==", "5.0", true),
            (&number(5), "==", "\"5\"", false),
            (&number(5), "!=", "\"5\"", true),
            (&number(5), ">", "5", false),
            (&number(5), ">=", "5", true),
            (&number(5), "<", "5.5", true),
            (&number(5), "<=", "4", false),
            (&number(70), "range", "[70, 90]", true),
            (&number(90), "range", "[70, 90]", true),
            (&number(91), "range", "[70, 90]", false),
            (&number(5), "in", "[1, 5]", true),
            (&number(5), "not in", "[1, 5]", false),
            (&text, "==", "\"up\"", true),
            (&text, "in", "[\"down\", \"up\"]", true),
            (&text, ">", "\"down\"", true),
            (&texts(&["0.1"]), "==", "0.1", false),
            (&texts(&["0.1"]), "==", "\"0.1\"", true),
            (&number(3), "size==", "3", true),
            (&number(3), "size!=", "3", false),
        ];
        for (left, operation, right, expected) in cases {
            assert_eq!(with(operation, left, right, Absent::Unknown), Some(expected), "{left:?} {operation} {right}");
        }
    }

    /// What `_compare_operand_vals` of alarmgen.py returns under Python 2: the left value as JSON, the operation, the text
    /// of `json_value`.
    const ALARMGEN: &[(&str, &str, &str, bool)] = &[
        ("5", "==", "5.0", true),
        ("5", "==", "\"5\"", true),
        ("5", "!=", "\"5\"", false),
        ("5", "<", "\"x\"", true),
        ("5", ">", "\"x\"", false),
        ("5", "!=", "null", true),
        ("5", "==", "null", false),
        ("5", ">", "null", true),
        ("5", "in", "[1, 5]", true),
        ("5", "in", "[\"5\"]", false),
        ("5", "not in", "[1, 5]", false),
        ("5", "in", "5", false),
        ("5", "not in", "5", true),
        ("5", "range", "[5, 5]", true),
        ("5", "range", "[6, 9]", false),
        ("5", "size==", "5", false),
        ("5", "size!=", "5", true),
        ("1", "==", "true", true),
        ("null", "==", "null", true),
        ("null", "!=", "null", false),
        ("null", "<", "null", false),
        ("null", "<=", "null", true),
        ("null", ">=", "null", true),
        ("null", "in", "[null]", true),
        ("null", "not in", "[null]", false),
        ("null", "in", "[1]", false),
        ("null", "not in", "[1]", true),
        ("null", "<", "-5", true),
        ("null", "<=", "-5", true),
        ("null", ">", "-5", false),
        ("null", "!=", "1", true),
        ("null", "range", "[-5, 5]", false),
        ("null", "size==", "0", false),
        ("null", "size!=", "0", true),
        ("\"0.1\"", "==", "0.1", true),
        ("\"0.1\"", "!=", "0.1", false),
        ("\"0.1\"", "==", "\"0.1\"", true),
        ("\"0.1\"", "!=", "\"0.1\"", false),
        ("\"0.1\"", ">", "0.09", true),
        ("\"0.1\"", "in", "[0.1]", true),
        ("\"0.1\"", "in", "[\"0.1\"]", false),
        ("\"0.1\"", "range", "[0, 1]", true),
        ("\"up\"", "==", "\"up\"", true),
        ("\"up\"", ">", "5", true),
        ("\"up\"", ">", "\"down\"", true),
        ("\"up\"", "in", "[\"down\", \"up\"]", true),
        ("\"null\"", "==", "null", true),
        ("\"[1, 2, 3]\"", "size==", "3", true),
        ("\"[1, 2, 3]\"", "size!=", "3", false),
        ("\"[1, 2, 3]\"", ">", "[1, 2]", true),
        ("\"[1, 2, 3]\"", "==", "[1, 2, 3]", true),
    ];

    #[test]
    fn every_operation_compares_in_contrails_rules_as_in_alarmgen() {
        for (left, operation, right, expected) in ALARMGEN {
            let operand = match serde_json::from_str(left).unwrap_or_else(|error| panic!("{left}: {error}")) {
                Value::Null => Operand::Null,
                value => Operand::Values(Scalar::of_json(&value).into_iter().collect()),
            };
            assert_eq!(with(operation, &operand, right, Absent::Null), Some(*expected), "{left} {operation} {right}");
        }
    }

    #[test]
    fn a_result_that_is_not_there_is_false_in_contrail_and_a_missing_value_unknown_in_the_short_form() {
        let two = Value::Null;
        for (operation, text) in Operation::ALL {
            let right = Side::Constant(&two);
            assert_eq!(compare(operation, &Operand::Absent, right, Absent::Null), Some(false), "{text}");
            assert_eq!(compare(operation, &Operand::Open, right, Absent::Null), None, "{text}");
            for left in [Operand::Null, Operand::Absent, Operand::Open, Operand::Values(Vec::new())] {
                assert_eq!(compare(operation, &left, right, Absent::Unknown), None, "{left:?} {text}");
            }
            // No element of a wildcard is there.
            assert_eq!(compare(operation, &Operand::Values(Vec::new()), right, Absent::Null), Some(false), "{text}");
            let absent = Side::Operand(&Operand::Absent);
            assert_eq!(compare(operation, &Operand::Open, absent, Absent::Null), Some(false), "{text}");
        }
        let null = Side::Operand(&Operand::Null);
        assert_eq!(compare(Operation::Equal, &Operand::Null, null, Absent::Null), Some(true));
        assert_eq!(compare(Operation::Greater, &number(0), null, Absent::Null), Some(true));
        assert_eq!(compare(Operation::Greater, &number(0), null, Absent::Unknown), None);
    }

    #[test]
    fn large_integers_compare_exactly_and_wildcards_with_any_value() {
        let right = u64::MAX.to_string();
        assert_eq!(with("==", &number(u64::MAX - 1), &right, Absent::Null), Some(false));
        let two = Operand::Values([3, 9].map(|value| Scalar::Number(Number::U64(value))).to_vec());
        assert_eq!(with(">", &two, "5", Absent::Null), Some(true));
        assert_eq!(compare(Operation::Equal, &two, Side::Operand(&number(9)), Absent::Unknown), Some(true));
        // Two wildcards: Contrail pairs their elements.
        let turned = Operand::Values([9, 3].map(|value| Scalar::Number(Number::U64(value))).to_vec());
        assert_eq!(compare(Operation::Equal, &two, Side::Operand(&turned), Absent::Unknown), Some(true));
        assert_eq!(compare(Operation::Equal, &two, Side::Operand(&turned), Absent::Null), Some(false));
        assert_eq!(matching(Operation::Less, &two, Side::Operand(&turned), Absent::Null), [(0, 0)]);
        assert_eq!(
            matching(Operation::AtLeast, &two, Side::Constant(&Value::from(3)), Absent::Unknown),
            [(0, 0), (1, 0)]
        );
    }
}
