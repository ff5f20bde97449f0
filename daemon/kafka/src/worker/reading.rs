//! The input of a worker: which partitions it reads, from which offsets, and which of them are paused.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use daemon_log::PartitionId;
use tracing::{info, warn};

use super::slot::{ActiveShard, Slot};
use super::{CHECK_INTERVAL, Worker};
use crate::member::{Ends, Member, MemberError};
use crate::shard::Shard;

/// The age of the last poll of the topics from which on an idle shard requests another one: its windows close that much
/// later.
pub(crate) const MAX_POLL_AGE: Duration = Duration::from_millis(2_500);

impl<M: Member> Worker<M> {
    /// Restores the shards whose input topic was created again; they begin at the start of the new one. What they have
    /// applied since their last commit may be of either topic, and is not committed. If the new one has fewer partitions,
    /// some shards have no input any more, and rest.
    pub(super) fn leave_topics_created_again(&mut self) {
        for (id, slot) in &mut self.shards {
            if let Slot::Active(ActiveShard { shard, .. }) = slot {
                shard.adopt_input_id(self.topology.input_id(id.stream));
            }
        }
        let is_other = |id: &PartitionId, it: &ActiveShard| {
            let shape = self.topology.shape(id.stream);
            let has_no_input = shape.inputs > 0 && self.topology.source_count(*id) == 0;
            has_no_input || it.shard.is_of_other_topic(shape.input_id)
        };
        let active = self.shards.iter().filter_map(|(id, slot)| Some((id, slot.active()?)));
        let others: Vec<_> = active.filter(|(id, it)| is_other(id, it)).map(|(id, _)| *id).collect();
        if !others.is_empty() {
            self.restore_again(&others);
        }
    }

    /// Reads the partitions that were added to the input topics of active shards.
    pub(super) fn read_new_partitions(&mut self) -> Result<(), MemberError> {
        let mut starts = Vec::new();
        for (id, slot) in &mut self.shards {
            let Slot::Active(active) = slot else { continue };
            if self.topology.source_count(*id) == active.sources.len() {
                continue;
            }
            let sources = self.topology.sources(*id);
            let new: Vec<_> = sources.iter().copied().filter(|source| !active.sources.contains(source)).collect();
            if !new.is_empty() {
                info!(partition = %id, ?new, "The input topic has more partitions; this worker reads the new ones of its shards.");
                starts.extend(new.into_iter().map(|source| (source, None)));
                active.sources = sources;
            }
        }
        if starts.is_empty() { Ok(()) } else { self.read_from(&starts) }
    }

    /// Reads these partitions from their offsets. After an error some are read and others are not, so all their shards
    /// are restored again.
    pub(super) fn read_from(&mut self, starts: &[(PartitionId, Option<u64>)]) -> Result<(), MemberError> {
        let begun = self.begin_reading(starts);
        if begun.is_err() {
            let shards: BTreeSet<_> = starts.iter().filter_map(|(source, _)| self.topology.shard_of(*source)).collect();
            self.restore_again(&shards.into_iter().collect::<Vec<_>>());
        }
        begun
    }

    /// Reads these partitions, and pauses them if all input is paused. An error may leave some of them unread.
    fn begin_reading(&mut self, starts: &[(PartitionId, Option<u64>)]) -> Result<(), MemberError> {
        let starts = &self.find_beginnings(starts)?[..];
        self.member.read_from(starts)?;
        let pauses = self.backpressure.is_on();
        for (source, _) in starts {
            self.paused.remove(source);
            set_paused(&mut self.member, *source, pauses, &mut self.paused)?;
        }
        Ok(())
    }

    /// Finds the first offsets of partitions that are read for the first time, if their shards have samples or others get
    /// some: what retention deleted there is marked, and one without records is known to be at its end.
    fn find_beginnings(
        &mut self,
        starts: &[(PartitionId, Option<u64>)],
    ) -> Result<Vec<(PartitionId, Option<u64>)>, MemberError> {
        let matters = |source: PartitionId| {
            let slot = self.topology.shard_of(source).and_then(|shard| self.shards.get(&shard));
            slot.and_then(Slot::active).is_some_and(|it| it.shard.has_samples() || it.sources.len() > 1)
        };
        let new = starts.iter().filter(|(source, next)| next.is_none() && matters(*source));
        let new: Vec<_> = new.map(|(source, _)| *source).collect();
        let first: BTreeMap<_, _> = self.member.first_offsets(&new)?.into_iter().collect();
        first.iter().filter(|(_, first)| **first > 0).for_each(|(source, first)| self.skip(*source, *first));
        Ok(starts.iter().map(|(source, next)| (*source, next.or_else(|| first.get(source).copied()))).collect())
    }

    fn skip(&mut self, source: PartitionId, first: u64) {
        let shard = self.topology.shard_of(source).and_then(|shard| self.shards.get_mut(&shard));
        if let Some(active) = shard.and_then(Slot::active_mut) {
            active.shard.skip_to(source, first);
        }
    }

