//! The annotations of a field.

use derived_stats::MetricKind;
use derived_stats::annotation::nearest;

use super::super::ast::{Annotation, Field, Word};
use super::super::kind::SchemaErrorKind;
use super::Check;

const NAMES: [&str; 6] = ["hidden", "key", "metric", "mstats", "stats", "tags"];

/// The annotations of a field, by name.
#[derive(Default)]
pub(super) struct FieldAnnotations<'s> {
    pub(super) hidden: Option<&'s Annotation>,
    pub(super) key: Option<&'s Annotation>,
    pub(super) metric: Option<(&'s Annotation, MetricKind)>,
    pub(super) mstats: Option<&'s Annotation>,
    pub(super) stats: Option<&'s Annotation>,
    pub(super) tags: Option<&'s Annotation>,
}

impl<'s> Check<'s> {
    pub(super) fn field_annotations(&mut self, field: &'s Field) -> FieldAnnotations<'s> {
        self.names(&field.annotations, &NAMES, "`key`, `hidden`, `metric`, `stats` or `tags`");
        let mut found = FieldAnnotations::default();
        for annotation in &field.annotations {
            match annotation.name.text.as_str() {
                "hidden" => found.hidden = self.hidden(annotation),
                "key" => found.key = Some(annotation),
                "metric" => found.metric = self.metric(annotation),
                "mstats" => found.mstats = Some(annotation),
                "stats" => found.stats = Some(annotation),
                "tags" => found.tags = Some(annotation),
                _ => {}
            }
        }
        found
    }

    /// Refuses annotations that are unknown or appear twice.
    pub(super) fn names(&mut self, annotations: &[Annotation], known: &[&str], expected: &'static str) {
        for (index, annotation) in annotations.iter().enumerate() {
            let name = &annotation.name;
            if !known.contains(&name.text.as_str()) {
                let nearest = nearest(&name.text, known.iter().copied()).map(str::to_owned);
                self.error(SchemaErrorKind::UnknownAnnotation { name: name.text.clone(), expected, nearest }, name);
            } else if annotations[..index].iter().any(|other| other.name.text == name.text) {
                self.error(SchemaErrorKind::DuplicateAnnotation { name: name.text.clone() }, name);
            }
        }
    }

    /// The value of an annotation that needs one.
    pub(super) fn value<'a>(&mut self, annotation: &'a Annotation, example: &'static str) -> Option<&'a Word> {
        if annotation.value.is_none() {
            let name = annotation.name.text.clone();
            self.error(SchemaErrorKind::MissingValue { name, example }, &annotation.name);
        }
        annotation.value.as_ref()
    }

    /// Sandesh defines `yes` only; any other value would show what its author meant to hide, or the reverse.
    fn hidden(&mut self, annotation: &'s Annotation) -> Option<&'s Annotation> {
        let value = self.value(annotation, "hidden=\"yes\"");
        if let Some(value) = value.filter(|value| value.text != "yes") {
            let (expected, text) = ("`yes`", value.text.clone());
            self.error(SchemaErrorKind::BadValue { expected, text, nearest: None }, value);
        }
        Some(annotation)
    }

    fn metric(&mut self, annotation: &'s Annotation) -> Option<(&'s Annotation, MetricKind)> {
        let value = self.value(annotation, "metric=\"agg\"")?;
        match value.text.as_str() {
            "agg" => return Some((annotation, MetricKind::Agg)),
            "diff" => return Some((annotation, MetricKind::Diff)),
            _ => {}
        }
        let nearest = nearest(&value.text, ["agg", "diff"]).map(str::to_owned);
        let expected = "`agg` (a counter) or `diff` (differences)";
        self.error(SchemaErrorKind::BadValue { expected, text: value.text.clone(), nearest }, value);
        None
    }
}
