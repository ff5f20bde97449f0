//! A worker: the thread that owns the tables of some partitions.
//!
//! One iteration: read what came to each partition since its cursor, apply it, and commit the partitions with changes:
//! results, changed state, cursor. Small commits of several partitions go into one write. Nothing else ever writes these,
//! so a kill at any instant leaves the last commit, and the worker that comes after restores it and reads on.
//!
//! A partition commits when windows closed, when its results grow large, and otherwise once in an interval, so that a
//! restart does not have to read far. A failed commit may or may not be on disk: every partition is restored, and the
//! restored cursor shows which.

mod assignment;
mod written;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use daemon_base::clock::Clock;
use daemon_log::{LogError, PartitionId, PartitionLog};
use daemon_partition::{CLOSED_PER_ITERATION, Control, Due, Heartbeat, StreamPlan, WorkerSettings, WorkerTelemetry};
use daemon_results::block::declared_rows;
use tracing::{error, info, warn};

use self::assignment::Assignment;
pub(crate) use self::written::AllWritten;

/// How much of a partition is read and applied at a time. Large enough to make the read cheap, small enough that the
/// partitions of a worker take turns within milliseconds.
const READ_BYTES: usize = 256 * 1024;

/// The size of results and states from which a commit takes no further partition.
const COMMIT_BYTES: u64 = 4 * 1024 * 1024;

/// How long a worker without work sleeps at most before it looks at the clock.
const IDLE_WAIT: Duration = Duration::from_millis(200);

/// How long a worker waits before it tries again after the log failed it.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// Owns the tables of its partitions.
pub(crate) struct Worker {
    log: Arc<dyn PartitionLog>,
    clock: Arc<dyn Clock>,
    settings: WorkerSettings,
    telemetry: Arc<WorkerTelemetry>,
    assignments: Vec<Assignment>,
    heartbeat: Heartbeat,
    /// The partition whose turn it is to close a window.
    closes: usize,
    control: Arc<Control>,
}

/// What a worker starts after.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Start {
    /// Another worker of this process, which has just ended: no time passed unobserved.
    AfterChange,
    /// The start of the process: the time since the last one is unknown.
    OfProcess,
}

/// What a worker begins with.
#[derive(Clone)]
pub(crate) struct Begin {
    pub start: Start,
    /// What the results log has of the partitions, for all workers that begin together.
    pub written: Arc<AllWritten>,
}

impl Worker {
    /// A worker for `partitions`, of which it restores every one.
    ///
    /// # Errors
    ///
    /// When the log cannot be read, or a state cannot be used without [`WorkerSettings::may_start_over`].
    pub(crate) fn new(
        log: Arc<dyn PartitionLog>,
        clock: Arc<dyn Clock>,
        settings: WorkerSettings,
        telemetry: Arc<WorkerTelemetry>,
        partitions: BTreeMap<PartitionId, Arc<StreamPlan>>,
        control: Arc<Control>,
        begin: Begin,
    ) -> anyhow::Result<Self> {
        let (now, wall) = (clock.monotonic(), clock.now_micros());
        // A restore may hang in the disk, too.
        let heartbeat = telemetry.heartbeats.join(&clock);
        let restore = |(id, stream)| {
            heartbeat.beat();
            let assignment = Assignment::restore(&*log, id, stream, (&settings, &begin.written), now);
            let marked = assignment.map(|assignment| match begin.start {
                Start::OfProcess => assignment.with_downtime(&*log, now, wall),
                Start::AfterChange => assignment,
            });
            marked.with_context(|| format!("restore partition {id}"))
        };
        let assignments = partitions.into_iter().map(restore).collect::<anyhow::Result<Vec<_>>>()?;
        for assignment in &assignments {
            telemetry.begin(assignment.table.stream());
        }
        let worker = Self { log, clock, settings, telemetry, assignments, heartbeat, closes: 0, control };
        worker.publish();
        Ok(worker)
    }

    /// Runs until `stop` is set, then commits.
    ///
    /// # Errors
    ///
    /// When the log is damaged, or the last commit failed. Nothing is lost: the next start reads its input again.
    pub(crate) fn run(mut self) -> anyhow::Result<()> {
        let mut generation = 0;
        while !self.control.stop.is_set() {
            self.heartbeat.beat();
            match self.iterate() {
                Ok(true) => continue,
                // What was appended since the last wait, also during this iteration, ends the wait at once.
                Ok(false) => generation = self.log.wait_for_records(generation, IDLE_WAIT),
                Err(error) => self.recover(error)?,
            }
        }
        let ended = self.end().context("the last commit failed; the next start reads its input again");
        match ended {
            Err(error) if self.control.is_replaced.load(Ordering::Acquire) => {
                let error = format!("{error:#}");
                warn!(%error, "The last commit before the change of the configuration failed; its input is read again.");
                Ok(())
            }
            ended => ended,
        }
    }

    fn end(&mut self) -> anyhow::Result<()> {
        if self.control.is_replaced.load(Ordering::Acquire) {
            // So that all results of a window are of one configuration.
            while self.close_more() {
                self.heartbeat.beat();
                self.commit(false)?;
            }
        }
        if self.control.close_windows.load(Ordering::Acquire) {
            while self.iterate()? {}
            let now = self.clock.monotonic();
            self.assignments.iter_mut().for_each(|assignment| assignment.table.close_all(now));
        }
        self.commit(true)
    }

