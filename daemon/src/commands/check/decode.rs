//! Decodes saved states as the worker of a partition does at its start.

use std::collections::BTreeMap;
use std::sync::Arc;

use daemon_base::observation::Observations;
use daemon_log_tools::StateToCheck;
use daemon_partition::{PartitionTable, StreamPlan};
use daemon_results::block::MAX_BLOCK_BYTES;
use proxy_uve::TableSettings;

use crate::config::Loaded;
use crate::settings;

/// A decoder of the states of the configured streams.
pub(crate) struct StateDecoder {
    streams: BTreeMap<String, Arc<StreamPlan>>,
    table: TableSettings,
    /// The number of partitions of each stream, if it is known.
    partitions: Option<u16>,
    /// The number of states of other streams.
    unknown: usize,
}

impl StateDecoder {
    /// A decoder for the streams of a configuration, each with so many partitions.
    pub(crate) fn new(loaded: &Loaded, partitions: Option<u16>) -> Self {
        let observations = Observations::default();
        let stream = |plan| StreamPlan::new(plan, &observations).with_alarms(&loaded.streams.alarms);
        let streams = settings::plans(&loaded.streams).into_iter().map(|plan| {
            let name = plan.stream().to_string();
            (name, Arc::new(stream(plan)))
        });
        let table = settings::table(&loaded.config.aggregation);
        Self { streams: streams.collect(), table, partitions, unknown: 0 }
    }

    /// The number of states that were not decoded, because their streams are not configured.
    pub(crate) fn unknown(&self) -> usize {
        self.unknown
    }

    /// Decodes a state; returns why it cannot be decoded.
    pub(crate) fn decode(&mut self, state: &StateToCheck<'_>) -> Result<(), String> {
        if let Some(partitions) = self.partitions.filter(|partitions| state.partition.partition >= *partitions) {
            return Err(format!("the file PARTITIONS has {partitions} partitions only"));
        }
        let Some(stream) = self.streams.get(state.stream) else {
            self.unknown += 1;
            return Ok(());
        };
        let chunks = state.chunks.iter().map(|(chunk, bytes)| (*chunk, bytes.as_slice()));
        let cursors = BTreeMap::from([(state.partition.partition, state.cursor)]);
        let stream = Arc::clone(stream);
        let restored = PartitionTable::restore(stream, self.table, MAX_BLOCK_BYTES, state.meta, chunks, cursors);
        restored.map(drop).map_err(|error| error.to_string())
    }
}
