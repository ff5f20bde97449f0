//! The streams of which a poll had a value: the samples of others come from elsewhere.
//!
//! Their names are in the log before their first samples are. A process that is killed then may leave samples and no
//! saved state that was observed; the next one finds the names, so that it takes no outage of the API for silence. The
//! log keeps names of streams that are polled now only: others are removed when the poller starts.

use std::collections::BTreeSet;
use std::sync::Arc;

use daemon_log::{AppendBatch, LogError, PartitionCommit, PartitionId, PartitionLog, RecordBuffer};
use tracing::error;

use super::answer::Reading;

/// The name under which the log keeps the names.
const SOURCE: &str = "source:opserver";

/// The version of the stored form, its first byte: a name in each line follows. Older builds stored the names alone,
/// which begin with a letter.
const VERSION: u8 = 1;

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
    /// Begins with the streams that the log names. The names of others are removed from it.
    ///
    /// # Errors
    ///
    /// When the log cannot be used.
    pub(super) fn open(log: Option<Arc<dyn PartitionLog>>, streams: Vec<String>, now: u64) -> Result<Self, LogError> {
        let names = log.as_deref().map(names).transpose()?.unwrap_or_default();
        let known: BTreeSet<_> = (0..streams.len()).filter(|&stream| names.contains(&streams[stream])).collect();
        let polled = Self { log, streams, known };
        if polled.known.len() < names.len() {
            polled.store(&polled.known, now)?;
        }
        Ok(polled)
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
        self.store(&known, now)?;
        self.known = known;
        Ok(())
    }

    /// Replaces the names in the log.
    fn store(&self, known: &BTreeSet<usize>, now: u64) -> Result<(), LogError> {
        let Some(log) = self.log.as_deref() else { return Ok(()) };
        // After a failed write the log takes a commit only from a partition that was restored.
        names(log)?;
        let mut meta = vec![VERSION];
        for name in known.iter().filter_map(|&stream| self.streams.get(stream)) {
            meta.extend_from_slice(name.as_bytes());
            meta.push(b'\n');
        }
        let (chunks, results) = (Vec::new(), RecordBuffer::default());
        let commit = PartitionCommit { partition: partition(log)?, cursor: 0, meta, chunks, results };
        log.commit_source(commit, AppendBatch::new(now))
    }
}

fn partition(log: &dyn PartitionLog) -> Result<PartitionId, LogError> {
    Ok(PartitionId::new(log.stream_id(SOURCE)?, 0))
}

/// Returns the names of the streams of which a poll had a value, as the log has them.
///
/// # Errors
///
/// When the log cannot be used, or a newer program wrote the names.
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
    let text = match meta.first() {
        Some(&VERSION) => &meta[1..],
        Some(version @ ..b' ') => {
            let reason = format!("the names of the polled streams have version {version}, expected {VERSION} at most");
            return Err(LogError::NewerState { partition, reason });
        }
        _ => &meta[..],
    };
    Ok(String::from_utf8_lossy(text).lines().map(str::to_owned).collect())
}

/// Removes all names from the log: nothing is polled any more.
///
/// # Errors
///
/// When the log cannot be used.
pub(super) fn forget(log: &dyn PartitionLog) -> Result<(), LogError> {
    let Some(stream) = log.find_stream(SOURCE)? else { return Ok(()) };
    let partition = PartitionId::new(stream, 0);
    match log.restore(partition) {
        Ok(None) => Ok(()),
        Ok(Some(_)) | Err(LogError::CorruptState { .. }) => log.reset_state(partition),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use daemon_base::observation::Observations;
    use daemon_log::{EmbeddedLog, LogConfig};
    use derived_stats::Number;

    use super::super::parts::confirm_polled;
    use super::*;

    fn reading(stream: usize) -> Reading {
        Reading { key: Arc::from("T:a"), stream, source: None, value: Number::U64(1) }
    }

    fn polled(log: &Arc<EmbeddedLog>, streams: [&str; 2]) -> Polled {
        let log = Arc::clone(log) as Arc<dyn PartitionLog>;
        Polled::open(Some(log), streams.map(str::to_owned).into(), 1).unwrap()
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
        assert_eq!(names(&*log).unwrap(), ["V-b", "V-c"].map(str::to_owned).into());
        let others = polled(&log, ["V-a", "V-b"]);
        assert!(!others.contains(0) && others.contains(1), "V-b is still known");
        assert_eq!(names(&*log).unwrap(), ["V-b".to_owned()].into(), "V-c is not polled any more");

        let observations = Observations::default();
        let _observer = observations.candidate(["V-a", "V-b"], 10);
        confirm_polled(&*log, &observations).unwrap();
        let certain = ["V-a", "V-b"].map(|name| observations.stream(name).get().unwrap().is_certain);
        assert_eq!(certain, [false, true]);
        assert_eq!(observations.stream("V-c").get(), None, "nothing polls it now");

        confirm_polled(&*log, &Observations::default()).unwrap();
        assert_eq!(names(&*log).unwrap(), BTreeSet::new(), "nothing is polled");
    }

    #[test]
    fn a_log_without_polled_streams_gets_no_state_of_a_poller() {
        let directory = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(directory.path(), LogConfig::default()).unwrap();
        confirm_polled(&log, &Observations::default()).unwrap();
        assert_eq!(log.find_stream(SOURCE).unwrap(), None);
    }

    /// Stores this as an older or a newer build would.
    fn store(log: &EmbeddedLog, meta: &[u8]) {
        let partition = partition(log).unwrap();
        log.restore(partition).unwrap();
        let (meta, chunks, results) = (meta.to_vec(), Vec::new(), RecordBuffer::default());
        let commit = PartitionCommit { partition, cursor: 0, meta, chunks, results };
        log.commit_source(commit, AppendBatch::new(1)).unwrap();
    }

    #[test]
    fn the_stored_form_has_a_version() {
        let directory = tempfile::tempdir().unwrap();
        let log = Arc::new(EmbeddedLog::open(directory.path(), LogConfig::default()).unwrap());
        store(&log, b"V-a\nV-b");
        assert!(polled(&log, ["V-a", "V-c"]).contains(0), "of an older build");
        let restored = log.restore(partition(&*log).unwrap()).unwrap().unwrap();
        assert_eq!(restored.meta, b"\x01V-a\n");
        store(&log, b"\x02V-a");
        let error = names(&*log).unwrap_err();
        assert!(error.is_permanent() && error.to_string().contains("version 2"), "{error}");
    }
}
