//! Restoring shards on a thread of its own, while the worker goes on with the others.
//!
//! # When is a state complete?
//!
//! The owner before may have died, or may hang, in the middle of a transaction. Its offsets were accepted, if at all,
//! before this member was given the partition, and everything else of the transaction was on the brokers by then. So
//! the end of the state topic *with* open transactions, asked now, lies behind all that may still take effect; and once
//! the end *without* open transactions has reached it, everything that took effect can be read. The broker aborts what
//! was left open after `kafka.transaction_timeout`; a worker that starts again under its old name does it at once.
//!
//! # The state of a newer program
//!
//! While a group is upgraded, a shard may come to a member of the older program. To replay its input would erase what
//! the newer one can still read: the shard waits until the group gives it to another member.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use daemon_base::clock::Clock;
use daemon_base::failpoint;
use daemon_log::{LogError, PartitionId};
use daemon_partition::PartitionTable;
use daemon_partition::StreamPlan;
use proxy_uve::{SnapshotError, TableSettings};
use tracing::{error, info, warn};

use crate::shard::Shard;
use crate::state::{self, Saved, StateRecords};
use crate::telemetry::{GroupTelemetry, RestoreProgress};

/// How long to wait before the cluster is asked again after it failed.
const RETRY: Duration = Duration::from_secs(1);

/// Reads states; the real one reads the state topics.
pub(crate) trait StateStore: Send {
    /// The records of these partitions of one stream's states, each complete as the module says.
    ///
    /// # Errors
    ///
    /// In words for the log; it is tried again.
    fn read(
        &mut self,
        stream: u16,
        partitions: &[u16],
        progress: &RestoreProgress,
    ) -> Result<BTreeMap<u16, StateRecords>, String>;
}

/// What came of it.
pub(crate) struct Restored {
    pub id: PartitionId,
    /// Which of the worker's requests this answers.
    pub ticket: u64,
    pub shard: Box<Shard>,
}

/// Shards that are asked for, each under a ticket.
pub(crate) type Asked = Vec<(PartitionId, u64)>;

/// Asks for shards and takes them when they are ready.
pub(crate) struct Restorer {
    requests: Sender<Asked>,
    restored: Receiver<Restored>,
}

/// What a shard is made of besides its records.
#[derive(Clone)]
pub(crate) struct Materials {
    pub streams: Vec<Arc<StreamPlan>>,
    pub table: TableSettings,
    /// The size of the blocks of results.
    pub block_bytes: usize,
    pub telemetry: Arc<GroupTelemetry>,
    pub clock: Arc<dyn Clock>,
}

impl Restorer {
    /// Starts the thread. It ends when the restorer is dropped and what it is at is done.
    pub(crate) fn start(store: impl StateStore + 'static, materials: Materials) -> std::io::Result<Self> {
        let (requests, asked) = channel();
        let (done, restored) = channel();
        let restoring = Restoring { store, materials, done };
        thread::Builder::new().name("restore".to_owned()).spawn(move || restoring.run(&asked))?;
        Ok(Self { requests, restored })
    }

    /// One without a thread: a test takes the requests and answers them when it likes.
    #[cfg(test)]
    pub(crate) fn by_hand() -> (Self, Receiver<Asked>, Sender<Restored>) {
        let (requests, asked) = channel();
        let (done, restored) = channel();
        (Self { requests, restored }, asked, done)
    }

    /// Asks for these.
    pub(crate) fn ask(&self, shards: Asked) {
        // The thread outlives the restorer.
        let _ = self.requests.send(shards);
    }

    /// One that is ready.
    pub(crate) fn next(&self) -> Option<Restored> {
        self.restored.try_recv().ok()
    }
}

struct Restoring<S> {
    store: S,
    materials: Materials,
    done: Sender<Restored>,
}

impl<S: StateStore> Restoring<S> {
    fn run(mut self, asked: &Receiver<Asked>) {
        while let Ok(mut shards) = asked.recv() {
            // What was asked meanwhile goes along: one reading for all partitions of a stream.
            shards.extend(asked.try_iter().flatten());
            let mut by_stream: BTreeMap<u16, BTreeMap<u16, u64>> = BTreeMap::new();
            for (id, ticket) in shards {
                by_stream.entry(id.stream).or_default().insert(id.partition, ticket);
            }
            for (stream, tickets) in by_stream {
                if !self.restore(stream, &tickets) {
                    return;
                }
            }
        }
    }

