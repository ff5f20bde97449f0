//! Windows that close bit by bit.
//!
//! With each record some objects of a closing window are closed
//! ([`TableSettings::close_per_record`](proxy_uve::TableSettings::close_per_record)), so that no record waits for a
//! million of them. While that goes on nothing is committed, as the state is that of two moments.

use std::time::Duration;

use proxy_uve::Table;

/// How long a window may close bit by bit. Then the rest is closed at once: its results are waited for.
const PATIENCE: Duration = Duration::from_millis(100);

/// Watches over the closing windows of one table.
#[derive(Debug, Default)]
pub(crate) struct Closing {
    /// When one was first seen.
    since: Option<Duration>,
}

impl Closing {
    /// Closes the rest of a window that has been closing for long enough at the monotonic time `now`; whether it did.
    pub(crate) fn finish(&mut self, table: &mut Table, now: Duration) -> bool {
        if !table.is_closing() {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        if now.saturating_sub(since) < PATIENCE {
            return false;
        }
        self.since = None;
        table.advance(table.watermark());
        true
    }
}
