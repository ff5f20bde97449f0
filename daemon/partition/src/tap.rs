//! Taps: the records of a running daemon, each with its outcome, for a reader that looks on for a while.
//!
//! Without a tap a batch costs one load of a counter. A tap must not wait: it gets each record on the worker's thread.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use proxy_uve::{Fate, Record};

/// A record that was applied or left out.
#[derive(Clone, Copy, Debug)]
pub struct TappedRecord<'r> {
    /// The stream, `Struct-attribute`.
    pub stream: &'r str,
    /// The partition of the input.
    pub partition: u16,
    /// The record.
    pub record: Record<'r>,
    /// Its outcome.
    pub fate: Fate,
    /// Why it is not a sample, if it is not.
    pub reason: Option<&'r str>,
}

type Receive = dyn Fn(&TappedRecord<'_>) + Send + Sync;

/// All taps of a process. Clones are handles on the same list.
#[derive(Clone, Default)]
pub struct Taps(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// The length of the list, to be read without its lock.
    count: AtomicUsize,
    list: Mutex<Vec<(u64, Arc<Receive>)>>,
}

/// A tap, which ends when this is dropped.
#[must_use = "the tap ends when this is dropped"]
pub struct Tap {
    taps: Taps,
    id: u64,
}

impl Taps {
    /// Adds a tap; `receive` is called for each record from now on and must not block.
    pub fn add(&self, receive: impl Fn(&TappedRecord<'_>) + Send + Sync + 'static) -> Tap {
        let mut list = self.0.list.lock().unwrap_or_else(PoisonError::into_inner);
        let id = list.last().map_or(0, |(last, _)| last + 1);
        list.push((id, Arc::new(receive)));
        self.0.count.store(list.len(), Ordering::Release);
        Tap { taps: self.clone(), id }
    }

    /// Whether there is a tap.
    pub fn is_active(&self) -> bool {
        self.0.count.load(Ordering::Acquire) > 0
    }

    /// Passes a record to all taps.
    pub fn send(&self, record: &TappedRecord<'_>) {
        let list = self.0.list.lock().unwrap_or_else(PoisonError::into_inner).clone();
        list.iter().for_each(|(_, receive)| receive(record));
    }
}

impl fmt::Debug for Taps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Taps").field(&self.0.count).finish()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let mut list = self.taps.0.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|(id, _)| *id != self.id);
        self.taps.0.count.store(list.len(), Ordering::Release);
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proxy_uve::Position;

    use super::*;

    #[test]
    fn a_tap_gets_records_until_it_is_dropped() {
        let (taps, seen) = (Taps::default(), Arc::new(Mutex::new(Vec::new())));
        let record = Record { position: Position::new(0), arrived: 1, key: b"T:a", payload: b"" };
        let send = |fate| {
            taps.send(&TappedRecord { stream: "S-a", partition: 0, record, fate, reason: None });
        };
        assert!(!taps.is_active());
        send(Fate::Late);
        let add = |name: &'static str| {
            let seen = Arc::clone(&seen);
            taps.add(move |tapped| seen.lock().unwrap().push((name, tapped.fate)))
        };
        let (first, second) = (add("first"), add("second"));
        assert!(taps.is_active());
        send(Fate::Future);
        drop(first);
        send(Fate::Aggregated);
        drop(second);
        send(Fate::Late);
        assert!(!taps.is_active());
        let expected = [("first", Fate::Future), ("second", Fate::Future), ("second", Fate::Aggregated)];
        assert_eq!(*seen.lock().unwrap(), expected);
    }
}
