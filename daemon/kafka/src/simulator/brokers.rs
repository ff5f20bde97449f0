//! The brokers' part of the fake cluster: inputs, states, results, dead letters, offsets, and the transactions over
//! them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::{Clock as _, ManualClock};
use daemon_log::PartitionId;
use daemon_results::record::RecordReader;

use crate::member::{DeadLetter, ShardCommit};
use crate::simulator::Mutation;
use crate::state::StateRecords;

/// Partitions of the state topic, and of the input before it is grown.
pub(super) const SHARDS: u16 = 4;

/// After this long the broker aborts a transaction that was left open.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);

/// A record of an input partition.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub offset: u64,
    /// Microseconds, by the broker's clock.
    pub at: u64,
    pub key: Vec<u8>,
    pub payload: Vec<u8>,
}

/// An input partition. Offsets have gaps, as those of transactional producers do.
#[derive(Clone, Debug, Default)]
pub(super) struct Input {
    pub first: u64,
    pub next: u64,
    /// Everything that was ever sent; readers see it from `first` on.
    pub sent: Vec<Sent>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    Open,
    /// The end is decided and the producer knows it, but readers do not see it yet.
    Prepared,
    Committed,
    Aborted,
}

struct Transaction {
    producer: usize,
    phase: Phase,
    began: Duration,
    offsets: Vec<(PartitionId, u64)>,
}

/// Where a record stands: in a transaction, or outside of any.
type Inside = Option<usize>;

struct StateRecord {
    transaction: usize,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

pub(super) struct Brokers {
    clock: Arc<ManualClock>,
    mutation: Mutation,
    pub inputs: Vec<Input>,
    states: Vec<Vec<StateRecord>>,
    results: Vec<(Inside, Vec<u8>)>,
    dead_letters: Vec<(usize, DeadLetter)>,
    pub offsets: BTreeMap<u16, u64>,
    transactions: Vec<Transaction>,
    /// Transactions that the timeout ended.
    pub timed_out: u64,
}

impl Brokers {
    pub(super) fn new(clock: Arc<ManualClock>, mutation: Mutation) -> Self {
        Self {
            clock,
            mutation,
            inputs: vec![Input::default(); usize::from(SHARDS)],
            states: (0..SHARDS).map(|_| Vec::new()).collect(),
            results: Vec::new(),
            dead_letters: Vec::new(),
            offsets: BTreeMap::new(),
            transactions: Vec::new(),
            timed_out: 0,
        }
    }

    pub(super) fn append(&mut self, partition: usize, gap: u64, key: Vec<u8>, payload: Vec<u8>) {
        let at = daemon_base::clock::Clock::now_micros(&*self.clock);
        let input = &mut self.inputs[partition];
        let offset = input.next + gap;
        input.sent.push(Sent { offset, at, key, payload });
        input.next = offset + 1;
    }

    /// Whoever comes under the name of `producer` ends what its predecessor left.
    pub(super) fn init_producer(&mut self, producer: usize) {
        self.settle(|it| it.producer == producer);
        for transaction in self.transactions.iter_mut().filter(|it| it.producer == producer) {
            if transaction.phase == Phase::Open {
                transaction.phase = Phase::Aborted;
            }
        }
    }

    pub(super) fn begin(&mut self, producer: usize) -> usize {
        self.settle(|it| it.producer == producer);
        let began = self.clock.monotonic();
        self.transactions.push(Transaction { producer, phase: Phase::Open, began, offsets: Vec::new() });
        self.transactions.len() - 1
    }

    pub(super) fn is_open(&self, transaction: usize) -> bool {
        self.transactions[transaction].phase == Phase::Open
    }

    /// State, results and dead letters of one shard.
    pub(super) fn write(&mut self, transaction: usize, commit: &ShardCommit) {
        let state = &mut self.states[usize::from(commit.shard.partition)];
        for (key, value) in &commit.state {
            state.push(StateRecord { transaction, key: key.clone(), value: value.clone() });
        }
        let inside = (self.mutation != Mutation::ResultsOutside).then_some(transaction);
        let mut reader = RecordReader::default();
        for (_, record) in commit.results.records() {
            let read = reader.each(0, record, |_, result| {
                let mut line = Vec::new();
                result.write_line(&mut line);
                self.results.push((inside, line));
            });
            read.unwrap();
        }
        self.dead_letters.extend(commit.dead_letters.iter().map(|letter| (transaction, letter.clone())));
    }

    pub(super) fn send_offsets(&mut self, transaction: usize, commits: &[ShardCommit]) {
        let offsets = commits.iter().flat_map(|commit| commit.offsets.iter().copied());
        self.transactions[transaction].offsets.extend(offsets);
    }

    pub(super) fn abort(&mut self, transaction: usize) {
        if self.is_open(transaction) {
            self.transactions[transaction].phase = Phase::Aborted;
        }
    }

    /// Decides to commit; readers see it once it is [settled](Self::settle_all).
    pub(super) fn prepare(&mut self, transaction: usize) {
        self.transactions[transaction].phase = Phase::Prepared;
    }

    pub(super) fn settle_all(&mut self) {
        self.settle(|_| true);
    }

    fn settle(&mut self, which: impl Fn(&Transaction) -> bool) {
        for transaction in self.transactions.iter_mut().filter(|it| it.phase == Phase::Prepared && which(it)) {
            transaction.phase = Phase::Committed;
            self.offsets.extend(transaction.offsets.iter().map(|(id, next)| (id.partition, *next)));
        }
    }

    pub(super) fn abort_what_timed_out(&mut self) {
        let now = self.clock.monotonic();
        let open = self.transactions.iter_mut().filter(|it| it.phase == Phase::Open);
        for transaction in open.filter(|it| now.saturating_sub(it.began) > TRANSACTION_TIMEOUT) {
            transaction.phase = Phase::Aborted;
            self.timed_out += 1;
        }
    }

    /// The end of a shard's state with open transactions.
    pub(super) fn high_watermark(&self, shard: u16) -> usize {
        self.states[usize::from(shard)].len()
    }

    /// The end of a shard's state without open transactions.
    pub(super) fn stable_end(&self, shard: u16) -> usize {
        let records = &self.states[usize::from(shard)];
        let ended =
            |it: &StateRecord| matches!(self.transactions[it.transaction].phase, Phase::Committed | Phase::Aborted);
        records.iter().position(|it| !ended(it)).unwrap_or(records.len())
    }

    fn is_committed(&self, transaction: usize) -> bool {
        self.transactions[transaction].phase == Phase::Committed
    }

    /// What a reader of committed records gets of a shard's state.
    pub(super) fn state(&self, shard: u16) -> StateRecords {
        let mut records = StateRecords::default();
        let readable = &self.states[usize::from(shard)][..self.stable_end(shard)];
        for record in readable.iter().filter(|it| self.is_committed(it.transaction)) {
            match &record.value {
                Some(value) => drop(records.insert(record.key.clone(), value.clone())),
                None => drop(records.remove(&record.key)),
            }
        }
        records
    }

    /// The lines of the results that count, in the order of the log.
    pub(super) fn committed_results(&self) -> impl Iterator<Item = &[u8]> {
        let counts = |inside: &Inside| inside.is_none_or(|transaction| self.is_committed(transaction));
        self.results.iter().filter(move |(inside, _)| counts(inside)).map(|(_, line)| line.as_slice())
    }

    pub(super) fn committed_dead_letters(&self) -> impl Iterator<Item = &DeadLetter> {
        self.dead_letters.iter().filter(|(transaction, _)| self.is_committed(*transaction)).map(|(_, letter)| letter)
    }
}
