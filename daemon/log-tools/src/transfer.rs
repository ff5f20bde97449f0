//! The states of a log without its records: read for another kind of log, and written as the states of a new log.

use std::path::Path;

use daemon_log::files::{Change, FrameHeader, Head, sync_parent};
use daemon_log::{LogError, PartitionId, RecordBuffer};

use crate::check::{Content, read};
use crate::rebuild::Rebuild;
use crate::report::Report;
use crate::restore::{in_empty, write_beside};

/// A log that is read for its states. No process may write it meanwhile.
pub struct LogStates {
    content: Content,
}

/// The state of one partition.
#[derive(Clone, Debug)]
pub struct SavedState {
    /// The partition.
    pub partition: PartitionId,
    /// The name of its stream.
    pub stream: String,
    /// The worker's own data.
    pub meta: Vec<u8>,
    /// All chunks.
    pub chunks: Vec<(u32, Vec<u8>)>,
}

impl LogStates {
    /// Opens the log in the directory `path`. If it is damaged, [`report`](Self::report) has the damage.
    ///
    /// # Errors
    /// [`LogError::InvalidArgument`] if input is not applied. Those of [`check`](crate::check()).
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let (content, _) = read(path, &mut |_| Ok(()))?;
        if content.report.is_sound() {
            content.check_applied()?;
        }
        Ok(Self { content })
    }

    /// What the check of the log has found.
    pub fn report(&self) -> &Report {
        &self.content.report
    }

    /// The partitions with a state, each with the name of its stream and the next input offset to apply.
    pub fn partitions(&self) -> impl Iterator<Item = (PartitionId, &str, u64)> {
        let partitions = self.content.history.tables.partitions.iter();
        partitions.filter_map(|(id, it)| Some((*id, self.content.stream(*id), it.head.as_ref()?.cursor)))
    }

    /// The state of a partition; `None` if it has none.
    ///
    /// # Errors
    /// [`LogError::CorruptState`] if a chunk is damaged.
    pub fn state(&self, partition: PartitionId) -> Result<Option<SavedState>, LogError> {
        let found = self.content.history.tables.partitions.get(&partition);
        let Some((found, head)) = found.and_then(|it| Some((it, it.head.as_ref()?))) else { return Ok(None) };
        let chunks = self.content.read_state(partition, found)?;
        let (stream, meta) = (self.content.stream(partition).to_owned(), head.meta.clone());
        Ok(Some(SavedState { partition, stream, meta, chunks }))
    }

    /// The sinks that have not delivered all results, each with the number of records of results that it has not.
    pub fn undelivered(&self) -> Vec<(String, u64)> {
        let tables = &self.content.history.tables;
        let behind = |next: u64| tables.results.bounds.next.saturating_sub(next);
        let sinks = tables.sinks.iter().map(|(name, position)| (name.clone(), behind(position.next)));
        sinks.filter(|(_, behind)| *behind > 0).collect()
    }

    /// The latest time in the log (µs UTC).
    pub fn last_at(&self) -> u64 {
        self.content.history.tables.last_at
    }
}

impl Content {
    /// Fails if a partition has records that are not applied.
    pub(crate) fn check_applied(&self) -> Result<(), LogError> {
        let partitions = &self.history.tables.partitions;
        let Some((id, partition)) = partitions.iter().find(|(_, it)| it.applied() < it.ends.bounds.next) else {
            return Ok(());
        };
        let records = partition.ends.bounds.next - partition.applied();
        Err(LogError::invalid(format!(
            "partition {id} has {records} records that are not applied; start the daemon, without senders, wait until \
             `lag` is 0 in all rows of `derived-statsd top`, stop it, and try again"
        )))
    }
}

/// A log in the making that has states and results, and no input.
pub struct NewLog {
    rebuild: Rebuild,
}

/// Makes a log in the directory `out`, which must be empty or missing, with the states that `write` gives it. It is
/// one when this returns; nothing stays of an attempt that fails. `beside` are files for the owner of the log, with
/// their content.
///
/// # Errors
/// That of `write`. [`LogError::InvalidArgument`] if `out` is not empty, and [`LogError::Io`] if it cannot be written.
pub fn make<E: From<LogError>>(
    out: &Path,
    beside: &[(&str, String)],
    write: impl FnOnce(&mut NewLog) -> Result<(), E>,
) -> Result<(), E> {
    in_empty(out, || {
        let mut log = NewLog::begin(out, beside)?;
        write(&mut log)?;
        log.rebuild.finish()?;
        Ok(sync_parent(out)?)
    })
}

impl NewLog {
    fn begin(out: &Path, beside: &[(&str, String)]) -> Result<Self, LogError> {
        write_beside(out, beside)?;
        let mut rebuild = Rebuild::begin(out, &Default::default())?;
        rebuild.tables_mut().sequence = 1;
        rebuild.begin_log(PartitionId::RESULTS, 0, 0);
        Ok(Self { rebuild })
    }

    /// Sets the time of the log to `at` (µs UTC) at least: when the states are known to have been current.
    pub fn current_at(&mut self, at: u64) {
        let tables = self.rebuild.tables_mut();
        tables.last_at = tables.last_at.max(at);
    }

    /// The time of the log (µs UTC); 0 before any is set.
    pub fn time(&mut self) -> u64 {
        self.rebuild.tables_mut().last_at
    }

    /// Writes the state of a partition, whose input begins at offset 0, and results.
    ///
    /// # Errors
    /// [`LogError::InvalidArgument`] with more streams than there are numbers, and [`LogError::Io`].
    pub fn state(
        &mut self,
        stream: &str,
        partition: u16,
        (meta, chunks): (Vec<u8>, Vec<(u32, Vec<u8>)>),
        mut results: RecordBuffer,
    ) -> Result<(), LogError> {
        let id = PartitionId::new(self.stream(stream)?, partition);
        self.rebuild.begin_log(id, 0, 0);
        self.rebuild.state(id, Head { cursor: 0, sequence: 1, meta }, chunks)?;
        results.finish();
        for frame in results.into_frames() {
            let tables = self.rebuild.tables_mut();
            let (end, before) = (tables.results.bounds.next, tables.results.bytes_next);
            let bytes = frame.seal(PartitionId::RESULTS, end, tables.last_at, before);
            self.rebuild.frame(FrameHeader::parse(&bytes).map_err(LogError::invalid)?, &bytes)?;
        }
        Ok(())
    }

    /// The number of a stream, which gets one if it is new.
    fn stream(&mut self, name: &str) -> Result<u16, LogError> {
        let tables = self.rebuild.tables_mut();
        if let Some(number) = tables.streams.get(name) {
            return Ok(*number);
        }
        let number = u16::try_from(tables.streams.len()).ok().filter(|number| *number < u16::MAX);
        let number = number.ok_or_else(|| LogError::invalid("a log has 65,535 streams at most".to_owned()))?;
        tables.apply(Change::Stream { name: name.to_owned(), number });
        Ok(number)
    }
}
