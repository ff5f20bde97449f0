//! `derived-statsd replay FILE…` appends recorded samples to the log as fast as the log accepts them.
//!
//! With the embedded log it opens the data directory itself, so no daemon may use it, and runs the same workers; a
//! crash loses no sample that it reported as stored. On Kafka it only publishes, and the daemons of the group
//! aggregate. Lines have the forms of `POST /api/v1/samples`, or a file is an array of samples; files are plain, gzip
//! or zstd, which their content identifies.

mod lookahead;
mod outcome;

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use daemon_base::clock::{Clock, SystemClock, micros};
use daemon_log::{AppendBatch, Log, LogError};
use daemon_sources::append_when_room;
use daemon_sources::intake::Intake;
use daemon_sources::timestamp::TimeUnit;
use indicatif::ProgressBar;
use proxy_uve::Fates;
use tokio::sync::watch;

use self::lookahead::{Lookahead, NumberedLine};
use self::outcome::Outcome;
use crate::commands::config_args::ConfigArgs;
use crate::commands::neighbours::Neighbours;
use crate::commands::print::message;
use crate::commands::recorded;
use crate::engine::{self, Engine, EngineSettings, Failure, LogSettings};
use crate::extensions::Extensions;

/// The bytes of one append, large enough to amortize its sync.
const BATCH_BYTES: usize = 1024 * 1024;

/// The most bad lines that are printed; further ones are only counted.
const MAX_NAMED: u64 = 10;

/// The poll interval while the log is full or the workers lag.
const PAUSE: Duration = Duration::from_millis(20);

/// The time that the engine has to stop after all samples are applied.
const STOP_GRACE: Duration = Duration::from_secs(60);

/// The counts of a replay.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    accepted: u64,
    rejected: u64,
}

/// Arguments of `replay`.
#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// Files with one sample per line, plain or compressed (.gz, .zst).
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// At the end, close the open windows and write their results. The default leaves them open, because later samples
    /// may still belong to them.
    #[arg(long)]
    pub(crate) close_windows: bool,
    /// The unit of the timestamps: s, ms, us, ns, or rfc3339 for texts.
    #[arg(long, value_name = "UNIT", default_value_t)]
    pub(crate) time_unit: TimeUnit,
    /// Exit with code 1 if a line is bad or a record is left out: late, of the future, or over a limit. On Kafka only bad
    /// lines are known.
    #[arg(long)]
    pub(crate) strict: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// Replays the files in order, and closes the open windows at the end if asked to. Of `own`, only the sinks run.
///
/// # Errors
///
/// Fails if a file cannot be read or the log fails, and with `--strict` if a line is bad or a record is left out.
/// Otherwise these are printed and counted.
pub(crate) fn run(args: &ReplayArgs, settings: &EngineSettings, mut own: Extensions) -> anyhow::Result<()> {
    let (files, close_windows) = (&args.files, args.close_windows);
    let lateness = settings.worker.table.allowed_lateness;
    let progress = recorded::progress_bar(files)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (tally, outcome) = match &settings.log {
        LogSettings::Kafka(own) => {
            anyhow::ensure!(
                !close_windows,
                "--close-windows requires the embedded log; on Kafka the daemons of the group close windows"
            );
            let (log, intake) = engine::publisher(settings, own, &clock)?;
            let intake = intake.with_time_unit(args.time_unit);
            (feed(&*log, &intake, &*clock, &progress, files, lateness, None)?, None)
        }
        LogSettings::Embedded(_) => {
            let mut engine = Engine::start(settings, Arc::clone(&clock))?;
            own.start_sinks(&mut engine)?;
            let failed = engine.failed.clone();
            let before = applied(&engine)?;
            let intake = engine.intake.clone().with_time_unit(args.time_unit);
            let tally = feed(&*engine.log, &intake, &*clock, &progress, files, lateness, Some(&failed))?;
            progress.set_message("applying");
            wait_for_workers(&engine, close_windows)?;
            let outcome = Outcome::between(&before, &applied(&engine)?);
            anyhow::ensure!(
                engine.stop(STOP_GRACE),
                "the workers did not stop in time; run the command again, no data is lost"
            );
            check(&failed)?;
            (tally, Some(outcome))
        }
    };
    progress.finish_and_clear();
    summarise(tally, outcome.as_ref(), clock.monotonic(), args.strict)
}

/// Prints the totals and the outcome of the records on standard error.
///
/// # Errors
///
/// With `strict`, when a line was bad or a record was left out.
fn summarise(tally: Tally, outcome: Option<&Outcome>, took: Duration, strict: bool) -> anyhow::Result<()> {
    let (Tally { accepted, rejected }, seconds) = (tally, took.as_secs_f64());
    let rate = accepted as f64 / seconds.max(f64::EPSILON);
    message(format_args!("{accepted} records in {seconds:.1} s ({rate:.0}/s), {rejected} bad lines"));
    outcome.iter().flat_map(|outcome| outcome.lines()).for_each(|line| message(format_args!("{line}")));
    let left_out = outcome.map_or(0, Outcome::left_out);
    anyhow::ensure!(
        !strict || rejected + left_out == 0,
        "--strict: {rejected} lines are bad and {left_out} records were left out; the others are in the log"
    );
    Ok(())
}

