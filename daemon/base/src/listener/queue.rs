//! The queue of connections whose clients have all the connections that they may have.
//!
//! The oldest of each client is next: a connection of the client that waits is closed for it. A client that overflows
//! its share of the queue loses the oldest, so that a request after a burst is served.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::accept::CLOSE_NEXT;
use super::open::{Closing, Open};
use super::socket::Stream;

/// The most queued connections of a server; fewer with few connections.
const MAX_QUEUED: usize = 256;

/// The queued connections of a server, a quarter of its connections at most.
pub(super) struct Queue {
    by_client: BTreeMap<IpAddr, Waiters>,
    most: usize,
}

/// The queued connections of a client.
struct Waiters {
    /// With the times since when they wait.
    streams: VecDeque<(Instant, Stream)>,
    /// When a connection of the client may be closed for them.
    retry: Instant,
}

/// A connection that leaves the queue.
pub(super) enum Dequeued {
    /// To be served.
    Admitted(Stream, IpAddr),
    /// To be answered with 429.
    Refused(Stream, IpAddr),
}

/// Whether the first queued connection of a client may leave the queue.
enum Admission {
    /// The client has room for it.
    Admit,
    /// No connection of the client waits, so none can be closed for it.
    Refuse,
    /// A connection of the client closes for it.
    Wait,
}

impl Queue {
    pub(super) fn new(connections: usize) -> Self {
        Self { by_client: BTreeMap::new(), most: (connections / 4).clamp(2, MAX_QUEUED) }
    }

    pub(super) fn push(&mut self, stream: Stream, client: IpAddr) {
        let now = Instant::now();
        let new = || Waiters { streams: VecDeque::new(), retry: now };
        self.by_client.entry(client).or_insert_with(new).streams.push_back((now, stream));
    }

    /// When the next step may be possible if no connection ends before; `None` if the queue is empty.
    pub(super) fn retry(&self) -> Option<Instant> {
        self.by_client.values().map(|waiters| waiters.retry).min()
    }

    /// The next connection that leaves the queue now; `None` if all stay.
    pub(super) fn dequeue(&mut self, open: &Open, per_client: usize) -> Option<Dequeued> {
        let now = Instant::now();
        let admissions = self.by_client.iter_mut().map(|(client, waiters)| {
            let admission = waiters.admission(*client, open, per_client, now);
            (*client, admission)
        });
        let mut decided = admissions.filter(|(_, admission)| !matches!(admission, Admission::Wait));
        let (client, admission) = decided.next().or_else(|| Some((self.excess()?, Admission::Refuse)))?;
        let stream = self.pop(client, now)?;
        Some(match admission {
            Admission::Admit => Dequeued::Admitted(stream, client),
            Admission::Refuse | Admission::Wait => Dequeued::Refused(stream, client),
        })
    }

    /// The client that has more than half of the queue, or the most of one that is too long.
    fn excess(&self) -> Option<IpAddr> {
        let length: usize = self.by_client.values().map(|waiters| waiters.streams.len()).sum();
        let (client, longest) = self.by_client.iter().max_by_key(|(_, waiters)| waiters.streams.len())?;
        (length > self.most || longest.streams.len() > self.most / 2).then_some(*client)
    }

    fn pop(&mut self, client: IpAddr, now: Instant) -> Option<Stream> {
        let waiters = self.by_client.get_mut(&client)?;
        waiters.retry = now;
        let stream = waiters.streams.pop_front().map(|(_, stream)| stream);
        if waiters.streams.is_empty() {
            self.by_client.remove(&client);
        }
        stream
    }
}

impl Waiters {
    /// How long the first one has waited.
    fn waits_for(&self, now: Instant) -> Duration {
        self.streams.front().map(|(since, _)| now - *since).unwrap_or_default()
    }

    /// The admission of the first one.
    fn admission(&mut self, client: IpAddr, open: &Open, per_client: usize, now: Instant) -> Admission {
        if open.count(client) < per_client {
            return Admission::Admit;
        }
        if now < self.retry {
            return Admission::Wait;
        }
        let wait = match open.close_waiting(Some(client)) {
            Closing::One => CLOSE_NEXT,
            Closing::After(wait) => wait,
            // A response that is there for its client may not be marked as sent yet.
            Closing::NoneWaits => match CLOSE_NEXT.checked_sub(self.waits_for(now)) {
                Some(left) if !left.is_zero() => left,
                _ => return Admission::Refuse,
            },
        };
        self.retry = now + wait;
        Admission::Wait
    }
}
