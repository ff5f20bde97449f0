//! `[[streams]]` compiled: the rules of the mapping, and the proxy types of their streams.

use std::sync::Arc;
use std::time::Duration;

use daemon_sources::mapping::{Kind, Rule, StreamConfig};
use derived_stats::annotation::nearest;
use derived_stats::{Registry, Silence};
use proxy_uve::proxy_list::ProxyEntry;
use proxy_uve::schema::{ProxyType, Schema};

use super::layers::Layers;
use super::streams::Streams;
use super::tables::STREAMS;
use crate::config::{Config, LogKind};

/// The period of a day, the longest.
const MAX_PERIOD: u32 = 86_400;

/// The most streams of one topic: each parses all its messages.
const MAX_STREAMS_OF_TOPIC: usize = 32;

/// Adds the streams of the configuration. Whether there is no problem with them.
pub(super) fn add(config: &Config, registry: &Registry, streams: &mut Streams, layers: &mut Layers) -> bool {
    let source_timeout = config.aggregation.source_timeout;
    let is_on_kafka = config.log.kind == LogKind::Kafka;
    let before = layers.problems.len();
    for (index, config) in config.streams.iter().enumerate() {
        let mut problem = |key: &str, message: &str| {
            let location = layers.element_location(STREAMS, index, key);
            layers.add_problem(location, format!("`{STREAMS}.{key}`: {message}"));
        };
        let rule = Rule::compile(config).map_err(|problems| {
            problems.iter().for_each(|found| problem(found.key, &found.message));
        });
        let types = types(config, source_timeout, &streams.schema, registry).unwrap_or_else(|problems| {
            problems.iter().for_each(|(key, message)| problem(key, message));
            Vec::new()
        });
        let Ok(rule) = rule.map(|rule| rule.with_types(&types)) else { continue };
        if let Some(topic) = rule.topic() {
            if !is_on_kafka {
                problem("topic", "topics are read with log.kind = \"kafka\" only; set it, or remove the topic");
            }
            let same = streams.mapped.iter().filter(|other| other.topic() == Some(topic)).count();
            if same >= MAX_STREAMS_OF_TOPIC {
                problem(
                    "topic",
                    &format!("{same} streams read {topic} already, the most of one topic; let some streams take more"),
                );
            }
        }
        match streams.proxies.add(ProxyEntry { stream: rule.stream().clone(), types }) {
            Ok(()) => streams.mapped.push(rule),
            Err(entry) => {
                problem("name", &format!("the stream {} is there already; choose another name", entry.stream));
            }
        }
    }
    layers.problems.len() == before
}

/// What streams of series hardly mean, one sentence each.
pub(super) fn notices(config: &Config) -> Vec<String> {
    let of_series = config.streams.iter().filter(|stream| stream.topic.is_none());
    of_series.flat_map(|stream| kind_notice(stream).into_iter().chain(object_notices(stream))).collect()
}

/// By Prometheus' rules for names these are counters.
fn kind_notice(stream: &StreamConfig) -> Option<String> {
    let StreamConfig { name, metric, kind, .. } = stream;
    let suffix = ["_total", "_count", "_sum", "_bucket"].into_iter().find(|suffix| metric.ends_with(suffix))?;
    (*kind == Kind::Gauge).then(|| {
        notice!(
            "streams.kind: the stream {name} takes `{metric}` as plain values, and the name of a counter ends in {suffix}: its \
             readings would be added up, not its increases; set kind = \"counter\" if it is one"
        )
    })
}

fn object_notices(stream: &StreamConfig) -> impl Iterator<Item = String> {
    let with_comma = stream.object.iter().filter(|label| label.contains(','));
    with_comma.map(|label| {
        let labels: Vec<_> = label.split(',').map(|label| format!("{:?}", label.trim())).collect();
        notice!(
            "streams.object: the stream {} names the label {label:?}, with a comma in its name, which no label of Prometheus \
             has; write object = [{}] for several labels",
            stream.name,
            labels.join(", ")
        )
    })
}

