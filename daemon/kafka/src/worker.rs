//! A worker of the group: the thread that owns the shards which the group gives it.
//!
//! One iteration: take what came, apply it, answer changes of the assignment, commit what is due in one transaction. A
//! shard is restored before anything of it is read, on another thread, while the others go on. When a partition is
//! revoked the worker commits it and lets go; when it was lost, or a transaction failed, its table is dropped and
//! nothing is written: the next owner of the partition restores the last commit. An object is never deleted because its
//! owner changed.

mod commits;
mod reading;
mod slot;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use daemon_base::clock::Clock;
use daemon_log::PartitionId;
use daemon_partition::{Control, WorkerSettings, WorkerTelemetry};
use tracing::{debug, info, warn};

use crate::backpressure::Backpressure;
use crate::member::{Change, Member, MemberError};
use crate::restore::{Restored, Restorer};
use crate::telemetry::GroupTelemetry;
use crate::topology::Topology;

use self::slot::{Slot, Working};

/// How long a worker waits for records at most before it looks at the clock.
const IDLE_WAIT: Duration = Duration::from_millis(50);

/// How often ends, new partitions and quiet shards are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How long a worker waits after the cluster failed it.
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// What a worker is made with.
pub(crate) struct Parts<M> {
    pub member: M,
    pub restorer: Restorer,
    pub topology: Arc<Topology>,
    pub backpressure: Arc<Backpressure>,
    pub clock: Arc<dyn Clock>,
    pub settings: WorkerSettings,
    pub telemetry: Arc<WorkerTelemetry>,
    pub group: Arc<GroupTelemetry>,
    pub control: Arc<Control>,
    /// Its name among all workers of the group.
    pub owner: String,
    /// Called once the first assignment is restored.
    pub ready: Box<dyn FnOnce() + Send>,
}

/// A thread of the group that restores, feeds and commits the shards assigned to it.
pub(crate) struct Worker<M> {
    member: M,
    restorer: Restorer,
    topology: Arc<Topology>,
    backpressure: Arc<Backpressure>,
    clock: Arc<dyn Clock>,
    settings: WorkerSettings,
    telemetry: Arc<WorkerTelemetry>,
    group: Arc<GroupTelemetry>,
    control: Arc<Control>,
    owner: String,
    ready: Option<Box<dyn FnOnce() + Send>>,
    /// The input partitions that the group gave.
    granted: BTreeSet<PartitionId>,
    /// Whether the group has given an assignment yet, be it an empty one.
    has_joined: bool,
    shards: BTreeMap<PartitionId, Slot>,
    paused: BTreeSet<PartitionId>,
    next_ticket: u64,
    last_look: Duration,
}

impl<M: Member> Worker<M> {
    pub(crate) fn new(parts: Parts<M>) -> Self {
        Self {
            member: parts.member,
            restorer: parts.restorer,
            topology: parts.topology,
            backpressure: parts.backpressure,
            clock: parts.clock,
            settings: parts.settings,
            telemetry: parts.telemetry,
            group: parts.group,
            control: parts.control,
            owner: parts.owner,
            ready: Some(parts.ready),
            granted: BTreeSet::new(),
            has_joined: false,
            shards: BTreeMap::new(),
            paused: BTreeSet::new(),
            next_ticket: 0,
            last_look: Duration::ZERO,
        }
    }

    /// Works until told to stop, then commits what it has and leaves the group.
    pub(crate) fn run(mut self) {
        while !self.control.stop.load(Ordering::Acquire) {
            if let Err(error) = self.turn() {
                warn!(%error, "The cluster failed this worker; it goes on as soon as it can.");
                std::thread::sleep(RETRY_WAIT);
            }
        }
        self.commit(true);
    }

    /// One round of everything.
    ///
    /// # Errors
    ///
    /// When the cluster did not answer; nothing is lost, and the next turn tries again.
    pub(crate) fn turn(&mut self) -> Result<(), MemberError> {
        // Before records move the time on: those of new partitions would be late.
        self.read_new_partitions()?;
        let change = self.take_records()?;
        match change {
            Some(Change::Assigned(sources)) => self.assigned(sources)?,
            Some(Change::Revoked(sources)) => self.revoked(&sources)?,
            Some(Change::Lost(sources)) => self.lost(&sources)?,
            None => {}
        }
        while let Some(restored) = self.restorer.next() {
            self.take_up(restored)?;
        }
        let now = self.clock.monotonic();
        self.close_windows(now);
        if now.saturating_sub(self.last_look) >= LOOK_INTERVAL {
            self.last_look = now;
            self.look(now)?;
        }
        self.commit(false);
        Ok(())
    }

