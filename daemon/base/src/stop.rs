//! Waiting that a stop ends: for a time, or for work that may hang.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// How long a stop may go unnoticed.
pub const STOP_INTERVAL: Duration = Duration::from_millis(50);

/// Waits for `time`; `false` as soon as told to stop.
pub fn rest(time: Duration, stop: &AtomicBool) -> bool {
    let mut left = time;
    while !stop.load(Ordering::Acquire) {
        if left.is_zero() {
            return true;
        }
        let step = left.min(STOP_INTERVAL);
        thread::sleep(step);
        left -= step;
    }
    false
}

/// Why there is no outcome.
#[derive(Debug)]
pub enum Unfinished {
    /// The thread ended without one, which only a panic does.
    Died,
    /// Told to stop before.
    Stopped,
    /// It could not be started.
    Thread(std::io::Error),
}

/// The outcome of `work`, which is done on a thread of its own. After a stop it may go on for `patience`; then nobody
/// waits for it any more, and it ends by itself.
///
/// # Errors
///
/// [`Unfinished`].
pub fn aside<T: Send + 'static>(
    name: &str,
    stop: &AtomicBool,
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unfinished> {
    let (sender, outcome) = mpsc::sync_channel(1);
    let work = move || drop(sender.send(work()));
    thread::Builder::new().name(name.to_owned()).spawn(work).map_err(Unfinished::Thread)?;
    let mut patience = patience;
    loop {
        let stopping = stop.load(Ordering::Acquire);
        if stopping && patience.is_zero() {
            return Err(Unfinished::Stopped);
        }
        match outcome.recv_timeout(STOP_INTERVAL) {
            Ok(outcome) => return Ok(outcome),
            Err(RecvTimeoutError::Disconnected) => return Err(Unfinished::Died),
            Err(RecvTimeoutError::Timeout) if stopping => patience = patience.saturating_sub(STOP_INTERVAL),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_ends_a_rest_and_work_that_hangs() {
        let stop = AtomicBool::new(false);
        assert!(rest(Duration::from_millis(1), &stop));
        assert!(matches!(aside("work", &stop, Duration::ZERO, || 7), Ok(7)));
        stop.store(true, Ordering::Release);
        assert!(!rest(Duration::MAX, &stop));
        let hang = || thread::sleep(Duration::from_secs(3600));
        assert!(matches!(aside("work", &stop, STOP_INTERVAL, hang), Err(Unfinished::Stopped)));
        let soon = || 7;
        assert!(matches!(aside("work", &stop, STOP_INTERVAL * 20, soon), Ok(7)), "there is patience");
    }
}
