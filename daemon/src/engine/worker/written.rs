//! The alarms of partitions whose states were lost, as the results log shows them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use daemon_alarms::row::{AlarmRow, is_alarms};
use daemon_log::{LogError, PartitionId, PartitionLog};
use daemon_partition::StreamPlan;
use daemon_results::line::{LineReader, is_scrape};
use daemon_results::record::{RecordReader, Stored};
use proxy_uve::Plan;

/// The size of the batches in which the results are read.
const READ_BYTES: usize = 1024 * 1024;

/// What the results log has of one partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    /// The newest row of each object with an alarm, by its key.
    rows: BTreeMap<String, AlarmRow>,
    /// The end of the newest window with a result.
    pub until: u64,
}

impl Written {
    /// The newest row of each object with an alarm.
    pub(super) fn into_rows(self) -> Vec<AlarmRow> {
        self.rows.into_values().collect()
    }
}

/// What the results log has of the partitions of some streams. It is read when the first partition needs it, once for all
/// workers that restore: to read it takes as long as for a view without checkpoint.
pub(crate) struct AllWritten {
    /// By name.
    streams: BTreeMap<String, u16>,
    plans: Vec<Arc<Plan>>,
    /// The number of partitions of each stream.
    partitions: u16,
    found: Mutex<Option<BTreeMap<PartitionId, Written>>>,
}

impl AllWritten {
    /// Nothing is read yet.
    pub(crate) fn new<'s>(streams: impl IntoIterator<Item = (u16, &'s Arc<StreamPlan>)>, partitions: u16) -> Self {
        let (mut ids, mut plans) = (BTreeMap::new(), Vec::new());
        for (id, stream) in streams {
            ids.insert(stream.name.clone(), id);
            plans.push(Arc::clone(&stream.plan));
        }
        Self { streams: ids, plans, partitions, found: Mutex::default() }
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
        let mut all: BTreeMap<PartitionId, Written> = BTreeMap::new();
        let (mut records, mut lines) = (RecordReader::default(), LineReader::new(&self.plans));
        each(log, |offset, payload| {
            // What cannot be decoded is left out: the view logs it.
            let _ = records.each(offset, payload, |_, result| {
                let row = match &result {
                    Stored::Row(row) => Some(*row),
                    Stored::Line(line) if is_alarms(line) => return self.take_alarms(line, &mut all),
                    Stored::Line(line) if !is_scrape(line) => lines.row(line).ok(),
                    _ => None,
                };
                if let Some((row, id)) = row.and_then(|row| Some((row, self.partition(&row.shape.proxy, row.key)?))) {
                    let written = all.entry(id).or_default();
                    written.until = written.until.max(row.end);
                }
            });
        })?;
        Ok(all)
    }

    fn take_alarms(&self, line: &[u8], all: &mut BTreeMap<PartitionId, Written>) {
        let Ok(row) = AlarmRow::read(line) else { return };
        let Some(id) = self.partition(&row.data.proxy, &row.key) else { return };
        let rows = &mut all.entry(id).or_default().rows;
        match row.data.deleted {
            true => drop(rows.remove(&row.key)),
            false => drop(rows.insert(row.key.clone(), row)),
        }
    }

    /// The partition of an object of a stream; `None` for other streams.
    fn partition(&self, stream: &str, key: &str) -> Option<PartitionId> {
        let number = proxy_uve::partition(key.as_bytes(), u32::from(self.partitions));
        Some(PartitionId::new(*self.streams.get(stream)?, u16::try_from(number).ok()?))
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
    use proxy_uve::StreamName;
    use proxy_uve::schema::Schema;

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
        assert_eq!(all.of(&log, of(0)).unwrap().until, 60);
        // What comes later is of a worker that has begun.
        commit(120);
        assert_eq!(all.of(&log, of(1)).unwrap().until, 60, "the results were read again");
        assert_eq!(AllWritten::new([(7, &plan)], 2).of(&log, of(1)).unwrap().until, 120);
        assert_eq!(all.of(&log, of(2)).unwrap().until, 0, "no such partition");
    }
}
