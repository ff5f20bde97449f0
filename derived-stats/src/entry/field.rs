//! The fields of a result.

use crate::entry::{ArgumentPart, Form, Role};
use crate::number::ValueType;

/// One field of a result: its name, type and meaning.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Field {
    name: &'static str,
    part: Option<ArgumentPart>,
    kind: FieldKind,
    unit: Unit,
    role: Option<Role>,
    form: Form,
    group: Option<&'static str>,
    column: Option<&'static str>,
    is_original: bool,
    is_not_negative: bool,
    meaning: &'static str,
}

/// The content of a field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FieldKind {
    /// The error text of a flawed result; otherwise absent.
    Flaw,
    /// A number of the record.
    Number(NumberKind),
    /// A text that is the same in every result of a pipeline.
    Text(TextSource),
}

/// The type of a numeric field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum NumberKind {
    /// A double.
    F64,
    /// A signed integer.
    I64,
    /// The element type of the metric.
    Metric,
    /// An unsigned integer.
    U64,
}

impl NumberKind {
    /// The element type of the numbers for a metric of type `metric`.
    pub fn value_type(self, metric: ValueType) -> ValueType {
        match self {
            Self::F64 => ValueType::F64,
            Self::I64 => ValueType::I64,
            Self::Metric => metric,
            Self::U64 => ValueType::U64,
        }
    }
}

/// The source of a constant text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TextSource {
    /// The argument at this index, as written.
    Argument(usize),
    /// This text.
    Literal(&'static str),
}

/// The unit of a number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Unit {
    /// Multiples of a standard deviation.
    Deviations,
    /// The unit of the metric.
    Metric,
    /// The unit of the metric per second.
    MetricPerSecond,
    /// The square of the unit of the metric.
    MetricSquared,
    /// No unit.
    None,
    /// Samples; after a pre-aggregation, periods.
    Samples,
    /// Seconds.
    Seconds,
}

impl Unit {
    /// The name in tables; `None` for a number without unit.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Deviations => Some("standard deviations"),
            Self::Metric => Some("unit of the metric"),
            Self::MetricPerSecond => Some("unit of the metric per second"),
            Self::MetricSquared => Some("square of the unit of the metric"),
            Self::None => None,
            Self::Samples => Some("samples"),
            Self::Seconds => Some("seconds"),
        }
    }
}

impl Field {
    /// The only field of an algorithm whose result is a number of the metric's type.
    pub const VALUE: Self =
        Self::number("value", NumberKind::Metric, Unit::Metric, "the result").role_of(Role::Value).column("value");

    /// A numeric field. Its name is also its column in CSV.
    pub const fn number(name: &'static str, kind: NumberKind, unit: Unit, meaning: &'static str) -> Self {
        Self {
            name,
            part: None,
            kind: FieldKind::Number(kind),
            unit,
            role: None,
            form: Form::Plain,
            group: None,
            column: Some(name),
            is_original: true,
            is_not_negative: false,
            meaning,
        }
    }

    /// A field with a text that is the same in every result of a pipeline. It has no column in CSV.
    pub const fn text(name: &'static str, source: TextSource, meaning: &'static str) -> Self {
        let mut field = Self::number(name, NumberKind::U64, Unit::None, meaning).without_column();
        field.kind = FieldKind::Text(source);
        field
    }

    /// The field with the error text.
    pub const fn error() -> Self {
        let mut field = Self::number("error", NumberKind::U64, Unit::None, "what is wrong with the result");
        field.kind = FieldKind::Flaw;
        field.without_column()
    }

    /// The same field with a role.
    #[must_use]
    pub const fn role_of(mut self, role: Role) -> Self {
        self.role = Some(role);
        self
    }

    /// The same field with a name that a part of an argument completes: `p` and the part `99.9` make `p99_9`. This is
    /// also the name of its column in CSV.
    ///
    /// For fields whose number depends on an argument, such as one for each percentile; see
    /// [`Entry::structured_by`](crate::Entry::structured_by).
    #[must_use]
    pub const fn named_by_part(mut self, argument: usize, part: usize) -> Self {
        self.part = Some(ArgumentPart { argument, part });
        self
    }

