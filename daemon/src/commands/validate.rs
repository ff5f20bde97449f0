//! `validate` checks the configuration that `run` would use, with the environment and the flags, and prints every
//! problem with its source location and remedy.
//!
//! It opens no file for writing and creates none: `access(2)` checks the permissions of directories.

mod data_dir;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use daemon_sinks::file::check_kind;
use derived_stats::Registry;
use rustix::fs::Access;

use crate::commands::config_args::Overrides;
use crate::commands::print::message;
use crate::config::{self, LogKind, Problems, Sources, Streams, Survey};
use crate::engine::check_partitions;

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
    let mut survey = config::survey(&sources, registry);
    check_files(&mut survey);
    for notice in &survey.notices {
        message(format_args!("note: {notice}"));
    }
    match &survey.streams {
        Some(streams) if survey.problems.is_empty() => {
            super::print::print(&summary(&args.file, streams))?;
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

fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

fn check_files(survey: &mut Survey) {
    // Daemons on Kafka have no log of their own.
    if survey.config.log.kind == LogKind::Embedded {
        check_data_dir(survey);
    }
    if let Some(path) = survey.config.sinks.file.path.clone()
        && let Err(error) = can_append(&path)
    {
        survey.add_problem("sinks.file.path", &error);
    }
}

fn check_data_dir(survey: &mut Survey) {
    let (data_dir, partitions) = (survey.config.log.data_dir.clone(), survey.config.log.partitions);
    if data_dir.as_os_str().is_empty() {
        return;
    }
    match data_dir::check(&data_dir).and_then(|()| can_make_directory(&data_dir)) {
        Err(error) => survey.add_problem("log.data_dir", &error),
        Ok(()) => {
            if let Err(error) = check_partitions(&data_dir, partitions) {
                survey.add_problem("log.partitions", &format!("{error:#}"));
            }
        }
    }
}

/// Checks that `path` is a writable directory or can be created as one.
fn can_make_directory(path: &Path) -> Result<(), String> {
    let nearest = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let nearest = nearest.ancestors().find(|ancestor| ancestor.symlink_metadata().is_ok()).map(PathBuf::from);
    let nearest = nearest.unwrap_or_else(|| PathBuf::from("/"));
    if !nearest.is_dir() {
        return Err(format!("{} is not a directory; name another path", nearest.display()));
    }
    allowed(&nearest, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        format!("{} is not writable ({error}); change its owner or name another path", nearest.display())
    })
}

/// Checks that `path` is a writable file or can be created in its directory.
fn can_append(path: &Path) -> Result<(), String> {
    check_kind(path)?;
    if path.exists() {
        return allowed(path, Access::WRITE_OK)
            .map_err(|error| format!("{} is not writable ({error}); change its owner or mode", path.display()));
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !parent.is_dir() {
        return Err(format!("the directory {} does not exist; create it or name another path", parent.display()));
    }
    allowed(parent, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        format!("{} is not writable ({error}); change its owner or name another path", parent.display())
    })
}

fn allowed(path: &Path, access: Access) -> rustix::io::Result<()> {
    rustix::fs::access(path, access)
}
