//! The group coordinator of the simulated cluster, and the background thread of each member's client.
//!
//! A rebalance waits until every member can be reached and has acknowledged its last change; a member that cannot be
//! reached is expelled when its session ends. In a cooperative group a partition is revoked in one generation and
//! assigned in the next. In an eager group all members give up everything first. A client learns its generation, and
//! its expulsion, later than the coordinator decides it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use daemon_log::PartitionId;

use crate::member::Change;
use crate::simulator::random::Random;

/// A member without a heartbeat for this long is expelled.
const SESSION: Duration = Duration::from_secs(10);

/// The client of one worker, with the coordinator's record of it.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// Whether the coordinator counts it as a member.
    pub is_member: bool,
    /// Whether the client has learned that it is expelled.
    knows_expulsion: bool,
    /// The generation that the client has learned last.
    pub generation: u64,
    /// The partitions that the coordinator assigned to it and did not get back.
    owned: BTreeSet<u16>,
    /// Changes that the coordinator decided and the client has not received.
    arriving: Vec<Change>,
    /// Changes that the client has received and the worker has not polled.
    waiting: VecDeque<Change>,
    /// The change that the worker has polled and not acknowledged.
    unacknowledged: Option<Change>,
    /// The partitions that are read, with the next offset of each.
    pub reading: BTreeMap<u16, u64>,
    pub paused: BTreeSet<u16>,
    /// The partitions whose end the client does not see until they are read again.
    pub blind: BTreeSet<u16>,
    /// Whether a fetch found an offset out of range.
    pub out_of_range: bool,
    /// Whether the whole process is frozen, with its background threads.
    pub is_silent: bool,
    /// Whether the process was killed.
    pub is_dead: bool,
    last_heartbeat: Duration,
}

/// The coordinator of the group.
pub(super) struct Coordinator {
    pub clients: Vec<Client>,
    pub generation: u64,
    is_eager: bool,
    wants_rebalance: bool,
    /// In an eager group: whether all members were sent the change to give up everything.
    is_giving_up: bool,
    /// By how many members the assignment is rotated.
    rotation: usize,
    /// Members that were expelled.
    pub expelled: u64,
}

fn ids(partitions: &BTreeSet<u16>) -> Vec<PartitionId> {
    partitions.iter().map(|partition| PartitionId::new(0, *partition)).collect()
}

impl Coordinator {
    pub(super) fn new(is_eager: bool) -> Self {
        Self {
            clients: Vec::new(),
            generation: 1,
            is_eager,
            wants_rebalance: false,
            is_giving_up: false,
            rotation: 0,
            expelled: 0,
        }
    }

    /// Adds a member and returns its number.
    pub(super) fn join(&mut self, now: Duration) -> usize {
        self.clients.push(Client { is_member: true, last_heartbeat: now, ..Client::default() });
        self.request_rebalance(1);
        self.clients.len() - 1
    }

    /// Requests a rebalance that rotates the assignment by `rotation` members.
    pub(super) fn request_rebalance(&mut self, rotation: usize) {
        self.rotation += rotation;
        self.wants_rebalance = true;
        self.is_giving_up = false;
    }

    /// Removes a member from the group.
    pub(super) fn leave(&mut self, client: usize) {
        if std::mem::take(&mut self.clients[client].is_member) {
            self.request_rebalance(1);
        }
    }

    /// Expels a member; its client learns that at once if it is running.
    pub(super) fn expel(&mut self, client: usize) {
        if self.clients[client].is_member {
            self.expelled += 1;
            self.leave(client);
            self.deliver(client);
        }
    }

    /// Takes the heartbeats of running clients, and expels those whose session has ended.
    pub(super) fn heartbeat(&mut self, now: Duration) {
        for number in 0..self.clients.len() {
            let client = &mut self.clients[number];
            if !client.is_silent && !client.is_dead {
                client.last_heartbeat = now;
                self.deliver(number);
            } else if now.saturating_sub(client.last_heartbeat) > SESSION {
                self.expel(number);
            }
        }
    }

