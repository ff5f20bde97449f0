//! From a definition to a proxy type: every check that the syntax does not make.
//!
//! A definition is checked to its end, whatever is found on the way, so that all of its errors are reported at once.

mod field;
mod results;
mod settings;

use derived_stats::{MetricKind, ValueType};

use self::field::FieldAnnotations;
use self::settings::Settings;
use super::ast::{Definition, Field, Word};
use super::error::SchemaError;
use super::kind::SchemaErrorKind;
use super::proxy_type::{ProxyType, RawField};
use super::source::{Kind, Source};

/// Compiles one definition of a file, with another period if one is given. There is a type exactly if there are no
/// errors, and the file had none in this definition.
pub(super) fn compile(source: &Source, index: usize, period: Option<u32>) -> (Option<ProxyType>, Vec<SchemaError>) {
    let Some(definition) = source.definition(index) else {
        return (None, Vec::new());
    };
    let mut check = Check { source, definition, errors: Vec::new() };
    let proxy_type = check.proxy_type(period);
    (proxy_type, check.errors)
}

/// One definition under check.
struct Check<'s> {
    source: &'s Source,
    definition: &'s Definition,
    errors: Vec<SchemaError>,
}

/// A field with its annotations and the kind of its type; `None` for an unknown type.
struct CheckedField<'s> {
    field: &'s Field,
    kind: Option<Kind>,
    annotations: FieldAnnotations<'s>,
}

impl CheckedField<'_> {
    fn name(&self) -> &str {
        &self.field.name.text
    }

    /// Whether this is one of the fields that every proxy type has: the key, `proxy` and `deleted`.
    fn is_of_every_type(&self) -> bool {
        self.annotations.key.is_some() || matches!(self.name(), "proxy" | "deleted")
    }

    /// Whether samples that are texts can fill it.
    fn is_hidden_text(&self) -> bool {
        self.kind == Some(Kind::String) && self.annotations.hidden.is_some()
    }

    fn is_result(&self) -> bool {
        self.annotations.stats.is_some() || self.annotations.mstats.is_some()
    }
}

impl<'s> Check<'s> {
    fn proxy_type(&mut self, period: Option<u32>) -> Option<ProxyType> {
        let settings = self.settings(period);
        self.duplicates();
        let fields: Vec<CheckedField<'s>> =
            self.definition.fields.iter().map(|field| self.checked_field(field)).collect();
        self.key(&fields);
        self.proxy(&fields);
        self.deleted(&fields);
        let raw = self.raw(&fields);
        self.unused(&fields, raw);
        let raw_field = raw.map(raw_field);
        let attributes = self.results(&fields, raw_field.as_ref(), &settings);
        let Settings { period, timeout, silence, .. } = settings;
        let name = self.definition.name.text.clone();
        let proxy_type = ProxyType { name, period_seconds: period, timeout, silence, raw: raw_field?, attributes };
        if self.errors.is_empty() && !self.definition.broken { self.checked(proxy_type) } else { None }
    }

    /// The checks that do not depend on how a type was written, once its text has no errors.
    fn checked(&mut self, proxy_type: ProxyType) -> Option<ProxyType> {
        let kind = match proxy_type.checked() {
            Ok(proxy_type) => return Some(proxy_type),
            Err(error) => error.kind().clone(),
        };
        let named = |field: &&Field| kind.result() == Some(&field.name.text);
        let at = self.definition.fields.iter().find(named).map_or(&self.definition.name, |field| &field.name);
        self.error(SchemaErrorKind::ProxyType(Box::new(kind)), at);
        None
    }

    fn error(&mut self, kind: SchemaErrorKind, at: &Word) {
        self.errors.push(self.source.error(kind, at.span.clone()));
    }

    /// Reports a missing part at the name of the struct, unless a part of it could not be read.
    fn missing(&mut self, kind: SchemaErrorKind) {
        if !self.definition.broken {
            self.error(kind, &self.definition.name);
        }
    }

    fn duplicates(&mut self) {
        let fields = &self.definition.fields;
        let mut numbers: Vec<Option<u16>> = Vec::new();
        for (index, field) in fields.iter().enumerate() {
            let number = field.number.text.parse().ok().filter(|number| (1..=32767).contains(number));
            if number.is_none() {
                self.error(SchemaErrorKind::BadNumber { text: field.number.text.clone() }, &field.number);
            }
            if let Some((number, first)) = number.zip(numbers.iter().position(|&other| other == number)) {
                let name = fields[first].name.text.clone();
                self.error(SchemaErrorKind::DuplicateNumber { number, name }, &field.number);
            }
            numbers.push(number);
            if fields[..index].iter().any(|other| other.name.text == field.name.text) {
                self.error(SchemaErrorKind::DuplicateField { name: field.name.text.clone() }, &field.name);
            }
        }
    }

