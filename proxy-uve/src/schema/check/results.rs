//! The results of a struct: annotations compiled against its raw value.

use std::sync::Arc;

use derived_stats::annotation::{Annotation, AnnotationError, ErrorKind, Ident, nearest};
use derived_stats::entry::ResultType;
use derived_stats::{Context, Entry, MetricKind, Spec, ValueType, menu};

use super::super::ast::{Type, Word};
use super::super::kind::SchemaErrorKind;
use super::super::proxy_type::{RawField, ResultAttribute, window_fits};
use super::super::source::{Kind, Source};
use super::settings::Settings;
use super::{Check, CheckedField};

impl<'s> Check<'s> {
    /// All results. Without raw value the annotations are still parsed, and checked as far as possible.
    pub(super) fn results(
        &mut self,
        fields: &[CheckedField<'s>],
        raw: Option<&RawField>,
        settings: &Settings,
    ) -> Vec<ResultAttribute> {
        let mut results = Vec::new();
        for checked in fields.iter().filter(|checked| checked.is_result()) {
            if let Some(mstats) = checked.annotations.mstats {
                self.error(SchemaErrorKind::MapRaw, &mstats.name);
            }
            let stats = checked.annotations.stats.and_then(|stats| self.value(stats, "stats=\"1-raw:DSSum\""));
            let tags = self.tags(checked, fields);
            let Some(spec) = stats.and_then(|stats| self.spec(stats, fields, raw, settings)) else {
                continue;
            };
            let result_type = checked.field.ty.whole();
            self.result_type(&spec, checked.kind, result_type);
            results.push(ResultAttribute {
                name: checked.name().to_owned(),
                spec: Arc::new(spec),
                hidden: checked.annotations.hidden.is_some(),
                tags,
                result_type: result_type.text.clone(),
            });
        }
        if !fields.iter().any(CheckedField::is_result) {
            self.missing(SchemaErrorKind::NoResults);
        }
        results
    }

    fn spec(
        &mut self,
        stats: &Word,
        fields: &[CheckedField<'s>],
        raw: Option<&RawField>,
        settings: &Settings,
    ) -> Option<Spec> {
        let value = raw.map_or(ValueType::U64, |raw| raw.value);
        let metric = raw.map_or(MetricKind::Plain, |raw| raw.metric);
        let context = Context::new(value).with_metric(metric).with_periods(settings.periods);
        let context = context.with_registry(&self.source.registry);
        let compiled = Annotation::parse(&stats.text).and_then(|annotation| {
            check_source(&annotation, self.source, fields, raw)?;
            Spec::compile(&annotation, context)
        });
        match compiled {
            Ok(spec) => self.with_valid_window(spec, stats, settings),
            Err(error) => {
                self.annotation_error(&error, stats);
                None
            }
        }
    }

    /// Reports an error of an annotation at its location in the file: quoted text has no escapes, so its bytes are
    /// those of the file.
    fn annotation_error(&mut self, error: &AnnotationError, stats: &Word) {
        let (start, span) = (stats.span.start, error.span());
        let kind = SchemaErrorKind::Annotation(Box::new(error.kind().clone()));
        self.errors.push(self.source.error(kind, start + span.start..start + span.end));
    }

    /// Refuses a spec whose windows do not fit 64 bits of microseconds.
    fn with_valid_window(&mut self, spec: Spec, stats: &Word, settings: &Settings) -> Option<Spec> {
        let (every, seconds) = (spec.every(), settings.period.unwrap_or(0));
        if !window_fits(every, seconds) {
            self.error(SchemaErrorKind::PeriodsTooLong { every, seconds }, stats);
            return None;
        }
        Some(spec)
    }

    /// Checks that the type of the field is that of the result. The original generates C++ that does not compile
    /// otherwise.
    fn result_type(&mut self, spec: &Spec, kind: Option<Kind>, written: &Word) {
        let last = written.text.rsplit('.').next().unwrap_or_default();
        let is_whole = matches!(kind, Some(Kind::Number(ValueType::I64 | ValueType::U64)));
        // A result of the metric's own type is not checked: a metric of doubles may have whole numbers.
        let is_fraction =
            spec.description().value_type() == Some(ValueType::F64) && spec.value_type() != ValueType::F64;
        let expected = match spec.description().result_type() {
            ResultType::Struct(name) if name != last => with_article(name),
            ResultType::Number if self.is_struct_result(last) => "a number".to_owned(),
            ResultType::Number if is_whole && is_fraction => "a `double`".to_owned(),
            ResultType::Number | ResultType::Struct(_) => return,
        };
        let algorithm = spec.annotation().algorithm().name().as_str().to_owned();
        let found = written.text.clone();
        self.error(SchemaErrorKind::WrongResult { algorithm, expected, found }, written);
    }

    /// Whether any algorithm has a result that is a struct of this name.
    fn is_struct_result(&self, name: &str) -> bool {
        let entries = menu().iter().copied().chain(self.source.registry.entries());
        let is_it = |result| matches!(result, ResultType::Struct(result) if result == name);
        entries.map(Entry::result_type).any(is_it)
    }

    fn tags(&mut self, checked: &CheckedField<'s>, fields: &[CheckedField<'s>]) -> Vec<String> {
        let value = checked.annotations.tags.and_then(|tags| self.value(tags, "tags=\"proxy\""));
        let Some(value) = value else {
            return Vec::new();
        };
        let is_text = |checked: &&CheckedField<'_>| checked.kind == Some(Kind::String);
        let known: Vec<&str> = fields.iter().filter(is_text).map(CheckedField::name).collect();
        let tags: Vec<&str> = value.text.split(',').map(str::trim).collect();
        for tag in tags.iter().filter(|tag| !known.contains(tag)) {
            let nearest = nearest(tag, known.iter().copied()).map(str::to_owned);
            self.error(SchemaErrorKind::UnknownTag { name: (*tag).to_owned(), nearest }, value);
        }
        tags.into_iter().map(str::to_owned).collect()
    }
}

fn with_article(name: &str) -> String {
    let article = if name.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" };
    format!("{article} `{name}`")
}

/// Checks that the attribute that an annotation reads is a field of the struct, and a number or a text. That it is the raw value
/// is checked for every proxy type, in code too.
fn check_source(
    annotation: &Annotation,
    source: &Source,
    fields: &[CheckedField<'_>],
    raw: Option<&RawField>,
) -> Result<(), AnnotationError> {
    let attribute = annotation.source().attribute();
    let name = attribute.as_str().to_owned();
    let field = fields.iter().find(|checked| checked.name() == name);
    let kind = match field {
        None => {
            let nearest = nearest(&name, fields.iter().map(CheckedField::name)).map(str::to_owned);
            ErrorKind::UnknownAttribute { name, nearest }
        }
        Some(field) if field.is_result() => ErrorKind::SelfReference { name },
        Some(field) if field.is_hidden_text() && !field.is_of_every_type() => return check_component(annotation, raw),
        Some(CheckedField { kind: Some(Kind::Bool | Kind::List | Kind::String), .. }) => ErrorKind::NotNumeric { name },
        Some(CheckedField { kind: Some(Kind::Struct), field, .. }) => return check_path(annotation, source, &field.ty),
        Some(_) => return check_component(annotation, raw),
    };
    Err(annotation.error_at(attribute.span(), kind))
}

/// Checks the path from an attribute that is a struct to its component, as far as the types are of this file. A
/// component that is a number is not an error here: that a struct cannot be the raw value is reported at the field.
fn check_path(annotation: &Annotation, source: &Source, ty: &Type) -> Result<(), AnnotationError> {
    let mut path = annotation.source().names();
    let (mut name, mut ty) = (path.next(), ty);
    while let Some(ident) = name {
        let text = ident.as_str().to_owned();
        let next = path.next();
        let (at, kind) = match (source.kind(ty), source.fields(ty), next) {
            (Ok(Kind::Struct), _, None) => (ident, ErrorKind::NeedsComponent { name: text }),
            (Ok(Kind::Struct), None, Some(_)) => return Ok(()),
            (Ok(Kind::Struct), Some(fields), Some(component)) => {
                if let Some(field) = fields.iter().find(|field| field.name.text == component.as_str()) {
                    (name, ty) = (next, &field.ty);
                    continue;
                }
                let nearest = nearest(component.as_str(), fields.iter().map(|field| field.name.text.as_str()));
                (component, unknown(component, nearest))
            }
            (Ok(Kind::Number(_)) | Err(_), _, None) => return Ok(()),
            (Ok(Kind::Number(_)) | Err(_), _, Some(component)) => (component, unknown(component, None)),
            _ => (ident, ErrorKind::NotNumeric { name: text }),
        };
        return Err(annotation.error_at(at.span(), kind));
    }
    Ok(())
}

fn unknown(ident: &Ident, nearest: Option<&str>) -> ErrorKind {
    ErrorKind::UnknownAttribute { name: ident.as_str().to_owned(), nearest: nearest.map(str::to_owned) }
}

/// Refuses a path behind the raw value: a number has no components.
fn check_component(annotation: &Annotation, raw: Option<&RawField>) -> Result<(), AnnotationError> {
    match annotation.source().component().filter(|_| raw.is_some()) {
        None => Ok(()),
        Some(component) => Err(annotation.error_at(component.span(), unknown(component, None))),
    }
}
