//! Builds shards from their state records.

use std::sync::Arc;

use daemon_base::clock::Clock;
use daemon_log::{LogError, PartitionId};
use daemon_partition::{PartitionTable, RestoreError, StreamPlan, Written};
use proxy_uve::TableSettings;
use tracing::error;

use crate::admission::Admission;
use crate::configuration::Configuration;
use crate::foreign::ForeignTopic;
use crate::shard::Shard;
use crate::state_records::{self, CONFIGURATION, INPUT_ID, Saved, StateRecords};
use crate::telemetry::GroupTelemetry;
use crate::topic_id::TopicId;

/// Builds shards from their state records.
#[derive(Clone)]
pub(crate) struct ShardBuilder {
    pub streams: Vec<Arc<StreamPlan>>,
    pub table: TableSettings,
    /// The size of a block of results, in bytes.
    pub block_bytes: usize,
    pub telemetry: Arc<GroupTelemetry>,
    pub clock: Arc<dyn Clock>,
    /// The configuration of this daemon.
    pub configuration: Configuration,
    pub admission: Arc<Admission>,
    /// The topics of other programs, by the number of their stream.
    pub foreign: Vec<Option<Arc<ForeignTopic>>>,
}

/// Why a shard cannot be restored by this daemon. Its state is kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotRestored {
    /// A newer version of the program wrote the state.
    #[error(transparent)]
    Newer(#[from] LogError),
    /// The state is of another configuration.
    #[error("{0}")]
    OtherConfiguration(String),
}

impl ShardBuilder {
    /// Builds the shard of these records. If they are damaged it is an empty one, with the alarms that `written` has of
    /// it: who reads the results has seen them begin and is to see them end.
    ///
    /// # Errors
    ///
    /// When a newer version of the program or another configuration wrote the records; they are kept.
    pub(crate) fn build(
        &self,
        id: PartitionId,
        plan: &Arc<StreamPlan>,
        records: &StateRecords,
        input_id: Option<TopicId>,
        written: &mut dyn FnMut() -> Written,
    ) -> Result<Shard, NotRestored> {
        let saved = records.get(CONFIGURATION).and_then(|bytes| Configuration::from_bytes(bytes));
        if let Some(saved) = saved.as_ref().filter(|saved| !self.configuration.may_continue(saved)) {
            return Err(NotRestored::OtherConfiguration(self.configuration.waits_for(saved)));
        }
        let is_new = saved
            .is_none_or(|saved| self.configuration.replaces(&saved) || self.configuration.is_of_other_group(&saved));
        let own = (CONFIGURATION.to_vec(), Some(self.configuration.to_bytes()));
        let saved_id = records.get(INPUT_ID).and_then(|bytes| TopicId::new(bytes));
        let id_record = input_id.map(|id| (INPUT_ID.to_vec(), Some(id.as_bytes().to_vec())));
        let new_id = id_record.clone().filter(|_| saved_id != input_id);
        let record = is_new.then(|| own.clone()).into_iter().chain(new_id);
        let empty = || PartitionTable::new(Arc::clone(plan), self.table, self.block_bytes);
        let reason = match state_records::decode(records) {
            Ok(None) => return Ok(Shard::new(id, empty(), Saved::default(), record.collect()).with_input_id(input_id)),
            Ok(Some(mut saved)) => match self.table(plan, &saved) {
                Ok(mut table) => {
                    if restart_if_created_again(&mut table, id, saved_id, input_id) {
                        saved.head.gaps.clear();
                    }
                    if let Some(states) = table.restored() {
                        states.log(id, &plan.name);
                    }
                    let input_id = input_id.or(saved_id);
                    return Ok(Shard::new(id, table, saved, record.collect()).with_input_id(input_id));
                }
                Err(error) if error.is_from_newer_program() => {
                    return Err(LogError::NewerState { partition: id, reason: error.to_string() }.into());
                }
                Err(error) => error.to_string(),
            },
            Err(reason) => reason,
        };
        error!(
            stream = %plan.name, partition = id.partition, %reason,
            "The saved state cannot be used; the partition replays its retained input."
        );
        let changes = state_records::erase(records).into_iter().chain([own]).chain(id_record).collect();
        let found = if plan.alarms.is_empty() { Written::default() } else { written() };
        let table = empty().with_recovered_alarms(found);
        Ok(Shard::new(id, table, Saved::default(), changes).with_input_id(input_id))
    }

    /// The shard with the topic of another program as its input, if the stream has one. In `several` shards a message must
    /// have a key.
    pub(crate) fn with_foreign(&self, shard: Shard, stream: u16, several: bool) -> Shard {
        match self.foreign.get(usize::from(stream)) {
            Some(Some(topic)) => shard.with_foreign(Arc::clone(topic), several),
            _ => shard,
        }
    }

    fn table(&self, plan: &Arc<StreamPlan>, saved: &Saved) -> Result<PartitionTable, RestoreError> {
        let chunks = saved.chunks.iter().map(|(chunk, bytes)| (*chunk, bytes.as_slice()));
        let (plan, cursors) = (Arc::clone(plan), saved.head.cursors.clone());
        PartitionTable::restore(plan, self.table, self.block_bytes, &saved.head.meta, chunks, cursors)
    }
}

/// Begins the input of a table anew if its topic was created again; returns whether it was.
fn restart_if_created_again(
    table: &mut PartitionTable,
    id: PartitionId,
    saved: Option<TopicId>,
    current: Option<TopicId>,
) -> bool {
    let Some((saved, current)) = saved.zip(current).filter(|(saved, current)| saved != current) else { return false };
    let stream = &table.stream().name;
    error!(
        %stream, partition = id.partition, applied = ?table.cursors(), %saved, %current,
        "The input topic was created again: records of the old one that were not committed are lost. The partition \
         begins at the start of the new one; all states are kept, and the time until its first sample is unknown."
    );
    table.restart_input();
    true
}
