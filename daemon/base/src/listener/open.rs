//! The open connections: how many each client has, and which of them wait for their clients.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The open connections of a server.
#[derive(Default)]
pub(super) struct Open {
    connections: Mutex<Connections>,
    freed: Notify,
}

#[derive(Default)]
struct Connections {
    by_client: HashMap<IpAddr, usize>,
    next: u64,
    /// Those that wait for their clients, in the order in which they are closed.
    waiting: BTreeMap<Order, Waiting>,
}

/// How long a connection waits at least before it is closed for another one: the head of a request follows its connection
/// at once, so that a burst of honest clients is served one after the other.
const LEAST_WAIT: Duration = Duration::from_millis(50);

/// The outcome of [`Open::close_waiting`].
pub(super) enum Closing {
    /// One is being closed; it counts until it has ended.
    One,
    /// One may be closed after this time.
    After(Duration),
    /// All have requests in flight.
    NoneWaits,
}

/// What a connection waits for. Those that wait for the first are closed first.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum WaitsFor {
    FirstRequest,
    NextRequest,
    /// The rest of the body of a request, of which nothing is processed yet.
    Body,
}

/// The order in which connections are closed: each kind by age.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
struct Order {
    kind: WaitsFor,
    number: u64,
}

struct Waiting {
    client: IpAddr,
    since: Instant,
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

    /// Closes the first connection that waits, of this client or of all, once it has waited for [`LEAST_WAIT`].
    pub(super) fn close_waiting(&self, client: Option<IpAddr>) -> Closing {
        let mut connections = self.lock();
        let of_client = |waiting: &Waiting| client.is_none_or(|client| waiting.client == client);
        let waiting = connections.waiting.iter().filter(|(_, waiting)| of_client(waiting));
        let now = Instant::now();
        let mut left = waiting.map(|(&order, waiting)| (LEAST_WAIT.saturating_sub(now - waiting.since), order));
        let mut least = None;
        // The first that has waited long enough: a young one of the first kind does not protect those behind it.
        let ready = left.find(|&(left, _)| {
            least = Some(least.map_or(left, |least: Duration| least.min(left)));
            left.is_zero()
        });
        let Some((_, order)) = ready else {
            return least.map_or(Closing::NoneWaits, Closing::After);
        };
        connections.waiting.remove(&order).into_iter().for_each(|waiting| waiting.close.notify_one());
        Closing::One
    }

    /// Waits until a connection has ended since the last call.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection in the count of its client.
pub(super) struct Counted {
    open: Arc<Open>,
    client: IpAddr,
    close: Arc<Notify>,
}

impl Counted {
    /// Makes the connection one that may be closed, until the value is dropped.
    pub(super) fn wait(&self, kind: WaitsFor) -> Wait {
        let mut connections = self.open.lock();
        let order = Order { kind, number: connections.next };
        connections.next += 1;
        connections
            .waiting
            .insert(order, Waiting { client: self.client, since: Instant::now(), close: Arc::clone(&self.close) });
        Wait { open: Arc::clone(&self.open), order }
    }

    pub(super) fn client(&self) -> IpAddr {
        self.client
    }

    /// Waits until the connection should end, because it waits and another one has come.
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
        drop(connections);
        self.open.freed.notify_one();
    }
}

/// A connection that waits for its client.
pub(super) struct Wait {
    open: Arc<Open>,
    order: Order,
}

impl Wait {
    pub(super) fn kind(&self) -> WaitsFor {
        self.order.kind
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.open.lock().waiting.remove(&self.order);
    }
}
