//! What a worker reads: which partitions, from where, and which of them wait.

use std::collections::BTreeSet;
use std::time::Duration;

use daemon_log::PartitionId;
use tracing::info;

use super::slot::{Slot, Working};
use super::{LOOK_INTERVAL, Worker};
use crate::member::{Member, MemberError};
use crate::shard::Shard;

impl<M: Member> Worker<M> {
    pub(super) fn read_new_partitions(&mut self) -> Result<(), MemberError> {
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

    /// Begins to read these anew. If that fails some may be read and others not: all their shards start over, so that
    /// none is forgotten.
    pub(super) fn read_from(&mut self, starts: &[(PartitionId, Option<u64>)]) -> Result<(), MemberError> {
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

    pub(super) fn skip_what_is_gone(&mut self) -> Result<(), MemberError> {
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

    /// Lets time pass for the shards of which the cluster, asked now, has nothing more. Of a source that is paused this
    /// is not asked, so a shard that waits for a sink is not quiet.
    pub(super) fn pass_idle_time(&mut self, now: Duration) -> Result<(), MemberError> {
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
                shard.confirm_at_end(now, settings);
            }
            for source in sources.iter() {
                hold(member, *source, waits || shard.is_full(*source), paused)?;
            }
        }
        Ok(())
    }
}

/// Pauses an input partition, because it is far ahead of the others of its shard or all wait for a sink, or lets it go
/// on.
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
