//! Values as Contrail compares them: `_compare_operand_vals` of `alarmgen.py` in
//! <https://github.com/tungstenfabric/tf-analytics> passes both sides to `json.loads`, keeps what is no JSON, and compares
//! with the operators of Python 2. There null equals null, is less than everything else, and a number is less than a list
//! and a text.

use std::cmp::Ordering;

use derived_stats::Number;
use serde_json::{Map, Value};

use super::{Scalar, holds_for_order};
use crate::rule::Operation;

/// A value after `json.loads`.
#[derive(Clone, Debug)]
pub(super) enum Loaded {
    Null,
    /// A boolean is 0 or 1, as in Python.
    Number(Number),
    Map(Map<String, Value>),
    List(Vec<Self>),
    Text(Box<str>),
}

impl Loaded {
    /// A value of a result; `None` is null.
    pub(super) fn of(value: Option<&Scalar>) -> Self {
        match value {
            None => Self::Null,
            Some(Scalar::Number(number)) => Self::Number(*number),
            Some(Scalar::Text(text)) => Self::of_text(text),
        }
    }

    /// A constant: what is read from it is read once more if it is a text.
    pub(super) fn of_constant(value: &Value) -> Self {
        match value {
            Value::String(text) => Self::of_text(text),
            _ => Self::of_value(value),
        }
    }

    fn of_text(text: &str) -> Self {
        serde_json::from_str(text).map_or_else(|_| Self::Text(text.into()), |value| Self::of_value(&value))
    }

    /// A value of JSON. Texts in it are not read again.
    fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(is_true) => Self::Number(Number::U64((*is_true).into())),
            Value::Number(number) => Scalar::number(number).map_or(Self::Null, Self::Number),
            Value::String(text) => Self::Text(text.as_str().into()),
            Value::Array(list) => Self::List(list.iter().map(Self::of_value).collect()),
            Value::Object(map) => Self::Map(map.clone()),
        }
    }

    /// The order of kinds in Python 2.
    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Number(_) => 1,
            Self::Map(_) => 2,
            Self::List(_) => 3,
            Self::Text(_) => 4,
        }
    }

    /// The order of two values; `None` for maps that differ, and for what is not a number.
    fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => Scalar::Number(*left).order(&Scalar::Number(*right)),
            (Self::Map(left), Self::Map(right)) => (left == right).then_some(Ordering::Equal),
            (Self::Text(left), Self::Text(right)) => Some(left.cmp(right)),
            (Self::List(left), Self::List(right)) => {
                let unequal = left
                    .iter()
                    .zip(right)
                    .map(|(left, right)| left.order(right))
                    .find(|it| *it != Some(Ordering::Equal));
                unequal.unwrap_or_else(|| Some(left.len().cmp(&right.len())))
            }
            _ => Some(self.rank().cmp(&other.rank())),
        }
    }

    fn is(&self, other: &Self) -> bool {
        self.order(other) == Some(Ordering::Equal)
    }

    fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }
}

/// Whether a comparison is true.
pub(super) fn holds(operation: Operation, left: &Loaded, right: &Loaded) -> bool {
    let has_size = || {
        let size = left.list().map(|list| Loaded::Number(Number::U64(list.len() as u64)));
        size.is_some_and(|size| size.is(right))
    };
    let is_in = || right.list().is_some_and(|list| list.iter().any(|element| left.is(element)));
    match operation {
        Operation::In => is_in(),
        Operation::NotIn => !is_in(),
        Operation::Range => match right.list() {
            Some([low, high]) => {
                low.order(left).is_some_and(Ordering::is_le) && left.order(high).is_some_and(Ordering::is_le)
            }
            _ => false,
        },
        Operation::SizeEqual => has_size(),
        Operation::SizeNotEqual => !has_size(),
        Operation::AtLeast
        | Operation::AtMost
        | Operation::Equal
        | Operation::Greater
        | Operation::Less
        | Operation::NotEqual => holds_for_order(operation, left.order(right)),
    }
}
