//! The watch over input partitions that yield nothing although they have more: the worker reads them again.

use std::collections::BTreeMap;
use std::time::Duration;

use daemon_log::PartitionId;

/// How long a partition may yield nothing.
const BOUND: Duration = Duration::from_secs(30);

/// The longest time between two checks of one silence: after an outage of the brokers a silence begins anew.
const MAX_UNCHECKED: Duration = Duration::from_secs(5);

/// The partitions that yield nothing at the moment, and since when.
#[derive(Debug, Default)]
pub(super) struct Silences(BTreeMap<PartitionId, Silence>);

#[derive(Clone, Copy, Debug)]
struct Silence {
    since: Duration,
    checked: Duration,
}

impl Silences {
    /// Notes that the partition yielded a record, is at its end, or is not read.
    pub(super) fn end(&mut self, source: PartitionId) {
        self.0.remove(&source);
    }

    /// Notes that a check at `now` found the partition silent. Returns whether it has been so for too long, once for
    /// each [`BOUND`].
    pub(super) fn is_too_long(&mut self, source: PartitionId, now: Duration) -> bool {
        let new = Silence { since: now, checked: now };
        let silence = self.0.entry(source).or_insert(new);
        if now.saturating_sub(silence.checked) > MAX_UNCHECKED {
            *silence = new;
        }
        silence.checked = now;
        let is_too_long = now.saturating_sub(silence.since) >= BOUND;
        if is_too_long {
            *silence = new;
        }
        is_too_long
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_silence_is_too_long_once_for_each_bound_and_only_if_it_was_checked_throughout() {
        let (mut silences, source) = (Silences::default(), PartitionId::new(0, 7));
        let mut found = Vec::new();
        for second in 0..65 {
            if silences.is_too_long(source, second * SECOND) {
                found.push(second);
            }
        }
        assert_eq!(found, [30, 60]);
        assert!(!silences.is_too_long(source, 100 * SECOND), "nothing was checked in between");
        assert!(!silences.is_too_long(source, 103 * SECOND));
        silences.end(source);
        assert!((104..134).all(|second| !silences.is_too_long(source, second * SECOND)));
        assert!(silences.is_too_long(source, 134 * SECOND));
    }
}
