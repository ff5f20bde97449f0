//! Results: numbers in the order of an entry's fields, and the description that gives them names.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use core::fmt;

use crate::entry::{Entry, Field, FieldKind, ResultType, Role, TextSource};
use crate::number::{Number, ValueType};

/// The state of a result: new, unchanged, or not to be trusted yet.
///
/// The original's three return codes (`DSR_OK`, `DSR_SKIP`, `DSR_INVALID`). The result travels in all three where the
/// algorithm has one, because only the caller knows whether it forces: a full resynchronisation sends an unchanged
/// value too, and a display may show a detector that is still warming up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Report<O> {
    /// Too few samples for a result. Holds what there is so far, if the algorithm shows it.
    NotReady(Option<O>),
    /// A valid result that is not worth sending unless the caller forces it.
    Unchanged(O),
    /// A valid result.
    Value(O),
}

impl<O> Report<O> {
    /// The result where it is valid: what a caller that forces would send.
    pub fn forced(self) -> Option<O> {
        match self {
            Self::NotReady(_) => None,
            Self::Unchanged(output) | Self::Value(output) => Some(output),
        }
    }

    /// The same report about a borrowed result.
    pub fn as_ref(&self) -> Report<&O> {
        match self {
            Self::NotReady(output) => Report::NotReady(output.as_ref()),
            Self::Unchanged(output) => Report::Unchanged(output),
            Self::Value(output) => Report::Value(output),
        }
    }

    /// The result, valid or not.
    pub fn any(self) -> Option<O> {
        match self {
            Self::NotReady(output) => output,
            Self::Unchanged(output) | Self::Value(output) => Some(output),
        }
    }

    /// The same report about something made from the result.
    pub fn map<P>(self, make: impl FnOnce(O) -> P) -> Report<P> {
        match self {
            Self::NotReady(output) => Report::NotReady(output.map(make)),
            Self::Unchanged(output) => Report::Unchanged(make(output)),
            Self::Value(output) => Report::Value(make(output)),
        }
    }

    /// The report of a closed period. A repetition or a zero is worth sending there: what the original's periodic
    /// wrapper keeps is the value alone.
    pub(crate) fn of_closed_period(self) -> Self {
        match self {
            Self::Unchanged(output) => Self::Value(output),
            report => report,
        }
    }

    /// `ok`, `unchanged` or `not_ready`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotReady(_) => "not_ready",
            Self::Unchanged(_) => "unchanged",
            Self::Value(_) => "ok",
        }
    }
}

/// The error text of a result whose sum left the range of its type.
pub const OVERFLOW: &str = "overflow: the sum left the range of its type, the value is the bound";

/// The error text of a detector whose newest sample is so large that its square does not fit a double.
pub const TOO_LARGE: &str = "too large: the sample is beyond 1e150, it counted as that bound";

/// What is wrong with a result although there is one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Flaw {
    /// The true value left the range of the type; the value is the nearest bound.
    Overflow,
    /// The newest sample of a detector is beyond 1e150 and counted as that bound.
    TooLarge,
}

impl Flaw {
    /// The text that results show as `error`.
    pub fn text(self) -> &'static str {
        match self {
            Self::Overflow => OVERFLOW,
            Self::TooLarge => TOO_LARGE,
        }
    }

    /// A stable number, for binary forms of a result. 0 stands for no flaw.
    pub fn code(flaw: Option<Self>) -> u8 {
        match flaw {
            None => 0,
            Some(Self::Overflow) => 1,
            Some(Self::TooLarge) => 2,
        }
    }

    /// The inverse of [`code`](Self::code); `None` for a number that no flaw has.
    pub fn from_code(code: u8) -> Option<Option<Self>> {
        match code {
            0 => Some(None),
            1 => Some(Some(Self::Overflow)),
            2 => Some(Some(Self::TooLarge)),
            _ => None,
        }
    }
}

/// The numbers of one result, in the order of the entry's numeric [fields](crate::entry::Field).
///
/// Plain data of fixed size: making one allocates nothing.
///
/// ```
/// use derived_stats::{Number, Record};
///
/// let record = Record::new([Number::U64(3), Number::F64(0.5)]);
/// assert_eq!((record.len(), record.get(1), record.get(2)), (2, Some(Number::F64(0.5)), None));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    bits: [u64; Self::MAX_NUMBERS],
    /// Two bits for each number: 0 for an absent one, else its type.
    types: u32,
    len: u8,
    flaw: Option<Flaw>,
}

impl Record {
    /// The most numbers that a result can have.
    pub const MAX_NUMBERS: usize = 10;

