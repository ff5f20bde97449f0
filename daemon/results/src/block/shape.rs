//! The names and types of results, which are the dictionary of a block.

use derived_stats::entry::{Form, ResultType, Role};
use derived_stats::{DescribedField, FieldValue, Number, Record, ValueType};
use proxy_uve::json::{self, JsonField};
use proxy_uve::{AttributeDescription, UveDescription};

use crate::block::bytes::{BlockError, Reader, put_text, put_varint};

/// The names and types of one proxy type's results.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct UveShape {
    /// The name of the UVE, `<Type>-<Struct>-<attribute>`.
    pub uve: Box<str>,
    /// The stream, which is the value of the JSON field `proxy`.
    pub proxy: Box<str>,
    /// The attributes of the proxy type, in order.
    pub attributes: Box<[AttributeShape]>,
}

/// The name and the fields of one attribute.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AttributeShape {
    /// The name of the attribute.
    pub name: Box<str>,
    /// Whether each result is of one sample, and not of a window.
    pub inline: bool,
    /// The JSON form of a result.
    pub shown: Shown,
    /// The fields in order. At most [`Record::MAX_NUMBERS`] of them are numbers; these are the numbers of a record, in
    /// the same order.
    pub fields: Box<[FieldShape]>,
    /// The number of fields that are numbers, which each value of a block is read with.
    numbers: usize,
    /// The fields with a role, in order, and the index of each among the numbers if it is one.
    roles: Box<[(Role, Option<usize>)]>,
}

/// The JSON form of an attribute's result.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shown {
    /// A single number: the value of the field with [`Role::Value`].
    Number,
    /// An object with all fields.
    Struct,
}

/// The name and the type of one field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FieldShape {
    /// The name of the field.
    pub name: Box<str>,
    /// The kind of value.
    pub content: Content,
    /// The name of the nested JSON object that holds the field; `None` for a field of the attribute itself.
    pub group: Option<Box<str>>,
    /// The form in which JSON prints a number.
    pub form: Form,
    /// The role of the field in the result, if it has one.
    pub role: Option<Role>,
}

/// The kind of value in a field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Content {
    /// The text of the result's flaw.
    Flaw,
    /// A number of this type.
    Number(ValueType),
    /// A constant text, which is the same in every result.
    Text(Box<str>),
}

/// Whether a name needs no escape in JSON: it is not empty and has no quote, backslash or control character.
pub fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|it| it.is_control() || it == '"' || it == '\\')
}

impl UveShape {
    /// Creates the shape of a configured proxy type on the stream `proxy`.
    pub fn of(uve: &UveDescription<'_>, proxy: &str) -> Self {
        let attributes = uve.attributes().map(|attribute| AttributeShape::of(&attribute)).collect();
        Self { uve: uve.name().into(), proxy: proxy.into(), attributes }
    }

    /// Returns the encoded definition, which is equal for equal shapes.
    pub fn definition(&self) -> Vec<u8> {
        let mut definition = Vec::new();
        self.encode(&mut definition);
        definition
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_text(out, &self.uve);
        put_text(out, &self.proxy);
        put_varint(out, self.attributes.len() as u64);
        self.attributes.iter().for_each(|attribute| attribute.encode(out));
    }

    /// Decodes a definition that [`encode`](Self::encode) wrote.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, BlockError> {
        let (uve, proxy) = (name(reader, "uve")?, name(reader, "proxy")?);
        let count = reader.count("attributes")?;
        let attributes = (0..count).map(|_| AttributeShape::decode(reader)).collect::<Result<_, _>>()?;
        Ok(Self { uve, proxy, attributes })
    }
}

impl AttributeShape {
    /// The shape of an attribute as a plan describes it.
    pub fn of(attribute: &AttributeDescription<'_>) -> Self {
        let description = attribute.description;
        let shown = match description.result_type() {
            ResultType::Number => Shown::Number,
            ResultType::Struct(_) => Shown::Struct,
        };
        let fields = description.fields().iter().map(FieldShape::of).collect();
        Self::new(attribute.name.into(), attribute.inline, shown, fields)
    }

    /// The shape of an attribute with these fields.
    pub(crate) fn new(name: Box<str>, inline: bool, shown: Shown, fields: Box<[FieldShape]>) -> Self {
        let (mut numbers, mut roles) = (0, Vec::new());
        for field in &fields {
            let is_number = field.value_type().is_some();
            roles.extend(field.role.map(|role| (role, is_number.then_some(numbers))));
            numbers += usize::from(is_number);
        }
        Self { name, inline, shown, fields, numbers, roles: roles.into() }
    }

    /// The number of numeric fields.
    #[inline]
    pub fn numbers(&self) -> usize {
        self.numbers
    }

    /// The index among the numbers of the first field with this role; `None` if there is none, or it is a text.
    pub fn number_index(&self, role: Role) -> Option<usize> {
        self.roles.iter().find(|(found, _)| *found == role)?.1
    }

    /// Returns the number in the first field with this role; `None` if there is none.
    pub fn of_role(&self, role: Role, record: &Record) -> Option<Number> {
        record.get(self.number_index(role)?)
    }

