//! Where the sink goes on: what Redis has of this log, by its marker.

use anyhow::Context as _;
use daemon_log::Log;
use tracing::info;

use super::marker::{LastResult, Marker};
use super::transaction::Transaction;
use super::{READ_BYTES, RedisSink, withdraw};

impl RedisSink {
    /// Returns the first offset that Redis lacks. Reads the marker if it is not known, and sets one if there is none.
    pub(super) fn first_missing(&mut self, log: &dyn Log) -> anyhow::Result<u64> {
        loop {
            if let Some(next) = self.marker.as_ref().and_then(|marker| marker.next) {
                return Ok(next);
            }
            let key = self.marker_key.clone();
            let found = self.delivery.exchange(move |connection| key.read(connection))?;
            self.delivery.load_kept(found.next.is_none_or(|next| next < self.next))?;
            // After the marker: another daemon may write meanwhile.
            let bounds = log.results_bounds()?;
            let is_usable = !self.is_first_start && self.marker_key.has_layout_of(&found);
            let next = found.next.filter(|next| is_usable && (bounds.first..=bounds.next).contains(next));
            if let Some(next) = next
                && is_of_log(log, found.last)?
            {
                if next < self.next {
                    info!(lacking = self.next - next, "Redis lost the newest results; the sink writes them again.");
                }
                self.announce(log, found.announced.unwrap_or(next), next)?;
                self.marker = Some(found);
                return Ok(next);
            }
            if !withdraw::all(&mut self.delivery, &self.names, &self.marker_key, found)? {
                continue;
            }
            info!(from = bounds.first, "Redis has no results of this log; the sink writes all that are retained.");
            self.telemetry.rewrites();
            self.is_first_start = false;
            self.marker = Some(Marker::default());
            // Without effect if another daemon was faster.
            self.commit(Transaction::default(), bounds.first, None)?;
        }
    }

    /// Publishes the messages of results that Redis has: a kill may have lost them.
    fn announce(&mut self, log: &dyn Log, from: u64, until: u64) -> anyhow::Result<()> {
        let mut from = from.max(log.results_bounds()?.first);
        while self.names.has_messages() && from < until {
            let batch = log.read_results(from, READ_BYTES).context("read results whose messages may be lost")?;
            let mut transaction = Transaction::default();
            for record in batch.records().filter(|record| record.offset < until) {
                self.add(&mut transaction, record.offset, record.payload, true)?;
            }
            let (_, messages, _) = transaction.finish(&self.names);
            self.delivery.publish(messages)?;
            if batch.next_offset() <= from {
                break;
            }
            from = batch.next_offset();
        }
        Ok(())
    }
}

/// Whether a result is of this log. One that the log does not retain any more, or that is not known, may be.
fn is_of_log(log: &dyn Log, last: Option<LastResult>) -> anyhow::Result<bool> {
    let bounds = log.results_bounds()?;
    let Some(LastResult { offset, at }) = last.filter(|last| last.offset >= bounds.first) else { return Ok(true) };
    if offset >= bounds.next {
        return Ok(false);
    }
    let batch = log.read_results(offset, 1).context("read the last result that Redis has")?;
    let found = batch.records().next().map(|record| (record.offset, record.appended_at));
    Ok(found == Some((offset, at)))
}
