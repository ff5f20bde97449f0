//! The live channel of new results, which all clients of the event stream subscribe to.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::Arc;

use tokio::sync::broadcast;

/// The results that a subscriber may lag before the channel drops the oldest ones for it.
const CAPACITY: usize = 16 * 1024;

/// One result as an event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub id: EventId,
    pub line: Arc<[u8]>,
}

/// The id of an event: the offset of the record in the results log, and the index of the result in that record, from 0.
/// Its text is `17` for the first result of a record and `17.3` for a later one; a client that reconnects sends it
/// back.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct EventId {
    pub record: u64,
    pub line: usize,
}

impl EventId {
    /// The id of the first result of a record.
    pub(crate) fn of_record(record: u64) -> Self {
        Self { record, line: 0 }
    }

    /// The smallest id after this one.
    pub(crate) fn next(self) -> Self {
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
#[derive(Debug)]
pub(crate) struct EventHub(broadcast::Sender<Event>);

impl Default for EventHub {
    fn default() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }
}

impl EventHub {
    /// Whether there are subscribers.
    pub(crate) fn has_subscribers(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// Sends an event; calls `event` only if there are subscribers.
    pub(crate) fn send(&self, event: impl FnOnce() -> Event) {
        if self.has_subscribers() {
            // An error means that the last subscriber has just left, so no event is lost.
            let _ = self.0.send(event());
        }
    }

    /// Subscribes to all later events.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.0.subscribe()
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
}
