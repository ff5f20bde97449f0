//! Unknown time of a partition: what its sources did not observe, and the time in which the process was down.

use daemon_base::clock::micros;

use super::{MAX_UNCONFIRMED, PartitionTable};

impl PartitionTable {
    /// Takes over what the sources of the stream have observed. What none of them observed is unknown time.
    pub(super) fn observe(&mut self) {
        let Some(observed) = self.stream.observation.get() else {
            return self.table.set_observed_until(None);
        };
        if self.table.observed_until() == Some(observed.until) {
            return;
        }
        let oldest = self.table.watermark().saturating_sub(self.table.plan().longest_window());
        for (from, until) in observed.gaps.into_iter().filter(|&(_, until)| until >= oldest) {
            self.table.mark_unknown(from, until);
        }
        self.table.set_observed_until(Some(observed.until));
    }

    /// Returns the event time, both ends included, that nobody observed because this process was down, for a table that
    /// was restored at its start; `None` if there is none. All times are microseconds since the epoch; `last_alive`
    /// is the last time at which the process before is known to have run.
    ///
    /// Producers that push try again for a while, so a short time counts as observed. Of a stream whose sources state
    /// what they observe, nothing is known since the last statement that was saved.
    pub fn downtime(&self, last_alive: Option<u64>, now: u64) -> Option<(u64, u64)> {
        let newest = self.table.newest_timestamp()?;
        let stated = self.table.observed_until();
        if let Some(observed) = self.stream.observation.get() {
            let lateness = micros(self.table.settings().allowed_lateness);
            let from = stated.unwrap_or_else(|| newest.max(self.table.watermark().saturating_add(lateness)));
            return observed.until.checked_sub(1).filter(|until| *until >= from).map(|until| (from, until));
        }
        let from = stated.or(last_alive)?;
        (now.saturating_sub(from) > micros(MAX_UNCONFIRMED)).then_some((from, now))
    }

    /// Marks event time, both ends included, as unknown: see [`Table::mark_unknown`](proxy_uve::Table::mark_unknown).
    pub fn mark_unknown(&mut self, (from, until): (u64, u64)) {
        self.table.mark_unknown(from, until);
    }
}
