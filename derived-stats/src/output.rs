//! A result: its numbers and their description.

use alloc::borrow::Cow;
use core::fmt;

use crate::description::{DescribedField, Description, FieldValue};
use crate::entry::Role;
use crate::number::Number;
use crate::record::Record;
use crate::report::Flaw;

#[cfg(feature = "serde")]
mod serialize;

/// A result: a record and its description, borrowed from the spec. The record is its own or a borrowed one.
///
/// It serialises as the JSON of the original: a number, or an object with the fields of the original only.
#[derive(Clone)]
pub struct Output<'s> {
    description: &'s Description,
    record: Cow<'s, Record>,
}

impl<'s> Output<'s> {
    /// Combines a record with its description.
    #[inline]
    pub fn new(description: &'s Description, record: Record) -> Self {
        Self { description, record: Cow::Owned(record) }
    }

    /// Combines a borrowed record with its description.
    #[inline]
    pub fn borrowed(description: &'s Description, record: &'s Record) -> Self {
        Self { description, record: Cow::Borrowed(record) }
    }

    /// The description of the numbers.
    pub fn description(&self) -> &'s Description {
        self.description
    }

    /// The numbers.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The value of the result, which the next link of a chain takes; `None` if the result has no single value.
    pub fn value(&self) -> Option<Number> {
        self.record.get(self.description.value_index()?)
    }

    /// The number of the field `name`.
    ///
    /// ```
    /// use derived_stats::{Number, Pipeline};
    ///
    /// let mut load = Pipeline::parse("raw:DSEWM:0.5")?;
    /// load.update(0, Number::U64(8))?;
    /// let result = load.report(0).forced().expect("a result after every sample");
    /// assert_eq!(result.number("mean"), Some(Number::F64(4.0)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn number(&self, name: &str) -> Option<Number> {
        match self.description.field(name)?.value_in(&self.record)? {
            FieldValue::Number(number) => Some(number),
            FieldValue::Text(_) => None,
        }
    }

    /// The number of the first field with a role, such as a detector's score.
    pub fn role(&self, role: Role) -> Option<Number> {
        self.record.get(self.description.of_role(role)?.index()?)
    }

    /// The present fields, in the order of the description.
    pub fn fields(&self) -> impl Iterator<Item = (&'s DescribedField, FieldValue<'s>)> {
        let Self { description, record } = self;
        description.fields().iter().filter_map(|field| Some((field, field.value_in(record)?)))
    }

    /// The error text of a flawed result: [`OVERFLOW`](crate::OVERFLOW) or
    /// [`TOO_LARGE`](crate::TOO_LARGE).
    pub fn error(&self) -> Option<&'static str> {
        self.record.flaw().map(Flaw::text)
    }
}

/// Results are equal if their algorithms, fields and flaws are.
impl PartialEq for Output<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.description.algorithm() == other.description.algorithm()
            && self.record.flaw() == other.record.flaw()
            && self
                .fields()
                .map(|(field, value)| (field.name(), value))
                .eq(other.fields().map(|(field, value)| (field.name(), value)))
    }
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct(self.description.algorithm());
        for (field, value) in self.fields() {
            match value {
                FieldValue::Number(number) => shown.field(field.name(), &number),
                FieldValue::Text(text) => shown.field(field.name(), &text),
            };
        }
        shown.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Entry, Field, NumberKind, TextSource, Unit};
    use crate::menu::menu;
    use crate::number::ValueType;

    fn described(algorithm: &str) -> Description {
        let entry: &'static Entry = menu().iter().find(|entry| entry.name() == algorithm).expect("built in");
        let fields = [Field::VALUE].to_vec();
        Description::new(entry, fields.into(), ValueType::U64, |_| Default::default())
    }

    #[test]
    fn outputs_are_equal_if_algorithm_flaw_and_fields_are() {
        let (sum, average) = (described("DSSum"), described("DSAvg"));
        let (seven, eight) = (Record::new([Number::U64(7)]), Record::new([Number::U64(8)]));
        let output = Output::borrowed(&sum, &seven);
        assert_eq!(output, Output::new(&sum.clone(), seven.clone()));
        let others = [
            Output::borrowed(&average, &seven),
            Output::new(&sum, eight),
            Output::new(&sum, seven.clone().flawed(Some(Flaw::Overflow))),
            Output::new(&sum, seven.clone().without(0)),
        ];
        for other in others {
            assert_ne!(output, other);
        }
    }
    #[test]
    fn an_output_finds_numbers_by_name_and_role() {
        let fields = [
            Field::number("mean", NumberKind::F64, Unit::Metric, "a mean").role_of(Role::Expected),
            Field::text("name", TextSource::Literal("EWM"), "a text"),
            Field::number("newest", NumberKind::Metric, Unit::Metric, "a sample").role_of(Role::Value),
            Field::error(),
        ];
        let description = Description::new(menu()[0], fields.to_vec().into(), ValueType::U64, |_| "".into());
        let (mean, newest) = (Number::F64(2.5), Number::U64(7));
        let output = Output::new(&description, Record::new([mean, newest]));
        let by_name = ["mean", "name", "newest", "error", "other"].map(|name| output.number(name));
        assert_eq!(by_name, [Some(mean), None, Some(newest), None, None]);
        let by_role = [Role::Expected, Role::Value, Role::Score].map(|role| output.role(role));
        assert_eq!((by_role, output.value()), ([Some(mean), Some(newest), None], Some(newest)));
        let flawed = Output::new(&description, output.record().clone().without(1).flawed(Some(Flaw::Overflow)));
        assert_eq!((flawed.number("mean"), flawed.value()), (Some(mean), None));
        assert_eq!((output.error(), flawed.error()), (None, Some(Flaw::Overflow.text())));
    }
}
