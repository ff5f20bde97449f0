//! One stream of series, compiled: which series it takes, and what key and source their samples have.

use std::fmt::Write as _;
use std::sync::Arc;

use daemon_base::fnv;
use daemon_formats::json_fields::{Fields, Selection};
use daemon_formats::{Labels, METRIC_NAME, Meaning, Pattern};
use derived_stats::MetricKind;
use proxy_uve::StreamName;
use proxy_uve::schema::ProxyType;
use proxy_uve::wire::MAX_SOURCE_BYTES;

use super::config::{Kind, StreamConfig, TypeName};
use super::problems::{Problems, RuleProblem, Topic};

/// The label that senders of one pair differ in. It is no part of a source: the readings of all replicas are of one
/// counter.
pub(super) const REPLICA: &str = "__replica__";

/// The digits of the digest in the source of a series with very long labels.
const DIGEST_DIGITS: usize = 32;

/// A compiled stream.
#[derive(Clone, Debug)]
pub struct Rule {
    name: String,
    stream: StreamName,
    metric: Pattern,
    is_glob: bool,
    object: Vec<String>,
    table: String,
    conditions: Vec<(String, Pattern)>,
    kind: Kind,
    value_type: TypeName,
    /// Whether a type of the stream keeps something of each source.
    keeps_sources: bool,
    topic: Option<Topic>,
}

