//! The meaning of the numbers of a result.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;

use crate::entry::{Entry, Field, FieldKind, ResultType, Role, TextSource};
use crate::number::{Number, ValueType};
use crate::record::Record;

/// The meaning of the numbers of a pipeline's results: the fields of the entry, for its arguments and element type.
///
/// It is compiled with the [`Spec`](crate::Spec), and all results share it.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    algorithm: Cow<'static, str>,
    result_type: ResultType,
    fields: Box<[DescribedField]>,
    /// The index in a record of the result's value.
    value: Option<usize>,
    columns: Box<[(usize, Cow<'static, str>)]>,
}

/// A field with the content that the arguments and the element type determine.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribedField {
    field: Field,
    name: Cow<'static, str>,
    content: Content,
}

/// The source of a field's content.
#[derive(Clone, Debug, PartialEq)]
enum Content {
    /// The flaw of the result.
    Flaw,
    /// The number at this index of the record.
    Number(usize, ValueType),
    /// The same text in every result.
    Text(Box<str>),
}

/// The content of one field of a result.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum FieldValue<'s> {
    /// A number.
    Number(Number),
    /// A text: a constant of the pipeline, or the error of a flawed result.
    Text(&'s str),
}

impl Description {
    pub(crate) fn new(
        entry: &'static Entry,
        fields: Cow<'static, [Field]>,
        metric: ValueType,
        written: impl Fn(usize) -> Box<str>,
    ) -> Self {
        let mut numbers = 0;
        let fields: Box<[DescribedField]> = fields
            .iter()
            .map(|field| {
                let content = match field.kind() {
                    FieldKind::Flaw => Content::Flaw,
                    FieldKind::Text(TextSource::Literal(text)) => Content::Text(text.into()),
                    FieldKind::Text(TextSource::Argument(index)) => Content::Text(written(index)),
                    FieldKind::Number(kind) => {
                        numbers += 1;
                        Content::Number(numbers - 1, kind.value_type(metric))
                    }
                };
                let name = name(field, &written);
                DescribedField { field: *field, name, content }
            })
            .collect();
        let value = fields.iter().find(|field| field.field.role() == Some(Role::Value)).and_then(DescribedField::index);
        let columns = columns(&fields, value);
        Self { algorithm: entry.name().into(), result_type: entry.result_type(), fields, value, columns }
    }

    /// The name of the algorithm in annotations.
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// The type of results in Sandesh: a number or a struct.
    pub fn result_type(&self) -> ResultType {
        self.result_type
    }

    /// The fields, in the order of the results.
    pub fn fields(&self) -> &[DescribedField] {
        &self.fields
    }

    /// The index in a [`Record`] of the result's value; `None` if the result has no single value.
    pub fn value_index(&self) -> Option<usize> {
        self.value
    }

    /// The type of the result's value.
    pub fn value_type(&self) -> Option<ValueType> {
        self.of_role(Role::Value).and_then(DescribedField::value_type)
    }

