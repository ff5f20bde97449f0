//! The threads. Each one reads, decodes and applies, in turns:
//!
//! * whoever has nothing to apply takes the next block and decodes it for all;
//! * every batch is applied by every thread, to the shards that are its own, in the order of the batches.
//!
//! Locks are taken a few times for each batch of thousands of records, never for a record, and no table is shared. A
//! thread that falls behind stops the others from reading on: there are only so many batches.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context as _, bail};
use daemon_base::clock::micros;
use indicatif::ProgressBar;
use proxy_uve::wire::line::LineForm;
use proxy_uve::{Fates, TableSettings};

use crate::commands::aggregate::batch::{AttributeNames, Batch, Decoder, MAX_NAMED, SHARDS};
use crate::commands::aggregate::blocks::{Blocks, Origin};
use crate::commands::aggregate::ordered::Ordered;
use crate::commands::aggregate::rows::RowFormat;
use crate::commands::aggregate::shard::{Common, Shard};
use crate::commands::aggregate::shown;
use crate::commands::aggregate::what::What;

/// Batches that are decoded and not yet applied by all, for each thread.
const AHEAD: u64 = 2;

/// What becomes of a run.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) records: u64,
    pub(crate) bad_lines: u64,
    pub(crate) objects: usize,
    pub(crate) rows: u64,
    /// Results that lack a number for one of their columns and have no row.
    pub(crate) incomplete: u64,
    pub(crate) fates: Fates,
}

/// Everything that a run needs.
pub(crate) struct Pipeline<'a> {
    pub(crate) blocks: Blocks,
    pub(crate) names: AttributeNames,
    pub(crate) what: &'a What,
    pub(crate) settings: TableSettings,
    pub(crate) format: RowFormat,
    pub(crate) form: Option<LineForm>,
    pub(crate) output: Ordered,
    pub(crate) files: &'a [PathBuf],
    pub(crate) strict: bool,
    pub(crate) progress: &'a ProgressBar,
}

/// The files and the number of the next batch, which are taken together.
struct Input {
    blocks: Blocks,
    batches: u64,
    /// Batches that everyone is done with, for their memory.
    used: Vec<Batch>,
}

/// Where everyone stands.
#[derive(Default)]
struct Turns {
    /// The batches from `first` on; `None` while one is decoded.
    batches: VecDeque<Option<Arc<Batch>>>,
    first: u64,
    /// The next batch that each thread applies.
    applied: Vec<u64>,
    /// Batches that someone has begun to read.
    claimed: u64,
    /// How many batches there are, once that is known.
    total: Option<u64>,
    /// Someone failed: all stop.
    failed: bool,
}

enum Task {
    Apply(Arc<Batch>),
    Decode,
    Finish,
    Stop,
}

/// What the threads share.
struct Crew<'a> {
    input: Mutex<Input>,
    turns: Mutex<Turns>,
    changed: Condvar,
    output: Ordered,
    common: Common<'a>,
    what: &'a What,
    form: Option<LineForm>,
    ahead: u64,
}

impl Pipeline<'_> {
    /// Does all the work with so many threads, at least one.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or the output not written; with `strict` at the first bad line.
    pub(crate) fn run(self, threads: usize) -> anyhow::Result<Outcome> {
        let threads = threads.clamp(1, SHARDS);
        let common =
            Common { plan: &self.what.plan, settings: self.settings, format: &self.format, names: &self.names };
        let crew = Crew {
            input: Mutex::new(Input { blocks: self.blocks, batches: 0, used: Vec::new() }),
            turns: Mutex::new(Turns { applied: vec![0; threads], ..Turns::default() }),
            changed: Condvar::new(),
            output: self.output,
            common,
            what: self.what,
            form: self.form,
            ahead: AHEAD * threads as u64,
        };
        let report = Report::new(self.files, self.strict, self.progress);
        let mut outcome = Outcome::default();
        thread::scope(|scope| -> anyhow::Result<()> {
            let others: Vec<_> = (1..threads)
                .map(|index| {
                    scope.spawn({
                        let crew = &crew;
                        move || Worker::new(crew, index, threads, None).run()
                    })
                })
                .collect();
            let mut results = vec![Worker::new(&crew, 0, threads, Some(report)).run()];
            results.extend(others.into_iter().map(|other| match other.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }));
            results.into_iter().try_for_each(|result| result.map(|part| outcome.add(&part)))
        })?;
        crew.output.finish().context("write the output")?;
        Ok(outcome)
    }
}

impl Outcome {
    fn add(&mut self, part: &Self) {
        self.records += part.records;
        self.bad_lines += part.bad_lines;
        self.objects += part.objects;
        self.rows += part.rows;
        self.incomplete += part.incomplete;
        self.fates.add_all(&part.fates);
    }
}

