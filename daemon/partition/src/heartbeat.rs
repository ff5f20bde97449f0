//! Signs of life of the workers, for a watchdog.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use daemon_base::clock::micros;

/// The heartbeats of all workers of a process.
#[derive(Debug, Default)]
pub struct Heartbeats(Mutex<Vec<Weak<AtomicU64>>>);

/// The heartbeat of one worker. When it is dropped, the worker has ended and is not waited for.
#[derive(Debug)]
pub struct Heartbeat(Arc<AtomicU64>);

impl Heartbeats {
    /// Adds a worker, which lives at `now` (monotonic).
    pub fn join(&self, now: Duration) -> Heartbeat {
        let last = Arc::new(AtomicU64::new(micros(now)));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| known.strong_count() > 0);
        all.push(Arc::downgrade(&last));
        Heartbeat(last)
    }

    /// How long the slowest worker has given no sign of life at `now`; zero without workers.
    pub fn longest_silence(&self, now: Duration) -> Duration {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = all.iter().filter_map(Weak::upgrade).map(|last| last.load(Ordering::Relaxed)).min();
        last.map_or(Duration::ZERO, |last| now.saturating_sub(Duration::from_micros(last)))
    }
}

impl Heartbeat {
    /// Notes that the worker lives at `now`.
    pub fn beat(&self, now: Duration) {
        self.0.store(micros(now), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_silence_is_that_of_the_slowest_worker_that_has_not_ended() {
        let (heartbeats, at) = (Heartbeats::default(), Duration::from_secs);
        assert_eq!(heartbeats.longest_silence(at(100)), Duration::ZERO);
        let (first, second) = (heartbeats.join(at(10)), heartbeats.join(at(20)));
        assert_eq!(heartbeats.longest_silence(at(25)), at(15));
        first.beat(at(24));
        assert_eq!(heartbeats.longest_silence(at(25)), at(5));
        drop(second);
        assert_eq!(heartbeats.longest_silence(at(25)), at(1));
        drop(first);
        assert_eq!(heartbeats.longest_silence(at(25)), Duration::ZERO);
    }
}
