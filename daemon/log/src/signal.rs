//! A generation counter that threads can wait on: the wake-up of workers and sinks.
//!
//! A counter instead of a bare condition variable, so that a wake-up between a reader's last look and its wait is
//! not lost: the reader passes the generation it has seen.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Counts up on each [`raise`](Self::raise) and wakes all waiters.
#[derive(Debug)]
pub(crate) struct Signal {
    generation: Mutex<u64>,
    raised: Condvar,
}

impl Signal {
    /// A signal at generation 1, so that a waiter that has seen nothing (0) looks at once.
    pub(crate) fn new() -> Self {
        Self { generation: Mutex::new(1), raised: Condvar::new() }
    }

    /// Starts the next generation.
    pub(crate) fn raise(&self) {
        *self.generation.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.raised.notify_all();
    }

    /// Waits until the generation is not `seen`, or until `timeout`; returns the generation now.
    pub(crate) fn wait(&self, seen: u64, timeout: Duration) -> u64 {
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
        let signal = Signal::new();
        let seen = signal.wait(0, Duration::ZERO);
        signal.raise();
        assert_ne!(signal.wait(seen, Duration::from_secs(10)), seen);
    }

    #[test]
    fn a_waiter_is_woken_by_another_thread() {
        let signal = Signal::new();
        let seen = signal.wait(0, Duration::ZERO);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| signal.wait(seen, Duration::from_secs(10)));
            signal.raise();
            assert_ne!(waiter.join().unwrap(), seen);
        });
    }

    #[test]
    fn without_a_signal_the_wait_ends_with_the_generation_it_began_with() {
        let signal = Signal::new();
        let seen = signal.wait(0, Duration::ZERO);
        assert_eq!(signal.wait(seen, Duration::from_millis(5)), seen);
    }
}