    /// Moves the cursors that are out of range to the oldest record.
    pub(super) fn skip_deleted_input(&mut self) -> Result<(), MemberError> {
        let cursors: Vec<_> = self.active().flat_map(ActiveShard::next_offsets).collect();
        let mut deleted = self.member.out_of_range(&cursors)?;
        // The topics may have been polled meanwhile: these offsets are of another topic than what the shard has applied.
        deleted.retain(|(source, _)| !self.is_of_other_topic(*source));
        deleted.iter().for_each(|(source, first)| self.skip(*source, *first));
        let starts: Vec<_> = deleted.into_iter().map(|(source, first)| (source, Some(first))).collect();
        if starts.is_empty() { Ok(()) } else { self.read_from(&starts) }
    }

    /// Whether the shard of an input partition has applied records of another topic than the current one.
    fn is_of_other_topic(&self, source: PartitionId) -> bool {
        let slot = self.topology.shard_of(source).and_then(|shard| self.shards.get(&shard));
        let current = self.topology.input_id(source.stream);
        slot.and_then(Slot::active).is_some_and(|it| it.shard.is_of_other_topic(current))
    }

    /// Advances the event time of the idle shards whose input partitions are all at their ends. A paused partition is
    /// not polled for its end, so a shard whose input is paused is not idle. Partitions that were added since the last
    /// poll of the topics may have samples, so the shard was idle until that poll.
    pub(super) fn advance_idle_shards(&mut self, now: Duration) -> Result<(), MemberError> {
        let Self { member, shards, settings, topology, paused, backpressure, .. } = self;
        let pauses_all = backpressure.is_on();
        let is_idle = |shard: &Shard| shard.has_held() || shard.idle(now) >= CHECK_INTERVAL;
        let idle = shards.values().filter_map(Slot::active).filter(|it| is_idle(&it.shard));
        let asked: Vec<_> = idle.flat_map(|it| &it.sources).filter(|it| !paused.contains(it)).copied().collect();
        let ends = member.ends(&asked)?;
        for (id, slot) in shards {
            let Slot::Active(ActiveShard { shard, sources }) = slot else { continue };
            shard.close_gaps(sources, &ends);
            if shard.has_held() {
                if shard.apply_held(sources, &ends.reached, topology.complete_as_of(*id, sources), now) {
                    topology.request();
                }
            } else if is_idle(shard) && sources.iter().all(|source| ends.reached.contains(source)) {
                let as_of = topology.complete_as_of(*id, sources);
                shard.confirm_at_end(now, as_of, settings);
                if now.saturating_sub(as_of) >= MAX_POLL_AGE {
                    topology.request();
                }
            }
            for source in sources.iter() {
                set_paused(member, *source, pauses_all || shard.is_full(*source), paused)?;
            }
        }
        self.read_silent_again(&asked, &ends, now)
    }

    /// Pauses the input partitions that have reached the limit of held records, and asks at once for what they wait for:
    /// until the next check more would come than memory is for, or less than the worker could apply.
    pub(super) fn relieve_full(&mut self, now: Duration) -> Result<(), MemberError> {
        let Self { member, shards, paused, .. } = self;
        let mut is_any_full = false;
        for ActiveShard { shard, sources } in shards.values().filter_map(Slot::active) {
            for source in sources.iter().filter(|source| shard.is_full(**source)) {
                is_any_full = true;
                set_paused(member, *source, true, paused)?;
            }
        }
        if is_any_full { self.advance_idle_shards(now) } else { Ok(()) }
    }

    /// Reads those of the `asked` partitions again that have been silent for too long, and are not at their ends: the
    /// client does not fetch them for a reason that it does not say, and held records of others wait for theirs.
    fn read_silent_again(&mut self, asked: &[PartitionId], ends: &Ends, now: Duration) -> Result<(), MemberError> {
        let mut starts = Vec::new();
        for source in asked {
            let is_accounted_for = ends.reached.contains(source) || ends.in_transaction.contains(source);
            if is_accounted_for || self.paused.contains(source) {
                self.silences.end(*source);
            } else if self.silences.is_too_long(*source, now)
                && let Some(shard) = self.topology.shard_of(*source)
                && let Some(Slot::Active(active)) = self.shards.get(&shard)
            {
                starts.push((*source, active.shard.next_offset(*source)));
            }
        }
        for (source, next) in &starts {
            warn!(
                partition = %source, next,
                "An input partition yields no records and is not known to be at its end; it is read again from its next \
                 offset."
            );
        }
        if starts.is_empty() { Ok(()) } else { self.read_from(&starts) }
    }
}

/// Pauses an input partition that is far ahead of the others of its shard, or because a sink lags; or resumes it.
fn set_paused(
    member: &mut impl Member,
    source: PartitionId,
    pause: bool,
    paused: &mut BTreeSet<PartitionId>,
) -> Result<(), MemberError> {
    if pause == paused.contains(&source) {
        return Ok(());
    }
    member.pause(source, pause)?;
    if pause {
        paused.insert(source);
    } else {
        paused.remove(&source);
    }
    Ok(())
}
