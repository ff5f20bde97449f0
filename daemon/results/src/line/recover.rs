//! Converts the printed values of a line into numbers of the types of a configured proxy type.

use derived_stats::entry::{Form, Role};
use derived_stats::{Flaw, Number, Record, ValueType};

use crate::block::{AttributeShape, Content, FieldShape, Shown, UveShape, ValuesBuffer};
use crate::line::printed::{Data, Printed};
use crate::line::read::Members;

/// Adds the values of a line to `values`, by the attributes of `shape`.
///
/// It returns `false` if the line has content that the attributes do not have; `values` is then incomplete.
pub(super) fn values(shape: &UveShape, data: &Data<'_>, values: &mut ValuesBuffer) -> bool {
    data.attributes.iter().all(|(name, printed)| {
        let mut attributes = shape.attributes.iter().enumerate();
        let found = attributes.find(|(_, attribute)| *attribute.name == **name);
        let value = found.and_then(|(index, shape)| Some((shape, index, attribute(shape, printed)?)));
        value.map(|(shape, index, record)| values.push(shape, index, &record)).is_some()
    })
}

fn attribute(shape: &AttributeShape, printed: &Printed<'_>) -> Option<Record> {
    let mut found = Found { shape, numbers: [None; Record::MAX_NUMBERS], flaw: None, texts: 0 };
    match printed {
        Printed::Number(number) if shape.inline && shape.shown == Shown::Number => {
            let value = |field: &FieldShape| field.role == Some(Role::Value);
            found.take(value, &Printed::Number(*number))?;
        }
        Printed::Object(members) => {
            found.take_object(members)?;
            // A struct has all its constants; a single number is printed without them.
            let constants = shape.fields.iter().filter(|field| matches!(field.content, Content::Text(_))).count();
            if shape.shown == Shown::Struct && found.texts != constants {
                return None;
            }
        }
        Printed::Boolean(_) | Printed::Number(_) | Printed::Other | Printed::Text(_) => return None,
    }
    let record = Record::from_numbers(found.numbers.into_iter().take(shape.numbers()))?;
    Some(record.flawed(found.flaw))
}

/// The numbers, the flaw and the constants of one attribute that are found so far.
struct Found<'s> {
    shape: &'s AttributeShape,
    numbers: [Option<Number>; Record::MAX_NUMBERS],
    flaw: Option<Flaw>,
    /// The number of constants.
    texts: usize,
}

impl Found<'_> {
    fn take_object(&mut self, members: &Members<'_>) -> Option<()> {
        for (name, value) in members {
            match value {
                Printed::Object(group) => {
                    for (inner, value) in group {
                        self.take(|field| field.group.as_deref() == Some(name) && *field.name == **inner, value)?;
                    }
                }
                // A number of a window is printed as `value`, for any name of its field.
                value if self.shape.shown == Shown::Number && name == "value" => {
                    self.take(|field| field.role == Some(Role::Value), value)?;
                }
                // The flaw of a single number is printed as `error` and has no field.
                Printed::Text(text) if self.shape.shown == Shown::Number && name == "error" => {
                    self.flaw = Some(flaw(text)?);
                }
                value => self.take(|field| field.group.is_none() && *field.name == **name, value)?,
            }
        }
        Some(())
    }

    /// Takes the value of the first field for which `matches` is true; `None` if the value does not fit.
    fn take(&mut self, matches: impl Fn(&FieldShape) -> bool, value: &Printed<'_>) -> Option<()> {
        let mut number = 0;
        for field in &self.shape.fields {
            if matches(field) {
                match (&field.content, value) {
                    (Content::Flaw, Printed::Text(text)) => self.flaw = Some(flaw(text)?),
                    (Content::Number(value_type), value) => {
                        *self.numbers.get_mut(number)? = Some(typed(value, *value_type, field.form)?);
                    }
                    (Content::Text(constant), Printed::Text(text)) if **constant == **text => self.texts += 1,
                    (Content::Flaw | Content::Text(_), _) => return None,
                }
                return Some(());
            }
            number += usize::from(field.value_type().is_some());
        }
        None
    }
}

/// The flaw with this text.
pub(super) fn flaw(text: &str) -> Option<Flaw> {
    (1..=u8::MAX).map_while(Flaw::from_code).flatten().find(|flaw| flaw.text() == text)
}

/// The number of type `value_type` with this printed form; `None` if there is none.
fn typed(value: &Printed<'_>, value_type: ValueType, form: Form) -> Option<Number> {
    let number = match (value, form) {
        (Printed::Text(text), Form::SixDigits) => Number::F64(text.parse().ok()?),
        (Printed::Number(number), Form::Plain) => *number,
        _ => return None,
    };
    match (value_type, number) {
        (ValueType::F64, number) => Some(Number::F64(number.as_f64())),
        (ValueType::I64, Number::U64(value)) => Some(Number::I64(value.try_into().ok()?)),
        (ValueType::I64, Number::I64(_)) | (ValueType::U64, Number::U64(_)) => Some(number),
        // Six digits are always a double, and a negative number is not unsigned.
        (ValueType::I64 | ValueType::U64, _) => None,
    }
}