    /// Restores shards of one stream, however long it takes; `false` when nobody waits any more.
    fn restore(&mut self, stream: u16, tickets: &BTreeMap<u16, u64>) -> bool {
        let partitions: Vec<u16> = tickets.keys().copied().collect();
        let Some(plan) = self.materials.streams.get(usize::from(stream)).cloned() else { return true };
        info!(stream = %plan.name, partitions = partitions.len(), "Restoring.");
        let began = self.materials.clock.monotonic();
        let progress = self.materials.telemetry.restoring(partitions.len());
        let mut records = loop {
            match self.store.read(stream, &partitions, &progress) {
                Ok(records) => break records,
                Err(reason) => {
                    warn!(stream = %plan.name, %reason, "States cannot be read; trying again.");
                    thread::sleep(RETRY);
                }
            }
        };
        failpoint::point("restore.mid");
        let mut objects = 0;
        for (&partition, &ticket) in tickets {
            let id = PartitionId::new(stream, partition);
            let shard = match self.materials.build(id, &plan, &records.remove(&partition).unwrap_or_default()) {
                Ok(shard) => shard,
                Err(error) => {
                    error!(stream = %plan.name, %error, "The partition waits until the group gives it to a newer program.");
                    continue;
                }
            };
            objects += shard.objects();
            progress.one_done();
            if self.done.send(Restored { id, ticket, shard: Box::new(shard) }).is_err() {
                return false;
            }
        }
        let took = self.materials.clock.monotonic().saturating_sub(began);
        self.materials.telemetry.restored(took);
        info!(stream = %plan.name, partitions = tickets.len(), objects, seconds = took.as_secs_f64(), "Restored.");
        true
    }
}

impl Materials {
    /// The shard that these records tell of; a new one if they cannot be used.
    ///
    /// # Errors
    ///
    /// [`LogError::NewerState`], which is the only state that is not given up.
    pub(crate) fn build(
        &self,
        id: PartitionId,
        plan: &Arc<StreamPlan>,
        records: &StateRecords,
    ) -> Result<Shard, LogError> {
        let fresh = || PartitionTable::new(Arc::clone(plan), self.table, self.block_bytes);
        let reason = match state::decode(records) {
            Ok(None) => return Ok(Shard::new(id, fresh(), Saved::default(), Vec::new())),
            Ok(Some(saved)) => match self.table(plan, &saved) {
                Ok(table) => {
                    if let Some(states) = table.restored() {
                        states.log(id, &plan.name);
                    }
                    return Ok(Shard::new(id, table, saved, Vec::new()));
                }
                Err(error) if error.is_from_newer_program() => {
                    return Err(LogError::NewerState { partition: id, reason: error.to_string() });
                }
                Err(error) => error.to_string(),
            },
            Err(reason) => reason,
        };
        error!(
            stream = %plan.name, partition = id.partition, %reason,
            "The saved state cannot be used; the partition replays its retained input."
        );
        Ok(Shard::new(id, fresh(), Saved::default(), state::erase(records)))
    }

    fn table(&self, plan: &Arc<StreamPlan>, saved: &Saved) -> Result<PartitionTable, SnapshotError> {
        let chunks = saved.chunks.iter().map(|(chunk, bytes)| (*chunk, bytes.as_slice()));
        let (plan, cursors) = (Arc::clone(plan), saved.head.cursors.clone());
        PartitionTable::restore(plan, self.table, self.block_bytes, &saved.head.meta, chunks, cursors)
    }
}

#[cfg(test)]
mod tests {
    use daemon_base::clock::SystemClock;
    use daemon_log::Digests;
    use proxy_uve::schema::Schema;
    use proxy_uve::{Plan, StreamName};

    use super::*;
    use crate::state::Head;

    /// Partition 0 has the state of a newer program, 1 a damaged one, 2 none.
    struct Store;

    impl StateStore for Store {
        fn read(
            &mut self,
            _: u16,
            partitions: &[u16],
            _: &RestoreProgress,
        ) -> Result<BTreeMap<u16, StateRecords>, String> {
            let head = |version| Head { meta: vec![version; 20], ..Head::default() };
            let written = |version| state::encode(&head(version), Vec::new(), &mut Digests::default());
            let records = |version: u8| written(version).into_iter().filter_map(|(key, value)| Some((key, value?)));
            let all = [(0, records(200).collect()), (1, records(2).collect()), (2, StateRecords::default())];
            Ok(all.into_iter().filter(|(partition, _)| partitions.contains(partition)).collect())
        }
    }

    #[test]
    fn the_state_of_a_newer_program_waits_for_one_and_holds_up_nothing() {
        let stream = StreamName::new("UveVirtualNetworkAgent", "egress_flow_count").unwrap();
        let types = [Arc::clone(Schema::builtin().get("AggProxySum").unwrap())];
        let plan = StreamPlan { name: stream.to_string(), plan: Arc::new(Plan::new(stream, &types)) };
        let materials = Materials {
            streams: vec![Arc::new(plan)],
            table: TableSettings::default(),
            block_bytes: 1024,
            telemetry: Arc::default(),
            clock: Arc::new(SystemClock::new()),
        };
        let Restorer { requests, restored } = Restorer::start(Store, materials).unwrap();
        requests.send((0..3).map(|partition| (PartitionId::new(0, partition), 7)).collect()).unwrap();
        drop(requests);
        // The thread ends when it has done all that was asked.
        let mut restored = restored.iter().collect::<Vec<_>>();
        let found: Vec<_> = restored.iter().map(|it| (it.id.partition, it.ticket)).collect();
        assert_eq!(found, [(1, 7), (2, 7)]);
        let erased = restored[0].shard.prepare_commit("worker", Duration::ZERO).unwrap().state;
        assert!(erased.iter().any(|(key, value)| key == b"h" && value.is_some()), "the damaged one starts anew");
    }
}
