//! The restore of shards in steps, so that a schedule can put other events between them.

use daemon_log::PartitionId;
use daemon_partition::Written;

use crate::shard_restore::{NotRestored, Restored};
use crate::simulator::Mutation;
use crate::state_records::{CONFIGURATION, StateRecords};

use super::processes::Process;
use super::{World, stream};

/// How far the restore of a shard is.
enum Stage {
    Requested,
    /// The high watermark was read, and the last stable offset has to reach it.
    Waiting(usize),
    Read(StateRecords),
}

/// A restore in progress.
pub(super) struct PendingRestore {
    id: PartitionId,
    ticket: u64,
    stage: Stage,
}

impl World {
    /// One restore step of a random process.
    pub(super) fn restore_any(&self) {
        if let Some(process) = self.any_running() {
            self.restore(process);
        }
    }

    /// One step of a process's restore thread; returns whether there was one.
    pub(super) fn restore(&self, process: usize) -> bool {
        let mut processes = self.processes.borrow_mut();
        let Process { pending, requests, restored, topology, builder, .. } = &mut processes[process];
        for (id, ticket) in requests.try_iter().flatten() {
            pending.push(PendingRestore { id, ticket, stage: Stage::Requested });
        }
        if pending.is_empty() {
            return false;
        }
        let chosen = self.random.below(pending.len());
        let brokers = self.brokers.borrow();
        let PendingRestore { id, ticket, stage } = &mut pending[chosen];
        match stage {
            Stage::Requested => *stage = Stage::Waiting(brokers.high_watermark(id.partition)),
            Stage::Waiting(end) => {
                if brokers.last_stable_offset(id.partition) < *end && self.mutation != Mutation::RestoreWithoutWaiting {
                    self.tally.borrow_mut().waits += 1;
                    return false;
                }
                *stage = Stage::Read(brokers.state(id.partition));
            }
            Stage::Read(records) => {
                if self.mutation == Mutation::AnyConfiguration {
                    records.remove(CONFIGURATION);
                }
                let other = (self.mutation == Mutation::OtherRules && process % 2 == 1).then(|| stream(false));
                let plan = other.as_ref().unwrap_or(&builder.streams[0]);
                match builder.build(*id, plan, records, topology.input_id(0), &mut Written::default) {
                    Ok(shard) => drop(restored.send(Restored { id: *id, ticket: *ticket, shard: Box::new(shard) })),
                    Err(NotRestored::OtherConfiguration(reason)) => {
                        builder.admission.close(reason);
                        self.tally.borrow_mut().refused += 1;
                    }
                    Err(error) => panic!("all states are of this build: {error}"),
                }
                pending.swap_remove(chosen);
            }
        }
        true
    }
}
