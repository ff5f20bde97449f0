//! `explain` describes an annotation or a proxy type, in words or as JSON objects, or a configured stream of
//! series or rule of alarms in words.
//!
//! Every fact comes from the compiled pipeline or from the types of the algorithms, so the description matches the
//! code.

mod alarm;
mod stream;
mod types;
mod words;

use std::process::ExitCode;

use clap::Args;
use derived_stats::Registry;

use crate::commands::config_args::ConfigArgs;
use crate::commands::pipeline_args::MetricArgs;
use crate::commands::print;
use crate::config;
use crate::facts::Facts;

/// Arguments of `explain`.
#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) metric: MetricArgs,
    /// The annotation, such as `1.DSSum-raw:DSAnomaly:EWM:0.1`, or the name of a proxy type: a built-in one, or one of a
    /// schema file of the configuration.
    #[arg(required_unless_present_any = ["stream", "alarm"])]
    pub(crate) annotation: Option<String>,
    /// Explain this stream of `[[streams]]` in the configuration instead of an annotation.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["annotation", "json", "value", "mstats"])]
    pub(crate) stream: Option<String>,
    /// Explain this rule instead: the name of one of `[[alarms]]` in the configuration, or a rule in the short form.
    #[arg(long, value_name = "RULE", conflicts_with_all = ["annotation", "json", "value", "mstats", "stream"])]
    pub(crate) alarm: Option<String>,
    /// What would become of this sample in the stream, such as `http_requests_total{job="a"} 3`, with a time in milliseconds
    /// after the value if you like; for a stream with a topic, the JSON of a message.
    #[arg(long, value_name = "SAMPLE", requires = "stream")]
    pub(crate) sample: Option<String>,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// Prints the explanation. Exit code 2 for a bad annotation, stream or sample, and `bad` for a bad configuration.
///
/// # Errors
///
/// When standard output cannot be written.
pub(crate) fn run(args: &ExplainArgs, registry: &Registry, bad: u8) -> anyhow::Result<ExitCode> {
    if let Some(name) = &args.stream {
        return stream::run(name, args.sample.as_deref(), &args.config.sources(), registry, bad);
    }
    if let Some(rule) = &args.alarm {
        return alarm::run(rule, &args.config.sources(), registry, bad);
    }
    let given = args.annotation.as_deref().unwrap_or_default();
    let text = if let Some((proxy_type, sentences)) = types::find(given) {
        let head = if args.json { String::new() } else { format!("{sentences}\n\n") };
        let attributes = proxy_type.attributes().iter();
        let facts = attributes.map(|attribute| text(&Facts::of(&attribute.spec, false), args.json));
        head + &facts.collect::<anyhow::Result<String>>()?
    } else if !given.contains(':') {
        return own_type(given, args, registry, bad);
    } else {
        match args.metric.compile(given, registry) {
            Ok(spec) => text(&Facts::of(&spec, args.metric.mstats), args.json)?,
            Err(error) => return Ok(print::refuse(&error)),
        }
    };
    print::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a proxy type of a schema file of the configuration.
fn own_type(name: &str, args: &ExplainArgs, registry: &Registry, bad: u8) -> anyhow::Result<ExitCode> {
    let sources = args.config.sources();
    if sources.file.is_none() && sources.collector_file.is_none() && sources.set.is_empty() {
        print::message(format_args!("{}", types::unknown(name)));
        return Ok(ExitCode::from(print::USAGE));
    }
    let schema = match config::load(&sources, registry) {
        Ok(loaded) => loaded.streams.schema,
        Err(problems) => {
            print::message(format_args!("{problems}"));
            return Ok(ExitCode::from(bad));
        }
    };
    let Some(of) = schema.get(name) else {
        print::message(format_args!("{}", types::unknown_in(name, &schema)));
        return Ok(ExitCode::from(print::USAGE));
    };
    let head = if args.json { String::new() } else { format!("{}\n\n", types::words_of(of)) };
    let facts = of.attributes().iter().map(|attribute| text(&Facts::of(&attribute.spec, false), args.json));
    print::print(&(head + &facts.collect::<anyhow::Result<String>>()?))?;
    Ok(ExitCode::SUCCESS)
}

fn text(facts: &Facts, as_json: bool) -> anyhow::Result<String> {
    Ok(if as_json { format!("{}\n", serde_json::to_string_pretty(facts)?) } else { words::of(facts) })
}