fn feed(
    log: &dyn Log,
    intake: &Intake,
    clock: &dyn Clock,
    progress: &ProgressBar,
    files: &[PathBuf],
    allowed_lateness: Duration,
    failed: Option<&watch::Receiver<Failure>>,
) -> anyhow::Result<Tally> {
    let mut feeder = Feeder {
        log,
        intake,
        clock,
        progress: progress.clone(),
        batch: AppendBatch::new(log.arrival(clock.now_micros())),
        scratch: Vec::new(),
        tally: Tally::default(),
        unit: intake.time_unit(),
        neighbours: Neighbours::new(micros(allowed_lateness)),
        failed,
    };
    for path in files {
        feeder.file(path).with_context(|| format!("replay {}", path.display()))?;
    }
    feeder.finish()
}

fn wait_for_workers(engine: &Engine, close_windows: bool) -> anyhow::Result<()> {
    if close_windows {
        // Takes effect at the stop, before the last commit.
        engine.control.close_windows.store(true, Ordering::Release);
    }
    // Progress is visible in commits only, and the stop makes the last one, so a failed worker must end this loop.
    while !engine.is_drained()? {
        check(&engine.failed)?;
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Waits until everything in the log is applied, and returns the number of records by outcome since the log was made.
fn applied(engine: &Engine) -> anyhow::Result<Fates> {
    loop {
        check(&engine.failed)?;
        // Fails until all partitions are restored.
        let partitions = engine.status.partitions().unwrap_or_default();
        if !partitions.is_empty() && partitions.iter().all(|partition| partition.lag == 0) {
            let mut all = Fates::default();
            partitions.iter().filter_map(|it| it.table.as_ref()).for_each(|table| all.add_all(&table.fates));
            return Ok(all);
        }
        thread::sleep(PAUSE);
    }
}

/// Fails once a thread of the engine has failed: what it did not apply or commit is applied by the next run.
fn check(failed: &watch::Receiver<Failure>) -> anyhow::Result<()> {
    failed.borrow().check("a worker failed; correct what the first error above names, and run it again")
}

/// The state of a replay, which appends lines to the log in batches.
struct Feeder<'e> {
    log: &'e dyn Log,
    intake: &'e Intake,
    clock: &'e dyn Clock,
    progress: ProgressBar,
    batch: AppendBatch,
    scratch: Vec<u8>,
    tally: Tally,
    unit: TimeUnit,
    neighbours: Neighbours,
    /// Whether the engine that makes room in the log has failed; `None` on Kafka.
    failed: Option<&'e watch::Receiver<Failure>>,
}

impl Feeder<'_> {
    fn file(&mut self, path: &Path) -> anyhow::Result<()> {
        let reader = BufReader::with_capacity(256 * 1024, recorded::open(path, &self.progress)?);
        let mut lines = Lookahead::new(reader, self.unit);
        while let Some(NumberedLine { number, text, time }) = lines.next()? {
            let is_near = time.map_or(Ok(()), |time| self.neighbours.add(time, || lines.following()));
            let pushed = match (text, is_near) {
                (None, _) => Err("the line is too long".to_owned()),
                (Some(_), Err(reason)) => Err(reason),
                (Some(text), Ok(())) => {
                    let pushed = self.intake.push(&text, &mut self.batch, &mut self.scratch);
                    pushed.map_err(|error| error.to_string())
                }
            };
            match pushed {
                Ok(()) => self.tally.accepted += 1,
                Err(reason) => self.reject(path, number, &reason),
            }
            if self.batch.bytes() >= BATCH_BYTES as u64 {
                self.append()?;
            }
        }
        Ok(())
    }

    fn reject(&mut self, path: &Path, number: u64, why: &str) {
        self.tally.rejected += 1;
        if self.tally.rejected <= MAX_NAMED {
            self.progress.suspend(|| message(format_args!("{}:{number}: {why}", path.display())));
        }
    }

    fn append(&mut self) -> anyhow::Result<()> {
        let next = AppendBatch::new(self.log.arrival(self.clock.now_micros()));
        let batch = std::mem::replace(&mut self.batch, next);
        // Workers make the room, unless they have failed.
        let wait = |_| {
            thread::sleep(PAUSE);
            self.failed.is_none_or(|failed| !failed.borrow().has_failed())
        };
        match append_when_room(self.log, batch, wait) {
            Err(LogError::Full { .. }) if self.failed.is_some() => self.failed.map_or(Ok(()), check),
            result => result.map(drop).context("append to the log"),
        }
    }

    fn finish(mut self) -> anyhow::Result<Tally> {
        if !self.batch.is_empty() {
            self.append()?;
        }
        Ok(self.tally)
    }
}