/// The types of a stream, or the problems with them.
fn types(
    config: &StreamConfig,
    source_timeout: Duration,
    schema: &Schema,
    registry: &Registry,
) -> Result<Vec<Arc<ProxyType>>, Vec<(&'static str, String)>> {
    let (mut types, mut problems): (Vec<Arc<ProxyType>>, _) = (Vec::new(), Vec::new());
    if !(1..=MAX_PERIOD).contains(&config.period) {
        problems.push(("period", format!("{} is out of range; set 1 to {MAX_PERIOD}", config.period)));
    }
    // A period that is wrong is one problem, not also one of each annotation.
    let period = Duration::from_secs(config.period.clamp(1, MAX_PERIOD).into());
    for text in &config.aggregations {
        match proxy_type(text, period, schema).and_then(|of| built(of, config, source_timeout, registry)) {
            Ok(found) if types.iter().any(|other| other.name() == found.name()) => {
                problems.push(("aggregations", format!("the type `{}` is there twice; keep one", found.name())));
            }
            Ok(found) => types.push(Arc::new(found)),
            Err(message) => problems.push(("aggregations", message)),
        }
    }
    if problems.is_empty() { Ok(types) } else { Err(problems) }
}

/// A type that is named or written: what the stream does not set.
struct Definition {
    name: String,
    raw: String,
    period: Option<Duration>,
    silence: Option<Silence>,
    /// Name, annotation, and whether it is hidden.
    results: Vec<(String, String, bool)>,
}

/// The type that a text of `aggregations` names: a type of the schema, an annotation, or a name, `=` and an annotation.
fn proxy_type(text: &str, period: Duration, schema: &Schema) -> Result<Definition, String> {
    let text = text.trim();
    if !text.contains(':') {
        let Some(known) = schema.get(text) else {
            let meant = nearest(text, schema.names()).map(|name| format!("did you mean `{name}`?"));
            let names = || format!("the types are {}", schema.names().collect::<Vec<_>>().join(", "));
            return Err(format!(
                "`{text}` is neither a proxy type nor an annotation, such as `1-raw:DSSum`; {}",
                meant.unwrap_or_else(names)
            ));
        };
        let results = known.attributes().iter();
        let results = results.map(|of| (of.name.clone(), of.spec.annotation().text().to_owned(), of.hidden));
        let period = known.period_seconds().map(|seconds| Duration::from_secs(seconds.into()));
        return Ok(Definition {
            name: known.name().to_owned(),
            raw: known.raw().name.clone(),
            period,
            silence: period.map(|_| known.silence()),
            results: results.collect(),
        });
    }
    let named = text.split_once('=').filter(|(name, _)| !name.contains(':'));
    let (name, annotation) = match named {
        Some((name, annotation)) => (name.trim().to_owned(), annotation.trim()),
        None => (name_of(text), text),
    };
    let results = vec![("value".to_owned(), annotation.to_owned(), false)];
    Ok(Definition { name, raw: "raw".to_owned(), period: Some(period), silence: None, results })
}

/// The type for the samples of the stream. Its objects live as long as their sources: senders stop for minutes, and the
/// readings of an object end with it.
fn built(
    definition: Definition,
    config: &StreamConfig,
    source_timeout: Duration,
    registry: &Registry,
) -> Result<ProxyType, String> {
    let Definition { name, raw, period, silence, results } = definition;
    let mut builder = ProxyType::builder(name, config.value_type.value_type());
    builder = builder.raw(raw).metric(config.kind.metric_kind()).registry(registry);
    if let Some(period) = period {
        let periods = source_timeout.as_secs().div_ceil(period.as_secs().max(1));
        builder = builder.period(period).timeout(u32::try_from(periods).unwrap_or(u32::MAX));
    }
    if let Some(silence) = silence {
        builder = builder.silence(silence);
    }
    for (name, annotation, is_hidden) in results {
        builder = if is_hidden { builder.hidden_result(name, annotation) } else { builder.result(name, annotation) };
    }
    builder.build().map_err(|error| error.to_string())
}

/// The name of a type for an annotation without one: its letters and digits, with `_` between them.
fn name_of(annotation: &str) -> String {
    let is_part = |character: char| character.is_ascii_alphanumeric();
    let parts = annotation.split(|character| !is_part(character)).filter(|part| !part.is_empty());
    format!("Agg_{}", parts.collect::<Vec<_>>().join("_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_without_a_name_gets_one() {
        assert_eq!(name_of("1.DSSum-raw:DSAnomaly:EWM:0.1"), "Agg_1_DSSum_raw_DSAnomaly_EWM_0_1");
    }
}
