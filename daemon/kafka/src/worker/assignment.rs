//! The assignment of a worker: the shards that it restores, begins to read, and gives up.

use daemon_log::PartitionId;
use tracing::{debug, info, warn};

use super::Worker;
use super::slot::{ActiveShard, Slot};
use crate::member::{Member, MemberError};
use crate::shard_restore::Restored;

impl<M: Member> Worker<M> {
    pub(super) fn assigned(&mut self, sources: Vec<PartitionId>) -> Result<(), MemberError> {
        info!(worker = %self.owner, partitions = sources.len(), "Partitions assigned.");
        self.group.rebalanced();
        self.assigned_partitions.extend(sources);
        self.has_joined = true;
        self.restore_assigned();
        self.report_ready();
        self.member.accept()
    }

    /// Requests the restore of every assigned shard that is neither active nor being restored, except for those that
    /// wait after commits that failed.
    pub(super) fn restore_assigned(&mut self) {
        let missing = self.assigned_partitions.iter().filter(|source| self.topology.is_shard(**source));
        let now = self.clock.monotonic();
        let waits = |source: &PartitionId| self.failing.get(source).is_some_and(|it| now < it.restores_at);
        let missing = missing.filter(|source| !self.shards.contains_key(*source) && !waits(source));
        let missing: Vec<_> = missing.copied().collect();
        self.restore(&missing);
    }

    /// Requests the restore of shards, except for those without input, of a topic that was created again with fewer
    /// partitions: their offsets could not be committed.
    pub(super) fn restore(&mut self, shards: &[PartitionId]) {
        let shards: Vec<_> = shards.iter().filter(|id| self.topology.source_count(**id) > 0).collect();
        if shards.is_empty() {
            return;
        }
        let mut request = Vec::with_capacity(shards.len());
        for &id in shards {
            self.last_ticket += 1;
            self.shards.insert(id, Slot::Restoring(self.last_ticket));
            request.push((id, self.last_ticket));
        }
        self.restorer.request(request);
    }

    /// Begins to read the input of a restored shard, unless the shard was revoked or requested again since.
    pub(super) fn activate(&mut self, restored: Restored) -> Result<(), MemberError> {
        let Restored { id, ticket, mut shard } = restored;
        if !matches!(self.shards.get(&id), Some(Slot::Restoring(current)) if *current == ticket) {
            if !self.assigned_partitions.contains(&id) {
                // The restore may have failed since the shard was given up.
                self.failures.ended(id);
            }
            debug!(partition = %id, "A restored shard is dropped: it is not assigned to this worker any more.");
            return Ok(());
        }
        if !self.failing.contains_key(&id) {
            self.failures.ended(id);
        }
        let sources = self.topology.sources(id);
        shard.share_held(&self.held);
        let starts = shard.begin(&sources, self.clock.monotonic());
        self.telemetry.begin(shard.stream_plan());
        self.shards.insert(id, Slot::Active(ActiveShard { shard, sources }));
        self.report_ready();
        self.read_from(&starts)
    }

    /// Reports once that the first assignment is restored.
    pub(super) fn report_ready(&mut self) {
        if self.topology.is_known()
            && self.shards.values().all(|slot| slot.active().is_some())
            && self.has_joined
            && let Some(ready) = self.ready.take()
        {
            ready();
        }
    }

    pub(super) fn revoked(&mut self, sources: &[PartitionId]) -> Result<(), MemberError> {
        info!(worker = %self.owner, partitions = sources.len(), "Partitions revoked.");
        self.group.rebalanced();
        self.commit_revoked(sources);
        self.release(sources)
    }

    pub(super) fn lost(&mut self, sources: &[PartitionId]) -> Result<(), MemberError> {
        if self.member.were_deleted(sources) {
            warn!(
                worker = %self.owner, partitions = sources.len(),
                "The input topic of these partitions was deleted; its records that were not committed are lost."
            );
        } else {
            warn!(
                worker = %self.owner,
                partitions = sources.len(),
                "Partitions lost: for longer than kafka.session_timeout no heartbeat of this worker reached the brokers, \
                 so other members may have them. The uncommitted input is read again."
            );
        }
        self.group.rebalanced();
        self.release(sources)
    }

    /// Drops the shards of these partitions and gives the partitions up.
    fn release(&mut self, sources: &[PartitionId]) -> Result<(), MemberError> {
        let mut read = Vec::new();
        for source in sources {
            self.assigned_partitions.remove(source);
            self.failing.remove(source);
            self.failures.ended(*source);
            if !self.topology.is_shard(*source) {
                continue;
            }
            if let Some(Slot::Active(active)) = self.shards.remove(source) {
                read.extend(active.sources);
            }
            self.telemetry.remove_table(*source);
        }
        self.paused.retain(|source| !read.contains(source));
        self.member.give_up(&read)
    }
}
