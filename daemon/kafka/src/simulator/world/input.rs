//! The input of the simulated cluster: producers, fetches, more partitions, and retention.

use std::rc::Rc;
use std::time::Duration;

use daemon_base::clock::Clock as _;

use crate::simulator::brokers::{Input, SHARDS, Sent};

use super::World;

/// How much older than its arrival a sample may be: less than the allowed lateness, so that none is late.
const JITTER: u64 = 5_000_000;

/// How far ahead of its arrival a record of the future is, in microseconds.
const DAY: u64 = 86_400_000_000;

impl World {
    /// One of the two producers sends some records, a few of them malformed.
    pub(super) fn produce(&self) {
        for _ in 0..1 + self.random.below(6) {
            let producer = self.random.below(2);
            if self.grown.get().is_some() && self.random.once_in(30) {
                self.producers.borrow_mut()[producer] = self.brokers.borrow().inputs.len() as u16;
            }
            let partitions = self.producers.borrow()[producer];
            let key = format!("ObjectVNTable:vn{}", self.random.below(12)).into_bytes();
            let partition = proxy_uve::partition(&key, u32::from(partitions)) as usize;
            let at = self.clock.now_micros() - self.random.between(0, JITTER);
            let value = self.random.below(1000);
            let (key, payload) = match self.random.below(40) {
                0 => (key, b"not a sample".to_vec()),
                1 => (Vec::new(), format!("{{\"ts\":{at},\"value\":{value}}}").into_bytes()),
                2 => (key, format!("{{\"ts\":{at},\"value\":-1}}").into_bytes()),
                3 => (key, format!("{{\"ts\":{},\"value\":{value}}}", at + DAY).into_bytes()),
                _ => (key, format!("{{\"ts\":{at},\"value\":{value}}}").into_bytes()),
            };
            let gap = u64::from(self.random.once_in(10));
            self.brokers.borrow_mut().append(partition, gap, key, payload);
        }
    }

    /// Doubles the partitions of the input topic, once in a schedule.
    pub(super) fn grow(self: &Rc<Self>) {
        if self.kinds.grows && self.grown.get().is_none() {
            self.grown.set(Some(self.clock.monotonic()));
            let mut brokers = self.brokers.borrow_mut();
            let inputs = brokers.inputs.len() * 2;
            brokers.inputs.resize_with(inputs, Input::default);
            drop(brokers);
            self.coordinator.borrow_mut().request_rebalance(0);
            self.tally.borrow_mut().growths += 1;
            if self.random.once_in(2) {
                self.collect_backlog();
            }
        }
    }

    /// All daemons stop or freeze, and producers that know the new partitions send samples of many minutes before one
    /// starts or goes on.
    fn collect_backlog(self: &Rc<Self>) {
        let until = self.clock.monotonic() + Duration::from_secs(1_000);
        let freezes = self.random.once_in(2);
        for process in self.running() {
            match freezes {
                true => self.processes.borrow_mut()[process].frozen_until = until,
                false => self.stop(process),
            }
        }
        *self.producers.borrow_mut() = [self.brokers.borrow().inputs.len() as u16; 2];
        for _ in 0..200 {
            self.pass(Duration::from_secs(5));
            self.produce();
        }
        self.tally.borrow_mut().backlogs += 1;
        self.start();
    }

    /// Retention deletes the oldest records of a partition, applied or not.
    pub(super) fn delete_input(&self) {
        if !self.kinds.deletes_input {
            return;
        }
        let mut brokers = self.brokers.borrow_mut();
        brokers.settle_all();
        let partition = self.random.below(brokers.inputs.len());
        let committed = brokers.offsets.get(&(partition as u16)).copied().unwrap_or(0);
        let input = &mut brokers.inputs[partition];
        let first = self.random.between(input.first, input.next);
        let unread =
            input.sent.iter().map(|it| it.offset).filter(|it| (input.first.max(committed)..first).contains(it));
        let unread: Vec<u64> = unread.collect();
        if first > committed {
            self.gaps.borrow_mut().insert(partition as u16 % SHARDS);
        }
        input.first = first;
        self.tally.borrow_mut().deletions += u64::from(!unread.is_empty());
        self.deleted_unread.borrow_mut().extend(unread.into_iter().map(|offset| (partition as u16, offset)));
    }

    /// The records that a poll of this client returns, in runs of one partition.
    pub(in crate::simulator) fn fetch(&self, client: usize) -> Vec<(u16, Vec<Sent>)> {
        let brokers = self.brokers.borrow();
        let client = &mut self.coordinator.borrow_mut().clients[client];
        let mut fetched = Vec::new();
        for (partition, position) in &mut client.reading {
            let input = &brokers.inputs[usize::from(*partition)];
            if *position < input.first {
                client.out_of_range = true;
                continue;
            }
            if client.paused.contains(partition) || self.has_faults() && self.random.once_in(3) {
                continue;
            }
            let most = if self.has_faults() { 1 + self.random.below(12) } else { 1000 };
            let from = input.sent.partition_point(|it| it.offset < *position);
            let run = &input.sent[from..input.sent.len().min(from + most)];
            *position = if from + run.len() == input.sent.len() {
                input.next
            } else {
                run.last().map_or(*position, |last| last.offset + 1)
            };
            if !run.is_empty() {
                fetched.push((*partition, run.to_vec()));
            }
        }
        fetched
    }
}
