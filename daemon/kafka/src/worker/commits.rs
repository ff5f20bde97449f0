//! The commits of a worker: it closes windows, and writes all due shards in one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use daemon_log::{LogError, PartitionId};
use daemon_partition::{CLOSED_PER_ITERATION, Due};
use daemon_results::block::declared_rows;
use tracing::{debug, warn};

use super::Worker;
use super::slot::{ActiveShard, Failing, Slot};
use crate::member::{CheckedIds, Member, MemberError, ShardCommit};
use crate::shard::LINGER;

/// The approximate size of a transaction: states and results together.
const TRANSACTION_BYTES: u64 = 64 * 1024 * 1024;

impl<M: Member> Worker<M> {
    /// Commits revoked partitions before they are given up. If a window of a partition is closing, the next owner reads
    /// the input since the last commit again.
    pub(super) fn commit_revoked(&mut self, sources: &[PartitionId]) {
        let now = self.clock.monotonic();
        let revoked: BTreeSet<_> = sources.iter().copied().collect();
        let mut commits = Vec::new();
        for (id, slot) in &mut self.shards {
            if let Slot::Active(active) = slot
                && revoked.contains(id)
                && !self.failing.contains_key(id)
                && active.shard.is_due(now, Due { all: true, linger: Duration::ZERO, interval: Duration::ZERO })
            {
                match active.shard.prepare_commit(&self.owner, now) {
                    Ok(commit) => commits.push(commit),
                    Err(error) => warn!(
                        partition = %id, %error,
                        "A revoked partition cannot be committed; the next owner reads its input again."
                    ),
                }
            }
        }
        if let Err(error) = self.write(&commits) {
            warn!(%error, "The last commit of revoked partitions failed; the next owner reads their input again.");
        }
    }

    /// Closes more objects of the windows that are closing, one shard after the other, until their results fill a
    /// transaction. It is committed then, so that readers get these results while the worker makes the others.
    pub(super) fn close_windows(&mut self) {
        let mut left = CLOSED_PER_ITERATION;
        let mut pending = self.pending_bytes();
        for ActiveShard { shard, .. } in self.shards.values_mut().filter_map(Slot::active_mut) {
            if !shard.is_closing() {
                continue;
            }
            let before = shard.pending_bytes();
            left = shard.close_more(left, &*self.clock, &self.telemetry);
            pending += (shard.pending_bytes() - before) as u64;
            if left == 0 || pending > TRANSACTION_BYTES {
                return;
            }
        }
    }

