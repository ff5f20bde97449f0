//! Attributes as texts: what their values become as values of labels.
//!
//! <https://opentelemetry.io/docs/specs/otel/common/#anyvalue-representation-for-non-otlp-protocols>

use serde_json::Value;

use crate::series::shortened;
use crate::{Limits, SeriesFault};

/// How much longer than the longest label an encoded attribute may be. JSON has escapes and names of types.
const ENCODED_PER_VALUE: usize = 4;

/// The attributes of a resource, of a scope or of a point, as far as they are within the limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Attributes {
    pub(super) pairs: Vec<(String, String)>,
    /// How many there are. Beyond the limit they are only counted.
    pub(super) count: usize,
    /// What is wrong with one of them.
    pub(super) fault: Option<SeriesFault>,
}

impl Attributes {
    /// Whether the next attribute is of use: those beyond the limit are only counted.
    pub(super) fn count_one(&mut self, limits: &Limits) -> bool {
        self.count += 1;
        self.count <= limits.labels
    }

    /// Whether an attribute of so many encoded bytes is too long to be decoded, which takes many times its memory.
    pub(super) fn is_too_long(encoded: usize, limits: &Limits) -> bool {
        encoded > limits.label_value_bytes.saturating_mul(ENCODED_PER_VALUE)
    }

    /// Refuses an attribute that is too long.
    pub(super) fn refuse(&mut self, name: &str, encoded: usize, limits: &Limits) {
        let (name, limit) = (shortened(name), limits.label_value_bytes);
        self.fault = Some(SeriesFault::LongLabelValue { name, length: encoded, limit });
    }

    /// Adds an attribute, whose value is `None` if it is nested too deep.
    pub(super) fn add(&mut self, name: String, value: Option<Value>, limits: &Limits) {
        match value {
            Some(value) => self.pairs.push((name, text(value))),
            None => self.fault = Some(SeriesFault::Nesting { name, limit: limits.nesting }),
        }
    }
}

/// A plain value as it is, a list or a map as JSON; nothing is an empty text, which is not a label.
fn text(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// A double as a value; JSON has no NaN and no infinity, for which the text is that of Prometheus.
pub(super) fn double(value: f64) -> Value {
    if value.is_finite() {
        return serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number);
    }
    let text = if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "+Inf"
    } else {
        "-Inf"
    };
    Value::String(text.to_owned())
}
