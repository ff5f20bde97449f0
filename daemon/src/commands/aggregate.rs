//! `derived-statsd aggregate FILE…` runs proxy types over recorded files, without a log.
//!
//! It shows the results that an annotation would have given for recorded data. Decoders and tables are those of the
//! daemon:
//!
//! ```text
//! files ─► blocks of lines ─► batches of records by shard ─► tables ─► rows, window by window
//!          blocks, merge       batch                         shard     rows, ordered
//!                              └─────────────── pipeline: worker threads ──────────────┘
//! ```
//!
//! *Determinism.* One watermark follows the timestamps of all records in input order, so the late records do not depend
//! on the division of work. Records far ahead of their neighbours are left out before, by the lines around them. Objects
//! are spread over a fixed number of shards, each shard processes its records in order, and rows are written shard by
//! shard: the output is the same for any number of threads.

mod args;
mod batch;
mod blocks;
mod check;
mod job;
mod lines;
mod merge;
mod names;
mod ordered;
pub(crate) mod output;
mod pipeline;
mod rows;
mod shard;
pub(crate) mod sorted;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use daemon_base::clock::{Clock as _, SystemClock};
use daemon_base::setting::duration;
use daemon_sources::timestamp::TimeUnit;
use derived_stats::Registry;
use proxy_uve::wire::PartialSeal;
use proxy_uve::wire::line::LineForm;
use proxy_uve::{Fate, TableSettings};

use crate::commands::aggregate::blocks::Blocks;
use crate::commands::aggregate::ordered::Ordered;
use crate::commands::aggregate::pipeline::{Outcome, Pipeline};
use crate::commands::print::message;
use crate::commands::recorded;

pub(crate) use self::args::JobArgs;
pub(crate) use self::batch::MAX_NAMED;
pub(crate) use self::check::{check_key, too_long};
pub(crate) use self::job::{Job, Parts};
pub(crate) use self::lines::{Found, Lines};
pub(crate) use self::names::AttributeNames;
pub(crate) use self::rows::{Flawed, RowFormat, Rows};

/// The exit code of a bad annotation, schema or output, the same as for any wrong argument.
pub(crate) const BAD_ARGUMENT: u8 = 2;

/// Arguments of `aggregate`.
#[derive(Args, Debug)]
pub(crate) struct AggregateArgs {
    /// Files with one record per line, plain or compressed (.gz, .zst); `-` is standard input. Several files are merged
    /// by the timestamps of their records.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The format of the lines: `{"ts":µs,"key":…,"attr":…,"value":…}`, or key, tab, Contrail's XML element. The
    /// default is to detect it from the first byte of each line.
    #[arg(long, value_enum)]
    pub(crate) format: Option<FormatArg>,
    #[command(flatten)]
    pub(crate) job: JobArgs,
    /// The allowed lateness: records further behind the newest timestamp are left out, as with
    /// aggregation.allowed_lateness of the daemon.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    pub(crate) allowed_lateness: Duration,
    /// The unit of the timestamps: s, ms, us, ns, or rfc3339 for texts.
    #[arg(long, value_name = "UNIT", default_value_t)]
    pub(crate) time_unit: TimeUnit,
    /// The number of threads, 1 to 16; the rows are the same for any number.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=16))]
    pub(crate) threads: u16,
    /// Write what was aggregated of each object in each period as a partial state, one JSON line each, for `merge` or
    /// `POST /api/v1/partials`.
    #[arg(long, conflicts_with = "header")]
    pub(crate) partial: bool,
    /// Order the rows by the end of their window, and those of the same end by their bytes, as `merge` does.
    #[arg(long)]
    pub(crate) sorted: bool,
    /// Stop at the first bad line. The default is to skip and count bad lines, and to print the first ten.
    #[arg(long)]
    pub(crate) strict: bool,
}

/// The formats of a recorded line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum FormatArg {
    Ndjson,
    Contrail,
}

impl From<FormatArg> for LineForm {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Ndjson => Self::Json,
            FormatArg::Contrail => Self::Tabbed,
        }
    }
}

