//! A worker of the group: the thread that owns the shards assigned to its member.
//!
//! One iteration: poll records, apply them, acknowledge changes of the assignment, and commit all due shards in one
//! transaction. A shard is restored by another thread before its input is read, while the worker continues with the
//! others. When a partition is revoked, the worker commits it and gives it up. When a partition is lost, or a
//! transaction fails, the worker drops the table and writes nothing: the next owner restores the last commit. An object
//! is never deleted because its owner changed.

mod assignment;
mod commits;
mod letters;
mod reading;
mod silence;
mod slot;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::Clock;
use daemon_log::PartitionId;
use daemon_partition::{Control, Heartbeat, WorkerSettings, WorkerTelemetry};
use tracing::{error, warn};

use crate::admission::Admission;
use crate::backpressure::Backpressure;
use crate::input_merge::{HeldBudget, ReadTime};
use crate::input_topics::InputTopics;
use crate::member::{Change, Member, MemberError};
use crate::partition_failures::PartitionFailures;
use crate::shard_restore::Restorer;
use crate::telemetry::GroupTelemetry;
use crate::topology::Topology;

use self::letters::LetterLog;
pub(crate) use self::reading::MAX_POLL_AGE;
use self::silence::Silences;
use self::slot::{ActiveShard, Failing, Slot};

/// The longest wait of a poll for records.
const POLL_TIMEOUT: Duration = Duration::from_millis(50);

/// How often the worker checks for new partitions, deleted input and idle shards.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// How long a worker waits after a request to the cluster failed.
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// The parts that a worker is made of.
pub(crate) struct Parts<M> {
    pub member: M,
    pub restorer: Restorer,
    pub topics: Arc<InputTopics>,
    pub topology: Arc<Topology>,
    pub backpressure: Arc<Backpressure>,
    pub clock: Arc<dyn Clock>,
    pub settings: WorkerSettings,
    pub telemetry: Arc<WorkerTelemetry>,
    pub group: Arc<GroupTelemetry>,
    pub control: Arc<Control>,
    pub admission: Arc<Admission>,
    pub failures: Arc<PartitionFailures>,
    /// The heartbeats of the worker's thread, which its member shares.
    pub heartbeat: Heartbeat,
    /// The name of the worker, unique in the group.
    pub owner: String,
    /// Called once the first assignment is restored.
    pub ready: Box<dyn FnOnce() + Send>,
}

/// A thread of the group that feeds and commits the shards assigned to it.
pub(crate) struct Worker<M> {
    member: M,
    restorer: Restorer,
    topics: Arc<InputTopics>,
    /// The messages about dead letters.
    letters: LetterLog,
    topology: Arc<Topology>,
    backpressure: Arc<Backpressure>,
    clock: Arc<dyn Clock>,
    settings: WorkerSettings,
    telemetry: Arc<WorkerTelemetry>,
    group: Arc<GroupTelemetry>,
    control: Arc<Control>,
    admission: Arc<Admission>,
    failures: Arc<PartitionFailures>,
    heartbeat: Heartbeat,
    /// The shards whose last commit has failed.
    failing: BTreeMap<PartitionId, Failing>,
    owner: String,
    ready: Option<Box<dyn FnOnce() + Send>>,
    /// The input partitions assigned to this worker.
    assigned_partitions: BTreeSet<PartitionId>,
    /// Whether the group has sent an assignment, even an empty one.
    has_joined: bool,
    shards: BTreeMap<PartitionId, Slot>,
    paused: BTreeSet<PartitionId>,
    silences: Silences,
    /// What the shards of this worker may hold together.
    held: Arc<HeldBudget>,
    /// The number of the last restore request.
    last_ticket: u64,
    last_check: Duration,
}

impl<M: Member> Worker<M> {
    pub(crate) fn new(parts: Parts<M>) -> Self {
        Self {
            member: parts.member,
            restorer: parts.restorer,
            topics: parts.topics,
            letters: LetterLog::new(),
            topology: parts.topology,
            backpressure: parts.backpressure,
            clock: parts.clock,
            settings: parts.settings,
            telemetry: parts.telemetry,
            group: parts.group,
            control: parts.control,
            admission: parts.admission,
            failures: parts.failures,
            heartbeat: parts.heartbeat,
            failing: BTreeMap::new(),
            owner: parts.owner,
            ready: Some(parts.ready),
            assigned_partitions: BTreeSet::new(),
            has_joined: false,
            shards: BTreeMap::new(),
            paused: BTreeSet::new(),
            silences: Silences::default(),
            held: Arc::default(),
            last_ticket: 0,
            last_check: Duration::ZERO,
        }
    }

