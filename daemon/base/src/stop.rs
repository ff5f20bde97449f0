//! Stopping, and every wait that a stop ends: for a time, for an event of another thread, for work that may hang.
//!
//! The daemon's engine is plain threads that block: an event must wake a thread without a runtime. So this is a mutex
//! and a condition variable, and no thread wakes up only to look whether it shall stop.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, TryRecvError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A flag that is set once, from where on nothing waits. Clones are handles on the same flag.
#[derive(Clone, Default)]
pub struct Stop(Arc<Shared>);

#[derive(Default)]
struct Shared {
    is_set: AtomicBool,
    /// Held by those who set the flag or wake, and by waiting threads while they check what they wait for. So a thread
    /// cannot miss what happens between its check and its sleep.
    waiting: Mutex<()>,
    changed: Condvar,
}

/// Why [`Stop::aside`] has no outcome.
#[derive(Debug)]
pub enum Unfinished {
    /// The work panicked.
    Died,
    /// The stop came first, and the patience is over.
    Stopped,
    /// The thread could not be started.
    Thread(io::Error),
}

impl Stop {
    /// Sets the flag and ends every wait.
    pub fn set(&self) {
        let _waiting = self.lock();
        self.0.is_set.store(true, Ordering::Release);
        self.0.changed.notify_all();
    }

    /// Whether the flag is set.
    pub fn is_set(&self) -> bool {
        self.0.is_set.load(Ordering::Acquire)
    }

    /// Lets every [`wait_for`](Self::wait_for) check its condition again. Call it after the condition has changed.
    pub fn wake(&self) {
        let _waiting = self.lock();
        self.0.changed.notify_all();
    }

    /// Waits for `time`; returns `false` as soon as the flag is set.
    pub fn rest(&self, time: Duration) -> bool {
        self.wait_for(time, || None::<()>);
        !self.is_set()
    }

    /// Waits up to `time` until `condition` gives a value; returns `None` when the time is over or the flag is set.
    ///
    /// The condition is checked at the start and after each [`wake`](Self::wake). It runs under the lock of this flag:
    /// it must be quick and may not use the flag.
    pub fn wait_for<T>(&self, time: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
        let mut found = None;
        let goes_on = |(): &mut ()| {
            if self.is_set() {
                return false;
            }
            found = condition();
            found.is_none()
        };
        // A thread that panicked in its condition leaves nothing half done.
        drop(self.0.changed.wait_timeout_while(self.lock(), time, goes_on).unwrap_or_else(PoisonError::into_inner));
        found
    }

    /// Runs `work` on a thread of its own and returns its outcome. After a stop it may go on for `patience`; then it is
    /// abandoned and ends by itself.
    ///
    /// # Errors
    ///
    /// Returns [`Unfinished`] when there is no outcome.
    pub fn aside<T: Send + 'static>(
        &self,
        name: &str,
        patience: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unfinished> {
        let (sender, outcome) = mpsc::sync_channel(1);
        let wake = WakeOnDrop(self.clone());
        let body = move || {
            let _wake = wake;
            // Dropped before `_wake`, also by a panic: a thread that wakes up finds an outcome or a closed channel.
            let sender = sender;
            let _ = sender.send(work());
        };
        thread::Builder::new().name(name.to_owned()).spawn(body).map_err(Unfinished::Thread)?;
        let ended = self.wait_for(Duration::MAX, || match outcome.try_recv() {
            Ok(outcome) => Some(Ok(outcome)),
            Err(TryRecvError::Disconnected) => Some(Err(Unfinished::Died)),
            Err(TryRecvError::Empty) => None,
        });
        ended.unwrap_or_else(|| {
            outcome.recv_timeout(patience).map_err(|error| match error {
                mpsc::RecvTimeoutError::Disconnected => Unfinished::Died,
                mpsc::RecvTimeoutError::Timeout => Unfinished::Stopped,
            })
        })
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stop").field(&self.is_set()).finish()
    }
}

