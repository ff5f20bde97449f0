//! The work of the restore thread: reads that are repeated until they succeed, and the shards that are built of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use std::time::Duration;

use daemon_base::failpoint;
use daemon_log::PartitionId;
use daemon_partition::{Heartbeat, StreamPlan, Written, WrittenReader};
use tracing::{error, info, warn};

use super::{NotRestored, RestoreRequest, Restored, ShardBuilder, StateStore};
use crate::partition_failures::PartitionFailures;
use crate::shard::Shard;
use crate::state_records::StateRecords;
use crate::telemetry::RestoreProgress;
use crate::topology::Topology;

/// How long to wait before a failed read of states is repeated.
const RETRY: Duration = Duration::from_secs(1);

/// The body of the restore thread.
pub(super) struct RestoreThread<S> {
    pub store: S,
    pub builder: ShardBuilder,
    pub topology: Arc<Topology>,
    pub failures: Arc<PartitionFailures>,
    pub heartbeat: Heartbeat,
    /// Where the restored shards go.
    pub done: Sender<Restored>,
}

impl<S: StateStore> RestoreThread<S> {
    /// Restores the shards of each request, until the sender of the requests or the receiver of the shards is dropped.
    pub(super) fn run(mut self, requests: &Receiver<RestoreRequest>) {
        loop {
            self.heartbeat.rest();
            let Ok(mut shards) = requests.recv() else { return };
            // Later requests that are queued already share one read of each stream's state topic.
            shards.extend(requests.try_iter().flatten());
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

    /// Reads the state records of shards, and retries until that succeeds.
    fn read(
        &mut self,
        stream: u16,
        name: &str,
        partitions: &[u16],
        progress: &RestoreProgress,
    ) -> BTreeMap<u16, StateRecords> {
        loop {
            match self.store.read(stream, partitions, progress) {
                Ok(records) => return records,
                Err(reason) => {
                    warn!(stream = %name, %reason, "States cannot be read; retrying.");
                    self.fail(stream, partitions, &reason);
                    thread::sleep(RETRY);
                }
            }
        }
    }

    fn fail(&self, stream: u16, partitions: &[u16], reason: &str) {
        self.heartbeat.beat();
        let now = self.builder.clock.monotonic();
        for partition in partitions {
            self.failures.failed(PartitionId::new(stream, *partition), now, reason);
        }
    }

    /// Whether the group has the claim of a state topic; without it this process ends. It is read again before each
    /// restore: the states may have been moved to another group while this process was frozen, before that group has
    /// committed any.
    fn has_claim(&mut self, stream: u16, partitions: &[u16]) -> bool {
        loop {
            match self.store.claim_problem(stream) {
                Ok(None) => return true,
                Ok(Some(problem)) => {
                    self.builder.admission.fail(|| format!("the state topic was taken over: {problem}"));
                    return false;
                }
                Err(reason) => {
                    warn!(%reason, "States cannot be read; retrying.");
                    self.fail(stream, partitions, &reason);
                    thread::sleep(RETRY);
                }
            }
        }
    }

    fn leave_to_newer(&self, id: PartitionId, stream: &str, error: &NotRestored) {
        // What failed before, if anything did, is over.
        self.failures.ended(id);
        error!(%stream, %error, "The partition is not restored until the group assigns it to a daemon of the newer version.");
    }

    /// Builds a shard of its records; `None` if this daemon is not to restore it. `written` is what the results have of the
    /// stream, once it was needed.
    fn build(
        &mut self,
        id: PartitionId,
        plan: &Arc<StreamPlan>,
        records: &StateRecords,
        written: &mut Option<BTreeMap<PartitionId, Written>>,
    ) -> Option<Shard> {
        let (input_id, shards) = (self.topology.input_id(id.stream), self.topology.shape(id.stream).shards);
        let builder = self.builder.clone();
        let mut of_results = || {
            let all = written.get_or_insert_with(|| self.read_results(id, plan, shards));
            all.remove(&id).unwrap_or_default()
        };
        match builder.build(id, plan, records, input_id, &mut of_results) {
            Ok(shard) => Some(builder.with_foreign(shard, id.stream, shards > 1)),
            Err(NotRestored::OtherConfiguration(reason)) => {
                warn!(
                    stream = %plan.name, partition = id.partition, %reason,
                    "The partition is not restored; this daemon leaves the group and waits."
                );
                builder.admission.close(reason);
                None
            }
            Err(error) => {
                self.leave_to_newer(id, &plan.name, &error);
                None
            }
        }
    }

    /// Reads what the results have of a stream, and retries until that succeeds.
    fn read_results(&mut self, id: PartitionId, plan: &Arc<StreamPlan>, shards: u16) -> BTreeMap<PartitionId, Written> {
        loop {
            let mut reader = WrittenReader::new([(id.stream, plan, shards)]);
            match self.store.results(&mut |offset, payload| reader.take(offset, payload)) {
                Ok(()) => return reader.into_found(),
                Err(reason) => {
                    warn!(stream = %plan.name, %reason, "The alarms of a lost state cannot be read from the results; retrying.");
                    self.fail(id.stream, &[id.partition], &reason);
                    thread::sleep(RETRY);
                }
            }
        }
    }

    /// Restores shards of one stream, and retries until that succeeds. Returns `false` if the worker has ended.
    fn restore(&mut self, stream: u16, tickets: &BTreeMap<u16, u64>) -> bool {
        let partitions: Vec<u16> = tickets.keys().copied().collect();
        let Some(plan) = self.builder.streams.get(usize::from(stream)).cloned() else { return true };
        info!(stream = %plan.name, partitions = partitions.len(), "Restoring partitions.");
        let began = self.builder.clock.monotonic();
        let progress = self.builder.telemetry.restoring(partitions.len());
        let mut records = self.read(stream, &plan.name, &partitions, &progress);
        if !self.has_claim(stream, &partitions) {
            return true;
        }
        self.heartbeat.beat();
        failpoint::point("restore.mid");
        let (mut objects, mut written) = (0, None);
        for (&partition, &ticket) in tickets {
            let id = PartitionId::new(stream, partition);
            let records = records.remove(&partition).unwrap_or_default();
            let Some(shard) = self.build(id, &plan, &records, &mut written) else { continue };
            self.heartbeat.beat();
            objects += shard.objects();
            progress.one_done();
            if self.done.send(Restored { id, ticket, shard: Box::new(shard) }).is_err() {
                return false;
            }
        }
        let took = self.builder.clock.monotonic().saturating_sub(began);
        self.builder.telemetry.restored(took);
        info!(stream = %plan.name, partitions = tickets.len(), objects, seconds = took.as_secs_f64(), "Partitions restored.");
        true
    }
}
