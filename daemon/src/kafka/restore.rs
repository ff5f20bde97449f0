//! Restoring shards on a thread of its own, while the worker goes on with the others.
//!
//! # When is a state complete?
//!
//! The owner before may have died, or may hang, in the middle of a transaction. Its offsets were accepted, if at all,
//! before this member was given the partition, and everything else of the transaction was on the brokers by then. So the
//! end of the state topic *with* open transactions, asked now, lies behind all that may still take effect; and once the
//! end *without* open transactions has reached it, everything that took effect can be read. The broker aborts what was
//! left open after `kafka.transaction_timeout`; a worker that starts again under its old name does it at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use proxy_uve::{Table, TableSettings};
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::fault;
use crate::kafka::shard::Shard;
use crate::kafka::state::{self, Saved, StateRecords};
use crate::log::PartitionId;
use crate::restored::RestoredStates;
use crate::result_block::BlockSink;
use crate::telemetry::{RestoreProgress, Telemetry};
use crate::worker::StreamPlan;

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
    pub telemetry: Arc<Telemetry>,
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
        fault::point("restore.mid");
        let mut objects = 0;
        for (&partition, &ticket) in tickets {
            let id = PartitionId::new(stream, partition);
            let shard = self.materials.build(id, &plan, &records.remove(&partition).unwrap_or_default());
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
    pub(crate) fn build(&self, id: PartitionId, plan: &Arc<StreamPlan>, records: &StateRecords) -> Shard {
        let settings = self.table;
        let sink = || BlockSink::new(&plan.plan, self.block_bytes);
        let table = |saved: &Saved| {
            let chunks = saved.chunks.iter().map(|(chunk, bytes)| (*chunk, bytes.as_slice()));
            Table::restore_with_sink(Arc::clone(&plan.plan), settings, sink(), &saved.head.meta, chunks)
                .map_err(|error| error.to_string())
        };
        let fresh = || Table::with_sink(Arc::clone(&plan.plan), settings, sink());
        let restored =
            state::decode(records).and_then(|saved| saved.map(|saved| Ok((table(&saved)?, saved))).transpose());
        match restored {
            Ok(None) => Shard::new(id, Arc::clone(plan), fresh(), Saved::default(), Vec::new()),
            Ok(Some(((table, report), saved))) => {
                let states = RestoredStates::from(&report);
                states.log(id, &plan.name);
                Shard::new(id, Arc::clone(plan), table, saved, Vec::new()).restored(states)
            }
            Err(reason) => {
                error!(
                    stream = %plan.name, partition = id.partition, %reason,
                    "The saved state cannot be used; the partition replays its retained input."
                );
                Shard::new(id, Arc::clone(plan), fresh(), Saved::default(), state::erase(records))
            }
        }
    }
}
