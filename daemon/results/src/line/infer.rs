//! Infers the types of a line from its printed form, for a UVE without a configured proxy type.

use derived_stats::entry::{Form, Role};
use derived_stats::{Number, Record, six_digits};

use crate::block::{AttributeShape, Content, FieldShape, Shown, is_plain_name};
use crate::line::printed::Printed;
use crate::line::read::LineError;
use crate::line::recover::flaw;

/// The JSON object in which Contrail prints numbers as texts.
const STATE: &str = "state";

/// Infers the shape and the value of an attribute.
///
/// # Errors
///
/// [`LineError`] if no result has this printed form.
pub(super) fn attribute(name: &str, printed: &Printed<'_>) -> Result<(AttributeShape, Record), LineError> {
    let refused = || LineError::Value(name.to_owned());
    if !is_plain_name(name) {
        return Err(LineError::Name(name.to_owned()));
    }
    let mut fields = Inferred::default();
    let (inline, shown) = match printed {
        Printed::Number(number) => {
            fields.number("value", None, *number, Form::Plain, Some(Role::Value));
            (true, Shown::Number)
        }
        Printed::Object(members) => {
            for (member, value) in members {
                match value {
                    Printed::Object(group) => {
                        group.iter().try_for_each(|(inner, value)| fields.add(inner, Some(member), value))
                    }
                    value => fields.add(member, None, value),
                }
                .ok_or_else(refused)?;
            }
            (false, Shown::Struct)
        }
        Printed::Boolean(_) | Printed::Other | Printed::Text(_) => return Err(refused()),
    };
    let record = Record::from_numbers(fields.numbers.into_iter().map(Some)).ok_or_else(refused)?;
    let shape = AttributeShape::new(name.into(), inline, shown, fields.fields.into());
    Ok((shape, record.flawed(fields.flaw)))
}

/// The fields of an attribute that are inferred so far.
#[derive(Default)]
struct Inferred {
    fields: Vec<FieldShape>,
    numbers: Vec<Number>,
    flaw: Option<derived_stats::Flaw>,
}

impl Inferred {
    /// Adds a member of the object; `None` if no result has such a member.
    fn add(&mut self, name: &str, group: Option<&str>, value: &Printed<'_>) -> Option<()> {
        if !is_plain_name(name) || !group.is_none_or(is_plain_name) {
            return None;
        }
        match value {
            Printed::Number(number) => self.number(name, group, *number, Form::Plain, None),
            Printed::Text(text) => match (flaw(text), text.parse()) {
                (Some(flaw), _) if name == "error" => {
                    self.flaw = Some(flaw);
                    self.field(name, group, Content::Flaw, Form::Plain, None);
                }
                (_, Ok(value)) if group == Some(STATE) && six_digits(value) == **text => {
                    self.number(name, group, Number::F64(value), Form::SixDigits, None);
                }
                _ => self.field(name, group, Content::Text((&**text).into()), Form::Plain, None),
            },
            Printed::Boolean(_) | Printed::Object(_) | Printed::Other => return None,
        }
        Some(())
    }

    fn number(&mut self, name: &str, group: Option<&str>, number: Number, form: Form, role: Option<Role>) {
        self.field(name, group, Content::Number(number.value_type()), form, role);
        self.numbers.push(number);
    }

    fn field(&mut self, name: &str, group: Option<&str>, content: Content, form: Form, role: Option<Role>) {
        self.fields.push(FieldShape { name: name.into(), content, group: group.map(Into::into), form, role });
    }
}
