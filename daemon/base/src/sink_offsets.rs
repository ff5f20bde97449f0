//! The sink offsets and failures of this process, for metrics, health and back-pressure.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The progress of one sink in the results log.
#[derive(Clone, Copy, Debug)]
pub struct SinkOffset {
    /// The next offset to deliver; `None` before the sink has started.
    pub next: Option<u64>,
    /// Whether the sink had delivered every result at some time since the last [`SinkOffsets::take`].
    pub was_at_end: bool,
    /// Whether the sink stores its position, so that it goes on there at its next start and the input may wait for it.
    pub is_durable: bool,
}

impl Default for SinkOffset {
    /// A sink that has not started and, as most, stores its position.
    fn default() -> Self {
        Self { next: None, was_at_end: false, is_durable: true }
    }
}

/// The offsets of all sinks of this process, by name.
#[derive(Debug, Default)]
pub struct SinkOffsets {
    sinks: Mutex<BTreeMap<String, SinkOffset>>,
    /// Why the last call of a sink failed, of those that are repeated at present.
    problems: Mutex<BTreeMap<String, String>>,
}

impl SinkOffsets {
    /// Registers a sink that has not started yet.
    pub fn expect(&self, name: &str, is_durable: bool) {
        self.lock().entry(name.to_owned()).or_default().is_durable = is_durable;
    }

    /// Sets the next offset that a sink delivers, and whether the sink is at the end of the results.
    pub fn set(&self, name: &str, next: u64, at_end: bool) {
        let mut sinks = self.lock();
        let sink = sinks.entry(name.to_owned()).or_default();
        sink.next = Some(next);
        sink.was_at_end |= at_end;
    }

    /// Sets why a sink repeats a call at present; `None` if it does not.
    pub fn set_problem(&self, name: &str, reason: Option<String>) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        match reason {
            Some(reason) => drop(problems.insert(name.to_owned(), reason)),
            None => drop(problems.remove(name)),
        }
    }

    /// Returns why a sink repeats a call at present, if it does.
    pub fn problem(&self, name: &str) -> Option<String> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Removes a sink that has ended; returns the next offset that it would deliver, `None` if it never started.
    pub fn remove(&self, name: &str) -> Option<u64> {
        self.set_problem(name, None);
        self.lock().remove(name)?.next
    }

    /// Returns the offset of each sink by name.
    pub fn all(&self) -> BTreeMap<String, SinkOffset> {
        self.lock().clone()
    }

    /// Returns the offset of each sink by name and resets every [`SinkOffset::was_at_end`]; one caller uses this.
    pub fn take(&self) -> BTreeMap<String, SinkOffset> {
        let mut sinks = self.lock();
        let offsets = sinks.clone();
        sinks.values_mut().for_each(|sink| sink.was_at_end = false);
        offsets
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, SinkOffset>> {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