    /// A result with these numbers. More than [`MAX_NUMBERS`](Self::MAX_NUMBERS) do not compile.
    #[inline(always)]
    pub fn new<const N: usize>(numbers: [Number; N]) -> Self {
        const { assert!(N <= Self::MAX_NUMBERS, "a result has at most 10 numbers") };
        let mut record = Self { bits: [0; Self::MAX_NUMBERS], types: 0, len: N as u8, flaw: None };
        // Not an iterator: this unrolls, and then the types are constants.
        let mut index = 0;
        while index < N {
            let (tag, bits) = to_bits(numbers[index]);
            record.bits[index] = bits;
            record.types |= tag << (2 * index);
            index += 1;
        }
        record
    }

    /// The same result with a flaw, if there is one.
    #[inline]
    #[must_use]
    pub fn flawed(mut self, flaw: Option<Flaw>) -> Self {
        self.flaw = flaw;
        self
    }

    /// The same result without the number at `index`.
    #[inline]
    #[must_use]
    pub fn without(mut self, index: usize) -> Self {
        if index < Self::MAX_NUMBERS {
            self.types &= !(3 << (2 * index));
        }
        self
    }

    /// A result whose numbers come one by one, some of them absent; `None` if there are too many.
    pub fn from_numbers(numbers: impl IntoIterator<Item = Option<Number>>) -> Option<Self> {
        let mut record = Self::new([]);
        for number in numbers {
            let index = usize::from(record.len);
            let bits = record.bits.get_mut(index)?;
            if let Some(number) = number {
                let (tag, value) = to_bits(number);
                *bits = value;
                record.types |= tag << (2 * index);
            }
            record.len += 1;
        }
        Some(record)
    }

    /// The number at `index`; `None` if it is absent.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Number> {
        let bits = *self.bits.get(index)?;
        match self.types >> (2 * index) & 3 {
            1 => Some(Number::U64(bits)),
            2 => Some(Number::I64(bits as i64)),
            3 => Some(Number::F64(f64::from_bits(bits))),
            _ => None,
        }
    }

    /// Whether every number is there and the result has no flaw.
    #[inline]
    pub fn is_whole(&self) -> bool {
        const LOW: u32 = 0x5555_5555;
        let present = (self.types | self.types >> 1) & LOW;
        self.flaw.is_none() && present == LOW & ((1 << (2 * u32::from(self.len))) - 1)
    }

    /// How many numbers there are, absent ones included.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether there is no number.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What is wrong with the result.
    #[inline]
    pub fn flaw(&self) -> Option<Flaw> {
        self.flaw
    }
}

#[inline(always)]
fn to_bits(number: Number) -> (u32, u64) {
    match number {
        Number::U64(value) => (1, value),
        Number::I64(value) => (2, value as u64),
        Number::F64(value) => (3, value.to_bits()),
    }
}

/// What the numbers of a pipeline's results mean: the entry's fields for these arguments and this element type.
///
/// Compiled once with the [`Spec`](crate::Spec), shared by all results.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    algorithm: Cow<'static, str>,
    result_type: ResultType,
    fields: Box<[DescribedField]>,
    /// The index in a record of the number that stands for the result.
    value: Option<usize>,
}

/// A field with what the arguments and the element type decide.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribedField {
    field: Field,
    content: Content,
}

/// Where a field's content comes from.
#[derive(Clone, Debug, PartialEq)]
enum Content {
    /// The flaw of the result.
    Flaw,
    /// The number at this index of the record.
    Number(usize, ValueType),
    /// The same text in every result.
    Text(Box<str>),
}

/// What one field of a result holds.
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
                DescribedField { field: *field, content }
            })
            .collect();
        let value = fields.iter().find(|field| field.field.role() == Some(Role::Value)).and_then(DescribedField::index);
        Self { algorithm: entry.name().into(), result_type: entry.result_type(), fields, value }
    }

    /// The algorithm, as annotations name it.
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// Whether results are bare numbers or structs, as Sandesh declares them.
    pub fn result_type(&self) -> ResultType {
        self.result_type
    }

    /// The fields, in the order in which results show them.
    pub fn fields(&self) -> &[DescribedField] {
        &self.fields
    }

    /// The index in a [`Record`] of the number that stands for the result; `None` if no single one does.
    pub fn value_index(&self) -> Option<usize> {
        self.value
    }

    /// The type of that number.
    pub fn value_type(&self) -> Option<ValueType> {
        self.of_role(Role::Value).and_then(DescribedField::value_type)
    }

    /// The first field with a role.
    pub fn of_role(&self, role: Role) -> Option<&DescribedField> {
        self.fields.iter().find(|field| field.field.role() == Some(role))
    }

    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&DescribedField> {
        self.fields.iter().find(|field| field.field.name() == name)
    }
}

impl DescribedField {
    /// The entry's field: name, unit, role, meaning.
    pub fn field(&self) -> &Field {
        &self.field
    }

    /// The type of its numbers; `None` for a text.
    pub fn value_type(&self) -> Option<ValueType> {
        match self.content {
            Content::Number(_, value_type) => Some(value_type),
            Content::Flaw | Content::Text(_) => None,
        }
    }

