//! `derived-statsd aggregate FILE…`: proxy types over recorded files, without a log.
//!
//! What would this annotation have said about last week? The same decoders and tables as the daemon's answer it, from
//! files to rows:
//!
//! ```text
//! files ─► blocks of lines ─► batches of records by shard ─► tables ─► rows, window by window
//!          blocks, merge       batch                         shard     rows, ordered
//!                              └───────────── pipeline: threads take turns ────────────┘
//! ```
//!
//! *One order.* The watermark follows the timestamps of all records together, in the order of the files, so which
//! record is late does not depend on how the work is divided. Objects are spread over a fixed number of shards, each
//! of which sees its records in order, and rows come out by shard: the output is the same for any number of threads.

mod batch;
mod blocks;
mod check;
mod lines;
mod merge;
mod ordered;
mod output;
mod pipeline;
mod rows;
mod shard;
mod what;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use daemon_base::clock::{Clock as _, SystemClock};
use daemon_base::setting::duration;
use derived_stats::Registry;
use derived_stats::Silence;
use proxy_uve::wire::line::LineForm;
use proxy_uve::{Fate, TableSettings};

use crate::commands::aggregate::batch::AttributeNames;
use crate::commands::aggregate::blocks::Blocks;
use crate::commands::aggregate::ordered::Ordered;
use crate::commands::aggregate::pipeline::{Outcome, Pipeline};
use crate::commands::aggregate::rows::RowFormat;
use crate::commands::aggregate::what::What;
use crate::commands::pipeline_args::{ASSUMED_PERIOD_SECONDS, TypeArg};
use crate::commands::recorded;

/// The exit code of a bad annotation, schema or output, as of any wrong argument.
const BAD_ARGUMENT: u8 = 2;

/// Arguments of `aggregate`.
#[derive(Args, Debug)]
pub(crate) struct AggregateArgs {
    /// Files of records, one a line, plain or compressed (.gz, .zst); `-` is standard input. Several are read side by
    /// side, in the order of their records' time.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The form of the lines: `{"ts":µs,"key":…,"attr":…,"value":…}`, or key, tab, Contrail's XML element. Without it
    /// the first byte of each line tells.
    #[arg(long, value_enum)]
    pub(crate) format: Option<FormatArg>,
    /// What to compute of the `value` of each key and attribute, such as `1.DSSum-value:DSAnomaly:EWM:0.1`. Without it,
    /// the proxy types of the schema.
    #[arg(long, conflicts_with = "schema")]
    pub(crate) annotation: Option<String>,
    /// The annotation's period.
    #[arg(long, value_name = "SECONDS", default_value_t = ASSUMED_PERIOD_SECONDS,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) period: u32,
    /// The annotation's element type: f64 takes every number and is exact for integers up to 2^53, u64 and i64 are
    /// exact for all of theirs.
    #[arg(long = "type", value_enum, default_value_t = TypeArg::F64)]
    pub(crate) value_type: TypeArg,
    /// What a period without samples means to the annotation's detector: the first one of a row is a zero (once), each
    /// is one (zero), or none is (skip).
    #[arg(long, value_enum, default_value_t = SilenceArg::Once)]
    pub(crate) silence: SilenceArg,
    /// Proxy types in Sandesh syntax to run instead of the built-in ones.
    #[arg(long, value_name = "FILE")]
    pub(crate) schema: Option<PathBuf>,
    /// How far behind the newest record a record may be and still count, as aggregation.allowed_lateness of the daemon.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    pub(crate) allowed_lateness: Duration,
    /// Threads at work; the rows are the same for any number. Up to 16.
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
    /// Where the rows go: CSV, or JSON lines if it ends in .ndjson; without it, CSV to standard output.
    #[arg(long, value_name = "OUT")]
    pub(crate) out: Option<PathBuf>,
    /// Begin the CSV with the names of its columns.
    #[arg(long)]
    pub(crate) header: bool,
    /// Stop at the first bad line. Without it, bad lines are counted, the first ten named, and left out.
    #[arg(long)]
    pub(crate) strict: bool,
}

/// The meanings of a silent period, as the command line spells them.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SilenceArg {
    Once,
    Skip,
    Zero,
}

