//! The group coordinator of the fake cluster, and what a client's background thread does for its member.
//!
//! A rebalance waits until every member has answered what it was told and can be reached; one that cannot is expelled
//! when its session ends. Cooperative: a partition is revoked in one generation and given in the next. Eager: all give
//! up everything first. A client learns of its generation, and of its expulsion, later than the coordinator decides it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use daemon_log::PartitionId;

use crate::member::Change;
use crate::simulator::random::Random;

/// A member that was not heard of for this long is expelled.
const SESSION: Duration = Duration::from_secs(10);

/// The client of one worker.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// Whether the coordinator counts it as a member.
    pub is_member: bool,
    /// Whether it knows that it is none.
    knows_expulsion: bool,
    /// The generation that it believes in.
    pub generation: u64,
    /// What the coordinator gave it and did not get back.
    owned: BTreeSet<u16>,
    /// Decided, but not here yet.
    arriving: Vec<Change>,
    /// Here, but not polled yet.
    waiting: VecDeque<Change>,
    /// Polled, but not answered yet.
    asked: Option<Change>,
    /// Where it reads.
    pub reading: BTreeMap<u16, u64>,
    pub paused: BTreeSet<u16>,
    /// It was told that an offset is gone.
    pub out_of_range: bool,
    /// The whole process stands still, its background threads too.
    pub is_silent: bool,
    /// It was killed.
    pub is_dead: bool,
    last_heard: Duration,
}

/// The group.
pub(super) struct Coordinator {
    pub clients: Vec<Client>,
    pub generation: u64,
    is_eager: bool,
    wants_rebalance: bool,
    /// In an eager group: all were told to give up everything.
    gave_up: bool,
    turn: usize,
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
            gave_up: false,
            turn: 0,
            expelled: 0,
        }
    }

    /// A new member; its number.
    pub(super) fn join(&mut self, now: Duration) -> usize {
        self.clients.push(Client { is_member: true, last_heard: now, ..Client::default() });
        self.ask_for_rebalance(1);
        self.clients.len() - 1
    }

    /// Begins a rebalance in which everything moves by `turn` places.
    pub(super) fn ask_for_rebalance(&mut self, turn: usize) {
        self.turn += turn;
        self.wants_rebalance = true;
        self.gave_up = false;
    }

    pub(super) fn leave(&mut self, client: usize) {
        if std::mem::take(&mut self.clients[client].is_member) {
            self.ask_for_rebalance(1);
        }
    }

    /// The coordinator counts it no more; its client hears of it if it can.
    pub(super) fn expel(&mut self, client: usize) {
        if self.clients[client].is_member {
            self.expelled += 1;
            self.leave(client);
            self.hear(client);
        }
    }

    /// Heartbeats, and the end of sessions without.
    pub(super) fn beat(&mut self, now: Duration) {
        for number in 0..self.clients.len() {
            let client = &mut self.clients[number];
            if !client.is_silent && !client.is_dead {
                client.last_heard = now;
                self.hear(number);
            } else if now.saturating_sub(client.last_heard) > SESSION {
                self.expel(number);
            }
        }
    }

    /// What the background thread of a client does when it runs: it learns of its generation or of its expulsion.
    pub(super) fn hear(&mut self, number: usize) {
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
                if let Change::Assigned(never_given) = change {
                    never_given.iter().for_each(|id| {
                        client.owned.remove(&id.partition);
                    });
                }
            }
            let mut lost = client.owned.clone();
            for told in client.waiting.iter().chain(&client.asked) {
                if let Change::Revoked(going) | Change::Lost(going) = told {
                    going.iter().for_each(|id| {
                        lost.remove(&id.partition);
                    });
                }
            }
            client.waiting.push_back(Change::Lost(ids(&lost)));
        } else if client.waiting.is_empty() && client.asked.is_none() {
            client.owned.clear();
            client.knows_expulsion = false;
            client.is_member = true;
            // Until it hears of one.
            client.generation = 0;
            self.ask_for_rebalance(0);
        }
    }

    /// The next change for the worker of a client.
    pub(super) fn next_change(&mut self, number: usize) -> Option<Change> {
        let client = &mut self.clients[number];
        if client.asked.is_none() {
            client.asked = client.waiting.pop_front();
            return client.asked.clone();
        }
        None
    }

    /// The worker answered that it took what was given.
    pub(super) fn accepted(&mut self, number: usize) {
        self.clients[number].asked = None;
    }

    /// The worker answered that it let go.
    pub(super) fn given_up(&mut self, number: usize) {
        let client = &mut self.clients[number];
        if let Some(Change::Revoked(gone) | Change::Lost(gone)) = client.asked.take() {
            gone.iter().for_each(|id| {
                client.owned.remove(&id.partition);
            });
            self.wants_rebalance |= client.is_member;
        }
    }

    /// A rebalance, or its next phase, if one is wanted and nobody is waited for.
    pub(super) fn rebalance(&mut self, partitions: u16, random: &Random) {
        let members: Vec<usize> = (0..self.clients.len()).filter(|it| self.clients[*it].is_member).collect();
        let is_free = |client: &Client| {
            let told = client.arriving.is_empty() && client.waiting.is_empty() && client.asked.is_none();
            told && !client.is_silent && !client.is_dead
        };
        if !self.wants_rebalance || members.is_empty() || !members.iter().all(|it| is_free(&self.clients[*it])) {
            return;
        }
        self.wants_rebalance = false;
        if self.is_eager && !std::mem::replace(&mut self.gave_up, true) {
            self.wants_rebalance = true;
            for &member in &members {
                let client = &mut self.clients[member];
                if !client.owned.is_empty() {
                    client.arriving.push(Change::Revoked(ids(&client.owned)));
                }
            }
            return;
        }
        self.gave_up = false;
        self.generation += 1;
        let taken: BTreeSet<u16> = members.iter().flat_map(|it| self.clients[*it].owned.iter().copied()).collect();
        for (place, &member) in members.iter().enumerate() {
            let client = &mut self.clients[member];
            let is_its = |it: &u16| (usize::from(*it) + self.turn) % members.len() == place;
            let going: BTreeSet<u16> = client.owned.iter().copied().filter(|it| !is_its(it)).collect();
            let coming: BTreeSet<u16> = (0..partitions).filter(|it| is_its(it) && !taken.contains(it)).collect();
            if !going.is_empty() {
                client.arriving.push(Change::Revoked(ids(&going)));
            }
            if !coming.is_empty() || random.once_in(4) {
                client.arriving.push(Change::Assigned(ids(&coming)));
            }
            client.owned.extend(coming);
        }
    }
}
