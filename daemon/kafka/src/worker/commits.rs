//! What a worker commits: windows that close, and one transaction for all that is due.

use std::collections::BTreeSet;
use std::time::Duration;

use daemon_log::{LogError, PartitionId};
use daemon_partition::{CLOSED_PER_ITERATION, Due};
use daemon_results::block::declared_rows;
use tracing::{debug, warn};

use super::Worker;
use super::slot::{Slot, Working};
use crate::member::{Member, MemberError, ShardCommit};
use crate::shard::LINGER;

/// States and results that go into one transaction, about.
const TRANSACTION_BYTES: u64 = 64 * 1024 * 1024;

impl<M: Member> Worker<M> {
    /// Commits what these have: the last chance to do so. Of a partition whose window is closing the next owner reads
    /// again what came since the last commit.
    pub(super) fn finish(&mut self, sources: &[PartitionId]) {
        let now = self.clock.monotonic();
        let going: BTreeSet<_> = sources.iter().copied().collect();
        let mut commits = Vec::new();
        for (id, slot) in &mut self.shards {
            if let Slot::Working(working) = slot
                && going.contains(id)
                && working.shard.is_due(now, Due { all: true, linger: Duration::ZERO, interval: Duration::ZERO })
                && let Ok(commit) = working.shard.prepare_commit(&self.owner, now)
            {
                commits.push(commit);
            }
        }
        if let Err(error) = self.write(&commits) {
            warn!(%error, "The last commit of revoked partitions failed; the next owner reads their input again.");
        }
    }

    /// Closes more of the windows that are closing, one shard after the other, as long as their results fit into one
    /// transaction: it goes first, and its results are out while the others are made.
    pub(super) fn close_windows(&mut self, now: Duration) {
        let mut left = CLOSED_PER_ITERATION;
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

    pub(super) fn is_closing(&self) -> bool {
        self.working().any(|it| it.shard.is_closing())
    }

    fn pending_bytes(&self) -> u64 {
        self.working().map(|it| it.shard.pending_bytes() as u64).sum()
    }

    /// Commits the shards that are due; all that have anything when `all`. Those of a transaction that failed are
    /// restored.
    pub(super) fn commit(&mut self, all: bool) {
        let now = self.clock.monotonic();
        let due = Due { all, linger: self.linger(), interval: self.settings.commit_interval };
        let (mut commits, mut bytes, mut failed) = (Vec::new(), 0, Vec::new());
        let is_due = |slot: &Slot| matches!(slot, Slot::Working(it) if it.shard.is_due(now, due));
        let ids: Vec<_> = self.shards.iter().filter(|(_, slot)| is_due(slot)).map(|(id, _)| *id).collect();
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
    pub(super) fn start_over(&mut self, shards: &[PartitionId]) {
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
        let records = commits.iter().flat_map(|commit| commit.results.records());
        let results = records.map(|(_, record)| declared_rows(record)).sum();
        let dead_letters = commits.iter().map(|commit| commit.dead_letters.len() as u64).sum();
        self.telemetry.committed(results, self.clock.monotonic().saturating_sub(began));
        self.group.dead_lettered(dead_letters);
        self.publish();
        Ok(())
    }
}

fn size(commit: &ShardCommit) -> u64 {
    let state = commit.state.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len));
    state.sum::<usize>() as u64 + commit.results.bytes()
}
