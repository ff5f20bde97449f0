//! Which partitions of a worker cannot be committed or restored: for `GET /readyz`, and for the pause before they
//! are restored again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daemon_log::PartitionId;

/// The pause after the second failure in a row. A single failure may be a lost connection or a rebalance.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause. A restore reads whole states, which a cause that stays does not need each second.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// The partitions of one worker whose last commit or restore has failed.
#[derive(Debug, Default)]
pub(crate) struct PartitionFailures(Mutex<BTreeMap<PartitionId, Failing>>);

/// A partition that fails.
#[derive(Clone, Debug)]
struct Failing {
    since: Duration,
    failures: u32,
    reason: String,
}

impl PartitionFailures {
    /// The commit or the restore of a partition has failed. Returns how long to wait before it is restored.
    pub(crate) fn failed(&self, partition: PartitionId, now: Duration, reason: &str) -> Duration {
        let mut partitions = self.partitions();
        let new = || Failing { since: now, failures: 0, reason: String::new() };
        let failing = partitions.entry(partition).or_insert_with(new);
        failing.failures = failing.failures.saturating_add(1);
        reason.clone_into(&mut failing.reason);
        match failing.failures.checked_sub(2) {
            None => Duration::ZERO,
            Some(doublings) => FIRST_PAUSE.saturating_mul(1 << doublings.min(8)).min(LONGEST_PAUSE),
        }
    }

    /// A partition was committed or restored, or is not of this worker any more.
    pub(crate) fn ended(&self, partition: PartitionId) {
        self.partitions().remove(&partition);
    }

    /// Since when the partition that fails for the longest does so, why, and how many there are. One failure is none: the
    /// next attempt may come much later, when there is something to commit.
    pub(crate) fn longest(&self) -> Option<(Duration, String, usize)> {
        let partitions = self.partitions();
        let repeated = partitions.values().filter(|failing| failing.failures > 1);
        let longest = repeated.clone().min_by_key(|failing| failing.since)?;
        Some((longest.since, longest.reason.clone(), repeated.count()))
    }

    fn partitions(&self) -> MutexGuard<'_, BTreeMap<PartitionId, Failing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_until_a_commit_succeeds() {
        let failures = PartitionFailures::default();
        let [first, second] = [0, 1].map(|partition| PartitionId::new(0, partition));
        let pauses = |id| {
            let pauses = (0..7).map(|second| failures.failed(id, Duration::from_secs(second), "no right").as_secs());
            pauses.collect::<Vec<_>>()
        };
        assert_eq!(pauses(second), [0, 1, 2, 4, 8, 15, 15]);
        assert_eq!(pauses(first), [0, 1, 2, 4, 8, 15, 15], "each partition for itself");
        failures.ended(first);
        assert_eq!(failures.failed(first, Duration::from_secs(3), "late"), Duration::ZERO);
        assert_eq!(failures.longest(), Some((Duration::ZERO, "no right".to_owned(), 1)));
        assert_eq!(failures.failed(first, Duration::from_secs(4), "late"), FIRST_PAUSE);
        assert_eq!(failures.longest(), Some((Duration::ZERO, "no right".to_owned(), 2)));
        failures.ended(second);
        assert_eq!(failures.longest(), Some((Duration::from_secs(3), "late".to_owned(), 1)));
        failures.ended(first);
        assert_eq!(failures.longest(), None);
    }
}
