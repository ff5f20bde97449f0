//! When a partition commits.

use std::time::Duration;

use super::PartitionTable;
use crate::Due;

impl PartitionTable {
    /// Whether a commit is due: for results after the linger, for progress after the interval.
    ///
    /// A commit is never due while a window is closing, as the state then mixes two points in time. Further records
    /// complete the window, or [`close_more`](Self::close_more) does.
    pub fn is_due(&self, now: Duration, due: Due) -> bool {
        if self.table.is_closing() {
            return false;
        }
        match self.pending_since {
            Some(since) => due.all || now.saturating_sub(since) >= due.linger || self.is_full(),
            None if due.all => self.has_moved() || self.has_new_statement(),
            None => self.has_moved() && now.saturating_sub(self.committed.at) >= due.interval,
        }
    }

    fn has_moved(&self) -> bool {
        self.cursors != self.committed.cursors || self.table.watermark() != self.committed.watermark
    }
}