    /// How long results wait for further results. While windows are closing, a transaction is filled.
    fn linger(&self) -> Duration {
        match self.is_closing() {
            _ if self.pending_bytes() > TRANSACTION_BYTES => Duration::ZERO,
            true => Duration::MAX,
            false => LINGER,
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.active().any(|it| it.shard.is_closing())
    }

    fn pending_bytes(&self) -> u64 {
        self.active().map(|it| it.shard.pending_bytes() as u64).sum()
    }

    /// Commits the shards that are due; with `all`, every shard with changes. The shards of a failed transaction are
    /// restored.
    pub(super) fn commit(&mut self, all: bool) {
        let now = self.clock.monotonic();
        let due = Due { all, linger: self.linger(), interval: self.settings.commit_interval };
        let (mut commits, mut bytes, mut failed) = (Vec::new(), 0, Vec::new());
        let is_due = |slot: &Slot| matches!(slot, Slot::Active(it) if it.shard.is_due(now, due));
        let ids: Vec<_> = self.shards.iter().filter(|(_, slot)| is_due(slot)).map(|(id, _)| *id).collect();
        let unknown = self.check_inputs(&ids);
        let ids = ids.into_iter().filter(|id| !unknown.contains(&id.stream));
        let (failing, others): (Vec<_>, Vec<_>) = ids.partition(|id| self.failing.contains_key(id));
        for id in others {
            let Some(Slot::Active(active)) = self.shards.get_mut(&id) else { continue };
            match active.shard.prepare_commit(&self.owner, now) {
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
        if !all {
            self.commit_failing(&failing, now, &mut failed);
        }
        self.restore_failed(failed);
    }

    /// Commits one of the shards whose last commit has failed, the longest ago, in a transaction of its own: another shard
    /// must not fail because of it, and a transaction that fails may take `kafka.transaction_timeout`.
    fn commit_failing(&mut self, due: &[PartitionId], now: Duration, failed: &mut Vec<(PartitionId, LogError)>) {
        let failed_at = |id: &&PartitionId| self.failing.get(*id).map(|it| it.restores_at);
        let Some(&id) = due.iter().min_by_key(failed_at) else { return };
        let Some(Slot::Active(active)) = self.shards.get_mut(&id) else { return };
        match active.shard.prepare_commit(&self.owner, now) {
            Ok(commit) => self.commit_or_restore(&[commit]),
            Err(error) => failed.push((id, error)),
        }
    }

    /// Restores the shards whose input topic was created again since its records were applied, before the changes of any
    /// shard are taken: those of other streams are committed. Returns the streams of which that is not known now;
    /// nothing of them is committed, and nothing is lost.
    fn check_inputs(&mut self, due: &[PartitionId]) -> BTreeSet<u16> {
        let id = |shard: &PartitionId| Some((shard.stream, self.shards.get(shard)?.active()?.shard.input_id()?));
        let applied: BTreeMap<_, _> = due.iter().filter_map(id).collect();
        if applied.is_empty() {
            return BTreeSet::new();
        }
        let CheckedIds { is_any_other, unknown, error } = self.member.check_ids(&applied);
        if is_any_other {
            self.leave_topics_created_again();
        }
        if let Some(error) = error {
            warn!(%error, streams = unknown.len(), "A request of this worker to the cluster failed; retrying.");
            self.topology.doubt();
        }
        unknown
    }

    fn commit_or_restore(&mut self, commits: &[ShardCommit]) {
        let Err(error) = self.write(commits) else { return };
        warn!(
            worker = %self.owner, partitions = commits.len(), %error,
            "A transaction failed; its partitions are restored from the last commit and read on from there."
        );
        self.telemetry.log_failed();
        self.topology.doubt();
        let shards = commits.iter().map(|commit| (commit.shard, has_output(commit)));
        self.fail(shards.collect(), &error.to_string());
    }

    fn restore_failed(&mut self, failed: Vec<(PartitionId, LogError)>) {
        for (id, error) in failed {
            warn!(partition = %id, %error, "A result cannot be committed; the partition is restored.");
            self.fail(vec![(id, true)], &error.to_string());
        }
    }

    /// Drops shards that could not be committed, each with whether results or dead letters were a part of that, and
    /// restores them after a pause.
    fn fail(&mut self, mut shards: Vec<(PartitionId, bool)>, reason: &str) {
        let now = self.clock.monotonic();
        self.leave(&shards.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        // A shard that is not assigned any more is restored by its next owner.
        shards.retain(|(id, _)| self.assigned_partitions.contains(id));
        for (id, has_output) in shards {
            let restores_at = now + self.failures.failed(id, now, reason);
            let needs_output = has_output || self.failing.get(&id).is_some_and(|it| it.needs_output);
            self.failing.insert(id, Failing { restores_at, needs_output });
        }
        self.restore_assigned();
    }

    /// Ends the failures of the shards that were committed. Where results or dead letters could not be written, a commit
    /// without any shows nothing.
    fn end_failing(&mut self, commits: &[ShardCommit]) {
        for commit in commits {
            let ends = |failing: &Failing| !failing.needs_output || has_output(commit);
            if self.failing.get(&commit.shard).is_some_and(ends) {
                self.failing.remove(&commit.shard);
                self.failures.ended(commit.shard);
            }
        }
    }

    /// Drops these shards and requests their restore. If they are assigned to another member by now, the group sends a
    /// change.
    pub(super) fn restore_again(&mut self, shards: &[PartitionId]) {
        self.leave(shards);
        self.restore(shards);
    }

    /// Drops these shards and ends the reading of their input.
    fn leave(&mut self, shards: &[PartitionId]) {
        let read: Vec<_> = shards
            .iter()
            .filter_map(|id| self.shards.remove(id))
            .flat_map(|slot| match slot {
                Slot::Active(active) => active.sources,
                Slot::Restoring(_) => Vec::new(),
            })
            .collect();
        self.paused.retain(|source| !read.contains(source));
        if let Err(error) = self.member.stop_reading(&read) {
            debug!(%error, "Partitions that are restored could not be left first.");
        }
    }

    fn write(&mut self, commits: &[ShardCommit]) -> Result<(), MemberError> {
        if commits.is_empty() {
            return Ok(());
        }
        let began = self.clock.monotonic();
        self.heartbeat.beat();
        self.member.commit(commits)?;
        self.heartbeat.beat();
        self.end_failing(commits);
        let records = commits.iter().flat_map(|commit| commit.results.records());
        let results = records.map(|(_, record)| declared_rows(record)).sum();
        let dead_letters = commits.iter().map(|commit| commit.dead_letters.len() as u64).sum();
        self.telemetry.committed(results, self.clock.monotonic().saturating_sub(began));
        self.group.dead_lettered(dead_letters);
        self.letters.committed(commits, &self.topics, self.clock.monotonic());
        self.publish();
        Ok(())
    }
}

/// Whether a commit has records for the topics that all streams share.
fn has_output(commit: &ShardCommit) -> bool {
    !commit.results.is_empty() || !commit.dead_letters.is_empty()
}

fn size(commit: &ShardCommit) -> u64 {
    let state = commit.state.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len));
    state.sum::<usize>() as u64 + commit.results.bytes()
}
