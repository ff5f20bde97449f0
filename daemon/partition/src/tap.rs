//! Taps: the records of a running daemon, each with its outcome, and the samples that its intake rejects, for a reader
//! that looks on for a while.
//!
//! Without a tap a batch, or a rejected sample, costs one load of a counter. A tap must not wait: it gets each record
//! on the worker's thread, and each rejected sample on that of its source.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use proxy_uve::wire::WireSample;
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

/// A sample that the intake rejected: it is in no log.
#[derive(Clone, Copy)]
pub struct RejectedSample<'r> {
    /// The stream, `Struct-attribute`, or the name that the sample has for it.
    pub stream: &'r str,
    /// The key, as it was sent.
    pub key: &'r [u8],
    /// The sample, with its time as it was sent.
    pub sample: &'r WireSample<'r>,
    /// The reason.
    pub reason: &'r dyn fmt::Display,
}

/// What a tap receives.
#[derive(Clone, Copy)]
pub enum Tapped<'r> {
    /// A record of the log.
    Record(TappedRecord<'r>),
    /// A sample that did not become one.
    Rejected(RejectedSample<'r>),
}

impl Tapped<'_> {
    /// The stream.
    pub fn stream(&self) -> &str {
        match self {
            Self::Record(record) => record.stream,
            Self::Rejected(rejected) => rejected.stream,
        }
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Record(record) => record.record.key,
            Self::Rejected(rejected) => rejected.key,
        }
    }
}

type Receive = dyn Fn(&Tapped<'_>) + Send + Sync;

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
    /// Adds a tap; `receive` is called for each record and rejected sample from now on and must not block.
    pub fn add(&self, receive: impl Fn(&Tapped<'_>) + Send + Sync + 'static) -> Tap {
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

    /// Passes a record or a rejected sample to all taps.
    pub fn send(&self, tapped: &Tapped<'_>) {
        let list = self.0.list.lock().unwrap_or_else(PoisonError::into_inner).clone();
        list.iter().for_each(|(_, receive)| receive(tapped));
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
            taps.send(&Tapped::Record(TappedRecord { stream: "S-a", partition: 0, record, fate, reason: None }));
        };
        assert!(!taps.is_active());
        send(Fate::Late);
        let add = |name: &'static str| {
            let seen = Arc::clone(&seen);
            taps.add(move |tapped| match tapped {
                Tapped::Record(record) => seen.lock().unwrap().push((name, record.fate)),
                Tapped::Rejected(_) => panic!("no sample was rejected"),
            })
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