    /// Runs the background thread of a client: it learns its generation or its expulsion, and rejoins after one.
    pub(super) fn deliver(&mut self, number: usize) {
        let client = &mut self.clients[number];
        if client.is_silent || client.is_dead {
            return;
        }
        if client.is_member {
            client.generation = self.generation;
            client.waiting.extend(client.arriving.drain(..));
        } else if !client.knows_expulsion {
            client.knows_expulsion = true;
            for change in client.arriving.drain(..) {
                if let Change::Assigned(undelivered) = change {
                    undelivered.iter().for_each(|id| {
                        client.owned.remove(&id.partition);
                    });
                }
            }
            let mut lost = client.owned.clone();
            for change in client.waiting.iter().chain(&client.unacknowledged) {
                if let Change::Revoked(leaving) | Change::Lost(leaving) = change {
                    leaving.iter().for_each(|id| {
                        lost.remove(&id.partition);
                    });
                }
            }
            client.waiting.push_back(Change::Lost(ids(&lost)));
        } else if client.waiting.is_empty() && client.unacknowledged.is_none() {
            client.owned.clear();
            client.knows_expulsion = false;
            client.is_member = true;
            // The generation is unknown until the rebalance.
            client.generation = 0;
            self.request_rebalance(0);
        }
    }

    /// The next change for the worker of a client.
    pub(super) fn next_change(&mut self, number: usize) -> Option<Change> {
        let client = &mut self.clients[number];
        if client.unacknowledged.is_none() {
            client.unacknowledged = client.waiting.pop_front();
            return client.unacknowledged.clone();
        }
        None
    }

    /// The worker has acknowledged an assignment.
    pub(super) fn accepted(&mut self, number: usize) {
        self.clients[number].unacknowledged = None;
    }

    /// The worker has acknowledged a revocation or a loss.
    pub(super) fn given_up(&mut self, number: usize) {
        let client = &mut self.clients[number];
        if let Some(Change::Revoked(given_up) | Change::Lost(given_up)) = client.unacknowledged.take() {
            given_up.iter().for_each(|id| {
                client.owned.remove(&id.partition);
            });
            self.wants_rebalance |= client.is_member;
        }
    }

    /// Runs a rebalance or its next phase, if one is requested and every member is ready.
    pub(super) fn rebalance(&mut self, partitions: u16, random: &Random) {
        let members: Vec<usize> = (0..self.clients.len()).filter(|it| self.clients[*it].is_member).collect();
        let is_ready = |client: &Client| {
            let has_no_change =
                client.arriving.is_empty() && client.waiting.is_empty() && client.unacknowledged.is_none();
            has_no_change && !client.is_silent && !client.is_dead
        };
        if !self.wants_rebalance || members.is_empty() || !members.iter().all(|it| is_ready(&self.clients[*it])) {
            return;
        }
        self.wants_rebalance = false;
        if self.is_eager && !std::mem::replace(&mut self.is_giving_up, true) {
            self.wants_rebalance = true;
            for &member in &members {
                let client = &mut self.clients[member];
                if !client.owned.is_empty() {
                    client.arriving.push(Change::Revoked(ids(&client.owned)));
                }
            }
            return;
        }
        self.is_giving_up = false;
        self.generation += 1;
        let taken: BTreeSet<u16> = members.iter().flat_map(|it| self.clients[*it].owned.iter().copied()).collect();
        for (index, &member) in members.iter().enumerate() {
            let client = &mut self.clients[member];
            let is_assigned = |it: &u16| (usize::from(*it) + self.rotation) % members.len() == index;
            let revoked: BTreeSet<u16> = client.owned.iter().copied().filter(|it| !is_assigned(it)).collect();
            let coming: BTreeSet<u16> = (0..partitions).filter(|it| is_assigned(it) && !taken.contains(it)).collect();
            if !revoked.is_empty() {
                client.arriving.push(Change::Revoked(ids(&revoked)));
            }
            if !coming.is_empty() || random.once_in(4) {
                client.arriving.push(Change::Assigned(ids(&coming)));
            }
            client.owned.extend(coming);
        }
    }
}
