//! The live end of the results: one channel for all readers of the event stream.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::Arc;

use tokio::sync::broadcast;

/// Results a slow reader may be behind before it gets an event that it missed some.
const CAPACITY: usize = 16 * 1024;

/// One result, as the event stream sends it.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub place: ResultPlace,
    pub line: Arc<[u8]>,
}

/// Where a result stands: the offset of its record in the results log, and its number in that record, from 0. As a
/// text, it is the id of the event, with which a client that reconnects goes on: `17`, or for a further result of the
/// record `17.3`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct ResultPlace {
    pub record: u64,
    pub line: usize,
}

impl ResultPlace {
    /// Before the first result of a record.
    pub(crate) fn of_record(record: u64) -> Self {
        Self { record, line: 0 }
    }

    /// Behind this result.
    pub(crate) fn next(self) -> Self {
        Self { line: self.line.saturating_add(1), ..self }
    }
}

impl fmt::Display for ResultPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.record),
            line => write!(f, "{}.{line}", self.record),
        }
    }
}

impl FromStr for ResultPlace {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let (record, line) = text.split_once('.').unwrap_or((text, "0"));
        Ok(Self { record: record.parse()?, line: line.parse()? })
    }
}

/// Sends results to all subscribers.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_as_it_is_shown() {
        let [first, fourth] = [0, 3].map(|line| ResultPlace { record: 17, line });
        assert_eq!([first.to_string(), fourth.to_string()], ["17", "17.3"]);
        assert_eq!([first, fourth].map(|place| place.to_string().parse()), [Ok(first), Ok(fourth)]);
        assert!("17.".parse::<ResultPlace>().is_err() && "-1".parse::<ResultPlace>().is_err());
        assert!(first < fourth && fourth.next() < ResultPlace::of_record(18));
    }
}
