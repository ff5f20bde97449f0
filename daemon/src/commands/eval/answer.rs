//! The answer lines of `eval`.

use std::collections::BTreeMap;

use derived_stats::entry::{FieldKind, ResultType};
use derived_stats::{DescribedField, Output, Report};
use serde::Serialize;

/// The answer of one pipeline.
#[derive(Serialize)]
struct Answer<'o> {
    report: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'o Output<'o>>,
    /// The error beside a result that does not contain it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

impl<'o> Answer<'o> {
    const NONE: Self = Self { report: "none", result: None, error: None };

    fn of(report: &'o Report<Output<'o>>) -> Self {
        let result = report.as_ref().any();
        let bare = result.filter(|output| !contains_error(output));
        Self { report: report.name(), result, error: bare.and_then(|output| output.error()) }
    }
}

/// Whether the JSON of a result has its error: those structured results do in which the original's have a field for it.
fn contains_error(output: &Output<'_>) -> bool {
    let description = output.description();
    let has_field = |field: &DescribedField| field.field().kind() == FieldKind::Flaw && field.field().is_original();
    description.result_type() != ResultType::Number && description.fields().iter().any(has_field)
}

/// The answer of a map of pipelines.
#[derive(Serialize)]
struct MapAnswer<'o> {
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<&'static str>,
    results: BTreeMap<&'o str, Answer<'o>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'o str>,
}

#[derive(Serialize)]
struct ErrorAnswer<'o> {
    error: &'o str,
}

/// A writer of answers into one reused line.
#[derive(Debug, Default)]
pub(super) struct Answers {
    line: Vec<u8>,
}

impl Answers {
    /// The newest answer with its line feed.
    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }

    /// Writes an error for the event.
    pub(super) fn error(&mut self, error: &str) {
        self.write(&ErrorAnswer { error });
    }

    /// Writes the answer of a scalar pipeline; `None` means no report.
    pub(super) fn scalar(&mut self, report: Option<Report<Output<'_>>>) {
        self.write(&report.as_ref().map_or(Answer::NONE, Answer::of));
    }

    /// Writes the answer of a map pipeline; `error` names the rejected keys of the event.
    pub(super) fn map(&mut self, reports: &[(&str, Report<Output<'_>>)], error: Option<&str>) {
        let results: BTreeMap<_, _> = reports.iter().map(|(key, report)| (*key, Answer::of(report))).collect();
        self.write(&MapAnswer { report: results.is_empty().then_some("none"), results, error });
    }

    fn write(&mut self, answer: &impl Serialize) {
        self.line.clear();
        if let Err(error) = serde_json::to_writer(&mut self.line, answer) {
            // Only a registered algorithm can fail to serialize; the driver still gets one line.
            self.line.clear();
            let text = serde_json::Value::String(format!("the result cannot be written as JSON: {error}"));
            self.line.extend_from_slice(format!(r#"{{"error":{text}}}"#).as_bytes());
        }
        self.line.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use derived_stats::{Context, Number, Pipeline, Spec, ValueType};

    use super::*;

    fn line(annotation: &str, value: ValueType, samples: &[Number]) -> String {
        let mut pipeline = Pipeline::new(Spec::parse(annotation, Context::new(value)).unwrap().into());
        for &sample in samples {
            pipeline.update(0, sample).unwrap();
        }
        let mut answers = Answers::default();
        answers.scalar(Some(pipeline.report(0)));
        String::from_utf8(answers.line().to_vec()).unwrap()
    }

    #[test]
    fn an_overflowed_number_has_an_error_beside_it() {
        let text = line("raw:DSSum", ValueType::U64, &[Number::U64(u64::MAX), Number::U64(1)]);
        insta::assert_snapshot!(text, @r#"{"report":"ok","result":18446744073709551615,"error":"overflow: the sum left the range of its type, the value is the bound"}"#);
    }

    #[test]
    fn a_flawed_structured_result_has_its_error_once() {
        let small = [1e-300, 2e-300, 3.0].map(Number::F64);
        let text = line("raw:DSPercentile:50", ValueType::F64, &small);
        assert_eq!(text.matches("error").count(), 1, "{text}");
        let text = line("raw:DSEWM:0.5", ValueType::F64, &[Number::F64(1e200)]);
        assert_eq!(text.matches("error").count(), 1, "{text}");
    }

    #[test]
    fn a_pipeline_without_samples_has_no_result() {
        insta::assert_snapshot!(line("raw:DSSum", ValueType::U64, &[]), @r#"{"report":"not_ready"}"#);
    }

    #[test]
    fn printed_doubles_parse_to_the_same_doubles() {
        for value in [0.1, 3.6, 1e300, 5e-324, 1.0, -0.0, f64::MAX] {
            let text = line("raw:DSNone", ValueType::F64, &[Number::F64(value)]);
            let back: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(back["result"].as_f64().map(f64::to_bits), Some(value.to_bits()), "{text}");
        }
    }
}
