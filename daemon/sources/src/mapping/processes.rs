//! Which process a series of cumulative sums is from, where its sender states when it began.
//!
//! Two processes that live at the same time and send one series, as services without `service.instance.id` do, have two
//! counters. Taken for one, it would seem to begin anew with each lower reading, and count in full. So the process that is
//! known keeps the series, until it was silent for [`SILENCE_MS`] or another one began after its last reading.
//!
//! The process that follows began at zero. What it has counted is of no window yet, whatever its age, so it counts in full:
//! from a reading 0 at its start, or right after the last reading of the former process if that was alive then. A process
//! that was followed and comes back has counted before: its readings are compared with the last one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use daemon_base::fnv;
use daemon_formats::{Meaning, Point, Series, is_stale_marker};
use derived_stats::MetricKind;

use super::rule::Rule;

/// How long a process that has a series may send no reading of it, by the times of the readings.
const SILENCE_MS: i64 = 180_000;

/// How far apart the start times of one process may be: some senders compute them from the time that it runs.
const SAME_START_MS: u64 = 1_000;

/// The most series, of 100 bytes; of those beyond, all processes count.
const MAX_SERIES: usize = 100_000;

/// For how long, by the times of the readings, the start of a process is added to each of its readings: the first ones may
/// not be stored, and are sent again.
const REPEATED_MS: i64 = 300_000;

/// The processes that the series are from, by a digest of the series. In memory only.
#[derive(Debug, Default)]
pub struct Processes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    by_series: HashMap<u128, Seen>,
    /// Until when no process can be silent, if there are as many series as may be.
    full_until: i64,
}

/// The process that has a series.
#[derive(Clone, Copy, Debug)]
struct Seen {
    start_ms: i64,
    /// Its newest reading.
    newest_ms: i64,
    /// The start of the latest process that had the series.
    latest_start_ms: i64,
    /// When its counter was zero and what it has counted since is of no other process; `None` if it counts from its first
    /// reading.
    zero_ms: Option<i64>,
    /// Its first reading.
    since_ms: i64,
}

impl Seen {
    fn new(start_ms: i64, at_ms: i64) -> Self {
        Self { start_ms, newest_ms: at_ms, latest_start_ms: start_ms, zero_ms: None, since_ms: at_ms }
    }

    /// Another process than this one, from its reading of time `at_ms` on.
    fn followed_by(self, start_ms: i64, at_ms: i64) -> Self {
        let is_new = start_ms > self.latest_start_ms && start_ms.abs_diff(self.latest_start_ms) > SAME_START_MS;
        let zero_ms = start_ms.max(self.newest_ms.saturating_add(1));
        Self {
            latest_start_ms: self.latest_start_ms.max(start_ms),
            zero_ms: (is_new && zero_ms < at_ms).then_some(zero_ms),
            ..Self::new(start_ms, at_ms)
        }
    }

    /// Whether a reading of time `at_ms` is of another process than this one, which lives as well.
    fn is_beside(self, start_ms: i64, at_ms: i64) -> bool {
        let is_silent = at_ms.saturating_sub(self.newest_ms) > SILENCE_MS;
        let is_later = start_ms > self.start_ms && self.newest_ms <= start_ms;
        let is_earlier = start_ms < self.start_ms && at_ms <= self.start_ms;
        !self.is_of(start_ms) && !is_silent && !is_later && !is_earlier
    }

    fn is_of(self, start_ms: i64) -> bool {
        self.start_ms.abs_diff(start_ms) <= SAME_START_MS
    }

    /// When the counter of its reading of time `at_ms` was zero, if that is to be added.
    fn zero_of(self, start_ms: i64, at_ms: i64) -> Option<i64> {
        let is_early = at_ms.saturating_sub(self.since_ms) <= REPEATED_MS;
        self.zero_ms.filter(|zero_ms| is_early && self.is_of(start_ms) && *zero_ms < at_ms)
    }
}

