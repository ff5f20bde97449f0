//! The queue of connections whose clients have all the connections that they may have.
//!
//! The oldest of each client is next: a connection of the client that waits is closed for it. A client that overflows
//! its share of the queue loses the oldest, so that a request after a burst is served.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::accept::CLOSE_NEXT;
use super::open::{Closing, Open};

/// The most queued connections of a server; fewer with few connections.
const MOST: usize = 256;

/// The queued connections of a server, a quarter of its connections at most.
pub(super) struct Queue {
    by_client: BTreeMap<IpAddr, Waiters>,
    most: usize,
}

/// The queued connections of a client.
struct Waiters {
    /// With the times since when they wait.
    streams: VecDeque<(Instant, TcpStream)>,
    /// When a connection of the client may be closed for them.
    retry: Instant,
}

/// The outcome for a queued connection.
pub(super) enum Step {
    Admit(TcpStream, IpAddr),
    Refuse(TcpStream, IpAddr),
}

impl Queue {
    pub(super) fn new(connections: usize) -> Self {
        Self { by_client: BTreeMap::new(), most: (connections / 4).clamp(2, MOST) }
    }

    pub(super) fn push(&mut self, stream: TcpStream, client: IpAddr) {
        let now = Instant::now();
        let new = || Waiters { streams: VecDeque::new(), retry: now };
        self.by_client.entry(client).or_insert_with(new).streams.push_back((now, stream));
    }

    /// When the next step may be possible if no connection ends before; `None` if the queue is empty.
    pub(super) fn retry(&self) -> Option<Instant> {
        self.by_client.values().map(|waiters| waiters.retry).min()
    }

    /// The next connection that leaves the queue now; `None` if all stay.
    pub(super) fn step(&mut self, open: &Open, per_client: usize) -> Option<Step> {
        let now = Instant::now();
        let outcome = |(client, waiters): (&IpAddr, &mut Waiters)| {
            let is_admitted = waiters.is_admitted(*client, open, per_client, now)?;
            Some((*client, is_admitted))
        };
        let ready = self.by_client.iter_mut().find_map(outcome);
        let (client, is_admitted) = ready.or_else(|| self.excess().map(|client| (client, false)))?;
        let stream = self.pop(client, now)?;
        Some(if is_admitted { Step::Admit(stream, client) } else { Step::Refuse(stream, client) })
    }

    /// The client that has more than half of the queue, or the most of one that is too long.
    fn excess(&self) -> Option<IpAddr> {
        let length: usize = self.by_client.values().map(|waiters| waiters.streams.len()).sum();
        let (client, longest) = self.by_client.iter().max_by_key(|(_, waiters)| waiters.streams.len())?;
        (length > self.most || longest.streams.len() > self.most / 2).then_some(*client)
    }

    fn pop(&mut self, client: IpAddr, now: Instant) -> Option<TcpStream> {
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

    /// Whether the first one is served (`true`) or refused; `None` while a connection of the client closes for it.
    fn is_admitted(&mut self, client: IpAddr, open: &Open, per_client: usize, now: Instant) -> Option<bool> {
        if open.count(client) < per_client {
            return Some(true);
        }
        if now < self.retry {
            return None;
        }
        let wait = match open.close_waiting(Some(client)) {
            Closing::One => CLOSE_NEXT,
            Closing::After(wait) => wait,
            // A response that is there for its client may not be marked as sent yet.
            Closing::NoneWaits => match CLOSE_NEXT.checked_sub(self.waits_for(now)) {
                Some(left) if !left.is_zero() => left,
                _ => return Some(false),
            },
        };
        self.retry = now + wait;
        None
    }
}
