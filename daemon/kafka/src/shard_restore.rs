//! The restore thread: it restores shards from their state records, while the worker continues with its other shards.
//!
//! # When a state is complete
//!
//! The previous owner may have died, or may hang, in the middle of a transaction. The coordinator accepted its offsets,
//! if at all, before it assigned the partition to this member, and all other records of the transaction were on the
//! brokers before that. So the high watermark of the state partition, requested now, is after every record that may
//! still be committed. Once the last stable offset has reached it, all committed records can be read. The broker aborts
//! an abandoned transaction after `kafka.transaction_timeout`; a worker that restarts with the same transactional id
//! aborts it at once.
//!
//! # States of another configuration
//!
//! A shard whose state was committed with another configuration is restored only by a daemon with a higher version of
//! the configuration. Any other daemon would drop the states of types that it does not have; it closes its admission.
//!
//! # A topic that was created again
//!
//! The state has the id of the input topic that its cursors are of. If the topic has another id now, the cursors are of
//! records that do not exist any more: the shard begins at the oldest record of the new topic. It keeps all objects and
//! detectors, and the time until the first sample is unknown.
//!
//! # States of a newer version
//!
//! During an upgrade of a group, a shard may be assigned to a member of the older version. If it replayed the input, it
//! would overwrite a state that the newer version can read. So the shard is not restored until the group assigns it to
//! another member.

mod builder;
mod restore_thread;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use daemon_log::PartitionId;
use daemon_partition::Heartbeat;

pub(crate) use self::builder::{NotRestored, ShardBuilder};
use self::restore_thread::RestoreThread;
use crate::partition_failures::PartitionFailures;
use crate::shard::Shard;
use crate::state_records::StateRecords;
use crate::telemetry::RestoreProgress;
use crate::topology::Topology;

/// Reads the state records of shards.
pub(crate) trait StateStore: Send {
    /// Returns the complete state records of these partitions of one stream; the module's documentation defines when a
    /// state is complete.
    ///
    /// # Errors
    ///
    /// When the records cannot be read now; the error is the reason for the log, and the caller retries.
    fn read(
        &mut self,
        stream: u16,
        partitions: &[u16],
        progress: &RestoreProgress,
    ) -> Result<BTreeMap<u16, StateRecords>, String>;

    /// Passes on each record of the results that are committed by now, with its offset.
    ///
    /// # Errors
    ///
    /// When they cannot be read now.
    fn results(&mut self, _take: &mut dyn FnMut(u64, &[u8])) -> Result<(), String> {
        Ok(())
    }

    /// Reads the claim of a stream's state topic; returns the problem, with its fix, if another group has it.
    ///
    /// # Errors
    ///
    /// When it cannot be read now.
    fn claim_problem(&mut self, _stream: u16) -> Result<Option<String>, String> {
        Ok(None)
    }
}

/// A restored shard.
pub(crate) struct Restored {
    pub id: PartitionId,
    /// The number of the worker's request.
    pub ticket: u64,
    pub shard: Box<Shard>,
}

/// The shards to restore, each with the number of its request.
pub(crate) type RestoreRequest = Vec<(PartitionId, u64)>;

/// The worker's handle of the restore thread.
pub(crate) struct Restorer {
    requests: Sender<RestoreRequest>,
    restored: Receiver<Restored>,
    /// `None` in the simulator, which has no thread.
    thread: Option<JoinHandle<()>>,
}

impl Restorer {
    /// Starts the thread. It ends when the restorer is dropped and the restore in progress is complete.
    pub(crate) fn start(
        store: impl StateStore + 'static,
        builder: ShardBuilder,
        topology: Arc<Topology>,
        failures: Arc<PartitionFailures>,
        heartbeat: Heartbeat,
    ) -> std::io::Result<Self> {
        let (requests, received) = channel();
        let (done, restored) = channel();
        let thread = RestoreThread { store, builder, topology, failures, heartbeat, done };
        let thread = thread::Builder::new().name("restore".to_owned()).spawn(move || thread.run(&received))?;
        Ok(Self { requests, restored, thread: Some(thread) })
    }

    /// A restorer without a thread: a test receives the requests and sends the restored shards.
    #[cfg(test)]
    pub(crate) fn without_thread() -> (Self, Receiver<RestoreRequest>, Sender<Restored>) {
        let (requests, received) = channel();
        let (done, restored) = channel();
        (Self { requests, restored, thread: None }, received, done)
    }

    /// Requests the restore of shards.
    pub(crate) fn request(&self, shards: RestoreRequest) {
        // The thread outlives the restorer.
        let _ = self.requests.send(shards);
    }

    /// Whether the thread has ended, which only a panic makes it do while the restorer exists.
    pub(crate) fn has_died(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Takes a shard that is restored, if there is one.
    pub(crate) fn next(&self) -> Option<Restored> {
        self.restored.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use daemon_base::clock::SystemClock;
    use daemon_base::observation::Observations;
    use daemon_partition::StreamPlan;
    use proxy_uve::schema::Schema;
    use proxy_uve::{Plan, StreamName, TableSettings};

    use super::*;
    use crate::digests::Digests;
    use crate::state_records::{self, Head};

    /// Partition 0 has the state of a newer version, 1 a damaged one, 2 none.
    struct Store;

    impl StateStore for Store {
        fn read(
            &mut self,
            _: u16,
            partitions: &[u16],
            _: &RestoreProgress,
        ) -> Result<BTreeMap<u16, StateRecords>, String> {
            let head = |version| Head { meta: vec![version; 20], ..Head::default() };
            let written = |version| state_records::encode(&head(version), Vec::new(), &mut Digests::default());
            let records = |version: u8| written(version).into_iter().filter_map(|(key, value)| Some((key, value?)));
            let all = [(0, records(200).collect()), (1, records(2).collect()), (2, StateRecords::default())];
            Ok(all.into_iter().filter(|(partition, _)| partitions.contains(partition)).collect())
        }
    }

    #[test]
    fn a_state_of_a_newer_version_is_kept_and_does_not_block_other_partitions() {
        let stream = StreamName::new("UveVirtualNetworkAgent", "egress_flow_count").unwrap();
        let types = [Arc::clone(Schema::builtin().get("AggProxySum").unwrap())];
        let plan = StreamPlan::new(Arc::new(Plan::new(stream, &types)), &Observations::default());
        let builder = ShardBuilder {
            streams: vec![Arc::new(plan)],
            table: TableSettings::default(),
            block_bytes: 1024,
            telemetry: Arc::default(),
            clock: Arc::new(SystemClock::new()),
            configuration: crate::configuration::Configuration::default(),
            admission: Arc::default(),
            foreign: Vec::new(),
        };
        let Restorer { requests, restored, .. } =
            Restorer::start(Store, builder, Arc::default(), Arc::default(), Heartbeat::default()).unwrap();
        requests.send((0..3).map(|partition| (PartitionId::new(0, partition), 7)).collect()).unwrap();
        drop(requests);
        // The thread ends after it has handled all requests.
        let mut restored = restored.iter().collect::<Vec<_>>();
        let found: Vec<_> = restored.iter().map(|it| (it.id.partition, it.ticket)).collect();
        assert_eq!(found, [(1, 7), (2, 7)]);
        let erased = restored[0].shard.prepare_commit("worker", Duration::ZERO).unwrap().state;
        assert!(erased.iter().any(|(key, value)| key == b"h" && value.is_some()), "the damaged state is replaced");
    }
}
