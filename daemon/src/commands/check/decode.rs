//! Decodes saved states as the worker of a partition does at its start.

use std::collections::BTreeMap;
use std::sync::Arc;

use daemon_alarms::is_alarm_chunk;
use daemon_base::observation::Observations;
use daemon_log_tools::StateToCheck;
use daemon_partition::{PartitionTable, StreamPlan};
use daemon_results::block::MAX_BLOCK_BYTES;
use proxy_uve::{RestoreReport, Table, TableSettings, partition};

use crate::commands::check::REBUILT;
use crate::config::Loaded;
use crate::settings;

/// A decoder of the states of the configured streams.
pub(crate) struct StateDecoder {
    streams: BTreeMap<String, Arc<StreamPlan>>,
    table: TableSettings,
    /// The number of partitions of each stream, if it is known.
    partitions: Option<u16>,
    /// Whether that number was given by hand, so that the keys of all objects are compared with it.
    is_given: bool,
    /// Why that number cannot be right, if it cannot.
    misfit: Option<String>,
    /// The number of states that the given number was compared with.
    compared: usize,
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
        Self { streams: streams.collect(), table, partitions, is_given: false, misfit: None, compared: 0, unknown: 0 }
    }

    /// A decoder that checks a number of partitions that was given by hand.
    pub(crate) fn given(loaded: &Loaded, partitions: u16) -> Self {
        Self { is_given: true, ..Self::new(loaded, Some(partitions)) }
    }

    /// The number of states that were not decoded, because their streams are not configured.
    pub(crate) fn unknown(&self) -> usize {
        self.unknown
    }

    /// Why the number of partitions that was given cannot be that of the log, or is not known to be, of the states so far.
    pub(crate) fn misfit(self) -> Option<String> {
        let is_unknown = self.is_given && self.compared == 0 && self.unknown > 0;
        let unknown = is_unknown.then(|| {
            format!(
                "the configuration has none of the streams of the {} states of the log; give that of the daemon with \
                 --config, to check the number of partitions",
                self.unknown
            )
        });
        self.misfit.or(unknown)
    }

    /// Decodes a state; returns why it cannot be decoded.
    pub(crate) fn decode(&mut self, state: &StateToCheck<'_>) -> Result<(), String> {
        if self.is_given {
            self.check_given(state).inspect_err(|reason| self.misfit = Some(reason.clone()))?;
        }
        if let Some(partitions) = self.partitions.filter(|partitions| state.partition.partition >= *partitions) {
            return Err(format!("the file PARTITIONS has {partitions} partitions only"));
        }
        if !self.is_given {
            self.check_known(state).inspect_err(|reason| self.misfit = Some(reason.clone()))?;
        }
        let Some(stream) = self.streams.get(state.stream) else {
            self.unknown += usize::from(!REBUILT.contains(&state.stream));
            return Ok(());
        };
        let chunks = state.chunks.iter().map(|(chunk, bytes)| (*chunk, bytes.as_slice()));
        let cursors = BTreeMap::from([(state.partition.partition, state.cursor)]);
        let stream = Arc::clone(stream);
        let restored = PartitionTable::restore(stream, self.table, MAX_BLOCK_BYTES, state.meta, chunks, cursors);
        restored.map(drop).map_err(|error| error.to_string())
    }

    /// Checks that a partition and the objects of its state are of as many partitions as was given.
    fn check_given(&mut self, state: &StateToCheck<'_>) -> Result<(), String> {
        let (Some(partitions), number) = (self.partitions, state.partition.partition) else { return Ok(()) };
        let remedy = "give another number with --partitions";
        if number >= partitions {
            return Err(format!(
                "there is a partition {number}, so it has more partitions than {partitions}; {remedy}"
            ));
        }
        self.compared += usize::from(self.streams.contains_key(state.stream));
        // Without the objects nothing can be compared.
        let misplaced = self.misplaced(state, partitions).map_err(|report| {
            format!(
                "the configuration is not the one that the states were saved with ({report}); give that of the daemon with \
                 --config, to check the number of partitions"
            )
        })?;
        misplaced.map_or(Ok(()), |text| Err(format!("{text}; {remedy}")))
    }

    /// Checks that the objects of a state are of as many partitions as the file PARTITIONS has. It may have been changed to
    /// another number, which a start would take: then objects go on without their states.
    fn check_known(&mut self, state: &StateToCheck<'_>) -> Result<(), String> {
        // With a configuration that has changed, the number cannot be compared.
        let misplaced = self.partitions.and_then(|partitions| self.misplaced(state, partitions).ok()?);
        misplaced.map_or(Ok(()), |text| {
            Err(format!(
                "{text}: the file PARTITIONS is wrong; write the log.partitions into it that the log was made with"
            ))
        })
    }

    /// Which objects of a state are of another partition if there are so many. The error is why nothing can be compared.
    fn misplaced(&self, state: &StateToCheck<'_>, partitions: u16) -> Result<Option<String>, RestoreReport> {
        let Some(stream) = self.streams.get(state.stream) else { return Ok(None) };
        let chunks = state.chunks.iter().filter(|(chunk, _)| !is_alarm_chunk(*chunk));
        let chunks = chunks.map(|(chunk, bytes)| (*chunk, bytes.as_slice()));
        // What does not decode at all is not a matter of the number.
        let Ok((mut table, report)) = Table::restore(Arc::clone(&stream.plan), self.table, state.meta, chunks) else {
            return Ok(None);
        };
        if !report.is_unchanged() {
            return Err(report);
        }
        let (all, number) = (table.objects(), state.partition.partition);
        table.retain(|key| partition(key, u32::from(partitions)) == u32::from(number));
        let others = all - table.objects();
        Ok((others > 0).then(|| {
            format!("{others} of {all} objects of partition {number} are of another one if there are {partitions}")
        }))
    }
}
