//! The alarms of a partition whose state was lost, as the results log shows them.

use std::collections::BTreeMap;
use std::slice;

use daemon_alarms::row::{AlarmRow, is_alarms};
use daemon_log::{LogError, PartitionId, PartitionLog};
use daemon_partition::StreamPlan;
use daemon_results::line::{LineReader, is_scrape};
use daemon_results::record::{RecordReader, Stored};

/// The size of the batches in which the results are read.
const READ_BYTES: usize = 1024 * 1024;

/// What the results log has of one partition.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// The newest row of each object with an alarm.
    pub rows: Vec<AlarmRow>,
    /// The end of the newest window with a result.
    pub until: u64,
}

impl Written {
    /// Reads all results that the log retains. `partitions` is the number of partitions of the stream.
    pub(super) fn read(
        log: &dyn PartitionLog,
        id: PartitionId,
        stream: &StreamPlan,
        partitions: u16,
    ) -> Result<Self, LogError> {
        let is_own = |key: &str| proxy_uve::partition(key.as_bytes(), u32::from(partitions)) == u32::from(id.partition);
        let (mut rows, mut until) = (BTreeMap::new(), 0);
        let (mut records, mut lines) = (RecordReader::default(), LineReader::new(slice::from_ref(&stream.plan)));
        let mut take_alarms = |line: &[u8]| {
            let Ok(row) = AlarmRow::read(line) else { return };
            if row.data.proxy != stream.name || !is_own(&row.key) {
                return;
            }
            match row.data.deleted {
                true => drop(rows.remove(&row.key)),
                false => drop(rows.insert(row.key.clone(), row)),
            }
        };
        each(log, |offset, payload| {
            // What cannot be decoded is left out: the view logs it.
            let _ = records.each(offset, payload, |_, result| {
                let row = match &result {
                    Stored::Row(row) => Some(*row),
                    Stored::Line(line) if is_alarms(line) => return take_alarms(line),
                    Stored::Line(line) if !is_scrape(line) => lines.row(line).ok(),
                    _ => None,
                };
                if let Some(row) = row.filter(|row| *row.shape.proxy == *stream.name && is_own(row.key)) {
                    until = until.max(row.end);
                }
            });
        })?;
        Ok(Self { rows: rows.into_values().collect(), until })
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