    /// Runs until [`Control::stop`] is set or the admission is closed, then commits all shards and leaves the group.
    /// Ends early if the thread that restores has died: the partitions that wait for it would never be processed.
    pub(crate) fn run(mut self) {
        while !self.control.stop.is_set() && !self.admission.is_closed() {
            self.heartbeat.beat();
            if self.restorer.has_died() {
                error!(worker = %self.owner, "The restore thread panicked; the worker ends.");
                return;
            }
            if let Err(error) = self.iterate() {
                warn!(%error, "A request of this worker to the cluster failed; retrying.");
                self.topology.doubt();
                self.control.stop.rest(RETRY_WAIT);
            }
        }
        self.commit(true);
        self.letters.finish(&self.topics);
        self.shards.keys().for_each(|id| self.telemetry.remove_table(*id));
        // The clients, which are dropped now, wait for the brokers as long as librdkafka does.
        self.heartbeat.rest();
    }

    /// Runs one iteration.
    ///
    /// # Errors
    ///
    /// When a request to the cluster failed. No record is lost, and the next iteration retries.
    pub(crate) fn iterate(&mut self) -> Result<(), MemberError> {
        self.leave_topics_created_again();
        // Before polled records advance the watermark: the records of new partitions would be late.
        self.read_new_partitions()?;
        let change = self.poll_records()?;
        match change {
            Some(Change::Assigned(sources)) => self.assigned(sources)?,
            Some(Change::Revoked(sources)) => self.revoked(&sources)?,
            Some(Change::Lost(sources)) => self.lost(&sources)?,
            None => {}
        }
        while let Some(restored) = self.restorer.next() {
            self.activate(restored)?;
        }
        self.relieve_full(self.clock.monotonic())?;
        self.close_windows();
        let now = self.clock.monotonic();
        if now.saturating_sub(self.last_check) >= CHECK_INTERVAL {
            self.last_check = now;
            self.check_periodically(now)?;
        }
        self.commit(false);
        Ok(())
    }

    fn poll_records(&mut self) -> Result<Option<Change>, MemberError> {
        let wait = if self.is_closing() { Duration::ZERO } else { POLL_TIMEOUT };
        let Self { member, shards, topology, clock, silences, telemetry, group, .. } = self;
        let change = member.poll(wait, &mut |source, records| {
            silences.end(source);
            let shard = topology.shard_of(source).and_then(|id| shards.get_mut(&id));
            // The consumer reads the input of active shards only. A record that was fetched before is read again.
            if let Some(Slot::Active(ActiveShard { shard, sources })) = shard {
                let now = clock.monotonic();
                let read = ReadTime { now, wall: clock.now_micros() };
                group.unmatched(shard.apply(source, records, sources.len(), read));
                telemetry.applied(shard.stream(), clock.monotonic().saturating_sub(now));
            }
        })?;
        let now = clock.monotonic();
        for (id, slot) in shards {
            let Slot::Active(ActiveShard { shard, sources }) = slot else { continue };
            if shard.apply_held(sources, &BTreeSet::new(), topology.complete_as_of(*id, sources), now) {
                topology.request();
            }
        }
        Ok(change)
    }

    /// Checks for changes that no record shows: new partitions, deleted input, idle shards.
    fn check_periodically(&mut self, now: Duration) -> Result<(), MemberError> {
        self.letters.tick(&self.topics, now);
        self.restore_assigned();
        self.report_ready();
        self.skip_deleted_input()?;
        self.advance_idle_shards(now)?;
        self.publish();
        Ok(())
    }

    fn active(&self) -> impl Iterator<Item = &ActiveShard> {
        self.shards.values().filter_map(Slot::active)
    }

    fn publish(&self) {
        for (id, slot) in &self.shards {
            if let Slot::Active(active) = slot {
                self.telemetry.set_table(*id, active.shard.status());
            }
        }
    }
}

#[cfg(test)]
mod tests;