    /// One iteration: reads and applies once for each partition. Whether there was anything.
    fn iterate(&mut self) -> anyhow::Result<bool> {
        let mut progressed = false;
        for index in 0..self.assignments.len() {
            progressed |= self.read(index)?;
            if self.assignments[index].table.is_full() {
                self.commit(false)?;
            }
        }
        progressed |= self.close_more();
        self.commit(false)?;
        self.publish();
        Ok(progressed)
    }

    /// Closes more of a window that is closing; whether there is one. One partition after the other, in turn: results
    /// are committed at the end of a window, so those of partitions that close side by side would wait in memory
    /// together.
    fn close_more(&mut self) -> bool {
        let count = self.assignments.len();
        let mut in_turn = (0..count).map(|step| (self.closes + step) % count);
        let Some(index) = in_turn.find(|&index| self.assignments[index].table.is_closing()) else {
            return false;
        };
        let table = &mut self.assignments[index].table;
        let (telemetry, stream) = (&self.telemetry, Arc::clone(table.stream()));
        let measured = |period, took| telemetry.closed(&stream.name, period, took);
        table.close_more_measured(CLOSED_PER_ITERATION, &*self.clock, measured);
        self.closes = if table.is_closing() { index } else { index + 1 };
        true
    }

    fn read(&mut self, index: usize) -> anyhow::Result<bool> {
        let assignment = &mut self.assignments[index];
        let id = assignment.id;
        let batch = match self.log.read(id, assignment.cursor(), READ_BYTES) {
            Err(LogError::OffsetOutOfRange { bounds, .. }) => {
                error!(partition = %id, from = assignment.cursor(), to = bounds.first, "Input was deleted before it was applied; the results that lack it are marked partial.");
                assignment.table.skip_to(id.partition, bounds.first);
                return Ok(true);
            }
            batch => batch.with_context(|| format!("read partition {id}"))?,
        };
        if batch.is_empty() {
            let now = self.clock.monotonic();
            assignment.table.confirm_at_end(now, self.settings.idle_timeout);
            return Ok(false);
        }
        let now = self.clock.monotonic();
        assignment.apply(&batch, now);
        self.telemetry.applied(&assignment.table.stream().name, self.clock.monotonic().saturating_sub(now));
        Ok(true)
    }

    /// Commits the partitions that are due; all that have anything when `all`.
    fn commit(&mut self, all: bool) -> anyhow::Result<()> {
        let now = self.clock.monotonic();
        let due = Due { all, linger: Duration::ZERO, interval: self.settings.commit_interval };
        let assignments = self.assignments.iter().enumerate();
        let due: Vec<usize> =
            assignments.filter(|(_, assignment)| assignment.table.is_due(now, due)).map(|(index, _)| index).collect();
        if due.is_empty() {
            return Ok(());
        }
        let wall = self.clock.now_micros();
        due.iter().for_each(|&index| self.assignments[index].table.cut_unknown(wall));
        let mut due = due.as_slice();
        while !due.is_empty() {
            due = self.commit_first(due, wall)?;
        }
        Ok(())
    }

    /// Commits the first partitions of `due` in one write and returns the others. The states in a write have about
    /// [`COMMIT_BYTES`], so that the copies of all states do not lie in memory together.
    fn commit_first<'d>(&mut self, due: &'d [usize], wall: u64) -> anyhow::Result<&'d [usize]> {
        let now = self.clock.monotonic();
        let (mut commits, mut bytes) = (Vec::new(), 0);
        for &index in due {
            let commit = self.assignments[index].prepare_commit(now)?;
            bytes += commit.bytes();
            commits.push(commit);
            if bytes >= COMMIT_BYTES {
                break;
            }
        }
        let records = commits.iter().flat_map(|commit| commit.results.records());
        let results: u64 = records.map(|(_, record)| declared_rows(record)).sum();
        let (committed, others) = due.split_at(commits.len());
        self.log.commit(commits, wall).context("commit results and state")?;
        committed.iter().for_each(|&index| self.assignments[index].downtime = None);
        self.telemetry.committed(results, self.clock.monotonic().saturating_sub(now));
        Ok(others)
    }

    /// After a failure nothing in memory can be trusted to be what the log has: a failed write may be on disk.
    ///
    /// # Errors
    ///
    /// When no later attempt can succeed.
    fn recover(&mut self, failure: anyhow::Error) -> anyhow::Result<()> {
        let remedy = match failure.downcast_ref::<LogError>() {
            Some(error) if error.is_permanent() => return Err(failure),
            Some(error) if error.remedy().is_some() => " Retries fail until what the error names is changed.",
            Some(error) if error.is_disk_full() => " Free space on the disk of log.data_dir.",
            Some(error) if error.outcome_is_unknown() => " Check the disk of log.data_dir.",
            _ => "",
        };
        let error = format!("{failure:#}");
        error!(%error, "The log failed; the worker restores its partitions before it continues.{remedy}");
        self.telemetry.log_failed();
        while !self.control.stop.is_set() {
            self.control.stop.rest(RETRY_WAIT);
            self.heartbeat.beat();
            match self.restore_all() {
                Ok(()) => {
                    info!("The partitions are restored.");
                    return Ok(());
                }
                Err(error) if error.is_permanent() => return Err(error.into()),
                Err(error) => warn!(%error, "Restoring failed; trying again."),
            }
        }
        Ok(())
    }

    fn restore_all(&mut self) -> Result<(), LogError> {
        let now = self.clock.monotonic();
        for assignment in &mut self.assignments {
            assignment.restore_again(&*self.log, &self.settings, now)?;
        }
        Ok(())
    }

    fn publish(&self) {
        for assignment in &self.assignments {
            self.telemetry.set_table(assignment.id, assignment.table.status());
        }
    }
}

#[cfg(test)]
mod tests;
