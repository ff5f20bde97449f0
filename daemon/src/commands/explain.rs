//! `explain` describes an annotation or a built-in proxy type, in words or as JSON objects.
//!
//! Every fact comes from the compiled pipeline or from the types of the algorithms, so the description matches the
//! code.

mod types;
mod words;

use std::process::ExitCode;

use clap::Args;
use derived_stats::Registry;

use crate::commands::pipeline_args::PipelineArgs;
use crate::commands::print;
use crate::facts::Facts;

/// Arguments of `explain`.
#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) pipeline: PipelineArgs,
}

/// Prints the explanation. Exit code 2 for a bad annotation.
///
/// # Errors
///
/// When standard output cannot be written.
pub(crate) fn run(args: &ExplainArgs, registry: &Registry) -> anyhow::Result<ExitCode> {
    let given = &args.pipeline.annotation;
    let text = if let Some((proxy_type, sentences)) = types::find(given) {
        let head = if args.json { String::new() } else { format!("{sentences}\n\n") };
        let attributes = proxy_type.attributes().iter();
        let facts = attributes.map(|attribute| text(&Facts::of(&attribute.spec, false), args.json));
        head + &facts.collect::<anyhow::Result<String>>()?
    } else if !given.contains(':') {
        print::message(format_args!("{}", types::unknown(given)));
        return Ok(ExitCode::from(print::USAGE));
    } else {
        match args.pipeline.compile(registry) {
            Ok(spec) => text(&Facts::of(&spec, args.pipeline.mstats), args.json)?,
            Err(error) => return Ok(print::refuse(&error)),
        }
    };
    print::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn text(facts: &Facts, as_json: bool) -> anyhow::Result<String> {
    Ok(if as_json { format!("{}\n", serde_json::to_string_pretty(facts)?) } else { words::of(facts) })
}
