//! `derived-statsd merge FILE…` merges the partial states of `aggregate --partial`.
//!
//! ```text
//! files ─► lines in the order of the ends of their periods ─► a table for each attribute ─► rows, sorted
//!          input                                              tables
//! ```
//!
//! The result is that of one `aggregate --sorted` over all samples, if none of them was late at its edge: the windows
//! are merged before detectors and results, which the tables compute as in the daemon.

mod input;
mod tables;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use daemon_base::clock::{Clock as _, SystemClock};
use daemon_sources::timestamp::TimeUnit;
use derived_stats::Registry;

use crate::commands::aggregate::{BAD_ARGUMENT, Job, JobArgs, Parts, RowFormat, output};
use crate::commands::merge::input::Input;
use crate::commands::merge::tables::Tables;
use crate::commands::print::message;
use crate::commands::recorded;

/// Arguments of `merge`.
#[derive(Args, Debug)]
pub(crate) struct MergeArgs {
    /// Files of `aggregate --partial`, plain or compressed (.gz, .zst); `-` is standard input. A file that is given
    /// twice counts twice.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) job: JobArgs,
    /// Stop at the first bad line. The default is to leave bad lines out, to count them and print the first ten, and to
    /// end with exit code 1.
    #[arg(long)]
    pub(crate) strict: bool,
}

/// Merges the files, with the algorithms of `registry` beside the built-in ones.
///
/// # Errors
///
/// When a file cannot be read or written, was cut, or is not in the order of its periods; and if a line is bad, with
/// `--strict` at the first one, else at the end.
pub(crate) fn run(args: &MergeArgs, registry: &Registry) -> anyhow::Result<ExitCode> {
    let clock = SystemClock::new();
    let job = output::check(&args.files, &args.job)
        .and_then(|()| Job::of(&args.job, TimeUnit::default(), Parts::Merged, registry));
    let job = match job {
        Ok(job) => job,
        Err(error) => {
            message(format_args!("error: {error:#}"));
            return Ok(ExitCode::from(BAD_ARGUMENT));
        }
    };
    let progress = recorded::progress_bar(&args.files)?;
    let format = RowFormat::new(args.job.out.as_deref(), &job, true);
    let mut input = Input::open(&args.files, args.strict, &progress)?;
    let (mut output, commit) = output::create(args.job.out.as_deref())?;
    if args.job.header {
        output.write_all(format.header(&job).as_bytes()).context("write the output")?;
    }
    let mut tables = Tables::new(&job.plan, format, output);
    while let Some((origin, state)) = input.next()? {
        if let Err(reason) = tables.add(&state)? {
            input.reject(origin, &reason)?;
        }
    }
    tables.finish()?;
    commit.commit()?;
    progress.finish_and_clear();
    let bad = input.bad_lines();
    summarise(&tables, bad, clock.monotonic());
    anyhow::ensure!(bad == 0, "the output lacks the {bad} bad lines; aggregate their samples again");
    Ok(ExitCode::SUCCESS)
}

/// Prints the totals on standard error.
fn summarise(tables: &Tables<'_>, bad: u64, took: Duration) {
    let totals = tables.totals();
    let (states, objects, rows, seconds) = (totals.states, totals.objects, totals.rows, took.as_secs_f64());
    message(format_args!("{states} partial states of {objects} objects gave {rows} rows in {seconds:.1} s"));
    if totals.flawed.count > 0 {
        message(format_args!("{}", totals.flawed));
    }
    if bad > 0 {
        message(format_args!("{bad} bad lines were left out"));
    }
}
