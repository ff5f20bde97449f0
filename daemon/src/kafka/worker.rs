//! A worker of the group: the thread that owns the shards which the group gives it.
//!
//! One turn: take what came, apply it, answer changes of the assignment, commit what is due in one transaction. A shard
//! is restored before anything of it is read, on another thread, while the others go on. When a partition is revoked the
//! worker commits it and lets go; when it was lost, or a transaction failed, its table is dropped and nothing is written:
//! whoever has the partition next restores the last commit. An object is never deleted because its owner changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::clock::Clock;
use crate::kafka::backpressure::Backpressure;
use crate::kafka::member::{Change, Member, MemberError, ShardCommit};
use crate::kafka::restore::{Restored, Restorer};
use crate::kafka::shard::{LINGER, Shard};
use crate::kafka::topology::Topology;
use crate::log::{LogError, PartitionId};
use crate::telemetry::Telemetry;
use crate::worker::{CLOSED_IN_TURN, Control, WorkerSettings};

/// How long a worker waits for records at most before it looks at the clock.
const IDLE_WAIT: Duration = Duration::from_millis(50);

/// How often ends, new partitions and quiet shards are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How long a worker waits after the cluster failed it.
const RETRY_WAIT: Duration = Duration::from_millis(500);

/// States and results that go into one transaction, about.
const TRANSACTION_BYTES: u64 = 64 * 1024 * 1024;

/// What a worker is made with.
pub(crate) struct Parts<M> {
    pub member: M,
    pub restorer: Restorer,
    pub topology: Arc<Topology>,
    pub backpressure: Arc<Backpressure>,
    pub clock: Arc<dyn Clock>,
    pub settings: WorkerSettings,
    pub telemetry: Arc<Telemetry>,
    pub control: Arc<Control>,
    /// Its name among all workers of the group.
    pub owner: String,
    /// Called once the first assignment is restored.
    pub ready: Box<dyn FnOnce() + Send>,
}

/// See the module.
pub(crate) struct Worker<M> {
    member: M,
    restorer: Restorer,
    topology: Arc<Topology>,
    backpressure: Arc<Backpressure>,
    clock: Arc<dyn Clock>,
    settings: WorkerSettings,
    telemetry: Arc<Telemetry>,
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

/// A shard of this worker.
enum Slot {
    /// Asked for, under this ticket.
    Restoring(u64),
    Working(Working),
}

impl Slot {
    fn working(&self) -> Option<&Working> {
        match self {
            Self::Working(working) => Some(working),
            Self::Restoring(_) => None,
        }
    }

    fn working_mut(&mut self) -> Option<&mut Working> {
        match self {
            Self::Working(working) => Some(working),
            Self::Restoring(_) => None,
        }
    }
}

struct Working {
    shard: Box<Shard>,
    /// Its input partitions, all being read.
    sources: Vec<PartitionId>,
}

impl Working {
    /// The next offset of each of its input partitions. One that showed no record yet may be out of range too: its oldest
    /// record, from which it was to begin, may be deleted before it is read.
    fn cursors(&self) -> impl Iterator<Item = (PartitionId, u64)> {
        self.sources.iter().map(|source| (*source, self.shard.cursor(*source).unwrap_or(0)))
    }
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
        self.telemetry.rebalanced();
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
        self.telemetry.rebalanced();
        self.finish(sources);
        self.release(sources)
    }

    /// Commits what these have: the last chance to do so. Of a partition whose window is closing the next owner reads again
    /// what came since the last commit.
    fn finish(&mut self, sources: &[PartitionId]) {
        let now = self.clock.monotonic();
        let going: BTreeSet<_> = sources.iter().copied().collect();
        let mut commits = Vec::new();
        for (id, slot) in &mut self.shards {
            if let Slot::Working(working) = slot
                && going.contains(id)
                && working.shard.is_due(true, now, Duration::ZERO, Duration::ZERO)
                && let Ok(commit) = working.shard.prepare_commit(&self.owner, now)
            {
                commits.push(commit);
            }
        }
        if let Err(error) = self.write(&commits) {
            warn!(%error, "The last commit of revoked partitions failed; the next owner reads their input again.");
        }
    }

