//! Results as the original's JSON, through any serde format.

use alloc::string::String;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::description::FieldValue;
use crate::entry::{Field, Form, ResultType};
use crate::output::Output;
use crate::text::six_digits;

impl Serialize for Output<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.description.result_type() == ResultType::Number
            && let Some(value) = self.value()
        {
            return value.serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        let mut fields = self.fields().filter(|(field, _)| field.is_original()).peekable();
        while let Some((field, value)) = fields.next() {
            let Some(group) = field.group() else {
                map.serialize_entry(field.name(), &Shown { field, value })?;
                continue;
            };
            let mut members = alloc::vec![(field, value)];
            while let Some(member) = fields.next_if(|(next, _)| next.group() == Some(group)) {
                members.push(member);
            }
            map.serialize_entry(group, &Members(&members))?;
        }
        map.end()
    }
}

/// Consecutive fields of one group, as an object.
struct Members<'f, 's>(&'f [(&'s Field, FieldValue<'s>)]);

impl Serialize for Members<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|&(field, value)| (field.name(), Shown { field, value })))
    }
}

struct Shown<'s> {
    field: &'s Field,
    value: FieldValue<'s>,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.value, self.field.form()) {
            (FieldValue::Text(text), _) => serializer.serialize_str(text),
            (FieldValue::Number(number), Form::Plain) => number.serialize(serializer),
            (FieldValue::Number(number), Form::SixDigits) => {
                let text: String = six_digits(number.as_f64());
                serializer.serialize_str(&text)
            }
        }
    }
}
