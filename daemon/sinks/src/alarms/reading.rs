//! The rows of alarms in the results log, as a sink of alarms reads them.

use anyhow::Context as _;
use daemon_alarms::row::{AlarmRow, is_alarms};
use daemon_log::{Log, LogError};
use daemon_results::block::is_block;
use daemon_results::line::lines;
use tracing::warn;

use super::AlarmSink;

/// The size of the batches that a start reads back.
pub(super) const READ_BYTES: usize = 1024 * 1024;

impl AlarmSink {
    /// Reads the rows of a record.
    pub(super) fn apply(&mut self, offset: u64, record: &[u8], is_known: bool) {
        if is_block(record) {
            return;
        }
        for line in lines(record).filter(|line| is_alarms(line)) {
            match AlarmRow::read(line) {
                Ok(row) => self.tracker.apply(&row, offset, is_known),
                Err(error) => warn!(offset, %error, "A stored row of alarms cannot be read; the sink skips it."),
            }
        }
    }

    /// Reads what fires at the position from the rows before it.
    pub(super) fn read_back(&mut self, log: &dyn Log, from: u64, to: u64) -> anyhow::Result<()> {
        let mut at = from.max(log.results_bounds()?.first);
        while at < to {
            let batch = match log.read_results(at, READ_BYTES) {
                Err(LogError::OffsetOutOfRange { bounds, .. }) if bounds.first > at && bounds.first <= to => {
                    at = bounds.first;
                    continue;
                }
                read => read.context("read the rows of the alarms that fire")?,
            };
            if batch.is_empty() {
                break;
            }
            for record in batch.records().take_while(|record| record.offset < to) {
                self.apply(record.offset, record.payload, true);
            }
            at = batch.next_offset();
        }
        Ok(())
    }
}
