//! `explain` describes an annotation, in words or as one JSON object.
//!
//! Every fact comes from the compiled pipeline or from the types of the algorithms, so the description matches the
//! code.

mod facts;
mod words;

use std::process::ExitCode;

use clap::Args;
use derived_stats::Registry;

use self::facts::Facts;
use crate::commands::pipeline_args::PipelineArgs;

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
    let spec = match args.pipeline.compile(registry) {
        Ok(spec) => spec,
        Err(error) => return Ok(super::print::refuse(&error)),
    };
    let facts = Facts::of(&spec, args.pipeline.mstats);
    let text = if args.json { format!("{}\n", serde_json::to_string_pretty(&facts)?) } else { words::of(&facts) };
    super::print::print(&text)?;
    Ok(ExitCode::SUCCESS)
}
