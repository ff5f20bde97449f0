//! Why a line is not one sample with a key and a metric.

use super::super::WireError;
use derived_stats::excerpt::quoted;

/// The error of a line.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// A tabbed line whose payload is JSON, which does not name the metric.
    #[error("the payload after the tab does not name an attribute; send it as an XML element of that name")]
    NoElement,
    /// No `key` in JSON.
    #[error("the line has no \"key\"; add it, as \"key\":\"table:name\"")]
    NoKey,
    /// Neither `attr` nor `stream` in JSON.
    #[error("the line has neither \"attr\" nor \"stream\"; add one")]
    NoMetric,
    /// Not JSON, and no tab.
    #[error("the line has no tab between key and XML element; write key, tab, element")]
    NoTab,
    /// A field of JSON that has another type.
    #[error("the field {name:?} must be a string of JSON, found {}", quoted(text))]
    NotAString {
        /// The field.
        name: &'static str,
        /// What was found.
        text: String,
    },
    /// The sample itself, or the line as a whole.
    #[error("the sample cannot be read: {0}")]
    Wire(#[from] WireError),
}

impl LineError {
    /// A short constant name, for counting.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoElement => "no_element",
            Self::NoKey => "no_key",
            Self::NoMetric => "no_metric",
            Self::NoTab => "no_tab",
            Self::NotAString { .. } => "not_a_string",
            Self::Wire(error) => error.label(),
        }
    }
}
