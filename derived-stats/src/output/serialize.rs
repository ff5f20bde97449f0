//! The serialisation of results, in the form of the JSON of the original.

use alloc::string::String;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::description::{DescribedField, FieldValue};
use crate::entry::{Form, ResultType};
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
        let mut fields = self.fields().filter(|(field, _)| field.field().is_original()).peekable();
        while let Some((field, value)) = fields.next() {
            let Some(group) = field.field().group() else {
                map.serialize_entry(field.name(), &Shown { field, value })?;
                continue;
            };
            let mut members = alloc::vec![(field, value)];
            while let Some(member) = fields.next_if(|(next, _)| next.field().group() == Some(group)) {
                members.push(member);
            }
            map.serialize_entry(group, &Members(&members))?;
        }
        map.end()
    }
}

/// Consecutive fields of one group, as an object.
struct Members<'f, 's>(&'f [(&'s DescribedField, FieldValue<'s>)]);

impl Serialize for Members<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|&(field, value)| (field.name(), Shown { field, value })))
    }
}

/// The value of a field in the form of the field.
struct Shown<'s> {
    field: &'s DescribedField,
    value: FieldValue<'s>,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.value, self.field.field().form()) {
            (FieldValue::Text(text), _) => serializer.serialize_str(text),
            (FieldValue::Number(number), Form::Plain) => number.serialize(serializer),
            (FieldValue::Number(number), Form::SixDigits) => {
                let text: String = six_digits(number.as_f64());
                serializer.serialize_str(&text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::Sum;
    use crate::description::Description;
    use crate::entry::{Built, Entry, Field, NumberKind, Role, Roles, TextSource, Unit};
    use crate::number::{Number, ValueType};
    use crate::record::Record;
    use crate::report::Flaw;

    const SUM: Entry = Entry::new("Test", Roles::AGGREGATE, "a sum", |_| Ok(Built::aggregate(Sum)));
    static NUMBER: Entry = SUM;
    static STRUCT: Entry = SUM.structured("TestResult", &FIELDS);
    static FIELDS: [Field; 7] = [
        number("newest").role_of(Role::Value),
        Field::text("name", TextSource::Literal("é"), "a text"),
        number("mean").in_group("state").six_digits(),
        number("deviation").in_group("state"),
        number("beyond").beyond_original(),
        number("most").in_group("more"),
        Field::error(),
    ];

    const fn number(name: &'static str) -> Field {
        Field::number(name, NumberKind::F64, Unit::None, "a number")
    }

    fn json(entry: &'static Entry, fields: &'static [Field], record: Record) -> String {
        let description = Description::new(entry, fields.into(), ValueType::F64, |_| "".into());
        serde_json::to_string(&Output::new(&description, record)).expect("plain data")
    }

    #[test]
    fn a_number_is_bare_and_a_struct_an_object_of_the_original_fields() {
        let number = Record::new([Number::U64(7)]);
        assert_eq!(json(&NUMBER, &[Field::VALUE], number.clone()), "7");
        assert_eq!(json(&NUMBER, &[Field::VALUE], number.without(0)), "{}");
        let whole = Record::new([1.5, 1.0 / 3.0, 2.5, 3.5, 4.5].map(Number::F64));
        let cases = [
            (
                whole.clone(),
                r#"{"newest":1.5,"name":"é","state":{"mean":"0.333333","deviation":2.5},"more":{"most":4.5}}"#,
            ),
            (whole.clone().without(0).without(1), r#"{"name":"é","state":{"deviation":2.5},"more":{"most":4.5}}"#),
            (
                whole.without(2).without(4).flawed(Some(Flaw::Overflow)),
                r#"{"newest":1.5,"name":"é","state":{"mean":"0.333333"},"error":"overflow: the sum left the range of its type, the value is the bound"}"#,
            ),
        ];
        for (record, expected) in cases {
            assert_eq!(json(&STRUCT, &FIELDS, record), expected);
        }
    }
}
