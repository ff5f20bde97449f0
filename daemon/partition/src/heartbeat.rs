//! Heartbeats of the threads that give results, for a watchdog.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use daemon_base::clock::{Clock, SystemClock, micros};

/// The time of the last heartbeat of a thread that is not watched.
const NOT_WATCHED: u64 = u64::MAX;

/// The heartbeats of all threads of a process that a watchdog watches.
#[derive(Debug, Default)]
pub struct Heartbeats(Mutex<Vec<Weak<AtomicU64>>>);

/// The heartbeat of one thread. When its last clone is dropped, the thread has ended and is not waited for.
#[derive(Clone)]
pub struct Heartbeat {
    /// When the silence begins, in microseconds of the monotonic clock.
    last: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
}

impl Heartbeats {
    /// Adds a thread, which is watched from its first beat on.
    pub fn join(&self, clock: &Arc<dyn Clock>) -> Heartbeat {
        let last = Arc::new(AtomicU64::new(NOT_WATCHED));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| known.strong_count() > 0);
        all.push(Arc::downgrade(&last));
        Heartbeat { last, clock: Arc::clone(clock) }
    }

    /// How long the slowest thread has given no heartbeat at `now` (monotonic); zero without one that is watched.
    pub fn longest_silence(&self, now: Duration) -> Duration {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = all.iter().filter_map(Weak::upgrade).map(|last| last.load(Ordering::Relaxed)).min();
        last.map_or(Duration::ZERO, |last| now.saturating_sub(Duration::from_micros(last)))
    }
}

impl Heartbeat {
    /// Shows that the thread makes progress.
    pub fn beat(&self) {
        self.wait_at_most(Duration::ZERO);
    }

    /// Shows that the thread makes progress and begins a call that takes `limit` at most, such as a request to a broker
    /// that may be away: its silence begins after that time, or with the next beat.
    pub fn wait_at_most(&self, limit: Duration) {
        self.last.store(micros(self.clock.monotonic().saturating_add(limit)), Ordering::Relaxed);
    }

    /// Ends the watch until the next beat: what the thread waits for has no limit.
    pub fn rest(&self) {
        self.last.store(NOT_WATCHED, Ordering::Relaxed);
    }
}

/// A heartbeat that no watchdog sees.
impl Default for Heartbeat {
    fn default() -> Self {
        Self { last: Arc::default(), clock: Arc::new(SystemClock::new()) }
    }
}

#[cfg(test)]
mod tests {
    use daemon_base::clock::ManualClock;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_silence_is_that_of_the_slowest_thread_that_has_not_ended() {
        let (heartbeats, manual) = (Heartbeats::default(), Arc::new(ManualClock::at(0)));
        let clock: Arc<dyn Clock> = manual.clone();
        let silence = || heartbeats.longest_silence(manual.monotonic());
        assert_eq!(silence(), Duration::ZERO);
        let (first, second) = (heartbeats.join(&clock), heartbeats.join(&clock));
        manual.advance(10 * SECOND);
        assert_eq!(silence(), Duration::ZERO, "before the first beat");
        first.beat();
        manual.advance(10 * SECOND);
        second.beat();
        manual.advance(5 * SECOND);
        assert_eq!(silence(), 15 * SECOND);
        first.beat();
        assert_eq!(silence(), 5 * SECOND);
        drop(second);
        assert_eq!(silence(), Duration::ZERO);
    }

    #[test]
    fn the_silence_of_a_call_begins_after_its_limit_and_that_of_a_rest_never() {
        let (heartbeats, manual) = (Heartbeats::default(), Arc::new(ManualClock::at(0)));
        let clock: Arc<dyn Clock> = manual.clone();
        let silence = || heartbeats.longest_silence(manual.monotonic());
        let thread = heartbeats.join(&clock);
        thread.wait_at_most(10 * SECOND);
        manual.advance(9 * SECOND);
        assert_eq!(silence(), Duration::ZERO);
        manual.advance(4 * SECOND);
        assert_eq!(silence(), 3 * SECOND);
        thread.wait_at_most(10 * SECOND);
        thread.beat();
        manual.advance(2 * SECOND);
        assert_eq!(silence(), 2 * SECOND, "the beat ends the call");
        thread.rest();
        manual.advance(100 * SECOND);
        assert_eq!(silence(), Duration::ZERO);
    }
}
