//! What the poller keeps while a change of the daemon's settings replaces it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::answer::Reading;
use super::changes::Changes;
use super::telemetry::Rejected;

/// The maximum number of series whose last value is kept to detect changes: about 200 MB.
const MAX_SERIES: usize = 1_000_000;

/// The last values of the polled series and the last poll interval that ended, for the next poller. Clones are handles
/// on the same memory.
#[derive(Clone, Debug, Default)]
pub struct PollerMemory(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    changes: Changes,
    /// The number of the last poll interval that was polled, or that passed without success; `None` before the first
    /// poller.
    ended: Option<u64>,
}

impl Default for State {
    fn default() -> Self {
        Self { changes: Changes::new(MAX_SERIES), ended: None }
    }
}

impl PollerMemory {
    /// Begins with the streams that readings refer to by index. Returns the number of the last interval that ended; for
    /// the first poller this is `now`, so that it waits for the next one.
    pub(super) fn begin(&self, streams: &[String], now: u64) -> u64 {
        let mut state = self.lock();
        state.changes.select(streams);
        *state.ended.get_or_insert(now)
    }

    /// Stores that the interval needs no further poll.
    pub(super) fn ended(&self, interval: u64) {
        self.lock().ended = Some(interval);
    }

    /// Keeps those readings of the next poll that differ from the poll before. Others that are refused go to `reject`.
    pub(super) fn retain_changes(&self, readings: &mut Vec<Reading>, reject: impl Fn(Rejected)) {
        let mut state = self.lock();
        state.changes.next_poll();
        readings.retain(|reading| {
            state.changes.is_change(reading).unwrap_or_else(|reason| {
                reject(reason);
                false
            })
        });
    }

    /// Removes all values: at the next poll all have changed.
    pub(super) fn forget_values(&self) {
        self.lock().changes.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A poller that panicked leaves at worst a value that counts as changed once more or less.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
