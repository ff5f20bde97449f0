//! A [`Member`] of the simulated cluster. Between any two steps of its commit the worker may freeze, be killed, or be
//! fenced.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use daemon_log::PartitionId;

use crate::member::{Change, CheckedIds, Ends, Incoming, Member, MemberError, ShardCommit};
use crate::simulator::Mutation;
use crate::simulator::world::World;
use crate::topic_id::TopicId;

/// A worker's member of the simulated group.
pub(super) struct SimulatedMember {
    pub world: Rc<World>,
    pub client: usize,
    pub transactional_id: usize,
    /// Whether the producer can begin another transaction.
    pub is_ready: bool,
}

fn aborted(reason: &str) -> MemberError {
    MemberError::Aborted { reason: reason.to_owned() }
}

impl SimulatedMember {
    fn is_dead(&self) -> bool {
        self.world.coordinator.borrow().clients[self.client].is_dead
    }

    /// A point between two steps at which faults occur.
    ///
    /// # Errors
    ///
    /// When the worker was killed.
    fn pause_here(&self) -> Result<(), MemberError> {
        if self.world.has_faults() && self.world.random.once_in(25) {
            self.world.freeze(self.client);
        }
        if self.world.has_faults() && self.world.random.once_in(400) {
            self.world.kill(self.client);
        }
        if self.is_dead() { Err(aborted("killed")) } else { Ok(()) }
    }

    /// Fails now and then, as a request to the brokers does.
    fn request(&self, operation: &'static str) -> Result<(), MemberError> {
        if self.is_dead() || self.world.has_faults() && self.world.random.once_in(50) {
            return Err(MemberError::Unreachable { operation, reason: "no response".to_owned() });
        }
        Ok(())
    }

    fn attempt(&mut self, transaction: usize, commits: &[ShardCommit]) -> Result<(), MemberError> {
        let world = Rc::clone(&self.world);
        for commit in commits {
            if !world.brokers.borrow().is_open(transaction) {
                return Err(aborted("the producer is fenced"));
            }
            world.brokers.borrow_mut().write(transaction, commit);
            self.pause_here()?;
        }
        if !world.may_commit(self.client) {
            world.tally.borrow_mut().fenced += 1;
            return Err(aborted("not of the current generation"));
        }
        if !world.brokers.borrow().is_open(transaction) {
            return Err(aborted("the producer is fenced"));
        }
        world.brokers.borrow_mut().send_offsets(transaction, commits);
        self.pause_here()?;
        if world.has_faults() && world.random.once_in(30) {
            world.tally.borrow_mut().transient += 1;
            return Err(aborted("a transient failure"));
        }
        if !world.brokers.borrow().is_open(transaction) {
            return Err(aborted("the producer is fenced"));
        }
        world.brokers.borrow_mut().prepare(transaction);
        self.pause_here()?;
        if world.has_faults() && world.random.once_in(60) {
            world.tally.borrow_mut().unknown += 1;
            return Err(aborted("the response was lost"));
        }
        Ok(())
    }
}

