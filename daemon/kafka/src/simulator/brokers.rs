//! The brokers of the simulated cluster: inputs, states, results, dead letters, offsets, and their transactions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::{Clock as _, ManualClock};
use daemon_log::PartitionId;
use daemon_results::record::RecordReader;

use crate::member::{DeadLetter, ShardCommit};
use crate::simulator::Mutation;
use crate::state_records::StateRecords;

/// Partitions of the state topic, and of the input before it is grown.
pub(super) const SHARDS: u16 = 4;

/// The age at which the broker aborts an open transaction.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);

/// A record of an input partition.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub offset: u64,
    /// The timestamp of the broker, in microseconds since the epoch.
    pub at: u64,
    pub key: Vec<u8>,
    pub payload: Vec<u8>,
}

/// An input partition. Its offsets have gaps, as with transactional producers.
#[derive(Clone, Debug, Default)]
pub(super) struct Input {
    pub first: u64,
    pub next: u64,
    /// All records ever sent; readers get those from `first` on.
    pub sent: Vec<Sent>,
}

/// The phase of a transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    Open,
    /// The coordinator has decided to commit and the producer has its response; readers do not see the records yet.
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

/// The transaction of a record; `None` outside of any.
type Inside = Option<usize>;

struct StateRecord {
    transaction: usize,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

/// The brokers of the simulated cluster.
pub(super) struct Brokers {
    clock: Arc<ManualClock>,
    mutation: Mutation,
    pub inputs: Vec<Input>,
    states: Vec<Vec<StateRecord>>,
    results: Vec<(Inside, Vec<u8>)>,
    dead_letters: Vec<(usize, DeadLetter)>,
    pub offsets: BTreeMap<u16, u64>,
    transactions: Vec<Transaction>,
    /// Transactions that were aborted by their timeout.
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

    /// Appends a record to an input partition, `gap` offsets after its end.
    pub(super) fn append(&mut self, partition: usize, gap: u64, key: Vec<u8>, payload: Vec<u8>) {
        let at = daemon_base::clock::Clock::now_micros(&*self.clock);
        let input = &mut self.inputs[partition];
        let offset = input.next + gap;
        input.sent.push(Sent { offset, at, key, payload });
        input.next = offset + 1;
    }

    /// Initializes a producer: completes or aborts the transactions of an earlier producer with the same transactional
    /// id.
    pub(super) fn init_producer(&mut self, producer: usize) {
        self.settle(|it| it.producer == producer);
        for transaction in self.transactions.iter_mut().filter(|it| it.producer == producer) {
            if transaction.phase == Phase::Open {
                transaction.phase = Phase::Aborted;
            }
        }
    }

    /// Begins a transaction and returns its number.
    pub(super) fn begin(&mut self, producer: usize) -> usize {
        self.settle(|it| it.producer == producer);
        let began = self.clock.monotonic();
        self.transactions.push(Transaction { producer, phase: Phase::Open, began, offsets: Vec::new() });
        self.transactions.len() - 1
    }

    /// Whether a transaction is neither committed nor aborted.
    pub(super) fn is_open(&self, transaction: usize) -> bool {
        self.transactions[transaction].phase == Phase::Open
    }

    /// Writes state, results and dead letters of one shard.
    pub(super) fn write(&mut self, transaction: usize, commit: &ShardCommit) {
        let state = &mut self.states[usize::from(commit.shard.partition)];
        for (key, value) in &commit.state {
            state.push(StateRecord { transaction, key: key.clone(), value: value.clone() });
        }
        let inside = (self.mutation != Mutation::ResultsOutsideTransaction).then_some(transaction);
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

    /// Adds offsets to a transaction.
    pub(super) fn send_offsets(&mut self, transaction: usize, commits: &[ShardCommit]) {
        let offsets = commits.iter().flat_map(|commit| commit.offsets.iter().copied());
        self.transactions[transaction].offsets.extend(offsets);
    }

    /// Aborts a transaction if it is open.
    pub(super) fn abort(&mut self, transaction: usize) {
        if self.is_open(transaction) {
            self.transactions[transaction].phase = Phase::Aborted;
        }
    }

    /// Decides to commit; readers see the records after [`settle_all`](Self::settle_all).
    pub(super) fn prepare(&mut self, transaction: usize) {
        self.transactions[transaction].phase = Phase::Prepared;
    }

    /// Completes every transaction whose commit is decided.
    pub(super) fn settle_all(&mut self) {
        self.settle(|_| true);
    }

    fn settle(&mut self, which: impl Fn(&Transaction) -> bool) {
        for transaction in self.transactions.iter_mut().filter(|it| it.phase == Phase::Prepared && which(it)) {
            transaction.phase = Phase::Committed;
            self.offsets.extend(transaction.offsets.iter().map(|(id, next)| (id.partition, *next)));
        }
    }

    /// Aborts every transaction that has been open for longer than its timeout.
    pub(super) fn abort_timed_out(&mut self) {
        let now = self.clock.monotonic();
        let open = self.transactions.iter_mut().filter(|it| it.phase == Phase::Open);
        for transaction in open.filter(|it| now.saturating_sub(it.began) > TRANSACTION_TIMEOUT) {
            transaction.phase = Phase::Aborted;
            self.timed_out += 1;
        }
    }

    /// The high watermark of a shard's state partition: the end with open transactions.
    pub(super) fn high_watermark(&self, shard: u16) -> usize {
        self.states[usize::from(shard)].len()
    }

    /// The last stable offset of a shard's state partition: the end without open transactions.
    pub(super) fn last_stable_offset(&self, shard: u16) -> usize {
        let records = &self.states[usize::from(shard)];
        let ended =
            |it: &StateRecord| matches!(self.transactions[it.transaction].phase, Phase::Committed | Phase::Aborted);
        records.iter().position(|it| !ended(it)).unwrap_or(records.len())
    }

    fn is_committed(&self, transaction: usize) -> bool {
        self.transactions[transaction].phase == Phase::Committed
    }

    /// The records of a shard's state that a reader with `read_committed` gets.
    pub(super) fn state(&self, shard: u16) -> StateRecords {
        let mut records = StateRecords::default();
        let readable = &self.states[usize::from(shard)][..self.last_stable_offset(shard)];
        for record in readable.iter().filter(|it| self.is_committed(it.transaction)) {
            match &record.value {
                Some(value) => drop(records.insert(record.key.clone(), value.clone())),
                None => drop(records.remove(&record.key)),
            }
        }
        records
    }

    /// The committed values of a key of a shard's state, in the order of the log.
    pub(super) fn committed_values<'b>(&'b self, shard: u16, key: &'b [u8]) -> impl Iterator<Item = &'b [u8]> {
        let records = self.states[usize::from(shard)].iter();
        let committed = records.filter(move |it| self.is_committed(it.transaction) && it.key == key);
        committed.filter_map(|it| it.value.as_deref())
    }

    /// The lines of the committed results, in the order of the log.
    pub(super) fn committed_results(&self) -> impl Iterator<Item = &[u8]> {
        let is_visible = |inside: &Inside| inside.is_none_or(|transaction| self.is_committed(transaction));
        self.results.iter().filter(move |(inside, _)| is_visible(inside)).map(|(_, line)| line.as_slice())
    }

    /// The committed dead letters, in the order of the log.
    pub(super) fn committed_dead_letters(&self) -> impl Iterator<Item = &DeadLetter> {
        self.dead_letters.iter().filter(|(transaction, _)| self.is_committed(*transaction)).map(|(_, letter)| letter)
    }
}
