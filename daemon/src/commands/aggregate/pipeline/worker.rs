//! One thread of the pipeline: it decodes blocks and applies batches to its shards.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use daemon_base::clock::micros;
use proxy_uve::wire::line::LineForm;

use super::Outcome;
use super::bad_lines::BadLineReport;
use super::queue::{Queue, Task};
use crate::commands::aggregate::batch::{Batch, Decoder, SHARDS};
use crate::commands::aggregate::blocks::Blocks;
use crate::commands::aggregate::job::Job;
use crate::commands::aggregate::ordered::Ordered;
use crate::commands::aggregate::rows::Rows;
use crate::commands::aggregate::shard::{Common, Shard};

/// The state that all threads share.
pub(super) struct Shared<'a> {
    pub(super) input: Mutex<Input>,
    pub(super) queue: Queue,
    pub(super) output: Ordered,
    pub(super) common: Common<'a>,
    pub(super) job: &'a Job,
    pub(super) form: Option<LineForm>,
}

/// The blocks and the number of the next batch, which one lock protects so that numbers follow the order of blocks.
pub(super) struct Input {
    blocks: Blocks,
    batches: u64,
    /// Applied batches, whose memory is reused.
    used: Vec<Batch>,
}

impl Input {
    pub(super) fn new(blocks: Blocks) -> Self {
        Self { blocks, batches: 0, used: Vec::new() }
    }
}

impl Shared<'_> {
    /// Reads and decodes the next block.
    fn decode(&self, decoder: &mut Decoder<'_>) -> anyhow::Result<()> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = input.used.pop().unwrap_or_default();
        let is_more = input.blocks.next(&mut batch.block)?;
        let number = input.batches;
        input.batches += u64::from(is_more);
        drop(input);
        if is_more {
            decoder.decode(&mut batch);
            self.queue.insert(number, batch);
        } else {
            self.queue.end(number);
        }
        Ok(())
    }
}

/// A thread of the pipeline.
pub(super) struct Worker<'a> {
    shared: &'a Shared<'a>,
    index: usize,
    decoder: Decoder<'a>,
    shards: Vec<Shard<'a>>,
    rows: Vec<u8>,
    /// The report of bad lines, which one of the threads has.
    report: Option<BadLineReport<'a>>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(shared: &'a Shared<'a>, index: usize, threads: usize, report: Option<BadLineReport<'a>>) -> Self {
        let Common { settings, names, .. } = shared.common;
        Self {
            shared,
            index,
            decoder: Decoder::new(shared.job, shared.form, micros(settings.allowed_lateness), names),
            shards: (index..SHARDS).step_by(threads).map(|shard| Shard::new(shared.common, shard)).collect(),
            rows: Vec::new(),
            report,
        }
    }

    pub(super) fn run(mut self) -> anyhow::Result<Outcome> {
        let guard = FailureGuard(self.shared);
        self.work()?;
        std::mem::forget(guard);
        let mut outcome = Outcome::default();
        if let Some(report) = &self.report {
            outcome.bad_lines = report.bad_lines();
        }
        for (objects, sink, fates) in self.shards.iter().flat_map(Shard::totals) {
            let &Rows { count: rows, too_long, flawed, .. } = sink;
            let (records, fates) = (fates.total(), *fates);
            outcome.add(&Outcome { records, bad_lines: 0, objects, rows, too_long, flawed, fates });
        }
        Ok(outcome)
    }

    fn work(&mut self) -> anyhow::Result<()> {
        loop {
            match self.shared.queue.next_task(self.index) {
                Task::Apply(batch) => self.apply(batch)?,
                Task::Decode => self.shared.decode(&mut self.decoder)?,
                Task::Finish => return self.finish(),
                Task::Stop => return Ok(()),
            }
        }
    }

    fn apply(&mut self, batch: Arc<Batch>) -> anyhow::Result<()> {
        if let Some(report) = &mut self.report {
            report.add(&batch)?;
        }
        for shard in &mut self.shards {
            let (index, output) = (shard.index, &self.shared.output);
            let applied = shard.apply(&batch, &mut self.rows, |advance, rows| output.put(advance, index, rows));
            applied.context("write the output")?;
        }
        if let Some(batch) = self.shared.queue.applied(self.index, batch) {
            self.shared.input.lock().unwrap_or_else(PoisonError::into_inner).used.push(batch);
        }
        Ok(())
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        for shard in &mut self.shards {
            let advance = shard.finish(&mut self.rows);
            self.shared.output.put(advance, shard.index, &mut self.rows).context("write the output")?;
        }
        Ok(())
    }
}

/// A guard whose drop, on an error or a panic, stops all threads, so that none waits for a failed one.
struct FailureGuard<'a>(&'a Shared<'a>);

impl Drop for FailureGuard<'_> {
    fn drop(&mut self) {
        self.0.queue.fail();
    }
}
