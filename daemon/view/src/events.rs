//! The live channel of new results, which all clients of the event stream subscribe to.
//!
//! An event is kept until all subscribers have it. A subscriber that lags holds at most [`CAPACITY`] events of
//! [`CAPACITY_BYTES`] in all: the size of a result has no limit of its own, so a number of events bounds no memory.

use std::collections::VecDeque;
use std::fmt;
use std::num::ParseIntError;
use std::pin::pin;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The results that a subscriber may lag before the channel drops the oldest ones for it.
const CAPACITY: usize = 16 * 1024;

/// The bytes of the lines of those results. A longer line is kept alone.
const CAPACITY_BYTES: usize = 64 * 1024 * 1024;

/// One result as an event.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its place in the results.
    pub id: EventId,
    /// The result as a line of JSON.
    pub line: Arc<[u8]>,
}

/// The id of an event: the offset of the record in the results log, and the index of the result in that record, from 0.
/// Its text is `17` for the first result of a record and `17.3` for a later one; a client that reconnects sends it
/// back.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct EventId {
    /// The offset of the record of the results log.
    pub record: u64,
    /// The number of the line in the record, from 0.
    pub line: usize,
}

impl EventId {
    /// The id of the first result of a record.
    pub fn of_record(record: u64) -> Self {
        Self { record, line: 0 }
    }

    /// The smallest id after this one.
    pub fn next(self) -> Self {
        Self { line: self.line.saturating_add(1), ..self }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.record),
            line => write!(f, "{}.{line}", self.record),
        }
    }
}

impl FromStr for EventId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let (record, line) = text.split_once('.').unwrap_or((text, "0"));
        Ok(Self { record: record.parse()?, line: line.parse()? })
    }
}

/// The channel that sends results to all subscribers.
#[derive(Debug, Default)]
pub struct EventHub(Arc<Channel>);

#[derive(Debug, Default)]
struct Channel {
    kept: Mutex<Kept>,
    sent: Notify,
}

/// The events that not all subscribers have yet, the oldest first.
#[derive(Debug, Default)]
struct Kept {
    /// Each with the number of subscribers that have not received it.
    events: VecDeque<(Event, usize)>,
    /// The number of the oldest one, of all that were sent.
    first: u64,
    /// The bytes of the lines.
    bytes: usize,
    subscribers: usize,
}

/// A subscriber was too slow, and the channel has dropped so many events for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lagged(pub u64);

/// What a subscriber receives: all events that were sent since it subscribed.
#[derive(Debug)]
pub struct Subscription {
    channel: Arc<Channel>,
    /// The number of the next event.
    next: u64,
}

impl EventHub {
    /// Whether there are subscribers.
    pub fn has_subscribers(&self) -> bool {
        self.0.kept().subscribers > 0
    }

    /// Sends an event; calls `event` only if there are subscribers.
    pub fn send(&self, event: impl FnOnce() -> Event) {
        if self.has_subscribers() {
            let event = event();
            self.0.kept().push(event);
            self.0.sent.notify_waiters();
        }
    }

    /// Subscribes to all later events.
    pub fn subscribe(&self) -> Subscription {
        let mut kept = self.0.kept();
        kept.subscribers += 1;
        Subscription { channel: Arc::clone(&self.0), next: kept.end() }
    }
}

impl Channel {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// The number of the next event.
    fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// Adds an event, in the place of the oldest ones if it has no room.
    fn push(&mut self, event: Event) {
        self.bytes += event.line.len();
        self.events.push_back((event, self.subscribers));
        while self.events.len() > CAPACITY || (self.bytes > CAPACITY_BYTES && self.events.len() > 1) {
            self.remove_oldest();
        }
        self.remove_received();
    }

    /// The event with the number `next`, or the number of those that were dropped before the oldest one; `None` if it
    /// is not sent yet. Then `next` is the number of the one after.
    fn receive(&mut self, next: &mut u64) -> Option<Result<Event, Lagged>> {
        if *next < self.first {
            let missed = self.first - std::mem::replace(next, self.first);
            return Some(Err(Lagged(missed)));
        }
        let (event, waiting) = self.events.get_mut((*next - self.first) as usize)?;
        let event = event.clone();
        *waiting = waiting.saturating_sub(1);
        *next += 1;
        self.remove_received();
        Some(Ok(event))
    }

    /// Ends the subscription whose next event would be `next`.
    fn unsubscribe(&mut self, next: u64) {
        self.subscribers = self.subscribers.saturating_sub(1);
        let received = next.saturating_sub(self.first) as usize;
        self.events.iter_mut().skip(received).for_each(|(_, waiting)| *waiting = waiting.saturating_sub(1));
        self.remove_received();
    }