impl Rule {
    /// Compiles a stream.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn compile(config: &StreamConfig) -> Result<Self, Vec<RuleProblem>> {
        let mut problems = Problems::default();
        let is_glob = config.metric.contains(['*', '?']);
        let metric = if is_glob { Pattern::glob(&config.metric) } else { Ok(Pattern::exact(&config.metric)) };
        let metric = metric.map_err(|error| problems.add("metric", error)).ok();
        problems.names(config);
        problems.objects(config);
        let topic = problems.topic(config);
        let conditions = if config.topic.is_some() { Vec::new() } else { problems.conditions(config) };
        let stream = StreamName::new(&identifier(&config.name), &identifier(&config.metric));
        match (problems.0.is_empty(), stream, metric) {
            (true, Ok(stream), Some(metric)) => Ok(Self {
                name: config.name.clone(),
                stream,
                metric,
                is_glob,
                object: config.object.clone(),
                table: config.table.clone(),
                conditions,
                kind: config.kind,
                value_type: config.value_type,
                keeps_sources: config.kind == Kind::Counter,
                topic,
            }),
            (true, Err(error), _) => Err(vec![RuleProblem { key: "name", message: error.to_string() }]),
            _ => Err(problems.0),
        }
    }

    /// The rule for a stream with these types. Those that count the last value of each source, or take samples as readings,
    /// give the samples of all kinds a source; without them only those of counters have one, as nothing else depends on it.
    #[must_use]
    pub fn with_types(self, types: &[Arc<ProxyType>]) -> Self {
        let specs = || types.iter().flat_map(|of| of.attributes()).map(|attribute| &attribute.spec);
        let is_by_source = specs().any(|spec| spec.last_values().is_some() || spec.takes_increases());
        Self { keeps_sources: self.keeps_sources || is_by_source, ..self }
    }

    /// The name in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The topic that is the input of the stream; `None` for a stream of series.
    pub fn topic(&self) -> Option<&str> {
        self.topic.as_ref().map(|topic| topic.name.as_str())
    }

    /// The table of the objects of a stream with a topic, the fields of its messages, and which of them it takes.
    pub fn messages(&self) -> Option<(&str, &Fields, &Selection)> {
        self.topic.as_ref().map(|topic| (self.table.as_str(), &topic.fields, &topic.selection))
    }

    /// The table of the objects of a stream of series, with the labels that make their [keys](Self::key); `None` for one with
    /// a topic.
    pub fn object(&self) -> Option<(&str, &[String])> {
        self.topic.is_none().then_some((&self.table, &self.object))
    }

    /// The stream: `name` and `metric` of the configuration with `_` for what an identifier cannot have.
    pub fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// What the samples of the stream are for the algorithms.
    pub fn metric_kind(&self) -> MetricKind {
        self.kind.metric_kind()
    }

    /// Whether one of the replicas of a sender has to be elected: for series.
    pub fn needs_elections(&self) -> bool {
        self.topic.is_none()
    }

    /// The name of the metric, if the stream takes only one.
    pub(super) fn exact_metric(&self) -> Option<&str> {
        self.metric.exact_text()
    }

    /// Whether the stream takes the samples of a series, which are of `metric`.
    pub fn takes(&self, metric: &str, labels: &Labels<'_>) -> bool {
        let fulfils = |(label, pattern): &(String, Pattern)| pattern.matches(value(label, metric, labels));
        self.topic.is_none() && self.metric.matches(metric) && self.conditions.iter().all(fulfils)
    }

    /// Why the values of a series that the stream takes would be counted wrongly, with the remedy; `None` if they are not.
    pub fn conflict(&self, meaning: Meaning) -> Option<&'static str> {
        match (self.kind, meaning) {
            (Kind::Counter, Meaning::Change) => {
                Some("its values are deltas, and the stream has kind = \"counter\"; write kind = \"delta\"")
            }
            (Kind::Counter, Meaning::Level) => {
                Some("its sum is not monotonic, and the stream has kind = \"counter\"; write kind = \"gauge\"")
            }
            (Kind::Delta, Meaning::Counter) => {
                Some("its values are cumulative, and the stream has kind = \"delta\"; write kind = \"counter\"")
            }
            (Kind::Delta, Meaning::Level) => {
                Some("its sum is not monotonic, and the stream has kind = \"delta\"; write kind = \"gauge\"")
            }
            (Kind::Gauge, _)
            | (_, Meaning::Unstated)
            | (Kind::Counter, Meaning::Counter)
            | (Kind::Delta, Meaning::Change) => None,
        }
    }

    /// Why the stream does not take a series; `None` if it does.
    pub fn refusal(&self, metric: &str, labels: &Labels<'_>) -> Option<String> {
        if let Some(topic) = &self.topic {
            return Some(format!("its input is the topic {}, and no series", topic.name));
        }
        if !self.metric.matches(metric) {
            return Some(format!("the metric `{metric}` is not `{}`", self.metric));
        }
        let missed = self.conditions.iter().find(|(label, pattern)| !pattern.matches(value(label, metric, labels)));
        if let Some((label, pattern)) = missed {
            return Some(format!("`{label}` is \"{}\", not `{pattern}`", value(label, metric, labels)));
        }
        let is_object = self.object.iter().any(|label| !value(label, metric, labels).is_empty());
        (!is_object).then(|| format!("it has no label {}, which makes the object", self.object.join(" or ")))
    }

    /// Writes the key of the object: the table, and the values of the labels with `,` between them. A comma or a
    /// backslash in a value has a backslash before it, so that different values make different keys. `None` if the series
    /// has none of the labels.
    pub fn key(&self, metric: &str, labels: &Labels<'_>, key: &mut String) -> Option<()> {
        key.clear();
        key.push_str(&self.table);
        key.push(':');
        let mut is_named = false;
        for (index, label) in self.object.iter().enumerate() {
            if index > 0 {
                key.push(',');
            }
            let value = value(label, metric, labels);
            is_named |= !value.is_empty();
            if self.object.len() == 1 {
                key.push_str(value);
            } else {
                escape(value, ['\\', ','], key);
            }
        }
        is_named.then_some(())
    }

    /// Writes the source of a series: the labels that are not part of the key. `None` where nothing depends on it: the
    /// samples are not of counters, and no type of the stream [keeps sources](Self::with_types). Very long labels are cut,
    /// with a digest of all in place of the rest.
    pub fn source(&self, metric: &str, labels: &Labels<'_>, source: &mut String) -> Option<()> {
        if !self.keeps_sources {
            return None;
        }
        source.clear();
        if self.is_glob {
            source.push_str(metric);
        }
        let is_rest = |name: &str| name != METRIC_NAME && name != REPLICA && !self.object.iter().any(|it| it == name);
        for (name, value) in labels.iter().filter(|(name, _)| is_rest(name)) {
            if !source.is_empty() {
                source.push(',');
            }
            source.push_str(name);
            source.push_str("=\"");
            escape(value, ['\\', '"'], source);
            source.push('"');
        }
        if source.len() > MAX_SOURCE_BYTES {
            let digest = fnv::digest(source.as_bytes());
            let kept = (0..MAX_SOURCE_BYTES - DIGEST_DIGITS).rev().find(|end| source.is_char_boundary(*end));
            source.truncate(kept.unwrap_or(0));
            // Writing to a string cannot fail.
            let _ = write!(source, "#{digest:0DIGEST_DIGITS$x}");
        }
        Some(())
    }

    /// The stream in words, for people who check a configuration.
    pub fn words(&self) -> String {
        let kind = match self.kind {
            Kind::Counter => "readings of counters, of which the increase of each series counts",
            Kind::Delta => "increases",
            Kind::Gauge => "plain values",
        };
        if let Some(topic) = &self.topic {
            return format!(
                "{}: takes the messages of the topic {} on Kafka{}; an object of the table {} for each value of {}; the \
                 samples are {kind} ({})",
                self.stream,
                topic.name,
                conditions(topic.selection.conditions()),
                self.table,
                topic.fields.key_paths().join(" and "),
                self.value_type.value_type(),
            );
        }
        let conditions = conditions(self.conditions.iter().map(|(label, pattern)| (label.as_str(), pattern)));
        let is_of_sources = self.keeps_sources && self.kind != Kind::Counter;
        let sources = if is_of_sources { ", of a source for each set of the other labels" } else { "" };
        format!(
            "{}: takes `{}`{conditions}; an object of the table {} for each value of {}; the samples are {kind} ({}){sources}",
            self.stream,
            self.metric,
            self.table,
            self.object.join(" and "),
            self.value_type.value_type(),
        )
    }
}

/// Conditions in words, after a blank; empty if there are none.
fn conditions<'c>(all: impl Iterator<Item = (&'c str, &'c Pattern)>) -> String {
    let all: Vec<_> = all.map(|(name, pattern)| condition(name, pattern)).collect();
    if all.is_empty() { String::new() } else { format!(" where {}", all.join(" and ")) }
}

/// A condition in words.
fn condition(label: &str, pattern: &Pattern) -> String {
    let text = pattern.to_string();
    if text.is_empty() { format!("{label} is missing or empty") } else { format!("{label} is {text}") }
}

/// The value of a label of a sample, whose metric may be derived from that of the series.
fn value<'v>(label: &str, metric: &'v str, labels: &Labels<'v>) -> &'v str {
    if label == METRIC_NAME { metric } else { labels.value(label) }
}

/// Appends a value with a backslash before each of `special`.
fn escape(value: &str, special: [char; 2], out: &mut String) {
    for character in value.chars() {
        if special.contains(&character) {
            out.push('\\');
        }
        out.push(character);
    }
}

/// A name with `_` for each character that an identifier cannot have.
fn identifier(name: &str) -> String {
    name.chars().map(|character| if character.is_ascii_alphanumeric() { character } else { '_' }).collect()
}