    fn checked_field(&mut self, field: &'s Field) -> CheckedField<'s> {
        let kind = match self.source.kind(&field.ty) {
            Ok(kind) => Some(kind),
            Err(unknown) => {
                let (name, nearest) = (unknown.text.clone(), self.source.nearest_type(&unknown.text));
                self.error(SchemaErrorKind::UnknownType { name, nearest }, unknown);
                None
            }
        };
        CheckedField { field, kind, annotations: self.field_annotations(field) }
    }

    fn key(&mut self, fields: &[CheckedField<'s>]) {
        let mut keys = fields.iter().filter(|checked| checked.annotations.key.is_some());
        let Some(key) = keys.next() else {
            return self.missing(SchemaErrorKind::MissingKey);
        };
        self.expect_type(key, Kind::String, "string");
        for other in keys {
            let first = key.name().to_owned();
            self.error(SchemaErrorKind::SeveralKeys { first }, &other.field.name);
        }
    }

    fn proxy(&mut self, fields: &[CheckedField<'s>]) {
        match fields.iter().find(|checked| checked.name() == "proxy") {
            Some(proxy) => self.expect_type(proxy, Kind::String, "string"),
            None => self.missing(SchemaErrorKind::MissingField { field: "2: string proxy" }),
        }
    }

    fn deleted(&mut self, fields: &[CheckedField<'s>]) {
        match fields.iter().find(|checked| checked.name() == "deleted") {
            Some(deleted) if deleted.field.optional => self.expect_type(deleted, Kind::Bool, "optional bool"),
            Some(deleted) => {
                let (name, expected) = ("deleted".to_owned(), "optional bool");
                self.error(SchemaErrorKind::WrongType { name, expected }, deleted.field.ty.whole());
            }
            None => self.missing(SchemaErrorKind::MissingField { field: "3: optional bool deleted" }),
        }
    }

    fn expect_type(&mut self, checked: &CheckedField<'s>, kind: Kind, expected: &'static str) {
        if checked.kind.is_some_and(|found| found != kind) {
            let name = checked.name().to_owned();
            self.error(SchemaErrorKind::WrongType { name, expected }, checked.field.ty.whole());
        }
    }

    /// The one field that samples fill: a number, a text or, refused for now, a map, without `stats`.
    fn raw<'n>(&mut self, fields: &'n [CheckedField<'s>]) -> Option<&'n CheckedField<'s>> {
        let is_raw = |checked: &&CheckedField<'_>| {
            let fits = matches!(checked.kind, Some(Kind::Map | Kind::Number(_)) | None);
            (fits || checked.is_hidden_text()) && !checked.is_result() && !checked.is_of_every_type()
        };
        let candidates = || fields.iter().filter(is_raw);
        let hidden = candidates().find(|checked| checked.annotations.hidden.is_some());
        let Some(raw) = hidden.or_else(|| candidates().next()) else {
            self.missing(SchemaErrorKind::MissingRaw);
            return None;
        };
        for other in candidates().filter(|other| !std::ptr::eq(*other, raw)) {
            let first = raw.name().to_owned();
            self.error(SchemaErrorKind::SeveralRaws { first }, &other.field.name);
        }
        if raw.annotations.hidden.is_none() {
            self.error(SchemaErrorKind::RawNotHidden { name: raw.name().to_owned() }, &raw.field.name);
        }
        if raw.kind == Some(Kind::Map) {
            self.error(SchemaErrorKind::MapRaw, raw.field.ty.whole());
        }
        Some(raw)
    }

    /// Reports fields that are none of the above, and annotations where they have no meaning.
    fn unused(&mut self, fields: &[CheckedField<'s>], raw: Option<&CheckedField<'s>>) {
        let raw = raw.map(CheckedField::name);
        for checked in fields {
            let is_raw = raw == Some(checked.name());
            let number_or_map = matches!(checked.kind, Some(Kind::Map | Kind::Number(_)) | None);
            if !checked.is_of_every_type() && !checked.is_result() && !number_or_map && !checked.is_hidden_text() {
                let name = checked.name().to_owned();
                self.error(SchemaErrorKind::UnusedField { name }, &checked.field.name);
            }
            if let Some((word, _)) = checked.annotations.metric.filter(|_| !is_raw) {
                self.misplaced(word, "the raw value");
            }
            if let Some(word) = checked.annotations.tags.filter(|_| !checked.is_result()) {
                self.misplaced(word, "a result");
            }
        }
    }

    fn misplaced(&mut self, annotation: &super::ast::Annotation, location: &'static str) {
        let name = annotation.name.text.clone();
        self.error(SchemaErrorKind::MisplacedAnnotation { name, place: location }, &annotation.name);
    }
}

fn raw_field(raw: &CheckedField<'_>) -> RawField {
    let value = match raw.kind {
        Some(Kind::Number(value)) => value,
        _ => ValueType::U64,
    };
    let metric = raw.annotations.metric.map_or(MetricKind::Plain, |(_, metric)| metric);
    RawField { name: raw.name().to_owned(), value, metric, texts: raw.kind == Some(Kind::String) }
}
