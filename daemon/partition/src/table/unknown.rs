//! Unknown time of a partition: what its sources did not observe, and the time in which the process was down.

use std::time::Duration;

use daemon_base::clock::micros;
use daemon_base::observation::Observed;

use super::{MAX_UNCONFIRMED, PartitionTable};

impl PartitionTable {
    /// Takes over what the sources of the stream have observed. What none of them observed is unknown time, also that
    /// between the last statement that was saved and the begin of this process's source.
    pub fn observe(&mut self) {
        let stated = self.table.observed_until();
        let Some(observed) = self.observed() else {
            return self.table.set_observed_until(None);
        };
        if stated == Some(observed.until) {
            return;
        }
        let oldest = self.table.unknown_time_from();
        let before = stated.zip(observed.began.checked_sub(1)).filter(|(stated, last)| stated <= last);
        for (from, until) in observed.gaps.into_iter().chain(before).filter(|&(_, until)| until >= oldest) {
            self.table.mark_unknown(from, until);
        }
        self.table.set_observed_until(Some(observed.until));
    }

    /// What is observed of the stream. A candidate counts if the saved state was observed.
    fn observed(&self) -> Option<Observed> {
        let was_observed = self.table.observed_until().is_some();
        self.stream.observation.get().filter(|observed| observed.is_certain || was_observed)
    }

    /// Whether the sources have stated something since the last commit.
    pub(super) fn has_new_statement(&self) -> bool {
        self.observed().map(|observed| observed.until) != self.committed.observed_until
    }

    /// Returns the event time, both ends included, that nobody observed because this process was down, for a table at
    /// its start; `None` if there is none. All times are microseconds since the epoch; `last_alive` is the last time at
    /// which the process before is known to have run, and with `has_input` the log has had records.
    ///
    /// Producers that push try again for a while, so a short time counts as observed. Streams whose sources state what
    /// they observe are left to [`observe`](Self::observe), unless records came and no statement was saved: then all
    /// time before this process's source begins is unknown.
    pub fn downtime(&self, last_alive: Option<u64>, now: u64, has_input: bool) -> Option<(u64, u64)> {
        let stated = self.table.observed_until();
        if let Some(observed) = self.observed() {
            let last = observed.began.checked_sub(1).filter(|_| has_input && stated.is_none())?;
            return Some((self.table.watermark().min(last), last));
        }
        self.table.newest_timestamp()?;
        let from = stated.or(last_alive)?;
        (now.saturating_sub(from) > micros(MAX_UNCONFIRMED)).then_some((from, now))
    }

    /// Returns the event time, both ends included, in which the stream was not configured, for a table at its start;
    /// `None` if it has no objects of before, or if its sources state what they observe.
    pub fn absence(&self) -> Option<(u64, u64)> {
        self.table.newest_timestamp()?;
        let oldest = self.table.unknown_time_from();
        self.stream.absence.filter(|(_, until)| self.observed().is_none() && *until >= oldest)
    }

    /// Begins the input anew, as its log is another one: the cursors are of none of its records. All states are kept,
    /// and the time until the first sample is unknown.
    pub fn restart_input(&mut self) {
        self.cursors.clear();
        self.table.mark_lost();
    }

    /// Cuts unknown time that lies after `now` (µs since the epoch): a clock that was ahead has marked it.
    pub fn cut_unknown(&mut self, now: u64) {
        self.table.cut_unknown(now);
    }

    /// Marks event time, both ends included, as unknown: see [`Table::mark_unknown`](proxy_uve::Table::mark_unknown).
    ///
    /// A commit is due then: the next start would not find the reason again.
    pub fn mark_unknown(&mut self, (from, until): (u64, u64), now: Duration) {
        self.table.mark_unknown(from, until);
        self.expect_commit(now);
    }
}
