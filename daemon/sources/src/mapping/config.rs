//! `[[streams]]`: which series become samples of which objects.

use std::collections::BTreeMap;

use daemon_base::setting::list;
use daemon_formats::json_fields::FieldsConfig;
use derived_stats::{MetricKind, ValueType};
use serde::Deserialize;

/// A stream of series. Names, globs and conditions are texts here; [`Rule`](super::Rule) has them compiled.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct StreamConfig {
    /// The name of the stream: letters, digits, `_`, `-` and `.`. Required. Results are named after it and `metric`.
    pub name: String,
    /// The name of the metric, or a glob with `*` and `?`. Required.
    pub metric: String,
    /// The labels whose values make the key of an object. Required without a `topic`; `["__name__"]` makes one object of
    /// each metric.
    #[serde(deserialize_with = "list::deserialize")]
    pub object: Vec<String>,
    /// The table of the key. Default `"Service"`.
    pub table: String,
    /// Conditions on labels, or with a `topic` on fields of its messages, by path: an anchored regular expression for each.
    /// Default none.
    #[serde(rename = "where")]
    pub conditions: BTreeMap<String, String>,
    /// What the samples are. Default `"gauge"`.
    pub kind: Kind,
    /// The type of the values. Default `"f64"`.
    #[serde(rename = "type")]
    pub value_type: TypeName,
    /// Proxy types by name, or annotations. Required.
    pub aggregations: Vec<String>,
    /// A topic of another program that is the input of the stream, in place of labelled series. Several streams may name
    /// the same one. Default unset.
    pub topic: Option<String>,
    /// The format of its messages. Default `"json"`.
    pub format: TopicFormat,
    /// Where the parts of a sample are in a message. Required with a `topic`.
    pub fields: Option<FieldsConfig>,
    /// The period of annotations in `aggregations`, in seconds. Default 60, from 1 to 86,400.
    pub period: u32,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            metric: String::new(),
            object: Vec::new(),
            table: "Service".to_owned(),
            conditions: BTreeMap::new(),
            topic: None,
            format: TopicFormat::Json,
            fields: None,
            kind: Kind::Gauge,
            value_type: TypeName::F64,
            aggregations: Vec::new(),
            period: 60,
        }
    }
}

/// The format of the messages of a topic.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum TopicFormat {
    /// One JSON value, which is one sample.
    Json,
}

/// What the samples of a series are.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Readings of a counter, cumulative for each full set of labels. `agg` is Contrail's word for it.
    #[serde(alias = "agg")]
    Counter,
    /// Increases since the sample before.
    Delta,
    /// Plain values.
    Gauge,
}

impl Kind {
    /// The same for the algorithms.
    pub fn metric_kind(self) -> MetricKind {
        match self {
            Self::Counter => MetricKind::Agg,
            Self::Delta => MetricKind::Diff,
            Self::Gauge => MetricKind::Plain,
        }
    }
}

/// A type of values, as written.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum TypeName {
    /// Doubles, which is what Prometheus has.
    F64,
    /// Whole numbers.
    I64,
    /// Whole numbers from 0 up.
    U64,
}

impl TypeName {
    /// The same for the algorithms.
    pub fn value_type(self) -> ValueType {
        match self {
            Self::F64 => ValueType::F64,
            Self::I64 => ValueType::I64,
            Self::U64 => ValueType::U64,
        }
    }
}
