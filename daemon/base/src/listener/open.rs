//! The open connections: how many each client has, and which of them have no request in flight.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The open connections of a server.
#[derive(Default)]
pub(super) struct Open(Mutex<Connections>);

#[derive(Default)]
struct Connections {
    by_client: HashMap<IpAddr, usize>,
    next: u64,
    /// The idle ones, in the order in which they are closed.
    idle: BTreeMap<Order, Waiting>,
}

/// First the connections without any request, each kind by age.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
struct Order {
    is_used: bool,
    number: u64,
}

struct Waiting {
    client: IpAddr,
    close: Arc<Notify>,
}

impl Open {
    /// Counts a connection of a client, until the value is dropped.
    pub(super) fn add(open: &Arc<Self>, client: IpAddr) -> Counted {
        *open.lock().by_client.entry(client).or_default() += 1;
        Counted { open: Arc::clone(open), client, close: Arc::default() }
    }

    /// How many connections a client has.
    pub(super) fn count(&self, client: IpAddr) -> usize {
        self.lock().by_client.get(&client).copied().unwrap_or_default()
    }

    /// Asks the first idle connection to end, of this client or of all; whether there was one.
    pub(super) fn close_idle(&self, client: Option<IpAddr>) -> bool {
        let mut connections = self.lock();
        let mut idle = connections.idle.iter();
        let first = idle.find(|(_, waiting)| client.is_none_or(|client| waiting.client == client));
        let Some(order) = first.map(|(order, _)| *order) else { return false };
        let closed = connections.idle.remove(&order);
        closed.inspect(|waiting| waiting.close.notify_one()).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection in the count of its client.
pub(super) struct Counted {
    open: Arc<Open>,
    client: IpAddr,
    close: Arc<Notify>,
}

impl Counted {
    /// Makes the connection idle, until the value is dropped.
    pub(super) fn idle(&self, is_used: bool) -> Idle {
        let mut connections = self.open.lock();
        let order = Order { is_used, number: connections.next };
        connections.next += 1;
        connections.idle.insert(order, Waiting { client: self.client, close: Arc::clone(&self.close) });
        Idle { open: Arc::clone(&self.open), order }
    }

    /// Waits until the connection should end because it is idle.
    pub(super) async fn closed(&self) {
        self.close.notified().await;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut connections = self.open.lock();
        if let Some(count) = connections.by_client.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                connections.by_client.remove(&self.client);
            }
        }
    }
}

/// A connection without a request in flight.
pub(super) struct Idle {
    open: Arc<Open>,
    order: Order,
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.open.lock().idle.remove(&self.order);
    }
}