    fn take_records(&mut self) -> Result<Option<Change>, MemberError> {
        let wait = if self.is_closing() { Duration::ZERO } else { IDLE_WAIT };
        let Self { member, shards, topology, clock, .. } = self;
        member.poll(wait, &mut |source, records| {
            let shard = topology.shard_of(source).and_then(|id| shards.get_mut(&id));
            // Of a shard that is not worked on nothing is read; what is still on its way is read again.
            if let Some(Slot::Working(Working { shard, sources })) = shard {
                shard.apply(source, records, sources.len(), clock.monotonic());
            }
        })
    }

    fn assigned(&mut self, sources: Vec<PartitionId>) -> Result<(), MemberError> {
        info!(worker = %self.owner, partitions = sources.len(), "Partitions assigned.");
        self.group.rebalanced();
        self.granted.extend(sources);
        self.has_joined = true;
        self.claim();
        self.note_ready();
        self.member.accept()
    }

    /// Asks for every shard that the granted partitions stand for and that is not here yet.
    fn claim(&mut self) {
        let missing = self.granted.iter().filter(|source| self.topology.is_shard(**source));
        let missing: Vec<_> = missing.filter(|source| !self.shards.contains_key(*source)).copied().collect();
        self.restore(&missing);
    }

    fn restore(&mut self, shards: &[PartitionId]) {
        if shards.is_empty() {
            return;
        }
        let mut asked = Vec::with_capacity(shards.len());
        for id in shards {
            self.next_ticket += 1;
            self.shards.insert(*id, Slot::Restoring(self.next_ticket));
            asked.push((*id, self.next_ticket));
        }
        self.restorer.ask(asked);
    }

    fn take_up(&mut self, restored: Restored) -> Result<(), MemberError> {
        let Restored { id, ticket, mut shard } = restored;
        if !matches!(self.shards.get(&id), Some(Slot::Restoring(asked)) if *asked == ticket) {
            debug!(partition = %id, "A restored shard is another's by now.");
            return Ok(());
        }
        let sources = self.topology.sources(id);
        let starts = shard.begin(&sources, self.clock.monotonic());
        self.shards.insert(id, Slot::Working(Working { shard, sources }));
        self.note_ready();
        self.read_from(&starts)
    }

    fn note_ready(&mut self) {
        if self.topology.is_known()
            && self.shards.values().all(|slot| slot.working().is_some())
            && self.has_joined
            && let Some(ready) = self.ready.take()
        {
            ready();
        }
    }

    fn revoked(&mut self, sources: &[PartitionId]) -> Result<(), MemberError> {
        info!(worker = %self.owner, partitions = sources.len(), "Partitions revoked.");
        self.group.rebalanced();
        self.finish(sources);
        self.release(sources)
    }

    fn lost(&mut self, sources: &[PartitionId]) -> Result<(), MemberError> {
        warn!(
            worker = %self.owner,
            partitions = sources.len(),
            "Partitions lost: the group gave them to others, as this worker was silent for longer than \
             kafka.session_timeout. What was not committed is done again by them."
        );
        self.group.rebalanced();
        self.release(sources)
    }

    /// Forgets everything about these partitions and tells the group so.
    fn release(&mut self, sources: &[PartitionId]) -> Result<(), MemberError> {
        let mut read = Vec::new();
        for source in sources {
            self.granted.remove(source);
            if !self.topology.is_shard(*source) {
                continue;
            }
            if let Some(Slot::Working(working)) = self.shards.remove(source) {
                read.extend(working.sources);
            }
            self.telemetry.remove_table(*source);
        }
        self.paused.retain(|source| !read.contains(source));
        self.member.give_up(&read)
    }

    /// Looks at what no record tells of: new partitions, deleted input, quiet shards.
    fn look(&mut self, now: Duration) -> Result<(), MemberError> {
        self.claim();
        self.note_ready();
        self.skip_what_is_gone()?;
        self.pass_idle_time(now)?;
        self.publish();
        Ok(())
    }

    fn working(&self) -> impl Iterator<Item = &Working> {
        self.shards.values().filter_map(Slot::working)
    }

    fn publish(&self) {
        for (id, slot) in &self.shards {
            if let Slot::Working(working) = slot {
                self.telemetry.set_table(*id, working.shard.status());
            }
        }
    }
}
