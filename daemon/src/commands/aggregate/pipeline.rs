//! The worker threads, each of which reads, decodes and applies batches.
//!
//! * A thread without a batch to apply reads the next block and decodes it for all threads.
//! * Every thread applies every batch to its own shards, in the order of the batches.
//!
//! A thread takes locks a few times per batch of thousands of records, never per record, and threads share no table.
//! The [`queue`] is bounded, so a slow thread stops the others from reading ahead.

mod bad_lines;
mod queue;
mod worker;

use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;

use anyhow::Context as _;
use indicatif::ProgressBar;
use proxy_uve::wire::line::LineForm;
use proxy_uve::{Fates, TableSettings};

use self::bad_lines::BadLineReport;
use self::queue::Queue;
use self::worker::{Input, Shared, Worker};
use crate::commands::aggregate::batch::SHARDS;
use crate::commands::aggregate::blocks::Blocks;
use crate::commands::aggregate::job::Job;
use crate::commands::aggregate::names::AttributeNames;
use crate::commands::aggregate::ordered::Ordered;
use crate::commands::aggregate::rows::{Flawed, RowFormat};
use crate::commands::aggregate::shard::Common;

/// The totals of a run.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) records: u64,
    pub(crate) bad_lines: u64,
    pub(crate) objects: usize,
    pub(crate) rows: u64,
    /// Partial states that are too long for a row.
    pub(crate) too_long: u64,
    pub(crate) flawed: Flawed,
    pub(crate) fates: Fates,
}

/// The inputs, the output and the settings of a run.
pub(crate) struct Pipeline<'a> {
    pub(crate) blocks: Blocks,
    pub(crate) names: AttributeNames,
    pub(crate) job: &'a Job,
    pub(crate) settings: TableSettings,
    pub(crate) format: RowFormat,
    pub(crate) form: Option<LineForm>,
    pub(crate) output: Ordered,
    pub(crate) files: &'a [PathBuf],
    pub(crate) strict: bool,
    pub(crate) progress: &'a ProgressBar,
}

impl Pipeline<'_> {
    /// Runs the pipeline with `threads` threads, at least one and at most [`SHARDS`].
    ///
    /// # Errors
    ///
    /// When a file cannot be read or the output not written; with `strict` at the first bad line.
    pub(crate) fn run(self, threads: usize) -> anyhow::Result<Outcome> {
        let threads = threads.clamp(1, SHARDS);
        let shared = Shared {
            input: Mutex::new(Input::new(self.blocks)),
            queue: Queue::new(threads),
            output: self.output,
            common: Common { plan: &self.job.plan, settings: self.settings, format: &self.format, names: &self.names },
            job: self.job,
            form: self.form,
        };
        let report = BadLineReport::new(self.files, self.strict, self.progress);
        let outcome = run_workers(&shared, threads, report)?;
        shared.output.finish().context("write the output")?;
        Ok(outcome)
    }
}

/// Runs one worker on this thread and the others on threads of their own, and adds their outcomes up.
fn run_workers(shared: &Shared<'_>, threads: usize, report: BadLineReport<'_>) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    thread::scope(|scope| -> anyhow::Result<()> {
        let others: Vec<_> =
            (1..threads).map(|index| scope.spawn(move || Worker::new(shared, index, threads, None).run())).collect();
        let mut results = vec![Worker::new(shared, 0, threads, Some(report)).run()];
        results.extend(others.into_iter().map(|other| match other.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }));
        results.into_iter().try_for_each(|result| result.map(|part| outcome.add(&part)))
    })?;
    Ok(outcome)
}

impl Outcome {
    fn add(&mut self, part: &Self) {
        self.records += part.records;
        self.bad_lines += part.bad_lines;
        self.objects += part.objects;
        self.rows += part.rows;
        self.too_long += part.too_long;
        self.flawed.merge(part.flawed);
        self.fates.add_all(&part.fates);
    }
}
