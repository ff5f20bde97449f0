//! A configured stream of series in words, and what becomes of a sample in it.

use std::borrow::Cow;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::{Clock as _, SystemClock};
use daemon_base::one_line::is_not_shown;
use daemon_formats::json_fields::Message;
use daemon_formats::{Integer, Labels, Limits, Meaning, Point, Series, text};
use daemon_kafka::ForeignTopic;
use daemon_log::AppendBatch;
use daemon_sources::intake::{Intake, LineError, PayloadForm};
use daemon_sources::mapping::{Mapping, Rule, Writer};
use daemon_sources::timestamp::{TimeUnit, check_recorded, of_series};
use derived_stats::annotation::nearest;
use derived_stats::{MetricKind, Number, Registry};
use proxy_uve::wire::WireSample;

use crate::commands::print::{self, message};
use crate::config::{self, Loaded, Sources, Streams};
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
    let loaded = match config::load(sources, registry) {
        Ok(loaded) => loaded,
        Err(problems) => {
            message(format_args!("{problems}"));
            return Ok(ExitCode::from(bad));
        }
    };
    let streams = &loaded.streams;
    let rules = &streams.mapped;
    let Some(rule) = rules.iter().find(|rule| rule.name() == name || rule.stream().to_string() == name) else {
        message(format_args!("{}", unknown(name, rules)));
        return Ok(ExitCode::from(print::USAGE));
    };
    let mut lines = line("stream", &rule.words()) + &line("computes", &types(rule, streams));
    if let Some(sample) = sample {
        let topic = settings::foreign(streams).find(|(stream, _)| *stream == rule.stream().to_string());
        let outcome = topic.map_or_else(
            || of_sample(&loaded, rule, sample),
            |(_, topic)| Ok(of_message(&loaded, &topic, rule, sample)? + &of_others(streams, &topic, rule, sample)),
        );
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
fn of_message(loaded: &Loaded, topic: &ForeignTopic, rule: &Rule, message: &str) -> Result<String, String> {
    let remedy =
        |error| format!("{error}; the stream reads the topic {}: write the JSON of one of its messages", topic.topic());
    let parsed = Message::parse(message.as_bytes()).map_err(remedy)?;
    if let Some(reason) = topic.refusal(&parsed) {
        return Ok(line("sample", message) + &line("taken", &format!("no: {reason}")));
    }
    let (key, sample) = topic.read(&parsed).map_err(remedy)?;
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
    let number = match sample.integer {
        Some(Integer::Signed(integer)) => Number::I64(integer),
        Some(Integer::Unsigned(integer)) => Number::U64(integer),
        None => Number::F64(sample.value),
    };
    let source = sample.source.as_deref().map(Cow::Borrowed);
    let sample = WireSample { timestamp: sample.time, value: number, text: None, source, element: None };
    let (intake, mut batch) = (intake(loaded), AppendBatch::new(SystemClock::new().now_micros()));
    let stream = intake.stream(&rule.stream().to_string());
    let added = stream.and_then(|stream| intake.add(stream, key.as_bytes(), &sample, &mut batch, &mut Vec::new()));
    let outcome = match added {
        Ok(()) => meaning(rule).to_owned(),
        Err(LineError::Timestamp(_)) => {
            "rejected: its time is not that of a sample of now; see `fields.time_unit`".to_owned()
        }
        Err(error) => format!("rejected: {error}"),
    };
    Ok(lines + &line("value", &format!("{value}, {outcome}")))
}

/// What the other streams of the topic take of a message, a line each.
fn of_others(streams: &Streams, topic: &ForeignTopic, rule: &Rule, message: &str) -> String {
    let Ok(parsed) = Message::parse(message.as_bytes()) else { return String::new() };
    let own = rule.stream().to_string();
    let others = settings::foreign(streams).filter(|(stream, it)| *stream != own && it.topic() == topic.topic());
    let lines = others.map(|(stream, it)| {
        let outcome = match (it.refusal(&parsed), it.read(&parsed)) {
            (Some(reason), _) => format!("not taken: {reason}"),
            (None, Ok((key, _))) => format!("taken, of the object {key}"),
            (None, Err(error)) => format!("a dead letter: {error}"),
        };
        line("others", &format!("{stream}: {outcome}"))
    });
    lines.collect()
}

/// The checks of the daemon for samples that arrive.
fn intake(loaded: &Loaded) -> Intake {
    let plans = settings::plans(&loaded.streams);
    Intake::new(plans.iter().zip(0_u16..), 1, PayloadForm::Stored, loaded.config.aggregation.allowed_skew)
}

/// Why the daemon rejects a sample of a series that arrives now; `None` if it does not.
fn rejection(loaded: &Loaded, rule: &Rule, labels: &Labels<'_>, sample: &text::TextSample) -> Option<String> {
    let now = SystemClock::new().now_micros();
    let now_ms = i64::try_from(now / 1000).unwrap_or(i64::MAX);
    let timestamp_ms = sample.timestamp_ms.unwrap_or(now_ms);
    // Zero fits every type.
    let samples = [Point { timestamp_ms, start_ms: 0, value: sample.value.unwrap_or(0.0), integer: None }];
    let (intake, mut batch) = (intake(loaded), AppendBatch::new(now));
    let rules = std::slice::from_ref(rule);
    let mapping = Mapping::new(rules, &intake, Duration::ZERO, Arc::default(), Arc::default());
    let mut writer = Writer::new(&mapping, &intake, &mut batch);
    writer.push(&Series { labels, meaning: Meaning::Unstated, samples: &samples, histograms: &[] });
    writer.tally.reasons.into_iter().next()
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
fn of_sample(loaded: &Loaded, rule: &Rule, sample: &str) -> Result<String, String> {
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
    let meaning = match rejection(loaded, rule, &labels, &parsed) {
        Some(reason) => format!("rejected: {reason}"),
        None => meaning(rule).to_owned(),
    };
    match parsed.value {
        Some(value) if value.is_finite() => lines.push_str(&line("value", &format!("{value}, {meaning}"))),
        Some(value) => {
            lines.push_str(&line("value", &format!("{value}, which is left out: it is not a finite number")))
        }
        None => lines.push_str(&line("value", &meaning)),
    }
    Ok(lines)
}

/// A time in microseconds since 1970 in the form of RFC 3339.
fn utc(micros: u64) -> String {
    let time = i64::try_from(micros).ok().and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
    time.map_or_else(|| format!("{micros} us"), |time| time.to_string())
}

/// A line. What a sample has of control characters, and of those that turn the direction of a text, is escaped.
fn line(label: &str, text: &str) -> String {
    let escape = |it: char| if is_not_shown(it) { it.escape_default().to_string() } else { it.to_string() };
    format!("{label:LABEL$}{}\n", text.chars().map(escape).collect::<String>())
}
