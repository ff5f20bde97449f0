//! `derived-statsd restore` makes a data directory of a copy.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use daemon_log_tools::{StateToCheck, restore};

use super::check::decode::StateDecoder;
use super::check::{found, partitions_beside, partitions_of, refused, stands_at, unreadable};
use super::print::{message, print};
use crate::commands::config_args::ConfigArgs;
use crate::config::Loaded;

/// Arguments of `restore`.
#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// The copy, which `backup` made.
    #[arg(value_name = "COPY")]
    pub(crate) copy: PathBuf,
    /// The data directory to make, which must be empty or missing.
    #[arg(value_name = "DIRECTORY")]
    pub(crate) directory: PathBuf,
    /// Link the files that nothing changes any more, and copy the others only: quick, but damage of a linked file is
    /// damage of the copy, too.
    #[arg(long)]
    pub(crate) link: bool,
    /// The partitions of each stream (log.partitions), where the file PARTITIONS of the copy cannot be read.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) partitions: Option<u16>,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// Checks the copy, and copies or links its files. The exit code is 0 if that is done, 1 if the copy is damaged or the
/// directory cannot be written, and 2 if the copy is none.
///
/// # Errors
///
/// Fails if standard output cannot be written.
pub(crate) fn run(args: &RestoreArgs, loaded: &Loaded) -> anyhow::Result<ExitCode> {
    let beside = match partitions_beside(&args.copy, args.partitions, loaded) {
        Ok(beside) => beside,
        Err(problem) => return Ok(refused(&problem)),
    };
    let mut decoder = StateDecoder::new(loaded, partitions_of(&args.copy).ok().or(args.partitions));
    let mut decode = |state: &StateToCheck<'_>| decoder.decode(state);
    let RestoreArgs { copy, directory, link, .. } = args;
    let restored = match restore(copy, directory, *link, &beside, &mut decode) {
        Ok(restored) => restored,
        Err(error) => return Ok(unreadable(&error)),
    };
    let report = restored.report;
    if !report.is_sound() {
        print(&found(&report, decoder.unknown())).context("write to standard output")?;
        message(format_args!(
            "error: the copy is damaged and {} was not written; `derived-statsd check --salvage NEW {}` writes what can be \
             read",
            directory.display(),
            copy.display(),
        ));
        return Ok(ExitCode::FAILURE);
    }
    let [copied, linked] = [restored.copied, restored.linked].map(|bytes| bytes.div_ceil(1024 * 1024));
    let (to, from, stands) = (directory.display(), copy.display(), stands_at(&report));
    let text = format!("Restored {to} from {from}: {copied} MiB copied, {linked} MiB linked. {stands}");
    print(&text).context("write to standard output")?;
    Ok(ExitCode::SUCCESS)
}
