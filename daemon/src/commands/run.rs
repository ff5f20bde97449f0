//! `derived-statsd run`: the daemon, until a signal.

mod reconfigure;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use daemon_base::core_dumps;

use self::reconfigure::Configured;
use crate::app::{self, NotStarted};
use crate::commands::config_args::ConfigArgs;
use crate::commands::preflight;
use crate::config::Loaded;
use crate::extensions::Extensions;
use crate::settings;

/// Arguments of `run`.
#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// A file to write once the daemon listens: one JSON object with its process number and addresses, such as
    /// {"pid":7,"http":"127.0.0.1:8081"}. It is written atomically and removed at an orderly stop.
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// The error of a start that failed before anything ran.
fn not_started(error: anyhow::Error) -> anyhow::Error {
    if error.is::<NotStarted>() { error } else { error.context(NotStarted) }
}

/// Runs the daemon with the program's own parts.
///
/// # Errors
///
/// When it cannot start, or a part failed.
pub(crate) fn run(args: &RunArgs, loaded: &Loaded, own: Extensions) -> anyhow::Result<()> {
    core_dumps::disable();
    preflight::notices(&loaded.config).iter().for_each(|notice| tracing::warn!("{notice}"));
    // Whatever cannot be used then is named by `validate`.
    let settings = settings::app(loaded).map_err(not_started)?;
    let configured = Configured::new(args.config.sources(), own.algorithms.clone(), loaded);
    app::run(settings, own, args.ready_file.clone(), Arc::new(configured))
}
