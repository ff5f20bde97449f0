//! A configured stream of series in words, and what becomes of a sample in it.

use std::process::ExitCode;

use daemon_formats::{Integer, Labels, Limits, Meaning, Series, text};
use daemon_kafka::ForeignTopic;
use daemon_sources::mapping::{Mapping, Rule};
use daemon_sources::timestamp::{TimeUnit, check_recorded, of_series};
use derived_stats::annotation::nearest;
use derived_stats::{MetricKind, Registry};

use crate::commands::print::{self, message};
use crate::config::{self, Sources, Streams};
use crate::settings;

/// The width of the first column.
const LABEL: usize = 12;

/// Prints the stream `name` and what becomes of `sample`. Exit code 2 if there is no such stream or it is not a sample,
/// and `bad` if the configuration is.
///
/// # Errors
///
/// When standard output cannot be written.
pub(super) fn run(
    name: &str,
    sample: Option<&str>,
    sources: &Sources,
    registry: &Registry,
    bad: u8,
) -> anyhow::Result<ExitCode> {
    let streams = match config::load(sources, registry) {
        Ok(loaded) => loaded.streams,
        Err(problems) => {
            message(format_args!("{problems}"));
            return Ok(ExitCode::from(bad));
        }
    };
    let rules = &streams.mapped;
    let Some(rule) = rules.iter().find(|rule| rule.name() == name || rule.stream().to_string() == name) else {
        message(format_args!("{}", unknown(name, rules)));
        return Ok(ExitCode::from(print::USAGE));
    };
    let mut lines = line("stream", &rule.words()) + &line("computes", &types(rule, &streams));
    if let Some(sample) = sample {
        let topic = settings::foreign(&streams).find(|(stream, _)| *stream == rule.stream().to_string());
        let outcome = topic.map_or_else(|| of_sample(rule, sample), |(_, topic)| of_message(&topic, rule, sample));
        match outcome {
            Ok(text) => lines.push_str(&text),
            Err(error) => {
                message(format_args!("error: --sample: {error}"));
                return Ok(ExitCode::from(print::USAGE));
            }
        }
    }
    print::print(&lines)?;
    Ok(ExitCode::SUCCESS)
}

fn unknown(name: &str, rules: &[Rule]) -> String {
    let names: Vec<_> = rules.iter().map(Rule::name).collect();
    let remedy = match nearest(name, names.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if names.is_empty() => "the configuration has no [[streams]]; name it with --config FILE".to_owned(),
        None => format!("the streams are {}", names.join(", ")),
    };
    format!("error: no stream `{name}` is configured; {remedy}")
}

/// The proxy types of the stream.
fn types(rule: &Rule, streams: &Streams) -> String {
    let entry = streams.proxies.get(rule.stream());
    let names: Vec<_> = entry.iter().flat_map(|entry| &entry.types).map(|of| of.name()).collect();
    names.join(", ")
}

/// What becomes of a message of the topic of a stream.
fn of_message(topic: &ForeignTopic, rule: &Rule, message: &str) -> Result<String, String> {
    let read = topic.read(message.as_bytes()).map_err(|error| error.to_string());
    let (key, sample) = read.map_err(|error| {
        format!("{error}; the stream reads the topic {}: write the JSON of one of its messages", topic.topic)
    })?;
    let mut lines = line("sample", message) + &line("object", &key);
    if let Some(source) = &sample.source {
        lines.push_str(&line("source", source));
    }
    let plausible = check_recorded(sample.time, TimeUnit::Micros).is_ok();
    let time = if plausible { "" } else { ", which is rejected: it is not from 2001 to 2100; see `fields.time_unit`" };
    lines.push_str(&line("time", &format!("{}{time}", utc(sample.time))));
    let integer = sample.integer.map(|integer| match integer {
        Integer::Signed(integer) => integer.to_string(),
        Integer::Unsigned(integer) => integer.to_string(),
    });
    let value = integer.unwrap_or_else(|| sample.value.to_string());
    Ok(lines + &line("value", &format!("{value}, {}", meaning(rule))))
}

/// What the value of a sample of the stream counts as.
fn meaning(rule: &Rule) -> &'static str {
    match rule.metric_kind() {
        MetricKind::Agg => {
            "a reading of a counter: the increase since the last reading of this object and source counts, and a lower \
             reading counts in full"
        }
        MetricKind::Diff => "an increase, which counts as it is",
        MetricKind::Plain => "a value, which counts as it is",
    }
}

/// What becomes of a sample of a series.
fn of_sample(rule: &Rule, sample: &str) -> Result<String, String> {
    let parsed = text::parse(sample).map_err(|error| error.to_string())?;
    let pairs = parsed.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let labels = Labels::new(pairs, &Limits::default()).map_err(|error| error.to_string())?;
    let mut lines = line("sample", sample);
    let series = Series { labels: &labels, meaning: Meaning::Unstated, samples: &[], histograms: &[] };
    let mapped = Mapping::explain(std::slice::from_ref(rule), &series).into_iter().next();
    let Some((mapped, key)) = mapped.and_then(|mapped| Some((mapped.clone(), mapped.key?))) else {
        let reason = rule.refusal(labels.metric(), &labels).unwrap_or_default();
        return Ok(lines + &line("taken", &format!("no: {reason}")));
    };
    lines.push_str(&line("object", &key));
    if let Some(source) = mapped.source.filter(|source| !source.is_empty()) {
        lines.push_str(&line("source", &source));
    }
    if let Some(found_ms) = parsed.timestamp_ms {
        let time = of_series(found_ms).map_or_else(|error| format!("{found_ms}, which is rejected: {error}"), utc);
        lines.push_str(&line("time", &time));
    }
    let meaning = meaning(rule);
    match parsed.value {
        Some(value) if value.is_finite() => lines.push_str(&line("value", &format!("{value}, {meaning}"))),
        Some(value) => {
            lines.push_str(&line("value", &format!("{value}, which is left out: it is not a finite number")))
        }
        None => lines.push_str(&line("value", meaning)),
    }
    Ok(lines)
}

/// A time in microseconds since 1970 in the form of RFC 3339.
fn utc(micros: u64) -> String {
    let time = i64::try_from(micros).ok().and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
    time.map_or_else(|| format!("{micros} us"), |time| time.to_string())
}

fn line(label: &str, text: &str) -> String {
    format!("{label:LABEL$}{text}\n")
}
