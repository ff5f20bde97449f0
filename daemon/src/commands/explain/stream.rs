//! A configured stream of series in words, and what becomes of a sample in it.

use std::process::ExitCode;

use daemon_formats::{Labels, Limits, Meaning, Series, text};
use daemon_sources::mapping::{Mapping, Rule};
use derived_stats::annotation::nearest;
use derived_stats::{MetricKind, Registry};

use crate::commands::print::{self, message};
use crate::config::{self, Sources, Streams};

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
        match of_sample(rule, sample) {
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

/// What becomes of a sample.
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
    let meaning = match rule.metric_kind() {
        MetricKind::Agg => {
            "a reading of a counter: the increase since the last reading of this object and source counts, and a lower \
             reading counts in full"
        }
        MetricKind::Diff => "an increase, which counts as it is",
        MetricKind::Plain => "a value, which counts as it is",
    };
    match parsed.value {
        Some(value) if value.is_finite() => lines.push_str(&line("value", &format!("{value}, {meaning}"))),
        Some(value) => {
            lines.push_str(&line("value", &format!("{value}, which is left out: it is not a finite number")))
        }
        None => lines.push_str(&line("value", meaning)),
    }
    Ok(lines)
}

fn line(label: &str, text: &str) -> String {
    format!("{label:LABEL$}{text}\n")
}
