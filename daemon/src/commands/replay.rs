//! `derived-statsd replay FILE…`: feeds recorded samples to the log as fast as it takes them.
//!
//! With the embedded log it opens the data directory itself, so no daemon may run on it, and runs the same workers: a
//! replay that is killed has lost nothing that it reported as stored. On Kafka it only publishes: the daemons of the
//! group do the work. Lines are as for `POST /api/v1/samples`, files plain, .gz or .zst by their content.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use daemon_base::clock::{Clock, SystemClock};
use daemon_log::{AppendBatch, Log, LogError};
use daemon_sources::intake::Intake;
use indicatif::ProgressBar;

use crate::commands::config_args::ConfigArgs;
use crate::commands::recorded;
use crate::engine::{self, Engine, EngineSettings, LogSettings};
use crate::extensions::Extensions;

/// Bytes of lines appended at a time: large enough to make a sync cheap.
const BATCH_BYTES: usize = 1024 * 1024;

/// The longest line; a longer one is counted as bad.
const MAX_LINE_BYTES: usize = 128 * 1024;

/// Bad lines that are named.
const MAX_NAMED: u64 = 10;

/// How long to wait when the log is full, or for the workers.
const PAUSE: Duration = Duration::from_millis(20);

/// How long the engine may take to stop after everything is applied.
const STOP_GRACE: Duration = Duration::from_secs(60);

/// What was replayed.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    accepted: u64,
    rejected: u64,
}

/// Arguments of `replay`.
#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// Files of samples, one a line, plain or compressed (.gz, .zst).
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// At the end, close the windows that are still open and write their results. Without it they stay open, as samples
    /// of the same time may still come.
    #[arg(long)]
    pub(crate) close_windows: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// Replays the files in order. `own` are the parts of an embedding program, of which only the sinks run.
///
/// # Errors
///
/// When a file cannot be read or the log fails. Bad lines are no error: they are named and counted.
pub(crate) fn run(args: &ReplayArgs, settings: &EngineSettings, mut own: Extensions) -> anyhow::Result<()> {
    let (files, close_windows) = (&args.files, args.close_windows);
    let progress = recorded::progress_bar(files)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let tally = match &settings.log {
        LogSettings::Kafka(own) => {
            anyhow::ensure!(
                !close_windows,
                "--close-windows needs the embedded log: on Kafka the group closes windows"
            );
            let (log, intake) = engine::publisher(&settings.plans, own, &clock)?;
            feed(&*log, &intake, &*clock, &progress, files)?
        }
        LogSettings::Embedded(_) => {
            let mut engine = Engine::start(settings, Arc::clone(&clock))?;
            own.start_sinks(&mut engine)?;
            let tally = feed(&*engine.log, &engine.intake, &*clock, &progress, files)?;
            progress.set_message("applying");
            wait_for_workers(&engine, close_windows)?;
            anyhow::ensure!(engine.stop(STOP_GRACE), "the workers did not end in time; run it again, nothing is lost");
            tally
        }
    };
    progress.finish_and_clear();
    let seconds = clock.monotonic().as_secs_f64();
    let rate = tally.accepted as f64 / seconds.max(f64::EPSILON);
    eprintln!("{} records in {seconds:.1} s ({rate:.0}/s), {} bad lines", tally.accepted, tally.rejected);
    Ok(())
}

fn feed(
    log: &dyn Log,
    intake: &Intake,
    clock: &dyn Clock,
    progress: &ProgressBar,
    files: &[PathBuf],
) -> anyhow::Result<Tally> {
    let mut feeder = Feeder {
        log,
        intake,
        clock,
        progress: progress.clone(),
        batch: AppendBatch::new(clock.now_micros()),
        scratch: Vec::new(),
        tally: Tally::default(),
    };
    for path in files {
        feeder.file(path).with_context(|| format!("replay {}", path.display()))?;
    }
    feeder.finish()
}

fn wait_for_workers(engine: &Engine, close_windows: bool) -> anyhow::Result<()> {
    if close_windows {
        // Takes effect with the stop, before the last commit.
        engine.control.close_windows.store(true, Ordering::Release);
    }
    // Only commits tell what is applied, and stopping makes the last one: so what counts here is that workers live.
    while !engine.is_drained()? {
        anyhow::ensure!(!*engine.failed.borrow(), "a worker failed; the log says why");
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Puts lines into the log.
struct Feeder<'e> {
    log: &'e dyn Log,
    intake: &'e Intake,
    clock: &'e dyn Clock,
    progress: ProgressBar,
    batch: AppendBatch,
    scratch: Vec<u8>,
    tally: Tally,
}

impl Feeder<'_> {
    fn file(&mut self, path: &Path) -> anyhow::Result<()> {
        let mut reader = BufReader::with_capacity(256 * 1024, recorded::open(path, &self.progress)?);
        let mut line = Vec::new();
        for number in 1u64.. {
            line.clear();
            let read = (&mut reader).take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            if read > MAX_LINE_BYTES {
                self.reject(path, number, "the line is too long");
                skip_line(&mut reader)?;
                continue;
            }
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            match self.intake.push(text, &mut self.batch, &mut self.scratch) {
                Ok(()) => self.tally.accepted += 1,
                Err(error) => self.reject(path, number, &error.to_string()),
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
            self.progress.suspend(|| eprintln!("{}:{number}: {why}", path.display()));
        }
    }

    fn append(&mut self) -> anyhow::Result<()> {
        let batch = std::mem::replace(&mut self.batch, AppendBatch::new(self.clock.now_micros()));
        // The log takes batches whole, so one that was refused for want of room is offered again.
        let mut offered = batch;
        loop {
            let again = offered.clone();
            match self.log.append(offered) {
                Ok(_) => return Ok(()),
                Err(LogError::Full { .. }) => thread::sleep(PAUSE),
                Err(error) => return Err(error).context("append to the log"),
            }
            offered = again;
        }
    }

    fn finish(mut self) -> anyhow::Result<Tally> {
        if !self.batch.is_empty() {
            self.append()?;
        }
        Ok(self.tally)
    }
}

/// Reads past the end of the line without keeping it.
fn skip_line(reader: &mut impl std::io::BufRead) -> std::io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let (used, done) = match buffer.iter().position(|&byte| byte == b'\n') {
            Some(end) => (end + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        reader.consume(used);
        if done {
            return Ok(());
        }
    }
}
