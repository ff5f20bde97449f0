//! `validate` checks the configuration that `run` would use, with the environment and the flags, and prints every
//! problem with its source location and remedy.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use derived_stats::Registry;

use crate::commands::config_args::Overrides;
use crate::commands::preflight;
use crate::commands::print::message;
use crate::config::{Problems, Sources, Streams};

/// Arguments of `validate`.
#[derive(Args, Debug)]
pub(crate) struct ValidateArgs {
    /// The file to check, in TOML, or a contrail-collector.conf.
    #[arg(value_name = "CONFIG")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

/// Prints problems on standard error and returns exit code `bad`, or prints a summary on standard output.
///
/// # Errors
///
/// Fails if standard output cannot be written.
pub(crate) fn run(args: &ValidateArgs, registry: &Registry, bad: u8) -> anyhow::Result<ExitCode> {
    let sources = Sources {
        file: Some(args.file.clone()),
        environment: std::env::vars_os().collect(),
        uve_proxy_list: args.overrides.uve_proxy_list.clone(),
        set: args.overrides.set.clone(),
        ..Sources::default()
    };
    let survey = preflight::survey(&sources, registry);
    for notice in &survey.notices {
        message(format_args!("note: {notice}"));
    }
    match &survey.streams {
        Some(streams) if survey.problems.is_empty() => {
            super::print::print(&(summary(&args.file, streams) + &mapped(streams) + &alarms(streams)))?;
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            let problems = Problems::new(survey.problems);
            message(format_args!("{problems}\n{}: {}", args.file.display(), count(problems.len(), "problem")));
            Ok(ExitCode::from(bad))
        }
    }
}

fn summary(file: &Path, streams: &Streams) -> String {
    let mut periods: Vec<_> = streams.proxy_types().map(|proxy_type| proxy_type.period_seconds()).collect();
    periods.sort_unstable();
    periods.dedup();
    let periods: Vec<_> = periods
        .iter()
        .map(|seconds| seconds.map_or_else(|| "inline".to_owned(), |seconds| format!("{seconds} s")))
        .collect();
    let names: std::collections::BTreeSet<_> = streams.proxy_types().map(|proxy_type| proxy_type.name()).collect();
    let names: Vec<_> = names.into_iter().collect();
    format!(
        "{}: ok: {} with {} ({}), period {}\n",
        file.display(),
        count(streams.len(), "stream"),
        count(names.len(), "proxy type"),
        names.join(", "),
        periods.join(", "),
    )
}

/// A line for each stream of series.
fn mapped(streams: &Streams) -> String {
    streams.mapped.iter().map(|rule| format!("stream {}\n", rule.words())).collect()
}

/// A line for each rule of alarms, in words.
fn alarms(streams: &Streams) -> String {
    streams.alarms.iter().map(|rule| format!("{}\n", rule.words())).collect()
}

fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}