impl From<SilenceArg> for Silence {
    fn from(silence: SilenceArg) -> Self {
        match silence {
            SilenceArg::Once => Self::Once,
            SilenceArg::Skip => Self::Skip,
            SilenceArg::Zero => Self::Zero,
        }
    }
}

/// The forms of a recorded line.
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

/// Aggregates the files as the arguments say, with the algorithms of `registry` beside the built-in ones.
///
/// # Errors
///
/// When a file cannot be read or written, and with `--strict` at a bad line.
pub(crate) fn run(args: &AggregateArgs, registry: &Registry) -> anyhow::Result<ExitCode> {
    let clock = SystemClock::new();
    let what = match output::check(args).and_then(|()| What::of(args, registry)) {
        Ok(what) => what,
        Err(error) => {
            eprintln!("error: {error:#}");
            return Ok(ExitCode::from(BAD_ARGUMENT));
        }
    };
    let form = args.format.map(LineForm::from);
    let progress = recorded::progress_bar(&args.files)?;
    let settings = TableSettings::default().with_allowed_lateness(args.allowed_lateness).with_max_objects(usize::MAX);
    let format = RowFormat::new(args.out.as_deref(), &what);
    // First the inputs: one that cannot be read leaves the output as it was.
    let blocks = Blocks::open(&args.files, form, &progress)?;
    let mut output = output::create(args.out.as_deref())?;
    if args.header {
        output.write_all(format.header(&what).as_bytes())?;
    }
    let pipeline = Pipeline {
        blocks,
        names: AttributeNames::default(),
        what: &what,
        settings,
        format,
        form,
        output: Ordered::new(output),
        files: &args.files,
        strict: args.strict,
        progress: &progress,
    };
    let outcome = pipeline.run(args.threads)?;
    progress.finish_and_clear();
    summarise(&outcome, &what, args.allowed_lateness, clock.monotonic());
    anyhow::ensure!(outcome.incomplete == 0, "the output is incomplete; choose an algorithm whose results are whole");
    Ok(ExitCode::SUCCESS)
}

/// Says on standard error what was done and what was not.
fn summarise(outcome: &Outcome, what: &What, lateness: Duration, took: Duration) {
    let Outcome { records, bad_lines, objects, rows, incomplete, fates } = outcome;
    let seconds = took.as_secs_f64();
    let rate = *records as f64 / seconds.max(f64::EPSILON);
    eprintln!("{records} records of {objects} objects gave {rows} rows in {seconds:.1} s ({rate:.0} records/s)");
    if *incomplete > 0 {
        eprintln!("{incomplete} results lack a number for one of their columns and have no row");
    }
    if *bad_lines > 0 {
        eprintln!("{bad_lines} bad lines were left out");
    }
    if fates.late > 0 {
        let lateness = duration::print(lateness);
        eprintln!(
            "{} records came more than {lateness} behind the newest one and were left out; if the files are not in \
             the order of time, raise --allowed-lateness",
            fates.late
        );
    }
    for &fate in Fate::ALL {
        let count = fates.count(fate);
        if let Some(reason) = reason(fate, what.may_overflow).filter(|_| count > 0) {
            eprintln!("{count} {reason}");
        }
    }
}

/// Why records were left out that the tables refused, with the remedy if there is one.
fn reason(fate: Fate, may_overflow: bool) -> Option<&'static str> {
    Some(match fate {
        // The first has a place in the rows, the second a message of its own.
        Fate::Aggregated | Fate::Late => return None,
        Fate::Duplicate => "records were applied before and were left out",
        Fate::Future => "records are ahead of their time and were left out",
        Fate::MalformedKey => "records have a key that is not `table:name` and were left out",
        Fate::MalformedPayload => "records have a payload that cannot be read and were left out",
        Fate::MalformedValue => "records have a value that does not fit the type of the metric and were left out",
        Fate::OverLimit => "records are of objects beyond the limit and were left out; aggregate fewer at a time",
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

/// For messages: the file's name, and standard input's.
fn shown(path: &Path) -> String {
    match path.as_os_str() == recorded::STDIN {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    }
}
