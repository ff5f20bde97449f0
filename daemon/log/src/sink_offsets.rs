//! How far the sinks of this process have read the results.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// How far one sink has read.
#[derive(Clone, Copy, Debug, Default)]
pub struct SinkOffset {
    /// The next result that it will deliver; `None` before it has started.
    pub next: Option<u64>,
    /// It had delivered all there was, at some time since [`SinkOffsets::take`] was called before.
    pub was_at_end: bool,
    /// It lives in memory and begins with the oldest result at each start.
    pub is_volatile: bool,
}

/// The offsets of all sinks of this process, by name.
#[derive(Debug, Default)]
pub struct SinkOffsets(Mutex<BTreeMap<String, SinkOffset>>);

impl SinkOffsets {
    /// Registers a sink that has not started yet.
    pub fn expect(&self, name: &str, is_volatile: bool) {
        self.lock().entry(name.to_owned()).or_default().is_volatile = is_volatile;
    }

    /// Sets the next result that a sink will deliver, and whether it is at the end.
    pub fn set(&self, name: &str, next: u64, at_end: bool) {
        let mut sinks = self.lock();
        let sink = sinks.entry(name.to_owned()).or_default();
        sink.next = Some(next);
        sink.was_at_end |= at_end;
    }

    /// The offset of each sink.
    pub fn all(&self) -> BTreeMap<String, SinkOffset> {
        self.lock().clone()
    }

    /// The offset of each sink, for the one caller that resets [`SinkOffset::was_at_end`].
    pub fn take(&self) -> BTreeMap<String, SinkOffset> {
        let mut sinks = self.lock();
        let offsets = sinks.clone();
        sinks.values_mut().for_each(|sink| sink.was_at_end = false);
        offsets
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, SinkOffset>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
