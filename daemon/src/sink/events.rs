//! The live end of the results: one channel that every reader of the event stream hears.

use std::sync::Arc;

use tokio::sync::broadcast;

/// Results a slow reader may be behind before it is told that it missed some.
const CAPACITY: usize = 16 * 1024;

/// One result, as the event stream sends it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Its offset in the results log: the event's id, with which a client that reconnects goes on.
    pub offset: u64,
    pub line: Arc<[u8]>,
}

/// Hands results to whoever listens.
#[derive(Debug)]
pub(crate) struct EventHub(broadcast::Sender<Event>);

impl Default for EventHub {
    fn default() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }
}

impl EventHub {
    /// Sends an event, and does not even make it if nobody listens.
    pub(crate) fn send(&self, event: impl FnOnce() -> Event) {
        if self.0.receiver_count() > 0 {
            // The last listener may have left just now; nothing is lost by that.
            let _ = self.0.send(event());
        }
    }

    /// Listens from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
    }
}