    /// Its text, if that is the same in every result.
    pub fn constant(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            Content::Flaw | Content::Number(..) => None,
        }
    }

    /// The index of its number in a [`Record`]; `None` for a text.
    pub fn index(&self) -> Option<usize> {
        match self.content {
            Content::Number(index, _) => Some(index),
            Content::Flaw | Content::Text(_) => None,
        }
    }

    /// What the field holds in `record`; `None` where it is absent.
    pub fn value_in<'s>(&'s self, record: &Record) -> Option<FieldValue<'s>> {
        match &self.content {
            Content::Flaw => record.flaw().map(|flaw| FieldValue::Text(flaw.text())),
            Content::Number(index, _) => record.get(*index).map(FieldValue::Number),
            Content::Text(text) => Some(FieldValue::Text(text)),
        }
    }
}

/// A result: a record and its description, which it borrows from the spec. Making one allocates nothing.
///
/// Serialises as the original's JSON: a bare number, or an object with the original's fields and no others.
#[derive(Clone, Copy)]
pub struct Output<'s> {
    description: &'s Description,
    record: Record,
}

impl<'s> Output<'s> {
    /// Puts a record beside its description.
    #[inline]
    pub fn new(description: &'s Description, record: Record) -> Self {
        Self { description, record }
    }

    /// What the numbers mean.
    pub fn description(&self) -> &'s Description {
        self.description
    }

    /// The numbers.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The number that stands for the result: what a detector behind it sees. `None` if no single one does.
    pub fn value(&self) -> Option<Number> {
        self.record.get(self.description.value?)
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

    /// The fields that are present, in the order in which results show them.
    pub fn fields(&self) -> impl Iterator<Item = (&'s Field, FieldValue<'s>)> + use<'s> {
        let Self { description, record } = *self;
        description.fields.iter().filter_map(move |field| Some((&field.field, field.value_in(&record)?)))
    }

    /// What is wrong with the result although there is one: [`OVERFLOW`] or [`TOO_LARGE`].
    pub fn error(&self) -> Option<&'static str> {
        self.record.flaw().map(Flaw::text)
    }
}

/// Equal if the visible content is.
impl PartialEq for Output<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.description.algorithm == other.description.algorithm
            && self.record.flaw == other.record.flaw
            && self
                .fields()
                .map(|(field, value)| (field.name(), value))
                .eq(other.fields().map(|(field, value)| (field.name(), value)))
    }
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct(&self.description.algorithm);
        for (field, value) in self.fields() {
            match value {
                FieldValue::Number(number) => shown.field(field.name(), &number),
                FieldValue::Text(text) => shown.field(field.name(), &text),
            };
        }
        shown.finish()
    }
}

#[cfg(feature = "serde")]
mod serialize {
    use alloc::string::String;

    use serde::ser::{Serialize, SerializeMap, Serializer};

    use super::{FieldValue, Output};
    use crate::entry::{Field, Form, ResultType};
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_keeps_the_type_of_each_number() {
        let numbers = [Number::U64(u64::MAX), Number::I64(-1), Number::F64(-0.0)];
        let record = Record::new(numbers);
        assert_eq!(
            [0, 1, 2, 3].map(|index| record.get(index)),
            [Some(numbers[0]), Some(numbers[1]), Some(numbers[2]), None]
        );
        assert_eq!(record.without(1).get(1), None);
        assert_eq!((record.without(1).get(2), record.without(1).len()), (Some(numbers[2]), 3));
    }

    #[test]
    fn a_record_is_whole_with_all_numbers_and_without_flaw() {
        for numbers in [vec![], vec![Number::U64(0)], vec![Number::I64(0); 9], vec![Number::F64(0.0); 10]] {
            let record = Record::from_numbers(numbers.iter().copied().map(Some)).expect("at most ten");
            assert!(record.is_whole(), "{record:?}");
            assert!(!record.flawed(Some(Flaw::TooLarge)).is_whole());
            (0..numbers.len())
                .for_each(|index| assert!(!record.without(index).is_whole(), "{record:?} without {index}"));
        }
    }

    #[test]
    fn a_record_from_numbers_has_room_for_ten() {
        let record = Record::from_numbers([Some(Number::U64(1)), None, Some(Number::F64(2.0))]);
        assert_eq!(record, Some(Record::new([Number::U64(1), Number::U64(0), Number::F64(2.0)]).without(1).clear(1)));
        assert!(Record::from_numbers([None; 10]).is_some());
        assert!(Record::from_numbers([None; 11]).is_none());
    }

    impl Record {
        fn clear(mut self, index: usize) -> Self {
            self.bits[index] = 0;
            self
        }
    }

    #[test]
    fn a_flaw_has_a_stable_number() {
        for flaw in [None, Some(Flaw::Overflow), Some(Flaw::TooLarge)] {
            assert_eq!(Flaw::from_code(Flaw::code(flaw)), Some(flaw));
        }
        assert_eq!(Flaw::from_code(3), None);
    }
}