    /// The same field inside the JSON object `group`, which contains all consecutive fields of that group.
    #[must_use]
    pub const fn in_group(mut self, group: &'static str) -> Self {
        self.group = Some(group);
        self
    }

    /// The same field, as a text of six significant digits.
    #[must_use]
    pub const fn six_digits(mut self) -> Self {
        self.form = Form::SixDigits;
        self
    }

    /// The same field, marked as one that results of the original do not have. The JSON of an [`Output`](crate::Output)
    /// does not contain it, because readers may accept only the fields of the original.
    #[must_use]
    pub const fn beyond_original(mut self) -> Self {
        self.is_original = false;
        self
    }

    /// The same field, whose numbers are 0 or more with every sample. Unsigned numbers need no mark.
    #[must_use]
    pub const fn not_negative(mut self) -> Self {
        self.is_not_negative = true;
        self
    }

    /// The same field under another name in CSV.
    #[must_use]
    pub const fn column(mut self, name: &'static str) -> Self {
        self.column = Some(name);
        self
    }

    /// The same field, without a column in CSV.
    #[must_use]
    pub const fn without_column(mut self) -> Self {
        self.column = None;
        self
    }

    /// The name, or the part of it before the [part of an argument](Self::part): letters, digits and `_`. The complete
    /// name is [`DescribedField::name`](crate::DescribedField::name).
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The part of an argument that completes the name, if there is one.
    pub fn part(&self) -> Option<ArgumentPart> {
        self.part
    }

    /// The content.
    pub fn kind(&self) -> FieldKind {
        self.kind
    }

    /// The unit of the numbers.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// The role, if it has one.
    pub fn role(&self) -> Option<Role> {
        self.role
    }

    /// The form in JSON.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The JSON object that contains the field.
    pub fn group(&self) -> Option<&'static str> {
        self.group
    }

    /// Whether results of the original have the field.
    pub fn is_original(&self) -> bool {
        self.is_original
    }

    /// Whether its numbers are marked as 0 or more.
    pub fn is_not_negative(&self) -> bool {
        self.is_not_negative
    }

    /// The name of the column in CSV; `None` if there is none.
    pub fn csv_column(&self) -> Option<&'static str> {
        self.column
    }

    /// The meaning, in a few words.
    pub fn meaning(&self) -> &'static str {
        self.meaning
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_but_none_has_a_name() {
        let names = [
            (Unit::Deviations, "standard deviations"),
            (Unit::Metric, "unit of the metric"),
            (Unit::MetricPerSecond, "unit of the metric per second"),
            (Unit::MetricSquared, "square of the unit of the metric"),
            (Unit::Samples, "samples"),
            (Unit::Seconds, "seconds"),
        ];
        assert_eq!(names.map(|(unit, _)| unit.name()), names.map(|(_, name)| Some(name)));
        assert_eq!(Unit::None.name(), None);
    }

    #[test]
    fn a_field_has_what_it_was_made_of() {
        let plain = Field::number("mean", NumberKind::F64, Unit::Metric, "a mean");
        assert_eq!((plain.name(), plain.kind()), ("mean", FieldKind::Number(NumberKind::F64)));
        assert_eq!((plain.unit(), plain.meaning(), plain.csv_column()), (Unit::Metric, "a mean", Some("mean")));
        assert_eq!((plain.role(), plain.form(), plain.group()), (None, Form::Plain, None));
        assert!(plain.is_original() && !plain.is_not_negative() && plain.not_negative().is_not_negative());
        let changed = plain.role_of(Role::Low).six_digits().in_group("state").beyond_original().column("state_mean");
        assert_eq!((changed.name(), changed.csv_column()), ("mean", Some("state_mean")));
        assert_eq!(
            (changed.role(), changed.form(), changed.group()),
            (Some(Role::Low), Form::SixDigits, Some("state"))
        );
        assert!(!changed.is_original());
        let text = Field::text("name", TextSource::Argument(1), "a name");
        assert_eq!((text.kind(), text.meaning()), (FieldKind::Text(TextSource::Argument(1)), "a name"));
        assert_eq!(Field::error().kind(), FieldKind::Flaw);
        assert_eq!([text, Field::error(), plain.without_column()].map(|field| field.csv_column()), [None; 3]);
    }
}
