//! What becomes of a sample, for people who check a configuration.

use daemon_formats::Series;

use super::{Mapping, Rule};

/// What a sample becomes in one stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapped {
    /// The stream.
    pub stream: String,
    /// The key of the object; `None` if the series has none of the labels that make it.
    pub key: Option<String>,
    /// The source, if it has one.
    pub source: Option<String>,
}

impl Mapping {
    /// What becomes of a sample of the series, in every stream that takes it.
    pub fn explain(rules: &[Rule], series: &Series<'_>) -> Vec<Mapped> {
        let (metric, labels) = (series.labels.metric(), series.labels);
        let taking = rules.iter().filter(|rule| rule.takes(metric, labels));
        taking
            .map(|rule| {
                let (mut key, mut source) = (String::new(), String::new());
                let is_named = rule.key(metric, labels, &mut key).is_some();
                let has_source = rule.source(metric, labels, &mut source).is_some();
                Mapped {
                    stream: rule.stream().to_string(),
                    key: is_named.then_some(key),
                    source: has_source.then_some(source),
                }
            })
            .collect()
    }
}