    fn lost(&mut self, sources: &[PartitionId]) -> Result<(), MemberError> {
        warn!(
            worker = %self.owner,
            partitions = sources.len(),
            "Partitions lost: the group gave them to others, as this worker was silent for longer than \
             kafka.session_timeout. What was not committed is done again by them."
        );
        self.telemetry.rebalanced();
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
            self.telemetry.remove_partition(*source);
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

    fn read_new_partitions(&mut self) -> Result<(), MemberError> {
        let mut starts = Vec::new();
        for (id, slot) in &mut self.shards {
            let Slot::Working(working) = slot else { continue };
            if self.topology.source_count(*id) == working.sources.len() {
                continue;
            }
            let sources = self.topology.sources(*id);
            let new: Vec<_> = sources.iter().copied().filter(|source| !working.sources.contains(source)).collect();
            if !new.is_empty() {
                info!(partition = %id, ?new, "The topic was grown: its new partitions are read along.");
                starts.extend(new.into_iter().map(|source| (source, None)));
                working.sources = sources;
            }
        }
        if starts.is_empty() { Ok(()) } else { self.read_from(&starts) }
    }

    /// Begins to read these anew. If that fails some may be read and others not: all their shards start over, so that none
    /// is forgotten.
    fn read_from(&mut self, starts: &[(PartitionId, Option<u64>)]) -> Result<(), MemberError> {
        let begun = self.begin_reading(starts);
        if begun.is_err() {
            let shards: BTreeSet<_> = starts.iter().filter_map(|(source, _)| self.topology.shard_of(*source)).collect();
            self.start_over(&shards.into_iter().collect::<Vec<_>>());
        }
        begun
    }

    /// As far as it goes; while all input waits these do so, too.
    fn begin_reading(&mut self, starts: &[(PartitionId, Option<u64>)]) -> Result<(), MemberError> {
        self.member.read_from(starts)?;
        let waits = self.backpressure.is_on();
        for (source, _) in starts {
            self.paused.remove(source);
            hold(&mut self.member, *source, waits, &mut self.paused)?;
        }
        Ok(())
    }

    fn skip_what_is_gone(&mut self) -> Result<(), MemberError> {
        let cursors: Vec<_> = self.working().flat_map(Working::cursors).collect();
        let gone = self.member.out_of_range(&cursors)?;
        for (source, first) in &gone {
            if let Some(shard) = self.topology.shard_of(*source)
                && let Some(Slot::Working(working)) = self.shards.get_mut(&shard)
            {
                working.shard.skip_to(*source, *first);
            }
        }
        let starts: Vec<_> = gone.into_iter().map(|(source, first)| (source, Some(first))).collect();
        if starts.is_empty() { Ok(()) } else { self.read_from(&starts) }
    }

    /// Lets time pass for the shards of which the cluster, asked now, has nothing more. Of a source that is paused this is
    /// not asked, so a shard that waits for a sink is not quiet.
    fn pass_idle_time(&mut self, now: Duration) -> Result<(), MemberError> {
        let Self { member, shards, settings, paused, backpressure, .. } = self;
        let waits = backpressure.is_on();
        let is_quiet = |shard: &Shard| shard.is_waiting() || shard.idle(now) >= LOOK_INTERVAL;
        let quiet = shards.values().filter_map(Slot::working).filter(|it| is_quiet(&it.shard));
        let asked: Vec<_> = quiet.flat_map(|it| &it.sources).filter(|it| !paused.contains(it)).copied().collect();
        let dry = member.at_end(&asked)?;
        for Working { shard, sources } in shards.values_mut().filter_map(Slot::working_mut) {
            if shard.is_waiting() {
                shard.settle(sources, &dry, now);
            } else if is_quiet(shard) && sources.iter().all(|source| dry.contains(source)) {
                shard.pass_quiet_time(now, settings);
            }
            for source in sources.iter() {
                hold(member, *source, waits || shard.is_full(*source), paused)?;
            }
        }
        Ok(())
    }

    /// Closes more of the windows that are closing, one shard after the other, as long as their results fit into one
    /// transaction: it goes first, and its results are out while the others are made.
    fn close_windows(&mut self, now: Duration) {
        let mut left = CLOSED_IN_TURN;
        let mut pending = self.pending_bytes();
        for Working { shard, .. } in self.shards.values_mut().filter_map(Slot::working_mut) {
            if !shard.is_closing() {
                continue;
            }
            let before = shard.pending_bytes();
            left = shard.close_more(left, now);
            pending += (shard.pending_bytes() - before) as u64;
            if left == 0 || pending > TRANSACTION_BYTES {
                return;
            }
        }
    }

    /// How long results wait for others. While windows close at full speed, all that fit go into one transaction.
    fn linger(&self) -> Duration {
        match self.is_closing() {
            _ if self.pending_bytes() > TRANSACTION_BYTES => Duration::ZERO,
            true => Duration::MAX,
            false => LINGER,
        }
    }

    fn is_closing(&self) -> bool {
        self.working().any(|it| it.shard.is_closing())
    }

    fn pending_bytes(&self) -> u64 {
        self.working().map(|it| it.shard.pending_bytes() as u64).sum()
    }

    fn working(&self) -> impl Iterator<Item = &Working> {
        self.shards.values().filter_map(Slot::working)
    }

    /// Commits the shards that are due; all that have anything when `all`. Those of a transaction that failed are
    /// restored.
    fn commit(&mut self, all: bool) {
        let now = self.clock.monotonic();
        let (linger, interval) = (self.linger(), self.settings.commit_interval);
        let (mut commits, mut bytes, mut failed) = (Vec::new(), 0, Vec::new());
        let due = |slot: &Slot| matches!(slot, Slot::Working(it) if it.shard.is_due(all, now, linger, interval));
        let ids: Vec<_> = self.shards.iter().filter(|(_, slot)| due(slot)).map(|(id, _)| *id).collect();
        for id in ids {
            let Some(Slot::Working(working)) = self.shards.get_mut(&id) else { continue };
            match working.shard.prepare_commit(&self.owner, now) {
                Ok(commit) => {
                    bytes += size(&commit);
                    commits.push(commit);
                }
                Err(error) => failed.push((id, error)),
            }
            if bytes > TRANSACTION_BYTES {
                self.commit_or_restore(&std::mem::take(&mut commits));
                bytes = 0;
            }
        }
        self.commit_or_restore(&commits);
        self.restore_refused(failed);
    }

    fn commit_or_restore(&mut self, commits: &[ShardCommit]) {
        let Err(error) = self.write(commits) else { return };
        let shards: Vec<_> = commits.iter().map(|commit| commit.shard).collect();
        warn!(
            worker = %self.owner, partitions = shards.len(), %error,
            "Nothing of a transaction took effect; its partitions are restored and their input is read again."
        );
        self.telemetry.log_failed();
        self.start_over(&shards);
    }

    fn restore_refused(&mut self, failed: Vec<(PartitionId, LogError)>) {
        for (id, error) in failed {
            warn!(partition = %id, %error, "A result cannot be committed; the partition is restored.");
            self.start_over(&[id]);
        }
    }

    /// Drops these tables and asks for their states. Should they be another's by now, the group will say so.
    fn start_over(&mut self, shards: &[PartitionId]) {
        let read: Vec<_> = shards
            .iter()
            .filter_map(|id| self.shards.remove(id))
            .flat_map(|slot| match slot {
                Slot::Working(working) => working.sources,
                Slot::Restoring(_) => Vec::new(),
            })
            .collect();
        self.paused.retain(|source| !read.contains(source));
        if let Err(error) = self.member.stop_reading(&read) {
            debug!(%error, "Partitions that are restored could not be left first.");
        }
        self.restore(shards);
    }

    fn write(&mut self, commits: &[ShardCommit]) -> Result<(), MemberError> {
        if commits.is_empty() {
            return Ok(());
        }
        let began = self.clock.monotonic();
        self.member.commit(commits)?;
        let results = commits.iter().map(|commit| commit.results.len()).sum();
        let dead_letters = commits.iter().map(|commit| commit.dead_letters.len() as u64).sum();
        self.telemetry.committed(results, self.clock.monotonic().saturating_sub(began));
        self.telemetry.set_aside(dead_letters);
        self.publish();
        Ok(())
    }

    fn publish(&self) {
        for (id, slot) in &self.shards {
            if let Slot::Working(working) = slot {
                self.telemetry.set_partition(*id, working.shard.status());
            }
        }
    }
}

/// Pauses an input partition, because it is far ahead of the others of its shard or all wait for a sink, or lets it go on.
fn hold(
    member: &mut impl Member,
    source: PartitionId,
    waits: bool,
    paused: &mut BTreeSet<PartitionId>,
) -> Result<(), MemberError> {
    if waits == paused.contains(&source) {
        return Ok(());
    }
    member.pause(source, waits)?;
    if waits {
        paused.insert(source);
    } else {
        paused.remove(&source);
    }
    Ok(())
}

fn size(commit: &ShardCommit) -> u64 {
    let state = commit.state.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len));
    state.sum::<usize>() as u64 + commit.results.bytes()
}