    /// The columns of a table of results: the index of the number in a [`Record`], and the name of the column. The
    /// result's value is the first column, the others follow in the order of the fields.
    pub fn columns(&self) -> &[(usize, Cow<'static, str>)] {
        &self.columns
    }

    /// The first field with a role.
    pub fn of_role(&self, role: Role) -> Option<&DescribedField> {
        self.fields.iter().find(|field| field.field.role() == Some(role))
    }

    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&DescribedField> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// The complete name of a field; `written` are the arguments.
fn name(field: &Field, written: impl Fn(usize) -> Box<str>) -> Cow<'static, str> {
    match field.part() {
        None => Cow::Borrowed(field.name()),
        Some(part) => Cow::Owned(String::from(field.name()) + &part.of(&written(part.argument))),
    }
}

fn columns(fields: &[DescribedField], value: Option<usize>) -> Box<[(usize, Cow<'static, str>)]> {
    let column = |field: &DescribedField| {
        let name = field.field.csv_column()?;
        let is_named_by_part = field.field.part().is_some();
        Some((field.index()?, if is_named_by_part { field.name.clone() } else { Cow::Borrowed(name) }))
    };
    let is_value = |field: &&DescribedField| field.index().is_some() && field.index() == value;
    let first = fields.iter().filter(is_value);
    let others = fields.iter().filter(|field| !is_value(field));
    first.chain(others).filter_map(column).collect()
}

impl DescribedField {
    /// The name: letters, digits and `_`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The field of the entry: unit, role, meaning.
    pub fn field(&self) -> &Field {
        &self.field
    }

    /// The type of the numbers; `None` for a text.
    pub fn value_type(&self) -> Option<ValueType> {
        match self.content {
            Content::Number(_, value_type) => Some(value_type),
            Content::Flaw | Content::Text(_) => None,
        }
    }

    /// The text, if it is the same in every result.
    pub fn constant(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            Content::Flaw | Content::Number(..) => None,
        }
    }

    /// The index of the number in a [`Record`]; `None` for a text.
    pub fn index(&self) -> Option<usize> {
        match self.content {
            Content::Number(index, _) => Some(index),
            Content::Flaw | Content::Text(_) => None,
        }
    }

    /// The content of the field in `record`; `None` if it is absent.
    pub fn value_in<'s>(&'s self, record: &Record) -> Option<FieldValue<'s>> {
        match &self.content {
            Content::Flaw => record.flaw().map(|flaw| FieldValue::Text(flaw.text())),
            Content::Number(index, _) => record.get(*index).map(FieldValue::Number),
            Content::Text(text) => Some(FieldValue::Text(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::entry::{NumberKind, Unit};
    use crate::menu::menu;
    use crate::report::Flaw;

    #[test]
    fn a_description_counts_numbers_only_and_finds_fields_by_name_and_role() {
        let fields = [
            Field::text("name", TextSource::Literal("EWM"), "a text"),
            Field::number("mean", NumberKind::F64, Unit::Metric, "a mean").role_of(Role::Expected),
            Field::text("alpha", TextSource::Argument(1), "an argument"),
            Field::number("newest", NumberKind::Metric, Unit::Metric, "a sample").role_of(Role::Value),
            Field::error(),
        ];
        let written = |index: usize| ["first", "second"][index].into();
        let description = Description::new(menu()[0], fields.to_vec().into(), ValueType::I64, written);
        assert_eq!((description.value_index(), description.value_type()), (Some(1), Some(ValueType::I64)));
        let numbers = [("name", None), ("mean", Some((0, ValueType::F64))), ("newest", Some((1, ValueType::I64)))];
        for (name, number) in numbers {
            let field = description.field(name).expect("one of the fields");
            assert_eq!((field.name(), field.index().zip(field.value_type())), (name, number));
        }
        let constants: Vec<_> = description.fields().iter().map(DescribedField::constant).collect();
        assert_eq!(constants, [Some("EWM"), None, Some("second"), None, None]);
        assert_eq!(description.of_role(Role::Expected), description.field("mean"));
        assert_eq!((description.of_role(Role::Score), description.field("other")), (None, None));
    }

    #[test]
    fn a_part_of_an_argument_completes_the_name_and_the_column() {
        let percentile = Field::number("p", NumberKind::F64, Unit::Metric, "a percentile");
        let fields = [percentile.named_by_part(1, 0), percentile.named_by_part(1, 1).role_of(Role::Value)];
        let written = |index: usize| ["first", "50,99.9"][index].into();
        let description = Description::new(menu()[0], fields.to_vec().into(), ValueType::U64, written);
        let names: Vec<&str> = description.fields().iter().map(DescribedField::name).collect();
        assert_eq!(names, ["p50", "p99_9"]);
        assert_eq!(description.columns(), [(1, Cow::Borrowed("p99_9")), (0, Cow::Borrowed("p50"))]);
        assert_eq!(description.field("p99_9").and_then(DescribedField::index), Some(1));
        assert_eq!(description.field("p"), None);
    }

    #[test]
    fn a_field_holds_what_the_record_does() {
        let fields = [Field::VALUE, Field::text("name", TextSource::Literal("EWM"), "a text"), Field::error()];
        let description = Description::new(menu()[0], fields.to_vec().into(), ValueType::U64, |_| "".into());
        let record = Record::new([Number::U64(7)]);
        let text = Some(FieldValue::Text("EWM"));
        let cases = [
            (record.clone(), [Some(FieldValue::Number(Number::U64(7))), text, None]),
            (
                record.without(0).flawed(Some(Flaw::TooLarge)),
                [None, text, Some(FieldValue::Text(Flaw::TooLarge.text()))],
            ),
        ];
        for (record, expected) in cases {
            let values: Vec<_> = description.fields().iter().map(|field| field.value_in(&record)).collect();
            assert_eq!(values, expected);
        }
    }
}
