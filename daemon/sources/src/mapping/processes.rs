//! Which process a series of cumulative sums is from, where its sender states when it began.
//!
//! Two processes that live at the same time and send one series, as services without `service.instance.id` do, have two
//! counters. Taken for one, it would seem to begin anew with each lower reading, and count in full. So the process that is
//! known keeps the series, until it was silent for [`SILENCE_MS`] or another one began after its last reading. Nothing is
//! lost where the other one is alone then, as its reading contains the increase.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use daemon_base::fnv;
use daemon_formats::{Meaning, Point, Series};
use derived_stats::MetricKind;

use super::rule::Rule;

/// How long a process that has a series may send no reading of it, by the times of the readings.
const SILENCE_MS: i64 = 180_000;

/// How far apart the start times of one process may be: some senders compute them from the time that it runs.
const SAME_START_MS: u64 = 1_000;

/// The most series, of 64 bytes; of those beyond, all processes count.
const MAX_SERIES: usize = 100_000;

/// The processes that the series are from, by a digest of the series. In memory only.
#[derive(Debug, Default)]
pub(super) struct Processes(Mutex<State>);

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
}

impl Seen {
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
}

impl Processes {
    /// Whether a reading is of another process than that which has the series. Takes note of it if not.
    fn refuses(&self, series: u128, start_ms: i64, at_ms: i64) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { by_series, full_until } = &mut *state;
        let Some(seen) = by_series.get_mut(&series) else {
            if by_series.len() >= MAX_SERIES && at_ms >= *full_until {
                by_series.retain(|_, seen| at_ms.saturating_sub(seen.newest_ms) <= SILENCE_MS);
                *full_until = at_ms.saturating_add(SILENCE_MS);
            }
            if by_series.len() < MAX_SERIES {
                by_series.insert(series, Seen { start_ms, newest_ms: at_ms });
            }
            return false;
        };
        if seen.is_beside(start_ms, at_ms) {
            return true;
        }
        if at_ms >= seen.newest_ms {
            *seen = Seen { start_ms, newest_ms: at_ms };
        }
        false
    }
}

/// The process that a series is from, as far as it matters.
pub(super) struct Process<'m>(Option<(&'m Processes, u128)>);

impl<'m> Process<'m> {
    /// That of the series of counters that the sender of `series` states, with its stream, key and source.
    pub(super) fn of(
        processes: &'m Processes,
        (stream, rule): (u16, &Rule),
        series: &Series<'_>,
        [key, source]: [&str; 2],
    ) -> Self {
        let is_stated = rule.metric_kind() == MetricKind::Agg && series.meaning == Meaning::Counter;
        let digest =
            || fnv::digest(key.as_bytes()) ^ fnv::digest(source.as_bytes()).rotate_left(1) ^ u128::from(stream);
        Self(is_stated.then(|| (processes, digest())))
    }

    /// Whether a reading is of another process than that which has the series.
    pub(super) fn refuses(&self, point: &Point) -> bool {
        let has_start = (1..point.timestamp_ms).contains(&point.start_ms);
        self.0
            .filter(|_| has_start)
            .is_some_and(|(processes, series)| processes.refuses(series, point.start_ms, point.timestamp_ms))
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
        let refuses = |start, at| processes.refuses(1, start, at);
        assert!(!refuses(MINUTE, 10 * MINUTE));
        assert!(refuses(5 * MINUTE, 10 * MINUTE + SECOND), "it began while the first one sent");
        assert!(!refuses(MINUTE + SECOND, 11 * MINUTE) && !refuses(MINUTE, 12 * MINUTE), "the same, by its run time");
        assert!(refuses(5 * MINUTE, 12 * MINUTE + SILENCE_MS));
        assert!(!refuses(5 * MINUTE, 12 * MINUTE + SILENCE_MS + 1), "the first one is silent");
        assert!(refuses(MINUTE, 16 * MINUTE), "back again, it is the other one");
        assert!(!processes.refuses(2, 5 * MINUTE, 10 * MINUTE), "another series");
    }

    #[test]
    fn a_restart_is_no_second_process_and_late_readings_of_the_former_are_none() {
        let processes = Processes::default();
        let refuses = |start, at| processes.refuses(1, start, at);
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
            assert!(!processes.refuses(series, SECOND, MINUTE));
        }
        let len = || processes.0.lock().unwrap().by_series.len();
        assert_eq!(len(), MAX_SERIES);
        assert!(!processes.refuses(u128::MAX, SECOND, 10 * MINUTE));
        assert_eq!(len(), 1);
    }
}
