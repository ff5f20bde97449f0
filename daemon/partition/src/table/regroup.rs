//! The states of a stream in other partitions, in any number of them.

use std::sync::Arc;

use daemon_alarms::retain;
use daemon_log::{LogError, RecordBuffer};
use daemon_results::block::MAX_BLOCK_BYTES;
use proxy_uve::{JoinError, Table, TablePart, TableSettings, partition};

use super::PartitionTable;
use crate::{RestoreError, StreamPlan, TableCommit};

/// The states of all partitions of a stream, on their way to other partitions.
///
/// Call order: [`add`](Self::add) for each state; [`settle`](Self::settle) once; then [`partition`](Self::partition)
/// for each new partition. All tables are in memory meanwhile.
pub struct Regroup {
    stream: Arc<StreamPlan>,
    settings: TableSettings,
    sources: Vec<Source>,
    /// See [`classes`](Self::classes).
    classes: u16,
}

/// The state of one partition.
struct Source {
    number: u16,
    table: PartitionTable,
    /// All chunks of its alarms, once it is settled.
    alarms: Vec<(u32, Vec<u8>)>,
    results: RecordBuffer,
}

/// Why states cannot go to other partitions.
#[derive(Debug, thiserror::Error)]
pub enum RegroupError {
    /// The states were saved with other proxy types.
    #[error(
        "the configuration is not the one that the states were saved with (dropped: {dropped}; started anew: \
         {started}); start the daemon with it, stop it, and try again"
    )]
    Configuration {
        /// The states that it does not have.
        dropped: String,
        /// The states that were not saved.
        started: String,
    },
    /// The parts of the states do not fit together.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// A state is damaged, or an object has a state in several partitions.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// A result is too large for a log.
    #[error(transparent)]
    Result(#[from] LogError),
}

impl Regroup {
    /// Without states.
    pub fn new(stream: Arc<StreamPlan>, settings: TableSettings) -> Self {
        Self { stream, settings, sources: Vec::new(), classes: 1 }
    }

    /// Adds the state of a partition.
    ///
    /// # Errors
    ///
    /// When it is damaged, of a newer version, or of another configuration.
    pub fn add<'c>(
        &mut self,
        number: u16,
        meta: &[u8],
        chunks: impl IntoIterator<Item = (u32, &'c [u8])>,
    ) -> Result<(), RegroupError> {
        let table = self.restored(meta, chunks)?;
        if let Some(report) = table.restored().filter(|it| !(it.dropped.is_empty() && it.started.is_empty())) {
            let (dropped, started) = (report.dropped.join(", "), report.started.join(", "));
            return Err(RegroupError::Configuration { dropped, started });
        }
        self.sources.push(Source { number, table, alarms: Vec::new(), results: RecordBuffer::default() });
        Ok(())
    }

    /// The number of objects in all states.
    pub fn objects(&self) -> usize {
        self.sources.iter().map(|source| source.table.objects()).sum()
    }

    /// Marks the time from `from` (µs since the epoch) to the next sample as unknown: nobody could send samples.
    pub fn mark_lost_from(&mut self, from: u64) {
        self.sources.iter_mut().for_each(|source| source.table.table.mark_lost_from(from));
    }

    /// Prepares the tables of `from` partitions for `to` of them. Tables that share one of these are moved to the
    /// event time of the one that is ahead, as one partition with the samples of all of them would be, and windows
    /// that end before are closed. Returns the number of tables that had results of such windows.
    ///
    /// # Errors
    ///
    /// When a result is too large for a log.
    pub fn settle(&mut self, from: u16, to: u16) -> Result<usize, RegroupError> {
        self.classes = self.classes(from, to);
        let mut latest = vec![0; usize::from(self.classes)];
        for source in self.sources.iter().filter(|source| source.table.has_samples()) {
            let latest = &mut latest[usize::from(source.number % self.classes)];
            *latest = source.table.watermark().max(*latest);
        }
        let mut settled = 0;
        for Source { number, table, alarms, results } in &mut self.sources {
            if table.has_samples() {
                table.table.advance(latest[usize::from(*number % self.classes)]);
                table.expect_commit_of_results(table.last_record);
            }
            let sink = table.table.sink_mut();
            settled += usize::from(sink.has_rows());
            *results = sink.take()?;
            sink.alarms.change_all();
            *alarms =
                sink.alarms.take_chunks().into_iter().filter_map(|(chunk, bytes)| Some((chunk, bytes?))).collect();
        }
        Ok(settled)
    }

