//! A proxy type: what is computed for each object from one stream.

use std::sync::Arc;

use derived_stats::{MetricKind, Silence, Spec, ValueType};

/// A compiled definition. Shared by all objects and streams that use it.
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyType {
    /// The name of the struct, such as `AggProxySum`.
    pub name: String,
    /// The struct's period in seconds, 1 to 86400. 0 for a struct without period: all its results are inline.
    pub period_seconds: u32,
    /// After how many silent periods an object's proxy UVE is deleted; 0 is never.
    pub timeout: u32,
    /// What a silent period means to a detector.
    pub silence: Silence,
    /// The value that samples bring.
    pub raw: RawField,
    /// The results, in the order of the definition. Never empty.
    pub attributes: Vec<ResultAttribute>,
}

/// The field that takes the value of each sample. It is never part of a result.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RawField {
    /// Its name, such as `raw`.
    pub name: String,
    /// What the pipelines compute with: 64 bits, whatever width the definition names.
    pub value: ValueType,
    /// What the samples are.
    pub metric: MetricKind,
}

/// A field that holds a result.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultAttribute {
    /// Its name, such as `value`.
    pub name: String,
    /// The compiled annotation. The raw value is its source.
    pub spec: Arc<Spec>,
    /// Computed, but not sent.
    pub hidden: bool,
    /// The text fields of the struct that a statistics database should index the result by.
    pub tags: Vec<String>,
    /// The type as written, such as `derived_stats_results.AnomalyResult`.
    pub result_type: String,
}

impl ProxyType {
    /// Whether results come with each sample only, never when a period ends.
    pub fn is_inline(&self) -> bool {
        self.attributes.iter().all(|attribute| !attribute.spec.is_periodic())
    }
}