impl Crew<'_> {
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does next; waits until there is something.
    fn next_task(&self, worker: usize) -> Task {
        let mut turns = self.turns();
        loop {
            if turns.failed {
                return Task::Stop;
            }
            let next = turns.applied[worker];
            if let Some(Some(batch)) = turns.batches.get((next - turns.first) as usize) {
                return Task::Apply(Arc::clone(batch));
            }
            match turns.total {
                Some(total) if next >= total => return Task::Finish,
                None if turns.claimed < turns.first + self.ahead => {
                    turns.claimed += 1;
                    turns.batches.push_back(None);
                    return Task::Decode;
                }
                _ => turns = self.changed.wait(turns).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

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
        }
        let mut turns = self.turns();
        if is_more {
            let place = (number - turns.first) as usize;
            turns.batches[place] = Some(Arc::new(batch));
        } else {
            turns.total = Some(number);
        }
        drop(turns);
        self.changed.notify_all();
        Ok(())
    }

    /// A thread has applied a batch; whoever is last takes its memory back.
    fn applied(&self, worker: usize, batch: Arc<Batch>) {
        let mut turns = self.turns();
        turns.applied[worker] += 1;
        let done = turns.applied.iter().copied().min().unwrap_or(0);
        while turns.first < done {
            turns.batches.pop_front();
            turns.first += 1;
        }
        drop(turns);
        if let Some(batch) = Arc::into_inner(batch) {
            self.input.lock().unwrap_or_else(PoisonError::into_inner).used.push(batch);
        }
        self.changed.notify_all();
    }
}

/// One thread.
struct Worker<'a> {
    crew: &'a Crew<'a>,
    index: usize,
    decoder: Decoder<'a>,
    shards: Vec<Shard<'a>>,
    rows: Vec<u8>,
    /// One of the threads also tells about bad lines.
    report: Option<Report<'a>>,
}

impl<'a> Worker<'a> {
    fn new(crew: &'a Crew<'a>, index: usize, threads: usize, report: Option<Report<'a>>) -> Self {
        let Common { settings, names, .. } = crew.common;
        Self {
            crew,
            index,
            decoder: Decoder::new(crew.what, crew.form, micros(settings.allowed_lateness), names),
            shards: (index..SHARDS).step_by(threads).map(|shard| Shard::new(crew.common, shard)).collect(),
            rows: Vec::new(),
            report,
        }
    }

    fn run(mut self) -> anyhow::Result<Outcome> {
        let alarm = Alarm(self.crew);
        self.work()?;
        std::mem::forget(alarm);
        let mut outcome = Outcome::default();
        if let Some(report) = &self.report {
            outcome.bad_lines = report.bad_lines;
        }
        for (objects, sink, fates) in self.shards.iter().flat_map(Shard::totals) {
            let (rows, incomplete) = (sink.count, sink.incomplete);
            outcome.add(&Outcome { records: fates.total(), bad_lines: 0, objects, rows, incomplete, fates: *fates });
        }
        Ok(outcome)
    }

    fn work(&mut self) -> anyhow::Result<()> {
        loop {
            match self.crew.next_task(self.index) {
                Task::Apply(batch) => self.apply(batch)?,
                Task::Decode => self.crew.decode(&mut self.decoder)?,
                Task::Finish => return self.finish(),
                Task::Stop => return Ok(()),
            }
        }
    }

    fn apply(&mut self, batch: Arc<Batch>) -> anyhow::Result<()> {
        if let Some(report) = &mut self.report {
            report.look_at(&batch)?;
        }
        for shard in &mut self.shards {
            let (index, output) = (shard.index, &self.crew.output);
            let applied = shard.apply(&batch, &mut self.rows, |moment, rows| output.put(moment, index, rows));
            applied.context("write the output")?;
        }
        self.crew.applied(self.index, batch);
        Ok(())
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        for shard in &mut self.shards {
            let moment = shard.finish(&mut self.rows);
            self.crew.output.put(moment, shard.index, &mut self.rows).context("write the output")?;
        }
        Ok(())
    }
}

/// Stops everyone when it is dropped: no thread waits for one that failed.
struct Alarm<'a>(&'a Crew<'a>);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.0.turns().failed = true;
        self.0.changed.notify_all();
    }
}

/// Tells about bad lines, in their order.
struct Report<'a> {
    files: &'a [PathBuf],
    strict: bool,
    progress: &'a ProgressBar,
    bad_lines: u64,
    /// Lines of the only file before the batch at hand.
    lines: u64,
}

impl<'a> Report<'a> {
    fn new(files: &'a [PathBuf], strict: bool, progress: &'a ProgressBar) -> Self {
        Self { files, strict, progress, bad_lines: 0, lines: 0 }
    }

    fn look_at(&mut self, batch: &Batch) -> anyhow::Result<()> {
        for bad in &batch.bad {
            let (file, line) = match &batch.block.origin {
                Origin::TheFile => (0, self.lines + bad.line + 1),
                Origin::Lines(lines) => lines.get(bad.line as usize).copied().unwrap_or_default(),
            };
            let file = self.files.get(usize::from(file)).map(|path| shown(path)).unwrap_or_default();
            if self.strict {
                bail!("{file}:{line}: {}", bad.reason);
            }
            self.bad_lines += 1;
            if self.bad_lines <= MAX_NAMED as u64 {
                self.progress.suspend(|| eprintln!("{file}:{line}: {}", bad.reason));
            }
        }
        self.bad_lines += batch.bad_lines - batch.bad.len() as u64;
        self.lines += batch.lines;
        Ok(())
    }
}