impl Member for SimulatedMember {
    fn poll(
        &mut self,
        _: Duration,
        apply: &mut dyn FnMut(PartitionId, &[Incoming<'_>]),
    ) -> Result<Option<Change>, MemberError> {
        if self.is_dead() {
            return Ok(None);
        }
        for (partition, sent) in self.world.fetch(self.client) {
            let incoming: Vec<_> = sent
                .iter()
                .map(|it| Incoming {
                    offset: it.offset,
                    at: self.world.kinds.has_broker_time.then_some(it.at),
                    key: &it.key,
                    payload: &it.payload,
                })
                .collect();
            apply(PartitionId::new(0, partition), &incoming);
        }
        let mut coordinator = self.world.coordinator.borrow_mut();
        if !self.world.has_faults() || !self.world.random.once_in(4) {
            coordinator.deliver(self.client);
        }
        match coordinator.next_change(self.client) {
            Some(Change::Lost(_)) if self.world.mutation == Mutation::KeepLostTables => {
                coordinator.given_up(self.client);
                Ok(None)
            }
            change => Ok(change),
        }
    }

    fn read_from(&mut self, starts: &[(PartitionId, Option<u64>)]) -> Result<(), MemberError> {
        for (id, offset) in starts {
            self.request("reading")?;
            let brokers = self.world.brokers.borrow();
            let client = &mut self.world.coordinator.borrow_mut().clients[self.client];
            let oldest = brokers.inputs[usize::from(id.partition)].first;
            client.reading.insert(id.partition, offset.unwrap_or(oldest));
            client.paused.remove(&id.partition);
            client.blind.remove(&id.partition);
        }
        Ok(())
    }

    fn stop_reading(&mut self, partitions: &[PartitionId]) -> Result<(), MemberError> {
        let client = &mut self.world.coordinator.borrow_mut().clients[self.client];
        client.reading.retain(|partition, _| !partitions.iter().any(|id| id.partition == *partition));
        Ok(())
    }

    fn pause(&mut self, id: PartitionId, pause: bool) -> Result<(), MemberError> {
        let paused = &mut self.world.coordinator.borrow_mut().clients[self.client].paused;
        if pause {
            paused.insert(id.partition)
        } else {
            paused.remove(&id.partition)
        };
        Ok(())
    }

    fn accept(&mut self) -> Result<(), MemberError> {
        self.world.coordinator.borrow_mut().accepted(self.client);
        Ok(())
    }

    fn give_up(&mut self, read: &[PartitionId]) -> Result<(), MemberError> {
        self.stop_reading(read)?;
        self.world.coordinator.borrow_mut().given_up(self.client);
        Ok(())
    }

    fn check_ids(&mut self, applied: &BTreeMap<u16, TopicId>) -> CheckedIds {
        match self.request("requesting the id of a topic") {
            Ok(()) => CheckedIds::default(),
            Err(error) => {
                CheckedIds { unknown: applied.keys().copied().collect(), error: Some(error), ..CheckedIds::default() }
            }
        }
    }

    fn commit(&mut self, commits: &[ShardCommit]) -> Result<(), MemberError> {
        self.pause_here()?;
        let world = Rc::clone(&self.world);
        if !std::mem::replace(&mut self.is_ready, true) {
            world.brokers.borrow_mut().init_producer(self.transactional_id);
        }
        let transaction = world.brokers.borrow_mut().begin(self.transactional_id);
        let done = self.attempt(transaction, commits);
        if done.is_err() && !self.is_dead() {
            // A fenced producer is replaced; any other aborts its transaction, if it can.
            self.is_ready = world.random.once_in(2);
            if self.is_ready {
                world.brokers.borrow_mut().abort(transaction);
            }
        }
        world.tally.borrow_mut().commits += u64::from(done.is_ok());
        done
    }

    fn ends(&mut self, partitions: &[PartitionId]) -> Result<Ends, MemberError> {
        self.request("requesting end offsets")?;
        let brokers = self.world.brokers.borrow();
        let client = &mut self.world.coordinator.borrow_mut().clients[self.client];
        if self.world.has_faults() && self.world.random.once_in(15) {
            client.blind.extend(partitions.get(self.world.random.below(partitions.len())).map(|id| id.partition));
            self.world.tally.borrow_mut().blind += 1;
        }
        let offsets: BTreeMap<_, _> =
            partitions.iter().map(|id| (*id, brokers.inputs[usize::from(id.partition)].next)).collect();
        let is_read = |id: &PartitionId, end: u64| {
            let position = client.reading.get(&id.partition).filter(|_| !client.blind.contains(&id.partition));
            position.is_some_and(|position| *position >= end)
        };
        let reached = offsets.iter().filter(|(id, end)| is_read(id, **end)).map(|(id, _)| *id).collect();
        Ok(Ends { offsets, reached, in_transaction: BTreeSet::new() })
    }

    fn first_offsets(&mut self, partitions: &[PartitionId]) -> Result<Vec<(PartitionId, u64)>, MemberError> {
        self.request("requesting the first offsets")?;
        let brokers = self.world.brokers.borrow();
        Ok(partitions.iter().map(|id| (*id, brokers.inputs[usize::from(id.partition)].first)).collect())
    }

    fn out_of_range(&mut self, cursors: &[(PartitionId, u64)]) -> Result<Vec<(PartitionId, u64)>, MemberError> {
        if !self.world.coordinator.borrow().clients[self.client].out_of_range {
            return Ok(Vec::new());
        }
        self.request("requesting the first and the last offset")?;
        let brokers = self.world.brokers.borrow();
        let mut deleted = Vec::new();
        for (id, cursor) in cursors {
            let input = &brokers.inputs[usize::from(id.partition)];
            if !(input.first..=input.next).contains(cursor) {
                deleted.push((*id, input.first));
            }
        }
        self.world.coordinator.borrow_mut().clients[self.client].out_of_range = false;
        Ok(deleted)
    }
}

impl Drop for SimulatedMember {
    fn drop(&mut self) {
        let mut coordinator = self.world.coordinator.borrow_mut();
        if !std::mem::replace(&mut coordinator.clients[self.client].is_dead, true) {
            coordinator.leave(self.client);
        }
    }
}
