//! The receiver of a table's results: blocks for the results log, and the alarms that they make.

use daemon_alarms::Alarms;
use daemon_log::{LogError, RecordBuffer};
use daemon_results::block::{BlockSink, MAX_BLOCK_BYTES};
use proxy_uve::{AttributeResult, ResultSink, Subject};

/// The results of a table and the alarms of its objects.
#[derive(Debug)]
pub(crate) struct TableSink {
    pub(crate) blocks: BlockSink,
    pub(crate) alarms: Alarms,
}

impl TableSink {
    /// Whether there is something to commit.
    pub(super) fn has_rows(&self) -> bool {
        self.blocks.rows() > 0 || self.alarms.pending_rows().0 > 0
    }

    /// The size of what waits to be committed.
    pub(super) fn bytes(&self) -> usize {
        self.blocks.bytes() + self.alarms.pending_rows().1
    }

    /// Takes the results, and behind them the rows of the alarms, several to a record.
    pub(super) fn take(&mut self) -> Result<RecordBuffer, LogError> {
        let mut results = self.blocks.take()?;
        let mut lines: Vec<u8> = Vec::new();
        for row in self.alarms.take_rows() {
            if !lines.is_empty() && lines.len() + row.len() >= MAX_BLOCK_BYTES {
                results.push(b"", &lines)?;
                lines.clear();
            }
            if !lines.is_empty() {
                lines.push(b'\n');
            }
            lines.extend_from_slice(&row);
        }
        if !lines.is_empty() {
            results.push(b"", &lines)?;
        }
        Ok(results)
    }
}

impl ResultSink for TableSink {
    fn begin(&mut self, subject: &Subject<'_>) {
        self.blocks.begin(subject);
        self.alarms.begin(subject);
    }

    #[inline]
    fn attribute(&mut self, subject: &Subject<'_>, result: &AttributeResult<'_>) {
        self.blocks.attribute(subject, result);
        self.alarms.attribute(subject, result);
    }

    fn end(&mut self, subject: &Subject<'_>) {
        self.blocks.end(subject);
        self.alarms.end(subject);
    }

    fn silent_windows(&self) -> u32 {
        self.alarms.silent_windows()
    }
}
