//! `validate` checks the configuration that `run` would use, with the environment and the flags, and prints every
//! problem with its source location and remedy.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use derived_stats::Registry;
use serde::Deserialize;

use crate::commands::client::ClientOptions;
use crate::commands::config_args::Overrides;
use crate::commands::http_url::daemon_url;
use crate::commands::preflight;
use crate::commands::preview::{Alarms, Preview, Side, Types, alarms as rules, types};
use crate::commands::print::message;
use crate::config::{self, Effective, Problems, Sources, Streams, Survey};
use crate::settings;

/// The path of the configuration in force.
const CONFIGURATION: &str = "/api/v1/config";

/// How long a daemon may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Arguments of `validate`.
#[derive(Args, Debug)]
pub(crate) struct ValidateArgs {
    /// The file to check, in TOML, or a contrail-collector.conf.
    #[arg(value_name = "CONFIG")]
    pub(crate) file: PathBuf,
    /// Compare it with the configuration of a running daemon, by the URL of its HTTP server, or with that of another file,
    /// and print what a change to it keeps, resets, adds and removes.
    #[arg(long, value_name = "URL|FILE")]
    pub(crate) diff: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientOptions,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

/// Prints problems on standard error and returns exit code `bad`, or prints a summary on standard output.
///
/// # Errors
///
/// Fails if standard output cannot be written, or there is no configuration to compare with.
pub(crate) fn run(args: &ValidateArgs, registry: &Registry, bad: u8) -> anyhow::Result<ExitCode> {
    let sources = sources(args, &args.file);
    let survey = preflight::survey(&sources, registry);
    for notice in &survey.notices {
        message(format_args!("note: {notice}"));
    }
    match &survey.streams {
        Some(streams) if survey.problems.is_empty() => {
            super::print::print(&(summary(&args.file, streams) + &mapped(streams) + &alarms(streams)))?;
            match &args.diff {
                Some(other) => print_difference(args, other, &survey, streams, registry),
                None => Ok(ExitCode::SUCCESS),
            }
        }
        _ => {
            let problems = Problems::new(survey.problems);
            message(format_args!("{problems}\n{}: {}", args.file.display(), count(problems.len(), "problem")));
            Ok(ExitCode::from(bad))
        }
    }
}

fn sources(args: &ValidateArgs, file: &Path) -> Sources {
    Sources {
        file: Some(file.to_owned()),
        environment: std::env::vars_os().collect(),
        uve_proxy_list: args.overrides.uve_proxy_list.clone(),
        set: args.overrides.set.clone(),
        ..Sources::default()
    }
}

/// Prints what a change from `other` to the file does.
fn print_difference(
    args: &ValidateArgs,
    other: &str,
    survey: &Survey,
    streams: &Streams,
    registry: &Registry,
) -> anyhow::Result<ExitCode> {
    let after = types(settings::plans(streams).iter().map(Arc::as_ref));
    let is_url = ["http://", "https://", "unix:"].iter().any(|scheme| other.starts_with(scheme));
    let (before, effective, hidden) = if is_url {
        let (before, hidden) = running(args, other)?;
        // Without the secrets, which the daemon does not show.
        let shown = Effective::from_shown(&survey.effective.shown().0).unwrap_or_default();
        (before, shown.without(&hidden), hidden)
    } else {
        let loaded =
            config::load(&sources(args, Path::new(other)), registry).context("read the file to compare with")?;
        let of_before = types(settings::plans(&loaded.streams).iter().map(Arc::as_ref));
        let of_rules = Some(rules(&loaded.streams.alarms));
        let before = Before { effective: loaded.effective, types: of_before, alarms: of_rules };
        (before, survey.effective.clone(), Vec::new())
    };
    let of_rules = rules(&streams.alarms);
    let preview = Preview::new(
        Side { effective: &before.effective, types: &before.types, alarms: before.alarms.as_ref() },
        Side { effective: &effective, types: &after, alarms: Some(&of_rules) },
    );
    super::print::print(&preview.to_string())?;
    if let Some(reason) = preview.refusal_of_group(&before.effective, &effective) {
        super::print::print(&format!("refused by the daemons: {reason}\n"))?;
    }
    if before.alarms.is_none() {
        message(format_args!("note: the daemon is of a build that does not show its alarms, so they are not compared"));
    }
    if !hidden.is_empty() {
        message(format_args!("note: the daemon does not show {}, so they are not compared", hidden.join(", ")));
    }
    Ok(ExitCode::SUCCESS)
}

/// The configuration of a running daemon, and the keys that it does not show.
fn running(args: &ValidateArgs, url: &str) -> anyhow::Result<(Before, Vec<String>)> {
    let base = daemon_url(url).map_err(|error| anyhow::anyhow!("--diff: {error}"))?;
    let url = format!("{base}{CONFIGURATION}");
    let client = args.client.client(&base, Some(TIMEOUT))?;
    let mut answer = client.get(CONFIGURATION)?;
    let text = answer.body_mut().read_to_string().with_context(|| format!("no answer from {url}"))?;
    let status = answer.status();
    anyhow::ensure!(status.is_success(), client.refusal(CONFIGURATION, status, &text));
    let shown: Shown = serde_json::from_str(&text).with_context(|| format!("{url} is not that of a daemon"))?;
    let effective = Effective::from_shown(&shown.settings);
    let effective = effective.with_context(|| format!("{url} is not that of a daemon"))?;
    Ok((Before { effective, types: shown.types, alarms: shown.alarms }, shown.hidden))
}

/// The response of `GET /api/v1/config`.
#[derive(Deserialize)]
struct Shown {
    settings: serde_json::Value,
    hidden: Vec<String>,
    types: Types,
    #[serde(default)]
    alarms: Option<Alarms>,
}

/// The configuration that a file is compared with.
struct Before {
    effective: Effective,
    types: Types,
    /// `None` from a daemon that does not show them.
    alarms: Option<Alarms>,
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