/// Whether a reading is taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Taken {
    /// It is of another process than that which has the series.
    No,
    /// It is, and the time of a reading 0 of its counter that comes before it, if the former process tells it.
    Yes {
        /// In UTC milliseconds.
        zero_ms: Option<i64>,
    },
}

impl Processes {
    /// Whether a reading is taken, of which the process is noted then. With `is_alone` its sender gives the series to no
    /// other process: it is taken in any case.
    fn take(&self, series: u128, start_ms: i64, at_ms: i64, is_alone: bool) -> Taken {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { by_series, full_until } = &mut *state;
        let Some(seen) = by_series.get_mut(&series) else {
            if by_series.len() >= MAX_SERIES && at_ms >= *full_until {
                by_series.retain(|_, seen| at_ms.saturating_sub(seen.newest_ms) <= SILENCE_MS);
                *full_until = at_ms.saturating_add(SILENCE_MS);
            }
            if by_series.len() < MAX_SERIES {
                by_series.insert(series, Seen::new(start_ms, at_ms));
            }
            return Taken::Yes { zero_ms: None };
        };
        if !is_alone && seen.is_beside(start_ms, at_ms) {
            return Taken::No;
        }
        if at_ms >= seen.newest_ms {
            *seen = if seen.is_of(start_ms) {
                Seen { start_ms, newest_ms: at_ms, ..*seen }
            } else {
                // Some senders compute the start anew for each reading: one before the last reading may be of the same counter.
                let is_certain = !is_alone || start_ms >= seen.newest_ms;
                let next = seen.followed_by(start_ms, at_ms);
                Seen { zero_ms: next.zero_ms.filter(|_| is_certain), ..next }
            };
        }
        Taken::Yes { zero_ms: seen.zero_of(start_ms, at_ms) }
    }
}

/// The process that a series is from, as far as it matters.
pub(super) struct Process<'m> {
    /// With the digest of the series; `None` for what is not a counter.
    known: Option<(&'m Processes, u128)>,
    /// Whether no other process sends the series at the same time.
    is_alone: bool,
}

impl<'m> Process<'m> {
    /// That of the series of counters, with its stream, key and source. A sender that states what its values are states
    /// when its process began; remote write has the start of the counter, of which its sender has one.
    pub(super) fn of(processes: &'m Processes, rule: &Rule, series: &Series<'_>, [key, source]: [&str; 2]) -> Self {
        let is_counter = rule.metric_kind() == MetricKind::Agg;
        let digest = || {
            // Not by the number of the stream, which a change of the configuration may give to another one.
            let stream = rule.stream();
            let parts = [key, source, stream.struct_name(), stream.attribute()];
            let add = |all: u128, part: &str| all.rotate_left(1) ^ fnv::digest(part.as_bytes());
            parts.into_iter().fold(0, add)
        };
        Self { known: is_counter.then(|| (processes, digest())), is_alone: series.meaning != Meaning::Counter }
    }

    /// Whether the series is one of counters.
    pub(super) fn is_known(&self) -> bool {
        self.known.is_some()
    }

