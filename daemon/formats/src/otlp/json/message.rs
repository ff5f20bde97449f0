//! The messages in JSON, with the fields that are used. Lists of what a request may have many of stay text.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::Value;
use serde_json::value::RawValue;

/// A list as text, or nothing.
pub(super) type List<'b> = Option<&'b RawValue>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request<'b> {
    #[serde(borrow, default)]
    pub(super) resource_metrics: List<'b>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResourceMetrics<'b> {
    #[serde(borrow, default)]
    pub(super) resource: Option<Resource<'b>>,
    #[serde(borrow, default)]
    pub(super) scope_metrics: List<'b>,
}

#[derive(Default, Deserialize)]
pub(super) struct Resource<'b> {
    #[serde(borrow, default)]
    pub(super) attributes: List<'b>,
}

#[derive(Deserialize)]
pub(super) struct ScopeMetrics<'b> {
    #[serde(borrow, default)]
    pub(super) scope: Option<Scope<'b>>,
    #[serde(borrow, default)]
    pub(super) metrics: List<'b>,
}

#[derive(Default, Deserialize)]
pub(super) struct Scope<'b> {
    #[serde(borrow, default)]
    pub(super) name: Option<Cow<'b, str>>,
    #[serde(borrow, default)]
    pub(super) version: Option<Cow<'b, str>>,
    #[serde(borrow, default)]
    pub(super) attributes: List<'b>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metric<'b> {
    #[serde(borrow, default)]
    pub(super) name: Option<Cow<'b, str>>,
    #[serde(borrow, default)]
    pub(super) unit: Option<Cow<'b, str>>,
    #[serde(borrow, default)]
    pub(super) gauge: Option<Data<'b>>,
    #[serde(borrow, default)]
    pub(super) sum: Option<Data<'b>>,
    #[serde(borrow, default)]
    pub(super) histogram: Option<Data<'b>>,
    #[serde(borrow, default)]
    pub(super) exponential_histogram: Option<Data<'b>>,
    #[serde(borrow, default)]
    pub(super) summary: Option<Data<'b>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Data<'b> {
    #[serde(borrow, default)]
    pub(super) data_points: List<'b>,
    #[serde(default)]
    pub(super) aggregation_temporality: Option<u64>,
    #[serde(default)]
    pub(super) is_monotonic: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JsonPoint<'b> {
    #[serde(borrow, default)]
    pub(super) attributes: List<'b>,
    #[serde(default)]
    pub(super) start_time_unix_nano: Number<u64>,
    #[serde(default)]
    pub(super) time_unix_nano: Number<u64>,
    #[serde(default)]
    pub(super) as_double: Number<f64>,
    #[serde(default)]
    pub(super) as_int: Number<i64>,
    #[serde(default)]
    pub(super) count: Number<u64>,
    #[serde(default)]
    pub(super) sum: Number<f64>,
    #[serde(default)]
    pub(super) flags: Number<u64>,
}

#[derive(Deserialize)]
pub(super) struct KeyValue<'b> {
    #[serde(borrow, default)]
    pub(super) key: Option<Cow<'b, str>>,
    #[serde(default)]
    pub(super) value: Option<AnyValue>,
}

/// A `KeyValue` whose value is too long to be read.
#[derive(Deserialize)]
pub(super) struct Key<'b> {
    #[serde(borrow, default)]
    pub(super) key: Option<Cow<'b, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AnyValue {
    pub(super) string_value: Option<String>,
    pub(super) bool_value: Option<bool>,
    #[serde(default)]
    pub(super) int_value: Number<i64>,
    #[serde(default)]
    pub(super) double_value: Number<f64>,
    pub(super) array_value: Option<Values<Self>>,
    pub(super) kvlist_value: Option<Values<OwnedKeyValue>>,
    pub(super) bytes_value: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct OwnedKeyValue {
    #[serde(default)]
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: Option<AnyValue>,
}

#[derive(Deserialize)]
pub(super) struct Values<T> {
    #[serde(default = "Vec::new")]
    pub(super) values: Vec<T>,
}

/// A number that may be written as a text; `None` if it is left out or null.
pub(super) struct Number<T>(pub(super) Option<T>);

impl<T> Default for Number<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: std::str::FromStr> Deserialize<'de> for Number<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Value::deserialize(deserializer)? {
            Value::Null => return Ok(Self(None)),
            // Protobuf's names for what JSON has no number for.
            Value::String(text) => text.replace("Infinity", "inf"),
            Value::Number(number) => number.to_string(),
            other => return Err(D::Error::custom(format!("{other} is not a number"))),
        };
        let number = text.parse().map_err(|_| D::Error::custom(format!("`{text}` is not a number of its field")))?;
        Ok(Self(Some(number)))
    }
}
