//! What is wrong with a stream of the configuration.

use daemon_formats::Pattern;
use daemon_formats::json_fields::{Fields, Selection};

use super::config::StreamConfig;
use super::rule::REPLICA;
use crate::intake::check_key;

/// A problem with a key of a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RuleProblem {
    /// The key.
    pub key: &'static str,
    /// What was found and expected, and the remedy.
    pub message: String,
}

/// The topic that is the input of a stream, with the parts of its messages, and which of them the stream takes.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) fields: Fields,
    pub(super) selection: Selection,
}

#[derive(Default)]
pub(super) struct Problems(pub(super) Vec<RuleProblem>);

impl Problems {
    pub(super) fn add(&mut self, key: &'static str, message: impl Into<String>) {
        self.0.push(RuleProblem { key, message: message.into() });
    }

    pub(super) fn names(&mut self, config: &StreamConfig) {
        let StreamConfig { name, metric, table, .. } = config;
        let is_fit = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
        if name.is_empty() {
            self.add("name", "the stream has no name; name it, such as \"http-requests\"");
        } else if let Some(bad) = name.chars().find(|&character| !is_fit(character)) {
            self.add("name", format!("{bad:?} in {name:?} is not allowed; use letters, digits, `_`, `-` and `.`"));
        } else if name.starts_with(|first: char| first.is_ascii_digit()) {
            self.add("name", format!("{name:?} begins with a digit; begin with a letter"));
        }
        if metric.is_empty() {
            self.add("metric", "no metric is named; name one, such as \"http_requests_total\", or a glob");
        } else if metric.starts_with(|first: char| first.is_ascii_digit()) {
            self.add("metric", format!("{metric:?} begins with a digit, which no metric does; correct it"));
        }
        if table.is_empty() || table.contains(':') {
            self.add("table", format!("{table:?} is not a table; name one without `:`, such as \"Service\""));
        } else if let Err(error) = check_key(format!("{table}:name").as_bytes()) {
            self.add("table", error.to_string());
        }
    }

    /// The topic of a stream that has one.
    pub(super) fn topic(&mut self, config: &StreamConfig) -> Option<Topic> {
        let Some(name) = &config.topic else {
            if config.fields.is_some() {
                self.add("fields", "there is no topic whose messages have fields; name one with `topic`, or remove it");
            }
            return None;
        };
        let is_legal = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
        if name.is_empty() || name.len() > 249 || !name.chars().all(is_legal) {
            self.add(
                "topic",
                format!("{name:?} is no topic; its name has letters, digits, `.`, `_` and `-`, at most 249"),
            );
        }
        if !config.object.is_empty() {
            self.add("object", "messages have no labels; `fields.key` makes the object: remove it");
        }
        if config.metric.contains(['*', '?']) {
            self.add("metric", "it names the values of the topic, and no pattern is a name; name it, such as \"load\"");
        }
        let Some(fields) = &config.fields else {
            let example = "fields = { key = \"host.name\", time = \"ts\", value = \"load\" }";
            self.add("fields", format!("where the parts of a sample are is not known; write it, such as {example}"));
            return None;
        };
        let fields = Fields::compile(fields).map_err(|problems| {
            problems.into_iter().for_each(|(key, problem)| self.add("fields", format!("`{key}`: {problem}")));
        });
        let selection = Selection::compile(&config.conditions).map_err(|problems| {
            problems.into_iter().for_each(|problem| self.add("where", problem));
        });
        Some(Topic { name: name.clone(), fields: fields.ok()?, selection: selection.ok()? })
    }

    /// The compiled conditions on labels.
    pub(super) fn conditions(&mut self, config: &StreamConfig) -> Vec<(String, Pattern)> {
        let compiled = config.conditions.iter().filter_map(|(label, text)| match Pattern::expression(text) {
            Ok(pattern) => Some((label.clone(), pattern)),
            Err(error) => {
                self.add("where", format!("the condition on `{label}`: {error}"));
                None
            }
        });
        compiled.collect()
    }

    pub(super) fn objects(&mut self, config: &StreamConfig) {
        let object = &config.object;
        if object.is_empty() && config.topic.is_none() {
            let example = "[\"job\", \"instance\"]; [\"__name__\"] makes one object of all series";
            self.add("object", format!("no label is named that makes the object; write some, such as {example}"));
        }
        for (index, label) in object.iter().enumerate() {
            if label.is_empty() {
                self.add("object", "a label without a name; remove it");
            } else if object.iter().take(index).any(|other| other == label) {
                self.add("object", format!("the label `{label}` is there twice; keep one"));
            } else if label == REPLICA {
                self.add("object", "`__replica__` tells apart the copies of one sender; remove it");
            }
        }
        if config.aggregations.is_empty() {
            let example = "[\"AggProxySum\"] or [\"1.DSSum-raw:DSAnomaly:EWM:0.1\"]";
            self.add(
                "aggregations",
                format!("nothing is computed; name a proxy type or an annotation, such as {example}"),
            );
        }
    }
}