/// Wakes when it is dropped, also by a panic.
struct WakeOnDrop(Stop);

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.0.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::clock::{Clock as _, SystemClock};

    /// Longer than any of these tests may take.
    const LONG: Duration = Duration::from_secs(20);
    const AT_ONCE: Duration = Duration::from_secs(5);

    /// How long `wait` takes when `act` happens on another thread while it waits.
    fn time_of<T>(act: impl FnOnce() + Send, wait: impl FnOnce() -> T) -> (T, Duration) {
        let clock = SystemClock::new();
        let outcome = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(20));
                act();
            });
            wait()
        });
        (outcome, clock.monotonic())
    }

    /// A wait, and whether it gives what a stop makes it give.
    type Wait = fn(&Stop) -> bool;

    #[test]
    fn a_stop_ends_each_kind_of_wait_at_once() {
        let waits: [(&str, Wait); 4] = [
            ("rest", |stop| !stop.rest(LONG)),
            ("a rest without end", |stop| !stop.rest(Duration::MAX)),
            ("wait_for", |stop| stop.wait_for(LONG, || None::<()>).is_none()),
            ("aside", |stop| {
                let work = stop.aside("work", Duration::ZERO, || thread::sleep(2 * LONG));
                matches!(work, Err(Unfinished::Stopped))
            }),
        ];
        for (name, wait) in waits {
            let stop = Stop::default();
            let (is_right, took) = time_of(|| stop.set(), || wait(&stop));
            assert!(is_right && took < AT_ONCE, "{name} took {took:?}");
            let (is_right, took) = time_of(|| (), || wait(&stop));
            assert!(is_right && took < AT_ONCE, "{name} after the stop took {took:?}");
        }
    }

    #[test]
    fn a_rest_lasts_for_its_time_whoever_wakes() {
        let stop = Stop::default();
        let time = Duration::from_millis(60);
        let (rested, took) = time_of(|| stop.wake(), || stop.rest(time));
        assert!(rested && took >= time, "{took:?}");
        assert!(stop.rest(Duration::ZERO) && !stop.is_set());
        assert_eq!(format!("{stop:?}"), "Stop(false)");
    }

    #[test]
    fn what_happened_before_the_wait_is_found_without_a_wake() {
        let stop = Stop::default();
        stop.wake();
        assert_eq!(stop.wait_for(LONG, || Some(7)), Some(7));
        assert_eq!(stop.wait_for(Duration::ZERO, || Some(7)), Some(7));
        assert_eq!(stop.wait_for(Duration::from_millis(1), || None::<()>), None);
        stop.set();
        assert_eq!(stop.wait_for(LONG, || Some(7)), None, "a stop goes first");
    }

    /// Lets another thread act between a check of the condition and the sleep that follows: the moment at which a wake-up
    /// can be lost. Returns what the wait gives and how long it takes.
    fn wait_while(stop: &Stop, act: impl FnOnce(&AtomicBool) + Send) -> (Option<()>, Duration) {
        let (clock, is_ready) = (SystemClock::new(), AtomicBool::new(false));
        let (begin, begins) = mpsc::channel();
        let found = thread::scope(|scope| {
            let is_ready = &is_ready;
            scope.spawn(move || {
                begins.recv().unwrap();
                act(is_ready);
            });
            let mut begin = Some(begin);
            stop.wait_for(LONG, || {
                let was_ready = is_ready.load(Ordering::Acquire);
                if let Some(begin) = begin.take() {
                    begin.send(()).unwrap();
                    thread::sleep(Duration::from_millis(50));
                }
                was_ready.then_some(())
            })
        });
        (found, clock.monotonic())
    }

    #[test]
    fn a_wake_between_check_and_sleep_is_not_lost() {
        let stop = Stop::default();
        let (found, took) = wait_while(&stop, |is_ready| {
            is_ready.store(true, Ordering::Release);
            stop.wake();
        });
        assert!(found.is_some() && took < AT_ONCE, "{took:?}");
    }

    #[test]
    fn a_stop_between_check_and_sleep_is_not_lost() {
        let stop = Stop::default();
        let (found, took) = wait_while(&stop, |_| stop.set());
        assert!(found.is_none() && took < AT_ONCE, "{took:?}");
    }

    #[test]
    fn two_threads_that_wake_each_other_in_turn_never_miss_one() {
        const ROUNDS: usize = 5_000;
        let (stop, at) = (Stop::default(), AtomicUsize::new(0));
        let play = |first: usize| {
            for round in (first..ROUNDS).step_by(2) {
                let turn = stop.wait_for(LONG, || (at.load(Ordering::Acquire) == round).then_some(()));
                assert!(turn.is_some(), "the wake of round {round} is lost");
                at.store(round + 1, Ordering::Release);
                stop.wake();
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| play(0));
            scope.spawn(|| play(1));
        });
        assert_eq!(at.into_inner(), ROUNDS);
    }

    #[test]
    fn work_aside_gives_its_outcome_its_panic_or_what_patience_leaves() {
        let stop = Stop::default();
        assert!(matches!(stop.aside("work", Duration::ZERO, || 7), Ok(7)));
        let (died, took) = time_of(|| (), || stop.aside("work", Duration::ZERO, || panic!("of the test")));
        assert!(matches!(died, Err::<(), _>(Unfinished::Died)) && took < AT_ONCE, "{took:?}");
        stop.set();
        let soon = || {
            thread::sleep(Duration::from_millis(20));
            7
        };
        assert!(matches!(stop.aside("work", LONG, soon), Ok(7)), "there is patience");
        let short = stop.aside("work", Duration::from_millis(20), || thread::sleep(2 * LONG));
        assert!(matches!(short, Err(Unfinished::Stopped)), "patience has an end");
    }
}
