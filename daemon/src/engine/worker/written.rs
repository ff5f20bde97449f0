//! The alarms of partitions whose states were lost, as the results log shows them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use daemon_log::{LogError, PartitionId, PartitionLog};
use daemon_partition::{StreamPlan, Written, WrittenReader};

/// The size of the batches in which the results are read.
const READ_BYTES: usize = 1024 * 1024;

/// What the results log has of the partitions of some streams. It is read when the first partition needs it, once for all
/// workers that restore: to read it takes as long as for a view without checkpoint.
pub(crate) struct AllWritten {
    streams: Vec<(u16, Arc<StreamPlan>)>,
    /// The number of partitions of each stream.
    partitions: u16,
    found: Mutex<Option<BTreeMap<PartitionId, Written>>>,
}

impl AllWritten {
    /// Nothing is read yet.
    pub(crate) fn new<'s>(streams: impl IntoIterator<Item = (u16, &'s Arc<StreamPlan>)>, partitions: u16) -> Self {
        let streams = streams.into_iter().map(|(id, stream)| (id, Arc::clone(stream))).collect();
        Self { streams, partitions, found: Mutex::default() }
    }

    /// What the log had of a partition when the first one was asked for. Nobody but its worker adds to it.
    pub(super) fn of(&self, log: &dyn PartitionLog, id: PartitionId) -> Result<Written, LogError> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let all = match &mut *found {
            Some(all) => all,
            found => found.insert(self.read(log)?),
        };
        Ok(all.get(&id).cloned().unwrap_or_default())
    }

    /// Reads all results that the log retains.
    fn read(&self, log: &dyn PartitionLog) -> Result<BTreeMap<PartitionId, Written>, LogError> {
        let mut reader = WrittenReader::new(self.streams.iter().map(|(id, stream)| (*id, stream, self.partitions)));
        each(log, |offset, payload| reader.take(offset, payload))?;
        Ok(reader.into_found())
    }
}

/// Passes on every record of the results.
fn each(log: &dyn PartitionLog, mut take: impl FnMut(u64, &[u8])) -> Result<(), LogError> {
    let mut at = log.results_bounds()?.first;
    loop {
        let batch = match log.read_results(at, READ_BYTES) {
            // Retention has deleted what was to be read.
            Err(LogError::OffsetOutOfRange { bounds, .. }) if bounds.first > at => {
                at = bounds.first;
                continue;
            }
            batch => batch?,
        };
        if batch.is_empty() {
            return Ok(());
        }
        batch.records().for_each(|record| take(record.offset, record.payload));
        at = batch.next_offset();
    }
}

#[cfg(test)]
mod tests {
    use daemon_base::observation::Observations;
    use daemon_log::{EmbeddedLog, LogConfig, PartitionCommit, RecordBuffer};
    use proxy_uve::schema::Schema;
    use proxy_uve::{Plan, StreamName};

    use super::*;

    const SUM: &str = "AggProxySum-UveVirtualNetworkAgent-egress_flow_count";

    #[test]
    fn the_results_are_read_once_for_all_partitions() {
        let directory = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(directory.path(), LogConfig::default()).unwrap();
        let stream = StreamName::new("UveVirtualNetworkAgent", "egress_flow_count").unwrap();
        let types = [Arc::clone(Schema::builtin().get("AggProxySum").unwrap())];
        let plan = Arc::new(StreamPlan::new(Arc::new(Plan::new(stream, &types)), &Observations::default()));
        let of = |partition| PartitionId::new(7, partition);
        log.restore(of(0)).unwrap();
        // An object of each of two partitions.
        let key = |partition: u32| {
            let mut keys = (0..).map(|number| format!("ObjectVNTable:vn{number}"));
            keys.find(|key| proxy_uve::partition(key.as_bytes(), 2) == partition).unwrap()
        };
        let commit = |end: u64| {
            let line = |key: String| {
                let data =
                    r#"{"deleted":false,"proxy":"UveVirtualNetworkAgent-egress_flow_count","value":{"value":1}}"#;
                format!(r#"{{"key":"{key}","uve":"{SUM}","start":{},"end":{end},"data":{data}}}"#, end - 60)
            };
            let mut results = RecordBuffer::default();
            results.push(b"", [line(key(0)), line(key(1))].join("\n").as_bytes()).unwrap();
            let commit = PartitionCommit { partition: of(0), cursor: 0, meta: Vec::new(), chunks: Vec::new(), results };
            log.commit(vec![commit], end).unwrap();
        };
        commit(60);
        let all = AllWritten::new([(7, &plan)], 2);
        assert_eq!(all.of(&log, of(0)).unwrap().until(), 60);
        // What comes later is of a worker that has begun.
        commit(120);
        assert_eq!(all.of(&log, of(1)).unwrap().until(), 60, "the results were read again");
        assert_eq!(AllWritten::new([(7, &plan)], 2).of(&log, of(1)).unwrap().until(), 120);
        assert_eq!(all.of(&log, of(2)).unwrap().until(), 0, "no such partition");
    }
}
