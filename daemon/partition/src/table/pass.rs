//! Records that are not of the stream of a table.

use std::time::Duration;

use super::PartitionTable;

impl PartitionTable {
    /// Passes records of one input partition that are not of this stream; `next` is the offset after the last one. Event
    /// time advances as with samples up to `newest`, in microseconds since the epoch.
    pub fn pass(&mut self, source: u16, next: u64, newest: u64, now: Duration) {
        let watermark = self.table.settings().watermark(newest);
        // Before the first sample there is no window that it could close.
        if watermark > self.table.watermark() && self.has_samples() {
            self.table.advance(watermark);
        }
        self.cursors.insert(source, next);
        self.record_came(now);
        self.expect_commit_of_results(now);
    }
}
