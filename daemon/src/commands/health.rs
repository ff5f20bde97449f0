//! `health` asks a daemon for its health: the probe of a container without `curl`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use daemon_base::setting::duration;

use super::client::{ClientOptions, DaemonUrl};
use super::print::{excerpt, message, print};
use crate::config::Role;

/// The characters of an answer that are shown.
const EXCERPT: usize = 500;

/// Arguments of `health`.
#[derive(Args, Debug)]
pub(crate) struct HealthArgs {
    #[command(flatten)]
    daemon: DaemonUrl,
    /// Ask whether it is ready, and not only whether it lives: partitions are restored, the log can write.
    #[arg(long)]
    ready: bool,
    /// How long to wait for the answer.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = duration::parse)]
    timeout: Duration,
    #[command(flatten)]
    client: ClientOptions,
}

/// Prints the daemon's answer. Returns exit code 1 if it is not well or does not answer.
///
/// # Errors
///
/// Fails if standard output cannot be written, or a file of the client cannot be used.
pub(crate) fn run(args: &HealthArgs) -> anyhow::Result<ExitCode> {
    let path = if args.ready { "/readyz" } else { "/healthz" };
    let client = args.client.client(&args.daemon.url(Role::Probes), Some(args.timeout))?;
    let answered = client.get(path).and_then(|mut answer| {
        let text = answer.body_mut().with_config().limit(64 * 1024).read_to_string();
        Ok((answer.status(), text.with_context(|| format!("no whole answer from {path}"))?))
    });
    match answered {
        Ok((status, text)) if status.is_success() => {
            print(&format!("{}\n", excerpt(text.trim_end(), EXCERPT)))?;
            return Ok(ExitCode::SUCCESS);
        }
        Ok((status, text)) => message(format_args!("{}", client.refusal(path, status, &text))),
        Err(error) => message(format_args!("{error:#}")),
    }
    Ok(ExitCode::FAILURE)
}