    /// Whether a reading is taken.
    pub(super) fn take(&self, point: &Point) -> Taken {
        let has_start = (1..point.timestamp_ms).contains(&point.start_ms);
        let known = self.known.filter(|_| has_start && !is_stale_marker(point.value));
        known.map_or(Taken::Yes { zero_ms: None }, |(processes, series)| {
            processes.take(series, point.start_ms, point.timestamp_ms, self.is_alone)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000;
    const MINUTE: i64 = 60 * SECOND;

    #[test]
    fn the_process_that_is_known_keeps_the_series_while_it_sends() {
        let processes = Processes::default();
        let refuses = |start, at| processes.take(1, start, at, false) == Taken::No;
        assert!(!refuses(MINUTE, 10 * MINUTE));
        assert!(refuses(5 * MINUTE, 10 * MINUTE + SECOND), "it began while the first one sent");
        assert!(!refuses(MINUTE + SECOND, 11 * MINUTE) && !refuses(MINUTE, 12 * MINUTE), "the same, by its run time");
        assert!(refuses(5 * MINUTE, 12 * MINUTE + SILENCE_MS));
        assert!(!refuses(5 * MINUTE, 12 * MINUTE + SILENCE_MS + 1), "the first one is silent");
        assert!(refuses(MINUTE, 16 * MINUTE), "back again, it is the other one");
        assert_ne!(processes.take(2, 5 * MINUTE, 10 * MINUTE, false), Taken::No, "another series");
    }

    #[test]
    fn a_restart_is_no_second_process_and_late_readings_of_the_former_are_none() {
        let processes = Processes::default();
        let refuses = |start, at| processes.take(1, start, at, false) == Taken::No;
        assert!(!refuses(MINUTE, 10 * MINUTE));
        assert!(!refuses(10 * MINUTE + 5 * SECOND, 11 * MINUTE));
        assert!(!refuses(MINUTE, 10 * MINUTE + SECOND), "before the restart, and sent again");
        assert!(refuses(MINUTE, 10 * MINUTE + 6 * SECOND), "it lives");
        assert!(!refuses(10 * MINUTE + 5 * SECOND, 12 * MINUTE));
    }

    #[test]
    fn the_number_of_series_is_limited_and_silent_ones_make_room() {
        let processes = Processes::default();
        for series in 0..MAX_SERIES as u128 + 1 {
            assert_ne!(processes.take(series, SECOND, MINUTE, false), Taken::No);
        }
        let len = || processes.0.lock().unwrap().by_series.len();
        assert_eq!(len(), MAX_SERIES);
        assert_ne!(processes.take(u128::MAX, SECOND, 10 * MINUTE, false), Taken::No);
        assert_eq!(len(), 1);
    }

    #[test]
    fn the_process_that_follows_counts_from_its_start_whatever_its_age() {
        let processes = Processes::default();
        let zero = |start, at| match processes.take(1, start, at, false) {
            Taken::No => Some(-1),
            Taken::Yes { zero_ms } => zero_ms,
        };
        assert_eq!(zero(MINUTE, 10 * MINUTE), None, "the first one may have counted before");
        assert_eq!(zero(11 * MINUTE, 30 * MINUTE), Some(11 * MINUTE));
        assert_eq!(zero(11 * MINUTE, 30 * MINUTE), Some(11 * MINUTE), "the request was not stored");
        assert_eq!(zero(MINUTE, 10 * MINUTE + SECOND), None, "late, of the former one");
        assert_eq!(zero(11 * MINUTE + SECOND, 35 * MINUTE), Some(11 * MINUTE));
        assert_eq!(zero(11 * MINUTE, 35 * MINUTE + 1), None);
        // The next one begins while this one lives.
        assert_eq!(zero(33 * MINUTE, 36 * MINUTE), Some(-1));
        assert_eq!(zero(33 * MINUTE, 39 * MINUTE), Some(35 * MINUTE + 2));
        assert_eq!(zero(11 * MINUTE, 45 * MINUTE), None, "back again, it has counted before");
        assert_eq!(zero(33 * MINUTE, 50 * MINUTE), None, "and so has this one");
    }

    #[test]
    fn a_sender_with_one_counter_at_a_time_is_never_refused() {
        let processes = Processes::default();
        let take = |start, at| processes.take(1, start, at, true);
        assert_eq!(take(MINUTE, 10 * MINUTE), Taken::Yes { zero_ms: None });
        assert_eq!(take(11 * MINUTE, 20 * MINUTE), Taken::Yes { zero_ms: Some(11 * MINUTE) });
        assert_eq!(take(MINUTE, 20 * MINUTE + 1), Taken::Yes { zero_ms: None });
        assert_eq!(take(15 * MINUTE, 21 * MINUTE), Taken::Yes { zero_ms: None }, "the start has drifted");
    }
}