    fn remove_received(&mut self) {
        while self.events.front().is_some_and(|(_, waiting)| *waiting == 0) {
            self.remove_oldest();
        }
    }

    fn remove_oldest(&mut self) {
        if let Some((event, _)) = self.events.pop_front() {
            self.first += 1;
            self.bytes = self.bytes.saturating_sub(event.line.len());
        }
    }
}

impl Subscription {
    /// Waits for the next event. If the future is dropped, no event is lost.
    ///
    /// # Errors
    ///
    /// [`Lagged`] with the number of events that were dropped since the last one; the next call has the oldest kept
    /// one.
    pub async fn recv(&mut self) -> Result<Event, Lagged> {
        loop {
            let mut sent = pin!(self.channel.sent.notified());
            // An event that is sent after the look below wakes it.
            sent.as_mut().enable();
            if let Some(received) = self.channel.kept().receive(&mut self.next) {
                return received;
            }
            sent.await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.channel.kept().unsubscribe(self.next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_survives_print_and_parse() {
        let [first, fourth] = [0, 3].map(|line| EventId { record: 17, line });
        assert_eq!([first.to_string(), fourth.to_string()], ["17", "17.3"]);
        assert_eq!([first, fourth].map(|id| id.to_string().parse()), [Ok(first), Ok(fourth)]);
        assert!("17.".parse::<EventId>().is_err() && "-1".parse::<EventId>().is_err());
        assert!(first < fourth && fourth.next() < EventId::of_record(18));
    }

    /// Sends events with the numbers of `records` and lines of so many bytes.
    fn send(hub: &EventHub, records: std::ops::Range<u64>, bytes: usize) {
        for record in records {
            hub.send(|| Event { id: EventId::of_record(record), line: vec![b'x'; bytes].into() });
        }
    }

    /// The number and the bytes of the events that are kept: counted, not as the channel counts them.
    fn kept(hub: &EventHub) -> (usize, usize) {
        let kept = hub.0.kept();
        let bytes = kept.events.iter().map(|(event, _)| event.line.len()).sum();
        assert_eq!(kept.bytes, bytes);
        (kept.events.len(), bytes)
    }

    #[tokio::test]
    async fn what_is_kept_for_a_subscriber_that_does_not_receive_is_bounded_in_bytes_and_in_number() {
        let hub = EventHub::default();
        let mut slow = hub.subscribe();
        // As many as the channel keeps of short lines would be 1.6 GB.
        let (line, events) = (100_000, 2_000);
        send(&hub, 0..events, line);
        let (number, bytes) = kept(&hub);
        assert!(bytes <= 64 << 20 && bytes > (64 << 20) - line, "{number} events of {bytes} bytes");
        let missed = events - number as u64;
        assert_eq!(slow.recv().await.map(|event| event.id), Err(Lagged(missed)));
        for record in missed..events {
            assert_eq!(slow.recv().await.map(|event| event.id), Ok(EventId::of_record(record)));
        }
        assert_eq!(kept(&hub), (0, 0));
        send(&hub, 0..3, 70 << 20);
        assert_eq!(kept(&hub), (1, 70 << 20), "a line above the bound is kept alone");
        send(&hub, 0..20_000, 10);
        assert_eq!(kept(&hub), (16 * 1024, 160 * 1024));
    }

    #[tokio::test]
    async fn an_event_is_kept_until_all_subscribers_have_it_or_are_gone() {
        let hub = EventHub::default();
        send(&hub, 0..1, 10);
        assert!(!hub.has_subscribers() && kept(&hub).0 == 0);
        let (mut fast, mut slow) = (hub.subscribe(), hub.subscribe());
        send(&hub, 1..4, 10);
        let mut later = hub.subscribe();
        for record in 1..4 {
            assert_eq!(fast.recv().await.map(|event| event.id), Ok(EventId::of_record(record)));
        }
        assert_eq!(kept(&hub).0, 3);
        assert_eq!(slow.recv().await.map(|event| event.id), Ok(EventId::of_record(1)));
        assert_eq!(kept(&hub).0, 2);
        drop(slow);
        assert_eq!(kept(&hub).0, 0);
        // One that waits is woken.
        let waiting = tokio::spawn(async move { later.recv().await.map(|event| event.id) });
        tokio::task::yield_now().await;
        send(&hub, 4..5, 10);
        assert_eq!(waiting.await.ok(), Some(Ok(EventId::of_record(4))));
        drop(fast);
        assert!(!hub.has_subscribers() && kept(&hub).0 == 0);
    }
}