    /// Iterates over the fields that have a value in `record`, in order.
    pub fn present<'s>(&'s self, record: &'s Record) -> impl Iterator<Item = (&'s FieldShape, FieldValue<'s>)> + 's {
        self.values(record).filter_map(|(field, value)| Some((field, value?)))
    }

    /// Returns the value of a result whose JSON form is a single number.
    pub fn bare_number(&self, record: &Record) -> Option<Number> {
        match self.shown {
            Shown::Number => self.of_role(Role::Value, record),
            Shown::Struct => None,
        }
    }

    /// Appends a result in its JSON form.
    pub fn write_json<'s>(&'s self, record: &'s Record, out: &mut Vec<u8>) {
        if let Some(number) = self.bare_number(record) {
            let error = record.flaw().map(derived_stats::Flaw::text);
            return json::write_number_result(number, error, self.inline, out);
        }
        let field = |(field, value): (&'s FieldShape, FieldValue<'s>)| JsonField {
            name: &field.name,
            group: field.group.as_deref(),
            form: field.form,
            value,
        };
        json::write_fields(self.present(record).map(field), out);
    }

    fn values<'s>(&'s self, record: &'s Record) -> impl Iterator<Item = (&'s FieldShape, Option<FieldValue<'s>>)> + 's {
        let mut number = 0;
        self.fields.iter().map(move |field| {
            let value = match &field.content {
                Content::Flaw => record.flaw().map(|flaw| FieldValue::Text(flaw.text())),
                Content::Number(_) => {
                    number += 1;
                    record.get(number - 1).map(FieldValue::Number)
                }
                Content::Text(text) => Some(FieldValue::Text(text)),
            };
            (field, value)
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_text(out, &self.name);
        out.push(u8::from(self.inline) | u8::from(self.shown == Shown::Struct) << 1);
        put_varint(out, self.fields.len() as u64);
        self.fields.iter().for_each(|field| field.encode(out));
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, BlockError> {
        let name = name(reader, "attribute name")?;
        let shown = reader.byte("shown")?;
        if shown > 3 {
            return Err(reader.damaged("shown", shown.to_string(), "0 to 3"));
        }
        let count = reader.count("fields")?;
        let fields = (0..count).map(|_| FieldShape::decode(reader)).collect::<Result<_, _>>()?;
        let kind = if shown & 2 == 0 { Shown::Number } else { Shown::Struct };
        let attribute = Self::new(name, shown & 1 == 1, kind, fields);
        let numbers = attribute.numbers();
        if numbers > Record::MAX_NUMBERS {
            return Err(reader.damaged("fields", format!("{numbers} numbers"), "at most 10 numbers"));
        }
        Ok(attribute)
    }
}

impl FieldShape {
    fn of(described: &DescribedField) -> Self {
        let field = described.field();
        let content = match (described.value_type(), described.constant()) {
            (Some(value_type), _) => Content::Number(value_type),
            (None, Some(text)) => Content::Text(text.into()),
            (None, None) => Content::Flaw,
        };
        let group = field.group().map(Into::into);
        Self { name: described.name().into(), content, group, form: field.form(), role: field.role() }
    }

    /// The type of a numeric field; `None` for a text.
    pub fn value_type(&self) -> Option<ValueType> {
        match self.content {
            Content::Number(value_type) => Some(value_type),
            Content::Flaw | Content::Text(_) => None,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_text(out, &self.name);
        out.push(match self.content {
            Content::Flaw => 0,
            Content::Number(ValueType::U64) => 1,
            Content::Number(ValueType::I64) => 2,
            Content::Number(ValueType::F64) => 3,
            Content::Text(_) => 4,
        });
        if let Content::Text(text) = &self.content {
            put_text(out, text);
        }
        put_text(out, self.group.as_deref().unwrap_or_default());
        out.push(self.form.code());
        out.push(Role::code(self.role));
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, BlockError> {
        let own = name(reader, "field name")?;
        let content = match reader.byte("content")? {
            0 => Content::Flaw,
            1 => Content::Number(ValueType::U64),
            2 => Content::Number(ValueType::I64),
            3 => Content::Number(ValueType::F64),
            4 => Content::Text(reader.text("constant")?.into()),
            other => return Err(reader.damaged("content", other.to_string(), "0 to 4")),
        };
        let group = reader.text("group")?;
        if !group.is_empty() && !is_plain_name(group) {
            return Err(reader.damaged("group", format!("{group:?}"), NAME));
        }
        let code = reader.byte("form")?;
        let form = Form::from_code(code).ok_or_else(|| reader.damaged("form", code.to_string(), "a known form"))?;
        let code = reader.byte("role")?;
        let role = Role::from_code(code).ok_or_else(|| reader.damaged("role", code.to_string(), "a known role"))?;
        let group = (!group.is_empty()).then(|| group.into());
        Ok(Self { name: own, content, group, form, role })
    }
}

const NAME: &str = "a name without quotes, backslashes and control characters";

fn name(reader: &mut Reader<'_>, field: &'static str) -> Result<Box<str>, BlockError> {
    let name = reader.text(field)?;
    if is_plain_name(name) { Ok(name.into()) } else { Err(reader.damaged(field, format!("{name:?}"), NAME)) }
}