    /// Tables whose numbers have the same remainder by this number share partitions, and others do not: objects keep
    /// their remainder by every common divisor of both numbers of partitions, if all are where their keys belong.
    fn classes(&self, from: u16, to: u16) -> u16 {
        let classes = gcd(from, to).max(1);
        let is_placed = |source: &Source| {
            let own = u32::from(source.number % classes);
            source.table.table.keys().all(|key| partition(key, u32::from(classes)) == own)
        };
        if self.sources.iter().all(is_placed) { classes } else { 1 }
    }

    /// The state of partition `number` of `partitions`: all of its chunks, and as results the windows that
    /// [`settle`](Self::settle) closed, which are in one of the partitions, and the rows of its alarms, so that
    /// readers of another results log know what fires. It is that of an empty table if no state has anything for it.
    /// Positions and cursors begin anew.
    ///
    /// # Errors
    ///
    /// When an object has a state in several partitions, or a result is too large for a log.
    pub fn partition(&mut self, number: u16, partitions: u16) -> Result<TableCommit, RegroupError> {
        let is_own = |key: &[u8]| partition(key, u32::from(partitions)) == u32::from(number);
        let mut empty = Table::new(Arc::clone(&self.stream.plan), self.settings);
        let mut parts = vec![empty.part(|_| true)];
        let mut of_alarms = Vec::new();
        let mut results = RecordBuffer::default();
        let classes = self.classes;
        for source in self.sources.iter_mut().filter(|it| it.number % classes == number % classes) {
            let part = source.table.table.part(is_own);
            let takes_rest = source.number % partitions.max(1) == number;
            parts.push(if takes_rest { part } else { part.without_counts() });
            for (chunk, bytes) in &source.alarms {
                let part = retain(*chunk, bytes, |key| is_own(key.as_bytes())).map_err(RestoreError::from)?;
                of_alarms.extend(part.map(|part| (*chunk, part)));
            }
            let rest = takes_rest.then(|| std::mem::take(&mut source.results));
            push_all(&mut results, rest.iter().flat_map(RecordBuffer::records))?;
        }
        let joined = TablePart::join(parts)?.unwrap_or_default();
        let chunks = joined.chunks.iter().filter_map(|(chunk, bytes)| Some((*chunk, bytes.as_deref()?)));
        let alarms = of_alarms.iter().map(|(chunk, bytes)| (*chunk, bytes.as_slice()));
        let mut table = self.restored(&joined.meta, chunks.chain(alarms))?;
        let watermark = table.watermark();
        let sink = table.table.sink_mut();
        sink.alarms.change_all();
        sink.alarms.show_all(watermark);
        push_all(&mut results, sink.take()?.records())?;
        let mut chunks = joined.chunks;
        chunks.extend(sink.alarms.take_chunks());
        Ok(TableCommit { meta: joined.meta, chunks, results })
    }

    fn restored<'c>(
        &self,
        meta: &[u8],
        chunks: impl IntoIterator<Item = (u32, &'c [u8])>,
    ) -> Result<PartitionTable, RestoreError> {
        let stream = Arc::clone(&self.stream);
        PartitionTable::restore(stream, self.settings, MAX_BLOCK_BYTES, meta, chunks, Default::default())
    }
}

fn gcd(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn push_all<'r>(to: &mut RecordBuffer, records: impl Iterator<Item = (&'r [u8], &'r [u8])>) -> Result<(), LogError> {
    for (key, payload) in records {
        to.push(key, payload)?;
    }
    Ok(())
}
