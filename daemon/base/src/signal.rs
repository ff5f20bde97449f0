//! A generation counter on which threads wait; it wakes workers and sinks.
//!
//! A condition variable alone would lose a wake-up between a reader's last poll and its wait. The reader passes the
//! last generation that it received, and the counter shows whether there was a wake-up since.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A counter that [`raise`](Self::raise) increments, with a condition variable that wakes all waiters.
#[derive(Debug)]
pub struct Signal {
    generation: Mutex<u64>,
    raised: Condvar,
}

/// A signal at generation 1, so that the first wait (generation 0) returns at once.
impl Default for Signal {
    fn default() -> Self {
        Self { generation: Mutex::new(1), raised: Condvar::new() }
    }
}

impl Signal {
    /// Starts the next generation and wakes all waiters.
    pub fn raise(&self) {
        *self.generation.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.raised.notify_all();
    }

    /// Waits until the generation is not `seen`, at most for `timeout`, and returns the current generation.
    pub fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        let generation = self.generation.lock().unwrap_or_else(PoisonError::into_inner);
        let (generation, _) = self
            .raised
            .wait_timeout_while(generation, timeout, |now| *now == seen)
            .unwrap_or_else(PoisonError::into_inner);
        *generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_raised_before_the_wait_is_not_lost() {
        let signal = Signal::default();
        let seen = signal.wait(0, Duration::ZERO);
        signal.raise();
        assert_ne!(signal.wait(seen, Duration::from_secs(10)), seen);
    }

    #[test]
    fn a_waiter_is_woken_by_another_thread() {
        let signal = Signal::default();
        let seen = signal.wait(0, Duration::ZERO);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| signal.wait(seen, Duration::from_secs(10)));
            signal.raise();
            assert_ne!(waiter.join().unwrap(), seen);
        });
    }

    #[test]
    fn without_a_signal_the_wait_times_out_and_returns_the_same_generation() {
        let signal = Signal::default();
        let seen = signal.wait(0, Duration::ZERO);
        assert_eq!(signal.wait(seen, Duration::from_millis(5)), seen);
    }
}