/// Aggregates the files, with the algorithms of `registry` beside the built-in ones.
///
/// # Errors
///
/// When a file cannot be read or written, and with `--strict` at a bad line.
pub(crate) fn run(args: &AggregateArgs, registry: &Registry) -> anyhow::Result<ExitCode> {
    let clock = SystemClock::new();
    let parts = if args.partial { Parts::Made } else { Parts::None };
    let job = output::check(&args.files, &args.job).and_then(|()| Job::of(&args.job, args.time_unit, parts, registry));
    let job = match job {
        Ok(job) => job,
        Err(error) => {
            message(format_args!("error: {error:#}"));
            return Ok(ExitCode::from(BAD_ARGUMENT));
        }
    };
    let form = args.format.map(LineForm::from);
    let progress = recorded::progress_bar(&args.files)?;
    let out = args.job.out.as_deref();
    let format = if args.partial { RowFormat::partial() } else { RowFormat::new(out, &job, args.sorted) };
    // Inputs are opened before the output is created, so an unreadable input leaves the output as it was.
    let blocks = Blocks::open(&args.files, form, args.time_unit, &progress)?;
    let (mut output, commit) = output::create(out)?;
    if args.job.header {
        output.write_all(format.header(&job).as_bytes())?;
    }
    let pipeline = Pipeline {
        blocks,
        names: AttributeNames::default(),
        job: &job,
        settings: TableSettings::default()
            .with_allowed_lateness(args.allowed_lateness)
            .with_max_objects(usize::MAX)
            .with_max_sources(usize::MAX),
        output: Ordered::new(output, format.is_sorted(), args.partial.then(PartialSeal::default)),
        format,
        form,
        files: &args.files,
        strict: args.strict,
        progress: &progress,
    };
    let outcome = pipeline.run(args.threads.into())?;
    commit.commit()?;
    progress.finish_and_clear();
    summarise(&outcome, &job, args, clock.monotonic());
    check_complete(&outcome)?;
    Ok(ExitCode::SUCCESS)
}

/// An error if a partial state has no row.
fn check_complete(outcome: &Outcome) -> anyhow::Result<()> {
    anyhow::ensure!(
        outcome.too_long == 0,
        "the output is incomplete; choose an algorithm with fewer counters or a larger error"
    );
    Ok(())
}

/// Prints the totals on standard error, and why records were left out.
fn summarise(outcome: &Outcome, job: &Job, args: &AggregateArgs, took: Duration) {
    let Outcome { records, bad_lines, objects, rows, too_long, flawed, fates } = outcome;
    let seconds = took.as_secs_f64();
    let rate = *records as f64 / seconds.max(f64::EPSILON);
    message(format_args!(
        "{records} records of {objects} objects gave {rows} {} in {seconds:.1} s ({rate:.0} records/s)",
        if args.partial { "partial states" } else { "rows" }
    ));
    if *too_long > 0 {
        message(format_args!("{too_long} partial states are longer than a line may be and were left out"));
    }
    if flawed.count > 0 {
        message(format_args!("{flawed}"));
    }
    if *bad_lines > 0 {
        message(format_args!("{bad_lines} bad lines were left out"));
    }
    if fates.late > 0 {
        let lateness = duration::print(args.allowed_lateness);
        message(format_args!(
            "{} records came more than {lateness} behind the newest one and were left out; if the files are not in \
             the order of time, raise --allowed-lateness",
            fates.late
        ));
    }
    for &fate in Fate::ALL {
        let count = fates.count(fate);
        if let Some(reason) = reason(fate, job.may_overflow).filter(|_| count > 0) {
            message(format_args!("{count} {reason}"));
        }
    }
}

/// The message for records that the tables did not aggregate, with the remedy if there is one.
fn reason(fate: Fate, may_overflow: bool) -> Option<&'static str> {
    Some(match fate {
        // Aggregated records are in the rows; late records have a message with the lateness.
        Fate::Aggregated | Fate::Late => return None,
        Fate::Duplicate => "records were applied before and were left out",
        Fate::Future => "records have a timestamp in the future and were left out",
        Fate::MalformedKey => "records have a key that is not of the form `table:name` and were left out",
        Fate::MalformedPayload => "records have a payload that cannot be read and were left out",
        Fate::MalformedValue => "records have a value that does not fit the type of the metric and were left out",
        Fate::OverLimit => {
            "records belong to objects beyond the object limit and were left out; aggregate fewer objects at a time"
        }
        Fate::Refused if may_overflow => {
            "records were left out because they are older than the newest record of their key in a ranged window (sort \
             the files by time), or a counter moved by more than its type holds (the next reading counts from there)"
        }
        Fate::Refused => {
            "records are older than the newest record of their key in a ranged window and were left out; sort the \
             files by time"
        }
        _ => "records were left out for another reason",
    })
}

/// The name of a file in messages.
pub(crate) fn display_name(path: &Path) -> String {
    match path.as_os_str() == recorded::STDIN {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    }
}
