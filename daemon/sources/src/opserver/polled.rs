//! The streams of which a poll had a value: the samples of others come from elsewhere.
//!
//! Their names are in the log before their first samples are. A process that is killed then may leave samples and no
//! saved state that was observed; the next one finds the names, so that it takes no outage of the API for silence.

use std::collections::BTreeSet;
use std::sync::Arc;

use daemon_log::{AppendBatch, LogError, PartitionCommit, PartitionId, PartitionLog, RecordBuffer};
use tracing::error;

use super::answer::Reading;

/// The name under which the log keeps the names.
const SOURCE: &str = "source:opserver";

/// The streams of which a poll had a value.
pub(super) struct Polled {
    /// `None` on a log that other processes share.
    log: Option<Arc<dyn PartitionLog>>,
    /// The names of all streams that are polled.
    streams: Vec<String>,
    /// The positions in `streams` of those with a value.
    known: BTreeSet<usize>,
}

impl Polled {
    /// Begins with the streams that the log names.
    ///
    /// # Errors
    ///
    /// When the log cannot be used.
    pub(super) fn open(log: Option<Arc<dyn PartitionLog>>, streams: Vec<String>) -> Result<Self, LogError> {
        let names = log.as_deref().map(names).transpose()?.unwrap_or_default();
        let known = (0..streams.len()).filter(|&stream| names.contains(&streams[stream])).collect();
        Ok(Self { log, streams, known })
    }

    pub(super) fn contains(&self, stream: usize) -> bool {
        self.known.contains(&stream)
    }

    /// Adds the streams of the readings of a poll, which are in the log then.
    ///
    /// # Errors
    ///
    /// When the log cannot be written; nothing is added.
    pub(super) fn add(&mut self, readings: &[Reading], now: u64) -> Result<(), LogError> {
        let mut known = self.known.clone();
        known.extend(readings.iter().map(|reading| reading.stream));
        if known == self.known {
            return Ok(());
        }
        if let Some(log) = self.log.as_deref() {
            // Names of streams that are not polled any more stay: those may be polled again.
            let mut names = names(log)?;
            names.extend(known.iter().filter_map(|&stream| self.streams.get(stream).cloned()));
            let meta = names.into_iter().collect::<Vec<_>>().join("\n").into_bytes();
            let (chunks, results) = (Vec::new(), RecordBuffer::default());
            let commit = PartitionCommit { partition: partition(log)?, cursor: 0, meta, chunks, results };
            log.commit_source(commit, AppendBatch::new(now))?;
        }
        self.known = known;
        Ok(())
    }
}

fn partition(log: &dyn PartitionLog) -> Result<PartitionId, LogError> {
    Ok(PartitionId::new(log.stream_id(SOURCE)?, 0))
}

/// Returns the names of the streams of which a poll had a value, as the log has them.
///
/// # Errors
///
/// When the log cannot be used.
pub(super) fn names(log: &dyn PartitionLog) -> Result<BTreeSet<String>, LogError> {
    let partition = partition(log)?;
    let restored = match log.restore(partition) {
        Err(LogError::CorruptState { reason, .. }) => {
            error!(%reason, "The names of the polled streams are damaged; the next poll writes them again.");
            log.reset_state(partition)?;
            None
        }
        restored => restored?,
    };
    let meta = restored.map(|restored| restored.meta).unwrap_or_default();
    Ok(String::from_utf8_lossy(&meta).lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use daemon_log::{EmbeddedLog, LogConfig, Observations};
    use derived_stats::Number;

    use super::super::parts::confirm_polled;
    use super::*;

    fn reading(stream: usize) -> Reading {
        Reading { key: Arc::from("T:a"), stream, source: None, value: Number::U64(1) }
    }

    fn polled(log: &Arc<EmbeddedLog>, streams: [&str; 2]) -> Polled {
        let log = Arc::clone(log) as Arc<dyn PartitionLog>;
        Polled::open(Some(log), streams.map(str::to_owned).into()).unwrap()
    }

    #[test]
    fn the_streams_with_a_value_are_known_in_the_next_process_whatever_else_is_polled() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Arc::new(EmbeddedLog::open(directory.path(), LogConfig::default()).unwrap());
        let log = open();
        let mut before = polled(&log, ["V-a", "V-b"]);
        assert!(!before.contains(0) && !before.contains(1));
        before.add(&[reading(1)], 1).unwrap();
        drop((before, log));
        let log = open();
        let mut after = polled(&log, ["V-b", "V-c"]);
        assert!(after.contains(0) && !after.contains(1));
        after.add(&[reading(1)], 2).unwrap();
        let others = polled(&log, ["V-a", "V-b"]);
        assert!(!others.contains(0) && others.contains(1), "V-b is still known");

        let observations = Observations::default();
        let _observer = observations.candidate(["V-a", "V-b"], 10);
        confirm_polled(&*log, &observations).unwrap();
        let certain = ["V-a", "V-b"].map(|name| observations.stream(name).get().unwrap().is_certain);
        assert_eq!(certain, [false, true]);
        assert_eq!(observations.stream("V-c").get(), None, "nothing polls it now");
    }
}
